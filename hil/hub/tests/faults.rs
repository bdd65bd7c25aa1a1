//! Faults that a tester asks for, and rates that a hub enforces.

mod support;

use std::time::Duration;

use hub::{Attestation, CloseReason, DeviceFault, EventKind, HubError, Operation, Throttle};
use mqttrs2::{Packet, QoS};
use serde_json::json;
use support::*;

fn hub() -> Net {
    let mut net = Net::new(12);
    net.cloud.register_device("e54", Attestation::symmetric(KEY)).expect("a new device");
    net.cloud.register_device("other", Attestation::symmetric(KEY)).expect("a new device");
    net
}

fn inject(net: &mut Net, fault: DeviceFault) {
    net.cloud.inject_fault(net.now, "e54", fault).expect("exists");
}

/// Versions of the desired patches that have arrived.
fn versions(net: &mut Net, mqtt: &mut Mqtt) -> Vec<u64> {
    mqtt.read(net);
    let messages = mqtt.messages();
    let version = |(topic, body): &(String, Vec<u8>)| {
        let version = topic.rsplit_once("$version=").expect("a patch").1.parse().expect("a number");
        assert_eq!(json(body)["$version"], version);
        version
    };
    messages.iter().map(version).collect()
}

fn acted(net: &mut Net) -> Vec<String> {
    let what = |kind| match kind {
        EventKind::FaultActed { device, what } if device == "e54" => Some(what),
        _ => None,
    };
    net.kinds().into_iter().filter_map(what).collect()
}

fn set(net: &mut Net, value: u32) {
    net.cloud.set_desired(net.now, "e54", &json!({"a": value})).expect("small");
}

#[test]
fn acknowledgements_are_left_out_as_often_as_asked() {
    let mut net = hub();
    let mut mqtt = device(&mut net, "e54");
    inject(&mut net, DeviceFault::DropPubacks { count: 2 });
    for index in 0..4 {
        mqtt.publish(&mut net, "devices/e54/messages/events/", b"x", QoS::AtLeastOnce);
        assert_eq!(mqtt.inbox().len(), usize::from(index >= 2), "message {index}");
        mqtt.publish(&mut net, "devices/e54/messages/events/", b"x", QoS::AtMostOnce);
    }
    let kinds = net.kinds();
    assert_eq!(kinds.iter().filter(|kind| matches!(kind, EventKind::Telemetry(_))).count(), 8, "all are handled");
    assert_eq!(kinds.iter().filter(|kind| matches!(kind, EventKind::FaultActed { .. })).count(), 2);
}

#[test]
fn desired_patches_are_doubled_delayed_and_reordered() {
    let mut net = hub();
    let mut mqtt = device(&mut net, "e54");
    inject(&mut net, DeviceFault::DuplicateDesired { count: 1 });
    set(&mut net, 1);
    set(&mut net, 2);
    assert_eq!(versions(&mut net, &mut mqtt), [2, 2, 3]);
    assert_eq!(acted(&mut net), ["desired version 2 sent twice"]);

    inject(&mut net, DeviceFault::DelayDesired { count: 1, millis: 1500 });
    set(&mut net, 3);
    set(&mut net, 4);
    assert_eq!(versions(&mut net, &mut mqtt), [5]);
    assert_eq!(net.cloud.deadline(), hub::Utc::new(0).instant(1) + Duration::from_millis(500));
    net.pass(Duration::from_millis(1499));
    assert_eq!(versions(&mut net, &mut mqtt), [0_u64; 0]);
    net.pass(Duration::from_millis(1));
    assert_eq!(versions(&mut net, &mut mqtt), [4]);
    assert_eq!(acted(&mut net), ["desired version 4 delayed"]);
    assert_eq!(net.cloud.device("e54").and_then(hub::Device::last_desired_sent), Some(5));

    inject(&mut net, DeviceFault::ReorderDesired { count: 3 });
    for value in 5..8 {
        assert_eq!(versions(&mut net, &mut mqtt), [0_u64; 0]);
        set(&mut net, value);
    }
    set(&mut net, 8);
    assert_eq!(versions(&mut net, &mut mqtt), [8, 7, 6, 9]);
    assert_eq!(
        acted(&mut net).last().map(String::as_str),
        Some("desired patches sent in reverse order from version 8")
    );
}

#[test]
fn held_patches_are_lost_with_the_connection_or_sent_when_faults_are_cleared() {
    let mut net = hub();
    let mut mqtt = device(&mut net, "e54");
    inject(&mut net, DeviceFault::ReorderDesired { count: 9 });
    set(&mut net, 1);
    inject(&mut net, DeviceFault::DelayDesired { count: 9, millis: 60_000 });
    net.cloud.clear_faults(net.now, "e54").expect("exists");
    set(&mut net, 2);
    assert_eq!(versions(&mut net, &mut mqtt), [2, 3]);
    inject(&mut net, DeviceFault::DelayDesired { count: 1, millis: 1000 });
    set(&mut net, 3);
    mqtt.packet(&mut net, &Packet::Disconnect);
    let mut mqtt = device(&mut net, "e54");
    net.pass(Duration::from_secs(2));
    assert_eq!(versions(&mut net, &mut mqtt), [0_u64; 0]);
    let nobody = net.cloud.inject_fault(net.now, "nobody", DeviceFault::DropPubacks { count: 1 });
    assert_eq!(nobody, Err(HubError::NoDevice("nobody".into())));
}

#[test]
fn a_connection_is_cut_after_so_many_bytes() {
    for bytes in [1_u64, 20, 21, 41, 42, 60] {
        let mut net = hub();
        let mut wire = net.plain();
        connect_plain(&mut net, &mut wire);
        inject(&mut net, DeviceFault::CutReceived { bytes });
        // A PUBLISH of 42 bytes, sent in pieces.
        let mut publish = vec![0x30, 40, 0, 28];
        publish.extend(b"devices/e54/messages/events/0123456789");
        assert_eq!(publish.len(), 42);
        for piece in publish.chunks(5).chain([&[0xC0, 0][..]]) {
            net.send(&mut wire, piece);
        }
        let cut = bytes <= 44;
        assert_eq!(wire.closed, cut, "{bytes}");
        let kinds = net.kinds();
        let arrived = kinds.iter().any(|kind| matches!(kind, EventKind::Telemetry(_)));
        assert_eq!(arrived, bytes >= 42, "{bytes}");
        assert_eq!(kinds.contains(&EventKind::FaultActed { device: "e54".into(), what: "connection cut".into() }), cut);
        // The last will is published as for any other broken connection.
        let closed = EventKind::Disconnected { device: Some("e54".into()), why: CloseReason::Cut };
        assert_eq!(kinds.contains(&closed), cut, "{kinds:?}");
    }
}

#[test]
fn what_is_sent_is_cut_too_and_a_fault_waits_for_the_next_connection() {
    for (bytes, tls) in [(1_u64, false), (3, false), (4, false), (1, true), (30, true), (100, true)] {
        let mut net = hub();
        inject(&mut net, DeviceFault::CutSent { bytes });
        let before = net.sent.len();
        let mut mqtt = if tls { Mqtt::new(net.tls(HUB)) } else { Mqtt::new(net.plain()) };
        let handshake = net.sent.len() - before;
        let user = format!("{HUB}/e54/?api-version=2021-04-12");
        let token = hub_token("e54", &KEY, EPOCH + 60);
        let connect = Packet::Connect(mqttrs2::Connect {
            protocol: mqttrs2::Protocol::MQTT311,
            keep_alive: 60,
            client_id: "e54",
            clean_session: true,
            last_will: None,
            username: Some(&user),
            password: Some(token.as_bytes()),
        });
        mqtt.packet(&mut net, &connect);
        for _ in 0..10 {
            if !mqtt.wire.closed {
                mqtt.packet(&mut net, &Packet::Pingreq);
            }
        }
        assert!(mqtt.wire.closed);
        // The count begins with the CONNACK, and what comes before it on the wire is the handshake.
        assert_eq!(net.sent.len() - before - handshake, bytes as usize, "{bytes} {tls}");
        assert!(device(&mut net, "e54").wire.plaintext.is_empty(), "it is used up");
    }
}

#[test]
fn a_cut_that_was_called_off_does_not_happen() {
    let mut net = hub();
    let mut mqtt = device(&mut net, "e54");
    inject(&mut net, DeviceFault::CutReceived { bytes: 50 });
    inject(&mut net, DeviceFault::CutReceived { bytes: 0 });
    inject(&mut net, DeviceFault::CutSent { bytes: 50 });
    net.cloud.clear_faults(net.now, "e54").expect("exists");
    for _ in 0..20 {
        mqtt.packet(&mut net, &Packet::Pingreq);
    }
    assert_eq!(mqtt.inbox().len(), 20);
}

#[test]
fn a_token_expires_on_demand() {
    let mut net = hub();
    let mut mqtt = device(&mut net, "e54");
    net.cloud.expire_token(net.now, "e54").expect("exists");
    mqtt.read(&mut net);
    assert!(mqtt.wire.closed);
    let why = CloseReason::TokenExpired;
    assert!(net.kinds().contains(&EventKind::Disconnected { device: Some("e54".into()), why }));
}

#[test]
fn rates_are_limited_for_all_devices_together() {
    let mut net = hub();
    let (mut one, mut other) = (device(&mut net, "e54"), device(&mut net, "other"));
    net.kinds();
    let throttle = Throttle { twin_reads: Some(2), twin_updates: Some(1), telemetry: Some(3), connects: Some(0) };
    net.cloud.set_throttle(throttle);
    let get = |net: &mut Net, mqtt: &mut Mqtt| {
        mqtt.publish(net, "$iothub/twin/GET/?$rid=1", b"", QoS::AtMostOnce);
        mqtt.message().0["$iothub/twin/res/".len()..][..3].to_owned()
    };
    assert_eq!([get(&mut net, &mut one), get(&mut net, &mut other)], ["200", "200"]);
    assert_eq!([get(&mut net, &mut one), get(&mut net, &mut other)], ["429", "429"]);
    net.pass(Duration::from_millis(500));
    assert_eq!([get(&mut net, &mut one), get(&mut net, &mut other)], ["200", "429"]);
    assert_eq!(report(&mut net, &mut one, &json!({"a": 1})), "204");
    assert_eq!(report(&mut net, &mut other, &json!({"a": 1})), "429");
    assert_eq!(net.cloud.twin("other").expect("exists").reported().len(), 0);
    for _ in 0..3 {
        one.publish(&mut net, "devices/e54/messages/events/", b"x", QoS::AtLeastOnce);
        assert_eq!(one.inbox().len(), 1);
    }
    one.publish(&mut net, "devices/e54/messages/events/", b"x", QoS::AtLeastOnce);
    assert!(one.wire.closed && one.inbox().is_empty());
    let mut late = Mqtt::new(net.tls(HUB));
    let user = format!("{HUB}/e54/?api-version=2021-04-12");
    let answer = late.connect(&mut net, "e54", &user, Some(&hub_token("e54", &KEY, EPOCH + 60)));
    assert_eq!(answer, FromServer::Connack { code: 3, session_present: false });
    let throttled = net.kinds().into_iter().filter_map(|kind| match kind {
        EventKind::Throttled { operation, .. } => Some(operation),
        _ => None,
    });
    use Operation::{Connect, Telemetry, TwinRead, TwinUpdate};
    assert_eq!(throttled.collect::<Vec<_>>(), [TwinRead, TwinRead, TwinRead, TwinUpdate, Telemetry, Connect]);
    net.cloud.set_throttle(Throttle::default());
    assert_eq!(get(&mut net, &mut other), "200");
}

fn connect_plain(net: &mut Net, wire: &mut Wire) {
    let user = format!("{HUB}/e54/?api-version=2021-04-12");
    let token = hub_token("e54", &KEY, EPOCH + 60);
    let packet = Packet::Connect(mqttrs2::Connect {
        protocol: mqttrs2::Protocol::MQTT311,
        keep_alive: 0,
        client_id: "e54",
        clean_session: true,
        last_will: None,
        username: Some(&user),
        password: Some(token.as_bytes()),
    });
    let mut bytes = vec![0; 1024];
    let len = mqttrs2::encode_slice(&packet, &mut bytes).expect("fits");
    net.send(wire, &bytes[..len]);
    assert_eq!(wire.plaintext, [0x20, 2, 0, 0]);
}
