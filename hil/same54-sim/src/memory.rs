//! The memory arrays that the core and the bus masters share.
//!
//! Fidelity: sizes, addresses and the AHB view are modelled (SAM D5x/E5x datasheet, 9 "Memories"). Wait states and bus
//! matrix contention are not. RAM contents at power-on are pseudo-random, from the seed (assumed: the datasheet only
//! calls them undefined). The software calibration area reads as a fixed, plausible pattern; the serial number comes
//! from the seed.

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

/// One of the two flash banks, bytes.
pub(crate) const BANK_SIZE: u32 = FLASH_SIZE / 2;
/// First byte of the user page.
pub(crate) const USER_PAGE_BASE: u32 = 0x0080_4000;
/// User page, bytes.
pub(crate) const USER_PAGE_SIZE: u32 = 512;
/// [`Memory::busy_bank`] while no bank is busy.
pub(crate) const NO_BANK: u32 = u32::MAX;

/// An array on the heap, without a detour over the stack. Its length in the type spares the hot path a bounds check.
fn filled<const N: usize>(value: u8) -> Box<[u8; N]> {
    vec![value; N].into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([value; N]))
}

/// The user page as Microchip delivers it (datasheet 9.4, "NVM User Page Mapping"): BOD33 off, no boot protection,
/// RAM ECC off, watchdog off, regions unlocked.
const USER_PAGE_DEFAULT: [u32; 4] = [0xFE9A_9239, 0xAEEC_FF80, 0xFFFF_FFFF, 0xFFFF_FFFF];

/// The arrays, with flash as it is mapped at address 0.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) ram: Box<[u8; RAM_SIZE as usize]>,
    pub(crate) flash: Box<[u8; FLASH_SIZE as usize]>,
    pub(crate) backup: Box<[u8]>,
    pub(crate) user_page: Box<[u8]>,
    /// Bank A is the one mapped at address 0 (fuse AFIRST).
    pub(crate) a_first: bool,
    /// Security bit: debuggers see no memory.
    pub(crate) secured: bool,
    /// DSU.CTRL.CE is locked (fuse CELCK).
    pub(crate) chip_erase_locked: bool,
    /// The bank (0 or 1 in mapping order) that a program or erase keeps from being read, or [`NO_BANK`].
    pub(crate) busy_bank: u32,
    serial: [u32; 4],
}

impl Memory {
    /// Erased flash, empty RAM, a serial number from `rng`.
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let mut user_page = vec![0xFF; USER_PAGE_SIZE as usize];
        for (bytes, word) in user_page.chunks_mut(4).zip(USER_PAGE_DEFAULT) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self {
            ram: filled(0),
            flash: filled(0xFF),
            backup: vec![0; BACKUP_SIZE as usize].into(),
            user_page: user_page.into(),
            a_first: true,
            secured: false,
            chip_erase_locked: false,
            busy_bank: NO_BANK,
            serial: std::array::from_fn(|_| rng.next_u32()),
        }
    }

    /// RAM as it is when the supply comes up: undefined, here pseudo-random.
    pub(crate) fn scramble_ram(&mut self, rng: &mut Rng) {
        rng.fill(&mut self.ram[..]);
        rng.fill(&mut self.backup);
    }

    /// `len` bytes at `addr`, if they all lie in one array.
    pub(crate) fn slice(&self, addr: u32, len: usize) -> Option<&[u8]> {
        let (array, offset): (&[u8], u32) = match addr {
            RAM_BASE..0x2004_0000 => (&self.ram[..], addr - RAM_BASE),
            0..FLASH_SIZE => (&self.flash[..], addr),
            BACKUP_BASE..0x4700_2000 => (&self.backup, addr - BACKUP_BASE),
            _ => return None,
        };
        array.get(offset as usize..)?.get(..len)
    }

    /// `len` bytes of RAM or backup RAM at `addr`, to be written.
    pub(crate) fn ram_slice_mut(&mut self, addr: u32, len: usize) -> Option<&mut [u8]> {
        let (array, offset): (&mut [u8], u32) = match addr {
            RAM_BASE..0x2004_0000 => (&mut self.ram[..], addr - RAM_BASE),
            BACKUP_BASE..0x4700_2000 => (&mut self.backup, addr - BACKUP_BASE),
            _ => return None,
        };
        array.get_mut(offset as usize..)?.get_mut(..len)
    }

    /// Word `n` of the user page.
    pub(crate) fn user_word(&self, n: usize) -> u32 {
        let bytes = self.user_page.get(4 * n..4 * n + 4);
        bytes.and_then(|bytes| bytes.try_into().ok()).map_or(u32::MAX, u32::from_le_bytes)
    }

    /// The word at `addr`, aligned, in the auxiliary flash space at 0x0080_0000: user page, calibration, serial
    /// number (datasheet 9.3 to 9.6).
    pub(crate) fn auxiliary_word(&self, addr: u32) -> Option<u32> {
        Some(match addr {
            USER_PAGE_BASE..0x0080_4200 => self.user_word((addr - USER_PAGE_BASE) as usize / 4),
            // Software calibration: AC, ADC and USB pads.
            0x0080_0080 => 0x0B6D_B6D3,
            0x0080_0084 => 0xFFFF_E9D5,
            // Temperature log: room and hot temperature with their readings.
            0x0080_0100 => 0x0055_0019,
            0x0080_0104 => 0xA9A6_A0A0,
            0x0080_0108 => 0x8880_8880,
            0x0080_61FC => self.serial[0],
            0x0080_6010 => self.serial[1],
            0x0080_6014 => self.serial[2],
            0x0080_6018 => self.serial[3],
            0x0080_0000..0x0080_0200 | 0x0080_6000..0x0080_6200 => u32::MAX,
            _ => return None,
        })
    }

    /// Makes the other bank the one at address 0.
    pub(crate) fn swap_banks(&mut self) {
        let (low, high) = self.flash.split_at_mut(BANK_SIZE as usize);
        low.swap_with_slice(high);
        self.a_first = !self.a_first;
    }
}
