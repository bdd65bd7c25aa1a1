use std::time::Duration;

use armv7m::{ExceptionEdge, Glitch, GlitchKind, Size};
use sim_base::Instant;

use super::{Board, BoardConfig, RunStop};
use crate::{EventKind, ResetCause};

mod cache;
mod ethernet;
mod faults;
mod power;
mod protection;
mod ram_upsets;
mod snapshot;

mod sleep;

const RAM: u32 = 0x2000_0000;
const DHCSR: u32 = 0xE000_EDF0;
const DEMCR: u32 = 0xE000_EDFC;
const AIRCR: u32 = 0xE000_ED0C;
const NVM_STATUS: u32 = 0x4100_4012;
const NVM_ADDR: u32 = 0x4100_4014;
const NVM_CTRLB: u32 = 0x4100_4004;
const RCAUSE: u32 = 0x4000_0C00;

fn config(flash_timing: bool) -> BoardConfig {
    BoardConfig { seed: 1, flash_timing }
}

/// A powered board whose flash holds `code` at 0x400 behind a vector table with the given handlers
/// (exception number, address).
fn with_code(code: &[u16], vectors: &[(usize, u32)], flash_timing: bool) -> Board {
    let mut board = Board::new(config(flash_timing));
    let flash = &mut board.chip.shared.memory.arrays.flash_mut();
    flash[..4].copy_from_slice(&0x2000_8000_u32.to_le_bytes());
    flash[4..8].copy_from_slice(&0x401_u32.to_le_bytes());
    for (number, address) in vectors {
        flash[4 * number..4 * number + 4].copy_from_slice(&(address | 1).to_le_bytes());
    }
    for (n, halfword) in code.iter().enumerate() {
        flash[0x400 + 2 * n..0x402 + 2 * n].copy_from_slice(&halfword.to_le_bytes());
    }
    board.power_on();
    board
}

fn millis(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn kinds(board: &mut Board) -> Vec<EventKind> {
    board.take_events().into_iter().map(|event| event.kind).collect()
}

fn word(board: &mut Board, addr: u32) -> u32 {
    board.debug_read(addr, Size::Word).expect("the address answers")
}

fn set(board: &mut Board, addr: u32, value: u32) {
    board.debug_write(addr, Size::Word, value).expect("the address answers");
}

/// `loop: add r0, #1; str r0, [r1]; b loop` with r1 = RAM.
const COUNT_IN_RAM: [u16; 6] = [0x2001, 0x0749, 0x3001, 0x6008, 0xE7FC, 0xBF00];

/// `movs r1, #1; lsls r1, r1, #29` makes 0x2000_0000.
fn counting() -> Board {
    let code = [0x2101, COUNT_IN_RAM[1], 0x2000, COUNT_IN_RAM[2], COUNT_IN_RAM[3], COUNT_IN_RAM[4]];
    with_code(&code, &[], true)
}

#[test]
fn a_program_runs_from_flash_at_48_mhz() {
    let mut board = counting();
    assert_eq!(board.run_until(millis(1)), RunStop::Time);
    let count = word(&mut board, RAM);
    // Four cycles a turn of 48 000 in a millisecond, within the cycle model's freedom.
    assert!((8_000..16_001).contains(&count), "{count}");
    assert!(board.instructions() > 24_000);
    assert_eq!(board.cycles(), 48_000);
    assert_eq!(board.now(), millis(1));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut board = counting();
        board.run_until(millis(3));
        (board.instructions(), board.cycles(), board.ram()[..16].to_vec(), board.ram()[0x1_0000..0x1_0010].to_vec())
    };
    assert_eq!(run(), run());
}

#[test]
fn a_snapshot_goes_on_like_the_original() {
    let mut board = counting();
    board.run_until(millis(1));
    let mut copy = board.snapshot();
    board.run_until(millis(2));
    copy.run_until(millis(2));
    assert_eq!(board.instructions(), copy.instructions());
    assert_eq!(board.ram(), copy.ram());
}

#[test]
fn an_erased_chip_locks_up() {
    let mut board = Board::new(config(true));
    board.power_on();
    assert_eq!(board.run_until(millis(1)), RunStop::Lockup);
    assert!(kinds(&mut board).iter().any(|kind| matches!(kind, EventKind::Lockup { .. })));
    assert_eq!(board.run_until(millis(2)), RunStop::Time);
    assert_eq!(board.now(), millis(2));
}

#[test]
fn power_on_reports_itself_in_rcause_and_events() {
    let mut board = counting();
    assert_eq!(word(&mut board, RCAUSE) & 0xFF, 1);
    assert_eq!(kinds(&mut board), [EventKind::PowerOn, EventKind::Reset(ResetCause::PowerOn)]);
}

#[test]
fn a_system_reset_request_restarts_the_program_and_spares_ram() {
    let mut board = counting();
    board.run_until(millis(1));
    set(&mut board, RAM + 0x100, 0xCAFE);
    kinds(&mut board);
    set(&mut board, AIRCR, 0x05FA_0004);
    board.run_until(millis(2));
    assert_eq!(kinds(&mut board), [EventKind::Reset(ResetCause::System)]);
    assert_eq!(word(&mut board, RCAUSE) & 0xFF, 1 << 6);
    assert_eq!(word(&mut board, RAM + 0x100), 0xCAFE);
}

#[test]
fn vector_catch_halts_at_the_first_instruction_after_a_reset() {
    let mut board = counting();
    set(&mut board, DHCSR, 0xA05F_0001);
    set(&mut board, DEMCR, 1);
    set(&mut board, AIRCR, 0x05FA_0004);
    assert_eq!(board.run_until(millis(1)), RunStop::Halted);
    assert!(board.is_halted());
    assert_eq!(board.register(15), 0x400);
}

#[test]
fn reset_with_swclk_low_holds_the_core_until_crstext_is_cleared() {
    let mut board = counting();
    board.set_nreset(true, true);
    board.set_nreset(false, true);
    let before = board.instructions();
    board.run_until(millis(1));
    assert_eq!(board.instructions(), before);
    assert_eq!(board.debug_read(0x4100_2101, Size::Byte), Ok(2));
    set(&mut board, DHCSR, 0xA05F_0001);
    set(&mut board, DEMCR, 1);
    board.debug_write(0x4100_2101, Size::Byte, 2).expect("the DSU answers");
    board.run_until(millis(2));
    assert!(board.is_halted());
    assert_eq!(word(&mut board, RCAUSE) & 0xFF, 1 << 4);
}

#[test]
fn the_watchdog_resets_a_program_that_does_not_clear_it() {
    let mut board = counting();
    // PER 0: 8 cycles of 1.024 kHz.
    board.debug_write(0x4000_2001, Size::Byte, 0).expect("WDT");
    board.debug_write(0x4000_2000, Size::Byte, 2).expect("WDT");
    kinds(&mut board);
    board.run_until(millis(20));
    assert_eq!(kinds(&mut board), [EventKind::Reset(ResetCause::Watchdog)]);
    assert_eq!(word(&mut board, RCAUSE) & 0xFF, 1 << 5);
}

#[test]
fn a_debugger_programs_flash_without_timing_as_probe_rs_does() {
    let mut board = Board::new(config(false));
    board.power_on();
    set(&mut board, DHCSR, 0xA05F_0003);
    board.debug_write(0x4100_4000, Size::Half, 0xCF00).expect("NVMCTRL");
    set(&mut board, NVM_ADDR, 0x2000);
    board.debug_write(NVM_CTRLB, Size::Half, 0xA501).expect("NVMCTRL");
    for n in 0..128 {
        set(&mut board, 0x2000 + 4 * n, n);
    }
    set(&mut board, NVM_ADDR, 0x2000);
    board.debug_write(NVM_CTRLB, Size::Half, 0xA503).expect("NVMCTRL");
    assert_eq!(board.debug_read(NVM_STATUS, Size::Half).map(|status| status & 1), Ok(1));
    assert_eq!(board.debug_read(0x4100_4010, Size::Half).map(|flags| flags & 0x4E), Ok(0));
    assert_eq!(word(&mut board, 0x21FC), 127);
    assert_eq!(board.nvm()[0x2004], 1);
}

#[test]
fn programming_the_bank_that_runs_stalls_the_core_and_the_other_does_not() {
    for (addr, stalls) in [(0x1_0000, true), (0x8_0000, false)] {
        let mut board = counting();
        board.run_until(millis(1));
        set(&mut board, addr, 0);
        board.debug_write(NVM_CTRLB, Size::Half, 0xA503).expect("NVMCTRL");
        let before = board.instructions();
        board.run_until(millis(2));
        assert_eq!(board.instructions() == before, stalls, "{addr:#x}");
        board.run_until(millis(4));
        assert!(board.instructions() > before);
        assert_eq!(board.nvm()[addr as usize], 0);
    }
}

#[test]
fn new_code_in_flash_runs_after_a_reset() {
    let mut board = counting();
    board.run_until(millis(1));
    board.set_flash_timing(false);
    set(&mut board, DHCSR, 0xA05F_0003);
    set(&mut board, NVM_ADDR, 0);
    board.debug_write(NVM_CTRLB, Size::Half, 0xA501).expect("NVMCTRL");
    // `b .` at 0x400.
    for (addr, value) in [(0, 0x2000_8000), (4, 0x401)] {
        set(&mut board, addr, value);
    }
    board.debug_write(NVM_CTRLB, Size::Half, 0xA503).expect("NVMCTRL");
    set(&mut board, 0x400, 0xE7FE_E7FE);
    board.debug_write(NVM_CTRLB, Size::Half, 0xA503).expect("NVMCTRL");
    set(&mut board, RAM, 0);
    set(&mut board, AIRCR, 0x05FA_0004);
    set(&mut board, DHCSR, 0xA05F_0000);
    board.run_until(millis(2));
    assert_eq!(board.register(15), 0x400);
    assert_eq!(word(&mut board, RAM), 0);
}

#[test]
fn an_interrupt_of_the_rtc_wakes_the_core_and_idle_costs_no_instructions() {
    // main: wfi; b main. handler at 0x420: add r4, #1; the RTC's flag is cleared by storing 0x8000 to 0x4000_240C.
    let mut code = [0xBF00_u16; 32];
    code[..2].copy_from_slice(&[0xBF30, 0xE7FD]);
    code[16..20].copy_from_slice(&[0x3401, 0x800D, 0x4770, 0xBF00]);
    let mut board = with_code(&code, &[(16 + 11, 0x420)], true);
    board.run_until(millis(1));
    // Through the debugger: r1 = INTFLAG, r5 = OVF, RTC in mode 1 with PER = 31 at 1.024 kHz: every 31.25 ms.
    set(&mut board, DHCSR, 0xA05F_0003);
    for (register, value) in [(1, 0x4000_240C), (4, 0), (5, 0x8000)] {
        set(&mut board, 0xE000_EDF8, value);
        set(&mut board, 0xE000_EDF4, 1 << 16 | register);
    }
    let half = |board: &mut Board, addr, value| board.debug_write(addr, Size::Half, value).expect("RTC");
    half(&mut board, 0x4000_2400, 1 << 2 | 1 << 8);
    half(&mut board, 0x4000_241C, 31);
    half(&mut board, 0x4000_240A, 0x8000);
    half(&mut board, 0x4000_2400, 1 << 2 | 1 << 8 | 2);
    set(&mut board, 0xE000_E100, 1 << 11);
    set(&mut board, DHCSR, 0xA05F_0000);
    let before = board.instructions();
    board.run_until(millis(1_010));
    assert_eq!(board.register(4), 32);
    assert!(board.instructions() - before < 300, "{}", board.instructions() - before);
}

#[test]
fn a_power_cut_loses_ram_and_tears_the_erase_in_flight() {
    let mut board = counting();
    board.run_until(millis(1));
    set(&mut board, NVM_ADDR, 0x8_0000);
    board.debug_write(NVM_CTRLB, Size::Half, 0xA501).expect("NVMCTRL");
    board.run_until(millis(10));
    kinds(&mut board);
    board.power_off();
    let torn = Some("NVM erase of 8192 bytes at 0x00080000".to_string());
    assert_eq!(kinds(&mut board), [EventKind::PowerOff { torn }]);
    assert!(!board.is_powered());
    assert_eq!(board.debug_read(RAM, Size::Word), Err(armv7m::BusFault));
    assert_eq!(board.run_until(millis(500)), RunStop::Time);
    board.power_on();
    board.run_until(millis(501));
    assert!(word(&mut board, RAM) > 0);
    assert_eq!(word(&mut board, RCAUSE) & 0xFF, 1);
}

#[test]
fn a_planned_cut_hits_the_chosen_flash_operation() {
    let mut board = counting();
    board.cut_power_in_flash_operation(1, 128);
    for addr in [0x8_0000, 0x8_2000] {
        set(&mut board, NVM_ADDR, addr);
        board.debug_write(NVM_CTRLB, Size::Half, 0xA501).expect("NVMCTRL");
        let end = board.now() + Duration::from_millis(60);
        board.run_until(end);
    }
    assert!(!board.is_powered());
    // 60 ms for the first, 25 of the second's 50 ms.
    assert_eq!(board.now(), millis(85));
    let torn = Some("NVM erase of 8192 bytes at 0x00082000".to_string());
    assert!(kinds(&mut board).contains(&EventKind::PowerOff { torn }));
}

#[test]
fn unmodelled_registers_read_zero_and_are_reported_once_per_page_of_code() {
    // ldr r0, [r2]; b . with r2 = 0x4200_3000 (PUKCC) by literal; repeated reads from the same page.
    let code = [0x4A01, 0x6810, 0xE7FD, 0xBF00, 0x3000, 0x4200];
    let mut board = with_code(&code, &[], true);
    kinds(&mut board);
    board.run_until(millis(1));
    let events = kinds(&mut board);
    assert!(
        matches!(&events[..], [EventKind::Unmodelled { what, write: false, .. }] if what == "PUKCC+0x000"),
        "{events:?}"
    );
    assert_eq!(board.register(0), 0);
}

#[test]
fn holes_in_the_memory_map_are_bus_errors() {
    let mut board = counting();
    for addr in [0x9000_0000, 0x4100_F000 + 0x10_0000, 0x2004_0000, 0x0010_0000] {
        assert_eq!(board.debug_read(addr, Size::Word), Err(armv7m::BusFault), "{addr:#x}");
    }
}

#[test]
fn a_peripheral_without_its_bus_clock_does_not_answer() {
    let mut board = counting();
    kinds(&mut board);
    // SERCOM2's clock is off after reset.
    set(&mut board, 0x4101_2000, 4);
    assert_eq!(word(&mut board, 0x4101_2000), 0);
    assert!(matches!(&kinds(&mut board)[..], [EventKind::Violation(what)] if what.contains("SERCOM2")));
    let mask = word(&mut board, 0x4000_0818);
    set(&mut board, 0x4000_0818, mask | 1 << 9);
    set(&mut board, 0x4101_2000, 4);
    assert_eq!(word(&mut board, 0x4101_2000), 4);
}

#[test]
fn narrow_and_wide_accesses_reach_the_same_registers() {
    let mut board = counting();
    // WDT.CTRLA, CONFIG and EWCTRL are bytes; PORT.DIR is a word.
    assert_eq!(word(&mut board, 0x4000_2000), 0x000B_BB00);
    board.debug_write(0x4100_8002, Size::Byte, 0xA5).expect("PORT");
    assert_eq!(word(&mut board, 0x4100_8000), 0x00A5_0000);
    assert_eq!(board.debug_read(0x4100_8002, Size::Half), Ok(0xA5));
}

#[test]
fn the_led_and_the_button_are_wired() {
    let mut board = counting();
    assert!(!board.led());
    set(&mut board, 0x4100_8108, 1 << 18);
    assert!(board.led());
    set(&mut board, 0x4100_8118, 1 << 18);
    assert!(!board.led());
    board.debug_write(0x4100_80C0 + 31, Size::Byte, 6).expect("PORT");
    set(&mut board, 0x4100_8098, 1 << 31);
    assert_eq!(word(&mut board, 0x4100_80A0), 1 << 31);
    board.set_button(true);
    assert_eq!(word(&mut board, 0x4100_80A0), 0);
}

#[test]
fn the_virtual_com_port_carries_bytes_both_ways() {
    let mut board = counting();
    let mask = word(&mut board, 0x4000_0818);
    set(&mut board, 0x4000_0818, mask | 1 << 9);
    set(&mut board, 0x4000_1C80 + 4 * 23, 1 << 6);
    board.debug_write(0x4101_200C, Size::Half, 63_019).expect("SERCOM2");
    set(&mut board, 0x4101_2004, 3 << 16);
    // PB24 and PB25 to function D; RxD is PAD[1].
    set(&mut board, 0x4100_80A8, 1 << 31 | 1 << 30 | 1 << 28 | 3 << 24 | 1 << 16 | 0x0300);
    set(&mut board, 0x4101_2000, 1 << 20 | 1 << 2 | 2);
    set(&mut board, 0x4101_2028, 0x55);
    board.send_uart(b"!");
    board.run_until(millis(1));
    assert_eq!(board.take_uart(), [0x55]);
    assert_eq!(word(&mut board, 0x4101_2028), u32::from(b'!'));
}

#[test]
fn the_serial_number_words_do_not_change() {
    let mut board = counting();
    let serial = [0x0080_61FC, 0x0080_6010, 0x0080_6014, 0x0080_6018].map(|addr| word(&mut board, addr));
    board.power_off();
    board.power_on();
    assert_eq!(serial, [0x0080_61FC, 0x0080_6010, 0x0080_6014, 0x0080_6018].map(|addr| word(&mut board, addr)));
    assert!(serial.iter().any(|word| *word != u32::MAX));
}

#[test]
fn an_interrupt_that_a_reset_ended_is_not_pending_afterwards() {
    let mut board = counting();
    // TRNG data ready raises line 131 (NVIC_ISPR4 bit 3).
    let mask = word(&mut board, 0x4000_081C);
    set(&mut board, 0x4000_081C, mask | 1 << 10);
    board.debug_write(0x4200_2809, Size::Byte, 1).expect("TRNG");
    board.debug_write(0x4200_2800, Size::Byte, 2).expect("TRNG");
    board.run_until(millis(1));
    assert_eq!(word(&mut board, 0xE000_E210) & 8, 8);
    set(&mut board, AIRCR, 0x05FA_0004);
    board.run_until(millis(2));
    assert_eq!(word(&mut board, 0xE000_E210) & 8, 0);
}

#[test]
fn a_brown_out_resets_the_chip_only_while_its_detector_is_on() {
    let mut board = counting();
    assert!(!board.brown_out(), "the delivered fuses leave it off");
    set(&mut board, 0x4000_1810, 0x001C_0206);
    assert!(!board.brown_out(), "not ready yet");
    board.run_until(millis(1));
    assert!(board.brown_out());
    assert_eq!(word(&mut board, RCAUSE) & 0xFF, 1 << 2);
}

#[test]
fn the_core_waits_while_the_serial_memory_answers() {
    let mut board = counting();
    set(&mut board, DHCSR, 0xA05F_0003);
    set(&mut board, 0x4200_3404, 1);
    set(&mut board, 0x4200_3408, 3 << 8);
    set(&mut board, 0x4200_3400, 2);
    set(&mut board, 0x4200_3434, 0x9F);
    set(&mut board, 0x4200_3438, 1 << 4 | 1 << 7);
    let before = board.now();
    assert_eq!(word(&mut board, 0x0400_0000) & 0x00FF_FFFF, 0x19_BA20);
    // 8 and 32 clocks of 12 MHz.
    assert_eq!(board.now() - before, Duration::from_nanos(666 + 2_666));
}

#[test]
fn a_board_stops_where_a_flash_operation_begins_if_it_is_asked_to() {
    let mut board = counting();
    board.run_until(millis(1));
    let erase = |board: &mut Board, addr| {
        set(board, NVM_ADDR, addr);
        board.debug_write(NVM_CTRLB, Size::Half, 0xA501).expect("NVMCTRL");
    };
    board.stop_at_flash_operations(true);
    assert_eq!(board.run_until(millis(2)), RunStop::Time);
    erase(&mut board, 0x8_0000);
    assert_eq!(board.run_until(millis(100)), RunStop::Operation);
    assert_eq!(board.now(), millis(2));
    assert_eq!(board.snapshot().run_until(millis(100)), RunStop::Time, "each is told of once");
    assert_eq!(board.run_until(millis(100)), RunStop::Time);
    board.stop_at_flash_operations(false);
    erase(&mut board, 0x8_2000);
    assert_eq!(board.run_until(millis(200)), RunStop::Time);
}

#[test]
fn a_cut_in_a_nor_program_leaves_the_rest_of_the_array_alone() {
    let mut board = counting();
    board.run_until(millis(1));
    set(&mut board, DHCSR, 0xA05F_0003);
    board.cut_power_in_flash_operation(0, 100);
    set(&mut board, 0x4200_3404, 1);
    set(&mut board, 0x4200_3400, 2);
    set(&mut board, 0x4200_3434, 0x06);
    set(&mut board, 0x4200_3438, 2 << 12 | 1 << 4);
    set(&mut board, 0x4200_3434, 0x02);
    set(&mut board, 0x4200_3438, 3 << 12 | 1 << 4 | 1 << 5 | 1 << 7);
    for n in 0..16 {
        set(&mut board, 0x0400_1000 + 4 * n, 0);
    }
    set(&mut board, 0x4200_3400, 1 << 24 | 2);
    let started = board.now();
    board.run_until(started + Duration::from_millis(5));
    assert!(!board.is_powered());
    let torn = Some("NOR program of 64 bytes at 0x00001000".to_string());
    assert!(kinds(&mut board).contains(&EventKind::PowerOff { torn }));
    assert_eq!(board.nor(0x1040, 192), [0xFF; 192]);
    assert_eq!(board.nor(0x0F00, 256), [0xFF; 256]);
}

#[test]
fn a_chip_without_cable_or_program_does_not_hold_time_still() {
    let mut board = Board::new(config(true));
    board.run_until(millis(1));
    assert_eq!(board.now(), millis(1));
    board.power_on();
    board.set_nreset(true, false);
    board.run_until(millis(2));
    assert_eq!((board.now(), board.instructions()), (millis(2), 0));
}

/// `ldr r3, [r0, #16]; tst r3, r2; bne .-4; b .` with r0 = RTC and r2 = SYNCBUSY.COMP0.
const POLL_SYNCBUSY: [u16; 6] = [0x2220, 0x4802, 0x6903, 0x4213, 0xD1FC, 0xE7FE];

#[test]
fn a_polled_register_changes_when_its_time_comes() {
    const RTC: u32 = 0x4000_2400;
    let code: Vec<u16> = POLL_SYNCBUSY.into_iter().chain([RTC as u16, (RTC >> 16) as u16]).collect();
    let mut board = with_code(&code, &[], true);
    // CLK_RTC_OSC is 1 024 Hz: a synchronisation takes four periods.
    set(&mut board, RTC + 0x20, 1_000);
    let written = board.now();
    let done = Instant::from_nanos(written.as_nanos() + 4 * 1_000_000_000 / 1_024);
    board.run_until(Instant::from_nanos(done.as_nanos() - 500));
    assert_eq!(board.register(3), 1 << 5);
    board.run_until(Instant::from_nanos(done.as_nanos() + 500));
    assert_eq!((board.register(3), board.register(15)), (0, 0x40A));
    // A write from elsewhere ends it, too.
    set(&mut board, RTC + 0x20, 2_000);
    assert_eq!(word(&mut board, RTC + 0x10), 1 << 5);
    set(&mut board, RTC + 0x24, 2_000);
    assert_eq!(word(&mut board, RTC + 0x10), 3 << 5);
}

#[test]
fn exceptions_are_recorded_with_their_virtual_time() {
    // SysTick each 48 000 cycles, a millisecond; the handler at 0x420 is `bx lr`.
    let code = [0xE7FE];
    let mut board = with_code(&code, &[(15, 0x420)], true);
    board.chip.shared.memory.arrays.flash_mut()[0x420..0x422].copy_from_slice(&0x4770_u16.to_le_bytes());
    board.record_exceptions(true);
    set(&mut board, 0xE000_E014, 47_999);
    set(&mut board, 0xE000_E018, 0);
    set(&mut board, 0xE000_E010, 7);
    let start = board.now();
    board.run_until(millis(10) + Duration::from_micros(500));
    let records = board.take_exceptions();
    assert_eq!(records.len(), 20, "{records:?}");
    for (n, pair) in records.chunks(2).enumerate() {
        let due = start + Duration::from_millis(n as u64 + 1);
        let [(entered, entry), (left, exit)] = pair else { panic!("an odd number") };
        assert_eq!((entry.number, entry.edge), (15, ExceptionEdge::Entry));
        assert_eq!((exit.number, exit.edge), (15, ExceptionEdge::Exit));
        assert!(due <= *entered && entered < left && *left < due + Duration::from_micros(1), "{pair:?}, due {due:?}");
    }
}

#[test]
fn an_undefined_instruction_is_reported_and_udf_is_not() {
    // The UsageFault ends up in HardFault, whose vector is 0: lockup.
    for (encoding, reported) in [(0xDE00, false), (0xB6FF, true)] {
        let mut board = with_code(&[encoding], &[], true);
        board.run_until(millis(1));
        let seen = kinds(&mut board).into_iter().any(|kind| matches!(kind, EventKind::UndefinedInstruction { .. }));
        assert_eq!(seen, reported, "{encoding:#x}");
    }
}

#[test]
fn a_glitch_strikes_at_its_instruction() {
    // movs r0, #1; movs r0, #2; b .
    let skip = Glitch { at: 1, kind: GlitchKind::Skip };
    let run = |plan: &[Glitch]| {
        let mut board = with_code(&[0x2001, 0x2002, 0xE7FE], &[], true);
        board.plan_glitches(plan.iter().copied());
        board.run_until(millis(1));
        (board.register(0), board.take_glitches().len())
    };
    assert_eq!(run(&[]), (2, 0));
    assert_eq!(run(&[skip]), (1, 1));
}

/// Nine NOPs and `b .-18`: twenty bytes from 0x400, and so two lines of flash.
fn turns_in_a_millisecond(prepare: impl Fn(&mut Board)) -> u64 {
    let mut code = [0xBF00; 10];
    code[9] = 0xE7F5;
    let mut board = with_code(&code, &[], true);
    prepare(&mut board);
    let before = (board.instructions(), board.cycles());
    let end = board.now() + Duration::from_millis(1);
    board.run_until(end);
    assert!((board.cycles() - before.1).abs_diff(48_000) < 20);
    (board.instructions() - before.0) / 10
}

#[test]
fn wait_states_count_for_each_line_of_code_until_the_cache_is_on() {
    // Eleven cycles a turn, and at 48 MHz one wait state for each of two lines.
    assert!(turns_in_a_millisecond(|_| {}).abs_diff(48_000 / 13) < 2);
    // CTRLA: no AUTOWS, RWS 5.
    let slow = |board: &mut Board| board.debug_write(0x4100_4000, Size::Half, 0x0500).expect("NVMCTRL");
    assert!(turns_in_a_millisecond(slow).abs_diff(48_000 / 21) < 2);
    let cached = |board: &mut Board| {
        slow(board);
        set(board, 0x4100_6008, 1);
    };
    assert!(turns_in_a_millisecond(cached).abs_diff(48_000 / 11) < 2);
}
