//! What the core asks of the chip around it.

use std::ops::Range;

use crate::{Cycle, Wait};

/// Width of a bus access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Size {
    /// 8 bits.
    Byte = 1,
    /// 16 bits.
    Half = 2,
    /// 32 bits.
    Word = 4,
}

/// The bus answered with an error response: a BusFault for the program, a FAULT acknowledge for a debugger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusFault;

/// The chip's memory and peripherals as the core's bus masters see them.
///
/// Addresses are aligned to the access size, except that RAM and flash also take unaligned ones (the core has then
/// already checked CCR.UNALIGN_TRP). Values are zero-extended to 32 bits. `at` is the cycle of the access. The
/// implementor should inline the test for RAM and flash and keep the rest out of line: these calls are the hot path.
pub trait Bus {
    /// A data read.
    fn read(&mut self, addr: u32, size: Size, at: Cycle) -> Result<u32, BusFault>;

    /// A data write.
    fn write(&mut self, addr: u32, size: Size, value: u32, at: Cycle) -> Result<(), BusFault>;

    /// A read of plain memory: one that can neither fail, nor wait, nor change anything. `None` if `addr` is elsewhere, or
    /// unless `size` bytes from it are there; [`read`](Self::read) is asked then. Inline it; it is there for speed alone.
    #[inline(always)]
    fn plain_read(&mut self, addr: u32, size: Size) -> Option<u32> {
        let _ = (addr, size);
        None
    }

    /// A write of plain memory, as for [`plain_read`](Self::plain_read); false if it was not done.
    #[inline(always)]
    fn plain_write(&mut self, addr: u32, size: Size, value: u32) -> bool {
        let _ = (addr, size, value);
        false
    }

    /// A data read relative to the PC, of a literal or of a table branch's entry, if those have a cost of their own
    /// ([`FetchTiming::literal`](crate::FetchTiming)): it adds no [`Wait`]. The address may be anywhere.
    fn read_literal(&mut self, addr: u32, size: Size, at: Cycle) -> Result<u32, BusFault> {
        self.read(addr, size, at)
    }

    /// As [`plain_read`](Self::plain_read), in place of [`read_literal`](Self::read_literal) or, if literals have no cost
    /// of their own, of [`read`](Self::read).
    #[inline(always)]
    fn plain_literal(&mut self, addr: u32, size: Size) -> Option<u32> {
        self.plain_read(addr, size)
    }

    /// What accesses have cost since the last call, touches of code aside.
    #[inline(always)]
    fn take_wait(&mut self) -> Wait {
        Wait::default()
    }

    /// The core fetches from the line of sixteen bytes around `addr`. Called with
    /// [`FetchTiming::cached`](crate::FetchTiming::cached) alone.
    fn touch_code(&mut self, addr: u32, at: Cycle) -> Wait {
        let _ = (addr, at);
        Wait::default()
    }

    /// Whether a touch of the line around `addr` would neither wait nor change anything. That ends when the bus says
    /// [`Wait::lost`] or its owner calls [`Cpu::forget_lines`](crate::Cpu::forget_lines).
    fn is_resident(&self, addr: u32) -> bool {
        let _ = addr;
        true
    }

    /// The cycles that a touch of a line in `code`, a range of addresses, waits at most, as long as it does nothing else
    /// but lose other lines. With `None`, code that is not resident is executed one instruction at a time. When it changes
    /// to that, or to more, the bus says [`Lost::Anything`](crate::Lost::Anything) or its owner calls
    /// [`Cpu::forget_lines`](crate::Cpu::forget_lines).
    fn longest_wait(&self, code: &Range<u32>) -> Option<u32> {
        let _ = code;
        Some(0)
    }

    /// A halfword of code at an even address.
    fn fetch(&mut self, addr: u32) -> Result<u16, BusFault>;

    /// Whether the chip wants its owner before the next instruction: an interrupt line changed, the next event moved
    /// nearer, code memory changed, a reset was asked for. The core looks after every access that is neither RAM nor
    /// flash, and returns [`Stop::Attention`](crate::Stop::Attention).
    fn attention(&self) -> bool;
}
