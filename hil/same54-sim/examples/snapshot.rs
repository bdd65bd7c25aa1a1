//! Prints what a snapshot of a board costs, and what it costs to go back to one.
//!
//! `cargo run --release -p same54-sim --example snapshot`

use std::error::Error;
use std::time::{Duration, Instant};

use armv7m::{BusFault, Size};
use same54_sim::{Board, BoardConfig};

const ROUNDS: u32 = 200;

/// `movs r1, #1; lsls r1, r1, #29` and then a loop of load, add, store and branch in RAM.
const PROGRAM: [u32; 6] = [0x2000_8000, 9, 0x0749_2101, 0x6808_2000, 0x6008_3001, 0xBF00_E7FB];

fn board() -> Result<Board, BusFault> {
    let mut board = Board::new(BoardConfig { seed: 1, flash_timing: false });
    board.power_on();
    // A full flash, as a device in use has it, with the program at its start.
    for page in 0..2_048 {
        for n in 0..128 {
            let word = if page == 0 { PROGRAM.get(n as usize).copied().unwrap_or(n) } else { page << 16 | n };
            board.debug_write(512 * page + 4 * n, Size::Word, word)?;
        }
        board.debug_write(0x4100_4014, Size::Word, 512 * page)?;
        board.debug_write(0x4100_4004, Size::Half, 0xA503)?;
    }
    board.power_off();
    board.power_on();
    board.set_flash_timing(true);
    let until = board.now() + Duration::from_millis(1);
    board.run_until(until);
    Ok(board)
}

/// Average of `ROUNDS` calls.
fn timed(mut f: impl FnMut()) -> Duration {
    let started = Instant::now();
    for _ in 0..ROUNDS {
        f();
    }
    started.elapsed() / ROUNDS
}

fn main() -> Result<(), Box<dyn Error>> {
    let point = board().map_err(|_| "the flash controller did not answer")?;
    println!("snapshot: {:?}", timed(|| drop(point.snapshot())));
    let mut board = point.snapshot();
    println!("restore, nothing changed: {:?}", timed(|| board.restore_from(&point)));
    let mut cycle = 0;
    let cut = timed(|| {
        board.restore_from(&point);
        cycle += 1;
        // A block erase that the cut tears.
        let _ = board.debug_write(0x4100_4014, Size::Word, 0x8_0000);
        let _ = board.debug_write(0x4100_4004, Size::Half, 0xA501);
        board.cut_power_at_cycle(point.cycles() + cycle);
        let until = point.now() + Duration::from_millis(100);
        board.run_until(until);
    });
    println!("restore, erase, cut: {cut:?}");
    let restart = timed(|| {
        board.restore_from(&point);
        board.power_off();
        board.power_on();
        let until = board.now() + Duration::from_millis(1);
        board.run_until(until);
    });
    println!("restore, power cycle, 1 ms of program: {restart:?}");
    Ok(())
}
