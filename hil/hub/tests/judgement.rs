//! Every reason for which a device stays in progress or fails, with its sentence.

mod support;

use std::time::Duration;

use hub::update::{Forgery, Target};
use hub::{Attestation, DeployOptions, DeploymentId, ImportManifest, NewDeployment, Reason, State, UpdateId};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::*;

const CREATED: &str = "2026-01-01T00:00:00Z";

fn id(version: &str) -> UpdateId {
    UpdateId { provider: "HIL".into(), name: "E54".into(), version: version.into() }
}

fn properties() -> Value {
    json!({"manufacturer": "HIL", "model": "E54", "contractModelId": MODEL})
}

/// How the device is connected when the deployment comes.
#[derive(Clone, Copy, PartialEq)]
enum Link {
    Listens,
    NotSubscribed,
    Gone,
}

/// What a device does, and what it is judged for.
struct Case {
    name: &'static str,
    model_id: Option<&'static str>,
    /// `agent` before the deployment.
    startup: Value,
    link: Link,
    forgery: Option<Forgery>,
    /// `service` and `agent` after it; `$w` stands for the workflow id.
    ack: Value,
    agent: Value,
    retried: bool,
    expected: (State, Reason, &'static str),
}

/// A case in which the device is well-behaved, up to `agent` of its last report.
fn case(name: &'static str, agent: Value, expected: (State, Reason, &'static str)) -> Case {
    Case {
        name,
        model_id: Some(MODEL),
        startup: json!({
            "deviceProperties": properties(),
            "compatPropertyNames": "manufacturer,model",
            "installedUpdateId": json!(id("1.0")).to_string(),
        }),
        link: Link::Listens,
        forgery: None,
        ack: json!({"ac": 200, "av": 2}),
        agent,
        retried: false,
        expected,
    }
}

fn done(change: impl FnOnce(&mut Value)) -> Value {
    let mut agent = json!({
        "state": 0,
        "workflow": {"action": 3, "id": "$w"},
        "installedUpdateId": json!(id("2.0")).to_string(),
        "lastInstallResult": {"resultCode": 700, "stepResults": {"step_0": {"resultCode": 700}}},
    });
    change(&mut agent);
    agent
}

fn cases() -> Vec<Case> {
    use Reason as R;
    use State::{Failed, InProgress, Succeeded};
    let mut cases = vec![
        case("succeeded", done(|_| ()), (Succeeded, R::Succeeded, "1 of 1 steps")),
        case("acknowledged only", json!(null), (InProgress, R::AcknowledgedOnly, "has to report state 6")),
        case(
            "at work",
            json!({"state": 6, "workflow": {"id": "$w"}}),
            (InProgress, R::Working, "works on it (state 6)"),
        ),
        case(
            "failed",
            done(|a| {
                a["state"] = json!(255);
                a["lastInstallResult"] =
                    json!({"resultCode": 0, "extendedResultCodes": "30300003", "resultDetails": "hash"});
            }),
            (Failed, R::AgentFailed, "result code 0, extended 30300003: hash"),
        ),
        case("a legacy state", done(|a| a["state"] = json!(4)), (InProgress, R::UnknownState, "0, 6 and 255 do")),
        case("no state", done(|a| a["state"] = json!(null)), (InProgress, R::NoState, "but no state")),
        case(
            "no result code",
            done(|a| a["lastInstallResult"]["resultCode"] = json!(null)),
            (Failed, R::NoResultCode, "report 700"),
        ),
        case(
            "result code 0 with state 0",
            done(|a| a["lastInstallResult"]["resultCode"] = json!(0)),
            (Failed, R::ResultCode, "state 0, but result code 0, which is not a success"),
        ),
        case(
            "a cancelled result",
            done(|a| a["lastInstallResult"]["resultCode"] = json!(-1)),
            (Failed, R::ResultCode, "result code -1"),
        ),
        case(
            "the stale version",
            done(|a| a["installedUpdateId"] = json!(json!(id("1.0")).to_string())),
            (Failed, R::StaleVersion, "still reports what it ran before"),
        ),
        case(
            "another version",
            done(|a| a["installedUpdateId"] = json!(json!(id("1.5")).to_string())),
            (Failed, R::OtherVersion, "HIL/E54 1.5, but HIL/E54 2.0 was deployed"),
        ),
        case(
            "an object for installedUpdateId",
            done(|a| a["installedUpdateId"] = json!(id("2.0"))),
            (Failed, R::NoInstalledUpdate, "missing or not a text"),
        ),
        case(
            "a version for installedUpdateId",
            done(|a| a["installedUpdateId"] = json!("2.0")),
            (Failed, R::MalformedInstalledUpdate, "is not the JSON text of provider, name and version"),
        ),
        case(
            "no stepResults",
            done(|a| a["lastInstallResult"]["stepResults"] = json!(null)),
            (Failed, R::NoStepResults, "0 stepResults were reported, but the manifest has 1 steps"),
        ),
        case(
            "too many stepResults",
            done(|a| a["lastInstallResult"]["stepResults"]["step_1"] = json!({"resultCode": 700})),
            (Failed, R::StepResultsCount, "2 stepResults"),
        ),
        case(
            "stepResults of another name",
            done(|a| a["lastInstallResult"]["stepResults"] = json!({"step_1": {"resultCode": 700}})),
            (Failed, R::StepResultsNames, "must be named step_0"),
        ),
        case(
            "a stale workflow",
            done(|a| a["workflow"]["id"] = json!("11111111-2222-4333-8444-555555555555")),
            (InProgress, R::StaleWorkflow, "although installedUpdateId is HIL/E54 2.0 already"),
        ),
    ];
    let listens = |name, expected| case(name, json!(null), expected);
    cases.push(Case {
        ack: json!(null),
        ..listens("sent and not acknowledged", (InProgress, R::NotAcknowledged, "version 2 of the desired properties"))
    });
    cases.push(Case {
        ack: json!({"ac": 200, "av": 1}),
        ..listens("an acknowledgement of before", (InProgress, R::NotAcknowledged, "has not acknowledged it"))
    });
    cases.push(Case {
        ack: json!({"ac": 406, "av": 2, "ad": "no room"}),
        ..listens("refused", (Failed, R::Refused, "ac 406 \"no room\""))
    });
    cases.push(Case {
        link: Link::Gone,
        ack: json!(null),
        ..listens("not connected", (InProgress, R::NotConnected, "is not connected"))
    });
    cases.push(Case {
        link: Link::NotSubscribed,
        ack: json!(null),
        ..listens("not subscribed", (InProgress, R::NotSubscribed, "it has to read its twin"))
    });
    cases.push(Case {
        retried: true,
        ..case(
            "a report of before the retry",
            done(|a| a["state"] = json!(255)),
            (InProgress, R::StaleRetry, "not the retryTimestamp of the retry"),
        )
    });
    cases.push(Case {
        forgery: Some(Forgery::WrongWorkflow),
        ..case(
            "a wrong workflow id in the twin",
            done(|a| a["workflow"]["id"] = json!("00000000-0000-0000-0000-000000000000")),
            (InProgress, R::StaleWorkflow, "the deployment was told to send a wrong one"),
        )
    });
    let startup = |change: &dyn Fn(&mut Value)| {
        let mut startup = case("", json!(null), (InProgress, R::NotOffered, "")).startup;
        change(&mut startup);
        startup
    };
    for (name, startup, part) in [
        (
            "the model in another case",
            startup(&|s| s["deviceProperties"]["model"] = json!("e54")),
            "the update wants `model` = \"E54\", the device reports \"e54\": case matters",
        ),
        (
            "the name of a property in another case",
            startup(&|s| {
                s["deviceProperties"] = json!({"manufacturer": "HIL", "Model": "E54", "contractModelId": MODEL});
                s["compatPropertyNames"] = json!("manufacturer,Model");
            }),
            "it reports `Model`: case matters",
        ),
        (
            "a property that compatPropertyNames leaves out",
            startup(&|s| s["compatPropertyNames"] = json!("manufacturer")),
            "compatPropertyNames does not name `model`",
        ),
        (
            "no contract model",
            startup(&|s| s["deviceProperties"] = json!({"manufacturer": "HIL", "model": "E54"})),
            "neither contractModelId nor interfaceId",
        ),
        ("nothing reported", json!({"state": 0}), "has not reported deviceUpdate.agent.deviceProperties yet"),
    ] {
        cases.push(Case { startup, ..case(name, json!(null), (InProgress, R::NotOffered, part)) });
    }
    for (name, model_id, part) in [
        ("no model id", None, "announces no model id"),
        ("a model id that is none", Some("Thermostat"), "the model id `Thermostat` is no DTMI"),
    ] {
        cases.push(Case { model_id, ..case(name, json!(null), (InProgress, R::NotOffered, part)) });
    }
    cases
}

fn connect(net: &mut Net, model_id: Option<&str>) -> Mqtt {
    let wire = net.plain();
    let mut mqtt = Mqtt::new(wire);
    let model = model_id.map_or(String::new(), |id| format!("&model-id={id}"));
    let user = format!("{HUB}/e54/?api-version=2020-09-30{model}");
    mqtt.connect(net, "e54", &user, Some(&hub_token("e54", &KEY, EPOCH + 3600)));
    mqtt
}

fn patch(net: &mut Net, mqtt: &mut Mqtt, part: &str, value: &Value) {
    if !value.is_null() {
        let patch = json!({"deviceUpdate": {"__t": "c", part: value}});
        let topic = "$iothub/twin/PATCH/properties/reported/?$rid=r";
        mqtt.publish(net, topic, patch.to_string().as_bytes(), mqttrs2::QoS::AtLeastOnce);
    }
}

fn run(case: &Case) -> (Net, DeploymentId) {
    let mut net = Net::new(9);
    net.cloud.register_device("e54", Attestation::symmetric(KEY)).expect("a new device");
    let manifest = ImportManifest::firmware(id("2.0"), "HIL", "E54", "fw.bin", b"firmware", CREATED);
    net.cloud.import_update(net.now, &manifest, &[("fw.bin", b"firmware")]).expect("imports");
    let new = NewDeployment {
        id: None,
        target: Target::Group("$default".into()),
        update: id("2.0"),
        start: None,
        rollback: None,
        options: DeployOptions { forgery: case.forgery, ..DeployOptions::default() },
    };
    // A group whose only device does not fit is refused; an empty one waits.
    let early = case.expected.1 == Reason::NotOffered;
    let waiting = early.then(|| net.cloud.create_deployment(net.now, new.clone()).expect("deploys"));
    let mut mqtt = connect(&mut net, case.model_id);
    mqtt.subscribe(&mut net, &["$iothub/twin/res/#"]);
    patch(&mut net, &mut mqtt, "agent", &case.startup);
    match case.link {
        Link::Listens => mqtt.subscribe(&mut net, &["$iothub/twin/PATCH/properties/desired/#"]),
        Link::NotSubscribed => {}
        Link::Gone => net.cloud.closed(net.now, mqtt.wire.conn),
    }
    let deployment = waiting.unwrap_or_else(|| net.cloud.create_deployment(net.now, new).expect("deploys"));
    let workflow = net.cloud.deployment_devices(&deployment).next().map(|(_, work)| work.workflow.clone());
    let text = case.agent.to_string().replace("$w", workflow.as_deref().unwrap_or("none"));
    patch(&mut net, &mut mqtt, "service", &case.ack);
    patch(&mut net, &mut mqtt, "agent", &json(text.as_bytes()));
    if case.retried {
        net.pass(Duration::from_secs(1));
        assert_eq!(net.cloud.retry(net.now, &deployment), Ok(1));
        patch(&mut net, &mut mqtt, "service", &json!({"ac": 200, "av": 3}));
    }
    (net, deployment)
}

#[test]
fn each_reason_has_its_sentence() {
    let mut seen = std::collections::BTreeSet::new();
    for case in cases() {
        let (net, deployment) = run(&case);
        let judged = net.cloud.deployment_device(&deployment, "e54").expect("known").judgement;
        let (state, reason, part) = case.expected;
        assert!(
            judged.state == state && judged.reason == reason && judged.why.contains(part),
            "{}: {judged:?} is not {state:?} {reason:?}: {part}",
            case.name
        );
        // What is counted is what is judged.
        let counts = net.cloud.deployment_status(&deployment).expect("known").counts;
        let counted = match (reason, state) {
            (Reason::NotOffered, _) => counts.total_devices == 0,
            (_, State::InProgress) => counts.devices_in_progress_count == 1,
            (_, State::Succeeded) => counts.devices_completed_succeeded_count == 1,
            (_, State::Failed) => counts.devices_completed_failed_count == 1,
            (_, State::Cancelled) => counts.devices_canceled_count == 1,
        };
        assert!(counted, "{}: {counts:?}", case.name);
        seen.insert(reason);
    }
    assert_eq!(seen.len(), 22, "{seen:?}");
    let (net, deployment) =
        run(&case("a device that is not there", json!(null), (State::Failed, Reason::NoDevice, "")));
    let nobody = net.cloud.deployment_device(&deployment, "nobody").expect("known").judgement;
    assert_eq!((nobody.state, nobody.reason), (State::InProgress, Reason::NoDevice));
}

#[test]
fn a_twin_that_is_full_fails_and_a_retry_heals_it() {
    let mut net = Net::new(9);
    let plain = case("", json!(null), (State::Failed, Reason::TwinRefused, ""));
    net.cloud.register_device("e54", Attestation::symmetric(KEY)).expect("a new device");
    let manifest = ImportManifest::firmware(id("2.0"), "HIL", "E54", "fw.bin", b"firmware", CREATED);
    net.cloud.import_update(net.now, &manifest, &[("fw.bin", b"firmware")]).expect("imports");
    let mut mqtt = connect(&mut net, Some(MODEL));
    patch(&mut net, &mut mqtt, "agent", &plain.startup);
    let ballast: serde_json::Map<_, _> = (0..8).map(|n| (format!("k{n}"), json!("x".repeat(4000)))).collect();
    net.cloud.set_desired(net.now, "e54", &Value::Object(ballast)).expect("fits");
    let options = DeployOptions::default();
    let full = net.cloud.deploy(net.now, "e54", &id("2.0"), options).expect_err("the twin is full");
    assert!(full.to_string().contains("more than 32768"), "{full}");
    assert_eq!(net.cloud.deployments().count(), 0, "nothing is left of it");
    let new = NewDeployment {
        id: None,
        target: Target::Group("$default".into()),
        update: id("2.0"),
        start: None,
        rollback: None,
        options,
    };
    let group = net.cloud.create_deployment(net.now, new).expect("a group takes it");
    let judged = |net: &Net| net.cloud.deployment_device(&group, "e54").expect("known").judgement;
    assert_eq!((judged(&net).state, judged(&net).reason), (State::Failed, Reason::TwinRefused), "{:?}", judged(&net));
    net.cloud.set_desired(net.now, "e54", &json!({"k0": null, "k1": null})).expect("smaller");
    assert_eq!(net.cloud.retry(net.now, &group), Ok(1));
    assert_eq!(judged(&net).state, State::InProgress);
}

/// Any JSON with the members that agents report, in any place.
fn any_report() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..800).prop_map(Value::from),
        Just(json!("$w")),
        Just(json!(json!(id("2.0")).to_string())),
        "[a-z,{\"]{0,6}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "agent",
        "service",
        "state",
        "workflow",
        "id",
        "ac",
        "av",
        "lastInstallResult",
        "resultCode",
        "extendedResultCodes",
        "stepResults",
        "step_0",
        "installedUpdateId",
        "deviceProperties",
        "compatPropertyNames",
        "contractModelId",
    ]);
    leaf.prop_recursive(4, 30, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_device_reports_is_judged(reports in prop::collection::vec(any_report(), 1..4)) {
        let (mut net, deployment) = run(&case("", json!(null), (State::InProgress, Reason::AcknowledgedOnly, "")));
        let workflow = net.cloud.deployment_devices(&deployment).next().expect("one").1.workflow.clone();
        let mut mqtt = connect(&mut net, Some(MODEL));
        for report in reports {
            let patch = json!({"deviceUpdate": report}).to_string().replace("$w", &workflow);
            let topic = "$iothub/twin/PATCH/properties/reported/?$rid=r";
            mqtt.publish(&mut net, topic, patch.as_bytes(), mqttrs2::QoS::AtLeastOnce);
            let judged = net.cloud.deployment_device(&deployment, "e54").expect("known").judgement;
            prop_assert!(!judged.why.is_empty());
            let counts = net.cloud.deployment_status(&deployment).expect("known").counts;
            let counted = match judged.state {
                State::InProgress => counts.devices_in_progress_count,
                State::Succeeded => counts.devices_completed_succeeded_count,
                State::Failed => counts.devices_completed_failed_count,
                State::Cancelled => counts.devices_canceled_count,
            };
            prop_assert_eq!((counts.total_devices, counted), (1, 1));
            let all = net.cloud.compliance(None);
            let sum = all.on_latest_update_device_count
                + all.new_updates_available_device_count
                + all.updates_in_progress_device_count;
            prop_assert_eq!(all.total_device_count, sum);
            prop_assert!(net.cloud.device_health("e54").is_some() && net.cloud.managed_device("e54").is_some());
        }
    }
}
