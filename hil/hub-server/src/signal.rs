//! What wakes the task of a connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

/// Says to one task that there is something for it; said twice is said once.
#[derive(Debug, Default)]
pub struct Signal {
    raised: AtomicBool,
    task: AtomicWaker,
}

impl Signal {
    /// Wakes the task, now or when it next waits.
    pub(crate) fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.task.wake();
    }

    /// Whether it was raised since the last call.
    pub(crate) fn take(&self) -> bool {
        // A read is cheaper than a write, and mostly the answer is no.
        self.raised.load(Ordering::Acquire) && self.raised.swap(false, Ordering::AcqRel)
    }

    /// Has the task woken when it is next raised; look at [`take`](Self::take) once more after this.
    pub(crate) fn wake(&self, task: &Waker) {
        self.task.register(task);
    }
}
