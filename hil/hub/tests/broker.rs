//! Devices behind a broker: told packet by packet, answered message by message.

mod support;

use std::time::Duration;

use hub::{Attestation, BrokerConnect, BrokerMessage, CloseReason, ConnId, Enrolment, EventKind, Message};
use serde_json::{Value, json};
use support::*;

const ID: &str = "e54";

fn connect(net: &mut Net, user: &str, session_present: bool) -> ConnId {
    let connect =
        BrokerConnect { client_id: ID.into(), username: Some(user.into()), clean_session: false, session_present };
    net.cloud.broker_connected(net.now, connect)
}

/// A device that is connected and listens to everything.
fn device(net: &mut Net) -> ConnId {
    net.cloud.register_device(ID, Attestation::symmetric(KEY)).expect("a new device");
    let conn = connect(net, &user(), false);
    subscribe(net, conn);
    conn
}

/// Under another name than the hub's: that of the broker.
fn user() -> String {
    format!("127.0.0.1/{ID}/?api-version=2021-04-12&model-id=dtmi%3Aa%3Bb%3B1")
}

fn subscribe(net: &mut Net, conn: ConnId) {
    let own = format!("devices/{ID}/messages/devicebound/#");
    let filters = ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#", &own];
    let filters = filters.into_iter().map(|filter| (filter.to_owned(), 1)).collect();
    net.cloud.broker_subscribed(net.now, conn, filters);
}

fn publish(net: &mut Net, conn: ConnId, topic: &str, body: &Value) {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    net.cloud.broker_published(net.now, conn, BrokerMessage { topic: topic.into(), body, qos: 1 }, false);
}

/// The one message for the device: topic and JSON body.
fn answer(net: &mut Net, conn: ConnId) -> (String, Value) {
    assert_eq!(net.cloud.take_ready(), [conn]);
    let messages = net.cloud.broker_take(net.now, conn);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(net.cloud.broker_take(net.now, conn).is_empty() && net.cloud.take_ready().is_empty());
    (messages[0].topic.clone(), serde_json::from_slice(&messages[0].body).unwrap_or_default())
}

#[test]
fn provisioning_tells_the_name_under_which_the_broker_was_reached() {
    let mut net = Net::new(1);
    net.cloud.enroll(Enrolment::symmetric(ID, KEY)).expect("enrolled");
    let scope = net.cloud.config().id_scope.clone();
    let conn = connect(&mut net, &format!("{scope}/registrations/{ID}/api-version=2019-03-31"), false);
    net.cloud.broker_reached(conn, "127.0.0.7");
    net.cloud.broker_subscribed(net.now, conn, vec![("$dps/registrations/res/#".into(), 1)]);
    publish(&mut net, conn, "$dps/registrations/PUT/iotdps-register/?$rid=1", &json!({"registrationId": ID}));
    let (topic, body) = answer(&mut net, conn);
    assert!(topic.starts_with("$dps/registrations/res/202/?$rid=1"), "{topic}");
    net.pass(Duration::from_secs(5));
    let operation = body["operationId"].as_str().expect("an operation");
    let poll = format!("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId={operation}");
    publish(&mut net, conn, &poll, &Value::Null);
    let (_, body) = answer(&mut net, conn);
    assert_eq!((&body["status"], &body["registrationState"]["assignedHub"]), (&json!("assigned"), &json!("127.0.0.7")));
    net.cloud.broker_disconnected(net.now, conn, CloseReason::Graceful, None);
    let kinds = net.kinds();
    assert!(matches!(&kinds[0], EventKind::DpsConnected { registration } if registration == ID), "{kinds:?}");
    assert!(kinds.iter().any(|kind| matches!(kind, EventKind::DpsAssigned { device, .. } if device == ID)));
    assert!(matches!(kinds.last(), Some(EventKind::Disconnected { why: CloseReason::Graceful, .. })), "{kinds:?}");
    assert_eq!(net.cloud.connection_count(), 0);
}

#[test]
fn twin_method_telemetry_and_events_are_those_of_a_direct_connection() {
    let mut net = Net::new(2);
    let conn = device(&mut net);
    publish(&mut net, conn, "$iothub/twin/GET/?$rid=a", &Value::Null);
    assert_eq!(answer(&mut net, conn).0, "$iothub/twin/res/200/?$rid=a");
    publish(&mut net, conn, "$iothub/twin/PATCH/properties/reported/?$rid=b", &json!({"x": 1}));
    assert_eq!(answer(&mut net, conn).0, "$iothub/twin/res/204/?$rid=b&$version=2");
    net.cloud.set_desired(net.now, ID, &json!({"y": 2})).expect("a patch");
    let (topic, body) = answer(&mut net, conn);
    assert_eq!((topic.as_str(), &body["y"]), ("$iothub/twin/PATCH/properties/desired/?$version=2", &json!(2)));
    let wait = Duration::from_secs(10);
    let call = net.cloud.invoke_method(net.now, ID, "reboot", &json!({"in": 5}), wait).expect("it listens");
    let (topic, body) = answer(&mut net, conn);
    let rid = topic.strip_prefix("$iothub/methods/POST/reboot/?$rid=").expect("a call").to_owned();
    assert_eq!(body, json!({"in": 5}));
    publish(&mut net, conn, &format!("$iothub/methods/res/200/?$rid={rid}"), &json!("ok"));
    publish(&mut net, conn, &format!("devices/{ID}/messages/events/a=b"), &json!("t"));
    let kinds = net.kinds();
    let EventKind::Connected { device, model_id, api_version, .. } = &kinds[0] else { panic!("{kinds:?}") };
    assert_eq!((device.as_str(), model_id.as_deref(), api_version.as_str()), (ID, Some("dtmi:a;b;1"), "2021-04-12"));
    let has = |test: &dyn Fn(&EventKind) -> bool| assert!(kinds.iter().any(test), "{kinds:?}");
    has(&|kind| matches!(kind, EventKind::Reported { version: 2, .. }));
    has(&|kind| matches!(kind, EventKind::DesiredSent { version: 2, .. }));
    has(&|kind| matches!(kind, EventKind::MethodAnswered { call: answered, status: 200, .. } if *answered == call));
    has(&|kind| matches!(kind, EventKind::Telemetry(told) if !told.is_will()));
    assert!(net.cloud.device(ID).expect("exists").is_connected());
}

#[test]
fn message_is_complete_when_the_device_acknowledges_it() {
    let mut net = Net::new(3);
    let conn = device(&mut net);
    let message = Message { body: b"1".to_vec(), ..Message::default() };
    net.cloud.send_cloud_to_device(net.now, ID, message).expect("room");
    let (topic, _) = answer(&mut net, conn);
    let queued = |net: &Net| net.cloud.device(ID).expect("exists").queued_messages();
    net.cloud.broker_acknowledged(net.now, conn, "devices/e54/messages/devicebound/another");
    assert_eq!(queued(&net), 1);
    net.cloud.broker_acknowledged(net.now, conn, &topic);
    assert_eq!(queued(&net), 0);
    assert!(net.kinds().iter().any(|kind| matches!(kind, EventKind::Acknowledged { .. })));
}

#[test]
fn what_was_not_acknowledged_is_sent_again_by_whoever_has_the_session() {
    for kept in [true, false] {
        let mut net = Net::new(4);
        let conn = device(&mut net);
        net.cloud.send_message(net.now, ID, &[], b"1".to_vec()).expect("room");
        let (topic, _) = answer(&mut net, conn);
        net.cloud.broker_disconnected(net.now, conn, CloseReason::Peer, None);
        let conn = connect(&mut net, &user(), kept);
        assert!(net.cloud.broker_take(net.now, conn).is_empty(), "the broker repeats it, or nobody has subscribed");
        let subscribed = net.cloud.device(ID).expect("exists").subscriptions().count();
        assert_eq!(subscribed, if kept { 4 } else { 0 });
        if kept {
            net.cloud.broker_acknowledged(net.now, conn, &topic);
        } else {
            subscribe(&mut net, conn);
            assert_eq!(answer(&mut net, conn).0, topic);
            net.cloud.broker_acknowledged(net.now, conn, &topic);
        }
        assert_eq!(net.cloud.device(ID).expect("exists").queued_messages(), 0);
    }
}

#[test]
fn whom_the_services_do_not_take_is_to_be_closed() {
    let mut net = Net::new(5);
    let stranger = connect(&mut net, &user(), false);
    assert!(net.cloud.wants_close(stranger));
    let kinds = net.kinds();
    assert!(
        matches!(&kinds[0], EventKind::ConnectRefused { code: 5, why } if why.contains("does not exist")),
        "{kinds:?}"
    );
    net.cloud.broker_disconnected(net.now, stranger, CloseReason::Peer, None);

    let conn = device(&mut net);
    publish(&mut net, conn, "an/unknown/topic", &json!(1));
    assert!(net.cloud.wants_close(conn));
    assert!(!net.cloud.device(ID).expect("exists").is_connected());
    assert!(matches!(net.kinds().last(), Some(EventKind::Disconnected { why: CloseReason::Protocol(_), .. })));

    net.cloud.broker_disconnected(net.now, conn, CloseReason::Peer, None);

    let conn = connect(&mut net, &user(), false);
    assert!(!net.cloud.wants_close(conn));
    net.cloud.set_enabled(net.now, ID, false).expect("exists");
    assert!(net.cloud.wants_close(conn));
    assert_eq!(net.cloud.take_ready(), [conn]);
}
