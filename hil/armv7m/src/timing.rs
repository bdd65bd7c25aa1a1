//! How many cycles instructions take (Cortex-M4 TRM, ARM 100166, table 3-1 and 3.3.3).
//!
//! Everything here is a function of the instruction, of the one before it and of their addresses, so that blocks and
//! single steps agree. Flash is read in lines: the one that is being executed is at hand, and each change to another line
//! costs the wait states that [`FetchTiming`] says.
//!
//! What depends on the past comes from the bus and is no part of a block's cycles: [`Wait`]. Data reads report it with
//! [`Bus::take_wait`](crate::Bus::take_wait). With [`FetchTiming::cached`], so does
//! [`Bus::touch_code`](crate::Bus::touch_code), which is called for each line that an instruction lies in, before it is executed. The two
//! ways to execute agree in it for this reason: a touch of a line that [`Bus::is_resident`](crate::Bus::is_resident)
//! neither waits nor changes anything, so it may as well not be made. The beginning of a block whose lines are resident at
//! one time stays so until the bus says of one of them that it is [`Lost`]. It is kept for each block
//! ([`Core::resident`](crate::state::Core::resident)), and as long as it lasts the block costs nothing more than a block
//! costs anyway. Behind that beginning a line is touched, the steps up to the next line that is not resident are executed,
//! and so on. Data reads that lose a line end the block behind their instruction.

use crate::op::{Kind, Op};

/// How long fetches from [`Config::code`](crate::Config::code) take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchTiming {
    /// Cycles that the core waits for a line that it changes to, up to 15.
    pub wait: u8,
    /// Bytes of a line, as a power of two: 2 to 4.
    pub line: u8,
    /// Cycles that each literal costs, and each entry of a table behind its branch, up to 15. If there are any, these are
    /// read with [`Bus::read_literal`](crate::Bus::read_literal).
    pub literal: u8,
    /// Lines of sixteen bytes go through [`Bus::touch_code`](crate::Bus::touch_code).
    pub cached: bool,
    /// With `cached`: each word that is fetched is touched by itself, so that it can be counted. Slow.
    pub by_word: bool,
}

impl FetchTiming {
    /// Memory that is as fast as the core.
    pub const FAST: Self = Self::waiting(0);

    /// Lines of sixteen bytes and literals take `wait` cycles.
    #[must_use]
    pub const fn waiting(wait: u8) -> Self {
        Self { wait, line: 4, literal: wait, cached: false, by_word: false }
    }

    /// Wait states between the instruction of `len` bytes at `pc` and the next one.
    #[inline(always)]
    pub(crate) fn between(self, pc: u32, len: u8, next: u32) -> u32 {
        let last = pc.wrapping_add(u32::from(len)).wrapping_sub(2);
        if (last ^ next) >> self.line != 0 { u32::from(self.wait) } else { 0 }
    }

    fn second_half(self, op: &Op, pc: u32) -> u32 {
        if op.len == 4 { self.between(pc, 2, pc.wrapping_add(2)) } else { 0 }
    }

    fn of_literal(self, op: &Op) -> u32 {
        let reads = match op.kind {
            Kind::LdrLit | Kind::MemLit | Kind::LdrdLit => true,
            Kind::Vldr | Kind::Tbb | Kind::Tbh => op.b == 15,
            _ => false,
        };
        if reads { u32::from(self.literal) } else { 0 }
    }
}

/// What an access of the bus has cost beyond its cycles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// Cycles.
    pub cycles: u32,
    /// What was resident of code and is so no longer.
    pub lost: Lost,
}

/// Lines of code that are not resident any longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lost {
    /// None.
    #[default]
    Nothing,
    /// The line at this address.
    Line(u32),
    /// Any of them.
    Anything,
}

impl Lost {
    /// This and `other`.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, lost) | (lost, Self::Nothing) => lost,
            _ => Self::Anything,
        }
    }
}

/// [`Core::loaded`](crate::state::Core::loaded) if the instruction before was no load.
pub(crate) const NOTHING: u8 = 0xFF;
/// What a division can take beyond its fixed cost.
pub(crate) const DIVISION_MAX: u32 = 10;

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
pub(crate) fn own(op: &Op, pc: u32, timing: FetchTiming, loaded: u8) -> u32 {
    let fetch = timing.second_half(op, pc) + timing.of_literal(op);
    u32::from(op.cost) + fetch - u32::from(is_pipelined(op, loaded))
}

/// Cycles of an instruction whose condition fails.
pub(crate) fn skipped(op: &Op, pc: u32, timing: FetchTiming) -> u32 {
    1 + timing.second_half(op, pc)
}

/// What is saved when the instruction's condition fails.
pub(crate) fn saving(op: &Op, timing: FetchTiming) -> u32 {
    u32::from(op.cost) - 1 + timing.of_literal(op)
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
