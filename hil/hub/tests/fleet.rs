//! Groups and classes of devices, deployments to them, and what outlives a restart.

mod support;

use std::time::Duration;

use hub::update::{DEFAULT_GROUP, DeleteError, DeviceCounts, RollbackFailure, RollbackPolicy, Target, UpdateInfo};
use hub::{
    Attestation, Cloud, CloudConfig, DeployError, DeployOptions, DeploymentId, ImportManifest, NewDeployment, Reason,
    State, UpdateId,
};
use mqttrs2::QoS;
use serde_json::{Map, Value, json};
use support::*;

const CREATED: &str = "2026-01-01T00:00:00Z";

fn id(version: &str) -> UpdateId {
    UpdateId { provider: "HIL".into(), name: "E54".into(), version: version.into() }
}

fn import(net: &mut Net, version: &str, model: &str) -> UpdateId {
    let id = UpdateId { name: model.into(), ..id(version) };
    let manifest = ImportManifest::firmware(id, "HIL", model, "fw.bin", version.as_bytes(), CREATED);
    net.cloud.import_update(net.now, &manifest, &[("fw.bin", version.as_bytes())]).expect("imports")
}

/// A device without TLS that has reported itself.
fn join(net: &mut Net, id: &str, model: &str, group: Option<&str>) -> Mqtt {
    net.cloud.register_device(id, Attestation::symmetric(KEY)).expect("a new device");
    if let Some(group) = group {
        tag(net, id, json!(group));
    }
    let mut mqtt = plain(net, id);
    agent(net, &mut mqtt, startup(model));
    mqtt
}

fn plain(net: &mut Net, id: &str) -> Mqtt {
    let wire = net.plain();
    let mut mqtt = Mqtt::new(wire);
    let user = format!("{HUB}/{id}/?api-version=2020-09-30&model-id={MODEL}");
    let accepted = mqtt.connect(net, id, &user, Some(&hub_token(id, &KEY, EPOCH + 86_400)));
    assert_eq!(accepted, FromServer::Connack { code: 0, session_present: false });
    mqtt.subscribe(net, &["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"]);
    mqtt
}

fn tag(net: &mut Net, id: &str, group: Value) {
    net.cloud.set_tags(id, &Map::from_iter([("ADUGroup".to_owned(), group)])).expect("a tag");
    net.cloud.poll(net.now);
}

fn startup(model: &str) -> Value {
    json!({
        "deviceProperties": {"manufacturer": "HIL", "model": model, "contractModelId": MODEL},
        "compatPropertyNames": "manufacturer,model",
    })
}

fn agent(net: &mut Net, mqtt: &mut Mqtt, agent: Value) {
    mqtt.read(net);
    mqtt.inbox();
    let patch = json!({"deviceUpdate": {"__t": "c", "agent": agent}}).to_string();
    mqtt.publish(net, "$iothub/twin/PATCH/properties/reported/?$rid=r", patch.as_bytes(), QoS::AtLeastOnce);
    // A deployment may follow at once.
    let answers = mqtt.messages();
    assert!(answers.first().is_some_and(|(topic, _)| topic.starts_with("$iothub/twin/res/204/")), "{answers:?}");
}

/// `workflow` of the device's twin.
fn workflow(net: &Net, device: &str) -> Value {
    net.cloud.twin(device).expect("exists").desired()["deviceUpdate"]["service"]["workflow"].clone()
}

/// The device carries out what its twin asks for.
fn finish(net: &mut Net, mqtt: &mut Mqtt, device: &str, good: bool) {
    let workflow = workflow(net, device);
    let service = &net.cloud.twin(device).expect("exists").desired()["deviceUpdate"]["service"];
    let manifest = json(service["updateManifest"].as_str().expect("a manifest").as_bytes());
    let result = |code: i64| json!({"resultCode": code, "stepResults": {"step_0": {"resultCode": code}}});
    let done = match good {
        true => json!({"state": 0, "workflow": workflow, "lastInstallResult": result(700),
            "installedUpdateId": manifest["updateId"].to_string()}),
        false => json!({"state": 255, "workflow": workflow, "lastInstallResult": result(-1)}),
    };
    agent(net, mqtt, done);
}

fn to_group(group: &str, update: &UpdateId) -> NewDeployment {
    NewDeployment {
        id: None,
        target: Target::Group(group.into()),
        update: update.clone(),
        start: None,
        rollback: None,
        options: DeployOptions::default(),
    }
}

/// In progress, succeeded, failed, cancelled.
fn counts(net: &Net, id: &DeploymentId) -> [usize; 4] {
    let status = net.cloud.deployment_status(id).expect("known");
    let DeviceCounts {
        total_devices,
        devices_in_progress_count: open,
        devices_completed_failed_count: failed,
        devices_completed_succeeded_count: good,
        devices_canceled_count: cancelled,
    } = status.counts;
    assert_eq!(total_devices, open + failed + good + cancelled);
    [open, good, failed, cancelled]
}

fn state(net: &Net, id: &DeploymentId, device: &str) -> (State, Reason, String) {
    let state = net.cloud.deployment_device(id, device).expect("known").judgement;
    (state.state, state.reason, state.why)
}

/// On latest, new available, in progress.
fn compliance(net: &Net, group: Option<&str>) -> [usize; 3] {
    let compliance = net.cloud.compliance(group);
    let parts = [
        compliance.on_latest_update_device_count,
        compliance.new_updates_available_device_count,
        compliance.updates_in_progress_device_count,
    ];
    assert_eq!(compliance.total_device_count, parts.iter().sum::<usize>());
    parts
}

#[test]
fn devices_come_into_classes_and_groups_and_move() {
    let mut net = Net::new(7);
    let mut a = join(&mut net, "a", "E54", None);
    let _b = join(&mut net, "b", "E54", Some("test"));
    let _c = join(&mut net, "c", "Toaster", Some("test"));
    let groups: Vec<_> =
        net.cloud.groups().map(|group| (group.group_id, group.group_type, group.device_count)).collect();
    assert_eq!(groups, [(DEFAULT_GROUP.into(), "DefaultNoTag", 1), ("test".into(), "IoTHubTag", 2)]);
    assert_eq!(net.cloud.device_classes().count(), 2);
    assert_eq!(compliance(&net, None), [3, 0, 0], "without updates, nothing is newer");

    let old = import(&mut net, "2.0", "E54");
    let new = import(&mut net, "10.0", "E54");
    let subgroups = serde_json::to_value(net.cloud.subgroups("test").collect::<Vec<_>>()).expect("JSON");
    let best: Vec<&Value> = subgroups
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| &s["bestCompatibleUpdate"]["updateId"]["version"])
        .collect();
    assert!(best.contains(&&json!("10.0")) && best.contains(&&Value::Null), "10.0 is newer than 2.0: {best:?}");
    assert_eq!((compliance(&net, None), compliance(&net, Some("test"))), ([1, 2, 0], [1, 1, 0]));
    agent(&mut net, &mut a, json!({"installedUpdateId": json!(new).to_string()}));
    assert_eq!(compliance(&net, Some(DEFAULT_GROUP)), [1, 0, 0]);
    net.cloud.delete_update(&new).expect("not needed");
    assert_eq!(compliance(&net, Some(DEFAULT_GROUP)), [1, 0, 0], "newer than what is left");
    agent(&mut net, &mut a, json!({"installedUpdateId": json!(old).to_string()}));
    let view = serde_json::to_value(net.cloud.managed_device("a")).expect("JSON");
    assert_eq!(
        (&view["onLatestUpdate"], &view["installedUpdate"]["updateId"]["version"]),
        (&json!(true), &json!("2.0"))
    );

    tag(&mut net, "a", json!("other"));
    assert_eq!(net.cloud.group(DEFAULT_GROUP), None, "nobody is left");
    assert_eq!(net.cloud.group_devices("other", None).collect::<Vec<_>>(), ["a"]);
    agent(&mut net, &mut a, json!({"deviceProperties": {"model": "Toaster"}}));
    assert_eq!(
        net.cloud.subgroups("other").next().map(|s| s.device_class_id),
        net.cloud.managed_device("c").and_then(|c| c.device_class_id)
    );
    tag(&mut net, "a", json!("no spaces"));
    assert_eq!(net.cloud.managed_device("a").and_then(|a| a.group_id), None, "the agent check fails");
    let health = net.cloud.device_health("a").expect("exists");
    let failed: Vec<_> = health.health_checks.iter().filter(|check| check.result == "userError").collect();
    assert_eq!((health.state, failed.len(), failed[0].name), ("unhealthy", 1, "ADU group"));
    assert!(failed[0].reason.as_deref().is_some_and(|why| why.contains("A-Z a-z 0-9 . - _ ~")));
    assert_eq!(net.cloud.device_health("b").expect("exists").state, "healthy");
}

#[test]
fn the_agent_check_says_what_to_do() {
    let mut net = Net::new(7);
    let mut mqtt = join(&mut net, "a", "E54", None);
    for (change, name, part) in [
        (json!({"deviceProperties": {"contractModelId": "dtmi:com:example:Thermostat;1"}}), "Interface ID", "report"),
        (json!({"deviceProperties": {"contractModelId": null}}), "Interface ID", "neither contractModelId"),
        (json!({"compatPropertyNames": null}), "Compatibility property names", "manufacturer,model"),
        (json!({"compatPropertyNames": "a,b,c,d,e,f"}), "Compatibility property names", "1 to 5 names"),
        (json!({"compatPropertyNames": "Model"}), "Compatibility property values", "it reports `model`: case matters"),
        (json!({"deviceProperties": {"model": 3}}), "Compatibility property values", "a text of 1 to 64"),
    ] {
        agent(&mut net, &mut mqtt, change.clone());
        let health = net.cloud.device_health("a").expect("exists");
        let failed = health.health_checks.iter().find(|check| check.result != "success").expect(part);
        let why = failed.reason.as_deref().unwrap_or_default();
        assert!(failed.name == name && why.contains(part), "{change}: {failed:?}");
        agent(&mut net, &mut mqtt, startup("E54"));
        assert_eq!(net.cloud.device_health("a").expect("exists").state, "healthy");
    }
    net.cloud.register_device("b", Attestation::symmetric(KEY)).expect("a new device");
    let wire = net.plain();
    let mut silent = Mqtt::new(wire);
    let user = format!("{HUB}/b/?api-version=2020-09-30");
    silent.connect(&mut net, "b", &user, Some(&hub_token("b", &KEY, EPOCH + 86_400)));
    let health = net.cloud.device_health("b").expect("exists");
    assert!(health.health_checks[0].reason.as_deref().is_some_and(|why| why.contains("add `model-id`")), "{health:?}");
}

#[test]
fn a_group_is_updated_device_by_device_and_newcomers_too() {
    let mut net = Net::new(7);
    let update = import(&mut net, "2.0", "E54");
    let mut a = join(&mut net, "a", "E54", Some("test"));
    let mut b = join(&mut net, "b", "E54", Some("test"));
    join(&mut net, "c", "Toaster", Some("test"));
    join(&mut net, "d", "E54", None);
    let deployment =
        NewDeployment { id: Some(DeploymentId::new("spring").expect("an id")), ..to_group("test", &update) };
    let spring = net.cloud.create_deployment(net.now, deployment.clone()).expect("deploys");
    assert_eq!(net.cloud.create_deployment(net.now, deployment), Err(DeployError::Exists("spring".into())));
    assert_eq!(counts(&net, &spring), [2, 0, 0, 0]);
    assert_ne!(workflow(&net, "a")["id"], workflow(&net, "b")["id"], "each device has its own workflow");
    assert_eq!((compliance(&net, Some("test")), compliance(&net, None)), ([1, 0, 2], [1, 1, 2]));
    let (_, reason, why) = state(&net, &spring, "c");
    assert!(reason == Reason::NotOffered && why.contains("the device reports \"Toaster\""), "{why}");
    let (_, reason, why) = state(&net, &spring, "d");
    assert!(
        reason == Reason::NotOffered && why.contains("for the group `test`, and the device is in `$default`"),
        "{why}"
    );
    assert!(matches!(net.cloud.delete_update(&update), Err(DeleteError::Deployed { .. })));

    finish(&mut net, &mut a, "a", true);
    assert_eq!((counts(&net, &spring), compliance(&net, Some("test"))), ([1, 1, 0, 0], [2, 0, 1]));
    finish(&mut net, &mut b, "b", false);
    assert_eq!((counts(&net, &spring), compliance(&net, Some("test"))), ([0, 1, 1, 0], [2, 1, 0]));
    assert_eq!(net.cloud.judge(&spring).expect("known").state, State::Failed);

    // Newcomers: by joining the group, by changing its tag, and by turning into another class.
    let mut e = join(&mut net, "e", "E54", Some("test"));
    tag(&mut net, "d", json!("test"));
    assert_eq!(counts(&net, &spring), [2, 1, 1, 0]);
    finish(&mut net, &mut e, "e", true);

    // A retry is for those that failed.
    net.pass(Duration::from_secs(1));
    let before = (workflow(&net, "a"), workflow(&net, "b"));
    assert_eq!(net.cloud.retry(net.now, &spring), Ok(1));
    assert_eq!(workflow(&net, "a"), before.0);
    let again = workflow(&net, "b");
    assert!(again["id"] == before.1["id"] && again["retryTimestamp"] == "2026-01-01T00:00:01.0000000Z", "{again}");
    assert_eq!((counts(&net, &spring), state(&net, &spring, "b").1), ([2, 2, 0, 0], Reason::NotAcknowledged));
    finish(&mut net, &mut b, "b", true);
    assert_eq!(counts(&net, &spring), [1, 3, 0, 0]);
    let status = serde_json::to_value(net.cloud.deployment_status(&spring).ok()).expect("JSON");
    assert_eq!((&status["groupId"], &status["subgroupStatus"][0]["totalDevices"]), (&json!("test"), &json!(4)));

    // A later deployment takes its place; what is done stays done.
    let newer = import(&mut net, "3.0", "E54");
    let summer = net.cloud.create_deployment(net.now, to_group("test", &newer)).expect("deploys");
    assert_eq!((counts(&net, &spring), counts(&net, &summer)), ([0, 3, 0, 1], [4, 0, 0, 0]));
    assert_eq!(state(&net, &spring, "d").1, Reason::Replaced);
    assert_eq!(state(&net, &spring, "a").0, State::Succeeded);
    assert_eq!(net.cloud.retry(net.now, &spring), Err(DeployError::NotActive("spring".into())));
    finish(&mut net, &mut a, "a", true);
    net.cloud.cancel(net.now, &summer).expect("active");
    assert_eq!((counts(&net, &summer), compliance(&net, Some("test"))), ([0, 1, 0, 3], [2, 3, 0]));
    assert_eq!((&workflow(&net, "b")["id"], &workflow(&net, "a")["action"]), (&json!("nodeployment"), &json!(3)));
    join(&mut net, "f", "E54", Some("test"));
    assert_eq!(net.cloud.twin("f").expect("exists").desired().get("deviceUpdate"), None, "nothing is active");
    net.cloud.delete_deployment(&summer).expect("over");
    assert_eq!(net.cloud.deployment(&summer), None);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut net = Net::new(7);
    let update = import(&mut net, "2.0", "E54");
    join(&mut net, "c", "Toaster", Some("test"));
    let refused = |net: &mut Net, new: NewDeployment| {
        let error = net.cloud.create_deployment(net.now, new).expect_err("refused");
        (error.status(), error.to_string())
    };
    assert_eq!(refused(&mut net, to_group("nobody", &update)).0, 404);
    let (status, why) = refused(&mut net, to_group("test", &update));
    assert!(status == 409 && why.contains("of `c`, for example, the update wants `model`"), "{why}");
    assert_eq!(refused(&mut net, to_group("test", &id("9.9"))).0, 404);
    assert_eq!(DeploymentId::new("a b").expect_err("a space").status(), 400);
    let rollback = |percentage, count, version: &str| RollbackPolicy {
        update: UpdateInfo { update_id: id(version), description: None, friendly_name: None },
        failure: RollbackFailure { devices_failed_percentage: percentage, devices_failed_count: count },
    };
    let older = import(&mut net, "1.0", "E54");
    for (policy, status, part) in [
        (rollback(50, 1, "2.0"), 400, "is the one that is deployed"),
        (rollback(0, 1, "1.0"), 400, "1 to 100"),
        (rollback(1, 0, "1.0"), 400, "at least 1"),
        (rollback(50, 1, "0.9"), 404, "import it first"),
    ] {
        let new = NewDeployment { rollback: Some(policy), ..to_group(DEFAULT_GROUP, &update) };
        let (is, why) = refused(&mut net, new);
        assert!(is == status && why.contains(part), "{is} {why}");
    }
    // A group without devices may wait for them, and an update that a policy needs stays.
    let new = NewDeployment { rollback: Some(rollback(50, 1, "1.0")), ..to_group(DEFAULT_GROUP, &update) };
    let waiting = net.cloud.create_deployment(net.now, new).expect("deploys");
    assert!(matches!(net.cloud.delete_update(&older), Err(DeleteError::Deployed { .. })));
    assert!(matches!(net.cloud.delete_deployment(&waiting), Err(DeployError::StillActive(_))));
    join(&mut net, "e", "E54", None);
    assert_eq!(counts(&net, &waiting), [1, 0, 0, 0]);
}

#[test]
fn a_deployment_starts_when_its_time_comes() {
    let mut net = Net::new(7);
    let update = import(&mut net, "2.0", "E54");
    let _a = join(&mut net, "a", "E54", None);
    let start = net.cloud.utc().parse("2026-01-01T01:00:00Z");
    let later = NewDeployment { start, ..to_group(DEFAULT_GROUP, &update) };
    let id = net.cloud.create_deployment(net.now, later).expect("deploys");
    assert_eq!((counts(&net, &id), state(&net, &id, "a").1), ([0, 0, 0, 0], Reason::NotStarted));
    let hour = Duration::from_secs(3600);
    net.pass(hour - Duration::from_nanos(1));
    assert_eq!(counts(&net, &id), [0, 0, 0, 0]);
    assert!(net.cloud.deadline() <= start.expect("a time"), "the cloud asks to be polled then");
    net.pass(Duration::from_nanos(1));
    assert_eq!(counts(&net, &id), [1, 0, 0, 0]);
    let cancelled = NewDeployment { start: Some(net.now + hour), ..to_group(DEFAULT_GROUP, &update) };
    let cancelled = net.cloud.create_deployment(net.now, cancelled).expect("deploys");
    net.cloud.cancel(net.now, &cancelled).expect("active");
    net.pass(hour);
    assert_eq!((counts(&net, &cancelled), counts(&net, &id)), ([0, 0, 0, 0], [1, 0, 0, 0]));
}

#[test]
fn a_deployment_that_fails_too_often_is_rolled_back() {
    let mut net = Net::new(7);
    let (old, new) = (import(&mut net, "1.0", "E54"), import(&mut net, "2.0", "E54"));
    let mut devices: Vec<(String, Mqtt)> = Vec::new();
    for n in 0..5 {
        let name = format!("d{n}");
        let mqtt = join(&mut net, &name, "E54", None);
        devices.push((name, mqtt));
    }
    let policy = RollbackPolicy {
        update: UpdateInfo { update_id: old, description: None, friendly_name: None },
        failure: RollbackFailure { devices_failed_percentage: 40, devices_failed_count: 2 },
    };
    let id = net
        .cloud
        .create_deployment(net.now, NewDeployment { rollback: Some(policy), ..to_group(DEFAULT_GROUP, &new) })
        .expect("deploys");
    for (n, good) in [(0, true), (1, false)] {
        let (name, mqtt) = &mut devices[n];
        finish(&mut net, mqtt, name, good);
    }
    assert_eq!((net.cloud.deployments().count(), counts(&net, &id)), (1, [3, 1, 1, 0]));
    let (name, mqtt) = &mut devices[2];
    finish(&mut net, mqtt, name, false);
    let rollback = net.cloud.deployments().find(|other| other.id != id).expect("made by the policy").clone();
    assert!(rollback.is_cloud_initiated_rollback && rollback.id.as_str() == format!("{id}-rollback"), "{rollback:?}");
    assert_eq!((counts(&net, &id), counts(&net, &rollback.id)), ([0, 1, 2, 2], [5, 0, 0, 0]));
    for (name, mqtt) in &mut devices {
        finish(&mut net, mqtt, name, true);
    }
    assert_eq!(counts(&net, &rollback.id), [0, 5, 0, 0]);
    let view = serde_json::to_value(net.cloud.deployment_view(&rollback.id)).expect("JSON");
    assert_eq!(
        (&view["isCloudInitiatedRollback"], &view["groupId"], &view["update"]["updateId"]["version"]),
        (&json!(true), &json!("$default"), &json!("1.0"))
    );
}

#[test]
fn a_device_of_its_own_and_its_group() {
    let mut net = Net::new(7);
    let (old, new) = (import(&mut net, "1.0", "E54"), import(&mut net, "2.0", "E54"));
    let _a = join(&mut net, "a", "E54", None);
    let all = net.cloud.create_deployment(net.now, to_group(DEFAULT_GROUP, &new)).expect("deploys");
    let own = net.cloud.deploy(net.now, "a", &old, DeployOptions::default()).expect("deploys");
    assert_eq!((counts(&net, &all), counts(&net, &own)), ([0, 0, 0, 1], [1, 0, 0, 0]));
    assert_eq!(state(&net, &all, "a").1, Reason::Replaced);
    // The later one wins, and an earlier one does not come back.
    net.cloud.cancel(net.now, &own).expect("active");
    assert_eq!((workflow(&net, "a")["id"].clone(), counts(&net, &own)), (json!("nodeployment"), [0, 0, 0, 1]));
    let _b = join(&mut net, "b", "E54", None);
    assert_eq!(counts(&net, &all), [1, 0, 0, 1]);
}

#[test]
fn a_device_that_has_gone_when_its_deployment_starts() {
    let mut net = Net::new(7);
    let update = import(&mut net, "2.0", "E54");
    let _a = join(&mut net, "a", "E54", None);
    let first = net.cloud.deploy(net.now, "a", &update, DeployOptions::default()).expect("deploys");
    let target = Target::Device("a".into());
    let start = Some(net.now + Duration::from_secs(60));
    let later = NewDeployment { target, start, ..to_group("", &update) };
    let later = net.cloud.create_deployment(net.now, later).expect("deploys");
    net.cloud.delete_device(net.now, "a", None).expect("exists");
    assert_eq!((counts(&net, &first), state(&net, &first, "a").1), ([1, 0, 0, 0], Reason::NoDevice));
    net.pass(Duration::from_secs(60));
    let (_, reason, why) = state(&net, &later, "a");
    assert!(reason == Reason::TwinRefused && why.contains("`a` does not exist"), "{why}");
    assert_eq!((counts(&net, &first), counts(&net, &later)), ([0, 0, 0, 1], [0, 0, 1, 0]));
}

/// Everything that was stored so far, as a store keeps it.
fn store(into: &mut std::collections::BTreeMap<String, Vec<u8>>, cloud: &mut Cloud) {
    for change in cloud.take_changes() {
        match change.value {
            Some(value) => drop(into.insert(change.key, value)),
            None => drop(into.remove(&change.key)),
        }
    }
}

#[test]
fn a_deployment_in_flight_goes_on_after_a_restart() {
    let mut net = Net::new(7);
    let mut stored = std::collections::BTreeMap::new();
    let update = import(&mut net, "2.0", "E54");
    let mut a = join(&mut net, "a", "E54", Some("test"));
    let mut b = join(&mut net, "b", "E54", Some("test"));
    let flight = net.cloud.create_deployment(net.now, to_group("test", &update)).expect("deploys");
    let later = NewDeployment { start: Some(net.now + Duration::from_secs(60)), ..to_group(DEFAULT_GROUP, &update) };
    let later = net.cloud.create_deployment(net.now, later).expect("deploys");
    finish(&mut net, &mut a, "a", true);
    store(&mut stored, &mut net.cloud);
    finish(&mut net, &mut b, "b", false);
    store(&mut stored, &mut net.cloud);
    for kind in ["update/", "file/f", "deployment/", "work/", "adugroup/", "device/", "twin/"] {
        assert!(stored.keys().any(|key| key.starts_with(kind)), "no {kind} in {:?}", stored.keys());
    }
    let before = (serde_json::to_value(net.cloud.groups().collect::<Vec<_>>()).expect("JSON"), workflow(&net, "b"));

    for reversed in [false, true] {
        let mut changes: Vec<hub::Change> =
            stored.iter().map(|(key, value)| hub::Change { key: key.clone(), value: Some(value.clone()) }).collect();
        if reversed {
            changes.reverse();
        }
        let mut again = Net::new(7);
        again.now = net.now + Duration::from_secs(30);
        // Twins and messages follow their devices, as the hub wants it.
        changes.sort_by_key(|change| !change.key.starts_with("device/"));
        again.cloud.restore(changes).expect("restores");
        again.cloud.poll(again.now);
        let groups = serde_json::to_value(again.cloud.groups().collect::<Vec<_>>()).expect("JSON");
        assert_eq!((groups, workflow(&again, "b")), before.clone(), "nothing is sent again");
        assert_eq!(counts(&again, &flight), [0, 1, 1, 0]);

        let mut b = plain(&mut again, "b");
        assert_eq!(again.cloud.retry(again.now, &flight), Ok(1));
        finish(&mut again, &mut b, "b", true);
        assert_eq!(counts(&again, &flight), [0, 2, 0, 0]);
        let mut c = join(&mut again, "c", "E54", Some("test"));
        let url = again.cloud.twin("c").expect("exists").desired()["deviceUpdate"]["service"]["fileUrls"].clone();
        let url =
            url.as_object().and_then(|urls| urls.values().next()).and_then(Value::as_str).expect("a URL").to_owned();
        let mut wire = again.http();
        assert_eq!(get(&mut again, &mut wire, &url, None), (200, b"2.0".to_vec()));
        finish(&mut again, &mut c, "c", true);
        assert_eq!(counts(&again, &flight), [0, 3, 0, 0]);
        join(&mut again, "d", "E54", None);
        assert_eq!(counts(&again, &later), [0, 0, 0, 0]);
        again.pass(Duration::from_secs(30));
        assert_eq!(counts(&again, &later), [1, 0, 0, 0], "it starts when it would have started");
        let fresh = again.cloud.create_deployment(again.now, to_group("test", &update)).expect("deploys");
        assert!(fresh != flight && fresh != later, "numbers are not given out twice");
    }
    let mut bad = Cloud::new(CloudConfig::new(7, EPOCH)).expect("the fixture keys work");
    let broken = hub::Change { key: "deployment/1".into(), value: Some(b"{}".to_vec()) };
    let why = bad.restore([broken]).expect_err("unreadable");
    assert!(why.contains("deployment/1"), "{why}");
}

#[test]
fn ten_thousand_devices() {
    const DEVICES: usize = 10_000;
    let mut net = Net::new(7);
    let update = import(&mut net, "2.0", "E54");
    let mut devices: Vec<Mqtt> = Vec::new();
    for n in 0..DEVICES {
        let name = format!("d{n:05}");
        let group = ["north", "south"][n % 2];
        devices.push(join(&mut net, &name, "E54", Some(group)));
    }
    assert_eq!(compliance(&net, None), [0, DEVICES, 0]);
    let north = net.cloud.create_deployment(net.now, to_group("north", &update)).expect("deploys");
    assert_eq!(counts(&net, &north), [DEVICES / 2, 0, 0, 0]);
    for n in (0..DEVICES).step_by(2) {
        finish(&mut net, &mut devices[n], &format!("d{n:05}"), n % 10 != 0);
    }
    assert_eq!(counts(&net, &north), [0, DEVICES / 2 - DEVICES / 10, DEVICES / 10, 0]);
    assert_eq!(compliance(&net, Some("north")), [DEVICES / 2 - DEVICES / 10, DEVICES / 10, 0]);
    net.cloud.cancel(net.now, &north).expect("active");
}
