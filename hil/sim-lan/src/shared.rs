//! One LAN for two owners.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sim_base::{EthernetLink, Instant};

use crate::Lan;

/// A [`Lan`] that a board holds as its cable while the runner goes on observing and changing it.
///
/// The lock is held only inside each call, so it is never contended in a single-threaded run.
#[derive(Clone)]
pub struct SharedLan(Arc<Mutex<Lan>>);

impl SharedLan {
    /// Shares `lan`.
    pub fn new(lan: Lan) -> Self {
        Self(Arc::new(Mutex::new(lan)))
    }

    /// The LAN itself. Do not hold the guard while the board runs.
    pub fn lock(&self) -> MutexGuard<'_, Lan> {
        // A panic in another holder fails the run anyway; the observer may still want the events that led to it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EthernetLink for SharedLan {
    fn transmit(&mut self, now: Instant, frame: &[u8]) {
        self.lock().transmit(now, frame);
    }

    fn receive(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.lock().receive(now)
    }

    fn poll_at(&self) -> Instant {
        self.lock().poll_at()
    }

    fn is_up(&self) -> bool {
        self.lock().is_up()
    }
}
