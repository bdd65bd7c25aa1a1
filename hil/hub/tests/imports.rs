//! Imports: what is accepted, what is refused and how it is said, and the manifests that come out.

mod support;

use hub::update::{DeleteError, MAX_STEPS, UpdateFilter};
use hub::{Attestation, DeployError, DeployOptions, ImportError, ImportManifest, UpdateId};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::*;

const CREATED: &str = "2026-01-01T00:00:00.0000000Z";
const IMAGE: &[u8] = b"firmware";
const HASH: &str = "w79H6h9KSmBUcDE8rLOkT0pGH2jG+uqwfnN2EMtayDU=";

fn id(name: &str, version: &str) -> UpdateId {
    UpdateId { provider: "HIL".into(), name: name.into(), version: version.into() }
}

fn manifest(version: &str) -> ImportManifest {
    ImportManifest::firmware(id("E54", version), "HIL", "E54", "fw.bin", IMAGE, CREATED)
}

fn import(net: &mut Net, value: &Value, files: &[(&str, &[u8])]) -> Result<UpdateId, ImportError> {
    net.cloud.import_update(net.now, &ImportManifest::parse(&value.to_string())?, files)
}

/// In the order and with the members that `az iot du update init v5` writes.
fn by_the_command_line_tool() -> Value {
    json!({
        "manifestVersion": "5.0",
        "createdDateTime": "2026-01-01T00:00:00Z",
        "updateId": {"name": "E54", "provider": "HIL", "version": "2.0"},
        "isDeployable": false,
        "description": "delta",
        "compatibility": [{"manufacturer": "HIL", "model": "E54"}],
        "instructions": {"steps": [{
            "type": "inline",
            "handler": "microsoft/swupdate:2",
            "files": ["fw.bin"],
            "handlerProperties": {"installedCriteria": "2.0"},
            "description": "whole image",
        }]},
        "files": [{
            "hashes": {"sha256": HASH},
            "filename": "fw.bin",
            "sizeInBytes": 8,
            "properties": {"a": 1},
            "downloadHandler": {"id": "microsoft/delta:1"},
            "relatedFiles": [{
                "hashes": {"sha256": "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="},
                "filename": "fw.delta",
                "sizeInBytes": 3,
                "properties": {
                    "microsoft.sourceFileHashAlgorithm": "sha256",
                    "microsoft.sourceFileHash": "YmFYwnEUddq2nZsBAn5v7gCRKdHx+TUntMz5tLwU+24=",
                },
            }],
        }],
    })
}

#[test]
fn what_the_command_line_tool_writes_is_imported_and_a_delta_is_passed_on() {
    let mut net = Net::new(5);
    let value = by_the_command_line_tool();
    let files: &[(&str, &[u8])] = &[("fw.bin", IMAGE), ("fw.delta", b"abc")];
    let imported = import(&mut net, &value, files).expect("imports");
    let update = net.cloud.update(&imported).expect("imported");
    assert!(!update.is_deployable());
    let text = json(update.manifest().as_bytes());
    assert_eq!(text["manifestVersion"], "5");
    let [full, delta] = update.files() else { panic!("{:?}", update.files()) };
    let entry = &text["files"][&full.id];
    assert_eq!(text["files"].as_object().map(serde_json::Map::len), Some(1), "a delta is no payload file");
    assert_eq!(
        entry,
        &json!({
            "fileName": "fw.bin", "sizeInBytes": 8, "hashes": {"sha256": HASH}, "properties": {"a": 1},
            "relatedFiles": {&delta.id: {
                "fileName": "fw.delta", "sizeInBytes": 3,
                "hashes": value["files"][0]["relatedFiles"][0]["hashes"],
                "properties": value["files"][0]["relatedFiles"][0]["properties"],
            }},
            "downloadHandler": {"id": "microsoft/delta:1"},
        })
    );
    let step = &text["instructions"]["steps"][0];
    assert_eq!(step.as_object().expect("a step").keys().collect::<Vec<_>>(), ["handler", "files", "handlerProperties"]);
    let view = serde_json::to_value(net.cloud.update_view(&imported)).expect("JSON");
    assert_eq!((&view["description"], &view["isDeployable"]), (&json!("delta"), &json!(false)));
    assert_eq!(view["importedDateTime"], "2026-01-01T00:00:00.0000000Z");
    let shown = serde_json::to_value(net.cloud.file_view(&full.id)).expect("JSON");
    assert_eq!((&shown["fileName"], &shown["downloadHandler"]["id"]), (&json!("fw.bin"), &json!("microsoft/delta:1")));
    assert_eq!(net.cloud.file_content(&delta.id).map(|body| body.to_vec()), Some(b"abc".to_vec()));
    // The same as version 4 is refused with the way out.
    let mut four = value;
    four["manifestVersion"] = json!("4.0");
    four["updateId"]["version"] = json!("2.1");
    let error = import(&mut net, &four, files).expect_err("version 4").to_string();
    assert!(error.contains("/files/0: relatedFiles and downloadHandler need manifestVersion \"5.0\""), "{error}");
}

#[test]
fn a_reference_step_brings_the_childs_manifest_as_a_file() {
    let mut net = Net::new(5);
    let mut leaf = ImportManifest::firmware(id("Leaf", "1.0"), "HIL", "Leaf", "leaf.bin", b"leaf", CREATED);
    leaf.is_deployable = false;
    let mut parent = manifest("3.0");
    let reference = json!({"type": "reference", "updateId": {"provider": "HIL", "name": "Leaf", "version": "1.0"}});
    parent.instructions.steps.insert(0, serde_json::from_value(reference).expect("a step"));
    let missing = net.cloud.import_update(net.now, &parent, &[("fw.bin", IMAGE)]).expect_err("no child");
    assert_eq!(missing.issues()[0].path, "/instructions/steps/0/updateId");
    net.cloud.import_update(net.now, &leaf, &[("leaf.bin", b"leaf")]).expect("imports");
    net.cloud.import_update(net.now, &parent, &[("fw.bin", IMAGE)]).expect("imports");
    let update = net.cloud.update(&parent.update_id).expect("imported");
    let text = json(update.manifest().as_bytes());
    let step = &text["instructions"]["steps"][0];
    assert_eq!(step["type"], "reference");
    let detached = step["detachedManifestFileId"].as_str().expect("a file id");
    assert_eq!(text["files"][detached]["fileName"], "hil.leaf.1.0.updatemanifest.json");
    let child = json(net.cloud.file_content(detached).expect("the child's manifest"));
    let leaf_text = net.cloud.update(&leaf.update_id).expect("imported").manifest();
    assert_eq!(child["updateManifest"], leaf_text);
    assert!(update.files().iter().any(|file| file.name == "leaf.bin"), "the child's payload has a URL too");
    assert_eq!(update.steps(), 2);
    net.cloud.register_device("e54", Attestation::symmetric(KEY)).expect("a new device");
    let refused = net.cloud.deploy(net.now, "e54", &leaf.update_id, DeployOptions::default());
    assert_eq!(refused, Err(DeployError::NotDeployable("HIL/Leaf 1.0".into())));
    // Only one level.
    let mut grand = manifest("4.0");
    let reference = json!({"type": "reference", "updateId": {"provider": "HIL", "name": "E54", "version": "3.0"}});
    grand.instructions.steps.insert(0, serde_json::from_value(reference).expect("a step"));
    let error = net.cloud.import_update(net.now, &grand, &[("fw.bin", IMAGE)]).expect_err("two levels").to_string();
    assert!(error.contains("only one level"), "{error}");
    // The child stays as long as the parent.
    let refused = net.cloud.delete_update(&leaf.update_id);
    assert!(matches!(refused, Err(DeleteError::Referenced { .. })), "{refused:?}");
    let view = serde_json::to_value(net.cloud.update_view(&leaf.update_id)).expect("JSON");
    assert_eq!(view["referencedBy"], json!([parent.update_id]));
    net.cloud.delete_update(&parent.update_id).expect("not needed");
    assert_eq!(net.cloud.file_content(detached), None, "files that were made for it go with it");
    net.cloud.delete_update(&leaf.update_id).expect("not needed any more");
    assert!(matches!(net.cloud.delete_update(&leaf.update_id), Err(DeleteError::NoUpdate(_))));
}

#[test]
fn a_manifest_that_does_not_fit_a_twin_goes_into_a_file() {
    let mut net = Net::new(5);
    let mut value = serde_json::to_value(manifest("2.0.0")).expect("JSON");
    value["instructions"]["steps"][0]["handlerProperties"]["x"] = json!("y".repeat(4000));
    let imported = import(&mut net, &value, &[("fw.bin", IMAGE)]).expect("imports");
    let update = net.cloud.update(&imported).expect("imported");
    assert!(update.full_manifest().len() > 4096 && update.manifest().len() < 400);
    let mini = json(update.manifest().as_bytes());
    let members: Vec<&String> = mini.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["manifestVersion", "updateId", "detachedManifestFileId", "files"]);
    let detached = mini["detachedManifestFileId"].as_str().expect("a file id");
    assert_eq!(mini["files"][detached]["fileName"], "hil.e54.2.0.0.updatemanifest.json");
    let content = net.cloud.file_content(detached).expect("published");
    assert_eq!(mini["files"][detached]["sizeInBytes"], content.len());
    assert_eq!(json(content)["updateManifest"], update.full_manifest());
    let names: Vec<&str> = update.files().iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["fw.bin", "hil.e54.2.0.0.updatemanifest.json"], "both have URLs");
}

#[test]
fn the_example_manifests_import_and_are_listed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/manifests");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut net = Net::new(5);
    for (name, file) in [
        ("contoso.example.2.0.0", "example-2.0.0.bin"),
        ("contoso.example-leaf.1.1", "example-leaf-1.1.bin"),
        ("contoso.example-proxy.2.0.0", "example-2.0.0.bin"),
    ] {
        let text = String::from_utf8(read(&format!("{name}.importmanifest.json"))).expect("text");
        let manifest = ImportManifest::parse(&text).expect(name);
        let imported = net.cloud.import_update(net.now, &manifest, &[(file, &read(file))]).expect(name);
        assert_eq!(imported, manifest.update_id);
    }
    let versions: Vec<Value> =
        net.cloud.updates().map(|update| json(update.manifest().as_bytes())["manifestVersion"].take()).collect();
    assert_eq!(versions, ["5", "4", "4"]);
    let list = |filter: UpdateFilter| net.cloud.list_updates(&filter).map(|update| update.id().name.clone()).collect();
    let named = |name: &str| UpdateFilter { name: Some(name.into()), ..UpdateFilter::default() };
    let found: Vec<String> = list(named("Example-Leaf"));
    assert_eq!(found, ["Example-Leaf"]);
    let found: Vec<String> = list(UpdateFilter { version: Some("2.0.0".into()), ..UpdateFilter::default() });
    assert_eq!(found, ["Example", "Example-Proxy"]);
    let found: Vec<String> = list(UpdateFilter { is_deployable: Some(false), ..UpdateFilter::default() });
    assert_eq!(found, ["Example-Leaf"]);
}

#[test]
fn an_import_with_a_mistake_is_refused_with_its_place_and_a_way_out() {
    let mut net = Net::new(5);
    let files: &[(&str, &[u8])] = &[("fw.bin", IMAGE)];
    type Change = Box<dyn Fn(&mut Value)>;
    let set = |pointer: &'static str, to: Value| -> Change {
        Box::new(move |value| *value.pointer_mut(pointer).expect("a member") = to.clone())
    };
    let add = |pointer: &'static str, key: &'static str, to: Value| -> Change {
        Box::new(move |value| value.pointer_mut(pointer).expect("an object")[key] = to.clone())
    };
    let step = json!({"handler": "microsoft/swupdate:1", "files": ["fw.bin"]});
    let set_of = |count: usize| (0..count).map(|n| (format!("p{n}"), json!("x"))).collect::<Value>();
    let cases: Vec<(Change, &str, &str)> = vec![
        (set("/manifestVersion", json!("3.0")), "/manifestVersion", "write \"5.0\""),
        (set("/manifestVersion", json!(5)), "/manifestVersion", "the number 5 is written where a text belongs"),
        (set("/updateId/version", json!("2")), "/updateId/version", "such as 2.0"),
        (set("/updateId/version", json!("2.0.0-rc1")), "/updateId/version", "two to four numbers"),
        (set("/updateId/provider", json!("a/b")), "/updateId/provider", "A-Z a-z 0-9 . -"),
        (set("/updateId/name", json!("x".repeat(65))), "/updateId/name", "65 characters, but 1 to 64"),
        (add("", "description", json!("")), "/description", "0 characters"),
        (add("", "isDeployable", json!("yes")), "/isDeployable", "true or false"),
        (set("/createdDateTime", json!("yesterday")), "/createdDateTime", "2026-01-31T12:00:00Z"),
        (set("/compatibility", json!([])), "/compatibility", "0 entries, but 1 to 10"),
        (set("/compatibility", json!(vec![json!({"a": "b"}); 11])), "/compatibility", "11 entries"),
        (set("/compatibility/0", set_of(6)), "/compatibility/0", "6 properties, but 1 to 5"),
        (set("/compatibility/0/model", json!(3)), "/compatibility/0/model", "a text belongs"),
        (set("/compatibility/0", json!({"a/b": 1})), "/compatibility/0/a~1b", "a text belongs"),
        (set("/instructions/steps", json!([])), "/instructions/steps", "0 entries"),
        (set("/instructions/steps", json!(vec![step; MAX_STEPS + 1])), "/instructions/steps", "11 entries"),
        (set("/instructions/steps/0/handler", json!("swupdate")), "/instructions/steps/0/handler", "provider/name:v"),
        (set("/instructions/steps/0/files", json!(["x.bin"])), "/instructions/steps/0/files/0", "list it there"),
        (set("/instructions/steps/0", json!({"type": "reference"})), "/instructions/steps/0/updateId", "is missing"),
        (
            set("/instructions/steps/0", json!({"updateId": {}})),
            "/instructions/steps/0",
            "add `\"type\": \"reference\"`",
        ),
        (set("/instructions/steps/0", json!({"type": "inlined"})), "/instructions/steps/0/type", "\"reference\""),
        (set("/files/0/sizeInBytes", json!(9)), "/files/0/sizeInBytes", "has 8 bytes, not 9"),
        (set("/files/0/sizeInBytes", json!("8")), "/files/0/sizeInBytes", "a positive integer"),
        (set("/files/0/sizeInBytes", json!(0)), "/files/0/sizeInBytes", "at least 1"),
        (set("/files/0/sizeInBytes", json!(3_000_000_000_u64)), "/files/0/sizeInBytes", "2 GiB"),
        (set("/files/0/hashes/sha256", json!("AAAA")), "/files/0/hashes/sha256", "44 characters"),
        (set("/files/0/hashes/sha256", json!("0".repeat(64))), "/files/0/hashes/sha256", "looks hexadecimal"),
        (set("/files/0/hashes", json!({"sha256": HASH.replace('w', "x")})), "/files/0/hashes/sha256", HASH),
        (set("/files/0/hashes", json!({"md5": "x"})), "/files/0/hashes", "`sha256` is missing"),
        (set("/files/0/filename", json!("../fw.bin")), "/files/0/filename", "leave out folders"),
        (add("", "surprise", json!(1)), "/surprise", "there are `$schema`"),
        (add("", "updateID", json!(1)), "/updateID", "did you mean `updateId`?"),
        (add("/files/0", "fileName", json!("x")), "/files/0/fileName", "`filename`"),
        (
            add("/instructions/steps/0", "installedCriteria", json!("1")),
            "/instructions/steps/0/installedCriteria",
            "handlerProperties",
        ),
        (
            add("/files/0", "downloadHandler", json!({"id": "delta"})),
            "/files/0/downloadHandler/id",
            "microsoft/delta:1",
        ),
        (
            Box::new(|value| value["files"] = json!([value["files"][0], value["files"][0]])),
            "/files/1/filename",
            "listed before",
        ),
        (Box::new(|value| *value = json!([])), "", "a list is written where an object belongs"),
    ];
    for (change, path, part) in cases {
        let mut value = serde_json::to_value(manifest("2.0.0")).expect("JSON");
        change(&mut value);
        let error = import(&mut net, &value, files).expect_err(part);
        assert_eq!(error.status(), 400);
        let hit = |issue: &&hub::update::Issue| issue.path == path && issue.message.contains(part);
        assert!(error.issues().iter().any(|issue| hit(&issue)), "{error} does not say {part:?} at {path:?}");
    }
    let value = serde_json::to_value(manifest("2.0.0")).expect("JSON");
    let error = import(&mut net, &value, &[]).expect_err("no file").to_string();
    assert!(error.contains("/files/0/filename: the file `fw.bin` was not handed over"), "{error}");
    let error = import(&mut net, &value, &[("fw.bin", IMAGE), ("x", b"")]).expect_err("a stray file").to_string();
    assert!(error.contains("/files: the file `x` was handed over, but is not listed"), "{error}");
    assert!(matches!(ImportManifest::parse("{"), Err(ImportError::Json(_))));
    // Several mistakes come at once.
    let error = ImportManifest::parse(r#"{"updateId":{"provider":"","name":"a b","version":"1"}}"#).expect_err("many");
    assert_eq!(error.issues().len(), 7, "{error}");
    assert_eq!(import(&mut net, &value, files), Ok(id("E54", "2.0.0")));
    let error = import(&mut net, &value, files).expect_err("twice");
    assert_eq!((error.status(), error), (409, ImportError::Exists(id("E54", "2.0.0"))));
    // Zeros in front of a version's numbers are dropped, so this is the same update.
    let mut zeros = value;
    zeros["updateId"]["version"] = json!("02.0.00");
    assert_eq!(import(&mut net, &zeros, files), Err(ImportError::Exists(id("E54", "2.0.0"))));
}

/// Any JSON, with names of members that occur.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("5.0")),
        Just(json!("reference")),
    ];
    let key = prop_oneof![
        Just("updateId".to_owned()),
        Just("compatibility".to_owned()),
        Just("instructions".to_owned()),
        Just("steps".to_owned()),
        Just("files".to_owned()),
        Just("hashes".to_owned()),
        Just("relatedFiles".to_owned()),
        ".{0,8}",
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_json_is_refused_with_places_or_accepted(value in any_json()) {
        if let Err(error) = ImportManifest::parse(&value.to_string()) {
            prop_assert!(!error.issues().is_empty());
            for issue in error.issues() {
                prop_assert!(issue.path.is_empty() || issue.path.starts_with('/'), "{}", error);
            }
        }
    }

    #[test]
    fn any_text_is_refused_or_accepted(text in ".{0,60}") {
        prop_assert!(ImportManifest::parse(&text).is_err());
    }

    #[test]
    fn one_changed_place_never_panics(
        which in 0_usize..40,
        replacement in any_json(),
    ) {
        let mut value = by_the_command_line_tool();
        let mut places = Vec::new();
        collect(&value, String::new(), &mut places);
        let place = places[which % places.len()].clone();
        *value.pointer_mut(&place).expect("a place") = replacement;
        let mut net = Net::new(5);
        let files: &[(&str, &[u8])] = &[("fw.bin", IMAGE), ("fw.delta", b"abc")];
        if let Err(error) = import(&mut net, &value, files) {
            prop_assert!(!error.issues().is_empty());
        }
    }
}

/// Every place of a document, as JSON pointers.
fn collect(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                collect(value, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), places);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                collect(value, format!("{at}/{index}"), places);
            }
        }
        _ => {}
    }
    places.push(at);
}
