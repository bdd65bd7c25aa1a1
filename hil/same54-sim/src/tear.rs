//! What a flash operation leaves behind when the supply fails in the middle of it.
//!
//! Fidelity: assumed. Documents promise nothing about interrupted operations; the three outcomes here (nothing, a
//! prefix, some bits anywhere) are what power-cut tests of flash file systems usually provoke.

use sim_base::Rng;

/// Leaves `array` part of the way towards being programmed with `data` (bits only go from 1 to 0).
pub(crate) fn program(rng: &mut Rng, array: &mut [u8], data: &[u8]) {
    match rng.below(4) {
        0 => {}
        1 => {
            let done = rng.below(array.len() as u64 + 1) as usize;
            for (cell, byte) in array[..done].iter_mut().zip(data) {
                *cell &= byte;
            }
        }
        outcome => {
            // A prefix is complete and bits of the rest are partly cleared; or the whole is partly cleared.
            let done = if outcome == 2 { rng.below(array.len() as u64 + 1) as usize } else { 0 };
            for (n, (cell, byte)) in array.iter_mut().zip(data).enumerate() {
                let spared = if n < done { 0 } else { rng.next_u32() as u8 };
                *cell &= byte | spared;
            }
        }
    }
}

/// Leaves `array` part of the way towards being erased (bits go from 0 to 1).
pub(crate) fn erase(rng: &mut Rng, array: &mut [u8]) {
    match rng.below(3) {
        0 => {}
        1 => {
            let done = rng.below(array.len() as u64 + 1) as usize;
            array[..done].fill(0xFF);
        }
        _ => {
            for cell in array {
                *cell |= rng.next_u32() as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_program_only_clears_bits_that_the_data_clears() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut array = [0xFF; 64];
            let data: [u8; 64] = std::array::from_fn(|n| n as u8);
            program(&mut rng, &mut array, &data);
            assert!(array.iter().zip(data).all(|(cell, byte)| cell & byte == byte), "seed {seed}");
        }
    }

    #[test]
    fn a_torn_erase_sometimes_leaves_nothing_done_and_sometimes_a_part() {
        let outcomes: Vec<usize> = (0..200)
            .map(|seed| {
                let mut array = [0x55; 64];
                erase(&mut Rng::new(seed), &mut array);
                array.iter().filter(|cell| **cell != 0x55).count()
            })
            .collect();
        assert!(outcomes.contains(&0));
        assert!(outcomes.iter().any(|changed| (1..64).contains(changed)));
    }
}
