//! Short texts held by value.
//!
//! What does not depend on the capacity is in plain functions, so that it is in the program once.

use core::fmt;

use twin_json::Str;

/// At most `N` bytes (`N` up to 65535) of UTF-8.
#[derive(Clone, Copy)]
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
        copy.set(text).then_some(copy)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        view(&self.bytes, self.len)
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes a copy of `text`; false, and no text, if it is too long.
    pub(crate) fn set(&mut self, text: &str) -> bool {
        fill(&mut self.bytes, &mut self.len, text.as_bytes())
    }

    /// Takes the unescaped text of a JSON string; false, and no text, if it is too long or has no UTF-8 form.
    pub(crate) fn set_json(&mut self, string: Str<'_>) -> bool {
        let len = string.copy_to(&mut self.bytes).map(str::len);
        self.len = len.unwrap_or_default() as u16; // N bounds it
        len.is_some()
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends what fits of `text`, with everything but printable ASCII without quotes replaced by `?`.
    ///
    /// For explanations: they never need escaping, and a cut one is better than none.
    pub(crate) fn push_cut(&mut self, text: &str) {
        push_cut(&mut self.bytes, &mut self.len, text);
    }

    /// Capacity and length, for storing.
    pub(crate) fn raw(&mut self) -> (&mut [u8], &mut u16) {
        (&mut self.bytes, &mut self.len)
    }
}

fn view(bytes: &[u8], len: u16) -> &str {
    let bytes = bytes.get(..usize::from(len)).unwrap_or_default();
    core::str::from_utf8(bytes).unwrap_or_default()
}

fn fill(bytes: &mut [u8], len: &mut u16, text: &[u8]) -> bool {
    *len = 0;
    match bytes.get_mut(..text.len()) {
        Some(place) => {
            place.copy_from_slice(text);
            *len = text.len() as u16; // the capacity bounds it
            true
        }
        None => false,
    }
}

fn push_cut(bytes: &mut [u8], len: &mut u16, text: &str) {
    for &byte in text.as_bytes() {
        let Some(place) = bytes.get_mut(usize::from(*len)) else { return };
        let printable = (0x20..0x7F).contains(&byte) && byte != b'"' && byte != b'\\';
        *place = if printable { byte } else { b'?' };
        *len += 1;
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
