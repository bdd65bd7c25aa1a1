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

/// Waits on SysTick, asleep, with interrupts served meanwhile: tasks of an interrupt executor go on.
///
/// For blocking drivers in thread mode, such as those of flash; a wait must not interrupt another one. SysTick rather
/// than an alarm of the RTC, because the RTC takes a fifth of a millisecond to accept one.
#[cfg(feature = "time")]
#[derive(Clone, Copy)]
pub struct SleepDelay(());

#[cfg(feature = "time")]
mod interruptible {
    use core::sync::atomic::{AtomicBool, Ordering};

    use cortex_m::Peripherals;
    use cortex_m::peripheral::SYST;
    use cortex_m_rt::exception;
    use embedded_hal::delay::DelayNs;

    use super::{CORE_HZ, SPIN_BELOW, SYSTICK_MAX, SleepDelay, SysTickDelay};

    /// SysTick has wrapped.
    static WRAPPED: AtomicBool = AtomicBool::new(false);

    #[exception]
    fn SysTick() {
        WRAPPED.store(true, Ordering::Relaxed);
    }

    impl SleepDelay {
        pub(crate) fn new(delay: SysTickDelay) -> Self {
            // SysTick is set up, and from here on nobody else's.
            let SysTickDelay { syst: _ } = delay;
            Self(())
        }

        fn sleep(&mut self, mut cycles: u64) {
            if cycles < SPIN_BELOW {
                cortex_m::asm::delay(cycles as u32);
                return;
            }
            // SAFETY: `new` consumed SysTick's owner, so copies of this type are its only users. Two waits that
            // interrupt each other would end at wrong times, and touch no memory.
            let mut syst: SYST = unsafe { Peripherals::steal() }.SYST;
            while cycles > 0 {
                let chunk = cycles.min(SYSTICK_MAX);
                WRAPPED.store(false, Ordering::Relaxed);
                // A reload value of 0 would stop the counter.
                syst.set_reload((chunk.max(2) - 1) as u32);
                syst.clear_current();
                syst.enable_interrupt();
                syst.enable_counter();
                // With interrupts masked none can slip in between the check and WFI; a pending one still ends WFI.
                while cortex_m::interrupt::free(|_| {
                    let is_waiting = !WRAPPED.load(Ordering::Relaxed);
                    if is_waiting {
                        cortex_m::asm::dsb();
                        cortex_m::asm::wfi();
                    }
                    is_waiting
                }) {}
                syst.disable_counter();
                syst.disable_interrupt();
                cycles -= chunk;
            }
        }
    }

    impl DelayNs for SleepDelay {
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
}
