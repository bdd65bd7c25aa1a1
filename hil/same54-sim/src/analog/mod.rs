//! The analogue blocks: ADC, DAC and AC, and the voltages between them.

pub(crate) mod ac;
pub(crate) mod adc;
pub(crate) mod dac;

use std::collections::BTreeMap;

use crate::port::Port;

/// A pin: group (0 is A) and number.
pub(crate) type Pin = (usize, usize);

/// VDDANA, microvolts.
pub(crate) const VDDANA: i64 = 3_300_000;

/// Pins' function B: analogue.
const FUNCTION: u8 = 1;

/// Voltages at analogue inputs, in microvolts, and which pins are connected to their block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    voltages: BTreeMap<Pin, i64>,
    /// Bit n: input n has its pin.
    connected: u32,
    reported: u32,
}

impl Inputs {
    /// What the board applies to a pin.
    pub(crate) fn set(&mut self, pin: Pin, microvolts: i64) {
        self.voltages.insert(pin, microvolts);
    }

    /// The multiplexing of the block's `pins` has changed.
    pub(crate) fn connect(&mut self, pins: &[Pin], port: &Port) {
        let connected = |pin: &Pin| port.function(pin.0, pin.1) == Some(FUNCTION);
        self.connected = (0..).zip(pins).fold(0, |bits, (n, pin)| bits | u32::from(connected(pin)) << n);
    }

    /// The voltage at input `n`, which is `pin`; nobody drives it: 0 (assumed). `Err` once if the pin is not
    /// multiplexed.
    pub(crate) fn read(&mut self, n: usize, pin: Pin) -> Result<i64, Pin> {
        if self.connected >> n & 1 == 0 {
            let first = self.reported >> n & 1 == 0;
            self.reported |= 1 << n;
            return if first { Err(pin) } else { Ok(0) };
        }
        Ok(self.voltages.get(&pin).copied().unwrap_or(0))
    }

    /// A reset of the block: missing pins are reported anew.
    pub(crate) fn restart(&mut self) {
        self.reported = 0;
    }
}
