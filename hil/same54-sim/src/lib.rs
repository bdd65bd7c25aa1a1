//! Register-level SAM E54 Xplained Pro: chip, flash, Ethernet and board.

mod board;
mod event;

pub use board::{Board, BoardConfig, RunStop};
pub use event::{Event, EventKind, ResetCause};
