//! States of boards from which the way to the application is known, so that it need not be gone again.
//!
//! A board that was cut and started anew soon stands where another one stood before it: with the same in its core, in RAM
//! and in both flashes, about to erase the same block. Both then differ at most in time, caches, wear and the registers of
//! other peripherals, none of which the bootloader decides by, and go the same way. Where the stack's end and the statics' end leave RAM free in
//! between, nothing is alive.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use same54_sim::{Board, EventKind, RunStop};
use sim_base::Instant;
use update_image::layout::SLOT;

use super::super::stage::{End, LONGEST, next_look};
use crate::elf::RAM;

/// What boards may be compared with.
pub(super) struct Known {
    /// End of the bootloader's statics in RAM; its stack is between there and the end of RAM.
    statics_end: u32,
    /// Time from a state to the application, by [`Board::likeness`].
    states: BTreeMap<u64, Duration>,
}

/// How a board came to the application, or did not.
pub(super) struct Way {
    pub(super) end: End,
    /// From the call on; of a known way the rest is what it took before.
    pub(super) took: Duration,
    /// The rest of the way was known.
    pub(super) joined: bool,
    /// Rules of the chip that were broken.
    pub(super) violations: Vec<String>,
    /// States on it, with the time since the call.
    states: Vec<(u64, Duration)>,
}

impl Known {
    /// Nothing yet, for this bootloader.
    pub(super) fn nothing(bootloader: &[u8]) -> Self {
        Self { statics_end: statics_end(bootloader), states: BTreeMap::new() }
    }

    /// Remembers a way to the application that was gone to its end and found good.
    pub(super) fn learn(&mut self, way: &Way) {
        for (state, at) in &way.states {
            self.states.entry(*state).or_insert(way.took.saturating_sub(*at));
        }
    }

    /// Lets `board`, which has just been switched on, run to the application, or to where the way is known.
    pub(super) fn follow(&self, board: &mut Board) -> Way {
        let begun = board.now();
        let mut way =
            Way { end: End::Time, took: Duration::ZERO, joined: false, violations: Vec::new(), states: Vec::new() };
        board.stop_at_flash_operations(true);
        way.end = loop {
            let stop = board.run_until(next_look(board).min(begun + LONGEST));
            let erases = way.watch(board);
            if stop == RunStop::Operation
                && erases
                && let Some(state) = board.likeness(&self.alive(board))
            {
                let took = board.now() - begun;
                if let Some(rest) = self.states.get(&state) {
                    way.took = took + *rest;
                    way.joined = true;
                    break End::Application;
                }
                way.states.push((state, took));
            }
            if let Some(end) = ended(board, stop, begun + LONGEST) {
                way.took = board.now() - begun;
                break end;
            }
        };
        board.stop_at_flash_operations(false);
        way
    }

    /// What of RAM can matter: statics, and the stack.
    fn alive(&self, board: &Board) -> Vec<Range<u32>> {
        let stack = board.register(13);
        if (self.statics_end..RAM.end).contains(&stack) {
            vec![RAM.start..self.statics_end, stack..RAM.end]
        } else {
            vec![RAM]
        }
    }
}

impl Way {
    /// Notes what was seen; whether an erase was among it.
    fn watch(&mut self, board: &mut Board) -> bool {
        let mut erases = false;
        for event in board.take_events() {
            match event.kind {
                EventKind::NvmErase { .. } | EventKind::NorErase { .. } => erases = true,
                EventKind::Violation(rule) => self.violations.push(rule),
                _ => {}
            }
        }
        erases
    }
}

fn ended(board: &Board, stop: RunStop, limit: Instant) -> Option<End> {
    if !board.is_powered() {
        Some(End::NoPower)
    } else if stop == RunStop::Lockup {
        Some(End::Lockup)
    } else if SLOT.contains(board.register(15)) {
        Some(End::Application)
    } else {
        (board.now() >= limit).then_some(End::Time)
    }
}

/// The end of the program's statics; all of RAM, if its stack is not above them.
fn statics_end(elf: &[u8]) -> u32 {
    use object::{Object as _, ObjectSection as _};
    let Ok(file) = object::File::parse(elf) else { return RAM.end };
    let sections = file.sections().map(|section| section.address()..section.address() + section.size());
    let in_ram = sections.filter(|range| RAM.contains(&(range.start as u32)) && range.end <= u64::from(RAM.end));
    let end = in_ram.map(|range| range.end as u32).max().unwrap_or(RAM.start);
    // The vector table begins with the initial stack pointer.
    let table = file.sections().find(|section| section.address() == 0 && section.size() >= 8);
    let stack = table.and_then(|table| Some(*table.data().ok()?.first_chunk::<4>()?)).map(u32::from_le_bytes);
    if stack == Some(RAM.end) { end } else { RAM.end }
}
