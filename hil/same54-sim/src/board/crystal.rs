//! The board's crystals, which can fail.

use super::Board;
use crate::map::Id;

/// A crystal of the SAM E54 Xplained Pro.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crystal {
    /// 12 MHz at XOSC1.
    Xosc1,
    /// 32.768 kHz at XOSC32K.
    Xosc32k,
}

impl Board {
    /// Breaks a crystal's swing, or lets it swing again. Delivered with both swinging.
    pub fn set_crystal(&mut self, crystal: Crystal, swings: bool) {
        self.sync();
        match crystal {
            Crystal::Xosc1 => self.chip.with(Id::Oscctrl, |parts, cx| parts.oscctrl.set_crystal(1, swings, cx)),
            Crystal::Xosc32k => self.chip.with(Id::Osc32kctrl, |parts, cx| parts.osc32kctrl.set_crystal(swings, cx)),
        }
        self.serve();
    }
}
