//! What the hub does not let pass, and what it does to whoever tries.

mod support;

use std::time::Duration;

use hub::{Attestation, CloseReason, Endpoint, Enrolment, EventKind, HubError, Thumbprint};
use mqttrs2::{Packet, QoS};
use proptest::prelude::*;
use serde_json::json;
use support::*;

const SCOPE: &str = "0ne00HIL054";

fn hub() -> Net {
    let mut net = Net::new(3);
    net.cloud.register_device("e54", Attestation::symmetric(KEY)).expect("a new device");
    net
}

/// Tries to connect to the hub over TLS; yields the CONNACK code, and the explanation of a refusal.
fn attempt(net: &mut Net, id: &str, user: &str, password: Option<&str>) -> (u8, String) {
    let mut mqtt = Mqtt::new(net.tls(HUB));
    let FromServer::Connack { code, .. } = mqtt.connect(net, id, user, password) else { panic!("no CONNACK") };
    assert_eq!(mqtt.wire.closed, code != 0);
    let why = net.kinds().into_iter().find_map(|kind| match kind {
        EventKind::ConnectRefused { why, .. } => Some(why),
        _ => None,
    });
    (code, why.unwrap_or_default())
}

#[track_caller]
fn closed_for(net: &mut Net, mqtt: &mut Mqtt) -> CloseReason {
    mqtt.read(net);
    assert!(mqtt.wire.closed, "the connection is still open");
    let mut reasons = net.kinds().into_iter().filter_map(|kind| match kind {
        EventKind::Disconnected { why, .. } => Some(why),
        _ => None,
    });
    reasons.next_back().expect("a reason")
}

#[test]
fn a_connect_is_refused_with_the_code_and_the_reason() {
    let mut net = hub();
    let user = format!("{HUB}/e54/?api-version=2020-09-30");
    let good = hub_token("e54", &KEY, EPOCH + 60);
    for (id, user, password, code, part) in [
        ("e54", user.as_str(), Some(hub_token("e54", &[1; 32], EPOCH + 60)), 5, "does not fit any key"),
        ("e54", &user, Some(hub_token("e55", &KEY, EPOCH + 60)), 5, "not for"),
        ("e54", &user, Some(hub_token("e54", &KEY, EPOCH - 1)), 5, "expired 1 s ago"),
        ("e54", &user, Some("secret".into()), 5, "SharedAccessSignature"),
        ("e54", &user, None, 5, "sent no password"),
        ("other", &user, Some(good.clone()), 2, "not the device id"),
        ("e55", &user.replace("e54", "e55"), Some(good.clone()), 5, "does not exist"),
        ("e54", &user.replace("hil-hub", "my-hub"), Some(good.clone()), 5, "this hub is"),
        ("e54", "e54", Some(good.clone()), 4, "form"),
        ("e54", &user.replace("api-version=2020-09-30", ""), Some(good.clone()), 4, "api-version"),
    ] {
        let (seen, why) = attempt(&mut net, id, user, password.as_deref());
        assert!(seen == code && why.contains(part), "{user}: code {seen}, {why:?}");
    }
    assert_eq!(attempt(&mut net, "e54", &user, Some(&good)), (0, String::new()));
    net.cloud.set_enabled(net.now, "e54", false).expect("exists");
    assert_eq!(attempt(&mut net, "e54", &user, Some(&good)).0, 5);
}

#[test]
fn a_wrong_registration_is_answered_with_an_error_body() {
    let mut net = Net::new(4);
    net.cloud.enroll(Enrolment::symmetric("e54", KEY)).expect("a new id");
    for (scope, id, key) in [(SCOPE, "e54", [1; 32]), (SCOPE, "e55", KEY), ("0ne00OTHER", "e54", KEY)] {
        let mut mqtt = Mqtt::new(net.tls(DPS));
        let user = format!("{scope}/registrations/{id}/api-version=2019-03-31&ClientVersion=x");
        let token = dps_token(scope, id, &key, EPOCH + 60);
        assert_eq!(
            mqtt.connect(&mut net, id, &user, Some(&token)),
            FromServer::Connack { code: 0, session_present: false }
        );
        mqtt.subscribe(&mut net, &["$dps/registrations/res/#"]);
        let body = json!({"registrationId": id}).to_string();
        mqtt.publish(&mut net, "$dps/registrations/PUT/iotdps-register/?$rid=1", body.as_bytes(), QoS::AtMostOnce);
        let (topic, body) = mqtt.message();
        assert_eq!(topic, "$dps/registrations/res/401/?$rid=1");
        let body = json(&body);
        assert_eq!((&body["errorCode"], &body["message"]), (&json!(401_002), &json!("Unauthorized")));
        assert_eq!(body["trackingId"].as_str().map(str::len), Some(36));
        assert_eq!(body["timestampUtc"], "2026-01-01T00:00:00.0000000Z");
        mqtt.publish(&mut net, "$dps/registrations/PUT/iotdps-register/?$rid=2", b"{", QoS::AtMostOnce);
        assert_eq!(mqtt.message().0, "$dps/registrations/res/400/?$rid=2");
        let unknown = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=3&operationId=x";
        mqtt.publish(&mut net, unknown, b"", QoS::AtMostOnce);
        assert_eq!(mqtt.message().0, "$dps/registrations/res/401/?$rid=3");
        mqtt.publish(&mut net, "devices/e54/messages/events/", b"", QoS::AtMostOnce);
        assert!(matches!(closed_for(&mut net, &mut mqtt), CloseReason::Protocol(_)));
    }
    assert!(net.cloud.device("e54").is_none());
}

#[test]
fn a_disabled_enrolment_is_told_so() {
    let mut net = Net::new(4);
    net.cloud.enroll(Enrolment { enabled: false, ..Enrolment::symmetric("e54", KEY) }).expect("a new id");
    let mut mqtt = Mqtt::new(net.tls(DPS));
    let user = format!("{SCOPE}/registrations/e54/api-version=2019-03-31");
    mqtt.connect(&mut net, "e54", &user, Some(&dps_token(SCOPE, "e54", &KEY, EPOCH + 60)));
    mqtt.subscribe(&mut net, &["$dps/registrations/res/#"]);
    mqtt.publish(
        &mut net,
        "$dps/registrations/PUT/iotdps-register/?$rid=1",
        b"{\"registrationId\":\"e54\"}",
        QoS::AtMostOnce,
    );
    let (topic, body) = mqtt.message();
    assert_eq!((topic.as_str(), &json(&body)["status"]), ("$dps/registrations/res/200/?$rid=1", &json!("disabled")));
}

#[test]
fn a_certificate_takes_the_place_of_a_password() {
    let certificate = include_bytes!("../../../fixtures/keys/tls/device.pem");
    let key = include_bytes!("../../../fixtures/keys/tls/device.key.pem");
    let mut net = hub();
    let (_, der) = pem(certificate);
    let thumbprint = Attestation::thumbprint(Thumbprint::sha256(&der));
    net.cloud.register_device("x509-device", thumbprint).expect("a new device");
    let other = Attestation::thumbprint(Thumbprint::Sha1([0; 20]));
    net.cloud.register_device("another", other).expect("a new device");
    for (id, code) in [("x509-device", 0), ("another", 5), ("e54", 5)] {
        let mut mqtt = Mqtt::new(net.tls_with(HUB, Some((certificate, key))));
        let user = format!("{HUB}/{id}/?api-version=2021-04-12");
        assert_eq!(
            mqtt.connect(&mut net, id, &user, None),
            FromServer::Connack { code, session_present: false },
            "{id}"
        );
    }
    assert!(net.kinds().iter().any(|kind| matches!(kind, EventKind::TlsEstablished { client_certificate: true, .. })));
    let (code, why) = attempt(&mut net, "x509-device", &format!("{HUB}/x509-device/?api-version=2021-04-12"), None);
    assert!(code == 5 && why.contains("no certificate"), "{why}");
}

fn pem(text: &[u8]) -> (String, Vec<u8>) {
    use base64::Engine as _;
    let text = std::str::from_utf8(text).expect("text");
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    (body.clone(), base64::engine::general_purpose::STANDARD.decode(body).expect("base64"))
}

#[test]
fn what_iot_hub_does_not_know_closes_the_connection() {
    let mut net = hub();
    for topic in ["a", "$iothub/twin/PUT/?$rid=1", "devices/e55/messages/events/", "$SYS/broker"] {
        let mut mqtt = device(&mut net, "e54");
        mqtt.publish(&mut net, topic, b"", QoS::AtLeastOnce);
        assert!(matches!(closed_for(&mut net, &mut mqtt), CloseReason::Protocol(_)), "{topic}");
        assert_eq!(mqtt.inbox(), [], "no PUBACK for {topic}");
    }
    for filter in ["#", "devices/e55/messages/devicebound/#", "$iothub/#"] {
        let mut mqtt = device(&mut net, "e54");
        mqtt.subscribe(&mut net, &[filter]);
        assert!(matches!(closed_for(&mut net, &mut mqtt), CloseReason::Protocol(_)), "{filter}");
    }
    let mut mqtt = device(&mut net, "e54");
    mqtt.publish(&mut net, "devices/e54/messages/events/", b"", QoS::ExactlyOnce);
    assert!(matches!(closed_for(&mut net, &mut mqtt), CloseReason::Protocol(_)));
    let mut mqtt = device(&mut net, "e54");
    mqtt.publish(&mut net, "devices/e54/messages/events/", &vec![0; 256 * 1024 + 1], QoS::AtMostOnce);
    assert!(matches!(closed_for(&mut net, &mut mqtt), CloseReason::Protocol(_)));
}

#[test]
fn a_subscription_at_qos_2_is_granted_at_1() {
    let mut net = hub();
    let mut mqtt = device(&mut net, "e54");
    for (qos, granted) in [(QoS::ExactlyOnce, 1), (QoS::AtLeastOnce, 1), (QoS::AtMostOnce, 0)] {
        let topic_path = "$iothub/methods/POST/#".parse().expect("short");
        let topics = [mqttrs2::SubscribeTopic { topic_path, qos }].into_iter().collect();
        mqtt.packet(&mut net, &Packet::Subscribe(mqttrs2::Subscribe { pid: mqttrs2::Pid::new(), topics }));
        assert_eq!(mqtt.inbox(), [FromServer::Suback(vec![Some(granted)])]);
    }
}

#[test]
fn a_session_is_kept_if_both_connections_want_it_so() {
    let mut net = hub();
    let mut connect = |clean| {
        let mut mqtt = Mqtt::new(net.edge(None, &[]));
        let user = format!("{HUB}/e54/?api-version=2021-04-12");
        let answer = mqtt.connect_with(&mut net, "e54", &user, Some(&hub_token("e54", &KEY, EPOCH + 60)), clean, None);
        let before = net.cloud.device("e54").expect("exists").subscriptions().count();
        mqtt.subscribe(&mut net, &["$iothub/methods/POST/#"]);
        mqtt.packet(&mut net, &Packet::Disconnect);
        (answer == FromServer::Connack { code: 0, session_present: true }, before)
    };
    // A clean session ends with its connection, so there is nothing for the next one.
    let seen = [true, false, false, true, false].map(&mut connect);
    assert_eq!(seen, [(false, 0), (false, 0), (true, 1), (false, 0), (false, 0)]);
}

#[test]
fn a_second_connection_evicts_the_first() {
    let mut net = hub();
    let mut first = device(&mut net, "e54");
    let mut second = device(&mut net, "e54");
    first.read(&mut net);
    assert!(first.wire.closed && !second.wire.closed);
    assert!(net.kinds().contains(&EventKind::Disconnected { device: Some("e54".into()), why: CloseReason::Evicted }));
    // The end of the first connection must not take the second one's subscriptions along.
    net.cloud.set_desired(net.now, "e54", &json!({"a": 1})).expect("small");
    second.read(&mut net);
    assert_eq!(second.message().1, b"{\"a\":1,\"$version\":2}");
    assert!(net.cloud.device("e54").is_some_and(hub::Device::is_connected));
}

#[test]
fn an_expired_token_and_a_silent_client_lose_their_connection() {
    let mut net = hub();
    let mut mqtt = device(&mut net, "e54");
    for _ in 0..10 {
        net.pass(Duration::from_secs(359));
        mqtt.packet(&mut net, &Packet::Pingreq);
        assert_eq!(mqtt.inbox(), [FromServer::Pingresp]);
    }
    net.pass(Duration::from_secs(10));
    assert_eq!(closed_for(&mut net, &mut mqtt), CloseReason::TokenExpired);
    let mut net = hub();
    let mut mqtt = device(&mut net, "e54");
    assert_eq!(net.cloud.poll_at(), hub::Utc::new(0).instant(360));
    net.pass(Duration::from_secs(360));
    assert_eq!(closed_for(&mut net, &mut mqtt), CloseReason::KeepAlive);
}

#[test]
fn twin_requests_are_answered_with_the_status_they_deserve() {
    let mut net = hub();
    let mut mqtt = device(&mut net, "e54");
    for (patch, status) in [
        ("{\"a\":{\"b\":1}}", "204/?$rid=r&$version=2"),
        ("{\"a\":{\"b\":null}}", "204/?$rid=r&$version=3"),
        ("{\"a\":", "400/?$rid=r"),
        ("[]", "400/?$rid=r"),
        ("", "400/?$rid=r"),
        ("{\"a.b\":1}", "400/?$rid=r"),
    ] {
        mqtt.publish(&mut net, "$iothub/twin/PATCH/properties/reported/?$rid=r", patch.as_bytes(), QoS::AtMostOnce);
        assert_eq!(mqtt.message().0, format!("$iothub/twin/res/{status}"), "{patch}");
    }
    assert_eq!(serde_json::Value::Object(net.cloud.twin("e54").expect("exists").reported().clone()), json!({"a": {}}));
    net.cloud.refuse_twin_requests("e54", 429, 1).expect("exists");
    mqtt.publish(&mut net, "$iothub/twin/GET/?$rid=1", b"", QoS::AtMostOnce);
    assert_eq!(mqtt.message().0, "$iothub/twin/res/429/?$rid=1");
    mqtt.publish(&mut net, "$iothub/twin/GET/?$rid=2", b"", QoS::AtMostOnce);
    assert_eq!(mqtt.message().0, "$iothub/twin/res/200/?$rid=2");
}

#[test]
fn a_desired_patch_goes_only_to_those_who_listen() {
    let mut net = hub();
    let version = |net: &mut Net| net.cloud.set_desired(net.now, "e54", &json!({"a": 1})).expect("small");
    assert_eq!(version(&mut net), 2);
    let mut mqtt = Mqtt::new(net.tls(HUB));
    let user = format!("{HUB}/e54/?api-version=2021-04-12");
    mqtt.connect(&mut net, "e54", &user, Some(&hub_token("e54", &KEY, EPOCH + 60)));
    assert_eq!(version(&mut net), 3);
    mqtt.subscribe(&mut net, &["$iothub/twin/PATCH/properties/desired/#"]);
    assert_eq!(mqtt.messages(), [], "patches are not queued");
    assert_eq!(version(&mut net), 4);
    mqtt.read(&mut net);
    assert_eq!(mqtt.message().0, "$iothub/twin/PATCH/properties/desired/?$version=4");
    // No reply to a twin request without its subscription.
    mqtt.publish(&mut net, "$iothub/twin/GET/?$rid=1", b"", QoS::AtMostOnce);
    assert_eq!(mqtt.messages(), []);
}

#[test]
fn a_message_at_qos_1_is_acknowledged_before_it_is_answered() {
    let mut net = hub();
    let mut mqtt = device(&mut net, "e54");
    mqtt.publish(&mut net, "$iothub/twin/GET/?$rid=1", b"", QoS::AtLeastOnce);
    let inbox = mqtt.inbox();
    assert!(matches!(inbox[..], [FromServer::Puback(_), FromServer::Publish { pid: Some(_), .. }]), "{inbox:?}");
    mqtt.publish(&mut net, "devices/e54/messages/events/", b"x", QoS::AtMostOnce);
    assert_eq!(mqtt.inbox(), []);
    // The client's PUBACK of the answer is an event.
    let topic = "$iothub/twin/res/200/?$rid=1".to_owned();
    assert!(net.kinds().contains(&EventKind::Acknowledged { device: "e54".into(), topic }));
}

#[test]
fn an_unsubscribed_filter_delivers_nothing() {
    let mut net = hub();
    let mut mqtt = device(&mut net, "e54");
    let topics = ["$iothub/twin/PATCH/properties/desired/#".parse().expect("short")].into_iter().collect();
    mqtt.packet(&mut net, &Packet::Unsubscribe(mqttrs2::Unsubscribe::new(mqttrs2::Pid::new(), topics)));
    assert_eq!(mqtt.inbox(), [FromServer::Unsuback]);
    net.cloud.set_desired(net.now, "e54", &json!({"a": 1})).expect("small");
    mqtt.read(&mut net);
    assert_eq!(mqtt.inbox(), []);
}

#[test]
fn methods_are_answered_or_time_out() {
    let mut net = hub();
    let call =
        |net: &mut Net| net.cloud.invoke_method(net.now, "e54", "reboot", &json!({"in": 3}), Duration::from_secs(10));
    assert_eq!(call(&mut net), Err(HubError::NotConnected("e54".into())));
    let mut mqtt = device(&mut net, "e54");
    let first = call(&mut net).expect("the device listens");
    mqtt.read(&mut net);
    let (topic, body) = mqtt.message();
    let rid = topic.strip_prefix("$iothub/methods/POST/reboot/?$rid=").expect("the topic");
    assert_eq!(body, b"{\"in\":3}");
    mqtt.publish(&mut net, &format!("$iothub/methods/res/202/?$rid={rid}"), b"{}", QoS::AtMostOnce);
    let second = call(&mut net).expect("the device listens");
    net.pass(Duration::from_secs(10));
    let kinds = net.kinds();
    let answered = EventKind::MethodAnswered { device: "e54".into(), call: first, status: 202, body: b"{}".to_vec() };
    assert!(kinds.contains(&answered), "{kinds:?}");
    assert!(kinds.contains(&EventKind::MethodTimedOut { device: "e54".into(), call: second }));
}

#[test]
fn a_message_to_the_device_waits_until_it_is_acknowledged() {
    let mut net = hub();
    net.cloud.send_message(net.now, "e54", &[("a b", "ü")], b"hello".to_vec()).expect("there is room");
    let connect = |net: &mut Net, acknowledge| {
        let mut mqtt = Mqtt::new(net.tls(HUB));
        mqtt.acknowledge = acknowledge;
        let user = format!("{HUB}/e54/?api-version=2021-04-12");
        mqtt.connect_with(net, "e54", &user, Some(&hub_token("e54", &KEY, EPOCH + 60)), false, None);
        mqtt
    };
    let mut mqtt = connect(&mut net, false);
    mqtt.subscribe(&mut net, &["devices/e54/messages/devicebound/#"]);
    let (topic, body) = mqtt.message();
    assert!(
        topic.starts_with("devices/e54/messages/devicebound/%24.mid=") && topic.ends_with("&a%20b=%C3%BC"),
        "{topic}"
    );
    assert_eq!(body, b"hello");
    net.cloud.closed(net.now, mqtt.wire.conn);
    // The session was kept, so the message comes again without a subscription.
    let mut mqtt = connect(&mut net, true);
    mqtt.read(&mut net);
    assert_eq!(mqtt.message().0, topic);
    assert_eq!(net.cloud.device("e54").map(hub::Device::queued_messages), Some(0));
}

#[test]
fn the_last_will_is_telemetry_unless_the_client_says_goodbye() {
    let mut net = hub();
    for graceful in [true, false] {
        let mut mqtt = Mqtt::new(net.tls(HUB));
        let user = format!("{HUB}/e54/?api-version=2021-04-12");
        let will = Some(("devices/e54/messages/events/", &b"gone"[..]));
        mqtt.connect_with(&mut net, "e54", &user, Some(&hub_token("e54", &KEY, EPOCH + 60)), true, will);
        if graceful {
            mqtt.packet(&mut net, &Packet::Disconnect);
        }
        net.cloud.closed(net.now, mqtt.wire.conn);
        let wills =
            net.kinds().iter().filter(|kind| matches!(kind, EventKind::Telemetry(told) if told.is_will())).count();
        assert_eq!(wills, usize::from(!graceful));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// proptest prints the failing input; with it the run repeats.
    #[test]
    fn garbage_closes_its_own_connection_at_most(bytes in proptest::collection::vec(any::<u8>(), 1..200), plain: bool) {
        let mut net = hub();
        let mut mqtt = device(&mut net, "e54");
        let endpoint = if plain { Endpoint::MqttPlain } else { Endpoint::MqttTls };
        let conn = net.cloud.open(net.now, endpoint);
        for piece in bytes.chunks(17) {
            net.cloud.receive(net.now, conn, piece);
        }
        net.cloud.transmit(net.now, conn);
        net.cloud.closed(net.now, conn);
        mqtt.packet(&mut net, &Packet::Pingreq);
        prop_assert_eq!(mqtt.inbox(), [FromServer::Pingresp]);
    }

    #[test]
    fn a_packet_of_a_device_cut_anywhere_is_the_same_packet(cut in 1_usize..60) {
        let mut net = hub();
        let mut wire = net.plain();
        let mut connect = vec![0; 1024];
        let user = format!("{HUB}/e54/?api-version=2021-04-12");
        let token = hub_token("e54", &KEY, EPOCH + 60);
        let packet = Packet::Connect(mqttrs2::Connect {
            protocol: mqttrs2::Protocol::MQTT311, keep_alive: 0, client_id: "e54", clean_session: true,
            last_will: None, username: Some(&user), password: Some(token.as_bytes()),
        });
        let len = mqttrs2::encode_slice(&packet, &mut connect).expect("fits");
        for piece in connect[..len].chunks(cut) {
            net.send(&mut wire, piece);
        }
        prop_assert_eq!(&wire.plaintext, &[0x20, 2, 0, 0]);
    }
}
