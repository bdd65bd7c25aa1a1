//! Faults of the file server, to see what a device does about them.

use serde::{Deserialize, Serialize};

/// A fault of the file server, for one file.
///
/// Offsets count from the start of the file, whatever range is asked for, and a fault with offsets strikes only answers
/// that reach them. The others strike every answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FileFault {
    /// Every bit of this byte is inverted.
    pub flip_byte_at: Option<u64>,
    /// The connection closes before this byte is sent, whatever Content-Length said.
    pub truncate_at: Option<u64>,
    /// From this byte on nothing is sent, and the connection stays open.
    pub stall_at: Option<u64>,
    /// Requests are answered with this status and a short text, e.g. 404, 416, 500 or 503.
    pub status: Option<u16>,
    /// Requests are answered with 302 and this `Location`: a path, or a URL of another host.
    pub redirect: Option<String>,
    /// Bytes of the body that are sent in a second.
    pub bytes_per_second: Option<u32>,
    /// The connection closes after so many bytes of an answer, its head included.
    pub drop_after: Option<u64>,
    /// So many zeros follow the body, and Content-Length says so.
    pub extra_bytes: Option<u32>,
    /// What Content-Length says instead of the truth.
    pub content_length: Option<u64>,
    /// What Content-Range says instead of the truth, e.g. `bytes 0-9/10`.
    pub content_range: Option<String>,
    /// Ranges are ignored: 200 and the whole file.
    pub ignore_range: bool,
    /// How many answers are served well before the fault begins.
    pub after: u32,
    /// How many answers are spoilt before the fault is gone; all of them if `None`.
    pub remaining: Option<u32>,
}

impl FileFault {
    /// What of the fault strikes an answer with the bytes `start..end`, counted; `None` if nothing does.
    pub(super) fn strike(&mut self, start: u64, end: u64) -> Option<Self> {
        let hit = |offset: Option<u64>| offset.filter(|offset| (start..end).contains(offset));
        let struck = Self {
            flip_byte_at: hit(self.flip_byte_at),
            truncate_at: hit(self.truncate_at),
            stall_at: hit(self.stall_at),
            after: 0,
            remaining: None,
            ..self.clone()
        };
        if struck == Self::default() {
            return None;
        }
        if self.after > 0 {
            self.after -= 1;
            return None;
        }
        match &mut self.remaining {
            None => {}
            Some(0) => return None,
            Some(remaining) => *remaining -= 1,
        }
        Some(struck)
    }
}
