//! What outlives a restart of the services, and what TLS at another edge proves.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use hub::{Attestation, Device, Enrolment, EventKind, Thumbprint};
use mqttrs2::QoS;
use serde_json::{Map, Value, json};
use support::*;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn connect(net: &mut Net, mut mqtt: Mqtt, id: &str, clean: bool) -> (Mqtt, FromServer) {
    let user = format!("{HUB}/{id}/?api-version=2021-04-12");
    let token = hub_token(id, &KEY, EPOCH + 36_000);
    let answer = mqtt.connect_with(net, id, &user, Some(&token), clean, None);
    (mqtt, answer)
}

#[test]
fn a_restored_cloud_goes_on_where_it_was() {
    let mut stored = BTreeMap::new();
    let mut net = Net::new(5);
    net.cloud.register_device("e54", Attestation::symmetric(KEY)).expect("new");
    net.cloud.register_device("gone", Attestation::symmetric(KEY)).expect("new");
    net.cloud.enroll(Enrolment::symmetric("late", KEY)).expect("new");
    net.cloud.set_tags("e54", &object(json!({"ADUGroup": "test"}))).expect("small");
    net.cloud.set_desired(net.now, "e54", &json!({"interval": 5})).expect("small");
    net.cloud.set_enabled(net.now, "gone", false).expect("exists");
    net.pass(Duration::from_secs(7));
    let wire = net.tls(HUB);
    let (mut mqtt, _) = connect(&mut net, Mqtt::new(wire), "e54", false);
    mqtt.subscribe(&mut net, &["$iothub/twin/res/#", "devices/e54/messages/devicebound/#"]);
    assert_eq!(report(&mut net, &mut mqtt, &json!({"uptime": 1})), "204");
    net.cloud.send_message(net.now, "e54", &[("n", "1")], b"done".to_vec()).expect("room");
    mqtt.read(&mut net);
    assert_eq!(mqtt.message().1, b"done");
    net.cloud.closed(net.now, mqtt.wire.conn);
    net.cloud.send_message(net.now, "e54", &[("n", "2")], vec![0xFF, 0, 1]).expect("room");
    net.cloud.send_message(net.now, "e54", &[("n", "3")], b"third".to_vec()).expect("room");
    let before = net.cloud.device("e54").expect("exists").clone();

    let mut net = net.restarted(&mut stored);
    assert_eq!(net.cloud.take_changes().iter().map(|change| change.key.as_str()).collect::<Vec<_>>(), ["hub/counters"]);
    let device = net.cloud.device("e54").expect("restored");
    assert_eq!(device.twin(), before.twin());
    assert_eq!((device.twin().desired_version(), device.twin().reported_version()), (2, 2));
    assert_eq!(device.twin().tags(), &object(json!({"ADUGroup": "test"})));
    assert_eq!(device.connection_updated(), before.connection_updated());
    assert_eq!(device.last_activity(), before.last_activity());
    assert_eq!(device.last_activity(), Some(net.now));
    assert!(!device.is_connected());
    assert_eq!(device.queued_messages(), 2);
    assert!(!net.cloud.device("gone").expect("restored").is_enabled());

    // The session was kept, so both messages come without a subscription, and in order.
    let wire = net.tls(HUB);
    let (mut mqtt, answer) = connect(&mut net, Mqtt::new(wire), "e54", false);
    assert_eq!(answer, FromServer::Connack { code: 0, session_present: true });
    mqtt.read(&mut net);
    let bodies: Vec<Vec<u8>> = mqtt.messages().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, [vec![0xFF, 0, 1], b"third".to_vec()]);
    assert_eq!(net.cloud.device("e54").map(Device::queued_messages), Some(0));
    mqtt.publish(&mut net, "$iothub/twin/GET/?$rid=1", b"", QoS::AtLeastOnce);
    let twin = json!({"desired": {"interval": 5, "$version": 2}, "reported": {"uptime": 1, "$version": 2}});
    assert_eq!(json(&mqtt.message().1), twin);
    assert_eq!(net.cloud.set_desired(net.now, "e54", &json!({"interval": 6})).expect("small"), 3);

    // Once more, from what both lives stored; the enrolment is still there.
    let mut net = net.restarted(&mut stored);
    assert!(!stored.keys().any(|key| key.starts_with("message/")), "{:?}", stored.keys());
    assert_eq!(net.cloud.twin("e54").expect("restored").desired_version(), 3);
    let again = net.cloud.enroll(Enrolment::symmetric("late", KEY)).expect_err("enrolled already");
    assert!(again.to_string().contains("late"), "{again}");
}

#[test]
fn a_clean_session_does_not_outlive_a_restart() {
    let mut stored = BTreeMap::new();
    let mut net = Net::new(5);
    net.cloud.register_device("e54", Attestation::symmetric(KEY)).expect("new");
    let wire = net.tls(HUB);
    let (mut mqtt, _) = connect(&mut net, Mqtt::new(wire), "e54", true);
    mqtt.subscribe(&mut net, &["$iothub/methods/POST/#"]);
    let net = net.restarted(&mut stored);
    assert_eq!(net.cloud.device("e54").expect("restored").subscriptions().count(), 0);
}

#[test]
fn what_cannot_be_restored_is_named() {
    let mut net = Net::new(5);
    for (key, value, part) in [
        ("twin/nobody", "{}", "`twin/nobody` belongs to no device"),
        ("device/e54", "{\"enabled\":1}", "`device/e54` cannot be read"),
        ("enrolment/e54", "[]", "`enrolment/e54` cannot be read"),
        ("planet/mars", "{}", "no service knows"),
        ("planet", "{}", "no service knows"),
    ] {
        let change = hub::Change { key: key.into(), value: Some(value.into()) };
        let error = net.cloud.restore([change]).expect_err("refused");
        assert!(error.contains(part), "{error}");
    }
    net.cloud.restore([hub::Change { key: "device/x".into(), value: None }]).expect("a deletion is nothing");
}

#[test]
fn behind_another_edge_the_server_name_or_the_user_name_tells_the_service() {
    let mut net = Net::new(6);
    net.cloud.register_device("e54", Attestation::symmetric(KEY)).expect("new");
    for sni in [Some(HUB), Some("HIL-HUB.azure-devices.net"), Some("localhost"), Some("192.168.1.2"), None] {
        let wire = net.edge(sni, &[]);
        assert_eq!(
            connect(&mut net, Mqtt::new(wire), "e54", true).1,
            FromServer::Connack { code: 0, session_present: false },
            "{sni:?}"
        );
    }
    net.kinds();
    // The hub's name with a registration's user name is a mistake of the client, and the other way round.
    let registration = "0ne00HIL054/registrations/e54/api-version=2019-03-31";
    for (sni, connected) in [(Some(DPS), true), (Some("localhost"), true), (None, true), (Some(HUB), false)] {
        let mut mqtt = Mqtt::new(net.edge(sni, &[]));
        mqtt.connect(&mut net, "e54", registration, None);
        let dps = net.kinds().iter().any(|kind| matches!(kind, EventKind::DpsConnected { .. }));
        assert_eq!(dps, connected, "{sni:?}");
    }
}

#[test]
fn an_edge_hands_on_the_client_certificate() {
    let mut net = Net::new(6);
    let leaf = b"any bytes: only the digest counts".as_slice();
    let (sha1, sha256) = (Thumbprint::sha1(leaf), Thumbprint::sha256(leaf));
    let other = Thumbprint::sha1(b"another");
    for (id, primary, secondary, code) in [
        ("sha1", sha1, None, 0),
        ("sha256", sha256, None, 0),
        ("second", other, Some(sha256), 0),
        ("none", other, None, 5),
    ] {
        net.cloud.register_device(id, Attestation::X509 { primary, secondary }).expect("new");
        for (certificates, code) in [(&[leaf, b"issuer"][..], code), (&[b"issuer", leaf], 5), (&[], 5)] {
            let mut mqtt = Mqtt::new(net.edge(Some(HUB), certificates));
            let user = format!("{HUB}/{id}/?api-version=2021-04-12");
            let answer = mqtt.connect(&mut net, id, &user, None);
            assert_eq!(answer, FromServer::Connack { code, session_present: false }, "{id} {}", certificates.len());
        }
    }
}
