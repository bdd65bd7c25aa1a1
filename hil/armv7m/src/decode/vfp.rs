//! Floating-point encodings (ARMv7-M ARM A6). Double precision is not implemented except for moving 64 bits.

use super::bits;
use crate::op::{Kind, Op};

pub(super) fn decode(hw1: u32, hw2: u32, pc: u32) -> Option<Op> {
    let coprocessor = bits(hw2, 11, 8);
    if coprocessor & 14 != 10 {
        // bits 25:24 = 11 is SVC in ARM and undefined here, whatever the coprocessor number looks like.
        return (bits(hw1, 9, 8) != 3).then(|| Op::new(Kind::NoCoprocessor, 0, 0, 0, 0, 0));
    }
    if hw1 & 0x1000 != 0 {
        return None;
    }
    match bits(hw1, 9, 8) {
        2 if hw2 & 0x10 == 0 => data_processing(hw1, hw2),
        2 => transfer(hw1, hw2),
        3 => None,
        _ if hw1 & 0x1E0 == 0x40 => transfer_two(hw1, hw2),
        _ => load_store(hw1, hw2, pc),
    }
}

/// A single register out of four bits and the one below.
fn single(four: u32, low: u32) -> u32 {
    four << 1 | low
}

fn data_processing(hw1: u32, hw2: u32) -> Option<Op> {
    let vd = single(hw2 >> 12, hw1 >> 6 & 1);
    let vn = single(hw1 & 15, hw2 >> 7 & 1);
    let vm = single(hw2 & 15, hw2 >> 5 & 1);
    let op = hw2 >> 6 & 1;
    if hw2 & 0x100 != 0 {
        return None;
    }
    let three = |kind, d| Some(Op::new(kind, vd, vn, vm, d, 0));
    match (bits(hw1, 7, 7) << 2 | bits(hw1, 5, 4), op) {
        (0, _) => three(Kind::Vmla, op),
        // VNMLS subtracts the addend from the product, VNMLA negates both.
        (1, _) => three(Kind::Vmla, 2 | op),
        (2, 0) => three(Kind::Vmul, 0),
        (2, _) => three(Kind::Vnmul, 0),
        (3, 0) => three(Kind::Vadd, 0),
        (3, _) => three(Kind::Vsub, 0),
        (4, 0) => three(Kind::Vdiv, 0),
        (5, _) => three(Kind::Vfma, 2 | op),
        (6, _) => three(Kind::Vfma, op),
        (7, 0) if hw2 & 0xA0 == 0 => Some(Op::new(Kind::VmovI, vd, 0, 0, 0, expand_float((hw1 & 15) << 4 | hw2 & 15))),
        (7, 1) => other(hw1, hw2, vd, vm),
        _ => None,
    }
}

/// VFPExpandImm for single precision (A6.4.1).
fn expand_float(imm8: u32) -> u32 {
    let b = imm8 >> 6 & 1;
    let exponent = (1 - b) << 7 | if b != 0 { 0x7C } else { 0 } | imm8 >> 4 & 3;
    (imm8 >> 7) << 31 | exponent << 23 | (imm8 & 15) << 19
}

fn other(hw1: u32, hw2: u32, vd: u32, vm: u32) -> Option<Op> {
    let top = hw2 >> 7 & 1;
    let op = |kind, d| Some(Op::new(kind, vd, 0, vm, d, 0));
    match (hw1 & 15, top) {
        (0, 0) => op(Kind::VmovR, 0),
        (0, _) => op(Kind::Vabs, 0),
        (1, 0) => op(Kind::Vneg, 0),
        (1, _) => op(Kind::Vsqrt, 0),
        (2, _) => op(Kind::VcvtHalf, top),
        (3, _) => op(Kind::VcvtHalf, top | 2),
        (4, _) => op(Kind::Vcmp, top),
        (5, _) if hw2 & 0x2F == 0 => Some(Op::new(Kind::Vcmp, vd, 0, 32, top, 0)),
        (8, _) => op(Kind::VcvtFromInt, top),
        (opc2 @ (12 | 13), _) => op(Kind::VcvtToInt, opc2 & 1 | top << 1),
        (opc2 @ (10 | 11 | 14 | 15), _) => {
            let size = if top != 0 { 32 } else { 16 };
            let immediate = (hw2 & 15) << 1 | hw2 >> 5 & 1;
            let fraction = if immediate <= size { size - immediate } else { return None };
            Some(Op::new(Kind::VcvtFixed, vd, 0, vd, opc2 & 1 | opc2 >> 1 & 2 | top << 2, fraction))
        }
        _ => None,
    }
}

/// Between a core register and the floating-point unit (A6.6).
fn transfer(hw1: u32, hw2: u32) -> Option<Op> {
    let rt = hw2 >> 12;
    let to_core = hw1 & 0x10 != 0;
    let double = hw2 & 0x100 != 0;
    if hw2 & 0x6F != 0 {
        return None;
    }
    if !double && bits(hw1, 7, 5) == 7 {
        if hw1 & 15 != 1 {
            return None;
        }
        return match to_core {
            true => Some(Op::new(Kind::Vmrs, rt, 0, 0, 0, 0)),
            false if rt < 15 && rt != 13 => Some(Op::new(Kind::Vmsr, rt, 0, 0, 0, 0)),
            false => None,
        };
    }
    if rt == 15 || rt == 13 {
        return None;
    }
    let kind = if to_core { Kind::VmovToCore } else { Kind::VmovFromCore };
    let register = if double {
        // VMOV.32 of half a double register.
        if bits(hw1, 7, 6) != 0 || hw2 & 0x80 != 0 {
            return None;
        }
        single(hw1 & 15, hw1 >> 5 & 1)
    } else {
        if bits(hw1, 7, 5) != 0 {
            return None;
        }
        single(hw1 & 15, hw2 >> 7 & 1)
    };
    Some(Op::new(kind, rt, register, 0, 0, 0))
}

/// Between two core registers and two single registers or one double (A6.7).
fn transfer_two(hw1: u32, hw2: u32) -> Option<Op> {
    let (rt, rt2) = (hw2 >> 12, hw1 & 15);
    let to_core = hw1 & 0x10 != 0;
    let first = if hw2 & 0x100 != 0 {
        if hw2 & 0x20 != 0 {
            return None;
        }
        (hw2 & 15) << 1
    } else {
        single(hw2 & 15, hw2 >> 5 & 1)
    };
    let invalid = |r| r == 15 || r == 13;
    if hw2 & 0xD0 != 0x10 || invalid(rt) || invalid(rt2) || first == 31 || (to_core && rt == rt2) {
        return None;
    }
    let kind = if to_core { Kind::VmovToCore2 } else { Kind::VmovFromCore2 };
    Some(Op::new(kind, rt, first, 0, rt2, 0))
}

/// VLDR, VSTR, VLDM, VSTM, VPUSH, VPOP (A6.5).
fn load_store(hw1: u32, hw2: u32, pc: u32) -> Option<Op> {
    let (pre, up, writeback, load) = (hw1 & 0x100 != 0, hw1 & 0x80 != 0, hw1 & 0x20 != 0, hw1 & 0x10 != 0);
    let double = hw2 & 0x100 != 0;
    let rn = hw1 & 15;
    let first = if double {
        if hw1 & 0x40 != 0 {
            return None;
        }
        (hw2 >> 12) << 1
    } else {
        single(hw2 >> 12, hw1 >> 6 & 1)
    };
    let imm8 = hw2 & 0xFF;
    if pre && !writeback {
        let offset = if up { imm8 * 4 } else { (imm8 * 4).wrapping_neg() };
        let kind = if load { Kind::Vldr } else { Kind::Vstr };
        let count = 1 + u32::from(double);
        return match rn {
            15 if load => Some(Op::new(kind, first, 15, 0, count, (pc.wrapping_add(4) & !3).wrapping_add(offset))),
            15 => None,
            _ => Some(Op::new(kind, first, rn, 0, count, offset)),
        };
    }
    let count = if double { imm8 & !1 } else { imm8 };
    let descending = match (pre, up, writeback) {
        (false, true, _) => false,
        (true, false, true) => true,
        _ => return None,
    };
    if count == 0 || first + count > 32 || rn == 15 {
        return None;
    }
    let kind = if load { Kind::Vldm } else { Kind::Vstm };
    // The odd count of FLDMX and FSTMX moves the base by one word more than it transfers.
    let step = imm8 * 4;
    Some(Op::new(kind, first, rn, u32::from(writeback) | u32::from(descending) << 1, count, step))
}
