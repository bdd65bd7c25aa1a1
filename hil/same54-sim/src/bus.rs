//! The core's and the debugger's view of the chip.

use std::ops::Range;

use armv7m::{Bus, BusFault, Cycle, Size, Wait};

use crate::chip::{Chip, Steady};
use crate::cmcc;
use crate::flash_path::{QSPI_BASE, QSPI_END};
use crate::map::{Id, NO_BIT, SLOTS, locate};
use crate::memory::{BACKUP_BASE, FLASH_SIZE, RAM_BASE, RAM_SIZE, USER_PAGE_BASE};
use crate::parts::Parts;
use crate::peripheral::{Context, Write};
use crate::pukcc::{self, Pukcc};
use crate::ram_upsets::Found;

/// Data RAM of the CMCC.
const CACHE_RAM: u32 = 0x0300_0000;
const CACHE_RAM_END: u32 = CACHE_RAM + cmcc::RAM_SIZE;
/// Library and memory of PUKCC.
const PUKCC_ROM: u32 = pukcc::ROM.start;
const PUKCC_RAM: u32 = pukcc::RAM.start;
/// SmartEEPROM (9.2).
const SEE_BASE: u32 = 0x4400_0000;
/// Blocks, by [`Id`], of which no read changes an interrupt line, an event or a request.
const READS_CHANGE_NOTHING: u64 = 1 << Id::Port as u64 | 1 << Id::Mclk as u64 | 1 << Id::Gclk as u64;

impl Bus for Chip {
    #[inline]
    fn read(&mut self, addr: u32, size: Size, at: Cycle) -> Result<u32, BusFault> {
        match self.plain_read(addr, size) {
            Some(value) => Ok(value),
            None => self.read_slow(addr, size, at),
        }
    }

    #[inline]
    fn read_literal(&mut self, addr: u32, size: Size, at: Cycle) -> Result<u32, BusFault> {
        self.read_by_master(addr, size, at)
    }

    #[inline(always)]
    fn plain_literal(&mut self, addr: u32, size: Size) -> Option<u32> {
        if self.path.is_direct() && addr <= FLASH_SIZE - 4 && self.shared.memory.is_plain(addr) {
            return Some(self.shared.memory.arrays.load_flash(addr, size));
        }
        self.plain_read(addr, size)
    }

    #[inline(always)]
    fn take_wait(&mut self) -> Wait {
        self.path.take_wait()
    }

    fn touch_code(&mut self, addr: u32, at: Cycle) -> Wait {
        self.touch_code_line(addr, at)
    }

    fn is_resident(&self, addr: u32) -> bool {
        self.is_code_resident(addr)
    }

    fn longest_wait(&self, code: &Range<u32>) -> Option<u32> {
        self.longest_code_wait(code)
    }

    #[inline]
    fn write(&mut self, addr: u32, size: Size, value: u32, at: Cycle) -> Result<(), BusFault> {
        if self.plain_write(addr, size, value) { Ok(()) } else { self.write_slow(addr, size, value, at) }
    }

    #[inline(always)]
    fn plain_read(&mut self, addr: u32, size: Size) -> Option<u32> {
        let memory = &self.shared.memory;
        let offset = addr.wrapping_sub(memory.ram_window());
        if offset <= RAM_SIZE - 4 {
            return Some(memory.arrays.load_ram(offset, size));
        }
        // Aligned, so that it lies in one line.
        if addr <= FLASH_SIZE - 4 && addr & (size as u32 - 1) == 0 && memory.arrays.is_fast(addr) {
            return Some(memory.arrays.load_flash(addr, size));
        }
        None
    }

    #[inline(always)]
    fn plain_write(&mut self, addr: u32, size: Size, value: u32) -> bool {
        let offset = addr.wrapping_sub(self.shared.memory.ram_window());
        let plain = offset <= RAM_SIZE - 4;
        if plain {
            self.shared.memory.arrays.store_ram(offset, size, value);
        }
        plain
    }

    #[inline]
    fn fetch(&mut self, addr: u32) -> Result<u16, BusFault> {
        if let Some(halfword) = self.cached_code(addr) {
            return Ok(halfword);
        }
        let memory = &self.shared.memory;
        let plain = if addr < FLASH_SIZE { memory.weak.is_empty() } else { !memory.has_ram_upsets() };
        match memory.slice(addr, 2).filter(|_| plain) {
            Some(bytes) => Ok(u16::from_le_bytes([bytes[0], bytes[1]])),
            None if (QSPI_BASE..QSPI_END).contains(&addr) && self.parts.cmcc.caches_code() => {
                self.code_through_cache(addr)
            }
            None => Ok(self.read_by_master(addr, Size::Half, self.cycle)? as u16),
        }
    }

    #[inline]
    fn attention(&self) -> bool {
        self.shared.signals.attention
    }
}

/// Bits of a value of `size`.
fn mask(size: Size) -> u32 {
    match size {
        Size::Byte => 0xFF,
        Size::Half => 0xFFFF,
        Size::Word => u32::MAX,
    }
}

impl Chip {
    /// A data read by the core.
    #[cold]
    #[inline(never)]
    fn read_slow(&mut self, addr: u32, size: Size, at: Cycle) -> Result<u32, BusFault> {
        if addr < QSPI_END
            && let Some(answer) = self.read_on_path(addr, size, at)
        {
            if answer.is_err() {
                self.note_bus_error(addr);
            }
            return answer;
        }
        self.read_past(addr, size, at)
    }

    /// A read by whoever sees what is in memory.
    #[cold]
    #[inline(never)]
    pub(crate) fn read_by_master(&mut self, addr: u32, size: Size, at: Cycle) -> Result<u32, BusFault> {
        self.read_past(addr, size, at)
    }

    /// A read past the cache.
    #[inline(always)]
    fn read_past(&mut self, addr: u32, size: Size, at: Cycle) -> Result<u32, BusFault> {
        let answer = self.read_anything(addr, size, at);
        if answer.is_err() {
            self.note_bus_error(addr);
        }
        answer
    }

    #[inline(always)]
    fn read_anything(&mut self, addr: u32, size: Size, at: Cycle) -> Result<u32, BusFault> {
        self.cycle = at;
        let steady = &self.steady;
        if at < steady.until && addr == steady.addr && size as u32 == steady.bytes {
            return Ok(steady.value);
        }
        let bytes = size as usize;
        match addr {
            0..FLASH_SIZE | USER_PAGE_BASE..0x0080_4200 => self.read_nvm(addr, size),
            RAM_BASE..0x2004_0000 | BACKUP_BASE..0x4700_2000 => {
                let source = self.shared.memory.slice(addr, bytes).ok_or(BusFault)?;
                let value = little_endian(source);
                Ok(if self.shared.memory.has_ram_upsets() { self.correct(addr, size, value) } else { value })
            }
            CACHE_RAM..CACHE_RAM_END if addr + size as u32 <= CACHE_RAM_END => {
                Ok(self.read_cache_ram(addr - CACHE_RAM, size))
            }
            PUKCC_ROM..0x0201_0000 => {
                self.with(Id::Pukcc, |_, cx| Pukcc::report_rom(addr, cx));
                Err(BusFault)
            }
            PUKCC_RAM..0x0201_2000 => match self.is_clocked(Id::Pukcc) {
                true => Ok(self.parts.pukcc.read_ram(addr, size)),
                false => Ok(0),
            },
            0x0080_0000..0x0081_0000 => {
                let word = self.shared.memory.auxiliary_word(addr & !3).ok_or(BusFault)?;
                Ok(word >> (8 * (addr & 3)) & mask(size))
            }
            QSPI_BASE..QSPI_END => self.read_serial_memory(addr - QSPI_BASE, size),
            SEE_BASE..0x4401_0000 => {
                self.wait_for_smart();
                let offset = addr - SEE_BASE;
                self.with(Id::Nvmctrl, |parts, cx| parts.nvmctrl.see_read(offset, size, cx)).ok_or(BusFault)
            }
            0x4000_0000..0x4700_0000 => {
                let (id, offset) = locate(addr).ok_or(BusFault)?;
                let value = self.read_block(id, offset, size)?;
                if let Some(until) = self.shared.signals.steady_until.take() {
                    let until = self.time.cycle_at(until);
                    self.steady = Steady { addr, bytes: size as u32, value, until };
                }
                Ok(value)
            }
            _ => Err(BusFault),
        }
    }

    /// A read of the flash array or the user page.
    pub(crate) fn read_nvm(&mut self, addr: u32, size: Size) -> Result<u32, BusFault> {
        if !matches!(addr, 0..FLASH_SIZE | USER_PAGE_BASE..0x0080_4200) {
            return self.shared.memory.auxiliary_word(addr & !3).ok_or(BusFault);
        }
        if addr < FLASH_SIZE && self.shared.memory.is_plain(addr) && self.shared.memory.is_plain(addr + size as u32 - 1)
        {
            return Ok(little_endian(self.shared.memory.nvm(addr, size as u32)));
        }
        self.wait_for_flash(addr, false);
        self.with(Id::Nvmctrl, |parts, cx| parts.nvmctrl.ahb_read(addr, size, cx)).ok_or(BusFault)
    }

    /// A write by the core.
    #[cold]
    #[inline(never)]
    fn write_slow(&mut self, addr: u32, size: Size, value: u32, at: Cycle) -> Result<(), BusFault> {
        let answer = self.write_past(addr, size, value, at);
        if addr < QSPI_END && answer.is_ok() {
            self.write_through(addr, size, value);
        }
        answer
    }

    /// A write by another master than the core.
    #[cold]
    #[inline(never)]
    pub(crate) fn write_by_master(&mut self, addr: u32, size: Size, value: u32, at: Cycle) -> Result<(), BusFault> {
        self.write_past(addr, size, value, at)
    }

    /// A write past the cache.
    #[inline(always)]
    fn write_past(&mut self, addr: u32, size: Size, value: u32, at: Cycle) -> Result<(), BusFault> {
        let answer = self.write_anything(addr, size, value, at);
        if answer.is_err() {
            self.note_bus_error(addr);
        }
        answer
    }

    /// PAC flags the slave of the AHB that answered with an error (27.7.6).
    fn note_bus_error(&mut self, addr: u32) {
        let slave = match addr >> 24 {
            0x00 if addr < 0x0080_0000 => 0,
            0x00 => 1,
            0x44 => 2,
            0x20..=0x3F => 3,
            bridge @ 0x40..=0x43 => 7 + (bridge - 0x40),
            0x02 => 11,
            0x45 => 12,
            0x46 => 13,
            0x04 => 14,
            0x47 => 15,
            _ => return,
        };
        self.with(Id::Pac, |parts, cx| parts.pac.ahb_error(slave, cx));
    }

    #[inline(always)]
    fn write_anything(&mut self, addr: u32, size: Size, value: u32, at: Cycle) -> Result<(), BusFault> {
        self.cycle = at;
        match addr {
            0..FLASH_SIZE | 0x0080_0000..0x0081_0000 => {
                self.wait_for_flash(addr, true);
                self.with(Id::Nvmctrl, |parts, cx| parts.nvmctrl.ahb_write(addr, size, value, cx)).ok_or(BusFault)
            }
            RAM_BASE..0x2004_0000 | BACKUP_BASE..0x4700_2000 => {
                let target = self.shared.memory.ram_slice_mut(addr, size as usize).ok_or(BusFault)?;
                target.copy_from_slice(&value.to_le_bytes()[..size as usize]);
                Ok(())
            }
            CACHE_RAM..CACHE_RAM_END if addr + size as u32 <= CACHE_RAM_END => {
                self.write_cache_ram(addr - CACHE_RAM, size, value);
                Ok(())
            }
            PUKCC_RAM..0x0201_2000 => {
                if self.is_clocked(Id::Pukcc) {
                    self.parts.pukcc.write_ram(addr, size, value);
                }
                Ok(())
            }
            QSPI_BASE..QSPI_END => self.write_serial_memory(addr - QSPI_BASE, size, value),
            SEE_BASE..0x4401_0000 => {
                self.wait_for_smart();
                let offset = addr - SEE_BASE;
                self.with(Id::Nvmctrl, |parts, cx| parts.nvmctrl.see_write(offset, size, value, cx)).ok_or(BusFault)
            }
            0x4000_0000..0x4700_0000 => {
                let (id, offset) = locate(addr).ok_or(BusFault)?;
                self.write_block(id, offset, size, value)
            }
            _ => Err(BusFault),
        }
    }

    /// What RAM's error correction makes of `value`, read at `addr` (26.6.1).
    fn correct(&mut self, addr: u32, size: Size, value: u32) -> u32 {
        let memory = &self.shared.memory;
        let Some(offset) = addr.checked_sub(RAM_BASE).filter(|offset| *offset < RAM_SIZE) else { return value };
        let (corrects, logs) = self.parts.ramecc.treats(self.shared.signals.debugger);
        if !memory.corrects_ram() {
            return value;
        }
        let mut value = value;
        for (at, found) in memory.ram_errors(offset..offset + size as u32) {
            if let Found::Single(wrong) = found
                && corrects
            {
                value ^= u32::from(wrong) << (8 * (at - offset));
            }
            if logs {
                self.with(Id::Ramecc, |parts, _| parts.ramecc.found(at, found));
            }
        }
        value
    }

    /// The flash is programming or erasing and the bus waits for it: time passes, events on the way are late.
    fn wait_for_flash(&mut self, addr: u32, write: bool) {
        let time = self.with(Id::Nvmctrl, |parts, cx| parts.nvmctrl.wait(addr, write, cx));
        self.wait_for_operations(time);
    }

    fn wait_for_smart(&mut self) {
        while self.parts.nvmctrl.busy_until().is_some() {
            let time = self.with(Id::Nvmctrl, |parts, cx| parts.nvmctrl.wait_for_smart(cx));
            self.wait_for_operations(time);
        }
    }

    fn wait_for_operations(&mut self, time: std::time::Duration) {
        if !time.is_zero() {
            self.time.skip(time);
            self.steady.until = 0;
            self.with(Id::Nvmctrl, |parts, cx| parts.get(Id::Nvmctrl).advance(cx));
            self.shared.signals.attention = true;
        }
    }

    pub(crate) fn read_serial_memory(&mut self, offset: u32, size: Size) -> Result<u32, BusFault> {
        let answer = self.with(Id::Qspi, |parts, cx| parts.qspi.ahb_read(offset, size, cx));
        let (value, time) = answer.ok_or(BusFault)?;
        self.stand_still(time);
        Ok(value)
    }

    fn write_serial_memory(&mut self, offset: u32, size: Size, value: u32) -> Result<(), BusFault> {
        let answer = self.with(Id::Qspi, |parts, cx| parts.qspi.ahb_write(offset, size, value, cx));
        self.stand_still(answer.ok_or(BusFault)?);
        Ok(())
    }

    /// The core waits for the bus.
    fn stand_still(&mut self, time: std::time::Duration) {
        self.time.skip(time);
        self.steady.until = 0;
        if self.is_due() {
            self.shared.signals.attention = true;
        }
    }

    fn read_block(&mut self, id: Id, offset: u32, size: Size) -> Result<u32, BusFault> {
        if !self.is_clocked(id) {
            return Ok(0);
        }
        if id == Id::Port {
            self.drive_outputs();
        }
        let end = offset + size as u32;
        let read = |parts: &mut Parts, cx: &mut Context<'_>| {
            let part = parts.get(id);
            // Registers narrower than the access are read one after the other, wider ones are cut.
            let (mut at, mut value, mut registers) = (offset, 0, 0);
            while at < end {
                let width = part.width(at) as u32;
                let start = at & !(width - 1);
                let register = part.read(start, cx) >> (8 * (at - start));
                value |= register << (8 * (at - offset));
                at = start + width;
                registers += 1;
            }
            if registers > 1 {
                // What one register says of itself is not true of all.
                cx.signals.steady_until = None;
            }
            value
        };
        let value = if READS_CHANGE_NOTHING >> id as u64 & 1 != 0 {
            let now = self.now();
            let value = read(&mut self.parts, &mut self.shared.cx(now, SLOTS[id as usize].name));
            // Unless it was no register.
            if self.shared.signals.access_error {
                self.settle(id);
            }
            value
        } else {
            self.with(id, read)
        };
        Ok(value & mask(size))
    }

    fn write_block(&mut self, id: Id, offset: u32, size: Size, value: u32) -> Result<(), BusFault> {
        if !self.is_clocked(id) {
            return Ok(());
        }
        let slot = &SLOTS[id as usize];
        // The DSU's external address space is not write-protected (12.8).
        let exempt = slot.bit == NO_BIT || id == Id::Pac || id == Id::Dsu && (0x100..0x200).contains(&offset);
        if !exempt && self.parts.pac.is_protected(slot.bridge, slot.bit) {
            self.with(Id::Pac, |parts, cx| {
                parts.pac.access_error(slot.bridge, slot.bit, cx);
                cx.violation(format!("write to {}+{offset:#x}, which PAC protects", slot.name));
            });
            return Ok(());
        }
        let end = offset + size as u32;
        self.with(id, |parts, cx| {
            let part = parts.get(id);
            let mut at = offset;
            while at < end {
                let width = part.width(at);
                let start = at & !(width as u32 - 1);
                let next = start + width as u32;
                let bits = 8 * (next.min(end) - at);
                let lanes = if bits == 32 { u32::MAX } else { ((1 << bits) - 1) << (8 * (at - start)) };
                let shifted = value >> (8 * (at - offset)) << (8 * (at - start));
                let lanes = if bits == 8 * width as u32 { u32::MAX } else { lanes };
                part.write(start, Write { value: shifted & lanes & mask(width), lanes }, cx);
                at = next;
            }
        });
        match id {
            Id::Port => self.look_at_pins(),
            Id::Pm if !self.parts.pm.retains_pins() && self.parts.port.is_retained() => {
                self.parts.port.release();
                self.look_at_pins();
            }
            // Code may be faster or slower from now on.
            Id::Cmcc => self.shared.signals.attention = true,
            Id::Nvmctrl if offset < 2 => self.shared.signals.attention = true,
            Id::Dsu if self.parts.dsu.take_chip_erase() => {
                self.with(Id::Nvmctrl, |parts, cx| parts.nvmctrl.chip_erase(cx));
            }
            _ => {}
        }
        Ok(())
    }
}

fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}
