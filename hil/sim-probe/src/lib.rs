//! The virtual board as a debug probe: ADIv5 over the simulated bus, for probe-rs.
