//! The shipped bootloader and application on a board whose external flash is silent, dies, is blank or holds rubbish: the
//! confirmed image starts all the same, and soon.

use std::time::Duration;

use hil::artifacts::{self, Workspace};
use hil::scenario;
use same54_sim::{Board, BoardConfig, RunStop, SilentFlash};
use sim_base::Rng;
use update_image::layout::{SLOT, STORE};

/// What a start may take without external flash.
const LIMIT: Duration = Duration::from_secs(2);

/// Runs until the application starts; how long that took.
fn start(board: &mut Board, what: &str) -> Duration {
    board.power_on();
    let begun = board.now();
    while !SLOT.contains(board.register(15)) {
        let stop = board.run_until(board.now() + Duration::from_millis(1));
        assert_eq!(stop, RunStop::Time, "{what}");
        assert!(board.now() - begun < 3 * LIMIT, "{what}: no application");
    }
    board.now() - begun
}

#[test]
fn a_confirmed_image_starts_within_two_seconds_whatever_became_of_external_flash() {
    let workspace = Workspace::new(artifacts::target_dir(&artifacts::root()).join("hil").join("programs"));
    let (programs, images) = scenario::programs(&workspace).unwrap();
    let mut confirmed = Board::new(BoardConfig { seed: 1, flash_timing: true });
    confirmed.preload_nvm(programs.bootloader_image.0, &programs.bootloader_image.1);
    confirmed.preload_nvm(SLOT.start, &images.old);
    start(&mut confirmed, "the first start");
    confirmed.power_off();

    let check = |what: &str, spoil: &dyn Fn(&mut Board)| {
        let mut board = confirmed.snapshot();
        spoil(&mut board);
        let took = start(&mut board, what);
        assert!(took < LIMIT, "{what}: {took:?}");
        assert!(board.nvm()[SLOT.start as usize..].starts_with(&images.old), "{what}");
    };
    check("blank", &|_| {});
    let seed = 3;
    check("rubbish", &|board| {
        let mut rubbish = vec![0; 0x10_0000];
        Rng::new(seed).fill(&mut rubbish);
        board.preload_nor(STORE.start, &rubbish);
    });
    check("all zeros", &|board| {
        board.preload_nor(STORE.start, &vec![0; 0x10_0000]);
    });
    // It dies at once, and at each frame of what the bootloader does with it.
    for frames in (0..30).step_by(3).chain([50, 200]) {
        check(&format!("silent after {frames} frames"), &|board| {
            board.wrap_nor(|inner| Box::new(SilentFlash::new(inner, frames)));
        });
    }
}
