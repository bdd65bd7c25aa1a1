//! Which steps need not set the flags.

use super::{Code, Step};
use crate::op::{Kind, Op};

const NZ: u8 = 1;
const C: u8 = 2;
const V: u8 = 4;
const ALL: u8 = NZ | C | V;

/// Flags that an instruction reads and writes, if it is one that can do nothing but change registers and flags.
fn effect(op: &Op) -> Option<(u8, u8)> {
    use Kind as K;
    Some(match op.kind {
        K::MovIS | K::AndIS => (0, if op.d == Op::CARRY_KEPT { NZ } else { NZ | C }),
        K::MovRS | K::AndRS | K::OrrRS | K::EorRS | K::BicRS | K::MulS => (0, NZ),
        K::LslIS | K::LsrIS | K::AsrIS => (0, NZ | C),
        K::AddIS | K::AddRS | K::SubIS | K::SubRS | K::RsbIS | K::CmpI | K::CmpR => (0, ALL),
        K::AdcRS | K::SbcRS => (C, ALL),
        K::AdcR | K::SbcR => (C, 0),
        K::MovI | K::MovR | K::MvnR | K::AddI | K::AddR | K::AddLsl | K::AddSh | K::SubR | K::SubSh => (0, 0),
        K::RsbI | K::RsbSh | K::AndI | K::AndR | K::AndSh | K::OrrI | K::OrrR | K::OrrLsl | K::OrrLsr => (0, 0),
        K::OrrSh | K::EorI | K::EorR | K::EorLsl | K::EorLsr | K::EorRor | K::EorSh | K::BicR | K::BicSh => (0, 0),
        K::LslI | K::LsrI | K::AsrI | K::RorI | K::LslR | K::LsrR | K::Movt | K::Uxtb | K::Uxth | K::Sxtb => (0, 0),
        K::Sxth | K::Ubfx | K::Sbfx | K::Bfi | K::Rev | K::Clz | K::Mul | K::Mla | K::Mls | K::Umull => (0, 0),
        K::Umlal | K::Umaal | K::Smull | K::Smlal => (0, 0),
        _ => return None,
    })
}

/// The same instruction without flags.
fn quiet(op: &Op) -> Option<Op> {
    use Kind as K;
    let kind = match op.kind {
        K::MovIS => K::MovI,
        K::MovRS => K::MovR,
        K::AddIS => K::AddI,
        K::SubIS => return Some(Op { kind: K::AddI, imm: op.imm.wrapping_neg(), ..*op }),
        K::AddRS => K::AddR,
        K::AdcRS => K::AdcR,
        K::SbcRS => K::SbcR,
        K::SubRS => K::SubR,
        K::RsbIS => K::RsbI,
        K::AndIS => K::AndI,
        K::AndRS => K::AndR,
        K::OrrRS => K::OrrR,
        K::EorRS => K::EorR,
        K::BicRS => K::BicR,
        K::LslIS => K::LslI,
        K::LsrIS => K::LsrI,
        K::AsrIS => K::AsrI,
        K::MulS => K::Mul,
        _ => return None,
    };
    Some(Op { kind, ..*op })
}

/// Whether the instruction leaves the flags as they are, for certain.
pub(super) fn keeps_flags(op: &Op) -> bool {
    effect(op).is_some_and(|(_, writes)| writes == 0)
}

/// Takes the flags from instructions whose flags are set again before anybody can see them: nothing between may branch,
/// trap or be interrupted, which leaves data processing.
pub(super) fn drop_dead(steps: &mut [Step]) {
    let mut live = ALL;
    for step in steps.iter_mut().rev() {
        let effect = if step.code == Code::of(step.op.kind) { effect(&step.op) } else { None };
        let Some((reads, writes)) = effect else {
            live = ALL;
            continue;
        };
        if writes & live == 0
            && let Some(op) = quiet(&step.op)
        {
            step.op = op;
            step.code = Code::of(op.kind);
        }
        // What a condition guards may not set them.
        if step.op.it == 0 {
            live &= !writes;
        }
        live |= reads;
    }
}
