//! The core as a program and a debugger see it. One binary, because each instantiates the run loop.

mod bare;
mod behaviour;
mod blocks;
mod catches;
mod coverage;
mod debugging;
mod differential;
mod exceptions;
mod garbage;
mod glitches;
mod guest;
mod latency;
mod qemu;
mod speed;
mod support;
mod timing;
mod tracing;
