//! Import manifests.
//!
//! Input: a byte (kind); a text, or for changes of a manifest that is right, each: a byte (which), a byte (which of its
//! places), a value as in [`json`].

use std::sync::LazyLock;

use hub::{ImportError, ImportManifest, UpdateId};
use serde_json::Value;

use super::json;
use crate::Input;

/// The rest is the manifest's text.
pub const TEXT: u8 = 0;
/// The rest changes a manifest that is right.
pub const CHANGES: u8 = 1;

/// A place gets another value.
pub const REPLACE: u8 = 0;
/// A member is taken out, or an item.
pub const REMOVE: u8 = 1;
/// A member comes in, or an item.
pub const ADD: u8 = 2;
/// A value goes in twice.
pub const DOUBLE: u8 = 3;

const CONTENT: &[u8] = b"firmware";

static RIGHT: LazyLock<Value> = LazyLock::new(|| {
    let version = "1.2.3".to_owned();
    let id = UpdateId { provider: "p".to_owned(), name: "n".to_owned(), version };
    let manifest = ImportManifest::firmware(id, "maker", "model", "fw.bin", CONTENT, "2026-01-31T12:00:00Z");
    serde_json::to_value(manifest).expect("JSON")
});

/// Reads a manifest, and imports it.
///
/// # Panics
/// If a mistake has no place in the document, or a manifest that was accepted is another one when it is written and read.
pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let text = match input.byte() % 2 {
        TEXT => String::from_utf8_lossy(input.0).into_owned(),
        _ => changed(&mut input).to_string(),
    };
    let value = serde_json::from_str::<Value>(&text);
    match (ImportManifest::parse(&text), value) {
        (Err(ImportError::Json(_)), Err(_)) => {}
        (Err(ImportError::Invalid(issues)), Ok(value)) => {
            assert!((1..=20).contains(&issues.len()));
            for issue in &issues {
                check_place(&issue.path, &value);
                assert!(!issue.message.is_empty() && !issue.message.contains('\n'), "{:?}", issue.message);
            }
        }
        (Ok(manifest), Ok(_)) => check(&manifest),
        (parsed, value) => panic!("{parsed:?} of {value:?}"),
    }
}

fn changed(input: &mut Input<'_>) -> Value {
    let mut value = RIGHT.clone();
    while !input.is_empty() {
        let what = input.byte() % 4;
        let pointers = pointers(&value);
        let pointer = &pointers[usize::from(input.byte()) % pointers.len()];
        let Some(at) = value.pointer_mut(pointer) else { continue };
        match (what, at) {
            (REPLACE, at) => *at = json::value(input, 4),
            (REMOVE, Value::Object(object)) if !object.is_empty() => {
                let nth = usize::from(input.byte()) % object.len();
                let name = object.keys().nth(nth).cloned().unwrap_or_default();
                object.shift_remove(&name);
            }
            (REMOVE, Value::Array(items)) => drop(items.pop()),
            (ADD, Value::Object(object)) => {
                object.insert(json::key(input), json::value(input, 3));
            }
            (ADD, Value::Array(items)) => items.push(json::value(input, 3)),
            (DOUBLE, Value::Array(items)) if items.len() < 100 => items.extend(items.clone()),
            _ => {}
        }
    }
    value
}

/// Every place of a document, as JSON pointers.
fn pointers(value: &Value) -> Vec<String> {
    let mut all = vec![String::new()];
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let key = key.replace('~', "~0").replace('/', "~1");
                all.extend(pointers(value).into_iter().map(|rest| format!("/{key}{rest}")));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                all.extend(pointers(item).into_iter().map(|rest| format!("/{index}{rest}")));
            }
        }
        _ => {}
    }
    all
}

/// A pointer of RFC 6901 to a place of the document, or to a member that it lacks.
fn check_place(pointer: &str, value: &Value) {
    assert!(pointer.is_empty() || pointer.starts_with('/'), "{pointer:?}");
    let escapes = pointer.split('~').skip(1);
    assert!(escapes.clone().all(|rest| rest.starts_with(['0', '1'])), "{pointer:?}");
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    let lacks = || value.pointer(parent).is_some_and(|parent| parent.is_object() || parent.is_array());
    assert!(value.pointer(pointer).is_some() || lacks(), "{pointer:?} is no place in {value}");
}

fn check(manifest: &ImportManifest) {
    let value = serde_json::to_value(manifest).expect("JSON");
    assert_eq!(ImportManifest::from_value(value).as_ref(), Ok(manifest));
    assert!((1..=10).contains(&manifest.instructions.steps.len()) && manifest.files.len() <= 10);
    let mut cloud = super::cloud();
    let now = sim_base::Instant::ZERO;
    let files = [("fw.bin", CONTENT)];
    match cloud.import_update(now, manifest, &files) {
        Ok(id) => {
            assert!(cloud.update(&id).is_some());
            assert_eq!(cloud.import_update(now, manifest, &files), Err(ImportError::Exists(id)));
        }
        Err(error) => {
            assert!(!error.issues().is_empty(), "{error}");
            let value = serde_json::to_value(manifest).expect("JSON");
            for issue in error.issues() {
                check_place(&issue.path, &value);
            }
            assert_eq!(cloud.updates().count(), 0, "refused, and imported");
        }
    }
}
