//! The timers: TC and TCC.

mod conditions;
mod counter;
pub(crate) mod tc;
pub(crate) mod tcc;
