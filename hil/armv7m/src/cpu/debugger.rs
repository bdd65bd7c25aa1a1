//! What a debugger sees of the core and does to it.

use super::Cpu;
use crate::ppb::is_ppb;
use crate::{Bus, BusFault, Size};

impl Cpu {
    /// A debugger's access through the AHB-AP, PPB included (DHCSR, DCRSR, FPB, DWT as the debugger sees them); other
    /// addresses go to the bus. Aligned.
    ///
    /// A halt request takes effect at once; a step, a resumption and a reset request in the next [`run`](Self::run).
    pub fn debug_read<B: Bus>(&mut self, bus: &mut B, addr: u32, size: Size) -> Result<u32, BusFault> {
        self.settle(bus);
        if is_ppb(addr) {
            return self.core.ppb_read(addr, size, true);
        }
        let value = bus.read(addr, size, self.core.cycle);
        self.core.pass_over_wait(bus);
        value
    }

    /// See [`debug_read`](Self::debug_read).
    pub fn debug_write<B: Bus>(&mut self, bus: &mut B, addr: u32, size: Size, value: u32) -> Result<(), BusFault> {
        self.settle(bus);
        if !is_ppb(addr) {
            let done = bus.write(addr, size, value, self.core.cycle);
            self.core.pass_over_wait(bus);
            return done;
        }
        self.core.ppb_write(addr, size, value, true)?;
        self.show_breakpoints();
        Ok(())
    }

    /// A debugger finds the core before or after an exception entry or return, never in the midst of it.
    pub(super) fn settle<B: Bus>(&mut self, bus: &mut B) {
        while let Some(transit) = self.core.transit.take() {
            self.core.end_transit(bus, transit);
        }
    }

    /// In Debug state.
    pub fn is_halted(&self) -> bool {
        self.core.debug.halted
    }

    /// Core register as DCRSR.REGSEL numbers it (0-15, 16 xPSR, 17 MSP, 18 PSP, 20 CONTROL.., 33 FPSCR, 64.. S0-S31).
    pub fn register(&self, regsel: u8) -> u32 {
        self.core.register(regsel)
    }
}
