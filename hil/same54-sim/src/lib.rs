//! Register-level SAM E54 Xplained Pro: chip, flash, Ethernet and board.

#![expect(dead_code, reason = "the bus is being put together")]

mod board;
mod clocks;
mod event;
mod memory;
mod peripheral;
#[cfg(test)]
mod rig;

pub use board::{Board, BoardConfig, RunStop};
pub use event::{Event, EventKind, ResetCause};
