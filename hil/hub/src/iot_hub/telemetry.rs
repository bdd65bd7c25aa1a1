//! What a device publishes: device-to-cloud messages here, requests by topic.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use serde_json::json;
use sim_base::Instant;

use super::{Buckets, Device, Effects, Entry, Hub, Operation, Request, query};
use crate::credentials::Attestation;
use crate::event::{CloseReason, EventKind, TextOrBase64};
use crate::mqtt;
use crate::sas::percent_decode;
use crate::utc::Utc;

/// Largest device-to-cloud message, bytes: payload, values of system properties, names and values of the others.
const MAX_TELEMETRY: usize = 256 * 1024;
/// How exactly the time of the last activity is kept over a restart.
const ACTIVITY_RESOLUTION: Duration = Duration::from_secs(60);

/// Properties of a message by name.
pub type Properties = BTreeMap<String, String>;

/// What the sender of a message gets for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// PUBACK, if the message has QoS 1.
    Due,
    /// None: a fault leaves it out.
    LeftOut,
}

impl Hub {
    /// Handles a message of a device.
    ///
    /// # Errors
    /// Why the connection has to be closed.
    pub fn publish(
        &mut self,
        now: Instant,
        id: &str,
        message: mqtt::Publish,
        effects: &mut Effects,
    ) -> Result<Answer, CloseReason> {
        let unknown = || CloseReason::Protocol(format!("the hub does not know the topic `{}`", message.topic));
        let request = Request::of(&message.topic, id).ok_or_else(unknown)?;
        let Some(device) = self.devices.get_mut(id) else { return Ok(Answer::Due) };
        let worth_a_write = device.active(now);
        let drops = message.id.is_some() && device.drops_pubacks();
        let outcome = match request {
            Request::Telemetry { bag } => {
                let (bag, about) = (message.topic.len() - bag.len(), About { retain: message.retain, will: false });
                let (topic, body, utc) = (message.topic, message.body, self.utc);
                let told = Telemetry { sender: device.sender(), topic, bag, body, about, enqueued: now, utc };
                told.admit(&mut self.throttle, effects)
            }
            Request::TwinGet { rid } => {
                self.read_twin(now, id, rid, effects);
                Ok(())
            }
            Request::TwinPatch { rid } => {
                self.patch_reported(now, id, rid, &message.body, effects);
                Ok(())
            }
            Request::MethodResponse { status, rid } => {
                device.answered(rid, status, message.body, effects);
                self.arm(id);
                Ok(())
            }
        };
        if worth_a_write {
            self.changed(Entry::Device, id);
        }
        outcome?;
        Ok(if drops && self.drops_puback(id, effects) { Answer::LeftOut } else { Answer::Due })
    }

    /// Publishes the last will of a device whose connection broke.
    pub(super) fn publish_will(&mut self, now: Instant, id: &str, will: mqtt::Will, effects: &mut Effects) {
        let mqtt::Will { topic, body, retain, .. } = will;
        if let Some(Request::Telemetry { bag }) = Request::of(&topic, id)
            && let Some(device) = self.devices.get_mut(id)
        {
            let (bag, about) = (topic.len() - bag.len(), About { retain, will: true });
            let told = Telemetry { sender: device.sender(), topic, bag, body, about, enqueued: now, utc: self.utc };
            // The connection is gone already: a will that is too large or too much is lost.
            let _ = told.admit(&mut self.throttle, effects);
        }
    }

    /// Notes that a device has done something.
    pub(super) fn active(&mut self, now: Instant, id: &str) {
        if self.devices.get_mut(id).is_some_and(|device| device.active(now)) {
            self.changed(Entry::Device, id);
        }
    }
}

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct About {
    retain: bool,
    will: bool,
}

/// What all messages of a device have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    device: String,
    generation: String,
    model_id: Option<String>,
    auth: &'static str,
}

/// A device-to-cloud message.
///
/// What the hub adds to it, and the properties in its topic, are made when they are asked for: most messages are never
/// looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    sender: Arc<Sender>,
    topic: String,
    /// Where the property bag begins in the topic.
    bag: usize,
    body: Vec<u8>,
    about: About,
    enqueued: Instant,
    utc: Utc,
}

impl Telemetry {
    /// Device id, or `device/module`.
    pub fn device(&self) -> &str {
        &self.sender.device
    }

    /// The whole topic, property bag included.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Payload.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether the broker sent it as the device's last will.
    pub fn is_will(&self) -> bool {
        self.about.will
    }

    /// System properties, by the names of the built-in endpoint, e.g. `content-type`.
    pub fn system(&self) -> Properties {
        let mut system = self.own().0;
        let mut add = |name: &str, value: String| system.insert(name.into(), value);
        let Sender { device, generation, model_id, auth } = &*self.sender;
        let (device, module) = match device.split_once('/') {
            Some((device, module)) => (device, Some(module)),
            None => (device.as_str(), None),
        };
        add("iothub-connection-device-id", device.into());
        if let Some(module) = module {
            add("iothub-connection-module-id", module.into());
        }
        let scope = if module.is_some() { "module" } else { "device" };
        let auth = json!({"scope": scope, "type": auth, "issuer": "iothub", "acceptingIpFilterRule": null});
        add("iothub-connection-auth-method", auth.to_string());
        add("iothub-connection-auth-generation-id", generation.clone());
        add("iothub-enqueuedtime", self.utc.format(self.enqueued));
        add("iothub-message-source", "Telemetry".into());
        if let Some(model) = model_id {
            add("dt-dataschema", model.clone());
        }
        system
    }

    /// Application properties.
    pub fn properties(&self) -> Properties {
        let mut properties = self.own().1;
        if self.about.retain {
            properties.insert("mqtt-retain".into(), "true".into());
        }
        if self.about.will {
            properties.insert("iothub-MessageType".into(), "Will".into());
        }
        properties
    }

    /// What the device has put into the bag: system and application properties.
    fn own(&self) -> (Properties, Properties) {
        parse_bag(&self.topic[self.bag..])
    }

    /// Takes it, if it is neither too large nor too much.
    fn admit(self, throttle: &mut Buckets, effects: &mut Effects) -> Result<(), CloseReason> {
        let size = self.size();
        if size > MAX_TELEMETRY {
            return Err(CloseReason::Protocol(format!("a message of {size} bytes is larger than 256 KB")));
        }
        if !throttle.admit(self.enqueued, Operation::Telemetry) {
            let (device, operation) = (self.device().to_owned(), Operation::Telemetry);
            effects.events.push(EventKind::Throttled { device, operation });
            return Err(CloseReason::Throttled);
        }
        effects.events.push(EventKind::Telemetry(self));
        Ok(())
    }

    /// Size by which it is limited, bytes; exact where it is over the limit.
    fn size(&self) -> usize {
        // Decoding makes nothing longer.
        let most = self.body.len() + self.topic.len() - self.bag;
        if most <= MAX_TELEMETRY {
            return most;
        }
        let (system, properties) = self.own();
        let own: usize = properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.body.len() + own + system.values().map(String::len).sum::<usize>()
    }
}

impl Serialize for Telemetry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_struct("Telemetry", 6)?;
        members.serialize_field("device", self.device())?;
        members.serialize_field("topic", &self.topic)?;
        members.serialize_field("body", &TextOrBase64(&self.body))?;
        members.serialize_field("will", &self.about.will)?;
        members.serialize_field("system", &self.system())?;
        members.serialize_field("properties", &self.properties())?;
        members.end()
    }
}

impl Device {
    /// Notes that it has done something; yields whether that is worth a write: not each message is.
    fn active(&mut self, now: Instant) -> bool {
        let minute = |at: Option<Instant>| at.map(|at| at.as_nanos() / ACTIVITY_RESOLUTION.as_nanos() as u64);
        let before = self.record.last_activity.replace(now);
        minute(before) != minute(Some(now))
    }

    /// What its messages have in common, as it is now.
    fn sender(&mut self) -> Arc<Sender> {
        let auth = match self.attestation() {
            Attestation::SymmetricKey { .. } => "sas",
            Attestation::X509 { .. } => "x509Certificate",
            Attestation::X509Ca => "x509CertificateAuthority",
        };
        let record = &self.record;
        if let Some(sender) = &self.sender
            && sender.auth == auth
            && sender.generation == record.generation
            && sender.model_id == record.model_id
        {
            return Arc::clone(sender);
        }
        let (generation, model_id) = (record.generation.clone(), record.model_id.clone());
        let sender = Arc::new(Sender { device: self.id.clone(), generation, model_id, auth });
        self.sender = Some(Arc::clone(&sender));
        sender
    }
}

/// System properties, by the names of the built-in endpoint, and application properties of a topic's property bag.
fn parse_bag(bag: &str) -> (Properties, Properties) {
    let (mut system, mut properties) = (Properties::new(), Properties::new());
    // What is not well-encoded stays as it is.
    let decode = |text: &str| percent_decode(text).unwrap_or_else(|| text.to_owned());
    for (name, value) in query(bag.trim_start_matches('?').trim_end_matches('/')) {
        let (name, value) = (decode(name), decode(value));
        let known = match name.as_str() {
            "$.mid" => "message-id",
            "$.cid" => "correlation-id",
            "$.uid" => "user-id",
            "$.ct" => "content-type",
            "$.ce" => "content-encoding",
            "$.ctime" => "iothub-creation-time-utc",
            "$.sub" => "dt-subject",
            "$.ifid" => "iothub-interface-id",
            "$.on" => "iothub-outputname",
            "$.exp" => "iothub-expiry",
            "$.to" => "to",
            _ => {
                properties.insert(name, value);
                continue;
            }
        };
        system.insert(known.into(), value);
    }
    (system, properties)
}
