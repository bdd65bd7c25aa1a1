//! IoT Hub: twin, reported properties, telemetry, direct methods, messages.

use crate::mqtt::Packet;
use crate::session::{Incoming, Session};
use crate::topic::{number, parameter, status_and_query};
use crate::writer::Writer;
use crate::{Error, sas};

/// The protocol version that is announced; plug and play needs 2020-09-30 or later.
pub const API_VERSION: &str = "2021-04-12";

const TWIN_RESPONSE: &str = "$iothub/twin/res/";
const DESIRED_PATCH: &str = "$iothub/twin/PATCH/properties/desired/";
const METHOD: &str = "$iothub/methods/POST/";
/// The hub allows five subscriptions for each device; messages to the device are the fourth.
const FILTERS: [&str; 3] = ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#"];

/// Which hub, and as whom.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// Host name of the hub, also the scope of tokens.
    pub host: &'a str,
    /// Device id.
    pub device_id: &'a str,
    /// Plug and play model that is announced, for example `dtmi:azure:iot:deviceUpdateModel;2`.
    pub model_id: Option<&'a str>,
    /// `DeviceClientType`: which software this is.
    pub product: &'a str,
    /// Keep-alive time in seconds, at most 1177; zero turns pings off.
    pub keep_alive_s: u16,
}

impl Config<'_> {
    /// The password: a token for this device under its own `key` (raw bytes), valid until `expiry` (Unix seconds).
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`sas::TOKEN_LEN`] bytes suffice.
    pub fn token<'b>(&self, key: &[u8], expiry: u64, out: &'b mut [u8]) -> Result<&'b str, Error> {
        sas::token(&[self.host, "devices", self.device_id], None, key, expiry, out)
    }
}

/// What a packet meant.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'p> {
    /// The hub accepted the connection; subscriptions follow.
    Connected,
    /// All topics are subscribed: read the twin now.
    Ready,
    /// Answer to [`Client::read_twin`].
    Twin {
        /// 200, or 429 and 5xx: try again later.
        status: u16,
        /// `{"desired":{...},"reported":{...}}` with status 200.
        document: &'p mut [u8],
    },
    /// Answer to [`Client::report`].
    Reported {
        /// 204, or why not.
        status: u16,
        /// Version of the reported properties.
        version: Option<u64>,
    },
    /// Desired properties have changed.
    Desired {
        /// `$version` of the desired properties.
        version: u64,
        /// Merge patch, with `$version` inside.
        document: &'p mut [u8],
    },
    /// A direct method was called: answer with [`Client::respond`].
    Method {
        /// Name; `component*command` for commands of components.
        name: &'p str,
        /// Request id for the answer.
        rid: &'p str,
        /// Payload, JSON.
        payload: &'p mut [u8],
    },
    /// A cloud-to-device message. It is acknowledged, and thereby completed, by the next [`Client::poll`].
    Message {
        /// Property bag: `key=value` pairs, percent-encoded, joined by `&`.
        properties: &'p str,
        /// Content.
        payload: &'p mut [u8],
    },
    /// Telemetry with this packet id has arrived.
    Delivered(u16),
    /// Nothing for the application.
    Nothing,
}

/// A device's connection to a hub.
#[derive(Clone, Debug)]
pub struct Client<'a> {
    config: Config<'a>,
    session: Session,
    last_rid: u32,
    twin_rid: Option<u32>,
    report_rid: Option<u32>,
}

impl<'a> Client<'a> {
    /// Not connected yet.
    pub fn new(config: Config<'a>) -> Self {
        Self { config, session: Session::new(config.keep_alive_s), last_rid: 0, twin_rid: None, report_rid: None }
    }

    /// Starts a session on a new connection: writes CONNECT and returns its length.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`].
    pub fn connect(&mut self, password: &str, now_ms: u64, out: &mut [u8]) -> Result<usize, Error> {
        self.twin_rid = None;
        self.report_rid = None;
        let Config { host, device_id, model_id, product, .. } = self.config;
        let username = |user: &mut Writer<'_>| {
            user.text(host)
                .text("/")
                .text(device_id)
                .text("/?api-version=")
                .text(API_VERSION)
                .text("&DeviceClientType=")
                .encoded(product);
            if let Some(model_id) = model_id {
                user.text("&model-id=").encoded(model_id);
            }
        };
        self.session.connect(device_id, username, password, now_ms, out)
    }

    /// Takes a packet.
    ///
    /// # Errors
    /// The connection is to be closed.
    pub fn handle<'p>(&mut self, packet: Packet<'p>) -> Result<Event<'p>, Error> {
        Ok(match self.session.handle(packet)? {
            Incoming::Connected => Event::Connected,
            Incoming::Subscribed => Event::Ready,
            Incoming::Acknowledged(id) => Event::Delivered(id),
            Incoming::Nothing => Event::Nothing,
            // A message that is not understood is none of ours; it does not end the connection.
            Incoming::Message { topic, payload } => self.message(topic, payload).unwrap_or(Event::Nothing),
        })
    }

    /// Writes what the protocol itself owes, such as acknowledgements and pings: one packet, or zero bytes.
    ///
    /// Call it after [`handle`](Self::handle) and at [`deadline`](Self::deadline), until it returns zero.
    ///
    /// # Errors
    /// [`Error::TimedOut`]: the connection is to be closed. [`Error::BufferTooSmall`].
    pub fn poll(&mut self, now_ms: u64, out: &mut [u8]) -> Result<usize, Error> {
        let mut inbox = [0; 192];
        let mut filter = Writer::text_at_start(&mut inbox);
        filter.text("devices/").text(self.config.device_id).text("/messages/devicebound/#");
        let inbox = filter.finish_text()?;
        let [twin, desired, methods] = FILTERS;
        self.session.poll(&[twin, desired, methods, inbox], now_ms, out)
    }

    /// When [`poll`](Self::poll) is to be called at the latest, in milliseconds.
    pub fn deadline(&self) -> u64 {
        self.session.deadline()
    }

    /// Whether all topics are subscribed.
    pub fn is_ready(&self) -> bool {
        self.session.is_ready()
    }

    /// Asks for the twin; the answer is [`Event::Twin`]. Returns the length of the packet.
    ///
    /// # Errors
    /// [`Error::NotReady`], [`Error::BufferTooSmall`].
    pub fn read_twin(&mut self, now_ms: u64, out: &mut [u8]) -> Result<usize, Error> {
        let rid = self.next_rid();
        let topic = |topic: &mut Writer<'_>| {
            topic.text("$iothub/twin/GET/?$rid=").number(rid.into());
        };
        let (len, _) = self.session.publish(topic, |_| {}, false, now_ms, out)?;
        self.twin_rid = Some(rid);
        Ok(len)
    }

    /// Sends a merge patch of the reported properties; the answer is [`Event::Reported`]. One at a time: an answer to
    /// an earlier one is ignored from here on. Returns the length of the packet.
    ///
    /// # Errors
    /// [`Error::NotReady`], [`Error::BufferTooSmall`].
    pub fn report(&mut self, patch: &str, now_ms: u64, out: &mut [u8]) -> Result<usize, Error> {
        let rid = self.next_rid();
        let topic = |topic: &mut Writer<'_>| {
            topic.text("$iothub/twin/PATCH/properties/reported/?$rid=").number(rid.into());
        };
        let payload = |body: &mut Writer<'_>| {
            body.text(patch);
        };
        let (len, _) = self.session.publish(topic, payload, false, now_ms, out)?;
        self.report_rid = Some(rid);
        Ok(len)
    }

    /// Sends telemetry. `properties` is a property bag, percent-encoded by the caller, for example
    /// `$.ct=application%2Fjson&$.ce=utf-8`. Returns the length of the packet.
    ///
    /// With `is_acknowledged` (QoS 1) [`Event::Delivered`] follows, with the packet id that is returned.
    ///
    /// # Errors
    /// [`Error::NotReady`], [`Error::BufferTooSmall`].
    pub fn telemetry(
        &mut self,
        properties: &str,
        body: &[u8],
        is_acknowledged: bool,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<(usize, Option<u16>), Error> {
        let device_id = self.config.device_id;
        let topic = |topic: &mut Writer<'_>| {
            topic.text("devices/").text(device_id).text("/messages/events/").text(properties);
        };
        let payload = |payload: &mut Writer<'_>| {
            payload.bytes(body);
        };
        self.session.publish(topic, payload, is_acknowledged, now_ms, out)
    }

    /// Answers a direct method: `status` is the application's, `body` JSON. Returns the length of the packet.
    ///
    /// # Errors
    /// [`Error::NotReady`], [`Error::BufferTooSmall`].
    pub fn respond(&mut self, rid: &str, status: u16, body: &str, now_ms: u64, out: &mut [u8]) -> Result<usize, Error> {
        let topic = |topic: &mut Writer<'_>| {
            topic.text("$iothub/methods/res/").number(status.into()).text("/?$rid=").text(rid);
        };
        let payload = |payload: &mut Writer<'_>| {
            payload.text(body);
        };
        let (len, _) = self.session.publish(topic, payload, false, now_ms, out)?;
        Ok(len)
    }

    /// Ends the session: writes DISCONNECT.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`].
    pub fn disconnect(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        self.session.disconnect(out)
    }

    fn message<'p>(&mut self, topic: &'p str, payload: &'p mut [u8]) -> Option<Event<'p>> {
        if let Some(tail) = topic.strip_prefix(TWIN_RESPONSE) {
            let (status, query) = status_and_query(tail)?;
            let rid = u32::try_from(number(query, "$rid")?).ok();
            if rid == self.twin_rid {
                self.twin_rid = None;
                return Some(Event::Twin { status, document: payload });
            }
            if rid == self.report_rid {
                self.report_rid = None;
                return Some(Event::Reported { status, version: number(query, "$version") });
            }
            return None;
        }
        if let Some(tail) = topic.strip_prefix(DESIRED_PATCH) {
            return Some(Event::Desired { version: number(tail.strip_prefix('?')?, "$version")?, document: payload });
        }
        if let Some(tail) = topic.strip_prefix(METHOD) {
            let (name, query) = tail.split_once("/?")?;
            return Some(Event::Method { name, rid: parameter(query, "$rid")?, payload });
        }
        let tail = topic.strip_prefix("devices/")?;
        let tail = tail.strip_prefix(self.config.device_id)?;
        Some(Event::Message { properties: tail.strip_prefix("/messages/devicebound/")?, payload })
    }

    fn next_rid(&mut self) -> u32 {
        self.last_rid = self.last_rid.wrapping_add(1);
        self.last_rid
    }
}
