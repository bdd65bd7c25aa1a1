//! Time stamp unit: the IEEE 1588 timer and its comparison (datasheet 24.6.2, 24.6.15, 24.9.30 to 24.9.32 and 24.9.82 to
//! 24.9.89).
//!
//! Nothing ticks: the timer's value is worked out from the MCK cycles since it was last touched. Assumed: TISUBN is
//! added at the alternative increment too; writing TI begins the count towards the alternative increment anew; the
//! comparison looks at TN[28:8] (24.9.30 says both "bits [45:24]" and "upper 21 bits"; 24.6.15 says 22 bits, which the
//! register does not have) with TN[29] zero; a comparison that is equal when it is written counts as a match.

use sim_base::Instant;

use super::regs::{NSC, SCH, SCL, TA, TI, TISUBN, TN, TSH, TSL};
use crate::peripheral::Write;

/// One second in units of the timer's lowest bit, 2^-16 ns.
const SECOND: u128 = 1_000_000_000 << 16;
/// The seconds roll over at 48 bits.
const RANGE: u128 = SECOND << 48;
const NANOS_PER_SECOND: u128 = 1_000_000_000;
const ADJUST_SUBTRACT: u32 = 1 << 31;
const ADJUST_NANOS: u32 = 0x3FFF_FFFF;

/// The timer as software sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    /// 48 bits.
    pub seconds: u64,
    /// Below one second.
    pub nanos: u32,
}

/// What has come about since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Happened {
    /// The timer has become equal to the comparison value.
    pub matched: bool,
    /// The seconds have gone up.
    pub second: bool,
}

/// Timer, increments, comparison.
#[derive(Clone, Debug)]
pub(super) struct Tsu {
    /// Value at `anchor`, in 2^-16 ns.
    base: u128,
    anchor: Instant,
    /// MCK since `anchor`, Hz.
    frequency: u32,
    /// Increments since the last alternative one, at `anchor`.
    phase: u64,
    ti: u32,
    tisubn: u32,
    nsc: u32,
    scl: u32,
    sch: u32,
    /// Whether timer and comparison value were equal at the last look.
    equal: bool,
    /// When they become equal.
    next_match: Instant,
    /// A match that software brought about by a write.
    forced: bool,
    seconds_seen: u64,
}

impl Tsu {
    /// As after reset: the timer stands still.
    pub fn new() -> Self {
        Self {
            base: 0,
            anchor: Instant::ZERO,
            frequency: 0,
            phase: 0,
            ti: 0,
            tisubn: 0,
            nsc: 0,
            scl: 0,
            sch: 0,
            equal: true,
            next_match: Instant::NEVER,
            forced: false,
            seconds_seen: 0,
        }
    }

    /// Whether `offset` is one of the unit's registers.
    pub fn has(offset: u32) -> bool {
        matches!(offset, NSC | SCL | SCH | TISUBN | TSH | TSL | TN | TA | TI)
    }

    /// Reads one of the unit's registers.
    pub fn read(&self, offset: u32, now: Instant) -> u32 {
        match offset {
            NSC => self.nsc,
            SCL => self.scl,
            SCH => self.sch,
            TISUBN => self.tisubn,
            TI => self.ti,
            TSH => (self.stamp(now).seconds >> 32) as u32,
            TSL => self.stamp(now).seconds as u32,
            TN => self.stamp(now).nanos,
            _ => 0, // TA is write-only
        }
    }

    /// Writes one of the unit's registers while MCK is `frequency`.
    pub fn write(&mut self, offset: u32, value: Write, now: Instant, frequency: u32) {
        self.clock_is(frequency, now);
        let Stamp { seconds, nanos } = self.stamp(now);
        let (high, low) = ((seconds >> 32) as u32, seconds as u32);
        match offset {
            NSC => self.nsc = value.onto_masked(self.nsc, 0x001F_FFFF),
            SCL => self.scl = value.onto(self.scl),
            SCH => self.sch = value.onto_masked(self.sch, 0xFFFF),
            TISUBN => self.tisubn = value.onto_masked(self.tisubn, 0xFFFF),
            TI => {
                self.ti = value.onto_masked(self.ti, 0x00FF_FFFF);
                self.phase = 0;
            }
            TSH => self.set(value.onto_masked(high, 0xFFFF), low, nanos),
            TSL => self.set(high, value.onto(low), nanos),
            TN => self.set(high, low, value.onto_masked(nanos, ADJUST_NANOS)),
            TA => {
                let by = u128::from(value.value & ADJUST_NANOS) << 16;
                let by = if value.value & ADJUST_SUBTRACT != 0 { RANGE - by } else { by };
                self.base = (self.base + by) % RANGE;
            }
            _ => {}
        }
        self.plan(now);
    }

    fn set(&mut self, high: u32, low: u32, nanos: u32) {
        let seconds = u128::from(high) << 32 | u128::from(low);
        // The part below one nanosecond has no register.
        let fraction = self.base & 0xFFFF;
        self.base = (seconds * SECOND + (u128::from(nanos) << 16) + fraction) % RANGE;
        self.seconds_seen = (self.base / SECOND) as u64;
    }

    /// MCK is `frequency` from now on.
    pub fn clock_is(&mut self, frequency: u32, now: Instant) {
        let ticks = self.ticks(now);
        self.base = self.after(ticks);
        self.phase = match self.alternative() {
            Some((_, every)) => (self.phase + ticks) % every,
            None => 0,
        };
        self.anchor = now;
        self.frequency = frequency;
    }

    /// As [`clock_is`](Self::clock_is), and works out anew when the comparison matches.
    pub fn clock_changed(&mut self, frequency: u32, now: Instant) {
        self.clock_is(frequency, now);
        self.plan(now);
    }

    /// The timer at `at`, which is not before the last write to the unit.
    pub fn stamp(&self, at: Instant) -> Stamp {
        let value = self.after(self.ticks(at));
        Stamp { seconds: (value / SECOND) as u64, nanos: ((value % SECOND) >> 16) as u32 }
    }

    /// What has come about by now.
    pub fn settle(&mut self, now: Instant) -> Happened {
        let mut happened = Happened { matched: std::mem::take(&mut self.forced), second: false };
        if self.next_match <= now {
            self.next_match = Instant::NEVER;
            self.equal = true;
            happened.matched = true;
        }
        if self.ti != 0 || self.tisubn != 0 || self.base != 0 {
            let seconds = self.stamp(now).seconds;
            happened.second = seconds > self.seconds_seen;
            self.seconds_seen = seconds;
        }
        happened
    }

    /// When the comparison matches next.
    pub fn next_match(&self) -> Instant {
        self.next_match
    }

    /// When the seconds go up next.
    pub fn next_second(&self) -> Instant {
        let target = u128::from(self.seconds_seen + 1) * SECOND;
        self.reaches(target).map_or(Instant::NEVER, |(at, _)| at)
    }

    /// Looks at the comparison after something has changed.
    fn plan(&mut self, now: Instant) {
        let target = (u128::from(self.sch) << 32 | u128::from(self.scl)) * SECOND + (u128::from(self.nsc) << 24);
        let window = target..target + (1 << 24);
        let equal = window.contains(&self.after(self.ticks(now)));
        self.forced |= equal && !self.equal;
        self.equal = equal;
        let matching = if equal { None } else { self.reaches(target).filter(|(_, value)| window.contains(value)) };
        self.next_match = matching.map_or(Instant::NEVER, |(at, _)| at);
    }

    /// When the timer reaches `target`, and the value that it has then.
    fn reaches(&self, target: u128) -> Option<(Instant, u128)> {
        if self.base >= target || self.frequency == 0 {
            return None;
        }
        let mut beyond = 1_u64;
        while self.unwrapped(beyond) < target {
            beyond = beyond.checked_mul(2).filter(|&ticks| ticks < 1 << 60)?;
        }
        let mut before = beyond / 2; // not there yet, or zero
        while beyond - before > 1 {
            let middle = before.midpoint(beyond);
            if self.unwrapped(middle) < target { before = middle } else { beyond = middle }
        }
        let cycle = self.cycle_at(self.anchor) + u128::from(beyond);
        let nanos = (cycle * NANOS_PER_SECOND).div_ceil(u128::from(self.frequency));
        let at = u64::try_from(nanos).ok().map(Instant::from_nanos)?;
        Some((at, self.unwrapped(beyond)))
    }

    /// MCK cycles since time began, had the frequency always been what it is.
    fn cycle_at(&self, at: Instant) -> u128 {
        u128::from(at.as_nanos()) * u128::from(self.frequency) / NANOS_PER_SECOND
    }

    fn ticks(&self, at: Instant) -> u64 {
        self.cycle_at(at).saturating_sub(self.cycle_at(self.anchor)) as u64
    }

    fn after(&self, ticks: u64) -> u128 {
        self.unwrapped(ticks) % RANGE
    }

    fn unwrapped(&self, ticks: u64) -> u128 {
        let plain = u128::from(self.ti & 0xFF) << 16 | u128::from(self.tisubn);
        let Some((alternative, every)) = self.alternative() else { return self.base + plain * u128::from(ticks) };
        let alternatives = u128::from((self.phase + ticks) / every);
        self.base + plain * (u128::from(ticks) - alternatives) + alternative * alternatives
    }

    /// The alternative increment, and the number of increments after which it has come once.
    fn alternative(&self) -> Option<(u128, u64)> {
        let after = u64::from(self.ti >> 16 & 0xFF);
        let increment = u128::from(self.ti >> 8 & 0xFF) << 16 | u128::from(self.tisubn);
        (after != 0).then_some((increment, after + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MHZ: u32 = 1_000_000;

    fn tsu(ti: u32, tisubn: u32, frequency: u32) -> Tsu {
        let mut tsu = Tsu::new();
        tsu.write(TISUBN, Write::full(tisubn), Instant::ZERO, frequency);
        tsu.write(TI, Write::full(ti), Instant::ZERO, frequency);
        tsu
    }

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn increments_are_those_of_the_datasheets_examples() {
        // 24.6.15: 10.2 MHz with 0x00326462 and 49.8 MHz with 0x00F82814 keep time at each 5 us.
        for (ti, frequency) in [(0x0032_6462, 10_200_000), (0x00F8_2814, 49_800_000)] {
            let tsu = tsu(ti, 0, frequency);
            for n in [1, 2, 200, 199_999] {
                assert_eq!(tsu.stamp(at(5_000 * n)), Stamp { seconds: 0, nanos: 5_000 * n as u32 }, "{frequency} Hz");
            }
        }
        assert_eq!(tsu(0x0032_6462, 0, 10_200_000).stamp(at(1_000)).nanos, 980, "ten increments of 98 ns");
    }

    #[test]
    fn sub_nanoseconds_add_up() {
        // 120 MHz: 8.3333 ns are 8 ns and 21845/65536 ns.
        let tsu = tsu(8, 21_845, 120 * MHZ);
        let nanos = tsu.stamp(at(999_000_000)).nanos;
        assert!((998_999_000..=999_000_000).contains(&nanos), "{nanos}");
    }

    #[test]
    fn a_new_frequency_does_not_move_the_value() {
        let mut tsu = tsu(10, 0, 100 * MHZ);
        tsu.clock_changed(50 * MHZ, at(1_000));
        assert_eq!(tsu.stamp(at(1_000)).nanos, 1_000);
        assert_eq!(tsu.stamp(at(2_000)).nanos, 1_500);
        tsu.clock_changed(0, at(2_000));
        assert_eq!(tsu.stamp(at(9_000)).nanos, 1_500);
        assert_eq!(tsu.next_second(), Instant::NEVER);
    }

    #[test]
    fn adjustment_carries_into_the_seconds_both_ways() {
        let mut tsu = tsu(0, 0, 100 * MHZ);
        let mut adjust = |value| {
            tsu.write(TA, Write::full(value), at(0), 100 * MHZ);
            tsu.stamp(at(0))
        };
        assert_eq!(adjust(ADJUST_SUBTRACT | 1), Stamp { seconds: 0xFFFF_FFFF_FFFF, nanos: 999_999_999 });
        assert_eq!(adjust(2), Stamp { seconds: 0, nanos: 1 });
        assert_eq!(adjust(999_999_999), Stamp { seconds: 1, nanos: 0 });
    }

    #[test]
    fn comparison_matches_at_the_first_cycle_that_is_equal() {
        let mut tsu = tsu(10, 0, 100 * MHZ);
        let mut write = |offset, value| tsu.write(offset, Write::full(value), at(0), 100 * MHZ);
        write(SCL, 2);
        write(NSC, 100);
        // 25 600 ns is a multiple of the increment.
        assert_eq!(tsu.next_match(), at(2_000_025_600));
        assert!(!tsu.settle(at(2_000_025_599)).matched);
        assert!(tsu.settle(at(2_000_025_600)).matched);
        assert!(!tsu.settle(at(2_000_025_601)).matched, "once");
        assert_eq!(tsu.next_match(), Instant::NEVER);
    }

    #[test]
    fn comparison_follows_the_increments() {
        // Values 1, 256, 257, 512, ...: the second one is equal to 1 << 8.
        let mut tsu = tsu(0x0001_FF01, 0, MHZ);
        tsu.write(NSC, Write::full(1), at(0), MHZ);
        assert_eq!(tsu.next_match(), at(2_000));
        tsu.write(TI, Write::full(0), at(0), MHZ);
        assert_eq!(tsu.next_match(), Instant::NEVER);
    }

    #[test]
    fn equality_by_writing_counts_as_a_match() {
        let mut tsu = tsu(0, 0, MHZ);
        assert!(!tsu.settle(at(0)).matched, "equal since reset");
        tsu.write(SCL, Write::full(7), at(0), MHZ);
        tsu.write(TSL, Write::full(7), at(0), MHZ);
        assert!(tsu.settle(at(0)).matched);
    }

    #[test]
    fn seconds_are_told_once_each() {
        let mut tsu = tsu(10, 0, 100 * MHZ);
        assert_eq!(tsu.next_second(), at(1_000_000_000));
        assert!(!tsu.settle(at(999_999_999)).second);
        assert!(tsu.settle(at(1_000_000_000)).second);
        assert!(!tsu.settle(at(1_000_000_001)).second);
        assert_eq!(tsu.next_second(), at(2_000_000_000));
    }
}
