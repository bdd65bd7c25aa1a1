//! How many cycles instructions take (Cortex-M4 TRM, ARM 100166, table 3-1 and 3.3.3).
//!
//! Everything here is a function of the instruction, of the one before it and of their addresses, so that blocks and
//! single steps agree. Flash is read in lines of 16 bytes: the one that is being executed is at hand, and each change to
//! another line costs the wait states that [`Cpu::set_code_wait`](crate::Cpu::set_code_wait) says.

use crate::op::{Kind, Op};

/// [`Core::loaded`](crate::state::Core::loaded) if the instruction before was no load.
pub(crate) const NOTHING: u8 = 0xFF;
/// What a division can take beyond its fixed cost.
pub(crate) const DIVISION_MAX: u32 = 10;
/// Bytes of a flash line, as a power of two.
const LINE: u32 = 4;

/// Cycles of the instruction alone: loads not pipelined, pipeline reload 1 for direct and 2 for indirect branches, a
/// conditional branch not taken, stores through the write buffer, the shortest division.
pub(crate) fn fixed(op: &Op) -> u8 {
    use Kind as K;
    let registers = op.imm.count_ones() as u8;
    match op.kind {
        _ if is_load(op) => 2,
        K::LdrPre | K::LdrPost | K::LdrbPre | K::LdrbPost => 2,
        K::StrPre | K::StrPost | K::StrbPre | K::StrbPost => 2,
        K::StrI | K::StrbI | K::StrhI | K::StrR | K::StrbR | K::StrhR => 1,
        K::MemImm | K::MemReg | K::MemLit => 2 + 2 * u8::from(op.a == 15),
        K::Ldrd | K::Strd | K::LdrdIdx | K::StrdIdx | K::LdrdLit => 3,
        K::Push | K::Pop | K::StmIa | K::StmDb => 1 + registers,
        K::PopPc => 3 + registers,
        K::LdmIa | K::LdmDb => 1 + registers + 2 * u8::from(op.imm & 0x8000 != 0),
        K::B | K::Bl => 2,
        K::Bx | K::Blx => 3,
        K::Tbb | K::Tbh => 4,
        K::Ldrex | K::Ldrexb | K::Ldrexh | K::Strex | K::Strexb | K::Strexh => 2,
        K::Udiv | K::Sdiv => 2,
        K::Barrier => 3,
        K::Mrs | K::Msr => 2,
        K::Vdiv | K::Vsqrt => 14,
        K::Vmla | K::Vfma => 3,
        K::Vldr | K::Vstr | K::Vldm | K::Vstm => 1 + op.d,
        K::VmovToCore2 | K::VmovFromCore2 => 2,
        _ => 1,
    }
}

/// Cycles of the instruction at `pc`, whose second halfword may be in another line, and which may read a literal out of
/// flash. `loaded` is what the instruction before has loaded.
pub(crate) fn own(op: &Op, pc: u32, wait: u8, loaded: u8) -> u32 {
    u32::from(op.cost) + second_half(op, pc, wait) + literal(op, wait) - u32::from(is_pipelined(op, loaded))
}

/// Cycles of an instruction whose condition fails.
pub(crate) fn skipped(op: &Op, pc: u32, wait: u8) -> u32 {
    1 + second_half(op, pc, wait)
}

/// What is saved when the instruction's condition fails.
pub(crate) fn saving(op: &Op, wait: u8) -> u32 {
    u32::from(op.cost) - 1 + literal(op, wait)
}

/// Wait states between the instruction of `len` bytes at `pc` and the next one.
#[inline(always)]
pub(crate) fn between(pc: u32, len: u8, next: u32, wait: u8) -> u32 {
    let last = pc.wrapping_add(u32::from(len)).wrapping_sub(2);
    if (last ^ next) >> LINE != 0 { u32::from(wait) } else { 0 }
}

/// Cycles beyond two of a division with this quotient: early termination, here a cycle for three bits and a bit (the TRM
/// says two to twelve; how it goes with the operands is assumed).
pub(crate) fn division(quotient: u32) -> u32 {
    ((32 - quotient.leading_zeros()) * DIVISION_MAX).div_ceil(32)
}

/// The register that the instruction loads, if the load after it may follow in its shadow.
pub(crate) fn loads(op: &Op) -> u8 {
    if op.it == 0 && is_load(op) { op.a } else { NOTHING }
}

fn second_half(op: &Op, pc: u32, wait: u8) -> u32 {
    if op.len == 4 { between(pc, 2, pc.wrapping_add(2), wait) } else { 0 }
}

fn literal(op: &Op, wait: u8) -> u32 {
    let reads = match op.kind {
        Kind::LdrLit | Kind::MemLit | Kind::LdrdLit => true,
        Kind::Vldr => op.b == 15,
        _ => false,
    };
    if reads { u32::from(wait) } else { 0 }
}

/// A load behind a load takes one cycle, unless it needs the other's result for its address.
fn is_pipelined(op: &Op, loaded: u8) -> bool {
    if loaded == NOTHING || op.it != 0 || !is_load(op) {
        return false;
    }
    match op.kind {
        Kind::LdrLit => true,
        Kind::LdrI | Kind::LdrbI | Kind::LdrhI | Kind::LdrsbI | Kind::LdrshI => op.b != loaded,
        _ => op.b != loaded && op.c != loaded,
    }
}

fn is_load(op: &Op) -> bool {
    use Kind as K;
    let immediate = matches!(op.kind, K::LdrI | K::LdrbI | K::LdrhI | K::LdrsbI | K::LdrshI | K::LdrLit);
    immediate || matches!(op.kind, K::LdrR | K::LdrbR | K::LdrhR | K::LdrsbR | K::LdrshR)
}
