//! The rest: general forms, table branches, exclusive accesses; DSP, system and floating point are dispatched on.

use super::alu::shift_carry;
use super::memory::{Any, Reach};
use super::{dsp, hot, system, vfp};
use crate::decode::{Invalid, LSL, LSR};
use crate::op::{Alu, Kind, Op, mem_form};
use crate::state::{Core, Trap, Trapped, ccr, cfsr};
use crate::{Bus, Size};

#[inline(never)]
pub(super) fn execute<B: Bus, const CHECKED: bool>(
    core: &mut Core,
    bus: &mut B,
    op: &Op,
    pc: u32,
) -> Result<u32, Trapped> {
    let cycle = core.cycle;
    let next = pc.wrapping_add(u32::from(op.len));
    match op.kind {
        Kind::Undefined => {
            core.record_undefined(pc, op.imm, Invalid::of(op));
            return core.fault(cfsr::UNDEFINSTR);
        }
        Kind::NoCoprocessor => return core.fault(cfsr::NOCP),
        Kind::DpImm => {
            let carry = if op.c == Op::CARRY_KEPT { core.c } else { op.c != 0 };
            return core.general_operation(op, op.imm, carry, next);
        }
        Kind::DpReg => {
            let (value, carry) = shift_carry(core.r[usize::from(op.c & 15)], op.imm >> 8, op.imm & 0xFF, core.c);
            return core.general_operation(op, value, carry, next);
        }
        Kind::ShiftR => shift_register(core, op, u32::from(op.d & 7), op.d & Op::SETS_FLAGS != 0),
        Kind::LslRS => shift_register(core, op, LSL, true),
        Kind::LsrRS => shift_register(core, op, LSR, true),
        Kind::MemImm | Kind::MemReg | Kind::MemLit => {
            return core.general_access::<B, CHECKED>(bus, op, next, cycle);
        }
        Kind::LdrdIdx | Kind::LdrdLit => {
            let base = core.r[usize::from(op.b & 15)];
            let offset = base.wrapping_add(op.imm);
            let addr = match op.kind {
                Kind::LdrdLit => op.imm,
                _ if op.d & 1 != 0 => offset,
                _ => base,
            };
            core.check_aligned(addr, Size::Word)?;
            let literal = op.kind == Kind::LdrdLit;
            let first = core.load_or_literal::<B, CHECKED>(bus, addr, cycle, literal)?;
            let second = core.load_or_literal::<B, CHECKED>(bus, addr.wrapping_add(4), cycle, literal)?;
            if op.kind == Kind::LdrdIdx {
                core.r[usize::from(op.b & 15)] = offset;
            }
            core.r[usize::from(op.a & 15)] = first;
            core.r[usize::from(op.c & 15)] = second;
        }
        Kind::StrdIdx => {
            let base = core.r[usize::from(op.b & 15)];
            let offset = base.wrapping_add(op.imm);
            let addr = if op.d & 1 != 0 { offset } else { base };
            core.check_aligned(addr, Size::Word)?;
            core.store::<B, CHECKED>(bus, addr, Size::Word, core.r[usize::from(op.a & 15)], cycle)?;
            let second = core.r[usize::from(op.c & 15)];
            core.store::<B, CHECKED>(bus, addr.wrapping_add(4), Size::Word, second, cycle)?;
            core.r[usize::from(op.b & 15)] = offset;
        }
        Kind::LdmIa | Kind::LdmDb => return core.load_multiple::<B, CHECKED>(bus, op, pc, cycle),
        Kind::StmDb => {
            let addr = core.r[usize::from(op.b & 15)].wrapping_sub(4 * op.imm.count_ones());
            core.store_list::<B, Any<CHECKED>>(bus, addr, op.imm, cycle)?;
            if op.d != 0 {
                core.r[usize::from(op.b & 15)] = addr;
            }
        }
        Kind::Tbb | Kind::Tbh => return hot::table_branch::<B, Any<CHECKED>>(core, bus, op.kind, op, pc, cycle),
        Kind::Ldrex | Kind::Ldrexb | Kind::Ldrexh => {
            let addr = core.r[usize::from(op.b & 15)].wrapping_add(op.imm);
            let size = exclusive_size(op.kind);
            core.check_aligned(addr, size)?;
            core.r[usize::from(op.a & 15)] = core.load::<B, CHECKED>(bus, addr, size, cycle)?;
            core.exclusive = true;
        }
        Kind::Strex | Kind::Strexb | Kind::Strexh => {
            let addr = core.r[usize::from(op.b & 15)].wrapping_add(op.imm);
            let size = exclusive_size(op.kind);
            core.check_aligned(addr, size)?;
            if core.exclusive {
                core.store::<B, CHECKED>(bus, addr, size, core.r[usize::from(op.a & 15)], cycle)?;
            }
            core.r[usize::from(op.d & 15)] = u32::from(!core.exclusive);
            core.exclusive = false;
        }
        Kind::Clrex => core.exclusive = false,
        Kind::BxPc => return core.branch_register(op.imm),
        Kind::Svc => return core.trap(Trap::Svc),
        Kind::Bkpt => return core.trap(Trap::Bkpt),
        Kind::Wfi => return core.trap(Trap::Wfi),
        Kind::Wfe => return core.trap(Trap::Wfe),
        Kind::Sev => core.event = true,
        Kind::Cps | Kind::Mrs | Kind::Msr => system::execute(core, op),
        kind if kind as u8 >= Kind::Vadd as u8 => vfp::execute::<B, CHECKED>(core, bus, op)?,
        _ => dsp::execute(core, op),
    }
    Ok(next)
}

fn exclusive_size(kind: Kind) -> Size {
    match kind {
        Kind::Ldrexb | Kind::Strexb => Size::Byte,
        Kind::Ldrexh | Kind::Strexh => Size::Half,
        _ => Size::Word,
    }
}

fn shift_register(core: &mut Core, op: &Op, ty: u32, flags: bool) {
    let amount = core.r[usize::from(op.c & 15)] & 0xFF;
    let (value, carry) = shift_carry(core.r[usize::from(op.b & 15)], ty, amount, core.c);
    if flags {
        core.set_nz(value);
        core.c = carry;
    }
    core.r[usize::from(op.a & 15)] = value;
}

impl Core {
    fn general_operation(&mut self, op: &Op, operand: u32, carry: bool, next: u32) -> Result<u32, Trapped> {
        let flags = op.d & Op::SETS_FLAGS != 0;
        let first = self.r[usize::from(op.b & 15)];
        let result = self.data_processing(Alu::from_bits(op.d), flags, first, operand, carry);
        match op.a {
            15 if !flags => return Ok(result & !1),
            13 => self.r[13] = result & !3,
            rd => self.r[usize::from(rd & 15)] = result,
        }
        Ok(next)
    }

    /// Loads and stores that have no kind of their own, those of SP and PC among them.
    fn general_access<B: Bus, const CHECKED: bool>(
        &mut self,
        bus: &mut B,
        op: &Op,
        next: u32,
        cycle: u64,
    ) -> Result<u32, Trapped> {
        let base = self.r[usize::from(op.b & 15)];
        let moved = match op.kind {
            Kind::MemLit => op.imm,
            Kind::MemReg => base.wrapping_add(self.r[usize::from(op.c & 15)] << (op.imm & 3)),
            _ => base.wrapping_add(op.imm),
        };
        let literal = op.kind == Kind::MemLit;
        let addr = if literal || op.d & mem_form::PRE != 0 { moved } else { base };
        let size = match op.d & mem_form::SIZE {
            0 => Size::Byte,
            1 => Size::Half,
            _ => Size::Word,
        };
        self.unprivileged_access = op.d & mem_form::UNPRIVILEGED != 0;
        // The fast loop checks nothing under an MPU that lets privileged code do everything; this may not count as such.
        let checked = CHECKED || self.unprivileged_access;
        let value = match (op.d & mem_form::LOAD != 0, checked) {
            (true, _) if literal => self.load_literal::<B, CHECKED>(bus, addr, size, cycle),
            (true, true) => self.load::<B, true>(bus, addr, size, cycle),
            (true, false) => self.load::<B, false>(bus, addr, size, cycle),
            (false, checked) => {
                let value = self.r[usize::from(op.a & 15)];
                let stored = if checked {
                    self.store::<B, true>(bus, addr, size, value, cycle)
                } else {
                    self.store::<B, false>(bus, addr, size, value, cycle)
                };
                stored.map(|()| value)
            }
        };
        self.unprivileged_access = false;
        let value = value?;
        if op.d & mem_form::WRITEBACK != 0 {
            self.r[usize::from(op.b & 15)] = moved;
        }
        if op.d & mem_form::LOAD == 0 {
            return Ok(next);
        }
        let value = match (op.d & mem_form::SIGNED != 0, size) {
            (true, Size::Byte) => value as i8 as u32,
            (true, Size::Half) => value as i16 as u32,
            _ => value,
        };
        match op.a {
            15 => return self.branch_exchange(value),
            13 => self.r[13] = value & !3,
            rt => self.r[usize::from(rt & 15)] = value,
        }
        Ok(next)
    }

    /// LDM in both directions.
    pub(super) fn load_multiple<B: Bus, const CHECKED: bool>(
        &mut self,
        bus: &mut B,
        op: &Op,
        pc: u32,
        cycle: u64,
    ) -> Result<u32, Trapped> {
        let rn = usize::from(op.b & 15);
        let base = self.r[rn];
        let bytes = 4 * op.imm.count_ones();
        let descending = op.kind == Kind::LdmDb;
        let addr = if descending { base.wrapping_sub(bytes) } else { base };
        let target = if op.imm & 0x8000 != 0 {
            self.check_aligned(addr, Size::Word)?;
            Some(self.load::<B, CHECKED>(bus, addr.wrapping_add(bytes - 4), Size::Word, cycle)?)
        } else {
            None
        };
        if let Err(trapped) = self.load_list::<B, Any<CHECKED>>(bus, addr, op.imm & 0x7FFF, cycle) {
            self.r[rn] = base;
            return Err(trapped);
        }
        if op.d != 0 {
            self.r[rn] = if descending { addr } else { base.wrapping_add(bytes) };
        }
        match target {
            Some(target) => self.branch_exchange(target),
            None => Ok(pc.wrapping_add(u32::from(op.len))),
        }
    }

    #[inline]
    pub(super) fn load_list<B: Bus, R: Reach<B>>(
        &mut self,
        bus: &mut B,
        mut addr: u32,
        mut list: u32,
        cycle: u64,
    ) -> Result<(), R::Refusal> {
        R::check_aligned(self, addr)?;
        while list != 0 {
            let register = (list.trailing_zeros() & 15) as usize;
            self.r[register] = R::load(self, bus, addr, Size::Word, cycle)?;
            addr = addr.wrapping_add(4);
            list &= list - 1;
        }
        Ok(())
    }

    #[inline]
    pub(super) fn store_list<B: Bus, R: Reach<B>>(
        &mut self,
        bus: &mut B,
        mut addr: u32,
        mut list: u32,
        cycle: u64,
    ) -> Result<(), R::Refusal> {
        R::check_aligned(self, addr)?;
        while list != 0 {
            let register = (list.trailing_zeros() & 15) as usize;
            R::store(self, bus, addr, Size::Word, self.r[register], cycle)?;
            addr = addr.wrapping_add(4);
            list &= list - 1;
        }
        Ok(())
    }

    /// BLX to a register: an EXC_RETURN value is an ordinary address here.
    #[inline(always)]
    pub(super) fn branch_register(&mut self, target: u32) -> Result<u32, Trapped> {
        if target & 1 == 0 {
            self.thumb = false;
            self.limit = 0;
        }
        Ok(target & !1)
    }

    #[cold]
    pub(super) fn divided_by_zero(&mut self) -> Result<u32, Trapped> {
        if self.scb.ccr & ccr::DIV_0_TRP != 0 { self.fault(cfsr::DIVBYZERO) } else { Ok(0) }
    }
}
