//! The error correcting code of the internal flash: 8 bits over 64 (SAM D5x/E5x datasheet, 25.6.12).
//!
//! Fidelity: that single errors are corrected and double errors detected per 64 bits is from the datasheet. The code
//! itself is assumed (Hsiao's, with an erased word valid); three and more wrong bits may pass as one.

use std::collections::BTreeMap;
use std::ops::Range;

use sim_base::Rng;

use crate::board::Hash64;

/// Bytes that share one code.
pub(crate) const WORD: u32 = 8;

/// The check bits that each data bit goes into: distinct, of odd weight, at least 3.
const COLUMNS: [u8; 64] = {
    let mut columns = [0; 64];
    let (mut n, mut weight) = (0, 3);
    while n < 64 {
        let mut column = 0_u8;
        loop {
            if column.count_ones() == weight && n < 64 {
                columns[n] = column;
                n += 1;
            }
            if column == u8::MAX {
                break;
            }
            column += 1;
        }
        weight += 2;
    }
    columns
};

const fn parity(data: u64) -> u8 {
    let (mut code, mut n) = (0, 0);
    while n < 64 {
        if data >> n & 1 != 0 {
            code ^= COLUMNS[n];
        }
        n += 1;
    }
    code
}

/// Makes the code of an erased word all ones, as its cells are.
const ERASED: u8 = parity(u64::MAX) ^ 0xFF;

/// The code that is programmed with `data`.
pub(crate) const fn encode(data: u64) -> u8 {
    parity(data) ^ ERASED
}

/// What the decoder finds in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// No error.
    Clean,
    /// One wrong bit; this is the corrected data.
    Single(u64),
    /// More wrong bits than can be corrected.
    Dual,
}

/// Checks `data` against the `code` that was read with it.
pub(crate) fn check(data: u64, code: u8) -> Check {
    let syndrome = encode(data) ^ code;
    match (syndrome, syndrome.count_ones()) {
        (0, _) => Check::Clean,
        // A wrong check bit.
        (_, 1) => Check::Single(data),
        (_, ones) if ones % 2 == 1 => match COLUMNS.iter().position(|column| *column == syndrome) {
            Some(bit) => Check::Single(data ^ 1 << bit),
            None => Check::Dual,
        },
        _ => Check::Dual,
    }
}

/// A word whose code is not that of its data, or whose cells are unsteady.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weak {
    /// The code's cells.
    pub(crate) code: u8,
    /// Data bits that read differently each time.
    pub(crate) unsteady: u64,
    /// The same of the code.
    pub(crate) unsteady_code: u8,
}

/// All words of which more must be known than their data, by address. Most of the time there are none.
#[derive(Clone, Debug)]
pub(crate) struct WeakWords {
    words: BTreeMap<u32, Weak>,
    rng: Rng,
}

impl WeakWords {
    /// None. Unsteady bits will follow `rng`.
    pub(crate) fn new(rng: Rng) -> Self {
        Self { words: BTreeMap::new(), rng }
    }

    /// Whether all words are sound.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// What must be known of all words beside their data; None if one reads differently each time.
    pub(crate) fn likeness(&self) -> Option<u64> {
        let mut hash = Hash64::new();
        for (addr, weak) in &self.words {
            if weak.unsteady != 0 || weak.unsteady_code != 0 {
                return None;
            }
            hash.number(u64::from(*addr) << 8 | u64::from(weak.code));
        }
        Some(hash.finish())
    }

    /// Whether a word in `range` is not sound.
    pub(crate) fn touches(&self, range: Range<u32>) -> bool {
        self.words.range(range).next().is_some()
    }

    /// From the first to the last of the words in `range` that are not sound.
    pub(crate) fn around(&self, range: Range<u32>) -> Option<Range<u32>> {
        let mut addresses = self.words.range(range).map(|(addr, _)| *addr);
        let first = addresses.next()?;
        Some(first..addresses.next_back().unwrap_or(first) + WORD)
    }

    /// The cells of the word at `addr` that holds `data`.
    pub(crate) fn cells(&self, addr: u32, data: u64) -> Weak {
        let sound = Weak { code: encode(data), unsteady: 0, unsteady_code: 0 };
        self.words.get(&addr).copied().unwrap_or(sound)
    }

    /// What the sense amplifiers see of the word at `addr` now.
    pub(crate) fn sense(&mut self, addr: u32, data: u64) -> (u64, u8) {
        let Some(weak) = self.words.get(&addr) else { return (data, encode(data)) };
        if weak.unsteady == 0 && weak.unsteady_code == 0 {
            return (data, weak.code);
        }
        let noise = self.rng.next_u64();
        let code_noise = (self.rng.next_u32() as u8) & weak.unsteady_code;
        (data ^ noise & weak.unsteady, weak.code ^ code_noise)
    }

    /// The word at `addr` now holds `data` and has these cells.
    pub(crate) fn store(&mut self, addr: u32, data: u64, weak: Weak) {
        if weak.code == encode(data) && weak.unsteady == 0 && weak.unsteady_code == 0 {
            self.words.remove(&addr);
        } else {
            self.words.insert(addr, weak);
        }
    }

    /// The words of `range` were erased.
    pub(crate) fn forget(&mut self, range: Range<u32>) {
        self.words.retain(|addr, _| !range.contains(addr));
    }

    /// Words at `addr` move to `f(addr)`.
    pub(crate) fn relocate(&mut self, f: impl Fn(u32) -> u32) {
        self.words = std::mem::take(&mut self.words).into_iter().map(|(addr, weak)| (f(addr), weak)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_error_is_corrected_and_every_double_error_detected() {
        for data in [0, u64::MAX, 0x0123_4567_89AB_CDEF] {
            let code = encode(data);
            assert_eq!(check(data, code), Check::Clean);
            for bit in 0..72 {
                let flip = |data: u64, code: u8, bit: u32| match bit {
                    0..64 => (data ^ 1 << bit, code),
                    _ => (data, code ^ 1 << (bit - 64)),
                };
                let (wrong, wrong_code) = flip(data, code, bit);
                assert_eq!(check(wrong, wrong_code), Check::Single(data), "bit {bit}");
                for other in (0..72).filter(|other| *other != bit) {
                    let (wrong, wrong_code) = flip(wrong, wrong_code, other);
                    assert_eq!(check(wrong, wrong_code), Check::Dual, "bits {bit} and {other}");
                }
            }
        }
    }

    #[test]
    fn an_erased_word_is_valid() {
        assert_eq!(encode(u64::MAX), 0xFF);
    }

    #[test]
    fn unsteady_bits_and_no_others_read_differently() {
        let mut words = WeakWords::new(Rng::new(1));
        words.store(8, 0xF0, Weak { code: encode(0xF0), unsteady: 3, unsteady_code: 0 });
        let reads: Vec<u64> = (0..64).map(|_| words.sense(8, 0xF0).0).collect();
        assert!((0..4).all(|low| reads.contains(&(0xF0 | low))));
        assert!(reads.iter().all(|read| read & !3 == 0xF0));
        words.forget(0..16);
        assert!(words.is_empty());
    }
}
