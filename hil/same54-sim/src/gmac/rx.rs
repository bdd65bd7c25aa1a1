//! Receiver: checks, packet buffer, receive queue in RAM (datasheet 24.6.3.2, 24.6.3.3, 24.6.3.8, 24.6.5, 24.7.1).
//!
//! Assumed: NCR.SRTSM stores the nanoseconds least significant byte first; with partial store and forward a frame that
//! turns out to be bad after its watermark leaves behind the buffers that it has filled.

use sim_base::Instant;

use super::checksum::{self, Verdict};
use super::regs::*;
use super::stats::counter;
use super::{Gmac, RJFML};
use crate::event::EventKind;
use crate::peripheral::Context;

const FCS_LEN: usize = 4;
/// Shortest frame with its FCS.
pub(super) const MIN_FRAME: usize = 64;
const MAX_FRAME: usize = 1518;
const MAX_FRAME_1536: usize = 1536;
const MAX_JUMBO: usize = 10_240;
/// Packet buffer by DCFGR.RXBMS, bytes.
const PACKET_BUFFER: [usize; 4] = [512, 1024, 2048, 4096];
/// Status and statistics take three words of the packet buffer per frame (24.6.3.7).
const PACKET_STATUS: usize = 12;

/// A frame from the wire.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// From destination to the end of padding.
    bytes: Vec<u8>,
    /// The FCS on the wire, if it is not the right one.
    bad_fcs: Option<[u8; FCS_LEN]>,
    /// TN as its start frame delimiter passed.
    nanos: u32,
    /// A pause frame.
    is_control: bool,
    /// Only the buffers that are full before the frame's end are written.
    abandoned: bool,
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
        Self { bytes, bad_fcs: None, nanos: 0, is_control: false, abandoned: false, status: 0 }
    }

    /// A frame whose last four bytes are its FCS, right or wrong.
    pub fn with_fcs(mut bytes: Vec<u8>) -> Self {
        let Some(at) = bytes.len().checked_sub(FCS_LEN) else { return Self::good(bytes) };
        let fcs: [u8; FCS_LEN] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        bytes.truncate(at);
        let bad_fcs = (fcs != fcs_of(&bytes)).then_some(fcs);
        Self { bad_fcs, ..Self::good(bytes) }
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

/// What a frame of `len` bytes takes up in a packet buffer.
pub(super) fn packet_buffer_use(len: usize) -> usize {
    len.next_multiple_of(4) + PACKET_STATUS
}

impl Gmac {
    /// A frame has arrived, from the PHY or through a loopback.
    pub(super) fn receive(&mut self, mut frame: Pending, cx: &mut Context<'_>) {
        if self.ncr & ncr::RXEN == 0 {
            return;
        }
        self.look_for_wake_up(&frame);
        if !self.is_sound(&frame) {
            self.abandon(frame, cx);
            return;
        }
        let delimiter = cx.now.as_nanos().saturating_sub(self.byte_times(frame.wire_len()).as_nanos() as u64);
        let stamp = self.tsu.stamp(Instant::from_nanos(delimiter));
        frame.nanos = stamp.nanos;
        if frame.is_good() {
            self.capture(&frame.bytes, stamp, false);
            if let Some(control) = self.control(&frame.bytes) {
                frame.is_control = true;
                self.obey(control, cx.now);
            }
        }
        let Some(status) = self.filter(&frame.bytes, frame.is_control) else { return };
        frame.status = status;
        if self.ncfgr & ncfgr::RXCOEN != 0 && !self.verify_checksums(&mut frame) {
            self.abandon(frame, cx);
            return;
        }

        let capacity = PACKET_BUFFER[(self.dcfgr >> dcfgr::RXBMS_SHIFT & 3) as usize];
        let used: usize = self.rx_fifo.iter().map(|frame| packet_buffer_use(frame.wire_len())).sum();
        // With partial store and forward the frame's beginning has left by the time that its end arrives.
        let own = match self.receive_watermark() {
            Some(mark) => packet_buffer_use(frame.wire_len().min(mark)),
            None => packet_buffer_use(frame.wire_len()),
        };
        if used + own > capacity {
            self.note_overrun();
        } else {
            self.rx_fifo.push_back(frame);
        }
        // The end of each frame makes the DMA look at the descriptor again.
        self.drain_packet_buffer(cx);
    }

    /// Longest frame that is accepted, with its FCS.
    pub(super) fn longest_frame(&self) -> usize {
        if self.ncfgr & ncfgr::JFRAME != 0 {
            // 24.6.21: and no more than 10240.
            (self.stored(RJFML) as usize).min(MAX_JUMBO)
        } else if self.ncfgr & ncfgr::MAXFS != 0 {
            MAX_FRAME_1536
        } else {
            MAX_FRAME
        }
    }

    /// FCS and length (24.6.5, 24.9.72 to 24.9.76).
    fn is_sound(&mut self, frame: &Pending) -> bool {
        let len = frame.wire_len();
        if len < MIN_FRAME {
            if frame.is_good() {
                self.stats.count(counter::UFR);
            }
            return false;
        }
        if len > self.longest_frame() {
            self.stats.count(if frame.is_good() { counter::OFR } else { counter::JR });
            return false;
        }
        if !frame.is_good() {
            self.stats.count(counter::FCSE);
            if self.ncfgr & ncfgr::IRXFCS == 0 {
                return false;
            }
        }
        let field = usize::from(u16::from_be_bytes([frame.bytes[12], frame.bytes[13]]));
        let checked = self.ncfgr & ncfgr::LFERD != 0 && len <= MAX_FRAME;
        if checked && field < 0x600 && field > frame.bytes.len() - 14 {
            self.stats.count(counter::LFFE);
            return false;
        }
        true
    }

    /// False if the frame is to be discarded.
    fn verify_checksums(&mut self, frame: &mut Pending) -> bool {
        let (verdict, snap) = checksum::verify(&frame.bytes, self.outer_vlan_type());
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

    /// Length in bytes after which a frame begins to go to memory although its end has not arrived.
    fn receive_watermark(&self) -> Option<usize> {
        let partial = self.stored(RPSF);
        let on = partial & psf::ENABLE != 0 && self.is_full_duplex();
        on.then_some((partial & psf::WATERMARK) as usize * 4)
    }

    /// A frame turned out to be bad. Full store and forward leaves no trace of it.
    fn abandon(&mut self, frame: Pending, cx: &mut Context<'_>) {
        let begun = self.receive_watermark().is_some_and(|mark| frame.wire_len() > mark);
        let is_control = false;
        if begun && self.filter(&frame.bytes, is_control).is_some() {
            self.rx_fifo.push_back(Pending { abandoned: true, ..frame });
            self.drain_packet_buffer(cx);
        }
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
        self.dcfgr & dcfgr::DDRP == 0 && self.receive_watermark().is_none()
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
            if self.ncr & ncr::SRTSM != 0 {
                data.extend(frame.nanos.to_le_bytes());
            } else {
                data.extend(frame.bad_fcs.unwrap_or_else(|| fcs_of(&frame.bytes)));
            }
        }
        let mut offset = self.ncfgr >> ncfgr::RXBUFO_SHIFT & 3;
        let mut rest = data.as_slice();
        let mut start = rxd::SOF;
        loop {
            let Ok(word0) = self.load_descriptor(self.rx_next, cx) else { return self.note_bus_error() };
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
            if frame.abandoned && rest.is_empty() {
                return Outcome::Done; // the buffer that is being written is recovered
            }
            let mut word1 = start;
            if rest.is_empty() {
                word1 |= frame.status | rxd::EOF | data.len() as u32 & 0x1FFF;
                if self.ncfgr & ncfgr::JFRAME != 0 {
                    word1 |= data.len() as u32 & 0x2000;
                } else if !frame.is_good() {
                    word1 |= rxd::BAD_FCS;
                }
            }
            let written = self
                .store_data((word0 & rxd::ADDR) | offset, part, cx)
                .and_then(|()| self.store_descriptor(self.rx_next.wrapping_add(4), word1, cx))
                .and_then(|()| self.store_descriptor(self.rx_next, word0 | rxd::OWN, cx));
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
        if frame.is_good() && !frame.is_control {
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
        self.note_overrun();
        Outcome::Done
    }

    fn note_overrun(&mut self) {
        self.stats.count(counter::ROE);
        self.rsr |= rsr::RXOVR;
        self.raise(int::ROVR);
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
