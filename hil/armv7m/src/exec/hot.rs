//! The instructions that make up nearly all of a program's work: one `match`, inlined into the run loop.

use super::alu::shift_plain;
use super::{cold, vfp};
use crate::float;
use crate::op::{Kind, Op};
use crate::state::{Core, Trapped};
use crate::{Bus, Size};

#[inline(always)]
pub(super) fn execute<B: Bus, const CHECKED: bool, const LEN: u32>(
    core: &mut Core,
    bus: &mut B,
    op: &Op,
    pc: u32,
    cycle: &mut u64,
) -> Result<u32, Trapped> {
    // Register numbers are below 16; the mask tells the compiler.
    macro_rules! r {
        ($field:ident) => {
            core.r[usize::from(op.$field & 15)]
        };
    }
    macro_rules! shifted {
        () => {
            shift_plain(r!(c), op.d, op.imm)
        };
    }
    macro_rules! load {
        ($addr:expr, $size:ident) => {
            core.load::<B, CHECKED>(bus, $addr, Size::$size, *cycle)?
        };
    }
    macro_rules! store {
        ($addr:expr, $size:ident, $value:expr) => {
            core.store::<B, CHECKED>(bus, $addr, Size::$size, $value, *cycle)?
        };
    }
    macro_rules! offset {
        () => {
            r!(b).wrapping_add(op.imm)
        };
    }
    macro_rules! indexed {
        () => {
            r!(b).wrapping_add(r!(c) << (op.imm & 3))
        };
    }
    // Floating point that needs no look at CPACR and lazy stacking; all its encodings are wide.
    macro_rules! fp {
        () => {
            !CHECKED && LEN == 4 && core.fp_ready
        };
    }
    macro_rules! s {
        ($field:ident) => {
            core.s[usize::from(op.$field & 31)]
        };
    }
    macro_rules! branch_if {
        ($condition:expr) => {
            if $condition {
                *cycle += 1;
                return Ok(op.imm);
            }
        };
    }
    match op.kind {
        Kind::Nop | Kind::It | Kind::Barrier => {}
        Kind::MovI => r!(a) = op.imm,
        Kind::MovIS => r!(a) = core.logical(op.imm, op.d),
        Kind::MovR => r!(a) = r!(c),
        Kind::MovRS => {
            let value = r!(c);
            core.set_nz(value);
            r!(a) = value;
        }
        Kind::MvnR => r!(a) = !r!(c),
        Kind::AddI => r!(a) = offset!(),
        Kind::AddIS => r!(a) = core.adds(r!(b), op.imm),
        Kind::AddR => r!(a) = r!(b).wrapping_add(r!(c)),
        Kind::AddRS => r!(a) = core.adds(r!(b), r!(c)),
        Kind::AddLsl => r!(a) = r!(b).wrapping_add(r!(c) << (op.imm & 31)),
        Kind::AddSh => r!(a) = r!(b).wrapping_add(shifted!()),
        Kind::AdcR => r!(a) = r!(b).wrapping_add(r!(c)).wrapping_add(u32::from(core.c)),
        Kind::AdcRS => r!(a) = core.add_flags(r!(b), r!(c), core.c),
        Kind::SbcR => r!(a) = r!(b).wrapping_sub(r!(c)).wrapping_sub(u32::from(!core.c)),
        Kind::SbcRS => r!(a) = core.add_flags(r!(b), !r!(c), core.c),
        Kind::SubIS => r!(a) = core.subs(r!(b), op.imm),
        Kind::SubR => r!(a) = r!(b).wrapping_sub(r!(c)),
        Kind::SubRS => r!(a) = core.subs(r!(b), r!(c)),
        Kind::SubSh => r!(a) = r!(b).wrapping_sub(shifted!()),
        Kind::RsbI => r!(a) = op.imm.wrapping_sub(r!(b)),
        Kind::RsbIS => r!(a) = core.subs(op.imm, r!(b)),
        Kind::RsbSh => r!(a) = shifted!().wrapping_sub(r!(b)),
        Kind::CmpI => {
            core.subs(r!(b), op.imm);
        }
        Kind::CmpR => {
            core.subs(r!(b), r!(c));
        }
        Kind::AndI => r!(a) = r!(b) & op.imm,
        Kind::AndIS => r!(a) = core.logical(r!(b) & op.imm, op.d),
        Kind::AndR => r!(a) = r!(b) & r!(c),
        Kind::AndRS => {
            let value = r!(b) & r!(c);
            core.set_nz(value);
            r!(a) = value;
        }
        Kind::AndSh => r!(a) = r!(b) & shifted!(),
        Kind::OrrI => r!(a) = r!(b) | op.imm,
        Kind::OrrR => r!(a) = r!(b) | r!(c),
        Kind::OrrRS => {
            let value = r!(b) | r!(c);
            core.set_nz(value);
            r!(a) = value;
        }
        Kind::OrrLsl => r!(a) = r!(b) | r!(c) << (op.imm & 31),
        Kind::OrrLsr => r!(a) = r!(b) | r!(c) >> (op.imm & 31),
        Kind::OrrSh => r!(a) = r!(b) | shifted!(),
        Kind::EorI => r!(a) = r!(b) ^ op.imm,
        Kind::EorR => r!(a) = r!(b) ^ r!(c),
        Kind::EorRS => {
            let value = r!(b) ^ r!(c);
            core.set_nz(value);
            r!(a) = value;
        }
        Kind::EorLsl => r!(a) = r!(b) ^ r!(c) << (op.imm & 31),
        Kind::EorLsr => r!(a) = r!(b) ^ r!(c) >> (op.imm & 31),
        Kind::EorRor => r!(a) = r!(b) ^ r!(c).rotate_right(op.imm),
        Kind::EorSh => r!(a) = r!(b) ^ shifted!(),
        Kind::BicR => r!(a) = r!(b) & !r!(c),
        Kind::BicRS => {
            let value = r!(b) & !r!(c);
            core.set_nz(value);
            r!(a) = value;
        }
        Kind::BicSh => r!(a) = r!(b) & !shifted!(),
        Kind::LslI => r!(a) = r!(c) << (op.imm & 31),
        Kind::LslIS => {
            let value = r!(c);
            core.c = value >> ((32 - op.imm) & 31) & 1 != 0;
            core.set_nz(value << (op.imm & 31));
            r!(a) = value << (op.imm & 31);
        }
        Kind::LsrI => r!(a) = r!(c) >> (op.imm & 31),
        Kind::LsrIS => {
            let value = r!(c);
            core.c = value >> ((op.imm - 1) & 31) & 1 != 0;
            core.set_nz(value >> (op.imm & 31));
            r!(a) = value >> (op.imm & 31);
        }
        Kind::AsrI => r!(a) = ((r!(c) as i32) >> (op.imm & 31)) as u32,
        Kind::AsrIS => {
            let value = r!(c);
            core.c = value >> ((op.imm - 1) & 31) & 1 != 0;
            let result = ((value as i32) >> (op.imm & 31)) as u32;
            core.set_nz(result);
            r!(a) = result;
        }
        Kind::RorI => r!(a) = r!(c).rotate_right(op.imm),
        Kind::LslR => {
            let amount = r!(c) & 0xFF;
            r!(a) = if amount < 32 { r!(b) << amount } else { 0 };
        }
        Kind::LsrR => {
            let amount = r!(c) & 0xFF;
            r!(a) = if amount < 32 { r!(b) >> amount } else { 0 };
        }
        Kind::Movt => r!(a) = r!(a) & 0xFFFF | op.imm,
        Kind::Uxtb => r!(a) = r!(c) & 0xFF,
        Kind::Uxth => r!(a) = r!(c) & 0xFFFF,
        Kind::Sxtb => r!(a) = r!(c) as i8 as u32,
        Kind::Sxth => r!(a) = r!(c) as i16 as u32,
        Kind::Ubfx => r!(a) = r!(b) >> (op.d & 31) & op.imm,
        Kind::Sbfx => r!(a) = (((r!(b) << (op.c & 31)) as i32) >> (op.d & 31)) as u32,
        Kind::Bfi => r!(a) = r!(a) & !op.imm | r!(b) << (op.d & 31) & op.imm,
        Kind::Rev => r!(a) = r!(c).swap_bytes(),
        Kind::Clz => r!(a) = r!(c).leading_zeros(),
        Kind::Mul => r!(a) = r!(b).wrapping_mul(r!(c)),
        Kind::MulS => {
            let value = r!(b).wrapping_mul(r!(c));
            core.set_nz(value);
            r!(a) = value;
        }
        Kind::Mla => r!(a) = r!(b).wrapping_mul(r!(c)).wrapping_add(core.r[(op.imm & 15) as usize]),
        Kind::Mls => r!(a) = core.r[(op.imm & 15) as usize].wrapping_sub(r!(b).wrapping_mul(r!(c))),
        Kind::Umull => {
            let product = u64::from(r!(b)) * u64::from(r!(c));
            r!(a) = product as u32;
            r!(d) = (product >> 32) as u32;
        }
        Kind::Umlal => {
            let addend = u64::from(r!(d)) << 32 | u64::from(r!(a));
            let sum = (u64::from(r!(b)) * u64::from(r!(c))).wrapping_add(addend);
            r!(a) = sum as u32;
            r!(d) = (sum >> 32) as u32;
        }
        Kind::Umaal => {
            let sum = u64::from(r!(b)) * u64::from(r!(c)) + u64::from(r!(a)) + u64::from(r!(d));
            r!(a) = sum as u32;
            r!(d) = (sum >> 32) as u32;
        }
        Kind::Smull => {
            let product = i64::from(r!(b) as i32) * i64::from(r!(c) as i32);
            r!(a) = product as u32;
            r!(d) = (product >> 32) as u32;
        }
        Kind::Smlal => {
            let addend = (u64::from(r!(d)) << 32 | u64::from(r!(a))) as i64;
            let sum = (i64::from(r!(b) as i32) * i64::from(r!(c) as i32)).wrapping_add(addend);
            r!(a) = sum as u32;
            r!(d) = (sum >> 32) as u32;
        }
        Kind::Udiv => match r!(b).checked_div(r!(c)) {
            Some(quotient) => r!(a) = quotient,
            None => r!(a) = core.divided_by_zero()?,
        },
        Kind::Sdiv => match r!(c) as i32 {
            0 => r!(a) = core.divided_by_zero()?,
            divisor => r!(a) = (r!(b) as i32).wrapping_div(divisor) as u32,
        },
        Kind::LdrI => r!(a) = load!(offset!(), Word),
        Kind::LdrbI => r!(a) = load!(offset!(), Byte),
        Kind::LdrhI => r!(a) = load!(offset!(), Half),
        Kind::LdrsbI => r!(a) = load!(offset!(), Byte) as i8 as u32,
        Kind::LdrshI => r!(a) = load!(offset!(), Half) as i16 as u32,
        Kind::StrI => store!(offset!(), Word, r!(a)),
        Kind::StrbI => store!(offset!(), Byte, r!(a) & 0xFF),
        Kind::StrhI => store!(offset!(), Half, r!(a) & 0xFFFF),
        Kind::LdrR => r!(a) = load!(indexed!(), Word),
        Kind::LdrbR => r!(a) = load!(indexed!(), Byte),
        Kind::LdrhR => r!(a) = load!(indexed!(), Half),
        Kind::LdrsbR => r!(a) = load!(indexed!(), Byte) as i8 as u32,
        Kind::LdrshR => r!(a) = load!(indexed!(), Half) as i16 as u32,
        Kind::StrR => store!(indexed!(), Word, r!(a)),
        Kind::StrbR => store!(indexed!(), Byte, r!(a) & 0xFF),
        Kind::StrhR => store!(indexed!(), Half, r!(a) & 0xFFFF),
        Kind::LdrLit => r!(a) = load!(op.imm, Word),
        Kind::LdrPre => {
            let addr = offset!();
            r!(a) = load!(addr, Word);
            r!(b) = addr;
        }
        Kind::LdrPost => {
            let value = load!(r!(b), Word);
            r!(b) = offset!();
            r!(a) = value;
        }
        Kind::LdrbPre => {
            let addr = offset!();
            r!(a) = load!(addr, Byte);
            r!(b) = addr;
        }
        Kind::LdrbPost => {
            let value = load!(r!(b), Byte);
            r!(b) = offset!();
            r!(a) = value;
        }
        Kind::StrPre => {
            let addr = offset!();
            store!(addr, Word, r!(a));
            r!(b) = addr;
        }
        Kind::StrPost => {
            store!(r!(b), Word, r!(a));
            r!(b) = offset!();
        }
        Kind::StrbPre => {
            let addr = offset!();
            store!(addr, Byte, r!(a) & 0xFF);
            r!(b) = addr;
        }
        Kind::StrbPost => {
            store!(r!(b), Byte, r!(a) & 0xFF);
            r!(b) = offset!();
        }
        Kind::Ldrd => {
            let addr = offset!();
            core.check_aligned(addr, Size::Word)?;
            let first = load!(addr, Word);
            r!(c) = load!(addr.wrapping_add(4), Word);
            r!(a) = first;
        }
        Kind::Strd => {
            let addr = offset!();
            core.check_aligned(addr, Size::Word)?;
            store!(addr, Word, r!(a));
            store!(addr.wrapping_add(4), Word, r!(c));
        }
        Kind::Push => {
            let base = core.r[13].wrapping_sub(4 * u32::from(op.d));
            core.store_list::<B, CHECKED>(bus, base, op.imm, *cycle)?;
            core.r[13] = base;
        }
        Kind::Pop => {
            let base = core.r[13];
            core.load_list::<B, CHECKED>(bus, base, op.imm, *cycle)?;
            core.r[13] = base.wrapping_add(4 * u32::from(op.d));
        }
        Kind::PopPc => {
            let base = core.r[13];
            let end = base.wrapping_add(4 * u32::from(op.d));
            core.load_list::<B, CHECKED>(bus, base, op.imm & 0x7FFF, *cycle)?;
            let target = load!(end.wrapping_sub(4), Word);
            core.r[13] = end;
            return core.branch_exchange(target);
        }
        Kind::LdmIa => return core.load_multiple::<B, CHECKED>(bus, op, pc, *cycle),
        Kind::StmIa => {
            let base = r!(b);
            core.store_list::<B, CHECKED>(bus, base, op.imm, *cycle)?;
            if op.d != 0 {
                r!(b) = base.wrapping_add(4 * op.imm.count_ones());
            }
        }
        Kind::B => return Ok(op.imm),
        Kind::Beq => branch_if!(core.z()),
        Kind::Bne => branch_if!(!core.z()),
        Kind::Bcs => branch_if!(core.c),
        Kind::Bcc => branch_if!(!core.c),
        Kind::Bmi => branch_if!(core.n()),
        Kind::Bpl => branch_if!(!core.n()),
        Kind::Bvs => branch_if!(core.v),
        Kind::Bvc => branch_if!(!core.v),
        Kind::Bhi => branch_if!(core.c && !core.z()),
        Kind::Bls => branch_if!(!core.c || core.z()),
        Kind::Bge => branch_if!(core.n() == core.v),
        Kind::Blt => branch_if!(core.n() != core.v),
        Kind::Bgt => branch_if!(!core.z() && core.n() == core.v),
        Kind::Ble => branch_if!(core.z() || core.n() != core.v),
        Kind::Bl => {
            core.r[14] = pc.wrapping_add(4) | 1;
            return Ok(op.imm);
        }
        Kind::Bx => return core.branch_exchange(r!(c)),
        Kind::Blx => {
            let target = r!(c);
            core.r[14] = pc.wrapping_add(2) | 1;
            return core.branch_register(target);
        }
        Kind::Cbz => branch_if!(r!(b) == 0),
        Kind::Cbnz => branch_if!(r!(b) != 0),
        Kind::Vadd if fp!() => s!(a) = float::add(s!(b), s!(c), &mut core.fpscr),
        Kind::Vsub if fp!() => s!(a) = float::sub(s!(b), s!(c), &mut core.fpscr),
        Kind::Vmul if fp!() => s!(a) = float::mul(s!(b), s!(c), &mut core.fpscr),
        Kind::Vnmul if fp!() => s!(a) = float::mul(s!(b), s!(c), &mut core.fpscr) ^ vfp::SIGN,
        Kind::Vdiv if fp!() => s!(a) = float::div(s!(b), s!(c), &mut core.fpscr),
        Kind::Vsqrt if fp!() => s!(a) = float::sqrt(s!(c), &mut core.fpscr),
        Kind::Vmla if fp!() => s!(a) = vfp::multiply_add(op, s!(a), s!(b), s!(c), &mut core.fpscr),
        Kind::Vfma if fp!() => s!(a) = vfp::fused_multiply_add(op, s!(a), s!(b), s!(c), &mut core.fpscr),
        Kind::VmovI if fp!() => s!(a) = op.imm,
        Kind::VmovR if fp!() => s!(a) = s!(c),
        Kind::Vabs if fp!() => s!(a) = s!(c) & !vfp::SIGN,
        Kind::Vneg if fp!() => s!(a) = s!(c) ^ vfp::SIGN,
        Kind::Vcmp if fp!() => {
            let other = if op.c == 32 { 0 } else { s!(c) };
            let nzcv = float::compare(s!(a), other, op.d & 1 != 0, &mut core.fpscr);
            core.fpscr = core.fpscr & 0x0FFF_FFFF | nzcv;
        }
        Kind::VcvtFromInt if fp!() => s!(a) = float::from_integer(s!(c), op.d & 1 == 0, &mut core.fpscr),
        Kind::VcvtToInt if fp!() && op.d & 2 != 0 => {
            s!(a) = float::to_integer(s!(c), op.d & 1 == 0, &mut core.fpscr);
        }
        Kind::VmovToCore if fp!() => r!(a) = s!(b),
        Kind::VmovFromCore if fp!() => s!(b) = r!(a),
        Kind::Vmrs if fp!() && op.a == 15 => core.set_nzcv(core.fpscr),
        Kind::Vldr if fp!() => {
            let addr = if op.b == 15 { op.imm } else { offset!() };
            core.check_aligned(addr, Size::Word)?;
            s!(a) = load!(addr, Word);
            if op.d == 2 {
                core.s[usize::from((op.a + 1) & 31)] = load!(addr.wrapping_add(4), Word);
            }
        }
        Kind::Vstr if fp!() => {
            let addr = offset!();
            core.check_aligned(addr, Size::Word)?;
            store!(addr, Word, s!(a));
            if op.d == 2 {
                store!(addr.wrapping_add(4), Word, core.s[usize::from((op.a + 1) & 31)]);
            }
        }
        // All others by name: without a default arm the jump table needs no bounds check. The cycle goes through memory,
        // so that it can stay in a register in the loop.
        Kind::Undecoded
        | Kind::Breakpoint
        | Kind::LslRS
        | Kind::LsrRS
        | Kind::Undefined
        | Kind::NoCoprocessor
        | Kind::DpImm
        | Kind::DpReg
        | Kind::ShiftR
        | Kind::MemImm
        | Kind::MemReg
        | Kind::MemLit
        | Kind::LdrdIdx
        | Kind::StrdIdx
        | Kind::LdrdLit
        | Kind::LdmDb
        | Kind::StmDb
        | Kind::Tbb
        | Kind::Tbh
        | Kind::Ldrex
        | Kind::Ldrexb
        | Kind::Ldrexh
        | Kind::Strex
        | Kind::Strexb
        | Kind::Strexh
        | Kind::Clrex
        | Kind::BxPc
        | Kind::Svc
        | Kind::Bkpt
        | Kind::Wfi
        | Kind::Wfe
        | Kind::Sev
        | Kind::Cps
        | Kind::Mrs
        | Kind::Msr
        | Kind::Rev16
        | Kind::Revsh
        | Kind::Rbit
        | Kind::Extend
        | Kind::Pkhbt
        | Kind::Pkhtb
        | Kind::Ssat
        | Kind::Usat
        | Kind::Ssat16
        | Kind::Usat16
        | Kind::Parallel
        | Kind::Sel
        | Kind::Saturating
        | Kind::SmlaXy
        | Kind::SmlaWy
        | Kind::Smlad
        | Kind::Smmla
        | Kind::Usada8
        | Kind::SmlalXy
        | Kind::Smlald
        | Kind::Vadd
        | Kind::Vsub
        | Kind::Vmul
        | Kind::Vnmul
        | Kind::Vdiv
        | Kind::Vmla
        | Kind::Vfma
        | Kind::VmovI
        | Kind::VmovR
        | Kind::Vabs
        | Kind::Vneg
        | Kind::Vsqrt
        | Kind::VcvtHalf
        | Kind::Vcmp
        | Kind::VcvtFromInt
        | Kind::VcvtToInt
        | Kind::VcvtFixed
        | Kind::VmovToCore
        | Kind::VmovFromCore
        | Kind::VmovToCore2
        | Kind::VmovFromCore2
        | Kind::Vmrs
        | Kind::Vmsr
        | Kind::Vldr
        | Kind::Vstr
        | Kind::Vldm
        | Kind::Vstm => {
            core.cycle = *cycle;
            let next = cold::execute::<B, CHECKED>(core, bus, op, pc);
            *cycle = core.cycle;
            return next;
        }
    }
    Ok(pc.wrapping_add(LEN))
}
