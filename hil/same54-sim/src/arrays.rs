//! RAM, flash, and which of flash is at hand: what the core reads and writes without further ado, in one piece of memory, so
//! that its run loop has to keep one address at hand rather than four.

use armv7m::Size;

use crate::memory::{FLASH_SIZE, RAM_SIZE};

/// Bytes of a line of flash.
pub(crate) const LINE: u32 = 16;
const FLASH: usize = RAM_SIZE as usize;
const FAST: usize = FLASH + FLASH_SIZE as usize;
const LINES: usize = (FLASH_SIZE / LINE) as usize;
const TOTAL: usize = FAST + LINES;

/// The arrays.
#[derive(Clone)]
pub(crate) struct Arrays(Box<[u8; TOTAL]>);

impl Arrays {
    /// Empty RAM, erased flash, all of which is fast.
    pub(crate) fn new() -> Self {
        // On the heap without a detour over the stack.
        let bytes = vec![0; TOTAL].into_boxed_slice().try_into();
        let mut arrays = Self(bytes.unwrap_or_else(|_| Box::new([0; TOTAL])));
        arrays.flash_mut().fill(0xFF);
        arrays.fast_mut().fill(1);
        arrays
    }

    pub(crate) fn ram(&self) -> &[u8] {
        &self.0[..FLASH]
    }

    pub(crate) fn ram_mut(&mut self) -> &mut [u8] {
        &mut self.0[..FLASH]
    }

    pub(crate) fn flash(&self) -> &[u8] {
        &self.0[FLASH..FAST]
    }

    pub(crate) fn flash_mut(&mut self) -> &mut [u8] {
        &mut self.0[FLASH..FAST]
    }

    /// By line of flash, whether it is fast: see [`flash_path`](crate::flash_path).
    pub(crate) fn fast(&self) -> &[u8] {
        &self.0[FAST..]
    }

    /// See [`fast`](Self::fast).
    pub(crate) fn fast_mut(&mut self) -> &mut [u8] {
        &mut self.0[FAST..]
    }

    /// A byte at `at` in RAM and on to a word, which the caller has checked to be there.
    #[inline(always)]
    pub(crate) fn load_ram(&self, at: u32, size: Size) -> u32 {
        self.load(at as usize, size)
    }

    #[inline(always)]
    pub(crate) fn store_ram(&mut self, at: u32, size: Size, value: u32) {
        let at = at as usize;
        match size {
            Size::Byte => self.0[at] = value as u8,
            Size::Half => self.0[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes()),
            Size::Word => self.0[at..at + 4].copy_from_slice(&value.to_le_bytes()),
        }
    }

    /// As [`load_ram`](Self::load_ram), from flash.
    #[inline(always)]
    pub(crate) fn load_flash(&self, addr: u32, size: Size) -> u32 {
        self.load(FLASH + addr as usize, size)
    }

    /// Whether the line around `addr`, which is in flash, is fast.
    #[inline(always)]
    pub(crate) fn is_fast(&self, addr: u32) -> bool {
        self.0[FAST + (addr / LINE) as usize % LINES] != 0
    }

    #[inline(always)]
    fn load(&self, at: usize, size: Size) -> u32 {
        match size {
            Size::Byte => u32::from(self.0[at]),
            Size::Half => self.0[at..at + 2].try_into().map_or(0, |bytes| u32::from(u16::from_le_bytes(bytes))),
            Size::Word => self.0[at..at + 4].try_into().map_or(0, u32::from_le_bytes),
        }
    }
}
