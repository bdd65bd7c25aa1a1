//! The provisioning service: who may register, what comes of it, and what happens the second time.

#[path = "support/pki.rs"]
mod pki;
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use hub::{
    Allocation, Attestation, EnrolError, Enrolment, EventKind, GroupAttestation, GroupEnrolment, Provisioning,
    RegistrationStatus, Reprovision, Thumbprint, sas,
};
use mqttrs2::QoS;
use serde_json::{Map, Value, json};
use support::*;

const SCOPE: &str = "0ne00HIL054";
const REGISTER: &str = "$dps/registrations/PUT/iotdps-register/?$rid=1";

fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

/// How a client proves who it is.
enum Proof<'a> {
    Key(&'a [u8]),
    Chain(&'a [&'a [u8]]),
}

fn client(net: &mut Net, id: &str, proof: &Proof<'_>) -> Mqtt {
    let (chain, password) = match proof {
        Proof::Key(key) => (&[][..], Some(dps_token(SCOPE, id, key, EPOCH + 3600))),
        Proof::Chain(chain) => (*chain, None),
    };
    let mut mqtt = Mqtt::new(net.edge(Some(DPS), chain));
    let user = format!("{SCOPE}/registrations/{id}/api-version=2021-06-01");
    let answer = mqtt.connect(net, id, &user, password.as_deref());
    assert_eq!(answer, FromServer::Connack { code: 0, session_present: false });
    mqtt.subscribe(net, &["$dps/registrations/res/#"]);
    mqtt
}

/// Registers to the end; yields the status of the topic and the body.
fn register(net: &mut Net, id: &str, proof: &Proof<'_>) -> (String, Value) {
    let mut mqtt = client(net, id, proof);
    let body = json!({"registrationId": id, "payload": {"modelId": MODEL}}).to_string();
    mqtt.publish(net, REGISTER, body.as_bytes(), QoS::AtLeastOnce);
    loop {
        let (topic, body) = mqtt.message();
        let status = topic["$dps/registrations/res/".len()..][..3].to_owned();
        let body = json(&body);
        if status != "202" {
            return (status, body);
        }
        assert!(topic.ends_with("&retry-after=3"), "{topic}");
        assert_eq!(body["status"], "assigning");
        net.pass(Duration::from_secs(3));
        let operation = body["operationId"].as_str().expect("an operation");
        let poll = format!("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId={operation}");
        mqtt.publish(net, &poll, b" ", QoS::AtMostOnce);
    }
}

fn state(net: &mut Net, id: &str, proof: &Proof<'_>) -> Value {
    let (status, body) = register(net, id, proof);
    assert_eq!(status, "200", "{body}");
    assert_eq!(body["status"], body["registrationState"]["status"]);
    body["registrationState"].clone()
}

#[test]
fn a_device_gets_its_id_its_initial_twin_and_a_payload() {
    let mut net = Net::new(15);
    let enrolment = Enrolment {
        device_id: Some("E54-0001".into()),
        tags: object(json!({"ADUGroup": "line"})),
        provisioning: Provisioning {
            desired: object(json!({"interval": 5})),
            payload: Some(json!({"site": [1, 2]})),
            ..Provisioning::default()
        },
        ..Enrolment::symmetric("reg-1", KEY)
    };
    net.cloud.enroll(enrolment).expect("new");
    let state = state(&mut net, "reg-1", &Proof::Key(&KEY));
    let wanted = json!({
        "registrationId": "reg-1", "createdDateTimeUtc": "2026-01-01T00:00:06.0000000Z", "symmetricKey": {},
        "assignedHub": HUB, "deviceId": "E54-0001", "status": "assigned", "substatus": "initialAssignment",
        "lastUpdatedDateTimeUtc": "2026-01-01T00:00:06.0000000Z", "etag": state["etag"], "payload": {"site": [1, 2]},
    });
    assert_eq!(state, wanted);
    let twin = net.cloud.twin("E54-0001").expect("made");
    assert_eq!((twin.tags(), twin.desired()), (&object(json!({"ADUGroup": "line"})), &object(json!({"interval": 5}))));
    assert_eq!(twin.desired_version(), 1);
    let mut mqtt = Mqtt::new(net.tls(HUB));
    let user = format!("{HUB}/E54-0001/?api-version=2021-04-12");
    let answer = mqtt.connect(&mut net, "E54-0001", &user, Some(&hub_token("E54-0001", &KEY, EPOCH + 60)));
    assert_eq!(answer, FromServer::Connack { code: 0, session_present: false });
}

#[test]
fn what_happens_again_is_the_enrolments_choice() {
    for (policy, substatus, desired, reported) in [
        (Reprovision::KeepData, "reprovisionedToInitialAssignment", json!({"a": 2}), json!({"r": 1})),
        (Reprovision::ResetData, "deviceDataReset", json!({"a": 1}), json!({})),
        (Reprovision::Never, "initialAssignment", json!({"a": 2}), json!({"r": 1})),
    ] {
        let mut net = Net::new(15);
        let provisioning =
            Provisioning { desired: object(json!({"a": 1})), reprovision: policy, ..Provisioning::default() };
        net.cloud.enroll(Enrolment { provisioning, ..Enrolment::symmetric("e54", KEY) }).expect("new");
        assert_eq!(state(&mut net, "e54", &Proof::Key(&KEY))["substatus"], "initialAssignment");
        net.cloud.set_desired(net.now, "e54", &json!({"a": 2})).expect("small");
        let mut mqtt = device(&mut net, "e54");
        assert_eq!(report(&mut net, &mut mqtt, &json!({"r": 1})), "204");
        net.cloud.send_message(net.now, "e54", &[], b"x".to_vec()).expect("room");
        let mut net = net.restarted(&mut BTreeMap::new());
        let again = state(&mut net, "e54", &Proof::Key(&KEY));
        assert_eq!(again["substatus"], substatus, "{policy:?}");
        assert_ne!(again["createdDateTimeUtc"], again["lastUpdatedDateTimeUtc"]);
        let device = net.cloud.device("e54").expect("exists");
        assert_eq!((device.twin().desired(), device.twin().reported()), (&object(desired), &object(reported)));
        assert_eq!(device.queued_messages(), usize::from(policy != Reprovision::ResetData));
        // Without its registration the next time is the first, also at a hub that has the device.
        net.cloud.provisioning_mut().remove_registration("e54").expect("exists");
        assert_eq!(state(&mut net, "e54", &Proof::Key(&KEY))["substatus"], "initialAssignment");
        // A device that was removed at the hub comes back, unless it is never provisioned again.
        net.cloud.delete_device(net.now, "e54", None).expect("exists");
        assert_eq!(state(&mut net, "e54", &Proof::Key(&KEY))["status"], "assigned");
        assert_eq!(net.cloud.device("e54").is_some(), policy != Reprovision::Never);
    }
}

#[test]
fn a_registration_ends_without_a_device_for_a_reason() {
    let mut net = Net::new(15);
    let fail = Allocation::Fail { error_code: 400_207, error_message: "Custom allocation failed".into() };
    let enrol = |id: &str, allocation| Enrolment {
        provisioning: Provisioning { allocation, ..Provisioning::default() },
        ..Enrolment::symmetric(id, KEY)
    };
    net.cloud.enroll(enrol("none", Allocation::None)).expect("new");
    net.cloud.enroll(enrol("fail", fail)).expect("new");
    net.cloud.enroll(Enrolment { enabled: false, ..Enrolment::symmetric("off", KEY) }).expect("new");
    net.cloud
        .enroll(Enrolment { device_id: Some("no/t/good".into()), ..Enrolment::symmetric("id", KEY) })
        .expect("new");
    for (id, status, code) in [
        ("none", "unassigned", Value::Null),
        ("fail", "failed", json!(400_207)),
        ("off", "disabled", Value::Null),
        ("id", "failed", json!(400_004)),
    ] {
        let state = state(&mut net, id, &Proof::Key(&KEY));
        assert_eq!((&state["status"], &state["errorCode"]), (&json!(status), &code), "{id}: {state}");
        assert_eq!(state["errorMessage"].is_string(), !code.is_null());
        assert!(state.get("deviceId").is_none() && state.get("assignedHub").is_none(), "{state}");
    }
    assert_eq!(net.cloud.devices().count(), 0);
    let statuses: Vec<_> = net.cloud.provisioning().registrations().map(|registration| registration.status).collect();
    use RegistrationStatus::{Disabled, Failed, Unassigned};
    assert_eq!(statuses, [Failed, Failed, Unassigned, Disabled]);
    let concluded = |kind: &EventKind| matches!(kind, EventKind::DpsConcluded { .. });
    assert_eq!(net.kinds().iter().filter(|kind| concluded(kind)).count(), 4);
}

#[test]
fn a_group_by_key_takes_both_keys_and_can_be_disabled() {
    let mut net = Net::new(15);
    let attestation = GroupAttestation::SymmetricKey { primary: vec![3; 64], secondary: Some(vec![4; 32]) };
    let group = GroupEnrolment { tags: object(json!({"line": 1})), ..GroupEnrolment::new("line", attestation) };
    net.cloud.enroll_group(GroupEnrolment::symmetric("another", vec![9; 32])).expect("new");
    net.cloud.enroll_group(group.clone()).expect("new");
    for (id, key) in [("unit-1", vec![3; 64]), ("unit-2", vec![4; 32])] {
        let state = state(&mut net, id, &Proof::Key(&sas::derived_key(&key, id)));
        assert_eq!((&state["deviceId"], &state["symmetricKey"]), (&json!(id), &json!({"enrollmentGroupId": "line"})));
        assert_eq!(net.cloud.twin(id).expect("made").tags(), &object(json!({"line": 1})));
    }
    let (status, body) = register(&mut net, "unit-3", &Proof::Key(&sas::derived_key(&[3; 64], "unit-4")));
    assert_eq!(
        (status.as_str(), &body["errorCode"], &body["message"]),
        ("401", &json!(401_002), &json!("Unauthorized"))
    );
    net.cloud.provisioning_mut().put_group(GroupEnrolment { enabled: false, ..group }, None).expect("fits");
    let key = sas::derived_key(&[3; 64], "unit-1");
    assert_eq!(state(&mut net, "unit-1", &Proof::Key(&key))["status"], "disabled");
    let mut net = net.restarted(&mut BTreeMap::new());
    assert_eq!(
        net.cloud.provisioning().groups().map(|(group, _)| group.name.as_str()).collect::<Vec<_>>(),
        ["another", "line"]
    );
    assert_eq!(state(&mut net, "unit-1", &Proof::Key(&key))["status"], "disabled");
}

#[test]
fn certificates_register_by_themselves_and_in_groups() {
    let mut net = Net::new(15);
    let (root, stranger) = (pki::root("Root"), pki::root("Stranger"));
    let line = pki::intermediate("Line", &root);
    let line_der = pki::der(&line);
    let single = pki::device("single", &stranger);
    let thumbprint = Attestation::thumbprint(Thumbprint::sha1(&single));
    net.cloud.enroll(Enrolment::new("single", thumbprint.clone())).expect("new");
    net.cloud.enroll(Enrolment::new("misnamed", thumbprint)).expect("new");
    let attestation = GroupAttestation::X509 { primary: line_der.clone(), secondary: None };
    net.cloud.enroll_group(GroupEnrolment::new("line", attestation)).expect("a CA");
    let unit = pki::device("unit", &line);
    for (id, chain, group) in
        [("single", &[&single[..]][..], json!({})), ("unit", &[&unit, &line_der], json!({"enrollmentGroupId": "line"}))]
    {
        let state = state(&mut net, id, &Proof::Chain(chain));
        assert_eq!((&state["status"], &state["x509"]), (&json!("assigned"), &group), "{state}");
        // The hub takes the same certificate, by its thumbprint.
        let mut mqtt = Mqtt::new(net.edge(Some(HUB), chain));
        let answer = mqtt.connect(&mut net, id, &format!("{HUB}/{id}/?api-version=2021-04-12"), None);
        assert_eq!(answer, FromServer::Connack { code: 0, session_present: false }, "{id}");
    }
    let late = pki::leaf("late", &line, (2027, 2035)).0;
    for (id, chain) in [
        ("misnamed", &[&single[..]][..]),
        ("single", &[&unit]),
        ("unit2", &[&unit, &line_der]),
        ("direct", &[&pki::device("direct", &root)]),
        ("foreign", &[&pki::device("foreign", &stranger), &line_der]),
        ("late", &[&late, &line_der]),
        ("nothing", &[]),
    ] {
        let (status, body) = register(&mut net, id, &Proof::Chain(chain));
        let message = if chain.is_empty() { "Unauthorized" } else { "Invalid certificate." };
        assert_eq!(
            (status.as_str(), &body["errorCode"], &body["message"]),
            ("401", &json!(401_002), &json!(message)),
            "{id}"
        );
    }
    // A renewed certificate has to register anew before the hub takes it.
    let renewed = pki::device("unit", &line);
    let chain: &[&[u8]] = &[&renewed, &line_der];
    let hub = |net: &mut Net| {
        let mut mqtt = Mqtt::new(net.edge(Some(HUB), chain));
        mqtt.connect(net, "unit", &format!("{HUB}/unit/?api-version=2021-04-12"), None)
    };
    assert!(matches!(hub(&mut net), FromServer::Connack { code: 5, .. }));
    assert_eq!(state(&mut net, "unit", &Proof::Chain(chain))["substatus"], "reprovisionedToInitialAssignment");
    assert!(matches!(hub(&mut net), FromServer::Connack { code: 0, .. }));
    // Any CA that the hub has verified.
    net.cloud.enroll_group(GroupEnrolment::new("any", GroupAttestation::X509Ca)).expect("new");
    let direct = pki::device("direct", &root);
    assert_eq!(register(&mut net, "direct", &Proof::Chain(&[&direct])).0, "401");
    net.cloud.add_certificate(net.now, "root", &pki::der(&root), true).expect("a CA");
    assert_eq!(state(&mut net, "direct", &Proof::Chain(&[&direct]))["x509"], json!({"enrollmentGroupId": "any"}));
}

#[test]
fn enrolments_are_changed_listed_and_removed() {
    let mut net = Net::new(15);
    let dps = net.cloud.provisioning_mut();
    for id in ["b", "a"] {
        dps.enroll(Enrolment::symmetric(id, KEY)).expect("new");
    }
    assert_eq!(dps.enroll(Enrolment::symmetric("a", KEY)), Err(EnrolError::Exists("a".into())));
    let etag = dps.enrolment("a").expect("exists").1;
    dps.put_enrolment(Enrolment { enabled: false, ..Enrolment::symmetric("a", KEY) }, Some(&etag)).expect("fits");
    let stale = dps.put_enrolment(Enrolment::symmetric("a", KEY), Some(&etag)).expect_err("stale");
    assert_eq!(
        (stale.status(), dps.remove_enrolment("a", Some(&etag)).map_err(|error| error.status())),
        (412, Err(412))
    );
    assert_eq!(
        dps.enrolments().map(|(one, _)| (one.registration_id.as_str(), one.enabled)).collect::<Vec<_>>(),
        [("a", false), ("b", true)]
    );
    dps.remove_enrolment("a", None).expect("exists");
    assert_eq!(dps.remove_enrolment("a", None), Err(EnrolError::NoEnrolment("a".into())));
    let big = Enrolment {
        tags: object(json!({"t": ["x".repeat(4096), "x".repeat(4096)]})),
        ..Enrolment::symmetric("c", KEY)
    };
    assert!(matches!(dps.enroll(big), Err(EnrolError::Twin { .. })));
    let device = pki::device("x", &pki::root("Root"));
    for (group, code) in [
        (GroupEnrolment::symmetric("g", vec![1; 15]), 400_004),
        (GroupEnrolment::symmetric("g g", vec![1; 16]), 400_004),
        (GroupEnrolment::new("g", GroupAttestation::X509 { primary: device, secondary: None }), 400_004),
    ] {
        assert_eq!(dps.enroll_group(group).expect_err("refused").code(), code);
    }
    dps.enroll_group(GroupEnrolment::symmetric("g", vec![1; 16])).expect("new");
    assert_eq!(dps.enroll_group(GroupEnrolment::symmetric("g", vec![1; 16])).map_err(|error| error.status()), Err(409));
    dps.remove_group("g", None).expect("exists");
    assert_eq!(dps.remove_group("g", None), Err(EnrolError::NoGroup("g".into())));
    let keys: Vec<String> =
        net.cloud.take_changes().into_iter().filter(|change| change.value.is_some()).map(|change| change.key).collect();
    assert_eq!(keys, ["enrolment/b"]);
}

#[test]
fn an_enrolment_reads_back_from_its_json() {
    let full = Enrolment {
        provisioning: Provisioning {
            payload: Some(json!(1)),
            reprovision: Reprovision::Never,
            allocation: Allocation::Fail { error_code: 400_207, error_message: "m".into() },
            ..Provisioning::default()
        },
        ..Enrolment::symmetric("a", KEY)
    };
    assert_eq!(serde_json::from_value::<Enrolment>(json!(full)).expect("reads"), full);
    let least = r#"{"registrationId":"a","attestation":{"type":"certificateAuthority"}}"#;
    assert_eq!(serde_json::from_str::<Enrolment>(least).expect("reads"), Enrolment::new("a", Attestation::X509Ca));
    let group = GroupEnrolment::new("g", GroupAttestation::X509 { primary: vec![1], secondary: Some(vec![2]) });
    assert_eq!(serde_json::from_value::<GroupEnrolment>(json!(group)).expect("reads"), group);
    let least = r#"{"name":"g","attestation":{"type":"symmetricKey","primary":"AQID"}}"#;
    assert_eq!(
        serde_json::from_str::<GroupEnrolment>(least).expect("reads"),
        GroupEnrolment::symmetric("g", [1, 2, 3])
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// proptest prints the failing input; with it the run repeats.
    #[test]
    fn garbage_is_refused_or_costs_its_own_connection(
        topic in "([$]dps/registrations/(PUT/iotdps-register|GET/iotdps-get-operationstatus)/[?]([$]rid=1)?)?[ -\"$-*,-~]{0,20}",
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60),
        user in "(0ne00HIL054/registrations/)?[ -~]{0,30}",
    ) {
        let mut net = Net::new(15);
        net.cloud.enroll(Enrolment::symmetric("e54", KEY)).expect("new");
        let mut stranger = Mqtt::new(net.edge(None, &[b"garbage"]));
        stranger.connect(&mut net, "x", &user, Some("SharedAccessSignature sr=%&sig=&se="));
        let mut mqtt = client(&mut net, "e54", &Proof::Key(&KEY));
        if !topic.is_empty() {
            mqtt.publish(&mut net, &topic, &body, QoS::AtMostOnce);
        }
        if !mqtt.wire.closed {
            for (topic, _) in mqtt.messages() {
                proptest::prop_assert!(topic.starts_with("$dps/registrations/res/4"), "{}", topic);
            }
        }
        let state = state(&mut net, "e54", &Proof::Key(&KEY));
        proptest::prop_assert_eq!(&state["status"], "assigned");
    }
}

#[test]
fn the_service_is_busy_as_often_as_asked() {
    let mut net = Net::new(15);
    net.cloud.enroll(Enrolment::symmetric("e54", KEY)).expect("new");
    net.cloud.provisioning_mut().refuse_requests(429_001, 2);
    let mut mqtt = client(&mut net, "e54", &Proof::Key(&KEY));
    for topic in ["429/?$rid=1&retry-after=3", "429/?$rid=1&retry-after=3", "202/?$rid=1&retry-after=3"] {
        mqtt.publish(&mut net, REGISTER, br#"{"registrationId":"e54"}"#, QoS::AtLeastOnce);
        assert_eq!(mqtt.message().0, format!("$dps/registrations/res/{topic}"));
    }
    assert!(net.kinds().iter().any(|kind| matches!(kind, EventKind::DpsRefused { error_code: 429_001, .. })));
}
