//! Wall-clock time from the network.

use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_time::{Duration, Instant, Timer, with_timeout};

use super::serve::{lookup, wait_for_address};
use crate::log::{info, warn};
use crate::{entropy, sntp, wall_clock};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause after a failure; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(64);
/// The crystal drifts by some seconds a day at most.
const REFRESH: Duration = Duration::from_secs(6 * 3600);
/// Pause between two doubts that are followed up; doubles up to the longest, as most doubts have another cause: a device
/// that its service refuses for good must not burden a time server that serves everybody.
const FIRST_DOUBT_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_DOUBT_PAUSE: Duration = Duration::from_secs(960);
/// A clock that was wrong by this, milliseconds, was worth a doubt.
const WRONG_MS: u64 = 60_000;

/// Keeps the wall clock right by asking `host`, for ever.
pub async fn keep_time(stack: Stack<'static>, host: &str) -> ! {
    let mut pause = FIRST_PAUSE;
    let mut schedule = Schedule::new();
    loop {
        wait_for_address().await;
        if let Some((unix_ms, at)) = ask(stack, host).await {
            let wrong_ms = wall_clock::set(unix_ms, at);
            info!("time: {}, was wrong by {} ms", unix_ms / 1000, wrong_ms);
            pause = FIRST_PAUSE;
            schedule.next(wrong_ms).await;
        } else {
            warn!("time: no answer from {}", host);
            Timer::after(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// When the time is asked for again, once it is known.
struct Schedule {
    /// No doubt is followed up before.
    patient_until: Instant,
    doubt_pause: Duration,
}

impl Schedule {
    const fn new() -> Self {
        Self { patient_until: Instant::MIN, doubt_pause: FIRST_DOUBT_PAUSE }
    }

    /// Waits until the time has to be asked for again, after an answer that found the clock `wrong_ms` milliseconds wrong.
    async fn next(&mut self, wrong_ms: u64) {
        if wrong_ms >= WRONG_MS {
            self.doubt_pause = FIRST_DOUBT_PAUSE;
        }
        let doubt = async {
            Timer::at(self.patient_until).await;
            wall_clock::doubted().await;
        };
        match select(Timer::after(REFRESH), doubt).await {
            Either::First(()) => self.doubt_pause = FIRST_DOUBT_PAUSE,
            Either::Second(()) => {
                info!("time: in doubt");
                self.patient_until = Instant::now() + self.doubt_pause;
                self.doubt_pause = (self.doubt_pause * 2).min(LONGEST_DOUBT_PAUSE);
            }
        }
    }
}

/// Unix time in milliseconds, and the instant that it belongs to.
async fn ask(stack: Stack<'static>, host: &str) -> Option<(u64, Instant)> {
    let address = lookup(stack, host).await.ok()?;
    let (mut receive_meta, mut send_meta) = ([PacketMetadata::EMPTY; 2], [PacketMetadata::EMPTY; 2]);
    let (mut receive, mut send) = ([0; 256], [0; 64]);
    let mut socket = UdpSocket::new(stack, &mut receive_meta, &mut receive, &mut send_meta, &mut send);
    // Port 0 is an ephemeral one.
    socket.bind(0).ok()?;
    let nonce = u64::from(entropy::number()) << 32 | u64::from(entropy::number());
    let asked = Instant::now();
    socket.send_to(&sntp::request(nonce), (address, sntp::PORT)).await.ok()?;
    let answer = async {
        let mut packet = [0; 128];
        loop {
            let Ok((len, from)) = socket.recv_from(&mut packet).await else { continue };
            if from.endpoint.addr != address {
                continue;
            }
            if let Some(unix_ms) = sntp::parse(&packet[..len], nonce) {
                return unix_ms;
            }
        }
    };
    let unix_ms = with_timeout(ANSWER_TIMEOUT, answer).await.ok()?;
    // The answer was written half a round trip ago.
    let half = asked.elapsed() / 2;
    Some((unix_ms, Instant::now() - half))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use embassy_futures::{block_on, yield_now};
    use embassy_time::MockDriver;

    use super::*;

    /// Seconds at which the time is asked for again, within `seconds` from start, if every answer finds the clock `wrong_ms`
    /// wrong, and it is doubted in each second that `doubts` names.
    fn asked(seconds: u64, wrong_ms: u64, doubts: impl Fn(u64) -> bool) -> Vec<u64> {
        let _clock = crate::test_clock();
        let driver = MockDriver::get();
        driver.reset();
        wall_clock::set(1_800_000_000_000, Instant::now());
        let mut asked = Vec::new();
        let keeper = async {
            let mut schedule = Schedule::new();
            loop {
                schedule.next(wrong_ms).await;
                asked.push(Instant::now().as_secs());
            }
        };
        let time = async {
            for second in 1..=seconds {
                driver.advance(Duration::from_secs(1));
                if doubts(second) {
                    wall_clock::doubt();
                }
                yield_now().await;
                yield_now().await;
            }
        };
        block_on(select(keeper, time));
        asked
    }

    #[test]
    fn clock_without_doubts_is_refreshed_every_six_hours() {
        assert_eq!(asked(50_000, 0, |_| false), [21_600, 43_200]);
    }

    #[test]
    fn first_doubt_is_followed_up_at_once_and_the_next_a_minute_later() {
        assert_eq!(asked(300, WRONG_MS, |second| [5, 9, 200].contains(&second)), [5, 65, 200]);
        assert_eq!(asked(200, WRONG_MS, |_| true), [1, 61, 121, 181]);
    }

    #[test]
    fn doubts_that_lead_to_nothing_are_followed_up_ever_more_seldom() {
        assert_eq!(asked(3_000, WRONG_MS - 1, |_| true), [1, 61, 181, 421, 901, 1_861, 2_821]);
    }

    #[test]
    fn doubt_after_a_refresh_is_as_the_first() {
        let doubts = |second| second <= 1_000 || [21_000, 50_000, 50_001].contains(&second);
        assert_eq!(asked(50_100, 0, doubts), [1, 61, 181, 421, 901, 1_861, 21_000, 42_600, 50_000, 50_060]);
    }
}
