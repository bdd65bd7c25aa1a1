//! Low-power idle on the transmit side (datasheet 24.6.17, 24.9.1, 24.9.98 to 24.9.101).

use sim_base::Instant;

/// TLPITI counts once in 16 AHB clock cycles.
const CYCLES: u128 = 16;
const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Counters of NCR.LPI.
#[derive(Clone, Debug, Default)]
pub(super) struct LowPowerIdle {
    on: bool,
    transitions: u16,
    /// AHB cycles until `since`.
    cycles: u128,
    since: Instant,
    frequency: u32,
}

impl LowPowerIdle {
    /// NCR.LPI is now `on`, which it was not.
    pub fn switch(&mut self, on: bool, now: Instant) {
        self.clock_is(self.frequency, now);
        self.on = on;
        if on {
            self.transitions = self.transitions.saturating_add(1);
        }
    }

    /// The AHB clock is `frequency` Hz from now on.
    pub fn clock_is(&mut self, frequency: u32, now: Instant) {
        if self.on {
            let nanos = u128::from(now.as_nanos() - self.since.as_nanos().min(now.as_nanos()));
            self.cycles += nanos * u128::from(self.frequency) / NANOS_PER_SECOND;
        }
        (self.since, self.frequency) = (now, frequency);
    }

    /// TLPITR.
    pub fn take_transitions(&mut self) -> u32 {
        std::mem::take(&mut self.transitions).into()
    }

    /// TLPITI.
    pub fn take_time(&mut self, now: Instant) -> u32 {
        self.clock_is(self.frequency, now);
        let counts = self.cycles / CYCLES;
        self.cycles %= CYCLES;
        counts.min(0x00FF_FFFF) as u32
    }
}
