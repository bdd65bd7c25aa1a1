//! From the broker's log and its messages to calls of the cloud.
//!
//! The log says in which order things happened and to whom, but shows no payloads; the hub's connection brings payloads,
//! but not who connected or subscribed. The two are not synchronised, so each client has a queue of what the log told,
//! and a PUBLISH in it waits for its message.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant as WallInstant};

use hub::mqtt::Will;
use hub::{BrokerConnect, BrokerMessage, CloseReason, Cloud, ConnId};
use sim_base::Instant;

use crate::lines::{Line, Topic, read};
use crate::link;
use crate::settings::Slot;

/// Wall-clock time for which a PUBLISH waits for its message. It comes within milliseconds, if at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Wall-clock time for which the end of a connection waits for the last will.
const WILL_PATIENCE: Duration = Duration::from_millis(250);

/// Messages without a line that are kept for each listener: somebody publishes whom the log does not name.
const UNCLAIMED: usize = 20_000;

/// What is to be done at the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send a message to the device at a slot.
    Publish { slot: usize, topic: String, body: Vec<u8>, qos: u8 },
    /// Close a client's connection.
    Kick { slot: usize, id: String, clean: bool },
}

/// A step of a client, by the log.
#[derive(Debug)]
enum Step {
    Connect(BrokerConnect),
    Subscribe(Vec<(String, u8)>),
    Unsubscribe(Vec<String>),
    Publish { topic: String, cut: bool, qos: u8, retain: bool },
    Acknowledge(String),
    End { why: CloseReason, will: Option<String> },
}

#[derive(Debug, Default)]
struct Client {
    /// What the log told and was not done yet, and since when the first of it waits.
    steps: VecDeque<Step>,
    waiting: Option<WallInstant>,
    conn: Option<ConnId>,
    clean: bool,
    /// As the log has it, ahead of `steps`: the will of the present connection, and whether it said good-bye.
    will: Option<String>,
    graceful: bool,
    /// The hub's own connection under this id, or its coming.
    kicked: bool,
    kicker: bool,
    /// QoS 1 messages on their way to it: topic, and packet identifier once the broker has sent it.
    sent: VecDeque<(String, Option<u16>)>,
    /// Messages that the broker has not sent on to it yet.
    unsent: usize,
}

/// The lines that belong to one packet.
#[derive(Debug)]
enum Packet {
    Connect { id: String, username: Option<String>, clean: bool, will: Option<String> },
    Subscribe { id: String, filters: Vec<(String, u8)> },
    Unsubscribe { id: String, filters: Vec<String> },
}

/// A client: slot and client id. Each slot is a broker of its own.
type Key = (usize, String);

/// The state of all clients.
pub(crate) struct Driver {
    slots: Vec<Slot>,
    /// Messages of each slot that no line has claimed, oldest first; and who is there.
    messages: Vec<VecDeque<(String, Vec<u8>)>>,
    tenants: Vec<Option<String>>,
    clients: BTreeMap<Key, Client>,
    keys: BTreeMap<ConnId, Key>,
    /// Of each slot, the packet of which lines are being read.
    packets: Vec<Option<Packet>>,
    /// Clients with steps.
    busy: BTreeSet<Key>,
    /// Connections for which the cloud may have something.
    touched: BTreeSet<ConnId>,
    actions: Vec<Action>,
}

impl Driver {
    pub fn new(slots: Vec<Slot>) -> Self {
        Self {
            messages: slots.iter().map(|_| VecDeque::new()).collect(),
            tenants: slots.iter().map(|_| None).collect(),
            packets: slots.iter().map(|_| None).collect(),
            slots,
            clients: BTreeMap::new(),
            keys: BTreeMap::new(),
            busy: BTreeSet::new(),
            touched: BTreeSet::new(),
            actions: Vec::new(),
        }
    }

    /// The cloud may have something for a connection; others than the broker's do not matter.
    pub fn touch(&mut self, conn: ConnId) {
        if self.keys.contains_key(&conn) {
            self.touched.insert(conn);
        }
    }

    /// Whether a step waits for its message.
    pub fn is_waiting(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Whether the broker owes something: the message of a step, or the sending of one of the hub's.
    pub fn is_owed(&self) -> bool {
        self.is_waiting() || self.clients.values().any(|client| client.unsent > 0 || client.kicked || client.kicker)
    }

    /// What the broker owes is not to be waited for any more.
    pub fn forgive(&mut self) {
        for client in self.clients.values_mut() {
            (client.unsent, client.kicked, client.kicker) = (0, false, false);
        }
    }

    /// A message of the device at a slot has come over the hub's connection.
    pub fn message(&mut self, slot: usize, topic: String, body: Vec<u8>) {
        let messages = &mut self.messages[slot];
        if messages.len() == UNCLAIMED {
            messages.pop_front();
        }
        messages.push_back((topic, body));
    }

    /// A line of a slot's log.
    pub fn line(&mut self, slot: usize, text: &str) {
        let Some(line) = read(text) else { return };
        let key = |id: &str| (slot, id.to_owned());
        match line {
            Line::Connected { id: link::ID, .. } => {}
            Line::Connected { id, username: Some(link::USER), .. } => {
                let client = self.clients.entry(key(id)).or_default();
                (client.kicked, client.kicker) = (false, true);
            }
            Line::Connected { id, username, clean } => {
                self.left(&key(id), CloseReason::Peer);
                let (id, username) = (id.to_owned(), username.map(str::to_owned));
                self.packets[slot] = Some(Packet::Connect { id, username, clean, will: None });
            }
            Line::Will | Line::Running { .. } => {}
            Line::Subscribe { id } => {
                self.packets[slot] = Some(Packet::Subscribe { id: id.to_owned(), filters: Vec::new() });
            }
            Line::Unsubscribe { id } => {
                self.packets[slot] = Some(Packet::Unsubscribe { id: id.to_owned(), filters: Vec::new() });
            }
            Line::Detail { text, qos } => match (&mut self.packets[slot], qos) {
                (Some(Packet::Connect { will, .. }), _) => *will = Some(text.to_owned()),
                (Some(Packet::Subscribe { filters, .. }), Some(qos)) => filters.push((text.to_owned(), qos)),
                (Some(Packet::Unsubscribe { filters, .. }), _) => filters.push(text.to_owned()),
                _ => {}
            },
            Line::Connack { id, session_present } => self.connected(&key(id), session_present),
            Line::Granted { id } => {
                if let Some(Packet::Subscribe { id: whose, filters }) = self.packets[slot].take()
                    && whose == id
                {
                    self.push(&key(id), Step::Subscribe(filters));
                }
            }
            Line::Ungranted { id } => {
                if let Some(Packet::Unsubscribe { id: whose, filters }) = self.packets[slot].take()
                    && whose == id
                {
                    self.push(&key(id), Step::Unsubscribe(filters));
                }
            }
            Line::Publish { id, qos, retain, topic: Topic { text, cut } } => {
                self.push(&key(id), Step::Publish { topic: text.to_owned(), cut, qos, retain });
            }
            Line::Sending { id, qos, mid, topic } => {
                if let Some(client) = self.clients.get_mut(&key(id)) {
                    client.sending(qos, mid, &topic);
                }
            }
            Line::Puback { id, mid } => {
                if let Some(client) = self.clients.get_mut(&key(id)).filter(|client| !client.kicker)
                    && let Some(at) = client.sent.iter().position(|(_, known)| *known == Some(mid))
                    && let Some((topic, _)) = client.sent.remove(at)
                {
                    self.push(&key(id), Step::Acknowledge(topic));
                }
            }
            Line::Disconnect { id } => {
                if let Some(client) = self.clients.get_mut(&key(id)) {
                    client.graceful = true;
                }
            }
            Line::Gone { id, how } => self.gone(&key(id), how),
        }
    }

    fn push(&mut self, key: &Key, step: Step) {
        if let Some(client) = self.clients.get_mut(key).filter(|client| !client.kicker) {
            client.steps.push_back(step);
            self.busy.insert(key.clone());
        }
    }

    fn connected(&mut self, key: &Key, session_present: bool) {
        let Some(Packet::Connect { id, username, clean, will }) = self.packets[key.0].take() else { return };
        if id != key.1 {
            return;
        }
        let client = self.clients.entry(key.clone()).or_default();
        // A connection of the hub under this id is over, or never came.
        (client.graceful, client.kicked, client.kicker) = (false, false, false);
        client.will = will;
        let connect = BrokerConnect { client_id: id, username, clean_session: clean, session_present };
        self.push(key, Step::Connect(connect));
    }

    fn gone(&mut self, key: &Key, how: &str) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.kicker {
            client.kicker = false;
            return;
        }
        let why = match how {
            _ if how.contains("already connected") => CloseReason::Evicted,
            _ if client.graceful => CloseReason::Graceful,
            _ if how.contains("exceeded timeout") => CloseReason::KeepAlive,
            _ if how.contains("protocol error") || how.contains("malformed") => {
                CloseReason::Protocol("the broker saw a protocol error".into())
            }
            _ => CloseReason::Peer,
        };
        self.left(key, why);
    }

    /// The present connection of a client ends, if there is one by the log.
    fn left(&mut self, key: &Key, why: CloseReason) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let will = client.will.take().filter(|_| why != CloseReason::Graceful);
        let connected = client.conn.is_some() || client.steps.iter().any(|step| matches!(step, Step::Connect(_)));
        if connected && !matches!(client.steps.back(), Some(Step::End { .. })) {
            self.push(key, Step::End { why, will });
        }
    }

    /// Does what can be done now.
    pub fn run(&mut self, now: Instant, cloud: &mut Cloud) {
        for key in self.busy.clone() {
            while self.step(now, cloud, &key) {}
            let Some(client) = self.clients.get(&key).filter(|client| client.steps.is_empty()) else { continue };
            self.busy.remove(&key);
            // Whoever has no session leaves nothing.
            if client.conn.is_none() && client.clean && !client.kicked && !client.kicker {
                self.clients.remove(&key);
            }
        }
        for conn in core::mem::take(&mut self.touched) {
            self.collect(now, cloud, conn);
        }
    }

    /// The brokers go, and every connection with them.
    pub fn close_all(&mut self, now: Instant, cloud: &mut Cloud) {
        for (conn, _) in core::mem::take(&mut self.keys) {
            cloud.broker_disconnected(now, conn, CloseReason::Administrative, None);
        }
        self.clients.clear();
        self.busy.clear();
    }

    /// What is to be done at the broker, in order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        core::mem::take(&mut self.actions)
    }

    /// Does a client's next step; `false` if there is none, or it has to wait.
    fn step(&mut self, now: Instant, cloud: &mut Cloud, key: &Key) -> bool {
        let slot = key.0;
        let Some(client) = self.clients.get_mut(key) else { return false };
        let Some(step) = client.steps.pop_front() else { return false };
        let waited = |client: &mut Client| client.waiting.get_or_insert_with(WallInstant::now).elapsed();
        self.touched.extend(client.conn);
        match step {
            Step::Connect(connect) => self.connect(now, cloud, key, connect),
            Step::Subscribe(filters) => {
                if let Some(conn) = client.conn {
                    cloud.broker_subscribed(now, conn, filters);
                }
            }
            Step::Unsubscribe(filters) => {
                if let Some(conn) = client.conn {
                    cloud.broker_unsubscribed(now, conn, filters);
                }
            }
            Step::Publish { topic, cut, qos, retain } => {
                let Some((topic, body)) = claim(&mut self.messages[slot], &Topic { text: &topic, cut }) else {
                    if waited(client) < PATIENCE {
                        client.steps.push_front(Step::Publish { topic, cut, qos, retain });
                        return false;
                    }
                    client.waiting = None;
                    return true;
                };
                client.waiting = None;
                if let Some(conn) = client.conn {
                    cloud.broker_published(now, conn, BrokerMessage { topic, body, qos }, retain);
                }
            }
            Step::Acknowledge(topic) => {
                if let Some(conn) = client.conn {
                    cloud.broker_acknowledged(now, conn, &topic);
                }
            }
            Step::End { why, will } => {
                let claimed =
                    will.as_ref().and_then(|topic| claim(&mut self.messages[slot], &Topic { text: topic, cut: false }));
                if will.is_some() && claimed.is_none() && waited(client) < WILL_PATIENCE {
                    client.steps.push_front(Step::End { why, will });
                    return false;
                }
                client.waiting = None;
                client.unsent = 0;
                let will = claimed.map(|(topic, body)| Will { topic, body, qos: 0, retain: false });
                if let Some(conn) = client.conn.take() {
                    self.keys.remove(&conn);
                    cloud.broker_disconnected(now, conn, why, will);
                }
                self.tenants[slot].take_if(|tenant| *tenant == key.1);
            }
        }
        true
    }

    fn connect(&mut self, now: Instant, cloud: &mut Cloud, key: &Key, connect: BrokerConnect) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.clean = connect.clean_session;
        client.unsent = 0;
        if !connect.session_present {
            client.sent.clear();
        }
        let conn = cloud.broker_connected(now, connect);
        let slot = &self.slots[key.0];
        match &mut self.tenants[key.0] {
            Some(other) if *other != key.1 => {
                let why = format!("the broker's listener at {} is in use by `{other}`", slot.address);
                cloud.broker_disconnected(now, conn, CloseReason::Protocol(why), None);
                self.kick(key);
            }
            tenant => {
                *tenant = Some(key.1.clone());
                cloud.broker_reached(conn, &slot.name);
                client.conn = Some(conn);
                self.keys.insert(conn, key.clone());
                self.touched.insert(conn);
            }
        }
    }

    fn kick(&mut self, key: &Key) {
        if let Some(client) = self.clients.get_mut(key).filter(|client| !client.kicked) {
            client.kicked = true;
            self.actions.push(Action::Kick { slot: key.0, id: key.1.clone(), clean: client.clean });
        }
    }

    /// Takes what the cloud has for a connection.
    fn collect(&mut self, now: Instant, cloud: &mut Cloud, conn: ConnId) {
        let Some(key) = self.keys.get(&conn).cloned() else { return };
        let Some(client) = self.clients.get_mut(&key) else { return };
        for BrokerMessage { topic, body, qos } in cloud.broker_take(now, conn) {
            if qos > 0 {
                client.sent.push_back((topic.clone(), None));
            }
            client.unsent += 1;
            self.actions.push(Action::Publish { slot: key.0, topic, body, qos });
        }
        if cloud.wants_close(conn) {
            self.kick(&key);
        }
    }
}

impl Client {
    /// The broker sends a message on.
    fn sending(&mut self, qos: u8, mid: u16, topic: &Topic<'_>) {
        self.unsent = self.unsent.saturating_sub(1);
        if qos == 0 {
            return;
        }
        // One that is sent again has another identifier, or the same.
        let fresh = self.sent.iter().position(|(sent, known)| known.is_none() && topic.is(sent));
        let any = fresh.or_else(|| self.sent.iter().position(|(sent, _)| topic.is(sent)));
        if let Some((_, known)) = any.and_then(|at| self.sent.get_mut(at)) {
            *known = Some(mid);
        }
    }
}

/// Takes the first message with this topic; what is before it has no line in the log, as a last will has none.
fn claim(messages: &mut VecDeque<(String, Vec<u8>)>, wanted: &Topic<'_>) -> Option<(String, Vec<u8>)> {
    let at = messages.iter().position(|(topic, _)| wanted.is(topic))?;
    messages.drain(..at);
    messages.pop_front()
}

#[cfg(test)]
mod tests;
