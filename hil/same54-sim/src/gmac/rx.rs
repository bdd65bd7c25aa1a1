//! Receiver: checks, packet buffer, receive queue in RAM (datasheet 24.6.3.2, 24.6.5, 24.7.1).

use std::time::Duration;

use sim_base::Instant;

use super::checksum::{self, Verdict};
use super::filter::is_pause;
use super::regs::*;
use super::stats::counter;
use super::{Gmac, RJFML};
use crate::event::EventKind;
use crate::peripheral::Context;

const FCS_LEN: usize = 4;
const MIN_FRAME: usize = 64;
const MAX_FRAME: usize = 1518;
const MAX_FRAME_1536: usize = 1536;
/// Packet buffer by DCFGR.RXBMS, bytes.
const PACKET_BUFFER: [usize; 4] = [512, 1024, 2048, 4096];
/// A pause quantum is 512 bit times (IEEE 802.3 annex 31B).
const QUANTUM_BITS: u64 = 512;

/// A frame from the wire.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// From destination to the end of padding.
    bytes: Vec<u8>,
    /// The FCS on the wire, if it is not the right one.
    bad_fcs: Option<[u8; FCS_LEN]>,
    /// Descriptor bits that filter and checksum unit have found.
    status: u32,
}

/// What became of the frame at the head of the packet buffer.
enum Outcome {
    Done,
    NoDescriptor,
}

impl Pending {
    /// A frame with a right FCS.
    pub fn good(bytes: Vec<u8>) -> Self {
        Self { bytes, bad_fcs: None, status: 0 }
    }

    /// A frame whose last four bytes are its FCS, right or wrong.
    pub fn with_fcs(mut bytes: Vec<u8>) -> Self {
        let Some(at) = bytes.len().checked_sub(FCS_LEN) else { return Self::good(bytes) };
        let fcs: [u8; FCS_LEN] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        bytes.truncate(at);
        let bad_fcs = (fcs != fcs_of(&bytes)).then_some(fcs);
        Self { bytes, bad_fcs, status: 0 }
    }

    pub fn is_good(&self) -> bool {
        self.bad_fcs.is_none()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Length on the wire.
    pub fn wire_len(&self) -> usize {
        self.bytes.len() + FCS_LEN
    }
}

impl Gmac {
    /// A frame has arrived, from the PHY or through a loopback.
    pub(super) fn receive(&mut self, mut frame: Pending, cx: &mut Context<'_>) {
        if self.ncr & ncr::RXEN == 0 || !self.is_sound(&frame) {
            return;
        }
        if is_pause(&frame.bytes) && frame.is_good() {
            self.stats.count(counter::PFR);
            self.obey_pause(&frame.bytes, cx.now);
        }
        let Some(status) = self.filter(&frame.bytes) else { return };
        frame.status = status;
        if self.ncfgr & ncfgr::RXCOEN != 0 && !self.verify_checksums(&mut frame) {
            return;
        }

        let capacity = PACKET_BUFFER[(self.dcfgr >> dcfgr::RXBMS_SHIFT & 3) as usize];
        let used: usize = self.rx_fifo.iter().map(Pending::wire_len).sum();
        if used + frame.wire_len() > capacity {
            self.stats.count(counter::ROE);
            self.rsr |= rsr::RXOVR;
            self.raise(int::ROVR);
        } else {
            self.rx_fifo.push_back(frame);
        }
        // The end of each frame makes the DMA look at the descriptor again.
        self.drain_packet_buffer(cx);
    }

    /// FCS and length.
    fn is_sound(&mut self, frame: &Pending) -> bool {
        let len = frame.wire_len();
        let longest = if self.ncfgr & ncfgr::JFRAME != 0 {
            self.stored(RJFML) as usize
        } else if self.ncfgr & ncfgr::MAXFS != 0 {
            MAX_FRAME_1536
        } else {
            MAX_FRAME
        };
        if len < MIN_FRAME {
            self.stats.count(counter::UFR);
            return false;
        }
        if len > longest {
            self.stats.count(counter::OFR);
            return false;
        }
        if !frame.is_good() && self.ncfgr & ncfgr::IRXFCS == 0 {
            self.stats.count(counter::FCSE);
            return false;
        }
        let field = usize::from(u16::from_be_bytes([frame.bytes[12], frame.bytes[13]]));
        if self.ncfgr & ncfgr::LFERD != 0 && field < 0x600 && field > frame.bytes.len() - 14 {
            self.stats.count(counter::LFFE);
            return false;
        }
        true
    }

    /// False if the frame is to be discarded.
    fn verify_checksums(&mut self, frame: &mut Pending) -> bool {
        let (verdict, snap) = checksum::verify(&frame.bytes);
        let code = match verdict {
            Verdict::Unchecked => 0,
            Verdict::Ip => 1,
            Verdict::Tcp => 2,
            Verdict::Udp => 3,
            Verdict::BadIp => {
                self.stats.count(counter::IHCE);
                return false;
            }
            Verdict::BadTcp => {
                self.stats.count(counter::TCE);
                return false;
            }
            Verdict::BadUdp => {
                self.stats.count(counter::UCE);
                return false;
            }
        };
        frame.status |= code << rxd::TYPE_ID_SHIFT;
        if snap {
            frame.status |= rxd::TYPE_ID;
        }
        true
    }

    fn obey_pause(&mut self, frame: &[u8], now: Instant) {
        if self.ncfgr & ncfgr::PEN == 0 {
            return;
        }
        let quanta = u64::from(u16::from_be_bytes([frame[16], frame[17]]));
        self.raise(if quanta == 0 { int::PTZ } else { int::PFNZ });
        self.paused_until = (quanta != 0).then(|| now + Duration::from_nanos(quanta * self.quantum_nanos()));
    }

    /// RPQ: what is left of the pause.
    pub(super) fn pause_quanta(&self, now: Instant) -> u32 {
        let left = self.paused_until.map_or(0, |end| end.since(now).as_nanos() as u64);
        left.div_ceil(self.quantum_nanos()) as u32
    }

    fn quantum_nanos(&self) -> u64 {
        QUANTUM_BITS * if self.ncfgr & ncfgr::SPD != 0 { 10 } else { 100 }
    }

    fn drain_packet_buffer(&mut self, cx: &mut Context<'_>) {
        while let Some(frame) = self.rx_fifo.pop_front() {
            match self.store(&frame, cx) {
                Outcome::Done => {}
                Outcome::NoDescriptor => {
                    self.note_no_buffer();
                    if self.keeps_frames() {
                        self.rx_fifo.push_front(frame);
                    }
                    return;
                }
            }
        }
    }

    fn keeps_frames(&self) -> bool {
        self.dcfgr & dcfgr::DDRP == 0
    }

    fn note_no_buffer(&mut self) {
        self.rsr |= rsr::BNA;
        self.raise(int::RXUBR);
        self.stats.count(counter::RRE);
    }

    /// Writes a frame into the buffers of the receive queue.
    fn store(&mut self, frame: &Pending, cx: &mut Context<'_>) -> Outcome {
        let buffer_len = (self.dcfgr >> dcfgr::DRBS_SHIFT & 0xFF) as usize * 64;
        if buffer_len == 0 {
            cx.violation("GMAC: frame received with DCFGR.DRBS 0, which is reserved; the frame is dropped");
            return Outcome::Done;
        }
        let mut data = frame.bytes.clone();
        if self.ncfgr & ncfgr::RFCS == 0 {
            data.extend(frame.bad_fcs.unwrap_or_else(|| fcs_of(&frame.bytes)));
        }
        let mut offset = self.ncfgr >> ncfgr::RXBUFO_SHIFT & 3;
        let mut rest = data.as_slice();
        let mut start = rxd::SOF;
        loop {
            let Ok(word0) = cx.dma_read_word(self.rx_next) else { return self.note_bus_error() };
            if word0 & rxd::OWN != 0 {
                if start != 0 {
                    return Outcome::NoDescriptor;
                }
                // In the middle of a frame: what has been written stays as a fragment.
                self.note_no_buffer();
                return Outcome::Done;
            }
            let (part, after) = rest.split_at(rest.len().min(buffer_len - offset as usize));
            rest = after;
            let mut word1 = start;
            if rest.is_empty() {
                word1 |= frame.status | rxd::EOF | data.len() as u32 & 0x1FFF;
                if self.ncfgr & ncfgr::JFRAME != 0 {
                    word1 |= data.len() as u32 & 0x2000;
                } else if !frame.is_good() {
                    word1 |= rxd::BAD_FCS;
                }
            }
            let written = cx
                .dma_write((word0 & rxd::ADDR) | offset, part)
                .and_then(|()| cx.dma_write_word(self.rx_next.wrapping_add(4), word1))
                .and_then(|()| cx.dma_write_word(self.rx_next, word0 | rxd::OWN));
            if written.is_err() {
                return self.note_bus_error();
            }
            self.rx_next = if word0 & rxd::WRAP != 0 { self.rbqb } else { self.rx_next.wrapping_add(8) };
            (start, offset) = (0, 0);
            if rest.is_empty() {
                break;
            }
        }
        self.note_received(frame, cx);
        Outcome::Done
    }

    fn note_received(&mut self, frame: &Pending, cx: &mut Context<'_>) {
        self.rsr |= rsr::REC;
        self.raise(int::RCOMP);
        cx.events.push(cx.now, EventKind::Frame { sent: false, len: frame.bytes.len() as u32 });
        if frame.is_good() && !is_pause(&frame.bytes) {
            self.stats.count(counter::FR);
            if frame.bytes[..6] == [0xFF; 6] {
                self.stats.count(counter::BCFR);
            } else if frame.bytes[0] & 1 != 0 {
                self.stats.count(counter::MFR);
            }
            self.stats.count_size(counter::OR, counter::RX_SIZES, frame.wire_len());
        }
    }

    /// The bus matrix answered the DMA with an error: the frame is lost.
    fn note_bus_error(&mut self) -> Outcome {
        self.rsr |= rsr::HNO;
        self.raise(int::HRESP);
        Outcome::Done
    }
}

/// The FCS as it stands in the frame: CRC-32 of IEEE 802.3 (3.2.9), least significant byte first.
///
/// Only drivers that keep or make the FCS themselves get here, so it need not be fast.
pub(super) fn fcs_of(bytes: &[u8]) -> [u8; FCS_LEN] {
    let crc = bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 != 0 { 0xEDB8_8320 } else { 0 })
    });
    (!crc).to_le_bytes()
}
