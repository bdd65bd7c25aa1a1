//! Supply, battery and brown-out.

use std::time::Duration;

use armv7m::{BusFault, Size};

use super::{RAM, RCAUSE, config, counting, kinds, millis, set, word};
use crate::board::Board;
use crate::tear::Tear;
use crate::{EventKind, ResetCause};

const BACKUP_RAM: u32 = 0x4700_0000;
const BKUPEXIT: u32 = 0x4000_0C02;
const BOD33: u32 = 0x4000_1810;
const BBPS: u32 = 0x4000_1820;
const SUPC_INTFLAG: u32 = 0x4000_1808;
const RTC_COUNT: u32 = 0x4000_2418;
const NVM_ADDR: u32 = 0x4100_4014;
const NVM_CTRLB: u32 = 0x4100_4004;
/// 2.7 V, hysteresis 2, reset, enabled.
const GUARD: u32 = 0x00C8_0206;

fn erase_upper_block(board: &mut Board) {
    set(board, NVM_ADDR, 0x8_0000);
    board.debug_write(NVM_CTRLB, Size::Half, 0xA501).expect("NVMCTRL");
}

#[test]
fn below_bod33_the_chip_is_held_in_reset_until_the_upper_threshold() {
    let mut board = counting();
    set(&mut board, BOD33, GUARD);
    board.run_until(millis(1));
    board.set_supply(2_701);
    assert_eq!(board.debug_read(RAM, Size::Word).map(|_| ()), Ok(()));
    board.set_supply(2_699);
    let held = board.instructions();
    board.run_until(millis(2));
    assert_eq!((board.instructions(), board.debug_read(RAM, Size::Word)), (held, Err(BusFault)));
    board.set_supply(2_705);
    board.run_until(millis(3));
    assert_eq!(board.instructions(), held, "hysteresis");
    board.set_supply(2_712);
    board.run_until(millis(4));
    assert!(board.instructions() > held);
    assert_eq!(word(&mut board, RCAUSE) & 0xFF, 1 << 2);
}

#[test]
fn bod33_as_an_interrupt_lets_the_chip_run() {
    let mut board = counting();
    set(&mut board, BOD33, GUARD & !0xC | 2 << 2);
    board.run_until(millis(1));
    board.set_supply(2_600);
    let before = board.instructions();
    board.run_until(millis(2));
    assert!(board.instructions() > before);
    assert_eq!(word(&mut board, SUPC_INTFLAG) & 2, 2);
}

#[test]
fn below_its_supply_the_external_flash_forgets_what_it_was_told() {
    let mut board = counting();
    board.set_supply(2_400);
    set(&mut board, 0x4200_3404, 1);
    set(&mut board, 0x4200_3400, 2);
    set(&mut board, 0x4200_3434, 0x9F);
    set(&mut board, 0x4200_3438, 1 << 4 | 1 << 7);
    assert_eq!(word(&mut board, 0x0400_0000), u32::MAX);
    set(&mut board, 0x4200_3400, 1 << 24 | 2);
    board.set_supply(3_300);
    let later = board.now() + Duration::from_millis(1);
    board.run_until(later);
    set(&mut board, 0x4200_3438, 1 << 4 | 1 << 7);
    assert_eq!(word(&mut board, 0x0400_0000) & 0x00FF_FFFF, 0x19_BA20);
}

#[test]
fn the_chosen_tear_is_the_one_that_happens() {
    for (tear, expected) in [(Tear::Nothing, 0), (Tear::Complete, 8_192)] {
        let mut board = counting();
        board.chip.shared.memory.arrays.flash_mut()[0x8_0000..].fill(0);
        board.set_tear(Some(tear));
        erase_upper_block(&mut board);
        board.run_until(millis(10));
        board.power_off();
        assert_eq!(board.nvm()[0x8_0000..].iter().filter(|byte| **byte == 0xFF).count(), expected);
    }
}

#[test]
fn the_supply_can_be_cut_at_any_cycle() {
    for cycle in [1_000, 1_001, 1_002, 1_003, 1_004, 48_000] {
        let mut board = counting();
        board.cut_power_at_cycle(cycle);
        board.run_until(millis(2));
        assert!(!board.is_powered());
        assert!((cycle..cycle + 4).contains(&board.cycles()), "{cycle}: {}", board.cycles());
    }
}

#[test]
fn without_a_battery_the_backup_domain_is_lost() {
    let mut board = counting();
    set(&mut board, BBPS, 5);
    set(&mut board, BACKUP_RAM, 0xCAFE_F00D);
    board.power_off();
    board.run_until(millis(10));
    board.power_on();
    assert_ne!(word(&mut board, BACKUP_RAM), 0xCAFE_F00D);
    assert_eq!(word(&mut board, RCAUSE) & 0xFF, 1);
}

#[test]
fn with_a_battery_that_supc_switches_to_the_backup_domain_lives_on() {
    let mut board = counting();
    board.set_battery(true);
    set(&mut board, BBPS, 5);
    set(&mut board, BACKUP_RAM, 0xCAFE_F00D);
    set(&mut board, RAM + 0x1000, 0xCAFE_F00D);
    // RTC in mode 0 on 1.024 kHz, enabled.
    board.debug_write(0x4000_2400, Size::Half, 0x8002).expect("RTC");
    board.run_until(millis(100));
    let before = word(&mut board, RTC_COUNT);
    kinds(&mut board);
    board.power_off();
    board.run_until(millis(1_100));
    board.power_on();
    assert_eq!(
        kinds(&mut board),
        [EventKind::PowerOff { torn: None }, EventKind::PowerOn, EventKind::Reset(ResetCause::Backup)]
    );
    assert_eq!(word(&mut board, RCAUSE) & 0xFF, 1 << 7);
    assert_eq!(board.debug_read(BKUPEXIT, Size::Byte), Ok(1 << 2));
    assert_eq!(word(&mut board, BACKUP_RAM), 0xCAFE_F00D);
    assert_ne!(word(&mut board, RAM + 0x1000), 0xCAFE_F00D);
    let counted = word(&mut board, RTC_COUNT) - before;
    assert!((1_000..1_050).contains(&counted), "{counted}");
}

#[test]
fn ram_decays_with_the_time_without_supply_if_asked_for() {
    let survivors = |off: u64| {
        let mut board = Board::new(config(true));
        board.set_ram_decay(Some(Duration::from_millis(50)));
        board.power_on();
        board.chip.shared.memory.arrays.ram_mut().fill(0xA5);
        board.power_off();
        board.run_until(millis(off));
        board.power_on();
        board.ram().iter().filter(|byte| **byte == 0xA5).count()
    };
    let [short, half, long] = [1, 50, 1_000].map(survivors);
    assert!(short > 255_000 && (125_000..140_000).contains(&half) && long < 2_000, "{short} {half} {long}");
}
