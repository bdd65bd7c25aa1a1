//! Half duplex: deferral, collision, back-off, back pressure (datasheet 24.6.4, 24.9.1).
//!
//! The cable hands over whole frames at their end, so what happened on the medium is worked out then: a frame that was on
//! its way before ours began makes ours defer; one that began while ours was being sent collides with it, and is lost.
//! Assumed: the pseudo random generator (a 10-bit shift register with taps 10 and 7, from 1 at reset), and that "the 10
//! least significant bits of the data" are those of the frame's last two bytes.

use std::time::Duration;

use sim_base::Instant;

use super::Gmac;
use super::regs::{ncfgr, ncr, tsr};
use super::stats::counter;
use super::tx::PREAMBLE;
use crate::peripheral::Context;

/// A slot is 512 bit times; a collision after that is late.
const SLOT_BITS: u64 = 512;
const JAM_BITS: u64 = 32;
/// So many attempts, and no more.
pub(super) const ATTEMPTS: u32 = 16;

/// What became of a frame that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Whole,
    Destroyed,
}

impl Gmac {
    /// 24.9.1: local loopback forces full duplex.
    pub(super) fn is_full_duplex(&self) -> bool {
        self.ncfgr & ncfgr::FD != 0 || self.ncr & ncr::LBL != 0
    }

    /// Time of one bit on the line.
    pub(super) fn bit_nanos(&self) -> u64 {
        if self.ncfgr & ncfgr::SPD != 0 { 10 } else { 100 }
    }

    /// A frame of `wire_len` bytes with its FCS has come from the cable.
    pub(super) fn meet(&mut self, wire_len: usize, cx: &mut Context<'_>) -> Arrival {
        let now = cx.now;
        if self.is_full_duplex() {
            return Arrival::Whole;
        }
        if self.ncr & ncr::BP != 0 && self.ncr & ncr::TXEN != 0 {
            return Arrival::Destroyed;
        }
        let began = now.as_nanos().saturating_sub(self.byte_times(PREAMBLE + wire_len).as_nanos() as u64);
        let (bit, gap) = (self.bit_nanos(), self.shortest_gap());
        let Some(sending) = &mut self.in_flight else { return Arrival::Whole };
        let ours = sending.begun_at.as_nanos();
        if ours >= now.as_nanos() {
            return Arrival::Whole;
        }
        if began <= ours {
            // Carrier sense held ours back.
            if sending.attempts == 0 && !sending.deferred {
                sending.deferred = true;
                self.stats.count(counter::DTF);
            }
            self.begin_at(now + gap);
            return Arrival::Whole;
        }
        sending.attempts += 1;
        let attempts = sending.attempts;
        let late = began - ours > SLOT_BITS * bit;
        sending.late |= late;
        let data = sending.tail();
        self.tsr |= tsr::COL;
        if late {
            self.stats.count(counter::LC);
        }
        if attempts < ATTEMPTS {
            let slots = self.back_off(attempts, data);
            let again = Instant::from_nanos(began) + Duration::from_nanos((JAM_BITS + slots * SLOT_BITS) * bit) + gap;
            self.begin_at(again.max(now));
        } else {
            self.give_up(cx);
        }
        Arrival::Destroyed
    }

    /// How many slots to wait after collision number `attempts`.
    fn back_off(&mut self, attempts: u32, data: u16) -> u64 {
        self.random = self.random >> 1 | ((self.random ^ self.random >> 3) & 1) << 9;
        if self.ncfgr & ncfgr::RTY != 0 {
            return 1;
        }
        u64::from((self.random ^ data) & ((1 << attempts.min(10)) - 1))
    }
}
