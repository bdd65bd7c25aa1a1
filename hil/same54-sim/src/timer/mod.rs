//! The timers: TC and TCC.

mod counter;
pub(crate) mod tc;
pub(crate) mod tcc;
