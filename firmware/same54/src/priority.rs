//! Interrupt priorities: time above Ethernet above the tasks that must not wait for blocking work.

use atsamd_hal::pac::{Interrupt, NVIC};

/// The RTC. Three priority bits are implemented, in the top of the byte; lower is more urgent.
pub const TIME: u8 = 1 << 5;
/// Ethernet.
pub const ETHERNET: u8 = 2 << 5;
/// The interrupt executor's tasks.
pub const TASKS: u8 = 3 << 5;

/// Gives an interrupt its priority and unmasks it.
pub(crate) fn enable(nvic: &mut NVIC, interrupt: Interrupt, priority: u8) {
    // SAFETY: no critical section of this program is built on BASEPRI, so a priority cannot break one; the handlers
    // of the interrupts used here are defined in this crate and ready before they are unmasked.
    unsafe {
        nvic.set_priority(interrupt, priority);
        NVIC::unmask(interrupt);
    }
}
