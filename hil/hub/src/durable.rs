//! State that outlives a restart, as keys and values.
//!
//! The core writes nothing anywhere: each service notes which of its entries have changed, and whoever keeps state
//! takes them and stores them before it lets out the bytes that acknowledge them.

/// A durable entry that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its kind and name, e.g. `device/sensor-1`.
    pub key: String,
    /// What it is now; `None` if it is no more.
    pub value: Option<Vec<u8>>,
}
