//! PHY maintenance: MDIO clause 22 through MAN (datasheet 24.9.14).

use std::time::Duration;

use sim_base::Instant;

use super::Gmac;
use super::phy;
use super::regs::{int, ncfgr, ncr};
use crate::peripheral::Context;

/// Bits of a management frame, preamble included.
const FRAME_BITS: u64 = 64;
/// MDC divisors by NCFGR.CLK.
const DIVISORS: [u64; 8] = [8, 16, 32, 48, 64, 96, 96, 96];

const CLAUSE_22_READ: u32 = 0b0110;
const CLAUSE_22_WRITE: u32 = 0b0101;
const TURN_AROUND: u32 = 0b10;

impl Gmac {
    /// A write to MAN starts a shift operation.
    pub(super) fn start_management(&mut self, value: u32, cx: &mut Context<'_>) {
        if self.ncr & ncr::MPE == 0 {
            return; // MDC does not run
        }
        if self.mdio_done.is_some() {
            cx.violation("GMAC: MAN written while a management frame is being shifted");
        }
        self.man = value;
        let divisor = DIVISORS[(self.ncfgr >> ncfgr::CLK_SHIFT & 7) as usize];
        let nanos = FRAME_BITS * divisor * 1_000_000_000 / u64::from(cx.clocks.cpu.max(1));
        self.mdio_done = Some(cx.now + Duration::from_nanos(nanos));
    }

    /// Ends the shift operation that is over by now.
    pub(super) fn settle_management(&mut self, cx: &mut Context<'_>) {
        let Some(done) = self.mdio_done.filter(|&done| done <= cx.now) else { return };
        self.mdio_done = None;
        let partner = cx.link_is_up();
        let register = self.man >> 18 & 31;
        let valid = self.man >> 23 & 31 == phy::ADDRESS && self.man >> 16 & 3 == TURN_AROUND;
        match self.man >> 28 {
            CLAUSE_22_READ => {
                // The line is pulled up: without an answer it reads as ones.
                let data = if valid { self.phy.read(register, done, partner) } else { 0xFFFF };
                self.man = self.man & 0xFFFF_0000 | u32::from(data);
            }
            CLAUSE_22_WRITE if valid => self.phy.write(register, self.man as u16, done, partner),
            _ => {} // clause 45, or nonsense: the PHY does not react
        }
        self.raise(int::MFS);
    }

    /// When software must be told of the end of a shift operation.
    pub(super) fn next_management_event(&self) -> Instant {
        match self.mdio_done {
            Some(done) if self.imr & int::MFS == 0 => done,
            _ => Instant::NEVER,
        }
    }
}
