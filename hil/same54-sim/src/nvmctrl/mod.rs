//! NVMCTRL: the internal flash's controller (SAM D5x/E5x datasheet, 25).
//!
//! Fidelity: modelled are the page buffer with manual and automatic writes, page and quad-word write, block and page
//! erase, region locks, BOOTPROT with SBPDIS, the user page, bank swap, the security bit, errors (ADDRE, PROGE, LOCKE),
//! DONE, and typical times (54.12: page 1.5 ms, block 50 ms; quad word 50 us and double word 25 us are assumed). A
//! write changes the array when it completes; until then reads of its bank stall the core. Programming a 64-bit ECC
//! word twice without an erase ANDs the data and is reported as a violation; the ECC itself, wait states, caches and
//! suspension are stored only. SmartEEPROM is absent. A reset lets an operation in flight complete (assumed).

mod operation;
#[cfg(test)]
mod tests;

use std::time::Duration;

use armv7m::Size;
use sim_base::{Instant, Rng};

use crate::event::ResetCause;
use crate::memory::{BANK_SIZE, FLASH_SIZE, Memory, NO_BANK, USER_PAGE_BASE, USER_PAGE_SIZE};
use crate::peripheral::{Context, Peripheral, Write};
use operation::{Kind, Operation};

/// Bytes of a page.
pub(crate) const PAGE: u32 = 512;
/// Bytes of an erase block.
pub(crate) const BLOCK: u32 = 8_192;
/// Bytes of one of the 32 lock regions.
const REGION: u32 = FLASH_SIZE / 32;
/// Bytes of a unit of BOOTPROT.
const BOOTPROT_UNIT: u32 = 8_192;

const KEY: u32 = 0xA5;
const CTRLA_RESET: u32 = 0x0004;

/// INTFLAG bits.
mod flag {
    pub(super) const DONE: u32 = 1 << 0;
    pub(super) const ADDRE: u32 = 1 << 1;
    pub(super) const PROGE: u32 = 1 << 2;
    pub(super) const LOCKE: u32 = 1 << 3;
    pub(super) const ALL: u32 = 0x07FF;
}

/// CTRLB.CMD values.
mod command {
    pub(super) const EP: u32 = 0x00;
    pub(super) const EB: u32 = 0x01;
    pub(super) const WP: u32 = 0x03;
    pub(super) const WQW: u32 = 0x04;
    pub(super) const SWRST: u32 = 0x10;
    pub(super) const LR: u32 = 0x11;
    pub(super) const UR: u32 = 0x12;
    pub(super) const SPRM: u32 = 0x13;
    pub(super) const CPRM: u32 = 0x14;
    pub(super) const PBC: u32 = 0x15;
    pub(super) const SSB: u32 = 0x16;
    pub(super) const BKSWRST: u32 = 0x17;
    pub(super) const CELCK: u32 = 0x18;
    pub(super) const CEULCK: u32 = 0x19;
    pub(super) const SBPDIS: u32 = 0x1A;
    pub(super) const CBPDIS: u32 = 0x1B;
}

/// The register block and the page buffer.
#[derive(Clone)]
pub(crate) struct Nvmctrl {
    ctrla: u32,
    inten: u32,
    intflag: u32,
    addr: u32,
    runlock: u32,
    dbgctrl: u32,
    seecfg: u32,
    bpdis: bool,
    power_reduced: bool,
    buffer: Box<[u8]>,
    loaded: bool,
    operation: Option<Operation>,
}

impl Nvmctrl {
    /// As after power-on.
    pub(crate) fn new() -> Self {
        Self {
            ctrla: CTRLA_RESET,
            inten: 0,
            intflag: 0,
            addr: 0,
            runlock: u32::MAX,
            dbgctrl: 0,
            seecfg: 0,
            bpdis: false,
            power_reduced: false,
            buffer: vec![0xFF; PAGE as usize].into(),
            loaded: false,
            operation: None,
        }
    }

    /// When the operation in flight, if any, completes.
    pub(crate) fn busy_until(&self) -> Option<Instant> {
        self.operation.as_ref().map(|operation| operation.done_at)
    }

    /// A write to the flash address space: loads the page buffer. The bus has waited for the operation in flight.
    /// `None` is a bus error.
    pub(crate) fn ahb_write(&mut self, addr: u32, size: Size, value: u32, cx: &mut Context<'_>) -> Option<()> {
        self.advance(cx);
        let in_user_page = (USER_PAGE_BASE..USER_PAGE_BASE + USER_PAGE_SIZE).contains(&addr);
        // 25.6.6.2: 16 or 32 bits only.
        if size == Size::Byte || !(addr < FLASH_SIZE || in_user_page) || !addr.is_multiple_of(size as u32) {
            return None;
        }
        self.addr = addr & 0x00FF_FFFF;
        self.loaded = true;
        let at = (addr % PAGE) as usize;
        let bytes = value.to_le_bytes();
        self.buffer[at..at + size as usize].copy_from_slice(&bytes[..size as usize]);
        // Automatic writes start when the last bytes of their unit are loaded (CTRLA.WMODE).
        let end = addr + size as u32;
        match self.ctrla >> 4 & 3 {
            1 if end.is_multiple_of(8) => self.write_array(addr & !7, 8, cx),
            2 if end.is_multiple_of(16) => self.write_array(addr & !15, 16, cx),
            3 if end.is_multiple_of(PAGE) => self.write_array(addr & !(PAGE - 1), PAGE, cx),
            _ => {}
        }
        Some(())
    }

    /// DSU chip erase: the main array, the security bit and the page locks, not the user page or the boot section.
    pub(crate) fn chip_erase(&mut self, cx: &mut Context<'_>) {
        let start = self.boot_section(cx.memory);
        cx.memory.flash[start as usize..].fill(0xFF);
        cx.memory.secured = false;
        self.runlock = u32::MAX;
        cx.signals.code_changed(start..FLASH_SIZE);
        cx.events.push(cx.now, crate::EventKind::NvmErase { addr: start, len: FLASH_SIZE - start });
    }

    /// The supply failed: tears the operation in flight and names it.
    pub(crate) fn power_cut(&mut self, rng: &mut Rng, memory: &mut Memory) -> Option<String> {
        let operation = self.operation.take()?;
        memory.busy_bank = NO_BANK;
        operation.tear(rng, memory);
        Some(operation.to_string())
    }

    /// First byte behind the section that BOOTPROT protects.
    fn boot_section(&self, memory: &Memory) -> u32 {
        if self.bpdis { 0 } else { (15 - bootprot(memory)) * BOOTPROT_UNIT }
    }

    /// Reports `error` unless the array at `addr` may be changed.
    fn check_unlocked(&mut self, addr: u32, memory: &Memory) -> bool {
        let locked = addr < self.boot_section(memory) || self.runlock >> (addr / REGION) & 1 == 0;
        if locked {
            self.intflag |= flag::LOCKE;
        }
        !locked
    }

    fn is_user_page(addr: u32) -> bool {
        (USER_PAGE_BASE..USER_PAGE_BASE + USER_PAGE_SIZE).contains(&addr)
    }

    /// Starts writing `len` bytes of the page buffer to the array at `addr`, aligned to `len`.
    fn write_array(&mut self, addr: u32, len: u32, cx: &mut Context<'_>) {
        let user = Self::is_user_page(addr);
        if user && len != 16 {
            self.intflag |= flag::PROGE;
            return;
        }
        if !user && addr >= FLASH_SIZE {
            self.intflag |= flag::ADDRE;
            return;
        }
        if !user && !self.check_unlocked(addr, cx.memory) {
            return;
        }
        let at = (addr % PAGE) as usize;
        let data = self.buffer[at..at + len as usize].to_vec();
        self.clear_buffer();
        let time = match len {
            8 => Duration::from_micros(25),
            16 => Duration::from_micros(50),
            _ => Duration::from_micros(1_500),
        };
        self.start(Kind::Program(data), addr, len, time, cx);
    }

    fn erase(&mut self, addr: u32, len: u32, cx: &mut Context<'_>) {
        if !Self::is_user_page(addr) && !self.check_unlocked(addr, cx.memory) {
            return;
        }
        self.start(Kind::Erase, addr, len, Duration::from_millis(50), cx);
    }

    fn start(&mut self, kind: Kind, addr: u32, len: u32, time: Duration, cx: &mut Context<'_>) {
        let done_at = if cx.flash_timing { cx.now + time } else { cx.now };
        let operation = Operation { kind, addr, len, done_at };
        operation.announce(cx);
        self.operation = Some(operation);
        if cx.flash_timing {
            if addr < FLASH_SIZE {
                cx.memory.busy_bank = addr / BANK_SIZE;
            }
            cx.signals.attention = true;
        } else {
            self.advance(cx);
        }
    }

    fn clear_buffer(&mut self) {
        self.buffer.fill(0xFF);
        self.loaded = false;
    }

    fn execute(&mut self, command: u32, cx: &mut Context<'_>) {
        let addr = self.addr;
        let user = Self::is_user_page(addr);
        match command {
            command::EB if addr < FLASH_SIZE => self.erase(addr & !(BLOCK - 1), BLOCK, cx),
            command::EP if user => self.erase(USER_PAGE_BASE, USER_PAGE_SIZE, cx),
            command::WP if addr < FLASH_SIZE => self.write_array(addr & !(PAGE - 1), PAGE, cx),
            command::WQW if addr < FLASH_SIZE || user => self.write_array(addr & !15, 16, cx),
            // Supported commands per address space (table 25-5).
            command::EB | command::WP if user => self.intflag |= flag::PROGE,
            command::EP if addr < FLASH_SIZE => self.intflag |= flag::PROGE,
            command::EB | command::EP | command::WP | command::WQW => self.intflag |= flag::ADDRE,
            command::SWRST => {
                *self = Self { runlock: cx.memory.user_word(2), ..Self::new() };
                self.intflag |= flag::DONE;
            }
            command::LR | command::UR if addr >= FLASH_SIZE => self.intflag |= flag::ADDRE,
            command::LR => self.finish_at_once(|nvm| nvm.runlock &= !(1 << (addr / REGION))),
            command::UR => self.finish_at_once(|nvm| nvm.runlock |= 1 << (addr / REGION)),
            command::SPRM => self.finish_at_once(|nvm| nvm.power_reduced = true),
            command::CPRM => self.finish_at_once(|nvm| nvm.power_reduced = false),
            command::PBC => self.finish_at_once(Self::clear_buffer),
            command::SSB => {
                cx.memory.secured = true;
                self.intflag |= flag::DONE;
            }
            command::BKSWRST => {
                cx.memory.swap_banks();
                cx.signals.code_changed(0..FLASH_SIZE);
                cx.signals.request_reset(ResetCause::Nvm);
            }
            command::CELCK | command::CEULCK => {
                cx.memory.chip_erase_locked = command == command::CELCK;
                self.intflag |= flag::DONE;
            }
            command::SBPDIS => self.finish_at_once(|nvm| nvm.bpdis = true),
            command::CBPDIS => self.finish_at_once(|nvm| nvm.bpdis = false),
            _ => {
                self.intflag |= flag::PROGE;
                cx.violation(format!("NVMCTRL command {command:#04x} is not modelled or not defined"));
            }
        }
    }

    fn finish_at_once(&mut self, effect: impl FnOnce(&mut Self)) {
        effect(self);
        self.intflag |= flag::DONE;
    }

    fn status(&self, memory: &Memory) -> u32 {
        u32::from(self.operation.is_none())
            | u32::from(self.power_reduced) << 1
            | u32::from(self.loaded) << 2
            | u32::from(memory.a_first) << 4
            | u32::from(self.bpdis) << 5
            | bootprot(memory) << 8
    }

    /// Holding register of the 64-bit section that was loaded last.
    fn pbldata(&self, n: usize) -> u32 {
        let at = ((self.addr % PAGE) & !7) as usize + 4 * n;
        let bytes = self.buffer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(u32::MAX, u32::from_le_bytes)
    }
}

/// The BOOTPROT fuse: 15 minus the number of protected 8 KB units.
fn bootprot(memory: &Memory) -> u32 {
    memory.user_word(0) >> 26 & 15
}

impl Peripheral for Nvmctrl {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x00..0x08 | 0x0C..0x14 => Size::Half,
            0x28..0x2C => Size::Byte,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        match offset {
            0x00 => self.ctrla,
            0x04 => 0,
            // NVMP = 2048 pages of 512 bytes (PSZ = 6).
            0x08 => 0x0006_0800,
            0x0C | 0x0E => self.inten,
            0x10 => self.intflag,
            0x12 => self.status(cx.memory),
            0x14 => self.addr,
            0x18 => self.runlock,
            0x1C | 0x20 => self.pbldata((offset as usize - 0x1C) / 4),
            0x24 => 0,
            0x28 => self.dbgctrl,
            0x2A => self.seecfg,
            0x2C => 0,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.advance(cx);
        match offset {
            0x00 => self.ctrla = w.onto_masked(self.ctrla, 0xFFFC),
            0x04 => {
                if w.value >> 8 != KEY {
                    self.intflag |= flag::PROGE;
                } else if self.operation.is_some() {
                    self.intflag |= flag::PROGE;
                    cx.violation(format!("NVMCTRL command {:#04x} while STATUS.READY is 0", w.value & 0x7F));
                } else {
                    self.execute(w.value & 0x7F, cx);
                }
            }
            0x0C => self.inten &= !w.value,
            0x0E => self.inten |= w.value & flag::ALL,
            0x10 => self.intflag &= !w.value,
            0x14 => {
                // ADDR is write-locked while a write is under way.
                if self.operation.is_none() {
                    self.addr = w.onto_masked(self.addr, 0x00FF_FFFF);
                }
            }
            0x28 => self.dbgctrl = w.value & 3,
            0x2A => self.seecfg = w.value & 3,
            0x08 | 0x12 | 0x18..0x28 | 0x2C => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, cx: &mut Context<'_>) {
        if let Some(operation) = self.operation.take() {
            operation.complete(cx);
        }
        cx.memory.busy_bank = NO_BANK;
        *self = Self { runlock: cx.memory.user_word(2), ..Self::new() };
    }

    fn next_event(&self) -> Instant {
        self.busy_until().unwrap_or(Instant::NEVER)
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if let Some(operation) = self.operation.take_if(|operation| operation.done_at <= cx.now) {
            operation.complete(cx);
            cx.memory.busy_bank = NO_BANK;
            self.intflag |= flag::DONE;
        }
    }

    fn irqs(&self) -> u64 {
        let pending = self.inten & self.intflag;
        // NVMCTRL_0 has the array's flags, NVMCTRL_1 those of SmartEEPROM.
        u64::from(pending & 0xFF != 0) | u64::from(pending & 0x0700 != 0) << 1
    }
}
