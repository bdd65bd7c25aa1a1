//! What the agent takes and what it refuses in a signed manifest.

mod common;

use adu_agent::{Agent, Boot, Code, Config, DocumentError, State};
use common::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Deploys `manifest` to a device with `config`; the code of the refusal, and the explanation.
fn deploy(config: Config<'static>, manifest: &Value) -> (Code, String) {
    let mut agent = Agent::new(config, State::default(), Boot::Confirmed).unwrap();
    agent.connected();
    let twin = json!({"desired": patch(1, &service_of("w1", manifest))});
    agent.twin(&FakeCrypto, &mut twin.to_string().into_bytes()).unwrap();
    let state = *agent.state();
    assert_eq!(state.code() == Code::None, agent.download().is_some());
    let mut device = Device { agent, stored: vec![], now_ms: 0, answers: 204 };
    let done = device.run();
    let details = done.iter().find_map(|done| match done {
        Done::Report(report) => report["deviceUpdate"]["agent"]["lastInstallResult"]["resultDetails"].as_str(),
        _ => None,
    });
    (state.code(), details.unwrap_or_default().into())
}

fn code(manifest: &Value) -> Code {
    deploy(config("1.0.0"), manifest).0
}

#[test]
fn versions_4_and_5_are_read() {
    for (version, expected) in [
        (json!("4"), Code::None),
        (json!("5"), Code::None),
        (json!("3"), Code::ManifestVersion),
        (json!("6"), Code::ManifestVersion),
        (json!(5), Code::MalformedManifest),
        (json!(null), Code::MalformedManifest),
    ] {
        let mut manifest = manifest("2.0.0");
        manifest["manifestVersion"] = version;
        assert_eq!(code(&manifest), expected);
    }
}

#[test]
fn unknown_members_are_skipped_everywhere() {
    let mut manifest = manifest("2.0.0");
    for pointer in ["", "/updateId", "/instructions", "/instructions/steps/0", "/files/f0123456789abcdef"] {
        manifest.pointer_mut(pointer).unwrap()["future"] = json!({"a": [1, {"b": null}]});
    }
    manifest["instructions"]["steps"][0]["type"] = "inline".into();
    manifest["files"]["f0123456789abcdef"]["relatedFiles"] = json!({"x": {"sizeInBytes": 1}});
    assert_eq!(code(&manifest), Code::None);
}

#[test]
fn compatibility_is_matched_in_all_three_spellings_and_in_any_set() {
    for set in [
        json!([{"manufacturer": "ACME", "model": "E54"}]),
        json!([{"deviceManufacturer": "ACME", "deviceModel": "E54"}]),
        json!([{"DeviceManufacturer": "ACME", "DeviceModel": "E54"}]),
        json!([{"manufacturer": "Other", "model": "E54"}, {"manufacturer": "ACME", "model": "E54"}]),
        json!([{"model": "E54"}]),
    ] {
        let mut manifest = manifest("2.0.0");
        manifest["compatibility"] = set.clone();
        assert_eq!(code(&manifest), Code::None, "{set}");
    }
}

#[test]
fn an_incompatible_device_says_which_property_differs() {
    for (set, explanation) in [
        (json!([{"manufacturer": "acme", "model": "E54"}]), "manufacturer is 'acme' in the update, 'ACME' here"),
        (
            json!([{"deviceModel": "E70", "deviceManufacturer": "ACME"}]),
            "deviceModel is 'E70' in the update, 'E54' here",
        ),
        (json!([{"location": "north"}]), "location is 'north' in the update, '(none)' here"),
        (json!([{"model": 54}]), "model is '?' in the update, 'E54' here"),
        (json!([]), "the manifest names no compatible devices"),
        (json!(null), "the manifest names no compatible devices"),
        (json!([{}]), ""),
    ] {
        let mut manifest = manifest("2.0.0");
        manifest["compatibility"] = set;
        let expected = (Code::Incompatible, explanation.to_string());
        assert_eq!(deploy(config("1.0.0"), &manifest), expected);
    }
}

#[test]
fn explanations_are_cut_and_never_break_the_report() {
    let mut manifest = manifest("2.0.0");
    manifest["compatibility"] = json!([{"model": format!("\"\\\u{7}ü{}", "x".repeat(300))}]);
    let (code, details) = deploy(config("1.0.0"), &manifest);
    assert_eq!(code, Code::Incompatible);
    assert_eq!(details.len(), 80);
}

#[test]
fn further_properties_are_reported_and_matched() {
    let config = Config { properties: &[("location", "north"), ("ring", "1")], ..config("1.0.0") };
    let mut manifest = manifest("2.0.0");
    manifest["compatibility"] = json!([{"manufacturer": "ACME", "location": "north"}]);
    assert_eq!(deploy(config, &manifest).0, Code::None);
    let mut device = Device {
        agent: Agent::new(config, State::default(), Boot::Confirmed).unwrap(),
        stored: vec![],
        now_ms: 0,
        answers: 204,
    };
    device.agent.connected();
    let done = device.run();
    let agent = &report(&done)["agent"];
    assert_eq!(agent["compatPropertyNames"], "manufacturer,model,location,ring");
    assert_eq!(agent["deviceProperties"]["location"], "north");
}

#[test]
fn a_configuration_that_cannot_be_reported_is_refused() {
    let long: &'static str = "x".repeat(65).leak();
    let many: &'static [(&str, &str)] = &[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")];
    for config in [
        Config { manufacturer: "", ..config("1") },
        Config { model: long, ..config("1") },
        Config { model: "a\"b", ..config("1") },
        Config { model: "a\nb", ..config("1") },
        Config { properties: many, ..config("1") },
    ] {
        assert!(Agent::new(config, State::default(), Boot::Confirmed).is_err());
    }
}

#[test]
fn steps_that_a_single_image_cannot_take_are_refused() {
    let step = manifest("2.0.0")["instructions"]["steps"][0].clone();
    let mut script = step.clone();
    script["handler"] = "microsoft/script:1".into();
    let reference = json!({"type": "reference", "detachedManifestFileId": "f1"});
    for (steps, expected) in [
        (json!([]), Code::StepCount),
        (json!([step, step]), Code::StepCount),
        (Value::from(vec![step.clone(); 11]), Code::StepCount),
        (json!([reference, step]), Code::ReferenceStep),
        (json!([step, reference]), Code::ReferenceStep),
        (json!([script]), Code::Handler),
        (json!([{}]), Code::Handler),
        (json!("x"), Code::StepCount),
        (json!(null), Code::StepCount),
    ] {
        let mut manifest = manifest("2.0.0");
        manifest["instructions"]["steps"] = steps.clone();
        assert_eq!(code(&manifest), expected, "{steps}");
    }
}

#[test]
fn a_refused_manifest_is_reported_with_all_its_steps() {
    let mut manifest = manifest("2.0.0");
    let step = manifest["instructions"]["steps"][0].clone();
    manifest["instructions"]["steps"] = json!([{"type": "reference", "detachedManifestFileId": "f1"}, step]);
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    let done = device.connect(1, &service_of("w1", &manifest));
    let steps = &report(&done)["agent"]["lastInstallResult"]["stepResults"];
    let expected = json!({"resultCode": 0, "extendedResultCode": Code::ReferenceStep as i32, "resultDetails": ""});
    assert_eq!(*steps, json!({"step_0": expected, "step_1": expected}));
}

#[test]
fn the_longest_report_fits() {
    let mut long = manifest("2.0.0");
    for member in ["provider", "name", "version"] {
        long["updateId"][member] = "x".repeat(64).into();
    }
    let mut device = Device::start("2.0.0", Boot::Confirmed);
    device.connect(1, &service_of("w1", &long));

    let step = long["instructions"]["steps"][0].clone();
    long["instructions"]["steps"] = vec![step; 10].into();
    long["compatibility"] = json!([{"model": "y".repeat(300)}]);
    let mut service = service_of(&"\u{1}".repeat(48), &long);
    service["workflow"]["retryTimestamp"] = "\u{2}".repeat(40).into();
    let done = device.connect(i64::MAX, &service);
    let agent = &report(&done)["agent"];
    assert_eq!(agent["lastInstallResult"]["stepResults"].as_object().unwrap().len(), 10);
    assert_eq!(agent["lastInstallResult"]["resultDetails"].as_str().unwrap().len(), 80);
    assert_eq!(agent["workflow"]["id"], "\u{1}".repeat(48));
    assert!(agent["installedUpdateId"].as_str().unwrap().len() > 200);
}

#[test]
fn a_detached_manifest_is_refused_with_its_code() {
    let mut manifest = manifest("2.0.0");
    manifest.as_object_mut().unwrap().remove("instructions");
    assert_eq!(code(&manifest), Code::MalformedManifest);
    manifest["detachedManifestFileId"] = "f1".into();
    assert_eq!(code(&manifest), Code::DetachedManifest);
}

#[test]
fn files_are_exactly_one_and_described() {
    let id = "f0123456789abcdef";
    for (pointer, value, expected) in [
        ("/instructions/steps/0/files".into(), json!([]), Code::FileCount),
        ("/instructions/steps/0/files".into(), json!([id, id]), Code::FileCount),
        ("/instructions/steps/0/files".into(), json!(["f1"]), Code::File),
        ("/instructions/steps/0/files".into(), json!([1]), Code::File),
        ("/files".into(), json!({}), Code::File),
        (format!("/files/{id}/sizeInBytes"), json!(0), Code::FileSize),
        (format!("/files/{id}/sizeInBytes"), json!(-5), Code::FileSize),
        (format!("/files/{id}/sizeInBytes"), json!(900_001), Code::FileSize),
        (format!("/files/{id}/sizeInBytes"), json!(5_000_000_000_u64), Code::FileSize),
        (format!("/files/{id}/sizeInBytes"), json!("262144"), Code::None),
        (format!("/files/{id}/sizeInBytes"), json!(1.5), Code::FileSize),
        (format!("/files/{id}/hashes"), json!({}), Code::File),
        (format!("/files/{id}/hashes/sha256"), json!("AAAA"), Code::File),
        (format!("/files/{id}/hashes/sha256"), json!(null), Code::File),
    ] {
        let mut manifest = manifest("2.0.0");
        *manifest.pointer_mut(&pointer).unwrap() = value.clone();
        assert_eq!(code(&manifest), expected, "{pointer} = {value}");
    }
    let mut many = manifest("2.0.0");
    for n in 0..10 {
        many["files"][format!("f{n}")] = json!({});
    }
    assert_eq!(code(&many), Code::FileCount);
}

#[test]
fn update_ids_have_usual_characters() {
    for (member, value) in [
        ("version", json!(null)),
        ("name", json!("")),
        ("provider", json!("a\"b")),
        ("provider", json!("ü")),
        ("name", json!("x".repeat(65))),
    ] {
        let mut manifest = manifest("2.0.0");
        manifest["updateId"][member] = value;
        assert_eq!(code(&manifest), Code::UpdateId);
    }
}

#[test]
fn documents_that_are_no_twin_are_refused() {
    let mut agent = Agent::new(config("1.0.0"), State::default(), Boot::Confirmed).unwrap();
    for (text, error) in [
        (&b"\xFF"[..], DocumentError::Malformed),
        (b"{", DocumentError::Malformed),
        (b"{}", DocumentError::Malformed),
        (b"{\"desired\":{}}", DocumentError::NoVersion),
        (b"{\"desired\":{\"$version\":\"1\"}}", DocumentError::NoVersion),
    ] {
        assert_eq!(agent.twin(&FakeCrypto, &mut text.to_vec()), Err(error));
    }
    assert_eq!(agent.twin(&FakeCrypto, &mut br#"{"desired":{"$version":1}}"#.to_vec()), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn documents_with_random_damage_never_panic_or_download(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        truncate: Option<prop::sample::Index>,
    ) {
        let twin = json!({"desired": patch(1, &service("w1", "2.0.0"))}).to_string();
        let mut damaged = twin.clone().into_bytes();
        for (at, byte) in cuts {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        if let Some(at) = truncate {
            damaged.truncate(at.index(damaged.len()));
        }
        let mut agent = Agent::new(config("1.0.0"), State::default(), Boot::Confirmed).unwrap();
        let is_changed = damaged != twin.as_bytes();
        let _ = agent.twin(&FakeCrypto, &mut damaged);
        if let Some(download) = agent.download() && is_changed {
            // Only what is not signed may have changed: the URL, the workflow id, or what is skipped.
            prop_assert_eq!(download.size, 262_144);
            prop_assert_eq!(download.version, "2.0.0");
        }
    }

    #[test]
    fn random_manifests_never_panic(
        member in prop::sample::select(vec!["manifestVersion", "updateId", "compatibility", "instructions", "files"]),
        text in r#"[\[\]{}",:a-f0-9]{0,40}"#,
    ) {
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let mut manifest = manifest("2.0.0");
        manifest[member] = value;
        deploy(config("1.0.0"), &manifest);
    }
}
