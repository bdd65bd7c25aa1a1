//! Register-level SAM E54 Xplained Pro: chip, flash, Ethernet and board.

mod analog;
mod at24mac402;
mod board;
mod bus;
mod chip;
mod clocks;
mod cmcc;
mod dmac;
mod dsu;
mod eic;
mod event;
mod evsys;
mod gmac;
mod hmatrix;
mod map;
mod memory;
mod nor;
mod nvmctrl;
mod pac;
mod peripheral;
mod pm;
mod port;
mod qspi;
mod ramecc;
mod registers;
#[cfg(test)]
mod rig;
mod routes;
mod rstc;
mod rtc;
mod sercom;
mod stored;
mod supc;
mod tear;
mod timebase;
mod timer;
mod trng;
mod wdt;

pub use board::{Board, BoardConfig, RunStop};
pub use event::{Event, EventKind, ResetCause};
pub use nvmctrl::{FailingPulses, NvmPulses, SoundPulses};
pub use registers::{Coverage, Fidelity, coverage};
pub use sercom::{I2cDevice, SpiDevice};
pub use tear::Tear;
