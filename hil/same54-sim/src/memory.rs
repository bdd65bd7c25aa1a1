//! The memory arrays that the core and the bus masters share.
//!
//! Fidelity: sizes, addresses and the AHB view are modelled (SAM D5x/E5x datasheet, 9 "Memories"). Bus matrix
//! contention is not. RAM contents at power-on are pseudo-random, from the seed (assumed: the datasheet only
//! calls them undefined), or what has not decayed of the old ones, if the board is told so. Bus masters other than the
//! core read flash cells as they are, without error correction, and so do those other than core and DMAC with RAM. The software calibration area reads as a fixed, plausible
//! pattern; the serial number comes from the seed.

use std::collections::BTreeMap;
use std::ops::Range;

use sim_base::Rng;

use crate::arrays::{Arrays, LINE};
use crate::board::Hash64;
use crate::nvmctrl::BLOCK;
use crate::nvmctrl::ecc::{self, Check, WORD, Weak, WeakWords};
use crate::ram_upsets::{Found, RamUpsets};

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
/// [`Memory::ram_window`] while all of RAM needs a closer look: a corner of the vendor's system space where the chip has
/// nothing, and where no program goes but by mistake.
const NO_WINDOW: u32 = 0xF000_0000;
/// [`Memory::busy_bank`] while no bank is busy.
pub(crate) const NO_BANK: u32 = u32::MAX;
/// [`Memory::slow`] of flash that reads as its array everywhere.
pub(crate) const NOTHING_SLOW: (u32, u32) = (u32::MAX, u32::MAX);
/// Granularity in which [`Memory::restore_from`] looks for changes.
const COPY_UNIT: usize = 4_096;

/// The user page as Microchip delivers it (datasheet 9.4, "NVM User Page Mapping"): BOD33 off, no boot protection,
/// RAM ECC off, watchdog off, regions unlocked.
const USER_PAGE_DEFAULT: [u32; 4] = [0xFE9A_9239, 0xAEEC_FF80, 0xFFFF_FFFF, 0xFFFF_FFFF];

/// The arrays, with flash as it is mapped at address 0.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) arrays: Arrays,
    /// First byte of RAM as far as it reads as its array and is written without further ado.
    ram_window: u32,
    ram_upsets: RamUpsets,
    pub(crate) backup: Box<[u8]>,
    pub(crate) user_page: Box<[u8]>,
    /// Bank A is the one mapped at address 0 (fuse AFIRST).
    pub(crate) a_first: bool,
    /// Security bit (fuse SSB).
    pub(crate) secured: bool,
    /// The security bit as the flash controller loaded it last: debuggers see no memory.
    pub(crate) protected: bool,
    /// DSU.CTRL.CE is locked (fuse CELCK).
    pub(crate) chip_erase_locked: bool,
    /// SmartEEPROM's active sector, 0 or 1 (fuse ASEES).
    pub(crate) active_sees: u32,
    /// SmartEEPROM may not be written (SEESTAT.LOCK, non-volatile).
    pub(crate) see_locked: bool,
    /// Flash and user page words that are more than their data.
    pub(crate) weak: WeakWords,
    /// Erases of each 8 KiB block of flash that has had some, by block.
    pub(crate) wear: BTreeMap<u32, u32>,
    /// The bank (0 or 1 in mapping order) that a program or erase keeps from being read, or [`NO_BANK`].
    busy_bank: u32,
    /// What SmartEEPROM takes from the end of the upper bank, bytes.
    reserved: u32,
    /// Flash at `addr` needs a closer look if `addr & slow.0 == slow.1`: an aligned block around all that does.
    slow: (u32, u32),
    /// Fuse words that were read from unsteady cells at the last supply reset.
    sensed_fuses: BTreeMap<usize, u32>,
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
            arrays: Arrays::new(),
            ram_window: RAM_BASE,
            ram_upsets: RamUpsets::default(),
            backup: vec![0; BACKUP_SIZE as usize].into(),
            user_page: user_page.into(),
            a_first: true,
            secured: false,
            protected: false,
            chip_erase_locked: false,
            active_sees: 0,
            see_locked: false,
            weak: WeakWords::new(rng.fork("unsteady flash cells")),
            wear: BTreeMap::new(),
            busy_bank: NO_BANK,
            reserved: 0,
            slow: NOTHING_SLOW,
            sensed_fuses: BTreeMap::new(),
            serial: std::array::from_fn(|_| rng.next_u32()),
        }
    }

    /// Becomes as `other` is now. Returns the parts of flash that were different.
    pub(crate) fn restore_from(&mut self, other: &Self) -> Vec<Range<u32>> {
        // Named one by one, so that a new field is not forgotten here.
        let Self {
            arrays,
            ram_window,
            ram_upsets,
            backup,
            user_page,
            a_first,
            secured,
            protected,
            chip_erase_locked,
            active_sees,
            see_locked,
            weak,
            wear,
            busy_bank,
            reserved,
            slow,
            sensed_fuses,
            serial,
        } = other;
        let mut changed: Vec<Range<u32>> = Vec::new();
        let units = self.arrays.flash_mut().chunks_mut(COPY_UNIT).zip(arrays.flash().chunks(COPY_UNIT));
        for (start, (mine, theirs)) in (0..).step_by(COPY_UNIT).zip(units) {
            if mine == theirs {
                continue;
            }
            mine.copy_from_slice(theirs);
            let end = start + COPY_UNIT as u32;
            match changed.last_mut().filter(|last| last.end == start) {
                Some(last) => last.end = end,
                None => changed.push(start..end),
            }
        }
        self.arrays.ram_mut().copy_from_slice(arrays.ram());
        self.arrays.fast_mut().copy_from_slice(arrays.fast());
        self.ram_window = *ram_window;
        self.ram_upsets.clone_from(ram_upsets);
        self.backup.copy_from_slice(backup);
        self.user_page.copy_from_slice(user_page);
        self.a_first = *a_first;
        self.secured = *secured;
        self.protected = *protected;
        self.chip_erase_locked = *chip_erase_locked;
        self.active_sees = *active_sees;
        self.see_locked = *see_locked;
        self.weak.clone_from(weak);
        self.wear.clone_from(wear);
        self.busy_bank = *busy_bank;
        self.reserved = *reserved;
        self.slow = *slow;
        self.sensed_fuses.clone_from(sensed_fuses);
        self.serial = *serial;
        changed
    }

    /// See [`Board::likeness`](crate::Board::likeness): of flash and user page.
    pub(crate) fn likeness(&self) -> Option<u64> {
        let mut hash = Hash64::new();
        hash.bytes(self.arrays.flash());
        hash.bytes(&self.user_page);
        for flag in [self.a_first, self.secured, self.protected, self.chip_erase_locked, self.see_locked] {
            hash.number(flag.into());
        }
        hash.number(self.active_sees.into());
        hash.number(self.reserved.into());
        hash.number(self.weak.likeness()?);
        self.sensed_fuses.is_empty().then(|| hash.finish())
    }

    /// RAM as it is when the supply comes up: undefined, here pseudo-random.
    pub(crate) fn scramble_ram(&mut self, rng: &mut Rng) {
        rng.fill(self.arrays.ram_mut());
        self.ram_written(0..RAM_SIZE);
    }

    /// Backup RAM without supply.
    pub(crate) fn scramble_backup(&mut self, rng: &mut Rng) {
        rng.fill(&mut self.backup);
    }

    /// RAM that has lost its supply for a while: `lost`/65536 of the bytes have fallen to chance.
    pub(crate) fn decay_ram(&mut self, rng: &mut Rng, lost: u16) {
        for bytes in self.arrays.ram_mut().chunks_mut(2) {
            let chance = rng.next_u64();
            for (n, byte) in bytes.iter_mut().enumerate() {
                if ((chance >> (16 * n)) as u16) < lost {
                    *byte = (chance >> (32 + 8 * n)) as u8;
                }
            }
        }
        self.ram_written(0..RAM_SIZE);
    }

    /// See [`NO_WINDOW`].
    #[inline]
    pub(crate) fn ram_window(&self) -> u32 {
        self.ram_window
    }

    /// Whether some byte of RAM does not fit its error correction code.
    pub(crate) fn has_ram_upsets(&self) -> bool {
        !self.ram_upsets.is_empty()
    }

    /// Whether RAM has error correction: fuse RAM.ECCDIS, bit 39 of the user page.
    pub(crate) fn corrects_ram(&self) -> bool {
        self.user_word(1) >> 7 & 1 == 0
    }

    /// Flips bits of the byte at `offset` in RAM, as a particle would: its code stays.
    pub(crate) fn upset_ram(&mut self, offset: u32, bits: u8) {
        let Some(byte) = self.arrays.ram_mut().get_mut(offset as usize) else { return };
        *byte ^= bits;
        if self.corrects_ram() {
            self.ram_upsets.flip(offset, bits);
            self.find_ram_window();
        }
    }

    /// What the error correction finds in these bytes of RAM, by offset.
    pub(crate) fn ram_errors(&self, bytes: Range<u32>) -> Vec<(u32, Found)> {
        self.ram_upsets.found(bytes)
    }

    /// Bytes of RAM get new codes.
    pub(crate) fn ram_written(&mut self, bytes: Range<u32>) {
        if self.has_ram_upsets() {
            self.ram_upsets.written(bytes);
            self.find_ram_window();
        }
    }

    fn find_ram_window(&mut self) {
        self.ram_window = if self.has_ram_upsets() { NO_WINDOW } else { RAM_BASE };
    }

    /// Whether flash at `addr` reads as its array, without further ado.
    #[inline]
    pub(crate) fn is_plain(&self, addr: u32) -> bool {
        addr & self.slow.0 != self.slow.1
    }

    /// Mask and value of the addresses of flash that are not [`is_plain`](Self::is_plain).
    pub(crate) fn slow(&self) -> (u32, u32) {
        self.slow
    }

    /// Whether all of `range` [`is_plain`](Self::is_plain).
    pub(crate) fn is_plain_throughout(&self, range: &Range<u32>) -> bool {
        let (mask, first) = self.slow;
        range.end <= first || range.start > first | !mask
    }

    /// The bank that a program or erase keeps from being read, or [`NO_BANK`].
    pub(crate) fn busy_bank(&self) -> u32 {
        self.busy_bank
    }

    pub(crate) fn set_busy_bank(&mut self, bank: u32) {
        self.busy_bank = bank;
        self.find_slow();
    }

    /// SmartEEPROM hides the last `bytes` of the upper bank from the bus.
    pub(crate) fn reserve(&mut self, bytes: u32) {
        self.reserved = bytes;
        self.find_slow();
    }

    /// Bytes of flash without what SmartEEPROM has taken.
    pub(crate) fn main_array(&self) -> u32 {
        FLASH_SIZE - self.reserved
    }

    /// Whether SmartEEPROM keeps flash at `addr` for itself.
    pub(crate) fn is_reserved(&self, addr: u32) -> bool {
        addr < FLASH_SIZE && addr >= FLASH_SIZE - self.reserved
    }

    fn find_slow(&mut self) {
        let busy = (self.busy_bank != NO_BANK).then(|| self.busy_bank * BANK_SIZE..(self.busy_bank + 1) * BANK_SIZE);
        let reserved = (self.reserved != 0).then(|| FLASH_SIZE - self.reserved..FLASH_SIZE);
        let weak = self.weak.around(0..FLASH_SIZE);
        let parts = [busy, reserved, weak].into_iter().flatten();
        self.slow = match parts.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)) {
            None => NOTHING_SLOW,
            Some(range) => {
                // From the highest bit on in which its first and last address differ, all of them; a line at least.
                let apart = (range.start ^ (range.end - 1)) | (LINE - 1);
                let mask = u32::MAX.checked_shl(u32::BITS - apart.leading_zeros()).unwrap_or(0);
                (mask, range.start & mask)
            }
        };
    }

    /// The cells of flash or user page from `addr`.
    pub(crate) fn nvm(&self, addr: u32, len: u32) -> &[u8] {
        let (array, start): (&[u8], u32) = match addr {
            USER_PAGE_BASE.. => (&self.user_page, addr - USER_PAGE_BASE),
            _ => (self.arrays.flash(), addr),
        };
        &array[start as usize..(start + len) as usize]
    }

    /// See [`nvm`](Self::nvm).
    pub(crate) fn nvm_mut(&mut self, addr: u32, len: u32) -> &mut [u8] {
        let (array, start): (&mut [u8], u32) = match addr {
            USER_PAGE_BASE.. => (&mut self.user_page, addr - USER_PAGE_BASE),
            _ => (self.arrays.flash_mut(), addr),
        };
        &mut array[start as usize..(start + len) as usize]
    }

    fn nvm_word(&self, addr: u32) -> u64 {
        self.nvm(addr, WORD).try_into().map_or(u64::MAX, u64::from_le_bytes)
    }

    /// Data and code of the words from `addr`, both aligned to words: 9 bytes for each.
    pub(crate) fn nvm_cells(&self, addr: u32, len: u32) -> Vec<u8> {
        let mut cells = Vec::new();
        for at in (addr..addr + len).step_by(WORD as usize) {
            let data = self.nvm_word(at);
            cells.extend(data.to_le_bytes());
            cells.push(self.weak.cells(at, data).code);
        }
        cells
    }

    /// Puts cells back as [`nvm_cells`](Self::nvm_cells) gave them. Of the cells that were unsteady, those in `settled`
    /// are so no longer; those in `unsteady` (byte and mask) are now.
    pub(crate) fn set_nvm_cells(
        &mut self,
        addr: u32,
        cells: &[u8],
        settled: impl Fn(usize) -> u8,
        unsteady: &[(usize, u8)],
    ) {
        for (n, word) in cells.chunks(9).enumerate() {
            let at = addr + n as u32 * WORD;
            let Some((&code, data)) = word.split_last() else { continue };
            let Ok(data) = <[u8; 8]>::try_from(data) else { continue };
            let mask = |byte: usize, old: u8| {
                let index = 9 * n + byte;
                let new = unsteady.binary_search_by_key(&index, |(n, _)| *n).map_or(0, |found| unsteady[found].1);
                old & !settled(index) | new
            };
            let old = self.weak.cells(at, 0);
            let old_bits = old.unsteady.to_le_bytes();
            let unsteady_bits = u64::from_le_bytes(std::array::from_fn(|byte| mask(byte, old_bits[byte])));
            let unsteady_code = mask(8, old.unsteady_code);
            self.nvm_mut(at, WORD).copy_from_slice(&data);
            let weak = Weak { code, unsteady: unsteady_bits, unsteady_code };
            self.weak.store(at, u64::from_le_bytes(data), weak);
        }
        self.find_slow();
    }

    /// Cells from `addr` are erased, aligned to words.
    pub(crate) fn erase_nvm(&mut self, addr: u32, len: u32) {
        self.nvm_mut(addr, len).fill(0xFF);
        self.weak.forget(addr..addr + len);
        self.find_slow();
    }

    /// What the decoder makes of the word at `addr` now, and the data as the bus sees them.
    pub(crate) fn sense(&mut self, addr: u32) -> (u64, Check) {
        let (data, code) = self.weak.sense(addr, self.nvm_word(addr));
        match ecc::check(data, code) {
            Check::Single(corrected) => (corrected, Check::Single(corrected)),
            check => (data, check),
        }
    }

    /// Flips data bits of the word at `addr`, as a particle would: the code stays.
    pub(crate) fn upset(&mut self, addr: u32, bits: u64) {
        let data = self.nvm_word(addr);
        let weak = self.weak.cells(addr, data);
        self.nvm_mut(addr, WORD).copy_from_slice(&(data ^ bits).to_le_bytes());
        self.weak.store(addr, data ^ bits, weak);
        self.find_slow();
    }

    /// The fuses are read from the user page: unsteady cells fall to one side or the other until the next reset.
    pub(crate) fn sense_fuses(&mut self) {
        self.sensed_fuses.clear();
        for addr in (USER_PAGE_BASE..USER_PAGE_BASE + USER_PAGE_SIZE).step_by(WORD as usize) {
            if self.weak.touches(addr..addr + WORD) {
                let (data, _) = self.sense(addr);
                let n = (addr - USER_PAGE_BASE) as usize / 4;
                self.sensed_fuses.insert(n, data as u32);
                self.sensed_fuses.insert(n + 1, (data >> 32) as u32);
            }
        }
    }

    /// `len` bytes at `addr`, if they all lie in one array.
    pub(crate) fn slice(&self, addr: u32, len: usize) -> Option<&[u8]> {
        let (array, offset): (&[u8], u32) = match addr {
            RAM_BASE..0x2004_0000 => (self.arrays.ram(), addr - RAM_BASE),
            0..FLASH_SIZE => (self.arrays.flash(), addr),
            BACKUP_BASE..0x4700_2000 => (&self.backup, addr - BACKUP_BASE),
            _ => return None,
        };
        array.get(offset as usize..)?.get(..len)
    }

    /// `len` bytes of RAM or backup RAM at `addr`, to be written.
    pub(crate) fn ram_slice_mut(&mut self, addr: u32, len: usize) -> Option<&mut [u8]> {
        if (RAM_BASE..RAM_BASE + RAM_SIZE).contains(&addr) {
            let offset = addr - RAM_BASE;
            self.ram_written(offset..offset.saturating_add(len as u32));
        }
        let (array, offset): (&mut [u8], u32) = match addr {
            RAM_BASE..0x2004_0000 => (self.arrays.ram_mut(), addr - RAM_BASE),
            BACKUP_BASE..0x4700_2000 => (&mut self.backup, addr - BACKUP_BASE),
            _ => return None,
        };
        array.get_mut(offset as usize..)?.get_mut(..len)
    }

    /// Word `n` of the user page, as a reset loads it.
    pub(crate) fn user_word(&self, n: usize) -> u32 {
        if let Some(word) = self.sensed_fuses.get(&n) {
            return *word;
        }
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
        let (low, high) = self.arrays.flash_mut().split_at_mut(BANK_SIZE as usize);
        low.swap_with_slice(high);
        self.a_first = !self.a_first;
        let blocks = BANK_SIZE / BLOCK;
        self.wear = std::mem::take(&mut self.wear).into_iter().map(|(block, count)| (block ^ blocks, count)).collect();
        self.weak.relocate(|addr| if addr < FLASH_SIZE { addr ^ BANK_SIZE } else { addr });
        self.find_slow();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_aligned_block_around_what_is_not_sound_needs_a_closer_look() {
        let mut memory = Memory::new(&mut Rng::new(1));
        assert!(memory.is_plain(0) && memory.is_plain_throughout(&(0..FLASH_SIZE)));
        memory.upset(0x2_0008, 1);
        assert!(!memory.is_plain(0x2_0000) && memory.is_plain(0x1_FFFF) && memory.is_plain(0x2_0010));
        assert!(memory.is_plain_throughout(&(0..0x2_0000)) && memory.is_plain_throughout(&(0x2_0010..FLASH_SIZE)));
        assert!(!memory.is_plain_throughout(&(0x1_FFF0..0x2_0001)));
        memory.upset(0x2_01F8, 1);
        assert!(!memory.is_plain(0x2_01FF) && memory.is_plain(0x2_0200));
        memory.upset(0x8_0000, 1);
        assert!(!memory.is_plain(0) && !memory.is_plain(FLASH_SIZE - 4));
        memory.erase_nvm(0x8_0000, BLOCK);
        memory.erase_nvm(0x2_0000, BLOCK);
        assert!(memory.is_plain_throughout(&(0..FLASH_SIZE)));
        memory.set_busy_bank(1);
        assert!(memory.is_plain(BANK_SIZE - 1) && !memory.is_plain(BANK_SIZE));
        memory.set_busy_bank(NO_BANK);
        memory.reserve(0x3000);
        assert!(memory.is_plain(FLASH_SIZE - 0x4001) && !memory.is_plain(FLASH_SIZE - 0x3000));
    }
}
