//! Faults around the board's memories, as an observer sets them.

use std::time::Duration;

use armv7m::Size;

use super::{counting, millis, set, word};
use crate::board::Board;
use crate::{FailingPulses, SilentFlash, StuckBit, WornRange};

const ECCERR: u32 = 0x4100_4024;
const NVM_INTFLAG: u32 = 0x4100_4010;

/// A board whose QSPI is in serial memory mode.
fn ready() -> Board {
    let mut board = counting();
    board.run_until(millis(1));
    set(&mut board, 0x4200_3404, 1);
    set(&mut board, 0x4200_3400, 2);
    board
}

fn frame(board: &mut Board, opcode: u32, addr: u32, frame: u32) {
    set(board, 0x4200_3430, addr);
    set(board, 0x4200_3434, opcode);
    set(board, 0x4200_3438, frame);
}

fn manufacturer(board: &mut Board) -> u32 {
    frame(board, 0x9F, 0, 1 << 4 | 1 << 7);
    let value = word(board, 0x0400_0000) & 0xFF;
    set(board, 0x4200_3400, 1 << 24 | 2);
    value
}

/// Erases the first 4 KiB and returns the flag status register.
fn erase(board: &mut Board) -> u32 {
    frame(board, 0x06, 0, 2 << 12 | 1 << 4);
    frame(board, 0x20, 0, 2 << 12 | 1 << 4 | 1 << 5);
    let later = board.now() + Duration::from_millis(300);
    board.run_until(later);
    frame(board, 0x70, 0, 1 << 4 | 1 << 7);
    let flags = word(board, 0x0400_0000) & 0xFF;
    set(board, 0x4200_3400, 1 << 24 | 2);
    flags
}

#[test]
fn a_silent_external_flash_is_so_in_snapshots_too() {
    let mut board = ready();
    assert_eq!(manufacturer(&mut board), 0x20);
    let sound = board.snapshot();
    board.wrap_nor(|nor| Box::new(SilentFlash::new(nor, 0)));
    assert_eq!(manufacturer(&mut board), 0xFF);
    assert_eq!(manufacturer(&mut board.snapshot()), 0xFF);
    board.restore_from(&sound);
    assert_eq!(manufacturer(&mut board), 0x20);
}

#[test]
fn worn_and_stuck_cells_fail_the_erase_and_wear_is_counted() {
    let mut board = ready();
    assert_eq!((erase(&mut board), board.nor_erases(0xFFF)), (0x80, 1));
    board.wrap_nor_cells(|cells| Box::new(WornRange::new(cells, 0..0x1000)));
    assert_eq!(erase(&mut board), 0xA0);
    let mut board = ready();
    board.wrap_nor_cells(|cells| Box::new(StuckBit::new(cells, 5, 0, false)));
    assert_eq!((erase(&mut board), board.nor(4, 2)), (0xA0, vec![0xFF, 0xFE]));
}

#[test]
fn an_upset_in_code_is_corrected_on_the_fly_and_reported() {
    let mut board = counting();
    board.upset_nvm(0x404, 1 << 33);
    let mut sound = counting();
    assert_eq!(board.run_until(millis(2)), sound.run_until(millis(2)));
    assert_eq!((board.instructions(), board.ram()), (sound.instructions(), sound.ram()));
    assert_eq!(board.debug_read(NVM_INTFLAG, Size::Half), Ok(1 << 4));
    assert_eq!(word(&mut board, ECCERR), 0x400 | 1 << 28);
}

#[test]
fn a_program_of_the_internal_flash_that_fails_raises_nvme() {
    let mut board = counting();
    board.wrap_nvm(|pulses| Box::new(FailingPulses::new(pulses, 0x8_0000..0x8_2000, 1)));
    set(&mut board, 0x8_0000, 0);
    board.debug_write(0x4100_4004, Size::Half, 0xA504).expect("NVMCTRL");
    board.run_until(millis(1));
    assert_eq!(board.debug_read(NVM_INTFLAG, Size::Half), Ok(1 << 6 | 1));
    assert_eq!(board.nvm()[0x8_0000], 0xFF);
}

#[test]
fn the_worst_case_takes_the_data_sheets_maximum() {
    let mut board = counting();
    board.set_worst_case_flash(true);
    set(&mut board, 0x4100_4014, 0x8_0000);
    board.debug_write(0x4100_4004, Size::Half, 0xA501).expect("NVMCTRL");
    board.run_until(millis(199));
    assert_eq!(board.debug_read(0x4100_4012, Size::Half).map(|status| status & 1), Ok(0));
    board.run_until(millis(201));
    assert_eq!((board.nvm_erases(0x8_1FFF), board.nvm_erases(0x8_2000)), (1, 0));
    assert_eq!(board.debug_read(0x4100_4012, Size::Half).map(|status| status & 1), Ok(1));
}
