//! When to try again.

use super::Error;

/// Longest pause between two attempts.
const MAX_PAUSE_MS: u32 = 60_000;
/// Pause after the first failure.
const FIRST_PAUSE_MS: u32 = 1_000;
/// Failures in a row, without one new byte, after which the download is given up.
const MAX_FAILURES: u8 = 10;

/// Decides after each failure whether and when to go on: pauses double up to a minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retry {
    failures: u8,
}

impl Retry {
    /// A new download.
    pub const fn new() -> Self {
        Self { failures: 0 }
    }

    /// Bytes have arrived: whatever failed before is over.
    pub fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Milliseconds to wait before a new connection; None to give up.
    ///
    /// `error` is None if the connection could not be made, timed out or broke. `random` spreads a fleet that lost
    /// one server over half of each pause.
    pub fn failed(&mut self, error: Option<Error>, random: u32) -> Option<u32> {
        if error.is_some_and(|error| error.is_final()) {
            return None;
        }
        self.failures += 1;
        if self.failures >= MAX_FAILURES {
            return None;
        }
        let pause = FIRST_PAUSE_MS << (self.failures - 1).min(6);
        let pause = pause.min(MAX_PAUSE_MS);
        Some(pause / 2 + random % (pause / 2 + 1))
    }
}
