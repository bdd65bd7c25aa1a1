//! 32-bit encodings (ARMv7-M ARM A5.3): the groups, immediates, branches and control.

use super::{ASR, bits, branch_if, data_immediate, expand_immediate, hint, immediate_shift, sign_extend};
use super::{data_register, t32_memory, t32_registers, vfp};
use crate::op::{Alu, Kind, Op};

pub(super) fn decode(hw1: u32, hw2: u32, pc: u32) -> Option<Op> {
    match (hw1 >> 11 & 3, bits(hw1, 10, 4)) {
        (1, op) if op & 0x64 == 0x00 => t32_memory::multiple(hw1, hw2),
        (1, op) if op & 0x64 == 0x04 => t32_memory::dual_or_exclusive(hw1, hw2, pc),
        (1, op) if op & 0x60 == 0x20 => shifted_register(hw1, hw2),
        (1 | 3, op) if op & 0x40 != 0 => vfp::decode(hw1, hw2, pc),
        (2, op) if hw2 >> 15 == 0 && op & 0x20 == 0 => modified_immediate(hw1, hw2),
        (2, _) if hw2 >> 15 == 0 => plain_immediate(hw1, hw2, pc),
        (2, _) => branch_or_control(hw1, hw2, pc),
        (3, op) if op & 0x71 == 0x00 => t32_memory::store_single(hw1, hw2),
        (3, op) if op & 0x61 == 0x01 => t32_memory::load_single(hw1, hw2, pc),
        (3, op) if op & 0x70 == 0x20 => t32_registers::data_register(hw1, hw2),
        (3, op) if op & 0x78 == 0x30 => t32_registers::multiply(hw1, hw2),
        (3, op) if op & 0x78 == 0x38 => t32_registers::long_multiply_or_divide(hw1, hw2),
        _ => None,
    }
}

/// The operation, its destination (15 for none) and first operand, out of the fields they share with tests and moves.
fn operation(opcode: u32, flags: bool, rd: u32, rn: u32) -> Option<(Alu, u32, u32)> {
    let alu = match (opcode, rn) {
        (2, 15) => Alu::Mov,
        (3, 15) => Alu::Mvn,
        (0..=4 | 8 | 10 | 11 | 13 | 14, _) => Alu::from_bits(opcode as u8),
        _ => return None,
    };
    let compares = matches!(opcode, 0 | 4 | 8 | 13) && flags;
    if rd == 15 && !compares {
        return None;
    }
    if rn == 15 && !matches!(alu, Alu::Mov | Alu::Mvn) {
        return None;
    }
    Some((alu, rd, rn))
}

fn modified_immediate(hw1: u32, hw2: u32) -> Option<Op> {
    let (imm, carry) = expand_immediate(bits(hw1, 10, 10) << 11 | bits(hw2, 14, 12) << 8 | hw2 & 0xFF);
    let flags = hw1 & 0x10 != 0;
    let (alu, rd, rn) = operation(bits(hw1, 8, 5), flags, bits(hw2, 11, 8), hw1 & 15)?;
    Some(data_immediate(alu, flags, rd, rn, imm, carry))
}

fn shifted_register(hw1: u32, hw2: u32) -> Option<Op> {
    let amount = bits(hw2, 14, 12) << 2 | bits(hw2, 7, 6);
    let ty = bits(hw2, 5, 4);
    let (rd, rn, rm) = (bits(hw2, 11, 8), hw1 & 15, hw2 & 15);
    if rm == 15 || hw2 & 0x8000 != 0 {
        return None;
    }
    let shift = immediate_shift(ty, amount);
    if bits(hw1, 8, 5) == 6 {
        // PKH: no flags, LSL for the bottom and ASR for the top form.
        if hw1 & 0x10 != 0 || ty & 1 != 0 || rd == 15 || rn == 15 {
            return None;
        }
        let kind = if ty == ASR { Kind::Pkhtb } else { Kind::Pkhbt };
        return Some(Op::new(kind, rd, rn, rm, 0, shift.1));
    }
    let flags = hw1 & 0x10 != 0;
    let (alu, rd, rn) = operation(bits(hw1, 8, 5), flags, rd, rn)?;
    Some(data_register(alu, flags, rd, rn, rm, shift))
}

/// A5.3.3.
fn plain_immediate(hw1: u32, hw2: u32, pc: u32) -> Option<Op> {
    let (rd, rn) = (bits(hw2, 11, 8), hw1 & 15);
    let imm12 = bits(hw1, 10, 10) << 11 | bits(hw2, 14, 12) << 8 | hw2 & 0xFF;
    let imm16 = rn << 12 | imm12;
    let low = bits(hw2, 14, 12) << 2 | bits(hw2, 7, 6);
    let five = hw2 & 31;
    let here = pc.wrapping_add(4) & !3;
    let kept = Op::CARRY_KEPT;
    if rd == 15 || hw1 & 0x10 != 0 {
        return None;
    }
    let field_form = hw2 & 0x20 == 0 && hw1 & 0x400 == 0;
    let op = match bits(hw1, 8, 4) {
        0 if rn == 15 => data_immediate(Alu::Mov, false, rd, 0, here.wrapping_add(imm12), kept),
        0 => data_immediate(Alu::Add, false, rd, rn, imm12, kept),
        4 => data_immediate(Alu::Mov, false, rd, 0, imm16, kept),
        10 if rn == 15 => data_immediate(Alu::Mov, false, rd, 0, here.wrapping_sub(imm12), kept),
        10 => data_immediate(Alu::Sub, false, rd, rn, imm12, kept),
        12 => Op::new(Kind::Movt, rd, 0, 0, 0, imm16 << 16),
        op @ (16 | 18 | 24 | 26) if field_form && rn != 15 => {
            let signed = op < 24;
            if op & 2 != 0 && low == 0 {
                // The 16-bit saturations sit where ASR #0 would be; their bit field has four bits.
                if five > 15 {
                    return None;
                }
                let kind = if signed { Kind::Ssat16 } else { Kind::Usat16 };
                Op::new(kind, rd, rn, 0, 0, five + u32::from(signed))
            } else {
                let kind = if signed { Kind::Ssat } else { Kind::Usat };
                Op::new(kind, rd, rn, low, u32::from(op & 2 != 0), five + u32::from(signed))
            }
        }
        20 if field_form && rn != 15 && low + five < 32 => Op::new(Kind::Sbfx, rd, rn, 31 - low - five, 31 - five, 0),
        28 if field_form && rn != 15 && low + five < 32 => {
            Op::new(Kind::Ubfx, rd, rn, 0, low, (u64::MAX >> (63 - five)) as u32)
        }
        22 if field_form && five >= low => {
            let mask = ((u64::MAX >> (63 - (five - low))) as u32) << low;
            if rn == 15 { Op::new(Kind::AndI, rd, rd, 0, 0, !mask) } else { Op::new(Kind::Bfi, rd, rn, 0, low, mask) }
        }
        _ => return None,
    };
    Some(op)
}

/// A5.3.4.
fn branch_or_control(hw1: u32, hw2: u32, pc: u32) -> Option<Op> {
    let here = pc.wrapping_add(4);
    let (s, j1, j2) = (bits(hw1, 10, 10), bits(hw2, 13, 13), bits(hw2, 11, 11));
    let wide_offset = || {
        let (i1, i2) = (1 ^ j1 ^ s, 1 ^ j2 ^ s);
        sign_extend(s << 24 | i1 << 23 | i2 << 22 | (hw1 & 0x3FF) << 12 | (hw2 & 0x7FF) << 1, 25)
    };
    match hw2 >> 12 & 5 {
        0 if bits(hw1, 9, 7) != 7 => {
            let offset = s << 20 | j2 << 19 | j1 << 18 | (hw1 & 0x3F) << 12 | (hw2 & 0x7FF) << 1;
            Some(branch_if(bits(hw1, 9, 6), here.wrapping_add(sign_extend(offset, 21))))
        }
        0 => control(hw1, hw2),
        1 => Some(branch_if(14, here.wrapping_add(wide_offset()))),
        5 => Some(Op::new(Kind::Bl, 0, 0, 0, 0, here.wrapping_add(wide_offset()))),
        _ => None,
    }
}

fn control(hw1: u32, hw2: u32) -> Option<Op> {
    if hw2 & 0x2000 != 0 && bits(hw1, 10, 4) != 0x7F {
        return None;
    }
    match bits(hw1, 10, 4) {
        0x38 => {
            let mask = bits(hw2, 11, 10);
            let rn = hw1 & 15;
            if rn == 15 || hw2 & 0x300 != 0 || (mask != 2 && hw2 & 0xFF > 3) || mask == 0 {
                return None;
            }
            Some(Op::new(Kind::Msr, 0, rn, 0, 0, hw2 & 0xFF | mask << 10))
        }
        0x3A if hw2 & 0x700 == 0 && hw1 & 15 == 15 => Some(hint(hw2 & 0xFF)),
        0x3B if hw1 & 15 == 15 => match bits(hw2, 7, 4) {
            2 => Some(Op::new(Kind::Clrex, 0, 0, 0, 0, 0)),
            4..=6 => Some(Op::new(Kind::Barrier, 0, 0, 0, 0, 0)),
            _ => None,
        },
        0x3E if hw1 & 15 == 15 => {
            let rd = bits(hw2, 11, 8);
            if rd == 15 || rd == 13 {
                return None;
            }
            Some(Op::new(Kind::Mrs, rd, 0, 0, 0, hw2 & 0xFF))
        }
        _ => None,
    }
}
