//! Throttling by rate, as the tiers of IoT Hub have it. Off unless it is asked for.

use serde::{Deserialize, Serialize};
use sim_base::Instant;

/// What all devices together may do in a second; `None` is without limit.
///
/// An allowance that is not used is kept for one second. The figures of a hub of tier S1 with one unit: 100 connections,
/// 100 twin reads, 50 twin updates and 100 messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Throttle {
    /// New connections; one too many is refused with CONNACK 3.
    pub connects: Option<u32>,
    /// Twins read by devices; one too many is answered with 429.
    pub twin_reads: Option<u32>,
    /// Reported properties changed by devices; one too many is answered with 429.
    pub twin_updates: Option<u32>,
    /// Device-to-cloud messages; one too many costs its connection and is not acknowledged.
    pub telemetry: Option<u32>,
}

/// A kind of operation that is throttled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// A CONNECT.
    Connect,
    /// A twin is read.
    TwinRead,
    /// Reported properties are changed.
    TwinUpdate,
    /// A device-to-cloud message.
    Telemetry,
}

/// Token buckets, one for each kind of operation.
#[derive(Debug, Default)]
pub(super) struct Buckets([Option<Bucket>; 4]);

#[derive(Debug)]
struct Bucket {
    /// Operations in a second.
    rate: u64,
    /// What is left, in billionths of an operation.
    level: u64,
    filled: Instant,
}

/// Billionths of an operation in one.
const ONE: u64 = 1_000_000_000;

impl Buckets {
    pub(super) fn new(throttle: Throttle) -> Self {
        let bucket = |rate: Option<u32>| {
            let rate = u64::from(rate?);
            Some(Bucket { rate, level: rate * ONE, filled: Instant::ZERO })
        };
        let Throttle { connects, twin_reads, twin_updates, telemetry } = throttle;
        Self([bucket(connects), bucket(twin_reads), bucket(twin_updates), bucket(telemetry)])
    }

    /// Whether one more operation is within its limit; it is counted then.
    pub(super) fn admit(&mut self, now: Instant, operation: Operation) -> bool {
        let index = match operation {
            Operation::Connect => 0,
            Operation::TwinRead => 1,
            Operation::TwinUpdate => 2,
            Operation::Telemetry => 3,
        };
        let Some(bucket) = &mut self.0[index] else { return true };
        let earned = u128::from(bucket.rate) * (now - bucket.filled).as_nanos() + u128::from(bucket.level);
        bucket.level = u64::try_from(earned).unwrap_or(u64::MAX).min(bucket.rate * ONE);
        bucket.filled = bucket.filled.max(now);
        match bucket.level.checked_sub(ONE) {
            Some(rest) => {
                bucket.level = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_its_operations_and_no_more() {
        let millis = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let mut buckets = Buckets::new(Throttle { twin_reads: Some(2), telemetry: Some(0), ..Throttle::default() });
        let mut admitted = |at, operation| buckets.admit(millis(at), operation);
        assert!(admitted(0, Operation::TwinRead) && admitted(0, Operation::TwinRead));
        assert!(!admitted(0, Operation::TwinRead) && !admitted(499, Operation::TwinRead));
        assert!(admitted(500, Operation::TwinRead) && !admitted(500, Operation::TwinRead));
        // A long silence is worth one second.
        assert!(admitted(90_000, Operation::TwinRead) && admitted(90_000, Operation::TwinRead));
        assert!(!admitted(90_000, Operation::TwinRead));
        assert!(admitted(0, Operation::Connect) && admitted(0, Operation::TwinUpdate));
        assert!(!admitted(90_000, Operation::Telemetry));
    }
}
