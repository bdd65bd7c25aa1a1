//! Snapshots: whatever the board does, a restored one does the same, instruction by instruction.

use std::time::Duration;

use armv7m::{Glitch, GlitchKind, Size};
use sim_base::{Instant, Rng};

use super::{DHCSR, config, counting, millis, set, with_code};
use crate::Event;
use crate::board::Board;

/// All that a program or an observer can see.
type State = (Instant, u64, u64, Vec<u32>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<Event>);

fn state(board: &mut Board) -> State {
    let registers = (0..=127).map(|n| board.register(n)).collect();
    let events = board.take_events();
    let nor = board.nor(0, 0x2_0000);
    let flash = board.nvm().to_vec();
    (board.now(), board.cycles(), board.instructions(), registers, board.ram().to_vec(), flash, nor, events)
}

/// Runs both in the same uneven steps and compares after each.
fn march_together(a: &mut Board, b: &mut Board, steps: u32, seed: u64) {
    let mut rng = Rng::new(seed);
    for step in 0..steps {
        let until = a.now() + Duration::from_nanos(rng.below(3_000_000));
        assert_eq!((a.run_until(until), a.is_powered()), (b.run_until(until), b.is_powered()), "seed {seed} {step}");
        assert!(state(a) == state(b), "seed {seed}, step {step}");
    }
}

/// A board with a program, in the middle of an erase of each flash and with a timer and the watchdog running.
fn busy() -> Board {
    let mut board = counting();
    board.run_until(millis(1));
    set(&mut board, 0x4200_3404, 1);
    set(&mut board, 0x4200_3400, 2);
    set(&mut board, 0x4200_3434, 0x06);
    set(&mut board, 0x4200_3438, 2 << 12 | 1 << 4);
    set(&mut board, 0x4200_3430, 0x1000);
    set(&mut board, 0x4200_3434, 0x20);
    set(&mut board, 0x4200_3438, 2 << 12 | 1 << 4 | 1 << 5);
    set(&mut board, 0x4100_4014, 0x8_0000);
    board.debug_write(0x4100_4004, Size::Half, 0xA501).expect("NVMCTRL");
    board.debug_write(0x4000_2001, Size::Byte, 5).expect("WDT");
    board.debug_write(0x4000_2000, Size::Byte, 2).expect("WDT");
    board.run_until(millis(7));
    assert!(board.operations().iter().all(Option::is_some), "both flashes are busy");
    board
}

#[test]
fn a_snapshot_in_the_middle_of_everything_goes_on_like_the_original() {
    let mut board = busy();
    let mut copy = board.snapshot();
    march_together(&mut board, &mut copy, 100, 1);
}

#[test]
fn a_restored_board_goes_on_like_the_original() {
    let mut board = busy();
    let point = board.snapshot();
    // Elsewhere: power lost, flash torn, other code.
    board.cut_power_at_cycle(board.cycles() + 1_234);
    board.run_until(millis(20));
    assert!(!board.is_powered());
    board.power_on();
    set(&mut board, DHCSR, 0xA05F_0003);
    set(&mut board, 0x4100_4014, 0);
    board.debug_write(0x4100_4004, Size::Half, 0xA501).expect("NVMCTRL");
    board.run_until(millis(120));
    board.restore_from(&point);
    let mut fresh = point.snapshot();
    march_together(&mut board, &mut fresh, 100, 2);
}

#[test]
fn cuts_from_one_point_repeat() {
    let point = busy();
    let mut board = point.snapshot();
    let mut outcome = |cycle| {
        board.restore_from(&point);
        board.cut_power_at_cycle(point.cycles() + cycle);
        board.run_until(millis(30));
        state(&mut board)
    };
    for cycle in [0, 1, 100, 50_000] {
        assert!(outcome(cycle) == outcome(cycle), "{cycle}");
    }
}

#[test]
fn a_restored_board_runs_the_code_that_was_there() {
    let point = counting();
    // `b .` in place of the program.
    let mut board = with_code(&[0xE7FE], &[], true);
    board.run_until(millis(1));
    board.restore_from(&point);
    board.run_until(millis(1));
    assert!(board.ram()[..4] != [0; 4] && board.instructions() > 24_000);
}

#[test]
fn a_planned_glitch_is_part_of_the_point() {
    let mut board = counting();
    board.run_until(millis(1));
    let at = board.instructions() + 1_000;
    board.cpu.plan_glitches([Glitch { at, kind: GlitchKind::Register { register: 0, bit: 20 } }]);
    let point = board.snapshot();
    board.run_until(millis(2));
    let struck = state(&mut board);
    board.restore_from(&point);
    board.run_until(millis(2));
    assert!(state(&mut board) == struck);
}

#[test]
fn random_boards_restore_exactly() {
    for seed in 0..12 {
        let mut rng = Rng::new(seed);
        let mut board = Board::new(config(seed % 2 == 0));
        board.power_on();
        for _ in 0..400 {
            crate::board::fuzz::access(&mut board, &mut rng);
            let until = board.now() + Duration::from_micros(rng.below(50));
            board.run_until(until);
        }
        let point = board.snapshot();
        for _ in 0..100 {
            crate::board::fuzz::access(&mut board, &mut rng);
        }
        board.restore_from(&point);
        let mut fresh = point.snapshot();
        let mut rngs = [Rng::new(seed), Rng::new(seed)];
        for _ in 0..100 {
            crate::board::fuzz::access(&mut board, &mut rngs[0]);
            crate::board::fuzz::access(&mut fresh, &mut rngs[1]);
        }
        march_together(&mut board, &mut fresh, 20, seed);
    }
}
