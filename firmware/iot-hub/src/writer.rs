//! Writing packets and tokens into a caller's buffer.

use crate::Error;

/// Longest fixed header: type and four bytes of length.
const HEADER_LEN: usize = 5;

/// Appends to a caller's buffer; what does not fit is dropped and remembered.
#[derive(Debug)]
pub(crate) struct Writer<'b> {
    out: &'b mut [u8],
    len: usize,
    is_full: bool,
}

impl<'b> Writer<'b> {
    /// A text at the start of `out`.
    pub(crate) fn text_at_start(out: &'b mut [u8]) -> Self {
        Self { out, len: 0, is_full: false }
    }

    /// An MQTT packet: its body is written behind room for the longest fixed header and moved to its place at the
    /// end, so that its length need not be known before.
    pub(crate) fn packet(out: &'b mut [u8]) -> Self {
        Self { out, len: HEADER_LEN, is_full: false }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        match self.out.get_mut(self.len..self.len + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.is_full = true,
        }
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn number(&mut self, value: u64) -> &mut Self {
        let mut digits = [0; 20];
        let mut rest = value;
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8; // a digit
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.bytes(&digits[at..])
    }

    /// Appends `text` percent-encoded: all but the unreserved characters of RFC 3986.
    pub(crate) fn encoded(&mut self, text: &str) -> &mut Self {
        for &byte in text.as_bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.bytes(&[byte]);
            } else {
                let hex = |digit: u8| b"0123456789ABCDEF"[usize::from(digit & 15)];
                self.bytes(&[b'%', hex(byte >> 4), hex(byte)]);
            }
        }
        self
    }

    /// Appends `text` as the inside of a JSON string. What is written here are ids and model ids; of the characters
    /// that would need escaping they may only hold the harmless two.
    pub(crate) fn json(&mut self, text: &str) -> &mut Self {
        for &byte in text.as_bytes() {
            match byte {
                b'"' | b'\\' => self.bytes(&[b'\\', byte]),
                0..0x20 => self.text(" "),
                _ => self.bytes(&[byte]),
            };
        }
        self
    }

    /// Appends what `content` writes as a UTF-8 string or binary field: with its length in front (section 1.5.3).
    pub(crate) fn field(&mut self, content: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.len;
        self.bytes(&[0, 0]);
        content(self);
        let written = self.len.saturating_sub(start + 2);
        match (u16::try_from(written), self.out.get_mut(start..start + 2)) {
            (Ok(len), Some(place)) if !self.is_full => place.copy_from_slice(&len.to_be_bytes()),
            _ => self.is_full = true,
        }
        self
    }

    /// Completes the packet with its first byte and returns its length.
    pub(crate) fn finish_packet(self, first: u8) -> Result<usize, Error> {
        if self.is_full || self.out.len() < HEADER_LEN {
            return Err(Error::BufferTooSmall);
        }
        let mut left = self.len - HEADER_LEN;
        let mut header = [first, 0, 0, 0, 0];
        let mut header_len = 1;
        loop {
            let more = left > 0x7F;
            let place = header.get_mut(header_len).ok_or(Error::BufferTooSmall)?;
            *place = (left & 0x7F) as u8 | u8::from(more) << 7;
            header_len += 1;
            left >>= 7;
            if !more {
                break;
            }
        }
        self.out[..header_len].copy_from_slice(&header[..header_len]);
        self.out.copy_within(HEADER_LEN..self.len, header_len);
        Ok(header_len + self.len - HEADER_LEN)
    }

    /// What has been written so far.
    pub(crate) fn written(&self) -> &[u8] {
        self.out.get(..self.len).unwrap_or_default()
    }

    /// Takes back what was written beyond `len`, unless something did not fit.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Completes a text.
    pub(crate) fn finish_text(self) -> Result<&'b str, Error> {
        if self.is_full {
            return Err(Error::BufferTooSmall);
        }
        let text = self.out.get(..self.len).unwrap_or_default();
        core::str::from_utf8(text).map_err(|_| Error::BufferTooSmall)
    }
}
