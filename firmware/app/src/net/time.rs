//! Wall-clock time from the network.

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

/// Keeps the wall clock right by asking `host`, for ever.
pub async fn keep_time(stack: Stack<'static>, host: &str) -> ! {
    let mut pause = FIRST_PAUSE;
    loop {
        wait_for_address().await;
        if let Some((unix_ms, at)) = ask(stack, host).await {
            wall_clock::set(unix_ms, at);
            info!("time: {}", unix_ms / 1000);
            pause = FIRST_PAUSE;
            Timer::after(REFRESH).await;
        } else {
            warn!("time: no answer from {}", host);
            Timer::after(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
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
