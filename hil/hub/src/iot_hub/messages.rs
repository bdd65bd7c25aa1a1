//! Cloud-to-device messages: a queue for each device, delivered at least once.

use core::time::Duration;

use serde::{Deserialize, Serialize};
use sim_base::Instant;

use super::{Device, Effects, Hub, HubError, devicebound, percent_encode};
use crate::dps::guid;
use crate::durable;
use crate::event::EventKind;
use crate::mqtt::Tag;

/// Largest cloud-to-device message, bytes.
const MAX_CLOUD_TO_DEVICE: usize = 64 * 1024;
/// Most cloud-to-device messages that wait for one device.
const MAX_QUEUE: usize = 50;
/// Longest time to live, seconds: two days.
const LONGEST_TTL: u64 = 48 * 3600;

/// Of which outcomes the sender wants to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ack {
    /// Of none.
    #[default]
    None,
    /// Of completion.
    Positive,
    /// Of expiry, of too many deliveries, and of a purge.
    Negative,
    /// Of all.
    Full,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MessageOutcome {
    /// The device acknowledged it.
    Success,
    /// It was not completed in its time.
    Expired,
    /// It was delivered in vain too often.
    DeliveryCountExceeded,
    /// An administrator purged the queue, or deleted the device.
    Purged,
}

impl MessageOutcome {
    /// Name in a feedback record, e.g. `DeliveryCountExceeded`.
    pub fn status_code(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Expired => "Expired",
            Self::DeliveryCountExceeded => "DeliveryCountExceeded",
            Self::Purged => "Purged",
        }
    }
}

/// A message for a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Message {
    /// Message id; a random one if `None`.
    pub message_id: Option<String>,
    /// Correlation id.
    pub correlation_id: Option<String>,
    /// User id.
    pub user_id: Option<String>,
    /// Content type, e.g. `application/json`.
    pub content_type: Option<String>,
    /// Content encoding, e.g. `utf-8`.
    pub content_encoding: Option<String>,
    /// Of which outcomes the sender wants to be told.
    pub ack: Ack,
    /// How long it may wait, in seconds, up to two days; the hub's default if `None`.
    pub ttl_seconds: Option<u64>,
    /// Application properties, undecoded; a value of `None` is a key without `=`.
    pub properties: Vec<(String, Option<String>)>,
    /// Payload.
    #[serde(with = "durable::bytes")]
    pub body: Vec<u8>,
}

/// How cloud-to-device messages live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageSettings {
    /// Time to live of a message that names none.
    pub default_ttl: Duration,
    /// How often a message may be delivered in vain, at least once. A delivery is in vain if the connection ends before the device
    /// acknowledges it.
    pub max_delivery_count: u32,
    /// How long a device may take to acknowledge a message before it is delivered again on the same connection, at least
    /// a second.
    pub lock: Duration,
}

impl MessageSettings {
    /// Without values that would deliver for ever or never.
    pub(super) fn sane(self) -> Self {
        let lock = self.lock.max(Duration::from_secs(1));
        Self { max_delivery_count: self.max_delivery_count.max(1), lock, ..self }
    }
}

impl Default for MessageSettings {
    /// One hour, 10 deliveries, one minute.
    fn default() -> Self {
        Self { default_ttl: Duration::from_secs(3600), max_delivery_count: 10, lock: Duration::from_secs(60) }
    }
}

/// A queued message.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CloudToDevice {
    pub number: u64,
    message_id: String,
    ack: Ack,
    #[serde(with = "durable::instant")]
    enqueued: Instant,
    #[serde(with = "durable::instant")]
    expires: Instant,
    /// How often it was delivered in vain.
    deliveries: u32,
    bag: String,
    #[serde(with = "durable::bytes")]
    body: Vec<u8>,
    /// It was sent on the present connection, and is not sent again before this.
    #[serde(skip)]
    locked: Option<Instant>,
}

impl CloudToDevice {
    pub(super) fn deadline(&self) -> Instant {
        self.locked.map_or(self.expires, |locked| locked.min(self.expires))
    }
}

impl Hub {
    /// Queues a cloud-to-device message; it is complete when the device acknowledges it. Yields the message id.
    ///
    /// # Errors
    /// [`HubError`].
    pub fn send_message(
        &mut self,
        now: Instant,
        id: &str,
        message: Message,
        effects: &mut Effects,
    ) -> Result<String, HubError> {
        let default_ttl = self.messages.default_ttl;
        if id.contains('/') {
            return Err(HubError::ModuleQueue(id.to_owned()));
        }
        let device = self.device_mut(id)?;
        if device.queue.len() >= MAX_QUEUE {
            return Err(HubError::QueueFull(id.to_owned()));
        }
        let properties = message.properties.iter();
        let size = message.body.len()
            + properties.map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len)).sum::<usize>();
        if size > MAX_CLOUD_TO_DEVICE {
            return Err(HubError::TooLarge { size, limit: MAX_CLOUD_TO_DEVICE });
        }
        let ttl = match message.ttl_seconds {
            None => default_ttl,
            Some(seconds @ 1..=LONGEST_TTL) => Duration::from_secs(seconds),
            Some(seconds) => {
                return Err(HubError::Timeout { what: "time to live", seconds, least: 1, most: LONGEST_TTL });
            }
        };
        let message_id = message.message_id.clone().unwrap_or_else(|| guid(&mut self.rng));
        let number = self.next_message;
        self.next_message += 1;
        self.counted();
        let queued = CloudToDevice {
            number,
            ack: message.ack,
            enqueued: now,
            expires: now + ttl,
            deliveries: 0,
            bag: bag(id, &message_id, &message),
            message_id: message_id.clone(),
            body: message.body,
            locked: None,
        };
        self.device_mut(id)?.queue.push_back(queued);
        self.message_changed(id, number);
        self.flush(now, id, effects);
        Ok(message_id)
    }

    /// Empties a device's queue; yields how many messages there were.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn purge_messages(&mut self, now: Instant, id: &str, effects: &mut Effects) -> Result<usize, HubError> {
        let count = self.device_mut(id)?.queue.len();
        self.settle(now, id, MessageOutcome::Purged, |_| true, effects);
        self.arm(id);
        Ok(count)
    }

    /// Sends what is queued for a device if it listens.
    pub(super) fn flush(&mut self, now: Instant, id: &str, effects: &mut Effects) {
        let lock = self.messages.lock;
        let Some(device) = self.devices.get_mut(id) else { return };
        let filter = devicebound(id);
        let mut queue = core::mem::take(&mut device.queue);
        for message in queue.iter_mut().filter(|message| message.locked.is_none()) {
            let topic = format!("devices/{id}/messages/devicebound/{}", message.bag);
            if device.send(&filter, topic, message.body.clone(), Tag::CloudToDevice(message.number), effects) {
                message.locked = Some(now + lock);
            }
        }
        device.queue = queue;
        // At QoS 0 a message is complete when it is sent.
        if device.record.subscriptions.get(&filter) == Some(&0) {
            self.settle(now, id, MessageOutcome::Success, |message| message.locked.is_some(), effects);
        }
        self.arm(id);
    }

    /// Notes that the device has acknowledged a message.
    pub(super) fn complete(&mut self, now: Instant, id: &str, number: u64, effects: &mut Effects) {
        self.settle(now, id, MessageOutcome::Success, |message| message.number == number, effects);
        self.arm(id);
    }

    /// Notes that deliveries were in vain because the connection is gone.
    pub(super) fn abandon(&mut self, now: Instant, id: &str, effects: &mut Effects) {
        let Some(device) = self.devices.get_mut(id) else { return };
        let mut changed = Vec::new();
        for message in &mut device.queue {
            if message.locked.take().is_some() {
                message.deliveries += 1;
                changed.push(message.number);
            }
        }
        for number in changed {
            self.message_changed(id, number);
        }
        let most = self.messages.max_delivery_count;
        let exceeded = |message: &CloudToDevice| message.deliveries >= most;
        self.settle(now, id, MessageOutcome::DeliveryCountExceeded, exceeded, effects);
    }

    /// Ends messages that have waited too long, and delivers those again that were not acknowledged in time.
    pub(super) fn expire_messages(&mut self, now: Instant, id: &str, effects: &mut Effects) {
        self.settle(now, id, MessageOutcome::Expired, |message| now >= message.expires, effects);
        let Some(device) = self.devices.get_mut(id) else { return };
        let mut unlocked = false;
        for message in &mut device.queue {
            unlocked |= message.locked.take_if(|locked| now >= *locked).is_some();
        }
        if unlocked {
            self.flush(now, id, effects);
        }
    }

    /// Takes messages out of the queue and says why.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        id: &str,
        outcome: MessageOutcome,
        which: impl Fn(&CloudToDevice) -> bool,
        effects: &mut Effects,
    ) {
        let Some(device) = self.devices.get_mut(id) else { return };
        if !device.queue.iter().any(&which) {
            return;
        }
        let (gone, kept): (Vec<_>, Vec<_>) = device.queue.drain(..).partition(|message| which(message));
        device.queue = kept.into();
        let generation = device.record.generation.clone();
        for message in gone {
            self.message_changed(id, message.number);
            effects.events.push(EventKind::MessageSettled {
                device: id.to_owned(),
                message_id: message.message_id.clone(),
                outcome,
            });
            let wanted = match outcome {
                MessageOutcome::Success => matches!(message.ack, Ack::Positive | Ack::Full),
                _ => matches!(message.ack, Ack::Negative | Ack::Full),
            };
            if wanted {
                effects.events.push(EventKind::Feedback {
                    device: id.to_owned(),
                    generation_id: generation.clone(),
                    original_message_id: message.message_id,
                    status_code: outcome.status_code().to_owned(),
                    enqueued_time_utc: self.utc.format(now),
                });
            }
        }
    }
}

impl Device {
    /// Locks a message that is sent once more under its packet identifier; `false` if it is not wanted any more.
    pub(super) fn relock(&mut self, number: u64, until: Instant) -> bool {
        let message = self.queue.iter_mut().find(|message| message.number == number);
        message.map(|message| message.locked = Some(until)).is_some()
    }
}

/// A message that waits, as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueuedMessage {
    /// Counts the messages of the hub.
    pub sequence_number: u64,
    /// Message id.
    pub message_id: String,
    /// Of which outcomes the sender wants to be told.
    pub ack: Ack,
    /// When it was queued.
    #[serde(with = "durable::instant")]
    pub enqueued: Instant,
    /// When it expires.
    #[serde(with = "durable::instant")]
    pub expires: Instant,
    /// How often it was delivered in vain.
    pub delivery_count: u32,
    /// Whether it was delivered on the present connection and is not acknowledged yet.
    pub locked: bool,
    /// Bytes of its payload.
    pub size: usize,
}

impl Device {
    /// The messages that wait for the device, in order.
    pub fn messages(&self) -> impl Iterator<Item = QueuedMessage> {
        self.queue.iter().map(|message| QueuedMessage {
            sequence_number: message.number,
            message_id: message.message_id.clone(),
            ack: message.ack,
            enqueued: message.enqueued,
            expires: message.expires,
            delivery_count: message.deliveries,
            locked: message.locked.is_some(),
            size: message.body.len(),
        })
    }
}

/// The property bag of a topic: system properties with `$.`, application properties without.
fn bag(id: &str, message_id: &str, message: &Message) -> String {
    let to = format!("/devices/{id}/messages/deviceBound");
    let ack = match message.ack {
        Ack::None => None,
        Ack::Positive => Some("positive".to_owned()),
        Ack::Negative => Some("negative".to_owned()),
        Ack::Full => Some("full".to_owned()),
    };
    let system = [
        ("$.mid", Some(message_id.to_owned())),
        ("$.to", Some(to)),
        ("$.cid", message.correlation_id.clone()),
        ("$.uid", message.user_id.clone()),
        ("$.ct", message.content_type.clone()),
        ("$.ce", message.content_encoding.clone()),
        ("iothub-ack", ack),
    ];
    let system = system.into_iter().filter_map(|(name, value)| Some((name, Some(value?))));
    let application = message.properties.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let pairs: Vec<String> = system
        .chain(application)
        .map(|(name, value)| match value {
            Some(value) => format!("{}={}", percent_encode(name), percent_encode(&value)),
            None => percent_encode(name),
        })
        .collect();
    pairs.join("&")
}
