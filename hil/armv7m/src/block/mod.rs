//! Decoded code, in blocks that are entered at their first instruction only.
//!
//! A block is a run of instructions that ends with the first branch that is always taken, and that conditional branches
//! may leave early. Each step knows how many instructions and cycles have passed from the block's beginning to its own
//! end, so that nothing is counted until the block is left, and whoever leaves it in the middle knows exactly where.
//!
//! A branch finds its target by number once it was taken: [`Exit`]. The first time goes through [`Blocks::link`], which
//! is also when the instructions up to the branch count as executed; see [`Coverage`](crate::coverage::Coverage).

mod code;
mod flags;
#[cfg(test)]
mod tests;
mod translate;

use core::ops::Range;
use std::sync::Arc;

pub(crate) use code::{Code, with_codes};
use code::{Operand, Part};

use crate::coverage::Coverage;
use crate::op::{Kind, Op};
use crate::{Bus, Cycle, FetchTiming, timing};

/// An instruction of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The instruction as it was decoded, but for `cost`: cycles of the block up to and with this instruction. Of a
    /// direct branch, `imm` is an [`Exit`].
    pub(crate) op: Op,
    pub(crate) code: Code,
    /// Halfwords from the block's beginning to the instruction.
    pub(crate) offset: u8,
    /// Instructions of the block up to and with this one. Of [`Code::If`], [`Code::IfNew`] and [`Code::Mark`] both counts
    /// are those before it.
    pub(crate) count: u8,
}

/// Where a direct branch goes: the number of a block or, as long as it was not taken, an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u32);

impl Exit {
    fn to_address(pc: u32) -> Self {
        Self(pc | 1)
    }

    fn to_block(number: u32) -> Self {
        Self(number << 1)
    }

    /// The block's number, or the address.
    #[inline(always)]
    pub(crate) fn target(self) -> Result<u32, u32> {
        if self.0 & 1 == 0 { Ok(self.0 >> 1) } else { Err(self.0 & !1) }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Address of the first instruction.
    pub(crate) pc: u32,
    /// Its steps in [`Blocks::steps`]; none if the code changed since.
    first: u32,
    last: u32,
    /// Cycles after which its last instruction begins, at most.
    pub(crate) reach: Cycle,
    /// Bytes of code.
    bytes: u32,
    /// Instructions that no condition guards, by halfword from the beginning.
    starts: u64,
    /// Those of them that are known to have been executed.
    marked: u64,
}

/// Halfwords in a page of the index.
const PAGE: usize = 512;
/// No block begins here.
const NONE: u32 = u32::MAX;
/// Steps that are kept before everything is forgotten: code that changes leaves its old steps behind.
const STEPS_MAX: usize = 1 << 20;

/// The blocks of [`Config::code`](crate::Config::code).
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    start: u32,
    len: u32,
    /// How much of it may stand in blocks.
    executable: u32,
    blocks: Vec<Block>,
    steps: Vec<Step>,
    /// Number of the block that begins at an address, by halfword.
    index: Vec<Option<Arc<[u32; PAGE]>>>,
    /// How often everything was forgotten.
    generation: u32,
    /// What the steps' cycles include.
    timing: FetchTiming,
}

impl Blocks {
    pub(crate) fn new(code: &Range<u32>, timing: FetchTiming) -> Self {
        let len = code.end.saturating_sub(code.start);
        Self {
            start: code.start,
            len,
            executable: len,
            blocks: Vec::new(),
            steps: Vec::new(),
            index: vec![None; (len as usize / 2).div_ceil(PAGE)],
            generation: 0,
            timing,
        }
    }

    /// Bytes from the start of the code that may stand in blocks.
    pub(crate) fn executable(&self) -> u32 {
        self.executable
    }

    /// Changes [`executable`](Self::executable); no block is kept, for one may lie behind it.
    pub(crate) fn set_executable(&mut self, executable: u32) {
        let fresh = Self::new(&(self.start..self.start.wrapping_add(self.len)), self.timing);
        *self = Self { generation: self.generation + 1, executable, ..fresh };
    }

    /// What the steps' cycles include.
    pub(crate) fn timing(&self) -> FetchTiming {
        self.timing
    }

    /// Numbers of blocks mean something only as long as this stays the same.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// The block that begins at `pc`.
    #[inline(always)]
    pub(crate) fn find(&self, pc: u32) -> Option<u32> {
        let at = (pc.wrapping_sub(self.start) >> 1) as usize;
        let number = self.index.get(at / PAGE)?.as_ref()?[at % PAGE];
        (number != NONE).then_some(number)
    }

    #[inline(always)]
    pub(crate) fn block(&self, number: u32) -> Option<&Block> {
        self.blocks.get(number as usize)
    }

    #[inline(always)]
    pub(crate) fn steps(&self, block: &Block) -> &[Step] {
        self.steps.get(block.first as usize..block.last as usize).unwrap_or(&[])
    }

    /// The steps from `first` to that before `end`, as they are numbered among those of all blocks.
    #[inline(always)]
    pub(crate) fn range(&self, first: u32, end: u32) -> &[Step] {
        self.steps.get(first as usize..end as usize).unwrap_or(&[])
    }

    /// The lines of sixteen bytes that a block lies in, by number.
    pub(crate) fn lines(block: &Block) -> Range<u32> {
        block.pc >> 4..(block.pc.wrapping_add(block.bytes).wrapping_sub(1) >> 4) + 1
    }

    /// Its first step's number for [`range`](Self::range).
    pub(crate) fn first(block: &Block) -> u32 {
        block.first
    }

    /// Whether there is something to execute in block `number`.
    pub(crate) fn is_ready(&self, number: u32) -> bool {
        self.block(number).is_some_and(|block| block.first != block.last)
    }

    /// Translates what stands at `pc`, up to the first of `breakpoints`. None if there is nothing that could be
    /// fetched.
    pub(crate) fn translate<B: Bus>(&mut self, bus: &mut B, pc: u32, breakpoints: &[u32]) -> Option<u32> {
        if self.steps.len() > STEPS_MAX {
            let fresh = Self::new(&(self.start..self.start.wrapping_add(self.len)), self.timing);
            *self = Self { generation: self.generation + 1, executable: self.executable, ..fresh };
        }
        let first = self.steps.len();
        let within = |pc: u32| pc.wrapping_sub(self.start) < self.executable;
        let size =
            translate::translate(bus, pc, self.timing, &mut self.steps, |pc| !within(pc) || breakpoints.contains(&pc))?;
        let block = Block {
            pc,
            first: first as u32,
            last: self.steps.len() as u32,
            reach: size.reach,
            bytes: size.bytes,
            starts: size.starts,
            marked: 0,
        };
        // Old code at this address keeps its number, which branches know.
        if let Some(number) = self.find(pc) {
            self.blocks[number as usize] = block;
            return Some(number);
        }
        let number = self.blocks.len() as u32;
        self.blocks.push(block);
        let at = (pc.wrapping_sub(self.start) >> 1) as usize;
        let page = self.index.get_mut(at / PAGE)?.get_or_insert_with(|| Arc::new([NONE; PAGE]));
        Arc::make_mut(page)[at % PAGE] = number;
        Some(number)
    }

    /// The branch in step `at` of block `number` goes to block `target` from now on.
    pub(crate) fn link(&mut self, number: u32, at: u32, target: u32) {
        let (Some(from), Some(to)) = (self.block(number), self.block(target)) else { return };
        let (from, to, timing) = (from.pc, to.pc, self.timing);
        let Some(step) = self.step_mut(number, at) else { return };
        if Exit(step.op.imm).target().is_err() && step.code != Code::Next {
            let pc = from.wrapping_add(2 * u32::from(step.offset));
            let reload = u32::from(!matches!(step.op.kind, Kind::B | Kind::Bl));
            step.op.cost += (reload + timing.between(pc, step.op.len, to)) as u8;
        }
        step.op.imm = Exit::to_block(target).0;
    }

    /// What the instruction before step `at` of block `number` has loaded, if that step is the end of the block.
    pub(crate) fn loaded(&self, number: u32, at: u32) -> u8 {
        let steps = self.block(number).map_or(&[][..], |block| self.steps(block));
        match steps.get((at as usize).saturating_sub(1)..=at as usize) {
            Some([before, end]) if end.code == Code::Next && end.op.b != 0 => timing::loads(&before.op),
            _ => timing::NOTHING,
        }
    }

    /// Lets a step that waited for its first execution do its work.
    pub(crate) fn reveal(&mut self, number: u32, at: u32) {
        let (pc, timing) = (self.block(number).map_or(0, |block| block.pc), self.timing);
        let Some(step) = self.step_mut(number, at) else { return };
        match step.code {
            Code::IfNew => step.code = Code::If,
            Code::Mark => {
                step.code = Code::of(step.op.kind);
                let before = step.op.cost;
                step.op.cost = timing::fixed(&step.op);
                let pc = pc.wrapping_add(2 * u32::from(step.offset));
                step.op.cost = before + timing::own(&step.op, pc, timing, timing::NOTHING) as u8;
                step.count += 1;
            }
            _ => {}
        }
        if let Some(block) = self.blocks.get(number as usize) {
            translate::fuse(&mut self.steps[block.first as usize..block.last as usize]);
        }
    }

    fn step_mut(&mut self, number: u32, at: u32) -> Option<&mut Step> {
        let block = self.blocks.get(number as usize)?;
        self.steps[block.first as usize..block.last as usize].get_mut(at as usize)
    }

    /// The instructions of block `number` up to and with that of step `at`, as far as no condition guards them and they
    /// are not marked: by halfword from the block's beginning.
    pub(crate) fn unmarked(&self, number: u32, at: u32) -> u64 {
        let Some(block) = self.block(number) else { return 0 };
        let offset = self.steps(block).get(at as usize).map_or(0, |step| step.offset);
        let reached = (2u64 << offset.min(63)).wrapping_sub(1);
        block.starts & reached & !block.marked
    }

    /// Marks `instructions` of block `number`, which were executed.
    pub(crate) fn mark(&mut self, number: u32, instructions: u64, coverage: &mut Coverage) {
        let Some(block) = self.blocks.get_mut(number as usize) else { return };
        block.marked |= instructions;
        for offset in (0..64).filter(|offset| instructions >> offset & 1 != 0) {
            coverage.mark(block.pc.wrapping_add(2 * offset));
        }
    }

    /// Addresses of the instructions that the condition in step `at` of block `number` guards.
    pub(crate) fn guarded(&self, number: u32, at: u32) -> impl Iterator<Item = u32> + '_ {
        let block = self.block(number);
        let steps = block.map_or(&[][..], |block| self.steps(block));
        let guard = steps.get(at as usize);
        let first = at as usize + 1;
        let range = first..first + guard.map_or(0, |step| usize::from(step.op.d));
        let pc = block.map_or(0, |block| block.pc);
        steps.get(range).unwrap_or(&[]).iter().map(move |step| pc.wrapping_add(2 * u32::from(step.offset)))
    }

    /// Forgets what was decoded from `range`.
    pub(crate) fn invalidate(&mut self, range: &Range<u32>) {
        let stale: Vec<u32> = self.within(range).collect();
        for number in stale {
            if let Some(block) = self.blocks.get_mut(number as usize) {
                block.last = block.first;
            }
        }
    }

    /// Whether [`invalidate`](Self::invalidate) would forget anything.
    pub(crate) fn covers(&self, range: &Range<u32>) -> bool {
        self.within(range).any(|number| self.is_ready(number))
    }

    /// The blocks that have code in `range`.
    fn within<'a>(&'a self, range: &'a Range<u32>) -> impl Iterator<Item = u32> + 'a {
        let end = self.start.saturating_add(self.len);
        let halfword = |pc: u32| (pc.clamp(self.start, end) - self.start) as usize / 2;
        let (first, last) = (halfword(range.start.saturating_sub(translate::BYTES_MAX)), halfword(range.end));
        let pages = self.index.iter().enumerate().take(last.div_ceil(PAGE)).skip(first / PAGE);
        let pages = pages.filter_map(|(page, numbers)| Some((page * PAGE, numbers.as_ref()?)));
        let numbers = pages.flat_map(move |(base, numbers)| {
            let begin = first.saturating_sub(base).min(PAGE);
            numbers[begin..(last - base).min(PAGE)].iter().copied()
        });
        numbers.filter(|number| {
            let stale = |block: &Block| block.pc < range.end && block.pc.saturating_add(block.bytes) > range.start;
            self.block(*number).is_some_and(stale)
        })
    }
}
