//! As much CBOR (RFC 8949) as the protocol's maps need: flat ones with text keys.

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;
/// Additional information of an item whose length is not stated.
const INDEFINITE: u8 = 31;
/// Ends an item whose length is not stated.
pub(crate) const END: u8 = 0xFF;

/// The unsigned number that `key` stands for in the map that `bytes` begins with.
///
/// `None` if it is not there or something else; or if there is no map, or it ends before the key, or holds an array, a
/// map or a number beyond 32 bits in front of it.
pub(crate) fn number(bytes: &[u8], key: &str) -> Option<u32> {
    let (major, number, _) = find(bytes, key)?;
    (major == UNSIGNED).then_some(number)
}

/// The byte string or text that `key` stands for; `None` as [`number`] has it.
pub(crate) fn string<'a>(bytes: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let (major, _, string) = find(bytes, key)?;
    matches!(major, BYTES | TEXT).then_some(string)
}

/// A value: its major type, its number, the contents of a string.
type Item<'a> = (u8, u32, &'a [u8]);

fn find<'a>(bytes: &'a [u8], key: &str) -> Option<Item<'a>> {
    let (&initial, mut bytes) = bytes.split_first()?;
    let mut entries = match initial ^ MAP << 5 {
        INDEFINITE => u32::MAX,
        information => argument(&mut bytes, information)?,
    };
    while entries > 0 {
        entries -= 1;
        let (_, _, name) = item(&mut bytes)?;
        let value = item(&mut bytes)?;
        if name == key.as_bytes() {
            return Some(value);
        }
    }
    None
}

fn item<'a>(bytes: &mut &'a [u8]) -> Option<Item<'a>> {
    let [initial] = take(bytes, 1)? else { return None };
    let number = argument(bytes, initial & 31)?;
    let major = initial >> 5;
    let contents = match major {
        BYTES | TEXT => take(bytes, number as usize)?,
        UNSIGNED | NEGATIVE | SIMPLE => &[],
        _ => return None,
    };
    Some((major, number, contents))
}

/// The number that belongs to an initial byte (RFC 8949, section 3).
fn argument(bytes: &mut &[u8], information: u8) -> Option<u32> {
    let len = match information {
        0..24 => return Some(information.into()),
        24..28 => 1 << (information - 24),
        _ => return None,
    };
    take(bytes, len)?.iter().try_fold(0_u32, |number, byte| Some(number.checked_mul(256)? | u32::from(*byte)))
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

/// Writes into a buffer. What does not fit is left out.
pub(crate) struct Writer<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Writer<N> {
    pub fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    /// Bytes that are CBOR already.
    pub fn raw(&mut self, bytes: &[u8]) {
        if let Some(free) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            free.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    pub fn text(&mut self, text: &[u8]) {
        let [.., high, low] = (text.len() as u32).to_be_bytes();
        self.raw(&[TEXT << 5 | 25, high, low]);
        self.raw(text);
    }

    pub fn number(&mut self, number: u32) {
        let [a, b, c, d] = number.to_be_bytes();
        self.raw(&[UNSIGNED << 5 | 26, a, b, c, d]);
    }

    /// What has been written.
    pub fn written(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}
