//! JSON strings: comparing, copying and unescaping.

use core::ops::Range;

/// A string as it stands in the text: between the quotes, still escaped.
#[derive(Clone, Copy, Debug)]
pub struct Str<'a> {
    raw: &'a str,
    at: usize,
}

impl<'a> Str<'a> {
    pub(crate) fn new(raw: &'a str, at: usize) -> Self {
        Self { raw, at }
    }

    /// The escaped text, without the quotes.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// The text, if nothing in it is escaped.
    pub fn plain(&self) -> Option<&'a str> {
        (!self.raw.contains('\\')).then_some(self.raw)
    }

    /// Where the escaped text stands in the parsed text, without the quotes, in bytes.
    pub fn range(&self) -> Range<usize> {
        self.at..self.at + self.raw.len()
    }

    /// Whether the unescaped text equals `text`.
    pub fn is(&self, text: &str) -> bool {
        let mut expected = text.as_bytes();
        let mut source = self.raw.as_bytes();
        loop {
            let Some((unit, rest)) = next_unit(source) else {
                return source.is_empty() && expected.is_empty();
            };
            source = rest;
            match expected.strip_prefix(unit.as_bytes()) {
                Some(left) => expected = left,
                None => return false,
            }
        }
    }

    /// Copies the unescaped text into `out`.
    ///
    /// None if it does not fit or contains half of a surrogate pair.
    pub fn copy_to<'b>(&self, out: &'b mut [u8]) -> Option<&'b str> {
        let mut source = self.raw.as_bytes();
        let mut len = 0;
        while let Some((unit, rest)) = next_unit(source) {
            let unit = unit.as_bytes();
            out.get_mut(len..len + unit.len())?.copy_from_slice(unit);
            len += unit.len();
            source = rest;
        }
        if !source.is_empty() {
            return None;
        }
        core::str::from_utf8(out.get(..len)?).ok()
    }
}

/// Unescapes the inside of a JSON string where it stands and returns its new, never greater length in bytes.
///
/// `text` is what [`Str::range`] covers. None, with `text` half changed, if it contains half of a surrogate pair:
/// such a string has no UTF-8 form.
pub fn unescape_in_place(text: &mut [u8]) -> Option<usize> {
    let mut read = 0;
    let mut write = 0;
    while read < text.len() {
        let (unit, rest) = next_unit(&text[read..])?;
        let rest_len = rest.len();
        let bytes = unit.as_bytes();
        text[write..write + bytes.len()].copy_from_slice(bytes);
        write += bytes.len();
        read = text.len() - rest_len;
    }
    Some(write)
}

/// One step of unescaping: a byte of the text or an escaped character, as UTF-8.
#[derive(Clone, Copy)]
struct Unit {
    bytes: [u8; 4],
    len: u8,
}

impl Unit {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Splits the first unit off. None at the end, and also where `text` is no valid escape sequence: there it is left.
fn next_unit(text: &[u8]) -> Option<(Unit, &[u8])> {
    let (&first, rest) = text.split_first()?;
    if first != b'\\' {
        return Some((byte(first), rest));
    }
    let (&code, rest) = rest.split_first()?;
    let plain = match code {
        b'b' => 0x08,
        b'f' => 0x0C,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => return unicode(rest),
        other => other,
    };
    Some((byte(plain), rest))
}

fn byte(byte: u8) -> Unit {
    Unit { bytes: [byte, 0, 0, 0], len: 1 }
}

fn unicode(text: &[u8]) -> Option<(Unit, &[u8])> {
    let (high, mut rest) = hex4(text)?;
    let mut code = high;
    if (0xD800..0xDC00).contains(&high) {
        let (low, after) = hex4(rest.strip_prefix(b"\\u")?)?;
        if !(0xDC00..0xE000).contains(&low) {
            return None;
        }
        code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        rest = after;
    }
    let mut bytes = [0; 4];
    let len = char::from_u32(code)?.encode_utf8(&mut bytes).len() as u8; // at most 4
    Some((Unit { bytes, len }, rest))
}

fn hex4(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let value = digits.iter().try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))?;
    Some((value, rest))
}
