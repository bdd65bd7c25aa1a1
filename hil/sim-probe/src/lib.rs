//! The virtual board as a debug probe: ADIv5 over the simulated bus, for probe-rs.
//!
//! [`dap`] is the debug port with the AHB-AP, free of probe-rs and testable alone. [`VirtualProbe`] is what
//! [`probe_rs::probe::Probe::new`] takes.

mod adapter;
pub mod dap;

pub use adapter::{Cable, VirtualProbe};
pub use probe_rs;
