//! Instruction-set simulator of ARMv7E-M with FPv4-SP and its system and debug registers.
//!
//! The core knows nothing of the chip around it: it reaches memory and peripherals through [`Bus`], and the chip
//! drives its interrupt lines. Everything in the Private Peripheral Bus that belongs to the core (SCS, NVIC, SysTick,
//! MPU, FPB, DWT, ITM, ROM table) is inside this crate, for the program as for a debugger.

mod block;
mod bus;
mod coverage;
mod cpu;
mod debug;
mod debug_access;
mod decode;
mod dwt;
mod exception;
mod exec;
mod float;
mod fpb;
mod glitch;
mod mpu;
mod nvic;
mod observe;
mod op;
mod ppb;
mod residency;
mod state;
mod systick;
mod timing;
mod trace;

pub use bus::{Bus, BusFault, Size};
pub use cpu::{Config, Cpu, Stop, Undefined};
pub use decode::Invalid;
pub use glitch::{Glitch, GlitchKind, Glitched};
pub use observe::{ExceptionEdge, ExceptionRecord};
pub use timing::{FetchTiming, Lost, Wait};

/// Core clock cycles since the core's first power-on; never goes back.
pub type Cycle = u64;
