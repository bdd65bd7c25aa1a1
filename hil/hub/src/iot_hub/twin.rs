//! Device twins: merge patches, versions, times of changes and limits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Largest size of desired and of reported properties, bytes after [`size`].
pub const MAX_PROPERTIES: usize = 32 * 1024;
/// Largest size of tags, bytes.
pub const MAX_TAGS: usize = 8 * 1024;
/// Deepest nesting of objects beneath the tags, the desired or the reported properties.
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
    /// Counts every change.
    version: u64,
    /// Counts the changes of the back end: of tags and desired properties.
    revision: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Section {
    properties: Map<String, Value>,
    /// The tree of times: for each property `$lastUpdated`, for desired ones also `$lastUpdatedVersion`.
    metadata: Map<String, Value>,
    version: u64,
}

impl Section {
    /// `stamp` is the time of the change, as the service writes it.
    fn patch(&mut self, patch: &Map<String, Value>, stamp: &str, versions: bool) -> Result<u64, TwinError> {
        let merged = merged(&self.properties, patch, MAX_PROPERTIES)?;
        self.properties = merged;
        self.version += 1;
        let stamp = Stamp { time: stamp, version: versions.then_some(self.version) };
        stamp.touch(&mut self.metadata, patch);
        Ok(self.version)
    }

    /// The properties with `$metadata` and `$version` at the end.
    fn service_document(&self) -> Value {
        let mut document = self.properties.clone();
        document.insert("$metadata".into(), Value::Object(self.metadata.clone()));
        document.insert("$version".into(), self.version.into());
        Value::Object(document)
    }

    /// The properties with `$version` at the end.
    fn document(&self) -> Value {
        let mut document = self.properties.clone();
        document.insert("$version".into(), self.version.into());
        Value::Object(document)
    }
}

/// When a property changed, and with which version.
struct Stamp<'a> {
    time: &'a str,
    version: Option<u64>,
}

impl Stamp<'_> {
    fn mark(&self, node: &mut Map<String, Value>) {
        node.insert("$lastUpdated".into(), self.time.into());
        if let Some(version) = self.version {
            node.insert("$lastUpdatedVersion".into(), version.into());
        }
    }

    /// Marks what a patch touches.
    fn touch(&self, node: &mut Map<String, Value>, patch: &Map<String, Value>) {
        self.mark(node);
        for (key, value) in patch {
            if value.is_null() {
                node.shift_remove(key);
                continue;
            }
            let slot = node.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
            match (slot, value) {
                (Value::Object(inner), Value::Object(patch)) => self.touch(inner, patch),
                (slot, _) => {
                    let mut inner = Map::new();
                    self.mark(&mut inner);
                    *slot = Value::Object(inner);
                }
            }
        }
    }
}

impl Default for Twin {
    fn default() -> Self {
        Self::new("0001-01-01T00:00:00Z")
    }
}

impl Twin {
    /// The empty twin of a device that was made at `stamp`, a time as the service writes it.
    pub fn new(stamp: &str) -> Self {
        let section = |version| {
            let mut metadata = Map::new();
            Stamp { time: stamp, version }.mark(&mut metadata);
            Section { properties: Map::new(), metadata, version: 1 }
        };
        Self { desired: section(Some(1)), reported: section(None), tags: Map::new(), version: 2, revision: 1 }
    }

    /// Puts in what a twin begins with; its versions stay.
    ///
    /// # Errors
    /// [`TwinError`]; the twin is unchanged then.
    pub fn begin_with(
        &mut self,
        tags: &Map<String, Value>,
        desired: &Map<String, Value>,
        stamp: &str,
    ) -> Result<(), TwinError> {
        let (tags, properties) =
            (merged(&self.tags, tags, MAX_TAGS)?, merged(&self.desired.properties, desired, MAX_PROPERTIES)?);
        self.tags = tags;
        self.desired.properties = properties;
        Stamp { time: stamp, version: Some(self.desired.version) }.touch(&mut self.desired.metadata, desired);
        Ok(())
    }

    /// Counts every change; 2 at first.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Changes with tags and desired properties, not with reported ones.
    pub fn etag(&self) -> String {
        STANDARD.encode(self.revision.to_be_bytes())
    }

    /// What the back end sees of the properties: `{"desired":{…,"$metadata":{…},"$version":n},"reported":{…}}`.
    pub fn service_document(&self) -> Value {
        let mut document = Map::new();
        document.insert("desired".into(), self.desired.service_document());
        document.insert("reported".into(), self.reported.service_document());
        Value::Object(document)
    }

    /// The patch that makes `wanted` of the desired properties: what is missing from it becomes null.
    pub fn replacement(&self, wanted: &Map<String, Value>) -> Map<String, Value> {
        difference(&self.desired.properties, wanted)
    }

    /// The patch that makes `wanted` of the tags.
    pub fn tags_replacement(&self, wanted: &Map<String, Value>) -> Map<String, Value> {
        difference(&self.tags, wanted)
    }

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

    /// Merges a patch into the desired properties at `stamp`, a time as the service writes it; yields the new version.
    ///
    /// # Errors
    /// [`TwinError`]; the twin is unchanged then.
    pub fn patch_desired(&mut self, patch: &Map<String, Value>, stamp: &str) -> Result<u64, TwinError> {
        let version = self.desired.patch(patch, stamp, true)?;
        self.version += 1;
        self.revision += 1;
        Ok(version)
    }

    /// Merges a device's patch into the reported properties at `stamp`; yields the new version.
    ///
    /// # Errors
    /// [`TwinError`]; the twin is unchanged then.
    pub fn patch_reported(&mut self, patch: &Map<String, Value>, stamp: &str) -> Result<u64, TwinError> {
        let version = self.reported.patch(patch, stamp, false)?;
        self.version += 1;
        Ok(version)
    }

    /// Merges a patch into the tags.
    ///
    /// # Errors
    /// [`TwinError`]; the twin is unchanged then.
    pub fn patch_tags(&mut self, patch: &Map<String, Value>) -> Result<(), TwinError> {
        self.tags = merged(&self.tags, patch, MAX_TAGS)?;
        self.version += 1;
        self.revision += 1;
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
    check(patch, 0)?;
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

/// The merge patch from one object to another.
fn difference(from: &Map<String, Value>, to: &Map<String, Value>) -> Map<String, Value> {
    let gone = from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let kept = to.iter().filter_map(|(key, value)| match (from.get(key), value) {
        (Some(old), new) if old == new => None,
        (Some(Value::Object(old)), Value::Object(new)) => Some((key.clone(), Value::Object(difference(old, new)))),
        (_, new) => Some((key.clone(), new.clone())),
    });
    gone.chain(kept).collect()
}

/// `depth` is the number of objects around `object`, that of the tags or properties not counted.
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

/// The size that counts against the limits: keys and strings by their bytes, control characters left out, numbers 8,
/// booleans 4
/// ("Understand and use device twins in IoT Hub", section on the size of twins).
pub fn size(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.chars().filter(|c| !c.is_control()).map(char::len_utf8).sum(),
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

    const STAMP: &str = "2026-01-01T00:00:00.0000000Z";
    const LATER: &str = "2026-01-01T00:00:01.0000000Z";

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            other => panic!("{other} is not an object"),
        }
    }

    #[test]
    fn null_deletes_objects_merge_and_the_rest_replaces() {
        let mut twin = Twin::default();
        assert_eq!(twin.patch_desired(&object(json!({"a": {"b": 1, "c": 2}, "d": "x"})), STAMP), Ok(2));
        assert_eq!(
            twin.patch_desired(&object(json!({"a": {"b": null, "e": {"f": null}}, "d": {"g": true}})), STAMP),
            Ok(3)
        );
        assert_eq!(
            twin.document(),
            json!({"desired": {"a": {"c": 2, "e": {}}, "d": {"g": true}, "$version": 3}, "reported": {"$version": 1}})
        );
    }

    #[test]
    fn numbers_keep_their_last_bit_on_the_wire_and_in_the_store() {
        for text in ["7.1736381198802655e-304", "5.75095526755807e-14"] {
            let mut twin = Twin::default();
            let patch = serde_json::from_str(&format!(r#"{{"n":{text}}}"#)).expect("JSON");
            twin.patch_reported(&object(patch), STAMP).expect("small");
            assert_eq!(twin.reported()["n"].as_f64(), text.parse().ok());
            let bytes = serde_json::to_vec(&twin).expect("JSON");
            assert_eq!(serde_json::from_slice::<Twin>(&bytes).expect("reads back"), twin, "{text}");
        }
    }

    #[test]
    fn a_refused_patch_changes_nothing() {
        let mut twin = Twin::default();
        twin.patch_reported(&object(json!({"a": 1})), STAMP).expect("small");
        let before = twin.clone();
        let nested = |levels| (0..levels).fold(json!({"x": 1}), |inner, _| json!({"n": inner}));
        for (patch, status) in [
            (json!({"a.b": 1}), 400),
            (json!({"a": {"$b": 1}}), 400),
            (json!({"": 1}), 400),
            (json!({"s": "x".repeat(4097)}), 400),
            (json!({"n": 4_503_599_627_370_496_i64}), 400),
            (nested(11), 400),
            (json!({"n": vec![nested(10)]}), 400),
            (json!({"\u{7f}": 1}), 400),
            (json!({"k".repeat(1025): 1}), 400),
            (
                json!({"a": "x".repeat(4096), "b": "x".repeat(4096), "c": "x".repeat(4096), "d": "x".repeat(4096),
                "e": "x".repeat(4096), "f": "x".repeat(4096), "g": "x".repeat(4096), "h": "x".repeat(4096)}),
                413,
            ),
        ] {
            let error = twin.patch_reported(&object(patch.clone()), STAMP).expect_err("refused");
            assert_eq!(error.status(), status, "{error}");
            assert_eq!(twin, before);
        }
        twin.patch_reported(&object(json!({"s": "x".repeat(4096), "n": -4_503_599_627_370_496_i64})), STAMP)
            .expect("at the limit");
        twin.patch_reported(&object(nested(10)), STAMP).expect("ten levels beneath the properties");
        twin.patch_reported(&object(json!({"k".repeat(1024): null})), STAMP).expect("the longest key");
    }

    #[test]
    fn the_back_end_sees_when_each_property_changed() {
        let mut twin = Twin::new(STAMP);
        assert_eq!((twin.version(), twin.etag().as_str()), (2, "AAAAAAAAAAE="));
        twin.patch_desired(&object(json!({"a": {"b": 1, "c": 2}, "d": 3})), STAMP).expect("small");
        twin.patch_desired(&object(json!({"a": {"b": 5}, "d": null})), LATER).expect("small");
        twin.patch_reported(&object(json!({"e": [1]})), LATER).expect("small");
        twin.patch_tags(&object(json!({"f": 1}))).expect("small");
        assert_eq!((twin.version(), twin.etag().as_str()), (6, "AAAAAAAAAAQ="));
        let desired = |time: &str, version| json!({"$lastUpdated": time, "$lastUpdatedVersion": version});
        let mut a = desired(LATER, 3);
        a["b"] = desired(LATER, 3);
        a["c"] = desired(STAMP, 2);
        let mut metadata = desired(LATER, 3);
        metadata["a"] = a;
        assert_eq!(
            twin.service_document(),
            json!({
                "desired": {"a": {"b": 5, "c": 2}, "$metadata": metadata, "$version": 3},
                "reported": {
                    "e": [1],
                    "$metadata": {"$lastUpdated": LATER, "e": {"$lastUpdated": LATER}},
                    "$version": 2,
                },
            })
        );
        assert!(!twin.document().to_string().contains("$metadata"), "the device does not see it");
    }

    #[test]
    fn sizes_are_limited_for_tags_and_properties_by_themselves() {
        let filled = |bytes: usize| {
            let mut filled = Map::new();
            for (i, len) in (0..bytes).step_by(1024).map(|from| (bytes - from).min(1024)).enumerate() {
                // Four bytes of key and the rest of value.
                filled.insert(format!("{i:04}"), "x".repeat(len - 4).into());
            }
            filled
        };
        let mut twin = Twin::default();
        assert_eq!(twin.patch_tags(&filled(8197)), Err(TwinError::TooLarge { size: 8197, limit: 8192 }));
        assert_eq!(twin.patch_tags(&filled(8192)), Ok(()));
        let over = Err(TwinError::TooLarge { size: 32_773, limit: 32_768 });
        assert_eq!(twin.patch_desired(&filled(32_773), STAMP), over);
        assert_eq!(twin.patch_reported(&filled(32_773), STAMP), over);
        assert_eq!(twin.patch_desired(&filled(32_768), STAMP), Ok(2));
        assert_eq!(twin.patch_reported(&filled(32_768), STAMP), Ok(2));
        assert_eq!(size(&json!({"ä": ["a\u{1}b", 1, true, null]})), 2 + 2 + 8 + 4);
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
                twin.patch_desired(&object(a.clone()), STAMP).expect("fits");
            }
            once.patch_desired(&object(b.clone()), STAMP).expect("fits");
            for _ in 0..2 {
                twice.patch_desired(&object(b.clone()), STAMP).expect("fits");
            }
            prop_assert_eq!(once.desired(), twice.desired());
        }

        #[test]
        fn a_replacement_leaves_what_was_wanted(a in document(), b in document()) {
            prop_assume!(a.is_object() && b.is_object());
            let mut twin = Twin::default();
            twin.patch_desired(&object(a), STAMP).expect("fits");
            // What is wanted is a document, without nulls.
            let mut wanted = Twin::default();
            wanted.patch_desired(&object(b), STAMP).expect("fits");
            let patch = twin.replacement(wanted.desired());
            twin.patch_desired(&patch, STAMP).expect("fits");
            prop_assert_eq!(twin.desired(), wanted.desired());
        }

        /// Whatever text a device sends as a patch, it is refused or the twin stays within its limits.
        #[test]
        fn garbage_is_refused_or_fits(text in "[{}\\[\\]\":,a-c0-9.eE$ -]{0,60}") {
            if let Ok(Value::Object(patch)) = serde_json::from_str(&text) {
                let mut twin = Twin::default();
                if twin.patch_reported(&patch, STAMP).is_ok() {
                    prop_assert!(size(&twin.document()["reported"]) <= MAX_PROPERTIES + 16);
                }
            }
        }
    }
}
