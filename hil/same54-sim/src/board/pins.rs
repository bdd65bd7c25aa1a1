//! What an observer sees at the pins.

use super::Board;
use crate::Waveform;

/// Pins of a group.
const PINS: usize = 32;
const GROUPS: usize = 4;

impl Board {
    /// The level at a pin, a group (0 is A) and a number, at this instant: what the chip drives, else what the board
    /// drives, else the pull. None if nothing holds it or the board has no supply.
    pub fn pin(&self, group: usize, n: usize) -> Option<bool> {
        if !self.powered || group >= GROUPS || n >= PINS {
            return None;
        }
        self.chip.driven(group, n, self.now()).or_else(|| self.chip.parts.port.given(group, n))
    }

    /// The waveform that a peripheral (TC, TCC or GCLK) repeats at a pin, a group (0 is A) and a number, from now until
    /// something about it changes. None if it is a level. Exact, and needs no time to pass.
    pub fn pin_waveform(&self, group: usize, n: usize) -> Option<Waveform> {
        if !self.powered || group >= GROUPS || n >= PINS {
            return None;
        }
        self.chip.waveform(group, n, self.now())
    }
}
