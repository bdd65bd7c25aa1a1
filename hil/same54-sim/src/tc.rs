//! TC: timer/counter (SAM D5x/E5x datasheet, 48).
//!
//! Fidelity: counting up and down in 8, 16 and 32 bits, prescaler, normal and match frequency, one-shot, compare
//! matches, overflow, commands and their interrupts are modelled. Synchronisation is instant. Capture, events, waveform
//! outputs and double buffering beyond storing are absent. In 32-bit mode the odd partner is not marked as slave.

use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
use crate::timebase::Period;

const SWRST: u32 = 1;
const ENABLE: u32 = 1 << 1;
const DIR: u32 = 1 << 0;
const ONESHOT: u32 = 1 << 2;
const OVF: u32 = 1 << 0;
const MC0: u32 = 1 << 4;
const INT_MASK: u32 = 0x33;
const DIVISORS: [u64; 8] = [1, 2, 4, 8, 16, 64, 256, 1_024];

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger {
    stored: &[
        "COUNT8.EVCTRL",
        "COUNT8.DRVCTRL",
        "COUNT8.DBGCTRL",
        "COUNT16.EVCTRL",
        "COUNT16.DRVCTRL",
        "COUNT16.DBGCTRL",
        "COUNT32.EVCTRL",
        "COUNT32.DRVCTRL",
        "COUNT32.DBGCTRL",
    ],
    absent: &[],
};

/// The register block of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Tc {
    channel: usize,
    ctrla: u32,
    ctrlb: u32,
    evctrl: u32,
    inten: u32,
    intflag: u32,
    stopped: bool,
    wave: u32,
    drvctrl: u32,
    dbgctrl: u32,
    per: u32,
    cc: [u32; 2],
    ccbuf: [u32; 2],
    hz: u32,
    /// Counter value at `anchor`.
    count: u64,
    anchor: Instant,
    /// Up to when flags are worked out; nothing happens from there to `due`.
    seen: Instant,
    /// When the next flag rises that is not up yet or stops the counter, and when the next one that interrupts or does.
    due: Instant,
    event_due: Instant,
}

impl Tc {
    /// As after reset; `channel` is the PCHCTRL index of its clock.
    pub(crate) fn new(channel: usize) -> Self {
        Self {
            channel,
            ctrla: 0,
            ctrlb: 0,
            evctrl: 0,
            inten: 0,
            intflag: 0,
            stopped: true,
            wave: 0,
            drvctrl: 0,
            dbgctrl: 0,
            per: 0xFF,
            cc: [0; 2],
            ccbuf: [0; 2],
            hz: 0,
            count: 0,
            anchor: Instant::ZERO,
            seen: Instant::ZERO,
            due: Instant::NEVER,
            event_due: Instant::NEVER,
        }
    }

    fn bits(&self) -> u32 {
        match self.ctrla >> 2 & 3 {
            0 => 16,
            1 => 8,
            _ => 32,
        }
    }

    /// The highest value that the counter takes.
    fn top(&self) -> u64 {
        let max = (1 << self.bits()) - 1;
        match self.wave & 3 {
            // Match frequency and match PWM: CC0 is the period.
            1 | 3 => u64::from(self.cc[0]) & max,
            _ if self.bits() == 8 => u64::from(self.per),
            _ => max,
        }
    }

    fn down(&self) -> bool {
        self.ctrlb & DIR != 0
    }

    fn running(&self) -> bool {
        self.ctrla & ENABLE != 0 && !self.stopped && self.hz != 0
    }

    fn divisor(&self) -> u64 {
        DIVISORS[(self.ctrla >> 8 & 7) as usize]
    }

    fn steps(&self, now: Instant) -> u64 {
        if !self.running() {
            return 0;
        }
        self.period().whole(now.since(self.anchor).as_nanos() as u64)
    }

    /// Length of a step.
    fn period(&self) -> Period {
        Period::new(self.divisor(), self.hz)
    }

    fn instant_of(&self, steps: u64) -> Instant {
        self.period().end(steps).map_or(Instant::NEVER, |nanos| self.anchor + Duration::from_nanos(nanos))
    }

    /// Steps from the anchor until the counter first holds `value` at or after step `from`.
    fn steps_until(&self, value: u64, from: u64) -> Option<u64> {
        let modulus = self.top() + 1;
        if value >= modulus {
            return None;
        }
        let at = self.value_after(from);
        let ahead = if self.down() { at + modulus - value } else { value + modulus - at } % modulus;
        Some(from + ahead)
    }

    fn value_after(&self, steps: u64) -> u64 {
        let modulus = self.top() + 1;
        let count = self.count % modulus;
        let steps = steps % modulus;
        if self.down() { (count + modulus - steps) % modulus } else { (count + steps) % modulus }
    }

    fn count_at(&self, now: Instant) -> u64 {
        self.value_after(self.steps(now))
    }

    fn re_anchor(&mut self, now: Instant) {
        if self.running() {
            let steps = self.steps(now);
            let edge = self.instant_of(steps);
            self.count = self.value_after(steps);
            self.anchor = edge.min(now);
        } else {
            self.anchor = now;
        }
    }

    /// When flag `flag` next rises after `after`.
    fn flag_after(&self, flag: u32, after: Instant) -> Instant {
        if !self.running() {
            return Instant::NEVER;
        }
        let value = match flag {
            // The step from TOP to 0 (or from 0 to TOP) overflows.
            OVF if self.down() => self.top(),
            OVF => 0,
            MC0 => u64::from(self.cc[0]),
            _ => u64::from(self.cc[1]),
        };
        let from = self.steps(after) + 1;
        self.steps_until(value, from).map_or(Instant::NEVER, |steps| self.instant_of(steps))
    }

    fn command(&mut self, command: u32, cx: &mut Context<'_>) {
        match command {
            // RETRIGGER: start again from the beginning.
            1 => {
                self.count = if self.down() { self.top() } else { 0 };
                self.anchor = cx.now;
                self.stopped = false;
            }
            // STOP.
            2 => {
                self.re_anchor(cx.now);
                self.stopped = true;
            }
            // UPDATE: the buffer goes into CC.
            3 => self.cc = self.ccbuf,
            _ => {}
        }
        self.seen = cx.now;
    }

    fn write_ctrlb(&mut self, value: u32, set: bool, cx: &mut Context<'_>) {
        let bits = value & (DIR | 2 | ONESHOT);
        if bits & DIR != 0 {
            self.re_anchor(cx.now);
        }
        self.ctrlb = if set { self.ctrlb | bits } else { self.ctrlb & !bits };
        self.seen = cx.now;
        if set {
            self.command(value >> 5 & 7, cx);
        }
    }
}

impl Tc {
    /// Lets everything happen that is due by `now`.
    fn catch_up(&mut self, now: Instant) {
        if !self.running() || now <= self.seen {
            self.seen = self.seen.max(now);
            return;
        }
        for flag in [MC0, MC0 << 1, OVF] {
            let at = self.flag_after(flag, self.seen);
            if at > now {
                continue;
            }
            self.intflag |= flag;
            if flag == OVF && self.ctrlb & ONESHOT != 0 {
                self.count = if self.down() { self.top() } else { 0 };
                self.stopped = true;
                self.anchor = at;
                break;
            }
        }
        self.seen = now;
    }

    /// Works out what comes next, after anything that it depends on changed.
    fn look_ahead(&mut self) {
        let stopping = if self.ctrlb & ONESHOT != 0 { OVF } else { 0 };
        self.due = self.upcoming(!self.intflag | stopping);
        self.event_due = self.upcoming(self.inten & !self.intflag | stopping);
    }

    /// When the next of `flags` rises.
    fn upcoming(&self, flags: u32) -> Instant {
        let wanted = [OVF, MC0, MC0 << 1].into_iter().filter(|flag| flags & flag != 0);
        wanted.map(|flag| self.flag_after(flag, self.seen)).min().unwrap_or(Instant::NEVER)
    }

    fn write_register(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        let size = self.bits() / 8;
        match offset {
            0x00 if w.value & SWRST != 0 => {
                *self = Self { hz: self.hz, anchor: cx.now, seen: cx.now, ..Self::new(self.channel) };
            }
            0x00 => {
                self.re_anchor(cx.now);
                let old = self.ctrla;
                self.ctrla = w.onto_masked(old, 0x1B33_8FFF);
                self.hz = cx.clocks.channel[self.channel];
                if old & ENABLE == 0 && self.ctrla & ENABLE != 0 {
                    self.stopped = false;
                    self.anchor = cx.now;
                    self.count = if self.down() { self.top() } else { 0 };
                    if self.hz == 0 {
                        cx.violation("TC enabled without a generic clock");
                    }
                }
                self.seen = cx.now;
            }
            0x04 => self.write_ctrlb(w.value, false, cx),
            0x05 => self.write_ctrlb(w.value, true, cx),
            0x06 => self.evctrl = w.onto_masked(self.evctrl, 0x3137),
            0x08 => self.inten &= !w.value,
            0x09 => self.inten |= w.value & INT_MASK,
            0x0A => self.intflag &= !w.value,
            0x0B | 0x10 => {}
            0x0C => {
                self.re_anchor(cx.now);
                self.wave = w.value & 3;
            }
            0x0D => self.drvctrl = w.value & 3,
            0x0F => self.dbgctrl = w.value & 1,
            0x14 => {
                self.count = u64::from(w.onto(self.count_at(cx.now) as u32));
                self.anchor = cx.now;
                self.seen = cx.now;
            }
            0x1B | 0x2F if size == 1 => {
                self.re_anchor(cx.now);
                self.per = w.value & 0xFF;
            }
            0x1C..0x24 if (offset - 0x1C) / size < 2 => {
                self.re_anchor(cx.now);
                let n = ((offset - 0x1C) / size) as usize;
                self.cc[n] = w.onto(self.cc[n]);
                self.ccbuf[n] = self.cc[n];
            }
            0x30..0x38 if (offset - 0x30) / size < 2 => {
                let n = ((offset - 0x30) / size) as usize;
                self.ccbuf[n] = w.onto(self.ccbuf[n]);
                self.re_anchor(cx.now);
                self.cc[n] = self.ccbuf[n];
            }
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }
}

impl Peripheral for Tc {
    fn width(&self, offset: u32) -> Size {
        let counter = match self.bits() {
            8 => Size::Byte,
            16 => Size::Half,
            _ => Size::Word,
        };
        match offset {
            0x06 | 0x07 => Size::Half,
            0x04..0x10 | 0x1B | 0x2F => Size::Byte,
            0x2C..0x30 if self.bits() == 8 => Size::Byte,
            0x14..0x1B | 0x1C..0x24 | 0x30..0x38 => counter,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        let size = self.bits() / 8;
        match offset {
            0x00 => self.ctrla,
            0x04 | 0x05 => self.ctrlb,
            0x06 => self.evctrl,
            0x08 | 0x09 => self.inten,
            0x0A => self.intflag,
            0x0B => u32::from(self.stopped || self.ctrla & ENABLE == 0),
            0x0C => self.wave,
            0x0D => self.drvctrl,
            0x0F => self.dbgctrl,
            0x10 => 0,
            0x14 => self.count_at(cx.now) as u32,
            0x1B | 0x2F if size == 1 => self.per,
            0x1C..0x24 if (offset - 0x1C) / size < 2 => self.cc[((offset - 0x1C) / size) as usize],
            0x30..0x38 if (offset - 0x30) / size < 2 => self.ccbuf[((offset - 0x30) / size) as usize],
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.catch_up(cx.now);
        self.write_register(offset, w, cx);
        self.look_ahead();
    }

    fn reset(&mut self, _cause: ResetCause, cx: &mut Context<'_>) {
        *self = Self { anchor: cx.now, seen: cx.now, ..Self::new(self.channel) };
    }

    fn next_event(&self) -> Instant {
        self.event_due
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if cx.now >= self.due {
            self.catch_up(cx.now);
            self.look_ahead();
        }
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag != 0)
    }

    fn clocks_changed(&mut self, cx: &mut Context<'_>) {
        let hz = cx.clocks.channel[self.channel];
        if self.hz != hz {
            self.catch_up(cx.now);
            self.re_anchor(cx.now);
            self.hz = hz;
            self.look_ahead();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    const READSYNC: u32 = 4 << 5;

    fn timer(ctrla: u32) -> (Tc, Rig) {
        let (mut tc, mut rig) = (Tc::new(9), Rig::new());
        rig.clocks.channel[9] = 1_000_000;
        tc.write(0x00, Write::full(ctrla), &mut rig.cx(0));
        (tc, rig)
    }

    #[test]
    fn a_16_bit_counter_counts_clock_periods_and_wraps() {
        let (mut tc, mut rig) = timer(0);
        tc.write(0x00, Write::full(ENABLE), &mut rig.cx(0));
        tc.write(0x05, Write::full(READSYNC), &mut rig.cx(0));
        assert_eq!(tc.read(0x14, &mut rig.cx(1_000_000)), 1_000);
        assert_eq!(tc.read(0x14, &mut rig.cx(65_537_000)), 1);
        assert_eq!(tc.read(0x0A, &mut rig.cx(65_537_000)) & OVF, OVF);
    }

    #[test]
    fn match_frequency_mode_overflows_every_cc0_plus_one_steps() {
        let (mut tc, mut rig) = timer(0);
        tc.write(0x0C, Write::full(1), &mut rig.cx(0));
        tc.write(0x1C, Write::full(999), &mut rig.cx(0));
        tc.write(0x09, Write::full(OVF), &mut rig.cx(0));
        tc.write(0x00, Write::full(ENABLE), &mut rig.cx(0));
        for millisecond in 1..=3 {
            assert_eq!(tc.next_event(), Instant::from_nanos(millisecond * 1_000_000));
            tc.advance(&mut rig.cx(millisecond * 1_000_000));
            assert_eq!(tc.irqs(), 1);
            tc.write(0x0A, Write::full(OVF), &mut rig.cx(millisecond * 1_000_000 + 500));
        }
    }

    #[test]
    fn a_compare_match_interrupts_when_the_counter_reaches_it() {
        let (mut tc, mut rig) = timer(2 << 2);
        tc.write(0x20, Write::full(500), &mut rig.cx(0));
        tc.write(0x09, Write::full(MC0 << 1), &mut rig.cx(0));
        tc.write(0x00, Write::full(2 << 2 | ENABLE), &mut rig.cx(0));
        assert_eq!(tc.next_event(), Instant::from_nanos(500_000));
    }

    #[test]
    fn one_shot_stops_at_the_overflow_until_retriggered() {
        let (mut tc, mut rig) = timer(1 << 2);
        tc.write(0x05, Write::full(ONESHOT), &mut rig.cx(0));
        tc.write(0x00, Write::full(1 << 2 | ENABLE), &mut rig.cx(0));
        tc.advance(&mut rig.cx(300_000));
        assert_eq!(tc.read(0x0B, &mut rig.cx(300_000)), 1);
        assert_eq!(tc.read(0x14, &mut rig.cx(400_000)), 0);
        tc.write(0x05, Write::full(1 << 5), &mut rig.cx(400_000));
        assert_eq!(tc.read(0x14, &mut rig.cx(410_000)), 10);
    }

    #[test]
    fn the_prescaler_divides_and_counting_down_starts_at_the_top() {
        let (mut tc, mut rig) = timer(1 << 2 | 3 << 8);
        tc.write(0x05, Write::full(DIR), &mut rig.cx(0));
        tc.write(0x00, Write::full(1 << 2 | 3 << 8 | ENABLE), &mut rig.cx(0));
        assert_eq!(tc.read(0x14, &mut rig.cx(80_000)), 255 - 10);
    }
}
