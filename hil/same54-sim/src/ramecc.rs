//! RAMECC: error correction of RAM (SAM D5x/E5x datasheet, 26).
//!
//! Fidelity: errors never happen; the status follows the fuse. With ECC on, the upper half of RAM would hold the codes;
//! the model leaves it usable.

use armv7m::Size;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["DBGCTRL"], absent: &[] };

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Ramecc {
    inten: u32,
    dbgctrl: u32,
}

impl Ramecc {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self { inten: 0, dbgctrl: 0 }
    }
}

impl Peripheral for Ramecc {
    fn width(&self, offset: u32) -> Size {
        if (4..8).contains(&offset) { Size::Word } else { Size::Byte }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 | 0x01 => self.inten,
            0x02 | 0x04 => 0,
            // ECCDIS: bit 39 of the user page.
            0x03 => cx.memory.user_word(1) >> 7 & 1,
            0x0F => self.dbgctrl,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x00 => self.inten &= !w.value,
            0x01 => self.inten |= w.value & 3,
            0x02..=0x04 => {}
            0x0F => self.dbgctrl = w.value & 3,
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        *self = Self::new();
    }
}
