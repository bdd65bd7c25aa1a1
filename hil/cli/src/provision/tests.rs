//! A virtual board is provisioned, and what it does afterwards.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hub::{Enrolment, EventKind};
use probe_rs::probe::Probe;
use probe_rs::{MemoryInterface as _, Permissions};
use same54_sim::{Board, BoardConfig};
use sim_base::Rng;
use sim_probe::VirtualProbe;
use update_image::layout::SLOT;

use super::*;
use crate::image::{generate, make, secret_key};
use crate::rig;

const KEY: [u8; 32] = [0x5A; 32];
const DEVICE: &str = "bench-0042";

fn folder(name: &str) -> PathBuf {
    let dir = artifacts::target_dir(&artifacts::root()).join("tmp").join("provision").join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn fixtures() -> PathBuf {
    artifacts::root().join("fixtures").join("keys")
}

fn workspace() -> Workspace {
    Workspace::new(artifacts::target_dir(&artifacts::root()).join("hil").join("programs"))
}

/// The record of [`DEVICE`], through a file in `dir`.
fn record(dir: &Path) -> DeviceRecord {
    use base64::Engine as _;
    let path = dir.join("device.toml");
    let key = base64::prelude::BASE64_STANDARD.encode(KEY);
    std::fs::write(dir.join("device.key"), format!("{key}\n")).unwrap();
    let keys = fixtures();
    let text = format!(
        "registration_id = \"{DEVICE}\"\nid_scope = \"0ne00E54000\"\nsymmetric_key_file = \"device.key\"\n\
         ca_certificates = [{:?}]\n[[root_keys]]\nkid = \"ADU.HIL.R\"\nfile = {:?}\n",
        keys.join("tls/root.pem"),
        keys.join("adu/root.pub.der")
    );
    std::fs::write(&path, text).unwrap();
    read(&path).unwrap()
}

fn board() -> (Arc<Mutex<Board>>, BoardSession) {
    let mut board = Board::new(BoardConfig { seed: 7, flash_timing: false });
    board.power_on();
    let board = Arc::new(Mutex::new(board));
    let session = BoardSession::virtual_board(Arc::clone(&board)).unwrap();
    (board, session)
}

fn fuses(board: &Mutex<Board>) -> Fuses {
    Fuses(u32::from_le_bytes(board.lock().unwrap().user_page()[..4].try_into().unwrap()))
}

/// A program that only turns in a circle: a vector table, and `b .` behind it.
fn stand_in(marker: u8) -> Vec<u8> {
    [&0x2000_8000_u32.to_le_bytes()[..], &9_u32.to_le_bytes(), &[0xFE, 0xE7], &[marker; 600]].concat()
}

fn job(dir: &Path, bootloader: Option<Vec<u8>>) -> Job {
    Job { record: record(dir), bootloader, fuses: true, lock: false }
}

fn yes(_: &str) -> Result<bool, ProvisionError> {
    Ok(true)
}

#[test]
fn provisioned_and_locked_board_boots_as_the_device_and_hides_from_the_debugger() {
    let dir = folder("locked");
    let own = generate(&dir.join("own.pem")).unwrap();
    let firmware = workspace().firmware("1.0.0").unwrap();
    let version = update_image::Version::new(1, 0, 0);
    let image = make(&firmware.path, &secret_key(&own.private).unwrap(), version, 0, "same54-xpro").unwrap();
    let job = Job { lock: true, ..job(&dir, Some(bootloader(&[own.public]).unwrap())) };

    let network = rig::network(&Rng::new(7), None, None).unwrap();
    network.cloud.lock().unwrap().enroll(Enrolment::symmetric(DEVICE, KEY)).unwrap();
    let (board, mut session) = board();
    board.lock().unwrap().plug_ethernet(Box::new(network.lan.clone()));
    session.flash(&[(SLOT.start, &image.bytes)]).unwrap();
    let before = board.lock().unwrap().user_page().to_vec();
    assert!(!board.lock().unwrap().brown_out(), "delivered without its brown-out detector");

    let mut questions = Vec::new();
    let outcome = job.run(&mut session, &mut |question| {
        questions.push(question.to_owned());
        Ok(true)
    });
    assert_eq!(outcome.unwrap(), Outcome::Locked);
    assert!(questions.len() == 2 && questions[1].contains("security bit"), "{questions:?}");
    assert_eq!(fuses(&board), Fuses(u32::from_le_bytes(before[..4].try_into().unwrap())).wanted());
    assert_eq!(board.lock().unwrap().user_page()[4..], before[4..], "the rest of the user page is kept");

    // Nothing of memory, registers or core for this debugger or the next.
    for addr in [0, SLOT.start, PROVISIONING.start, 0x2000_0000, 0x4100_4000] {
        let seen = session.core().map_err(|_| ()).and_then(|mut core| core.read_word_32(addr.into()).map_err(|_| ()));
        assert_eq!(seen, Err(()), "{addr:#x}");
    }
    drop(session);
    let again = BoardSession::virtual_board(Arc::clone(&board)).map(drop).map_err(locked);
    let message = again.expect_err("locked").to_string();
    assert!(message.contains("locked by its security bit") && message.contains("production.md"), "{message}");

    {
        let mut board = board.lock().unwrap();
        board.power_off();
        board.power_on();
        board.set_flash_timing(true);
        let later = board.now() + Duration::from_secs(15);
        board.run_until(later);
    }
    let events = network.cloud.lock().unwrap().take_events();
    let assigned =
        |kind: &EventKind| matches!(kind, EventKind::DpsAssigned { registration, .. } if registration == DEVICE);
    assert!(events.iter().any(|event| assigned(&event.kind)), "{events:?}");
    let connected = |kind: &EventKind| matches!(kind, EventKind::Connected { device, .. } if device == DEVICE);
    assert!(events.iter().any(|event| connected(&event.kind)), "{events:?}");
    assert!(board.lock().unwrap().brown_out(), "BOD33 watches the supply since the power-on");

    // What lifts the lock takes the secrets with it, and leaves the bootloader.
    board.lock().unwrap().set_flash_timing(false);
    let probe = Probe::new(VirtualProbe::new(Arc::clone(&board)));
    let erase = Permissions::new().allow_erase_all();
    let mut session = probe.attach("ATSAME54P20A", erase).expect("erased and attached");
    assert!(session.core(0).unwrap().read_word_32(0x2000_0000).is_ok());
    let board = board.lock().unwrap();
    assert!(board.nvm()[SLOT.start as usize..].iter().all(|byte| *byte == 0xFF));
    assert!(board.nvm().starts_with(job.bootloader.as_ref().unwrap()));
    assert_eq!(board.user_page()[4..], before[4..]);
}

#[test]
fn protected_bootloader_is_neither_overwritten_nor_in_the_way_of_the_next_provisioning() {
    let dir = folder("protected");
    let (board, mut session) = board();
    let (first, second) = (stand_in(1), stand_in(2));
    assert_eq!(job(&dir, Some(first.clone())).run(&mut session, &mut yes).unwrap(), Outcome::Written);
    assert_eq!(session.bootprot().unwrap(), BOOTPROT_BOOTLOADER);
    let record = record(&dir).bytes;
    assert!(board.lock().unwrap().nvm()[PROVISIONING.start as usize..].starts_with(&record));

    // By probe-rs' algorithm, and by hand: each block of the 64 KiB, and not the one behind it.
    assert!(session.flash(&[(0, &second)]).is_err());
    for (addr, is_protected) in [(0, true), (0x2000, true), (0xE000, true), (0x1_0000, false)] {
        session.reset_and_halt().unwrap();
        let mut core = session.core().unwrap();
        core.write_word_32(0x4100_4014, addr).unwrap();
        core.write_word_16(0x4100_4004, 0xA501).unwrap();
        let locked = core.read_word_16(0x4100_4010).unwrap() & 1 << 3 != 0;
        assert_eq!(locked, is_protected, "{addr:#x}");
    }
    assert!(board.lock().unwrap().nvm().starts_with(&first));

    // The user knows what he does: the protection is lifted for the new one, and back afterwards.
    assert_eq!(job(&dir, Some(second.clone())).run(&mut session, &mut yes).unwrap(), Outcome::Written);
    assert!(board.lock().unwrap().nvm().starts_with(&second));
    assert_eq!(session.bootprot().unwrap(), BOOTPROT_BOOTLOADER);
    assert_eq!(fuses(&board), fuses(&board).wanted());
}

#[test]
fn nothing_is_written_before_the_answer_is_yes() {
    let dir = folder("declined");
    let (board, mut session) = board();
    let state = |board: &Mutex<Board>| {
        let board = board.lock().unwrap();
        (board.nvm().to_vec(), board.user_page().to_vec())
    };
    let before = state(&board);
    let job = job(&dir, Some(stand_in(1)));
    assert_eq!(job.run(&mut session, &mut |_| Ok(false)).unwrap(), Outcome::Declined);
    assert!(job.run(&mut session, &mut |_| Err(ProvisionError::NobodyToAsk)).is_err());
    assert!(state(&board) == before);
}

#[test]
fn fuses_are_kept_on_request_and_not_written_twice() {
    let dir = folder("fuses");
    let (board, mut session) = board();
    let before = fuses(&board);
    let kept = Job { fuses: false, ..job(&dir, None) };
    assert_eq!(kept.run(&mut session, &mut yes).unwrap(), Outcome::Written);
    assert_eq!(fuses(&board), before);
    job(&dir, None).run(&mut session, &mut yes).unwrap();
    assert_eq!(fuses(&board), before.wanted());
    board.lock().unwrap().take_events();
    job(&dir, None).run(&mut session, &mut yes).unwrap();
    let events = board.lock().unwrap().take_events();
    let touches_user_page =
        |kind: &same54_sim::EventKind| matches!(kind, same54_sim::EventKind::NvmErase { addr: 0x0080_4000, .. });
    assert!(!events.iter().any(|event| touches_user_page(&event.kind)));
}

#[test]
fn erased_user_page_is_not_made_worse() {
    let dir = folder("blank");
    let (board, mut session) = board();
    session.write_user_page(&[0xFF; crate::board::USER_PAGE_SIZE]).unwrap();
    let error = job(&dir, None).run(&mut session, &mut yes).unwrap_err().to_string();
    assert!(error.contains("calibration") && error.contains("--keep-fuses"), "{error}");
    assert_eq!(fuses(&board), Fuses(u32::MAX));
}

#[test]
fn board_that_would_trust_everybody_is_not_locked() {
    let dir = folder("refused-lock");
    let (board, mut session) = board();
    let lock = |bootloader| Job { lock: true, ..job(&dir, bootloader) };
    let error = lock(None).run(&mut session, &mut yes).unwrap_err().to_string();
    assert!(error.contains("no bootloader on the board"), "{error}");
    let usual = workspace().bootloader().unwrap().flat().unwrap().1;
    let error = lock(Some(usual.clone())).run(&mut session, &mut yes).unwrap_err().to_string();
    assert!(error.contains("trusts the test key"), "{error}");
    session.flash(&[(0, &usual)]).unwrap();
    let error = lock(None).run(&mut session, &mut yes).unwrap_err().to_string();
    assert!(error.contains("trusts the test key"), "{error}");
    assert!(board.lock().unwrap().nvm()[PROVISIONING.start as usize..].iter().all(|byte| *byte == 0xFF));
}
