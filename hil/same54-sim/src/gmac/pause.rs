//! Pause frames both ways: 802.3 and priority-based (datasheet 24.6.16, 24.9.1; for PFC the SAM E70 datasheet, 38.6.17,
//! of the same core).
//!
//! Assumed: the Pause Time register is loaded only if it can hold transmission back; a PFC frame, of which this
//! controller with its one queue makes nothing, counts and interrupts like a pause frame.

use std::time::Duration;

use sim_base::Instant;

use super::Gmac;
use super::regs::*;
use super::stats::counter;

/// Multicast address of MAC control frames.
const PAUSE_ADDRESS: [u8; 6] = [0x01, 0x80, 0xC2, 0, 0, 0x01];
const MAC_CONTROL: [u8; 2] = [0x88, 0x08];
const OPCODE_PAUSE: [u8; 2] = [0x00, 0x01];
const OPCODE_PFC: [u8; 2] = [0x01, 0x01];
/// A pause quantum is 512 bit times (IEEE 802.3 annex 31B).
const QUANTUM_BITS: u64 = 512;
/// With NCFGR.RTY: one cycle of GRXCK, which brings four bits.
const TEST_QUANTUM_BITS: u64 = 4;
/// Frames without FCS have at least this length.
const MIN_FRAME: usize = 60;

/// A MAC control frame that the receiver understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// 802.3 pause, with its quanta.
    Pause(u16),
    /// Priority-based; true if a priority is to pause.
    Priorities(bool),
}

impl Gmac {
    /// The valid pause frame that `frame` is, its FCS being right.
    pub(super) fn control(&self, frame: &[u8]) -> Option<Control> {
        if frame.len() < MIN_FRAME || frame[12..14] != MAC_CONTROL {
            return None;
        }
        let own = self.specific[0];
        if frame[..6] != PAUSE_ADDRESS && !(own.active && frame[..6] == own.bytes()) {
            return None;
        }
        let half = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        match [frame[14], frame[15]] {
            OPCODE_PAUSE => Some(Control::Pause(half(16))),
            OPCODE_PFC if self.ncr & ncr::ENPBPR != 0 => {
                let enabled = half(16);
                Some(Control::Priorities((0..8).any(|n| enabled >> n & 1 != 0 && half(18 + 2 * n) != 0)))
            }
            _ => None,
        }
    }

    /// Does what a pause frame asks for.
    pub(super) fn obey(&mut self, control: Control, now: Instant) {
        self.stats.count(counter::PFR);
        let pauses = match control {
            Control::Pause(quanta) => quanta != 0,
            Control::Priorities(pauses) => pauses,
        };
        self.raise(if pauses { int::PFNZ } else { int::PTZ });
        match control {
            Control::Priorities(_) => self.pfc_negotiated = true,
            Control::Pause(quanta) => {
                let heeded = self.ncfgr & ncfgr::PEN != 0 && self.is_full_duplex() && !self.pfc_negotiated;
                if heeded {
                    // The time runs from the end of the frame that is being sent.
                    let from = self.sending_until().unwrap_or(now).max(now);
                    let time = Duration::from_nanos(u64::from(quanta) * self.quantum_nanos());
                    self.paused_until = (quanta != 0).then(|| from + time);
                }
            }
        }
    }

    /// RPQ: what is left of the pause.
    pub(super) fn pause_quanta(&self, now: Instant) -> u32 {
        let left = self.paused_until.map_or(0, |end| end.since(now).as_nanos() as u64);
        left.div_ceil(self.quantum_nanos()).min(0xFFFF) as u32
    }

    fn quantum_nanos(&self) -> u64 {
        let bits = if self.ncfgr & ncfgr::RTY != 0 { TEST_QUANTUM_BITS } else { QUANTUM_BITS };
        bits * self.bit_nanos()
    }

    /// The frames that NCR.TXPF, TXZQPF and TXPBPF ask for.
    pub(super) fn requested_pause(&self, strobes: u32) -> Option<Vec<u8>> {
        let source = self.specific[0].bytes();
        let quantum = self.stored(TPQ) as u16;
        if strobes & ncr::TXPBPF != 0 {
            let priorities = self.stored(TPFCP);
            return Some(pfc_frame(source, priorities as u8, (priorities >> 8) as u8, quantum));
        }
        let zero = strobes & ncr::TXZQPF != 0;
        (zero || strobes & ncr::TXPF != 0).then(|| pause_frame(source, if zero { 0 } else { quantum }))
    }
}

/// A pause frame from `source`, without FCS.
pub(super) fn pause_frame(source: [u8; 6], quantum: u16) -> Vec<u8> {
    let mut frame = head(source, OPCODE_PAUSE);
    frame.extend(quantum.to_be_bytes());
    frame.resize(MIN_FRAME, 0);
    frame
}

/// A priority-based pause frame: TPFCP.PEV, and for each priority zero or `quantum` as TPFCP.PQ says.
fn pfc_frame(source: [u8; 6], enabled: u8, zero: u8, quantum: u16) -> Vec<u8> {
    let mut frame = head(source, OPCODE_PFC);
    frame.extend([0, enabled]);
    for n in 0..8 {
        frame.extend(if zero >> n & 1 != 0 { 0 } else { quantum }.to_be_bytes());
    }
    frame.resize(MIN_FRAME, 0);
    frame
}

fn head(source: [u8; 6], opcode: [u8; 2]) -> Vec<u8> {
    [&PAUSE_ADDRESS[..], &source, &MAC_CONTROL, &opcode].concat()
}
