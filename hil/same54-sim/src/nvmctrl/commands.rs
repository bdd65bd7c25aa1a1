//! CTRLB commands (SAM D5x/E5x datasheet, 25.8.2 and table 25-5).

use std::time::Duration;

use super::operation::{Kind, Operation};
use super::{BLOCK, BLOCK_TIME, DOUBLE_TIME, Nvmctrl, PAGE, PAGE_TIME, QUAD_TIME, REGION, flag, is_user_page};
use crate::memory::{FLASH_SIZE, Memory, USER_PAGE_BASE, USER_PAGE_SIZE};
use crate::peripheral::Context;

/// CTRLB.CMD values.
pub(super) mod command {
    pub(in super::super) const EP: u32 = 0x00;
    pub(in super::super) const EB: u32 = 0x01;
    pub(in super::super) const WP: u32 = 0x03;
    pub(in super::super) const WQW: u32 = 0x04;
    pub(in super::super) const SWRST: u32 = 0x10;
    pub(in super::super) const LR: u32 = 0x11;
    pub(in super::super) const UR: u32 = 0x12;
    pub(in super::super) const SPRM: u32 = 0x13;
    pub(in super::super) const CPRM: u32 = 0x14;
    pub(in super::super) const PBC: u32 = 0x15;
    pub(in super::super) const SSB: u32 = 0x16;
    pub(in super::super) const BKSWRST: u32 = 0x17;
    pub(in super::super) const CELCK: u32 = 0x18;
    pub(in super::super) const CEULCK: u32 = 0x19;
    pub(in super::super) const SBPDIS: u32 = 0x1A;
    pub(in super::super) const CBPDIS: u32 = 0x1B;
    pub(in super::super) const ASEES0: u32 = 0x30;
    pub(in super::super) const ASEES1: u32 = 0x31;
    pub(in super::super) const SEERALOC: u32 = 0x32;
    pub(in super::super) const SEEFLUSH: u32 = 0x33;
    pub(in super::super) const LSEE: u32 = 0x34;
    pub(in super::super) const USEE: u32 = 0x35;
    pub(in super::super) const LSEER: u32 = 0x36;
    pub(in super::super) const USEER: u32 = 0x37;
}

impl Nvmctrl {
    /// Executes `command`; the key was right and no operation is under way.
    pub(super) fn execute(&mut self, command: u32, cx: &mut Context<'_>) {
        let addr = self.addr;
        let user = is_user_page(addr);
        if command != command::SPRM {
            self.leave_power_reduction();
        }
        match command {
            command::EB if addr < FLASH_SIZE => self.erase(addr & !(BLOCK - 1), BLOCK, cx),
            command::EP if user => self.erase(USER_PAGE_BASE, USER_PAGE_SIZE, cx),
            command::WP if addr < FLASH_SIZE => self.write_array(addr & !(PAGE - 1), PAGE, cx),
            command::WQW if addr < FLASH_SIZE || user => self.write_array(addr & !15, 16, cx),
            // Supported commands per address space (table 25-5).
            command::EB | command::WP if user => self.refuse(flag::PROGE),
            command::EP if addr < FLASH_SIZE => self.refuse(flag::PROGE),
            command::EB | command::EP | command::WP | command::WQW => self.refuse(flag::ADDRE),
            command::SWRST => {
                self.restart(cx);
                self.intflag |= flag::DONE;
            }
            command::LR | command::UR if addr >= FLASH_SIZE => self.refuse(flag::ADDRE),
            command::LR => self.finish_at_once(|nvm| nvm.runlock &= !(1 << (addr / REGION))),
            command::UR => self.finish_at_once(|nvm| nvm.runlock |= 1 << (addr / REGION)),
            command::SPRM => self.finish_at_once(|nvm| nvm.power_reduced = true),
            command::CPRM => self.finish_at_once(|nvm| nvm.power_reduced = false),
            command::PBC => self.finish_at_once(Self::clear_buffer),
            command::SSB => self.finish_at_once(|_| cx.memory.secured = true),
            command::BKSWRST => {
                self.carry_smart_over(cx);
                self.enqueue(Operation::new(Kind::SwapBanks, 0, 0, Duration::ZERO, flag::DONE), cx);
            }
            command::CELCK | command::CEULCK => {
                self.finish_at_once(|_| cx.memory.chip_erase_locked = command == command::CELCK);
            }
            command::SBPDIS => self.finish_at_once(|nvm| nvm.bpdis = true),
            command::CBPDIS => self.finish_at_once(|nvm| nvm.bpdis = false),
            command::ASEES0 | command::ASEES1 => {
                cx.memory.active_sees = command & 1;
                self.load_smart(cx);
                self.intflag |= flag::DONE;
            }
            command::SEERALOC => self.request_reallocation(flag::DONE, cx),
            command::SEEFLUSH => {
                self.flush_smart(flag::DONE, cx);
            }
            command::LSEE | command::USEE => {
                self.finish_at_once(|_| cx.memory.see_locked = command == command::LSEE);
            }
            command::LSEER | command::USEER => self.finish_at_once(|nvm| nvm.smart.rlock = command == command::LSEER),
            _ => {
                self.refuse(flag::PROGE);
                cx.violation(format!("NVMCTRL command {command:#04x} is not defined"));
            }
        }
    }

    fn finish_at_once(&mut self, effect: impl FnOnce(&mut Self)) {
        effect(self);
        self.intflag |= flag::DONE;
    }

    /// A command ends at once with `error`. Assumed: DONE comes with it, no document tells. Drivers that are used with
    /// the silicon wait for DONE and look for errors then.
    pub(super) fn refuse(&mut self, error: u32) {
        self.intflag |= error | flag::DONE;
    }

    /// Reports an error unless the array at `addr` may be changed.
    fn check_unlocked(&mut self, addr: u32, memory: &Memory) -> bool {
        if memory.is_reserved(addr) {
            self.refuse(flag::ADDRE);
            return false;
        }
        let locked = addr < self.boot_section() || self.runlock >> (addr / REGION) & 1 == 0;
        if locked {
            self.refuse(flag::LOCKE);
        }
        !locked
    }

    /// Starts writing `len` bytes of the page buffer to the array at `addr`, aligned to `len`.
    pub(super) fn write_array(&mut self, addr: u32, len: u32, cx: &mut Context<'_>) {
        let user = is_user_page(addr);
        if user && len != 16 {
            self.refuse(flag::PROGE);
            return;
        }
        if !user && addr >= FLASH_SIZE {
            self.refuse(flag::ADDRE);
            return;
        }
        if !user && !self.check_unlocked(addr, cx.memory) {
            return;
        }
        let at = (addr % PAGE) as usize;
        let data = self.buffer[at..at + len as usize].to_vec();
        self.clear_buffer();
        let time = match len {
            8 => DOUBLE_TIME,
            16 => QUAD_TIME,
            _ => PAGE_TIME,
        };
        self.enqueue(Operation::new(Kind::Program(data), addr, len, time, flag::DONE), cx);
    }

    fn erase(&mut self, addr: u32, len: u32, cx: &mut Context<'_>) {
        if is_user_page(addr) || self.check_unlocked(addr, cx.memory) {
            self.enqueue(Operation::new(Kind::Erase, addr, len, BLOCK_TIME, flag::DONE), cx);
        }
    }
}
