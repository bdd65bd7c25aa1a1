//! A device's side of the wire, with codecs other than the server's: rustls as a client, mqttrs2, and HTTP by hand.

#![allow(dead_code)] // Each test program uses another part of it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use hub::Change;
use hub::{Cloud, CloudConfig, CloudEvent, ConnId, Endpoint, EventKind, Peer};
use mqttrs2::{Connect, LastWill, Packet, Pid, Protocol, Publish, QoS, QosPid, Subscribe, SubscribeTopic};
use ring::hmac;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::Value;
use sim_base::{Instant, Rng};

pub const EPOCH: u64 = 1_767_225_600; // 2026-01-01
pub const HUB: &str = "hil-hub.azure-devices.net";
pub const DPS: &str = "global.azure-devices-provisioning.net";
pub const KEY: [u8; 32] = [0x5A; 32];
pub const MODEL: &str = "dtmi:azure:iot:deviceUpdateContractModel;2";

/// The cloud, the time, and every byte that it ever sent.
pub struct Net {
    pub cloud: Cloud,
    pub now: Instant,
    pub sent: Vec<u8>,
    pub events: Vec<CloudEvent>,
    rng: Rng,
}

/// One connection, seen by the client.
pub struct Wire {
    pub conn: ConnId,
    tls: Option<Box<ClientConnection>>,
    pub plaintext: Vec<u8>,
    pub closed: bool,
}

#[derive(Debug)]
struct FixedTime;

impl TimeProvider for FixedTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(EPOCH)))
    }
}

impl Net {
    pub fn new(seed: u64) -> Self {
        let cloud = Cloud::new(CloudConfig::new(seed, EPOCH)).expect("the fixture keys work");
        let rng = Rng::new(seed).fork("client");
        Self { cloud, now: Instant::ZERO, sent: Vec::new(), events: Vec::new(), rng }
    }

    /// Everything durable of this cloud, in another one of the same epoch.
    pub fn restarted(mut self, stored: &mut BTreeMap<String, Vec<u8>>) -> Self {
        for change in self.cloud.take_changes() {
            match change.value {
                Some(value) => stored.insert(change.key, value),
                None => stored.remove(&change.key),
            };
        }
        let mut cloud = Cloud::new(self.cloud.config().clone()).expect("the keys work");
        let changes = stored.iter().map(|(key, value)| Change { key: key.clone(), value: Some(value.clone()) });
        cloud.restore(changes).expect("what was stored can be read");
        Self { cloud, now: self.now, sent: self.sent, events: self.events, rng: self.rng }
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.cloud.poll(self.now);
    }

    pub fn kinds(&mut self) -> Vec<EventKind> {
        let events = self.cloud.take_events();
        self.events.extend(events.iter().cloned());
        events.into_iter().map(|event| event.kind).collect()
    }

    pub fn plain(&mut self) -> Wire {
        let conn = self.cloud.open(self.now, Endpoint::MqttPlain);
        Wire { conn, tls: None, plaintext: Vec::new(), closed: false }
    }

    /// A connection of an edge that has ended TLS itself.
    pub fn edge(&mut self, sni: Option<&str>, certificates: &[&[u8]]) -> Wire {
        let certificates = certificates.iter().map(|certificate| certificate.to_vec()).collect();
        let conn = self.cloud.open_mqtt(self.now, Peer { sni: sni.map(str::to_owned), certificates });
        Wire { conn, tls: None, plaintext: Vec::new(), closed: false }
    }

    pub fn http(&mut self) -> Wire {
        let conn = self.cloud.open(self.now, Endpoint::Http);
        Wire { conn, tls: None, plaintext: Vec::new(), closed: false }
    }

    /// A TLS connection that has completed its handshake.
    pub fn tls(&mut self, host: &'static str) -> Wire {
        self.tls_with(host, None)
    }

    pub fn tls_with(&mut self, host: &'static str, certificate: Option<(&[u8], &[u8])>) -> Wire {
        let mut roots = RootCertStore::empty();
        roots.add(self.cloud.config().keys.tls_root_der.clone().into()).expect("the root is a certificate");
        let provider = Arc::new(hub::tls::seeded_provider(Rng::new(self.rng.next_u64())));
        let config = ClientConfig::builder_with_details(provider, Arc::new(FixedTime))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .expect("TLS 1.2")
            .with_root_certificates(roots);
        let config = match certificate {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => config
                .with_client_auth_cert(
                    CertificateDer::pem_slice_iter(certificate).map(|one| one.expect("certificate")).collect(),
                    PrivateKeyDer::from_pem_slice(key).expect("key"),
                )
                .expect("client certificate"),
        };
        let mut tls = ClientConnection::new(Arc::new(config), host.try_into().expect("host name")).expect("client");
        tls.set_buffer_limit(None);
        let conn = self.cloud.open(self.now, Endpoint::MqttTls);
        let mut wire = Wire { conn, tls: Some(Box::new(tls)), plaintext: Vec::new(), closed: false };
        self.pump(&mut wire);
        wire
    }

    pub fn send(&mut self, wire: &mut Wire, bytes: &[u8]) {
        match &mut wire.tls {
            None => self.cloud.receive(self.now, wire.conn, bytes),
            Some(tls) => tls.writer().write_all(bytes).expect("buffered"),
        }
        self.pump(wire);
    }

    /// Moves bytes both ways until nothing moves.
    pub fn pump(&mut self, wire: &mut Wire) {
        loop {
            let mut quiet = true;
            if let Some(tls) = &mut wire.tls {
                let mut out = Vec::new();
                while tls.wants_write() {
                    tls.write_tls(&mut out).expect("a vector takes everything");
                }
                quiet &= out.is_empty();
                // In pieces, as a network would.
                for piece in out.chunks(536) {
                    self.cloud.receive(self.now, wire.conn, piece);
                }
            }
            let bytes = self.cloud.transmit(self.now, wire.conn);
            quiet &= bytes.is_empty();
            self.sent.extend_from_slice(&bytes);
            match &mut wire.tls {
                None => wire.plaintext.extend(bytes),
                Some(tls) => {
                    let mut rest = &bytes[..];
                    while !rest.is_empty() {
                        tls.read_tls(&mut rest).expect("a slice can be read");
                        let state = tls.process_new_packets().expect("the server speaks TLS");
                        let mut chunk = vec![0; state.plaintext_bytes_to_read()];
                        if !chunk.is_empty() {
                            tls.reader().read_exact(&mut chunk).expect("announced");
                        }
                        wire.plaintext.extend(chunk);
                    }
                }
            }
            if self.cloud.wants_close(wire.conn) {
                self.cloud.closed(self.now, wire.conn);
                wire.closed = true;
                return;
            }
            if quiet {
                return;
            }
        }
    }
}

/// A packet of the server.
#[derive(Clone, Debug, PartialEq)]
pub enum FromServer {
    Connack { code: u8, session_present: bool },
    Publish { topic: String, body: Vec<u8>, pid: Option<u16>, dup: bool },
    Puback(u16),
    Suback(Vec<Option<u8>>),
    Unsuback,
    Pingresp,
}

/// An MQTT client.
pub struct Mqtt {
    pub wire: Wire,
    pid: Pid,
    inbox: VecDeque<FromServer>,
    /// Whether messages at QoS 1 are acknowledged by themselves.
    pub acknowledge: bool,
}

impl Mqtt {
    pub fn new(wire: Wire) -> Self {
        Self { wire, pid: Pid::new(), inbox: VecDeque::new(), acknowledge: true }
    }

    pub fn packet(&mut self, net: &mut Net, packet: &Packet<'_>) {
        let mut buffer = vec![0; 300_000];
        let len = mqttrs2::encode_slice(packet, &mut buffer).expect("fits");
        net.send(&mut self.wire, &buffer[..len]);
        self.read(net);
    }

    pub fn read(&mut self, net: &mut Net) {
        net.pump(&mut self.wire);
        let mut acknowledge = Vec::new();
        while let Some((len, packet)) = mqttrs2::decode_slice_with_len(&self.wire.plaintext).expect("well-formed") {
            let owned = match packet {
                Packet::Connack(connack) => {
                    FromServer::Connack { code: connack.code as u8, session_present: connack.session_present }
                }
                Packet::Publish(publish) => {
                    let pid = publish.qospid.pid().map(Pid::get);
                    acknowledge.extend(publish.qospid.pid());
                    let body = publish.payload.to_vec();
                    FromServer::Publish { topic: publish.topic_name.to_owned(), body, pid, dup: publish.dup }
                }
                Packet::Puback(pid) => FromServer::Puback(pid.get()),
                Packet::Suback(suback) => FromServer::Suback(
                    suback
                        .return_codes
                        .iter()
                        .map(|code| match code {
                            mqttrs2::SubscribeReturnCodes::Success(qos) => Some(*qos as u8),
                            mqttrs2::SubscribeReturnCodes::Failure => None,
                        })
                        .collect(),
                ),
                Packet::Unsuback(_) => FromServer::Unsuback,
                Packet::Pingresp => FromServer::Pingresp,
                other => panic!("a server does not send {other:?}"),
            };
            self.wire.plaintext.drain(..len);
            self.inbox.push_back(owned);
        }
        if self.acknowledge {
            for pid in acknowledge {
                self.packet(net, &Packet::Puback(pid));
            }
        }
    }

    pub fn inbox(&mut self) -> Vec<FromServer> {
        self.inbox.drain(..).collect()
    }

    /// The only message that has arrived, besides acknowledgements.
    #[track_caller]
    pub fn message(&mut self) -> (String, Vec<u8>) {
        let mut messages: Vec<_> = self.messages();
        let topics: Vec<&String> = messages.iter().map(|(topic, _)| topic).collect();
        assert_eq!(messages.len(), 1, "{topics:?}");
        messages.remove(0)
    }

    pub fn messages(&mut self) -> Vec<(String, Vec<u8>)> {
        let publishes = self.inbox().into_iter().filter_map(|packet| match packet {
            FromServer::Publish { topic, body, .. } => Some((topic, body)),
            _ => None,
        });
        publishes.collect()
    }

    pub fn connect(&mut self, net: &mut Net, id: &str, user: &str, password: Option<&str>) -> FromServer {
        self.connect_with(net, id, user, password, true, None)
    }

    pub fn connect_with(
        &mut self,
        net: &mut Net,
        id: &str,
        user: &str,
        password: Option<&str>,
        clean_session: bool,
        will: Option<(&str, &[u8])>,
    ) -> FromServer {
        let last_will = will.map(|(topic, message)| LastWill { topic, message, qos: QoS::AtMostOnce, retain: false });
        let connect = Connect {
            protocol: Protocol::MQTT311,
            keep_alive: 240,
            client_id: id,
            clean_session,
            last_will,
            username: Some(user),
            password: password.map(str::as_bytes),
        };
        self.packet(net, &Packet::Connect(connect));
        self.inbox.pop_front().expect("a CONNACK")
    }

    #[track_caller]
    pub fn subscribe(&mut self, net: &mut Net, filters: &[&str]) {
        let topic =
            |filter: &&str| SubscribeTopic { topic_path: filter.parse().expect("short"), qos: QoS::AtLeastOnce };
        let pid = self.next_pid();
        self.packet(net, &Packet::Subscribe(Subscribe { pid, topics: filters.iter().map(topic).collect() }));
        if !self.wire.closed {
            let suback = self.inbox.iter().position(|packet| matches!(packet, FromServer::Suback(_)));
            let suback = self.inbox.remove(suback.expect("a SUBACK"));
            assert_eq!(suback, Some(FromServer::Suback(vec![Some(1); filters.len()])));
        }
    }

    pub fn publish(&mut self, net: &mut Net, topic: &str, payload: &[u8], qos: QoS) {
        let qospid = match qos {
            QoS::AtMostOnce => QosPid::AtMostOnce,
            QoS::AtLeastOnce => QosPid::AtLeastOnce(self.next_pid()),
            QoS::ExactlyOnce => QosPid::ExactlyOnce(self.next_pid()),
        };
        let publish = Publish { dup: false, qospid, retain: false, topic_name: topic, payload };
        self.packet(net, &Packet::Publish(publish));
    }

    fn next_pid(&mut self) -> Pid {
        self.pid = self.pid + 1;
        self.pid
    }
}

/// A connection of device `id` with the usual subscriptions; the twin is not read yet.
pub fn device(net: &mut Net, id: &str) -> Mqtt {
    let wire = net.tls(HUB);
    let mut mqtt = Mqtt::new(wire);
    let user = format!("{HUB}/{id}/?api-version=2020-09-30&model-id={}", MODEL.replace(':', "%3A").replace(';', "%3B"));
    let accepted = mqtt.connect(net, id, &user, Some(&hub_token(id, &KEY, EPOCH + 3600)));
    assert_eq!(accepted, FromServer::Connack { code: 0, session_present: false });
    mqtt.subscribe(net, &["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#"]);
    mqtt
}

/// Reports properties and yields the status of the answer.
pub fn report(net: &mut Net, mqtt: &mut Mqtt, patch: &Value) -> String {
    mqtt.read(net);
    mqtt.inbox();
    mqtt.publish(net, "$iothub/twin/PATCH/properties/reported/?$rid=r", patch.to_string().as_bytes(), QoS::AtLeastOnce);
    let (topic, _) = mqtt.message();
    topic.strip_prefix("$iothub/twin/res/").expect("a twin response")[..3].to_owned()
}

pub fn hub_token(id: &str, key: &[u8], expiry: u64) -> String {
    token(&format!("{HUB}%2Fdevices%2F{id}"), key, expiry)
}

pub fn dps_token(scope: &str, id: &str, key: &[u8], expiry: u64) -> String {
    format!("{}&skn=registration", token(&format!("{scope}%2Fregistrations%2F{id}"), key, expiry))
}

fn token(resource: &str, key: &[u8], expiry: u64) -> String {
    use base64::Engine as _;
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signature = hmac::sign(&key, format!("{resource}\n{expiry}").as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(signature);
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}")
}

/// GET of a range; yields status and body.
pub fn get(net: &mut Net, wire: &mut Wire, url: &str, range: Option<(u64, u64)>) -> (u16, Vec<u8>) {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("http URL");
    let range = range.map_or(String::new(), |(first, last)| format!("Range: bytes={first}-{last}\r\n"));
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n{range}\r\n");
    net.send(wire, request.as_bytes());
    let response = std::mem::take(&mut wire.plaintext);
    let at = response.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = std::str::from_utf8(&response[..at]).expect("text");
    (head[9..12].parse().expect("a status"), response[at + 4..].to_vec())
}

pub fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}
