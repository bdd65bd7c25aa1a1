//! RTC: real-time counter (SAM D5x/E5x datasheet, 21).
//!
//! Fidelity: the three modes with 12- and 24-hour clock, prescaler, compare and alarm with MATCHCLR, overflow, periodic
//! interrupts and events, COUNTSYNC, SYNCBUSY, frequency correction, general purpose and backup registers and tamper
//! detection are modelled. A write to COUNT, COMP, CLOCK or ALARM takes effect four periods of CLK_RTC_OSC later
//! (assumed: "some" cycles), so a compare value that the counter passes meanwhile is missed as on the chip; a further
//! write to a register that is still synchronising is dropped and reported. Flags rise one counter period after the
//! match (21.6.2). Frequency correction is spread evenly, where the chip skips or adds single counts. Tamper inputs see
//! their pins whatever function these have (assumed); an active layer input finds a mismatch at the first period of
//! ACTF, since nothing on the board connects it to the output, which does not show on its pin. A tamper input that is
//! switched on raises no false detection. General purpose registers 0 and 2 are dropped while they serve the
//! comparators (GP0EN, GP2EN). The counter stands still while a debugger halts the core, unless DBGRUN is set.

mod calendar;
mod registers;
mod tamper;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sim_base::Instant;

use crate::peripheral::Context;
use crate::registers::Ledger;
use crate::timebase::Period;
use tamper::Tamper;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger::MODELLED;

/// Event generator of PER0; the others follow in the order of the flags (31.7.8).
const GENERATOR: [u8; 16] = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 16, 17];
const SWRST: u32 = 1;
const ENABLE: u32 = 1 << 1;
const CLKREP: u32 = 1 << 6;
const MATCHCLR: u32 = 1 << 7;
const BKTRST: u32 = 1 << 13;
const GPTRST: u32 = 1 << 14;
const COUNTSYNC: u32 = 1 << 15;
const OVF: u32 = 1 << 15;
const TAMPER: u32 = 1 << 14;
const CMP0: u32 = 1 << 8;
/// CTRLB.GP0EN and GP2EN: the register is for general purposes, not for the comparator.
const GP0EN: u32 = 1 << 0;
const GP2EN: u32 = 1 << 1;
/// Periods of CLK_RTC_OSC that a synchronised write takes.
const SYNC_CYCLES: u64 = 4;

/// SYNCBUSY bits.
mod sync {
    pub(super) const SWRST: u32 = 1 << 0;
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
    tamper: Tamper,
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
    /// Since when a debugger has kept the counter from running.
    frozen: bool,
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
            tamper: Tamper::new(),
            bkup: [0; 8],
            hz: 1_024,
            count: 0,
            anchor: Instant::ZERO,
            seen: Instant::ZERO,
            due: Instant::NEVER,
            interrupt_due: Instant::NEVER,
            busy: [Instant::ZERO; 20],
            frozen: false,
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
        self.ctrla & ENABLE != 0 && self.hz != 0 && !self.frozen
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
        Period::corrected(self.divisor(), self.hz, self.correction())
    }

    /// FREQCORR as parts of 2^20 that a period is longer (21.6.8.2). The prescaler must be in use.
    fn correction(&self) -> i64 {
        if self.ctrla >> 8 & 15 < 2 {
            return 0;
        }
        let value = i64::from(self.freqcorr & 0x7F);
        if self.freqcorr & 0x80 != 0 { -value } else { value }
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
        if !self.running() || self.is_general_purpose(n) {
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
        if self.mask[n] & 7 == 0 || !self.running() || self.is_general_purpose(n) {
            return Instant::NEVER;
        }
        self.instant_of(self.periods(after) + 1)
    }

    fn overflow_after(&self, after: Instant) -> Instant {
        self.match_after(self.modulus() - 1, after)
    }

    fn periodic_after(&self, n: u32, after: Instant) -> Instant {
        if !self.running() || self.ctrla >> 8 & 15 == 0 {
            return Instant::NEVER;
        }
        // PERn: every 2^(n + 3) periods of CLK_RTC_OSC (21.6.8.1).
        let period = Period::corrected(1 << (n + 3), self.hz, self.correction());
        let passed = period.whole(after.since(self.anchor).as_nanos() as u64);
        period.end(passed + 1).map_or(Instant::NEVER, |nanos| self.anchor + Duration::from_nanos(nanos))
    }

    /// Whether compare or alarm `n` has given its register away (CTRLB.GP0EN, GP2EN).
    fn is_general_purpose(&self, n: usize) -> bool {
        let pair = if self.mode() == Mode::Count16 { n / 2 } else { n };
        self.ctrlb & if pair == 0 { GP0EN } else { GP2EN } != 0
    }

    /// Lets flags rise that are due by `now`, and events go out. Events that fall on one look are one.
    fn catch_up(&mut self, cx: &mut Context<'_>) {
        let now = cx.now;
        if now <= self.seen {
            return;
        }
        let mut risen = 0;
        if now >= self.due && self.running() {
            let wanted = !self.intflag | self.evctrl;
            for n in 0..8 {
                if wanted & 1 << n != 0 && self.periodic_after(n, self.seen) <= now {
                    risen |= 1 << n;
                }
            }
            if self.mode() == Mode::Clock {
                risen |= self.advance_alarms(now);
            } else {
                for n in 0..self.compares() {
                    if wanted & CMP0 << n != 0 && self.compare_after(n, self.seen) <= now {
                        risen |= CMP0 << n;
                    }
                }
            }
            if wanted & OVF != 0 && self.overflow_after(self.seen) <= now {
                risen |= OVF;
            }
        }
        self.seen = now;
        self.raise(risen, cx);
        self.watch_tamper(cx);
    }

    /// Sets flags and sends their events.
    fn raise(&mut self, flags: u32, cx: &mut Context<'_>) {
        self.intflag |= flags;
        for (_, generator) in GENERATOR.iter().enumerate().filter(|(n, _)| flags & self.evctrl & 1 << n != 0) {
            cx.event_out(*generator);
        }
    }

    /// Works out what comes next, after anything that it depends on changed.
    fn look_ahead(&mut self) {
        let tamper = self.tamper.due();
        let events = self.evctrl & 0xBFFF;
        self.due = self.upcoming(self.seen, !self.intflag | events).min(tamper);
        self.interrupt_due = self.upcoming(self.seen, self.inten & !self.intflag | events).min(tamper);
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
            let (hz, bkup, frozen) = (self.hz, self.bkup, self.frozen);
            let tamper = self.tamper.reset();
            *self = Self { hz, bkup, frozen, tamper, anchor: cx.now, seen: cx.now, ..Self::new() };
            self.set_busy(sync::SWRST, cx.now);
            return;
        }
        if (self.ctrla ^ value) & !COUNTSYNC != 0 {
            self.re_anchor(cx.now);
        }
        if (self.ctrla ^ value) & COUNTSYNC != 0 {
            self.set_busy(sync::COUNTSYNC, cx.now);
        }
        if (self.ctrla ^ value) & ENABLE != 0 {
            self.set_busy(sync::ENABLE, cx.now);
        }
        // 21.8.1: the rest is enable-protected.
        let writable = match value >> 2 & 3 {
            _ if self.ctrla & ENABLE != 0 => ENABLE | COUNTSYNC,
            0 => 0xEF8E,
            1 => 0xEF0E,
            _ => 0xEFCE,
        };
        if (self.ctrla ^ value) & !writable & 0x0FCC != 0 {
            cx.violation("RTC.CTRLA changed while enabled");
        }
        self.ctrla = self.ctrla & !writable | value & writable;
        self.seen = cx.now;
    }

    fn set_busy(&mut self, bit: u32, now: Instant) {
        self.busy[bit.trailing_zeros() as usize] = now + self.sync_time();
    }

    fn read_counter(&self, cx: &Context<'_>) -> u32 {
        // Without COUNTSYNC (CLOCKSYNC) the register is not updated for reading.
        if self.ctrla & COUNTSYNC == 0 {
            return 0;
        }
        let count = self.count_at(cx.now);
        match self.mode() {
            Mode::Clock => self.clock_register(count),
            _ => count as u32,
        }
    }

    /// CLOCK for the second `count` in the format of CTRLA.CLKREP.
    fn clock_register(&self, count: u64) -> u32 {
        let clock = calendar::to_register(count);
        if self.ctrla & CLKREP != 0 { calendar::to_twelve_hours(clock) } else { clock }
    }

    fn write_counter(&mut self, value: u32, cx: &mut Context<'_>) {
        if self.synchronise(sync::COUNT, "COUNT", cx) {
            self.count = match self.mode() {
                Mode::Clock if self.ctrla & CLKREP != 0 => calendar::from_register(calendar::from_twelve_hours(value)),
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

    /// Compares the calendar with the alarms for each second that has passed; the flags that this raises.
    fn advance_alarms(&self, now: Instant) -> u32 {
        let from = self.count_at(self.seen);
        let seconds = self.periods(now) - self.periods(self.seen).min(self.periods(now));
        let mut risen = 0;
        // A year covers every alarm that repeats within one; longer gaps come only from a jump of the seed's making.
        for second in 1..=seconds.min(366 * 86_400) {
            let at = self.clock_register((from + second) % calendar::SECONDS);
            for n in 0..2 {
                if !self.is_general_purpose(n) && calendar::matches(at, self.comp[n].value, self.mask[n]) {
                    risen |= CMP0 << n;
                }
            }
        }
        risen
    }
}
