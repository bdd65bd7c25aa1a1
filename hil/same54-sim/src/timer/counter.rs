//! What a timer's counter shows at any time, without ticking.

use std::time::Duration;

use sim_base::Instant;

use crate::timebase::Period;
use crate::waveform::{Output, Pulse, Waveform};

/// How the counter moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// From 0 to TOP, and again from 0.
    Up,
    /// From TOP to 0, and again from TOP.
    Down,
    /// From 0 to TOP and back.
    Dual,
}

/// A counter between 0 and TOP. Its phase counts the steps since the beginning of its cycle.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    hz: u32,
    divisor: u64,
    running: bool,
    top: u64,
    shape: Shape,
    /// Phase at `anchor`.
    phase: u64,
    anchor: Instant,
}

impl Counter {
    /// Stopped at 0.
    pub(crate) fn new(now: Instant) -> Self {
        Self { hz: 0, divisor: 1, running: false, top: 0xFFFF, shape: Shape::Up, phase: 0, anchor: now }
    }

    /// Steps of a cycle.
    pub(crate) fn cycle(&self) -> u64 {
        match self.shape {
            Shape::Dual => (2 * self.top).max(1),
            _ => self.top + 1,
        }
    }

    fn period(&self) -> Period {
        Period::new(self.divisor, self.hz)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running && self.hz != 0
    }

    fn steps(&self, now: Instant) -> u64 {
        if !self.is_running() {
            return 0;
        }
        self.period().whole(now.since(self.anchor).as_nanos() as u64)
    }

    fn instant_of(&self, steps: u64) -> Instant {
        self.period().end(steps).map_or(Instant::NEVER, |nanos| self.anchor + Duration::from_nanos(nanos))
    }

    fn phase_after(&self, steps: u64) -> u64 {
        let cycle = self.cycle();
        (self.phase % cycle + steps % cycle) % cycle
    }

    fn value_of(&self, phase: u64) -> u64 {
        match self.shape {
            Shape::Up => phase,
            Shape::Down => self.top - phase.min(self.top),
            Shape::Dual if phase > self.top => 2 * self.top - phase,
            Shape::Dual => phase,
        }
    }

    fn phase_of(&self, value: u64) -> u64 {
        match self.shape {
            Shape::Down => self.top - value.min(self.top),
            _ => value,
        }
    }

    /// What COUNT holds.
    pub(crate) fn value(&self, now: Instant) -> u64 {
        self.value_of(self.phase_after(self.steps(now)))
    }

    /// Whether a dual-slope counter is on its way down.
    pub(crate) fn is_falling(&self, now: Instant) -> bool {
        match self.shape {
            Shape::Up => false,
            Shape::Down => true,
            Shape::Dual => self.phase_after(self.steps(now)) >= self.top && self.top != 0,
        }
    }

    /// Takes `now`'s phase for the new beginning, without losing part of a step.
    fn settle(&mut self, now: Instant) {
        if self.is_running() {
            let steps = self.steps(now);
            let edge = self.instant_of(steps);
            self.phase = self.phase_after(steps);
            self.anchor = edge.min(now);
        } else {
            self.phase %= self.cycle();
            self.anchor = now;
        }
    }

    /// Another clock, from `now` on.
    pub(crate) fn set_clock(&mut self, hz: u32, divisor: u64, now: Instant) {
        if (hz, divisor) != (self.hz, self.divisor) {
            self.settle(now);
            (self.hz, self.divisor) = (hz, divisor);
        }
    }

    /// Another TOP or shape; the value stays, as far as it is not beyond TOP.
    pub(crate) fn set_shape(&mut self, shape: Shape, top: u64, now: Instant) {
        if (shape, top) != (self.shape, self.top) {
            self.settle(now);
            let value = self.value_of(self.phase);
            (self.shape, self.top) = (shape, top);
            self.phase = self.phase_of(value) % self.cycle();
        }
    }

    pub(crate) fn set_value(&mut self, value: u64, now: Instant) {
        self.settle(now);
        self.phase = self.phase_of(value);
        self.anchor = now;
    }

    pub(crate) fn set_running(&mut self, running: bool, now: Instant) {
        if running != self.running {
            self.settle(now);
            self.running = running;
            self.anchor = now;
        }
    }

    /// Begins its cycle anew.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.settle(now);
        self.phase = 0;
        self.anchor = now;
    }

    /// One step by hand, for a counter of events. True if a cycle begins.
    pub(crate) fn step(&mut self) -> bool {
        self.phase = (self.phase + 1) % self.cycle();
        self.phase == 0
    }

    fn next_phase(&self, phase: u64, after: Instant) -> Instant {
        if !self.is_running() || phase >= self.cycle() {
            return Instant::NEVER;
        }
        let from = self.steps(after) + 1;
        let cycle = self.cycle();
        let ahead = (phase + cycle - self.phase_after(from)) % cycle;
        self.instant_of(from + ahead)
    }

    /// Steps since its cycle began, if it is not moving.
    pub(crate) fn phase(&self) -> u64 {
        self.phase
    }

    /// The phase at which it is `value`, on the way up if it passes it twice; none if it is never.
    pub(crate) fn reaches(&self, value: u64) -> Option<u64> {
        (value <= self.top).then(|| self.phase_of(value))
    }

    /// How often it comes to `phase` after `after`, up to `until`; nothing about it has changed after `after`.
    pub(crate) fn passes(&self, phase: u64, after: Instant, until: Instant) -> u64 {
        if !self.is_running() {
            return 0;
        }
        let cycle = self.cycle();
        let first = match (phase % cycle + cycle - self.phase % cycle) % cycle {
            0 => cycle,
            ahead => ahead,
        };
        let up_to = |steps: u64| steps.checked_sub(first).map_or(0, |beyond| beyond / cycle + 1);
        up_to(self.steps(until)).saturating_sub(up_to(self.steps(after)))
    }

    /// High from phase `on` for `high` steps.
    pub(crate) fn pulse(&self, on: u64, high: u64) -> Pulse {
        let cycle = self.cycle();
        Pulse { cycle: cycle * self.divisor, on: on % cycle * self.divisor, high: high * self.divisor }
    }

    /// Single-slope PWM: up, from the beginning to the match; down, from the match to the end.
    pub(crate) fn single_slope(&self, compare: u64, down: bool) -> Pulse {
        match down {
            false => self.pulse(0, compare.min(self.top + 1)),
            true if compare > self.top => self.pulse(0, 0),
            true => self.pulse(self.top - compare, compare + 1),
        }
    }

    /// Dual-slope PWM: from the match with `rising` on the way up to the one with `falling` on the way down.
    pub(crate) fn dual_slope(&self, rising: u64, falling: u64) -> Pulse {
        match rising <= self.top {
            true => self.pulse(rising, self.cycle() - rising - falling.min(self.top)),
            false => self.pulse(0, 0),
        }
    }

    /// What an output with `pulse` in each cycle drives at `now`.
    pub(crate) fn pulsing(&self, pulse: Pulse, now: Instant) -> Output {
        let moved = match self.is_running() {
            true => Period::new(1, self.hz).whole(now.since(self.anchor).as_nanos() as u64),
            false => 0,
        };
        let position = (self.phase % self.cycle() * self.divisor + moved) % pulse.cycle;
        let waveform = Waveform { clock_hz: self.hz, period: pulse.cycle, high: pulse.high };
        Output { level: pulse.level(position), waveform: self.is_running().then_some(waveform) }
    }

    /// An output that is at `level` and toggles at phase `at` of each cycle, if it is given one.
    pub(crate) fn toggling(&self, level: bool, at: Option<u64>) -> Output {
        let half = self.cycle() * self.divisor;
        let waveform = Waveform { clock_hz: self.hz, period: 2 * half, high: half };
        Output { level, waveform: at.filter(|_| self.is_running()).map(|_| waveform) }
    }

    /// When it next holds `value`, after `after`.
    pub(crate) fn next(&self, value: u64, after: Instant) -> Instant {
        if value > self.top {
            return Instant::NEVER;
        }
        let first = self.next_phase(self.phase_of(value), after);
        match self.shape {
            Shape::Dual if value != 0 && value != self.top => first.min(self.next_phase(2 * self.top - value, after)),
            _ => first,
        }
    }

    /// When its cycle next begins, after `after`: it overflows, or a dual slope is at the bottom.
    pub(crate) fn next_cycle(&self, after: Instant) -> Instant {
        self.next_phase(0, after)
    }

    /// When a dual slope next is at TOP, after `after`.
    pub(crate) fn next_top(&self, after: Instant) -> Instant {
        self.next_phase(self.top, after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(1_000 * micros)
    }

    fn counter(shape: Shape, top: u64) -> Counter {
        let mut counter = Counter::new(Instant::ZERO);
        counter.set_clock(1_000_000, 1, Instant::ZERO);
        counter.set_shape(shape, top, Instant::ZERO);
        counter.restart(Instant::ZERO);
        counter.set_running(true, Instant::ZERO);
        counter
    }

    #[test]
    fn shapes_have_their_cycles() {
        let values = |shape| (0..9).map(|micros| counter(shape, 3).value(at(micros))).collect::<Vec<_>>();
        assert_eq!(values(Shape::Up), [0, 1, 2, 3, 0, 1, 2, 3, 0]);
        assert_eq!(values(Shape::Down), [3, 2, 1, 0, 3, 2, 1, 0, 3]);
        assert_eq!(values(Shape::Dual), [0, 1, 2, 3, 2, 1, 0, 1, 2]);
    }

    #[test]
    fn a_dual_slope_passes_a_value_twice() {
        let counter = counter(Shape::Dual, 10);
        assert_eq!(counter.next(3, at(0)), at(3));
        assert_eq!(counter.next(3, at(3)), at(17));
        assert_eq!(counter.next(3, at(17)), at(23));
        assert_eq!((counter.next_top(at(0)), counter.next_cycle(at(0))), (at(10), at(20)));
        assert_eq!(counter.next(11, at(0)), Instant::NEVER);
    }

    #[test]
    fn a_change_of_top_keeps_the_value() {
        let mut counter = counter(Shape::Up, 99);
        counter.set_shape(Shape::Up, 9, at(5));
        assert_eq!(counter.value(at(5)), 5);
        assert_eq!(counter.next_cycle(at(5)), at(10));
        counter.set_running(false, at(7));
        assert_eq!(counter.value(at(50)), 7);
    }
}
