//! 32 MiB of flash cells, held sparsely and shared between snapshots.

use std::sync::Arc;

/// Bytes of the N25Q256A.
pub(crate) const SIZE: u32 = 0x0200_0000;
/// Bytes per chunk: the smallest erase unit.
const CHUNK: usize = 4_096;

/// The cells. Erased chunks take no memory; a clone shares all others until they change.
#[derive(Clone)]
pub(super) struct Array {
    chunks: Vec<Option<Arc<[u8; CHUNK]>>>,
}

impl Array {
    /// All erased.
    pub(super) fn new() -> Self {
        Self { chunks: vec![None; SIZE as usize / CHUNK] }
    }

    /// The byte at `addr`, which wraps at the end of the array.
    pub(super) fn byte(&self, addr: u32) -> u8 {
        let addr = (addr % SIZE) as usize;
        self.chunks[addr / CHUNK].as_ref().map_or(0xFF, |chunk| chunk[addr % CHUNK])
    }

    /// `len` bytes from `addr`.
    pub(super) fn copy(&self, addr: u32, len: usize) -> Vec<u8> {
        (0..len).map(|n| self.byte(addr.wrapping_add(n as u32))).collect()
    }

    /// Makes the cells from `addr` on hold `bytes`, whatever they held before.
    pub(super) fn store(&mut self, addr: u32, bytes: &[u8]) {
        for (n, byte) in bytes.iter().enumerate() {
            let at = (addr.wrapping_add(n as u32) % SIZE) as usize;
            let chunk = self.chunks[at / CHUNK].get_or_insert_with(|| Arc::new([0xFF; CHUNK]));
            Arc::make_mut(chunk)[at % CHUNK] = *byte;
        }
    }

    /// Erases `len` bytes from `addr`; both are multiples of 4 KiB.
    pub(super) fn erase(&mut self, addr: u32, len: u32) {
        let first = (addr % SIZE) as usize / CHUNK;
        self.chunks[first..first + len as usize / CHUNK].fill(None);
    }
}
