//! The core as a program and a debugger see it. One binary, because each instantiates the run loop.

mod behaviour;
mod blocks;
mod coverage;
mod debugging;
mod differential;
mod guest;
mod qemu;
mod speed;
mod support;
