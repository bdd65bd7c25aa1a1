//! What is at the board's connectors: virtual COM port, buses, voltages, button and LED.

use super::Board;
use crate::map::Id;
use crate::{I2cDevice, SpiDevice};

const SERCOMS: [Id; 8] =
    [Id::Sercom0, Id::Sercom1, Id::Sercom2, Id::Sercom3, Id::Sercom4, Id::Sercom5, Id::Sercom6, Id::Sercom7];
/// SERCOM2 is wired to the EDBG's virtual COM port.
const VCOM: usize = 2;

impl Board {
    /// Bytes that the EDBG's virtual COM port (SERCOM2 on PB24/PB25) has received since the last call.
    pub fn take_uart(&mut self) -> Vec<u8> {
        self.chip.parts.sercom[VCOM].take_sent()
    }

    /// Sends bytes to the program through the EDBG's virtual COM port.
    pub fn send_uart(&mut self, bytes: &[u8]) {
        self.sync();
        self.chip.with(Id::Sercom2, |parts, cx| parts.sercom[VCOM].send(bytes, cx));
    }

    /// The board's MAC address, as its EEPROM has it (AT24MAC402 on SERCOM7, PD08 and PD09).
    pub fn mac_address(&self) -> [u8; 6] {
        self.chip.mac_address
    }

    /// Bytes that have left the transmitter of SERCOM`n` as USART since the last call; 0 to 7.
    pub fn take_serial(&mut self, n: usize) -> Vec<u8> {
        self.chip.parts.sercom[n].take_sent()
    }

    /// Sends bytes to the receiver of SERCOM`n` as USART; 0 to 7.
    pub fn send_serial(&mut self, n: usize, bytes: &[u8]) {
        self.sync();
        self.chip.with(SERCOMS[n], |parts, cx| parts.sercom[n].send(bytes, cx));
    }

    /// Wires a device to the I2C bus of SERCOM`n` (0 to 7) at the pins `sda` and `scl`, each a group (0 is A) and a
    /// number.
    pub fn plug_i2c(&mut self, n: usize, sda: (usize, usize), scl: (usize, usize), device: Box<dyn I2cDevice>) {
        self.chip.parts.sercom[n].plug_i2c(sda, scl, device);
    }

    /// Wires a device to the SPI bus of SERCOM`n` (0 to 7) with its chip select, active low, at the pin `select`, a
    /// group (0 is A) and a number.
    pub fn plug_spi(&mut self, n: usize, select: (usize, usize), device: Box<dyn SpiDevice>) {
        self.chip.parts.sercom[n].plug_spi(select, device);
        self.sync();
        self.chip.look_at_pins();
    }

    /// Applies a voltage to an analogue pin, a group (0 is A) and a number: what ADC and AC see there while the program
    /// has multiplexed it to them.
    pub fn set_analog(&mut self, pin: (usize, usize), millivolts: u16) {
        self.sync();
        self.chip.set_analog(pin, 1_000 * i64::from(millivolts));
    }

    /// The voltage, in millivolts, that DAC channel `n` (0 on PA02, 1 on PA05) drives at its pin, if it does.
    pub fn analog_output(&self, n: usize) -> Option<u16> {
        self.chip.parts.dac.pin(n).and_then(|microvolts| u16::try_from(microvolts / 1_000).ok())
    }

    /// Presses or releases the button SW0 (PB31, low while pressed).
    pub fn set_button(&mut self, pressed: bool) {
        self.sync();
        self.chip.parts.port.drive(1, 31, pressed.then_some(false));
        self.chip.look_at_pins();
    }

    /// Whether the user LED (PC18, low active) is lit at this instant. See [`pin_waveform`](Self::pin_waveform) for one
    /// that is dimmed.
    pub fn led(&self) -> bool {
        self.powered && self.chip.driven(2, 18, self.now()) == Some(false)
    }
}
