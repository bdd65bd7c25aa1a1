//! 32 MiB of flash cells, held sparsely and shared between snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_base::Rng;

/// Bytes of the N25Q256A.
pub(crate) const SIZE: u32 = 0x0200_0000;
/// Bytes per chunk: the smallest erase unit.
const CHUNK: usize = 4_096;

/// The cells. Erased chunks take no memory; a clone shares all others until they change.
#[derive(Clone)]
pub(super) struct Array {
    chunks: Vec<Option<Arc<[u8; CHUNK]>>>,
    /// Bits that read differently each time, by address.
    unsteady: BTreeMap<u32, u8>,
    noise: Rng,
}

impl Array {
    /// All erased.
    pub(super) fn new() -> Self {
        Self { chunks: vec![None; SIZE as usize / CHUNK], unsteady: BTreeMap::new(), noise: Rng::new(0) }
    }

    /// What a read of the byte at `addr` gives now.
    pub(super) fn sense(&mut self, addr: u32) -> u8 {
        let byte = self.byte(addr);
        if self.unsteady.is_empty() {
            return byte;
        }
        match self.unsteady.get(&(addr % SIZE)) {
            Some(bits) => byte ^ bits & self.noise.next_u32() as u8,
            None => byte,
        }
    }

    /// Bits of the byte at `addr` read differently each time from now on, as `noise` decides.
    pub(super) fn unsettle(&mut self, addr: u32, bits: u8, noise: &mut Rng) {
        if self.unsteady.is_empty() {
            self.noise = Rng::new(noise.next_u64());
        }
        *self.unsteady.entry(addr % SIZE).or_default() |= bits;
    }

    /// Programs the byte at `addr`: bits only go from 1 to 0.
    pub(super) fn program(&mut self, addr: u32, byte: u8) {
        let old = self.byte(addr);
        self.store(addr, &[old & byte]);
        if let Some(bits) = self.unsteady.get_mut(&(addr % SIZE)) {
            *bits &= byte;
        }
        self.unsteady.retain(|_, bits| *bits != 0);
    }

    /// The byte at `addr`, which wraps at the end of the array.
    pub(super) fn byte(&self, addr: u32) -> u8 {
        let addr = (addr % SIZE) as usize;
        self.chunks[addr / CHUNK].as_ref().map_or(0xFF, |chunk| chunk[addr % CHUNK])
    }

    /// `len` bytes from `addr`, for observers: unsteady bits as they are stored.
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
        let start = addr % SIZE;
        self.unsteady.retain(|addr, _| !(start..start + len).contains(addr));
    }
}
