//! IoT Hub: device registry, twins, telemetry, direct methods, cloud-to-device messages.
//!
//! Knows connections only by number: the same service can stand behind the MQTT sessions of this crate or behind a
//! broker. What it wants done comes out as [`Effects`].
//!
//! An id is that of a device, or `device/module`.

mod certificates;
mod connect;
mod device;
mod devices;
mod error;
mod faults;
mod messages;
mod methods;
mod registry;
mod store;
mod telemetry;
mod throttle;
mod topics;
mod twin;
mod twins;

use std::collections::{BTreeMap, BTreeSet};

use sim_base::{Instant, Rng};

pub use certificates::CaCertificate;
pub use connect::{Accepted, Login, Refused};
pub use device::Device;
use devices::Devices;
pub use error::HubError;
pub use faults::DeviceFault;
pub use messages::{Ack, Message, MessageOutcome, MessageSettings, QueuedMessage};
pub use methods::{MethodCallId, MethodRequest};
pub use registry::{DeviceQuery, DeviceUpdate, NewDevice};
use store::Entry;
pub use telemetry::{Answer, Properties, Telemetry};
use throttle::Buckets;
pub use throttle::{Operation, Throttle};
pub(crate) use topics::query;
pub use topics::{DESIRED_PATCHES, Filter, METHODS, Request, TWIN_RESPONSES, Username, devicebound};
pub use twin::{MAX_STRING, Twin, TwinError, notification, size};
pub use twins::TwinUpdate;

use crate::cloud::ConnId;
use crate::event::{CloseReason, EventKind};
use crate::mqtt::Tag;
use crate::utc::Utc;

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
    /// Connections to cut after so many bytes from the device, or to the device.
    pub cuts: Vec<(ConnId, DeviceFault)>,
    /// Connections to close.
    pub closes: Vec<(ConnId, CloseReason)>,
    /// What happened.
    pub events: Vec<EventKind>,
}

/// The hub.
#[derive(Debug)]
pub struct Hub {
    host: String,
    utc: Utc,
    devices: Devices,
    certificates: BTreeMap<String, CaCertificate>,
    messages: MessageSettings,
    throttle: Buckets,
    rng: Rng,
    next_call: u64,
    next_message: u64,
    /// How often this hub was restored; each life draws other random numbers.
    restarts: u32,
    /// Keys of durable entries that have changed.
    changed: BTreeSet<String>,
    /// Devices by the time at which there is something to do for them.
    timers: BTreeSet<(Instant, String)>,
    /// Devices that have changed.
    noticed: BTreeSet<String>,
    /// Devices that were restored and not looked at yet.
    restored: BTreeSet<String>,
}

impl Hub {
    /// A hub without devices.
    pub fn new(host: String, utc: Utc, rng: Rng) -> Self {
        Self {
            host,
            utc,
            devices: Devices::default(),
            certificates: BTreeMap::new(),
            messages: MessageSettings::default(),
            throttle: Buckets::default(),
            rng,
            next_call: 1,
            next_message: 1,
            restarts: 0,
            changed: BTreeSet::new(),
            timers: BTreeSet::new(),
            noticed: BTreeSet::new(),
            restored: BTreeSet::new(),
        }
    }

    /// Host name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A device, or a module by `device/module`.
    pub fn device(&self, id: &str) -> Option<&Device> {
        self.devices.get(id)
    }

    fn device_mut(&mut self, id: &str) -> Result<&mut Device, HubError> {
        self.devices.get_mut(id).ok_or_else(|| HubError::NoDevice(id.to_owned()))
    }

    /// Limits the operations of all devices together; the next seconds begin with full allowances.
    pub fn set_throttle(&mut self, throttle: Throttle) {
        self.throttle = Buckets::new(throttle);
    }

    /// Sets how cloud-to-device messages live; those that wait keep their expiry.
    pub fn set_message_settings(&mut self, settings: MessageSettings) {
        self.messages = settings.sane();
    }

    /// Puts a device under the time at which there is next something to do for it; due after every change of it.
    fn arm(&mut self, id: &str) {
        let Some(device) = self.devices.get_mut(id) else { return };
        let due = device.deadline();
        if due != device.due {
            self.timers.remove(&(device.due, id.to_owned()));
            device.due = due;
            if due != Instant::NEVER {
                self.timers.insert((due, id.to_owned()));
            }
        }
    }

    /// Does what is due: expired tokens, calls without an answer, expired and locked messages, held patches.
    pub fn poll(&mut self, now: Instant, effects: &mut Effects) {
        while let Some((due, _)) = self.timers.first()
            && *due <= now
            && let Some((_, id)) = self.timers.pop_first()
        {
            let Some(device) = self.devices.get_mut(&id) else { continue };
            device.due = Instant::NEVER;
            if let Some(link) = &mut device.link
                && now >= link.expires
            {
                link.expires = Instant::NEVER;
                effects.closes.push((link.conn, CloseReason::TokenExpired));
            }
            device.give_up_calls(now, effects);
            self.expire_messages(now, &id, effects);
            self.release_desired(now, &id, effects);
            self.arm(&id);
        }
    }

    /// When [`poll`](Self::poll) next has something to do.
    pub fn poll_at(&self) -> Instant {
        self.timers.first().map_or(Instant::NEVER, |(due, _)| *due)
    }
}

impl Device {
    /// Sends to the device if it is connected and subscribed to `filter`.
    fn send(&self, filter: &str, topic: String, body: Vec<u8>, tag: Tag, effects: &mut Effects) -> bool {
        let (Some(link), Some(qos)) = (&self.link, self.record.subscriptions.get(filter)) else { return false };
        effects.sends.push((link.conn, Outgoing { topic, body, qos: *qos, tag }));
        true
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
