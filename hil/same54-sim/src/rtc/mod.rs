//! RTC: real-time counter (SAM D5x/E5x datasheet, 21).
//!
//! Fidelity: the three modes, prescaler, compare and alarm with MATCHCLR, overflow, periodic interrupts, COUNTSYNC and
//! SYNCBUSY are modelled. A write to COUNT, COMP, CLOCK or ALARM takes effect four periods of the prescaler's input
//! clock later (assumed: "some" cycles), so a compare value that the counter passes meanwhile is missed as on the chip;
//! a further write to a register that is still synchronising is dropped and reported. Flags rise one counter period
//! after the match (21.6.2). Tamper, events and frequency correction are stored only. DBGRUN is ignored: the counter
//! runs while the core is halted.

mod calendar;
#[cfg(test)]
mod tests;

use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
use crate::timebase::Period;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger {
    stored: &[
        "MODE0.CTRLB",
        "MODE1.CTRLB",
        "MODE2.CTRLB",
        "MODE0.EVCTRL",
        "MODE1.EVCTRL",
        "MODE2.EVCTRL",
        "MODE0.TAMPCTRL",
        "MODE1.TAMPCTRL",
        "MODE2.TAMPCTRL",
        "MODE0.TIMESTAMP",
        "MODE1.TIMESTAMP",
        "MODE2.TIMESTAMP",
        "MODE0.DBGCTRL",
        "MODE1.DBGCTRL",
        "MODE2.DBGCTRL",
        "MODE0.FREQCORR",
        "MODE1.FREQCORR",
        "MODE2.FREQCORR",
    ],
    absent: &[],
};

const SWRST: u32 = 1;
const ENABLE: u32 = 1 << 1;
const MATCHCLR: u32 = 1 << 7;
const COUNTSYNC: u32 = 1 << 15;
const OVF: u32 = 1 << 15;
const CMP0: u32 = 1 << 8;
/// Periods of CLK_RTC_OSC that a synchronised write takes.
const SYNC_CYCLES: u64 = 4;

/// SYNCBUSY bits.
mod sync {
    pub(super) const ENABLE: u32 = 1 << 1;
    pub(super) const FREQCORR: u32 = 1 << 2;
    pub(super) const COUNT: u32 = 1 << 3;
    pub(super) const PER: u32 = 1 << 4;
    pub(super) const COMP0: u32 = 1 << 5;
    pub(super) const MASK0: u32 = 1 << 11;
    pub(super) const COUNTSYNC: u32 = 1 << 15;
    pub(super) const GP0: u32 = 1 << 16;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Count32,
    Count16,
    Clock,
}

/// A compare register: what software wrote and from when the comparator has it.
#[derive(Clone, Copy, Debug, Default)]
struct Compare {
    value: u32,
    valid_from: Instant,
}

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Rtc {
    ctrla: u32,
    ctrlb: u32,
    evctrl: u32,
    inten: u32,
    intflag: u32,
    dbgctrl: u32,
    freqcorr: u32,
    per: u32,
    comp: [Compare; 4],
    mask: [u32; 2],
    gp: [u32; 4],
    tampctrl: u32,
    tampid: u32,
    bkup: [u32; 8],
    /// Frequency of CLK_RTC_OSC.
    hz: u32,
    /// Counter value at `anchor`; the counter runs from there while enabled and clocked.
    count: u64,
    anchor: Instant,
    /// Up to when flags are worked out; nothing happens from there to `due`.
    seen: Instant,
    /// When the next flag rises that is not up yet, and when the next one that interrupts.
    due: Instant,
    interrupt_due: Instant,
    /// When each SYNCBUSY bit clears.
    busy: [Instant; 20],
}

impl Rtc {
    /// As after power-on.
    pub(crate) fn new() -> Self {
        Self {
            ctrla: 0,
            ctrlb: 0,
            evctrl: 0,
            inten: 0,
            intflag: 0,
            dbgctrl: 0,
            freqcorr: 0,
            per: 0,
            comp: [Compare::default(); 4],
            mask: [0; 2],
            gp: [0; 4],
            tampctrl: 0,
            tampid: 0,
            bkup: [0; 8],
            hz: 1_024,
            count: 0,
            anchor: Instant::ZERO,
            seen: Instant::ZERO,
            due: Instant::NEVER,
            interrupt_due: Instant::NEVER,
            busy: [Instant::ZERO; 20],
        }
    }

    fn mode(&self) -> Mode {
        match self.ctrla >> 2 & 3 {
            0 => Mode::Count32,
            1 => Mode::Count16,
            _ => Mode::Clock,
        }
    }

    fn running(&self) -> bool {
        self.ctrla & ENABLE != 0 && self.hz != 0
    }

    /// Counter periods per CLK_RTC_OSC period, as a divisor.
    fn divisor(&self) -> u64 {
        let prescaler = self.ctrla >> 8 & 15;
        1 << prescaler.saturating_sub(1).min(10)
    }

    /// Counter values before it starts again at 0.
    fn modulus(&self) -> u64 {
        match self.mode() {
            Mode::Count32 if self.ctrla & MATCHCLR != 0 => u64::from(self.comp[0].value) + 1,
            Mode::Count32 => 1 << 32,
            Mode::Count16 => u64::from(self.per & 0xFFFF) + 1,
            Mode::Clock => calendar::SECONDS,
        }
    }

    /// Whole counter periods from the anchor to `now`.
    fn periods(&self, now: Instant) -> u64 {
        if !self.running() {
            return 0;
        }
        self.period().whole(now.since(self.anchor).as_nanos() as u64)
    }

    /// Length of a counter period.
    fn period(&self) -> Period {
        Period::new(self.divisor(), self.hz)
    }

    /// When the counter has made `periods` periods since the anchor.
    fn instant_of(&self, periods: u64) -> Instant {
        self.period().end(periods).map_or(Instant::NEVER, |nanos| self.anchor + Duration::from_nanos(nanos))
    }

    /// Counter value at `now`.
    fn count_at(&self, now: Instant) -> u64 {
        let (count, modulus) = (self.count + self.periods(now), self.modulus());
        if count < modulus { count } else { count % modulus }
    }

    /// Makes the last counter edge the anchor, before the modulus or the clock changes. Edges are rounded to
    /// nanoseconds, so this is not done without need.
    fn re_anchor(&mut self, now: Instant) {
        if self.running() {
            let periods = self.periods(now);
            let edge = self.instant_of(periods);
            self.count = (self.count + periods) % self.modulus();
            self.anchor = edge.min(now);
        } else {
            self.anchor = now;
        }
    }

    /// The first flag instant after `after` at which the counter steps onto `value`.
    fn match_after(&self, value: u64, after: Instant) -> Instant {
        if !self.running() || after == Instant::NEVER {
            return Instant::NEVER;
        }
        let modulus = self.modulus();
        if value >= modulus {
            return Instant::NEVER;
        }
        // The flag rises one period after the counter took the value.
        let past = self.periods(after);
        let current = (self.count + past) % modulus;
        let ahead = (value + modulus - current) % modulus;
        let at = self.instant_of(past + ahead + 1);
        if at > after { at } else { self.instant_of(past + ahead + 1 + modulus) }
    }

    /// When compare `n` next sets its flag, strictly after `after`.
    fn compare_after(&self, n: usize, after: Instant) -> Instant {
        if !self.running() {
            return Instant::NEVER;
        }
        // The comparator must have the value by the time the counter shows it, one period before the flag.
        let comp = self.comp[n];
        let period = self.instant_of(1).since(self.anchor);
        let known = comp.valid_from + period.saturating_sub(Duration::from_nanos(1));
        self.match_after(u64::from(comp.value), after.max(known))
    }

    /// The alarm's next instant: the calendar is looked at once a second.
    fn alarm_after(&self, n: usize, after: Instant) -> Instant {
        if self.mask[n] & 7 == 0 || !self.running() {
            return Instant::NEVER;
        }
        self.instant_of(self.periods(after) + 1)
    }

    fn overflow_after(&self, after: Instant) -> Instant {
        self.match_after(self.modulus() - 1, after)
    }

    fn periodic_after(&self, n: u32, after: Instant) -> Instant {
        if !self.running() {
            return Instant::NEVER;
        }
        // PERn: every 2^(n + 3) periods of CLK_RTC_OSC (21.6.8.1).
        let period = Period::new(1 << (n + 3), self.hz);
        let passed = period.whole(after.since(self.anchor).as_nanos() as u64);
        period.end(passed + 1).map_or(Instant::NEVER, |nanos| self.anchor + Duration::from_nanos(nanos))
    }

    /// Lets flags rise that are due by `now`.
    fn catch_up(&mut self, now: Instant) {
        if now <= self.seen {
            return;
        }
        if now >= self.due && self.running() {
            for n in 0..8 {
                if self.intflag & 1 << n == 0 && self.periodic_after(n, self.seen) <= now {
                    self.intflag |= 1 << n;
                }
            }
            if self.mode() == Mode::Clock {
                self.advance_alarms(now);
            } else {
                for n in 0..self.compares() {
                    if self.intflag & CMP0 << n == 0 && self.compare_after(n, self.seen) <= now {
                        self.intflag |= CMP0 << n;
                    }
                }
            }
            if self.intflag & OVF == 0 && self.overflow_after(self.seen) <= now {
                self.intflag |= OVF;
            }
        }
        self.seen = now;
    }

    /// Works out what comes next, after anything that it depends on changed.
    fn look_ahead(&mut self) {
        self.due = self.upcoming(self.seen, !self.intflag);
        self.interrupt_due = self.upcoming(self.seen, self.inten & !self.intflag);
    }

    /// The instants after `after` at which flags rise, with their flags. Only flags that are not up yet matter.
    fn upcoming(&self, after: Instant, flags: u32) -> Instant {
        let mut next = Instant::NEVER;
        for n in 0..8 {
            if flags & 1 << n != 0 {
                next = next.min(self.periodic_after(n, after));
            }
        }
        for n in 0..4 {
            if flags & CMP0 << n != 0 && n < self.compares() {
                next = next.min(match self.mode() {
                    Mode::Clock => self.alarm_after(n, after),
                    _ => self.compare_after(n, after),
                });
            }
        }
        if flags & OVF != 0 {
            next = next.min(self.overflow_after(after));
        }
        next
    }

    /// Bits of INTENSET and INTFLAG.
    fn interrupts(&self) -> u32 {
        if self.mode() == Mode::Count16 { 0xCFFF } else { 0xC3FF }
    }

    fn compares(&self) -> usize {
        if self.mode() == Mode::Count16 { 4 } else { 2 }
    }

    fn sync_time(&self) -> Duration {
        Duration::from_nanos(SYNC_CYCLES * 1_000_000_000 / u64::from(self.hz.max(1)))
    }

    /// Starts a synchronisation of `bit`; false if one is under way and the write is to be dropped.
    fn synchronise(&mut self, bit: u32, what: &str, cx: &mut Context<'_>) -> bool {
        let slot = &mut self.busy[bit.trailing_zeros() as usize];
        if *slot > cx.now {
            cx.signals.access_error = true;
            cx.violation(format!("RTC.{what} written while SYNCBUSY: the write is dropped"));
            return false;
        }
        *slot = cx.now + Duration::from_nanos(SYNC_CYCLES * 1_000_000_000 / u64::from(self.hz.max(1)));
        true
    }

    fn syncbusy(&self, now: Instant) -> u32 {
        (0..).zip(&self.busy).fold(0, |bits, (n, until)| bits | u32::from(*until > now) << n)
    }

    /// When the next SYNCBUSY bit clears.
    fn busy_changes_after(&self, now: Instant) -> Instant {
        self.busy.iter().copied().filter(|until| *until > now).min().unwrap_or(Instant::NEVER)
    }

    fn write_ctrla(&mut self, value: u32, cx: &mut Context<'_>) {
        if value & SWRST != 0 {
            let (hz, bkup) = (self.hz, self.bkup);
            *self = Self { hz, bkup, anchor: cx.now, seen: cx.now, ..Self::new() };
            return;
        }
        if (self.ctrla ^ value) & !COUNTSYNC != 0 {
            self.re_anchor(cx.now);
        }
        if (self.ctrla ^ value) & COUNTSYNC != 0 {
            self.busy[sync::COUNTSYNC.trailing_zeros() as usize] = cx.now + self.sync_time();
        }
        if (self.ctrla ^ value) & ENABLE != 0 {
            self.busy[sync::ENABLE.trailing_zeros() as usize] = cx.now + self.sync_time();
        }
        // 21.8.1: the rest is enable-protected.
        let writable = match self.mode() {
            _ if self.ctrla & ENABLE != 0 => ENABLE | COUNTSYNC,
            _ => match value >> 2 & 3 {
                0 => 0xEF8E,
                1 => 0xEF0E,
                _ => 0xEFCE,
            },
        };
        if (self.ctrla ^ value) & !writable & 0x0FCC != 0 {
            cx.violation("RTC.CTRLA changed while enabled");
        }
        self.ctrla = self.ctrla & !writable | value & writable;
        self.seen = cx.now;
    }

    fn read_counter(&self, cx: &Context<'_>) -> u32 {
        // Without COUNTSYNC (CLOCKSYNC) the register is not updated for reading.
        if self.ctrla & COUNTSYNC == 0 {
            return 0;
        }
        let count = self.count_at(cx.now);
        match self.mode() {
            Mode::Clock => calendar::to_register(count),
            _ => count as u32,
        }
    }

    fn write_counter(&mut self, value: u32, cx: &mut Context<'_>) {
        if self.synchronise(sync::COUNT, "COUNT", cx) {
            self.count = match self.mode() {
                Mode::Clock => calendar::from_register(value),
                _ => u64::from(value) % self.modulus(),
            };
            self.anchor = cx.now;
            self.seen = cx.now;
        }
    }

    fn write_compare(&mut self, n: usize, value: u32, cx: &mut Context<'_>) {
        if self.synchronise(sync::COMP0 << n, "COMP", cx) {
            if self.ctrla & MATCHCLR != 0 {
                self.re_anchor(cx.now);
            }
            let valid_from = if self.running() { cx.now + self.sync_time() } else { cx.now };
            self.comp[n] = Compare { value, valid_from };
        }
    }

    /// Register index of a compare or alarm at `offset` in the current mode.
    fn compare_index(&self, offset: u32) -> Option<usize> {
        match (self.mode(), offset) {
            (Mode::Count32, 0x20 | 0x24) => Some((offset as usize - 0x20) / 4),
            (Mode::Count16, 0x20 | 0x22 | 0x24 | 0x26) => Some((offset as usize - 0x20) / 2),
            (Mode::Clock, 0x20 | 0x28) => Some((offset as usize - 0x20) / 8),
            _ => None,
        }
    }
}

impl Peripheral for Rtc {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x00..0x04 | 0x08..0x0E => Size::Half,
            0x0E..0x10 | 0x14..0x18 => Size::Byte,
            0x18..0x28 if self.mode() == Mode::Count16 => Size::Half,
            0x24..0x28 | 0x2C..0x30 if self.mode() == Mode::Clock => Size::Byte,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        if let Some(n) = self.compare_index(offset) {
            return self.comp[n].value;
        }
        match offset {
            0x00 => self.ctrla,
            0x02 => self.ctrlb,
            0x04 => self.evctrl,
            0x08 | 0x0A => self.inten,
            0x0C => self.intflag,
            0x0E => self.dbgctrl,
            0x10 => {
                cx.steady_until(self.busy_changes_after(cx.now).min(self.due));
                self.syncbusy(cx.now)
            }
            0x14 => self.freqcorr,
            0x18 => self.read_counter(cx),
            0x1C if self.mode() == Mode::Count16 => self.per,
            0x24 | 0x2C if self.mode() == Mode::Clock => self.mask[(offset as usize - 0x24) / 8],
            0x40..0x50 => self.gp[(offset as usize - 0x40) / 4],
            0x60 => self.tampctrl,
            0x64 => 0,
            0x68 => self.tampid,
            0x80..0xA0 => self.bkup[(offset as usize - 0x80) / 4],
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.catch_up(cx.now);
        self.write_register(offset, w, cx);
        self.look_ahead();
    }

    fn reset(&mut self, cause: ResetCause, cx: &mut Context<'_>) {
        // The RTC is reset with the supply only (17, "Effects of the Different Reset Causes").
        if cause.is_supply() {
            *self = Self { hz: cx.clocks.rtc, anchor: cx.now, seen: cx.now, ..Self::new() };
        }
    }

    fn next_event(&self) -> Instant {
        self.interrupt_due
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
        if self.hz != cx.clocks.rtc {
            self.catch_up(cx.now);
            self.re_anchor(cx.now);
            self.hz = cx.clocks.rtc;
            self.look_ahead();
        }
    }
}

impl Rtc {
    fn write_register(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        if let Some(n) = self.compare_index(offset) {
            self.write_compare(n, w.onto(self.comp[n].value), cx);
            return;
        }
        match offset {
            0x00 => self.write_ctrla(w.onto(self.ctrla & !SWRST), cx),
            0x02 => self.ctrlb = w.onto_masked(self.ctrlb, 0x77F3),
            0x04 => self.evctrl = w.onto_masked(self.evctrl, 0x0001_0000 | self.interrupts()),
            0x08 => self.inten &= !w.value,
            0x0A => self.inten |= w.value & self.interrupts(),
            0x0C => self.intflag &= !w.value,
            0x0E => self.dbgctrl = w.value & 1,
            0x10 | 0x64 => {}
            0x14 => {
                if self.synchronise(sync::FREQCORR, "FREQCORR", cx) {
                    self.freqcorr = w.value & 0xFF;
                }
            }
            0x18 => self.write_counter(w.value, cx),
            0x1C if self.mode() == Mode::Count16 => {
                if self.synchronise(sync::PER, "PER", cx) {
                    self.re_anchor(cx.now);
                    self.per = w.onto_masked(self.per, 0xFFFF);
                }
            }
            0x24 | 0x2C if self.mode() == Mode::Clock => {
                let n = (offset as usize - 0x24) / 8;
                if self.synchronise(sync::MASK0 << n, "MASK", cx) {
                    self.mask[n] = w.value & 7;
                }
            }
            0x40..0x50 => {
                let n = (offset as usize - 0x40) / 4;
                if self.synchronise(sync::GP0 << n, "GP", cx) {
                    self.gp[n] = w.onto(self.gp[n]);
                }
            }
            0x60 => self.tampctrl = w.onto_masked(self.tampctrl, 0x1F1F_03FF),
            0x68 => self.tampid &= !w.value,
            0x80..0xA0 => {
                let bkup = &mut self.bkup[(offset as usize - 0x80) / 4];
                *bkup = w.onto(*bkup);
            }
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    /// Compares the calendar with the alarms for each second that has passed.
    fn advance_alarms(&mut self, now: Instant) {
        let from = self.count_at(self.seen);
        let seconds = self.periods(now) - self.periods(self.seen).min(self.periods(now));
        // A year covers every alarm that repeats within one; longer gaps come only from a jump of the seed's making.
        for second in 1..=seconds.min(366 * 86_400) {
            let at = calendar::to_register((from + second) % calendar::SECONDS);
            for n in 0..2 {
                if calendar::matches(at, self.comp[n].value, self.mask[n]) {
                    self.intflag |= CMP0 << n;
                }
            }
        }
    }
}
