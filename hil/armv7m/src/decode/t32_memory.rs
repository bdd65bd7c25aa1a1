//! 32-bit loads and stores (ARMv7-M ARM A5.3.5 to A5.3.10).

use super::bits;
use crate::op::{Kind, Op, mem_form};

/// LDM, STM and their descending forms.
pub(super) fn multiple(hw1: u32, hw2: u32) -> Option<Op> {
    let (rn, writeback, load) = (hw1 & 15, hw1 >> 5 & 1, hw1 & 0x10 != 0);
    let list = hw2;
    let loads_base = list >> rn & 1 != 0;
    let unusable = if load { list >> 13 & 1 != 0 || list >> 14 == 3 } else { list & 0xA000 != 0 };
    if rn == 15 || list.count_ones() < 2 || unusable || (writeback != 0 && loads_base) {
        return None;
    }
    let kind = match (bits(hw1, 8, 7), load) {
        (1, true) if rn == 13 && writeback != 0 => {
            let kind = if list >> 15 == 0 { Kind::Pop } else { Kind::PopPc };
            return Some(Op::new(kind, 0, 13, 0, list.count_ones(), list));
        }
        (2, false) if rn == 13 && writeback != 0 => {
            return Some(Op::new(Kind::Push, 0, 13, 0, list.count_ones(), list));
        }
        (1, true) => Kind::LdmIa,
        (1, false) => Kind::StmIa,
        (2, true) => Kind::LdmDb,
        (2, false) => Kind::StmDb,
        _ => return None,
    };
    Some(Op::new(kind, 0, rn, 0, writeback, list))
}

/// LDRD, STRD, exclusive accesses and table branches.
pub(super) fn dual_or_exclusive(hw1: u32, hw2: u32, pc: u32) -> Option<Op> {
    let (rn, rt, rt2) = (hw1 & 15, hw2 >> 12, bits(hw2, 11, 8));
    let (pre, up, writeback, load) = (hw1 & 0x100 != 0, hw1 & 0x80 != 0, hw1 & 0x20 != 0, hw1 & 0x10 != 0);
    let offset = (hw2 & 0xFF) * 4;
    if pre || writeback {
        let offset = if up { offset } else { offset.wrapping_neg() };
        if rt >= 15 || rt2 >= 15 || rt == 13 || rt2 == 13 || (load && rt == rt2) {
            return None;
        }
        if rn == 15 {
            let address = (pc.wrapping_add(4) & !3).wrapping_add(offset);
            return (load && !writeback).then(|| Op::new(Kind::LdrdLit, rt, 15, rt2, 0, address));
        }
        if writeback && (rn == rt || rn == rt2) {
            return None;
        }
        let simple = pre && !writeback;
        let kind = match (load, simple) {
            (true, true) => Kind::Ldrd,
            (true, false) => Kind::LdrdIdx,
            (false, true) => Kind::Strd,
            (false, false) => Kind::StrdIdx,
        };
        return Some(Op::new(kind, rt, rn, rt2, u32::from(pre) | u32::from(writeback) << 1, offset));
    }
    match (up, load) {
        (false, false) if rn != 15 && rt < 15 && rt2 < 15 && rt2 != rn && rt2 != rt => {
            Some(Op::new(Kind::Strex, rt, rn, 0, rt2, offset))
        }
        (false, true) if rn != 15 && rt < 15 && rt2 == 15 => Some(Op::new(Kind::Ldrex, rt, rn, 0, 0, offset)),
        (true, _) => byte_or_half_exclusive(hw1, hw2, load),
        _ => None,
    }
}

fn byte_or_half_exclusive(hw1: u32, hw2: u32, load: bool) -> Option<Op> {
    let (rn, rt, rd) = (hw1 & 15, hw2 >> 12, hw2 & 15);
    match (load, bits(hw2, 7, 4)) {
        (true, form @ (0 | 1)) if rt == 15 && bits(hw2, 11, 8) == 0 && rn != 13 && rd < 15 && rd != 13 => {
            Some(Op::new(if form == 0 { Kind::Tbb } else { Kind::Tbh }, 0, rn, rd, 0, 0))
        }
        (_, 4 | 5) if rn == 15 || rt == 15 || bits(hw2, 11, 8) != 15 => None,
        (true, 4) if rd == 15 => Some(Op::new(Kind::Ldrexb, rt, rn, 0, 0, 0)),
        (true, 5) if rd == 15 => Some(Op::new(Kind::Ldrexh, rt, rn, 0, 0, 0)),
        (false, 4) if rd < 15 && rd != rn && rd != rt => Some(Op::new(Kind::Strexb, rt, rn, 0, rd, 0)),
        (false, 5) if rd < 15 && rd != rn && rd != rt => Some(Op::new(Kind::Strexh, rt, rn, 0, rd, 0)),
        _ => None,
    }
}

/// The addressing forms that single loads and stores share below bit 12.
enum Form {
    Offset(u32),
    Register { rm: u32, shift: u32 },
    Indexed { offset: u32, pre: bool },
    Unprivileged(u32),
}

fn form(hw1: u32, hw2: u32) -> Option<Form> {
    let imm8 = hw2 & 0xFF;
    let signed = if hw2 & 0x200 != 0 { imm8 } else { imm8.wrapping_neg() };
    if hw1 & 0x80 != 0 {
        return Some(Form::Offset(hw2 & 0xFFF));
    }
    if hw2 & 0x800 == 0 {
        let rm = hw2 & 15;
        return (hw2 & 0x7C0 == 0 && rm != 15 && rm != 13).then_some(Form::Register { rm, shift: bits(hw2, 5, 4) });
    }
    match bits(hw2, 10, 8) {
        0 | 2 => None,
        4 => Some(Form::Offset(signed)),
        6 => Some(Form::Unprivileged(imm8)),
        puw => Some(Form::Indexed { offset: signed, pre: puw & 4 != 0 }),
    }
}

pub(super) fn store_single(hw1: u32, hw2: u32) -> Option<Op> {
    let (rn, rt, size) = (hw1 & 15, hw2 >> 12, bits(hw1, 6, 5));
    // Rt may be SP for words only; PC never.
    if rn == 15 || rt == 15 || size == 3 || (rt == 13 && size != 2) {
        return None;
    }
    let by_size = |kinds: [Kind; 3]| kinds[size as usize];
    let general = |kind, rm, form: u8, imm| Some(Op::new(kind, rt, rn, rm, u32::from(form) | size, imm));
    match form(hw1, hw2)? {
        Form::Offset(imm) => Some(Op::new(by_size([Kind::StrbI, Kind::StrhI, Kind::StrI]), rt, rn, 0, 0, imm)),
        Form::Register { rm, shift } => {
            Some(Op::new(by_size([Kind::StrbR, Kind::StrhR, Kind::StrR]), rt, rn, rm, 0, shift))
        }
        Form::Unprivileged(imm) => general(Kind::MemImm, 0, mem_form::PRE | mem_form::UNPRIVILEGED, imm),
        Form::Indexed { .. } if rn == rt => None,
        Form::Indexed { offset, pre } => match (size, pre) {
            (2, true) if rn == 13 && offset == 4u32.wrapping_neg() && rt != 13 => {
                Some(Op::new(Kind::Push, 0, 13, 0, 1, 1 << rt))
            }
            (2, true) => Some(Op::new(Kind::StrPre, rt, rn, 0, 0, offset)),
            (2, false) => Some(Op::new(Kind::StrPost, rt, rn, 0, 0, offset)),
            (0, true) => Some(Op::new(Kind::StrbPre, rt, rn, 0, 0, offset)),
            (0, false) => Some(Op::new(Kind::StrbPost, rt, rn, 0, 0, offset)),
            _ => {
                let pre = if pre { mem_form::PRE } else { 0 };
                general(Kind::MemImm, 0, mem_form::WRITEBACK | pre, offset)
            }
        },
    }
}

pub(super) fn load_single(hw1: u32, hw2: u32, pc: u32) -> Option<Op> {
    let (rn, rt, size, signed) = (hw1 & 15, hw2 >> 12, bits(hw1, 6, 5), hw1 & 0x100 != 0);
    if size == 3 || (signed && size == 2) {
        return None;
    }
    if rt == 15 && size != 2 {
        return memory_hint(hw1, hw2, rn);
    }
    if rt == 13 && size != 2 {
        return None;
    }
    let flags = size as u8 | mem_form::LOAD | if signed { mem_form::SIGNED } else { 0 };
    let general = |kind, rm, extra: u8, imm| Some(Op::new(kind, rt, rn, rm, u32::from(flags | extra), imm));
    if rn == 15 {
        let offset = if hw1 & 0x80 != 0 { hw2 & 0xFFF } else { (hw2 & 0xFFF).wrapping_neg() };
        let address = (pc.wrapping_add(4) & !3).wrapping_add(offset);
        if size == 2 && rt < 13 {
            return Some(Op::new(Kind::LdrLit, rt, 0, 0, 0, address));
        }
        return general(Kind::MemLit, 0, 0, address);
    }
    // A load into SP or PC takes the general path, which aligns the one and branches for the other.
    let special = rt == 15 || rt == 13;
    let by_size = |kinds: [Kind; 5]| kinds[(size + if signed { 3 } else { 0 }) as usize];
    match form(hw1, hw2)? {
        Form::Offset(imm) if special => general(Kind::MemImm, 0, mem_form::PRE, imm),
        Form::Offset(imm) => {
            let kind = by_size([Kind::LdrbI, Kind::LdrhI, Kind::LdrI, Kind::LdrsbI, Kind::LdrshI]);
            Some(Op::new(kind, rt, rn, 0, 0, imm))
        }
        Form::Register { rm, shift } if special => general(Kind::MemReg, rm, mem_form::PRE, shift),
        Form::Register { rm, shift } => {
            let kind = by_size([Kind::LdrbR, Kind::LdrhR, Kind::LdrR, Kind::LdrsbR, Kind::LdrshR]);
            Some(Op::new(kind, rt, rn, rm, 0, shift))
        }
        Form::Unprivileged(_) if special => None,
        Form::Unprivileged(imm) => general(Kind::MemImm, 0, mem_form::PRE | mem_form::UNPRIVILEGED, imm),
        Form::Indexed { .. } if rn == rt => None,
        Form::Indexed { offset, pre } => {
            let kind = match (size, signed, pre) {
                _ if special => None,
                (2, _, true) => Some(Kind::LdrPre),
                (2, _, false) => Some(Kind::LdrPost),
                (0, false, true) => Some(Kind::LdrbPre),
                (0, false, false) => Some(Kind::LdrbPost),
                _ => None,
            };
            match kind {
                Some(kind) => Some(Op::new(kind, rt, rn, 0, 0, offset)),
                None => {
                    let pre = if pre { mem_form::PRE } else { 0 };
                    general(Kind::MemImm, 0, mem_form::WRITEBACK | pre, offset)
                }
            }
        }
    }
}

/// PLD, PLI and the hints that are not allocated: all of them do nothing.
fn memory_hint(hw1: u32, hw2: u32, rn: u32) -> Option<Op> {
    let nop = Some(Op::new(Kind::Nop, 0, 0, 0, 0, 0));
    if rn == 15 {
        return nop;
    }
    match form(hw1, hw2)? {
        Form::Offset(_) | Form::Register { .. } => nop,
        Form::Indexed { .. } | Form::Unprivileged(_) => None,
    }
}
