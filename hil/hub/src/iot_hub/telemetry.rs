//! What a device publishes: device-to-cloud messages here, requests by topic.

use core::time::Duration;
use std::collections::BTreeMap;

use serde_json::json;
use sim_base::Instant;

use super::{Device, Effects, Entry, Hub, Operation, Request, query};
use crate::credentials::Attestation;
use crate::event::{CloseReason, EventKind};
use crate::mqtt;
use crate::sas::percent_decode;

/// Largest device-to-cloud message, bytes: payload, values of system properties, names and values of the others.
const MAX_TELEMETRY: usize = 256 * 1024;
/// How exactly the time of the last activity is kept over a restart.
const ACTIVITY_RESOLUTION: Duration = Duration::from_secs(60);

/// Properties of a message by name.
pub type Properties = BTreeMap<String, String>;

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
    ) -> Result<(), CloseReason> {
        let unknown = || CloseReason::Protocol(format!("the hub does not know the topic `{}`", message.topic));
        let request = Request::of(&message.topic, id).ok_or_else(unknown)?;
        self.active(now, id);
        match request {
            Request::Telemetry { bag } => {
                let telemetry = Telemetry { bag, retain: message.retain, will: false };
                self.telemetry(now, id, telemetry, &message.topic, message.body, effects)
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
                if let Some(device) = self.devices.get_mut(id) {
                    device.answered(rid, status, message.body, effects);
                }
                self.arm(id);
                Ok(())
            }
        }
    }

    /// Publishes the last will of a device whose connection broke.
    pub(super) fn publish_will(&mut self, now: Instant, id: &str, will: mqtt::Will, effects: &mut Effects) {
        if let Some(Request::Telemetry { bag }) = Request::of(&will.topic, id) {
            let telemetry = Telemetry { bag, retain: will.retain, will: true };
            // The connection is gone already: a will that is too large or too much is lost.
            let _ = self.telemetry(now, id, telemetry, &will.topic, will.body, effects);
        }
    }

    fn telemetry(
        &mut self,
        now: Instant,
        id: &str,
        telemetry: Telemetry<'_>,
        topic: &str,
        body: Vec<u8>,
        effects: &mut Effects,
    ) -> Result<(), CloseReason> {
        let Some(device) = self.devices.get(id) else { return Ok(()) };
        let (mut system, mut properties) = parse_bag(telemetry.bag);
        let own: usize = properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        let size = body.len() + own + system.values().map(String::len).sum::<usize>();
        if size > MAX_TELEMETRY {
            return Err(CloseReason::Protocol(format!("a message of {size} bytes is larger than 256 KB")));
        }
        if !self.throttle.admit(now, Operation::Telemetry) {
            effects.events.push(EventKind::Throttled { device: id.to_owned(), operation: Operation::Telemetry });
            return Err(CloseReason::Throttled);
        }
        if telemetry.retain {
            properties.insert("mqtt-retain".into(), "true".into());
        }
        if telemetry.will {
            properties.insert("iothub-MessageType".into(), "Will".into());
        }
        let mut add = |name: &str, value: String| system.insert(name.into(), value);
        add("iothub-connection-device-id", device.device_id().into());
        if let Some(module) = device.module_id() {
            add("iothub-connection-module-id", module.into());
        }
        add("iothub-connection-auth-method", device.auth_method());
        add("iothub-connection-auth-generation-id", device.generation_id().into());
        add("iothub-enqueuedtime", self.utc.format(now));
        add("iothub-message-source", "Telemetry".into());
        if let Some(model) = device.model_id() {
            add("dt-dataschema", model.into());
        }
        effects.events.push(EventKind::Telemetry {
            device: id.to_owned(),
            topic: topic.to_owned(),
            body,
            will: telemetry.will,
            system,
            properties,
        });
        Ok(())
    }

    /// Notes that a device has done something.
    pub(super) fn active(&mut self, now: Instant, id: &str) {
        let Some(device) = self.devices.get_mut(id) else { return };
        let before = device.record.last_activity.replace(now);
        // Not each message is worth a write.
        let minute = |at: Option<Instant>| at.map(|at| at.as_nanos() / ACTIVITY_RESOLUTION.as_nanos() as u64);
        if minute(before) != minute(Some(now)) {
            self.changed(Entry::Device, id);
        }
    }
}

struct Telemetry<'a> {
    bag: &'a str,
    retain: bool,
    will: bool,
}

impl Device {
    fn auth_method(&self) -> String {
        let scope = if self.module_id().is_some() { "module" } else { "device" };
        let kind = match self.attestation() {
            Attestation::SymmetricKey { .. } => "sas",
            Attestation::X509 { .. } => "x509Certificate",
            Attestation::X509Ca => "x509CertificateAuthority",
        };
        json!({"scope": scope, "type": kind, "issuer": "iothub", "acceptingIpFilterRule": null}).to_string()
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
