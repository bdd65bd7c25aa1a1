//! The boot record on a simulated flash. (That a cut loses nothing is shown with the bootloader, in its tests.)

use update_image::boot_record::{BootRecord, ImageId, Outcome, Phase, RecordError, RollbackCause, State, Status};
use update_image::layout::BOOT_RECORD;
use update_image::sim::{SimError, SimNvm, Supply, Torn};
use update_image::{ImageInfo, Refusal, Version};

fn info(major: u8, counter: u32) -> ImageInfo {
    ImageInfo { version: Version::new(major, 0, 0), counter, hash: [major; 32], total_len: 100, seal: 0 }
}

#[test]
fn a_blank_record_says_nothing_and_costs_nothing() {
    let mut flash = SimNvm::erased(&Supply::steady());
    let record = BootRecord::open(&mut flash);
    assert_eq!(*record.state(), State::default());
    assert_eq!(record.status(), Status::Confirmed);
    assert!(flash.bytes().iter().all(|byte| *byte == 0xFF));
}

#[test]
fn every_state_survives_a_reset() {
    let id = ImageId { version: Version::new(3, 2, 1), hash: [0xA5; 32] };
    let phases = [
        Phase::Confirmed,
        Phase::Installing,
        Phase::Trial { starts: 0 },
        Phase::Trial { starts: 255 },
        Phase::Restoring { cause: RollbackCause::SourceLost },
    ];
    let outcomes = [
        None,
        Some(Outcome::RolledBack { from: Version::new(9, 8, 7), cause: RollbackCause::Watchdog }),
        Some(Outcome::Refused { cause: Refusal::BadVectors, fingerprint: [0x5A; 16] }),
    ];
    let mut flash = SimNvm::erased(&Supply::steady());
    for phase in phases {
        for outcome in outcomes {
            for confirmed in [None, Some(id)] {
                let state = State {
                    counter: 0x0102_0304,
                    phase,
                    confirmed,
                    subject: ImageId { version: Version::new(4, 4, 4), hash: [0x11; 32] },
                    subject_counter: 0x0506_0708,
                    outcome,
                };
                BootRecord::open(&mut flash).write(state).unwrap();
                assert_eq!(*BootRecord::open(&mut flash).state(), state);
            }
        }
    }
    assert_eq!(flash.violations(), Vec::<String>::new());
}

#[test]
fn confirmation_raises_the_counter_and_ends_the_trial() {
    let mut flash = SimNvm::erased(&Supply::steady());
    let mut record = BootRecord::open(&mut flash);
    record.adopt(&info(1, 5)).unwrap();
    record.confirm().unwrap();
    assert_eq!(record.state().confirmed, Some(ImageId::from(&info(1, 5))), "nothing to confirm");
    let subject = info(2, 6);
    let state = State {
        phase: Phase::Trial { starts: 1 },
        subject: (&subject).into(),
        subject_counter: subject.counter,
        ..*record.state()
    };
    record.write(state).unwrap();
    assert_eq!(record.status(), Status::Trial(1));
    assert_eq!(record.state().counter, 5);
    record.confirm().unwrap();
    assert_eq!(record.status(), Status::Confirmed);
    assert_eq!(record.state().counter, 6);
    assert_eq!(record.state().confirmed, Some(ImageId::from(&subject)));
}

#[test]
fn an_outcome_is_told_until_it_is_acknowledged() {
    let mut flash = SimNvm::erased(&Supply::steady());
    let mut record = BootRecord::open(&mut flash);
    let cause = Refusal::WrongHash;
    let outcome = Some(Outcome::Refused { cause, fingerprint: [1; 16] });
    record.write(State { outcome, ..State::default() }).unwrap();
    assert_eq!(BootRecord::open(&mut flash).status(), Status::Refused { cause });
    BootRecord::open(&mut flash).acknowledge().unwrap();
    assert_eq!(BootRecord::open(&mut flash).status(), Status::Confirmed);
}

#[test]
fn the_log_goes_round_its_blocks_for_ever() {
    let mut flash = SimNvm::erased(&Supply::steady());
    for n in 1..=1_000 {
        let mut record = BootRecord::open(&mut flash);
        assert_eq!(record.state().subject_counter, n - 1);
        record.write(State { subject_counter: n, ..State::default() }).unwrap();
    }
    assert_eq!(flash.violations(), Vec::<String>::new());
    let block = BOOT_RECORD.start as usize / 8192;
    // 64 entries per block, 1000 entries.
    assert_eq!(flash.erases()[block..].iter().sum::<u32>(), 1_000 / 64);
    assert_eq!(flash.erases()[..block].iter().sum::<u32>(), 0);
}

#[test]
fn a_record_cut_in_any_quad_word_says_the_old_state_or_the_new() {
    // From the entry before a block is left to the second of the next.
    for before in 60..70 {
        let mut start = SimNvm::erased(&Supply::steady());
        for n in 1..=before {
            BootRecord::open(&mut start).write(State { subject_counter: n, ..State::default() }).unwrap();
        }
        for operation in 0.. {
            let mut cut = false;
            for torn in Torn::ALL {
                let what = format!("{before} entries, cut at {operation}, {torn:?}");
                let supply = Supply::cut_at(operation, torn, u64::from(before) * 100 + operation);
                let mut flash = start.powered_by(&supply);
                let next = State { subject_counter: before + 1, ..State::default() };
                let result = BootRecord::open(&mut flash).write(next);
                cut |= result == Err(RecordError::Flash(SimError::NoPower));
                let mut flash = flash.powered_by(&Supply::steady());
                let found = BootRecord::open(&mut flash).state().subject_counter;
                assert!(found == before || found == before + 1, "{what}: {found}");
                // And the log goes on.
                let last = State { subject_counter: 7_777, ..State::default() };
                BootRecord::open(&mut flash).write(last).unwrap();
                assert_eq!(*BootRecord::open(&mut flash).state(), last, "{what}");
                assert_eq!(flash.violations(), Vec::<String>::new(), "{what}");
            }
            if !cut {
                break;
            }
        }
    }
}

#[test]
fn damaged_entries_are_passed_over() {
    let mut flash = SimNvm::erased(&Supply::steady());
    for n in 1..=3 {
        BootRecord::open(&mut flash).write(State { subject_counter: n, ..State::default() }).unwrap();
    }
    let newest = BOOT_RECORD.start as usize + 2 * 128;
    let entry = flash.bytes()[newest..newest + 128].to_vec();
    for bit in 0..128 * 8 {
        let mut damaged = entry.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        flash.put(newest as u32, &damaged);
        assert_eq!(BootRecord::open(&mut flash).state().subject_counter, 2, "bit {bit}");
    }
}

#[test]
fn an_entry_that_reads_differently_each_time_decides_nothing() {
    // Of 4,000 torn entries hundreds read as sound at times: one or two unsteady cells are enough for that.
    for seed in 0..6_000 {
        let mut flash = SimNvm::erased(&Supply::steady());
        let mut record = BootRecord::open(&mut flash);
        for n in 1..=3 {
            record.write(State { subject_counter: n, ..State::default() }).unwrap();
        }
        let mut flash = flash.powered_by(&Supply::cut_at(7 - seed % 2 * (seed % 8), Torn::Unsteady, seed));
        let _ = BootRecord::open(&mut flash).write(State { subject_counter: 4, ..State::default() });
        let mut flash = flash.powered_by(&Supply::seeded(seed));

        let mut record = BootRecord::open(&mut flash);
        record.settle().unwrap();
        let seen = *record.state();
        assert!([3, 4].contains(&seen.subject_counter), "seed {seed}");
        for _ in 0..8 {
            assert_eq!(*BootRecord::open(&mut flash).state(), seen, "seed {seed}");
        }
        assert_eq!(flash.violations(), Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn a_first_entry_that_was_torn_does_not_come_back() {
    for seed in 0..6_000 {
        let blank = SimNvm::erased(&Supply::steady());
        let mut flash = blank.powered_by(&Supply::cut_at(seed % 8, Torn::Unsteady, seed));
        let _ = BootRecord::open(&mut flash).write(State { subject_counter: 1, ..State::default() });
        let mut flash = flash.powered_by(&Supply::seeded(seed));

        let mut record = BootRecord::open(&mut flash);
        record.settle().unwrap();
        let seen = *record.state();
        assert!([0, 1].contains(&seen.subject_counter), "seed {seed}");
        for _ in 0..8 {
            assert_eq!(*BootRecord::open(&mut flash).state(), seen, "seed {seed}");
        }
        let last = State { subject_counter: 2, ..State::default() };
        BootRecord::open(&mut flash).write(last).unwrap();
        for _ in 0..8 {
            assert_eq!(*BootRecord::open(&mut flash).state(), last, "seed {seed}");
        }
        assert_eq!(flash.violations(), Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn a_record_whose_numbers_have_run_out_is_not_written() {
    let mut nvm = SimNvm::erased(&Supply::steady());
    let state = State { counter: 3, ..State::default() };
    BootRecord::open(&mut nvm).write(state).unwrap();
    let start = BOOT_RECORD.start as usize;
    let mut entry = nvm.bytes()[start..start + 128].to_vec();
    // A sound entry under the highest number that counts.
    entry[4..8].copy_from_slice(&(u32::MAX - 1).to_le_bytes());
    let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&entry[..124]);
    entry[124..].copy_from_slice(&sum.to_le_bytes());
    nvm.put(BOOT_RECORD.start, &entry);
    assert_eq!(*BootRecord::open(&mut nvm).state(), state);
    let written = BootRecord::open(&mut nvm).write(State { counter: 4, ..state });
    assert_eq!(written, Err(RecordError::Unwritable));
    assert_eq!(*BootRecord::open(&mut nvm).state(), state);
}
