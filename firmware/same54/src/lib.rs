//! Drivers for the SAM E54 Xplained Pro: Ethernet, external NOR flash, internal flash, time.
//!
//! The one crate that touches registers. Everything starts with [`Board::take`]. The features `net` and `time` add
//! Ethernet and embassy-time; a bootloader does without both.
#![no_std]

mod backtrace;
mod brown_out;
mod cache;
pub mod clock;
pub mod delay;
#[cfg(feature = "executor")]
pub mod executor;
#[cfg(feature = "net")]
pub mod gmac;
pub mod guard;
pub mod icm;
pub mod identity;
pub mod led;
pub mod nor;
pub mod nvm;
#[cfg(any(feature = "time", feature = "net", feature = "executor"))]
pub mod priority;
pub mod qspi;
pub mod reset;
pub mod start;
#[cfg(feature = "time")]
pub mod time;
pub mod trng;
pub mod uart;
pub mod watchdog;
mod window;
pub mod xpro;

pub use backtrace::backtrace;
#[cfg(feature = "time")]
pub use delay::SleepDelay;
pub use delay::SysTickDelay;
pub use icm::Icm;
pub use nor::{Nor, NorError};
pub use nvm::{Nvm, NvmError};
pub use reset::{ResetCause, system_reset};
pub use uart::{Uart, UartPort};
pub use xpro::{BOARD_NAME, Board};
