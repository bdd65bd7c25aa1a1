//! What the first word of the user page says (SAM D5x/E5x datasheet, 9.4 "NVM User Page Mapping").

use std::fmt;

use update_image::layout::{BOOTLOADER, ERASE_SIZE};

/// Bit 0 switches the brown-out detector off.
const BOD33_DISABLE: u32 = 1 << 0;
const LEVEL: u32 = 0xFF << 1;
const ACTION: u32 = 3 << 9;
const ACTION_RESET: u32 = 1 << 9;
const BOOTPROT: u32 = 15 << 26;

/// The threshold: 1.5 V and 6 mV a step (table 54-21), so 2.7 V, the least that flash at full speed and the external
/// flash are specified for.
const BOD33_LEVEL: u32 = 200;
/// BOOTPROT that protects the whole bootloader: (15 - BOOTPROT) * 8 KiB.
pub(super) const BOOTPROT_BOOTLOADER: u32 = 15 - BOOTLOADER.len / ERASE_SIZE;
/// BOOTPROT that protects nothing.
pub(super) const BOOTPROT_NOTHING: u32 = 15;

/// The first word of the user page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuses(pub u32);

impl Fuses {
    /// What a device in the field should have: the bootloader protected, the brown-out detector on from power-on with
    /// reset as its action. Everything else is kept: hysteresis, calibration, reserved bits.
    pub fn wanted(self) -> Self {
        let kept = self.0 & !(BOD33_DISABLE | LEVEL | ACTION);
        Self(kept | BOD33_LEVEL << 1 | ACTION_RESET).with_bootprot(BOOTPROT_BOOTLOADER)
    }

    /// The same with another BOOTPROT.
    pub(super) fn with_bootprot(self, bootprot: u32) -> Self {
        Self(self.0 & !BOOTPROT | bootprot << 26)
    }

    /// Erased: the factory's calibration is gone.
    pub(super) fn is_blank(self) -> bool {
        self.0 == u32::MAX
    }

    fn bootprot(self) -> u32 {
        self.0 >> 26 & 15
    }
}

impl fmt::Display for Fuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protected = (15 - self.bootprot()) * 8;
        let volts = f64::from(1_500 + 6 * (self.0 >> 1 & 0xFF)) / 1_000.0;
        let action = ["none", "reset", "interrupt", "backup"][(self.0 >> 9 & 3) as usize];
        let state = if self.0 & BOD33_DISABLE == 0 { "on" } else { "off" };
        write!(f, "{:#010x}: BOOTPROT {protected} KiB, BOD33 {state} at {volts:.3} V, action {action}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivered_fuses_become_those_of_a_device_in_the_field_and_keep_the_rest() {
        let delivered = Fuses(0xFE9A_9239);
        let text = delivered.to_string();
        assert!(text.contains("BOOTPROT 0 KiB") && text.contains("BOD33 off at 1.668 V, action reset"), "{text}");
        let wanted = delivered.wanted();
        // Bits 30 to 31, 15 to 25 and 11 to 14 as they were; 7 << 26, 1 << 9, 200 << 1, and bit 0 clear.
        assert_eq!(wanted.0, 0xFE9A_9239 & 0xC3FF_F800 | 0x1C00_0000 | 0x200 | 0x190);
        let text = wanted.to_string();
        assert!(text.contains("BOOTPROT 64 KiB") && text.contains("BOD33 on at 2.700 V, action reset"), "{text}");
        assert_eq!(wanted.wanted(), wanted);
        assert_eq!(wanted.with_bootprot(BOOTPROT_NOTHING).wanted(), wanted);
    }
}
