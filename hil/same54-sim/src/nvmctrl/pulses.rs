//! The edge between NVMCTRL and its cells, and faults as wrappers around it.

use std::ops::Range;

/// What the pulses of a program or erase do to cells of the internal flash. Cells are bytes, with a byte of error
/// correction code behind each eight. A fault is a wrapper around another one of these.
pub trait NvmPulses: Send {
    /// Programs `cells`, which begin with those of the word at `addr`, with `data`: bits only go from 1 to 0. False if
    /// the cells do not verify, which sets INTFLAG.NVME.
    fn program(&mut self, addr: u32, cells: &mut [u8], data: &[u8]) -> bool;

    /// Erases `cells`: all bits become 1. False as for [`program`](Self::program).
    fn erase(&mut self, addr: u32, cells: &mut [u8]) -> bool;

    /// Whether every pulse does what it should, from now on too.
    fn is_sound(&self) -> bool {
        false
    }

    /// A copy for a snapshot of the board.
    fn clone_box(&self) -> Box<dyn NvmPulses>;
}

/// Cells as they should be.
#[derive(Clone, Debug, Default)]
pub struct SoundPulses;

impl NvmPulses for SoundPulses {
    fn program(&mut self, _addr: u32, cells: &mut [u8], data: &[u8]) -> bool {
        cells.iter_mut().zip(data).for_each(|(cell, byte)| *cell &= byte);
        true
    }

    fn erase(&mut self, _addr: u32, cells: &mut [u8]) -> bool {
        cells.fill(0xFF);
        true
    }

    fn is_sound(&self) -> bool {
        true
    }

    fn clone_box(&self) -> Box<dyn NvmPulses> {
        Box::new(self.clone())
    }
}

/// Programs or erases that touch a range fail, a number of times: the cells stay as they were.
pub struct FailingPulses {
    inner: Box<dyn NvmPulses>,
    range: Range<u32>,
    times: u64,
}

impl FailingPulses {
    /// The next `times` operations whose first byte is in `range` fail.
    pub fn new(inner: Box<dyn NvmPulses>, range: Range<u32>, times: u64) -> Self {
        Self { inner, range, times }
    }

    fn strikes(&mut self, addr: u32) -> bool {
        let strikes = self.times != 0 && self.range.contains(&addr);
        self.times -= u64::from(strikes);
        strikes
    }
}

impl NvmPulses for FailingPulses {
    fn program(&mut self, addr: u32, cells: &mut [u8], data: &[u8]) -> bool {
        !self.strikes(addr) && self.inner.program(addr, cells, data)
    }

    fn erase(&mut self, addr: u32, cells: &mut [u8]) -> bool {
        !self.strikes(addr) && self.inner.erase(addr, cells)
    }

    fn clone_box(&self) -> Box<dyn NvmPulses> {
        Box::new(Self { inner: self.inner.clone_box(), range: self.range.clone(), times: self.times })
    }
}
