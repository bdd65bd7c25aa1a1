//! Devices at the hub: their bytes, an administrator's deeds, and time.
//!
//! Input: pieces of a byte (kind), a byte (which of the connections), and what the kind says.

use std::collections::BTreeMap;
use std::time::Duration;

use hub::{Cloud, ConnId, Endpoint, EventKind, Message};
use serde_json::Value;
use sim_base::Instant;

use super::{DEVICES, cloud, good_connect, json, packet};
use crate::Input;

/// A length (16 bits) and so many bytes.
pub const RAW: u8 = 0;
/// A first byte, a length (16 bits) and so many bytes: as a packet.
pub const PACKET: u8 = 1;
/// Which device (and, by its highest bit, whether its session is clean): the CONNECT that lets it in.
pub const CONNECT: u8 = 2;
/// A topic of IoT Hub (which), QoS, a JSON object as in [`json`].
pub const REQUEST: u8 = 3;
/// SUBSCRIBE to everything that the hub has for it.
pub const SUBSCRIBE: u8 = 4;
/// Tenths of a second (16 bits).
pub const TIME: u8 = 5;
/// The connection breaks.
pub const BREAK: u8 = 6;
/// What the service wants of a device (which).
pub const SERVICE: u8 = 7;
/// The client stops reading, or starts again.
pub const HOLD: u8 = 8;
const KINDS: u8 = 9;

/// Connections at one time.
const CONNECTIONS: usize = 4;
/// What may wait for a client that does not read: the bound of the session, and one message more.
const MOST_OUTPUT: usize = 1024 * 1024 + 512 * 1024;

/// One of two hubs that are told the same, the other one in single bytes.
struct World {
    cloud: Cloud,
    /// Bytes in one call.
    step: usize,
    now: Instant,
    lines: Vec<Line>,
    connected: BTreeMap<String, ConnId>,
}

#[derive(Default)]
struct Line {
    conn: Option<ConnId>,
    hold: bool,
    /// What the hub has sent, of the present connection, that is no whole packet yet.
    rest: Vec<u8>,
    greeted: bool,
    /// Everything, for the comparison.
    sent: Vec<u8>,
}

/// Acts it out on two hubs.
///
/// # Panics
/// If an answer is not sound, two connections have one device, how bytes are cut makes a difference, time stands still, or
/// what is stored does not come back.
pub fn run(input: &[u8]) {
    let whole = act(Input(input), usize::MAX);
    let single = act(Input(input), 1);
    for (whole, single) in whole.lines.iter().zip(&single.lines) {
        assert!(whole.sent == single.sent, "another answer to the same bytes in pieces");
    }
    finish(whole);
}

fn act(mut input: Input<'_>, step: usize) -> World {
    let lines = (0..CONNECTIONS).map(|_| Line::default()).collect();
    let mut world = World { cloud: cloud(), step, now: Instant::ZERO, lines, connected: BTreeMap::new() };
    while !input.is_empty() {
        let kind = input.byte() % KINDS;
        let at = usize::from(input.byte()) % CONNECTIONS;
        world.piece(kind, at, &mut input);
        world.settle();
    }
    world
}

impl World {
    fn piece(&mut self, kind: u8, at: usize, input: &mut Input<'_>) {
        match kind {
            RAW => {
                let len = input.half().into();
                self.say(at, input.slice(len));
            }
            PACKET => {
                let first = input.byte();
                let len = input.half().into();
                self.say(at, &packet(first, input.slice(len)));
            }
            CONNECT => {
                let which = input.byte();
                let host = self.cloud.config().hub_host.clone();
                let id = DEVICES[usize::from(which & 0x7F) % DEVICES.len()];
                self.say(at, &good_connect(&host, id, which & 0x80 != 0, u16::from(input.byte())));
            }
            REQUEST => {
                let (which, qos) = (input.byte(), input.byte() & 1);
                let body = Value::Object(json::object(input, 6)).to_string();
                let topic = match which % 8 {
                    0 => "$iothub/twin/GET/?$rid=1".to_owned(),
                    1 | 2 => format!("$iothub/twin/PATCH/properties/reported/?$rid={which}"),
                    3 => format!("$iothub/methods/res/{which}/?$rid=1"),
                    4 => "devices/d0/messages/events/$.mid=a&k=v".to_owned(),
                    5 => "devices/d1/messages/events/".to_owned(),
                    6 => "devices/d0/modules/m/messages/events/".to_owned(),
                    _ => "$dps/registrations/PUT/iotdps-register/?$rid=1".to_owned(),
                };
                let id: &[u8] = if qos == 1 { &[0, 9] } else { &[] };
                self.say(
                    at,
                    &packet(0x30 | qos << 1, &[&super::field(topic.as_bytes()), id, body.as_bytes()].concat()),
                );
            }
            SUBSCRIBE => {
                let mut body = vec![0, 5];
                for filter in [
                    "$iothub/twin/res/#",
                    "$iothub/twin/PATCH/properties/desired/#",
                    "$iothub/methods/POST/#",
                    "devices/d0/messages/devicebound/#",
                ] {
                    body.extend(super::field(filter.as_bytes()));
                    body.push(1);
                }
                self.say(at, &packet(0x82, &body));
            }
            TIME => {
                self.now = self.now + Duration::from_millis(u64::from(input.half()) * 100);
                self.cloud.poll(self.now);
            }
            BREAK => {
                if let Some(conn) = self.lines[at].conn {
                    self.close(at, conn);
                }
            }
            SERVICE => self.service(at, input),
            _ => self.lines[at].hold ^= true,
        }
    }

    /// Deeds of the back end, which may fail and may not panic.
    fn service(&mut self, at: usize, input: &mut Input<'_>) {
        let (id, now) = (DEVICES[at % DEVICES.len()], self.now);
        let what = input.byte();
        let value = Value::Object(json::object(input, 4));
        let cloud = &mut self.cloud;
        let _ = match what % 8 {
            0 => cloud.set_desired(now, id, &value).map(drop),
            1 => cloud.invoke_method(now, id, "reboot", &value, Duration::from_secs(5)).map(drop),
            2 => cloud.send_message(now, id, &[("a", "b")], value.to_string().into_bytes()).map(drop),
            3 => cloud
                .send_cloud_to_device(now, id, Message { body: vec![b'x'; 60_000], ..Message::default() })
                .map(drop),
            4 => cloud.disconnect(now, id),
            5 => cloud.set_enabled(now, id, what & 8 != 0),
            6 => cloud.expire_token(now, id),
            _ => cloud.purge_messages(now, id).map(drop),
        };
    }

    fn say(&mut self, at: usize, bytes: &[u8]) {
        let conn = *self.lines[at].conn.get_or_insert_with(|| self.cloud.open(self.now, Endpoint::MqttPlain));
        for chunk in bytes.chunks(self.step.max(1)) {
            self.cloud.receive(self.now, conn, chunk);
        }
    }

    /// Takes what the hub has, and looks at what happened.
    fn settle(&mut self) {
        for event in self.cloud.take_events() {
            let Some(conn) = event.conn else { continue };
            match event.kind {
                EventKind::Connected { device, .. } => {
                    let earlier = self.connected.insert(device.clone(), conn);
                    assert!(earlier.is_none(), "two connections of {device}");
                }
                EventKind::Disconnected { device: Some(device), .. } => {
                    self.connected.retain(|known, at| *known != device || *at != conn);
                }
                _ => {}
            }
        }
        for at in 0..CONNECTIONS {
            let line = &mut self.lines[at];
            let Some(conn) = line.conn else { continue };
            if !line.hold {
                let out = self.cloud.transmit(self.now, conn);
                assert!(out.len() <= MOST_OUTPUT, "{} bytes wait for a client", out.len());
                line.sent.extend_from_slice(&out);
                line.rest.extend_from_slice(&out);
                line.check();
            }
            if self.cloud.wants_close(conn) {
                self.close(at, conn);
            }
        }
        let conns = self.lines.iter().filter(|line| line.conn.is_some()).count();
        assert_eq!(self.cloud.connection_count(), conns);
        // Else whoever owns the hub would call again and again.
        self.cloud.poll(self.now);
        let deadline = self.cloud.deadline();
        assert!(deadline > self.now, "due at {deadline:?}, and it is {:?}", self.now);
    }

    fn close(&mut self, at: usize, conn: ConnId) {
        self.cloud.closed(self.now, conn);
        let line = &mut self.lines[at];
        (line.conn, line.greeted) = (None, false);
        line.rest.clear();
        // Which end it was.
        line.sent.push(0xFF);
    }
}

impl Line {
    /// What a server may send, packet by packet (MQTT 3.1.1, table 2.1).
    fn check(&mut self) {
        while let Some((first, body, len)) = whole(&self.rest) {
            let id = || u16::from_be_bytes([body[0], body[1]]);
            assert_eq!(first >> 4 == 2, !self.greeted, "CONNACK comes first, and once");
            match first {
                0x20 => {
                    assert!(body.len() == 2 && body[0] <= 1 && body[1] <= 5 && (body[0] == 0 || body[1] == 0));
                    self.greeted = true;
                }
                0x30 | 0x32 | 0x3A => {
                    let topic = usize::from(id());
                    let text = str::from_utf8(&body[2..2 + topic]).expect("a topic is text");
                    assert!(!text.is_empty() && !text.contains(['#', '+', '\0']));
                    if first != 0x30 {
                        assert_ne!(body[2 + topic..][..2], [0, 0], "packet identifier 0");
                    }
                }
                0x40 => assert!(body.len() == 2 && id() != 0),
                0x90 => {
                    assert!(body.len() > 2 && id() != 0 && body[2..].iter().all(|code| matches!(code, 0 | 1 | 0x80)))
                }
                0xB0 => assert!(body.len() == 2 && id() != 0),
                0xD0 => assert!(body.is_empty()),
                other => panic!("{other:#04x} is no packet of a server"),
            }
            self.rest.drain(..len);
        }
    }
}

/// First byte, body and length of the packet at the front; `None` if it is not whole.
fn whole(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (mut len, mut at) = (0, 1);
    loop {
        let byte = *bytes.get(at)?;
        len |= usize::from(byte & 0x7F) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
        assert!(at < 5, "a length of more than four bytes");
    }
    Some((bytes[0], bytes.get(at..at + len)?.to_vec(), at + len))
}

/// Ends all connections, and reads back what was stored.
fn finish(mut world: World) {
    for at in 0..CONNECTIONS {
        if let Some(conn) = world.lines[at].conn {
            world.close(at, conn);
        }
    }
    world.settle();
    assert!(world.connected.is_empty(), "{:?}", world.connected);
    let devices: Vec<_> = world.cloud.devices().collect();
    assert!(devices.iter().all(|device| !device.is_connected()));
    let mut restored = Cloud::new(world.cloud.config().clone()).expect("the test keys are sound");
    let changes = world.cloud.take_changes();
    restored.restore(changes).expect("what was stored is read");
    for id in DEVICES {
        assert_eq!(restored.twin(id), world.cloud.twin(id), "{id}");
        let queued = |cloud: &Cloud| cloud.device(id).map(hub::Device::queued_messages);
        assert_eq!(queued(&restored), queued(&world.cloud), "{id}");
    }
}
