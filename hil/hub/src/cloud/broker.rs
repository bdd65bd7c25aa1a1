//! Connections that end at an MQTT broker, which somebody watches on the cloud's behalf.
//!
//! The broker has accepted the client, acknowledges its messages and keeps its session; what the client did is told
//! here, one call for each packet, in the order in which the broker took them. What the services have for the client is
//! taken out as messages, for the broker to deliver. Events are those of a direct connection.
//!
//! Nobody checks a password here: the broker's log does not show it, and a broker knows no shared access signatures.

use sim_base::Instant;

use super::connection::{Client, Connection};
use super::{Cloud, ConnId};
use crate::event::CloseReason;
use crate::iot_hub::Outgoing;
use crate::mqtt::{Connect, Input, Publish, Unacknowledged, Will};

/// A CONNECT that a broker has accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerConnect {
    /// Client identifier.
    pub client_id: String,
    /// User name, which says who the client is and carries API version and model id.
    pub username: Option<String>,
    /// Whether the client asked for a clean session.
    pub clean_session: bool,
    /// Whether the broker had a session of the client.
    pub session_present: bool,
}

/// A message for a client of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerMessage {
    /// Topic, without the client's mount point.
    pub topic: String,
    /// Payload.
    pub body: Vec<u8>,
    /// QoS, 0 or 1.
    pub qos: u8,
}

/// The cloud's side of such a connection.
#[derive(Debug)]
pub(super) struct BrokerSide {
    pub client: Client,
    out: Vec<BrokerMessage>,
    /// QoS 1 messages in the order in which they went to the broker.
    pub unacknowledged: Vec<Unacknowledged>,
    pub will: Option<Will>,
    pub ended: Option<CloseReason>,
    /// Whether the broker kept the client's session: what was not acknowledged is then sent again by the broker.
    keeps: bool,
}

impl BrokerSide {
    fn new(keeps: bool) -> Self {
        Self { client: Client::Nobody, out: Vec::new(), unacknowledged: Vec::new(), will: None, ended: None, keeps }
    }

    pub(super) fn publish(&mut self, Outgoing { topic, body, qos, tag }: Outgoing) {
        if self.ended.is_some() {
            return;
        }
        if qos > 0 {
            // Packet identifiers are the broker's business.
            self.unacknowledged.push(Unacknowledged { id: 0, topic: topic.clone(), body: body.clone(), tag });
        }
        self.out.push(BrokerMessage { topic, body, qos });
    }

    /// Takes over what the client did not acknowledge on its previous connection.
    pub(super) fn resend(&mut self, messages: Vec<Unacknowledged>) {
        for message in messages {
            if !self.keeps {
                self.out.push(BrokerMessage { topic: message.topic.clone(), body: message.body.clone(), qos: 1 });
            }
            self.unacknowledged.push(message);
        }
    }

    pub(super) fn end(&mut self, why: CloseReason) {
        self.ended.get_or_insert(why);
    }

    pub(super) fn has_output(&self) -> bool {
        !self.out.is_empty()
    }
}

impl Cloud {
    /// A broker has accepted a client. Whether the services take it is in the events; if not, the connection
    /// [wants to be closed](Self::wants_close).
    pub fn broker_connected(&mut self, now: Instant, connect: BrokerConnect) -> ConnId {
        let conn = self.add(Connection::broker(BrokerSide::new(connect.session_present)));
        if !connect.session_present
            && let Some(id) = connect.username.as_deref().and_then(device_of)
        {
            self.hub.forget_session(&id);
        }
        let connect = Connect {
            level: 4,
            client_id: connect.client_id,
            username: connect.username,
            password: None,
            clean_session: connect.clean_session,
            keep_alive: 0,
            will: None,
        };
        self.input(now, conn, Input::Connect(connect));
        self.settle(now, conn);
        conn
    }

    /// The client reached the broker under `name`, a host name or an address; the provisioning service assigns it to a
    /// hub of that name. Without it, the hub's own name is told.
    pub fn broker_reached(&mut self, conn: ConnId, name: &str) {
        if let Some(side) = self.broker_side(conn)
            && let Client::Registration(client) = &mut side.client
        {
            client.assigned_hub = Some(name.to_owned());
        }
    }

    /// The client has subscribed, to filters without its mount point.
    pub fn broker_subscribed(&mut self, now: Instant, conn: ConnId, filters: Vec<(String, u8)>) {
        self.broker_input(now, conn, Input::Subscribe { id: 0, filters });
    }

    /// The client has unsubscribed.
    pub fn broker_unsubscribed(&mut self, now: Instant, conn: ConnId, filters: Vec<String>) {
        self.broker_input(now, conn, Input::Unsubscribe { filters });
    }

    /// The client has published; the topic is without its mount point.
    pub fn broker_published(&mut self, now: Instant, conn: ConnId, message: BrokerMessage, retain: bool) {
        let BrokerMessage { topic, body, qos } = message;
        // The broker has acknowledged it.
        self.broker_input(now, conn, Input::Publish(Publish { topic, body, qos, id: None, dup: false, retain }));
    }

    /// The client has acknowledged the oldest message with this topic.
    pub fn broker_acknowledged(&mut self, now: Instant, conn: ConnId, topic: &str) {
        let Some(side) = self.broker_side(conn) else { return };
        let Some(at) = side.unacknowledged.iter().position(|message| message.topic == topic) else { return };
        let Unacknowledged { topic, tag, .. } = side.unacknowledged.remove(at);
        self.broker_input(now, conn, Input::Acknowledged { topic, tag });
    }

    /// The connection between client and broker is over: its number means nothing from now on. `will` is what the broker
    /// has published for the client.
    pub fn broker_disconnected(&mut self, now: Instant, conn: ConnId, why: CloseReason, will: Option<Will>) {
        if let Some(side) = self.broker_side(conn) {
            side.will = will;
            side.end(why);
        }
        self.closed(now, conn);
    }

    /// What is to be delivered to the client now; nothing for other connections than those of a broker.
    pub fn broker_take(&mut self, now: Instant, conn: ConnId) -> Vec<BrokerMessage> {
        let messages = self.broker_side(conn).map(|side| core::mem::take(&mut side.out)).unwrap_or_default();
        if !messages.is_empty() {
            self.settle(now, conn);
        }
        messages
    }

    fn broker_input(&mut self, now: Instant, conn: ConnId, input: Input) {
        if self.broker_side(conn).is_some_and(|side| side.ended.is_none()) {
            self.input(now, conn, input);
            self.settle(now, conn);
        }
    }

    fn broker_side(&mut self, conn: ConnId) -> Option<&mut BrokerSide> {
        self.connections.get_mut(conn)?.broker_side()
    }
}

/// The device, or `device/module`, of a hub's user name.
fn device_of(username: &str) -> Option<String> {
    crate::iot_hub::Username::parse(username).ok().map(|username| username.id)
}
