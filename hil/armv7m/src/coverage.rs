//! Which instructions of the code memory have been executed.

use std::ops::Range;
use std::sync::Arc;

/// Bits of a chunk, which is what a snapshot and its origin share until one of them executes something new in it.
const CHUNK: usize = 1 << 15;

type Chunk = [u64; CHUNK / 64];

/// The instructions that were executed, by address. One bit for each halfword, set at an instruction's first.
#[derive(Clone, Debug)]
pub(crate) struct Coverage {
    start: u32,
    len: u32,
    chunks: Vec<Option<Arc<Chunk>>>,
}

impl Coverage {
    /// Nothing executed in `code`.
    pub(crate) fn new(code: &Range<u32>) -> Self {
        let len = code.end.saturating_sub(code.start);
        Self { start: code.start, len, chunks: vec![None; (len as usize / 2).div_ceil(CHUNK)] }
    }

    /// The instruction at `pc` is executed.
    pub(crate) fn mark(&mut self, pc: u32) {
        let offset = pc.wrapping_sub(self.start);
        if offset >= self.len {
            return;
        }
        let at = offset as usize / 2;
        let chunk = self.chunks[at / CHUNK].get_or_insert_with(|| Arc::new([0; CHUNK / 64]));
        let (word, bit) = (at % CHUNK / 64, 1 << (at % 64));
        if chunk[word] & bit == 0 {
            Arc::make_mut(chunk)[word] |= bit;
        }
    }

    /// Nothing has been executed.
    pub(crate) fn clear(&mut self) {
        self.chunks.fill(None);
    }

    /// Whether the instruction at `pc` has been executed.
    pub(crate) fn contains(&self, pc: u32) -> bool {
        let offset = pc.wrapping_sub(self.start);
        let at = offset as usize / 2;
        let chunk = if offset < self.len && pc & 1 == 0 { self.chunks[at / CHUNK].as_ref() } else { None };
        chunk.is_some_and(|chunk| chunk[at % CHUNK / 64] >> (at % 64) & 1 != 0)
    }

    /// Addresses of executed instructions, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let words = self.chunks.iter().enumerate().flat_map(|(number, chunk)| {
            let words = chunk.iter().flat_map(|chunk| chunk.iter().copied().enumerate());
            words.map(move |(index, word)| (number * CHUNK + index * 64, word))
        });
        words.filter(|(_, word)| *word != 0).flat_map(move |(first, word)| {
            let bits = (0..64).filter(move |bit| word >> bit & 1 != 0);
            bits.map(move |bit| self.start.wrapping_add(2 * (first + bit) as u32))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_kept_apart_from_those_of_a_clone() {
        let mut first = Coverage::new(&(0x1000..0x4_1000));
        for pc in [0x1000, 0x1002, 0x4_0FFE, 0x1_1000, 0x0FFE, 0x4_1000] {
            first.mark(pc);
        }
        let mut second = first.clone();
        second.mark(0x2000);
        assert_eq!(first.iter().collect::<Vec<_>>(), [0x1000, 0x1002, 0x1_1000, 0x4_0FFE]);
        assert_eq!(second.iter().count(), 5);
        assert!(second.contains(0x2000) && !first.contains(0x2000) && !first.contains(0x4_1000));
        second.clear();
        assert_eq!((first.iter().count(), second.iter().count()), (4, 0));
    }
}
