//! What a debugger may do with a chip whose security bit is set (SAM D5x/E5x datasheet, 12.9, 12.11.7, 25.6.10).

use std::time::Duration;

use armv7m::{BusFault, Size};

use super::{NVM_CTRLB, RAM, counting, millis, set, word};
use crate::board::Board;

const NVM_INTFLAG: u32 = 0x4100_4010;
/// The DSU's external address space.
const CTRL: u32 = 0x4100_2100;
const STATUSA: u32 = 0x4100_2101;
const STATUSB: u32 = 0x4100_2102;
const ADDR: u32 = 0x4100_2104;
const LENGTH: u32 = 0x4100_2108;
const DATA: u32 = 0x4100_210C;
const DID: u32 = 0x4100_2118;
const MEMTYPE: u32 = 0x4100_3FCC;
const DONE: u32 = 1 << 0;
const CRSTEXT: u32 = 1 << 1;
const PERR: u32 = 1 << 4;
const PROT: u32 = 1 << 0;
const CELCK: u32 = 1 << 5;

fn command(board: &mut Board, command: u32) {
    board.debug_write(NVM_CTRLB, Size::Half, 0xA500 | command).expect("NVMCTRL");
}

fn byte(board: &mut Board, addr: u32) -> u32 {
    board.debug_read(addr, Size::Byte).expect("the DSU's external address space")
}

/// A chip with the security bit in force.
fn protected() -> Board {
    let mut board = counting();
    board.set_flash_timing(false);
    command(&mut board, 0x16);
    board.set_nreset(true, false);
    board.set_nreset(false, false);
    board
}

#[test]
fn the_security_bit_protects_from_the_next_reset_on() {
    let mut board = counting();
    command(&mut board, 0x16);
    assert_eq!(board.debug_read(NVM_INTFLAG, Size::Half).map(|flags| flags & 0x4F), Ok(1), "DONE, and no error");
    assert_eq!(byte(&mut board, STATUSB) & PROT, 0);
    assert!(board.debug_read(RAM, Size::Word).is_ok(), "the debugger still has access");
    board.set_nreset(true, false);
    board.set_nreset(false, false);
    assert_eq!(byte(&mut board, STATUSB) & PROT, PROT);
    for addr in [0, RAM, NVM_CTRLB, 0x0080_4000, 0xE000_ED00, 0x4100_2000] {
        assert_eq!(board.debug_read(addr, Size::Word), Err(BusFault), "{addr:#x}");
        assert_eq!(board.debug_write(addr, Size::Word, 0), Err(BusFault), "{addr:#x}");
    }
    // The chip itself runs on, over resets and the loss of its supply.
    let before = board.instructions();
    board.run_until(board.now() + Duration::from_millis(1));
    assert!(board.instructions() > before);
    board.power_off();
    board.power_on();
    assert_eq!((byte(&mut board, STATUSB) & PROT, board.debug_read(RAM, Size::Word)), (PROT, Err(BusFault)));
}

#[test]
fn a_software_reset_of_the_flash_controller_puts_it_in_force_too() {
    let mut board = counting();
    command(&mut board, 0x16);
    command(&mut board, 0x10);
    assert_eq!((byte(&mut board, STATUSB) & PROT, board.debug_read(RAM, Size::Word)), (PROT, Err(BusFault)));
}

#[test]
fn a_protected_chip_tells_what_it_is_and_no_more() {
    let mut board = protected();
    assert_eq!(word(&mut board, DID), 0x6184_0300);
    assert_eq!(word(&mut board, MEMTYPE) & 1, 0, "its memory is not there for a debugger");
    assert_eq!(word(&mut board, 0x4100_3FE0), 0xD0, "CoreSight identification");
    // No test of memory, which would overwrite it.
    board.debug_write(CTRL, Size::Byte, 1 << 3).expect("DSU");
    assert_eq!(byte(&mut board, STATUSA), PERR);
}

#[test]
fn a_protected_chip_computes_the_checksum_of_its_whole_array_alone() {
    let mut board = protected();
    let crc = |board: &mut Board, addr: u32, len: u32, seed: u32| {
        set(board, ADDR, addr);
        set(board, LENGTH, len);
        set(board, DATA, seed);
        board.debug_write(CTRL, Size::Byte, 1 << 2).expect("DSU");
        assert_eq!(byte(board, STATUSA) & DONE, DONE);
        board.debug_write(STATUSA, Size::Byte, DONE).expect("DSU");
        word(board, DATA)
    };
    let whole = crc(&mut board, 0, 0x10_0000, u32::MAX);
    // Word by word it would tell the contents.
    assert_eq!(crc(&mut board, 0, 4, u32::MAX), whole);
    assert_eq!(crc(&mut board, RAM, 4, 0), whole);
    let bytes = board.nvm().iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 != 0 { 0xEDB8_8320 } else { 0 })
    });
    assert_eq!(whole, bytes);
}

#[test]
fn a_debugger_cannot_let_a_protected_chip_go_that_it_holds_in_reset() {
    let mut board = protected();
    board.set_nreset(true, false);
    board.set_nreset(false, true);
    assert_eq!(byte(&mut board, STATUSA), CRSTEXT);
    board.debug_write(STATUSA, Size::Byte, CRSTEXT).expect("DSU");
    assert_eq!(byte(&mut board, STATUSA), CRSTEXT | PERR);
    let before = board.instructions();
    board.run_until(board.now() + Duration::from_millis(1));
    assert_eq!(board.instructions(), before);
}

#[test]
fn a_chip_erase_lifts_the_protection_when_it_is_done() {
    let mut board = protected();
    board.set_flash_timing(true);
    // By the datasheet's recipe (12.7): the core is held in reset meanwhile.
    board.set_nreset(true, false);
    board.set_nreset(false, true);
    assert!(board.ram().iter().any(|byte| *byte != 0));
    board.debug_write(CTRL, Size::Byte, 1 << 4).expect("DSU");
    board.run_until(board.now() + Duration::from_secs(6));
    assert_eq!((byte(&mut board, STATUSA) & DONE, board.debug_read(RAM, Size::Word)), (0, Err(BusFault)));
    board.run_until(board.now() + Duration::from_secs(1));
    assert_eq!((byte(&mut board, STATUSA) & DONE, byte(&mut board, STATUSB) & PROT), (DONE, 0));
    assert!(board.nvm().iter().all(|byte| *byte == 0xFF) && board.ram().iter().all(|byte| *byte == 0));
    assert!(board.debug_read(RAM, Size::Word).is_ok(), "no reset is necessary");
    board.power_off();
    board.power_on();
    board.run_until(board.now() + Duration::from_millis(1));
    assert_eq!(byte(&mut board, STATUSB) & PROT, 0);
}

#[test]
fn a_locked_chip_erase_is_shown_and_fails() {
    let mut board = counting();
    command(&mut board, 0x18);
    assert_eq!(byte(&mut board, STATUSB) & CELCK, CELCK);
    board.debug_write(CTRL, Size::Byte, 1 << 4).expect("DSU");
    assert_eq!(byte(&mut board, STATUSA), 1 << 3);
    assert!(board.nvm().iter().any(|byte| *byte != 0xFF));
    command(&mut board, 0x19);
    assert_eq!(byte(&mut board, STATUSB) & CELCK, 0);
    board.run_until(millis(1));
}
