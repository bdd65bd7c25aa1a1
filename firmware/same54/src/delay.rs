//! Waiting without spinning: the core sleeps (WFI) until a timer wakes it.

use cortex_m::peripheral::{SCB, SYST, syst::SystClkSource};
use embedded_hal::delay::DelayNs;

use crate::clock::CORE_HZ;

/// Longest SysTick period, cycles (24-bit counter; ARMv7-M ARM B3.3).
const SYSTICK_MAX: u64 = 1 << 24;

/// Shorter waits than this spin, because programming the timer takes about as long, cycles.
const SPIN_BELOW: u64 = 200;

/// Waits on SysTick, asleep. For programs without an executor: the bootloader and on-target tests.
///
/// Interrupts are masked while it waits. A pending SysTick exception wakes the core from WFI all the same
/// (ARMv7-M ARM B1.5.18), so no handler is needed.
pub struct SysTickDelay {
    syst: SYST,
}

impl SysTickDelay {
    /// Takes SysTick over. The core must run at [`CORE_HZ`].
    pub fn new(mut syst: SYST) -> Self {
        syst.set_clock_source(SystClkSource::Core);
        Self { syst }
    }

    fn sleep(&mut self, mut cycles: u64) {
        if cycles < SPIN_BELOW {
            cortex_m::asm::delay(cycles as u32);
            return;
        }
        cortex_m::interrupt::free(|_| {
            while cycles > 0 {
                let chunk = cycles.min(SYSTICK_MAX);
                // A reload value of 0 would stop the counter.
                self.syst.set_reload((chunk.max(2) - 1) as u32);
                self.syst.clear_current();
                self.syst.enable_interrupt();
                self.syst.enable_counter();
                while !SCB::is_pendst_pending() {
                    cortex_m::asm::wfi();
                }
                self.syst.disable_counter();
                self.syst.disable_interrupt();
                SCB::clear_pendst();
                cycles -= chunk;
            }
        });
    }
}

impl DelayNs for SysTickDelay {
    fn delay_ns(&mut self, ns: u32) {
        self.sleep((u64::from(ns) * u64::from(CORE_HZ)).div_ceil(1_000_000_000));
    }

    fn delay_us(&mut self, us: u32) {
        self.sleep(u64::from(us) * u64::from(CORE_HZ / 1_000_000));
    }

    fn delay_ms(&mut self, ms: u32) {
        self.sleep(u64::from(ms) * u64::from(CORE_HZ / 1_000));
    }
}
