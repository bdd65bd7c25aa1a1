//! Floating-point instructions.

use crate::float::{self, fpscr};
use crate::op::{Kind, Op};
use crate::state::{Core, Trapped};
use crate::{Bus, Size};

pub(super) const SIGN: u32 = 0x8000_0000;

/// VMLA, VMLS, VNMLA and VNMLS: two roundings.
#[inline(always)]
pub(super) fn multiply_add(op: &Op, addend: u32, n: u32, m: u32, fpscr: &mut u32) -> u32 {
    let product = float::mul(n, m, fpscr) ^ if op.d & 1 != 0 { SIGN } else { 0 };
    float::add(addend ^ if op.d & 2 != 0 { SIGN } else { 0 }, product, fpscr)
}

/// VFMA, VFMS, VFNMA and VFNMS: one rounding.
#[inline(always)]
pub(super) fn fused_multiply_add(op: &Op, addend: u32, n: u32, m: u32, fpscr: &mut u32) -> u32 {
    let n = n ^ if op.d & 1 != 0 { SIGN } else { 0 };
    float::fused_multiply_add(addend ^ if op.d & 2 != 0 { SIGN } else { 0 }, n, m, fpscr)
}

pub(super) fn execute<B: Bus, const CHECKED: bool>(core: &mut Core, bus: &mut B, op: &Op) -> Result<(), Trapped> {
    if !core.fp_ready {
        core.prepare_fp(bus)?;
    }
    let cycle = core.cycle;
    let (d, n, m) = (usize::from(op.a & 31), usize::from(op.b & 31), usize::from(op.c & 31));
    match op.kind {
        Kind::Vadd => core.s[d] = float::add(core.s[n], core.s[m], &mut core.fpscr),
        Kind::Vsub => core.s[d] = float::sub(core.s[n], core.s[m], &mut core.fpscr),
        Kind::Vmul => core.s[d] = float::mul(core.s[n], core.s[m], &mut core.fpscr),
        Kind::Vnmul => core.s[d] = float::mul(core.s[n], core.s[m], &mut core.fpscr) ^ SIGN,
        Kind::Vdiv => core.s[d] = float::div(core.s[n], core.s[m], &mut core.fpscr),
        Kind::Vmla => {
            core.s[d] = multiply_add(op, core.s[d], core.s[n], core.s[m], &mut core.fpscr);
        }
        Kind::Vfma => {
            core.s[d] = fused_multiply_add(op, core.s[d], core.s[n], core.s[m], &mut core.fpscr);
        }
        Kind::VmovI => core.s[d] = op.imm,
        Kind::VmovR => core.s[d] = core.s[m],
        Kind::Vabs => core.s[d] = core.s[m] & !SIGN,
        Kind::Vneg => core.s[d] = core.s[m] ^ SIGN,
        Kind::Vsqrt => core.s[d] = float::sqrt(core.s[m], &mut core.fpscr),
        Kind::VcvtHalf => {
            let shift = if op.d & 1 != 0 { 16 } else { 0 };
            core.s[d] = if op.d & 2 != 0 {
                let half = float::single_to_half(core.s[m], &mut core.fpscr);
                core.s[d] & !(0xFFFF << shift) | half << shift
            } else {
                float::half_to_single(core.s[m] >> shift & 0xFFFF, &mut core.fpscr)
            };
        }
        Kind::Vcmp => {
            let other = if op.c == 32 { 0 } else { core.s[m] };
            let nzcv = float::compare(core.s[d], other, op.d & 1 != 0, &mut core.fpscr);
            core.fpscr = core.fpscr & 0x0FFF_FFFF | nzcv;
        }
        Kind::VcvtFromInt => {
            core.s[d] = float::from_integer(core.s[m], op.d & 1 == 0, &mut core.fpscr);
        }
        Kind::VcvtToInt if op.d & 2 != 0 => {
            core.s[d] = float::to_integer(core.s[m], op.d & 1 == 0, &mut core.fpscr);
        }
        Kind::VcvtToInt => {
            core.s[d] = float::to_fixed(core.s[m], 0, 32, op.d & 1 == 0, false, &mut core.fpscr);
        }
        Kind::VcvtFixed => {
            let (unsigned, size) = (op.d & 1 != 0, if op.d & 4 != 0 { 32 } else { 16 });
            core.s[d] = if op.d & 2 != 0 {
                float::to_fixed(core.s[d], op.imm, size, unsigned, true, &mut core.fpscr)
            } else {
                float::from_fixed(core.s[d], op.imm, size, unsigned, true, &mut core.fpscr)
            };
        }
        Kind::VmovToCore => core.r[d & 15] = core.s[n],
        Kind::VmovFromCore => core.s[n] = core.r[d & 15],
        Kind::VmovToCore2 => {
            core.r[d & 15] = core.s[n];
            core.r[usize::from(op.d & 15)] = core.s[(n + 1) & 31];
        }
        Kind::VmovFromCore2 => {
            core.s[n] = core.r[d & 15];
            core.s[(n + 1) & 31] = core.r[usize::from(op.d & 15)];
        }
        Kind::Vmrs if op.a == 15 => core.set_nzcv(core.fpscr),
        Kind::Vmrs => core.r[d & 15] = core.fpscr,
        Kind::Vmsr => core.fpscr = core.r[d & 15] & fpscr::WRITABLE,
        Kind::Vldr | Kind::Vstr => {
            let addr = if op.b == 15 { op.imm } else { core.r[n & 15].wrapping_add(op.imm) };
            transfer::<B, CHECKED>(core, bus, op, addr, cycle)?;
        }
        _ => {
            let base = core.r[n & 15];
            let down = base.wrapping_sub(op.imm);
            let descending = op.c & 2 != 0;
            transfer::<B, CHECKED>(core, bus, op, if descending { down } else { base }, cycle)?;
            if op.c & 1 != 0 {
                core.r[n & 15] = if descending { down } else { base.wrapping_add(op.imm) };
            }
        }
    }
    Ok(())
}

/// `d` single registers from `a` on.
fn transfer<B: Bus, const CHECKED: bool>(
    core: &mut Core,
    bus: &mut B,
    op: &Op,
    addr: u32,
    cycle: u64,
) -> Result<(), Trapped> {
    core.check_aligned(addr, Size::Word)?;
    for i in 0..op.d {
        let register = usize::from(op.a + i) & 31;
        let addr = addr.wrapping_add(4 * u32::from(i));
        if matches!(op.kind, Kind::Vldr | Kind::Vldm) {
            let literal = op.kind == Kind::Vldr && op.b == 15;
            core.s[register] = core.load_or_literal::<B, CHECKED>(bus, addr, cycle, literal)?;
        } else {
            core.store::<B, CHECKED>(bus, addr, Size::Word, core.s[register], cycle)?;
        }
    }
    Ok(())
}
