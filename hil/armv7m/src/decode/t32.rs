//! 32-bit encodings (ARMv7-M ARM A5.3): the groups, immediates, branches and control.

use super::{ASR, LSL, any_special, bits, branch_if, data_immediate, expand_immediate, hint, immediate_shift};
use super::{Decoded, Invalid, Place, UNDEFINED, UNPREDICTABLE, special, undefined_if, unpredictable_if};
use super::{data_register, sign_extend, t32_memory, t32_registers, vfp};
use crate::op::{Alu, Kind, Op};

pub(super) fn decode(hw1: u32, hw2: u32, pc: u32, place: Place) -> Decoded {
    match (hw1 >> 11 & 3, bits(hw1, 10, 4)) {
        (1, op) if op & 0x64 == 0x00 => t32_memory::multiple(hw1, hw2, place),
        (1, op) if op & 0x64 == 0x04 => t32_memory::dual_or_exclusive(hw1, hw2, pc, place),
        (1, op) if op & 0x60 == 0x20 => shifted_register(hw1, hw2),
        (1 | 3, op) if op & 0x40 != 0 => vfp::decode(hw1, hw2, pc),
        (2, op) if hw2 >> 15 == 0 && op & 0x20 == 0 => modified_immediate(hw1, hw2),
        (2, _) if hw2 >> 15 == 0 => plain_immediate(hw1, hw2, pc),
        (2, _) => branch_or_control(hw1, hw2, pc, place),
        (3, op) if op & 0x71 == 0x00 => t32_memory::store_single(hw1, hw2),
        (3, op) if op & 0x61 == 0x01 => t32_memory::load_single(hw1, hw2, pc, place),
        (3, op) if op & 0x70 == 0x20 => t32_registers::data_register(hw1, hw2),
        (3, op) if op & 0x78 == 0x30 => t32_registers::multiply(hw1, hw2),
        (3, op) if op & 0x78 == 0x38 => t32_registers::long_multiply_or_divide(hw1, hw2),
        _ => UNDEFINED,
    }
}

/// A data processing operation with the fields that tests and moves share with it.
struct Operation {
    alu: Alu,
    flags: bool,
    /// 15 for a comparison or test.
    rd: u32,
    rn: u32,
    /// A test: TST, TEQ, CMN or CMP.
    tests: bool,
}

impl Operation {
    fn new(hw1: u32, hw2: u32) -> Result<Self, Invalid> {
        let (opcode, flags, rd, rn) = (bits(hw1, 8, 5), hw1 & 0x10 != 0, bits(hw2, 11, 8), hw1 & 15);
        let alu = match (opcode, rn) {
            (2, 15) => Alu::Mov,
            (3, 15) => Alu::Mvn,
            (0..=4 | 8 | 10 | 11 | 13 | 14, _) => Alu::from_bits(opcode as u8),
            _ => return Err(Invalid::Undefined),
        };
        let tests = matches!(opcode, 0 | 4 | 8 | 13) && flags && rd == 15;
        Ok(Self { alu, flags, rd, rn, tests })
    }

    /// ADD and SUB with SP as the first operand may write SP; CMP and CMN may compare it.
    fn on_stack_pointer(&self) -> bool {
        self.rn == 13 && matches!(self.alu, Alu::Add | Alu::Sub)
    }

    /// The rules about Rd and Rn that immediate and register forms have in common (A7.7, each instruction's encodings).
    fn check_registers(&self) -> Result<(), Invalid> {
        let first_operand = match self.alu {
            Alu::Mov | Alu::Mvn => false,
            Alu::Add | Alu::Sub => self.rn == 15,
            // R15 makes MOV and MVN of these.
            Alu::Orr | Alu::Orn => self.rn == 13,
            _ => special(self.rn),
        };
        let destination = match self.rd {
            13 => !self.on_stack_pointer(),
            15 => !self.tests,
            _ => false,
        };
        unpredictable_if(first_operand || destination)
    }
}

fn modified_immediate(hw1: u32, hw2: u32) -> Decoded {
    let operation = Operation::new(hw1, hw2)?;
    operation.check_registers()?;
    let (imm, carry) = expand_immediate(bits(hw1, 10, 10) << 11 | bits(hw2, 14, 12) << 8 | hw2 & 0xFF)?;
    let Operation { alu, flags, rd, rn, .. } = operation;
    Ok(data_immediate(alu, flags, rd, rn, imm, carry))
}

fn shifted_register(hw1: u32, hw2: u32) -> Decoded {
    let amount = bits(hw2, 14, 12) << 2 | bits(hw2, 7, 6);
    let ty = bits(hw2, 5, 4);
    let rm = hw2 & 15;
    let shift = immediate_shift(ty, amount);
    if bits(hw1, 8, 5) == 6 {
        // PKH: no flags, LSL for the bottom and ASR for the top form.
        let (rd, rn) = (bits(hw2, 11, 8), hw1 & 15);
        undefined_if(hw1 & 0x10 != 0 || ty & 1 != 0)?;
        unpredictable_if(any_special([rd, rn, rm]) || hw2 & 0x8000 != 0)?;
        let kind = if ty == ASR { Kind::Pkhtb } else { Kind::Pkhbt };
        return Ok(Op::new(kind, rd, rn, rm, 0, shift.1));
    }
    let operation = Operation::new(hw1, hw2)?;
    unpredictable_if(hw2 & 0x8000 != 0)?;
    let Operation { alu, flags, rd, rn, .. } = operation;
    if alu == Alu::Mov && !flags && ty == LSL && amount == 0 {
        // MOV.W knows SP on either side, but not on both.
        unpredictable_if(rd == 15 || rm == 15 || (rd == 13 && rm == 13))?;
        return Ok(data_register(alu, flags, rd, rn, rm, shift));
    }
    operation.check_registers()?;
    let far = ty != LSL || amount > 3;
    unpredictable_if(special(rm) || (rd == 13 && operation.on_stack_pointer() && far))?;
    Ok(data_register(alu, flags, rd, rn, rm, shift))
}

/// A5.3.3.
fn plain_immediate(hw1: u32, hw2: u32, pc: u32) -> Decoded {
    let (rd, rn) = (bits(hw2, 11, 8), hw1 & 15);
    let imm12 = bits(hw1, 10, 10) << 11 | bits(hw2, 14, 12) << 8 | hw2 & 0xFF;
    let imm16 = rn << 12 | imm12;
    let low = bits(hw2, 14, 12) << 2 | bits(hw2, 7, 6);
    let five = hw2 & 31;
    let here = pc.wrapping_add(4) & !3;
    let kept = Op::CARRY_KEPT;
    let operation = bits(hw1, 8, 4);
    undefined_if(!matches!(operation, 0 | 4 | 10 | 12 | 16 | 18 | 20 | 22 | 24 | 26 | 28))?;
    // ADDW and SUBW of SP may write it.
    unpredictable_if(rd == 15 || (rd == 13 && !(matches!(operation, 0 | 10) && rn == 13)))?;
    if operation >= 16 {
        // Fields: bit 10 of the first and bit 5 of the second halfword should be zero; BFC has Rn = 15.
        unpredictable_if(hw1 & 0x400 != 0 || hw2 & 0x20 != 0)?;
        unpredictable_if(rn == 13 || (rn == 15 && operation != 22))?;
    }
    Ok(match operation {
        0 if rn == 15 => data_immediate(Alu::Mov, false, rd, 0, here.wrapping_add(imm12), kept),
        0 => data_immediate(Alu::Add, false, rd, rn, imm12, kept),
        4 => data_immediate(Alu::Mov, false, rd, 0, imm16, kept),
        10 if rn == 15 => data_immediate(Alu::Mov, false, rd, 0, here.wrapping_sub(imm12), kept),
        10 => data_immediate(Alu::Sub, false, rd, rn, imm12, kept),
        12 => Op::new(Kind::Movt, rd, rd, 0, 0, imm16 << 16),
        16 | 18 | 24 | 26 => {
            let signed = operation < 24;
            let position = five + u32::from(signed);
            if operation & 2 != 0 && low == 0 {
                // The 16-bit saturations sit where ASR #0 would be; their bit field has four bits.
                unpredictable_if(five > 15)?;
                Op::new(if signed { Kind::Ssat16 } else { Kind::Usat16 }, rd, rn, 0, 0, position)
            } else {
                let shifts_right = u32::from(operation & 2 != 0);
                Op::new(if signed { Kind::Ssat } else { Kind::Usat }, rd, rn, low, shifts_right, position)
            }
        }
        20 => {
            unpredictable_if(low + five > 31)?;
            Op::new(Kind::Sbfx, rd, rn, 31 - low - five, 31 - five, 0)
        }
        28 => {
            unpredictable_if(low + five > 31)?;
            Op::new(Kind::Ubfx, rd, rn, 0, low, (u64::MAX >> (63 - five)) as u32)
        }
        _ => {
            unpredictable_if(five < low)?;
            let mask = ((u64::MAX >> (63 - (five - low))) as u32) << low;
            if rn == 15 { Op::new(Kind::AndI, rd, rd, 0, 0, !mask) } else { Op::new(Kind::Bfi, rd, rn, 0, low, mask) }
        }
    })
}

/// A5.3.4.
fn branch_or_control(hw1: u32, hw2: u32, pc: u32, place: Place) -> Decoded {
    let here = pc.wrapping_add(4);
    let (s, j1, j2) = (bits(hw1, 10, 10), bits(hw2, 13, 13), bits(hw2, 11, 11));
    let wide_offset = || {
        let (i1, i2) = (1 ^ j1 ^ s, 1 ^ j2 ^ s);
        sign_extend(s << 24 | i1 << 23 | i2 << 22 | (hw1 & 0x3FF) << 12 | (hw2 & 0x7FF) << 1, 25)
    };
    match hw2 >> 12 & 5 {
        0 if bits(hw1, 9, 7) != 7 => {
            unpredictable_if(place.in_it())?;
            let offset = s << 20 | j2 << 19 | j1 << 18 | (hw1 & 0x3F) << 12 | (hw2 & 0x7FF) << 1;
            Ok(branch_if(bits(hw1, 9, 6), here.wrapping_add(sign_extend(offset, 21))))
        }
        0 => control(hw1, hw2),
        1 | 5 if place.before_end() => UNPREDICTABLE,
        1 => Ok(branch_if(14, here.wrapping_add(wide_offset()))),
        5 => Ok(Op::new(Kind::Bl, 0, 0, 0, 0, here.wrapping_add(wide_offset()))),
        _ => UNDEFINED,
    }
}

/// SYSm values that name a register of ARMv7-M (B5.1.1).
fn is_system_register(sysm: u32) -> bool {
    matches!(sysm, 0..=3 | 5..=9 | 16..=20)
}

fn control(hw1: u32, hw2: u32) -> Decoded {
    let (rn, sysm) = (hw1 & 15, hw2 & 0xFF);
    let bit13 = hw2 & 0x2000 != 0;
    match bits(hw1, 10, 4) {
        0x38 | 0x39 => {
            let mask = bits(hw2, 11, 10);
            let reserved = hw1 & 0x10 != 0 || bit13 || hw2 & 0x300 != 0;
            unpredictable_if(reserved || mask == 0 || (mask != 2 && sysm > 3))?;
            unpredictable_if(special(rn) || !is_system_register(sysm))?;
            Ok(Op::new(Kind::Msr, 0, rn, 0, 0, sysm | mask << 10))
        }
        0x3A => {
            undefined_if(hw2 & 0x700 != 0)?;
            unpredictable_if(rn != 15 || bit13 || hw2 & 0x800 != 0)?;
            Ok(hint(sysm))
        }
        0x3B => {
            let operation = bits(hw2, 7, 4);
            undefined_if(!matches!(operation, 2 | 4..=6))?;
            unpredictable_if(rn != 15 || bit13 || hw2 & 0xF00 != 0xF00)?;
            if operation != 2 {
                return Ok(Op::new(Kind::Barrier, 0, 0, 0, 0, 0));
            }
            unpredictable_if(hw2 & 15 != 15)?;
            Ok(Op::new(Kind::Clrex, 0, 0, 0, 0, 0))
        }
        0x3E | 0x3F => {
            let rd = bits(hw2, 11, 8);
            unpredictable_if(hw1 & 0x10 != 0 || rn != 15 || bit13 || special(rd) || !is_system_register(sysm))?;
            Ok(Op::new(Kind::Mrs, rd, 0, 0, 0, sysm))
        }
        0x7F if bit13 => Err(Invalid::Permanent),
        _ => UNDEFINED,
    }
}
