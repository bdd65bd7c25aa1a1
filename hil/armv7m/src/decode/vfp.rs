//! Floating-point encodings (ARMv7-M ARM A6). Double precision is not implemented except for moving 64 bits.

use super::{Decoded, UNDEFINED, UNPREDICTABLE, any_special, bits, special, undefined_if, unpredictable_if};
use crate::op::{Kind, Op};

pub(super) fn decode(hw1: u32, hw2: u32, pc: u32) -> Decoded {
    // 00000x and 11xxxx are nobody's (A5.3.18), whatever the coprocessor number.
    undefined_if(bits(hw1, 9, 8) == 3 || bits(hw1, 9, 5) == 0)?;
    if bits(hw2, 11, 8) & 14 != 10 {
        return Ok(Op::new(Kind::NoCoprocessor, 0, 0, 0, 0, 0));
    }
    undefined_if(hw1 & 0x1000 != 0)?;
    match bits(hw1, 9, 8) {
        2 if hw2 & 0x10 == 0 => data_processing(hw1, hw2),
        2 => transfer(hw1, hw2),
        _ if hw1 & 0x1E0 == 0x40 => transfer_two(hw1, hw2),
        _ => load_store(hw1, hw2, pc),
    }
}

/// A single register out of four bits and the one below.
fn single(four: u32, low: u32) -> u32 {
    four << 1 | low
}

fn data_processing(hw1: u32, hw2: u32) -> Decoded {
    let vd = single(hw2 >> 12, hw1 >> 6 & 1);
    let vn = single(hw1 & 15, hw2 >> 7 & 1);
    let vm = single(hw2 & 15, hw2 >> 5 & 1);
    let op = hw2 >> 6 & 1;
    // Double precision.
    undefined_if(hw2 & 0x100 != 0)?;
    let three = |kind, d| Ok(Op::new(kind, vd, vn, vm, d, 0));
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
        (7, 0) if hw2 & 0xA0 != 0 => UNPREDICTABLE,
        (7, 0) => Ok(Op::new(Kind::VmovI, vd, 0, 0, 0, expand_float((hw1 & 15) << 4 | hw2 & 15))),
        (7, _) => other(hw1, hw2, vd, vm),
        _ => UNDEFINED,
    }
}

/// VFPExpandImm for single precision (A6.4.1).
fn expand_float(imm8: u32) -> u32 {
    let b = imm8 >> 6 & 1;
    let exponent = (1 - b) << 7 | if b != 0 { 0x7C } else { 0 } | imm8 >> 4 & 3;
    (imm8 >> 7) << 31 | exponent << 23 | (imm8 & 15) << 19
}

fn other(hw1: u32, hw2: u32, vd: u32, vm: u32) -> Decoded {
    let top = hw2 >> 7 & 1;
    let op = |kind, d| Ok(Op::new(kind, vd, 0, vm, d, 0));
    match (hw1 & 15, top) {
        (0, 0) => op(Kind::VmovR, 0),
        (0, _) => op(Kind::Vabs, 0),
        (1, 0) => op(Kind::Vneg, 0),
        (1, _) => op(Kind::Vsqrt, 0),
        (2, _) => op(Kind::VcvtHalf, top),
        (3, _) => op(Kind::VcvtHalf, top | 2),
        (4, _) => op(Kind::Vcmp, top),
        (5, _) if hw2 & 0x2F != 0 => UNPREDICTABLE,
        (5, _) => Ok(Op::new(Kind::Vcmp, vd, 0, 32, top, 0)),
        (8, _) => op(Kind::VcvtFromInt, top),
        (opc2 @ (12 | 13), _) => op(Kind::VcvtToInt, opc2 & 1 | top << 1),
        (opc2 @ (10 | 11 | 14 | 15), _) => {
            let size = if top != 0 { 32 } else { 16 };
            let immediate = (hw2 & 15) << 1 | hw2 >> 5 & 1;
            unpredictable_if(immediate > size)?;
            let fraction = size - immediate;
            Ok(Op::new(Kind::VcvtFixed, vd, 0, vd, opc2 & 1 | opc2 >> 1 & 2 | top << 2, fraction))
        }
        _ => UNDEFINED,
    }
}

/// Between a core register and the floating-point unit (A6.6).
fn transfer(hw1: u32, hw2: u32) -> Decoded {
    let rt = hw2 >> 12;
    let to_core = hw1 & 0x10 != 0;
    if hw2 & 0x100 != 0 {
        // VMOV.32 of half a double register; there are sixteen of those.
        undefined_if(bits(hw1, 7, 6) != 0 || hw2 & 0xE0 != 0)?;
        unpredictable_if(special(rt) || hw2 & 0xF != 0)?;
        let kind = if to_core { Kind::VmovToCore } else { Kind::VmovFromCore };
        return Ok(Op::new(kind, rt, single(hw1 & 15, hw1 >> 5 & 1), 0, 0, 0));
    }
    match bits(hw1, 7, 5) {
        0 => {
            unpredictable_if(special(rt) || hw2 & 0x6F != 0)?;
            let kind = if to_core { Kind::VmovToCore } else { Kind::VmovFromCore };
            Ok(Op::new(kind, rt, single(hw1 & 15, hw2 >> 7 & 1), 0, 0, 0))
        }
        // FPSCR is the only system register.
        7 if hw1 & 15 == 1 => {
            unpredictable_if(rt == 13 || hw2 & 0xEF != 0 || (rt == 15 && !to_core))?;
            Ok(Op::new(if to_core { Kind::Vmrs } else { Kind::Vmsr }, rt, 0, 0, 0, 0))
        }
        _ => UNDEFINED,
    }
}

/// Between two core registers and two single registers or one double (A6.7).
fn transfer_two(hw1: u32, hw2: u32) -> Decoded {
    let (rt, rt2) = (hw2 >> 12, hw1 & 15);
    let to_core = hw1 & 0x10 != 0;
    undefined_if(hw2 & 0xD0 != 0x10)?;
    let first = if hw2 & 0x100 != 0 {
        undefined_if(hw2 & 0x20 != 0)?;
        (hw2 & 15) << 1
    } else {
        single(hw2 & 15, hw2 >> 5 & 1)
    };
    unpredictable_if(any_special([rt, rt2]) || first == 31 || (to_core && rt == rt2))?;
    let kind = if to_core { Kind::VmovToCore2 } else { Kind::VmovFromCore2 };
    Ok(Op::new(kind, rt, first, 0, rt2, 0))
}

/// VLDR, VSTR, VLDM, VSTM, VPUSH, VPOP (A6.5).
fn load_store(hw1: u32, hw2: u32, pc: u32) -> Decoded {
    let (pre, up, writeback, load) = (hw1 & 0x100 != 0, hw1 & 0x80 != 0, hw1 & 0x20 != 0, hw1 & 0x10 != 0);
    let double = hw2 & 0x100 != 0;
    let rn = hw1 & 15;
    undefined_if((pre == up && writeback) || (!pre && !up))?;
    let first = if double {
        // D16 to D31 are not there.
        undefined_if(hw1 & 0x40 != 0)?;
        (hw2 >> 12) << 1
    } else {
        single(hw2 >> 12, hw1 >> 6 & 1)
    };
    let imm8 = hw2 & 0xFF;
    if pre && !writeback {
        let offset = if up { imm8 * 4 } else { (imm8 * 4).wrapping_neg() };
        let kind = if load { Kind::Vldr } else { Kind::Vstr };
        let count = 1 + u32::from(double);
        unpredictable_if(rn == 15 && !load)?;
        let offset = if rn == 15 { (pc.wrapping_add(4) & !3).wrapping_add(offset) } else { offset };
        return Ok(Op::new(kind, first, rn, 0, count, offset));
    }
    let count = if double { imm8 & !1 } else { imm8 };
    unpredictable_if(count == 0 || first + count > 32 || rn == 15)?;
    let kind = if load { Kind::Vldm } else { Kind::Vstm };
    // The odd count of FLDMX and FSTMX moves the base by one word more than it transfers.
    Ok(Op::new(kind, first, rn, u32::from(writeback) | u32::from(pre) << 1, count, imm8 * 4))
}
