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

/// DHCSR: where a debugger halts, steps and releases the core.
pub(crate) const DHCSR: u32 = 0xE000_EDF0;

/// Virtual time that passes after a write to DHCSR, less than a transfer takes at 4 MHz (46 clocks of SWCLK): whoever
/// steps or halts the core reads of it in the next transfer, and probes send both in one batch.
const TRANSFER: Duration = Duration::from_micros(10);

/// A board whose owner lets it run between the probe's visits. A visit may be more than one access.
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
        let passes = match addr {
            AIRCR => RESET_LATENCY,
            DHCSR => TRANSFER,
            _ => return Ok(()),
        };
        let until = self.0.now() + passes;
        self.0.run_until(until);
        Ok(())
    }
}

impl Connector for Wired<'_> {
    fn set_nreset(&mut self, asserted: bool) {
        self.0.set_nreset(asserted, false);
    }
}
