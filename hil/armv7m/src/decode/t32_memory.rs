//! 32-bit loads and stores (ARMv7-M ARM A5.3.5 to A5.3.10).

use super::{Decoded, Invalid, Place, UNDEFINED, any_special, bits, special, undefined_if, unpredictable_if};
use crate::op::{Kind, Op, mem_form};

/// LDM, STM and their descending forms.
pub(super) fn multiple(hw1: u32, hw2: u32, place: Place) -> Decoded {
    let (rn, writeback, load) = (hw1 & 15, hw1 >> 5 & 1, hw1 & 0x10 != 0);
    let list = hw2;
    undefined_if(!matches!(bits(hw1, 8, 7), 1 | 2))?;
    // SP should be zero in the list, PC in that of a store; LR and PC are not loaded together.
    let unusable = if load { list >> 13 & 1 != 0 || list >> 14 == 3 } else { list & 0xA000 != 0 };
    unpredictable_if(rn == 15 || list.count_ones() < 2 || unusable)?;
    unpredictable_if(writeback != 0 && list >> rn & 1 != 0)?;
    unpredictable_if(load && list >> 15 != 0 && place.before_end())?;
    let kind = match (bits(hw1, 8, 7), load) {
        (1, true) if rn == 13 && writeback != 0 => {
            let kind = if list >> 15 == 0 { Kind::Pop } else { Kind::PopPc };
            return Ok(Op::new(kind, 0, 13, 0, list.count_ones(), list));
        }
        (2, false) if rn == 13 && writeback != 0 => {
            return Ok(Op::new(Kind::Push, 0, 13, 0, list.count_ones(), list));
        }
        (1, true) => Kind::LdmIa,
        (1, false) => Kind::StmIa,
        (_, true) => Kind::LdmDb,
        (_, false) => Kind::StmDb,
    };
    Ok(Op::new(kind, 0, rn, 0, writeback, list))
}

/// LDRD, STRD, exclusive accesses and table branches.
pub(super) fn dual_or_exclusive(hw1: u32, hw2: u32, pc: u32, place: Place) -> Decoded {
    let (rn, rt, rt2) = (hw1 & 15, hw2 >> 12, bits(hw2, 11, 8));
    let (pre, up, writeback, load) = (hw1 & 0x100 != 0, hw1 & 0x80 != 0, hw1 & 0x20 != 0, hw1 & 0x10 != 0);
    let offset = (hw2 & 0xFF) * 4;
    if pre || writeback {
        let offset = if up { offset } else { offset.wrapping_neg() };
        unpredictable_if(any_special([rt, rt2]) || (load && rt == rt2))?;
        if rn == 15 {
            unpredictable_if(!load || writeback)?;
            let address = (pc.wrapping_add(4) & !3).wrapping_add(offset);
            return Ok(Op::new(Kind::LdrdLit, rt, 15, rt2, 0, address));
        }
        unpredictable_if(writeback && (rn == rt || rn == rt2))?;
        let simple = pre && !writeback;
        let kind = match (load, simple) {
            (true, true) => Kind::Ldrd,
            (true, false) => Kind::LdrdIdx,
            (false, true) => Kind::Strd,
            (false, false) => Kind::StrdIdx,
        };
        return Ok(Op::new(kind, rt, rn, rt2, u32::from(pre) | u32::from(writeback) << 1, offset));
    }
    match (up, load) {
        (false, false) => {
            unpredictable_if(any_special([rt, rt2]) || rn == 15 || rt2 == rn || rt2 == rt)?;
            Ok(Op::new(Kind::Strex, rt, rn, 0, rt2, offset))
        }
        (false, true) => {
            unpredictable_if(special(rt) || rn == 15 || rt2 != 15)?;
            Ok(Op::new(Kind::Ldrex, rt, rn, 0, 0, offset))
        }
        _ => byte_or_half_exclusive(hw1, hw2, load, place),
    }
}

fn byte_or_half_exclusive(hw1: u32, hw2: u32, load: bool, place: Place) -> Decoded {
    let (rn, rt, ones, rd) = (hw1 & 15, hw2 >> 12, bits(hw2, 11, 8), hw2 & 15);
    match (load, bits(hw2, 7, 4)) {
        (true, form @ (0 | 1)) => {
            unpredictable_if(rt != 15 || ones != 0 || rn == 13 || special(rd) || place.before_end())?;
            Ok(Op::new(if form == 0 { Kind::Tbb } else { Kind::Tbh }, 0, rn, rd, 0, 0))
        }
        (true, form @ (4 | 5)) => {
            unpredictable_if(special(rt) || rn == 15 || ones != 15 || rd != 15)?;
            Ok(Op::new(if form == 4 { Kind::Ldrexb } else { Kind::Ldrexh }, rt, rn, 0, 0, 0))
        }
        (false, form @ (4 | 5)) => {
            unpredictable_if(any_special([rt, rd]) || rn == 15 || ones != 15 || rd == rn || rd == rt)?;
            Ok(Op::new(if form == 4 { Kind::Strexb } else { Kind::Strexh }, rt, rn, 0, rd, 0))
        }
        _ => UNDEFINED,
    }
}

/// The addressing forms that single loads and stores share below bit 12.
enum Form {
    Offset(u32),
    Register { rm: u32, shift: u32 },
    Indexed { offset: u32, pre: bool },
    Unprivileged(u32),
}

fn form(hw1: u32, hw2: u32) -> Result<Form, Invalid> {
    let imm8 = hw2 & 0xFF;
    let signed = if hw2 & 0x200 != 0 { imm8 } else { imm8.wrapping_neg() };
    if hw1 & 0x80 != 0 {
        return Ok(Form::Offset(hw2 & 0xFFF));
    }
    if hw2 & 0x800 == 0 {
        let rm = hw2 & 15;
        undefined_if(hw2 & 0x7C0 != 0)?;
        unpredictable_if(special(rm))?;
        return Ok(Form::Register { rm, shift: bits(hw2, 5, 4) });
    }
    match bits(hw2, 10, 8) {
        0 | 2 => Err(Invalid::Undefined),
        4 => Ok(Form::Offset(signed)),
        6 => Ok(Form::Unprivileged(imm8)),
        puw => Ok(Form::Indexed { offset: signed, pre: puw & 4 != 0 }),
    }
}

pub(super) fn store_single(hw1: u32, hw2: u32) -> Decoded {
    let (rn, rt, size) = (hw1 & 15, hw2 >> 12, bits(hw1, 6, 5));
    undefined_if(rn == 15 || size == 3)?;
    let by_size = |kinds: [Kind; 3]| kinds[size as usize];
    let general = |kind, rm, form: u8, imm| Ok(Op::new(kind, rt, rn, rm, u32::from(form) | size, imm));
    let form = form(hw1, hw2)?;
    // Rt may be SP for words only, and not without privileges; PC never.
    let no_sp = size != 2 || matches!(form, Form::Unprivileged(_));
    unpredictable_if(rt == 15 || (rt == 13 && no_sp))?;
    match form {
        Form::Offset(imm) => Ok(Op::new(by_size([Kind::StrbI, Kind::StrhI, Kind::StrI]), rt, rn, 0, 0, imm)),
        Form::Register { rm, shift } => {
            Ok(Op::new(by_size([Kind::StrbR, Kind::StrhR, Kind::StrR]), rt, rn, rm, 0, shift))
        }
        Form::Unprivileged(imm) => general(Kind::MemImm, 0, mem_form::PRE | mem_form::UNPRIVILEGED, imm),
        Form::Indexed { offset, pre } => {
            unpredictable_if(rn == rt)?;
            match (size, pre) {
                (2, true) if rn == 13 && offset == 4u32.wrapping_neg() => Ok(Op::new(Kind::Push, 0, 13, 0, 1, 1 << rt)),
                (2, true) => Ok(Op::new(Kind::StrPre, rt, rn, 0, 0, offset)),
                (2, false) => Ok(Op::new(Kind::StrPost, rt, rn, 0, 0, offset)),
                (0, true) => Ok(Op::new(Kind::StrbPre, rt, rn, 0, 0, offset)),
                (0, false) => Ok(Op::new(Kind::StrbPost, rt, rn, 0, 0, offset)),
                _ => {
                    let pre = if pre { mem_form::PRE } else { 0 };
                    general(Kind::MemImm, 0, mem_form::WRITEBACK | pre, offset)
                }
            }
        }
    }
}

pub(super) fn load_single(hw1: u32, hw2: u32, pc: u32, place: Place) -> Decoded {
    let (rn, rt, size, signed) = (hw1 & 15, hw2 >> 12, bits(hw1, 6, 5), hw1 & 0x100 != 0);
    undefined_if(size == 3 || (signed && size == 2))?;
    if rt == 15 && size != 2 {
        return memory_hint(hw1, hw2, rn);
    }
    let flags = size as u8 | mem_form::LOAD | if signed { mem_form::SIGNED } else { 0 };
    let general = |kind, rm, extra: u8, imm| Ok(Op::new(kind, rt, rn, rm, u32::from(flags | extra), imm));
    let allowed = |no_sp: bool| unpredictable_if((rt == 13 && no_sp) || (rt == 15 && place.before_end()));
    if rn == 15 {
        allowed(size != 2)?;
        let offset = if hw1 & 0x80 != 0 { hw2 & 0xFFF } else { (hw2 & 0xFFF).wrapping_neg() };
        let address = (pc.wrapping_add(4) & !3).wrapping_add(offset);
        if size == 2 && rt < 13 {
            return Ok(Op::new(Kind::LdrLit, rt, 0, 0, 0, address));
        }
        return general(Kind::MemLit, 0, 0, address);
    }
    // A load into SP or PC takes the general path, which aligns the one and branches for the other.
    let by_size = |kinds: [Kind; 5]| kinds[(size + if signed { 3 } else { 0 }) as usize];
    let form = form(hw1, hw2)?;
    allowed(size != 2)?;
    match form {
        Form::Offset(imm) if special(rt) => general(Kind::MemImm, 0, mem_form::PRE, imm),
        Form::Offset(imm) => {
            let kind = by_size([Kind::LdrbI, Kind::LdrhI, Kind::LdrI, Kind::LdrsbI, Kind::LdrshI]);
            Ok(Op::new(kind, rt, rn, 0, 0, imm))
        }
        Form::Register { rm, shift } if special(rt) => general(Kind::MemReg, rm, mem_form::PRE, shift),
        Form::Register { rm, shift } => {
            let kind = by_size([Kind::LdrbR, Kind::LdrhR, Kind::LdrR, Kind::LdrsbR, Kind::LdrshR]);
            Ok(Op::new(kind, rt, rn, rm, 0, shift))
        }
        Form::Unprivileged(imm) => {
            unpredictable_if(special(rt))?;
            general(Kind::MemImm, 0, mem_form::PRE | mem_form::UNPRIVILEGED, imm)
        }
        Form::Indexed { offset, pre } => {
            unpredictable_if(rn == rt)?;
            let kind = match (size, signed, pre) {
                _ if special(rt) => None,
                (2, _, true) => Some(Kind::LdrPre),
                (2, _, false) => Some(Kind::LdrPost),
                (0, false, true) => Some(Kind::LdrbPre),
                (0, false, false) => Some(Kind::LdrbPost),
                _ => None,
            };
            match kind {
                Some(kind) => Ok(Op::new(kind, rt, rn, 0, 0, offset)),
                None => {
                    let pre = if pre { mem_form::PRE } else { 0 };
                    general(Kind::MemImm, 0, mem_form::WRITEBACK | pre, offset)
                }
            }
        }
    }
}

/// PLD, PLI and the hints that are not allocated: all of them do nothing.
fn memory_hint(hw1: u32, hw2: u32, rn: u32) -> Decoded {
    let nop = Op::new(Kind::Nop, 0, 0, 0, 0, 0);
    if rn == 15 {
        return Ok(nop);
    }
    match form(hw1, hw2)? {
        Form::Offset(_) | Form::Register { .. } => Ok(nop),
        // LDRB and its kin with writeback, or LDRBT, and Rt = PC.
        Form::Indexed { .. } | Form::Unprivileged(_) => Err(Invalid::Unpredictable),
    }
}
