//! Transmitter: transmit queue in RAM, frame on the line (datasheet 24.6.3.3, 24.6.4).

use std::time::Duration;

use sim_base::Instant;

use super::Gmac;
use super::checksum;
use super::filter::pause_frame;
use super::regs::*;
use super::rx::Pending;
use super::stats::counter;
use crate::event::EventKind;
use crate::peripheral::Context;

/// Shortest frame without FCS; shorter ones are padded.
const MIN_FRAME: usize = 60;
const PREAMBLE: usize = 8;
const GAP: usize = 12;
/// Greatest number of buffers of one frame (24.6.3.3).
const MAX_BUFFERS: usize = 128;

/// A frame on its way to the PHY.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    frame: Pending,
    done_at: Instant,
    /// The first descriptor of the frame, its word 1, and the descriptor after the frame; `None` for a pause frame.
    origin: Option<Origin>,
}

#[derive(Clone, Copy, Debug)]
struct Origin {
    first: u32,
    word1: u32,
    next: u32,
}

/// Why a frame could not be fetched.
enum FetchError {
    /// The first descriptor belongs to software: nothing to send.
    Used,
    /// A later descriptor belongs to software, or the frame does not fit into the packet buffer.
    Exhausted { word1: u32 },
    /// The bus answered with an error; with word 1 of the first descriptor, if that could be read.
    Bus { word1: Option<u32> },
}

impl InFlight {
    pub fn done_at(&self) -> Instant {
        self.done_at
    }
}

impl Gmac {
    /// NCR.TXEN is low: what is on the line is lost, the queue starts anew.
    pub(super) fn stop_transmitter(&mut self) {
        self.in_flight = None;
        self.pause_request = None;
        self.tsr &= !tsr::TXGO;
        self.tx_next = self.tbqb;
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
        if self.ncr & ncr::TXEN == 0 || self.in_flight.is_some() {
            return;
        }
        if let Some(quantum) = self.pause_request.take() {
            let frame = Pending::good(pause_frame(self.specific[0].bytes(), quantum));
            self.launch(frame, None, cx.now);
            return;
        }
        if self.tsr & tsr::TXGO == 0 || self.paused_until.is_some() {
            return;
        }
        match self.fetch(cx) {
            Ok((frame, origin)) => self.launch(frame, Some(origin), cx.now),
            Err(error) => self.fail(error, cx),
        }
    }

    fn launch(&mut self, frame: Pending, origin: Option<Origin>, now: Instant) {
        let start = self.line_free_at.max(now);
        let done_at = start + self.byte_times(PREAMBLE + frame.wire_len());
        self.line_free_at = done_at + self.byte_times(GAP);
        self.in_flight = Some(InFlight { frame, done_at, origin });
    }

    fn byte_times(&self, bytes: usize) -> Duration {
        Duration::from_nanos(bytes as u64 * if self.ncfgr & ncfgr::SPD != 0 { 80 } else { 800 })
    }

    /// Reads the frame at the head of the queue.
    fn fetch(&self, cx: &Context<'_>) -> Result<(Pending, Origin), FetchError> {
        let capacity = if self.dcfgr & dcfgr::TXPBMS != 0 { 4096 } else { 2048 };
        let first = self.tx_next;
        let mut at = first;
        let mut first_word1 = None;
        let mut data = Vec::new();
        for _ in 0..MAX_BUFFERS {
            let bus = FetchError::Bus { word1: first_word1 };
            let (Ok(address), Ok(word1)) = (cx.dma_read_word(at), cx.dma_read_word(at.wrapping_add(4))) else {
                return Err(bus);
            };
            if word1 & txd::USED != 0 {
                return Err(first_word1.map_or(FetchError::Used, |word1| FetchError::Exhausted { word1 }));
            }
            let origin_word1 = *first_word1.get_or_insert(word1);
            let start = data.len();
            data.resize(start + (word1 & txd::LENGTH) as usize, 0);
            if cx.dma_read(address, &mut data[start..]).is_err() {
                return Err(FetchError::Bus { word1: first_word1 });
            }
            if data.len() > capacity {
                return Err(FetchError::Exhausted { word1: origin_word1 });
            }
            at = if word1 & txd::WRAP != 0 { self.tbqb } else { at.wrapping_add(8) };
            if word1 & txd::LAST != 0 {
                return Ok(self.finish_fetch(data, Origin { first, word1: origin_word1, next: at }));
            }
        }
        Err(first_word1.map_or(FetchError::Used, |word1| FetchError::Exhausted { word1 }))
    }

    /// Checksums, padding, FCS.
    fn finish_fetch(&self, mut data: Vec<u8>, mut origin: Origin) -> (Pending, Origin) {
        origin.word1 &= !txd::STATUS;
        if origin.word1 & txd::NO_CRC != 0 {
            return (Pending::with_fcs(data), origin);
        }
        if self.dcfgr & dcfgr::TXCOEN != 0 {
            origin.word1 |= checksum::generate(&mut data) << txd::CHECKSUM_SHIFT;
        }
        data.resize(data.len().max(MIN_FRAME), 0);
        (Pending::good(data), origin)
    }

    /// Transmission stops; the queue stays where it is.
    fn fail(&mut self, error: FetchError, cx: &mut Context<'_>) {
        self.tsr &= !tsr::TXGO;
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
            // The descriptor was readable RAM a moment ago.
            let _ = cx.dma_write_word(self.tx_next.wrapping_add(4), word1 | txd::USED | txd::TFC);
        }
    }

    /// The last bit of a frame has left.
    fn finish(&mut self, sent: InFlight, cx: &mut Context<'_>) {
        let InFlight { frame, done_at, origin } = sent;
        match origin {
            None => {
                self.stats.count(counter::PFT);
                self.raise(int::PFTR);
            }
            Some(origin) => {
                self.tx_next = origin.next;
                if cx.dma_write_word(origin.first.wrapping_add(4), origin.word1 | txd::USED).is_err() {
                    self.tsr |= tsr::HRESP;
                    self.raise(int::HRESP);
                }
                self.count_sent(&frame);
                self.tsr |= tsr::TXCOMP;
                self.raise(int::TCOMP);
            }
        }
        cx.events.push(cx.now, EventKind::Frame { sent: true, len: frame.bytes().len() as u32 });

        if self.ncr & ncr::LBL != 0 || self.phy.loops_back() {
            self.receive(frame, cx);
        } else if frame.is_good() && frame.bytes().len() >= MIN_FRAME && self.on_wire(cx) {
            // A frame with a wrong FCS or too short is dropped by whoever is at the other end.
            cx.transmit_frame(done_at, frame.bytes());
        }
    }

    fn count_sent(&mut self, frame: &Pending) {
        self.stats.count(counter::FT);
        if frame.bytes().starts_with(&[0xFF; 6]) {
            self.stats.count(counter::BCFT);
        } else if frame.bytes().first().is_some_and(|byte| byte & 1 != 0) {
            self.stats.count(counter::MFT);
        }
        self.stats.count_size(counter::OT, counter::TX_SIZES, frame.wire_len());
    }
}
