//! Faults of a serial flash as wrappers: around the memory (it stops answering, it is slow) or around its cells (a stuck
//! bit, a worn range).

use std::ops::Range;

use sim_base::{Instant, Rng};

use super::array::{NorCells, SIZE};
use crate::spi_flash::{FlashContext, Frame, Lines, SpiFlash};
use crate::tear::Tear;

/// Passes on what a wrapper of a [`SpiFlash`] does not change.
macro_rules! pass_on {
    () => {
        fn head(&self, opcode: Option<u8>) -> (u8, u8, Lines) {
            self.inner.head(opcode)
        }
        fn is_in_place(&self) -> bool {
            self.inner.is_in_place()
        }
        fn power_cut(&mut self, tear: Option<Tear>, rng: &mut Rng) -> Option<String> {
            self.inner.power_cut(tear, rng)
        }
        fn is_powered(&self) -> bool {
            self.inner.is_powered()
        }
        fn copy(&self, addr: u32, len: usize) -> Vec<u8> {
            self.inner.copy(addr, len)
        }
        fn preload(&mut self, addr: u32, bytes: &[u8]) {
            self.inner.preload(addr, bytes);
        }
        fn erases(&self, addr: u32) -> u32 {
            self.inner.erases(addr)
        }
        fn set_write_protect(&mut self, low: bool) {
            self.inner.set_write_protect(low);
        }
        fn set_worst_case(&mut self, on: bool) {
            self.inner.set_worst_case(on);
        }
        fn wrap_cells(&mut self, wrap: &mut dyn FnMut(Box<dyn NorCells>) -> Box<dyn NorCells>) {
            self.inner.wrap_cells(wrap);
        }
        fn clone_box(&self) -> Box<dyn SpiFlash> {
            Box::new(self.clone())
        }
    };
}

/// A memory that stops answering: from the frame after `frames` others on, it neither hears nor drives its lines.
#[derive(Clone)]
pub struct SilentFlash {
    inner: Box<dyn SpiFlash>,
    frames: u64,
    silent: bool,
}

impl SilentFlash {
    /// `frames` more are answered; 0 is silence at once.
    pub fn new(inner: Box<dyn SpiFlash>, frames: u64) -> Self {
        Self { inner, frames, silent: false }
    }
}

impl SpiFlash for SilentFlash {
    fn begin(&mut self, frame: Frame, cx: &mut FlashContext<'_>) {
        self.silent = self.frames == 0;
        if !self.silent {
            self.frames -= 1;
            self.inner.begin(frame, cx);
        }
    }

    fn read(&mut self, lines: Lines, cx: &mut FlashContext<'_>) -> u8 {
        if self.silent { 0xFF } else { self.inner.read(lines, cx) }
    }

    fn write(&mut self, byte: u8, lines: Lines, cx: &mut FlashContext<'_>) {
        if !self.silent {
            self.inner.write(byte, lines, cx);
        }
    }

    fn end(&mut self, cx: &mut FlashContext<'_>) {
        if !self.silent {
            self.inner.end(cx);
        }
    }

    fn busy_until(&self) -> Option<Instant> {
        self.inner.busy_until()
    }

    fn advance(&mut self, now: Instant) {
        self.inner.advance(now);
    }

    fn power_on(&mut self, ready_at: Instant) {
        self.inner.power_on(ready_at);
    }

    pass_on!();
}

/// A memory whose operations take longer than its data sheet allows.
#[derive(Clone)]
pub struct SlowFlash {
    inner: Box<dyn SpiFlash>,
    factor: u32,
    /// While an operation is in flight: when it began, by the memory's clock and by ours.
    since: Option<(Instant, Instant)>,
}

impl SlowFlash {
    /// Programs and erases take `factor` times as long.
    pub fn new(inner: Box<dyn SpiFlash>, factor: u32) -> Self {
        Self { inner, factor: factor.max(1), since: None }
    }

    /// The memory's own time at `now`: behind while an operation is in flight.
    fn own_time(&self, now: Instant) -> Instant {
        match self.since {
            Some((theirs, ours)) => theirs + now.since(ours) / self.factor,
            None => now,
        }
    }

    fn within<R>(
        &mut self,
        cx: &mut FlashContext<'_>,
        f: impl FnOnce(&mut dyn SpiFlash, &mut FlashContext<'_>) -> R,
    ) -> R {
        let now = cx.now();
        let own = self.own_time(now);
        self.inner.advance(own);
        let was_busy = self.inner.busy_until().is_some();
        if !was_busy {
            self.since = None;
        }
        let result = cx.at(if was_busy { own } else { now }, |cx| f(self.inner.as_mut(), cx));
        if !was_busy && self.inner.busy_until().is_some() {
            self.since = Some((now, now));
        }
        result
    }
}

impl SpiFlash for SlowFlash {
    fn begin(&mut self, frame: Frame, cx: &mut FlashContext<'_>) {
        self.within(cx, |inner, cx| inner.begin(frame, cx));
    }

    fn read(&mut self, lines: Lines, cx: &mut FlashContext<'_>) -> u8 {
        self.within(cx, |inner, cx| inner.read(lines, cx))
    }

    fn write(&mut self, byte: u8, lines: Lines, cx: &mut FlashContext<'_>) {
        self.within(cx, |inner, cx| inner.write(byte, lines, cx));
    }

    fn end(&mut self, cx: &mut FlashContext<'_>) {
        self.within(cx, |inner, cx| inner.end(cx));
    }

    fn busy_until(&self) -> Option<Instant> {
        let end = self.inner.busy_until()?;
        let (theirs, ours) = self.since?;
        Some(ours + end.since(theirs) * self.factor)
    }

    fn advance(&mut self, now: Instant) {
        let own = self.own_time(now);
        self.inner.advance(own);
        if self.inner.busy_until().is_none() {
            self.since = None;
        }
    }

    fn power_on(&mut self, ready_at: Instant) {
        self.since = None;
        self.inner.power_on(ready_at);
    }

    pass_on!();
}

/// Passes on what a wrapper of [`NorCells`] does not change.
macro_rules! pass_cells_on {
    () => {
        fn store(&mut self, addr: u32, bytes: &[u8]) {
            self.inner.store(addr, bytes);
        }
        fn unsettle(&mut self, addr: u32, bits: u8, noise: &mut Rng) {
            self.inner.unsettle(addr, bits, noise);
        }
        fn erases(&self, addr: u32) -> u32 {
            self.inner.erases(addr)
        }
        fn clone_box(&self) -> Box<dyn NorCells> {
            Box::new(self.clone())
        }
    };
}

/// A cell that always reads the same.
#[derive(Clone)]
pub struct StuckBit {
    inner: Box<dyn NorCells>,
    addr: u32,
    bit: u8,
    value: bool,
}

impl StuckBit {
    /// Bit `bit` (0 to 7) of the byte at `addr` is stuck at `value`.
    pub fn new(inner: Box<dyn NorCells>, addr: u32, bit: u8, value: bool) -> Self {
        Self { inner, addr: addr % SIZE, bit: bit & 7, value }
    }

    fn stick(&self, addr: u32, byte: u8) -> u8 {
        match (addr % SIZE == self.addr, self.value) {
            (false, _) => byte,
            (true, true) => byte | 1 << self.bit,
            (true, false) => byte & !(1 << self.bit),
        }
    }
}

impl NorCells for StuckBit {
    fn read(&mut self, addr: u32) -> u8 {
        let byte = self.inner.read(addr);
        self.stick(addr, byte)
    }

    fn program(&mut self, addr: u32, byte: u8) -> bool {
        let wants_zero = byte >> self.bit & 1 == 0;
        self.inner.program(addr, byte) && !(addr % SIZE == self.addr && self.value && wants_zero)
    }

    fn erase(&mut self, addr: u32, len: u32) -> bool {
        let outside = !(addr..addr + len).contains(&self.addr);
        self.inner.erase(addr, len) && (outside || self.value)
    }

    fn peek(&self, addr: u32) -> u8 {
        self.stick(addr, self.inner.peek(addr))
    }

    pass_cells_on!();
}

/// Cells that have had too many erases: they can no longer be erased, so their bits stay.
#[derive(Clone)]
pub struct WornRange {
    inner: Box<dyn NorCells>,
    range: Range<u32>,
}

impl WornRange {
    /// Erases that touch `range` leave the cells in it as they are and fail.
    pub fn new(inner: Box<dyn NorCells>, range: Range<u32>) -> Self {
        Self { inner, range }
    }
}

impl NorCells for WornRange {
    fn read(&mut self, addr: u32) -> u8 {
        self.inner.read(addr)
    }

    fn program(&mut self, addr: u32, byte: u8) -> bool {
        self.inner.program(addr, byte)
    }

    fn erase(&mut self, addr: u32, len: u32) -> bool {
        let worn = self.range.start.max(addr)..self.range.end.min(addr + len);
        let kept: Vec<u8> = worn.clone().map(|at| self.inner.peek(at)).collect();
        let verified = self.inner.erase(addr, len);
        self.inner.store(worn.start, &kept);
        verified && worn.is_empty()
    }

    fn peek(&self, addr: u32) -> u8 {
        self.inner.peek(addr)
    }

    pass_cells_on!();
}
