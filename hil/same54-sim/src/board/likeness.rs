//! Whether two boards are alike enough to go on alike.

use std::ops::Range;

use super::Board;
use crate::memory::{RAM_BASE, RAM_SIZE};

/// Core registers as DCRSR.REGSEL numbers them: general ones, stack pointers, CONTROL and masks, FPSCR, S0 to S31.
const REGISTERS: [std::ops::RangeInclusive<u8>; 4] = [0..=18, 20..=20, 33..=33, 64..=95];

/// A hash of 64 bits over words in order, fast over megabytes. A difference in a single word never cancels out; nothing
/// here is chosen by an enemy.
pub(crate) struct Hash64 {
    lanes: [u64; LANES],
    next: usize,
}

const LANES: usize = 8;
/// Odd, so that a step loses nothing: 2^64 over the golden ratio.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hash64 {
    pub(crate) fn new() -> Self {
        Self { lanes: std::array::from_fn(|n| n as u64 + 1), next: 0 }
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, number: u64) {
        let lane = &mut self.lanes[self.next];
        *lane = mix(*lane, number);
        self.next = (self.next + 1) % LANES;
    }

    /// Adds bytes and their count.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        let (rows, last) = words.as_chunks::<LANES>();
        for row in rows {
            for (lane, word) in self.lanes.iter_mut().zip(row) {
                *lane = mix(*lane, u64::from_le_bytes(*word));
            }
        }
        for word in last {
            self.number(u64::from_le_bytes(*word));
        }
        let mut end = [0; 8];
        end[..rest.len()].copy_from_slice(rest);
        self.number(u64::from_le_bytes(end));
    }

    pub(crate) fn finish(&self) -> u64 {
        let all = self.lanes.iter().fold(self.next as u64, |all, lane| mix(all, *lane));
        let all = (all ^ all >> 32).wrapping_mul(FACTOR);
        all ^ all >> 29
    }
}

fn mix(lane: u64, word: u64) -> u64 {
    (lane ^ word).wrapping_mul(FACTOR).rotate_left(29)
}

impl Board {
    /// A number that is the same for two boards if these are: the core's registers; `ram` (addresses); every cell of
    /// internal flash, user page and external flash, with error correction codes and nonvolatile registers; the flash
    /// operations in flight. Two boards whose programs ask neither for the time nor for any device but these go on
    /// alike. The time, caches, and wear are not in it.
    ///
    /// None if chance has a word in what comes: cells between their levels, or faults put into the flashes. None also
    /// while an operation is suspended.
    pub fn likeness(&self, ram: &[Range<u32>]) -> Option<u64> {
        let mut hash = Hash64::new();
        for register in REGISTERS.into_iter().flatten() {
            hash.number(self.register(register).into());
        }
        for range in ram {
            let offset = |addr: u32| addr.saturating_sub(RAM_BASE).min(RAM_SIZE) as usize;
            let (start, end) = (offset(range.start), offset(range.end));
            hash.number(range.start.into());
            hash.bytes(self.ram().get(start..end).unwrap_or_default());
        }
        hash.number(self.chip.shared.memory.likeness()?);
        hash.number(self.chip.parts.nvmctrl.likeness()?);
        hash.number(self.chip.parts.qspi.flash.likeness()?);
        Some(hash.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BoardConfig, SilentFlash, StuckBit};

    const RAM: Range<u32> = RAM_BASE..RAM_BASE + RAM_SIZE;

    fn board() -> Board {
        Board::new(BoardConfig { seed: 1, flash_timing: true })
    }

    #[test]
    fn each_byte_counts_wherever_it_stands() {
        let mut seen = std::collections::BTreeSet::new();
        for len in 0..200 {
            for at in 0..len {
                let mut bytes = vec![0; len];
                bytes[at] = 1;
                let mut hash = Hash64::new();
                hash.bytes(&bytes);
                assert!(seen.insert(hash.finish()), "{at} of {len}");
            }
        }
    }

    #[test]
    fn what_decides_how_a_program_goes_on_is_in_it() {
        let plain = board();
        let likeness = plain.likeness(&[RAM]);
        assert!(likeness.is_some());
        assert_eq!(plain.snapshot().likeness(&[RAM]), likeness);
        let mut changed = [board(), board(), board(), board()];
        changed[0].preload_nvm(0x1_2345, &[0]);
        changed[1].preload_nor(0x12_3456, &[0]);
        changed[2].chip.shared.memory.arrays.ram_mut()[0x1234] ^= 1;
        // The same cells under another code.
        changed[3].upset_nvm(0x1_0000, 1);
        for board in &changed {
            assert!(board.likeness(&[RAM]).is_some_and(|other| Some(other) != likeness));
        }
        let code = changed[3].likeness(&[RAM]);
        let mut data = board();
        data.preload_nvm(0x1_0000, &[0xFE]);
        assert_ne!(data.likeness(&[RAM]), code);
        // Outside of what was asked for.
        let part = RAM_BASE..RAM_BASE + 0x1234;
        assert_eq!(changed[2].likeness(std::slice::from_ref(&part)), plain.likeness(&[part]));
    }

    #[test]
    fn where_chance_has_a_word_there_is_none() {
        let mut boards = [board(), board(), board()];
        boards[0].wrap_nor_cells(|cells| Box::new(StuckBit::new(cells, 0, 0, true)));
        boards[1].wrap_nor(|flash| Box::new(SilentFlash::new(flash, 0)));
        boards[2].wrap_nvm(|pulses| Box::new(crate::FailingPulses::new(pulses, 0..1, 1)));
        for board in &boards {
            assert_eq!(board.likeness(&[RAM]), None);
        }
    }
}
