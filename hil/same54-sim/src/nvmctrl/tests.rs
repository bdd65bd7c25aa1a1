use armv7m::Size;
use sim_base::Rng;

use super::commands::command;
use super::{BLOCK, Nvmctrl, PAGE, flag};
use crate::peripheral::{Peripheral, Write};
use crate::rig::Rig;
use crate::{EventKind, ResetCause};

const MS: u64 = 1_000_000;

mod ecc;
mod smart;

struct Bench {
    nvm: Nvmctrl,
    rig: Rig,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        Self { nvm: Nvmctrl::new(), rig: Rig::new(), now: 0 }
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.nvm.write(offset, Write::full(value), &mut self.rig.cx(self.now));
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.nvm.read(offset, &mut self.rig.cx(self.now))
    }

    fn command(&mut self, addr: u32, command: u32) {
        self.write(0x14, addr);
        self.write(0x04, 0xA500 | command);
    }

    fn load(&mut self, addr: u32, words: &[u32]) {
        for (n, word) in (0..).zip(words) {
            let accepted = self.nvm.ahb_write(addr + 4 * n, Size::Word, *word, &mut self.rig.cx(self.now));
            assert!(accepted.is_some());
        }
    }

    fn reset(&mut self) {
        self.rig.memory.sense_fuses();
        self.nvm.reset(ResetCause::PowerOn, &mut self.rig.cx(self.now));
    }

    fn ready(&mut self) -> bool {
        self.read(0x12) & 1 != 0
    }

    /// Lets everything end that is under way.
    fn finish(&mut self) {
        while let Some(until) = self.nvm.busy_until() {
            self.now = until.as_nanos();
            assert!(self.read(0x12) & 1 != 0 || self.nvm.busy_until() > Some(until));
        }
    }

    fn take_flags(&mut self) -> u32 {
        let flags = self.read(0x10);
        self.write(0x10, flags);
        flags
    }
}

#[test]
fn a_page_write_takes_the_typical_time_and_then_shows_in_the_array() {
    let mut bench = Bench::new();
    bench.load(0x1_0000, &[0x1234_5678; 128]);
    assert_eq!(bench.read(0x12) & 4, 4, "LOAD");
    bench.command(0x1_0000, command::WP);
    assert!(!bench.ready());
    assert_eq!(bench.rig.memory.busy_bank(), 0);
    bench.now = 1_500_000 - 1;
    assert!(!bench.ready());
    assert_eq!(bench.rig.memory.arrays.flash()[0x1_0000], 0xFF);
    bench.now = 1_500_000;
    assert!(bench.ready());
    assert_eq!(bench.take_flags(), flag::DONE);
    assert_eq!(bench.rig.memory.arrays.flash()[0x1_0000..0x1_0004], [0x78, 0x56, 0x34, 0x12]);
    assert_eq!(bench.rig.memory.arrays.flash()[0x1_01FC..0x1_0204], [0x78, 0x56, 0x34, 0x12, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert_eq!(bench.rig.signals.stale_code, vec![0x1_0000..0x1_0200; 1]);
    assert_eq!(bench.read(0x12) & 4, 0, "the page buffer is cleared");
}

#[test]
fn a_quad_word_write_leaves_the_rest_of_the_page_alone() {
    let mut bench = Bench::new();
    bench.load(0x8_0010, &[1, 2, 3, 4]);
    bench.command(0x8_0010, command::WQW);
    assert_eq!(bench.rig.memory.busy_bank(), 1);
    bench.now = MS;
    assert!(bench.ready());
    let flash = &bench.rig.memory.arrays.flash();
    assert_eq!(flash[0x8_0010..0x8_0020], [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]);
    assert!(flash[0x8_0000..0x8_0010].iter().chain(&flash[0x8_0020..0x8_0200]).all(|byte| *byte == 0xFF));
}

#[test]
fn automatic_quad_word_mode_writes_when_the_fourth_word_is_loaded() {
    let mut bench = Bench::new();
    bench.write(0x00, 2 << 4);
    bench.load(0x2_0000, &[1, 2, 3]);
    assert!(bench.ready());
    bench.load(0x2_000C, &[4]);
    assert!(!bench.ready());
}

#[test]
fn programming_a_word_twice_clears_bits_and_is_a_violation() {
    let mut bench = Bench::new();
    for value in [0xFFFF_00FF, 0xFF00_FFFF] {
        bench.load(0x2_0000, &[value]);
        bench.command(0x2_0000, command::WQW);
        bench.now += MS;
        assert!(bench.ready());
    }
    assert_eq!(bench.rig.memory.arrays.flash()[0x2_0000..0x2_0004], [0xFF, 0x00, 0x00, 0xFF]);
    assert_eq!(bench.rig.violations().len(), 1);
}

#[test]
fn a_block_erase_covers_8_kib_around_addr() {
    let mut bench = Bench::new();
    bench.rig.memory.arrays.flash_mut().fill(0);
    bench.command(3 * BLOCK + 0x123, command::EB);
    bench.now = 50 * MS;
    assert!(bench.ready());
    let erased = bench.rig.memory.arrays.flash().iter().filter(|byte| **byte == 0xFF).count();
    assert_eq!(erased, BLOCK as usize);
    assert_eq!(bench.rig.memory.arrays.flash()[3 * BLOCK as usize], 0xFF);
    let events = bench.rig.take_events();
    assert_eq!(events[0].kind, EventKind::NvmErase { addr: 3 * BLOCK, len: BLOCK });
}

#[test]
fn a_wrong_key_is_a_programming_error() {
    let mut bench = Bench::new();
    bench.write(0x04, command::EB);
    assert_eq!(bench.take_flags(), flag::PROGE);
    assert!(bench.ready());
}

#[test]
fn a_command_while_busy_is_refused() {
    let mut bench = Bench::new();
    bench.command(0, command::EB);
    bench.write(0x04, 0xA500 | command::EB);
    assert_eq!(bench.take_flags(), flag::PROGE);
    assert_eq!(bench.rig.violations().len(), 1);
}

#[test]
fn locked_regions_refuse_until_unlocked() {
    let mut bench = Bench::new();
    bench.command(0x8000, command::LR);
    assert_eq!(bench.read(0x18), !2);
    bench.take_flags();
    bench.command(0x8000, command::EB);
    assert_eq!(bench.take_flags(), flag::LOCKE | flag::DONE, "assumed: a refused command is done");
    bench.command(0x8000, command::UR);
    bench.take_flags();
    bench.command(0x8000, command::EB);
    bench.now = 50 * MS;
    assert_eq!(bench.take_flags(), flag::DONE);
}

#[test]
fn bootprot_protects_the_first_units_until_disabled() {
    let mut bench = Bench::new();
    // BOOTPROT = 7: (15 - 7) * 8 KB = 64 KB.
    let word = bench.rig.memory.user_word(0) & !(15 << 26) | 7 << 26;
    bench.rig.memory.user_page[..4].copy_from_slice(&word.to_le_bytes());
    bench.reset();
    bench.command(0xE000, command::EB);
    assert_eq!(bench.take_flags(), flag::LOCKE | flag::DONE);
    bench.command(0x1_0000, command::EB);
    bench.now = 50 * MS;
    assert_eq!(bench.take_flags(), flag::DONE);
    bench.command(0, command::SBPDIS);
    bench.take_flags();
    bench.command(0xE000, command::EB);
    bench.now = 100 * MS;
    assert_eq!(bench.take_flags(), flag::DONE);
    assert_eq!(bench.read(0x12) >> 8, 7, "STATUS.BOOTPROT");
}

#[test]
fn the_user_page_takes_quad_words_and_page_erase_only() {
    let mut bench = Bench::new();
    bench.command(0x80_4000, command::EB);
    assert_eq!(bench.take_flags(), flag::PROGE | flag::DONE);
    bench.command(0x80_4000, command::EP);
    bench.now += 50 * MS;
    assert_eq!(bench.take_flags(), flag::DONE);
    assert_eq!(bench.rig.memory.user_word(0), u32::MAX);
    bench.load(0x80_4000, &[1, 2, 3, 4]);
    bench.command(0x80_4000, command::WP);
    assert_eq!(bench.take_flags(), flag::PROGE | flag::DONE);
    bench.command(0x80_4000, command::WQW);
    bench.now += 50 * MS;
    assert_eq!(bench.take_flags(), flag::DONE);
    assert_eq!(bench.rig.memory.user_word(3), 4);
}

#[test]
fn byte_writes_to_flash_are_a_bus_error() {
    let mut bench = Bench::new();
    assert!(bench.nvm.ahb_write(0x1000, Size::Byte, 0, &mut bench.rig.cx(0)).is_none());
}

#[test]
fn bank_swap_maps_the_other_bank_low_and_resets_the_chip() {
    let mut bench = Bench::new();
    bench.rig.memory.arrays.flash_mut()[0] = 0xA0;
    bench.rig.memory.arrays.flash_mut()[0x8_0000] = 0xB0;
    bench.write(0x04, 0xA500 | command::BKSWRST);
    assert_eq!((bench.rig.memory.arrays.flash()[0], bench.rig.memory.arrays.flash()[0x8_0000]), (0xB0, 0xA0));
    assert_eq!(bench.rig.signals.reset, Some(ResetCause::Nvm));
    assert_eq!(bench.read(0x12) & 0x10, 0, "AFIRST");
}

#[test]
fn without_flash_timing_operations_finish_at_once() {
    let mut bench = Bench::new();
    bench.rig.flash_timing = false;
    bench.rig.memory.arrays.flash_mut().fill(0);
    bench.command(0, command::EB);
    assert!(bench.ready());
    assert_eq!(bench.rig.memory.arrays.flash()[0], 0xFF);
}

#[test]
fn a_power_cut_tears_the_write_in_flight_and_nothing_else() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let mut bench = Bench::new();
        bench.load(0x4000, &[0x5555_AAAA; 128]);
        bench.command(0x4000, command::WP);
        let torn = bench.nvm.power_cut(None, &mut Rng::new(seed), &mut bench.rig.memory);
        assert_eq!(torn.as_deref(), Some("NVM program of 512 bytes at 0x00004000"));
        let flash = &bench.rig.memory.arrays.flash();
        assert!(flash[..0x4000].iter().chain(&flash[0x4200..]).all(|byte| *byte == 0xFF), "seed {seed}");
        outcomes.insert(flash[0x4000..0x4200].iter().filter(|byte| **byte == 0xFF).count());
    }
    assert!(outcomes.contains(&(PAGE as usize)), "nothing done");
    assert!(outcomes.len() > 10, "{outcomes:?}");
}

#[test]
fn automatic_modes_write_their_unit() {
    for (mode, words, len) in [(1, 2, 8), (2, 4, 16), (3, 128, 512)] {
        let mut bench = Bench::new();
        bench.write(0x00, mode << 4);
        bench.load(0x2_0000, &vec![0x1234_5678; words]);
        let events = bench.rig.take_events();
        assert_eq!(events[0].kind, EventKind::NvmProgram { addr: 0x2_0000, len }, "WMODE {mode}");
        bench.finish();
        assert_eq!(bench.rig.memory.arrays.flash()[0x2_0000 + len as usize - 1], 0x12);
    }
}

#[test]
fn pulses_that_do_not_verify_raise_nvme() {
    let mut bench = Bench::new();
    bench.nvm.wrap_pulses(|sound| Box::new(crate::FailingPulses::new(sound, 0x2_0000..0x2_2000, 1)));
    for expected in [flag::NVME | flag::DONE, flag::DONE] {
        bench.load(0x2_0010, &[1, 2, 3, 4]);
        bench.command(0x2_0010, command::WQW);
        bench.finish();
        assert_eq!(bench.take_flags(), expected);
    }
    assert_eq!(bench.rig.memory.arrays.flash()[0x2_0010], 1);
}

#[test]
fn power_reduction_mode_ends_with_the_next_command_unless_it_is_manual() {
    let mut bench = Bench::new();
    bench.command(0, command::SPRM);
    assert_eq!(bench.read(0x12) & 2, 2);
    bench.command(0, command::PBC);
    assert_eq!(bench.read(0x12) & 2, 0);
    bench.write(0x00, 3 << 6);
    bench.command(0, command::SPRM);
    bench.command(0, command::PBC);
    assert_eq!(bench.read(0x12) & 2, 2);
    bench.command(0, command::CPRM);
    assert_eq!(bench.read(0x12) & 2, 0);
}

#[test]
fn reads_suspend_a_block_erase_outside_its_sector() {
    let mut bench = Bench::new();
    bench.write(0x00, 1 << 3);
    bench.command(0x2_0000, command::EB);
    bench.now = 10 * MS;
    // 25.6.6.4: not in the 128 KB around the block.
    assert_eq!(bench.nvm.wait(0x2_4000, false, &mut bench.rig.cx(bench.now)).as_millis(), 40);
    assert_eq!(bench.take_flags(), 0);
    assert_eq!(bench.nvm.wait(0x4_0000, false, &mut bench.rig.cx(bench.now)).as_micros(), 20);
    assert_eq!(bench.take_flags(), flag::SUSP);
    bench.now = 50 * MS;
    assert!(!bench.ready(), "the operation ends later");
    // The other bank does not care.
    assert!(bench.nvm.wait(0x8_0000, false, &mut bench.rig.cx(bench.now)).is_zero());
    bench.now = 51 * MS;
    assert!(bench.ready());
}

#[test]
fn a_reset_in_the_middle_of_an_erase_completes_it() {
    let mut bench = Bench::new();
    bench.rig.memory.arrays.flash_mut().fill(0);
    bench.command(0, command::EB);
    bench.reset();
    assert_eq!(bench.rig.memory.arrays.flash()[0], 0xFF);
    assert!(bench.ready());
}
