//! 32-bit encodings on registers alone: shifts, extensions, DSP and multiplications (ARMv7-M ARM A5.3.12 to A5.3.17).

use super::{bits, shift_register};
use crate::op::{Kind, Op, extend};

pub(super) fn data_register(hw1: u32, hw2: u32) -> Option<Op> {
    let (rn, rd, rm) = (hw1 & 15, bits(hw2, 11, 8), hw2 & 15);
    let (op1, op2) = (bits(hw1, 7, 4), bits(hw2, 7, 4));
    if hw2 >> 12 != 15 || rd == 15 || rm == 15 {
        return None;
    }
    match (op1, op2) {
        (0..=7, 0) if rn != 15 => Some(shift_register(op1 >> 1, op1 & 1 != 0, rd, rn, rm)),
        (0..=5, 8..=15) => {
            // Bit 6 should be zero.
            if op2 & 4 != 0 {
                return None;
            }
            let rotation = (op2 & 3) * 8;
            let kind = match (op1 as u8, rn, rotation) {
                (extend::SXTH, 15, 0) => Kind::Sxth,
                (extend::UXTH, 15, 0) => Kind::Uxth,
                (extend::SXTB, 15, 0) => Kind::Sxtb,
                (extend::UXTB, 15, 0) => Kind::Uxtb,
                _ => Kind::Extend,
            };
            Some(Op::new(kind, rd, rn, rm, op1, rotation))
        }
        (8..=15, 0..=7) if rn != 15 => {
            let operation = op1 & 7;
            if operation == 3 || operation == 7 || op2 & 3 == 3 {
                return None;
            }
            Some(Op::new(Kind::Parallel, rd, rn, rm, operation, op2))
        }
        (8, 8..=11) if rn != 15 => Some(Op::new(Kind::Saturating, rd, rn, rm, op2 & 3, 0)),
        (9, 8..=11) if rn == rm => {
            let kind = [Kind::Rev, Kind::Rev16, Kind::Rbit, Kind::Revsh][(op2 & 3) as usize];
            Some(Op::new(kind, rd, 0, rm, 0, 0))
        }
        (10, 8) if rn != 15 => Some(Op::new(Kind::Sel, rd, rn, rm, 0, 0)),
        (11, 8) if rn == rm => Some(Op::new(Kind::Clz, rd, 0, rm, 0, 0)),
        _ => None,
    }
}

pub(super) fn multiply(hw1: u32, hw2: u32) -> Option<Op> {
    let (rn, ra, rd, rm) = (hw1 & 15, hw2 >> 12, bits(hw2, 11, 8), hw2 & 15);
    let (op1, op2) = (bits(hw1, 6, 4), bits(hw2, 5, 4));
    if hw2 & 0xC0 != 0 || rn == 15 || rd == 15 || rm == 15 {
        return None;
    }
    let op = |kind, d| Some(Op::new(kind, rd, rn, rm, d, ra));
    match (op1, op2) {
        (0, 0) if ra == 15 => op(Kind::Mul, 0),
        (0, 0) => op(Kind::Mla, 0),
        (0, 1) if ra != 15 => op(Kind::Mls, 0),
        (1, _) => op(Kind::SmlaXy, op2),
        (2, 0 | 1) => op(Kind::Smlad, op2),
        (3, 0 | 1) => op(Kind::SmlaWy, op2),
        (4, 0 | 1) => op(Kind::Smlad, op2 | 2),
        (5, 0 | 1) => op(Kind::Smmla, op2),
        (6, 0 | 1) if ra != 15 => op(Kind::Smmla, op2 | 2),
        (7, 0) => op(Kind::Usada8, 0),
        _ => None,
    }
}

pub(super) fn long_multiply_or_divide(hw1: u32, hw2: u32) -> Option<Op> {
    let (rn, lo, hi, rm) = (hw1 & 15, hw2 >> 12, bits(hw2, 11, 8), hw2 & 15);
    let (op1, op2) = (bits(hw1, 6, 4), bits(hw2, 7, 4));
    if rn == 15 || rm == 15 || hi == 15 {
        return None;
    }
    if matches!((op1, op2), (1 | 3, 15)) {
        let kind = if op1 == 1 { Kind::Sdiv } else { Kind::Udiv };
        return (lo == 15).then(|| Op::new(kind, hi, rn, rm, 0, 0));
    }
    if lo == 15 || lo == hi {
        return None;
    }
    let op = |kind, imm| Some(Op::new(kind, lo, rn, rm, hi, imm));
    match (op1, op2) {
        (0, 0) => op(Kind::Smull, 0),
        (2, 0) => op(Kind::Umull, 0),
        (4, 0) => op(Kind::Smlal, 0),
        (4, 8..=11) => op(Kind::SmlalXy, op2 & 3),
        (4, 12 | 13) => op(Kind::Smlald, op2 & 1),
        (5, 12 | 13) => op(Kind::Smlald, op2 & 1 | 2),
        (6, 0) => op(Kind::Umlal, 0),
        (6, 6) => op(Kind::Umaal, 0),
        _ => None,
    }
}
