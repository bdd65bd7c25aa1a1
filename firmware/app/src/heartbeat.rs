//! The sign of life: once a second, whatever else the device does.

use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering};

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Ticker};
use heapless::String;

/// Longest heartbeat, bytes.
pub const HEARTBEAT_LEN: usize = 160;

/// Time between two heartbeats.
const PERIOD: Duration = Duration::from_secs(1);

/// Bytes of the running download that are stored, and its size; a size of 0 means that none is running.
static STORED: AtomicU32 = AtomicU32::new(0);
static SIZE: AtomicU32 = AtomicU32::new(0);

/// The newest heartbeat that the cloud task has not sent. One that waits too long is replaced, not queued.
static PENDING: Signal<CriticalSectionRawMutex, Heartbeat> = Signal::new();

/// State of the device at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Seconds since start.
    pub uptime_s: u64,
    /// Bytes of the running download that are stored.
    pub stored: u32,
    /// Size of the running download, bytes; 0 if none is running.
    pub size: u32,
}

impl Heartbeat {
    /// The telemetry message: `{"uptime":12,"version":"1.0.0"}`, with `"download":{"stored":4096,"size":262144}` while
    /// one is running.
    pub fn json(&self) -> String<HEARTBEAT_LEN> {
        let mut text = String::new();
        let mut write = || -> core::fmt::Result {
            write!(text, "{{\"uptime\":{},\"version\":\"{}\"", self.uptime_s, crate::VERSION)?;
            if self.size != 0 {
                write!(text, ",\"download\":{{\"stored\":{},\"size\":{}}}", self.stored, self.size)?;
            }
            text.write_str("}")
        };
        // The longest possible message is shorter than the buffer (tested below).
        let _ = write();
        text
    }
}

/// Tells the heartbeat how far the download has come. A `size` of 0 means that it is over.
pub fn set_progress(stored: u32, size: u32) {
    STORED.store(stored, Ordering::Relaxed);
    SIZE.store(size, Ordering::Relaxed);
}

/// Makes heartbeats for ever; `blink` is called with each.
pub async fn run(mut blink: impl FnMut()) -> ! {
    let mut ticker = Ticker::every(PERIOD);
    loop {
        ticker.next().await;
        blink();
        PENDING.signal(Heartbeat {
            uptime_s: Instant::now().as_secs(),
            stored: STORED.load(Ordering::Relaxed),
            size: SIZE.load(Ordering::Relaxed),
        });
    }
}

/// Waits for the next heartbeat to send.
pub async fn next() -> Heartbeat {
    PENDING.wait().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_names_the_download_only_while_it_runs() {
        let mut heartbeat = Heartbeat { uptime_s: 12, stored: 0, size: 0 };
        assert_eq!(heartbeat.json().as_str(), r#"{"uptime":12,"version":"1.0.0"}"#);
        (heartbeat.stored, heartbeat.size) = (4096, 262_144);
        assert_eq!(
            heartbeat.json().as_str(),
            r#"{"uptime":12,"version":"1.0.0","download":{"stored":4096,"size":262144}}"#
        );
    }

    #[test]
    fn longest_message_fits() {
        let heartbeat = Heartbeat { uptime_s: u64::MAX, stored: u32::MAX, size: u32::MAX };
        // The longest version that the build accepts is 255.255.65535.
        assert!(heartbeat.json().ends_with("}}"));
        assert!(heartbeat.json().len() + "255.255.65535".len() - crate::VERSION.len() <= HEARTBEAT_LEN);
    }
}
