//! Device twins: merge patches, versions and limits.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Largest size of desired and of reported properties, bytes after [`size`].
pub const MAX_PROPERTIES: usize = 32 * 1024;
/// Largest size of tags, bytes.
pub const MAX_TAGS: usize = 8 * 1024;
/// Deepest nesting of objects.
pub const MAX_DEPTH: usize = 10;
/// Longest key, bytes.
pub const MAX_KEY: usize = 1024;
/// Longest string value, bytes: the limit that an update manifest has to fit into.
pub const MAX_STRING: usize = 4096;
/// Integers beyond this, positive or negative, are refused.
pub const MAX_INTEGER: i64 = 4_503_599_627_370_496;

/// Why a patch is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TwinError {
    /// the patch is not a JSON object
    #[error("the patch is not a JSON object: {0}")]
    NotAnObject(String),
    /// a key is empty, too long, or has a character that twins do not allow
    #[error("the key `{0}` is empty, longer than 1 KB, or has one of the characters `.`, `$`, space or control")]
    Key(String),
    /// a string is too long
    #[error("the string at `{key}` has {len} bytes, more than the 4096 that a twin allows")]
    StringTooLong {
        /// Key of the string.
        key: String,
        /// Length of the string.
        len: usize,
    },
    /// a number is out of range
    #[error("the number at `{0}` is out of the range that a twin allows")]
    Number(String),
    /// the nesting is too deep
    #[error("objects are nested deeper than 10 levels")]
    Depth,
    /// the document would become too large
    #[error("the document would have {size} bytes, more than {limit}")]
    TooLarge {
        /// Size that it would have.
        size: usize,
        /// Size that is allowed.
        limit: usize,
    },
}

impl TwinError {
    /// The status with which a device's patch is refused.
    pub fn status(&self) -> u16 {
        if matches!(self, Self::TooLarge { .. }) { 413 } else { 400 }
    }
}

/// The twin of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Twin {
    desired: Section,
    reported: Section,
    tags: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Section {
    properties: Map<String, Value>,
    version: u64,
}

impl Section {
    fn patch(&mut self, patch: &Map<String, Value>) -> Result<u64, TwinError> {
        let merged = merged(&self.properties, patch, MAX_PROPERTIES)?;
        self.properties = merged;
        self.version += 1;
        Ok(self.version)
    }

    /// The properties with `$version` at the end.
    fn document(&self) -> Value {
        let mut document = self.properties.clone();
        document.insert("$version".into(), self.version.into());
        Value::Object(document)
    }
}

impl Default for Twin {
    fn default() -> Self {
        let section = Section { properties: Map::new(), version: 1 };
        Self { desired: section.clone(), reported: section, tags: Map::new() }
    }
}

impl Twin {
    /// Desired properties, without `$version`.
    pub fn desired(&self) -> &Map<String, Value> {
        &self.desired.properties
    }

    /// Version of the desired properties.
    pub fn desired_version(&self) -> u64 {
        self.desired.version
    }

    /// Reported properties, without `$version`.
    pub fn reported(&self) -> &Map<String, Value> {
        &self.reported.properties
    }

    /// Version of the reported properties.
    pub fn reported_version(&self) -> u64 {
        self.reported.version
    }

    /// Tags; a device does not see them.
    pub fn tags(&self) -> &Map<String, Value> {
        &self.tags
    }

    /// The document that a device reads: `{"desired":{…,"$version":n},"reported":{…,"$version":m}}`.
    pub fn document(&self) -> Value {
        let mut document = Map::new();
        document.insert("desired".into(), self.desired.document());
        document.insert("reported".into(), self.reported.document());
        Value::Object(document)
    }

    /// Merges a patch into the desired properties; yields the new version.
    ///
    /// # Errors
    /// [`TwinError`]; the twin is unchanged then.
    pub fn patch_desired(&mut self, patch: &Map<String, Value>) -> Result<u64, TwinError> {
        self.desired.patch(patch)
    }

    /// Merges a device's patch into the reported properties; yields the new version.
    ///
    /// # Errors
    /// [`TwinError`]; the twin is unchanged then.
    pub fn patch_reported(&mut self, patch: &Map<String, Value>) -> Result<u64, TwinError> {
        self.reported.patch(patch)
    }

    /// Merges a patch into the tags.
    ///
    /// # Errors
    /// [`TwinError`]; the twin is unchanged then.
    pub fn patch_tags(&mut self, patch: &Map<String, Value>) -> Result<(), TwinError> {
        self.tags = merged(&self.tags, patch, MAX_TAGS)?;
        Ok(())
    }
}

/// The message of a desired-property patch: the patch with the new `$version` at the end.
pub fn notification(patch: &Map<String, Value>, version: u64) -> Value {
    let mut message = patch.clone();
    message.insert("$version".into(), version.into());
    Value::Object(message)
}

fn merged(
    target: &Map<String, Value>,
    patch: &Map<String, Value>,
    limit: usize,
) -> Result<Map<String, Value>, TwinError> {
    check(patch, 1)?;
    let mut result = target.clone();
    merge(&mut result, patch);
    let size = size_of_object(&result);
    if size > limit { Err(TwinError::TooLarge { size, limit }) } else { Ok(result) }
}

/// RFC 7396 for objects: null deletes, objects merge, everything else replaces.
fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.shift_remove(key);
            }
            Value::Object(patch) => {
                let slot = target.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(inner) = slot {
                    merge(inner, patch);
                }
            }
            other => {
                target.insert(key.clone(), other.clone());
            }
        }
    }
}

fn check(object: &Map<String, Value>, depth: usize) -> Result<(), TwinError> {
    if depth > MAX_DEPTH {
        return Err(TwinError::Depth);
    }
    for (key, value) in object {
        let forbidden = |c: char| matches!(c, '.' | '$' | ' ') || c.is_control();
        if key.is_empty() || key.len() > MAX_KEY || key.contains(forbidden) {
            return Err(TwinError::Key(key.clone()));
        }
        check_value(key, value, depth)?;
    }
    Ok(())
}

fn check_value(key: &str, value: &Value, depth: usize) -> Result<(), TwinError> {
    match value {
        Value::String(text) if text.len() > MAX_STRING => {
            Err(TwinError::StringTooLong { key: key.to_owned(), len: text.len() })
        }
        Value::Number(number) => {
            let whole = number.is_i64() || number.is_u64();
            let fits = number.as_i64().is_some_and(|n| (-MAX_INTEGER..MAX_INTEGER).contains(&n));
            if whole && !fits { Err(TwinError::Number(key.to_owned())) } else { Ok(()) }
        }
        Value::Object(object) => check(object, depth + 1),
        Value::Array(items) => items.iter().try_for_each(|item| match item {
            Value::Array(_) if depth >= MAX_DEPTH => Err(TwinError::Depth),
            Value::Array(_) => check_value(key, item, depth + 1),
            _ => check_value(key, item, depth),
        }),
        _ => Ok(()),
    }
}

/// The size that counts against the limits: keys and strings by their bytes, numbers 8, booleans 4
/// ("Understand and use device twins in IoT Hub", section on the size of twins).
pub fn size(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(object) => size_of_object(object),
    }
}

fn size_of_object(object: &Map<String, Value>) -> usize {
    object.iter().map(|(key, value)| key.len() + size(value)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            other => panic!("{other} is not an object"),
        }
    }

    #[test]
    fn null_deletes_objects_merge_and_the_rest_replaces() {
        let mut twin = Twin::default();
        assert_eq!(twin.patch_desired(&object(json!({"a": {"b": 1, "c": 2}, "d": "x"}))), Ok(2));
        assert_eq!(twin.patch_desired(&object(json!({"a": {"b": null, "e": {"f": null}}, "d": {"g": true}}))), Ok(3));
        assert_eq!(
            twin.document(),
            json!({"desired": {"a": {"c": 2, "e": {}}, "d": {"g": true}, "$version": 3}, "reported": {"$version": 1}})
        );
    }

    #[test]
    fn a_refused_patch_changes_nothing() {
        let mut twin = Twin::default();
        twin.patch_reported(&object(json!({"a": 1}))).expect("small");
        let before = twin.clone();
        let mut nested = json!({"x": 1});
        for _ in 0..10 {
            nested = json!({"n": nested});
        }
        for (patch, status) in [
            (json!({"a.b": 1}), 400),
            (json!({"a": {"$b": 1}}), 400),
            (json!({"": 1}), 400),
            (json!({"s": "x".repeat(4097)}), 400),
            (json!({"n": 4_503_599_627_370_496_i64}), 400),
            (nested, 400),
            (
                json!({"a": "x".repeat(4096), "b": "x".repeat(4096), "c": "x".repeat(4096), "d": "x".repeat(4096),
                "e": "x".repeat(4096), "f": "x".repeat(4096), "g": "x".repeat(4096), "h": "x".repeat(4096)}),
                413,
            ),
        ] {
            let error = twin.patch_reported(&object(patch.clone())).expect_err("refused");
            assert_eq!(error.status(), status, "{error}");
            assert_eq!(twin, before);
        }
        twin.patch_reported(&object(json!({"s": "x".repeat(4096), "n": -4_503_599_627_370_496_i64})))
            .expect("at the limit");
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), (0..9).prop_map(Value::from)];
        leaf.prop_recursive(3, 20, 4, |inner| {
            proptest::collection::btree_map("[ab]", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        })
    }

    proptest! {
        #[test]
        fn patching_twice_is_patching_once(a in document(), b in document()) {
            prop_assume!(a.is_object() && b.is_object());
            let (mut once, mut twice) = (Twin::default(), Twin::default());
            for twin in [&mut once, &mut twice] {
                twin.patch_desired(&object(a.clone())).expect("fits");
            }
            once.patch_desired(&object(b.clone())).expect("fits");
            for _ in 0..2 {
                twice.patch_desired(&object(b.clone())).expect("fits");
            }
            prop_assert_eq!(once.desired(), twice.desired());
        }
    }
}
