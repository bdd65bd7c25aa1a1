//! Behaviour of the registration.

mod common;

use common::*;
use iot_hub::dps::{Assignment, Client, Config, Event};
use iot_hub::mqtt::Receiver;
use iot_hub::{Error, sas};
use mqttrs2::{Packet, QosPid};

const CONFIG: Config<'static> = Config {
    id_scope: "0ne00000000",
    registration_id: "same54-1",
    model_id: Some("dtmi:azure:iot:deviceUpdateModel;2"),
    product: "same54/1.0",
};

/// Polls at `now_ms` and returns topic and body of the PUBLISH.
#[track_caller]
fn request(client: &mut Client<'_>, now_ms: u64) -> (String, String) {
    let mut out = [0; 1024];
    let len = client.poll(now_ms, &mut out).unwrap();
    let Packet::Publish(publish) = decode(&out[..len]) else { panic!("no PUBLISH") };
    assert!(matches!(publish.qospid, QosPid::AtLeastOnce(_)));
    (publish.topic_name.into(), String::from_utf8(publish.payload.to_vec()).unwrap())
}

fn event<T>(
    client: &mut Client<'_>,
    now_ms: u64,
    packet: &Packet<'_>,
    check: impl FnOnce(Result<Event<'_>, Error>) -> T,
) -> T {
    let mut buffer = [0; 4096];
    let mut receiver = Receiver::new(&mut buffer);
    let bytes = encode(packet);
    receiver.space()[..bytes.len()].copy_from_slice(&bytes);
    receiver.filled(bytes.len());
    check(client.handle(receiver.packet().unwrap().unwrap(), now_ms))
}

fn goes_on(client: &mut Client<'_>, now_ms: u64, packet: &Packet<'_>) {
    event(client, now_ms, packet, |event| assert_eq!(event, Ok(Event::Nothing)));
}

fn subscribed() -> Client<'static> {
    let mut client = Client::new(CONFIG);
    let mut out = [0; 1024];
    client.connect("x", 0, &mut out).unwrap();
    goes_on(&mut client, 0, &connack(0));
    let len = client.poll(0, &mut out).unwrap();
    let Packet::Subscribe(subscribe) = decode(&out[..len]) else { panic!("no SUBSCRIBE") };
    assert_eq!(&subscribe.topics[0].topic_path[..], "$dps/registrations/res/#");
    goes_on(&mut client, 0, &suback(subscribe.pid, 1, 1));
    client
}

const ASSIGNED: &[u8] = br#"{"operationId":"5.op","status":"assigned","registrationState":{"registrationId":"same54-1","assignedHub":"hil-hub.azure-devices.net","deviceId":"dev-7","status":"assigned","substatus":"initialAssignment"}}"#;

#[test]
fn connect_names_scope_and_registration() {
    let mut out = [0; 1024];
    let len = Client::new(CONFIG).connect("the password", 0, &mut out).unwrap();
    let Packet::Connect(connect) = decode(&out[..len]) else { panic!("no CONNECT") };
    assert_eq!(connect.client_id, "same54-1");
    assert_eq!(
        connect.username,
        Some("0ne00000000/registrations/same54-1/api-version=2019-03-31&ClientVersion=same54%2F1.0")
    );
}

#[test]
fn tokens_are_those_of_the_official_formula() {
    let key: Vec<u8> = (0..32).collect();
    assert_eq!(
        CONFIG.token(&key, 1_800_000_000, &mut [0; sas::TOKEN_LEN]).unwrap(),
        "SharedAccessSignature sr=0ne00000000%2Fregistrations%2Fsame54-1&sig=TfmoK5R2pPBzFrNsnm%2BM68yr%2Bg8JODXOjSfImBhYbx4%3D&se=1800000000&skn=registration"
    );
}

#[test]
fn a_registration_is_polled_until_a_hub_is_assigned() {
    let mut client = subscribed();
    let (topic, body) = request(&mut client, 100);
    assert_eq!(topic, "$dps/registrations/PUT/iotdps-register/?$rid=1");
    assert_eq!(body, r#"{"registrationId":"same54-1","payload":{"modelId":"dtmi:azure:iot:deviceUpdateModel;2"}}"#);
    assert_eq!(client.deadline(), 30_100);

    let accepted =
        message("$dps/registrations/res/202/?$rid=1&retry-after=5", br#"{"operationId":"5.op","status":"assigning"}"#);
    goes_on(&mut client, 200, &accepted);
    assert_eq!(client.deadline(), 5_200);
    assert_eq!(client.poll(5_199, &mut [0; 1024]), Ok(0));
    let (topic, body) = request(&mut client, 5_200);
    assert_eq!(topic, "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId=5.op");
    assert_eq!(body, " ");

    // Without retry-after and without operation id.
    goes_on(&mut client, 6_000, &message("$dps/registrations/res/202/?$rid=2", b"{}"));
    assert_eq!(client.deadline(), 9_000);
    let (topic, _) = request(&mut client, 9_000);
    assert_eq!(topic, "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=3&operationId=5.op");

    event(&mut client, 9_100, &message("$dps/registrations/res/200/?$rid=3", ASSIGNED), |event| {
        let assignment = Assignment { hub_host: "hil-hub.azure-devices.net", device_id: "dev-7" };
        assert_eq!(event, Ok(Event::Assigned(assignment)));
    });
}

#[test]
fn a_busy_service_is_asked_again() {
    for status in [429, 500, 503] {
        let mut client = subscribed();
        request(&mut client, 0);
        let topic = format!("$dps/registrations/res/{status}/?$rid=1&retry-after=7");
        goes_on(&mut client, 0, &message(&topic, br#"{"errorCode":429001}"#));
        let (topic, _) = request(&mut client, 7_000);
        assert_eq!(topic, "$dps/registrations/PUT/iotdps-register/?$rid=2");
    }
}

#[test]
fn answers_to_earlier_requests_are_ignored() {
    let mut client = subscribed();
    request(&mut client, 0);
    goes_on(&mut client, 0, &message("$dps/registrations/res/200/?$rid=9", ASSIGNED));
    goes_on(&mut client, 0, &message("$dps/registrations/res/202/?$rid=1", br#"{"operationId":"5.op"}"#));
    goes_on(&mut client, 0, &message("$dps/registrations/res/200/?$rid=1", ASSIGNED));
}

#[test]
fn refusals_carry_the_services_code() {
    for (topic, body, expected) in [
        ("$dps/registrations/res/401/?$rid=1", &br#"{"errorCode":401002,"message":"x"}"#[..], (401, 401_002)),
        ("$dps/registrations/res/404/?$rid=1", b"not json", (404, 0)),
        (
            "$dps/registrations/res/200/?$rid=1",
            br#"{"status":"failed","registrationState":{"errorCode":400207}}"#,
            (200, 400_207),
        ),
        ("$dps/registrations/res/200/?$rid=1", br#"{"status":"disabled"}"#, (200, 0)),
    ] {
        let mut client = subscribed();
        request(&mut client, 0);
        event(&mut client, 0, &message(topic, body), |event| {
            assert_eq!(event, Ok(Event::Failed { status: expected.0, error_code: expected.1 }));
        });
        assert_eq!(client.poll(10, &mut [0; 1024]), Ok(0));
    }
}

#[test]
fn an_assignment_without_a_hub_is_an_error() {
    let mut client = subscribed();
    request(&mut client, 0);
    let answer = message("$dps/registrations/res/200/?$rid=1", br#"{"status":"assigned","registrationState":{}}"#);
    event(&mut client, 0, &answer, |event| assert_eq!(event, Err(Error::Unexpected)));
}

#[test]
fn a_service_that_does_not_answer_or_end_is_given_up() {
    let mut client = subscribed();
    request(&mut client, 0);
    assert_eq!(client.poll(30_000, &mut [0; 1024]), Err(Error::TimedOut));

    let mut client = subscribed();
    let mut now = 0;
    for rid in 1..=60 {
        request(&mut client, now);
        let topic = format!("$dps/registrations/res/202/?$rid={rid}&retry-after=1");
        goes_on(&mut client, now, &message(&topic, br#"{"operationId":"5.op"}"#));
        now += 1_000;
    }
    assert_eq!(client.poll(now, &mut [0; 1024]), Err(Error::TimedOut));
}

#[test]
fn a_new_connection_starts_the_registration_anew() {
    let mut client = subscribed();
    request(&mut client, 0);
    goes_on(&mut client, 0, &message("$dps/registrations/res/202/?$rid=1", br#"{"operationId":"5.op"}"#));
    let mut out = [0; 1024];
    client.connect("x", 50, &mut out).unwrap();
    goes_on(&mut client, 50, &connack(0));
    let len = client.poll(50, &mut out).unwrap();
    let Packet::Subscribe(subscribe) = decode(&out[..len]) else { panic!("no SUBSCRIBE") };
    goes_on(&mut client, 50, &suback(subscribe.pid, 1, 1));
    assert_eq!(request(&mut client, 50).0, "$dps/registrations/PUT/iotdps-register/?$rid=1");
}
