//! PUKCC: public key cryptography controller (SAM D5x/E5x datasheet, 43).
//!
//! Fidelity: absent. Programs drive it through a library in ROM at 0x0200_0000 (43.3), which nobody but Microchip has: a
//! call into the ROM is recorded as an access to "PUKCC library" and ends in a BusFault, so that no program takes
//! memory that was never computed for a result. Its 4 KiB of RAM at 0x0201_1000 can be read and written; its registers
//! are not documented and read 0.

use armv7m::Size;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Unmodelled, Write};

/// The library's ROM, which begins with its jump table.
pub(crate) const ROM: std::ops::Range<u32> = 0x0200_0000..0x0201_0000;
/// The RAM that library and programs share.
pub(crate) const RAM: std::ops::Range<u32> = 0x0201_1000..0x0201_2000;
const RAM_SIZE: usize = (RAM.end - RAM.start) as usize;

/// What is there of the block.
#[derive(Clone, Debug)]
pub(crate) struct Pukcc {
    ram: Box<[u8]>,
}

impl Pukcc {
    pub(crate) fn new() -> Self {
        Self { ram: vec![0; RAM_SIZE].into() }
    }

    /// Reads the shared RAM.
    pub(crate) fn read_ram(&self, addr: u32, size: Size) -> u32 {
        let at = (addr - RAM.start) as usize;
        self.ram[at..].iter().take(size as usize).rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
    }

    /// Writes the shared RAM.
    pub(crate) fn write_ram(&mut self, addr: u32, size: Size, value: u32) {
        let at = (addr - RAM.start) as usize;
        for (cell, byte) in self.ram[at..].iter_mut().zip(&value.to_le_bytes()[..size as usize]) {
            *cell = *byte;
        }
    }

    /// Somebody looks into the ROM, most likely to execute it.
    pub(crate) fn report_rom(addr: u32, cx: &mut Context<'_>) {
        let offset = addr - ROM.start;
        cx.signals.unmodelled.push(Unmodelled { name: "PUKCC library", offset, write: false });
        cx.signals.attention = true;
    }
}

impl Peripheral for Pukcc {
    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        cx.unmodelled(offset, false)
    }

    fn write(&mut self, offset: u32, _w: Write, cx: &mut Context<'_>) {
        cx.unmodelled(offset, true);
    }

    fn reset(&mut self, cause: ResetCause, _cx: &mut Context<'_>) {
        if cause.is_supply() {
            self.ram.fill(0);
        }
    }
}
