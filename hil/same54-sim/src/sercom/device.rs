//! What can be wired to a SERCOM from outside the chip.

use sim_base::Instant;

/// A device on an I2C bus.
///
/// The bus calls it for each START, byte and STOP, in order of virtual time.
pub trait I2cDevice: Send {
    /// A START or repeated START with a 7-bit address and the direction. True is ACK: the device is the one that is
    /// addressed.
    fn start(&mut self, address: u8, read: bool, now: Instant) -> bool;

    /// A byte from the host to the device that acknowledged its address. True is ACK.
    fn write(&mut self, byte: u8, now: Instant) -> bool;

    /// The next byte from the device that acknowledged its address.
    fn read(&mut self, now: Instant) -> u8;

    /// A STOP condition, whoever was addressed.
    fn stop(&mut self, now: Instant) {
        let _ = now;
    }

    /// The supply comes back: what the device keeps without it, and nothing else, is left.
    fn power_on(&mut self) {}

    /// A copy for a snapshot of the board.
    fn boxed(&self) -> Box<dyn I2cDevice>;
}

/// A device on an SPI bus.
pub trait SpiDevice: Send {
    /// Its chip select changes.
    fn select(&mut self, selected: bool, now: Instant) {
        let _ = (selected, now);
    }

    /// A word goes out while another comes in; of 8 bits, or 9 with CTRLB.CHSIZE at 1.
    fn transfer(&mut self, word: u16, now: Instant) -> u16;

    /// The supply comes back.
    fn power_on(&mut self) {}

    /// A copy for a snapshot of the board.
    fn boxed(&self) -> Box<dyn SpiDevice>;
}

impl Clone for Box<dyn I2cDevice> {
    fn clone(&self) -> Self {
        self.boxed()
    }
}

impl Clone for Box<dyn SpiDevice> {
    fn clone(&self) -> Self {
        self.boxed()
    }
}
