//! The instructions that make up nearly all of a program's work, by what they can do to the run loop. Each function takes
//! the kind apart from the instruction, so that a caller who knows the kind gets the code of that kind alone.

use super::alu::shift_plain;
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

/// Data processing: registers and flags, no more. False if `kind` is none.
#[inline(always)]
pub(super) fn simple(core: &mut Core, kind: Kind, op: &Op) -> bool {
    macro_rules! r {
        ($field:ident) => {
            register!(core, op.$field)
        };
    }
    macro_rules! shifted {
        () => {
            shift_plain(r!(c), op.d, op.imm)
        };
    }
    macro_rules! offset {
        () => {
            r!(b).wrapping_add(op.imm)
        };
    }
    match kind {
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
        _ => return false,
    }
    true
}

/// Loads, stores and divisions: these may trap. False if `kind` is none.
#[inline(always)]
pub(super) fn access<B: Bus, const CHECKED: bool>(
    core: &mut Core,
    bus: &mut B,
    kind: Kind,
    op: &Op,
    cycle: u64,
) -> Result<bool, Trapped> {
    macro_rules! r {
        ($field:ident) => {
            register!(core, op.$field)
        };
    }
    macro_rules! load {
        ($addr:expr, $size:ident) => {
            core.load::<B, CHECKED>(bus, $addr, Size::$size, cycle)?
        };
    }
    macro_rules! store {
        ($addr:expr, $size:ident, $value:expr) => {
            core.store::<B, CHECKED>(bus, $addr, Size::$size, $value, cycle)?
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
            core.store_list::<B, CHECKED>(bus, base, op.imm, cycle)?;
            core.r[13] = base;
        }
        Kind::Pop => {
            let base = core.r[13];
            core.load_list::<B, CHECKED>(bus, base, op.imm, cycle)?;
            core.r[13] = base.wrapping_add(4 * u32::from(op.d));
        }
        Kind::StmIa => {
            let base = r!(b);
            core.store_list::<B, CHECKED>(bus, base, op.imm, cycle)?;
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
pub(super) fn float<B: Bus, const CHECKED: bool>(
    core: &mut Core,
    bus: &mut B,
    kind: Kind,
    op: &Op,
    cycle: u64,
) -> Result<bool, Trapped> {
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
            core.load::<B, CHECKED>(bus, $addr, Size::$size, cycle)?
        };
    }
    macro_rules! store {
        ($addr:expr, $size:ident, $value:expr) => {
            core.store::<B, CHECKED>(bus, $addr, Size::$size, $value, cycle)?
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
        Kind::Vldr => {
            let addr = if op.b == 15 { op.imm } else { offset!() };
            core.check_aligned(addr, Size::Word)?;
            s!(a) = load!(addr, Word);
            if op.d == 2 {
                core.s[usize::from((op.a + 1) & 31)] = load!(addr.wrapping_add(4), Word);
            }
        }
        Kind::Vstr => {
            let addr = offset!();
            core.check_aligned(addr, Size::Word)?;
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

/// POP with the PC in its list; tells where it goes.
#[inline(always)]
pub(super) fn pop_pc<B: Bus, const CHECKED: bool>(
    core: &mut Core,
    bus: &mut B,
    op: &Op,
    cycle: u64,
) -> Result<u32, Trapped> {
    let base = core.r[13];
    let end = base.wrapping_add(4 * u32::from(op.d));
    core.load_list::<B, CHECKED>(bus, base, op.imm & 0x7FFF, cycle)?;
    let target = core.load::<B, CHECKED>(bus, end.wrapping_sub(4), Size::Word, cycle)?;
    core.r[13] = end;
    core.branch_exchange(target)
}
