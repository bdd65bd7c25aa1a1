//! Feeding the watchdog, as long as the cloud task shows that it is alive and a trial does not take too long.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use embassy_time::{Duration, Instant, Timer};

use crate::log::warn;

/// How often the watchdog is fed; its period is 16 s.
const FEED_PERIOD: Duration = Duration::from_secs(4);

/// The longest that the cloud task may go without a sign of life, seconds. Every wait of it is bounded by less: the
/// longest are a TLS handshake over a bad line and the back-off between two connections.
const PATIENCE_S: u32 = 300;

/// An image on trial that has not confirmed itself after this time is given up, seconds. A bootloader that has seen
/// enough such starts takes the image back.
const TRIAL_S: u32 = 900;

/// Second of the cloud task's last sign of life.
static LAST_SIGN: AtomicU32 = AtomicU32::new(0);
/// There is a cloud task to watch.
static IS_WATCHING: AtomicBool = AtomicBool::new(true);
/// The running image is on trial.
static IS_TRIAL: AtomicBool = AtomicBool::new(false);

/// The running image is on trial: it has [`trial_over`] to reach in time.
pub fn trial_begins() {
    IS_TRIAL.store(true, Ordering::Relaxed);
}

/// The running image has confirmed itself.
pub fn trial_over() {
    IS_TRIAL.store(false, Ordering::Relaxed);
}

/// There is no cloud task, because the device is not provisioned; nothing to watch. On trial this is a failure.
pub fn no_cloud() {
    IS_WATCHING.store(false, Ordering::Relaxed);
}

/// The cloud task is alive.
pub fn sign_of_life() {
    LAST_SIGN.store(now_s(), Ordering::Relaxed);
}

fn now_s() -> u32 {
    Instant::now().as_secs() as u32
}

/// Calls `feed` for ever, unless something is wrong: then the watchdog resets the chip.
pub async fn run(mut feed: impl FnMut()) -> ! {
    sign_of_life();
    loop {
        let now = now_s();
        let silent_s = now.wrapping_sub(LAST_SIGN.load(Ordering::Relaxed));
        if IS_TRIAL.load(Ordering::Relaxed) && now >= TRIAL_S {
            warn!("watchdog: not confirmed within {} s", TRIAL_S);
        } else if IS_WATCHING.load(Ordering::Relaxed) && silent_s >= PATIENCE_S {
            warn!("watchdog: cloud task silent for {} s", silent_s);
        } else {
            feed();
        }
        Timer::after(FEED_PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use embassy_futures::block_on;
    use embassy_futures::select::select;
    use embassy_futures::yield_now;
    use embassy_time::MockDriver;

    use super::*;

    /// Runs the supervision for `seconds` from start, with a sign of life each second until `alive_s`; returns when the
    /// watchdog was fed last.
    fn last_fed_s(seconds: u64, alive_s: u64) -> u64 {
        let driver = MockDriver::get();
        driver.reset();
        let fed = Cell::new(0);
        let clock = async {
            for second in 1..=seconds {
                driver.advance(Duration::from_secs(1));
                if second <= alive_s {
                    sign_of_life();
                }
                yield_now().await;
                yield_now().await;
            }
        };
        block_on(select(run(|| fed.set(Instant::now().as_secs())), clock));
        fed.get()
    }

    #[test]
    fn watchdog_is_fed_while_the_cloud_task_lives_and_starves_when_it_is_silent() {
        let _clock = crate::test_clock();
        assert!(last_fed_s(1_000, 1_000) > 990);
        let last = last_fed_s(1_000, 100);
        assert!((390..400).contains(&last), "fed last after {last} s");
    }

    #[test]
    fn image_on_trial_has_limited_time_to_confirm_itself() {
        let _clock = crate::test_clock();
        trial_begins();
        let last = last_fed_s(2_000, 2_000);
        trial_over();
        assert!((890..900).contains(&last), "fed last after {last} s");
        assert!(last_fed_s(2_000, 2_000) > 1_990);
    }
}
