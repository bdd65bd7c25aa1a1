//! Transmitter: transmit queue in RAM, frame on the line (datasheet 24.6.3.4, 24.6.3.7, 24.6.4).

use std::time::Duration;

use sim_base::Instant;

use super::Gmac;
use super::checksum;
use super::regs::*;
use super::rx::{Pending, packet_buffer_use};
use super::stats::counter;
use crate::event::EventKind;
use crate::peripheral::Context;

/// Shortest frame without FCS; shorter ones are padded.
const MIN_FRAME: usize = 60;
/// Preamble and start frame delimiter, bytes.
pub(super) const PREAMBLE: usize = 8;
const GAP_BITS: u64 = 96;
/// Longest frame (24.6.3.4), bytes.
const MAX_FRAME: usize = 16_384;
/// Greatest number of buffers of one frame (24.6.3.4).
const MAX_BUFFERS: usize = 128;

/// A frame on its way to the PHY.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    frame: Pending,
    /// Start of the preamble.
    pub begun_at: Instant,
    done_at: Instant,
    /// `None` for a pause frame that the controller made.
    origin: Option<Origin>,
    /// Why the frame ends before its time, with a wrong FCS.
    broken: Option<FetchError>,
    /// Collisions so far.
    pub attempts: u32,
    /// It had to wait for somebody else's frame.
    pub deferred: bool,
    /// One of the collisions was late.
    pub late: bool,
}

/// The first descriptor of a frame, its word 1, and the descriptor after the frame.
#[derive(Clone, Copy, Debug)]
struct Origin {
    first: u32,
    word1: u32,
    next: u32,
}

/// Why a frame could not be fetched.
#[derive(Clone, Copy, Debug)]
enum FetchError {
    /// The first descriptor belongs to software: nothing to send.
    Used,
    /// A later descriptor belongs to software, or the frame does not fit into the packet buffer.
    Exhausted { word1: u32 },
    /// The bus answered with an error; with word 1 of the first descriptor, if that could be read.
    Bus { word1: Option<u32> },
}

/// A frame as it has been fetched, or what there is of it.
struct Fetched {
    frame: Pending,
    origin: Option<Origin>,
    broken: Option<FetchError>,
}

impl InFlight {
    pub fn done_at(&self) -> Instant {
        self.done_at
    }

    /// The frame's last two bytes.
    pub fn tail(&self) -> u16 {
        self.frame.bytes().last_chunk().map_or(0, |&bytes| u16::from_be_bytes(bytes))
    }
}

impl Gmac {
    /// NCR.TXEN is low: what is on the line is lost, the queue starts anew.
    pub(super) fn stop_transmitter(&mut self) {
        self.in_flight = None;
        self.pause_request = None;
        self.halting = false;
        self.tsr &= !tsr::TXGO;
        self.tx_next = self.tbqb;
    }

    /// NCR.THALT: takes effect at the end of the frame that is being sent.
    pub(super) fn halt_transmitter(&mut self) {
        self.halting = self.in_flight.as_ref().is_some_and(|frame| frame.origin.is_some());
        if !self.halting {
            self.tsr &= !tsr::TXGO;
        }
    }

    /// Ends the frames that have left by now, and starts what follows them.
    pub(super) fn settle_transmit(&mut self, cx: &mut Context<'_>) {
        while let Some(sent) = self.in_flight.take_if(|frame| frame.done_at <= cx.now) {
            self.finish(sent, cx);
            self.start_transmit(cx);
        }
        // A pause may have ended.
        self.start_transmit(cx);
    }

    /// Puts the next frame on the line, if the transmitter is free and there is one.
    pub(super) fn start_transmit(&mut self, cx: &mut Context<'_>) {
        let idle = self.ncr & ncr::TXEN == 0 || self.ncr & ncr::LPI != 0;
        if idle || self.in_flight.is_some() || !self.phy.gives_clock() {
            return;
        }
        if let Some(frame) = self.pause_request.take() {
            self.launch(Fetched { frame: Pending::good(frame), origin: None, broken: None }, cx.now);
            return;
        }
        if self.tsr & tsr::TXGO == 0 || self.paused_until.is_some() {
            return;
        }
        match self.fetch(cx) {
            Ok(fetched) => self.launch(fetched, cx.now),
            Err(error) => self.fail(error, cx),
        }
    }

    fn launch(&mut self, fetched: Fetched, now: Instant) {
        let Fetched { frame, origin, broken } = fetched;
        let at = self.line_free_at.max(now);
        let (attempts, deferred, late) = (0, false, false);
        self.in_flight = Some(InFlight { frame, begun_at: at, done_at: at, origin, broken, attempts, deferred, late });
        self.begin_at(at);
    }

    /// The frame in flight begins at `at`, maybe again.
    pub(super) fn begin_at(&mut self, at: Instant) {
        let Some(len) = self.in_flight.as_ref().map(|frame| PREAMBLE + frame.frame.wire_len()) else { return };
        let done_at = at + self.byte_times(len);
        self.line_free_at = done_at + self.gap_after(len);
        if let Some(frame) = &mut self.in_flight {
            (frame.begun_at, frame.done_at) = (at, done_at);
        }
    }

    pub(super) fn byte_times(&self, bytes: usize) -> Duration {
        Duration::from_nanos(8 * bytes as u64 * self.bit_nanos())
    }

    /// The gap of 96 bit times.
    pub(super) fn shortest_gap(&self) -> Duration {
        Duration::from_nanos(GAP_BITS * self.bit_nanos())
    }

    /// The gap after `bytes` on the line (24.9.26). Assumed: frame length and result are both in bits.
    fn gap_after(&self, bytes: usize) -> Duration {
        if self.ncfgr & ncfgr::IPGSEN == 0 || !self.is_full_duplex() {
            return self.shortest_gap();
        }
        let stretch = self.stored(IPGS);
        let bits = 8 * bytes as u64 * u64::from(stretch & 0xFF) / u64::from((stretch >> 8 & 0xFF) + 1);
        Duration::from_nanos(bits.max(GAP_BITS) * self.bit_nanos())
    }

    /// When the frame that is being sent has left.
    pub(super) fn sending_until(&self) -> Option<Instant> {
        self.in_flight.as_ref().map(|frame| frame.done_at)
    }

    /// Length in bytes after which a frame begins to leave although not all of it has been read.
    fn watermark(&self) -> Option<usize> {
        let partial = self.stored(TPSF);
        let on = partial & psf::ENABLE != 0 && self.is_full_duplex();
        on.then_some((partial & psf::WATERMARK) as usize * 4)
    }

    /// Reads the frame at the head of the queue.
    fn fetch(&self, cx: &Context<'_>) -> Result<Fetched, FetchError> {
        let mut data = Vec::new();
        match self.gather(&mut data, cx) {
            Ok(origin) => Ok(self.finish_fetch(data, origin)),
            // With partial store and forward the beginning is on the line by then.
            Err(error) if !data.is_empty() && self.watermark().is_some_and(|mark| data.len() >= mark) => {
                Ok(Fetched { frame: Pending::good(data), origin: None, broken: Some(error) })
            }
            Err(error) => Err(error),
        }
    }

    fn gather(&self, data: &mut Vec<u8>, cx: &Context<'_>) -> Result<Origin, FetchError> {
        let capacity = if self.dcfgr & dcfgr::TXPBMS != 0 { 4096 } else { 2048 };
        let first = self.tx_next;
        let mut at = first;
        let mut first_word1 = None;
        for _ in 0..MAX_BUFFERS {
            let words = (self.load_descriptor(at, cx), self.load_descriptor(at.wrapping_add(4), cx));
            let (Ok(address), Ok(word1)) = words else { return Err(FetchError::Bus { word1: first_word1 }) };
            if word1 & txd::USED != 0 {
                return Err(first_word1.map_or(FetchError::Used, |word1| FetchError::Exhausted { word1 }));
            }
            let origin_word1 = *first_word1.get_or_insert(word1);
            let start = data.len();
            data.resize(start + (word1 & txd::LENGTH) as usize, 0);
            if self.load(address, &mut data[start..], cx).is_err() {
                data.truncate(start);
                return Err(FetchError::Bus { word1: first_word1 });
            }
            let room = if self.watermark().is_some() { MAX_FRAME } else { capacity };
            if packet_buffer_use(data.len()) > room {
                return Err(FetchError::Exhausted { word1: origin_word1 });
            }
            at = if word1 & txd::WRAP != 0 { self.tbqb } else { at.wrapping_add(8) };
            if word1 & txd::LAST != 0 {
                return Ok(Origin { first, word1: origin_word1, next: at });
            }
        }
        Err(first_word1.map_or(FetchError::Used, |word1| FetchError::Exhausted { word1 }))
    }

    /// Checksums, padding, FCS.
    fn finish_fetch(&self, mut data: Vec<u8>, mut origin: Origin) -> Fetched {
        origin.word1 &= !txd::STATUS;
        let frame = if origin.word1 & txd::NO_CRC != 0 {
            Pending::with_fcs(data)
        } else {
            // 24.6.6.2: only with full store and forward.
            if self.dcfgr & dcfgr::TXCOEN != 0 && self.watermark().is_none() {
                origin.word1 |= checksum::generate(&mut data, self.outer_vlan_type()) << txd::CHECKSUM_SHIFT;
            }
            data.resize(data.len().max(MIN_FRAME), 0);
            Pending::good(data)
        };
        Fetched { frame, origin: Some(origin), broken: None }
    }

    /// Transmission stops; the queue stays where it is.
    fn fail(&mut self, error: FetchError, cx: &mut Context<'_>) {
        self.tsr &= !tsr::TXGO;
        self.halting = false;
        let word1 = match error {
            FetchError::Used => {
                self.tsr |= tsr::UBR;
                self.raise(int::TXUBR);
                return;
            }
            FetchError::Exhausted { word1 } => Some(word1),
            FetchError::Bus { word1 } => {
                self.tsr |= tsr::HRESP;
                self.raise(int::HRESP);
                word1
            }
        };
        self.tsr |= tsr::TFC;
        self.raise(int::TFC);
        if let Some(word1) = word1 {
            self.write_back(self.tx_next, word1 & !txd::STATUS | txd::TFC, cx);
        }
    }

    /// Collided too often (24.6.4).
    pub(super) fn give_up(&mut self, cx: &mut Context<'_>) {
        let Some(InFlight { origin, late, .. }) = self.in_flight.take() else { return };
        self.line_free_at = cx.now + self.shortest_gap();
        self.stats.count(counter::EC);
        self.tsr = self.tsr & !tsr::TXGO | tsr::RLE;
        self.halting = false;
        self.raise(int::RLEX);
        if let Some(origin) = origin {
            let status = txd::RLE | if late { txd::LATE } else { 0 };
            self.write_back(origin.first, origin.word1 | status, cx);
        }
    }

    /// Hands a frame's first descriptor back to software.
    fn write_back(&mut self, descriptor: u32, word1: u32, cx: &mut Context<'_>) {
        if self.store_descriptor(descriptor.wrapping_add(4), word1 | txd::USED, cx).is_err() {
            self.tsr |= tsr::HRESP;
            self.raise(int::HRESP);
        }
    }

    /// The last bit of a frame has left.
    fn finish(&mut self, sent: InFlight, cx: &mut Context<'_>) {
        let InFlight { frame, begun_at, done_at, origin, broken, attempts, .. } = sent;
        if let Some(error) = broken {
            self.tsr |= tsr::UND;
            self.raise(int::TUR);
            self.stats.count(counter::TUR);
            self.fail(error, cx);
            return;
        }
        match origin {
            None => {
                self.stats.count(counter::PFT);
                self.raise(int::PFTR);
            }
            Some(origin) => {
                self.tx_next = origin.next;
                self.write_back(origin.first, origin.word1, cx);
                self.count_sent(&frame, attempts);
                self.tsr |= tsr::TXCOMP;
                self.raise(int::TCOMP);
                if std::mem::take(&mut self.halting) {
                    self.tsr &= !tsr::TXGO;
                }
            }
        }
        cx.events.push(cx.now, EventKind::Frame { sent: true, len: frame.bytes().len() as u32 });
        let stamp = self.tsu.stamp(begun_at + self.byte_times(PREAMBLE));
        if frame.is_good() {
            self.capture(frame.bytes(), stamp, true);
        }

        if self.ncr & ncr::LBL != 0 || self.phy_loops_back() {
            self.receive(frame, cx);
        } else if frame.is_good() && frame.bytes().len() >= MIN_FRAME && self.on_wire(cx) {
            // A frame with a wrong FCS or too short is dropped by whoever is at the other end.
            cx.transmit_frame(done_at, frame.bytes());
        }
    }

    fn count_sent(&mut self, frame: &Pending, collisions: u32) {
        self.stats.count(counter::FT);
        match collisions {
            0 => {}
            1 => self.stats.count(counter::SCF),
            _ => self.stats.count(counter::MCF),
        }
        if frame.bytes().starts_with(&[0xFF; 6]) {
            self.stats.count(counter::BCFT);
        } else if frame.bytes().first().is_some_and(|byte| byte & 1 != 0) {
            self.stats.count(counter::MFT);
        }
        self.stats.count_size(counter::OT, counter::TX_SIZES, frame.wire_len());
    }
}
