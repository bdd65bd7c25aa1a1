//! Devices at a hub that stands behind a real Mosquitto.

#[path = "../../hub-broker/tests/support/brokers.rs"]
mod brokers;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use brokers::{has_mosquitto, image};
use hub::{Attestation, Enrolment, Keys};
use hub_server::config::{BrokerConfig, BrokerKind, Ports};
use hub_server::log::Log;
use hub_server::{Config, Server};
use rumqttc::{Client, Connection, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use serde_json::{Value, json};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

const PATIENCE: Duration = Duration::from_secs(30);

/// The test chain is for `*.azure-devices.net`, and the broker is at an address.
#[derive(Debug)]
struct Renamed(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Renamed {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let name = ServerName::try_from("hub.azure-devices.net").expect("a name");
        self.0.verify_server_cert(leaf, chain, &name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn tls() -> Transport {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(Keys::fixtures().tls_root_der)).expect("a root");
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .expect("a verifier");
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Renamed(verifier)))
        .with_no_client_auth();
    Transport::Tls(TlsConfiguration::Rustls(Arc::new(config)))
}

/// A device that the test drives.
struct Device {
    client: Client,
    connection: Connection,
    inbox: VecDeque<(String, Value)>,
}

impl Device {
    fn connect(at: SocketAddr, id: &str, user: &str, clean: bool) -> Self {
        let mut options = MqttOptions::new(id, at.ip().to_string(), at.port());
        options.set_credentials(user, "").set_transport(tls()).set_clean_session(clean);
        let (client, connection) = Client::new(options, 32);
        let mut device = Self { client, connection, inbox: VecDeque::new() };
        device.until("CONNACK", |packet| matches!(packet, Packet::ConnAck(_)));
        device
    }

    fn until(&mut self, what: &str, is: impl Fn(&Packet) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.connection.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Ok(Event::Incoming(packet))) => {
                    if let Packet::Publish(publish) = &packet {
                        let body = serde_json::from_slice(&publish.payload).unwrap_or_default();
                        self.inbox.push_back((publish.topic.clone(), body));
                    }
                    if is(&packet) {
                        return;
                    }
                }
                Ok(Ok(_)) => {}
                other => panic!("no {what}: {other:?}"),
            }
        }
    }

    fn subscribe(&mut self, filter: &str) {
        self.client.subscribe(filter, QoS::AtLeastOnce).expect("sent");
        self.until("SUBACK", |packet| matches!(packet, Packet::SubAck(_)));
    }

    fn publish(&mut self, topic: &str, body: &Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.client.publish(topic, QoS::AtLeastOnce, false, body).expect("sent");
    }

    /// The next message.
    fn message(&mut self) -> (String, Value) {
        if self.inbox.is_empty() {
            self.until("message", |packet| matches!(packet, Packet::Publish(_)));
        }
        self.inbox.pop_front().expect("one has come")
    }

    /// Waits until the broker has closed the connection.
    fn closed(mut self) {
        let end = Instant::now() + PATIENCE;
        while let Ok(Ok(_)) = self.connection.recv_timeout(end.saturating_duration_since(Instant::now())) {}
        assert!(Instant::now() < end, "the connection is still open");
    }
}

fn config(devices: u16) -> Config {
    let ports = Ports { mqtts: 0, mqtt: None, files: 0, admin: 0 };
    Config { ports, broker: Some(BrokerConfig { devices, ..BrokerConfig::default() }), ..Config::default() }
}

fn user(id: &str) -> String {
    format!("localhost/{id}/?api-version=2021-04-12&model-id=dtmi:a;1")
}

/// Waits until the cloud is as wanted.
fn eventually(server: &Server, what: &str, is: impl Fn(&hub::Cloud, &Log) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !server.core().look(|cloud, log, _| is(cloud, log)) {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The installed Mosquitto, and then a container of the image in `HIL_BROKER_IMAGE`, if there is one.
fn run(devices: u16, test: impl Fn(&Server, &[SocketAddr])) {
    if has_mosquitto() {
        run_with(&config(devices), &test);
    }
    if let Some(image) = image() {
        let mut config = config(devices);
        config.broker = Some(BrokerConfig { kind: BrokerKind::Container, image, ..config.broker.unwrap_or_default() });
        run_with(&config, &test);
    }
}

/// The device's side blocks, so it needs threads beside the server's.
fn run_with(config: &Config, test: impl Fn(&Server, &[SocketAddr])) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let server = runtime.block_on(Server::start_with(config, Keys::fixtures())).expect("starts");
    let (version, addresses) = server.broker().expect("behind a broker");
    assert!(version.starts_with("mosquitto 2."), "{version}");
    test(&server, addresses);
    runtime.block_on(server.stop()).expect("stops");
}

#[test]
fn device_is_provisioned_reads_its_twin_answers_a_method_and_takes_a_message() {
    run(1, |server, at| {
        let core = server.core();
        core.call(|cloud, _| cloud.enroll(Enrolment::symmetric("dev1", [7; 32]))).expect("enrolled");
        let scope = core.look(|cloud, _, _| cloud.config().id_scope.clone());
        let mut device =
            Device::connect(at[0], "dev1", &format!("{scope}/registrations/dev1/api-version=2019-03-31"), true);
        device.subscribe("$dps/registrations/res/#");
        device.publish("$dps/registrations/PUT/iotdps-register/?$rid=1", &json!({"registrationId": "dev1"}));
        let (_, body) = device.message();
        let operation = body["operationId"].as_str().expect("an operation").to_owned();
        let end = Instant::now() + PATIENCE;
        let state = loop {
            let poll = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2";
            device.publish(&format!("{poll}&operationId={operation}"), &Value::Null);
            let (_, body) = device.message();
            if body["status"] != "assigning" {
                break body;
            }
            assert!(Instant::now() < end, "never assigned");
            std::thread::sleep(Duration::from_millis(500));
        };
        assert_eq!(
            (&state["status"], &state["registrationState"]["assignedHub"]),
            (&json!("assigned"), &json!("localhost"))
        );
        drop(device);

        let mut device = Device::connect(at[0], "dev1", &user("dev1"), true);
        for filter in [
            "$iothub/twin/res/#",
            "$iothub/twin/PATCH/properties/desired/#",
            "$iothub/methods/POST/#",
            "devices/dev1/messages/devicebound/#",
        ] {
            device.subscribe(filter);
        }
        device.publish("$iothub/twin/GET/?$rid=a", &Value::Null);
        let (topic, body) = device.message();
        assert_eq!((topic.as_str(), body["desired"].is_object()), ("$iothub/twin/res/200/?$rid=a", true));
        device.publish("$iothub/twin/PATCH/properties/reported/?$rid=b", &json!({"x": 1}));
        assert_eq!(device.message().0, "$iothub/twin/res/204/?$rid=b&$version=2");
        core.call(|cloud, now| cloud.set_desired(now, "dev1", &json!({"y": 2}))).expect("a patch");
        let (topic, body) = device.message();
        assert_eq!((topic.as_str(), &body["y"]), ("$iothub/twin/PATCH/properties/desired/?$version=2", &json!(2)));

        core.call(|cloud, now| cloud.invoke_method(now, "dev1", "reboot", &json!({"in": 5}), PATIENCE))
            .expect("listens");
        let (topic, body) = device.message();
        let rid = topic.strip_prefix("$iothub/methods/POST/reboot/?$rid=").expect("a call").to_owned();
        assert_eq!(body, json!({"in": 5}));
        device.publish(&format!("$iothub/methods/res/200/?$rid={rid}"), &json!("ok"));

        core.call(|cloud, now| cloud.send_message(now, "dev1", &[("a", "b")], b"7".to_vec())).expect("room");
        let (topic, body) = device.message();
        assert!(topic.starts_with("devices/dev1/messages/devicebound/") && topic.ends_with("&a=b"), "{topic}");
        assert_eq!(body, json!(7));
        // PUBACK leaves with the next round of the client.
        device.publish("devices/dev1/messages/events/", &json!("t"));
        // Sent before this, and so arrived before the answer to this; a PUBACK could be an earlier message's.
        device.subscribe("$iothub/twin/res/#");
        eventually(server, "the message is complete", |cloud, _| {
            cloud.device("dev1").is_some_and(|device| device.queued_messages() == 0)
        });
        // The broker acknowledges by itself; the hub hears of the message after that.
        let kinds = |log: &Log| log.since(0).map(|line| line.line().kind).collect::<Vec<_>>();
        eventually(server, "the telemetry is in the log", |_, log| kinds(log).iter().any(|kind| kind == "telemetry"));
        let kinds = core.look(|_, log, _| kinds(log));
        for kind in ["dpsAssigned", "connected", "twinRead", "reported", "methodAnswered", "acknowledged", "telemetry"]
        {
            assert!(kinds.iter().any(|seen| seen == kind), "{kind} in {kinds:?}");
        }
    });
}

#[test]
fn whom_the_hub_does_not_want_is_disconnected() {
    run(2, |server, at| {
        let core = server.core();
        let stranger = Device::connect(at[1], "nobody", &user("nobody"), true);
        stranger.closed();

        core.call(|cloud, _| cloud.register_device("dev1", Attestation::symmetric([7; 32]))).expect("new");
        core.call(|cloud, _| cloud.register_device("dev2", Attestation::symmetric([7; 32]))).expect("new");
        let mut first = Device::connect(at[0], "dev1", &user("dev1"), true);
        first.subscribe("$iothub/twin/res/#");
        let second = Device::connect(at[0], "dev2", &user("dev2"), true);
        // One device at each listener.
        second.client.subscribe("$iothub/twin/res/#", QoS::AtLeastOnce).expect("sent");
        second.closed();
        first.publish("$iothub/twin/GET/?$rid=a", &Value::Null);
        assert_eq!(first.message().0, "$iothub/twin/res/200/?$rid=a");

        core.call(|cloud, now| cloud.set_enabled(now, "dev1", false)).expect("exists");
        first.closed();
    });
}

#[test]
fn port_that_is_taken_is_named() {
    if !has_mosquitto() {
        return;
    }
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("bound").port();
    let mut config = config(1);
    config.ports.mqtts = port;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let error = runtime.block_on(Server::start_with(&config, Keys::fixtures())).err().expect("taken").to_string();
    assert!(error.contains(&format!("127.0.0.1:{port}")) && error.contains("choose another port"), "{error}");
}
