//! What the local IoT Hub reads. Its keys are public, so an input cannot be kept out by a signature that is made right
//! where it asks for it.

pub mod files;
pub mod json;
pub mod login;
pub mod manifest;
pub mod mqtt;
pub mod twin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub::{Attestation, Cloud, CloudConfig, Endpoint, NewDevice};
use ring::hmac;
use sim_base::Instant;

/// Key of every device.
const KEY: [u8; 32] = [7; 32];
/// UTC at the start.
const EPOCH: u64 = 1_767_225_600;
/// Devices of the hub, and a module.
const DEVICES: [&str; 3] = ["d0", "d1", "d0/m"];

/// A hub with [`DEVICES`].
fn cloud() -> Cloud {
    let mut cloud = Cloud::new(CloudConfig::new(1, EPOCH)).expect("the test keys are sound");
    for id in DEVICES {
        let new = NewDevice { attestation: Some(Attestation::symmetric(KEY)), ..NewDevice::default() };
        cloud.create_device(Instant::ZERO, id, new).expect("a new device");
    }
    cloud
}

/// A token's signature.
fn signature(resource: &str, expiry: &str, key: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    STANDARD.encode(hmac::sign(&key, format!("{resource}\n{expiry}").as_bytes()))
}

/// Percent-encodes all but letters and digits.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte.is_ascii_alphanumeric() {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

/// A packet with its remaining length.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut len = body.len();
    loop {
        let more = len > 127;
        out.push((len % 128) as u8 | if more { 0x80 } else { 0 });
        len /= 128;
        if !more {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

/// A string or bytes of MQTT, with their length.
fn field(bytes: &[u8]) -> Vec<u8> {
    let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// CONNECT.
fn connect(id: &[u8], username: &[u8], password: &[u8], clean: bool, keep_alive: u16) -> Vec<u8> {
    let flags = 0xC0 | if clean { 2 } else { 0 };
    let [high, low] = keep_alive.to_be_bytes();
    let header = [0, 4, b'M', b'Q', b'T', b'T', 4, flags, high, low];
    packet(0x10, &[&header[..], &field(id), &field(username), &field(password)].concat())
}

/// The CONNECT of one of [`DEVICES`], which the hub accepts.
fn good_connect(host: &str, id: &str, clean: bool, keep_alive: u16) -> Vec<u8> {
    let resource = match id.split_once('/') {
        None => format!("{host}/devices/{id}"),
        Some((device, module)) => format!("{host}/devices/{device}/modules/{module}"),
    };
    let expiry = (EPOCH + 3_600).to_string();
    let sig = encode(&signature(&resource, &expiry, &KEY));
    let password = format!("SharedAccessSignature sr={resource}&sig={sig}&se={expiry}");
    let username = format!("{host}/{id}/?api-version=2021-04-12");
    connect(id.as_bytes(), username.as_bytes(), password.as_bytes(), clean, keep_alive)
}

/// Bytes of one connection to a fresh hub, and what it answers.
fn talk(cloud: &mut Cloud, bytes: &[u8]) -> Vec<u8> {
    let conn = cloud.open(Instant::ZERO, Endpoint::MqttPlain);
    cloud.receive(Instant::ZERO, conn, bytes);
    let out = cloud.transmit(Instant::ZERO, conn);
    cloud.closed(Instant::ZERO, conn);
    out
}
