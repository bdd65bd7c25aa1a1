//! A device's whole life: provisioning, connection, twin, an update, and the judgement.

mod support;

use std::time::Duration;

use hub::update::{APPLY, jws};
use hub::{CloseReason, DeployOptions, Enrolment, EventKind, GroupEnrolment, ImportManifest, State, UpdateId, sas};
use mqttrs2::{Packet, QoS};
use ring::digest::{SHA256, digest};
use serde_json::json;
use support::*;

fn version(version: &str) -> UpdateId {
    UpdateId { provider: "HIL".into(), name: "E54".into(), version: version.into() }
}

/// Registers and yields `(assignedHub, deviceId)`.
fn provision(net: &mut Net, id: &str, key: &[u8]) -> (String, String) {
    let scope = net.cloud.config().id_scope.clone();
    let wire = net.tls(DPS);
    let mut mqtt = Mqtt::new(wire);
    let user = format!("{scope}/registrations/{id}/api-version=2019-03-31");
    let token = dps_token(&scope, id, key, EPOCH + 3600);
    assert_eq!(mqtt.connect(net, id, &user, Some(&token)), FromServer::Connack { code: 0, session_present: false });
    mqtt.subscribe(net, &["$dps/registrations/res/#"]);
    let body = json!({"registrationId": id, "payload": {"modelId": MODEL}}).to_string();
    mqtt.publish(net, "$dps/registrations/PUT/iotdps-register/?$rid=17", body.as_bytes(), QoS::AtLeastOnce);
    let (topic, body) = mqtt.message();
    assert_eq!(topic, "$dps/registrations/res/202/?$rid=17&retry-after=3");
    let operation = json(&body)["operationId"].as_str().expect("an operation").to_owned();
    for _ in 0..5 {
        net.pass(Duration::from_secs(3));
        let poll = format!("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=18&operationId={operation}");
        mqtt.publish(net, &poll, b" ", QoS::AtMostOnce);
        let (topic, body) = mqtt.message();
        if topic == "$dps/registrations/res/200/?$rid=18" {
            let body = json(&body);
            assert_eq!(body["status"], "assigned");
            let state = &body["registrationState"];
            assert_eq!((&state["registrationId"], &state["status"]), (&json!(id), &json!("assigned")));
            mqtt.packet(net, &Packet::Disconnect);
            assert!(mqtt.wire.closed);
            let text = |name: &str| state[name].as_str().expect(name).to_owned();
            return (text("assignedHub"), text("deviceId"));
        }
        assert_eq!(topic, "$dps/registrations/res/202/?$rid=18&retry-after=3");
        assert_eq!(json(&body)["status"], "assigning");
    }
    panic!("never assigned")
}

fn startup_report() -> serde_json::Value {
    json!({"deviceUpdate": {"__t": "c", "agent": {
        "deviceProperties": {"manufacturer": "HIL", "model": "E54", "contractModelId": MODEL, "aduVer": "hil;agent/0.1.0"},
        "compatPropertyNames": "manufacturer,model",
    }}})
}

/// The whole life; yields the network afterwards.
fn life(seed: u64) -> Net {
    let mut net = Net::new(seed);
    net.cloud.enroll(Enrolment::symmetric("e54", KEY)).expect("a new id");
    assert_eq!(provision(&mut net, "e54", &KEY), (HUB.to_owned(), "e54".to_owned()));
    let mut mqtt = device(&mut net, "e54");

    mqtt.publish(&mut net, "$iothub/twin/GET/?$rid=g1", b"", QoS::AtLeastOnce);
    let (topic, body) = mqtt.message();
    assert_eq!(topic, "$iothub/twin/res/200/?$rid=g1");
    assert_eq!(json(&body), json!({"desired": {"$version": 1}, "reported": {"$version": 1}}));
    assert_eq!(report(&mut net, &mut mqtt, &startup_report()), "204");

    let image: Vec<u8> = (0..300_000_u32).map(|i| ((i * 7) >> 3) as u8).collect();
    let created = "2026-01-01T00:00:00.0000000Z";
    let manifest = ImportManifest::firmware(version("2.0.0"), "HIL", "E54", "fw.bin", &image, created);
    let update = net.cloud.import_update(net.now, &manifest, &[("fw.bin", &image)]).expect("imports");
    let id = net.cloud.deploy(net.now, "e54", &update, DeployOptions::default()).expect("deploys");
    assert_eq!(net.cloud.judge(&id).expect("known").state, State::InProgress);

    mqtt.read(&mut net);
    let (topic, body) = mqtt.message();
    assert_eq!(topic, "$iothub/twin/PATCH/properties/desired/?$version=2");
    let patch = json(&body);
    assert_eq!(patch["$version"], 2);
    assert_eq!(patch["deviceUpdate"]["__t"], "c");
    let service = &patch["deviceUpdate"]["service"];
    assert_eq!(service["workflow"]["action"], APPLY);
    let text = service["updateManifest"].as_str().expect("a text");
    let signature = service["updateManifestSignature"].as_str().expect("a text");
    let root = net.cloud.config().keys.adu_root().expect("the root");
    jws::verify(signature, Some(text), &[root]).expect("a genuine signature");
    assert_eq!(
        report(
            &mut net,
            &mut mqtt,
            &json!({"deviceUpdate": {"__t": "c", "service": {"ac": 200, "av": 2, "value": {}}}})
        ),
        "204"
    );

    let manifest = json(text.as_bytes());
    let file = manifest["instructions"]["steps"][0]["files"][0].as_str().expect("a file");
    let url = service["fileUrls"][file].as_str().expect("a URL").to_owned();
    let size = manifest["files"][file]["sizeInBytes"].as_u64().expect("a size");
    let mut http = net.http();
    let mut download = Vec::new();
    while (download.len() as u64) < size {
        let first = download.len() as u64;
        let (status, part) = get(&mut net, &mut http, &url, Some((first, first + 4095)));
        assert_eq!(status, 206);
        download.extend(part);
    }
    assert_eq!(digest(&SHA256, &download).as_ref(), digest(&SHA256, &image).as_ref());

    let workflow = service["workflow"].clone();
    let agent = json!({"state": 6, "workflow": workflow});
    assert_eq!(report(&mut net, &mut mqtt, &json!({"deviceUpdate": {"__t": "c", "agent": agent}})), "204");
    let judgement = net.cloud.judge(&id).expect("known");
    assert_eq!((judgement.state, judgement.why.as_str()), (State::InProgress, "the agent works on it (state 6)"));

    // The device resets: its connection vanishes without a word, and it comes back with the new version.
    net.cloud.closed(net.now, mqtt.wire.conn);
    net.pass(Duration::from_secs(8));
    let mut mqtt = device(&mut net, "e54");
    mqtt.publish(&mut net, "$iothub/twin/GET/?$rid=g2", b" ", QoS::AtMostOnce);
    let (_, body) = mqtt.message();
    assert_eq!(json(&body)["desired"]["deviceUpdate"]["service"]["workflow"], workflow);
    assert_eq!(json(&body)["reported"]["deviceUpdate"]["agent"]["state"], 6);
    let result = json!({"resultCode": 700, "extendedResultCode": 0, "resultDetails": ""});
    let mut last = result.clone();
    last["stepResults"] = json!({"step_0": result});
    let agent = json!({
        "state": 0, "workflow": workflow, "installedUpdateId": json!({"provider": "HIL", "name": "E54", "version": "2.0.0"}).to_string(),
        "lastInstallResult": last,
    });
    assert_eq!(report(&mut net, &mut mqtt, &json!({"deviceUpdate": {"__t": "c", "agent": agent}})), "204");
    let judgement = net.cloud.judge(&id).expect("known");
    assert_eq!(judgement.state, State::Succeeded, "{judgement:?}");
    assert_eq!(judgement.why, "state 0, result code 700, HIL/E54 2.0.0 installed, 1 of 1 steps");
    mqtt.publish(&mut net, "devices/e54/messages/events/$.ct=application%2Fjson", b"{\"beat\":1}", QoS::AtLeastOnce);
    mqtt.packet(&mut net, &Packet::Disconnect);
    net.kinds();
    net
}

#[test]
fn a_device_is_provisioned_updated_and_judged() {
    let net = life(7);
    let seen = |wanted: &dyn Fn(&EventKind) -> bool| net.events.iter().filter(|event| wanted(&event.kind)).count();
    assert_eq!(
        seen(&|kind| matches!(kind, EventKind::TlsEstablished { version, suite, client_certificate: false, .. }
        if version == "TLSv1_2" && suite == "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")),
        3
    );
    assert_eq!(seen(&|kind| matches!(kind, EventKind::DpsAssigned { model_id: Some(model), .. } if model == MODEL)), 1);
    assert_eq!(seen(&|kind| matches!(kind, EventKind::Connected { model_id: Some(model), .. } if model == MODEL)), 2);
    assert_eq!(seen(&|kind| matches!(kind, EventKind::TwinRead { .. })), 2);
    assert_eq!(seen(&|kind| matches!(kind, EventKind::RangeServed { status: 206, .. })), 300_000_usize.div_ceil(4096));
    assert_eq!(seen(&|kind| matches!(kind, EventKind::Telemetry(told) if told.body() == b"{\"beat\":1}")), 1);
    assert_eq!(seen(&|kind| matches!(kind, EventKind::Disconnected { why: CloseReason::Graceful, .. })), 2);
    assert_eq!(seen(&|kind| matches!(kind, EventKind::Disconnected { why: CloseReason::Peer, .. })), 1);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_events() {
    let (first, again, other) = (life(7), life(7), life(8));
    assert!(first.sent == again.sent, "the bytes of two runs differ");
    assert_eq!(first.events, again.events);
    assert!(first.sent != other.sent, "the seed does not reach the wire");
}

#[test]
fn a_device_of_a_group_registers_with_its_derived_key() {
    let mut net = Net::new(1);
    net.cloud.enroll_group(GroupEnrolment::symmetric("line", vec![3; 64])).expect("a good key");
    let key = sas::derived_key(&[3; 64], "unit-17");
    assert_eq!(provision(&mut net, "unit-17", &key), (HUB.to_owned(), "unit-17".to_owned()));
    let mut mqtt = Mqtt::new(net.tls(HUB));
    let user = format!("{HUB}/unit-17/?api-version=2021-04-12");
    let accepted = mqtt.connect(&mut net, "unit-17", &user, Some(&hub_token("unit-17", &key, EPOCH + 60)));
    assert_eq!(accepted, FromServer::Connack { code: 0, session_present: false });
}
