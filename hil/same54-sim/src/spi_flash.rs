//! The edge between a controller of serial flash and the memory: frames on the wires.

use sim_base::{Instant, Rng};

use crate::event::{EventKind, EventLog};
use crate::nor::NorCells;
use crate::peripheral::Context;
use crate::tear::Tear;

/// How many data lines a phase of a frame uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Single.
    One = 1,
    /// Dual.
    Two = 2,
    /// Quad.
    Four = 4,
}

/// Everything of a frame before its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Instruction and its lines, unless the frame goes without (execute in place).
    pub opcode: Option<(u8, Lines)>,
    /// Address, its bytes (3 or 4) and lines.
    pub address: Option<(u32, u8, Lines)>,
    /// What the controller sends in the first of the dummy cycles: bits, and how many (1 to 8).
    pub option: Option<(u8, u8)>,
    /// Clock cycles between address and data, those of the option included.
    pub dummy: u8,
    /// Lines of the data.
    pub data_lines: Lines,
    /// Address and data on both edges of the clock.
    pub double_rate: bool,
}

/// What a memory needs to know and may say while it works.
pub struct FlashContext<'a> {
    /// The memory's clock.
    now: Instant,
    /// Virtual time, for events.
    stamp: Instant,
    events: &'a mut EventLog,
    timing: bool,
}

impl<'a> FlashContext<'a> {
    pub(crate) fn new(cx: &'a mut Context<'_>) -> Self {
        Self { now: cx.now, stamp: cx.now, events: cx.events, timing: cx.flash_timing }
    }

    /// The time by the memory's clock, which is virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Whether operations take their time.
    pub fn timing(&self) -> bool {
        self.timing
    }

    /// Notes a broken rule of the memory's data sheet.
    pub fn violation(&mut self, what: impl Into<String>) {
        self.event(EventKind::Violation(what.into()));
    }

    /// Lets `f` work with another clock, for memories that are slow. Events keep their time.
    pub fn at<R>(&mut self, now: Instant, f: impl FnOnce(&mut FlashContext<'_>) -> R) -> R {
        f(&mut FlashContext { now, stamp: self.stamp, events: self.events, timing: self.timing })
    }

    pub(crate) fn event(&mut self, kind: EventKind) {
        self.events.push(self.stamp, kind);
    }
}

/// A serial flash memory as its controller sees it. A fault is a wrapper around another one of these.
pub trait SpiFlash: Send {
    /// Chip select falls and the frame's head is sent.
    fn begin(&mut self, frame: Frame, cx: &mut FlashContext<'_>);

    /// The next data byte, sent by the memory over `lines`.
    fn read(&mut self, lines: Lines, cx: &mut FlashContext<'_>) -> u8;

    /// The next data byte, sent to the memory over `lines`.
    fn write(&mut self, byte: u8, lines: Lines, cx: &mut FlashContext<'_>);

    /// Chip select rises: programs, erases and register writes start.
    fn end(&mut self, cx: &mut FlashContext<'_>);

    /// Lets what is under way go on to `now`.
    fn advance(&mut self, now: Instant);

    /// When the operation in flight, if any, ends or changes.
    fn busy_until(&self) -> Option<Instant>;

    /// Address bytes, dummy cycles and data lines of the frame that begins with `opcode`, for a controller that only
    /// shifts bytes. In execute-in-place mode there is no opcode.
    fn head(&self, opcode: Option<u8>) -> (u8, u8, Lines);

    /// Whether the next frame goes without an instruction.
    fn is_in_place(&self) -> bool;

    /// The supply is there; instructions are heard from `ready_at` on.
    fn power_on(&mut self, ready_at: Instant);

    /// The supply is gone: the operation in flight is torn, as `tear` says or by chance, and named.
    fn power_cut(&mut self, tear: Option<Tear>, rng: &mut Rng) -> Option<String>;

    /// Whether the supply is there.
    fn is_powered(&self) -> bool;

    /// `len` bytes from `addr`, for observers.
    fn copy(&self, addr: u32, len: usize) -> Vec<u8>;

    /// The cells from `addr` on hold `bytes`, whatever they held before.
    fn preload(&mut self, addr: u32, bytes: &[u8]);

    /// How often the smallest erase unit around `addr` was erased, for observers.
    fn erases(&self, addr: u32) -> u32;

    /// The write protect pin W#: true is low.
    fn set_write_protect(&mut self, low: bool);

    /// Operations take the data sheet's maximum times rather than the typical ones.
    fn set_worst_case(&mut self, on: bool);

    /// Wraps the cells of the memory, if it is one that lets itself be wrapped.
    fn wrap_cells(&mut self, wrap: &mut dyn FnMut(Box<dyn NorCells>) -> Box<dyn NorCells>);

    /// See [`Board::likeness`](crate::Board::likeness). None if chance or a fault has a word in what comes.
    fn likeness(&self) -> Option<u64> {
        None
    }

    /// A copy for a snapshot of the board.
    fn clone_box(&self) -> Box<dyn SpiFlash>;
}

impl Clone for Box<dyn SpiFlash> {
    fn clone(&self) -> Self {
        self.as_ref().clone_box()
    }
}
