//! Cloud-to-device messages: at least once, for so long, so often; and what their sender is told.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use hub::{Ack, Attestation, Device, EventKind, HubError, Message, MessageOutcome, MessageSettings};
use mqttrs2::{Packet, QoS};
use support::*;

const FILTER: &str = "devices/e54/messages/devicebound/#";

fn hub() -> Net {
    let mut net = Net::new(11);
    net.cloud.register_device("e54", Attestation::symmetric(KEY)).expect("a new device");
    net
}

fn connect(net: &mut Net, clean: bool) -> Mqtt {
    let mut mqtt = Mqtt::new(net.tls(HUB));
    let user = format!("{HUB}/e54/?api-version=2021-04-12");
    let token = hub_token("e54", &KEY, EPOCH + 100_000);
    let answer = mqtt.connect_with(net, "e54", &user, Some(&token), clean, None);
    assert!(matches!(answer, FromServer::Connack { code: 0, .. }), "{answer:?}");
    mqtt
}

fn message(id: &str, ack: Ack) -> Message {
    Message { message_id: Some(id.into()), ack, body: b"body".to_vec(), ..Message::default() }
}

fn send(net: &mut Net, message: Message) -> String {
    net.cloud.send_cloud_to_device(net.now, "e54", message).expect("room")
}

type Outcomes = (Vec<(String, MessageOutcome)>, Vec<(String, String)>);

/// `(message, outcome)` of all that has left the queue, and `(message, status)` of all feedback.
fn outcomes(net: &mut Net) -> Outcomes {
    let (mut settled, mut feedback) = (Vec::new(), Vec::new());
    for kind in net.kinds() {
        match kind {
            EventKind::MessageSettled { message_id, outcome, .. } => settled.push((message_id, outcome)),
            EventKind::Feedback { original_message_id, status_code, device, generation_id, enqueued_time_utc } => {
                assert_eq!(device, "e54");
                assert_eq!(Some(generation_id.as_str()), net.cloud.device("e54").map(Device::generation_id));
                assert!(enqueued_time_utc.starts_with("2026-01-01T"), "{enqueued_time_utc}");
                feedback.push((original_message_id, status_code));
            }
            _ => {}
        }
    }
    (settled, feedback)
}

fn queued(net: &Net) -> usize {
    net.cloud.device("e54").expect("exists").queued_messages()
}

#[test]
fn properties_stand_in_the_topic() {
    let mut net = hub();
    let mut mqtt = connect(&mut net, true);
    mqtt.subscribe(&mut net, &[FILTER]);
    let message = Message {
        message_id: Some("m 1".into()),
        correlation_id: Some("c".into()),
        user_id: Some("u".into()),
        content_type: Some("application/json".into()),
        content_encoding: Some("utf-8".into()),
        ack: Ack::Full,
        ttl_seconds: Some(60),
        properties: vec![
            ("prop1".into(), None),
            ("prop2".into(), Some(String::new())),
            ("a&b".into(), Some("c=d".into())),
        ],
        body: b"{}".to_vec(),
    };
    assert_eq!(send(&mut net, message), "m 1");
    mqtt.read(&mut net);
    let (topic, body) = mqtt.message();
    assert_eq!(
        topic,
        "devices/e54/messages/devicebound/%24.mid=m%201&%24.to=%2Fdevices%2Fe54%2Fmessages%2FdeviceBound&%24.cid=c\
         &%24.uid=u&%24.ct=application%2Fjson&%24.ce=utf-8&iothub-ack=full&prop1&prop2=&a%26b=c%3Dd"
    );
    assert_eq!(body, b"{}");
}

#[test]
fn an_acknowledgement_completes_a_message_and_feedback_comes_if_asked_for() {
    let mut net = hub();
    let mut mqtt = connect(&mut net, true);
    mqtt.subscribe(&mut net, &[FILTER]);
    for (id, ack) in
        [("none", Ack::None), ("positive", Ack::Positive), ("negative", Ack::Negative), ("full", Ack::Full)]
    {
        send(&mut net, message(id, ack));
        mqtt.read(&mut net);
    }
    let (settled, feedback) = outcomes(&mut net);
    assert_eq!(settled, ["none", "positive", "negative", "full"].map(|id| (id.to_owned(), MessageOutcome::Success)));
    assert_eq!(feedback, ["positive", "full"].map(|id| (id.to_owned(), "Success".to_owned())));
    assert_eq!(queued(&net), 0);
}

#[test]
fn a_message_at_qos_0_is_complete_when_it_is_sent() {
    let mut net = hub();
    let mut mqtt = connect(&mut net, true);
    let topic = mqttrs2::SubscribeTopic { topic_path: FILTER.parse().expect("short"), qos: QoS::AtMostOnce };
    let subscribe = mqttrs2::Subscribe { pid: mqttrs2::Pid::new(), topics: [topic].into_iter().collect() };
    mqtt.packet(&mut net, &Packet::Subscribe(subscribe));
    assert_eq!(mqtt.inbox(), [FromServer::Suback(vec![Some(0)])]);
    send(&mut net, message("m", Ack::Full));
    mqtt.read(&mut net);
    assert_eq!(mqtt.messages().len(), 1);
    assert_eq!(outcomes(&mut net).1, [("m".to_owned(), "Success".to_owned())]);
}

#[test]
fn a_message_expires_when_its_time_is_over() {
    let mut net = hub();
    send(&mut net, Message { ttl_seconds: Some(10), ..message("short", Ack::Negative) });
    send(&mut net, message("default", Ack::Negative));
    send(&mut net, Message { ttl_seconds: Some(10), ..message("quiet", Ack::Positive) });
    assert_eq!(net.cloud.poll_at(), hub::Utc::new(0).instant(10));
    net.pass(Duration::from_millis(9_999));
    assert_eq!((queued(&net), outcomes(&mut net).0.len()), (3, 0));
    net.pass(Duration::from_millis(1));
    let (settled, feedback) = outcomes(&mut net);
    assert_eq!(settled, ["short", "quiet"].map(|id| (id.to_owned(), MessageOutcome::Expired)));
    assert_eq!(feedback, [("short".to_owned(), "Expired".to_owned())]);
    assert_eq!(net.cloud.poll_at(), hub::Utc::new(0).instant(3600));
    net.pass(Duration::from_secs(3590));
    assert_eq!(outcomes(&mut net).1, [("default".to_owned(), "Expired".to_owned())]);
    for seconds in [0, 48 * 3600 + 1] {
        let wrong = Message { ttl_seconds: Some(seconds), ..Message::default() };
        let error = net.cloud.send_cloud_to_device(net.now, "e54", wrong).expect_err("out of range");
        assert_eq!((error.status(), error.code()), (400, 400_004), "{error}");
    }
}

#[test]
fn a_message_is_delivered_again_until_it_was_in_vain_too_often() {
    let mut net = hub();
    net.cloud.set_message_settings(MessageSettings { max_delivery_count: 3, ..MessageSettings::default() });
    send(&mut net, message("m", Ack::Full));
    for delivery in 1..=3 {
        assert_eq!(queued(&net), 1, "before delivery {delivery}");
        let mut mqtt = connect(&mut net, true);
        mqtt.acknowledge = false;
        mqtt.subscribe(&mut net, &[FILTER]);
        assert_eq!(mqtt.messages().len(), 1, "delivery {delivery}");
        net.cloud.closed(net.now, mqtt.wire.conn);
    }
    assert_eq!(queued(&net), 0);
    let (settled, feedback) = outcomes(&mut net);
    assert_eq!(settled, [("m".to_owned(), MessageOutcome::DeliveryCountExceeded)]);
    assert_eq!(feedback, [("m".to_owned(), "DeliveryCountExceeded".to_owned())]);
}

#[test]
fn settings_without_sense_are_bounded() {
    let mut net = hub();
    let zero = MessageSettings { default_ttl: Duration::from_secs(60), max_delivery_count: 0, lock: Duration::ZERO };
    net.cloud.set_message_settings(zero);
    let mut mqtt = connect(&mut net, true);
    mqtt.acknowledge = false;
    mqtt.subscribe(&mut net, &[FILTER]);
    send(&mut net, message("m", Ack::None));
    for delivery in 1..=3 {
        mqtt.read(&mut net);
        assert_eq!(mqtt.messages().len(), 1, "delivery {delivery}");
        net.pass(Duration::from_secs(1));
    }
    net.cloud.closed(net.now, mqtt.wire.conn);
    assert_eq!(outcomes(&mut net).0, [("m".to_owned(), MessageOutcome::DeliveryCountExceeded)]);
}

#[test]
fn a_message_that_is_not_acknowledged_in_time_comes_again_on_the_same_connection() {
    let mut net = hub();
    let mut mqtt = connect(&mut net, true);
    mqtt.acknowledge = false;
    mqtt.subscribe(&mut net, &[FILTER]);
    send(&mut net, message("m", Ack::Full));
    mqtt.read(&mut net);
    let FromServer::Publish { pid: Some(first), dup: false, .. } = mqtt.inbox().remove(0) else { panic!("no message") };
    net.pass(Duration::from_millis(59_999));
    mqtt.read(&mut net);
    assert_eq!(mqtt.inbox(), []);
    net.pass(Duration::from_millis(1));
    mqtt.read(&mut net);
    let FromServer::Publish { pid: Some(second), .. } = mqtt.inbox().remove(0) else { panic!("not again") };
    assert_ne!(first, second);
    // Either acknowledgement completes it, and the lock that ran out has not counted as a delivery in vain.
    let message = net.cloud.device("e54").expect("exists").messages().next().expect("waits");
    assert_eq!((message.delivery_count, message.locked), (0, true));
    mqtt.packet(&mut net, &Packet::Puback(first.try_into().expect("not zero")));
    mqtt.packet(&mut net, &Packet::Puback(second.try_into().expect("not zero")));
    assert_eq!(outcomes(&mut net).0, [("m".to_owned(), MessageOutcome::Success)]);
    assert!(!mqtt.wire.closed);
}

#[test]
fn a_kept_session_sends_again_with_dup_and_the_same_packet_identifier() {
    let mut net = hub();
    let mut mqtt = connect(&mut net, false);
    mqtt.acknowledge = false;
    mqtt.subscribe(&mut net, &[FILTER, "$iothub/twin/PATCH/properties/desired/#"]);
    send(&mut net, message("m", Ack::None));
    net.cloud.set_desired(net.now, "e54", &serde_json::json!({"a": 1})).expect("small");
    send(&mut net, message("purged", Ack::None));
    mqtt.read(&mut net);
    let before = mqtt.inbox();
    assert_eq!(before.len(), 3);
    assert!(before.iter().all(|packet| matches!(packet, FromServer::Publish { dup: false, .. })), "{before:?}");
    net.cloud.closed(net.now, mqtt.wire.conn);

    let mut mqtt = connect(&mut net, false);
    mqtt.read(&mut net);
    let again: Vec<FromServer> = before
        .iter()
        .map(|packet| match packet.clone() {
            FromServer::Publish { topic, body, pid, .. } => FromServer::Publish { topic, body, pid, dup: true },
            other => other,
        })
        .collect();
    assert_eq!(mqtt.inbox(), again);
    assert_eq!(queued(&net), 0, "it was acknowledged the second time");
    // New messages do not reuse an identifier, and a clean session forgets.
    send(&mut net, message("n", Ack::None));
    mqtt.read(&mut net);
    let FromServer::Publish { pid, dup: false, .. } = mqtt.inbox().remove(0) else { panic!("no message") };
    assert!(!before.iter().any(|packet| matches!(packet, FromServer::Publish { pid: old, .. } if *old == pid)));
}

#[test]
fn a_second_connection_takes_over_what_the_first_has_not_acknowledged() {
    let mut net = hub();
    let mut first = connect(&mut net, false);
    first.acknowledge = false;
    first.subscribe(&mut net, &[FILTER]);
    send(&mut net, message("m", Ack::None));
    first.read(&mut net);
    let FromServer::Publish { pid, .. } = first.inbox().remove(0) else { panic!("no message") };
    let mut second = connect(&mut net, false);
    second.read(&mut net);
    let inbox = second.inbox();
    assert!(matches!(&inbox[..], [FromServer::Publish { pid: again, dup: true, .. }] if *again == pid), "{inbox:?}");
    assert_eq!(queued(&net), 0);
}

#[test]
fn a_queue_is_bounded_purged_and_kept_over_a_restart() {
    let mut net = hub();
    for index in 0..50 {
        send(&mut net, message(&index.to_string(), Ack::Full));
    }
    let full = net.cloud.send_cloud_to_device(net.now, "e54", Message::default()).expect_err("full");
    assert_eq!((full.status(), full.code()), (403, 403_004));
    let mut net = net.restarted(&mut BTreeMap::new());
    let waiting: Vec<_> = net.cloud.device("e54").expect("exists").messages().collect();
    assert_eq!(waiting.len(), 50);
    assert!(waiting.iter().enumerate().all(|(index, message)| message.message_id == index.to_string()));
    assert_eq!((waiting[0].ack, waiting[0].size, waiting[0].expires), (Ack::Full, 4, hub::Utc::new(0).instant(3600)));
    assert_eq!(net.cloud.poll_at(), hub::Utc::new(0).instant(3600), "they expire in the next life too");
    assert_eq!(net.cloud.purge_messages(net.now, "e54"), Ok(50));
    let (settled, feedback) = outcomes(&mut net);
    assert!(settled.iter().all(|(_, outcome)| *outcome == MessageOutcome::Purged) && settled.len() == 50);
    assert!(feedback.iter().all(|(_, status)| status == "Purged") && feedback.len() == 50);
    assert_eq!(net.cloud.purge_messages(net.now, "nobody"), Err(HubError::NoDevice("nobody".into())));
}

#[test]
fn a_message_has_at_most_64_kilobytes() {
    let mut net = hub();
    let sized = |body, value: usize| Message {
        properties: vec![("name".into(), Some("v".repeat(value)))],
        body: vec![7; body],
        ..Message::default()
    };
    send(&mut net, sized(64 * 1024 - 10, 6));
    for too_large in [sized(64 * 1024 - 10, 7), sized(64 * 1024 - 9, 6)] {
        let error = net.cloud.send_cloud_to_device(net.now, "e54", too_large).expect_err("too large");
        assert_eq!((error.status(), error.code()), (413, 413_001), "{error}");
    }
    let mut mqtt = connect(&mut net, true);
    mqtt.subscribe(&mut net, &[FILTER]);
    assert_eq!(mqtt.message().1.len(), 64 * 1024 - 10);
}
