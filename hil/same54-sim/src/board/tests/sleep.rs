//! Sleep modes, with a program that waits, counts and waits again.

use super::*;
use crate::EventKind;

const SLEEPCFG: u32 = 0x4000_0401;
const PM_CTRLA: u32 = 0x4000_0400;
const BKUPEXIT: u32 = 0x4000_0C02;
const STANDBY: u32 = 4;
const HIBERNATE: u32 = 5;
const BACKUP: u32 = 6;
const OFF: u32 = 7;
/// Above the counter, in the first and the last part of RAM, and in backup RAM.
const LOW: u32 = 0x2000_0100;
const HIGH: u32 = 0x2003_0000;
const BACKUP_RAM: [u32; 2] = [0x4700_0010, 0x4700_1010];
const TC0: u32 = 0x4000_3800;

fn byte(board: &mut Board, addr: u32, value: u32) {
    board.debug_write(addr, Size::Byte, value).expect("the address answers");
}

/// The program counts its wake-ups in RAM; interrupts are masked, so that pending ones wake and do no more.
fn waiting() -> Board {
    // cpsid i; movs r1, #1; lsls r1, r1, #29; movs r0, #0; loop: str r0, [r1]; wfi; adds r0, #1; b loop
    let code = [0xB672, 0x2101, 0x0749, 0x2000, 0x6008, 0xBF30, 0x3001, 0xE7FB];
    let mut board = with_code(&code, &[], true);
    board.run_until(millis(1));
    board
}

/// RTC: 1 kHz, 32-bit counter, compare 0 after `ticks`, with its interrupt; NVIC line 11 enabled.
fn alarm(board: &mut Board, ticks: u32) {
    board.debug_write(0x4000_2400, Size::Half, 1 << 8 | 1 << 15).expect("RTC");
    set(board, 0x4000_2420, ticks);
    board.debug_write(0x4000_240A, Size::Half, 1 << 8).expect("RTC");
    set(board, 0xE000_E100, 1 << 11);
    board.debug_write(0x4000_2400, Size::Half, 1 << 8 | 1 << 15 | 2).expect("RTC");
}

fn wake_ups(board: &mut Board) -> u32 {
    word(board, RAM)
}

/// Marks all memories.
fn mark(board: &mut Board) {
    for addr in [LOW, HIGH, BACKUP_RAM[0], BACKUP_RAM[1]] {
        set(board, addr, 0xC0FF_EE00);
    }
}

fn kept(board: &mut Board) -> [bool; 4] {
    [LOW, HIGH, BACKUP_RAM[0], BACKUP_RAM[1]].map(|addr| word(board, addr) == 0xC0FF_EE00)
}

#[test]
fn standby_stops_the_core_clock_and_blocks_without_runstdby_until_an_interrupt() {
    let mut board = waiting();
    // TC0 and TC4 count generator 0: TC4 with RUNSTDBY.
    set(&mut board, 0x4000_0814, 0xFFFF);
    set(&mut board, 0x4000_081C, 0x6FFC);
    set(&mut board, 0x4000_1C80 + 9 * 4, 1 << 6);
    set(&mut board, 0x4000_1C80 + 30 * 4, 1 << 6);
    set(&mut board, TC0, 2 << 2 | 2);
    set(&mut board, 0x4200_1400, 2 << 2 | 1 << 6 | 2);
    byte(&mut board, SLEEPCFG, STANDBY);
    let counters = |board: &mut Board| (word(board, TC0 + 0x14), word(board, 0x4200_1414));
    let (before, cycles) = (counters(&mut board), board.cycles());
    alarm(&mut board, 99);
    board.run_until(millis(60));
    let asleep = counters(&mut board);
    assert_eq!(board.cycles(), cycles, "CYCCNT and SysTick stand still");
    assert_eq!(asleep.0, before.0);
    assert_eq!(asleep.1 - before.1, 59 * 48_000);
    board.run_until(millis(200));
    assert!(board.cycles() > cycles);
    assert!(wake_ups(&mut board) > 0);
    assert!(counters(&mut board).0 > before.0);
}

#[test]
fn the_button_wakes_from_standby_through_the_eic() {
    let mut board = waiting();
    // PB31: input with pull-up, function A; line 15 falling, asynchronous, with its interrupt (NVIC line 27).
    set(&mut board, 0x4100_8080 + 0x18, 1 << 31);
    byte(&mut board, 0x4100_8080 + 0x40 + 31, 7);
    set(&mut board, 0x4000_2818, 1 << 15);
    set(&mut board, 0x4000_2820, 2 << 28);
    set(&mut board, 0x4000_2810, 1 << 15);
    byte(&mut board, 0x4000_2800, 2);
    set(&mut board, 0xE000_E100, 1 << 27);
    byte(&mut board, SLEEPCFG, STANDBY);
    board.run_until(millis(50));
    assert_eq!(wake_ups(&mut board), 0);
    board.set_button(true);
    board.run_until(millis(51));
    assert!(wake_ups(&mut board) > 0);
}

#[test]
fn standby_keeps_as_much_ram_as_it_is_told_to() {
    for (config, expected) in [(0, [true; 4]), (1, [true, false, true, true]), (2, [false, false, true, true])] {
        let mut board = waiting();
        mark(&mut board);
        byte(&mut board, 0x4000_0408, config);
        byte(&mut board, SLEEPCFG, STANDBY);
        board.run_until(millis(2));
        assert_eq!(kept(&mut board), expected, "RAMCFG {config}");
    }
}

#[test]
fn the_rtc_ends_backup_mode_with_a_reset_that_keeps_backup_ram_alone() {
    let mut board = waiting();
    mark(&mut board);
    alarm(&mut board, 99);
    byte(&mut board, SLEEPCFG, BACKUP);
    board.run_until(millis(50));
    assert!(board.debug_read(RAM, Size::Word).is_err(), "nothing answers a debugger");
    board.take_events();
    board.run_until(millis(150));
    let resets: Vec<_> =
        board.take_events().into_iter().filter(|event| matches!(event.kind, EventKind::Reset(_))).collect();
    assert_eq!(resets.len(), 1);
    assert_eq!(resets[0].kind, EventKind::Reset(ResetCause::Backup));
    let at = resets[0].at.as_nanos();
    assert!((97_000_000..100_000_000).contains(&at), "{at}");
    assert_eq!(board.debug_read(RCAUSE, Size::Byte), Ok(0x80));
    assert_eq!(board.debug_read(BKUPEXIT, Size::Byte), Ok(2));
    assert_eq!(kept(&mut board), [false, false, true, true]);
    assert_eq!(board.debug_read(0x4000_240C, Size::Half).unwrap() >> 8 & 1, 1, "the RTC was not reset");
}

#[test]
fn hibernate_keeps_what_its_configuration_says_and_tells_itself_from_backup() {
    // RAMCFG and BRAMCFG: all and all, 32 KiB and 4 KiB, nothing.
    let cases = [(0x0, [true; 4]), (0x5, [true, false, true, false]), (0xA, [false; 4])];
    for (config, expected) in cases {
        let mut board = waiting();
        mark(&mut board);
        alarm(&mut board, 20);
        byte(&mut board, 0x4000_0409, config);
        byte(&mut board, SLEEPCFG, HIBERNATE);
        board.run_until(millis(100));
        assert_eq!(board.debug_read(RCAUSE, Size::Byte), Ok(0x80));
        assert_eq!(board.debug_read(BKUPEXIT, Size::Byte), Ok(0x82));
        assert_eq!(kept(&mut board), expected, "HIBCFG {config:#x}");
    }
}

#[test]
fn only_the_reset_pin_ends_off_mode() {
    let mut board = waiting();
    alarm(&mut board, 20);
    byte(&mut board, SLEEPCFG, OFF);
    board.run_until(millis(1_000));
    assert!(board.debug_read(RAM, Size::Word).is_err());
    board.set_nreset(true, false);
    board.run_until(millis(1_001));
    board.set_nreset(false, false);
    board.run_until(millis(1_002));
    assert_eq!(board.debug_read(RCAUSE, Size::Byte), Ok(0x10));
    assert_eq!(wake_ups(&mut board), 0, "the program runs again");
}

#[test]
fn ioret_keeps_the_led_lit_over_backup_mode_until_it_is_cleared() {
    for ioret in [0, 4] {
        let mut board = waiting();
        // PC18 low: lit.
        set(&mut board, 0x4100_8100 + 0x08, 1 << 18);
        byte(&mut board, PM_CTRLA, ioret);
        alarm(&mut board, 20);
        byte(&mut board, SLEEPCFG, BACKUP);
        board.run_until(millis(10));
        assert!(board.led(), "pins hold their state in backup mode");
        board.run_until(millis(100));
        assert_eq!(board.debug_read(RCAUSE, Size::Byte), Ok(0x80));
        assert_eq!(board.led(), ioret != 0);
        assert_eq!(word(&mut board, 0x4100_8100), 0, "the registers are reset all the same");
        byte(&mut board, PM_CTRLA, 0);
        assert!(!board.led());
    }
}

#[test]
fn a_month_of_hibernation_costs_nothing() {
    let mut board = waiting();
    alarm(&mut board, 30 * 86_400 * 1_024);
    byte(&mut board, SLEEPCFG, HIBERNATE);
    let instructions = board.instructions();
    board.run_until(millis(29 * 86_400_000));
    assert_eq!(board.instructions(), instructions);
    board.run_until(millis(31 * 86_400_000));
    assert_eq!(board.debug_read(BKUPEXIT, Size::Byte), Ok(0x82));
}

#[test]
fn a_call_of_the_pukcc_library_is_one_event_and_a_fault() {
    // ldr r3, [pc, #4]; blx r3; b .; nop; .word 0x0200_0001; HardFault: b .
    let code = [0x4B01, 0x4798, 0xE7FE, 0xBF00, 0x0001, 0x0200, 0xE7FE];
    let mut board = with_code(&code, &[(3, 0x40C)], true);
    board.run_until(millis(1));
    let names: Vec<_> = kinds(&mut board)
        .into_iter()
        .filter_map(|kind| match kind {
            EventKind::Unmodelled { what, .. } => Some(what),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["PUKCC library+0x000"]);
    assert_eq!(board.register(15), 0x40C, "the program is in its fault handler");
    // Its RAM is there.
    set(&mut board, 0x4000_0810, 0x00FF_FFFF);
    set(&mut board, 0x0201_1004, 0x1234_5678);
    assert_eq!(board.debug_read(0x0201_1006, Size::Half), Ok(0x1234));
}

#[test]
fn the_nmi_pin_takes_the_core_to_its_nmi_handler() {
    // b . with the NMI handler at 0x40C: movs r7, #9; b .
    let mut board = with_code(&[0xE7FE, 0, 0, 0, 0, 0, 0x2709, 0xE7FE], &[(2, 0x40C)], true);
    // PA08: input with pull-up, function A; falling edge, asynchronous.
    set(&mut board, 0x4100_8000 + 0x18, 1 << 8);
    byte(&mut board, 0x4100_8000 + 0x40 + 8, 7);
    byte(&mut board, 0x4000_2801, 0x12);
    byte(&mut board, 0x4000_2800, 2);
    board.run_until(millis(1));
    assert_eq!(board.register(7), 0);
    board.chip.parts.port.drive(0, 8, Some(false));
    board.chip.look_at_pins();
    board.run_until(millis(2));
    assert_eq!(board.register(7), 9);
}
