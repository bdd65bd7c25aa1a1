//! PHY maintenance: MDIO clause 22 through MAN (datasheet 24.9.14).

use std::time::Duration;

use sim_base::Instant;

use super::Gmac;
use super::phy;
use super::regs::{int, ncfgr, ncr, nsr};
use crate::peripheral::Context;

/// Bits of a management frame, preamble included.
const FRAME_BITS: u64 = 64;
/// MDC divisors by NCFGR.CLK.
const DIVISORS: [u64; 8] = [8, 16, 32, 48, 64, 96, 96, 96];

/// Of these, the preamble.
const PREAMBLE_BITS: u64 = 32;

const CLAUSE_22_READ: u32 = 0b0110;
const CLAUSE_22_WRITE: u32 = 0b0101;
/// Bits 31:28 of clause 45 reads (24.9.14): read, and read with the address incremented.
const CLAUSE_45_READS: [u32; 2] = [0b0011, 0b0010];
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
        self.mdio_begun = cx.now;
        self.mdio_done = Some(cx.now + Duration::from_nanos(self.mdc_nanos(FRAME_BITS, cx)));
    }

    /// Time of `cycles` cycles of MDC.
    fn mdc_nanos(&self, cycles: u64, cx: &Context<'_>) -> u64 {
        let divisor = DIVISORS[(self.ncfgr >> ncfgr::CLK_SHIFT & 7) as usize];
        cycles * divisor * 1_000_000_000 / u64::from(cx.clocks.cpu.max(1))
    }

    /// NSR. While a frame is being shifted, it stays as it is until the end.
    pub(super) fn network_status(&self, cx: &mut Context<'_>) -> u32 {
        let pin = if self.ncr & ncr::MPE != 0 { nsr::MDIO } else { 0 };
        match self.mdio_done {
            Some(done) => {
                cx.steady_until(done);
                pin
            }
            None => pin | nsr::IDLE,
        }
    }

    /// MAN as it reads now: during a shift operation the bits are on their way round. What the PHY sends is seen only at
    /// the end; until then its bits read as they were written.
    pub(super) fn shift_register(&self, now: Instant) -> u32 {
        let Some(done) = self.mdio_done else { return self.man };
        let whole = done.since(self.mdio_begun).as_nanos().max(1) as u64;
        let cycles = now.since(self.mdio_begun).as_nanos() as u64 * FRAME_BITS / whole;
        self.man.rotate_left(cycles.saturating_sub(PREAMBLE_BITS) as u32)
    }

    /// Ends the shift operation that is over by now.
    pub(super) fn settle_management(&mut self, cx: &mut Context<'_>) {
        let Some(done) = self.mdio_done.filter(|&done| done <= cx.now) else { return };
        self.mdio_done = None;
        let partner = cx.link_is_up();
        if self.phy.is_starting(done) {
            cx.violation("KSZ8091: management frame within 100 us of the end of its reset");
        }
        let register = self.man >> 18 & 31;
        let valid = self.man >> 23 & 31 == phy::ADDRESS && self.man >> 16 & 3 == TURN_AROUND;
        match self.man >> 28 {
            CLAUSE_22_READ => {
                // The line is pulled up: without an answer it reads as ones.
                let data = if valid { self.phy.read(register, done, partner) } else { 0xFFFF };
                self.man = self.man & 0xFFFF_0000 | u32::from(data);
            }
            CLAUSE_22_WRITE if valid => self.phy.write(register, self.man as u16, done, partner),
            // The PHY has its clause 45 registers behind registers 0Dh and 0Eh; frames of clause 45 it does not answer.
            operation if CLAUSE_45_READS.contains(&operation) => self.man |= 0xFFFF,
            _ => {}
        }
        self.raise(int::MFS);
    }

    /// When the shift operation ends: the PHY's pins may follow from it.
    pub(super) fn next_management_event(&self) -> Instant {
        self.mdio_done.unwrap_or(Instant::NEVER)
    }
}
