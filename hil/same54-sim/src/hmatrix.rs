//! HMATRIX: bus matrix priorities (SAM D5x/E5x datasheet, 10.4).
//!
//! Fidelity: stored only; there is no contention in the model.

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger::STORED;

/// The register block: PRAS and PRBS of sixteen slaves.
#[derive(Clone, Debug)]
pub(crate) struct Hmatrix {
    priorities: [u32; 32],
}

impl Hmatrix {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self { priorities: [0; 32] }
    }
}

impl Peripheral for Hmatrix {
    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x80..0x100 => self.priorities[(offset as usize - 0x80) / 4],
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x80..0x100 => {
                let priority = &mut self.priorities[(offset as usize - 0x80) / 4];
                *priority = w.onto(*priority);
            }
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        *self = Self::new();
    }
}
