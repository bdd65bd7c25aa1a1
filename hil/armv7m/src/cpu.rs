//! The core: registers, run loop and the edges to chip and debugger.

use core::ops::Range;

use crate::{Bus, BusFault, Cycle, Size};

/// What differs between implementations of the architecture.
#[derive(Clone, Debug)]
pub struct Config {
    /// CPUID, e.g. `0x410F_C241` for a Cortex-M4 r0p1.
    pub cpuid: u32,
    /// Number of external interrupt lines, up to 240.
    pub irq_lines: usize,
    /// Implemented bits of a priority field, 3 on the SAM E54.
    pub priority_bits: u8,
    /// Address range whose instructions are decoded once and kept: the chip's flash. The owner says when it changes
    /// with [`Cpu::invalidate_code`]. Code elsewhere is decoded each time it runs.
    pub code: Range<u32>,
}

/// Why [`Cpu::run`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The cycle given to `run` is reached (also while asleep or halted: time goes on).
    Deadline,
    /// [`Bus::attention`] asked for the owner.
    Attention,
    /// The core has just entered Debug state.
    Halted,
    /// The core has just entered lockup.
    Lockup,
    /// The program or the debugger asked for a system reset (AIRCR.SYSRESETREQ); the owner resets chip and core.
    SystemReset,
}

/// A Cortex-M4F core.
pub struct Cpu {
    _config: Config,
}

impl Cpu {
    /// A core that is held in reset; call [`reset`](Self::reset) before the first `run`.
    pub fn new(config: Config) -> Self {
        Self { _config: config }
    }

    /// Leaves reset: SP and PC come from the vector table at address 0. `power_on` also clears what survives a system
    /// reset: the debug registers (DHCSR, DEMCR, FPB, DWT).
    pub fn reset<B: Bus>(&mut self, bus: &mut B, power_on: bool) {
        let _ = (bus, power_on);
    }

    /// Executes until `until` or until something needs the owner. While the core sleeps, is halted or locked up, time
    /// skips to `until` (or to the SysTick that wakes it) at no cost.
    pub fn run<B: Bus>(&mut self, bus: &mut B, until: Cycle) -> Stop {
        let _ = (bus, until);
        Stop::Deadline
    }

    /// The current cycle.
    pub fn cycle(&self) -> Cycle {
        0
    }

    /// Instructions executed since power-on.
    pub fn instructions(&self) -> u64 {
        0
    }

    /// Drives external interrupt `line` (0 is exception 16); interrupts are level-sensitive.
    pub fn set_irq(&mut self, line: usize, level: bool) {
        let _ = (line, level);
    }

    /// Forgets decoded instructions of `range`.
    pub fn invalidate_code(&mut self, range: Range<u32>) {
        let _ = range;
    }

    /// A debugger's access through the AHB-AP, PPB included (DHCSR, DCRSR, FPB, DWT as the debugger sees them); other
    /// addresses go to the bus. Aligned.
    pub fn debug_read<B: Bus>(&mut self, bus: &mut B, addr: u32, size: Size) -> Result<u32, BusFault> {
        bus.read(addr, size, self.cycle())
    }

    /// See [`debug_read`](Self::debug_read).
    pub fn debug_write<B: Bus>(&mut self, bus: &mut B, addr: u32, size: Size, value: u32) -> Result<(), BusFault> {
        bus.write(addr, size, value, self.cycle())
    }

    /// In Debug state.
    pub fn is_halted(&self) -> bool {
        false
    }

    /// Locked up (ARMv7-M ARM B1.5.15).
    pub fn is_locked_up(&self) -> bool {
        false
    }

    /// Asleep after WFI, WFE or sleep-on-exit.
    pub fn is_sleeping(&self) -> bool {
        false
    }

    /// Core register as DCRSR.REGSEL numbers it (0-15, 16 xPSR, 17 MSP, 18 PSP, 20 CONTROL.., 33 FPSCR, 64.. S0-S31).
    pub fn register(&self, regsel: u8) -> u32 {
        let _ = regsel;
        0
    }
}
