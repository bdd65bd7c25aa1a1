//! Short texts held by value.

use core::fmt;

use twin_json::Str;

/// At most `N` bytes (`N` up to 65535) of UTF-8.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: u16,
}

impl<const N: usize> Text<N> {
    /// No text.
    pub const EMPTY: Self = Self { bytes: [0; N], len: 0 };

    /// A copy of `text`; None if it is too long.
    pub fn new(text: &str) -> Option<Self> {
        let mut copy = Self::EMPTY;
        copy.bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        copy.len = text.len() as u16; // N bounds it
        Some(copy)
    }

    /// The unescaped text of a JSON string; None if it is too long or has no UTF-8 form.
    pub(crate) fn from_json(string: Str<'_>) -> Option<Self> {
        let mut copy = Self::EMPTY;
        copy.len = string.copy_to(&mut copy.bytes)?.len() as u16; // N bounds it
        Some(copy)
    }

    /// Appends what fits of `text`, with everything but printable ASCII without quotes replaced by `?`.
    ///
    /// For explanations: they never need escaping, and a cut one is better than none.
    pub(crate) fn push_cut(&mut self, text: &str) {
        for &byte in text.as_bytes() {
            let Some(place) = self.bytes.get_mut(usize::from(self.len)) else {
                return;
            };
            let printable = (0x20..0x7F).contains(&byte) && byte != b'"' && byte != b'\\';
            *place = if printable { byte } else { b'?' };
            self.len += 1;
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
