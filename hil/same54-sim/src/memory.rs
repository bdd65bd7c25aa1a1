//! The memory arrays that the core and the bus masters share.
//!
//! Fidelity: sizes, addresses and the AHB view are modelled (SAM D5x/E5x datasheet, 9 "Memories"). Wait states and bus
//! matrix contention are not. RAM contents at power-on are pseudo-random, from the seed (assumed: the datasheet only
//! calls them undefined).

use sim_base::Rng;

/// Internal flash, bytes.
pub(crate) const FLASH_SIZE: u32 = 0x10_0000;
/// First byte of RAM.
pub(crate) const RAM_BASE: u32 = 0x2000_0000;
/// RAM, bytes, with RAMECC off.
pub(crate) const RAM_SIZE: u32 = 0x4_0000;
/// First byte of backup RAM.
pub(crate) const BACKUP_BASE: u32 = 0x4700_0000;
/// Backup RAM, bytes.
pub(crate) const BACKUP_SIZE: u32 = 0x2000;

/// RAM, backup RAM and the flash main array as it is mapped at address 0.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) ram: Box<[u8]>,
    pub(crate) flash: Box<[u8]>,
    pub(crate) backup: Box<[u8]>,
}

impl Memory {
    /// Erased flash, empty RAM.
    pub(crate) fn new() -> Self {
        Self {
            ram: vec![0; RAM_SIZE as usize].into(),
            flash: vec![0xFF; FLASH_SIZE as usize].into(),
            backup: vec![0; BACKUP_SIZE as usize].into(),
        }
    }

    /// RAM as it is when the supply comes up: undefined, here pseudo-random.
    pub(crate) fn scramble_ram(&mut self, rng: &mut Rng) {
        rng.fill(&mut self.ram);
        rng.fill(&mut self.backup);
    }

    /// `len` bytes at `addr`, if they all lie in one array.
    pub(crate) fn slice(&self, addr: u32, len: usize) -> Option<&[u8]> {
        let (array, offset) = match addr {
            RAM_BASE..0x2004_0000 => (&self.ram, addr - RAM_BASE),
            0..FLASH_SIZE => (&self.flash, addr),
            BACKUP_BASE..0x4700_2000 => (&self.backup, addr - BACKUP_BASE),
            _ => return None,
        };
        array.get(offset as usize..)?.get(..len)
    }

    /// `len` bytes of RAM or backup RAM at `addr`, to be written.
    pub(crate) fn ram_slice_mut(&mut self, addr: u32, len: usize) -> Option<&mut [u8]> {
        let (array, offset) = match addr {
            RAM_BASE..0x2004_0000 => (&mut self.ram, addr - RAM_BASE),
            BACKUP_BASE..0x4700_2000 => (&mut self.backup, addr - BACKUP_BASE),
            _ => return None,
        };
        array.get_mut(offset as usize..)?.get_mut(..len)
    }
}
