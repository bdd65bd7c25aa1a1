//! 32-bit encodings on registers alone: shifts, extensions, DSP and multiplications (ARMv7-M ARM A5.3.12 to A5.3.17).

use super::{Decoded, UNDEFINED, any_special, bits, shift_register, undefined_if, unpredictable_if};
use crate::op::{Kind, Op, extend};

pub(super) fn data_register(hw1: u32, hw2: u32) -> Decoded {
    let (rn, rd, rm) = (hw1 & 15, bits(hw2, 11, 8), hw2 & 15);
    let (op1, op2) = (bits(hw1, 7, 4), bits(hw2, 7, 4));
    undefined_if(hw2 >> 12 != 15)?;
    let three = |kind, d, imm| {
        unpredictable_if(any_special([rd, rn, rm]))?;
        Ok(Op::new(kind, rd, rn, rm, d, imm))
    };
    match (op1, op2) {
        (0..=7, 0) => {
            unpredictable_if(any_special([rd, rn, rm]))?;
            Ok(shift_register(op1 >> 1, op1 & 1 != 0, rd, rn, rm))
        }
        (0..=5, 8..=15) => {
            // Bit 6 should be zero; Rn = 15 is the form without addition.
            unpredictable_if(any_special([rd, rm]) || rn == 13 || op2 & 4 != 0)?;
            let rotation = (op2 & 3) * 8;
            let kind = match (op1 as u8, rn, rotation) {
                (extend::SXTH, 15, 0) => Kind::Sxth,
                (extend::UXTH, 15, 0) => Kind::Uxth,
                (extend::SXTB, 15, 0) => Kind::Sxtb,
                (extend::UXTB, 15, 0) => Kind::Uxtb,
                _ => Kind::Extend,
            };
            Ok(Op::new(kind, rd, rn, rm, op1, rotation))
        }
        (8..=15, 0..=7) => {
            let operation = op1 & 7;
            undefined_if(operation == 3 || operation == 7 || op2 & 3 == 3)?;
            three(Kind::Parallel, operation, op2)
        }
        (8, 8..=11) => three(Kind::Saturating, op2 & 3, 0),
        (9, 8..=11) => {
            let kind = [Kind::Rev, Kind::Rev16, Kind::Rbit, Kind::Revsh][(op2 & 3) as usize];
            unpredictable_if(any_special([rd, rm]) || rn != rm)?;
            Ok(Op::new(kind, rd, 0, rm, 0, 0))
        }
        (10, 8) => three(Kind::Sel, 0, 0),
        (11, 8) => {
            unpredictable_if(any_special([rd, rm]) || rn != rm)?;
            Ok(Op::new(Kind::Clz, rd, 0, rm, 0, 0))
        }
        _ => UNDEFINED,
    }
}

pub(super) fn multiply(hw1: u32, hw2: u32) -> Decoded {
    let (rn, ra, rd, rm) = (hw1 & 15, hw2 >> 12, bits(hw2, 11, 8), hw2 & 15);
    let (op1, op2) = (bits(hw1, 6, 4), bits(hw2, 5, 4));
    undefined_if(hw2 & 0xC0 != 0)?;
    // Ra = 15 is the form without addition, where there is one.
    let op = |kind, d, always_adds: bool| {
        unpredictable_if(any_special([rd, rn, rm]) || ra == 13 || (ra == 15 && always_adds))?;
        Ok(Op::new(kind, rd, rn, rm, d, ra))
    };
    match (op1, op2) {
        (0, 0) if ra == 15 => op(Kind::Mul, 0, false),
        (0, 0) => op(Kind::Mla, 0, true),
        (0, 1) => op(Kind::Mls, 0, true),
        (1, _) => op(Kind::SmlaXy, op2, false),
        (2, 0 | 1) => op(Kind::Smlad, op2, false),
        (3, 0 | 1) => op(Kind::SmlaWy, op2, false),
        (4, 0 | 1) => op(Kind::Smlad, op2 | 2, false),
        (5, 0 | 1) => op(Kind::Smmla, op2, false),
        (6, 0 | 1) => op(Kind::Smmla, op2 | 2, true),
        (7, 0) => op(Kind::Usada8, 0, false),
        _ => UNDEFINED,
    }
}

pub(super) fn long_multiply_or_divide(hw1: u32, hw2: u32) -> Decoded {
    let (rn, lo, hi, rm) = (hw1 & 15, hw2 >> 12, bits(hw2, 11, 8), hw2 & 15);
    let (op1, op2) = (bits(hw1, 6, 4), bits(hw2, 7, 4));
    if matches!((op1, op2), (1 | 3, 15)) {
        unpredictable_if(any_special([hi, rn, rm]) || lo != 15)?;
        return Ok(Op::new(if op1 == 1 { Kind::Sdiv } else { Kind::Udiv }, hi, rn, rm, 0, 0));
    }
    let op = |kind, imm| {
        unpredictable_if(any_special([lo, hi, rn, rm]) || lo == hi)?;
        Ok(Op::new(kind, lo, rn, rm, hi, imm))
    };
    match (op1, op2) {
        (0, 0) => op(Kind::Smull, 0),
        (2, 0) => op(Kind::Umull, 0),
        (4, 0) => op(Kind::Smlal, 0),
        (4, 8..=11) => op(Kind::SmlalXy, op2 & 3),
        (4, 12 | 13) => op(Kind::Smlald, op2 & 1),
        (5, 12 | 13) => op(Kind::Smlald, op2 & 1 | 2),
        (6, 0) => op(Kind::Umlal, 0),
        (6, 6) => op(Kind::Umaal, 0),
        _ => UNDEFINED,
    }
}
