//! What the hub keeps about a device or a module.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sim_base::Instant;

use super::Twin;
use super::faults::Faults;
use super::messages::CloudToDevice;
use super::methods::PendingCall;
use super::telemetry::Sender;
use crate::cloud::ConnId;
use crate::credentials::Attestation;
use crate::durable;
use crate::mqtt::Unacknowledged;
use crate::utc::Utc;

/// What the service writes for a time that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A device of the hub, or a module of one.
#[derive(Clone, Debug)]
pub struct Device {
    pub(super) id: String,
    pub(super) record: Record,
    pub(super) twin: Twin,
    pub(super) queue: VecDeque<CloudToDevice>,
    pub(super) link: Option<Link>,
    pub(super) calls: BTreeMap<u64, PendingCall>,
    /// What the latest connection has not acknowledged, if its session is kept.
    pub(super) unacknowledged: Vec<Unacknowledged>,
    pub(super) faults: Faults,
    /// When the hub has something to do for it; it stands in the hub's timers under this time.
    pub(super) due: Instant,
    /// What its latest messages have in common.
    pub(super) sender: Option<Arc<Sender>>,
}

/// What outlives a restart, beside the twin and the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub attestation: Attestation,
    pub enabled: bool,
    pub status_reason: Option<String>,
    /// Differs for each life of an id.
    pub generation: String,
    /// Counts the changes of the identity.
    pub revision: u64,
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

impl Device {
    pub(super) fn new(id: &str, attestation: Attestation, generation: String, now: Instant, utc: Utc) -> Self {
        Self {
            id: id.to_owned(),
            record: Record {
                attestation,
                enabled: true,
                status_reason: None,
                generation,
                revision: 1,
                status_updated: now,
                connection_updated: None,
                last_activity: None,
                model_id: None,
                has_session: false,
                subscriptions: BTreeMap::new(),
                last_desired_sent: None,
            },
            twin: Twin::new(&utc.format(now)),
            queue: VecDeque::new(),
            link: None,
            calls: BTreeMap::new(),
            unacknowledged: Vec::new(),
            faults: Faults::default(),
            due: Instant::NEVER,
            sender: None,
        }
    }

    /// Device id, or `device/module`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Device id, of a module that of its device.
    pub fn device_id(&self) -> &str {
        self.id.split_once('/').map_or(&self.id, |(device, _)| device)
    }

    /// Module id; `None` of a device.
    pub fn module_id(&self) -> Option<&str> {
        self.id.split_once('/').map(|(_, module)| module)
    }

    /// How it proves who it is.
    pub fn attestation(&self) -> &Attestation {
        &self.record.attestation
    }

    /// Differs for each life of an id: a device that is deleted and made again has another one.
    pub fn generation_id(&self) -> &str {
        &self.record.generation
    }

    /// Changes with the identity: credentials and status.
    pub fn etag(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(self.record.revision.to_string())
    }

    /// Whether the device may connect.
    pub fn is_enabled(&self) -> bool {
        self.record.enabled
    }

    /// What an administrator said about the status.
    pub fn status_reason(&self) -> Option<&str> {
        self.record.status_reason.as_deref()
    }

    /// When the status was last changed.
    pub fn status_updated(&self) -> Instant {
        self.record.status_updated
    }

    /// Whether it is connected now.
    pub fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// When it last connected or lost its connection.
    pub fn connection_updated(&self) -> Option<Instant> {
        self.record.connection_updated
    }

    /// When it last connected or sent anything.
    pub fn last_activity(&self) -> Option<Instant> {
        self.record.last_activity
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

    /// Cloud-to-device messages that are not completed.
    pub fn queued_messages(&self) -> usize {
        self.queue.len()
    }

    /// The identity as the registry shows it, keys included.
    pub fn identity_document(&self, utc: Utc) -> Value {
        let mut document = self.head();
        document.insert("generationId".into(), self.record.generation.clone().into());
        document.insert("etag".into(), self.etag().into());
        self.status(utc, &mut document);
        document.insert("connectionStateUpdatedTime".into(), time(utc, self.record.connection_updated).into());
        document.insert("authentication".into(), serde_json::to_value(&self.record.attestation).unwrap_or_default());
        Value::Object(document)
    }

    /// The twin as the back end sees it, with tags, `$metadata` and the state of the identity.
    pub fn twin_document(&self, utc: Utc) -> Value {
        let mut document = self.head();
        document.insert("etag".into(), self.twin.etag().into());
        document.insert("deviceEtag".into(), self.etag().into());
        self.status(utc, &mut document);
        document.insert("authenticationType".into(), self.record.attestation.kind().into());
        let (primary, secondary) = match &self.record.attestation {
            Attestation::X509 { primary, secondary } => (Some(*primary), *secondary),
            _ => (None, None),
        };
        let thumbprints = json!({"primaryThumbprint": primary, "secondaryThumbprint": secondary});
        document.insert("x509Thumbprint".into(), thumbprints);
        document.insert("modelId".into(), self.record.model_id.clone().unwrap_or_default().into());
        document.insert("version".into(), self.twin.version().into());
        document.insert("tags".into(), Value::Object(self.twin.tags().clone()));
        document.insert("properties".into(), self.twin.service_document());
        Value::Object(document)
    }

    fn head(&self) -> Map<String, Value> {
        let mut document = Map::new();
        document.insert("deviceId".into(), self.device_id().into());
        if let Some(module) = self.module_id() {
            document.insert("moduleId".into(), module.into());
        }
        document
    }

    fn status(&self, utc: Utc, document: &mut Map<String, Value>) {
        let status = if self.record.enabled { "enabled" } else { "disabled" };
        document.insert("status".into(), status.into());
        document.insert("statusReason".into(), self.record.status_reason.clone().into());
        document.insert("statusUpdatedTime".into(), time(utc, Some(self.record.status_updated)).into());
        let connection = if self.is_connected() { "Connected" } else { "Disconnected" };
        document.insert("connectionState".into(), connection.into());
        document.insert("lastActivityTime".into(), time(utc, self.record.last_activity).into());
        document.insert("cloudToDeviceMessageCount".into(), self.queue.len().into());
        document.insert("capabilities".into(), json!({"iotEdge": false}));
    }

    /// When the hub next has something to do for it.
    pub(super) fn deadline(&self) -> Instant {
        let link = self.link.as_ref().map(|link| link.expires);
        let calls = self.calls.values().map(|call| call.deadline);
        let messages = self.queue.iter().map(CloudToDevice::deadline);
        let held = self.faults.deadline();
        calls.chain(messages).chain(link).chain(held).min().unwrap_or(Instant::NEVER)
    }
}

/// A time as the service writes it.
fn time(utc: Utc, at: Option<Instant>) -> String {
    at.map_or_else(|| NEVER.to_owned(), |at| utc.format(at))
}
