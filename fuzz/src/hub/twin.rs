//! Patches of a twin.
//!
//! Input: for each patch a byte (which section) and an object as in [`json`].

use hub::{Twin, TwinError};
use serde_json::{Map, Value};

use super::json;
use crate::Input;

/// Levels of the objects that are generated: more than a twin allows.
const DEPTH: usize = 16;

/// Patches a twin, and compares it with what RFC 7396 says.
///
/// # Panics
/// If an accepted patch did something else, a refused one something at all, or a limit does not hold.
pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let mut twin = Twin::default();
    let mut time = 0_u64;
    while !input.is_empty() {
        let section = input.byte();
        let patch = json::object(&mut input, DEPTH);
        time += 1;
        let stamp = format!("2026-01-01T00:00:{time:02}Z");
        let before = twin.clone();
        let (limit, outcome) = match section % 3 {
            0 => (32 * 1024, twin.patch_desired(&patch, &stamp).map(Some)),
            1 => (32 * 1024, twin.patch_reported(&patch, &stamp).map(Some)),
            _ => (8 * 1024, twin.patch_tags(&patch).map(|()| None)),
        };
        let of = |twin: &Twin| match section % 3 {
            0 => twin.desired().clone(),
            1 => twin.reported().clone(),
            _ => twin.tags().clone(),
        };
        let wanted = merge(Value::Object(of(&before)), &Value::Object(patch.clone()));
        let allowed = is_allowed(&Value::Object(patch), 0) && size(&wanted) <= limit;
        match outcome {
            Ok(version) => {
                assert!(allowed, "taken, and beyond a limit: {wanted}");
                assert_eq!(Value::Object(of(&twin)), wanted, "not what RFC 7396 says");
                let earlier = match section % 3 {
                    0 => before.desired_version(),
                    _ => before.reported_version(),
                };
                assert!(version.is_none_or(|version| version == earlier + 1));
                assert_eq!(twin.version(), before.version() + 1);
                // What the back end changes has another entity tag, what the device changes has not.
                assert_eq!(twin.etag() == before.etag(), section % 3 == 1);
            }
            Err(error) => {
                assert!(!allowed, "refused, and within the limits: {error}");
                assert_eq!(twin, before, "refused, and changed");
                assert_eq!(error.status(), if matches!(error, TwinError::TooLarge { .. }) { 413 } else { 400 });
            }
        }
    }
    check_metadata(&twin);
    check_store(&twin);
    check_replacement(&twin, &mut input);
}

/// RFC 7396, section 2, as it is written there.
fn merge(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = match target {
        Value::Object(target) => target,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.shift_remove(name);
        } else {
            let old = target.get(name).cloned().unwrap_or(Value::Null);
            target.insert(name.clone(), merge(old, value));
        }
    }
    Value::Object(target)
}

/// The limits of "Understand and use device twins in IoT Hub"; `depth` counts objects, and arrays in arrays.
fn is_allowed(value: &Value, depth: usize) -> bool {
    match value {
        Value::Object(object) => {
            depth <= 10
                && object.iter().all(|(key, value)| {
                    let sound = |c: char| !matches!(c, '.' | '$' | ' ') && !c.is_control();
                    (1..=1024).contains(&key.len()) && key.chars().all(sound) && is_allowed(value, depth + 1)
                })
        }
        Value::Array(items) => items.iter().all(|item| match item {
            Value::Array(_) => depth <= 10 && is_allowed(item, depth + 1),
            _ => is_allowed(item, depth),
        }),
        Value::String(text) => text.len() <= 4096,
        Value::Number(number) => match (number.as_i64(), number.is_f64()) {
            (_, true) => true,
            (Some(number), _) => (-4_503_599_627_370_496..=4_503_599_627_370_495).contains(&number),
            (None, _) => false,
        },
        Value::Null | Value::Bool(_) => true,
    }
}

/// The size that counts.
fn size(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.chars().filter(|c| !c.is_control()).map(char::len_utf8).sum(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(object) => object.iter().map(|(key, value)| key.len() + size(value)).sum(),
    }
}

/// Every property has its time, and nothing else has one.
fn check_metadata(twin: &Twin) {
    let document = twin.service_document();
    for name in ["desired", "reported"] {
        let section = document[name].as_object().expect("a section");
        let metadata = section["$metadata"].as_object().expect("metadata");
        assert!(section["$version"].is_u64());
        let properties = if name == "desired" { twin.desired() } else { twin.reported() };
        check_times(properties, metadata);
    }
}

fn check_times(properties: &Map<String, Value>, times: &Map<String, Value>) {
    assert!(times["$lastUpdated"].is_string());
    let named = times.keys().filter(|key| !key.starts_with('$')).count();
    assert_eq!(named, properties.len(), "{properties:?} {times:?}");
    for (key, value) in properties {
        let inner = times[key].as_object().expect("a node for each property");
        match value {
            Value::Object(object) => check_times(object, inner),
            _ => assert!(inner["$lastUpdated"].is_string() && inner.keys().all(|key| key.starts_with('$'))),
        }
    }
}

/// It comes back from the store as it was.
fn check_store(twin: &Twin) {
    let bytes = serde_json::to_vec(twin).expect("a twin is JSON");
    assert_eq!(&serde_json::from_slice::<Twin>(&bytes).expect("reads back"), twin);
}

/// What replaces the desired properties leads to what is wanted.
fn check_replacement(twin: &Twin, input: &mut Input<'_>) {
    let wanted = json::object(input, 3);
    // Nulls delete, and so are not kept.
    let Value::Object(wanted) = merge(Value::Null, &Value::Object(wanted)) else { return };
    let mut replaced = twin.clone();
    let patch = replaced.replacement(&wanted);
    if replaced.patch_desired(&patch, "2026-01-01T00:01:00Z").is_ok() {
        assert_eq!(replaced.desired(), &wanted);
    }
}
