//! Faults that a test puts into the board's memories, and their wear.

use super::Board;
use crate::map::Id;
use crate::memory::{FLASH_SIZE, RAM_BASE};
use crate::nor::NorCells;
use crate::nvmctrl::{BLOCK, NvmPulses};
use crate::spi_flash::SpiFlash;

impl Board {
    /// How often the 4 KiB of the external flash around `addr` were erased, for observers.
    pub fn nor_erases(&self, addr: u32) -> u32 {
        self.chip.parts.qspi.flash.erases(addr)
    }

    /// How often the 8 KiB block of internal flash around `addr` was erased to the end, for observers.
    pub fn nvm_erases(&self, addr: u32) -> u32 {
        self.chip.shared.memory.wear.get(&(addr / BLOCK)).copied().unwrap_or(0)
    }

    /// Puts a fault between the QSPI controller and the external flash, for example [`SilentFlash`](crate::SilentFlash).
    pub fn wrap_nor(&mut self, wrap: impl FnOnce(Box<dyn SpiFlash>) -> Box<dyn SpiFlash>) {
        self.chip.parts.qspi.wrap(wrap);
        self.chip.settle(Id::Qspi);
    }

    /// Puts a fault between the external flash and its cells, for example [`StuckBit`](crate::StuckBit).
    pub fn wrap_nor_cells(&mut self, mut wrap: impl FnMut(Box<dyn NorCells>) -> Box<dyn NorCells>) {
        self.chip.parts.qspi.flash.wrap_cells(&mut wrap);
    }

    /// The write protect pin W# of the external flash: true is low.
    pub fn set_nor_write_protect(&mut self, low: bool) {
        self.chip.parts.qspi.flash.set_write_protect(low);
    }

    /// Flash operations take their data sheets' maximum times from now on, rather than the typical ones.
    pub fn set_worst_case_flash(&mut self, on: bool) {
        self.chip.parts.qspi.flash.set_worst_case(on);
        self.chip.parts.nvmctrl.set_worst_case(on);
    }

    /// Flips `bits` of the 64-bit word of internal flash or user page that holds `addr`, as a particle would: its error
    /// correction code stays.
    pub fn upset_nvm(&mut self, addr: u32, bits: u64) {
        let addr = addr & !7;
        self.chip.shared.memory.upset(addr, bits);
        if addr < FLASH_SIZE {
            self.cpu.invalidate_code(addr..addr + 8);
        }
        self.look_at_flash_path();
    }

    /// Flips `bits` of the byte of RAM at `addr`, as a particle would: its error correction code, if the fuse ECCDIS lets
    /// RAM have codes, stays, and RAMECC finds the error when the byte is read. Elsewhere than in RAM nothing happens.
    pub fn upset_ram(&mut self, addr: u32, bits: u8) {
        if let Some(offset) = addr.checked_sub(RAM_BASE) {
            self.chip.shared.memory.upset_ram(offset, bits);
        }
    }

    /// Puts a fault between the internal flash's controller and its cells, for example [`FailingPulses`](crate::FailingPulses).
    pub fn wrap_nvm(&mut self, wrap: impl FnOnce(Box<dyn NvmPulses>) -> Box<dyn NvmPulses>) {
        self.chip.parts.nvmctrl.wrap_pulses(wrap);
    }
}
