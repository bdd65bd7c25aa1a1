//! What a peripheral puts out at a pin: its level now, and the waveform that it repeats.

use std::time::Duration;

/// A rectangular waveform that repeats, exactly: lengths are whole periods of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waveform {
    /// Frequency of the clock that the lengths count, in Hz; not zero.
    pub clock_hz: u32,
    /// Length of a period, in clocks; not zero.
    pub period: u64,
    /// How long of it the pin is high, in clocks: 0 to `period`.
    pub high: u64,
}

impl Waveform {
    /// Length of a period, rounded to nanoseconds.
    pub fn period_time(&self) -> Duration {
        self.time(self.period)
    }

    /// How long of it the pin is high, rounded to nanoseconds.
    pub fn high_time(&self) -> Duration {
        self.time(self.high)
    }

    fn time(&self, clocks: u64) -> Duration {
        let hz = u128::from(self.clock_hz.max(1));
        let nanos = (u128::from(clocks) * 1_000_000_000 + hz / 2) / hz;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn inverted(self) -> Self {
        Self { high: self.period - self.high, ..self }
    }
}

/// What a block drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) level: bool,
    /// The waveform that it repeats, as long as nobody touches the block.
    pub(crate) waveform: Option<Waveform>,
}

impl Output {
    /// One that does not move by itself.
    pub(crate) fn steady(level: bool) -> Self {
        Self { level, waveform: None }
    }

    /// The other way round, if `invert`.
    pub(crate) fn inverted(self, invert: bool) -> Self {
        if !invert {
            return self;
        }
        Self { level: !self.level, waveform: self.waveform.map(Waveform::inverted) }
    }
}

/// One pulse in each cycle of a counter: high from `on` for `high` of its `cycle` clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pulse {
    pub(crate) cycle: u64,
    pub(crate) on: u64,
    pub(crate) high: u64,
}

impl Pulse {
    /// High while the pulse is low, and the other way round.
    pub(crate) fn inverted(self) -> Self {
        Self { on: (self.on + self.high) % self.cycle, high: self.cycle - self.high, ..self }
    }

    /// Rises `clocks` later, and falls as before.
    pub(crate) fn delayed(self, clocks: u64) -> Self {
        // One that never rises has no edge to delay.
        let delay = if self.high == self.cycle { 0 } else { clocks.min(self.high) };
        Self { on: (self.on + delay) % self.cycle, high: self.high - delay, ..self }
    }

    /// Its level at `position` clocks after the beginning of a cycle.
    pub(crate) fn level(self, position: u64) -> bool {
        (position + self.cycle - self.on) % self.cycle < self.high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_wraps_inverts_and_is_delayed() {
        let pulse = Pulse { cycle: 10, on: 8, high: 4 };
        let levels = |pulse: Pulse| (0..10).map(|at| if pulse.level(at) { '#' } else { '.' }).collect::<String>();
        assert_eq!(levels(pulse), "##......##");
        assert_eq!(levels(pulse.inverted()), "..######..");
        assert_eq!(levels(pulse.delayed(3)), ".#........");
        assert_eq!(levels(pulse.delayed(9)), "..........");
        assert_eq!(levels(Pulse { cycle: 10, on: 3, high: 10 }.delayed(2)), "##########");
    }

    #[test]
    fn times_are_rounded_to_nanoseconds() {
        let waveform = Waveform { clock_hz: 48_000_000, period: 100, high: 1 };
        assert_eq!((waveform.period_time().as_nanos(), waveform.high_time().as_nanos()), (2_083, 21));
    }
}
