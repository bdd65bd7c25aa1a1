//! Random accesses to every register: whatever a broken program writes, the board goes on.

use std::time::Duration;

use armv7m::Size;
use sim_base::Rng;

use super::{Board, BoardConfig};
use crate::map::SLOTS;

/// Blocks whose registers can stop or reset the chip often enough that nothing else would be reached.
const RARE: [&str; 5] = ["GCLK", "OSCCTRL", "MCLK", "WDT", "PAC"];

pub(super) fn access(board: &mut Board, rng: &mut Rng) {
    let slot = &SLOTS[rng.below(SLOTS.len() as u64) as usize];
    if RARE.contains(&slot.name) && rng.below(20) != 0 {
        return;
    }
    let (size, align) = match rng.below(4) {
        0 => (Size::Byte, 1),
        1 => (Size::Half, 2),
        _ => (Size::Word, 4),
    };
    let addr = slot.base + (rng.below(0x300) as u32 & !(align - 1));
    let value = match rng.below(4) {
        0 => rng.next_u32(),
        1 => 1 << rng.below(32),
        2 => rng.below(4) as u32,
        // Pointers into RAM and the key of NVMCTRL's commands.
        _ => [0x2000_0000 + rng.below(0x4_0000) as u32, 0xA500 | rng.below(0x20) as u32][rng.below(2) as usize],
    };
    if rng.below(3) == 0 {
        let _ = board.debug_read(addr, size);
    } else {
        let _ = board.debug_write(addr, size, value);
    }
    // The windows that data goes through.
    if rng.below(8) == 0 {
        let window = [0x0400_0000, 0x0008_0000, 0x0080_4000][rng.below(3) as usize] + rng.below(0x200) as u32;
        let _ = board.debug_write(window & !3, Size::Word, value);
        let _ = board.debug_read(window & !3, Size::Word);
    }
}

#[test]
fn random_register_accesses_neither_panic_nor_hold_time_still() {
    for seed in 0..100 {
        let mut rng = Rng::new(seed);
        let mut board = Board::new(BoardConfig { seed, flash_timing: seed % 2 == 0 });
        board.power_on();
        println!("seed {seed}");
        // All bus clocks on.
        for register in 0..4 {
            let _ = board.debug_write(0x4000_0814 + 4 * register, Size::Word, u32::MAX);
        }
        for _ in 0..3_000 {
            access(&mut board, &mut rng);
            if rng.below(16) == 0 {
                let until = board.now() + Duration::from_nanos(rng.below(200_000));
                while board.now() < until {
                    board.run_until(until);
                }
            }
        }
        board.take_events();
    }
}

#[test]
fn random_register_accesses_repeat_with_their_seed() {
    let run = || {
        let mut rng = Rng::new(77);
        let mut board = Board::new(BoardConfig { seed: 77, flash_timing: true });
        board.power_on();
        for _ in 0..3_000 {
            access(&mut board, &mut rng);
            let until = board.now() + Duration::from_micros(rng.below(50));
            board.run_until(until);
        }
        (board.take_events(), board.now(), board.cycles(), board.ram().to_vec())
    };
    assert!(run() == run());
}
