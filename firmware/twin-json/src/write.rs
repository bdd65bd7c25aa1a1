//! Writing JSON into a caller's buffer.

/// Appends JSON text to a buffer. What does not fit is dropped and remembered: [`finish`](Self::finish) then fails.
///
/// Structure (braces, commas, keys) is written as [`raw`](Self::raw) text; values from outside go through
/// [`string`](Self::string).
#[derive(Debug)]
pub struct Writer<'b> {
    out: &'b mut [u8],
    len: usize,
    is_full: bool,
}

impl<'b> Writer<'b> {
    /// Writes to the start of `out`.
    pub fn new(out: &'b mut [u8]) -> Self {
        Self { out, len: 0, is_full: false }
    }

    /// Appends `text` as it is.
    pub fn raw(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// Appends `text` as a string, with quotes.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.raw("\"").escaped(text).raw("\"")
    }

    /// Appends `text` escaped, without quotes: a part of a string.
    pub fn escaped(&mut self, text: &str) -> &mut Self {
        for &byte in text.as_bytes() {
            match byte {
                b'"' | b'\\' => self.bytes(&[b'\\', byte]),
                0..0x20 => {
                    let hex = |digit: u8| b"0123456789abcdef"[usize::from(digit & 15)];
                    self.bytes(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte)])
                }
                _ => self.bytes(&[byte]),
            };
        }
        self
    }

    /// Appends an integer.
    pub fn number(&mut self, value: i64) -> &mut Self {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = value.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8; // a digit
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            self.raw("-");
        }
        self.bytes(&digits[at..])
    }

    /// The text written so far; None if something did not fit.
    pub fn finish(self) -> Option<&'b str> {
        if self.is_full {
            return None;
        }
        core::str::from_utf8(self.out.get(..self.len)?).ok()
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        match self.out.get_mut(self.len..self.len + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.is_full = true,
        }
        self
    }
}
