//! Prints how fast the board runs: a loop in RAM and flash, one that touches a peripheral, and idle time.
//!
//! `cargo run --release -p same54-sim --example speed`

use std::error::Error;
use std::time::{Duration, Instant};

use armv7m::{BusFault, Size};
use same54_sim::{Board, BoardConfig};

const NVMCTRL_ADDR: u32 = 0x4100_4014;
const NVMCTRL_CTRLB: u32 = 0x4100_4004;

/// `movs r1, #1; lsls r1, r1, #29` and then a loop of load, add, store and branch in RAM.
const MEMORY: [u16; 7] = [0x2101, 0x0749, 0x2000, 0x6808, 0x3001, 0x6008, 0xE7FB];
/// r1 = PORT's registers at 0x4100_8000; then a loop of load and branch.
const PERIPHERAL: [u16; 8] = [0x2141, 0x0609, 0x2280, 0x0212, 0x1889, 0x6808, 0xE7FD, 0xBF00];
/// `wfi; b .-2`.
const IDLE: [u16; 2] = [0xBF30, 0xE7FD];

fn board(code: &[u16]) -> Result<Board, BusFault> {
    let mut board = Board::new(BoardConfig { seed: 1, flash_timing: false });
    board.power_on();
    let mut words = vec![0x2000_8000, 0x401];
    words.resize(0x100, 0xBF00_BF00);
    words.extend(code.chunks(2).map(|pair| {
        let high = pair.get(1).copied().unwrap_or(0xBF00);
        u32::from(pair[0]) | u32::from(high) << 16
    }));
    for (page, words) in (0..).zip(words.chunks(128)) {
        for (n, word) in (0..).zip(words) {
            board.debug_write(512 * page + 4 * n, Size::Word, *word)?;
        }
        board.debug_write(NVMCTRL_ADDR, Size::Word, 512 * page)?;
        board.debug_write(NVMCTRL_CTRLB, Size::Half, 0xA503)?;
    }
    board.power_off();
    board.power_on();
    Ok(board)
}

fn main() -> Result<(), Box<dyn Error>> {
    for (name, code, time) in [
        ("memory", &MEMORY[..], Duration::from_secs(5)),
        ("peripheral", &PERIPHERAL, Duration::from_secs(1)),
        ("idle", &IDLE, Duration::from_secs(3_600)),
    ] {
        let mut board = board(code).map_err(|_| "the flash controller did not answer")?;
        let until = board.now() + time;
        let started = Instant::now();
        board.run_until(until);
        let wall = started.elapsed();
        let instructions = board.instructions();
        let mips = instructions as f64 / wall.as_secs_f64() / 1e6;
        println!("{name:>10}: {time:?} virtual, {instructions} instructions in {wall:.3?}, {mips:.0} MIPS");
    }
    Ok(())
}
