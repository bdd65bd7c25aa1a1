//! Imports, deployments and judgements.

mod support;

use std::collections::BTreeMap;

use hub::update::{CANCEL, DeviceWork, Forgery, jws};
use hub::{
    Attestation, DeployError, DeployOptions, DeploymentId, FileFault, HubError, ImportManifest, State, UpdateId,
};
use serde_json::{Value, json};
use support::*;

const CREATED: &str = "2026-01-01T00:00:00.0000000Z";
const IMAGE: &[u8] = b"firmware";

fn id(name: &str, version: &str) -> UpdateId {
    UpdateId { provider: "HIL".into(), name: name.into(), version: version.into() }
}

fn manifest(version: &str) -> ImportManifest {
    ImportManifest::firmware(id("E54", version), "HIL", "E54", "fw.bin", IMAGE, CREATED)
}

/// A hub with a connected device that has reported itself, and an imported update.
fn net() -> (Net, Mqtt) {
    let mut net = Net::new(5);
    net.cloud.register_device("e54", Attestation::symmetric(KEY)).expect("a new device");
    net.cloud.import_update(net.now, &manifest("2.0.0"), &[("fw.bin", IMAGE)]).expect("imports");
    let mut mqtt = device(&mut net, "e54");
    let properties = json!({"manufacturer": "HIL", "model": "E54", "contractModelId": MODEL});
    let names = "manufacturer,model";
    agent(&mut net, &mut mqtt, json!({"deviceProperties": properties, "compatPropertyNames": names}));
    (net, mqtt)
}

fn agent(net: &mut Net, mqtt: &mut Mqtt, agent: Value) {
    assert_eq!(report(net, mqtt, &json!({"deviceUpdate": {"__t": "c", "agent": agent}})), "204");
}

fn deploy(net: &mut Net, options: DeployOptions) -> DeploymentId {
    net.cloud.deploy(net.now, "e54", &id("E54", "2.0.0"), options).expect("deploys")
}

/// What is kept about the device and a deployment.
fn work(net: &Net, id: &DeploymentId) -> DeviceWork {
    let mut devices = net.cloud.deployment_devices(id);
    devices.find(|(device, _)| *device == "e54").expect("it got the deployment").1.clone()
}

/// The `service` object of the patch that has arrived.
fn service(net: &mut Net, mqtt: &mut Mqtt) -> Value {
    mqtt.read(net);
    json(&mqtt.message().1)["deviceUpdate"]["service"].take()
}

#[test]
fn the_update_manifest_is_the_exact_text_that_the_service_would_write() {
    let (mut net, mut mqtt) = net();
    deploy(&mut net, DeployOptions::default());
    let service = service(&mut net, &mut mqtt);
    let text = service["updateManifest"].as_str().expect("a text");
    let file = net.cloud.update(&id("E54", "2.0.0")).expect("imported").files()[0].clone();
    assert!(file.id.len() == 17 && file.id.starts_with('f') && file.id[1..].bytes().all(|b| b.is_ascii_hexdigit()));
    let hash = "w79H6h9KSmBUcDE8rLOkT0pGH2jG+uqwfnN2EMtayDU=";
    assert_eq!(
        text,
        format!(
            "{{\"manifestVersion\":\"5\",\"updateId\":{{\"provider\":\"HIL\",\"name\":\"E54\",\"version\":\"2.0.0\"}},\
             \"compatibility\":[{{\"manufacturer\":\"HIL\",\"model\":\"E54\"}}],\"instructions\":{{\"steps\":[{{\
             \"handler\":\"microsoft/swupdate:1\",\"files\":[\"{0}\"],\"handlerProperties\":{{\"installedCriteria\":\"2.0.0\"}}\
             }}]}},\"files\":{{\"{0}\":{{\"fileName\":\"fw.bin\",\"sizeInBytes\":8,\"hashes\":{{\"sha256\":\"{hash}\"}}}}}},\
             \"createdDateTime\":\"{CREATED}\"}}",
            file.id
        )
    );
    let members: Vec<&String> = service.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["workflow", "updateManifest", "updateManifestSignature", "fileUrls"]);
    let workflow = service["workflow"].as_object().expect("an object");
    assert_eq!(workflow.keys().collect::<Vec<_>>(), ["action", "id"]);
    assert_eq!(workflow["id"].as_str().map(str::len), Some(36));
    let url = service["fileUrls"][&file.id].as_str().expect("a URL");
    assert!(url.starts_with("http://hil.b.nlu.dl.adu.microsoft.com/") && url.contains("/fw.bin?se="), "{url}");
}

#[test]
fn a_device_is_offered_only_what_fits_it() {
    let mut net = Net::new(5);
    net.cloud.register_device("e54", Attestation::symmetric(KEY)).expect("a new device");
    net.cloud.import_update(net.now, &manifest("2.0.0"), &[("fw.bin", IMAGE)]).expect("imports");
    let mut mqtt = device(&mut net, "e54");
    for (properties, part) in [
        (json!(null), "has not reported"),
        (json!({"manufacturer": "HIL", "model": "E54"}), "contractModelId"),
        (json!({"contractModelId": MODEL, "manufacturer": "hil", "model": "E54"}), "case matters"),
        (json!({"Manufacturer": "HIL", "manufacturer": null}), "it reports `Manufacturer`: case matters"),
    ] {
        let names = "manufacturer,model";
        agent(&mut net, &mut mqtt, json!({"deviceProperties": properties, "compatPropertyNames": names}));
        let error = net.cloud.deploy(net.now, "e54", &id("E54", "2.0.0"), DeployOptions::default()).expect_err(part);
        assert!(error.to_string().contains(part), "{error}");
    }
    let before = net.cloud.twin("e54").expect("exists").desired_version();
    assert_eq!(before, 1, "a refused deployment leaves the twin alone");
    deploy(&mut net, DeployOptions { ignore_compatibility: true, ..DeployOptions::default() });
    assert_eq!(
        net.cloud.deploy(net.now, "e55", &id("E54", "2.0.0"), DeployOptions::default()),
        Err(DeployError::Hub(HubError::NoDevice("e55".into())))
    );
}

#[test]
fn forgeries_are_what_they_say() {
    let (mut net, mut mqtt) = net();
    let root = net.cloud.config().keys.adu_root().expect("the root");
    for (forgery, error) in [
        (Forgery::Signature, jws::JwsError::Signature),
        (Forgery::SigningKey, jws::JwsError::SigningKey),
        (Forgery::Manifest, jws::JwsError::Hash),
    ] {
        deploy(&mut net, DeployOptions { forgery: Some(forgery), ..DeployOptions::default() });
        let service = service(&mut net, &mut mqtt);
        let text = |name: &str| service[name].as_str().expect("a text").to_owned();
        let (manifest, signature) = (text("updateManifest"), text("updateManifestSignature"));
        assert_eq!(jws::verify(&signature, Some(&manifest), std::slice::from_ref(&root)), Err(error));
        assert_eq!(json(manifest.as_bytes())["updateId"]["version"], "2.0.0", "still well-formed");
    }
}

#[test]
fn the_judgement_says_what_is_missing() {
    let (mut net, mut mqtt) = net();
    let deployment = deploy(&mut net, DeployOptions::default());
    let workflow = work(&net, &deployment).workflow;
    let installed = |version: &str| json!({"provider": "HIL", "name": "E54", "version": version}).to_string();
    let steps = |names: &[&'static str]| {
        names.iter().map(|name| (*name, json!({"resultCode": 700}))).collect::<BTreeMap<_, _>>()
    };
    let ack = |net: &mut Net, mqtt: &mut Mqtt, ack: Value| {
        assert_eq!(report(net, mqtt, &json!({"deviceUpdate": {"__t": "c", "service": ack}})), "204");
    };
    let check = |net: &Net, state: State, part: &str| {
        let judgement = net.cloud.judge(&deployment).expect("known");
        assert!(judgement.state == state && judgement.why.contains(part), "{judgement:?} is not {state:?}: {part}");
    };
    check(&net, State::InProgress, "has not acknowledged");
    ack(&mut net, &mut mqtt, json!({"ac": 200, "av": 1, "value": {}}));
    check(&net, State::InProgress, "has not acknowledged");
    ack(&mut net, &mut mqtt, json!({"ac": 406, "av": 2, "ad": "no room"}));
    check(&net, State::Failed, "no room");
    ack(&mut net, &mut mqtt, json!({"ac": 200, "av": 2}));
    check(&net, State::InProgress, "has not reported a workflow");
    agent(&mut net, &mut mqtt, json!({"state": 0, "workflow": {"action": 3, "id": "old"}}));
    check(&net, State::InProgress, "still belongs to workflow old");
    agent(&mut net, &mut mqtt, json!({"state": 6, "workflow": {"action": 3, "id": workflow}}));
    check(&net, State::InProgress, "state 6");
    agent(&mut net, &mut mqtt, json!({"state": 0}));
    check(&net, State::Failed, "no resultCode");
    for (change, state, part) in [
        (json!({"lastInstallResult": {"resultCode": 0}}), State::Failed, "result code 0"),
        (json!({"lastInstallResult": {"resultCode": 700}}), State::Failed, "installedUpdateId is missing"),
        (json!({"installedUpdateId": "2.0.0"}), State::Failed, "not the JSON text"),
        (json!({"installedUpdateId": installed("1.0.0")}), State::Failed, "HIL/E54 1.0.0, but HIL/E54 2.0.0"),
        (json!({"installedUpdateId": installed("2.0.0")}), State::Failed, "0 stepResults"),
        (json!({"lastInstallResult": {"stepResults": steps(&["step_0", "step_1"])}}), State::Failed, "2 stepResults"),
        (json!({"lastInstallResult": {"stepResults": {"step_0": null}}}), State::Failed, "named step_0"),
        (
            json!({"lastInstallResult": {"stepResults": {"step_0": {"resultCode": 700}, "step_1": null}}}),
            State::Succeeded,
            "1 of 1",
        ),
        (
            json!({"state": 255, "lastInstallResult": {"resultCode": 0, "extendedResultCode": 805_306_883, "resultDetails": "hash"}}),
            State::Failed,
            "result code 0, extended 805306883: hash",
        ),
    ] {
        agent(&mut net, &mut mqtt, change);
        check(&net, state, part);
    }
}

#[test]
fn a_retry_is_judged_by_reports_that_follow_it() {
    let (mut net, mut mqtt) = net();
    let deployment = deploy(&mut net, DeployOptions::default());
    let workflow = service(&mut net, &mut mqtt)["workflow"].clone();
    agent(&mut net, &mut mqtt, json!({"state": 255, "workflow": workflow, "lastInstallResult": {"resultCode": 0}}));
    assert_eq!(net.cloud.judge(&deployment).expect("known").state, State::Failed);
    net.pass(std::time::Duration::from_secs(5));
    net.cloud.retry(net.now, &deployment).expect("active");
    assert_eq!(net.cloud.judge(&deployment).expect("known").state, State::InProgress);
    let again = service(&mut net, &mut mqtt)["workflow"].clone();
    assert_eq!((&again["id"], &again["retryTimestamp"]), (&workflow["id"], &json!("2026-01-01T00:00:05.0000000Z")));
    agent(&mut net, &mut mqtt, json!({"state": 6, "workflow": again}));
    assert_eq!(net.cloud.judge(&deployment).expect("known").why, "the agent works on it (state 6)");
    // A new deployment takes the old one's place and does not inherit its timestamp.
    let next = deploy(&mut net, DeployOptions::default());
    let third = service(&mut net, &mut mqtt)["workflow"].clone();
    assert!(
        third["retryTimestamp"].is_null() && third.get("retryTimestamp").is_some() && third["id"] != workflow["id"]
    );
    assert_eq!(net.cloud.judge(&deployment).expect("known").state, State::Cancelled);
    assert_eq!(net.cloud.retry(net.now, &deployment), Err(DeployError::NotActive("1".into())));
    assert_eq!(work(&net, &next).retry_timestamp, None);
}

#[test]
fn a_cancel_leaves_nulls_and_stale_file_ids_are_deleted() {
    let (mut net, mut mqtt) = net();
    let first = deploy(&mut net, DeployOptions::default());
    let old = service(&mut net, &mut mqtt)["fileUrls"].as_object().expect("URLs").keys().next().cloned();
    let import = ImportManifest::firmware(id("E54", "2.1.0"), "HIL", "E54", "new.bin", b"new", CREATED);
    let newer = net.cloud.import_update(net.now, &import, &[("new.bin", b"new")]).expect("imports");
    let second = net.cloud.deploy(net.now, "e54", &newer, DeployOptions::default()).expect("deploys");
    let patch = service(&mut net, &mut mqtt);
    assert_eq!(patch["fileUrls"].get(old.expect("an id")), Some(&Value::Null));
    let desired = &net.cloud.twin("e54").expect("exists").desired()["deviceUpdate"]["service"];
    assert_eq!(desired["fileUrls"].as_object().map(serde_json::Map::len), Some(1));
    net.cloud.cancel(net.now, &second).expect("active");
    assert_eq!(
        service(&mut net, &mut mqtt),
        json!({"workflow": {"action": CANCEL, "id": "nodeployment"}, "updateManifest": null,
            "updateManifestSignature": null, "fileUrls": null})
    );
    for deployment in [&first, &second] {
        assert_eq!(net.cloud.judge(deployment).expect("known").state, State::Cancelled);
        assert!(net.cloud.cancel(net.now, deployment).is_err());
    }
}

#[test]
fn a_file_fault_reaches_the_download_and_urls_expire() {
    let (mut net, mut mqtt) = net();
    let file = net.cloud.update(&id("E54", "2.0.0")).expect("imported").files()[0].clone();
    deploy(&mut net, DeployOptions { url_lifetime_seconds: Some(60), ..DeployOptions::default() });
    let url = service(&mut net, &mut mqtt)["fileUrls"][&file.id].as_str().expect("a URL").to_owned();
    let mut wire = net.http();
    assert_eq!(get(&mut net, &mut wire, &url, None), (200, IMAGE.to_vec()));
    assert_eq!(net.cloud.set_file_fault("fw.bin", FileFault { flip_byte_at: Some(3), ..FileFault::default() }), 1);
    let (_, spoilt) = get(&mut net, &mut wire, &url, Some((2, 4)));
    assert_eq!(spoilt, [IMAGE[2], !IMAGE[3], IMAGE[4]]);
    assert_eq!(net.cloud.set_file_fault("other.bin", FileFault::default()), 0);
    net.pass(std::time::Duration::from_secs(60));
    let (status, body) = get(&mut net, &mut wire, &url, None);
    assert!(status == 403 && String::from_utf8_lossy(&body).contains("expired"), "{status}");
}
