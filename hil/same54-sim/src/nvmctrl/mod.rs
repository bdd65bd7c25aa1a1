//! NVMCTRL: the internal flash's controller (SAM D5x/E5x datasheet, 25).
//!
//! Fidelity: modelled are the page buffer with manual and automatic writes, page and quad-word write, block and page
//! erase, reading one bank while the other is written, region locks, BOOTPROT with SBPDIS, the user page, bank swap, the
//! security bit, error correction with its flags and ECCERR, suspension of writes and erases by reads, power reduction
//! mode, all flags with their interrupts, and typical times (54.12: page 1.5 ms, block 50 ms; quad word 50 us and double
//! word 25 us are assumed). A write changes the array when it completes; until then reads of its bank stall the core,
//! unless they suspend it. Assumed: programming a 64-bit word twice without an erase ANDs data and code (and is reported
//! as a violation); a word with a double error reads as its cells are, without a bus error; a suspension delays read and
//! operation by 20 us each, so that STATUS.SUSP is over before anybody reads it, and the core's own fetches suspend an
//! operation once, since its loop is in a cache then; a reset lets an operation in flight complete; DONE comes with the
//! error of a refused command; power reduction mode ends with the next command or buffer write unless CTRLA.PRM is
//! MANUAL. Flash is read in lines of 16 bytes, of which the port of the core keeps one (25.6.11; AHB0, assumed), with
//! CACHEDIS0 none: wait states delay the fetch of each line of code, or of each word, each literal, and each other read of
//! data out of another line than the one before. Assumed: code and data do not take the line from each other (literals
//! always wait), and nothing is fetched ahead, so that code out of flash without CMCC is too slow, by an estimated quarter
//! at most; with AUTOWS, the wait states that the chip needs above 2.7 V at the core's clock (from memory of 54.11's table:
//! 24, 51, 77, 101, 119 MHz for 0 to 4, 5 beyond). CACHEDIS1 and AHBNS, which concern other masters, are stored. That reads
//! may go wrong while the page buffer is written with lines kept (erratum 2.14.1) is not modelled.

mod array;
mod commands;
pub(crate) mod ecc;
mod operation;
mod pulses;
mod see;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use armv7m::Size;
use sim_base::{Instant, Rng};

use crate::board::Hash64;
use crate::event::ResetCause;
use crate::memory::{BANK_SIZE, FLASH_SIZE, Memory, NO_BANK, RAM_BASE, RAM_SIZE, USER_PAGE_BASE, USER_PAGE_SIZE};
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
use crate::tear::Tear;
use operation::{Kind, Operation};
pub use pulses::{FailingPulses, NvmPulses, SoundPulses};
use see::Smart;

/// Bytes of a page.
pub(crate) const PAGE: u32 = 512;
/// Bytes of an erase block.
pub(crate) const BLOCK: u32 = 8_192;
/// Bytes of one of the 32 lock regions.
const REGION: u32 = FLASH_SIZE / 32;
/// Bytes of a unit of BOOTPROT.
const BOOTPROT_UNIT: u32 = 8_192;

const KEY: u32 = 0xA5;
const SUSPEN: u32 = 1 << 3;
const CACHEDIS0: u32 = 1 << 14;
/// CTRLA.PRM: only CPRM ends power reduction mode.
const PRM_MANUAL: u32 = 3;
const CTRLA_RESET: u32 = 0x0004;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger::MODELLED;

/// INTFLAG bits.
mod flag {
    pub(super) const DONE: u32 = 1 << 0;
    pub(super) const ADDRE: u32 = 1 << 1;
    pub(super) const PROGE: u32 = 1 << 2;
    pub(super) const LOCKE: u32 = 1 << 3;
    pub(super) const ECCSE: u32 = 1 << 4;
    pub(super) const ECCDE: u32 = 1 << 5;
    pub(super) const NVME: u32 = 1 << 6;
    pub(super) const SUSP: u32 = 1 << 7;
    pub(super) const SEESFULL: u32 = 1 << 8;
    pub(super) const SEESOVF: u32 = 1 << 9;
    pub(super) const SEEWRC: u32 = 1 << 10;
    /// Only a read of ECCERR clears these.
    pub(super) const ECC: u32 = ECCSE | ECCDE;
    pub(super) const ALL: u32 = 0x07FF;
}

/// Typical time of a page write (54.12).
const PAGE_TIME: Duration = Duration::from_micros(1_500);
/// Typical time of a block erase (54.12).
const BLOCK_TIME: Duration = Duration::from_millis(50);
/// Time of a quad word write (assumed).
const QUAD_TIME: Duration = Duration::from_micros(50);
/// Time of a double word write (assumed).
const DOUBLE_TIME: Duration = Duration::from_micros(25);

/// The register block and the page buffer.
pub(crate) struct Nvmctrl {
    ctrla: u32,
    inten: u32,
    intflag: u32,
    addr: u32,
    runlock: u32,
    eccerr: u32,
    dbgctrl: u32,
    seecfg: u32,
    /// The BOOTPROT fuse as the last reset loaded it: 15 minus the number of protected units.
    bootprot: u32,
    bpdis: bool,
    power_reduced: bool,
    buffer: Box<[u8]>,
    loaded: bool,
    smart: Smart,
    operation: Option<Operation>,
    /// What follows `operation`.
    queue: VecDeque<Operation>,
    /// Operations that have begun.
    operations: u32,
    worst_case: bool,
    pulses: Box<dyn NvmPulses>,
}

impl Clone for Nvmctrl {
    fn clone(&self) -> Self {
        Self {
            buffer: self.buffer.clone(),
            smart: self.smart.clone(),
            operation: self.operation.clone(),
            queue: self.queue.clone(),
            pulses: self.pulses.clone_box(),
            ..*self
        }
    }
}

impl Nvmctrl {
    /// As after power-on.
    pub(crate) fn new() -> Self {
        Self::with(Box::new(SoundPulses))
    }

    fn with(pulses: Box<dyn NvmPulses>) -> Self {
        Self {
            ctrla: CTRLA_RESET,
            inten: 0,
            intflag: 0,
            addr: 0,
            runlock: u32::MAX,
            eccerr: 0,
            dbgctrl: 0,
            seecfg: 0,
            bootprot: 15,
            bpdis: false,
            power_reduced: false,
            buffer: vec![0xFF; PAGE as usize].into(),
            loaded: false,
            smart: Smart::default(),
            operation: None,
            queue: VecDeque::new(),
            operations: 0,
            worst_case: false,
            pulses,
        }
    }

    /// Puts a fault between the controller and its cells, or takes it away.
    pub(crate) fn wrap_pulses(&mut self, wrap: impl FnOnce(Box<dyn NvmPulses>) -> Box<dyn NvmPulses>) {
        let inner = std::mem::replace(&mut self.pulses, Box::new(SoundPulses));
        self.pulses = wrap(inner);
    }

    /// Operations take their maximum times from now on.
    pub(crate) fn set_worst_case(&mut self, on: bool) {
        self.worst_case = on;
    }

    /// When the operation in flight, if any, completes.
    pub(crate) fn busy_until(&self) -> Option<Instant> {
        self.operation.as_ref().map(|operation| operation.done_at)
    }

    /// See [`Board::likeness`](crate::Board::likeness).
    pub(crate) fn likeness(&self) -> Option<u64> {
        if !self.pulses.is_sound() || !self.queue.is_empty() {
            return None;
        }
        let mut hash = Hash64::new();
        if let Some(operation) = &self.operation {
            hash.number(operation.addr.into());
            hash.number(operation.len.into());
            match &operation.kind {
                Kind::Program(data) => hash.bytes(data),
                Kind::Erase => {}
                _ => return None,
            }
        }
        Some(hash.finish())
    }

    /// Wait states of a read while the core runs at `cpu_hz` (25.8.1: CTRLA.RWS, CTRLA.AUTOWS).
    pub(crate) fn wait_states(&self, cpu_hz: u32) -> u8 {
        const AUTOWS: u32 = 1 << 2;
        /// Highest core clocks for 0, 1, 2, 3 and 4 wait states.
        const LIMITS: [u32; 5] = [24_000_000, 51_000_000, 77_000_000, 101_000_000, 119_000_000];
        if self.ctrla & AUTOWS == 0 {
            return (self.ctrla >> 8 & 15) as u8;
        }
        LIMITS.iter().filter(|limit| cpu_hz > **limit).count() as u8
    }

    /// The core's port keeps the line that it read last (25.6.11: CTRLA.CACHEDIS0).
    pub(crate) fn keeps_line(&self) -> bool {
        self.ctrla & CACHEDIS0 == 0
    }

    /// Operations that have begun: each of them takes the lines from the ports.
    pub(crate) fn operations(&self) -> u32 {
        self.operations
    }

    /// A write to the flash address space: loads the page buffer. The bus has waited for the operation in flight.
    /// `None` is a bus error.
    pub(crate) fn ahb_write(&mut self, addr: u32, size: Size, value: u32, cx: &mut Context<'_>) -> Option<()> {
        self.advance(cx);
        // 25.6.6.2: 16 or 32 bits only.
        let exists = addr < FLASH_SIZE && !cx.memory.is_reserved(addr) || is_user_page(addr);
        if size == Size::Byte || !exists || !addr.is_multiple_of(size as u32) {
            return None;
        }
        self.leave_power_reduction();
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

    /// DSU chip erase: volatile memories, the main array, the security bit and the page locks, not the user page or the
    /// boot section. The DSU ends the protection when it is done.
    pub(crate) fn chip_erase(&mut self, cx: &mut Context<'_>) {
        let start = self.boot_section();
        if let Some(ram) = cx.memory.ram_slice_mut(RAM_BASE, RAM_SIZE as usize) {
            ram.fill(0);
        }
        cx.memory.backup.fill(0);
        cx.memory.erase_nvm(start, FLASH_SIZE - start);
        cx.memory.secured = false;
        self.runlock = u32::MAX;
        self.load_smart(cx);
        cx.signals.code_changed(start..FLASH_SIZE);
        cx.events.push(cx.now, crate::EventKind::NvmErase { addr: start, len: FLASH_SIZE - start });
    }

    /// The supply failed: tears the operation in flight and names it.
    pub(crate) fn power_cut(&mut self, tear: Option<Tear>, rng: &mut Rng, memory: &mut Memory) -> Option<String> {
        self.queue.clear();
        let operation = self.operation.take()?;
        memory.set_busy_bank(NO_BANK);
        let tear = tear.unwrap_or_else(|| Tear::choose(rng));
        operation.tear(tear, rng, memory);
        Some(operation.to_string())
    }

    /// First byte behind the section that BOOTPROT protects.
    fn boot_section(&self) -> u32 {
        if self.bpdis { 0 } else { (15 - self.bootprot) * BOOTPROT_UNIT }
    }

    /// Starts `operation`, or puts it behind those under way.
    fn enqueue(&mut self, operation: Operation, cx: &mut Context<'_>) {
        self.queue.push_back(operation);
        if self.operation.is_none() {
            self.start_next(cx.now, cx);
            self.advance(cx);
        }
    }

    fn start_next(&mut self, at: Instant, cx: &mut Context<'_>) {
        cx.memory.set_busy_bank(NO_BANK);
        cx.signals.attention = true;
        let Some(mut operation) = self.queue.pop_front() else { return };
        // The maximum is twice the typical time of a page and four times that of a block (54.12).
        let factor = match (self.worst_case, &operation.kind) {
            (false, _) => 1,
            (true, Kind::Erase) => 4,
            (true, _) => 2,
        };
        operation.done_at = if cx.flash_timing { at + operation.time * factor } else { at };
        self.operations = self.operations.wrapping_add(1);
        operation.announce(cx);
        if cx.flash_timing && operation.addr < FLASH_SIZE && operation.len != 0 {
            cx.memory.set_busy_bank(operation.addr / BANK_SIZE);
        }
        self.operation = Some(operation);
    }

    fn clear_buffer(&mut self) {
        self.buffer.fill(0xFF);
        self.loaded = false;
    }

    fn leave_power_reduction(&mut self) {
        if self.ctrla >> 6 & 3 != PRM_MANUAL {
            self.power_reduced = false;
        }
    }

    fn status(&self, memory: &Memory) -> u32 {
        u32::from(self.operation.is_none())
            | u32::from(self.power_reduced) << 1
            | u32::from(self.loaded) << 2
            | u32::from(memory.a_first) << 4
            | u32::from(self.bpdis) << 5
            | self.bootprot << 8
    }

    /// Holding register of the 64-bit section that was loaded last.
    fn pbldata(&self, n: usize) -> u32 {
        let at = ((self.addr % PAGE) & !7) as usize + 4 * n;
        let bytes = self.buffer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(u32::MAX, u32::from_le_bytes)
    }

    /// What every reset loads from the fuses, and a software reset of this block (25.6.10.1).
    fn load_fuses(&mut self, cx: &mut Context<'_>) {
        cx.memory.protected = cx.memory.secured;
        self.runlock = cx.memory.user_word(2);
        self.bootprot = cx.memory.user_word(0) >> 26 & 15;
        self.load_smart(cx);
    }

    /// Registers as after a reset.
    fn restart(&mut self, cx: &mut Context<'_>) {
        let pulses = std::mem::replace(&mut self.pulses, Box::new(SoundPulses));
        let operations = self.operations.wrapping_add(1);
        *self = Self { worst_case: self.worst_case, operations, ..Self::with(pulses) };
        self.load_fuses(cx);
    }
}

fn is_user_page(addr: u32) -> bool {
    (USER_PAGE_BASE..USER_PAGE_BASE + USER_PAGE_SIZE).contains(&addr)
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
            // SEE, and NVMP = 2048 pages of 512 bytes (PSZ = 6).
            0x08 => 0x8006_0800,
            0x0C | 0x0E => self.inten,
            0x10 => self.intflag,
            0x12 => self.status(cx.memory),
            0x14 => self.addr,
            0x18 => self.runlock,
            0x1C | 0x20 => self.pbldata((offset as usize - 0x1C) / 4),
            0x24 => self.take_eccerr(),
            0x28 => self.dbgctrl,
            0x2A => self.seecfg,
            0x2C => self.see_status(cx.memory),
            0x06 | 0x29 | 0x2B => 0,
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
            0x10 => self.intflag &= !w.value | flag::ECC,
            0x14 => {
                // ADDR is write-locked while a write is under way.
                if self.operation.is_none() {
                    self.addr = w.onto_masked(self.addr, 0x00FF_FFFF);
                }
            }
            0x28 => self.dbgctrl = w.value & 3,
            0x2A => self.seecfg = w.value & 3,
            0x06 | 0x08 | 0x12 | 0x18..0x28 | 0x29 | 0x2B | 0x2C => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, cx: &mut Context<'_>) {
        while let Some(operation) = self.operation.take() {
            operation.complete(self.pulses.as_mut(), cx);
            self.operation = self.queue.pop_front();
        }
        cx.signals.reset = None;
        cx.memory.set_busy_bank(NO_BANK);
        self.restart(cx);
    }

    fn next_event(&self) -> Instant {
        self.busy_until().unwrap_or(Instant::NEVER)
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        while let Some(operation) = self.operation.take_if(|operation| operation.done_at <= cx.now) {
            if !operation.complete(self.pulses.as_mut(), cx) {
                self.intflag |= flag::NVME;
            }
            self.intflag |= operation.flags;
            if let Kind::Reallocate(flags) = operation.kind {
                self.reallocate(flags, cx);
            }
            if self.operation.is_none() {
                self.start_next(operation.done_at, cx);
            }
        }
    }

    fn irqs(&self) -> u64 {
        let pending = self.inten & self.intflag;
        // NVMCTRL_0 has the array's flags, NVMCTRL_1 those of SmartEEPROM.
        u64::from(pending & 0xFF != 0) | u64::from(pending & 0x0700 != 0) << 1
    }
}
