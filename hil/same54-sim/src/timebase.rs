//! Virtual time against core cycles.

use std::time::Duration;

use armv7m::Cycle;
use sim_base::Instant;

/// Where cycles and time last met, and the frequency since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeBase {
    cycle: Cycle,
    instant: Instant,
    hz: u64,
}

/// Cycles after which the anchor moves on, so that products fit 64 bits.
const REACH: u64 = 1 << 33;

impl TimeBase {
    /// Cycle 0 is time 0.
    pub(crate) fn new(hz: u32) -> Self {
        Self { cycle: 0, instant: Instant::ZERO, hz: u64::from(hz.max(1)) }
    }

    /// Time of `cycle`, which is not before the anchor.
    pub(crate) fn at(&self, cycle: Cycle) -> Instant {
        let cycles = cycle.saturating_sub(self.cycle);
        let nanos = if cycles < REACH {
            cycles * 1_000_000_000 / self.hz
        } else {
            (u128::from(cycles) * 1_000_000_000 / u128::from(self.hz)) as u64
        };
        Instant::from_nanos(self.instant.as_nanos().saturating_add(nanos))
    }

    /// The first cycle at or after `instant`.
    pub(crate) fn cycle_at(&self, instant: Instant) -> Cycle {
        let nanos = instant.as_nanos().saturating_sub(self.instant.as_nanos());
        let cycles = match nanos.checked_mul(self.hz) {
            Some(product) => product.div_ceil(1_000_000_000),
            None => {
                let cycles = (u128::from(nanos) * u128::from(self.hz)).div_ceil(1_000_000_000);
                u64::try_from(cycles).unwrap_or(u64::MAX)
            }
        };
        self.cycle.saturating_add(cycles)
    }

    /// The core runs at `hz` from `cycle` on.
    pub(crate) fn set_frequency(&mut self, cycle: Cycle, hz: u32) {
        let hz = u64::from(hz.max(1));
        if hz != self.hz {
            *self = Self { cycle, instant: self.at(cycle), hz };
        }
    }

    /// Time passes while the core stands still.
    pub(crate) fn skip(&mut self, time: Duration) {
        self.instant = self.instant + time;
    }

    /// `cycle` is at `instant`, whatever was before; time does not go back.
    pub(crate) fn meet(&mut self, cycle: Cycle, instant: Instant) {
        *self = Self { cycle, instant: instant.max(self.at(cycle)), hz: self.hz };
    }

    /// Moves the anchor near `cycle` without rounding: by whole seconds.
    pub(crate) fn tidy(&mut self, cycle: Cycle) {
        let seconds = cycle.saturating_sub(self.cycle) / self.hz;
        self.cycle += seconds * self.hz;
        self.instant = self.instant + Duration::from_secs(seconds);
    }
}

/// How long a counter stays at one value, exactly: `num / den` nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Period {
    num: u64,
    den: u64,
}

impl Period {
    /// That of a counter whose clock of `hz`, not zero, goes through a prescaler of `divisor`.
    pub(crate) fn new(divisor: u64, hz: u32) -> Self {
        // Short factors keep the products below in 64 bits, where division is cheap: for 32 768 Hz during nine years.
        let common = hz.trailing_zeros().min(1_000_000_000_u32.trailing_zeros());
        Self { num: divisor * (1_000_000_000 >> common), den: u64::from(hz >> common) }
    }

    /// As [`new`](Self::new), longer by `correction` parts of 2^20.
    pub(crate) fn corrected(divisor: u64, hz: u32, correction: i64) -> Self {
        let Self { num, den } = Self::new(divisor, hz);
        match correction {
            0 => Self { num, den },
            // A divisor of up to 1024 keeps this within 64 bits.
            _ => Self { num: num * ((1 << 20) + correction) as u64, den: den << 20 },
        }
    }

    /// How many whole periods fit into `nanos`.
    pub(crate) fn whole(self, nanos: u64) -> u64 {
        match nanos.checked_mul(self.den) {
            Some(product) => product / self.num,
            None => (u128::from(nanos) * u128::from(self.den) / u128::from(self.num)) as u64,
        }
    }

    /// Nanoseconds after which `count` periods have passed, unless that is beyond all time.
    pub(crate) fn end(self, count: u64) -> Option<u64> {
        match count.checked_mul(self.num) {
            Some(product) => Some(product.div_ceil(self.den)),
            None => u64::try_from((u128::from(count) * u128::from(self.num)).div_ceil(u128::from(self.den))).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_exact_whether_products_fit_64_bits_or_not() {
        let mut rng = sim_base::Rng::new(1);
        for round in 0..10_000 {
            let hz = [32_768, 1_024, 48_000_000, 1_000_000, 12_345][round % 5];
            let divisor = 1 << rng.below(11);
            let value = rng.next_u64() >> rng.below(64);
            let (nanos, hz_wide, length) = (u128::from(value), u128::from(hz), u128::from(divisor) * 1_000_000_000);
            let period = Period::new(divisor, hz);
            assert_eq!(u128::from(period.whole(value)), (nanos * hz_wide / length) & u128::from(u64::MAX));
            assert_eq!(period.end(value), u64::try_from((nanos * length).div_ceil(hz_wide)).ok());
        }
    }

    #[test]
    fn cycles_and_time_convert_there_and_back() {
        let base = TimeBase::new(120_000_000);
        for cycle in [0, 1, 2, 3, 119_999_999, 120_000_000, 1 << 40] {
            assert_eq!(base.cycle_at(base.at(cycle)), cycle);
        }
    }

    #[test]
    fn tidying_changes_nothing() {
        let mut base = TimeBase::new(48_000_000);
        let before = base.at(1_000_000_007);
        base.tidy(1_000_000_000);
        assert_eq!(base.at(1_000_000_007), before);
    }

    #[test]
    fn a_change_of_frequency_keeps_time_continuous() {
        let mut base = TimeBase::new(48_000_000);
        let before = base.at(4_800);
        base.set_frequency(4_800, 120_000_000);
        assert_eq!(base.at(4_800), before);
        assert_eq!(base.at(4_920), before + Duration::from_micros(1));
    }

    #[test]
    fn time_can_pass_without_cycles() {
        let mut base = TimeBase::new(1_000_000_000);
        base.skip(Duration::from_nanos(500));
        assert_eq!(base.at(10), Instant::from_nanos(510));
    }
}
