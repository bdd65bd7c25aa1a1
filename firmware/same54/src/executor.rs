//! An embassy executor that runs in an interrupt, for tasks that must go on while thread mode computes or waits for
//! flash: network, link, heartbeat, watchdog.

use atsamd_hal::pac::{Interrupt, NVIC, interrupt};
use embassy_executor::{InterruptExecutor, SendSpawner};

use crate::priority;

static EXECUTOR: InterruptExecutor = InterruptExecutor::new();

/// Starts the executor on the interrupt of the I2S controller, which the board does not use.
///
/// # Panics
/// When it is called a second time.
pub fn start(nvic: &mut NVIC) -> SendSpawner {
    // Priority first: the executor unmasks the interrupt itself.
    // SAFETY: no critical section of this program is built on BASEPRI, so a priority cannot break one.
    unsafe { nvic.set_priority(Interrupt::I2S, priority::TASKS) };
    EXECUTOR.start(Interrupt::I2S)
}

#[interrupt]
fn I2S() {
    // SAFETY: this is the handler of the interrupt that the executor was started on, and nobody else calls it; the
    // interrupt is only unmasked by `start`.
    unsafe { EXECUTOR.on_interrupt() }
}
