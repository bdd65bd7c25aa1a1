use std::time::Duration;

use same54_sim::{Board, BoardConfig};
use update_image::boot_record::BootRecord;
use update_image::layout::{BOOT_RECORD, IMAGE_TMP, PREVIOUS_BIN, STORE};
use update_image::sim::{SimNor, SimNvm, Supply};
use update_store::Store;

use super::verdict::is_formatted;
use super::*;
use crate::artifacts::{self, Workspace};
use crate::rig::Programs;
use crate::scenario::{self, Images};

/// Operations before the end of an update, in the slot, at which it is cut.
const IN_THE_SLOT: usize = 100;

/// What a known way ends in is what the board would have come to, had it gone on: in a few places of the slot, torn in each
/// way, with the time that it takes.
#[test]
fn a_way_that_is_known_ends_as_if_it_had_been_gone() {
    let out = artifacts::target_dir(&artifacts::root()).join("hil/programs");
    let (programs, images) = scenario::programs(&Workspace::new(out)).expect("the programs can be built");
    let stage = Stage::of(&programs, &images);
    let start = stage.confirmed_board(&[(IMAGE_BIN, &stage.new)], 1).expect("1.0.0 starts");
    let walk = Walk { stage: &stage, goal: Goal::Update, seed: 1 };
    let mut reference = reference(&start).expect("the update comes to its end");
    let cut = reference.operations - IN_THE_SLOT;
    let from = reference.boards.partition_point(|(begun, _)| *begun <= cut) - 1;
    let mut worker = Worker { board: start, boards: vec![reference.boards.swap_remove(from)] };

    let nothing = Known::nothing(&stage.bootloader);
    let mut known = Known::nothing(&stage.bootloader);
    let (first, way) = worker.try_point(&walk, &nothing, Point::Operation(cut, Tear::Complete), 7, Ram::Same);
    assert!(first.broken.is_none() && !first.joined, "{:?}", first.broken);
    known.learn(&way.expect("a way that was gone to its end"));
    let mut joined = 0;
    for (n, tear) in TEARS.into_iter().enumerate() {
        let point = Point::Operation(cut + n, tear);
        let (gone, _) = worker.try_point(&walk, &nothing, point, 8, Ram::Same);
        let (short, way) = worker.try_point(&walk, &known, point, 8, Ram::Same);
        assert_eq!((gone.what, short.what), ("on trial", "on trial"), "{point:?}");
        let apart = gone.boot.abs_diff(short.boot);
        assert!(apart < Duration::from_millis(1), "{point:?}: {:?}, {:?}", gone.boot, short.boot);
        assert!(!short.joined || way.is_none(), "what was not gone to its end teaches nothing");
        joined += usize::from(short.joined);
    }
    assert!(joined > 1, "{joined} of {} came to a known way", TEARS.len());
}

/// A stage of images that are a few bytes each.
fn stage() -> Stage {
    let programs = Programs {
        bootloader: Vec::new(),
        firmware: Vec::new(),
        bootloader_image: (0, Vec::new()),
        slot_image: Vec::new(),
    };
    Stage::of(&programs, &Images { old: b"the old image".to_vec(), new: b"the new image".to_vec() })
}

/// A board with this in its slot, a boot record in `phase`, and these files.
fn board(slot: &[u8], phase: Phase, files: &[(&str, &[u8])]) -> Board {
    let mut board = Board::new(BoardConfig { seed: 1, flash_timing: true });
    board.preload_nvm(SLOT.start, slot);
    let mut record = BootRecord::open(SimNvm::erased(&Supply::steady()));
    let state = *record.state();
    record.write(update_image::boot_record::State { phase, ..state }).expect("sound flash");
    let nvm = record.into_flash();
    board.preload_nvm(BOOT_RECORD.start, &nvm.bytes()[BOOT_RECORD.start as usize..BOOT_RECORD.end() as usize]);
    let mut nor = SimNor::erased(STORE.len as usize, &Supply::steady());
    let store = Store::format(&mut nor, STORE).map_err(|(error, _)| error).expect("sound flash");
    for (name, bytes) in files {
        store.append(name, bytes).expect("sound flash");
    }
    store.unmount().expect("sound flash");
    board.preload_nor(STORE.start, &nor.bytes());
    board
}

#[test]
fn each_thing_that_may_be_wrong_after_a_cut_is_found() {
    const TRIAL: Phase = Phase::Trial { starts: 1 };
    let stage = stage();
    let (old, new) = (&*stage.old, &*stage.new);
    let judge = |goal, board: &Board| verdict::judge(goal, &stage, board);
    let right = board(new, TRIAL, &[(PREVIOUS_BIN, old)]);
    assert_eq!(judge(Goal::Update, &right), ("on trial", None));
    assert!(is_formatted(&right));
    let wrong: [(Goal, Board, &str); 9] = [
        (Goal::Update, board(b"the new im", TRIAL, &[(PREVIOUS_BIN, old)]), "torn image started"),
        (Goal::Update, board(old, Phase::Confirmed, &[]), "other image"),
        (Goal::Update, board(new, Phase::Installing, &[(PREVIOUS_BIN, old)]), "incomplete"),
        (Goal::Update, board(new, TRIAL, &[]), "incomplete"),
        (Goal::Update, board(new, TRIAL, &[(PREVIOUS_BIN, old), (IMAGE_BIN, new)]), "incomplete"),
        (Goal::Rollback, board(old, TRIAL, &[(PREVIOUS_BIN, old)]), "incomplete"),
        (Goal::Rollback, right.snapshot(), "other image"),
        (Goal::Download, board(old, Phase::Confirmed, &[(IMAGE_TMP, b"the old")]), "incomplete"),
        (Goal::Confirmation, board(old, Phase::Confirmed, &[(PREVIOUS_BIN, old)]), "other image"),
    ];
    for (goal, board, what) in &wrong {
        let (seen, why) = judge(*goal, board);
        assert_eq!(seen, *what, "{goal:?}, {why:?}");
        assert!(why.is_some(), "{goal:?}, {seen}");
    }
    let downloading = board(old, Phase::Confirmed, &[(IMAGE_TMP, b"the new")]);
    assert_eq!(judge(Goal::Download, &downloading), ("old image", None));
    // Only what is not there yet may be missing.
    let mut blank = right;
    blank.preload_nvm(SLOT.start, old);
    blank.preload_nor(0, &[0; 8192]);
    assert_eq!(judge(Goal::Format, &blank).0, "incomplete", "the record is of a trial");
    let mut blank = downloading;
    blank.preload_nor(0, &[0; 8192]);
    assert!(!is_formatted(&blank));
    assert_eq!(judge(Goal::Format, &blank), ("old image", None));
    assert_eq!(judge(Goal::Download, &blank).0, "no volume");
}
