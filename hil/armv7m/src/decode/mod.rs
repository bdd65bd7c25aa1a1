//! From encodings to [`Op`]s (ARMv7-M ARM chapter A5).
//!
//! Whatever is UNDEFINED, and the UNPREDICTABLE forms that would need a register no instruction may name there, become
//! [`Kind::Undefined`].

mod t16;
mod t32;
mod t32_memory;
mod t32_registers;
mod vfp;

use crate::op::{Alu, Kind, Op};

/// A second halfword follows.
pub(crate) fn is_wide(hw1: u16) -> bool {
    hw1 >= 0xE800
}

/// Decodes the instruction at `pc`. `hw2` counts only if [`is_wide`]; `it` is ITSTATE.
pub(crate) fn decode(hw1: u16, hw2: u16, pc: u32, it: u8) -> Op {
    let wide = is_wide(hw1);
    let (hw1, hw2) = (u32::from(hw1), u32::from(hw2));
    let op = if wide { t32::decode(hw1, hw2, pc) } else { t16::decode(hw1, pc, it != 0) };
    let encoding = if wide { hw1 << 16 | hw2 } else { hw1 };
    let mut op = op.unwrap_or_else(|| Op::new(Kind::Undefined, 0, 0, 0, 0, encoding)).with_cost();
    op.len = if wide { 4 } else { 2 };
    // BKPT and the permanently undefined ones happen inside an IT block whatever the condition says (A5.2.7).
    op.it = if op.kind == Kind::Bkpt { 0 } else { it };
    op
}

/// ITSTATE after an instruction (ITAdvance, A7.3.3).
pub(crate) fn advance_it(it: u8) -> u8 {
    if it & 7 == 0 { 0 } else { (it & 0xE0) | ((it << 1) & 0x1F) }
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
fn expand_immediate(imm12: u32) -> (u32, u8) {
    let byte = imm12 & 0xFF;
    if imm12 >> 10 == 0 {
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
    }
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
mod tests {
    use super::*;

    #[test]
    fn what_llvm_calls_invalid_is_undefined() {
        let lines = include_str!("../../tests/data/invalid.txt").lines().filter(|line| !line.starts_with('#'));
        let number = |hex: &str| u32::from_str_radix(hex, 16).expect("hexadecimal");
        let encodings = lines.flat_map(|line| match line.split_once('-') {
            Some((first, last)) => number(first)..=number(last),
            None => number(line)..=number(line),
        });
        for encoding in encodings {
            let (hw1, hw2) = if encoding >> 16 == 0 { (encoding, 0) } else { (encoding >> 16, encoding) };
            let op = decode(hw1 as u16, hw2 as u16, 0, 0);
            assert_eq!((op.kind, op.imm), (Kind::Undefined, encoding), "{encoding:#x}");
        }
    }

    #[test]
    fn every_encoding_decodes_to_registers_that_exist() {
        let mut rng = 1u32;
        for _ in 0..200_000 {
            rng = rng.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (hw1, hw2) = ((rng >> 16) as u16, rng.rotate_left(7) as u16);
            let op = decode(hw1, hw2, 0x100, 0);
            let most = if op.kind as u8 >= Kind::Vadd as u8 { 32 } else { 15 };
            assert!(op.a <= most && op.b <= most, "{hw1:04x} {hw2:04x}: {op:?}");
            assert!(op.len == 2 || op.len == 4);
            assert!(op.cost > 0, "{op:?}");
        }
    }
}
