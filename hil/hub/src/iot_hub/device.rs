//! What the hub keeps about a device.

use std::collections::{BTreeMap, VecDeque};

use sim_base::Instant;

use super::{MethodCallId, Twin};
use crate::cloud::ConnId;
use crate::dps::Attestation;

/// A device of the hub.
#[derive(Clone, Debug)]
pub struct Device {
    pub(super) id: String,
    pub(super) attestation: Attestation,
    pub(super) enabled: bool,
    pub(super) twin: Twin,
    pub(super) link: Option<Link>,
    /// Filters with granted QoS; they outlive a connection without clean session.
    pub(super) subscriptions: BTreeMap<String, u8>,
    pub(super) has_session: bool,
    pub(super) model_id: Option<String>,
    pub(super) queue: VecDeque<CloudToDevice>,
    pub(super) calls: BTreeMap<u64, PendingCall>,
    pub(super) last_read: Option<u64>,
    pub(super) refuse_twin: Option<RefuseTwin>,
}

/// An established connection.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub conn: ConnId,
    pub expires: Instant,
    pub clean: bool,
}

#[derive(Clone, Debug)]
pub(super) struct CloudToDevice {
    pub number: u64,
    pub bag: String,
    pub body: Vec<u8>,
    pub in_flight: bool,
}

#[derive(Clone, Debug)]
pub(super) struct PendingCall {
    pub call: MethodCallId,
    pub deadline: Instant,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RefuseTwin {
    pub status: u16,
    pub remaining: u32,
}

impl Device {
    pub(super) fn new(id: &str, attestation: Attestation) -> Self {
        Self {
            id: id.to_owned(),
            attestation,
            enabled: true,
            twin: Twin::default(),
            link: None,
            subscriptions: BTreeMap::new(),
            has_session: false,
            model_id: None,
            queue: VecDeque::new(),
            calls: BTreeMap::new(),
            last_read: None,
            refuse_twin: None,
        }
    }

    /// Device id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the device may connect.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether it is connected now.
    pub fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// Model id of the latest CONNECT.
    pub fn model_id(&self) -> Option<&str> {
        self.model_id.as_deref()
    }

    /// The twin.
    pub fn twin(&self) -> &Twin {
        &self.twin
    }

    /// Latest version of the desired properties that was sent to the device, by reply or by patch.
    pub fn last_desired_sent(&self) -> Option<u64> {
        self.last_read
    }

    /// Filters that are subscribed to, with the granted QoS.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&str, u8)> {
        self.subscriptions.iter().map(|(filter, qos)| (filter.as_str(), *qos))
    }

    /// Cloud-to-device messages that are not completed.
    pub fn queued_messages(&self) -> usize {
        self.queue.len()
    }
}
