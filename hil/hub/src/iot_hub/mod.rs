//! IoT Hub: device registry, twins, telemetry, direct methods, cloud-to-device messages.
//!
//! Knows connections only by number: the same service can stand behind the MQTT sessions of this crate or behind a
//! broker. What it wants done comes out as [`Effects`].

mod device;
mod store;
mod topics;
mod twin;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use sim_base::{Instant, Rng};

pub use device::Device;
use device::{CloudToDevice, Link, PendingCall, RefuseTwin};
use store::Entry;
pub(crate) use topics::query;
pub use topics::{DESIRED_PATCHES, METHODS, Request, TWIN_RESPONSES, Username, devicebound};
pub use twin::{MAX_STRING, Twin, TwinError, notification, size};

use crate::cloud::ConnId;
use crate::credentials::{Attestation, Presented};
use crate::dps::guid;
use crate::event::{CloseReason, EventKind};
use crate::mqtt::{self, Tag};
use crate::utc::Utc;

/// Most subscriptions of one device.
const MAX_SUBSCRIPTIONS: usize = 5;
/// Largest device-to-cloud message, bytes.
const MAX_TELEMETRY: usize = 256 * 1024;
/// Largest cloud-to-device message, bytes.
const MAX_CLOUD_TO_DEVICE: usize = 64 * 1024;
/// Most cloud-to-device messages that wait for one device.
const MAX_QUEUE: usize = 50;
/// Largest payload of a direct method, bytes.
const MAX_METHOD: usize = 128 * 1024;

/// Number of a direct method call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct MethodCallId(pub(crate) u64);

/// Why an administrator's wish is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// the device does not exist
    #[error("the device `{0}` does not exist; enrol it, or let it register first")]
    NoDevice(String),
    /// the device exists already
    #[error("the device `{0}` exists already")]
    Exists(String),
    /// the device is not connected
    #[error("the device `{0}` is not connected")]
    NotConnected(String),
    /// the device has not subscribed to direct methods
    #[error("the device `{0}` has not subscribed to direct methods")]
    NoMethods(String),
    /// a method name is empty or has other characters than `A-Z a-z 0-9 _ - . *`
    #[error("the method name `{0}` is empty or has other characters than A-Z a-z 0-9 _ - . *")]
    MethodName(String),
    /// a message is larger than the hub takes
    #[error("a message of {size} bytes is larger than {limit}")]
    TooLarge {
        /// Size of the message.
        size: usize,
        /// Size that would be taken.
        limit: usize,
    },
    /// too many messages wait for the device
    #[error("50 messages wait for the device `{0}` already")]
    QueueFull(String),
    /// the twin refuses a patch
    #[error(transparent)]
    Twin(#[from] TwinError),
}

/// A message for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub body: Vec<u8>,
    /// QoS, 0 or 1.
    pub qos: u8,
    /// What comes back with the PUBACK.
    pub tag: Tag,
}

/// What the service wants done after a call.
#[derive(Debug, Default)]
pub struct Effects {
    /// Messages to send.
    pub sends: Vec<(ConnId, Outgoing)>,
    /// Connections to close.
    pub closes: Vec<(ConnId, CloseReason)>,
    /// What happened.
    pub events: Vec<EventKind>,
}

/// A refused CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// CONNACK return code.
    pub code: u8,
    /// The reason, for a reader.
    pub why: String,
}

/// An accepted CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Device id.
    pub device: String,
    /// Whether subscriptions of an earlier session are still there.
    pub session_present: bool,
}

/// The hub.
#[derive(Debug)]
pub struct Hub {
    host: String,
    utc: Utc,
    devices: BTreeMap<String, Device>,
    rng: Rng,
    next_call: u64,
    next_message: u64,
    /// How often this hub was restored; each life draws other random numbers.
    restarts: u32,
    /// Keys of durable entries that have changed.
    changed: BTreeSet<String>,
}

impl Hub {
    /// A hub without devices.
    pub fn new(host: String, utc: Utc, rng: Rng) -> Self {
        Self {
            host,
            utc,
            devices: BTreeMap::new(),
            rng,
            next_call: 1,
            next_message: 1,
            restarts: 0,
            changed: BTreeSet::new(),
        }
    }

    /// Host name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Adds a device, or replaces the credentials of an existing one.
    pub fn register(&mut self, id: &str, attestation: Attestation, tags: Map<String, Value>) {
        let device = self.devices.entry(id.to_owned()).or_insert_with(|| Device::new(id, attestation.clone()));
        device.record.attestation = attestation;
        // Tags that are too large for a twin are a mistake in a scenario; the device works without them.
        let _ = device.twin.patch_tags(&tags);
        self.changed(Entry::Device, id);
        self.changed(Entry::Twin, id);
    }

    /// A device.
    pub fn device(&self, id: &str) -> Option<&Device> {
        self.devices.get(id)
    }

    /// All devices, by id.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    fn device_mut(&mut self, id: &str) -> Result<&mut Device, HubError> {
        self.devices.get_mut(id).ok_or_else(|| HubError::NoDevice(id.to_owned()))
    }

    /// Judges a CONNECT of `conn`; on success an older connection of the device is evicted.
    ///
    /// # Errors
    /// [`Refused`] with the CONNACK code.
    pub fn connect(
        &mut self,
        now: Instant,
        conn: ConnId,
        connect: &mqtt::Connect,
        certificates: &[Vec<u8>],
        effects: &mut Effects,
    ) -> Result<Accepted, Refused> {
        let refused = |code, why: String| Refused { code, why };
        let username = connect.username.as_deref().unwrap_or_default();
        let username = Username::parse(username).map_err(|why| refused(mqtt::REFUSED_CREDENTIALS, why))?;
        if !username.host.eq_ignore_ascii_case(&self.host) {
            let why = format!("this hub is `{}`, not `{}`", self.host, username.host);
            return Err(refused(mqtt::REFUSED_NOT_AUTHORISED, why));
        }
        if connect.client_id != username.device {
            let why = format!("the client id `{}` is not the device id `{}`", connect.client_id, username.device);
            return Err(refused(mqtt::REFUSED_IDENTIFIER, why));
        }
        let unauthorised = |why| refused(mqtt::REFUSED_NOT_AUTHORISED, why);
        let device = self
            .devices
            .get_mut(&username.device)
            .ok_or_else(|| unauthorised(format!("the device `{}` does not exist", username.device)))?;
        if !device.record.enabled {
            return Err(unauthorised(format!("the device `{}` is disabled", device.id)));
        }
        let password = match connect.password.as_deref() {
            None | Some([]) => None,
            Some(bytes) => Some(
                core::str::from_utf8(bytes)
                    .map_err(|_| refused(mqtt::REFUSED_CREDENTIALS, "the password is not UTF-8".into()))?,
            ),
        };
        let resource = format!("{}/devices/{}", self.host, device.id);
        let presented = Presented { password, certificates, now: self.utc.seconds(now) };
        let expires = device.record.attestation.check(&resource, presented).map_err(unauthorised)?;
        if let Some(will) = &connect.will {
            let telemetry = Request::of(&will.topic, &device.id) == Some(Request::Telemetry);
            if !telemetry || will.qos > 1 {
                let why = format!("the will's topic `{}` is not the device's telemetry topic", will.topic);
                return Err(refused(mqtt::REFUSED_CREDENTIALS, why));
            }
        }
        if let Some(old) = device.link.take() {
            effects.closes.push((old.conn, CloseReason::Evicted));
        }
        let session_present = !connect.clean_session && device.record.has_session;
        if connect.clean_session {
            device.record.subscriptions.clear();
        }
        device.record.has_session = !connect.clean_session;
        for message in &mut device.queue {
            message.in_flight = false;
        }
        device.link = Some(Link {
            conn,
            expires: expires.map_or(Instant::NEVER, |unix| self.utc.instant(unix)),
            clean: connect.clean_session,
        });
        device.record.model_id.clone_from(&username.model_id);
        device.record.connection_updated = Some(now);
        device.record.last_activity = Some(now);
        effects.events.push(EventKind::Connected {
            device: device.id.clone(),
            model_id: username.model_id,
            api_version: username.api_version,
            client_type: username.client_type,
        });
        let id = device.id.clone();
        self.changed(Entry::Device, &id);
        self.flush(&id, effects);
        Ok(Accepted { device: id, session_present })
    }

    /// Grants subscriptions; yields the QoS for each.
    ///
    /// # Errors
    /// The protocol violation for which the connection has to be closed.
    pub fn subscribe(&mut self, id: &str, filters: &[(String, u8)], effects: &mut Effects) -> Result<Vec<u8>, String> {
        let device = self.devices.get_mut(id).ok_or("the device was removed")?;
        let mut granted = Vec::new();
        for (filter, qos) in filters {
            let known =
                [TWIN_RESPONSES, DESIRED_PATCHES, METHODS].contains(&filter.as_str()) || *filter == devicebound(id);
            if !known {
                return Err(format!("the hub does not know the filter `{filter}`"));
            }
            let qos = (*qos).min(1);
            device.record.subscriptions.insert(filter.clone(), qos);
            if device.record.subscriptions.len() > MAX_SUBSCRIPTIONS {
                return Err("a device has at most 5 subscriptions".into());
            }
            granted.push(qos);
            effects.events.push(EventKind::Subscribed { device: id.to_owned(), filter: filter.clone(), qos });
        }
        self.changed(Entry::Device, id);
        self.flush(id, effects);
        Ok(granted)
    }

    /// Ends subscriptions.
    pub fn unsubscribe(&mut self, id: &str, filters: &[String]) {
        if let Some(device) = self.devices.get_mut(id) {
            device.record.subscriptions.retain(|filter, _| !filters.contains(filter));
            self.changed(Entry::Device, id);
        }
    }

    /// Handles a message of a device.
    ///
    /// # Errors
    /// The protocol violation for which the connection has to be closed.
    pub fn publish(&mut self, id: &str, topic: &str, body: Vec<u8>, effects: &mut Effects) -> Result<(), String> {
        let request = Request::of(topic, id).ok_or_else(|| format!("the hub does not know the topic `{topic}`"))?;
        let device = self.devices.get_mut(id).ok_or("the device was removed")?;
        match request {
            Request::Telemetry => {
                if body.len() > MAX_TELEMETRY {
                    return Err(format!("a message of {} bytes is larger than 256 KB", body.len()));
                }
                effects.events.push(EventKind::Telemetry {
                    device: id.to_owned(),
                    topic: topic.to_owned(),
                    body,
                    will: false,
                });
            }
            Request::TwinGet { rid } => {
                if let Some(status) = device.refusal() {
                    device.refuse(rid, status, "the scenario asked for it", effects);
                    return Ok(());
                }
                let body = device.twin.document().to_string().into_bytes();
                if device.send(TWIN_RESPONSES, format!("$iothub/twin/res/200/?$rid={rid}"), body, Tag::Plain, effects) {
                    device.record.last_desired_sent = Some(device.twin.desired_version());
                    effects.events.push(EventKind::TwinRead {
                        device: id.to_owned(),
                        desired_version: device.twin.desired_version(),
                    });
                    self.changed(Entry::Device, id);
                }
            }
            Request::TwinPatch { rid } => {
                if let Some(status) = device.refusal() {
                    device.refuse(rid, status, "the scenario asked for it", effects);
                    return Ok(());
                }
                match parse_object(&body).and_then(|patch| Ok((device.twin.patch_reported(&patch)?, patch))) {
                    Ok((version, patch)) => {
                        let topic = format!("$iothub/twin/res/204/?$rid={rid}&$version={version}");
                        device.send(TWIN_RESPONSES, topic, Vec::new(), Tag::Plain, effects);
                        effects.events.push(EventKind::Reported {
                            device: id.to_owned(),
                            patch: Value::Object(patch),
                            version,
                        });
                        self.changed(Entry::Twin, id);
                    }
                    Err(error) => device.refuse(rid, error.status(), &error.to_string(), effects),
                }
            }
            Request::MethodResponse { status, rid } => {
                // An answer to nothing, or after the timeout, is dropped without a word, as the service does.
                if let Some(pending) = rid.parse().ok().and_then(|rid: u64| device.calls.remove(&rid)) {
                    effects.events.push(EventKind::MethodAnswered {
                        device: id.to_owned(),
                        call: pending.call,
                        status,
                        body,
                    });
                }
            }
        }
        Ok(())
    }

    /// Notes the acknowledgement of a message.
    pub fn acknowledged(&mut self, id: &str, tag: Tag) {
        if let (Tag::CloudToDevice(number), Some(device)) = (tag, self.devices.get_mut(id)) {
            device.queue.retain(|message| message.number != number);
            self.message_changed(id, number);
        }
    }

    /// Notes the end of a connection; `will` is published for the device.
    pub fn disconnected(
        &mut self,
        now: Instant,
        conn: ConnId,
        id: &str,
        will: Option<mqtt::Will>,
        effects: &mut Effects,
    ) {
        if let Some(will) = will {
            effects.events.push(EventKind::Telemetry {
                device: id.to_owned(),
                topic: will.topic,
                body: will.body,
                will: true,
            });
        }
        if let Some(device) = self.devices.get_mut(id)
            && let Some(link) = device.link.take_if(|link| link.conn == conn)
        {
            if link.clean {
                device.record.subscriptions.clear();
            }
            device.record.connection_updated = Some(now);
            self.changed(Entry::Device, id);
        }
    }

    /// Changes desired properties and tells the device if it listens; yields the new version.
    ///
    /// # Errors
    /// [`HubError::NoDevice`], [`HubError::Twin`].
    pub fn set_desired(&mut self, id: &str, patch: &Value, effects: &mut Effects) -> Result<u64, HubError> {
        let device = self.device_mut(id)?;
        let Value::Object(patch) = patch else {
            return Err(TwinError::NotAnObject(patch.to_string()).into());
        };
        let version = device.twin.patch_desired(patch)?;
        self.changed(Entry::Twin, id);
        let device = self.device_mut(id)?;
        let body = notification(patch, version).to_string().into_bytes();
        let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
        if device.send(DESIRED_PATCHES, topic, body, Tag::Plain, effects) {
            device.record.last_desired_sent = Some(version);
            self.changed(Entry::Device, id);
            effects.events.push(EventKind::DesiredSent { device: id.to_owned(), version });
        }
        Ok(version)
    }

    /// Changes tags.
    ///
    /// # Errors
    /// [`HubError::NoDevice`], [`HubError::Twin`].
    pub fn set_tags(&mut self, id: &str, patch: &Map<String, Value>) -> Result<(), HubError> {
        self.device_mut(id)?.twin.patch_tags(patch)?;
        self.changed(Entry::Twin, id);
        Ok(())
    }

    /// Allows or forbids a device to connect; a forbidden one loses its connection.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn set_enabled(&mut self, id: &str, enabled: bool, effects: &mut Effects) -> Result<(), HubError> {
        self.device_mut(id)?.record.enabled = enabled;
        self.changed(Entry::Device, id);
        if enabled { Ok(()) } else { self.disconnect(id, effects) }
    }

    /// Closes a device's connection, if it has one.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn disconnect(&mut self, id: &str, effects: &mut Effects) -> Result<(), HubError> {
        if let Some(link) = &self.device_mut(id)?.link {
            effects.closes.push((link.conn, CloseReason::Administrative));
        }
        Ok(())
    }

    /// Answers the next `count` twin requests of a device with `status`, e.g. 429.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn refuse_twin_requests(&mut self, id: &str, status: u16, count: u32) -> Result<(), HubError> {
        self.device_mut(id)?.refuse_twin = Some(RefuseTwin { status, remaining: count });
        Ok(())
    }

    /// Calls a direct method; the answer or the timeout comes as an event.
    ///
    /// # Errors
    /// [`HubError`] if the device does not listen or the call is malformed.
    pub fn invoke_method(
        &mut self,
        now: Instant,
        id: &str,
        name: &str,
        payload: &Value,
        timeout: Duration,
        effects: &mut Effects,
    ) -> Result<MethodCallId, HubError> {
        let number = self.next_call;
        let device = self.device_mut(id)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.*".contains(c);
        if name.is_empty() || !name.chars().all(allowed) {
            return Err(HubError::MethodName(name.to_owned()));
        }
        if device.link.is_none() {
            return Err(HubError::NotConnected(id.to_owned()));
        }
        let body = payload.to_string().into_bytes();
        if body.len() > MAX_METHOD {
            return Err(HubError::TooLarge { size: body.len(), limit: MAX_METHOD });
        }
        let topic = format!("$iothub/methods/POST/{name}/?$rid={number}");
        if !device.send(METHODS, topic, body, Tag::Plain, effects) {
            return Err(HubError::NoMethods(id.to_owned()));
        }
        let call = MethodCallId(number);
        device.calls.insert(number, PendingCall { call, deadline: now + timeout });
        self.next_call += 1;
        self.counted();
        Ok(call)
    }

    /// Queues a cloud-to-device message; it is complete when the device acknowledges it.
    ///
    /// `properties` are application properties, undecoded.
    ///
    /// # Errors
    /// [`HubError`].
    pub fn send_message(
        &mut self,
        id: &str,
        properties: &[(&str, &str)],
        body: Vec<u8>,
        effects: &mut Effects,
    ) -> Result<(), HubError> {
        if body.len() > MAX_CLOUD_TO_DEVICE {
            return Err(HubError::TooLarge { size: body.len(), limit: MAX_CLOUD_TO_DEVICE });
        }
        let message_id = guid(&mut self.rng);
        let number = self.next_message;
        let device = self.device_mut(id)?;
        if device.queue.len() >= MAX_QUEUE {
            return Err(HubError::QueueFull(id.to_owned()));
        }
        let mut bag = format!("%24.mid={message_id}&%24.to=%2Fdevices%2F{id}%2Fmessages%2FdeviceBound");
        for (name, value) in properties {
            bag = format!("{bag}&{}={}", percent_encode(name), percent_encode(value));
        }
        device.queue.push_back(CloudToDevice { number, bag, body, in_flight: false });
        self.next_message += 1;
        self.counted();
        self.message_changed(id, number);
        self.flush(id, effects);
        Ok(())
    }

    /// Sends what is queued for a device if it listens.
    fn flush(&mut self, id: &str, effects: &mut Effects) {
        let Some(device) = self.devices.get_mut(id) else { return };
        let filter = devicebound(id);
        let mut complete = Vec::new();
        let mut queue = core::mem::take(&mut device.queue);
        queue.retain_mut(|message| {
            if message.in_flight {
                return true;
            }
            let topic = format!("devices/{id}/messages/devicebound/{}", message.bag);
            message.in_flight =
                device.send(&filter, topic, message.body.clone(), Tag::CloudToDevice(message.number), effects);
            // At QoS 0 a message is complete when it is sent.
            let keep = !message.in_flight || device.record.subscriptions.get(&filter) == Some(&1);
            if !keep {
                complete.push(message.number);
            }
            keep
        });
        device.queue = queue;
        for number in complete {
            self.message_changed(id, number);
        }
    }

    /// Closes connections with expired tokens and gives up on unanswered methods.
    pub fn poll(&mut self, now: Instant, effects: &mut Effects) {
        for device in self.devices.values_mut() {
            if let Some(link) = &device.link
                && now >= link.expires
            {
                effects.closes.push((link.conn, CloseReason::TokenExpired));
            }
            let late: Vec<u64> =
                device.calls.iter().filter(|(_, call)| now >= call.deadline).map(|(rid, _)| *rid).collect();
            for rid in late {
                if let Some(pending) = device.calls.remove(&rid) {
                    effects.events.push(EventKind::MethodTimedOut { device: device.id.clone(), call: pending.call });
                }
            }
        }
    }

    /// When [`poll`](Self::poll) next has something to do.
    pub fn poll_at(&self) -> Instant {
        self.devices
            .values()
            .flat_map(|device| {
                let calls = device.calls.values().map(|call| call.deadline);
                calls.chain(device.link.as_ref().map(|link| link.expires))
            })
            .min()
            .unwrap_or(Instant::NEVER)
    }
}

impl Device {
    /// Sends to the device if it is connected and subscribed to `filter`.
    fn send(&self, filter: &str, topic: String, body: Vec<u8>, tag: Tag, effects: &mut Effects) -> bool {
        let (Some(link), Some(qos)) = (&self.link, self.record.subscriptions.get(filter)) else { return false };
        effects.sends.push((link.conn, Outgoing { topic, body, qos: *qos, tag }));
        true
    }

    /// The status with which this twin request is to be refused, if any.
    fn refusal(&mut self) -> Option<u16> {
        let refuse = self.refuse_twin.as_mut().filter(|refuse| refuse.remaining > 0)?;
        refuse.remaining -= 1;
        Some(refuse.status)
    }

    fn refuse(&self, rid: &str, status: u16, why: &str, effects: &mut Effects) {
        // The shape of error bodies is that of the provisioning service; the documents do not show the hub's.
        let body = json!({"errorCode": u32::from(status) * 1000, "message": why}).to_string().into_bytes();
        let topic = format!("$iothub/twin/res/{status}/?$rid={rid}");
        self.send(TWIN_RESPONSES, topic, body, Tag::Plain, effects);
        effects.events.push(EventKind::TwinRefused { device: self.id.clone(), status, why: why.to_owned() });
    }
}

fn parse_object(body: &[u8]) -> Result<Map<String, Value>, TwinError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(TwinError::NotAnObject(other.to_string())),
        Err(error) => Err(TwinError::NotAnObject(error.to_string())),
    }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}
