//! Reads of the array that need a closer look: error correction, and reads while it is written.

use std::time::Duration;

use armv7m::Size;

use super::ecc::{Check, WORD};
use super::operation::Kind;
use super::{Nvmctrl, PAGE, SUSPEN, flag};
use crate::memory::{BANK_SIZE, FLASH_SIZE};
use crate::peripheral::{Context, Peripheral};

/// Reads in the sector of an erase cannot suspend it (25.6.6.4).
const SUSPEND_SECTOR: u32 = 0x2_0000;
/// What a suspension costs the read, and then the operation.
const SUSPEND_TIME: Duration = Duration::from_micros(20);
/// The array is read 128 bits at a time.
const QUAD: u32 = 16;

/// ECCERR types.
const SINGLE: u32 = 1;
const DUAL: u32 = 2;

impl Nvmctrl {
    /// How long the bus waits before it reads or writes flash at `addr`.
    pub(crate) fn wait(&mut self, addr: u32, write: bool, cx: &mut Context<'_>) -> Duration {
        self.advance(cx);
        let Some(operation) = &self.operation else { return Duration::ZERO };
        if write {
            return operation.done_at.since(cx.now);
        }
        if addr >= FLASH_SIZE || addr / BANK_SIZE != cx.memory.busy_bank() {
            return Duration::ZERO;
        }
        if !self.can_suspend(addr) {
            return self.operation.as_ref().map_or(Duration::ZERO, |operation| operation.done_at.since(cx.now));
        }
        self.suspend();
        SUSPEND_TIME
    }

    /// The core fetches instructions at `pc` from the bank that is busy. True if that suspends the operation rather than
    /// holds the core.
    pub(crate) fn suspend_for_fetch(&mut self, pc: u32) -> bool {
        let possible = self.can_suspend(pc);
        if possible && self.operation.as_ref().is_some_and(|operation| !operation.fetched) {
            self.suspend();
            if let Some(operation) = &mut self.operation {
                operation.fetched = true;
            }
        }
        possible
    }

    /// 25.6.6.4: page writes and block erases only, and not in their own page or sector.
    fn can_suspend(&self, addr: u32) -> bool {
        let Some(operation) = self.operation.as_ref().filter(|_| self.ctrla & SUSPEN != 0) else { return false };
        match operation.kind {
            Kind::Program(_) => operation.len == PAGE && operation.addr != addr & !(PAGE - 1),
            Kind::Erase => operation.addr < FLASH_SIZE && operation.addr / SUSPEND_SECTOR != addr / SUSPEND_SECTOR,
            _ => false,
        }
    }

    fn suspend(&mut self) {
        self.intflag |= flag::SUSP;
        if let Some(operation) = &mut self.operation {
            operation.done_at = operation.done_at + 2 * SUSPEND_TIME;
        }
    }

    /// Reads flash or user page through the error correction. `None` is a bus error.
    pub(crate) fn ahb_read(&mut self, addr: u32, size: Size, cx: &mut Context<'_>) -> Option<u32> {
        let len = size as u32;
        if cx.memory.is_reserved(addr) || cx.memory.is_reserved(addr + len - 1) {
            return None;
        }
        let mut value = 0;
        let mut at = addr;
        while at < addr + len {
            let bytes = self.quad(at & !(QUAD - 1), cx);
            let end = (at & !(QUAD - 1)) + QUAD;
            while at < end && at < addr + len {
                value |= u32::from(bytes[(at % QUAD) as usize]) << (8 * (at - addr));
                at += 1;
            }
        }
        Some(value)
    }

    /// The 16 bytes at `addr`, with errors logged.
    pub(super) fn quad(&mut self, addr: u32, cx: &mut Context<'_>) -> [u8; QUAD as usize] {
        let mut bytes = [0; QUAD as usize];
        if !cx.memory.weak.touches(addr..addr + QUAD) {
            bytes.copy_from_slice(cx.memory.nvm(addr, QUAD));
            return bytes;
        }
        // DBGCTRL (25.8.12).
        let (uncorrected, logged) = match cx.signals.debugger {
            true => (self.dbgctrl & 1 != 0, self.dbgctrl & 3 == 2),
            false => (false, true),
        };
        if uncorrected {
            bytes.copy_from_slice(cx.memory.nvm(addr, QUAD));
            return bytes;
        }
        let mut types = [0; 2];
        for (n, kind) in types.iter_mut().enumerate() {
            let (data, check) = cx.memory.sense(addr + n as u32 * WORD);
            bytes[8 * n..8 * n + 8].copy_from_slice(&data.to_le_bytes());
            *kind = match check {
                Check::Clean => 0,
                Check::Single(_) => SINGLE,
                Check::Dual => DUAL,
            };
        }
        if logged {
            self.log_ecc(addr, types);
        }
        bytes
    }

    /// 25.6.12.2: the first error stays until ECCERR is read, except that a double error takes the place of a single one.
    fn log_ecc(&mut self, addr: u32, [low, high]: [u32; 2]) {
        let dual = low == DUAL || high == DUAL;
        let single = low == SINGLE || high == SINGLE;
        let logged = self.intflag & flag::ECC;
        if !dual && !single || logged & flag::ECCDE != 0 || logged != 0 && !dual {
            return;
        }
        self.eccerr = addr & 0x00FF_FFFF | low << 28 | high << 30;
        self.intflag |= if dual { flag::ECCDE } else { 0 } | if single { flag::ECCSE } else { 0 };
    }

    /// ECCERR, whose read clears it and the flags.
    pub(super) fn take_eccerr(&mut self) -> u32 {
        self.intflag &= !flag::ECC;
        let value = self.eccerr;
        self.eccerr &= 0x00FF_FFFF;
        value
    }
}
