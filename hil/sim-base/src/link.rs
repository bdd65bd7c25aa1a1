//! The Ethernet cable between a simulated MAC and whatever is at its other end.

use crate::Instant;

/// The far end of an Ethernet cable, as a simulated MAC sees it.
///
/// Frames are Ethernet II frames without preamble and FCS, padded to 60 bytes by the sender. The owner of the MAC
/// calls [`poll_at`](Self::poll_at) to learn when a frame will be due, advances virtual time no further than that,
/// and then calls [`receive`](Self::receive) until it yields `None`.
pub trait EthernetLink: Send {
    /// A frame whose last bit left the MAC at `now`.
    fn transmit(&mut self, now: Instant, frame: &[u8]);

    /// The next frame that has arrived at the MAC by `now`.
    fn receive(&mut self, now: Instant) -> Option<Vec<u8>>;

    /// When the far end next has something to do or to deliver; `Instant::NEVER` if nothing is planned.
    ///
    /// It may change after each `transmit` and `receive`.
    fn poll_at(&self) -> Instant;

    /// Whether a partner is plugged in: the PHY's link status follows this.
    fn is_up(&self) -> bool {
        true
    }
}

impl<L: EthernetLink + ?Sized> EthernetLink for Box<L> {
    fn transmit(&mut self, now: Instant, frame: &[u8]) {
        (**self).transmit(now, frame);
    }

    fn receive(&mut self, now: Instant) -> Option<Vec<u8>> {
        (**self).receive(now)
    }

    fn poll_at(&self) -> Instant {
        (**self).poll_at()
    }

    fn is_up(&self) -> bool {
        (**self).is_up()
    }
}
