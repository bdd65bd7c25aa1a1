//! The cloud as one object: connections in front, services behind.

mod admin;
mod broker;
mod connection;
mod connections;
mod deployments;
mod fleet;
mod follow;
mod progress;
mod root_keys;
mod updates;

use core::time::Duration;
use std::collections::BTreeSet;

use serde::Serialize;
use sim_base::{Instant, Rng};

use crate::dps;
use crate::durable::Change;
use crate::event::{CloseReason, CloudEvent, EventKind};
use crate::files;
use crate::iot_hub::{Effects, Hub};
use crate::keys::Keys;
use crate::tls::{Acceptor, Peer};
use crate::update;
use crate::utc::Utc;
pub use broker::{BrokerConnect, BrokerMessage};
use connection::{Client, Connection};
use connections::Connections;

/// What a [`Cloud`] is made from.
#[derive(Clone)]
pub struct CloudConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// UTC at [`Instant::ZERO`], Unix time.
    pub epoch_utc_seconds: u64,
    /// Host name of the hub.
    pub hub_host: String,
    /// Host name of the provisioning service.
    pub dps_host: String,
    /// Host name of the file server.
    pub file_host: String,
    /// Id scope of the provisioning service.
    pub id_scope: String,
    /// Time from an accepted registration to its assignment; clients poll meanwhile.
    pub dps_assign_after: Duration,
    /// Key material.
    pub keys: Keys,
}

impl CloudConfig {
    /// The usual names, and the test keys of `fixtures/keys`.
    pub fn new(seed: u64, epoch_utc_seconds: u64) -> Self {
        Self {
            seed,
            epoch_utc_seconds,
            hub_host: "hil-hub.azure-devices.net".into(),
            dps_host: "global.azure-devices-provisioning.net".into(),
            file_host: "hil.b.nlu.dl.adu.microsoft.com".into(),
            id_scope: "0ne00HIL054".into(),
            dps_assign_after: Duration::from_secs(4),
            keys: Keys::fixtures(),
        }
    }
}

/// Why the services cannot start or sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloudError {
    /// a key or certificate cannot be used
    #[error("the {what} cannot be used: {why}")]
    Key {
        /// Which one.
        what: &'static str,
        /// The reason.
        why: String,
    },
    /// TLS cannot be configured
    #[error("TLS cannot be configured: {0}")]
    Tls(String),
}

/// Number of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ConnId(u64);

/// Where a connection arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Port 8883 of the hub or of the provisioning service; host name and user name tell which.
    MqttTls,
    /// MQTT without TLS: not in Azure, for clients that speak none. An edge that ends TLS itself uses
    /// [`Cloud::open_mqtt`].
    MqttPlain,
    /// Port 80 of the file server.
    Http,
}

/// IoT Hub, Device Provisioning Service, Device Update and its file server.
///
/// Connections are opened, fed and drained by the owner of the network:
/// [`open`](Self::open), [`receive`](Self::receive), then for each of [`ready`](Self::ready):
/// [`transmit`](Self::transmit), and once [`wants_close`](Self::wants_close), close and [`closed`](Self::closed).
/// [`poll`](Self::poll) is due at [`poll_at`](Self::poll_at).
pub struct Cloud {
    config: CloudConfig,
    utc: Utc,
    acceptor: Acceptor,
    connections: Connections,
    next_conn: u64,
    hub: Hub,
    dps: dps::Service,
    files: files::Service,
    adu: update::Service,
    events: Vec<CloudEvent>,
    /// Connections whose output or end was not looked at since it changed; each once, they are marked. Some may be gone.
    touched: Vec<ConnId>,
    /// When to look whether a connection has something to do by itself, nearest first; each has one entry at most. A
    /// deadline that moves away, as with each packet, is looked up when the time has come, and not moved each time.
    deadlines: BTreeSet<(Instant, ConnId)>,
    /// Empty, with the room of those before.
    spare: Effects,
}

impl core::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Cloud").field("connections", &self.connections.len()).finish_non_exhaustive()
    }
}

impl Cloud {
    /// Starts the services, without devices or updates.
    ///
    /// # Errors
    /// [`CloudError`] if the keys cannot be used.
    pub fn new(config: CloudConfig) -> Result<Self, CloudError> {
        let rng = Rng::new(config.seed).fork("cloud");
        let utc = Utc::new(config.epoch_utc_seconds);
        let mut dps = dps::Service::new(config.id_scope.clone(), rng.fork("dps"));
        dps.assign_after = config.dps_assign_after;
        Ok(Self {
            acceptor: Acceptor::new(&config.keys, rng.fork("tls"))?,
            connections: Connections::default(),
            next_conn: 1,
            hub: Hub::new(config.hub_host.clone(), utc, rng.fork("hub")),
            dps,
            files: files::Service::new(config.file_host.clone(), &config.keys.adu_signing_key_pem),
            adu: update::Service::new(&config.keys, config.epoch_utc_seconds)?,
            events: Vec::new(),
            touched: Vec::new(),
            deadlines: BTreeSet::new(),
            spare: Effects::default(),
            config,
            utc,
        })
    }

    /// What it was made from.
    pub fn config(&self) -> &CloudConfig {
        &self.config
    }

    /// The relation between virtual time and UTC.
    pub fn utc(&self) -> Utc {
        self.utc
    }

    /// A connection was opened.
    pub fn open(&mut self, now: Instant, endpoint: Endpoint) -> ConnId {
        let connection = match endpoint {
            Endpoint::Http => Connection::http(now),
            Endpoint::MqttPlain => Connection::mqtt(now, None, Peer::default()),
            Endpoint::MqttTls => match self.acceptor.accept(self.utc.seconds(now)) {
                Ok(stream) => Connection::mqtt(now, Some(stream), Peer::default()),
                // The configuration was accepted at the start; this is out of reach, and closing is safe.
                Err(error) => {
                    let mut connection = Connection::mqtt(now, None, Peer::default());
                    connection.end(CloseReason::Tls(error.to_string()));
                    connection
                }
            },
        };
        self.add(connection)
    }

    /// An MQTT connection was opened at an edge that ends TLS itself; bytes are plaintext in both directions.
    ///
    /// The edge vouches for `peer`: it has asked for a client certificate and checked that the client holds the key of
    /// the first one. Whether a certificate is trusted is judged here, once the client has said who it is.
    pub fn open_mqtt(&mut self, now: Instant, peer: Peer) -> ConnId {
        self.add(Connection::mqtt(now, None, peer))
    }

    fn add(&mut self, connection: Connection) -> ConnId {
        let id = ConnId(self.next_conn);
        self.next_conn += 1;
        self.connections.insert(id, connection);
        self.touch(id);
        id
    }

    /// Notes that a connection has changed.
    fn touch(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !core::mem::replace(&mut connection.touched, true) {
            self.touched.push(id);
        }
        self.schedule(id);
    }

    /// Sees to it that a connection is looked at when its deadline has come.
    fn schedule(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let at = connection.poll_at();
        if at < connection.scheduled {
            let before = core::mem::replace(&mut connection.scheduled, at);
            self.deadlines.remove(&(before, id));
            self.deadlines.insert((at, id));
        }
    }

    /// Bytes arrived on a connection; ignored on one that has ended.
    pub fn receive(&mut self, now: Instant, conn: ConnId, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let mut events = Vec::new();
        let bytes = connection.admit(bytes);
        let plaintext = connection.decrypt(bytes, &mut events);
        self.record(now, Some(conn), events);
        if !plaintext.is_empty() {
            self.dispatch(now, conn, &plaintext);
        }
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.cut_if_due();
        }
        self.settle(now, conn);
    }

    /// What is to be sent on a connection now; for long bodies a part of it.
    pub fn transmit(&mut self, now: Instant, conn: ConnId) -> Vec<u8> {
        let Some(connection) = self.connections.get_mut(conn) else { return Vec::new() };
        let out = connection.transmit();
        // A request that was waiting for the previous answer to leave is answered now.
        let mut events = Vec::new();
        let clock = files::Clock { utc: self.utc, now };
        connection.continue_http(&clock, &mut self.files, &mut events);
        self.record(now, Some(conn), events);
        self.settle(now, conn);
        out
    }

    /// Whether the connection is to be closed: everything has been transmitted and the server has ended it.
    pub fn wants_close(&self, conn: ConnId) -> bool {
        self.connections.get(conn).is_none_or(|connection| connection.ended().is_some() && !connection.has_output())
    }

    /// The connection is closed; its number means nothing from now on.
    pub fn closed(&mut self, now: Instant, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.end(CloseReason::Peer);
            self.settle(now, conn);
            if let Some(connection) = self.connections.remove(conn) {
                self.deadlines.remove(&(connection.scheduled, conn));
            }
        }
    }

    /// Ends every connection; what is queued is still sent.
    pub fn close_all(&mut self, now: Instant) {
        for conn in self.connections.ids() {
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.end(CloseReason::Administrative);
                self.settle(now, conn);
            }
        }
    }

    /// Connections that are open, the HTTP ones too.
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// Does what is due: keep-alive, expired tokens, unanswered methods.
    pub fn poll(&mut self, now: Instant) {
        let due: Vec<ConnId> = self.deadlines.range(..=(now, ConnId(u64::MAX))).map(|(_, conn)| *conn).collect();
        for conn in due {
            let Some(connection) = self.connections.get_mut(conn) else { continue };
            let changed = connection.poll(now);
            let before = core::mem::replace(&mut connection.scheduled, Instant::NEVER);
            self.deadlines.remove(&(before, conn));
            if changed {
                self.settle(now, conn);
            }
            self.schedule(conn);
        }
        let mut effects = Effects::default();
        self.hub.poll(now, &mut effects);
        self.apply(now, None, effects);
        self.poll_updates(now);
    }

    /// When the cloud next has something to do; `Instant::ZERO`, so at once, while a connection is
    /// [`ready`](Self::ready).
    pub fn poll_at(&self) -> Instant {
        let ready = |conn: &ConnId| self.connections.get(*conn).is_some_and(Connection::is_ready);
        if self.touched.iter().any(ready) {
            return Instant::ZERO;
        }
        let mut next = self.hub.poll_at().min(self.updates_poll_at());
        for (at, conn) in &self.deadlines {
            if *at >= next {
                break;
            }
            next = self.connections.get(*conn).map_or(next, |connection| next.min(connection.poll_at()));
        }
        next
    }

    /// Connections that have something to transmit or want to be closed.
    pub fn ready(&mut self) -> Vec<ConnId> {
        let ready = self.take_ready();
        for conn in &ready {
            self.touch(*conn);
        }
        ready
    }

    /// The connections of [`ready`](Self::ready), each told once until something changes for it again: for an owner that
    /// remembers which it was told, and has thousands.
    pub fn take_ready(&mut self) -> Vec<ConnId> {
        let mut ready = Vec::new();
        for conn in self.touched.drain(..) {
            let Some(connection) = self.connections.get_mut(conn) else { continue };
            connection.touched = false;
            if connection.is_ready() {
                ready.push(conn);
            }
        }
        ready.sort_unstable();
        ready
    }

    /// When to call [`poll`](Self::poll): [`poll_at`](Self::poll_at) for an owner who uses
    /// [`take_ready`](Self::take_ready) and has thousands of connections. There may turn out to be nothing to do then,
    /// because a silent connection was not silent after all.
    pub fn deadline(&self) -> Instant {
        let connections = self.deadlines.first().map_or(Instant::NEVER, |(at, _)| *at);
        connections.min(self.hub.poll_at()).min(self.updates_poll_at())
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<CloudEvent> {
        core::mem::take(&mut self.events)
    }

    /// The same, one after the other.
    pub fn drain_events(&mut self) -> impl Iterator<Item = CloudEvent> {
        self.events.drain(..)
    }

    /// Forgets which durable entries have changed: for an owner who keeps none.
    pub fn forget_changes(&mut self) {
        self.hub.forget_changes();
        self.dps.forget_changes();
        self.adu.forget_changes();
    }

    /// Durable entries that have changed since the last call, each once.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = self.hub.take_changes();
        changes.extend(self.dps.take_changes());
        changes.extend(self.adu.take_changes(&self.files));
        changes
    }

    /// Takes back what [`take_changes`](Self::take_changes) gave, in any order; deletions are skipped.
    ///
    /// For a cloud that has not been used yet, made with the same epoch: instants are stored as they are.
    ///
    /// # Errors
    /// Names the entry that cannot be read; those before it have been restored.
    pub fn restore(&mut self, changes: impl IntoIterator<Item = Change>) -> Result<(), String> {
        let (devices, others): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| change.key.starts_with("device/"));
        // What belongs to a device comes after it.
        for Change { key, value } in devices.into_iter().chain(others) {
            let Some(value) = value else { continue };
            match key.split_once('/').map(|(kind, _)| kind) {
                Some("device" | "twin" | "message" | "certificate" | "hub") => self.hub.restore(&key, &value)?,
                Some("enrolment" | "group" | "registration" | "dps") => self.dps.restore(&key, &value)?,
                Some(_) if self.restore_update(&key, &value)? => {}
                _ => return Err(format!("no service knows the stored entry `{key}`; it is of another version")),
            }
        }
        Ok(())
    }

    fn record(&mut self, now: Instant, conn: Option<ConnId>, kinds: impl IntoIterator<Item = EventKind>) {
        self.events.extend(kinds.into_iter().map(|kind| CloudEvent { at: now, conn, kind }));
    }

    /// Carries out what the hub wants.
    fn apply(&mut self, now: Instant, conn: Option<ConnId>, mut effects: Effects) {
        self.record(now, conn, effects.events.drain(..));
        for (conn, message) in effects.sends.drain(..) {
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.publish(message);
                self.settle(now, conn);
            }
        }
        for (conn, fault) in effects.cuts.drain(..) {
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.cut_after(fault);
            }
        }
        for (conn, why) in effects.closes.drain(..) {
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.end(why);
                self.settle(now, conn);
            }
        }
        self.spare = effects;
        self.sync_updates(now);
    }

    /// After every change of a connection: notes output, and tells the services of an end, once.
    fn settle(&mut self, now: Instant, conn: ConnId) {
        self.touch(conn);
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Some(end) = connection.take_end() else { return };
        let device = match &end.client {
            Client::Nobody => None,
            Client::Device(id) => Some(String::from(&**id)),
            Client::Registration(client) => Some(client.registration.clone()),
        };
        let mut effects = Effects::default();
        if let Client::Device(id) = &end.client {
            self.hub.disconnected(now, conn, id, end.will, end.unacknowledged, &mut effects);
            if end.why == CloseReason::Cut {
                let what = "connection cut".to_owned();
                effects.events.push(EventKind::FaultActed { device: String::from(&**id), what });
            }
        }
        effects.events.push(EventKind::Disconnected { device, why: end.why });
        self.apply(now, Some(conn), effects);
    }
}

/// A simulation may run on any thread.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Cloud>();
};
