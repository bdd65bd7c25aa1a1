//! The instructions that make up nearly all of a program's work, by what they can do to the run loop. Each function takes
//! the kind apart from the instruction, so that a caller who knows the kind gets the code of that kind alone.

use super::alu::shift_plain;
use super::memory::{Elsewhere, Plain, Reach};
use super::vfp;
use crate::float;
use crate::op::{Kind, Op};
use crate::state::{Core, Trapped};
use crate::{Bus, Size, timing};

macro_rules! register {
    ($core:ident, $op:ident . $field:ident) => {
        $core.r[usize::from($op.$field)]
    };
}

/// The values of the registers `b` and `c`.
#[inline(always)]
pub(super) fn operands(core: &Core, op: &Op) -> (u32, u32) {
    (register!(core, op.b), register!(core, op.c))
}

/// The result of an instruction that does nothing but compute it, out of the values of the registers `b` and `c`. None if
/// `kind` is none of these.
#[inline(always)]
pub(super) fn value(core: &Core, kind: Kind, op: &Op, (first, second): (u32, u32)) -> Option<u32> {
    macro_rules! shifted {
        () => {
            shift_plain(second, op.d, op.imm)
        };
    }
    Some(match kind {
        Kind::MovI => op.imm,
        Kind::MovR => second,
        Kind::MvnR => !second,
        Kind::AddI => first.wrapping_add(op.imm),
        Kind::AddR => first.wrapping_add(second),
        Kind::AddLsl => first.wrapping_add(second << (op.imm & 31)),
        Kind::AddSh => first.wrapping_add(shifted!()),
        Kind::AdcR => first.wrapping_add(second).wrapping_add(u32::from(core.c)),
        Kind::SbcR => first.wrapping_sub(second).wrapping_sub(u32::from(!core.c)),
        Kind::SubR => first.wrapping_sub(second),
        Kind::SubSh => first.wrapping_sub(shifted!()),
        Kind::RsbI => op.imm.wrapping_sub(first),
        Kind::RsbSh => shifted!().wrapping_sub(first),
        Kind::AndI => first & op.imm,
        Kind::AndR => first & second,
        Kind::AndSh => first & shifted!(),
        Kind::OrrI => first | op.imm,
        Kind::OrrR => first | second,
        Kind::OrrLsl => first | second << (op.imm & 31),
        Kind::OrrLsr => first | second >> (op.imm & 31),
        Kind::OrrSh => first | shifted!(),
        Kind::EorI => first ^ op.imm,
        Kind::EorR => first ^ second,
        Kind::EorLsl => first ^ second << (op.imm & 31),
        Kind::EorLsr => first ^ second >> (op.imm & 31),
        Kind::EorRor => first ^ second.rotate_right(op.imm),
        Kind::EorSh => first ^ shifted!(),
        Kind::BicR => first & !second,
        Kind::BicSh => first & !shifted!(),
        Kind::LslI => second << (op.imm & 31),
        Kind::LsrI => second >> (op.imm & 31),
        Kind::AsrI => ((second as i32) >> (op.imm & 31)) as u32,
        Kind::RorI => second.rotate_right(op.imm),
        Kind::LslR => match second & 0xFF {
            amount @ 0..32 => first << amount,
            _ => 0,
        },
        Kind::LsrR => match second & 0xFF {
            amount @ 0..32 => first >> amount,
            _ => 0,
        },
        Kind::Movt => first & 0xFFFF | op.imm,
        Kind::Uxtb => second & 0xFF,
        Kind::Uxth => second & 0xFFFF,
        Kind::Sxtb => second as i8 as u32,
        Kind::Sxth => second as i16 as u32,
        Kind::Ubfx => first >> (op.d & 31) & op.imm,
        Kind::Sbfx => (((first << (op.c & 31)) as i32) >> (op.d & 31)) as u32,
        Kind::Rev => second.swap_bytes(),
        Kind::Clz => second.leading_zeros(),
        Kind::Mul => first.wrapping_mul(second),
        _ => return None,
    })
}

/// Data processing: registers and flags, no more. `first` and `second` are the values of the registers `b` and `c`. False
/// if `kind` is none.
#[inline(always)]
pub(super) fn simple(core: &mut Core, kind: Kind, op: &Op, (first, second): (u32, u32)) -> bool {
    macro_rules! r {
        ($field:ident) => {
            register!(core, op.$field)
        };
    }
    if let Some(value) = value(core, kind, op, (first, second)) {
        r!(a) = value;
        return true;
    }
    match kind {
        Kind::Nop | Kind::It | Kind::Barrier => {}
        Kind::MovIS => r!(a) = core.logical(op.imm, op.d),
        Kind::MovRS => {
            let value = second;
            core.set_nz(value);
            r!(a) = value;
        }
        Kind::AddIS => r!(a) = core.adds(first, op.imm),
        Kind::AddRS => r!(a) = core.adds(first, second),
        Kind::AdcRS => r!(a) = core.add_flags(first, second, core.c),
        Kind::SbcRS => r!(a) = core.add_flags(first, !second, core.c),
        Kind::SubIS => r!(a) = core.subs(first, op.imm),
        Kind::SubRS => r!(a) = core.subs(first, second),
        Kind::RsbIS => r!(a) = core.subs(op.imm, first),
        Kind::CmpI => {
            core.subs(first, op.imm);
        }
        Kind::CmpR => {
            core.subs(first, second);
        }
        Kind::AndIS => r!(a) = core.logical(first & op.imm, op.d),
        Kind::AndRS => {
            let value = first & second;
            core.set_nz(value);
            r!(a) = value;
        }
        Kind::OrrRS => {
            let value = first | second;
            core.set_nz(value);
            r!(a) = value;
        }
        Kind::EorRS => {
            let value = first ^ second;
            core.set_nz(value);
            r!(a) = value;
        }
        Kind::BicRS => {
            let value = first & !second;
            core.set_nz(value);
            r!(a) = value;
        }
        Kind::LslIS => {
            let value = second;
            core.c = value >> ((32 - op.imm) & 31) & 1 != 0;
            core.set_nz(value << (op.imm & 31));
            r!(a) = value << (op.imm & 31);
        }
        Kind::LsrIS => {
            let value = second;
            core.c = value >> ((op.imm - 1) & 31) & 1 != 0;
            core.set_nz(value >> (op.imm & 31));
            r!(a) = value >> (op.imm & 31);
        }
        Kind::AsrIS => {
            let value = second;
            core.c = value >> ((op.imm - 1) & 31) & 1 != 0;
            let result = ((value as i32) >> (op.imm & 31)) as u32;
            core.set_nz(result);
            r!(a) = result;
        }
        Kind::Bfi => r!(a) = r!(a) & !op.imm | first << (op.d & 31) & op.imm,
        Kind::MulS => {
            let value = first.wrapping_mul(second);
            core.set_nz(value);
            r!(a) = value;
        }
        Kind::Mla => r!(a) = first.wrapping_mul(second).wrapping_add(core.r[(op.imm & 15) as usize]),
        Kind::Mls => r!(a) = core.r[(op.imm & 15) as usize].wrapping_sub(first.wrapping_mul(second)),
        Kind::Umull => {
            let product = u64::from(first) * u64::from(second);
            r!(a) = product as u32;
            r!(d) = (product >> 32) as u32;
        }
        Kind::Umlal => {
            let addend = u64::from(r!(d)) << 32 | u64::from(r!(a));
            let sum = (u64::from(first) * u64::from(second)).wrapping_add(addend);
            r!(a) = sum as u32;
            r!(d) = (sum >> 32) as u32;
        }
        Kind::Umaal => {
            let sum = u64::from(first) * u64::from(second) + u64::from(r!(a)) + u64::from(r!(d));
            r!(a) = sum as u32;
            r!(d) = (sum >> 32) as u32;
        }
        Kind::Smull => {
            let product = i64::from(first as i32) * i64::from(second as i32);
            r!(a) = product as u32;
            r!(d) = (product >> 32) as u32;
        }
        Kind::Smlal => {
            let addend = (u64::from(r!(d)) << 32 | u64::from(r!(a))) as i64;
            let sum = (i64::from(first as i32) * i64::from(second as i32)).wrapping_add(addend);
            r!(a) = sum as u32;
            r!(d) = (sum >> 32) as u32;
        }
        _ => return false,
    }
    true
}

/// Divisions: these may trap. False if `kind` is none.
#[inline(always)]
pub(super) fn division(core: &mut Core, kind: Kind, op: &Op) -> Result<bool, Trapped> {
    macro_rules! r {
        ($field:ident) => {
            register!(core, op.$field)
        };
    }
    match kind {
        Kind::Udiv => match r!(b).checked_div(r!(c)) {
            Some(quotient) => {
                core.late = timing::division(quotient);
                r!(a) = quotient;
            }
            None => r!(a) = core.divided_by_zero()?,
        },
        Kind::Sdiv => match r!(c) as i32 {
            0 => r!(a) = core.divided_by_zero()?,
            divisor => {
                let quotient = (r!(b) as i32).wrapping_div(divisor);
                core.late = timing::division(quotient.unsigned_abs());
                r!(a) = quotient as u32;
            }
        },
        _ => return Ok(false),
    }
    Ok(true)
}

/// Whether [`access`] knows `kind`.
#[inline(always)]
pub(super) fn is_access(kind: Kind) -> bool {
    let plain = (Kind::LdrI as u8..=Kind::Pop as u8).contains(&(kind as u8));
    plain || kind == Kind::StmIa
}

/// Loads and stores. `first` and `second` are the values of the registers `b` and `c`. False if `kind` is none.
#[inline(always)]
pub(super) fn access<B: Bus, R: Reach<B>>(
    core: &mut Core,
    bus: &mut B,
    kind: Kind,
    op: &Op,
    (first, second): (u32, u32),
    cycle: u64,
) -> Result<bool, R::Refusal> {
    macro_rules! r {
        ($field:ident) => {
            register!(core, op.$field)
        };
    }
    macro_rules! load {
        ($addr:expr, $size:ident) => {
            R::load(core, bus, $addr, Size::$size, cycle)?
        };
    }
    macro_rules! store {
        ($addr:expr, $size:ident, $value:expr) => {
            R::store(core, bus, $addr, Size::$size, $value, cycle)?
        };
    }
    macro_rules! offset {
        () => {
            first.wrapping_add(op.imm)
        };
    }
    macro_rules! indexed {
        () => {
            first.wrapping_add(second << (op.imm & 3))
        };
    }
    match kind {
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
        Kind::LdrLit => r!(a) = R::literal(core, bus, op.imm, Size::Word, cycle)?,
        Kind::LdrPre => {
            let addr = offset!();
            r!(a) = load!(addr, Word);
            r!(b) = addr;
        }
        Kind::LdrPost => {
            let value = load!(first, Word);
            r!(b) = offset!();
            r!(a) = value;
        }
        Kind::LdrbPre => {
            let addr = offset!();
            r!(a) = load!(addr, Byte);
            r!(b) = addr;
        }
        Kind::LdrbPost => {
            let value = load!(first, Byte);
            r!(b) = offset!();
            r!(a) = value;
        }
        Kind::StrPre => {
            let addr = offset!();
            store!(addr, Word, r!(a));
            r!(b) = addr;
        }
        Kind::StrPost => {
            store!(first, Word, r!(a));
            r!(b) = offset!();
        }
        Kind::StrbPre => {
            let addr = offset!();
            store!(addr, Byte, r!(a) & 0xFF);
            r!(b) = addr;
        }
        Kind::StrbPost => {
            store!(first, Byte, r!(a) & 0xFF);
            r!(b) = offset!();
        }
        Kind::Ldrd => {
            let addr = offset!();
            R::check_aligned(core, addr)?;
            let first = load!(addr, Word);
            r!(c) = load!(addr.wrapping_add(4), Word);
            r!(a) = first;
        }
        Kind::Strd => {
            let addr = offset!();
            R::check_aligned(core, addr)?;
            store!(addr, Word, r!(a));
            store!(addr.wrapping_add(4), Word, second);
        }
        Kind::Push => {
            let base = core.r[13].wrapping_sub(4 * u32::from(op.d));
            core.store_list::<B, R>(bus, base, op.imm, cycle)?;
            core.r[13] = base;
        }
        Kind::Pop => {
            let base = core.r[13];
            core.load_list::<B, R>(bus, base, op.imm, cycle)?;
            core.r[13] = base.wrapping_add(4 * u32::from(op.d));
        }
        Kind::StmIa => {
            let base = first;
            core.store_list::<B, R>(bus, base, op.imm, cycle)?;
            if op.d != 0 {
                r!(b) = base.wrapping_add(4 * op.imm.count_ones());
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Floating point that needs no look at CPACR and lazy stacking: only while [`Core::fp_ready`]. False if `kind` is none.
#[inline(always)]
pub(super) fn float<B: Bus>(core: &mut Core, bus: &mut B, kind: Kind, op: &Op) -> Result<bool, Elsewhere> {
    macro_rules! r {
        ($field:ident) => {
            register!(core, op.$field)
        };
    }
    macro_rules! s {
        ($field:ident) => {
            core.s[usize::from(op.$field)]
        };
    }
    macro_rules! load {
        ($addr:expr, $size:ident) => {
            <Plain as Reach<B>>::load(core, bus, $addr, Size::$size, 0)?
        };
    }
    macro_rules! store {
        ($addr:expr, $size:ident, $value:expr) => {
            <Plain as Reach<B>>::store(core, bus, $addr, Size::$size, $value, 0)?
        };
    }
    macro_rules! offset {
        () => {
            r!(b).wrapping_add(op.imm)
        };
    }
    match kind {
        Kind::Vadd => s!(a) = float::add(s!(b), s!(c), &mut core.fpscr),
        Kind::Vsub => s!(a) = float::sub(s!(b), s!(c), &mut core.fpscr),
        Kind::Vmul => s!(a) = float::mul(s!(b), s!(c), &mut core.fpscr),
        Kind::Vnmul => s!(a) = float::mul(s!(b), s!(c), &mut core.fpscr) ^ vfp::SIGN,
        Kind::Vdiv => s!(a) = float::div(s!(b), s!(c), &mut core.fpscr),
        Kind::Vsqrt => s!(a) = float::sqrt(s!(c), &mut core.fpscr),
        Kind::Vmla => s!(a) = vfp::multiply_add(op, s!(a), s!(b), s!(c), &mut core.fpscr),
        Kind::Vfma => s!(a) = vfp::fused_multiply_add(op, s!(a), s!(b), s!(c), &mut core.fpscr),
        Kind::VmovI => s!(a) = op.imm,
        Kind::VmovR => s!(a) = s!(c),
        Kind::Vabs => s!(a) = s!(c) & !vfp::SIGN,
        Kind::Vneg => s!(a) = s!(c) ^ vfp::SIGN,
        Kind::Vcmp => {
            let other = if op.c == 32 { 0 } else { s!(c) };
            let nzcv = float::compare(s!(a), other, op.d & 1 != 0, &mut core.fpscr);
            core.fpscr = core.fpscr & 0x0FFF_FFFF | nzcv;
        }
        Kind::VcvtFromInt => s!(a) = float::from_integer(s!(c), op.d & 1 == 0, &mut core.fpscr),
        Kind::VcvtToInt if op.d & 2 != 0 => {
            s!(a) = float::to_integer(s!(c), op.d & 1 == 0, &mut core.fpscr);
        }
        Kind::VmovToCore => r!(a) = s!(b),
        Kind::VmovFromCore => s!(b) = r!(a),
        Kind::Vmrs if op.a == 15 => core.set_nzcv(core.fpscr),
        // A literal is executed out of line.
        Kind::Vldr if op.b != 15 => {
            let addr = offset!();
            <Plain as Reach<B>>::check_aligned(core, addr)?;
            s!(a) = load!(addr, Word);
            if op.d == 2 {
                core.s[usize::from((op.a + 1) & 31)] = load!(addr.wrapping_add(4), Word);
            }
        }
        Kind::Vstr => {
            let addr = offset!();
            <Plain as Reach<B>>::check_aligned(core, addr)?;
            store!(addr, Word, s!(a));
            if op.d == 2 {
                store!(addr.wrapping_add(4), Word, core.s[usize::from((op.a + 1) & 31)]);
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Whether a conditional branch is taken.
#[inline(always)]
pub(super) fn is_taken(core: &Core, kind: Kind, op: &Op) -> Option<bool> {
    Some(match kind {
        Kind::Beq => core.z(),
        Kind::Bne => !core.z(),
        Kind::Bcs => core.c,
        Kind::Bcc => !core.c,
        Kind::Bmi => core.n(),
        Kind::Bpl => !core.n(),
        Kind::Bvs => core.v,
        Kind::Bvc => !core.v,
        Kind::Bhi => core.c && !core.z(),
        Kind::Bls => !core.c || core.z(),
        Kind::Bge => core.n() == core.v,
        Kind::Blt => core.n() != core.v,
        Kind::Bgt => !core.z() && core.n() == core.v,
        Kind::Ble => core.z() || core.n() != core.v,
        Kind::Cbz => register!(core, op.b) == 0,
        Kind::Cbnz => register!(core, op.b) != 0,
        _ => return None,
    })
}

/// POP with the PC in its list; returns what is loaded into the PC.
#[inline(always)]
pub(super) fn pop_pc<B: Bus, R: Reach<B>>(
    core: &mut Core,
    bus: &mut B,
    op: &Op,
    cycle: u64,
) -> Result<u32, R::Refusal> {
    let base = core.r[13];
    let end = base.wrapping_add(4 * u32::from(op.d));
    core.load_list::<B, R>(bus, base, op.imm & 0x7FFF, cycle)?;
    let target = R::load(core, bus, end.wrapping_sub(4), Size::Word, cycle)?;
    core.r[13] = end;
    Ok(target)
}

/// TBB and TBH; tells where they go.
#[inline(always)]
pub(super) fn table_branch<B: Bus, R: Reach<B>>(
    core: &mut Core,
    bus: &mut B,
    kind: Kind,
    op: &Op,
    pc: u32,
    cycle: u64,
) -> Result<u32, R::Refusal> {
    let index = register!(core, op.c);
    let (offset, size) = if kind == Kind::Tbb { (index, Size::Byte) } else { (index << 1, Size::Half) };
    let entry = match op.b {
        15 => R::literal(core, bus, pc.wrapping_add(4).wrapping_add(offset), size, cycle)?,
        _ => R::load(core, bus, register!(core, op.b).wrapping_add(offset), size, cycle)?,
    };
    Ok(pc.wrapping_add(4).wrapping_add(entry << 1))
}
