//! 32 MiB of flash cells, held sparsely and shared between snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use sim_base::Rng;

use crate::board::Hash64;

/// Bytes of the N25Q256A.
pub(crate) const SIZE: u32 = 0x0200_0000;
/// Bytes per chunk: the smallest erase unit.
const CHUNK: usize = 4_096;

/// The cells of the memory: the edge at which they can be worn or stuck. Addresses wrap at the end of the array. A fault
/// is a wrapper around another one of these.
pub trait NorCells: Send {
    /// What a read of the byte at `addr` gives now.
    fn read(&mut self, addr: u32) -> u8;

    /// Programs the byte at `addr`: bits only go from 1 to 0. False if it does not verify.
    fn program(&mut self, addr: u32, byte: u8) -> bool;

    /// Erases `len` bytes from `addr`, both multiples of 4 KiB. False if they do not verify.
    fn erase(&mut self, addr: u32, len: u32) -> bool;

    /// Byte at `addr` as it is stored, unsteady bits and all.
    fn peek(&self, addr: u32) -> u8;

    /// Makes the cells from `addr` on hold `bytes`, whatever they held before.
    fn store(&mut self, addr: u32, bytes: &[u8]);

    /// Bits of the byte at `addr` read differently each time from now on, until they are erased or programmed.
    fn unsettle(&mut self, addr: u32, bits: u8, noise: &mut Rng);

    /// How often the 4 KiB around `addr` were erased.
    fn erases(&self, addr: u32) -> u32;

    /// See [`Board::likeness`](crate::Board::likeness). None if chance or a fault has a word in what is read or written.
    fn likeness(&self) -> Option<u64> {
        None
    }

    /// A copy for a snapshot of the board.
    fn clone_box(&self) -> Box<dyn NorCells>;
}

impl Clone for Box<dyn NorCells> {
    fn clone(&self) -> Self {
        self.as_ref().clone_box()
    }
}

/// Sound cells. Erased chunks take no memory; a clone shares all others until they change.
#[derive(Clone)]
pub(super) struct Array {
    chunks: Vec<Option<Arc<[u8; CHUNK]>>>,
    /// Bits that read differently each time, by address.
    unsteady: BTreeMap<u32, u8>,
    noise: Rng,
    /// Erases of each chunk that has had some.
    wear: BTreeMap<u32, u32>,
}

impl Array {
    /// All erased.
    pub(super) fn new() -> Self {
        Self {
            chunks: vec![None; SIZE as usize / CHUNK],
            unsteady: BTreeMap::new(),
            noise: Rng::new(0),
            wear: BTreeMap::new(),
        }
    }

    fn byte(&self, addr: u32) -> u8 {
        let addr = (addr % SIZE) as usize;
        self.chunks[addr / CHUNK].as_ref().map_or(0xFF, |chunk| chunk[addr % CHUNK])
    }
}

impl NorCells for Array {
    fn read(&mut self, addr: u32) -> u8 {
        let byte = self.byte(addr);
        if self.unsteady.is_empty() {
            return byte;
        }
        match self.unsteady.get(&(addr % SIZE)) {
            Some(bits) => byte ^ bits & self.noise.next_u32() as u8,
            None => byte,
        }
    }

    fn program(&mut self, addr: u32, byte: u8) -> bool {
        let old = self.byte(addr);
        self.store(addr, &[old & byte]);
        if let Some(bits) = self.unsteady.get_mut(&(addr % SIZE)) {
            *bits &= byte;
            self.unsteady.retain(|_, bits| *bits != 0);
        }
        true
    }

    fn erase(&mut self, addr: u32, len: u32) -> bool {
        let start = addr % SIZE;
        let first = start as usize / CHUNK;
        let last = first + len as usize / CHUNK;
        self.chunks[first..last].fill(None);
        self.unsteady.retain(|addr, _| !(start..start + len).contains(addr));
        for chunk in first..last {
            *self.wear.entry(chunk as u32).or_default() += 1;
        }
        true
    }

    fn peek(&self, addr: u32) -> u8 {
        self.byte(addr)
    }

    fn store(&mut self, addr: u32, bytes: &[u8]) {
        for (n, byte) in bytes.iter().enumerate() {
            let at = (addr.wrapping_add(n as u32) % SIZE) as usize;
            // What is as it should be stays shared, or erased.
            if self.byte(at as u32) == *byte {
                continue;
            }
            let chunk = self.chunks[at / CHUNK].get_or_insert_with(|| Arc::new([0xFF; CHUNK]));
            Arc::make_mut(chunk)[at % CHUNK] = *byte;
        }
    }

    fn unsettle(&mut self, addr: u32, bits: u8, noise: &mut Rng) {
        if self.unsteady.is_empty() {
            self.noise = Rng::new(noise.next_u64());
        }
        *self.unsteady.entry(addr % SIZE).or_default() |= bits;
    }

    fn erases(&self, addr: u32) -> u32 {
        self.wear.get(&(addr % SIZE / CHUNK as u32)).copied().unwrap_or(0)
    }

    fn likeness(&self) -> Option<u64> {
        let mut hash = Hash64::new();
        for (n, chunk) in (0..).zip(&self.chunks) {
            // An erased chunk may be there or not.
            if let Some(chunk) = chunk.as_ref().filter(|chunk| chunk.iter().any(|byte| *byte != 0xFF)) {
                hash.number(n);
                hash.bytes(chunk.as_slice());
            }
        }
        self.unsteady.is_empty().then(|| hash.finish())
    }

    fn clone_box(&self) -> Box<dyn NorCells> {
        Box::new(self.clone())
    }
}
