//! MCLK: main clock (SAM D5x/E5x datasheet, 15).
//!
//! Fidelity: CPUDIV, the bus clock masks and CKRDY are modelled; a masked peripheral answers no access. HSDIV is fixed
//! at 1 as on the chip.

use armv7m::Size;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};

pub(super) const AHBMASK_RESET: u32 = 0x00FF_FFFF;
pub(super) const APBMASK_RESET: [u32; 4] = [0x07FF, 0x0001_8056, 0x2000, 0];

/// Bits of the masks that are no reserved ones (15.8.6 to 15.8.10).
const AHBMASK_WRITABLE: u32 = 0x00FF_F75F;
const APBMASK_WRITABLE: [u32; 4] = [0xFFFF, 0x0001_7E97, 0x6FFC, 0x0FFF];

const CKRDY: u32 = 1;

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Mclk {
    inten: u32,
    intflag: u32,
    cpudiv: u32,
    ahb: u32,
    apb: [u32; 4],
}

impl Mclk {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self { inten: 0, intflag: CKRDY, cpudiv: 1, ahb: AHBMASK_RESET, apb: APBMASK_RESET }
    }

    pub(super) fn cpu_divider(&self) -> u32 {
        self.cpudiv
    }

    pub(super) fn ahb_mask(&self) -> u32 {
        self.ahb
    }

    pub(super) fn apb_masks(&self) -> [u32; 4] {
        self.apb
    }
}

impl Peripheral for Mclk {
    fn width(&self, offset: u32) -> Size {
        if offset < 0x10 { Size::Byte } else { Size::Word }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x01 | 0x02 => self.inten,
            0x03 => self.intflag,
            0x04 => 1,
            0x05 => self.cpudiv,
            0x10 => self.ahb,
            0x14..=0x20 => self.apb[(offset as usize - 0x14) / 4],
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x01 => self.inten &= !w.value,
            0x02 => self.inten |= w.value & CKRDY,
            // The clock is ready again at once: the new divider takes effect within a few cycles.
            0x03 => self.intflag = self.intflag & !w.value | CKRDY,
            0x04 => {}
            0x05 => {
                if !w.value.is_power_of_two() {
                    cx.violation(format!("MCLK.CPUDIV written with {:#x}, which is no power of two", w.value));
                    return;
                }
                self.cpudiv = w.value;
            }
            0x10 => self.ahb = w.onto_masked(self.ahb, AHBMASK_WRITABLE),
            0x14..=0x20 => {
                let n = (offset as usize - 0x14) / 4;
                self.apb[n] = w.onto_masked(self.apb[n], APBMASK_WRITABLE[n]);
            }
            _ => {
                cx.unmodelled(offset, true);
            }
        }
        cx.signals.clocks_dirty = true;
    }

    fn reset(&mut self, _cause: ResetCause, cx: &mut Context<'_>) {
        *self = Self::new();
        cx.signals.clocks_dirty = true;
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag)
    }
}
