//! What a debug probe does at the board's connector: RESETN, and accesses through the AHB-AP.

use armv7m::{BusFault, Size};

use super::Board;
use crate::ResetCause;
use crate::map::Id;

/// What a debugger may touch of a protected chip: the DSU's external address space (12.9).
const DSU_EXTERNAL: std::ops::Range<u32> = 0x4100_2100..0x4100_4000;

impl Board {
    /// RESETN pin; `swclk_low` is the level of SWCLK, which the DSU samples at the pin's release (cold-plugging
    /// holds the core in reset extension).
    pub fn set_nreset(&mut self, asserted: bool, swclk_low: bool) {
        let released = self.reset_asserted && !asserted;
        self.reset_asserted = asserted;
        if !self.powered || !released {
            return;
        }
        self.sync();
        self.reset_chip(ResetCause::External);
        if swclk_low {
            self.chip.with(Id::Dsu, |parts, _| parts.dsu.extend_reset());
        }
        self.restart_core(ResetCause::External);
        self.serve();
    }

    /// A debugger's access through the AHB-AP; aligned.
    ///
    /// # Errors
    /// The bus answered with an error: nothing is there, the chip is protected, or it has no supply.
    pub fn debug_read(&mut self, addr: u32, size: Size) -> Result<u32, BusFault> {
        self.begin_debug_access(addr)?;
        let answer = self.cpu.debug_read(&mut self.chip, addr, size);
        self.end_debug_access();
        answer
    }

    /// See [`debug_read`](Self::debug_read).
    ///
    /// # Errors
    /// As for [`debug_read`](Self::debug_read).
    pub fn debug_write(&mut self, addr: u32, size: Size, value: u32) -> Result<(), BusFault> {
        self.begin_debug_access(addr)?;
        let answer = self.cpu.debug_write(&mut self.chip, addr, size, value);
        self.end_debug_access();
        answer
    }

    fn begin_debug_access(&mut self, addr: u32) -> Result<(), BusFault> {
        self.sync();
        let protected = self.chip.shared.memory.protected && !DSU_EXTERNAL.contains(&addr);
        let off = !self.powered || self.chip.parts.supc.holds_reset() || self.chip.core_domain_is_off();
        if off || protected {
            return Err(BusFault);
        }
        self.chip.shared.signals.debugger = true;
        self.chip.advance();
        self.chip.parts.dsu.set_debugger_present();
        Ok(())
    }

    fn end_debug_access(&mut self) {
        self.chip.shared.signals.debugger = false;
        // What a debugger looks at is no access of the program's.
        self.chip.shared.signals.unmodelled.clear();
        self.serve();
    }
}
