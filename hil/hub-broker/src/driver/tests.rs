//! Lines and messages as Mosquitto gives them, in both orders.

use hub::{Attestation, CloudConfig, EventKind};

use super::*;

const USER: &str = "localhost/dev1/?api-version=2021-04-12";

struct Rig {
    driver: Driver,
    cloud: Cloud,
    /// Where lines and messages come from.
    slot: usize,
}

impl Rig {
    fn new() -> Self {
        let mut cloud = Cloud::new(CloudConfig::new(1, 1_767_225_600)).expect("a cloud");
        for id in ["dev1", "dev2"] {
            cloud.register_device(id, Attestation::symmetric([7; 32])).expect("a new device");
        }
        let slot = |n: u8| Slot { address: ([127, 0, 0, n], 8883).into(), name: format!("127.0.0.{n}") };
        Self { driver: Driver::new(vec![slot(1), slot(2)]), cloud, slot: 0 }
    }

    fn lines(&mut self, lines: &[&str]) {
        for line in lines {
            self.driver.line(self.slot, line);
        }
        self.run();
    }

    fn message(&mut self, topic: &str, body: &str) {
        self.driver.message(self.slot, topic.to_owned(), body.as_bytes().to_vec());
        self.run();
    }

    fn run(&mut self) {
        self.driver.run(Instant::ZERO, &mut self.cloud);
    }

    fn connect(&mut self, id: &str, more: &[&str]) {
        let user = USER.replace("dev1", id);
        let line = format!("New client connected from 127.0.0.1:1 as {id} (p2, c0, k60, u'{user}').");
        self.lines(&[&line]);
        self.lines(more);
        self.lines(&[
            &format!("Sending CONNACK to {id} (0, 0)"),
            &format!("Received SUBSCRIBE from {id}"),
            "\t$iothub/twin/res/# (QoS 1)",
            &format!("Sending SUBACK to {id}"),
        ]);
    }

    fn events(&mut self) -> Vec<EventKind> {
        self.cloud.take_events().into_iter().map(|event| event.kind).collect()
    }

    fn published(&mut self) -> Vec<String> {
        let topic = |action| match action {
            Action::Publish { topic, .. } => topic,
            Action::Kick { id, .. } => format!("kick {id}"),
        };
        self.driver.take_actions().into_iter().map(topic).collect()
    }
}

fn get(rid: u8) -> [String; 2] {
    let topic = format!("$iothub/twin/GET/?$rid={rid}");
    [format!("Received PUBLISH from dev1 (d0, q1, r0, m{rid}, '{topic}', ... (0 bytes))"), topic]
}

#[test]
fn line_and_message_meet_whichever_comes_first() {
    let mut rig = Rig::new();
    rig.connect("dev1", &[]);
    let [line, topic] = get(1);
    rig.lines(&[&line]);
    assert!(rig.driver.is_waiting() && rig.published().is_empty());
    rig.message(&topic, "");
    assert_eq!(rig.published(), ["$iothub/twin/res/200/?$rid=1"]);
    assert!(!rig.driver.is_waiting() && rig.driver.is_owed());
    rig.lines(&["Sending PUBLISH to dev1 (d0, q1, r0, m1, '$iothub/twin/res/200/?$rid=1', ... (9 bytes))"]);
    assert!(!rig.driver.is_owed());
    let [line, topic] = get(2);
    rig.message(&topic, "");
    assert!(rig.published().is_empty());
    rig.lines(&[&line]);
    assert_eq!(rig.published(), ["$iothub/twin/res/200/?$rid=2"]);
    assert!(!rig.driver.is_waiting());
}

#[test]
fn message_before_the_line_of_its_own_connect_waits_for_it() {
    let mut rig = Rig::new();
    let [line, topic] = get(1);
    rig.message(&topic, "");
    rig.connect("dev1", &[]);
    rig.lines(&[&line]);
    assert_eq!(rig.published(), ["$iothub/twin/res/200/?$rid=1"]);
}

#[test]
fn last_will_is_known_by_having_no_line() {
    let mut rig = Rig::new();
    let will = ["Will message specified (1 bytes) (r0, q1).", "\tdevices/dev1/messages/events/"];
    rig.connect("dev1", &will);
    rig.lines(&["Client dev1 closed its connection."]);
    assert!(rig.driver.is_waiting());
    rig.message("devices/dev1/messages/events/", "bye");
    let events = rig.events();
    let is_will =
        |kind: &EventKind| matches!(kind, EventKind::Telemetry(told) if told.is_will() && told.body() == b"bye");
    assert!(events.iter().any(is_will), "{events:?}");
    assert!(matches!(events.last(), Some(EventKind::Disconnected { why: CloseReason::Peer, .. })), "{events:?}");

    rig.connect("dev1", &will);
    rig.lines(&["Received DISCONNECT from dev1", "Client dev1 disconnected."]);
    assert!(matches!(rig.events().last(), Some(EventKind::Disconnected { why: CloseReason::Graceful, .. })));
}

#[test]
fn second_connection_under_one_id_ends_the_first() {
    let mut rig = Rig::new();
    rig.connect("dev1", &[]);
    rig.lines(&["Client dev1 already connected, closing old connection."]);
    rig.connect("dev1", &[]);
    let reasons = |events: &[EventKind]| {
        let ends = events.iter().filter(|kind| matches!(kind, EventKind::Disconnected { .. }));
        ends.map(|kind| format!("{kind:?}")).collect::<Vec<_>>()
    };
    let ends = reasons(&rig.events());
    assert!(ends.len() == 1 && ends[0].contains("Evicted"), "{ends:?}");
    assert!(rig.cloud.device("dev1").is_some_and(hub::Device::is_connected));
}

#[test]
fn whom_the_cloud_refuses_is_closed_once_and_the_hubs_own_connection_is_no_device() {
    let mut rig = Rig::new();
    rig.lines(&[
        "New client connected from 127.0.0.1:1 as stranger (p2, c1, k60, u'localhost/stranger/?api-version=2021-04-12').",
        "Sending CONNACK to stranger (0, 0)",
    ]);
    assert_eq!(rig.published(), ["kick stranger"]);
    rig.lines(&["Received SUBSCRIBE from stranger", "\t$iothub/twin/res/# (QoS 1)", "Sending SUBACK to stranger"]);
    assert!(rig.published().is_empty());
    rig.lines(&[
        "Client stranger already connected, closing old connection.",
        "New client connected from (unix) as stranger (p2, c1, k5, u'hil-hub').",
        "Sending CONNACK to stranger (0, 0)",
        "Received DISCONNECT from stranger",
        "Client stranger disconnected.",
    ]);
    let events = rig.events();
    assert!(matches!(&events[0], EventKind::ConnectRefused { code: 5, .. }), "{events:?}");
    let is_end = |kind: &&EventKind| matches!(kind, EventKind::Disconnected { .. });
    assert_eq!(events.iter().filter(is_end).count(), 1, "{events:?}");
    assert_eq!((rig.cloud.connection_count(), rig.published().len()), (0, 0));
}

#[test]
fn two_devices_at_one_listener_are_one_too_many() {
    let mut rig = Rig::new();
    rig.connect("dev1", &[]);
    rig.connect("dev2", &[]);
    assert_eq!(rig.published(), ["kick dev2"]);
    let connected = |rig: &Rig, id| rig.cloud.device(id).is_some_and(hub::Device::is_connected);
    assert!(connected(&rig, "dev1") && !connected(&rig, "dev2"));
    let events = rig.events();
    let told = |kind: &EventKind| matches!(kind, EventKind::Disconnected { why: CloseReason::Protocol(why), .. } if why.contains("127.0.0.1:8883") && why.contains("`dev1`"));
    assert!(events.iter().any(told), "{events:?}");
    rig.lines(&[
        "Client dev2 already connected, closing old connection.",
        "New client connected from (unix) as dev2 (p2, c0, k5, u'hil-hub').",
        "Client dev2 disconnected.",
    ]);
    rig.slot = 1;
    rig.connect("dev2", &[]);
    assert!(connected(&rig, "dev2"));
}

#[test]
fn acknowledgement_of_a_message_is_found_by_its_packet_identifier() {
    let mut rig = Rig::new();
    rig.connect("dev1", &[]);
    rig.lines(&[
        "Received SUBSCRIBE from dev1",
        "\tdevices/dev1/messages/devicebound/# (QoS 1)",
        "Sending SUBACK to dev1",
    ]);
    for body in [b"1", b"2"] {
        rig.cloud.send_message(Instant::ZERO, "dev1", &[], body.to_vec()).expect("room");
    }
    for conn in rig.cloud.take_ready() {
        rig.driver.touch(conn);
    }
    rig.run();
    let topics = rig.published();
    let sending =
        |mid: u16, topic: &str| format!("Sending PUBLISH to dev1 (d0, q1, r0, m{mid}, '{topic}', ... (1 bytes))");
    rig.lines(&[&sending(4, &topics[0]), &sending(5, &topics[1])]);
    let queued = |rig: &Rig| rig.cloud.device("dev1").map(hub::Device::queued_messages);
    rig.lines(&["Received PUBACK from dev1 (Mid: 5, RC:0)", "Received PUBACK from dev1 (Mid: 5, RC:0)"]);
    assert_eq!(queued(&rig), Some(1));
    rig.lines(&["Received PUBACK from dev1 (Mid: 4, RC:0)"]);
    assert_eq!(queued(&rig), Some(0));
}
