//! Statistics registers: they clear when read and stick at their maximum (datasheet 24.7.2).

use super::regs::{OTLO, UCE};

/// Offsets of the counters that the model drives.
pub(super) mod counter {
    pub const OT: u32 = 0x100;
    pub const FT: u32 = 0x108;
    pub const BCFT: u32 = 0x10C;
    pub const MFT: u32 = 0x110;
    pub const PFT: u32 = 0x114;
    pub const TX_SIZES: u32 = 0x118;
    pub const TUR: u32 = 0x134;
    pub const SCF: u32 = 0x138;
    pub const MCF: u32 = 0x13C;
    pub const EC: u32 = 0x140;
    pub const LC: u32 = 0x144;
    pub const DTF: u32 = 0x148;
    pub const OR: u32 = 0x150;
    pub const FR: u32 = 0x158;
    pub const BCFR: u32 = 0x15C;
    pub const MFR: u32 = 0x160;
    pub const PFR: u32 = 0x164;
    pub const RX_SIZES: u32 = 0x168;
    pub const UFR: u32 = 0x184;
    pub const OFR: u32 = 0x188;
    pub const JR: u32 = 0x18C;
    pub const FCSE: u32 = 0x190;
    pub const LFFE: u32 = 0x194;
    pub const RRE: u32 = 0x1A0;
    pub const ROE: u32 = 0x1A4;
    pub const IHCE: u32 = 0x1A8;
    pub const TCE: u32 = 0x1AC;
    pub const UCE: u32 = 0x1B0;
}

const COUNT: usize = ((UCE - OTLO) / 4 + 1) as usize;

/// The counters from OTLO to UCE.
#[derive(Clone, Debug)]
pub(super) struct Stats([u32; COUNT]);

impl Stats {
    pub fn new() -> Self {
        Self([0; COUNT])
    }

    /// Reads and clears the register at `offset`.
    pub fn read(&mut self, offset: u32) -> u32 {
        core::mem::take(&mut self.0[index(offset)])
    }

    /// With NCR.WESTAT: sets the register at `offset`.
    pub fn write(&mut self, offset: u32, value: u32) {
        self.0[index(offset)] = value & maximum(offset);
    }

    /// NCR.INCSTAT: every counter by one.
    pub fn increment_all(&mut self) {
        for offset in (OTLO..=UCE).step_by(4) {
            self.count(offset);
        }
    }

    pub fn count(&mut self, offset: u32) {
        let counter = &mut self.0[index(offset)];
        *counter = counter.saturating_add(1).min(maximum(offset));
    }

    /// A good frame: `octets` and `sizes` are the first registers of their group, `len` includes the FCS.
    pub fn count_size(&mut self, octets: u32, sizes: u32, len: usize) {
        let (low, high) = (index(octets), index(octets + 4));
        let (sum, carry) = self.0[low].overflowing_add(len as u32);
        if carry && self.0[high] == maximum(octets + 4) {
            self.0[low] = u32::MAX;
        } else {
            self.0[low] = sum;
            self.0[high] += u32::from(carry);
        }
        let class = match len {
            ..=64 => 0,
            65..=127 => 1,
            128..=255 => 2,
            256..=511 => 3,
            512..=1023 => 4,
            1024..=1518 => 5,
            _ => 6,
        };
        self.count(sizes + 4 * class);
    }
}

fn index(offset: u32) -> usize {
    ((offset - OTLO) / 4) as usize
}

/// Widths as in 24.9: octets 48 bits in two registers, most counters 32, errors 8, 10 or 18.
fn maximum(offset: u32) -> u32 {
    match offset {
        0x104 | 0x154 | 0x114 | 0x164 => 0xFFFF,
        0x138 | 0x13C | 0x148 | 0x1A0 => 0x3_FFFF,
        0x134 | 0x140 | 0x144 | 0x14C | 0x184..=0x19C | 0x1A4 => 0x3FF,
        0x1A8..=0x1B0 => 0xFF,
        _ => u32::MAX,
    }
}
