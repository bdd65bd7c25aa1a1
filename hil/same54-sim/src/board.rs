//! The board: what a person would hold in the hand.

use armv7m::{BusFault, Size};
use sim_base::{EthernetLink, Instant};

use crate::Event;

/// How a board is made.
#[derive(Clone, Debug)]
pub struct BoardConfig {
    /// Seed of everything that chance decides: TRNG values, torn bits, contents of RAM at power-on.
    pub seed: u64,
    /// True: flash programs and erases take the datasheet's typical times. False: they finish at once, which keeps
    /// probe-rs' wall-clock time-outs out of the picture while it flashes a board.
    pub flash_timing: bool,
}

/// Why [`Board::run_until`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStop {
    /// Virtual time has reached the instant that was asked for.
    Time,
    /// The core has just entered Debug state (breakpoint, vector catch, halt request).
    Halted,
    /// The core has just locked up.
    Lockup,
}

/// A virtual SAM E54 Xplained Pro.
pub struct Board {
    _config: BoardConfig,
}

impl Board {
    /// A board fresh from the factory and without supply: flash erased, fuses at their default, external flash empty.
    pub fn new(config: BoardConfig) -> Self {
        Self { _config: config }
    }

    /// Switches datasheet flash timing on or off, at any time.
    pub fn set_flash_timing(&mut self, on: bool) {
        let _ = on;
    }

    /// Plugs the cable of the Ethernet connector.
    pub fn plug_ethernet(&mut self, link: Box<dyn EthernetLink>) {
        let _ = link;
    }

    /// Switches the supply on; the chip leaves power-on reset.
    pub fn power_on(&mut self) {}

    /// Cuts the supply now. A flash operation in flight is torn; RAM is lost.
    pub fn power_off(&mut self) {}

    /// Whether the supply is on.
    pub fn is_powered(&self) -> bool {
        false
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        Instant::ZERO
    }

    /// Runs until `until`, or until the core halts or locks up. Without supply only time passes.
    pub fn run_until(&mut self, until: Instant) -> RunStop {
        let _ = until;
        RunStop::Time
    }

    /// Instructions executed since the board was made.
    pub fn instructions(&self) -> u64 {
        0
    }

    /// Core cycles since the board was made.
    pub fn cycles(&self) -> u64 {
        0
    }

    /// Events since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        Vec::new()
    }

    /// RESETN pin; `swclk_low` is the level of SWCLK, which the DSU samples at the pin's release (cold-plugging
    /// holds the core in reset extension).
    pub fn set_nreset(&mut self, asserted: bool, swclk_low: bool) {
        let _ = (asserted, swclk_low);
    }

    /// A debugger's access through the AHB-AP; aligned.
    pub fn debug_read(&mut self, addr: u32, size: Size) -> Result<u32, BusFault> {
        let _ = (addr, size);
        Err(BusFault)
    }

    /// See [`debug_read`](Self::debug_read).
    pub fn debug_write(&mut self, addr: u32, size: Size, value: u32) -> Result<(), BusFault> {
        let _ = (addr, size, value);
        Err(BusFault)
    }

    /// Whether the core is in Debug state.
    pub fn is_halted(&self) -> bool {
        false
    }

    /// The internal flash's 1 MiB main array, for observers.
    pub fn nvm(&self) -> &[u8] {
        &[]
    }

    /// `len` bytes of the external flash from `addr`, for observers.
    pub fn nor(&self, addr: u32, len: usize) -> Vec<u8> {
        let _ = (addr, len);
        Vec::new()
    }

    /// Bytes that the EDBG's virtual COM port (SERCOM2 on PB24/PB25) has received since the last call.
    pub fn take_uart(&mut self) -> Vec<u8> {
        Vec::new()
    }
}
