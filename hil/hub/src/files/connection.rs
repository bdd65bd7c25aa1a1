//! The server's half of one connection.

use core::time::Duration;
use std::sync::Arc;

use sim_base::Instant;

use super::answer::Answer;
use super::{Clock, FileFault, Service};
use crate::event::{CloseReason, EventKind};

/// Longest request head, bytes.
const MAX_HEAD: usize = 8 * 1024;
/// Bytes of further requests that may wait while an answer is being sent.
const MAX_PIPELINED: usize = 64 * 1024;
/// Most header fields of a request.
const MAX_FIELDS: usize = 48;
/// A connection on which nothing moves for so long is closed.
const IDLE: Duration = Duration::from_secs(120);
/// Bytes of a body that are handed out at once.
const CHUNK: u64 = 64 * 1024;
/// How often a slowed body goes on.
const PACE: Duration = Duration::from_millis(100);

/// The server's half of one connection.
///
/// Bodies are not copied: they leave in pieces of 64 KiB at most, each when [`transmit`](Self::transmit) asks for it, so
/// a client that reads slowly costs no memory.
#[derive(Debug)]
pub struct Connection {
    rx: Vec<u8>,
    head: Vec<u8>,
    body: Option<Body>,
    /// Bytes after which the connection is dropped, if it is to be.
    budget: Option<u64>,
    heard: Instant,
    /// Something was sent since `heard`.
    moved: bool,
    close_after: bool,
    ended: Option<CloseReason>,
}

/// What is sent after a head.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Arc<[u8]>,
    /// First byte that was not sent.
    at: u64,
    /// Where the file's bytes end and zeros begin.
    real: u64,
    end: u64,
    flip: Option<u64>,
    cut: Cut,
    pace: Option<Pace>,
}

/// What happens when a body has been sent as far as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    None,
    Close,
    Stall,
}

/// A body that is slowed down.
#[derive(Debug)]
struct Pace {
    bytes_per_second: u32,
    /// Bytes that may leave now.
    allowed: u64,
    /// Until when time has been turned into bytes.
    until: Instant,
}

impl Body {
    /// The bytes `start..end`, spoilt.
    pub(super) fn new(bytes: Arc<[u8]>, start: u64, end: u64, fault: &FileFault, now: Instant) -> Self {
        let real = end;
        let (end, cut) = match (fault.truncate_at, fault.stall_at) {
            (Some(truncate), stall) if stall.is_none_or(|stall| truncate <= stall) => (truncate, Cut::Close),
            (_, Some(stall)) => (stall, Cut::Stall),
            _ => (end + u64::from(fault.extra_bytes.unwrap_or(0)), Cut::None),
        };
        let pace = fault.bytes_per_second.map(|bytes_per_second| Pace { bytes_per_second, allowed: 0, until: now });
        Self { bytes, at: start, real, end, flip: fault.flip_byte_at, cut, pace }
    }

    /// First byte, and how many of the file's follow.
    pub(super) fn extent(&self) -> (u64, u64) {
        (self.at, self.end.min(self.real).saturating_sub(self.at))
    }

    fn sendable(&self) -> u64 {
        let allowed = self.pace.as_ref().map_or(CHUNK, |pace| pace.allowed);
        (self.end - self.at).min(allowed).min(CHUNK)
    }

    fn send(&mut self, out: &mut Vec<u8>) {
        let len = self.sendable();
        let (from, upto) = (self.at as usize, (self.at + len) as usize);
        let real = self.real as usize;
        let start = out.len();
        out.extend_from_slice(&self.bytes[from.min(real)..upto.min(real)]);
        out.resize(start + len as usize, 0);
        if let Some(flip) = self.flip.filter(|flip| (self.at..self.at + len).contains(flip)) {
            out[start + (flip - self.at) as usize] ^= 0xFF;
        }
        self.at += len;
        if let Some(pace) = &mut self.pace {
            pace.allowed -= len;
        }
    }
}

impl Pace {
    /// Time for one byte.
    fn byte(&self) -> Duration {
        Duration::from_nanos(1_000_000_000 / u64::from(self.bytes_per_second.max(1)))
    }

    fn next(&self) -> Instant {
        if self.bytes_per_second == 0 { Instant::NEVER } else { self.until + PACE.max(self.byte()) }
    }

    fn poll(&mut self, now: Instant) {
        if now < self.next() {
            return;
        }
        let nanos = u128::from(now.as_nanos() - self.until.as_nanos());
        let bytes = nanos * u128::from(self.bytes_per_second) / 1_000_000_000;
        // What was not taken in time is not saved up.
        self.allowed = (self.allowed + u64::try_from(bytes).unwrap_or(CHUNK)).min(CHUNK);
        self.until = now;
    }
}

impl Connection {
    /// A connection that was opened at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            rx: Vec::new(),
            head: Vec::new(),
            body: None,
            budget: None,
            heard: now,
            moved: false,
            close_after: false,
            ended: None,
        }
    }

    /// Takes bytes from the network and answers the requests in them.
    pub fn receive(&mut self, clock: &Clock, bytes: &[u8], service: &mut Service, events: &mut Vec<EventKind>) {
        if self.ended.is_some() {
            return;
        }
        self.heard = clock.now;
        self.rx.extend_from_slice(bytes);
        if self.rx.len() > MAX_PIPELINED {
            self.end(CloseReason::Protocol("too many requests wait for their turn".into()));
            return;
        }
        self.answer(clock, service, events);
    }

    /// Answers the next request once the previous answer has left.
    pub fn answer(&mut self, clock: &Clock, service: &mut Service, events: &mut Vec<EventKind>) {
        if self.ended.is_some() || self.close_after || self.body.is_some() || !self.head.is_empty() {
            return;
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let (answer, len) = match request.parse(&self.rx) {
            Ok(httparse::Status::Partial) if self.rx.len() <= MAX_HEAD => return,
            Ok(httparse::Status::Complete(len)) if len <= MAX_HEAD => (Answer::to(&request, service, clock), len),
            Ok(_) => (Answer::error(431, "-", "the head of a request may have 8 KiB"), self.rx.len()),
            Err(error) => {
                let why = match error {
                    httparse::Error::TooManyHeaders => format!("a request may have {MAX_FIELDS} header fields"),
                    other => format!("not a request of HTTP/1.1: {other}"),
                };
                (Answer::error(400, "-", &why), self.rx.len())
            }
        };
        self.rx.drain(..len);
        self.close_after = answer.close;
        self.budget = answer.drop_after;
        self.head = answer.head(&clock.utc.http_date(clock.now)).into_bytes();
        let (offset, len) = answer.body.as_ref().map_or((0, 0), Body::extent);
        events.push(EventKind::RangeServed { offset, len, status: answer.status, file: answer.file });
        self.body = answer.body;
    }

    /// Takes what is to be sent now, at most 64 KiB of a body at a time.
    pub fn transmit(&mut self) -> Vec<u8> {
        let mut out = core::mem::take(&mut self.head);
        if let Some(body) = &mut self.body {
            body.send(&mut out);
            if body.at == body.end {
                match body.cut {
                    Cut::None => self.body = None,
                    Cut::Close => self.end(CloseReason::HttpDone),
                    Cut::Stall => {}
                }
            }
        }
        self.moved |= !out.is_empty();
        if let Some(budget) = &mut self.budget {
            let left = usize::try_from(*budget).unwrap_or(usize::MAX);
            *budget = budget.saturating_sub(out.len() as u64);
            if out.len() >= left {
                out.truncate(left);
                self.end(CloseReason::HttpDone);
            }
        }
        if self.close_after && self.head.is_empty() && self.body.is_none() {
            self.end(CloseReason::HttpDone);
        }
        out
    }

    /// Whether [`transmit`](Self::transmit) would yield bytes.
    pub fn has_output(&self) -> bool {
        !self.head.is_empty() || self.body.as_ref().is_some_and(|body| body.sendable() > 0)
    }

    /// Ends the connection.
    pub fn end(&mut self, why: CloseReason) {
        self.ended.get_or_insert(why);
        self.body = None;
    }

    /// Why the connection ended, once it has.
    pub fn ended(&self) -> Option<&CloseReason> {
        self.ended.as_ref()
    }

    /// Lets a slowed body go on, and ends an idle connection.
    pub fn poll(&mut self, now: Instant) {
        if let Some(pace) = self.body.as_mut().and_then(|body| body.pace.as_mut()) {
            pace.poll(now);
        }
        if now >= self.heard + IDLE {
            if core::mem::take(&mut self.moved) {
                self.heard = now;
            } else {
                self.end(CloseReason::Idle);
            }
        }
    }

    /// When [`poll`](Self::poll) next has something to do.
    pub fn poll_at(&self) -> Instant {
        if self.ended.is_some() {
            return Instant::NEVER;
        }
        let waits = self.body.as_ref().filter(|body| body.at < body.end && body.sendable() == 0);
        let pace = waits.and_then(|body| body.pace.as_ref()).map_or(Instant::NEVER, Pace::next);
        pace.min(self.heard + IDLE)
    }
}
