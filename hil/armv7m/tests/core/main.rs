//! The core as a program and a debugger see it. One binary, because each instantiates the run loop.

mod behaviour;
mod coverage;
mod debugging;
mod guest;
mod recorded;
mod speed;
mod support;
