//! Clients that behave badly lose their own connection and disturb no one; what was acknowledged is kept.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use hub::Attestation;
use hub_server::{Config, Server, config::Ports};
use tokio::runtime::Runtime;

const KEY: [u8; 32] = [7; 32];

struct Hub {
    runtime: Runtime,
    server: Option<Server>,
    mqtt: SocketAddr,
}

impl Hub {
    fn start(config: Config) -> Self {
        let config = Config { ports: Ports { mqtts: 0, mqtt: Some(0), files: 0, admin: 0 }, ..config };
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(Server::start_with(&config, hub::Keys::fixtures())).unwrap();
        let mqtt = server.addresses().mqtt.unwrap();
        Self { runtime, server: Some(server), mqtt }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn register(&self, id: &str) {
        self.server().core().call(|cloud, _| cloud.register_device(id, Attestation::symmetric(KEY))).unwrap();
    }

    fn connect(&self, id: &str) -> Device {
        let mut device = Device(TcpStream::connect(self.mqtt).unwrap());
        device.0.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let resource = format!("localhost%2Fdevices%2F{id}");
        let signature = base64(&hub::sas::derived_key(&KEY, &format!("{resource}\n9999999999")));
        let password = format!("SharedAccessSignature sr={resource}&sig={signature}&se=9999999999");
        let mut body = b"\x00\x04MQTT\x04\xC2\x00\x00".to_vec();
        for field in [id, &format!("localhost/{id}/?api-version=2021-04-12"), &password] {
            string(&mut body, field);
        }
        device.send(0x10, &body);
        assert_eq!(device.read(4), [0x20, 2, 0, 0]);
        device
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            let _ = self.runtime.block_on(server.stop());
        }
    }
}

struct Device(TcpStream);

impl Device {
    fn send(&mut self, kind: u8, body: &[u8]) {
        self.0.write_all(&packet(kind, body)).unwrap();
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn publish(&mut self, id: &str, body: &[u8]) {
        let mut packet = Vec::new();
        string(&mut packet, &format!("devices/{id}/messages/events/"));
        packet.extend([0, 1]);
        packet.extend(body);
        self.send(0x32, &packet);
    }

    /// Whether the other side has closed, at the latest when the read times out.
    fn is_closed(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.0.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    let mut length = body.len();
    loop {
        bytes.push((length & 0x7F) as u8 | if length > 0x7F { 0x80 } else { 0 });
        length >>= 7;
        if length == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    let text = ::base64::engine::general_purpose::STANDARD.encode(bytes);
    text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

#[test]
fn bad_clients_disturb_no_one() {
    let hub = Hub::start(Config::default());
    for id in ["good", "large", "cut"] {
        hub.register(id);
    }
    let mut good = hub.connect("good");
    // Nothing at all, and half a packet: they only hold their own connection.
    let silent = TcpStream::connect(hub.mqtt).unwrap();
    let mut half = TcpStream::connect(hub.mqtt).unwrap();
    half.write_all(b"\x10\x7f\x00\x04MQ").unwrap();
    // Garbage, of each first byte.
    let mut garbage: Vec<Device> = (0..=255_u8)
        .map(|first| {
            let mut device = Device(TcpStream::connect(hub.mqtt).unwrap());
            device.0.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            // It may be closed already.
            let _ = device.0.write_all(&[first, 0xFF, 0xFF, 0xFF, 0xFF, first, 0x00]);
            device
        })
        .collect();
    assert!(garbage.iter_mut().all(Device::is_closed));
    // A message of the most bytes, and of one more.
    let mut large = hub.connect("large");
    large.publish("large", &vec![0; 256 * 1024 - 100]);
    assert_eq!(large.read(4), [0x40, 2, 0, 1]);
    let mut packet = Vec::new();
    string(&mut packet, "devices/large/messages/events/");
    packet.extend([0, 1]);
    packet.resize(300 * 1024, 0);
    // The hub closes before it has read it all.
    let _ = large.0.write_all(&self::packet(0x32, &packet));
    assert!(large.is_closed());
    // A client that is gone in the middle of a packet.
    let mut cut = hub.connect("cut");
    cut.0.write_all(b"\x32\x70\x00\x10devices/cut").unwrap();
    drop(cut);
    good.publish("good", b"still here");
    assert_eq!(good.read(4), [0x40, 2, 0, 1]);
    drop((silent, half));
}

#[test]
fn a_client_that_does_not_read_is_bounded() {
    let hub = Hub::start(Config::default());
    hub.register("slow");
    hub.register("good");
    let mut slow = hub.connect("slow");
    let mut body = b"\x00\x02".to_vec();
    string(&mut body, "$iothub/twin/res/#");
    body.push(0);
    slow.send(0x82, &body);
    assert_eq!(slow.read(5), [0x90, 3, 0, 2, 0]);
    // Each request is answered with a large twin, and none of the answers is read.
    let large = serde_json::json!({"text": "x".repeat(4000)});
    hub.server().core().call(|cloud, now| cloud.set_desired(now, "slow", &large)).unwrap();
    let mut request = Vec::new();
    string(&mut request, "$iothub/twin/GET/?$rid=1");
    let request = packet(0x30, &request);
    let mut asked = 0_u32;
    while slow.0.write_all(&request).is_ok() {
        asked += 1;
        assert!(asked < 1_000_000, "{asked} answers are waiting for a client that does not read");
    }
    let mut good = hub.connect("good");
    good.publish("good", b"still here");
    assert_eq!(good.read(4), [0x40, 2, 0, 1]);
}

#[test]
fn the_store_keeps_state_and_log() {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("the_store_keeps_state_and_log");
    let _ = std::fs::remove_dir_all(&data);
    let config = Config { data: Some(data), ..Config::default() };
    {
        let hub = Hub::start(config.clone());
        hub.register("kept");
        let mut kept = hub.connect("kept");
        kept.publish("kept", b"21.5");
        // What is not acknowledged may be lost.
        assert_eq!(kept.read(4), [0x40, 2, 0, 1]);
        hub.server().core().call(|cloud, now| cloud.set_desired(now, "kept", &serde_json::json!({"a": 1}))).unwrap();
    }
    let hub = Hub::start(config.clone());
    hub.server().core().look(|cloud, log, _| {
        assert_eq!(cloud.twin("kept").unwrap().desired()["a"], 1);
        let kinds: Vec<String> = log.since(0).map(|entry| entry.line().kind).collect();
        assert!(kinds.iter().any(|kind| kind == "telemetry"), "{kinds:?}");
        assert!(log.since(0).zip(0..).all(|(entry, number)| entry.number() == number));
    });
    // One process at a time.
    let second = hub.runtime.block_on(Server::start_with(
        &Config { ports: Ports { mqtts: 0, mqtt: None, files: 0, admin: 0 }, ..config },
        hub::Keys::fixtures(),
    ));
    assert!(second.err().is_some_and(|error| error.to_string().contains("another hub has it open")));
}

/// Status and body of a GET.
fn get(address: SocketAddr, path: &str, token: Option<&str>) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{token}Connection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    (text[9..12].parse().unwrap(), text)
}

#[test]
fn keys_are_for_those_who_have_the_token() {
    let hub = Hub::start(Config { token: Some("secret".into()), ..Config::default() });
    hub.register("one");
    let admin = hub.server().addresses().admin;
    for path in ["/devices", "/devices/one"] {
        let (status, text) = get(admin, path, None);
        assert!(status == 200 && text.contains("\"one\"") && !text.contains("Key"), "{text}");
        let (status, text) = get(admin, path, Some("secret"));
        assert!(status == 200 && text.contains("SharedAccessKey=") && text.contains("primaryKey"), "{text}");
    }
    for path in ["/enrollments", "/enrollmentGroups"] {
        assert_eq!(get(admin, path, None).0, 401);
        assert_eq!(get(admin, path, Some("wrong")).0, 401);
        assert_eq!(get(admin, path, Some("secret")).0, 200);
    }
}
