//! What the hub keeps about a device.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use sim_base::Instant;

use super::{MethodCallId, Twin};
use crate::cloud::ConnId;
use crate::credentials::Attestation;
use crate::durable;

/// A device of the hub.
#[derive(Clone, Debug)]
pub struct Device {
    pub(super) id: String,
    pub(super) record: Record,
    pub(super) twin: Twin,
    pub(super) queue: VecDeque<CloudToDevice>,
    pub(super) link: Option<Link>,
    pub(super) calls: BTreeMap<u64, PendingCall>,
    pub(super) refuse_twin: Option<RefuseTwin>,
}

/// What outlives a restart, beside the twin and the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub attestation: Attestation,
    pub enabled: bool,
    pub status_reason: Option<String>,
    #[serde(with = "durable::instant")]
    pub status_updated: Instant,
    #[serde(with = "durable::maybe_instant")]
    pub connection_updated: Option<Instant>,
    #[serde(with = "durable::maybe_instant")]
    pub last_activity: Option<Instant>,
    pub model_id: Option<String>,
    /// Whether the latest connection asked for a session that outlives it.
    pub has_session: bool,
    /// Filters with granted QoS. Those of a connection with clean session end with it.
    pub subscriptions: BTreeMap<String, u8>,
    /// Latest version of the desired properties that was sent.
    pub last_desired_sent: Option<u64>,
}

/// An established connection.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub conn: ConnId,
    pub expires: Instant,
    pub clean: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CloudToDevice {
    pub number: u64,
    pub bag: String,
    #[serde(with = "durable::bytes")]
    pub body: Vec<u8>,
    #[serde(skip)]
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
            record: Record {
                attestation,
                enabled: true,
                status_reason: None,
                status_updated: Instant::ZERO,
                connection_updated: None,
                last_activity: None,
                model_id: None,
                has_session: false,
                subscriptions: BTreeMap::new(),
                last_desired_sent: None,
            },
            twin: Twin::default(),
            queue: VecDeque::new(),
            link: None,
            calls: BTreeMap::new(),
            refuse_twin: None,
        }
    }

    /// Device id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How the device proves who it is.
    pub fn attestation(&self) -> &Attestation {
        &self.record.attestation
    }

    /// Whether the device may connect.
    pub fn is_enabled(&self) -> bool {
        self.record.enabled
    }

    /// Whether it is connected now.
    pub fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// Model id of the latest CONNECT.
    pub fn model_id(&self) -> Option<&str> {
        self.record.model_id.as_deref()
    }

    /// The twin.
    pub fn twin(&self) -> &Twin {
        &self.twin
    }

    /// Latest version of the desired properties that was sent to the device, by reply or by patch.
    pub fn last_desired_sent(&self) -> Option<u64> {
        self.record.last_desired_sent
    }

    /// Filters that are subscribed to, with the granted QoS.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&str, u8)> {
        self.record.subscriptions.iter().map(|(filter, qos)| (filter.as_str(), *qos))
    }

    /// When it last connected or lost its connection.
    pub fn connection_updated(&self) -> Option<Instant> {
        self.record.connection_updated
    }

    /// When it last connected or sent anything.
    pub fn last_activity(&self) -> Option<Instant> {
        self.record.last_activity
    }

    /// Cloud-to-device messages that are not completed.
    pub fn queued_messages(&self) -> usize {
        self.queue.len()
    }
}
