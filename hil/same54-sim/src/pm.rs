//! PM: power manager (SAM D5x/E5x datasheet, 18).
//!
//! Fidelity: registers are stored. Every sleep mode behaves like IDLE: clocks go on, any enabled interrupt wakes.
//! Standby, hibernate, backup and off are absent; selecting one of the last three is reported as a violation.

use armv7m::Size;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

const IORET: u32 = 1 << 2;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger =
    Ledger { stored: &["CTRLA", "STDBYCFG", "HIBCFG", "BKUPCFG", "PWSAKDLY"], absent: &[] };

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Pm {
    ctrla: u32,
    sleepcfg: u32,
    inten: u32,
    stdbycfg: u32,
    hibcfg: u32,
    bkupcfg: u32,
    pwsakdly: u32,
}

impl Pm {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self { ctrla: 0, sleepcfg: 2, inten: 0, stdbycfg: 0, hibcfg: 0, bkupcfg: 0, pwsakdly: 0 }
    }
}

impl Peripheral for Pm {
    fn width(&self, _offset: u32) -> Size {
        Size::Byte
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 => self.ctrla,
            0x01 => self.sleepcfg,
            0x04 | 0x05 => self.inten,
            // SLEEPRDY: the mode that was written last is in force.
            0x06 => 1,
            0x08 => self.stdbycfg,
            0x09 => self.hibcfg,
            0x0A => self.bkupcfg,
            0x12 => self.pwsakdly,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x00 => self.ctrla = w.value & IORET,
            0x01 => {
                self.sleepcfg = w.value & 7;
                if self.sleepcfg > 4 {
                    cx.violation(format!("PM.SLEEPCFG mode {}: hibernate, backup and off are absent", self.sleepcfg));
                }
            }
            0x04 => self.inten &= !w.value,
            0x05 => self.inten |= w.value & 1,
            0x06 => {}
            0x08 => self.stdbycfg = w.value & 0x33,
            0x09 => self.hibcfg = w.value & 0x0F,
            0x0A => self.bkupcfg = w.value & 3,
            0x12 => self.pwsakdly = w.value & 0xFF,
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, cause: ResetCause, _cx: &mut Context<'_>) {
        let ioret = if cause.is_supply() { 0 } else { self.ctrla & IORET };
        *self = Self { ctrla: ioret, ..Self::new() };
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & 1)
    }
}
