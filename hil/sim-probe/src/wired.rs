//! A board that runs by itself, at the connector of a probe.

use std::time::Duration;

use armv7m::{BusFault, Size};
use same54_sim::Board;

use crate::dap::Target;
use crate::glasgow::Connector;

/// AIRCR: where a debugger asks for a system reset.
pub(crate) const AIRCR: u32 = 0xE000_ED0C;

/// Virtual time that passes after a write to AIRCR: the chip has to get to its reset although the core may be halted.
pub(crate) const RESET_LATENCY: Duration = Duration::from_micros(1);

/// A board whose owner lets it run between the probe's accesses.
pub struct Wired<'b>(pub &'b mut Board);

impl Target for Wired<'_> {
    fn is_powered(&self) -> bool {
        self.0.is_powered()
    }

    fn read(&mut self, addr: u32, size: Size) -> Result<u32, BusFault> {
        self.0.debug_read(addr, size)
    }

    fn write(&mut self, addr: u32, size: Size, value: u32) -> Result<(), BusFault> {
        self.0.debug_write(addr, size, value)?;
        if addr == AIRCR {
            let until = self.0.now() + RESET_LATENCY;
            self.0.run_until(until);
        }
        Ok(())
    }
}

impl Connector for Wired<'_> {
    fn set_nreset(&mut self, asserted: bool) {
        self.0.set_nreset(asserted, false);
    }
}
