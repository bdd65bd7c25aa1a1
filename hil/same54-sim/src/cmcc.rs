//! CMCC: Cortex-M cache controller (SAM D5x/E5x datasheet, 11).
//!
//! Fidelity: enable and its status are modelled, everything else is stored. There is no cache: code and data are always
//! coherent, so a missing invalidation after a flash write goes unnoticed. While it is enabled, with CFG.ICDIS clear, code
//! and literals are taken for resident: no wait states. That is what a loop below its 4 KiB does from the second turn on;
//! first turns and larger loops are too fast by what misses would cost, up to the figures without cache (25). Data is
//! always read without wait states. The monitor does not count.

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["CFG", "LCKWAY", "MCFG", "MEN", "MSR"], absent: &[] };

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Cmcc {
    cfg: u32,
    enabled: bool,
    lckway: u32,
    mcfg: u32,
    men: u32,
}

impl Cmcc {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self { cfg: 0x20, enabled: false, lckway: 0, mcfg: 0, men: 0 }
    }

    /// Instructions come out of the cache (11.9: CTRL.CEN, CFG.ICDIS).
    pub(crate) fn caches_code(&self) -> bool {
        const ICDIS: u32 = 1 << 1;
        self.enabled && self.cfg & ICDIS == 0
    }
}

impl Peripheral for Cmcc {
    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 => 0x12D2,
            0x04 => self.cfg,
            0x0C => u32::from(self.enabled),
            0x10 => self.lckway,
            0x28 => self.mcfg,
            0x2C => self.men,
            0x08 | 0x20 | 0x24 | 0x30 | 0x34 => 0,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x04 => self.cfg = w.onto_masked(self.cfg, 0x76),
            0x08 => self.enabled = w.value & 1 != 0,
            0x10 => self.lckway = w.value & 15,
            0x20 => {
                if self.enabled {
                    cx.violation("CMCC.MAINT0 written while the cache is enabled");
                }
            }
            0x28 => self.mcfg = w.value & 3,
            0x2C => self.men = w.value & 1,
            0x00 | 0x0C | 0x24 | 0x30 | 0x34 => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        *self = Self::new();
    }
}
