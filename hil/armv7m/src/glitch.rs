//! Faults of the core itself, as a voltage or clock glitch makes them: planned by instruction number, exact and
//! repeatable. Without a plan they cost nothing.

use std::collections::VecDeque;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glitch {
    /// It strikes in front of the instruction that is about to be executed when
    /// [`Cpu::instructions`](crate::Cpu::instructions) is this.
    pub at: u64,
    /// What it does.
    pub kind: GlitchKind,
}

/// What a [`Glitch`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlitchKind {
    /// The instruction is fetched and not executed. It counts as an instruction and takes a cycle.
    Skip,
    /// A bit of a register flips: R0 to R12, 13 SP of the current mode, 14 LR, 15 PC, 16 xPSR (flags, Q, GE, T and IT;
    /// not the exception number). Bits that the register does not have (0 and 1 of SP, 0 of PC) do nothing.
    Register {
        /// Number of the register.
        register: u8,
        /// Number of the bit.
        bit: u8,
    },
    /// A bit of the instruction flips on its way into the core, this once. In a 32-bit instruction the first halfword is
    /// the upper one.
    Encoding {
        /// Number of the bit; those above a 16-bit instruction do nothing.
        bit: u8,
    },
}

/// A [`Glitch`] that has struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glitched {
    /// The plan.
    pub glitch: Glitch,
    /// Address of the instruction in front of which it struck.
    pub pc: u32,
}

/// Glitches to come, in order, and those that have struck.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    ahead: VecDeque<Glitch>,
    done: Vec<Glitched>,
}

impl Plan {
    /// Several for one instruction strike in the order given.
    pub(crate) fn new(glitches: impl IntoIterator<Item = Glitch>) -> Self {
        let mut ahead: Vec<Glitch> = glitches.into_iter().collect();
        ahead.sort_by_key(|glitch| glitch.at);
        Self { ahead: ahead.into(), done: Vec::new() }
    }

    /// How many instructions there are until the next one, when so many have been executed. One whose time has passed is
    /// dropped.
    #[inline]
    pub(crate) fn distance(&mut self, instructions: u64) -> Option<u64> {
        loop {
            let at = self.ahead.front()?.at;
            match at.checked_sub(instructions) {
                Some(distance) => return Some(distance),
                None => self.ahead.pop_front(),
            };
        }
    }

    /// The next one, which strikes now.
    pub(crate) fn strike(&mut self, pc: u32) -> Option<GlitchKind> {
        let glitch = self.ahead.pop_front()?;
        self.done.push(Glitched { glitch, pc });
        Some(glitch.kind)
    }

    pub(crate) fn take_done(&mut self) -> Vec<Glitched> {
        core::mem::take(&mut self.done)
    }
}
