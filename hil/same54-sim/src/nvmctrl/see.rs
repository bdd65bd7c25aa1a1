//! SmartEEPROM: RAM-like non-volatile memory in two sectors of flash (SAM D5x/E5x datasheet, 25.6.8).
//!
//! Fidelity: modelled are the virtual size from the fuses, 8, 16 and 32-bit accesses at 0x4400_0000, buffered and
//! unbuffered writes, allocation of a new page with every write, automatic and manual reallocation into the other sector,
//! SEESFULL, SEESOVF and SEEWRC, both locks, SEEFLUSH, and the copy that a bank swap makes. All of it goes through real
//! programs and erases at the end of the upper bank, which a power cut tears. The layout in a sector is not documented
//! and assumed: each page is followed by a quad word with its number, written after it. Assumed, too: an access waits
//! while SmartEEPROM is busy; 128 virtual pages at most. Its register space at 0x4401_0000 is absent.

use std::time::Duration;

use armv7m::Size;

use super::operation::{Kind, Operation};
use super::{BLOCK, BLOCK_TIME, Nvmctrl, PAGE_TIME, QUAD_TIME, flag};
use crate::memory::{BANK_SIZE, FLASH_SIZE, Memory};
use crate::peripheral::{Context, Peripheral};

/// SEECFG.WMODE.
const BUFFERED: u32 = 1 << 0;
/// SEECFG.APRDIS.
const APRDIS: u32 = 1 << 1;
/// Virtual pages (25.6.8.3).
const PAGES: u32 = 128;
/// Bytes of the quad word that numbers a page.
const INDEX: u32 = 16;

/// What SmartEEPROM remembers between accesses.
#[derive(Clone, Debug, Default)]
pub(super) struct Smart {
    /// Blocks of a sector, 0 if there is no SmartEEPROM.
    blocks: u32,
    /// SEESTAT.PSZ: a page has 4 << psz bytes.
    psz: u32,
    /// Slot of each virtual page in the active sector.
    slots: Vec<Option<u32>>,
    /// The first slot that has not been written.
    next: u32,
    /// The page in the page buffer: number, contents, and whether it has unwritten data.
    buffer: Option<(u32, Vec<u8>)>,
    /// SEESTAT.RLOCK.
    pub(super) rlock: bool,
}

impl Smart {
    fn page(&self) -> u32 {
        4 << self.psz
    }

    /// Virtual size in bytes (table 25-6).
    fn size(&self) -> u32 {
        let most = match self.blocks {
            0 => 0,
            1 => 4_096,
            2 => 8_192,
            3 | 4 => 16_384,
            5..=8 => 32_768,
            _ => 65_536,
        };
        (PAGES * self.page()).min(most)
    }

    /// Bytes of a page in flash, without its index.
    fn stored(&self) -> u32 {
        self.page().next_multiple_of(16)
    }

    fn sector(&self) -> u32 {
        self.blocks * BLOCK
    }

    fn capacity(&self) -> u32 {
        self.sector() / (self.stored() + INDEX)
    }

    fn slot(&self, sector: u32, slot: u32) -> u32 {
        FLASH_SIZE - (2 - sector) * self.sector() + slot * (self.stored() + INDEX)
    }
}

fn index_of(page: u32) -> Vec<u8> {
    let mut index = vec![0xFF; INDEX as usize];
    index[..2].copy_from_slice(&(page as u16).to_le_bytes());
    index[2..4].copy_from_slice(&(!page as u16).to_le_bytes());
    index
}

impl Nvmctrl {
    /// SBLK and PSZ from the fuses, and the pages in the active sector.
    pub(super) fn load_smart(&mut self, cx: &mut Context<'_>) {
        let fuses = cx.memory.user_word(1);
        let blocks = fuses & 15;
        // 25.6.8.4: more than 10 is reserved.
        let blocks = if blocks > 10 { 0 } else { blocks };
        let rlock = self.smart.rlock;
        self.smart = Smart { blocks, psz: fuses >> 4 & 7, rlock, ..Smart::default() };
        cx.memory.reserve(2 * self.smart.sector());
        self.smart.slots = vec![None; (self.smart.size() / self.smart.page()) as usize];
        if blocks == 0 {
            return;
        }
        let stored = self.smart.stored();
        for slot in 0..self.smart.capacity() {
            let at = self.smart.slot(cx.memory.active_sees, slot);
            if cx.memory.nvm(at, stored + INDEX).iter().all(|byte| *byte == 0xFF) {
                continue;
            }
            self.smart.next = slot + 1;
            let index = self.quad(at + stored, cx);
            let (page, check) = (u16::from_le_bytes([index[0], index[1]]), u16::from_le_bytes([index[2], index[3]]));
            if page == !check
                && let Some(place) = self.smart.slots.get_mut(usize::from(page))
            {
                *place = Some(slot);
            }
        }
    }

    pub(super) fn see_status(&self, memory: &Memory) -> u32 {
        let busy = self.operation.as_ref().is_some_and(|operation| operation.smart);
        memory.active_sees
            | u32::from(self.smart.buffer.is_some()) << 1
            | u32::from(busy) << 2
            | u32::from(memory.see_locked) << 3
            | u32::from(self.smart.rlock) << 4
            | self.smart.blocks << 8
            | self.smart.psz << 16
    }

    /// How long the bus waits for SmartEEPROM.
    pub(crate) fn wait_for_smart(&mut self, cx: &mut Context<'_>) -> Duration {
        self.advance(cx);
        let last = self.operation.as_ref().map_or(Duration::ZERO, |operation| operation.done_at.since(cx.now));
        self.queue.iter().fold(last, |time, operation| time + operation.time)
    }

    /// A read at `offset` of SmartEEPROM's address space. `None` is a bus error.
    pub(crate) fn see_read(&mut self, offset: u32, size: Size, cx: &mut Context<'_>) -> Option<u32> {
        self.advance(cx);
        if offset + size as u32 > self.smart.size() || !offset.is_multiple_of(size as u32) {
            return None;
        }
        let page = self.see_page(offset / self.smart.page(), cx);
        let at = (offset % self.smart.page()) as usize;
        Some(page[at..at + size as usize].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    /// A write at `offset` of SmartEEPROM's address space; the bus has waited for it. `None` is a bus error.
    pub(crate) fn see_write(&mut self, offset: u32, size: Size, value: u32, cx: &mut Context<'_>) -> Option<()> {
        self.advance(cx);
        let exists = offset + size as u32 <= self.smart.size() && offset.is_multiple_of(size as u32);
        if !exists || cx.memory.see_locked {
            return None;
        }
        let page = offset / self.smart.page();
        if self.smart.buffer.as_ref().is_some_and(|(number, _)| *number != page) {
            self.flush_smart(0, cx);
        }
        let mut data = self.see_page(page, cx);
        let at = (offset % self.smart.page()) as usize;
        data[at..at + size as usize].copy_from_slice(&value.to_le_bytes()[..size as usize]);
        self.smart.buffer = Some((page, data));
        if self.seecfg & BUFFERED != 0 {
            self.intflag |= flag::SEEWRC;
        } else {
            self.flush_smart(flag::SEEWRC, cx);
        }
        Some(())
    }

    fn see_page(&mut self, page: u32, cx: &mut Context<'_>) -> Vec<u8> {
        if let Some((_, data)) = self.smart.buffer.as_ref().filter(|(number, _)| *number == page) {
            return data.clone();
        }
        let mut data = Vec::new();
        if let Some(slot) = self.smart.slots.get(page as usize).copied().flatten() {
            let at = self.smart.slot(cx.memory.active_sees, slot);
            for quad in (at..at + self.smart.stored()).step_by(16) {
                data.extend(self.quad(quad, cx));
            }
        }
        data.resize(self.smart.page() as usize, 0xFF);
        data
    }

    /// Writes what the page buffer holds for SmartEEPROM; its end sets `flags`.
    pub(super) fn flush_smart(&mut self, flags: u32, cx: &mut Context<'_>) {
        let Some((page, data)) = self.smart.buffer.take() else {
            self.intflag |= flags;
            return;
        };
        let capacity = self.smart.capacity();
        if self.smart.next >= capacity {
            self.intflag |= flag::SEESOVF | flags;
            return;
        }
        let slot = self.smart.next;
        self.smart.next += 1;
        if let Some(place) = self.smart.slots.get_mut(page as usize) {
            *place = Some(slot);
        }
        let full = self.smart.next == capacity;
        let at = self.smart.slot(cx.memory.active_sees, slot);
        let reallocate = full && self.seecfg & APRDIS == 0;
        self.put_page(at, page, data, if reallocate { 0 } else { flags }, cx);
        if reallocate {
            self.request_reallocation(flags, cx);
        } else if full {
            self.intflag |= flag::SEESFULL;
        }
    }

    /// Programs one page and then its index.
    fn put_page(&mut self, at: u32, page: u32, mut data: Vec<u8>, flags: u32, cx: &mut Context<'_>) {
        let stored = self.smart.stored();
        data.resize(stored as usize, 0xFF);
        let time = if stored > 16 { PAGE_TIME } else { QUAD_TIME };
        self.put(Operation::new(Kind::Program(data), at, stored, time, 0), cx);
        self.put(Operation::new(Kind::Program(index_of(page)), at + stored, INDEX, QUAD_TIME, flags), cx);
    }

    fn put(&mut self, operation: Operation, cx: &mut Context<'_>) {
        self.enqueue(Operation { smart: true, ..operation }, cx);
    }

    /// Moves the valid pages to the other sector, after what is under way. Data in the page buffer are lost (25.6.8.7).
    pub(super) fn request_reallocation(&mut self, flags: u32, cx: &mut Context<'_>) {
        if self.smart.blocks == 0 {
            self.refuse(flag::PROGE);
            return;
        }
        self.smart.buffer = None;
        self.put(Operation::new(Kind::Reallocate(flags), 0, 0, Duration::ZERO, 0), cx);
    }

    /// The steps of a reallocation (25.6.8.7), now that the active sector is quiet.
    pub(super) fn reallocate(&mut self, flags: u32, cx: &mut Context<'_>) {
        let target = 1 - cx.memory.active_sees;
        let base = self.smart.slot(target, 0);
        let slots = self.copy_pages(base, cx);
        self.smart.next = slots.iter().flatten().count() as u32;
        self.smart.slots = slots;
        self.put(Operation::new(Kind::SwapSectors, 0, 0, QUAD_TIME, flags), cx);
    }

    /// A bank swap takes the valid pages along: into the same sector of the other bank (25.6.8.7).
    pub(super) fn carry_smart_over(&mut self, cx: &mut Context<'_>) {
        if self.smart.blocks != 0 {
            let base = self.smart.slot(cx.memory.active_sees, 0) - BANK_SIZE;
            self.copy_pages(base, cx);
        }
    }

    /// Erases the sector at `base` and copies the valid pages there. Returns the slots that they get.
    fn copy_pages(&mut self, base: u32, cx: &mut Context<'_>) -> Vec<Option<u32>> {
        let used: Vec<u32> = (0..).zip(&self.smart.slots).filter_map(|(page, slot)| slot.map(|_| page)).collect();
        let pages: Vec<(u32, Vec<u8>)> = used.into_iter().map(|page| (page, self.see_page(page, cx))).collect();
        for block in 0..self.smart.blocks {
            self.put(Operation::new(Kind::Erase, base + block * BLOCK, BLOCK, BLOCK_TIME, 0), cx);
        }
        let mut slots = vec![None; self.smart.slots.len()];
        for (slot, (page, data)) in (0..).zip(pages) {
            slots[page as usize] = Some(slot);
            let at = base + slot * (self.smart.stored() + INDEX);
            self.put_page(at, page, data, 0, cx);
        }
        slots
    }
}
