//! Tamper detection: five inputs and an event (SAM D5x/E5x datasheet, 21.6.8.5).

use std::time::Duration;

use sim_base::Instant;

use super::{BKTRST, GPTRST, Rtc, TAMPER};
use crate::peripheral::Context;

/// Inputs IN0 to IN4: PB00, PB02, PA02, PC00 and PC01 (table 6-1).
const PINS: [(usize, u32); INPUTS] = [(1, 0), (1, 2), (0, 2), (2, 0), (2, 1)];
const INPUTS: usize = 5;
/// Periods of CLK_RTC_OSC until a tamper is detected and its time captured (21.6.8.5.1).
const DETECTION: u64 = 3;
/// TAMPID.TAMPEVT.
const TAMPEVT: u32 = 1 << 31;
/// CTRLB bits.
const DEBMAJ: u32 = 1 << 4;
const DEBASYNC: u32 = 1 << 5;

/// TAMPCTRL.INnACT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Off,
    Wake,
    Capture,
    ActiveLayer,
}

#[derive(Clone, Copy, Debug)]
struct Input {
    level: bool,
    /// Level that detection has seen last.
    seen: bool,
    /// When a change of level counts, if it lasts.
    stable_at: Instant,
    /// Until when further edges are ignored, with asynchronous debouncing.
    blank_until: Instant,
}

/// The registers of tamper detection and what they wait for.
#[derive(Clone, Debug)]
pub(super) struct Tamper {
    pub(super) tampctrl: u32,
    pub(super) tampid: u32,
    pub(super) timestamp: u32,
    inputs: [Input; INPUTS],
    /// Detections on their way: when, TAMPID bits, whether the time is captured.
    pending: Option<(Instant, u32, bool)>,
    /// When the active layer next compares.
    active_at: Instant,
}

impl Tamper {
    pub(super) fn new() -> Self {
        let input = Input { level: false, seen: false, stable_at: Instant::NEVER, blank_until: Instant::ZERO };
        Self { tampctrl: 0, tampid: 0, timestamp: 0, inputs: [input; INPUTS], pending: None, active_at: Instant::NEVER }
    }

    /// After a reset of the RTC: the pins are as they were.
    pub(super) fn reset(&self) -> Self {
        let inputs = self.inputs.map(|input| Input { stable_at: Instant::NEVER, seen: input.level, ..input });
        Self { inputs, ..Self::new() }
    }

    /// When something happens next.
    pub(super) fn due(&self) -> Instant {
        let pending = self.pending.map_or(Instant::NEVER, |(at, ..)| at);
        self.inputs.iter().map(|input| input.stable_at).fold(pending.min(self.active_at), Instant::min)
    }

    fn action(&self, n: usize) -> Action {
        match self.tampctrl >> (2 * n) & 3 {
            0 => Action::Off,
            1 => Action::Wake,
            2 => Action::Capture,
            _ => Action::ActiveLayer,
        }
    }

    /// Detects on input `n`, `delay` after `at`.
    fn detect(&mut self, bits: u32, capture: bool, at: Instant) {
        self.pending = Some(match self.pending {
            Some((when, more, captured)) => (when.min(at), bits | more, capture || captured),
            None => (at, bits, capture),
        });
    }
}

impl Rtc {
    /// `count` periods of CLK_RTC_OSC divided by 2^`shift`.
    fn osc_time(&self, count: u64, shift: u32) -> Duration {
        match u64::from(self.hz) {
            0 => Duration::from_secs(u64::from(u32::MAX)),
            hz => Duration::from_nanos((count << shift) * 1_000_000_000 / hz),
        }
    }

    /// Whether an input is not at its pin's level.
    pub(crate) fn is_moved_by(&self, levels: [u32; 4]) -> bool {
        let at = |(group, pin): (usize, u32)| levels[group] >> pin & 1 != 0;
        PINS.iter().zip(&self.tamper.inputs).any(|(pin, input)| input.level != at(*pin))
    }

    /// Takes over the levels at the pins of each port group.
    pub(crate) fn look(&mut self, levels: [u32; 4], cx: &mut Context<'_>) {
        self.catch_up(cx);
        // CLK_RTC_DEB is CLK_RTC_OSC divided by 2^(DEBF + 1) (21.8.2).
        let shift = (self.ctrlb >> 8 & 7) + 1;
        let stable = match self.ctrlb & DEBMAJ {
            0 => self.osc_time(4, shift),
            _ => self.osc_time(2, shift),
        };
        for (n, (group, pin)) in PINS.into_iter().enumerate() {
            let level = levels[group] >> pin & 1 != 0;
            if level == self.tamper.inputs[n].level {
                continue;
            }
            self.tamper.inputs[n].level = level;
            if matches!(self.tamper.action(n), Action::Off | Action::ActiveLayer) {
                self.tamper.inputs[n].seen = level;
                continue;
            }
            let debounced = self.tamper.tampctrl >> (24 + n) & 1 != 0;
            let input = &mut self.tamper.inputs[n];
            if !debounced {
                self.edge(n, cx.now);
            } else if self.ctrlb & DEBASYNC != 0 && self.ctrlb & DEBMAJ == 0 {
                let blanked = input.blank_until > cx.now;
                input.blank_until = cx.now + stable;
                if !blanked {
                    self.edge(n, cx.now);
                }
            } else if level == input.seen {
                // A bounce.
                input.stable_at = Instant::NEVER;
            } else {
                input.stable_at = cx.now + stable;
            }
        }
        self.look_ahead();
    }

    /// Input `n` has changed, as far as detection is concerned.
    fn edge(&mut self, n: usize, at: Instant) {
        let input = &mut self.tamper.inputs[n];
        input.seen = input.level;
        input.stable_at = Instant::NEVER;
        // TAMLVLn: 1 is a rising edge.
        if input.seen == (self.tamper.tampctrl >> (16 + n) & 1 != 0) {
            let capture = self.tamper.action(n) == Action::Capture;
            let at = at + self.osc_time(DETECTION, 0);
            self.tamper.detect(1 << n, capture, at);
        }
    }

    /// The tamper input event.
    pub(super) fn tamper_event(&mut self, cx: &mut Context<'_>) {
        // EVCTRL.TAMPEVEI.
        if self.evctrl >> 16 & 1 != 0 {
            self.catch_up(cx);
            let at = cx.now + self.osc_time(DETECTION, 0);
            self.tamper.detect(TAMPEVT, true, at);
            self.look_ahead();
        }
    }

    pub(super) fn write_tampctrl(&mut self, value: u32, cx: &mut Context<'_>) {
        self.tamper.tampctrl = value;
        for n in 0..INPUTS {
            let input = &mut self.tamper.inputs[n];
            input.seen = input.level;
            input.stable_at = Instant::NEVER;
        }
        let active = (0..INPUTS).any(|n| self.tamper.action(n) == Action::ActiveLayer);
        // CTRLB.ACTF: the output changes every 2^(ACTF + 1) periods.
        let period = self.osc_time(1, (self.ctrlb >> 12 & 7) + 1);
        self.tamper.active_at = if active && self.hz != 0 { cx.now + period } else { Instant::NEVER };
    }

    /// Lets detections happen that are due.
    pub(super) fn watch_tamper(&mut self, cx: &mut Context<'_>) {
        for n in 0..INPUTS {
            let at = self.tamper.inputs[n].stable_at;
            if at <= cx.now {
                self.edge(n, at);
            }
        }
        if self.tamper.active_at <= cx.now {
            let at = self.tamper.active_at + self.osc_time(DETECTION, 0);
            self.tamper.active_at = Instant::NEVER;
            for n in (0..INPUTS).filter(|n| self.tamper.action(*n) == Action::ActiveLayer).collect::<Vec<_>>() {
                self.tamper.detect(1 << n, true, at);
            }
        }
        if let Some((at, bits, capture)) = self.tamper.pending.filter(|(at, ..)| *at <= cx.now) {
            self.tamper.pending = None;
            self.tamper.tampid |= bits;
            // A time stays until its flag is cleared.
            if capture && self.intflag & TAMPER == 0 {
                self.tamper.timestamp = self.stamp(at);
            }
            if self.ctrla & GPTRST != 0 {
                self.gp = [0; 4];
            }
            if self.ctrla & BKTRST != 0 {
                self.bkup = [0; 8];
            }
            self.raise(TAMPER, cx);
        }
    }

    /// Whether a captured time asks for its transfer (CTRLB.DMAEN).
    pub(super) fn wants_transfer(&self) -> bool {
        self.ctrlb >> 7 & 1 != 0 && self.intflag & TAMPER != 0
    }
}
