//! The application firmware: network, cloud, update and heartbeat tasks.
//!
//! No chip is named here; a binary brings the drivers and turns these functions into tasks. What must not wait for
//! anything ([`net`], [`heartbeat`], [`supervision`]) is made for an interrupt executor; what computes or blocks
//! ([`cloud`], [`download`]) for the thread executor. The two sides share only what is safe to share: pipes, signals and
//! atomics.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod log;

pub mod cloud;
pub mod download;
pub mod entropy;
pub mod heartbeat;
pub mod net;
pub mod settings;
pub mod sntp;
pub mod storage;
pub mod supervision;
pub mod wall_clock;

mod crypto;

/// Version of this firmware: `APP_VERSION` of the build, three numbers.
pub const VERSION: &str = env!("APP_VERSION");

/// The one clock of all tests: whoever moves it holds this.
#[cfg(test)]
fn test_clock() -> std::sync::MutexGuard<'static, ()> {
    static CLOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    CLOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
