//! LED0 of the board: PC18, lit when low (SAM E54 Xplained Pro user guide, 4.2.1).

use atsamd_hal::ehal::digital::{OutputPin, StatefulOutputPin};
use atsamd_hal::gpio::{PC18, Pin, PushPullOutput, Reset};

/// LED0.
pub struct Led {
    pin: Pin<PC18, PushPullOutput>,
}

impl Led {
    pub(crate) fn new(pin: Pin<PC18, Reset>) -> Self {
        let mut led = Self { pin: pin.into_push_pull_output() };
        led.set(false);
        led
    }

    /// Switches it on or off.
    pub fn set(&mut self, on: bool) {
        // Pin writes are infallible on this chip.
        let _ = if on { self.pin.set_low() } else { self.pin.set_high() };
    }

    /// Changes its state.
    pub fn toggle(&mut self) {
        let _ = StatefulOutputPin::toggle(&mut self.pin);
    }
}
