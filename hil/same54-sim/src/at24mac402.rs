//! AT24MAC402, the board's EEPROM with a MAC address (Atmel-8807E; SAM E54 Xplained Pro user guide, EEPROM).
//!
//! Fidelity: the 2 Kbit array at 0x56 and the extended block with the EUI-48 address (0x9A) and the 128-bit serial
//! number (0x80) at 0x5E are modelled: reads that roll over, writes of up to a page of 16 bytes that wrap in it, a write
//! cycle of 5 ms (the maximum) in which the device does not acknowledge, and a supply that fails in it (the page stays
//! as it was, assumed). The software write protection (control code 6h) is absent: it is not acknowledged. The address
//! belongs to Microchip's block 04:91:62 (assumed), the rest and the serial number come from the seed.

use std::time::Duration;

use sim_base::{Instant, Rng};

use crate::sercom::I2cDevice;

/// A2, A1 and A0 as the board wires them.
const ARRAY: u8 = 0x56;
const EXTENDED: u8 = 0x5E;
const SERIAL: u8 = 0x80;
const EUI: u8 = 0x9A;
const PAGE: u8 = 16;
const WRITE_CYCLE: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    None,
    Array,
    Extended,
}

/// The device.
#[derive(Clone)]
pub(crate) struct At24mac402 {
    array: [u8; 256],
    eui: [u8; 6],
    serial: [u8; 16],
    target: Target,
    /// The word address: shared between the two blocks.
    pointer: u8,
    /// The first byte of a write is the word address.
    addressed: bool,
    /// Bytes of the page that is being written, by word address.
    page: Vec<(u8, u8)>,
    busy_until: Instant,
}

impl At24mac402 {
    /// Erased, with an address and a serial number from `rng`.
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let mut serial = [0; 16];
        rng.fill(&mut serial);
        let mut eui = [0x04, 0x91, 0x62, 0, 0, 0];
        rng.fill(&mut eui[3..]);
        Self {
            array: [0xFF; 256],
            eui,
            serial,
            target: Target::None,
            pointer: 0,
            addressed: false,
            page: Vec::new(),
            busy_until: Instant::ZERO,
        }
    }

    /// The EUI-48 address.
    pub(crate) fn eui(&self) -> [u8; 6] {
        self.eui
    }

    fn extended(&self) -> u8 {
        match self.pointer {
            SERIAL..=0x8F => self.serial[usize::from(self.pointer - SERIAL)],
            EUI..=0x9F => self.eui[usize::from(self.pointer - EUI)],
            _ => 0,
        }
    }

    /// The write cycle that ended by `now` is in the array.
    fn settle(&mut self, now: Instant) {
        if now >= self.busy_until {
            for (address, byte) in self.page.drain(..) {
                self.array[usize::from(address)] = byte;
            }
        }
    }
}

impl I2cDevice for At24mac402 {
    fn start(&mut self, address: u8, read: bool, now: Instant) -> bool {
        if now >= self.busy_until && self.busy_until != Instant::ZERO {
            self.settle(now);
            self.busy_until = Instant::ZERO;
        } else if now < self.busy_until {
            return false;
        }
        // A START in the middle of a write drops it.
        self.page.clear();
        self.target = match address {
            ARRAY => Target::Array,
            EXTENDED => Target::Extended,
            _ => Target::None,
        };
        self.addressed = read;
        self.target != Target::None
    }

    fn write(&mut self, byte: u8, _now: Instant) -> bool {
        if !self.addressed {
            self.addressed = true;
            self.pointer = byte;
            return true;
        }
        if self.target != Target::Array {
            return false;
        }
        self.page.retain(|(address, _)| *address != self.pointer);
        self.page.push((self.pointer, byte));
        self.pointer = self.pointer & !(PAGE - 1) | (self.pointer + 1) & (PAGE - 1);
        true
    }

    fn read(&mut self, _now: Instant) -> u8 {
        let byte = match self.target {
            Target::Extended => self.extended(),
            _ => self.array[usize::from(self.pointer)],
        };
        self.pointer = self.pointer.wrapping_add(1);
        byte
    }

    fn stop(&mut self, now: Instant) {
        if now >= self.busy_until {
            if !self.page.is_empty() && self.busy_until == Instant::ZERO {
                self.busy_until = now + WRITE_CYCLE;
            }
            self.target = Target::None;
        }
    }

    fn power_on(&mut self) {
        self.page.clear();
        self.busy_until = Instant::ZERO;
        self.target = Target::None;
        self.pointer = 0;
    }

    fn boxed(&self) -> Box<dyn I2cDevice> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(1_000 * micros)
    }

    fn device() -> At24mac402 {
        At24mac402::new(&mut Rng::new(7))
    }

    fn read(device: &mut At24mac402, address: u8, from: u8, count: usize, micros: u64) -> Vec<u8> {
        assert!(device.start(address, false, at(micros)));
        assert!(device.write(from, at(micros)));
        assert!(device.start(address, true, at(micros)));
        let bytes = (0..count).map(|_| device.read(at(micros))).collect();
        device.stop(at(micros));
        bytes
    }

    #[test]
    fn the_extended_block_holds_a_mac_address_and_a_serial_number_and_takes_no_writes() {
        let mut device = device();
        assert_eq!(read(&mut device, EXTENDED, EUI, 6, 1), device.eui());
        assert_eq!(device.eui()[..3], [0x04, 0x91, 0x62]);
        assert_eq!(read(&mut device, EXTENDED, SERIAL, 16, 2), device.serial);
        assert!(device.start(EXTENDED, false, at(3)));
        assert!(device.write(EUI, at(3)));
        assert!(!device.write(0, at(3)));
    }

    #[test]
    fn a_write_wraps_in_its_page_and_takes_five_milliseconds() {
        let mut device = device();
        assert!(device.start(ARRAY, false, at(1)));
        for byte in [0x1E, 1, 2, 3] {
            assert!(device.write(byte, at(1)));
        }
        device.stop(at(1));
        assert!(!device.start(ARRAY, false, at(4_900)), "busy");
        assert_eq!(read(&mut device, ARRAY, 0x1E, 2, 5_001), [1, 2]);
        assert_eq!(read(&mut device, ARRAY, 0x10, 1, 5_002), [3]);
    }

    #[test]
    fn a_supply_that_fails_in_the_write_cycle_leaves_the_page() {
        let mut device = device();
        assert!(device.start(ARRAY, false, at(1)));
        assert!(device.write(0, at(1)) && device.write(0x55, at(1)));
        device.stop(at(1));
        device.power_on();
        assert_eq!(read(&mut device, ARRAY, 0, 1, 2), [0xFF]);
    }
}
