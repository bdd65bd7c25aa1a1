//! One connection: an optional TLS layer, then MQTT or HTTP.

use std::borrow::Cow;
use std::sync::Arc;

use sim_base::Instant;

use super::broker::BrokerSide;
use super::{Cloud, ConnId};
use crate::dps::{self, Context};
use crate::event::{CloseReason, EventKind};
use crate::files;
use crate::iot_hub::{Accepted, Answer, DeviceFault, Effects, Outgoing};
use crate::mqtt::{self, Connect, Input, Session, Tag, Unacknowledged, Will};
use crate::tls::{Peer, Stream};

/// Who is at the other end of an MQTT connection.
#[derive(Clone, Debug)]
pub(super) enum Client {
    /// Not accepted yet.
    Nobody,
    /// A device of the hub.
    Device(Arc<str>),
    /// A device that wants to be provisioned.
    Registration(dps::Client),
}

#[derive(Debug)]
enum Layer {
    Mqtt {
        session: Box<Session>,
        client: Client,
    },
    Http(files::Connection),
    /// MQTT that ends at a broker.
    Broker(Box<BrokerSide>),
}

#[derive(Debug)]
pub(super) struct Connection {
    tls: Option<Box<Stream>>,
    /// What TLS proved, here or at the edge.
    peer: Peer,
    layer: Layer,
    /// Bytes that may still come, or be sent, before the connection is cut.
    cut_received: Option<u64>,
    cut_sent: Option<u64>,
    /// TLS failed, or the peer is gone: nothing can be sent any more but what TLS still has queued.
    broken: Option<CloseReason>,
    end_noted: bool,
    /// The time at which the cloud looks whether its deadline has come, not after that.
    pub(super) scheduled: Instant,
    /// Whether the cloud has it among those that have changed.
    pub(super) touched: bool,
}

/// The end of a connection.
pub(super) struct End {
    pub client: Client,
    pub why: CloseReason,
    pub will: Option<Will>,
    pub unacknowledged: Vec<Unacknowledged>,
}

impl Connection {
    /// Cuts the connection after so many bytes more; 0 does not cut it.
    pub(super) fn cut_after(&mut self, fault: DeviceFault) {
        match fault {
            DeviceFault::CutReceived { bytes } => self.cut_received = Some(bytes).filter(|bytes| *bytes > 0),
            DeviceFault::CutSent { bytes } => self.cut_sent = Some(bytes).filter(|bytes| *bytes > 0),
            _ => {}
        }
    }

    /// The part of what came from the network that comes through.
    pub(super) fn admit<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Some(left) = &mut self.cut_received else { return bytes };
        let len = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        *left -= len as u64;
        &bytes[..len]
    }

    /// Cuts the connection if its bytes are used up.
    pub(super) fn cut_if_due(&mut self) {
        if self.cut_received == Some(0) || self.cut_sent == Some(0) {
            self.end(CloseReason::Cut);
        }
    }

    fn is_cut(&self) -> bool {
        self.layer_ended() == Some(&CloseReason::Cut)
    }

    pub(super) fn mqtt(now: Instant, tls: Option<Stream>, peer: Peer) -> Self {
        let session = Box::new(Session::new(now));
        Self::new(tls, peer, Layer::Mqtt { session, client: Client::Nobody })
    }

    pub(super) fn http(now: Instant) -> Self {
        Self::new(None, Peer::default(), Layer::Http(files::Connection::new(now)))
    }

    pub(super) fn broker(side: BrokerSide) -> Self {
        Self::new(None, Peer::default(), Layer::Broker(Box::new(side)))
    }

    pub(super) fn broker_side(&mut self) -> Option<&mut BrokerSide> {
        match &mut self.layer {
            Layer::Broker(side) => Some(side),
            Layer::Mqtt { .. } | Layer::Http(_) => None,
        }
    }

    fn new(tls: Option<Stream>, peer: Peer, layer: Layer) -> Self {
        Self {
            tls: tls.map(Box::new),
            peer,
            layer,
            cut_received: None,
            cut_sent: None,
            broken: None,
            end_noted: false,
            scheduled: Instant::NEVER,
            touched: false,
        }
    }

    /// Takes off the TLS layer, if there is one.
    pub(super) fn decrypt<'b>(&mut self, bytes: &'b [u8], events: &mut Vec<EventKind>) -> Cow<'b, [u8]> {
        if self.ended().is_some() {
            return Cow::Borrowed(&[]);
        }
        let Some(stream) = &mut self.tls else { return Cow::Borrowed(bytes) };
        match stream.receive(bytes) {
            Ok(received) => {
                if let Some(established) = received.established {
                    self.peer = established.peer;
                    events.push(EventKind::TlsEstablished {
                        sni: self.peer.sni.clone(),
                        version: established.version,
                        suite: established.suite,
                        client_certificate: !self.peer.certificates.is_empty(),
                    });
                }
                if received.end && received.plaintext.is_empty() {
                    self.end(CloseReason::Peer);
                }
                Cow::Owned(received.plaintext)
            }
            Err(error) => {
                events.push(EventKind::TlsFailed { why: error.to_string() });
                self.broken.get_or_insert(CloseReason::Tls(error.to_string()));
                Cow::Borrowed(&[])
            }
        }
    }

    pub(super) fn publish(&mut self, message: Outgoing) {
        match &mut self.layer {
            Layer::Mqtt { session, .. } => session.publish(message.topic, message.body, message.qos, message.tag),
            Layer::Broker(side) => side.publish(message),
            Layer::Http(_) => {}
        }
    }

    pub(super) fn transmit(&mut self) -> Vec<u8> {
        // A cut is not a goodbye: what is queued is lost.
        if self.is_cut() {
            return Vec::new();
        }
        let mut out = self.output();
        if let Some(left) = &mut self.cut_sent {
            out.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= out.len() as u64;
            self.cut_if_due();
        }
        out
    }

    fn output(&mut self) -> Vec<u8> {
        let plaintext = match &mut self.layer {
            Layer::Mqtt { session, .. } => session.transmit(),
            Layer::Http(http) => http.transmit(),
            // Messages, not bytes.
            Layer::Broker(_) => Vec::new(),
        };
        let ended = self.ended().is_some();
        let Some(stream) = &mut self.tls else { return plaintext };
        if !plaintext.is_empty() {
            stream.send(&plaintext);
        }
        if ended && self.broken.is_none() && stream.is_established() {
            // Only once: the layers are silent after this.
            stream.close();
            self.broken = Some(CloseReason::Administrative);
        }
        stream.transmit()
    }

    /// Answers an HTTP request that waited for the previous answer to leave.
    pub(super) fn continue_http(
        &mut self,
        clock: &files::Clock,
        files: &mut files::Service,
        events: &mut Vec<EventKind>,
    ) {
        if let Layer::Http(http) = &mut self.layer {
            http.answer(clock, files, events);
        }
    }

    pub(super) fn has_output(&self) -> bool {
        if self.is_cut() {
            return false;
        }
        let layer = match &self.layer {
            Layer::Mqtt { session, .. } => session.has_output(),
            Layer::Http(http) => http.has_output(),
            Layer::Broker(side) => side.has_output(),
        };
        // The closing alert is still to come.
        let closing = self.layer_ended().is_some()
            && self.broken.is_none()
            && self.tls.as_ref().is_some_and(|stream| stream.is_established());
        (layer && self.broken.is_none()) || closing || self.tls.as_ref().is_some_and(|stream| stream.has_output())
    }

    /// Whether the owner of the network has something to send or to close.
    pub(super) fn is_ready(&self) -> bool {
        self.has_output() || self.ended().is_some()
    }

    pub(super) fn end(&mut self, why: CloseReason) {
        match &mut self.layer {
            Layer::Mqtt { session, .. } => session.end(why),
            Layer::Http(http) => http.end(why),
            Layer::Broker(side) => side.end(why),
        }
    }

    fn layer_ended(&self) -> Option<&CloseReason> {
        match &self.layer {
            Layer::Mqtt { session, .. } => session.ended(),
            Layer::Http(http) => http.ended(),
            Layer::Broker(side) => side.ended.as_ref(),
        }
    }

    pub(super) fn ended(&self) -> Option<&CloseReason> {
        self.layer_ended().or(self.broken.as_ref())
    }

    /// The end of the connection, once.
    pub(super) fn take_end(&mut self) -> Option<End> {
        let why = self.ended()?.clone();
        if core::mem::replace(&mut self.end_noted, true) {
            return None;
        }
        Some(match &mut self.layer {
            Layer::Mqtt { session, client } => End {
                client: core::mem::replace(client, Client::Nobody),
                why,
                will: session.take_will(),
                unacknowledged: session.take_unacknowledged(),
            },
            Layer::Broker(side) => End {
                client: core::mem::replace(&mut side.client, Client::Nobody),
                why,
                will: side.will.take(),
                unacknowledged: core::mem::take(&mut side.unacknowledged),
            },
            Layer::Http(_) => End { client: Client::Nobody, why, will: None, unacknowledged: Vec::new() },
        })
    }

    /// Ends the connection if it was silent for too long; yields whether it changed.
    pub(super) fn poll(&mut self, now: Instant) -> bool {
        if self.ended().is_some() || now < self.poll_at() {
            return false;
        }
        match &mut self.layer {
            Layer::Mqtt { session, .. } => session.poll(now),
            Layer::Http(http) => http.poll(now),
            Layer::Broker(_) => {}
        }
        true
    }

    pub(super) fn poll_at(&self) -> Instant {
        match (&self.broken, &self.layer) {
            (Some(_), _) => Instant::NEVER,
            (None, Layer::Mqtt { session, .. }) => session.poll_at(),
            (None, Layer::Http(http)) => http.poll_at(),
            // Silence is the broker's business.
            (None, Layer::Broker(_)) => Instant::NEVER,
        }
    }
}

impl Cloud {
    /// Handles decrypted bytes.
    pub(super) fn dispatch(&mut self, now: Instant, conn: ConnId, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        match &mut connection.layer {
            Layer::Http(http) => {
                let mut events = Vec::new();
                let clock = files::Clock { utc: self.utc, now };
                http.receive(&clock, bytes, &mut self.files, &mut events);
                self.record(now, Some(conn), events);
            }
            Layer::Broker(_) => {}
            Layer::Mqtt { session, .. } => {
                session.push(now, bytes);
                while let Some(input) = self.next_input(conn) {
                    self.input(now, conn, input);
                }
            }
        }
    }

    fn next_input(&mut self, conn: ConnId) -> Option<Input> {
        self.session(conn)?.next_input()
    }

    fn session(&mut self, conn: ConnId) -> Option<&mut Session> {
        match &mut self.connections.get_mut(conn)?.layer {
            Layer::Mqtt { session, .. } => Some(session),
            Layer::Http(_) | Layer::Broker(_) => None,
        }
    }

    fn client(&self, conn: ConnId) -> Client {
        match self.connections.get(conn).map(|connection| &connection.layer) {
            Some(Layer::Mqtt { client, .. }) => client.clone(),
            Some(Layer::Broker(side)) => side.client.clone(),
            _ => Client::Nobody,
        }
    }

    fn set_client(&mut self, conn: ConnId, new: Client) {
        match self.connections.get_mut(conn).map(|connection| &mut connection.layer) {
            Some(Layer::Mqtt { client, .. }) => *client = new,
            Some(Layer::Broker(side)) => side.client = new,
            Some(Layer::Http(_)) | None => {}
        }
    }

    pub(super) fn input(&mut self, now: Instant, conn: ConnId, input: Input) {
        let mut effects = core::mem::take(&mut self.spare);
        let client = self.client(conn);
        let outcome = match (input, client) {
            (Input::Connect(connect), _) => {
                self.connect(now, conn, connect, &mut effects);
                Ok(())
            }
            (Input::Publish(publish), Client::Device(id)) => {
                let packet = publish.id;
                let outcome = self.hub.publish(now, &id, publish, &mut effects);
                if outcome != Ok(Answer::LeftOut) {
                    self.acknowledge(conn, packet, &outcome);
                }
                outcome.map(|_| ())
            }
            (Input::Publish(publish), Client::Registration(client)) => {
                let mut context = Context { now, utc: &self.utc, hub: &mut self.hub, effects: &mut effects };
                let reply = self.dps.publish(&mut context, &client, &publish.topic, &publish.body);
                let outcome = reply.map(|reply| {
                    if let Some(qos) = client.granted {
                        let body = reply.body.to_string().into_bytes();
                        effects.sends.push((conn, Outgoing { topic: reply.topic, body, qos, tag: Tag::Plain }));
                    }
                });
                self.acknowledge(conn, publish.id, &outcome);
                outcome.map_err(CloseReason::Protocol)
            }
            (Input::Subscribe { id, filters }, Client::Device(device)) => {
                // SUBACK leaves before anything that the subscription releases.
                let outcome = self.hub.subscribe(now, &device, &filters, &mut effects);
                outcome.map_err(CloseReason::Protocol).map(|codes| {
                    if let Some(session) = self.session(conn) {
                        session.granted(id, &codes);
                    }
                })
            }
            (Input::Subscribe { id, filters }, Client::Registration(client)) => {
                self.subscribe_dps(conn, id, &filters, client, &mut effects).map_err(CloseReason::Protocol)
            }
            (Input::Unsubscribe { filters }, Client::Device(device)) => {
                self.hub.unsubscribe(now, &device, &filters);
                Ok(())
            }
            (Input::Unsubscribe { .. }, Client::Registration(mut client)) => {
                client.granted = None;
                self.set_client(conn, Client::Registration(client));
                Ok(())
            }
            (Input::Acknowledged { topic, tag }, Client::Device(device)) => {
                self.hub.acknowledged(now, &device, tag, &mut effects);
                effects.events.push(EventKind::Acknowledged { device: String::from(&*device), topic });
                Ok(())
            }
            (Input::Acknowledged { topic, .. }, Client::Registration(client)) => {
                effects.events.push(EventKind::Acknowledged { device: client.registration, topic });
                Ok(())
            }
            // The session hands out nothing but CONNECT before it was accepted.
            (_, Client::Nobody) => Ok(()),
        };
        if let Err(why) = outcome
            && let Some(connection) = self.connections.get_mut(conn)
        {
            connection.end(why);
        }
        self.apply(now, Some(conn), effects);
    }

    /// PUBACK before anything that the message leads to, but not for one that closes the connection.
    fn acknowledge<T, E>(&mut self, conn: ConnId, id: Option<u16>, outcome: &Result<T, E>) {
        if let (Some(id), Ok(_), Some(session)) = (id, outcome, self.session(conn)) {
            session.acknowledge(id);
        }
    }

    fn subscribe_dps(
        &mut self,
        conn: ConnId,
        id: u16,
        filters: &[(String, u8)],
        mut client: dps::Client,
        effects: &mut Effects,
    ) -> Result<(), String> {
        let mut codes = Vec::new();
        for (filter, qos) in filters {
            if filter != dps::FILTER {
                return Err(format!("the provisioning service does not know the filter `{filter}`"));
            }
            codes.push((*qos).min(1));
            effects.events.push(EventKind::Subscribed {
                device: client.registration.clone(),
                filter: filter.clone(),
                qos: (*qos).min(1),
            });
        }
        if let Some(session) = self.session(conn) {
            session.granted(id, &codes);
        }
        client.granted = codes.last().copied();
        self.set_client(conn, Client::Registration(client));
        Ok(())
    }

    fn connect(&mut self, now: Instant, conn: ConnId, connect: Connect, effects: &mut Effects) {
        let outcome = self.judge_connect(now, conn, &connect, effects);
        let refused = match outcome {
            Ok((client, accepted)) => {
                self.set_client(conn, client);
                match self.connections.get_mut(conn).map(|connection| &mut connection.layer) {
                    Some(Layer::Mqtt { session, .. }) => {
                        session.accept(accepted.session_present, connect.keep_alive, connect.will);
                        session.resend(accepted.resend);
                    }
                    Some(Layer::Broker(side)) => side.resend(accepted.resend),
                    Some(Layer::Http(_)) | None => {}
                }
                return;
            }
            Err(refused) => refused,
        };
        effects.events.push(EventKind::ConnectRefused { code: refused.0, why: refused.1 });
        match self.connections.get_mut(conn).map(|connection| &mut connection.layer) {
            Some(Layer::Mqtt { session, .. }) => session.refuse(refused.0),
            Some(Layer::Broker(side)) => side.end(CloseReason::Refused(refused.0)),
            Some(Layer::Http(_)) | None => {}
        }
    }

    fn judge_connect(
        &mut self,
        now: Instant,
        conn: ConnId,
        connect: &Connect,
        effects: &mut Effects,
    ) -> Result<(Client, Accepted), (u8, String)> {
        let Some(connection) = self.connections.get(conn) else {
            return Err((mqtt::REFUSED_UNAVAILABLE, "the connection is gone".into()));
        };
        if connect.level != 4 {
            let why = format!("protocol level {} is not MQTT 3.1.1", connect.level);
            return Err((mqtt::REFUSED_PROTOCOL, why));
        }
        let peer = &connection.peer;
        // A broker has let it in.
        let vouched = matches!(connection.layer, Layer::Broker(_));
        let username = connect.username.as_deref().unwrap_or_default();
        // `localhost`, an address or a gateway's name says nothing about the service; the user name does.
        let same = self.config.dps_host.eq_ignore_ascii_case(&self.config.hub_host);
        let dps = match peer.sni.as_deref().filter(|_| !same) {
            Some(sni) if sni.eq_ignore_ascii_case(&self.config.dps_host) => true,
            Some(sni) if sni.eq_ignore_ascii_case(&self.config.hub_host) => false,
            _ => username.split('/').nth(1) == Some("registrations"),
        };
        if !dps {
            let login = self.hub.authorise(now, connect, &peer.certificates, vouched, effects);
            let login = login.map_err(|refused| (refused.code, refused.why))?;
            let id: Arc<str> = login.id().into();
            // The older connection ends first, so that what it has not acknowledged is known.
            if let Some(old) = self.hub.link(&id) {
                if let Some(connection) = self.connections.get_mut(old) {
                    connection.end(CloseReason::Evicted);
                }
                self.settle(now, old);
            }
            let accepted = self.hub.attach(now, conn, login, effects);
            return Ok((Client::Device(id), accepted));
        }
        let password = connect.password.as_deref().map(core::str::from_utf8).transpose();
        let password = password
            .map_err(|_| (mqtt::REFUSED_CREDENTIALS, "the password is not UTF-8".to_owned()))?
            .map(str::to_owned);
        let mut client =
            dps::Client::from_username(username, password, peer.certificates.clone()).ok_or_else(|| {
                let wanted = "idScope/registrations/registrationId/api-version=…";
                (mqtt::REFUSED_CREDENTIALS, format!("the user name `{username}` is not of the form `{wanted}`"))
            })?;
        if connect.client_id != client.registration {
            let why = format!("the client id `{}` is not the registration id", connect.client_id);
            return Err((mqtt::REFUSED_IDENTIFIER, why));
        }
        client.vouched = vouched;
        effects.events.push(EventKind::DpsConnected { registration: client.registration.clone() });
        Ok((Client::Registration(client), Accepted { session_present: false, resend: Vec::new() }))
    }
}
