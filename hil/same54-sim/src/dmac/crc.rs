//! The DMAC's CRC engine (SAM D5x/E5x datasheet, 22.6.3.8 to 22.6.3.10).

use super::CRC_CHANNEL;

/// What a block that carries its CRC-32 sums up to (22.6.3.10).
const MAGIC: u32 = 0x2144_DF1C;

/// CRCCTRL, CRCDATAIN, CRCCHKSUM and CRCSTATUS.
#[derive(Clone, Debug, Default)]
pub(super) struct Crc {
    pub(super) ctrl: u32,
    pub(super) data_in: u32,
    /// The shift register, most significant bit first.
    sum: u32,
    busy: bool,
    pub(super) error: bool,
}

impl Crc {
    fn is_crc32(&self) -> bool {
        self.ctrl >> 2 & 3 == 1
    }

    /// Whether channel `n` feeds the engine.
    pub(super) fn listens_to(&self, n: usize) -> bool {
        self.ctrl >> 8 & 0x3F == CRC_CHANNEL + n as u32
    }

    /// Whether the channel computes or checks a sum instead of moving data (CRCMODE).
    pub(super) fn replaces_transfer(&self) -> bool {
        self.ctrl >> 15 != 0
    }

    /// Whether the sum is checked at the end of a block (CRCMODE is CRCMON).
    pub(super) fn monitors(&self) -> bool {
        self.ctrl >> 14 == 2
    }

    /// Whether the sum is what an intact block leaves.
    pub(super) fn is_intact(&self) -> bool {
        if self.is_crc32() { self.checksum() == MAGIC } else { self.sum == 0 }
    }

    pub(super) fn write_ctrl(&mut self, value: u32) {
        self.ctrl = value & 0xFF0F;
    }

    pub(super) fn load(&mut self, sum: u32) {
        self.sum = sum;
    }

    /// CRCCHKSUM: a CRC-32 reads bit-reversed and complemented (22.6.3.8).
    pub(super) fn checksum(&self) -> u32 {
        if self.is_crc32() { !self.sum.reverse_bits() } else { self.sum & 0xFFFF }
    }

    pub(super) fn status(&self) -> u32 {
        let zero = self.ctrl >> 8 & 0x3F != 0 && self.checksum() == 0;
        u32::from(self.busy) | u32::from(zero) << 1 | u32::from(self.error) << 2
    }

    /// A write of CRCSTATUS: CRCBUSY is cleared by software when the data come over the bus.
    pub(super) fn clear_status(&mut self, value: u32) {
        self.busy &= value & 1 == 0;
        self.error &= value & 4 == 0;
    }

    /// A write of CRCDATAIN. The engine takes a byte per clock, which no access can notice.
    pub(super) fn write_data(&mut self, value: u32) {
        self.data_in = value;
        if self.ctrl >> 8 & 0x3F == 1 {
            self.busy = true;
            self.feed(&value.to_le_bytes()[..1 << (self.ctrl & 3).min(2)]);
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.is_crc32() {
                self.sum ^= u32::from(byte.reverse_bits()) << 24;
                for _ in 0..8 {
                    self.sum = self.sum << 1 ^ if self.sum >> 31 != 0 { 0x04C1_1DB7 } else { 0 };
                }
            } else {
                self.sum ^= u32::from(byte) << 8;
                for _ in 0..8 {
                    self.sum = (self.sum << 1 ^ if self.sum >> 15 & 1 != 0 { 0x1021 } else { 0 }) & 0xFFFF;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_polynomials_give_their_check_values() {
        let mut crc = Crc::default();
        crc.write_ctrl(1 << 8 | 1 << 2);
        crc.load(u32::MAX);
        for &byte in b"123456789" {
            crc.write_data(u32::from(byte));
        }
        assert_eq!(crc.checksum(), 0xCBF4_3926);
        assert_eq!(crc.status(), 1);
        crc.clear_status(1);
        assert_eq!(crc.status(), 0);
        crc.write_ctrl(1 << 8);
        crc.load(0xFFFF);
        crc.feed(b"123456789");
        assert_eq!(crc.checksum(), 0x29B1);
    }

    #[test]
    fn a_block_with_its_crc_32_sums_up_to_the_magic_number() {
        let mut crc = Crc::default();
        crc.write_ctrl(1 << 2);
        crc.load(u32::MAX);
        crc.feed(b"123456789\x26\x39\xF4\xCB");
        assert!(crc.is_intact());
    }
}
