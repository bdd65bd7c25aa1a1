//! The Private Peripheral Bus: who answers at which address, and the registers of the System Control Space
//! (ARMv7-M ARM B3.2). Debug registers are in [`crate::debug_access`].

use crate::nvic::exception::{BUS_FAULT, DEBUG_MONITOR, IRQ0, MEM_MANAGE, NMI, PENDSV, SVCALL, SYSTICK, USAGE_FAULT};
use crate::state::{Core, ccr, fpccr};
use crate::trace::TraceAccess;
use crate::{BusFault, Size};

/// Part number in the peripheral ID registers, designer ARM.
struct Identity {
    part: u32,
    revision: u32,
    class: u32,
}

const SCS: Identity = Identity { part: 0x00C, revision: 0, class: 0xE };
const DWT: Identity = Identity { part: 0x002, revision: 3, class: 0xE };
const FPB: Identity = Identity { part: 0x003, revision: 2, class: 0xE };
const ITM: Identity = Identity { part: 0x001, revision: 3, class: 0xE };
/// The TPIU of the Cortex-M4 is a CoreSight component (class 9).
const TPIU: Identity = Identity { part: 0x9A1, revision: 0, class: 0x9 };
const ROM: Identity = Identity { part: 0x4C4, revision: 0, class: 0x1 };

impl Identity {
    /// PIDR4-7, PIDR0-3, CIDR0-3 from offset 0xFD0.
    fn read(&self, offset: u32) -> u32 {
        match offset {
            0xFD0 => 0x04,
            0xFE0 => self.part & 0xFF,
            0xFE4 => 0xB0 | self.part >> 8,
            0xFE8 => self.revision << 4 | 0x0B,
            0xFF0 => 0x0D,
            0xFF4 => self.class << 4,
            0xFF8 => 0x05,
            0xFFC => 0xB1,
            _ => 0,
        }
    }
}

/// ROM table at 0xE00FF000: SCS, DWT, FPB, ITM, TPIU; the ETM is marked as not present.
const ROM_TABLE: [u32; 6] = [0xFFF0_F003, 0xFFF0_2003, 0xFFF0_3003, 0xFFF0_1003, 0xFFF4_1003, 0xFFF4_2002];

/// ID_PFR0 to ID_ISAR4 of the Cortex-M4 (TRM table 4-1), from 0xE000ED40.
const ID_REGISTERS: [u32; 13] = [
    0x0000_0030,
    0x0000_0200,
    0x0010_0000,
    0,
    0x0010_0030,
    0,
    0x0100_0000,
    0,
    0x0114_1110,
    0x0211_2000,
    0x2123_2231,
    0x0111_1131,
    0x0131_0132,
];

/// Exceptions with ACT, PENDED and ENA bits in SHCSR.
const SHCSR_ACTIVE: [(u32, u16); 7] =
    [(0, MEM_MANAGE), (1, BUS_FAULT), (3, USAGE_FAULT), (7, SVCALL), (8, DEBUG_MONITOR), (10, PENDSV), (11, SYSTICK)];
const SHCSR_PENDED: [(u32, u16); 4] = [(12, USAGE_FAULT), (13, MEM_MANAGE), (14, BUS_FAULT), (15, SVCALL)];
const SHCSR_ENABLED: [(u32, u16); 3] = [(16, MEM_MANAGE), (17, BUS_FAULT), (18, USAGE_FAULT)];

/// Whether an address is on the PPB and so never reaches the chip's bus.
pub(crate) fn is_ppb(addr: u32) -> bool {
    addr >> 20 == 0xE00
}

/// The ITM's stimulus ports, which unprivileged code may reach as well; ITM_TPR has its own say.
fn is_stimulus(addr: u32) -> bool {
    addr & !0x7F == 0xE000_0000
}

impl Core {
    /// A read of the PPB by the program or the debugger.
    pub(crate) fn ppb_read(&mut self, addr: u32, size: Size, debugger: bool) -> Result<u32, BusFault> {
        if !debugger && !self.ppb_privileged() && !is_stimulus(addr) {
            return Err(BusFault);
        }
        let word = self.ppb_read_word(addr & !3, debugger);
        let shifted = word >> (8 * (addr & 3));
        Ok(match size {
            Size::Byte => shifted & 0xFF,
            Size::Half => shifted & 0xFFFF,
            Size::Word => shifted,
        })
    }

    fn ppb_privileged(&self) -> bool {
        self.privileged() && !self.unprivileged_access
    }

    fn ppb_read_word(&mut self, addr: u32, debugger: bool) -> u32 {
        let offset = addr & 0xFFF;
        let identity = offset >= 0xFD0;
        match addr >> 12 {
            0xE000E if identity => SCS.read(offset),
            0xE000E => self.scs_read(offset, debugger),
            0xE0001 if identity => DWT.read(offset),
            // PCSR: no sample in Debug state.
            0xE0001 if offset == 0x1C && self.debug.halted => u32::MAX,
            0xE0001 if offset == 0x1C => self.pc,
            0xE0001 => self.dwt.read(offset, self.cycle),
            0xE0002 if identity => FPB.read(offset),
            0xE0002 => self.fpb.read(offset),
            0xE0000 if identity => ITM.read(offset),
            0xE0000 => self.trace.itm_read(offset, debugger),
            0xE0040 if identity => TPIU.read(offset),
            0xE0040 => self.trace.tpiu_read(offset),
            0xE00FF if identity => ROM.read(offset),
            0xE00FF if offset == 0xFCC => 1,
            0xE00FF => ROM_TABLE.get(offset as usize / 4).copied().unwrap_or(0),
            _ => 0,
        }
    }

    /// A write to the PPB by the program or the debugger.
    pub(crate) fn ppb_write(&mut self, addr: u32, size: Size, value: u32, debugger: bool) -> Result<(), BusFault> {
        let stir = addr & !3 == 0xE000_EF00 && self.scb.ccr & ccr::USERSETMPEND != 0;
        if !debugger && !stir && !self.ppb_privileged() && !is_stimulus(addr) {
            return Err(BusFault);
        }
        if is_stimulus(addr) {
            self.write_itm(addr & 0x7C, value, size, debugger);
            return Ok(());
        }
        let (word_addr, shift) = (addr & !3, 8 * (addr & 3));
        let offset = addr & 0xFFF;
        let value = match size {
            Size::Word => value,
            // Byte-wide priorities and write-one-to-clear flags: the other lanes must not be written back.
            _ if addr >> 12 == 0xE000E && matches!(offset, 0x400..0x4F0 | 0xD18..0xD24) => {
                for i in 0..size as u32 {
                    self.write_priority(offset + i, (value >> (8 * i)) as u8);
                }
                self.look_for_exception();
                return Ok(());
            }
            _ if addr >> 12 == 0xE000E && matches!(offset, 0xD28..0xD34 | 0x100..0x400) => value << shift,
            _ => {
                let mask = (u32::MAX >> (32 - 8 * size as u32)) << shift;
                self.ppb_read_word(word_addr, true) & !mask | value << shift & mask
            }
        };
        self.ppb_write_word(word_addr, value, debugger);
        Ok(())
    }

    fn ppb_write_word(&mut self, addr: u32, value: u32, debugger: bool) {
        let offset = addr & 0xFFF;
        match addr >> 12 {
            0xE000E => self.scs_write(offset, value, debugger),
            0xE0001 => {
                let trace = self.trace_enabled();
                self.dwt.write(offset, value, self.cycle, trace);
                self.plan_tick();
                self.update_checked();
            }
            0xE0002 => {
                self.fpb.write(offset, value);
                self.update_checked();
                self.limit = 0;
            }
            0xE0000 => self.write_itm(offset, value, Size::Word, debugger),
            0xE0040 => self.trace.tpiu_write(offset, value),
            _ => {}
        }
    }

    fn write_itm(&mut self, offset: u32, value: u32, size: Size, debugger: bool) {
        let privileged = debugger || self.ppb_privileged();
        let access = TraceAccess { debugger, privileged, lit: self.trace_enabled(), cycle: self.cycle };
        self.trace.itm_write(offset, value, size as u8, access);
    }

    fn write_priority(&mut self, offset: u32, value: u8) {
        let number = match offset {
            0xD18..0xD24 => offset - 0xD18 + 4,
            _ => offset - 0x400 + u32::from(IRQ0),
        };
        // Priorities exist for MemManage, BusFault, UsageFault, SVCall, DebugMonitor, PendSV, SysTick and interrupts.
        if !matches!(number, 7..=10 | 13) {
            self.nvic.set_priority(number as u16, value);
        }
    }

    fn read_priorities(&self, first: u32) -> u32 {
        (0..4).fold(0, |word, i| word | u32::from(self.nvic.priority((first + i) as u16 & 0xFF)) << (8 * i))
    }

    fn scs_read(&mut self, offset: u32, debugger: bool) -> u32 {
        match offset {
            0x004 => u32::from(self.nvic.lines()).div_ceil(32).saturating_sub(1),
            0x008 => self.scb.actlr,
            0x010..0x020 => {
                self.advance_systick();
                self.systick.read(offset & 0xF, debugger)
            }
            0x100..0x340 => self.nvic.read_bank(offset),
            0x400..0x4F0 => self.read_priorities(offset - 0x400 + u32::from(IRQ0)),
            0xD00 => self.config.cpuid,
            0xD04 => self.icsr(),
            0xD08 => self.scb.vtor,
            0xD0C => 0xFA05_0000 | u32::from(self.nvic.group) << 8,
            0xD10 => self.scb.scr,
            0xD14 => self.scb.ccr,
            0xD18..0xD24 => self.read_priorities(offset - 0xD18 + 4),
            0xD24 => self.shcsr(),
            0xD28 => self.scb.cfsr,
            0xD2C => self.scb.hfsr,
            0xD30 => self.debug.dfsr,
            0xD34 | 0xD38 => self.scb.fault_address,
            0xD40..0xD74 => ID_REGISTERS[(offset as usize - 0xD40) / 4],
            0xD88 => self.scb.cpacr,
            0xD90..0xDBC => self.mpu.read(offset - 0xD90),
            0xDF0 => self.read_dhcsr(debugger),
            0xDF8 => self.debug.dcrdr,
            0xDFC => self.debug.demcr,
            0xF34 => self.scb.fpccr,
            0xF38 => self.scb.fpcar,
            0xF3C => self.scb.fpdscr,
            0xF40 => 0x1011_0021,
            0xF44 => 0x1100_0011,
            _ => 0,
        }
    }

    fn icsr(&mut self) -> u32 {
        self.advance_systick();
        let pending = |number: u16, bit: u32| u32::from(self.nvic.pending.has(number)) << bit;
        let interrupts = self.nvic.pending.iter().any(|number| number >= IRQ0);
        let return_to_base = self.handler_mode() && self.nvic.active_count() <= 1;
        pending(NMI, 31)
            | pending(PENDSV, 28)
            | pending(SYSTICK, 26)
            | u32::from(interrupts) << 22
            | u32::from(self.nvic.vect_pending()) << 12
            | u32::from(return_to_base) << 11
            | u32::from(self.ipsr)
    }

    fn shcsr(&self) -> u32 {
        let collect = |table: &[(u32, u16)], has: &dyn Fn(u16) -> bool| {
            table.iter().fold(0, |word, &(bit, number)| word | u32::from(has(number)) << bit)
        };
        collect(&SHCSR_ACTIVE, &|number| self.nvic.active.has(number))
            | collect(&SHCSR_PENDED, &|number| self.nvic.pending.has(number))
            | collect(&SHCSR_ENABLED, &|number| self.nvic.is_enabled(number))
    }

    fn scs_write(&mut self, offset: u32, value: u32, debugger: bool) {
        match offset {
            0x008 => self.scb.actlr = value & 0x307,
            0x010..0x020 => {
                self.advance_systick();
                self.systick.write(offset & 0xF, value);
                // The run loop's deadline may have moved.
                self.limit = 0;
            }
            0x100..0x300 => {
                let fresh = self.nvic.write_bank(offset, value);
                self.pended(fresh);
            }
            0x400..0x4F0 | 0xD18..0xD24 => {
                for i in 0..4 {
                    self.write_priority(offset + i, (value >> (8 * i)) as u8);
                }
                self.look_for_exception();
            }
            0xD04 => self.write_icsr(value),
            0xD08 => self.scb.vtor = value & 0xFFFF_FF80,
            0xD0C if value >> 16 == 0x05FA => self.write_aircr(value, debugger),
            0xD10 => self.scb.scr = value & 0x16,
            0xD14 => {
                self.scb.ccr = value & ccr::WRITABLE;
                self.update_checked();
            }
            0xD24 => self.write_shcsr(value),
            0xD28 => self.scb.cfsr &= !value,
            0xD2C => self.scb.hfsr &= !value,
            0xD30 => self.debug.dfsr &= !value,
            0xD34 | 0xD38 => self.scb.fault_address = value,
            0xD88 => {
                self.scb.cpacr = value & 0x00F0_0000;
                self.fp_changed();
            }
            0xD90..0xDBC => {
                self.mpu.write(offset - 0xD90, value);
                self.update_checked();
            }
            0xDF0 if value >> 16 == 0xA05F => self.write_dhcsr(value, debugger),
            0xDF4 => self.write_dcrsr(value),
            0xDF8 => self.debug.dcrdr = value,
            0xDFC => self.write_demcr(value),
            0xF00 => {
                let number = IRQ0 + (value & 0x1FF) as u16;
                if number < IRQ0 + self.nvic.lines() {
                    let fresh = self.nvic.pend(number);
                    self.pended(fresh);
                }
            }
            0xF34 => {
                self.scb.fpccr = value & (fpccr::ASPEN | fpccr::LSPEN | 0x17B);
                self.fp_changed();
            }
            0xF38 => self.scb.fpcar = value & !7,
            0xF3C => self.scb.fpdscr = value & 0x07C0_0000,
            _ => {}
        }
    }

    fn write_icsr(&mut self, value: u32) {
        self.advance_systick();
        let mut fresh = false;
        for (set, clear, number) in [(31, 32, NMI), (28, 27, PENDSV), (26, 25, SYSTICK)] {
            if value >> set & 1 != 0 {
                fresh |= self.nvic.pend(number);
            } else if clear < 32 && value >> clear & 1 != 0 {
                self.nvic.unpend(number);
            }
        }
        self.pended(fresh);
    }

    fn write_aircr(&mut self, value: u32, debugger: bool) {
        self.nvic.set_group((value >> 8) as u8);
        if value & 4 != 0 {
            self.reset_request = true;
            self.limit = 0;
        }
        if value & 2 != 0 && debugger && self.debug.halted {
            // VECTCLRACTIVE clears all active state, and with it the current exception.
            for number in 0..256 {
                self.nvic.set_active(number, false);
            }
            self.switch_mode(0, false);
        }
        self.update_masks();
    }

    fn write_shcsr(&mut self, value: u32) {
        for (bit, number) in SHCSR_ACTIVE {
            self.nvic.set_active(number, value >> bit & 1 != 0);
        }
        for (bit, number) in SHCSR_PENDED {
            self.nvic.pending.set(number, value >> bit & 1 != 0);
        }
        for (bit, number) in SHCSR_ENABLED {
            self.nvic.enable(number, value >> bit & 1 != 0);
        }
        self.nvic.update_pending();
        self.look_for_exception();
    }

    /// Brings SysTick to the present and makes its exception pending if it is due.
    pub(crate) fn advance_systick(&mut self) {
        if self.systick.advance(self.cycle) {
            let fresh = self.nvic.pend(SYSTICK);
            self.pended(fresh);
        }
    }
}
