//! The server's half of one MQTT connection: framing, keep-alive, acknowledgements, the end.

use core::time::Duration;
use std::collections::VecDeque;

use sim_base::Instant;

use super::codec::{self, Connect, Packet, Publish, Will};
use super::{ACCEPTED, MAX_CONNECT, MAX_PACKET};
use crate::event::CloseReason;

/// How long a client may take from the opening of the connection to its CONNECT.
const CONNECT_WITHIN: Duration = Duration::from_secs(60);
/// IoT Hub's cap on 1.5 times the keep-alive interval; it also holds for clients without keep-alive.
const LONGEST_SILENCE: Duration = Duration::from_secs(1767);
/// Bytes that may wait for a client that does not read, or does not acknowledge.
const MAX_BACKLOG: usize = 1024 * 1024;

/// What a message of the server was for, returned with its PUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// Nothing that needs its acknowledgement.
    Plain,
    /// The cloud-to-device message with this number.
    CloudToDevice(u64),
    /// The direct method call with this number.
    Method(u64),
}

/// A QoS 1 message of the server that the client has not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unacknowledged {
    /// Packet identifier.
    pub id: u16,
    /// Topic.
    pub topic: String,
    /// Payload.
    pub body: Vec<u8>,
    /// What it was for.
    pub tag: Tag,
}

/// What the client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The client wants to connect: answer with [`Session::accept`] or [`Session::refuse`].
    Connect(Connect),
    /// A message; answer one at QoS 1 with [`Session::acknowledge`].
    Publish(Publish),
    /// The client subscribes: answer with [`Session::granted`].
    Subscribe {
        /// Packet identifier.
        id: u16,
        /// Filters with the QoS asked for.
        filters: Vec<(String, u8)>,
    },
    /// The client unsubscribes; UNSUBACK has been queued.
    Unsubscribe {
        /// Filters.
        filters: Vec<String>,
    },
    /// The client acknowledged a message of [`Session::publish`].
    Acknowledged {
        /// Topic of the message.
        topic: String,
        /// Tag of the message.
        tag: Tag,
    },
}

#[derive(Debug)]
enum State {
    Opened(Instant),
    /// CONNECT was handed out and is not answered yet.
    Asked,
    Connected,
}

/// The server's half of one MQTT connection.
///
/// Bytes go in by [`push`](Self::push); [`next_input`](Self::next_input) yields one input at a time, so that an input that ends
/// the connection also ends the processing of what came after it.
#[derive(Debug)]
pub struct Session {
    state: State,
    rx: Vec<u8>,
    tx: Vec<u8>,
    heard: Instant,
    silence: Duration,
    next_id: u16,
    /// In the order in which they were sent.
    unacknowledged: VecDeque<Unacknowledged>,
    unacknowledged_bytes: usize,
    will: Option<Will>,
    ended: Option<CloseReason>,
}

impl Session {
    /// A connection that was opened at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            state: State::Opened(now),
            rx: Vec::new(),
            tx: Vec::new(),
            heard: now,
            silence: LONGEST_SILENCE,
            next_id: 1,
            unacknowledged: VecDeque::new(),
            unacknowledged_bytes: 0,
            will: None,
            ended: None,
        }
    }

    /// Takes bytes from the network; ignored once the connection has ended.
    pub fn push(&mut self, now: Instant, bytes: &[u8]) {
        if self.ended.is_none() {
            self.heard = now;
            self.rx.extend_from_slice(bytes);
        }
    }

    /// The client's next wish.
    pub fn next_input(&mut self) -> Option<Input> {
        while self.ended.is_none() {
            let limit = if matches!(self.state, State::Connected) { MAX_PACKET } else { MAX_CONNECT };
            let packet = match codec::decode(&self.rx, limit) {
                Ok(Some((packet, len))) => {
                    self.rx.drain(..len);
                    packet
                }
                Ok(None) => return None,
                Err(error) => {
                    self.end(CloseReason::Protocol(error.to_string()));
                    return None;
                }
            };
            if let Some(input) = self.take(packet) {
                return Some(input);
            }
        }
        None
    }

    fn take(&mut self, packet: Packet) -> Option<Input> {
        match (&self.state, packet) {
            (State::Opened(_), Packet::Connect(connect)) => {
                self.state = State::Asked;
                return Some(Input::Connect(connect));
            }
            (State::Opened(_) | State::Asked, _) => {
                self.end(CloseReason::Protocol("the first packet must be CONNECT, and only one (MQTT 3.1)".into()));
            }
            (State::Connected, Packet::Connect(_)) => {
                self.end(CloseReason::Protocol("a second CONNECT (MQTT 3.1)".into()));
            }
            (State::Connected, Packet::Publish(publish)) => {
                if publish.qos > 1 {
                    self.end(CloseReason::Protocol("IoT Hub does not take QoS 2".into()));
                    return None;
                }
                return Some(Input::Publish(publish));
            }
            (State::Connected, Packet::PubAck(id)) => {
                // An acknowledgement of nothing is harmless: the client may repeat one after a reconnect.
                let at = self.unacknowledged.iter().position(|message| message.id == id)?;
                let Unacknowledged { topic, body, tag, .. } = self.unacknowledged.remove(at)?;
                self.unacknowledged_bytes -= body.len();
                return Some(Input::Acknowledged { topic, tag });
            }
            (State::Connected, Packet::Subscribe { id, filters }) => return Some(Input::Subscribe { id, filters }),
            (State::Connected, Packet::Unsubscribe { id, filters }) => {
                codec::write_unsuback(&mut self.tx, id);
                return Some(Input::Unsubscribe { filters });
            }
            (State::Connected, Packet::PingReq) => codec::write_pingresp(&mut self.tx),
            (State::Connected, Packet::Disconnect) => {
                self.will = None;
                self.end(CloseReason::Graceful);
            }
        }
        None
    }

    /// Accepts the CONNECT; `keep_alive` is the client's, in seconds.
    pub fn accept(&mut self, session_present: bool, keep_alive: u16, will: Option<Will>) {
        self.state = State::Connected;
        self.will = will;
        if keep_alive != 0 {
            self.silence = (Duration::from_secs(keep_alive.into()) * 3 / 2).min(LONGEST_SILENCE);
        }
        codec::write_connack(&mut self.tx, session_present, ACCEPTED);
    }

    /// Refuses the CONNECT and ends the connection.
    pub fn refuse(&mut self, code: u8) {
        codec::write_connack(&mut self.tx, false, code);
        self.end(CloseReason::Refused(code));
    }

    /// Answers a SUBSCRIBE with the granted QoS of each filter.
    pub fn granted(&mut self, id: u16, codes: &[u8]) {
        codec::write_suback(&mut self.tx, id, codes);
    }

    /// Acknowledges a client's QoS 1 message.
    pub fn acknowledge(&mut self, id: u16) {
        codec::write_puback(&mut self.tx, id);
    }

    /// Sends a message at QoS 0 or 1.
    pub fn publish(&mut self, topic: String, body: Vec<u8>, qos: u8, tag: Tag) {
        if self.ended.is_some() || !matches!(self.state, State::Connected) {
            return;
        }
        if qos == 0 {
            codec::write_publish(&mut self.tx, &Publish { topic, body, qos, id: None, dup: false, retain: false });
            self.bound();
        } else {
            let id = self.packet_id();
            self.send(Unacknowledged { id, topic, body, tag }, false);
        }
    }

    /// Sends what the client did not acknowledge on its previous connection once more, under the same packet identifiers
    /// (MQTT 4.4); after [`accept`](Self::accept) and before anything else.
    pub fn resend(&mut self, messages: Vec<Unacknowledged>) {
        for message in messages {
            self.next_id = self.next_id.max(message.id.checked_add(1).unwrap_or(1));
            self.send(message, true);
        }
    }

    fn send(&mut self, message: Unacknowledged, dup: bool) {
        let Unacknowledged { id, topic, body, .. } = message.clone();
        codec::write_publish(&mut self.tx, &Publish { topic, body, qos: 1, id: Some(id), dup, retain: false });
        self.unacknowledged_bytes += message.body.len();
        self.unacknowledged.push_back(message);
        self.bound();
    }

    fn bound(&mut self) {
        let most = usize::from(u16::MAX) / 2;
        if self.tx.len().max(self.unacknowledged_bytes) > MAX_BACKLOG || self.unacknowledged.len() > most {
            self.end(CloseReason::SlowConsumer);
        }
    }

    /// What the client has not acknowledged; yields it once.
    pub fn take_unacknowledged(&mut self) -> Vec<Unacknowledged> {
        core::mem::take(&mut self.unacknowledged).into()
    }

    fn packet_id(&mut self) -> u16 {
        loop {
            let id = self.next_id;
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            // `bound` leaves half of the identifiers free.
            if !self.unacknowledged.iter().any(|message| message.id == id) {
                return id;
            }
        }
    }

    /// Ends the connection; what is queued is still sent. The first reason stays.
    pub fn end(&mut self, why: CloseReason) {
        self.ended.get_or_insert(why);
        self.rx.clear();
    }

    /// Why the connection ended, once it has.
    pub fn ended(&self) -> Option<&CloseReason> {
        self.ended.as_ref()
    }

    /// The last will, if the client left without DISCONNECT; yields it once.
    pub fn take_will(&mut self) -> Option<Will> {
        self.will.take()
    }

    /// Takes what is to be sent now.
    pub fn transmit(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.tx)
    }

    /// Whether [`transmit`](Self::transmit) would yield bytes.
    pub fn has_output(&self) -> bool {
        !self.tx.is_empty()
    }

    /// Ends the connection if the client was silent for too long.
    pub fn poll(&mut self, now: Instant) {
        if self.ended.is_none() && now >= self.poll_at() {
            let connected = matches!(self.state, State::Connected);
            self.end(if connected { CloseReason::KeepAlive } else { CloseReason::Idle });
        }
    }

    /// When [`poll`](Self::poll) next has something to do.
    pub fn poll_at(&self) -> Instant {
        match (&self.ended, &self.state) {
            (Some(_), _) => Instant::NEVER,
            (None, State::Connected) => self.heard + self.silence,
            (None, State::Opened(_) | State::Asked) => self.opened() + CONNECT_WITHIN,
        }
    }

    fn opened(&self) -> Instant {
        match self.state {
            State::Opened(at) => at,
            State::Asked | State::Connected => self.heard,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONNECT: &[u8] = b"\x10\x0E\0\x04MQTT\x04\x02\0\x0A\0\x02d1";

    fn connected() -> Session {
        let mut session = Session::new(Instant::ZERO);
        session.push(Instant::ZERO, CONNECT);
        assert!(matches!(session.next_input(), Some(Input::Connect(_))));
        session.accept(false, 10, None);
        assert_eq!(session.transmit(), [0x20, 2, 0, 0]);
        session
    }

    fn seconds(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn silence_of_one_and_a_half_intervals_ends_the_connection() {
        let mut session = connected();
        session.push(seconds(9), &[0xC0, 0]);
        assert_eq!(session.next_input(), None);
        assert_eq!(session.transmit(), [0xD0, 0]);
        assert_eq!(session.poll_at(), seconds(24));
        session.poll(seconds(23));
        assert_eq!(session.ended(), None);
        session.poll(seconds(24));
        assert_eq!(session.ended(), Some(&CloseReason::KeepAlive));
    }

    #[test]
    fn no_client_may_be_silent_for_more_than_1767_seconds() {
        for (keep_alive, millis) in
            [(1, 1_500), (1177, 1_765_500), (1178, 1_767_000), (65_535, 1_767_000), (0, 1_767_000)]
        {
            let mut session = Session::new(Instant::ZERO);
            session.push(Instant::ZERO, CONNECT);
            assert!(matches!(session.next_input(), Some(Input::Connect(_))));
            session.accept(false, keep_alive, None);
            assert_eq!(session.poll_at(), Instant::from_nanos(millis * 1_000_000), "{keep_alive}");
        }
    }

    #[test]
    fn a_client_that_never_acknowledges_is_dropped_before_it_costs_too_much() {
        let mut session = connected();
        for _ in 0..16 {
            session.publish("a".into(), vec![0; 64 * 1024], 1, Tag::Plain);
            session.transmit();
        }
        assert_eq!(session.ended(), None);
        session.publish("a".into(), vec![0], 1, Tag::Plain);
        assert_eq!(session.ended(), Some(&CloseReason::SlowConsumer));
        assert_eq!(session.take_unacknowledged().len(), 17);
    }

    #[test]
    fn a_client_that_never_connects_is_dropped() {
        let mut session = Session::new(seconds(5));
        session.poll(seconds(65));
        assert_eq!(session.ended(), Some(&CloseReason::Idle));
    }

    #[test]
    fn qos_2_ends_the_connection_and_nothing_after_it_is_read() {
        let mut session = connected();
        session.push(Instant::ZERO, b"\x34\x05\0\x01a\0\x01\xC0\0");
        assert_eq!(session.next_input(), None);
        assert!(matches!(session.ended(), Some(CloseReason::Protocol(_))));
        assert!(!session.has_output());
    }

    #[test]
    fn acknowledgements_find_their_message_once() {
        let mut session = connected();
        session.publish("a".into(), vec![1], 1, Tag::CloudToDevice(7));
        session.publish("b".into(), vec![2], 0, Tag::Plain);
        assert_eq!(session.transmit(), b"\x32\x06\0\x01a\0\x01\x01\x30\x04\0\x01b\x02");
        session.push(Instant::ZERO, b"\x40\x02\0\x01\x40\x02\0\x01");
        assert_eq!(session.next_input(), Some(Input::Acknowledged { topic: "a".into(), tag: Tag::CloudToDevice(7) }));
        assert_eq!(session.next_input(), None);
        assert_eq!(session.ended(), None);
    }

    #[test]
    fn a_client_that_does_not_read_is_dropped() {
        let mut session = connected();
        for _ in 0..20 {
            session.publish("a".into(), vec![0; 64 * 1024], 0, Tag::Plain);
        }
        assert_eq!(session.ended(), Some(&CloseReason::SlowConsumer));
    }

    proptest! {
        #[test]
        fn garbage_never_panics_however_it_is_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            cut in 1_usize..50,
        ) {
            let mut session = connected();
            for chunk in bytes.chunks(cut) {
                session.push(Instant::ZERO, chunk);
                while session.next_input().is_some() {}
            }
        }
    }
}
