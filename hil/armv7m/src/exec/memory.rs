//! Loads and stores of the program.

use crate::dwt::DataAccess;
use crate::mpu::Access;
use crate::ppb::is_ppb;
use crate::state::{Core, LATE, NO_WORD, STOP, Trapped, ccr, cfsr};
use crate::{Bus, Cycle, Lost, Size, Wait};

/// How an instruction reaches memory.
pub(super) trait Reach<B: Bus> {
    /// What is said instead of an access.
    type Refusal;

    fn load(core: &mut Core, bus: &mut B, addr: u32, size: Size, cycle: u64) -> Result<u32, Self::Refusal>;

    /// A load relative to the PC.
    fn literal(core: &mut Core, bus: &mut B, addr: u32, size: Size, cycle: u64) -> Result<u32, Self::Refusal>;

    fn store(core: &mut Core, bus: &mut B, addr: u32, size: Size, value: u32, cycle: u64) -> Result<(), Self::Refusal>;

    /// The address of words that must be aligned: see [`Core::check_aligned`].
    fn check_aligned(core: &mut Core, addr: u32) -> Result<(), Self::Refusal>;
}

/// What [`Plain`] does not reach: the instruction must be executed anew with [`Any`], which writes again at most what it
/// has already written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elsewhere;

/// Plain memory alone: no access of it traps, takes time or asks for attention.
pub(super) struct Plain;

impl<B: Bus> Reach<B> for Plain {
    type Refusal = Elsewhere;

    #[inline(always)]
    fn load(_: &mut Core, bus: &mut B, addr: u32, size: Size, _: u64) -> Result<u32, Elsewhere> {
        bus.plain_read(addr, size).ok_or(Elsewhere)
    }

    #[inline(always)]
    fn literal(_: &mut Core, bus: &mut B, addr: u32, size: Size, _: u64) -> Result<u32, Elsewhere> {
        bus.plain_literal(addr, size).ok_or(Elsewhere)
    }

    #[inline(always)]
    fn store(_: &mut Core, bus: &mut B, addr: u32, size: Size, value: u32, _: u64) -> Result<(), Elsewhere> {
        if bus.plain_write(addr, size, value) { Ok(()) } else { Err(Elsewhere) }
    }

    #[inline(always)]
    fn check_aligned(_: &mut Core, addr: u32) -> Result<(), Elsewhere> {
        if addr & 3 == 0 { Ok(()) } else { Err(Elsewhere) }
    }
}

/// What [`Plain`] has refused.
pub(super) struct Slow;

impl<B: Bus> Reach<B> for Slow {
    type Refusal = Trapped;

    #[inline(always)]
    fn load(core: &mut Core, bus: &mut B, addr: u32, size: Size, cycle: u64) -> Result<u32, Trapped> {
        core.load_slow::<B, false>(bus, addr, size, cycle, false)
    }

    #[inline(always)]
    fn literal(core: &mut Core, bus: &mut B, addr: u32, size: Size, cycle: u64) -> Result<u32, Trapped> {
        core.load_slow::<B, false>(bus, addr, size, cycle, true)
    }

    #[inline(always)]
    fn store(core: &mut Core, bus: &mut B, addr: u32, size: Size, value: u32, cycle: u64) -> Result<(), Trapped> {
        core.store_slow::<B, false>(bus, addr, size, value, cycle)
    }

    #[inline(always)]
    fn check_aligned(core: &mut Core, addr: u32) -> Result<(), Trapped> {
        core.check_aligned(addr, Size::Word)
    }
}

/// All of the address space, with or without the checks of [`exec`](super).
pub(super) struct Any<const CHECKED: bool>;

impl<B: Bus, const CHECKED: bool> Reach<B> for Any<CHECKED> {
    type Refusal = Trapped;

    #[inline(always)]
    fn load(core: &mut Core, bus: &mut B, addr: u32, size: Size, cycle: u64) -> Result<u32, Trapped> {
        core.load::<B, CHECKED>(bus, addr, size, cycle)
    }

    #[inline(always)]
    fn literal(core: &mut Core, bus: &mut B, addr: u32, size: Size, cycle: u64) -> Result<u32, Trapped> {
        core.load_literal::<B, CHECKED>(bus, addr, size, cycle)
    }

    #[inline(always)]
    fn store(core: &mut Core, bus: &mut B, addr: u32, size: Size, value: u32, cycle: u64) -> Result<(), Trapped> {
        core.store::<B, CHECKED>(bus, addr, size, value, cycle)
    }

    #[inline(always)]
    fn check_aligned(core: &mut Core, addr: u32) -> Result<(), Trapped> {
        core.check_aligned(addr, Size::Word)
    }
}

/// SRAM region of the memory map, where data lives: no attention, any alignment.
const SRAM: u32 = 0x2000_0000;
const SRAM_SIZE: u32 = 0x2000_0000;

/// More lost lines than these are not followed one by one.
const LOST_KEPT: usize = 64;

impl Core {
    /// Memory that takes unaligned accesses whole.
    fn is_plain_read(&self, addr: u32) -> bool {
        addr.wrapping_sub(SRAM) < SRAM_SIZE || addr.wrapping_sub(self.config.code.start) < self.code_len
    }

    #[inline(always)]
    pub(crate) fn load<B: Bus, const CHECKED: bool>(
        &mut self,
        bus: &mut B,
        addr: u32,
        size: Size,
        cycle: u64,
    ) -> Result<u32, Trapped> {
        if !CHECKED && let Some(value) = bus.plain_read(addr, size) {
            return Ok(value);
        }
        self.load_slow::<B, CHECKED>(bus, addr, size, cycle, false)
    }

    /// A load relative to the PC.
    #[inline(always)]
    pub(crate) fn load_literal<B: Bus, const CHECKED: bool>(
        &mut self,
        bus: &mut B,
        addr: u32,
        size: Size,
        cycle: u64,
    ) -> Result<u32, Trapped> {
        if !CHECKED && let Some(value) = bus.plain_literal(addr, size) {
            return Ok(value);
        }
        self.load_slow::<B, CHECKED>(bus, addr, size, cycle, true)
    }

    /// A word, of which only the run knows whether it is loaded relative to the PC.
    #[inline(always)]
    pub(crate) fn load_or_literal<B: Bus, const CHECKED: bool>(
        &mut self,
        bus: &mut B,
        addr: u32,
        cycle: u64,
        literal: bool,
    ) -> Result<u32, Trapped> {
        if !CHECKED && let Some(value) = bus.plain_read(addr, Size::Word) {
            return Ok(value);
        }
        self.load_slow::<B, CHECKED>(bus, addr, Size::Word, cycle, literal)
    }

    #[inline(always)]
    pub(crate) fn store<B: Bus, const CHECKED: bool>(
        &mut self,
        bus: &mut B,
        addr: u32,
        size: Size,
        value: u32,
        cycle: u64,
    ) -> Result<(), Trapped> {
        if !CHECKED && bus.plain_write(addr, size, value) {
            return Ok(());
        }
        self.store_slow::<B, CHECKED>(bus, addr, size, value, cycle)
    }

    /// Word-aligned accesses of LDM, LDRD, LDREX, VLDR and their stores: these fault whatever CCR says.
    #[inline(always)]
    pub(crate) fn check_aligned(&mut self, addr: u32, size: Size) -> Result<(), Trapped> {
        if addr & (size as u32 - 1) == 0 { Ok(()) } else { self.fault(cfsr::UNALIGNED) }
    }

    #[inline(never)]
    fn load_slow<B: Bus, const CHECKED: bool>(
        &mut self,
        bus: &mut B,
        addr: u32,
        size: Size,
        cycle: u64,
        literal: bool,
    ) -> Result<u32, Trapped> {
        let misaligned = addr & (size as u32 - 1) != 0;
        if CHECKED {
            self.check_access(addr, size, Access::Read)?;
        }
        let at = cycle + u64::from(self.late);
        self.cycle = at;
        // The breakpoint unit may have the word come from elsewhere.
        let place = if CHECKED { self.fpb.literal_address(addr) } else { addr };
        let value = if is_ppb(place) {
            if misaligned {
                return self.fault(cfsr::UNALIGNED);
            }
            self.ppb_read(place, size, false)
        } else if misaligned && !self.is_plain_read(place) {
            // The bus takes it apart.
            (0..size as u32)
                .try_fold(0, |value, i| Ok(value | bus.read(place.wrapping_add(i), Size::Byte, at)? << (8 * i)))
        } else if literal && self.fetch.literal != 0 {
            bus.read_literal(place, size, at)
        } else {
            bus.read(place, size, at)
        };
        self.look_at(bus);
        self.cycle = cycle;
        match value {
            Ok(value) => {
                if CHECKED {
                    self.watch(DataAccess { addr, size: size as u32, write: false, value });
                }
                Ok(value)
            }
            Err(_) => self.data_bus_fault(addr),
        }
    }

    #[inline(never)]
    fn store_slow<B: Bus, const CHECKED: bool>(
        &mut self,
        bus: &mut B,
        addr: u32,
        size: Size,
        value: u32,
        cycle: u64,
    ) -> Result<(), Trapped> {
        let misaligned = addr & (size as u32 - 1) != 0;
        if CHECKED {
            self.check_access(addr, size, Access::Write)?;
        }
        let at = cycle + u64::from(self.late);
        self.cycle = at;
        let value = match size {
            Size::Byte => value & 0xFF,
            Size::Half => value & 0xFFFF,
            Size::Word => value,
        };
        let done = if is_ppb(addr) {
            if misaligned {
                return self.fault(cfsr::UNALIGNED);
            }
            self.ppb_write(addr, size, value, false)
        } else if misaligned && !self.is_plain_read(addr) {
            (0..size as u32).try_for_each(|i| bus.write(addr.wrapping_add(i), Size::Byte, value >> (8 * i) & 0xFF, at))
        } else {
            bus.write(addr, size, value, at)
        };
        self.look_at(bus);
        self.cycle = cycle;
        match done {
            Ok(()) => {
                if CHECKED {
                    self.watch(DataAccess { addr, size: size as u32, write: true, value });
                }
                Ok(())
            }
            Err(_) => self.data_bus_fault(addr).map(|_| ()),
        }
    }

    /// What the bus has to say after an access.
    #[inline]
    fn look_at<B: Bus>(&mut self, bus: &mut B) {
        if bus.attention() {
            self.attention = true;
            self.limit = STOP;
        }
        let wait = bus.take_wait();
        if wait != Wait::default() {
            self.wait(wait);
        }
    }

    /// After an access whose wait does not matter.
    pub(crate) fn pass_over_wait<B: Bus>(&mut self, bus: &mut B) {
        let wait = bus.take_wait();
        self.lose(wait.lost);
    }

    #[cold]
    fn wait(&mut self, wait: Wait) {
        self.late += wait.cycles;
        self.lose(wait.lost);
        if self.limit > LATE {
            self.held_limit = self.limit;
            self.limit = LATE;
        }
    }

    /// Lines of code that were resident may be so no longer, or blocks have changed.
    pub(crate) fn forget_lines(&mut self) {
        self.era += 1;
        self.lost.clear();
    }

    pub(crate) fn lose(&mut self, lost: Lost) {
        match lost {
            Lost::Nothing => {}
            Lost::Line(line) if self.fetch.cached && self.lost.len() < LOST_KEPT => self.lost.push(line),
            Lost::Line(_) => self.forget_lines(),
            Lost::Anything => self.forget_lines(),
        }
    }

    /// The instruction of `len` bytes at `pc`, in [`Config::code`](crate::Config::code), is fetched at `cycle`: the cycles
    /// that it waits.
    pub(crate) fn fetch_lines<B: Bus>(&mut self, bus: &mut B, pc: u32, len: u8, cycle: Cycle) -> u32 {
        let unit = if self.fetch.by_word { 2 } else { 4 };
        let last = pc.wrapping_add(u32::from(len)).wrapping_sub(2);
        let mut waited = 0;
        for addr in [pc >> unit << unit, last >> unit << unit] {
            if addr != self.fetched {
                let wait = bus.touch_code(addr, cycle + u64::from(waited));
                waited += wait.cycles;
                self.lose(wait.lost);
                self.fetched = addr;
            }
        }
        if !self.fetch.by_word {
            // Whether a line is still there is to be found out for each instruction.
            self.fetched = NO_WORD;
        }
        if bus.attention() {
            self.attention = true;
            self.limit = STOP;
        }
        waited
    }

    /// Alignment trap and MPU.
    fn check_access(&mut self, addr: u32, size: Size, access: Access) -> Result<(), Trapped> {
        let misaligned = addr & (size as u32 - 1) != 0;
        if misaligned && self.scb.ccr & ccr::UNALIGN_TRP != 0 {
            return self.fault(cfsr::UNALIGNED);
        }
        if self.mpu.is_enabled() {
            let privileged = self.privileged() && !self.unprivileged_access;
            let urgent = self.nvic.execution_priority() < 0;
            // An access that is not aligned is one of several bytes (MemU, B2.3.4).
            let parts = if misaligned { size as u32 } else { 1 };
            for addr in (0..parts).map(|i| addr.wrapping_add(i)) {
                if !self.mpu.permits(addr, access, privileged, urgent) {
                    return self.trap(crate::state::Trap::Fault { cfsr: cfsr::DACCVIOL | cfsr::MMARVALID, addr });
                }
            }
        }
        Ok(())
    }

    /// A data bus fault: precise. Under CCR.BFHFNMIGN handlers of negative priority read zero instead.
    #[cold]
    #[inline(never)]
    fn data_bus_fault(&mut self, addr: u32) -> Result<u32, Trapped> {
        if self.scb.ccr & ccr::BFHFNMIGN != 0 && self.nvic.execution_priority() < 0 {
            return Ok(0);
        }
        self.trap(crate::state::Trap::Fault { cfsr: cfsr::PRECISERR | cfsr::BFARVALID, addr })
    }

    /// Exception frames go through the MPU like any other access of the mode they belong to.
    pub(crate) fn store_stack<B: Bus>(&mut self, bus: &mut B, addr: u32, value: u32) -> Result<(), Trapped> {
        self.store_slow::<B, true>(bus, addr, Size::Word, value, self.cycle)
    }

    pub(crate) fn load_stack<B: Bus>(&mut self, bus: &mut B, addr: u32) -> Result<u32, Trapped> {
        let value = self.load_slow::<B, true>(bus, addr, Size::Word, self.cycle, false);
        self.cycle += u64::from(std::mem::take(&mut self.late));
        value
    }

    /// A load into the PC, BX and POP: interworking branch or exception return (LoadWritePC, BXWritePC).
    #[inline(always)]
    pub(crate) fn branch_exchange(&mut self, target: u32) -> Result<u32, Trapped> {
        if target >= 0xF000_0000 && self.handler_mode() {
            return self.trap(crate::state::Trap::ExceptionReturn(target));
        }
        if target & 1 == 0 {
            self.leave_thumb();
        }
        Ok(target & !1)
    }

    /// EPSR.T becomes zero: the next instruction takes a UsageFault.
    #[cold]
    fn leave_thumb(&mut self) {
        self.thumb = false;
        self.limit = 0;
    }
}
