//! What the core asks of the chip around it.

use crate::Cycle;

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

    /// A halfword of code at an even address.
    fn fetch(&mut self, addr: u32) -> Result<u16, BusFault>;

    /// Whether the chip wants its owner before the next instruction: an interrupt line changed, the next event moved
    /// nearer, code memory changed, a reset was asked for. The core looks after every access that is neither RAM nor
    /// flash, and returns [`Stop::Attention`](crate::Stop::Attention).
    fn attention(&self) -> bool;
}
