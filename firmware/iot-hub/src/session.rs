//! What both clients share: connecting, packet ids, acknowledgements, keep-alive.

use core::fmt;

use crate::mqtt::{Packet, PacketError};
use crate::writer::Writer;

/// Time for an answer to CONNECT, SUBSCRIBE and PINGREQ.
const ANSWER_TIMEOUT_MS: u64 = 30_000;
/// Acknowledgements that can be owed. A message that cannot be noted is delivered again by the server.
const MAX_ACKS: usize = 8;

/// Why a session cannot go on, or a packet cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// What arrived is no packet that this server may send.
    Packet(PacketError),
    /// The server refused the connection (MQTT 3.1.1 section 3.2.2.3): 1 protocol version, 2 client id, 3 server
    /// unavailable, 4 bad user name or password, 5 not authorised.
    Refused(u8),
    /// The server refused a subscription.
    NotSubscribed,
    /// The server did not answer in time.
    TimedOut,
    /// A packet that does not belong here, such as a second CONNACK.
    Unexpected,
    /// The packet does not fit the caller's buffer. Nothing was sent and the session can go on.
    BufferTooSmall,
    /// Not connected, or not yet subscribed. The session can go on.
    NotReady,
}

impl From<PacketError> for Error {
    fn from(error: PacketError) -> Self {
        Self::Packet(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(error) => error.fmt(f),
            Self::Refused(code) => write!(f, "connection refused by the server (code {code})"),
            Self::NotSubscribed => f.write_str("subscription refused by the server"),
            Self::TimedOut => f.write_str("no answer from the server"),
            Self::Unexpected => f.write_str("unexpected packet from the server"),
            Self::BufferTooSmall => f.write_str("transmit buffer too small"),
            Self::NotReady => f.write_str("not connected yet"),
        }
    }
}

impl core::error::Error for Error {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Closed,
    Connecting,
    /// Accepted; SUBSCRIBE is to be sent.
    Connected,
    Subscribing(u16),
    Ready,
}

/// An MQTT session up to its subscriptions.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    stage: Stage,
    keep_alive_ms: u64,
    last_sent_ms: u64,
    /// Since when the server owes an answer.
    waiting_since_ms: Option<u64>,
    last_id: u16,
    acks: [u16; MAX_ACKS],
    ack_count: usize,
}

/// What a packet meant to the session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'p> {
    /// CONNACK: accepted.
    Connected,
    /// SUBACK: all filters granted.
    Subscribed,
    /// A message.
    Message { topic: &'p str, payload: &'p mut [u8] },
    /// One of our messages with QoS 1 has arrived.
    Acknowledged(u16),
    /// Nothing that matters.
    Nothing,
}

impl Session {
    pub(crate) fn new(keep_alive_s: u16) -> Self {
        Self {
            stage: Stage::Closed,
            keep_alive_ms: u64::from(keep_alive_s) * 1000,
            last_sent_ms: 0,
            waiting_since_ms: None,
            last_id: 0,
            acks: [0; MAX_ACKS],
            ack_count: 0,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// CONNECT (section 3.1) with a clean session: nothing is left over from a session before.
    pub(crate) fn connect(
        &mut self,
        client_id: &str,
        username: impl FnOnce(&mut Writer<'_>),
        password: &str,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let keep_alive_s = (self.keep_alive_ms / 1000) as u16; // was made from one
        let mut packet = Writer::packet(out);
        packet
            .field(|name| {
                name.text("MQTT");
            })
            .bytes(&[4, 0b1100_0010]) // level; user name, password, clean session
            .bytes(&keep_alive_s.to_be_bytes())
            .field(|field| {
                field.text(client_id);
            })
            .field(username)
            .field(|field| {
                field.text(password);
            });
        let len = packet.finish_packet(0x10)?;
        *self = Self::new(keep_alive_s);
        self.stage = Stage::Connecting;
        self.last_sent_ms = now_ms;
        self.waiting_since_ms = Some(now_ms);
        Ok(len)
    }

    pub(crate) fn handle<'p>(&mut self, packet: Packet<'p>) -> Result<Incoming<'p>, Error> {
        // Any packet shows that the server lives; CONNACK and SUBACK end their own waiting.
        if self.stage == Stage::Ready {
            self.waiting_since_ms = None;
        }
        match (packet, self.stage) {
            (Packet::Connack { code: 0, .. }, Stage::Connecting) => {
                self.stage = Stage::Connected;
                self.waiting_since_ms = None;
                Ok(Incoming::Connected)
            }
            (Packet::Connack { code, .. }, Stage::Connecting) => {
                self.stage = Stage::Closed;
                Err(Error::Refused(code))
            }
            (_, Stage::Closed | Stage::Connecting) | (Packet::Connack { .. }, _) => Err(Error::Unexpected),
            (Packet::Suback { id, codes }, Stage::Subscribing(expected)) => {
                if id != expected || codes.iter().any(|code| *code > 1) {
                    return Err(Error::NotSubscribed);
                }
                self.stage = Stage::Ready;
                self.waiting_since_ms = None;
                Ok(Incoming::Subscribed)
            }
            (Packet::Suback { .. }, _) => Err(Error::Unexpected),
            (Packet::Publish { topic, payload, id }, _) => {
                if let (Some(id), Some(place)) = (id, self.acks.get_mut(self.ack_count)) {
                    *place = id;
                    self.ack_count += 1;
                }
                Ok(Incoming::Message { topic, payload })
            }
            (Packet::Puback(id), _) => Ok(Incoming::Acknowledged(id)),
            (Packet::Pingresp, _) => Ok(Incoming::Nothing),
        }
    }

    /// Writes what the protocol itself owes: SUBSCRIBE, PUBACK, PINGREQ; one packet at a time, zero if none.
    pub(crate) fn poll(&mut self, filters: &[&str], now_ms: u64, out: &mut [u8]) -> Result<usize, Error> {
        if self.stage == Stage::Closed {
            return Ok(0);
        }
        if self.waiting_since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= ANSWER_TIMEOUT_MS) {
            self.stage = Stage::Closed;
            return Err(Error::TimedOut);
        }
        if self.stage == Stage::Connected {
            let id = self.next_id();
            let mut packet = Writer::packet(out);
            packet.bytes(&id.to_be_bytes());
            for filter in filters {
                packet
                    .field(|field| {
                        field.text(filter);
                    })
                    .bytes(&[1]);
            }
            let len = packet.finish_packet(0x82)?;
            self.stage = Stage::Subscribing(id);
            self.waiting_since_ms = Some(now_ms);
            self.last_sent_ms = now_ms;
            return Ok(len);
        }
        if self.ack_count > 0 {
            let mut packet = Writer::packet(out);
            packet.bytes(&self.acks[0].to_be_bytes());
            let len = packet.finish_packet(0x40)?;
            self.acks.copy_within(1.., 0);
            self.ack_count -= 1;
            self.last_sent_ms = now_ms;
            return Ok(len);
        }
        if self.stage == Stage::Ready && self.waiting_since_ms.is_none() && now_ms >= self.ping_at() {
            let len = Writer::packet(out).finish_packet(0xC0)?;
            self.waiting_since_ms = Some(now_ms);
            self.last_sent_ms = now_ms;
            return Ok(len);
        }
        Ok(0)
    }

    /// When [`poll`](Self::poll) is to be called at the latest.
    pub(crate) fn deadline(&self) -> u64 {
        match (self.stage, self.waiting_since_ms) {
            (Stage::Closed, _) => u64::MAX,
            (Stage::Connected, _) => 0,
            _ if self.ack_count > 0 => 0,
            (_, Some(since)) => since + ANSWER_TIMEOUT_MS,
            (_, None) => self.ping_at(),
        }
    }

    /// PUBLISH (section 3.3). Returns the packet's length, and its id with QoS 1.
    pub(crate) fn publish(
        &mut self,
        topic: impl FnOnce(&mut Writer<'_>),
        payload: impl FnOnce(&mut Writer<'_>),
        is_acknowledged: bool,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<(usize, Option<u16>), Error> {
        if !self.is_ready() {
            return Err(Error::NotReady);
        }
        let id = is_acknowledged.then(|| self.next_id());
        let mut packet = Writer::packet(out);
        packet.field(topic);
        if let Some(id) = id {
            packet.bytes(&id.to_be_bytes());
        }
        payload(&mut packet);
        let len = packet.finish_packet(if is_acknowledged { 0x32 } else { 0x30 })?;
        self.last_sent_ms = now_ms;
        Ok((len, id))
    }

    /// DISCONNECT (section 3.14).
    pub(crate) fn disconnect(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        self.stage = Stage::Closed;
        Writer::packet(out).finish_packet(0xE0)
    }

    /// A ping is due well before the server's patience of 1.5 keep-alive times is at an end.
    fn ping_at(&self) -> u64 {
        if self.keep_alive_ms == 0 {
            return u64::MAX;
        }
        self.last_sent_ms + self.keep_alive_ms * 3 / 4
    }

    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}
