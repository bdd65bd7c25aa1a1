//! Reads and writes JSON of twin documents in place, without allocation.
//!
//! [`Value::parse`] checks a whole document once; the accessors then walk the text again instead of keeping a tree,
//! which is quick enough for documents of a few kilobytes and needs no memory. Strings stay escaped ([`Str`]) until
//! they are compared, copied or [unescaped in place](unescape_in_place).
#![no_std]

mod read;
mod string;
mod write;

pub use read::{Error, Items, Kind, Members, Value};
pub use string::{Str, unescape_in_place};
pub use write::Writer;

/// Deepest nesting that is accepted: twins allow 10 levels, manifests stay below.
pub const MAX_DEPTH: u32 = 32;
