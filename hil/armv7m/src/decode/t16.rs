//! 16-bit encodings (ARMv7-M ARM A5.2).

use super::{ASR, LSL, LSR, ROR, bits, branch_if, data_immediate, data_register, hint, immediate_shift};
use super::{Decoded, Invalid, Place, UNDEFINED, UNPREDICTABLE, shift_register, sign_extend, unpredictable_if};
use crate::op::{Alu, Kind, Op, extend};

const PLAIN: (u32, u32) = (LSL, 0);

pub(super) fn decode(hw: u32, pc: u32, place: Place) -> Decoded {
    let flags = !place.in_it();
    let (r0, r3, r6, r8) = (hw & 7, hw >> 3 & 7, hw >> 6 & 7, hw >> 8 & 7);
    let kept = Op::CARRY_KEPT;
    let op = match hw >> 11 {
        // Shift, add, subtract, move and compare. LSL #0 is MOV with flags (T2).
        0 if hw >> 6 & 31 == 0 && place.in_it() => return UNPREDICTABLE,
        0..=2 => data_register(Alu::Mov, flags, r0, 0, r3, immediate_shift(hw >> 11, hw >> 6 & 31)),
        3 => match hw >> 9 & 3 {
            0 => data_register(Alu::Add, flags, r0, r3, r6, PLAIN),
            1 => data_register(Alu::Sub, flags, r0, r3, r6, PLAIN),
            2 => data_immediate(Alu::Add, flags, r0, r3, r6, kept),
            _ => data_immediate(Alu::Sub, flags, r0, r3, r6, kept),
        },
        4 => data_immediate(Alu::Mov, flags, r8, 0, hw & 0xFF, kept),
        5 => data_immediate(Alu::Sub, true, 15, r8, hw & 0xFF, kept),
        6 => data_immediate(Alu::Add, flags, r8, r8, hw & 0xFF, kept),
        7 => data_immediate(Alu::Sub, flags, r8, r8, hw & 0xFF, kept),
        8 if hw & 0x400 == 0 => return Ok(register_operation(hw >> 6 & 15, flags, r0, r3)),
        8 => return high_register(hw, pc, place),
        9 => Op::new(Kind::LdrLit, r8, 0, 0, 0, (pc.wrapping_add(4) & !3).wrapping_add((hw & 0xFF) * 4)),
        10 | 11 => {
            let kind = match hw >> 9 & 7 {
                0 => Kind::StrR,
                1 => Kind::StrhR,
                2 => Kind::StrbR,
                3 => Kind::LdrsbR,
                4 => Kind::LdrR,
                5 => Kind::LdrhR,
                6 => Kind::LdrbR,
                _ => Kind::LdrshR,
            };
            Op::new(kind, r0, r3, r6, 0, 0)
        }
        12 => Op::new(Kind::StrI, r0, r3, 0, 0, (hw >> 6 & 31) * 4),
        13 => Op::new(Kind::LdrI, r0, r3, 0, 0, (hw >> 6 & 31) * 4),
        14 => Op::new(Kind::StrbI, r0, r3, 0, 0, hw >> 6 & 31),
        15 => Op::new(Kind::LdrbI, r0, r3, 0, 0, hw >> 6 & 31),
        16 => Op::new(Kind::StrhI, r0, r3, 0, 0, (hw >> 6 & 31) * 2),
        17 => Op::new(Kind::LdrhI, r0, r3, 0, 0, (hw >> 6 & 31) * 2),
        18 => Op::new(Kind::StrI, r8, 13, 0, 0, (hw & 0xFF) * 4),
        19 => Op::new(Kind::LdrI, r8, 13, 0, 0, (hw & 0xFF) * 4),
        20 => {
            let address = (pc.wrapping_add(4) & !3).wrapping_add((hw & 0xFF) * 4);
            data_immediate(Alu::Mov, false, r8, 0, address, kept)
        }
        21 => data_immediate(Alu::Add, false, r8, 13, (hw & 0xFF) * 4, kept),
        22 | 23 => return miscellaneous(hw, pc, place),
        24 => {
            let list = hw & 0xFF;
            unpredictable_if(list == 0)?;
            Op::new(Kind::StmIa, 0, r8, 0, 1, list)
        }
        25 => {
            let list = hw & 0xFF;
            unpredictable_if(list == 0)?;
            // The base is written back unless it is loaded.
            Op::new(Kind::LdmIa, 0, r8, 0, u32::from(list >> r8 & 1 == 0), list)
        }
        26 | 27 => match hw >> 8 & 15 {
            14 => return Err(Invalid::Permanent),
            15 => Op::new(Kind::Svc, 0, 0, 0, 0, hw & 0xFF),
            _ if place.in_it() => return UNPREDICTABLE,
            cond => branch_if(cond, pc.wrapping_add(4).wrapping_add(sign_extend(hw & 0xFF, 8) << 1)),
        },
        28 if place.before_end() => return UNPREDICTABLE,
        28 => branch_if(14, pc.wrapping_add(4).wrapping_add(sign_extend(hw & 0x7FF, 11) << 1)),
        _ => return UNDEFINED,
    };
    Ok(op)
}

fn register_operation(opcode: u32, flags: bool, rdn: u32, rm: u32) -> Op {
    let alu = |alu| data_register(alu, flags, rdn, rdn, rm, PLAIN);
    let test = |alu| data_register(alu, true, 15, rdn, rm, PLAIN);
    match opcode {
        0 => alu(Alu::And),
        1 => alu(Alu::Eor),
        2 => shift_register(LSL, flags, rdn, rdn, rm),
        3 => shift_register(LSR, flags, rdn, rdn, rm),
        4 => shift_register(ASR, flags, rdn, rdn, rm),
        5 => alu(Alu::Adc),
        6 => alu(Alu::Sbc),
        7 => shift_register(ROR, flags, rdn, rdn, rm),
        8 => test(Alu::And),
        9 => data_immediate(Alu::Rsb, flags, rdn, rm, 0, Op::CARRY_KEPT),
        10 => test(Alu::Sub),
        11 => test(Alu::Add),
        12 => alu(Alu::Orr),
        13 => Op::new(if flags { Kind::MulS } else { Kind::Mul }, rdn, rdn, rm, 0, 0),
        14 => alu(Alu::Bic),
        _ => data_register(Alu::Mvn, flags, rdn, 0, rm, PLAIN),
    }
}

/// Special data instructions and branch and exchange (A5.2.3).
fn high_register(hw: u32, pc: u32, place: Place) -> Decoded {
    let rm = hw >> 3 & 15;
    let rdn = hw & 7 | hw >> 4 & 8;
    let here = pc.wrapping_add(4);
    match (hw >> 8 & 3, hw >> 7 & 1) {
        (0 | 2, _) if rdn == 15 && place.before_end() => UNPREDICTABLE,
        (0, _) => match (rdn, rm) {
            (15, 15) => UNPREDICTABLE,
            // ADD PC, Rm is a branch that does not look at bit 0.
            (15, _) => Ok(Op::new(Kind::DpImm, 15, rm, u32::from(Op::CARRY_KEPT), u32::from(Alu::Add as u8), here)),
            (_, 15) => Ok(data_immediate(Alu::Add, false, rdn, rdn, here, Op::CARRY_KEPT)),
            _ => Ok(data_register(Alu::Add, false, rdn, rdn, rm, PLAIN)),
        },
        // UNPREDICTABLE too for two low registers (A7.7.28), but LLVM's compare-and-swap has it, so that cores have to
        // compare.
        (1, _) if rdn == 15 || rm == 15 => UNPREDICTABLE,
        (1, _) => Ok(data_register(Alu::Sub, true, 15, rdn, rm, PLAIN)),
        (2, _) => match (rdn, rm) {
            (15, 15) => Ok(branch_if(14, here)),
            (15, _) => Ok(Op::new(Kind::DpReg, 15, 0, rm, u32::from(Alu::Mov as u8), 0)),
            (_, 15) => Ok(data_immediate(Alu::Mov, false, rdn, 0, here, Op::CARRY_KEPT)),
            _ => Ok(data_register(Alu::Mov, false, rdn, 0, rm, PLAIN)),
        },
        _ if hw & 7 != 0 || place.before_end() => UNPREDICTABLE,
        (_, 0) if rm == 15 => Ok(Op::new(Kind::BxPc, 0, 0, 0, 0, here)),
        (_, 0) => Ok(Op::new(Kind::Bx, 0, 0, rm, 0, 0)),
        _ if rm == 15 => UNPREDICTABLE,
        _ => Ok(Op::new(Kind::Blx, 0, 0, rm, 0, 0)),
    }
}

/// A5.2.5.
fn miscellaneous(hw: u32, pc: u32, place: Place) -> Decoded {
    let (rd, rm) = (hw & 7, hw >> 3 & 7);
    let op = match hw >> 8 & 15 {
        0 => {
            let alu = if hw & 0x80 == 0 { Alu::Add } else { Alu::Sub };
            data_immediate(alu, false, 13, 13, (hw & 0x7F) * 4, Op::CARRY_KEPT)
        }
        1 | 3 | 9 | 11 => {
            unpredictable_if(place.in_it())?;
            let offset = (hw >> 9 & 1) << 6 | (hw >> 3 & 31) << 1;
            let kind = if hw & 0x800 == 0 { Kind::Cbz } else { Kind::Cbnz };
            Op::new(kind, 0, rd, 0, 0, pc.wrapping_add(4).wrapping_add(offset))
        }
        2 => {
            let kind = [Kind::Sxth, Kind::Sxtb, Kind::Uxth, Kind::Uxtb][(hw >> 6 & 3) as usize];
            Op::new(kind, rd, 15, rm, u32::from(extend::SXTH), 0)
        }
        4 | 5 => {
            let list = hw & 0xFF | (hw >> 8 & 1) << 14;
            unpredictable_if(list == 0)?;
            Op::new(Kind::Push, 0, 13, 0, list.count_ones(), list)
        }
        6 if hw & 0xE0 == 0x60 => {
            unpredictable_if(hw & 0xC != 0 || hw & 3 == 0 || place.in_it())?;
            Op::new(Kind::Cps, 0, 0, 0, hw >> 4 & 1, hw & 3)
        }
        10 => {
            let kind = match hw >> 6 & 3 {
                0 => Kind::Rev,
                1 => Kind::Rev16,
                3 => Kind::Revsh,
                _ => return UNDEFINED,
            };
            Op::new(kind, rd, 0, rm, 0, 0)
        }
        12 | 13 => {
            let list = hw & 0xFF | (hw >> 8 & 1) << 15;
            unpredictable_if(list == 0)?;
            unpredictable_if(list >> 15 != 0 && place.before_end())?;
            let kind = if list >> 15 == 0 { Kind::Pop } else { Kind::PopPc };
            Op::new(kind, 0, 13, 0, list.count_ones(), list)
        }
        14 => Op::new(Kind::Bkpt, 0, 0, 0, 0, hw & 0xFF),
        15 if hw & 15 == 0 => hint(bits(hw, 7, 4)),
        15 => {
            let cond = bits(hw, 7, 4);
            unpredictable_if(cond == 15 || (cond == 14 && (hw & 15).count_ones() != 1) || place.in_it())?;
            Op::new(Kind::It, 0, 0, 0, 0, hw & 0xFF)
        }
        _ => return UNDEFINED,
    };
    Ok(op)
}
