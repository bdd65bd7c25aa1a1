//! What a flash operation leaves behind when the supply fails in the middle of it.
//!
//! Fidelity: assumed. Documents promise nothing about interrupted operations; the outcomes here (nothing, a prefix, some
//! bits anywhere, cells that read differently each time, everything but the acknowledgement) are what power-cut tests of
//! flash file systems usually provoke. An observer may choose the outcome; else the seed does.

use sim_base::Rng;

/// Bytes that get unsteady cells at most, on average: a whole erase unit of them would only slow the simulation.
const UNSTEADY_BYTES: u64 = 256;

/// An outcome of an interrupted program or erase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// The cells are as before.
    Nothing,
    /// The first bytes are done, the others are as before.
    Prefix,
    /// The first bytes, perhaps none, are done; of the others each bit is done or not.
    Bits,
    /// As [`Bits`](Self::Bits), and some cells are between the levels: each read gives 0 or 1, until the next erase.
    Unsteady,
    /// All cells are done; only nobody was told.
    Complete,
}

impl Tear {
    /// All outcomes, for tests that go through them.
    pub const ALL: [Self; 5] = [Self::Nothing, Self::Prefix, Self::Bits, Self::Unsteady, Self::Complete];

    /// An outcome by chance.
    pub(crate) fn choose(rng: &mut Rng) -> Self {
        match rng.below(6) {
            0 => Self::Nothing,
            1 => Self::Prefix,
            2 | 3 => Self::Bits,
            4 => Self::Unsteady,
            _ => Self::Complete,
        }
    }

    /// Leaves `cells` part of the way to `target`. Returns the unsteady bits: byte and mask, in order.
    pub(crate) fn apply(self, rng: &mut Rng, cells: &mut [u8], target: &[u8]) -> Vec<(usize, u8)> {
        let len = cells.len().min(target.len());
        let some = |rng: &mut Rng| rng.below(len as u64 + 1) as usize;
        let done = match self {
            Self::Nothing => return Vec::new(),
            Self::Prefix => some(rng),
            Self::Bits | Self::Unsteady if rng.below(2) == 0 => some(rng),
            Self::Bits | Self::Unsteady => 0,
            Self::Complete => len,
        };
        cells[..done].copy_from_slice(&target[..done]);
        let mut unsteady = Vec::new();
        if !matches!(self, Self::Bits | Self::Unsteady) {
            return unsteady;
        }
        for (n, (cell, wanted)) in cells.iter_mut().zip(target).enumerate().skip(done) {
            let changing = *cell ^ wanted;
            if self == Self::Unsteady && rng.below(len as u64) < UNSTEADY_BYTES {
                let bits = changing & rng.next_u32() as u8;
                if bits != 0 {
                    unsteady.push((n, bits));
                }
            }
            *cell ^= changing & rng.next_u32() as u8;
        }
        unsteady
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn torn(tear: Tear, seed: u64, before: u8, target: &[u8; 64]) -> ([u8; 64], Vec<(usize, u8)>) {
        let mut cells = [before; 64];
        let unsteady = tear.apply(&mut Rng::new(seed), &mut cells, target);
        (cells, unsteady)
    }

    #[test]
    fn a_torn_program_only_clears_bits_that_the_data_clears() {
        let data: [u8; 64] = std::array::from_fn(|n| n as u8);
        for (seed, tear) in (0..200).flat_map(|seed| Tear::ALL.map(|tear| (seed, tear))) {
            let (cells, unsteady) = torn(tear, seed, 0xFF, &data);
            assert!(cells.iter().zip(data).all(|(cell, byte)| cell & byte == byte), "seed {seed} {tear:?}");
            assert!(unsteady.iter().all(|(n, bits)| bits & data[*n] == 0), "seed {seed} {tear:?}");
        }
    }

    #[test]
    fn each_outcome_is_what_its_name_says() {
        let target = [0xFF; 64];
        let mut unsteady_seen = 0;
        for seed in 0..100 {
            assert_eq!(torn(Tear::Nothing, seed, 0x55, &target), ([0x55; 64], vec![]));
            assert_eq!(torn(Tear::Complete, seed, 0x55, &target), (target, vec![]));
            let (prefix, unsteady) = torn(Tear::Prefix, seed, 0x55, &target);
            let done = prefix.iter().position(|cell| *cell == 0x55).unwrap_or(64);
            assert!(prefix[done..].iter().all(|cell| *cell == 0x55) && unsteady.is_empty(), "seed {seed}");
            let (bits, unsteady) = torn(Tear::Bits, seed, 0x55, &target);
            assert!(bits.iter().all(|cell| cell & 0x55 == 0x55) && unsteady.is_empty(), "seed {seed}");
            unsteady_seen += torn(Tear::Unsteady, seed, 0x55, &target).1.len();
        }
        assert!(unsteady_seen > 1_000, "{unsteady_seen}");
    }

    #[test]
    fn chance_reaches_every_outcome() {
        let mut rng = Rng::new(1);
        let seen: Vec<Tear> = (0..100).map(|_| Tear::choose(&mut rng)).collect();
        assert!(Tear::ALL.iter().all(|tear| seen.contains(tear)));
    }
}
