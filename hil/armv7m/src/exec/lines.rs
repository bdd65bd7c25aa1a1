//! Blocks whose lines of code are not all resident; see [`timing`](crate::timing).

use std::ops::Range;

use crate::block::{Block, Blocks, Code, Step};
use crate::op::Kind;
use crate::residency::Resident;
use crate::state::{Core, LATE, STOP};
use crate::{Bus, Cycle};

/// Lines that a block lies in, at most.
const LINES_MAX: u32 = 9;

impl Core {
    /// The block begins at `start`, and may pass the limit or not be resident. The cycles that it waits, and what can be
    /// executed of it then. None if it cannot be entered; the PC is there.
    #[cold]
    #[inline(never)]
    pub(super) fn approach<B: Bus>(
        &mut self,
        bus: &mut B,
        blocks: &Blocks,
        number: u32,
        start: Cycle,
    ) -> Option<(Cycle, Resident)> {
        let block = blocks.block(number)?;
        self.drop_lost();
        if self.limit == LATE {
            self.limit = self.held_limit;
        }
        let entered = self.enter(bus, blocks, number, start);
        if entered.is_none() {
            self.pc = block.pc;
        }
        entered
    }

    /// A data access in block `number`, which now begins at `start`, has waited, or the limit was called in. The limit is
    /// [`STOP`] afterwards if the rest of the block might pass it or is not all resident any longer.
    #[cold]
    #[inline(never)]
    pub(super) fn look_ahead(&mut self, number: u32, start: Cycle) {
        self.drop_lost();
        if self.limit == LATE {
            let resident = self.resident.get(number).filter(|resident| resident.era == self.era);
            let in_time = |resident: &Resident| start.wrapping_add(Cycle::from(resident.reach)) < self.held_limit;
            self.limit = if resident.is_some_and(in_time) { self.held_limit } else { STOP };
        }
    }

    /// As [`approach`](Self::approach), with what was lost dropped and the limit in place.
    fn enter<B: Bus>(&mut self, bus: &mut B, blocks: &Blocks, number: u32, start: Cycle) -> Option<(Cycle, Resident)> {
        let block = blocks.block(number)?;
        let soon = start.wrapping_add(block.reach);
        if soon >= self.limit || !blocks.is_ready(number) {
            return None;
        }
        if let Some(resident) = self.resident.get(number).filter(|resident| resident.era == self.era) {
            let in_time = start.wrapping_add(Cycle::from(resident.reach)) < self.limit;
            return in_time.then_some((0, *resident));
        }
        if !self.fetch.cached {
            return Some((0, self.keep(number, block, blocks.steps(block).len(), 0)));
        }
        if Blocks::lines(block).all(|line| bus.is_resident(line << 4)) {
            return Some((0, self.keep(number, block, blocks.steps(block).len(), 0)));
        }
        // An instruction that begins before the limit is executed, however long it waits; the one behind it may not be.
        let in_time = |wait: u32| soon.wrapping_add(Cycle::from(LINES_MAX * wait)) < self.limit;
        if bus.longest_wait(&addresses(block)).is_some_and(in_time) { self.walk(bus, blocks, number, 0) } else { None }
    }

    /// Block `number` is resident up to step `end`. For lines behind it, the block may have to wait for `waits` cycles.
    fn keep(&mut self, number: u32, block: &Block, end: usize, waits: u32) -> Resident {
        let first = Blocks::first(block);
        let (reach, pc) = (block.reach as u32 + waits, block.pc);
        let resident = Resident { era: self.era, reach, pc, first, end: first + end as u32 };
        let lines = if self.fetch.cached { Blocks::lines(block) } else { 0..0 };
        self.resident.keep(number, resident, lines);
        resident
    }

    /// How many steps of block `number`, which is being executed, are resident.
    #[cold]
    #[inline(never)]
    pub(super) fn resident_steps(&self, number: u32) -> u32 {
        self.resident.get(number).map_or(0, |resident| resident.end - resident.first)
    }

    /// Makes [`Core::resident`] show what was lost.
    #[inline]
    pub(crate) fn drop_lost(&mut self) {
        while let Some(line) = self.lost.pop() {
            self.resident.lose(line >> 4);
        }
    }

    /// Touches the lines of block `number` up to that of step `next`: the cycles that it takes, and what can be executed
    /// then. That includes this step, unless it is a condition. None at the block's end.
    #[cold]
    #[inline(never)]
    pub(super) fn walk<B: Bus>(
        &mut self,
        bus: &mut B,
        blocks: &Blocks,
        number: u32,
        next: usize,
    ) -> Option<(Cycle, Resident)> {
        let block = blocks.block(number)?;
        let steps = blocks.steps(block);
        let last_byte = |step: &Step| {
            let pc = block.pc.wrapping_add(2 * u32::from(step.offset));
            match step.code {
                // The instructions before it.
                Code::Next => pc.wrapping_sub(1),
                _ => pc.wrapping_add(u32::from(step.op.len.max(2)) - 1),
            }
        };
        // Lines of the steps before are resident.
        let mut line = next.checked_sub(1).map_or(block.pc, |before| last_byte(&steps[before])) >> 4;
        let needed = last_byte(steps.get(next)?) >> 4;
        let mut waited = 0;
        while line <= needed {
            let wait = bus.touch_code(line << 4, self.cycle);
            waited += Cycle::from(wait.cycles);
            self.lose(wait.lost);
            line += 1;
        }
        let last = steps.last().map_or(needed, |step| last_byte(step) >> 4);
        while line <= last && bus.is_resident(line << 4) {
            line += 1;
        }
        let behind = steps[next..].iter().position(|step| last_byte(step) >> 4 >= line);
        let mut end = behind.map_or(steps.len(), |behind| next + behind);
        // All of what a condition guards, or nothing.
        let split = |at: usize| steps[at].op.kind == Kind::It && end <= at + usize::from(steps[at].op.d);
        if let Some(at) = (end.saturating_sub(4)..end).find(|at| split(*at)) {
            end = at;
        }
        self.drop_lost();
        let waits = if end == steps.len() { 0 } else { LINES_MAX * bus.longest_wait(&addresses(block)).unwrap_or(0) };
        Some((waited, self.keep(number, block, end, waits)))
    }
}

/// Addresses of the lines that a block lies in.
fn addresses(block: &Block) -> Range<u32> {
    let lines = Blocks::lines(block);
    lines.start << 4..lines.end << 4
}
