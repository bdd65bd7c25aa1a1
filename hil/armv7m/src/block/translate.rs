//! From code to the steps of one block.

use std::sync::LazyLock;

use super::{Code, Exit, Operand, Part, Step, flags};
use crate::decode::{self, advance_it};
use crate::op::{Kind, Op, mem_form};
use crate::{Bus, Cycle, FetchTiming, timing};

/// Extent of a block.
pub(super) struct Size {
    /// Cycles after which the last instruction begins, at most.
    pub(super) reach: Cycle,
    pub(super) bytes: u32,
    /// Instructions that no condition guards, by halfword from the beginning.
    pub(super) starts: u64,
}

/// A block that long, in halfwords and cycles, takes up no further instruction, or only some to end with another than a
/// load. An IT block of four instructions, nine halfwords, may begin before and must fit.
const HALFWORDS: u32 = 64 - 9 - 4;
const CYCLES: u32 = 230;

/// No block is longer.
pub(super) const BYTES_MAX: u32 = 128;

/// The instruction at `pc`.
fn fetch<B: Bus>(bus: &mut B, pc: u32, it: u8) -> Option<Op> {
    let hw1 = bus.fetch(pc).ok()?;
    let hw2 = if decode::is_wide(hw1) { bus.fetch(pc.wrapping_add(2)).ok()? } else { 0 };
    Some(decode::decode(hw1, hw2, pc, it))
}

/// Appends the steps of the block at `pc`, which takes in no address, other than its first, that `stops` it. None if
/// there is not a whole instruction or IT block.
pub(super) fn translate<B: Bus>(
    bus: &mut B,
    pc: u32,
    timing: FetchTiming,
    steps: &mut Vec<Step>,
    stops: impl Fn(u32) -> bool,
) -> Option<Size> {
    let first = steps.len();
    let mut block =
        Builder { pc, at: pc, timing, first, steps, count: 0, cycles: 0, loaded: timing::NOTHING, guard: None };
    let mut size = Size { reach: 0, bytes: 0, starts: 0 };
    let mut divisions = 0;
    loop {
        let offset = block.offset();
        let enough = offset > HALFWORDS && (block.loaded == timing::NOTHING || offset > HALFWORDS + 3);
        if offset > 0 && (enough || stops(block.at)) {
            break;
        }
        let Some(op) = fetch(bus, block.at, 0) else { break };
        if !block.has_room(&op) {
            break;
        }
        size.starts |= 1 << offset;
        size.reach = Cycle::from(block.cycles + divisions * timing::DIVISION_MAX);
        divisions += u32::from(matches!(op.kind, Kind::Udiv | Kind::Sdiv));
        if op.kind != Kind::It {
            if block.push(op) {
                break;
            }
            continue;
        }
        // All of the IT block or nothing: what is guarded is no beginning of a block. BKPT, which no condition guards, and
        // branches where only the last instruction may be one (UNPREDICTABLE) are left to single steps.
        let mut guarded = Vec::new();
        let (mut at, mut it) = (block.at.wrapping_add(2), op.imm as u8);
        while it != 0 {
            match fetch(bus, at, it) {
                Some(op) if op.it != 0 && !stops(at) && (advance_it(it) == 0 || !branches(&op)) => guarded.push(op),
                _ => break,
            }
            at = at.wrapping_add(guarded.last().map_or(0, |op| u32::from(op.len)));
            it = advance_it(it);
        }
        let cycles: u32 = guarded.iter().map(|op| block.most(op)).sum();
        if it != 0 || block.cycles + cycles > CYCLES {
            size.starts &= !(1 << offset);
            break;
        }
        block.push(op);
        let mut ends = false;
        for op in guarded {
            size.reach = Cycle::from(block.cycles + divisions * timing::DIVISION_MAX);
            divisions += u32::from(matches!(op.kind, Kind::Udiv | Kind::Sdiv));
            ends |= block.push(op);
        }
        block.guard = None;
        if ends {
            break;
        }
    }
    size.bytes = block.at.wrapping_sub(pc);
    if size.bytes == 0 {
        return None;
    }
    block.push_next();
    let steps = &mut block.steps[first..];
    flags::drop_dead(steps);
    fuse(steps);
    Some(size)
}

struct Builder<'a> {
    pc: u32,
    /// Address of the next instruction.
    at: u32,
    timing: FetchTiming,
    first: usize,
    steps: &'a mut Vec<Step>,
    count: u32,
    cycles: u32,
    /// What the last instruction has loaded.
    loaded: u8,
    /// The condition that guards what follows: its step and ITSTATE's condition.
    guard: Option<(usize, u8)>,
}

impl Builder<'_> {
    /// Cycles of an instruction and on to the next, at most.
    fn most(&self, op: &Op) -> u32 {
        u32::from(op.cost) + 2 * u32::from(self.timing.wait) + u32::from(self.timing.literal)
    }

    /// Whether an instruction fits.
    fn has_room(&self, op: &Op) -> bool {
        self.count == 0 || self.cycles + self.most(op) <= CYCLES
    }

    fn offset(&self) -> u32 {
        self.at.wrapping_sub(self.pc) / 2
    }

    /// Appends an instruction. True if no other can follow it.
    fn push(&mut self, op: Op) -> bool {
        if op.it != 0 {
            self.guard(&op);
        }
        let before = self.step(op, Code::Mark);
        self.count += 1;
        self.cycles += timing::own(&op, self.at, self.timing, self.loaded);
        self.loaded = timing::loads(&op);
        let mut step = self.step(op, Code::of(op.kind));
        match step.code {
            _ if matches!(op.kind, Kind::Nop | Kind::It | Kind::Barrier) => {}
            Code::Beq
            | Code::Bne
            | Code::Bcs
            | Code::Bcc
            | Code::Bmi
            | Code::Bpl
            | Code::Bvs
            | Code::Bvc
            | Code::Bhi
            | Code::Bls
            | Code::Bge
            | Code::Blt
            | Code::Bgt
            | Code::Ble
            | Code::Cbz
            | Code::Cbnz
            | Code::B
            | Code::Bl => {
                step.op.imm = Exit::to_address(op.imm).0;
                self.steps.push(step);
            }
            _ => {
                self.steps.push(if goes_anywhere(&op) { before } else { step });
            }
        }
        let next = self.at.wrapping_add(u32::from(op.len));
        self.cycles += self.timing.between(self.at, op.len, next);
        self.at = next;
        ends_block(&op)
    }

    /// Puts the condition before a guarded instruction, or extends it from the instruction before.
    fn guard(&mut self, op: &Op) {
        let condition = op.it >> 4;
        let at = match self.guard {
            Some((at, same)) if same == condition => at,
            _ => {
                let guard = Op { it: op.it, ..Op::new(Kind::It, 0, 0, 0, 0, passing(condition)) };
                let step = self.step(guard, Code::IfNew);
                self.steps.push(step);
                self.steps.len() - 1
            }
        };
        let step = &mut self.steps[at].op;
        step.d += u8::from(!matches!(op.kind, Kind::Nop | Kind::It | Kind::Barrier));
        step.c += timing::saving(op, self.timing) as u8;
        // Flags that change may let the same condition fail afterwards.
        self.guard = flags::keeps_flags(op).then_some((at, condition));
    }

    /// The end of a block that no branch has ended.
    fn push_next(&mut self) {
        let loaded = u32::from(self.loaded != timing::NOTHING);
        let step = self.step(Op::new(Kind::B, 0, loaded, 0, 0, Exit::to_address(self.at).0), Code::Next);
        self.steps.push(step);
        debug_assert!(self.steps.len() - self.first < 256);
    }

    fn step(&self, op: Op, code: Code) -> Step {
        let op = Op { cost: self.cycles as u8, ..op };
        Step { op, code, offset: self.offset() as u8, count: self.count as u8 }
    }
}

/// The values of NZCV with which a condition passes, as a mask.
fn passing(condition: u8) -> u32 {
    (0..16u32).filter(|nzcv| decode::passes(condition, *nzcv)).map(|nzcv| 1 << nzcv).sum()
}

/// An instruction that loads the PC or computes it.
fn goes_anywhere(op: &Op) -> bool {
    match op.kind {
        Kind::Bx | Kind::BxPc | Kind::Blx | Kind::PopPc | Kind::Tbb | Kind::Tbh => true,
        Kind::LdmIa | Kind::LdmDb => op.imm & 0x8000 != 0,
        Kind::MemImm | Kind::MemReg | Kind::MemLit => op.a == 15 && op.d & mem_form::LOAD != 0,
        Kind::DpImm | Kind::DpReg => op.a == 15 && op.d & Op::SETS_FLAGS == 0,
        _ => false,
    }
}

/// Any branch.
fn branches(op: &Op) -> bool {
    let direct = (Kind::B as u8..=Kind::Cbnz as u8).contains(&(op.kind as u8));
    direct || op.kind == Kind::It || goes_anywhere(op)
}

/// Nothing is executed behind this one, except by a branch.
fn ends_block(op: &Op) -> bool {
    matches!(
        op.kind,
        Kind::B | Kind::Bl | Kind::Svc | Kind::Bkpt | Kind::Wfi | Kind::Wfe | Kind::Undefined | Kind::NoCoprocessor
    ) || goes_anywhere(op)
}

/// Makes one step of several, so that as few as possible remain. The others stay where they are: the first finds them
/// there, and a condition may still go to one of them.
pub(super) fn fuse(steps: &mut [Step]) {
    for step in &mut *steps {
        step.code = match step.code {
            Code::IfNew | Code::Mark | Code::Next => step.code,
            _ if step.op.kind == Kind::It => Code::If,
            _ => Code::of(step.op.kind),
        };
    }
    // The fewest steps from each place to the end, and the sequence to begin with.
    let mut best = vec![(0u32, 1, None); steps.len() + 1];
    for at in (0..steps.len()).rev() {
        let rest = &steps[at..];
        best[at] = (best[at + 1].0 + 1, 1, None);
        for (parts, fused) in sequences(rest[0].code) {
            let count = best.get(at + parts.len()).map_or(u32::MAX, |(count, ..)| count + 1);
            if count < best[at].0 && fits(parts, rest) {
                best[at] = (count, parts.len(), Some(*fused));
            }
        }
    }
    let mut at = 0;
    while at < steps.len() {
        let (_, len, fused) = best[at];
        steps[at].code = fused.unwrap_or(steps[at].code);
        at += len;
    }
}

/// The sequences that begin with a step.
fn sequences(first: Code) -> &'static [(&'static [Part], Code)] {
    type Sequences = Vec<(&'static [Part], Code)>;
    static BY_FIRST: LazyLock<Vec<Sequences>> = LazyLock::new(|| {
        let mut sequences: Vec<Sequences> = vec![Vec::new(); Code::Cold as usize + 1];
        for (parts, fused) in Code::FUSED {
            sequences[parts[0].code as usize].push((parts, *fused));
        }
        sequences
    });
    &BY_FIRST[first as usize]
}

/// Whether `steps` begin with what a sequence consists of.
fn fits(parts: &[Part], steps: &[Step]) -> bool {
    if parts.len() > steps.len() || parts.iter().zip(steps).any(|(part, step)| part.code != step.code) {
        return false;
    }
    let pairs = parts.windows(2).zip(steps.windows(2));
    pairs.into_iter().all(|(parts, steps)| {
        let (result, op) = (steps[0].op.a, &steps[1].op);
        let (operand, other) = match parts[1].from {
            Some(Operand::B) => (op.b, reads_c(op.kind).then_some(op.c)),
            Some(Operand::C) => (op.c, reads_b(op.kind).then_some(op.b)),
            None => return !parts[0].passing,
        };
        operand == result && (!parts[0].passing || op.a == result && other != Some(result))
    })
}

/// Whether an instruction that computes a value reads register `b`.
fn reads_b(kind: Kind) -> bool {
    use Kind as K;
    let moves = matches!(kind, K::MovI | K::MovR | K::MvnR | K::Uxtb | K::Uxth | K::Sxtb | K::Sxth | K::Rev | K::Clz);
    !moves && !matches!(kind, K::LslI | K::LsrI | K::AsrI | K::RorI)
}

/// Whether it reads register `c`.
fn reads_c(kind: Kind) -> bool {
    use Kind as K;
    !matches!(kind, K::MovI | K::AddI | K::RsbI | K::AndI | K::OrrI | K::EorI | K::Movt | K::Ubfx | K::Sbfx)
}
