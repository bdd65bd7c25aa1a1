//! What the bootloader does when nothing is cut.

mod common;

use bootloader_core::{Config, Decision, Event, NothingToStart, Scratch, TRIAL_STARTS, boot};
use common::{BOARD, Device, Events, image, key, payload, started};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use update_image::boot_record::{BootRecord, Outcome, Phase, RollbackCause, Status};
use update_image::layout::{IMAGE_BIN, IMAGE_HEADER_SIZE, PREVIOUS_BIN, REFUSED_BIN, SLOT};
use update_image::sign::{SecretKey, sign};
use update_image::sim::{SimError, SimNor};
use update_image::{Refusal, SoftwareDigest, Version};

const LEN: usize = 9_000;

#[test]
fn first_start_adopts_the_programmed_image() {
    let old = image(1, 5, LEN);
    let mut device = Device::new();
    device.program_slot(&old);
    let (decision, events) = device.boot();
    assert_eq!(started(decision), (1, None));
    assert!(events.contains(&Event::NoUpdate), "{events:?}");
    assert!(events.contains(&Event::Adopted(Version::new(1, 0, 0))), "{events:?}");
    assert_eq!(device.status(), Status::Confirmed);
    assert_eq!(device.state().counter, 5);

    let record = device.nvm.bytes();
    assert_eq!(started(device.boot().0), (1, None));
    assert!(device.nvm.bytes() == record, "a plain start writes nothing");
}

#[test]
fn an_update_is_installed_on_trial_and_confirmed() {
    let (old, new) = (image(1, 1, LEN), image(2, 2, LEN + 5000));
    let mut device = Device::running(&old);
    device.deliver(&new);
    let (decision, events) = device.boot();
    assert_eq!(started(decision), (2, Some(1)));
    assert!(device.slot_holds(&new));
    assert_eq!(device.read_file(PREVIOUS_BIN), Some(old));
    assert_eq!(device.read_file(IMAGE_BIN), None);
    assert_eq!(device.status(), Status::Trial(1));
    assert_eq!(device.state().counter, 1, "raised by confirmation alone");
    let told = [
        Event::UpdateVerified(Version::new(2, 0, 0)),
        Event::PreviousSaved(Version::new(1, 0, 0)),
        Event::Copied(new.len() as u32),
        Event::SlotVerified(Version::new(2, 0, 0)),
        Event::UpdateRemoved,
    ];
    let mut rest = events.iter();
    for event in told {
        assert!(rest.any(|seen| *seen == event), "{event:?} missing or late in {events:?}");
    }

    assert_eq!(started(device.boot().0), (2, Some(2)));
    device.confirm();
    assert_eq!(device.state().counter, 2);
    assert_eq!(started(device.boot().0), (2, None));
    assert_eq!(device.status(), Status::Confirmed);
    assert_eq!(device.violations(), Vec::<String>::new());
}

#[test]
fn an_update_that_is_not_confirmed_is_taken_back_after_three_starts() {
    for watchdog_reset in [false, true] {
        let (old, new) = (image(1, 1, LEN), image(2, 1, LEN));
        let mut device = Device::running(&old);
        device.deliver(&new);
        device.watchdog_reset = watchdog_reset;
        for n in 1..=TRIAL_STARTS {
            assert_eq!(started(device.boot().0), (2, Some(n)));
        }
        let (decision, events) = device.boot();
        assert_eq!(started(decision), (1, None), "{events:?}");
        assert!(device.slot_holds(&old));
        let from = Version::new(2, 0, 0);
        let cause = if watchdog_reset { RollbackCause::Watchdog } else { RollbackCause::NotConfirmed };
        assert_eq!(device.status(), Status::RolledBack { from, cause });
        assert_eq!(started(device.boot().0), (1, None));
        assert_eq!(device.status(), Status::RolledBack { from, cause }, "until it is acknowledged");
        assert_eq!(device.violations(), Vec::<String>::new());
    }
}

#[test]
fn an_update_may_follow_an_unconfirmed_one_and_falls_back_to_the_confirmed_one() {
    let (old, new, newer) = (image(1, 1, LEN), image(2, 1, LEN), image(3, 1, LEN));
    let mut device = Device::running(&old);
    device.deliver(&new);
    assert_eq!(started(device.boot().0), (2, Some(1)));
    device.deliver(&newer);
    for n in 1..=TRIAL_STARTS {
        assert_eq!(started(device.boot().0), (3, Some(n)));
    }
    assert_eq!(started(device.boot().0), (1, None));
}

#[test]
fn an_older_version_is_installed_if_its_counter_allows() {
    let mut device = Device::running(&image(2, 4, LEN));
    device.deliver(&image(1, 4, LEN));
    assert_eq!(started(device.boot().0), (1, Some(1)));
}

/// Delivers `file`, expects `cause`, and that it is refused once.
#[track_caller]
fn expect_refused(file: &[u8], cause: Refusal) {
    let old = image(1, 3, LEN);
    let mut device = Device::running(&old);
    device.deliver(file);
    let (decision, events) = device.boot();
    assert_eq!(started(decision), (1, None));
    assert!(events.contains(&Event::UpdateRefused(cause)), "{cause:?}: {events:?}");
    assert_eq!(device.status(), Status::Refused { cause });
    assert!(device.slot_holds(&old));
    assert_eq!(device.read_file(IMAGE_BIN), None);
    assert_eq!(device.read_file(REFUSED_BIN).as_deref(), Some(file));
    let (decision, events) = device.boot();
    assert_eq!(started(decision), (1, None));
    assert!(events.contains(&Event::NoUpdate), "{events:?}");

    // The same file again makes no second entry.
    let record = device.nvm.bytes();
    device.deliver(file);
    device.boot();
    assert!(device.nvm.bytes() == record);
    assert_eq!(device.violations(), Vec::<String>::new());
}

#[test]
fn what_may_not_run_is_refused_once_and_moved_aside() {
    let good = image(2, 3, LEN);
    let flip = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        bad
    };
    let end = good.len();
    let sign_with =
        |payload: &[u8], counter, board: &str| sign(payload, &key(), Version::new(2, 0, 0), counter, board).unwrap();
    expect_refused(&flip(0), Refusal::BadHeader);
    expect_refused(&flip(16), Refusal::BadHeader);
    expect_refused(&good[..end - 1], Refusal::Truncated);
    expect_refused(&good[..10], Refusal::Truncated);
    expect_refused(&flip(IMAGE_HEADER_SIZE as usize + LEN), Refusal::BadTlv);
    expect_refused(&sign_with(&payload(LEN, 2), 3, "other-board"), Refusal::WrongBoard);
    expect_refused(&flip(IMAGE_HEADER_SIZE as usize + 100), Refusal::WrongHash);
    expect_refused(&flip(end - 1), Refusal::WrongSignature);
    let foreign = SecretKey::from_seed([8; 32]);
    let forged = sign(&payload(LEN, 2), &foreign, Version::new(2, 0, 0), 3, BOARD).unwrap();
    expect_refused(&forged, Refusal::UnknownKey);
    expect_refused(&sign_with(&payload(LEN, 2), 2, BOARD), Refusal::CounterTooLow);
    let mut elsewhere = payload(LEN, 2);
    elsewhere[4..8].copy_from_slice(&0x101_u32.to_le_bytes());
    expect_refused(&sign_with(&elsewhere, 3, BOARD), Refusal::BadVectors);
}

#[test]
fn a_refused_file_is_not_looked_at_again_once_its_refusal_is_reported() {
    let mut file = image(2, 1, LEN);
    *file.last_mut().unwrap() ^= 1;
    let mut device = Device::running(&image(1, 1, LEN));
    device.deliver(&file);
    device.boot();
    assert_eq!(device.status(), Status::Refused { cause: Refusal::WrongSignature });
    BootRecord::open(&mut device.nvm).acknowledge().unwrap();
    let record = device.nvm.bytes();
    for _ in 0..3 {
        let (decision, events) = device.boot();
        assert_eq!(started(decision), (1, None));
        assert!(events.contains(&Event::NoUpdate), "{events:?}");
    }
    assert_eq!(device.status(), Status::Confirmed);
    assert!(device.nvm.bytes() == record);
}

/// External flash that takes no change: worn out, or write-protected.
struct ReadOnly<'a>(&'a mut SimNor);

impl ErrorType for ReadOnly<'_> {
    type Error = SimError;
}

impl ReadNorFlash for ReadOnly<'_> {
    const READ_SIZE: usize = SimNor::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimError> {
        self.0.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl NorFlash for ReadOnly<'_> {
    const WRITE_SIZE: usize = SimNor::WRITE_SIZE;
    const ERASE_SIZE: usize = SimNor::ERASE_SIZE;

    fn erase(&mut self, _from: u32, _to: u32) -> Result<(), SimError> {
        Err(SimError::Dead)
    }

    fn write(&mut self, _offset: u32, _bytes: &[u8]) -> Result<(), SimError> {
        Err(SimError::Dead)
    }
}

#[test]
fn a_refused_file_that_cannot_be_moved_aside_makes_one_entry_and_stops_nothing() {
    let mut file = image(2, 1, LEN);
    *file.last_mut().unwrap() ^= 1;
    let mut device = Device::running(&image(1, 1, LEN));
    device.deliver(&file);
    let before = device.nvm.programs();
    let mut entries = Vec::new();
    for _ in 0..5 {
        let decision = boot(
            &mut device.nvm,
            Some(ReadOnly(&mut device.nor)),
            &Config {
                board: BOARD,
                keys: &[key().public()],
                slot: SLOT,
                ram: common::RAM,
                store: common::STORE,
                watchdog_reset: false,
            },
            &mut Scratch::new(),
            &mut SoftwareDigest::default(),
            &mut Events::default(),
        );
        assert_eq!(started(decision), (1, None));
        let programs = device.nvm.programs();
        entries.push(programs.iter().zip(&before).filter(|(now, before)| now != before).count());
    }
    // An entry is eight quad words.
    assert_eq!(entries, [8; 5]);
    assert_eq!(device.status(), Status::Refused { cause: Refusal::WrongSignature });
    device.boot();
    assert_eq!(device.read_file(REFUSED_BIN), Some(file), "when the flash takes changes again");
}

#[test]
fn an_image_larger_than_the_slot_is_refused() {
    let old = image(1, 1, LEN);
    let mut device = Device::running(&old);
    let mut header = [0; 32];
    header.copy_from_slice(&image(2, 1, LEN)[..32]);
    header[12..16].copy_from_slice(&SLOT.len.to_le_bytes());
    device.deliver(&header);
    assert_eq!(started(device.boot().0), (1, None));
    assert_eq!(device.status(), Status::Refused { cause: Refusal::TooLarge });
}

#[test]
fn a_confirmed_image_starts_without_external_flash() {
    let old = image(1, 1, LEN);
    let mut device = Device::running(&old);
    device.nor.set_dead(true);
    let (decision, events) = device.boot();
    assert_eq!(started(decision), (1, None));
    assert!(events.iter().any(|event| matches!(event, Event::ExternalUnusable(_))), "{events:?}");

    let mut device = Device::running(&old);
    device.nor.put(0, &vec![0xFF; common::STORE.len as usize]);
    assert_eq!(started(device.boot().0), (1, None), "blank");
    device.nor.put(0, &vec![0; common::STORE.len as usize]);
    assert_eq!(started(device.boot().0), (1, None), "all zeros");
}

#[test]
fn a_trial_goes_on_while_external_flash_is_dead_and_is_taken_back_when_it_returns() {
    let (old, new) = (image(1, 1, LEN), image(2, 1, LEN));
    let mut device = Device::running(&old);
    device.deliver(&new);
    device.boot();
    device.nor.set_dead(true);
    for n in [2, 3, 3, 3] {
        assert_eq!(started(device.boot().0), (2, Some(n)));
    }
    device.nor.set_dead(false);
    assert_eq!(started(device.boot().0), (1, None));
    assert!(device.slot_holds(&old));
}

#[test]
fn a_slot_that_is_half_written_without_its_source_is_restored() {
    let (old, new) = (image(1, 1, LEN), image(2, 1, LEN));
    let mut device = Device::running(&old);
    device.deliver(&new);
    device.boot();
    // As if the copy had been cut and image.bin lost.
    let mut state = device.state();
    state.phase = Phase::Installing;
    BootRecord::open(&mut device.nvm).write(state).unwrap();
    device.damage_slot(5000);
    assert_eq!(started(device.boot().0), (1, None));
    assert_eq!(
        device.state().outcome,
        Some(Outcome::RolledBack { from: Version::new(2, 0, 0), cause: RollbackCause::SourceLost })
    );
}

#[test]
fn a_damaged_confirmed_image_is_replaced_by_the_one_before_it() {
    let (old, new) = (image(1, 1, LEN), image(2, 1, LEN));
    let mut device = Device::running(&old);
    device.deliver(&new);
    device.boot();
    device.confirm();
    device.damage_slot(5000);
    assert_eq!(started(device.boot().0), (1, None));
    assert!(device.slot_holds(&old));
    let status = Status::RolledBack { from: Version::new(2, 0, 0), cause: RollbackCause::SlotDamaged };
    assert_eq!(device.status(), status);
    assert_eq!(started(device.boot().0), (1, None));
}

#[test]
fn a_blank_device_waits_for_help_and_takes_an_image_from_external_flash() {
    let mut device = Device::new();
    let (decision, _) = device.boot();
    assert_eq!(decision, Decision::Recover(NothingToStart::Refused(Refusal::BadHeader)));
    device.deliver(&image(1, 1, LEN));
    assert_eq!(started(device.boot().0), (1, Some(1)));
}

#[test]
fn a_programmer_may_replace_the_image_in_any_phase() {
    let (old, new, other) = (image(1, 1, LEN), image(2, 1, LEN), image(9, 1, LEN));
    for phase in [
        Phase::Confirmed,
        Phase::Installing,
        Phase::Trial { starts: 3 },
        Phase::Restoring { cause: RollbackCause::NotConfirmed },
    ] {
        let mut device = Device::running(&old);
        device.deliver(&new);
        device.boot();
        let mut state = device.state();
        state.phase = phase;
        BootRecord::open(&mut device.nvm).write(state).unwrap();
        device.program_slot(&other);
        assert_eq!(started(device.boot().0), (9, None), "{phase:?}");
        assert_eq!(started(device.boot().0), (9, None), "{phase:?}");
    }
}

#[test]
fn an_update_waits_while_there_is_no_room_for_the_running_image() {
    let (old, new) = (image(1, 1, LEN), image(2, 1, LEN));
    let mut device = Device::running(&old);
    device.deliver(&new);
    // Of 48 blocks, 2 are metadata, 3 image.bin and 42 this.
    device.write_file("ballast", &vec![0; 41 * 4096]);
    let (decision, events) = device.boot();
    assert_eq!(started(decision), (1, None));
    assert!(events.iter().any(|event| matches!(event, Event::BackupFailed(_))), "{events:?}");
    device.files(|store| store.remove("ballast")).unwrap();
    assert_eq!(started(device.boot().0), (2, Some(1)));
}

#[test]
fn any_of_several_keys_is_accepted() {
    let old = image(1, 1, LEN);
    let mut device = Device::running(&old);
    let others = [1, 2, 3].map(|n| SecretKey::from_seed([n; 32]).public());
    assert!(matches!(device.boot_under(&others).0, Decision::Recover(_)));
    let mut keys = others.to_vec();
    keys.push(key().public());
    assert_eq!(started(device.boot_under(&keys).0), (1, None));
}
