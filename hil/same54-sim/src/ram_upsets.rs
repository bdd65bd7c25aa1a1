//! Bytes of RAM whose bits do not fit their error correction codes.

use std::collections::BTreeMap;
use std::ops::Range;

/// What the error correction finds in a byte (26.6.1): codes are per byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// One wrong bit, which this mask corrects.
    Single(u8),
    /// Two wrong bits, or more (assumed: three may pass for one in truth).
    Dual,
}

/// Wrong bits by offset in RAM. A byte that is written has a new code and is right again.
#[derive(Clone, Debug, Default)]
pub(crate) struct RamUpsets(BTreeMap<u32, u8>);

impl RamUpsets {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `bits` of the byte at `offset` flip; those that flip twice are right again.
    pub(crate) fn flip(&mut self, offset: u32, bits: u8) {
        let wrong = self.0.remove(&offset).unwrap_or(0) ^ bits;
        if wrong != 0 {
            self.0.insert(offset, wrong);
        }
    }

    /// These bytes are written.
    pub(crate) fn written(&mut self, bytes: Range<u32>) {
        self.0.retain(|offset, _| !bytes.contains(offset));
    }

    /// What is wrong in these bytes, in order.
    pub(crate) fn found(&self, bytes: Range<u32>) -> Vec<(u32, Found)> {
        let found = |wrong: u8| if wrong.is_power_of_two() { Found::Single(wrong) } else { Found::Dual };
        self.0.range(bytes).map(|(offset, wrong)| (*offset, found(*wrong))).collect()
    }
}
