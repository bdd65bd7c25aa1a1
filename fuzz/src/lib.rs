//! What the bootloader and the local IoT Hub read, out of a fuzzer's bytes. Each module turns an input into what lies on a medium or comes
//! over a line, makes the calls, and panics if what must hold does not.
//!
//! Checksums, hashes and signatures would keep a fuzzer out of all that is behind them; so an input says which of them
//! are to be made right.

pub mod boot_record;
pub mod hub;
pub mod image;
pub mod recovery;
pub mod store;

/// An input that is read from its start; behind its end come zeros.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Whether all has been read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.slice(1).first().copied().unwrap_or(0)
    }

    /// The next two bytes, little endian.
    pub fn half(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// The next `len` bytes, or those that are left.
    pub fn slice(&mut self, len: usize) -> &'a [u8] {
        let (now, later) = self.0.split_at(len.min(self.0.len()));
        self.0 = later;
        now
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let now = self.slice(N);
        bytes[..now.len()].copy_from_slice(now);
        bytes
    }
}

/// CRC-32 as littlefs (final value as it is) and, inverted, the boot record have it.
pub fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 != 0 { 0xEDB8_8320 } else { 0 })
    })
}
