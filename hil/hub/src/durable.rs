//! State that outlives a restart, as keys and values.
//!
//! The core writes nothing anywhere: each service notes which of its entries have changed, and whoever keeps state
//! takes them and stores them before it lets out the bytes that acknowledge them.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A durable entry that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its kind and name, e.g. `device/sensor-1`.
    pub key: String,
    /// What it is now; `None` if it is no more.
    pub value: Option<Vec<u8>>,
}

impl Change {
    pub(crate) fn new<T: Serialize>(key: String, value: Option<&T>) -> Self {
        // What is stored are structs with text keys: writing them as JSON into memory does not fail.
        Self { key, value: value.and_then(|value| serde_json::to_vec(value).ok()) }
    }
}

/// Reads a value back; `key` names it in the error.
pub(crate) fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value)
        .map_err(|error| format!("the stored entry `{key}` cannot be read: {error}; remove it, or the whole store"))
}

/// Bytes as base64 text.
pub(crate) mod bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The same, for bytes that may be missing.
pub(crate) mod maybe_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| STANDARD.decode(text).map_err(D::Error::custom)).transpose()
    }
}

/// An instant as nanoseconds since the cloud's epoch.
pub(crate) mod instant {
    use serde::{Deserialize, Deserializer, Serializer};
    use sim_base::Instant;

    pub(crate) fn serialize<S: Serializer>(at: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(at.as_nanos())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
        u64::deserialize(deserializer).map(Instant::from_nanos)
    }
}

/// The same, for one that may be missing.
pub(crate) mod maybe_instant {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use sim_base::Instant;

    pub(crate) fn serialize<S: Serializer>(at: &Option<Instant>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(Instant::as_nanos).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Instant>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Instant::from_nanos))
    }
}
