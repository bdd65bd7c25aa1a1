//! Turns what a board tells into a trace.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use armv7m::{ExceptionEdge, ExceptionRecord};
use same54_sim::{Board, Event, EventKind};
use sim_base::Instant;

use super::vectors;
use super::writer::{Detail, Track, Writer};
use crate::board::LogLine;
use crate::elf::{FLASH, Image};
use crate::rig::reset_cause;

/// A function that runs, or another state of the core.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Running {
    name: String,
    range: Range<u32>,
}

/// Watches a board from look to look. Functions are as exact as the looks are frequent; everything else carries the
/// board's own times.
pub struct Recorder<W> {
    writer: Writer<W>,
    programs: Arc<[Image]>,
    running: Option<Running>,
    /// Exceptions that were entered and have not returned.
    active: Vec<u16>,
    /// When the operations that were seen last in internal and external flash end.
    flash: [Option<Instant>; 2],
    lit: bool,
    is_off: bool,
}

impl<W: Write> Recorder<W> {
    /// Begins a trace of `board`; `programs` give names to addresses.
    pub fn new(out: W, programs: Arc<[Image]>, board: &mut Board) -> Self {
        board.record_exceptions(true);
        Self {
            writer: Writer::new(out),
            programs,
            running: None,
            active: Vec::new(),
            flash: [None; 2],
            lit: false,
            is_off: false,
        }
    }

    /// Takes in what is new: events of the board, and log lines with the name of their program.
    pub fn look(&mut self, board: &mut Board, events: &[Event], lines: &[(&str, &LogLine)]) {
        let records = board.take_exceptions();
        let mut records = records.iter().peekable();
        self.end_operations(board.now());
        for event in events {
            while let Some((at, record)) = records.next_if(|(at, _)| *at <= event.at) {
                self.exception(*at, record);
            }
            self.event(board, event);
        }
        for (at, record) in records {
            self.exception(*at, record);
        }
        let now = board.now();
        for (program, line) in lines {
            let mut details = vec![Detail::Text("level", line.level()), Detail::Text("program", program)];
            let place = line.location.as_ref().map(|at| format!("{}:{}", at.file, at.line));
            details.extend(place.as_deref().map(|place| Detail::Text("source", place)));
            self.writer.instant(Track::Log, now, &line.text, &details);
        }
        self.sample(board, now, !events.is_empty());
        if board.led() != self.lit {
            self.lit = !self.lit;
            if self.lit {
                self.writer.begin(Track::Led, now, "on", &[]);
            } else {
                self.writer.end(Track::Led, now);
            }
        }
    }

    /// Ends the trace.
    ///
    /// # Errors
    /// It could not be written.
    pub fn finish(&mut self, board: &mut Board) -> io::Result<()> {
        let now = board.now();
        board.record_exceptions(false);
        self.end_operations(Instant::NEVER);
        self.leave_exceptions(now);
        if self.running.take().is_some() {
            self.writer.end(Track::Functions, now);
        }
        if self.lit {
            self.writer.end(Track::Led, now);
        }
        self.writer.finish()
    }

    fn event(&mut self, board: &Board, event: &Event) {
        let at = event.at;
        match &event.kind {
            // The first time there was no "off" before it.
            EventKind::PowerOn if std::mem::take(&mut self.is_off) => self.writer.end(Track::Power, at),
            EventKind::PowerOff { torn } => {
                self.leave_exceptions(at);
                for (until, track) in self.flash.iter_mut().zip(TRACKS) {
                    if until.take().is_some() {
                        self.writer.end(track, at);
                    }
                }
                self.is_off = true;
                let details: Vec<_> = torn.as_deref().map(|what| Detail::Text("torn", what)).into_iter().collect();
                self.writer.begin(Track::Power, at, "off", &details);
            }
            EventKind::Reset(cause) => {
                self.leave_exceptions(at);
                self.writer.instant(Track::Power, at, &format!("reset: {}", reset_cause(*cause)), &[]);
            }
            EventKind::NvmProgram { addr, len } => self.operation(board, 0, at, "program", *addr, *len),
            EventKind::NvmErase { addr, len } => self.operation(board, 0, at, "erase", *addr, *len),
            EventKind::NorProgram { addr, data } => self.operation(board, 1, at, "program", *addr, data.len() as u32),
            EventKind::NorErase { addr, len } => self.operation(board, 1, at, "erase", *addr, *len),
            EventKind::Frame { sent, len } => {
                let name = if *sent { "sent" } else { "received" };
                self.writer.instant(Track::Ethernet, at, name, &[Detail::Number("bytes", u64::from(*len))]);
            }
            EventKind::Unmodelled { what, .. } => {
                self.writer.instant(Track::Power, at, &format!("not modelled: {what}"), &[]);
            }
            EventKind::Violation(what) => self.writer.instant(Track::Power, at, &format!("violation: {what}"), &[]),
            EventKind::Lockup { .. } => self.writer.instant(Track::Power, at, "lockup", &[]),
            _ => {}
        }
    }

    /// A flash operation begins; it ends when the board says so, which is seen before the next one can begin.
    fn operation(&mut self, board: &Board, flash: usize, at: Instant, name: &str, addr: u32, len: u32) {
        if self.flash[flash].take().is_some() {
            self.writer.end(TRACKS[flash], at);
        }
        let details = [Detail::Number("address", u64::from(addr)), Detail::Number("bytes", u64::from(len))];
        self.writer.begin(TRACKS[flash], at, name, &details);
        self.flash[flash] = Some(board.flash_busy_until()[flash].unwrap_or(board.now()).max(at));
    }

    fn end_operations(&mut self, now: Instant) {
        for (until, track) in self.flash.iter_mut().zip(TRACKS) {
            if let Some(end) = until.take_if(|until| *until <= now) {
                self.writer.end(track, end);
            }
        }
    }

    fn exception(&mut self, at: Instant, record: &ExceptionRecord) {
        match record.edge {
            ExceptionEdge::Entry => {
                self.active.push(record.number);
                let details = [Detail::Number("number", u64::from(record.number))];
                self.writer.begin(Track::Exceptions, at, &vectors::name(record.number), &details);
            }
            ExceptionEdge::Exit => {
                // One that was active before the trace began has no slice.
                if let Some(depth) = self.active.iter().rposition(|number| *number == record.number) {
                    for _ in self.active.drain(depth..) {
                        self.writer.end(Track::Exceptions, at);
                    }
                }
            }
        }
    }

    fn leave_exceptions(&mut self, at: Instant) {
        for _ in self.active.drain(..) {
            self.writer.end(Track::Exceptions, at);
        }
    }

    /// Which function runs. `changed`: flash may not be what it was.
    fn sample(&mut self, board: &Board, now: Instant, changed: bool) {
        let pc = board.register(15);
        let state = |name: &str| Some(Running { name: name.to_owned(), range: 0..0 });
        let running = if !board.is_powered() {
            None
        } else if board.is_halted() {
            state("(halted)")
        } else if board.is_locked_up() {
            state("(locked up)")
        } else if board.is_sleeping() {
            state("(asleep)")
        } else {
            match &self.running {
                Some(running) if running.range.contains(&pc) && !changed => return,
                _ => Some(self.function(board, pc)),
            }
        };
        if running == self.running {
            return;
        }
        if self.running.is_some() {
            self.writer.end(Track::Functions, now);
        }
        if let Some(Running { name, range }) = &running {
            let details = [Detail::Number("address", u64::from(range.start))];
            self.writer.begin(Track::Functions, now, name, if range.is_empty() { &[] } else { &details });
        }
        self.running = running;
    }

    /// The function at `pc` of the program that is in flash now: two versions may share addresses.
    fn function(&self, board: &Board, pc: u32) -> Running {
        let found = self.programs.iter().find_map(|image| {
            let function = image.function(pc)?;
            let is_there = !FLASH.contains(&function.range.start) || image.holds(board.nvm(), function.range.clone());
            is_there.then(|| Running { name: function.name.clone(), range: function.range.clone() })
        });
        found.unwrap_or_else(|| Running { name: format!("0x{pc:08x}"), range: pc..pc + 2 })
    }
}

const TRACKS: [Track; 2] = [Track::Nvm, Track::Nor];
