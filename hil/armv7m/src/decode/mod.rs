//! From encodings to [`Op`]s (ARMv7-M ARM chapter A5).
//!
//! What is UNDEFINED becomes [`Kind::Undefined`] and takes a UsageFault. So does what is UNPREDICTABLE: the architecture
//! allows it (A5.1.2 with the definition in its glossary), no compiler emits it, and a program that gets there has gone
//! astray, which its owner wants to be told. That covers forbidden registers (SP or PC where the manual excludes them),
//! "should be" bits with the wrong value, empty or one-register lists, writeback to a transferred base, bit fields out
//! of range, zero bytes in a rotated immediate, and what must not stand in an IT block or not before its end. Not so:
//! - A value that the manual calls UNKNOWN is not UNPREDICTABLE: STM with its base in the list stores the old base.
//! - A coprocessor that is not there is NOCP before anything else about the instruction counts.
//! - Hints that are not allocated do nothing, those among the loads with Rt = PC included (A5.3.7 to A5.3.9).

mod t16;
mod t32;
mod t32_memory;
mod t32_registers;
mod vfp;

use crate::op::{Alu, Kind, Op};

/// Why an encoding is not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// UNDEFINED: nothing in ARMv7E-M and FPv4-SP has this encoding.
    Undefined,
    /// UDF, UNDEFINED for good: a program that executes it wants the UsageFault.
    Permanent,
    /// UNPREDICTABLE, and taken as UNDEFINED.
    Unpredictable,
}

impl Invalid {
    const ALL: [Self; 3] = [Self::Undefined, Self::Permanent, Self::Unpredictable];

    /// From `d` of [`Kind::Undefined`].
    pub(crate) fn of(op: &Op) -> Self {
        Self::ALL.get(usize::from(op.d)).copied().unwrap_or(Self::Undefined)
    }
}

type Decoded = Result<Op, Invalid>;

const UNDEFINED: Decoded = Err(Invalid::Undefined);
const UNPREDICTABLE: Decoded = Err(Invalid::Unpredictable);

/// For the `if ... then UNPREDICTABLE` lines of the manual.
fn unpredictable_if(condition: bool) -> Result<(), Invalid> {
    if condition { Err(Invalid::Unpredictable) } else { Ok(()) }
}

/// For the `if ... then UNDEFINED` lines of the manual.
fn undefined_if(condition: bool) -> Result<(), Invalid> {
    if condition { Err(Invalid::Undefined) } else { Ok(()) }
}

/// SP or PC, which most 32-bit instructions must not name.
fn special(register: u32) -> bool {
    register == 13 || register == 15
}

fn any_special<const N: usize>(registers: [u32; N]) -> bool {
    registers.into_iter().any(special)
}

/// Where in an IT block an instruction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    Inside,
    Last,
}

impl Place {
    fn of(it: u8) -> Self {
        match it & 15 {
            0 => Self::Outside,
            8 => Self::Last,
            _ => Self::Inside,
        }
    }

    /// `InITBlock() && !LastInITBlock()`, where nothing may write the PC.
    fn before_end(self) -> bool {
        self == Self::Inside
    }

    fn in_it(self) -> bool {
        self != Self::Outside
    }
}

/// A second halfword follows.
pub(crate) fn is_wide(hw1: u16) -> bool {
    hw1 >= 0xE800
}

/// Decodes the instruction at `pc`. `hw2` counts only if [`is_wide`]; `it` is ITSTATE.
pub(crate) fn decode(hw1: u16, hw2: u16, pc: u32, it: u8) -> Op {
    let wide = is_wide(hw1);
    let (hw1, hw2) = (u32::from(hw1), u32::from(hw2));
    let place = Place::of(it);
    let op = if wide { t32::decode(hw1, hw2, pc, place) } else { t16::decode(hw1, pc, place) };
    let encoding = if wide { hw1 << 16 | hw2 } else { hw1 };
    let invalid = |why| Op::new(Kind::Undefined, 0, 0, 0, why as u32, encoding);
    let mut op = op.unwrap_or_else(invalid).with_cost();
    op.len = if wide { 4 } else { 2 };
    // BKPT and the permanently undefined ones happen inside an IT block whatever the condition says (A5.2.7).
    op.it = if op.kind == Kind::Bkpt { 0 } else { it };
    op
}

/// ITSTATE after an instruction (ITAdvance, A7.3.3).
pub(crate) fn advance_it(it: u8) -> u8 {
    if it & 7 == 0 { 0 } else { (it & 0xE0) | ((it << 1) & 0x1F) }
}

/// ConditionPassed (A7.3.1) for flags NZCV in bits 3 to 0.
pub(crate) fn passes(condition: u8, nzcv: u32) -> bool {
    let (n, z, c, v) = (nzcv & 8 != 0, nzcv & 4 != 0, nzcv & 2 != 0, nzcv & 1 != 0);
    let base = match condition >> 1 & 7 {
        0 => z,
        1 => c,
        2 => n,
        3 => v,
        4 => c && !z,
        5 => n == v,
        6 => n == v && !z,
        _ => return true,
    };
    base != (condition & 1 != 0)
}

/// Bits `hi..=lo` of `word`.
fn bits(word: u32, hi: u32, lo: u32) -> u32 {
    (word >> lo) & ((1 << (hi - lo + 1)) - 1)
}

fn sign_extend(value: u32, width: u32) -> u32 {
    let shift = 32 - width;
    (((value << shift) as i32) >> shift) as u32
}

/// Shift types as they are encoded, RRX aside.
pub(crate) const LSL: u32 = 0;
pub(crate) const LSR: u32 = 1;
pub(crate) const ASR: u32 = 2;
pub(crate) const ROR: u32 = 3;
pub(crate) const RRX: u32 = 4;

/// DecodeImmShift (A7.4.2).
fn immediate_shift(ty: u32, amount: u32) -> (u32, u32) {
    match (ty, amount) {
        (LSR | ASR, 0) => (ty, 32),
        (ROR, 0) => (RRX, 1),
        _ => (ty, amount),
    }
}

/// ThumbExpandImm_C (A5.3.2): the value, and the carry it leaves.
fn expand_immediate(imm12: u32) -> Result<(u32, u8), Invalid> {
    let byte = imm12 & 0xFF;
    Ok(if imm12 >> 10 == 0 {
        unpredictable_if(imm12 >> 8 != 0 && byte == 0)?;
        let value = match imm12 >> 8 & 3 {
            0 => byte,
            1 => byte << 16 | byte,
            2 => byte << 24 | byte << 8,
            _ => byte * 0x0101_0101,
        };
        (value, Op::CARRY_KEPT)
    } else {
        let value = (0x80 | byte & 0x7F).rotate_right(imm12 >> 7);
        (value, (value >> 31) as u8)
    })
}

/// Data processing with an immediate. `rd` 15 throws the result away (compare and test).
fn data_immediate(alu: Alu, flags: bool, rd: u32, rn: u32, imm: u32, carry: u8) -> Op {
    // SP keeps bits 1:0 zero, which only the general kind looks after.
    let general = rd == 13 && (imm & 3 != 0 || rn != 13);
    let kind = match (alu, flags) {
        _ if general => None,
        (Alu::Mov, false) => Some((Kind::MovI, imm)),
        (Alu::Mov, true) => Some((Kind::MovIS, imm)),
        (Alu::Mvn, false) => Some((Kind::MovI, !imm)),
        (Alu::Mvn, true) => Some((Kind::MovIS, !imm)),
        (Alu::Add, false) => Some((Kind::AddI, imm)),
        (Alu::Sub, false) => Some((Kind::AddI, imm.wrapping_neg())),
        (Alu::Add, true) => Some((Kind::AddIS, imm)),
        (Alu::Sub, true) if rd == 15 => Some((Kind::CmpI, imm)),
        (Alu::Sub, true) => Some((Kind::SubIS, imm)),
        (Alu::Rsb, false) => Some((Kind::RsbI, imm)),
        (Alu::Rsb, true) => Some((Kind::RsbIS, imm)),
        (Alu::And, false) => Some((Kind::AndI, imm)),
        (Alu::And, true) => Some((Kind::AndIS, imm)),
        (Alu::Bic, false) => Some((Kind::AndI, !imm)),
        (Alu::Bic, true) => Some((Kind::AndIS, !imm)),
        (Alu::Orr, false) => Some((Kind::OrrI, imm)),
        (Alu::Orn, false) => Some((Kind::OrrI, !imm)),
        (Alu::Eor, false) => Some((Kind::EorI, imm)),
        _ => None,
    };
    match kind {
        Some((kind, imm)) => Op::new(kind, rd, rn, 0, u32::from(carry), imm),
        None => {
            let d = alu as u8 | if flags { Op::SETS_FLAGS } else { 0 };
            Op::new(Kind::DpImm, rd, rn, u32::from(carry), u32::from(d), imm)
        }
    }
}

/// Data processing with a register shifted by a constant, `ty` and `amount` as [`immediate_shift`] gives them.
fn data_register(alu: Alu, flags: bool, rd: u32, rn: u32, rm: u32, (ty, amount): (u32, u32)) -> Op {
    use Kind as K;
    let plain = ty == LSL && amount == 0;
    let ordinary = ty <= ROR && amount < 32;
    let hot = |kind| Some(Op::new(kind, rd, rn, rm, ty, amount));
    let op = if rd == 13 {
        None
    } else if plain {
        match (alu, flags) {
            (Alu::Mov, false) => hot(K::MovR),
            (Alu::Mov, true) => hot(K::MovRS),
            (Alu::Mvn, false) => hot(K::MvnR),
            (Alu::Add, false) => hot(K::AddR),
            (Alu::Add, true) => hot(K::AddRS),
            (Alu::Adc, false) => hot(K::AdcR),
            (Alu::Adc, true) => hot(K::AdcRS),
            (Alu::Sbc, false) => hot(K::SbcR),
            (Alu::Sbc, true) => hot(K::SbcRS),
            (Alu::Sub, false) => hot(K::SubR),
            (Alu::Sub, true) if rd == 15 => hot(K::CmpR),
            (Alu::Sub, true) => hot(K::SubRS),
            (Alu::And, false) => hot(K::AndR),
            (Alu::And, true) => hot(K::AndRS),
            (Alu::Orr, false) => hot(K::OrrR),
            (Alu::Orr, true) => hot(K::OrrRS),
            (Alu::Eor, false) => hot(K::EorR),
            (Alu::Eor, true) => hot(K::EorRS),
            (Alu::Bic, false) => hot(K::BicR),
            (Alu::Bic, true) => hot(K::BicRS),
            _ => None,
        }
    } else if ordinary {
        match (alu, flags, ty) {
            (Alu::Mov, false, LSL) => hot(K::LslI),
            (Alu::Mov, true, LSL) => hot(K::LslIS),
            (Alu::Mov, false, LSR) => hot(K::LsrI),
            (Alu::Mov, true, LSR) => hot(K::LsrIS),
            (Alu::Mov, false, ASR) => hot(K::AsrI),
            (Alu::Mov, true, ASR) => hot(K::AsrIS),
            (Alu::Mov, false, _) => hot(K::RorI),
            (Alu::Add, false, LSL) => hot(K::AddLsl),
            (Alu::Add, false, _) => hot(K::AddSh),
            (Alu::Sub, false, _) => hot(K::SubSh),
            (Alu::Rsb, false, _) => hot(K::RsbSh),
            (Alu::And, false, _) => hot(K::AndSh),
            (Alu::Orr, false, LSL) => hot(K::OrrLsl),
            (Alu::Orr, false, LSR) => hot(K::OrrLsr),
            (Alu::Orr, false, _) => hot(K::OrrSh),
            (Alu::Eor, false, LSL) => hot(K::EorLsl),
            (Alu::Eor, false, LSR) => hot(K::EorLsr),
            (Alu::Eor, false, ROR) => hot(K::EorRor),
            (Alu::Eor, false, _) => hot(K::EorSh),
            (Alu::Bic, false, _) => hot(K::BicSh),
            _ => None,
        }
    } else {
        None
    };
    op.unwrap_or_else(|| {
        let d = alu as u8 | if flags { Op::SETS_FLAGS } else { 0 };
        Op::new(K::DpReg, rd, rn, rm, u32::from(d), ty << 8 | amount)
    })
}

/// Shift by a register.
fn shift_register(ty: u32, flags: bool, rd: u32, rn: u32, rm: u32) -> Op {
    let kind = match (ty, flags) {
        (LSL, false) => Kind::LslR,
        (LSL, true) => Kind::LslRS,
        (LSR, false) => Kind::LsrR,
        (LSR, true) => Kind::LsrRS,
        _ => Kind::ShiftR,
    };
    let d = ty | if flags { u32::from(Op::SETS_FLAGS) } else { 0 };
    Op::new(kind, rd, rn, rm, d, 0)
}

/// A conditional branch; conditions 14 and 15 are not conditions.
fn branch_if(cond: u32, target: u32) -> Op {
    use Kind as K;
    const KINDS: [Kind; 14] = [
        K::Beq,
        K::Bne,
        K::Bcs,
        K::Bcc,
        K::Bmi,
        K::Bpl,
        K::Bvs,
        K::Bvc,
        K::Bhi,
        K::Bls,
        K::Bge,
        K::Blt,
        K::Bgt,
        K::Ble,
    ];
    let kind = KINDS.get(cond as usize).copied().unwrap_or(K::B);
    Op::new(kind, 0, 0, 0, 0, target)
}

fn hint(number: u32) -> Op {
    let kind = match number {
        2 => Kind::Wfe,
        3 => Kind::Wfi,
        4 => Kind::Sev,
        _ => Kind::Nop,
    };
    Op::new(kind, 0, 0, 0, 0, 0)
}

#[cfg(test)]
mod tests;
