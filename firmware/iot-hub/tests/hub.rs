//! Behaviour of the hub client against a server that speaks through another codec.

mod common;

use common::*;
use iot_hub::hub::{Client, Config, Event};
use iot_hub::mqtt::{PacketError, Receiver};
use iot_hub::{Error, sas};
use mqttrs2::{Packet, QosPid};

const CONFIG: Config<'static> = Config {
    host: "hil-hub.azure-devices.net",
    device_id: "same54-1",
    model_id: Some("dtmi:azure:iot:deviceUpdateModel;2"),
    product: "same54/1.0 (test)",
    keep_alive_s: 240,
};

fn sent(client: &mut Client<'_>, now_ms: u64) -> Vec<u8> {
    let mut out = [0; 1024];
    let len = client.poll(now_ms, &mut out).unwrap();
    out[..len].to_vec()
}

/// Feeds a packet of the server and hands the event on.
fn event<T>(client: &mut Client<'_>, packet: &Packet<'_>, check: impl FnOnce(Result<Event<'_>, Error>) -> T) -> T {
    let mut buffer = [0; 4096];
    let mut receiver = Receiver::new(&mut buffer);
    let bytes = encode(packet);
    receiver.space()[..bytes.len()].copy_from_slice(&bytes);
    receiver.filled(bytes.len());
    check(client.handle(receiver.packet().unwrap().unwrap()))
}

fn connected() -> Client<'static> {
    let mut client = Client::new(CONFIG);
    let mut out = [0; 1024];
    client.connect("secret", 0, &mut out).unwrap();
    event(&mut client, &connack(0), |event| assert_eq!(event, Ok(Event::Connected)));
    client
}

fn ready() -> Client<'static> {
    let mut client = connected();
    let Packet::Subscribe(subscribe) = decode(&sent(&mut client, 0)) else { panic!("no SUBSCRIBE") };
    event(&mut client, &suback(subscribe.pid, 4, 1), |event| assert_eq!(event, Ok(Event::Ready)));
    client
}

#[test]
fn connect_names_device_api_version_and_model() {
    let mut client = Client::new(CONFIG);
    let mut out = [0; 1024];
    let len = client.connect("the password", 0, &mut out).unwrap();
    let Packet::Connect(connect) = decode(&out[..len]) else { panic!("no CONNECT") };
    assert_eq!(connect.client_id, "same54-1");
    assert_eq!(
        connect.username,
        Some(
            "hil-hub.azure-devices.net/same54-1/?api-version=2021-04-12\
             &DeviceClientType=same54%2F1.0%20%28test%29&model-id=dtmi%3Aazure%3Aiot%3AdeviceUpdateModel%3B2"
        )
    );
    assert_eq!(connect.password, Some(&b"the password"[..]));
    assert_eq!(connect.keep_alive, 240);
    assert!(connect.clean_session);
    assert!(connect.last_will.is_none());
}

#[test]
fn tokens_are_those_of_the_official_formula() {
    let key: Vec<u8> = (0..32).collect();
    let mut out = [0; sas::TOKEN_LEN];
    assert_eq!(
        CONFIG.token(&key, 1_800_000_000, &mut out).unwrap(),
        "SharedAccessSignature sr=hil-hub.azure-devices.net%2Fdevices%2Fsame54-1&sig=XAbYjrwhh0DqxwxJFUTmugZMdLCqvj62WJh4sDQlupU%3D&se=1800000000"
    );
    let strange = Config { host: "h", device_id: "a b=ü", ..CONFIG };
    assert_eq!(
        strange.token(&key, 7, &mut out).unwrap(),
        "SharedAccessSignature sr=h%2Fdevices%2Fa%20b%3D%C3%BC&sig=cOD%2Bu4OXXQ9dp500G4JwIr8OqXsf1Mfk%2BfseUxd62DY%3D&se=7"
    );
    for len in 0..120 {
        assert_eq!(CONFIG.token(&key, 1, &mut vec![0; len]), Err(Error::BufferTooSmall));
    }
    assert_eq!(
        <base64ct::Base64 as base64ct::Encoding>::encode_string(&sas::derive_device_key(&key, "same54-1")),
        "E9P7uuFmaeTlUQgtZs+zWZ1qqH2IEZNJLbPHI3X5XzA="
    );
}

#[test]
fn tokens_are_renewed_well_before_they_expire() {
    assert_eq!(sas::renewal_time(1000, 4600), 1000 + 3060);
    assert_eq!(sas::renewal_time(1000, 1100), 1040);
    assert_eq!(sas::renewal_time(1000, 1030), 1000);
    assert_eq!(sas::renewal_time(1000, 900), 1000);
}

#[test]
fn all_topics_are_subscribed_with_qos_1() {
    let mut client = connected();
    assert_eq!(client.deadline(), 0);
    let Packet::Subscribe(subscribe) = decode(&sent(&mut client, 5)) else { panic!("no SUBSCRIBE") };
    let topics: Vec<_> = subscribe.topics.iter().map(|topic| (&topic.topic_path[..], topic.qos)).collect();
    assert_eq!(
        topics,
        [
            ("$iothub/twin/res/#", mqttrs2::QoS::AtLeastOnce),
            ("$iothub/twin/PATCH/properties/desired/#", mqttrs2::QoS::AtLeastOnce),
            ("$iothub/methods/POST/#", mqttrs2::QoS::AtLeastOnce),
            ("devices/same54-1/messages/devicebound/#", mqttrs2::QoS::AtLeastOnce),
        ]
    );
    assert_eq!(sent(&mut client, 6), [], "once");
}

#[test]
fn nothing_is_published_before_the_subscriptions() {
    let mut client = connected();
    let mut out = [0; 256];
    assert_eq!(client.read_twin(0, &mut out), Err(Error::NotReady));
    assert_eq!(client.report("{}", 0, &mut out), Err(Error::NotReady));
}

#[test]
fn refusals_end_the_session() {
    for code in 1..=5 {
        let mut client = Client::new(CONFIG);
        client.connect("x", 0, &mut [0; 1024]).unwrap();
        event(&mut client, &connack(code), |event| assert_eq!(event, Err(Error::Refused(code))));
        assert_eq!(client.deadline(), u64::MAX);
    }
    let mut client = connected();
    let Packet::Subscribe(subscribe) = decode(&sent(&mut client, 0)) else { panic!("no SUBSCRIBE") };
    let refused = mqttrs2::Suback { pid: subscribe.pid, return_codes: vec![mqttrs2::SubscribeReturnCodes::Failure; 4] };
    event(&mut client, &refused.into(), |event| assert_eq!(event, Err(Error::NotSubscribed)));
}

#[test]
fn twin_and_reports_are_matched_by_request_id() {
    let mut client = ready();
    let mut out = [0; 1024];
    let len = client.read_twin(10, &mut out).unwrap();
    let Packet::Publish(get) = decode(&out[..len]) else { panic!("no PUBLISH") };
    assert_eq!((get.topic_name, get.payload, get.qospid), ("$iothub/twin/GET/?$rid=1", &b""[..], QosPid::AtMostOnce));

    let len = client.report(r#"{"a":1}"#, 11, &mut out).unwrap();
    let Packet::Publish(patch) = decode(&out[..len]) else { panic!("no PUBLISH") };
    assert_eq!(patch.topic_name, "$iothub/twin/PATCH/properties/reported/?$rid=2");
    assert_eq!(patch.payload, br#"{"a":1}"#);

    event(&mut client, &message("$iothub/twin/res/204/?$rid=2&$version=17", b""), |event| {
        assert_eq!(event, Ok(Event::Reported { status: 204, version: Some(17) }));
    });
    event(&mut client, &message("$iothub/twin/res/200/?$rid=1", b"{}"), |event| {
        assert_eq!(event, Ok(Event::Twin { status: 200, document: &mut b"{}".to_vec()[..] }));
    });
    // Duplicates and answers to others.
    for topic in ["$iothub/twin/res/200/?$rid=1", "$iothub/twin/res/200/?$rid=x", "$iothub/twin/res/"] {
        event(&mut client, &message(topic, b"{}"), |event| assert_eq!(event, Ok(Event::Nothing)));
    }
}

#[test]
fn failures_of_the_twin_are_passed_on() {
    let mut client = ready();
    client.read_twin(0, &mut [0; 64]).unwrap();
    event(&mut client, &message("$iothub/twin/res/429/?$rid=1", b""), |event| {
        assert_eq!(event, Ok(Event::Twin { status: 429, document: &mut [] }));
    });
}

#[test]
fn desired_patches_carry_their_version() {
    let mut client = ready();
    let topic = "$iothub/twin/PATCH/properties/desired/?$version=9";
    event(&mut client, &message(topic, b"{\"$version\":9}"), |event| {
        assert!(matches!(event, Ok(Event::Desired { version: 9, document }) if document.len() == 14));
    });
}

#[test]
fn methods_are_answered_by_request_id() {
    let mut client = ready();
    event(&mut client, &message("$iothub/methods/POST/reboot/?$rid=ab-1", b"{}"), |event| {
        assert!(matches!(event, Ok(Event::Method { name: "reboot", rid: "ab-1", .. })));
    });
    let mut out = [0; 256];
    let len = client.respond("ab-1", 200, "{}", 0, &mut out).unwrap();
    let Packet::Publish(reply) = decode(&out[..len]) else { panic!("no PUBLISH") };
    assert_eq!((reply.topic_name, reply.payload), ("$iothub/methods/res/200/?$rid=ab-1", &b"{}"[..]));
}

#[test]
fn messages_are_acknowledged() {
    let mut client = ready();
    let mut packet = message("devices/same54-1/messages/devicebound/a=1&b=2", b"hello");
    if let Packet::Publish(publish) = &mut packet {
        publish.qospid = QosPid::AtLeastOnce(mqttrs2::Pid::try_from(77).unwrap());
    }
    event(&mut client, &packet, |event| {
        let payload = &mut b"hello".to_vec()[..];
        assert_eq!(event, Ok(Event::Message { properties: "a=1&b=2", payload }));
    });
    assert_eq!(client.deadline(), 0);
    assert_eq!(decode(&sent(&mut client, 0)), Packet::Puback(mqttrs2::Pid::try_from(77).unwrap()));
    assert_eq!(sent(&mut client, 0), []);
    let foreign = message("devices/other/messages/devicebound/", b"x");
    event(&mut client, &foreign, |event| assert_eq!(event, Ok(Event::Nothing)));
}

#[test]
fn telemetry_goes_with_either_quality_of_service() {
    let mut client = ready();
    let mut out = [0; 256];
    let (len, id) = client.telemetry("$.ct=application%2Fjson", b"{}", true, 0, &mut out).unwrap();
    let Packet::Publish(publish) = decode(&out[..len]) else { panic!("no PUBLISH") };
    assert_eq!(publish.topic_name, "devices/same54-1/messages/events/$.ct=application%2Fjson");
    let QosPid::AtLeastOnce(pid) = publish.qospid else { panic!("no packet id") };
    assert_eq!(id, Some(pid.get()));
    event(&mut client, &Packet::Puback(pid), |event| assert_eq!(event, Ok(Event::Delivered(pid.get()))));
    let (len, id) = client.telemetry("", b"{}", false, 0, &mut out).unwrap();
    assert_eq!(id, None);
    assert!(matches!(decode(&out[..len]), Packet::Publish(publish) if publish.qospid == QosPid::AtMostOnce));
}

#[test]
fn packet_ids_skip_zero_when_they_wrap() {
    let mut client = ready();
    let mut out = [0; 256];
    let mut last = None;
    for _ in 0..70_000 {
        last = client.telemetry("", b"", true, 0, &mut out).unwrap().1;
        assert_ne!(last, Some(0));
    }
    // One id went to SUBSCRIBE.
    assert_eq!(last, Some((70_001 - 65_535) as u16));
}

#[test]
fn an_idle_connection_is_pinged_and_given_up_without_answer() {
    let mut client = ready();
    assert_eq!(client.deadline(), 180_000);
    assert_eq!(sent(&mut client, 179_999), []);
    assert_eq!(decode(&sent(&mut client, 180_000)), Packet::Pingreq);
    assert_eq!(sent(&mut client, 180_001), []);
    event(&mut client, &Packet::Pingresp, |event| assert_eq!(event, Ok(Event::Nothing)));
    assert_eq!(client.deadline(), 360_000);
    assert_eq!(decode(&sent(&mut client, 360_000)), Packet::Pingreq);
    assert_eq!(client.deadline(), 390_000);
    assert_eq!(client.poll(390_000, &mut [0; 256]), Err(Error::TimedOut));
}

#[test]
fn sending_puts_the_ping_off() {
    let mut client = ready();
    client.telemetry("", b"", false, 100_000, &mut [0; 256]).unwrap();
    assert_eq!(client.deadline(), 280_000);
}

#[test]
fn a_silent_server_is_given_up() {
    let mut client = Client::new(CONFIG);
    client.connect("x", 1_000, &mut [0; 1024]).unwrap();
    assert_eq!(client.deadline(), 31_000);
    assert_eq!(client.poll(30_999, &mut [0; 256]), Ok(0));
    assert_eq!(client.poll(31_000, &mut [0; 256]), Err(Error::TimedOut));
    let mut client = connected();
    sent(&mut client, 0);
    assert_eq!(client.poll(30_000, &mut [0; 256]), Err(Error::TimedOut));
}

#[test]
fn packets_out_of_place_are_errors() {
    let mut client = Client::new(CONFIG);
    event(&mut client, &connack(0), |event| assert_eq!(event, Err(Error::Unexpected)));
    let mut client = ready();
    event(&mut client, &connack(0), |event| assert_eq!(event, Err(Error::Unexpected)));
    let mut client = Client::new(CONFIG);
    client.connect("x", 0, &mut [0; 1024]).unwrap();
    event(&mut client, &message("a", b""), |event| assert_eq!(event, Err(Error::Unexpected)));
}

#[test]
fn what_does_not_fit_the_buffer_is_not_sent_and_harms_nothing() {
    let mut client = ready();
    for len in 0..30 {
        assert_eq!(client.read_twin(0, &mut vec![0; len]), Err(Error::BufferTooSmall), "{len}");
    }
    assert!(client.read_twin(0, &mut [0; 64]).is_ok());
}

#[test]
fn a_packet_that_cannot_fit_is_named_as_soon_as_its_length_is_known() {
    let mut buffer = [0; 100];
    let mut receiver = Receiver::new(&mut buffer);
    receiver.space()[..3].copy_from_slice(&[0x30, 0x80, 0x40]);
    receiver.filled(3);
    let too_large = PacketError::TooLarge { len: 3 + 8192, capacity: 100 };
    assert_eq!(receiver.packet().unwrap_err(), too_large);
    assert_eq!(receiver.packet().unwrap_err(), too_large, "it stays");
    receiver.clear();
    assert_eq!(receiver.packet(), Ok(None));
}

#[test]
fn disconnecting_is_said() {
    let mut client = ready();
    let mut out = [0; 16];
    let len = client.disconnect(&mut out).unwrap();
    assert_eq!(decode(&out[..len]), Packet::Disconnect);
    assert!(!client.is_ready());
}
