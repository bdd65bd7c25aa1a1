//! Error correction (25.6.12.2, 25.8.11) and what a power cut leaves for it.

use armv7m::Size;
use sim_base::Rng;

use super::super::commands::command;
use super::super::flag;
use super::Bench;
use crate::memory::USER_PAGE_BASE;
use crate::tear::Tear;

const ECCERR: u32 = 0x24;

fn programmed() -> Bench {
    let mut bench = Bench::new();
    bench.load(0x2_0000, &[0x0123_4567, 0x89AB_CDEF, 0x5555_5555, 0xAAAA_AAAA]);
    bench.command(0x2_0000, command::WQW);
    bench.finish();
    bench.take_flags();
    bench
}

fn read(bench: &mut Bench, addr: u32) -> u32 {
    bench.nvm.ahb_read(addr, Size::Word, &mut bench.rig.cx(bench.now)).expect("flash")
}

#[test]
fn a_single_error_is_corrected_and_logged_until_eccerr_is_read() {
    let mut bench = programmed();
    bench.rig.memory.upset(0x2_0000, 1 << 5);
    assert!(!bench.rig.memory.is_plain(0x2_0000) && bench.rig.memory.is_plain(0x8_0000));
    // Any word of the quad word reports it.
    assert_eq!(read(&mut bench, 0x2_0008), 0x5555_5555);
    assert_eq!(bench.read(0x10), flag::ECCSE);
    assert_eq!(read(&mut bench, 0x2_0000), 0x0123_4567);
    bench.write(0x10, flag::ECCSE);
    assert_eq!(bench.read(0x10), flag::ECCSE, "read-only in INTFLAG");
    assert_eq!(bench.read(ECCERR), 0x2_0000 | 1 << 28);
    assert_eq!((bench.read(ECCERR) >> 28, bench.read(0x10)), (0, 0));
}

#[test]
fn a_double_error_takes_the_place_of_a_single_one_and_stays() {
    let mut bench = programmed();
    bench.rig.memory.upset(0x2_0000, 1);
    bench.rig.memory.upset(0x2_0008, 1 << 63 | 1);
    bench.rig.memory.upset(0x2_0010, 1 << 9);
    bench.rig.memory.upset(0x3_0000, 6);
    read(&mut bench, 0x2_0010);
    assert_eq!(read(&mut bench, 0x2_0008), 0x5555_5554, "uncorrected");
    assert_eq!(bench.read(0x10), flag::ECCSE | flag::ECCDE);
    read(&mut bench, 0x3_0000);
    assert_eq!(bench.read(ECCERR), 0x2_0000 | 1 << 28 | 2 << 30);
}

#[test]
fn ecc_errors_raise_their_interrupt() {
    let mut bench = programmed();
    bench.write(0x0E, flag::ECCDE);
    bench.rig.memory.upset(0x2_0000, 3);
    assert_eq!(crate::peripheral::Peripheral::irqs(&bench.nvm), 0);
    read(&mut bench, 0x2_0000);
    assert_eq!(crate::peripheral::Peripheral::irqs(&bench.nvm), 1);
}

#[test]
fn a_debugger_sees_and_logs_errors_as_dbgctrl_says() {
    let mut bench = programmed();
    bench.rig.memory.upset(0x2_0000, 1);
    bench.rig.signals.debugger = true;
    assert_eq!(read(&mut bench, 0x2_0000), 0x0123_4567);
    assert_eq!(bench.read(0x10), 0);
    bench.write(0x28, 1);
    assert_eq!(read(&mut bench, 0x2_0000), 0x0123_4566);
    bench.write(0x28, 2);
    read(&mut bench, 0x2_0000);
    assert_eq!(bench.read(0x10), flag::ECCSE);
}

#[test]
fn an_erase_heals_a_word() {
    let mut bench = programmed();
    bench.rig.memory.upset(0x2_0000, 3);
    bench.command(0x2_0000, command::EB);
    bench.finish();
    assert!(bench.rig.memory.is_plain(0x2_0000));
    assert_eq!(read(&mut bench, 0x2_0000), u32::MAX);
}

#[test]
fn a_word_programmed_twice_has_a_wrong_code() {
    let mut bench = programmed();
    bench.load(0x2_0000, &[0xF0F0_F0F0, u32::MAX, u32::MAX, u32::MAX]);
    bench.command(0x2_0000, command::WQW);
    bench.finish();
    bench.take_flags();
    read(&mut bench, 0x2_0000);
    assert_ne!(bench.read(0x10) & flag::ECC, 0);
}

#[test]
fn every_kind_of_tear_stays_within_the_write_and_unsteady_cells_change_from_read_to_read() {
    for (seed, tear) in (0..20).flat_map(|seed| Tear::ALL.map(|tear| (seed, tear))) {
        let mut bench = Bench::new();
        bench.load(0x4000, &[0x5555_AAAA; 128]);
        bench.command(0x4000, command::WP);
        assert!(bench.nvm.power_cut(Some(tear), &mut Rng::new(seed), &mut bench.rig.memory).is_some());
        let flash = &bench.rig.memory.arrays.flash();
        assert!(flash[..0x4000].iter().chain(&flash[0x4200..]).all(|byte| *byte == 0xFF), "{tear:?} {seed}");
        let done = flash[0x4000..0x4200].chunks(4).filter(|word| **word == 0x5555_AAAA_u32.to_le_bytes()).count();
        assert_eq!(done == 128, tear == Tear::Complete, "{tear:?} {seed}");
        bench.reset();
        let mut image = || (0..128).map(|n| read(&mut bench, 0x4000 + 4 * n)).collect::<Vec<_>>();
        let (first, second, third) = (image(), image(), image());
        assert_eq!(first == second && second == third, tear != Tear::Unsteady, "{tear:?} {seed}");
    }
}

#[test]
fn a_torn_user_page_is_sensed_once_per_supply_reset() {
    let changing = (0..16).filter(|seed| {
        let mut bench = Bench::new();
        bench.command(USER_PAGE_BASE, command::EP);
        bench.nvm.power_cut(Some(Tear::Unsteady), &mut Rng::new(*seed), &mut bench.rig.memory);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..20 {
            bench.reset();
            let words = |bench: &Bench| [0, 1, 2, 3].map(|n| bench.rig.memory.user_word(n));
            assert_eq!(words(&bench), words(&bench), "seed {seed}");
            seen.insert(words(&bench));
        }
        seen.len() > 1
    });
    assert!(changing.count() > 0);
}
