//! The virtual board as a debug probe: ADIv5 over the simulated bus, for probe-rs.
//!
//! [`dap`] is the debug port with the AHB-AP, free of probe-rs and testable alone. [`VirtualProbe`] is what
//! [`probe_rs::probe::Probe::new`] takes. [`glasgow`] is a protocol over which probe-rs' own tools reach the debug port
//! from another process, with [`Wired`] as the board.

mod adapter;
pub mod dap;
pub mod glasgow;
mod wired;

pub use adapter::{Cable, VirtualProbe};
pub use probe_rs;
pub use wired::Wired;
