//! Register-level SAM E54 Xplained Pro: chip, flash, Ethernet and board.

#![expect(dead_code, reason = "the bus is being put together")]

mod board;
mod clocks;
mod cmcc;
mod dsu;
mod eic;
mod event;
mod hmatrix;
mod memory;
mod nvmctrl;
mod pac;
mod peripheral;
mod pm;
mod port;
mod ramecc;
#[cfg(test)]
mod rig;
mod rstc;
mod rtc;
mod sercom;
mod supc;
mod tc;
mod tear;
mod trng;
mod wdt;

pub use board::{Board, BoardConfig, RunStop};
pub use event::{Event, EventKind, ResetCause};
