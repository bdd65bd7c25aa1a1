//! UTC, once a time server has told it: an offset to the time since start.

use core::cell::Cell;

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::Instant;

/// Unix time in milliseconds at the start of embassy-time.
static START: Mutex<CriticalSectionRawMutex, Cell<Option<u64>>> = Mutex::new(Cell::new(None));
static WAS_SET: Signal<CriticalSectionRawMutex, ()> = Signal::new();
static IN_DOUBT: Signal<CriticalSectionRawMutex, ()> = Signal::new();

/// Sets the clock: at `at` it was `unix_ms` milliseconds since 1970-01-01 UTC. Yields by how many milliseconds it was wrong
/// before; 0 if it was not set. Whoever doubted it has an answer.
pub fn set(unix_ms: u64, at: Instant) -> u64 {
    let now = unix_ms.saturating_sub(at.as_millis());
    let before = START.lock(|start| start.replace(Some(now)));
    IN_DOUBT.reset();
    WAS_SET.signal(());
    before.map_or(0, |before| before.abs_diff(now))
}

/// Something failed that a wrong clock would explain. The clock goes on as it is, and whoever keeps it looks after it.
pub fn doubt() {
    IN_DOUBT.signal(());
}

/// Waits until the clock is in doubt, and takes the doubt. For one task at a time.
pub async fn doubted() {
    IN_DOUBT.wait().await;
}

/// Seconds since 1970-01-01 UTC; `None` until the clock is set.
pub fn unix_time() -> Option<u64> {
    let start = START.lock(Cell::get)?;
    Some((start + Instant::now().as_millis()) / 1000)
}

/// Waits until the clock is set. For one task at a time.
pub async fn wait() -> u64 {
    loop {
        if let Some(now) = unix_time() {
            return now;
        }
        WAS_SET.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advances_with_the_time_since_start() {
        let _clock = crate::test_clock();
        let driver = embassy_time::MockDriver::get();
        driver.advance(embassy_time::Duration::from_secs(5));
        set(1_800_000_000_000, Instant::now());
        driver.advance(embassy_time::Duration::from_millis(2_500));
        assert_eq!(unix_time(), Some(1_800_000_002));
    }

    #[test]
    fn setting_tells_how_wrong_the_clock_was_and_answers_doubts() {
        let _clock = crate::test_clock();
        let driver = embassy_time::MockDriver::get();
        set(1_800_000_000_000, Instant::now());
        driver.advance(embassy_time::Duration::from_secs(10));
        doubt();
        assert_eq!(unix_time(), Some(1_800_000_010), "a clock in doubt goes on");
        assert_eq!(set(1_799_913_610_000, Instant::now()), 86_400_000);
        assert!(IN_DOUBT.try_take().is_none(), "the doubt was about an earlier time");
        assert_eq!(set(1_799_913_610_500, Instant::now()), 500);
        doubt();
        assert!(IN_DOUBT.try_take().is_some());
    }
}
