//! probe-rs at a chip whose security bit is set.

use std::sync::{Arc, Mutex};

use armv7m::Size;
use probe_rs::probe::Probe;
use probe_rs::{MemoryInterface as _, Permissions, Session};
use same54_sim::{Board, BoardConfig};
use sim_probe::VirtualProbe;

fn attach(board: &Arc<Mutex<Board>>, permissions: Permissions) -> Result<Session, probe_rs::Error> {
    Probe::new(VirtualProbe::new(Arc::clone(board))).attach("ATSAME54P20A", permissions)
}

#[test]
fn a_locked_chip_is_erased_if_that_is_permitted_and_left_alone_if_not() {
    let mut board = Board::new(BoardConfig { seed: 1, flash_timing: false });
    assert!(board.preload_nvm(0x1_0000, b"secret"));
    board.power_on();
    board.debug_write(0x4100_4004, Size::Half, 0xA516).expect("SSB");
    board.power_off();
    board.power_on();
    let board = Arc::new(Mutex::new(board));
    let refused = attach(&board, Permissions::new()).map(drop).expect_err("locked");
    assert!(format!("{refused:?}").contains("Device is locked"), "{refused:?}");
    assert!(board.lock().unwrap().nvm()[0x1_0000..].starts_with(b"secret"));

    let mut session = attach(&board, Permissions::new().allow_erase_all()).expect("erased and attached");
    assert!(session.core(0).unwrap().read_word_32(0x2000_0000).is_ok());
    assert!(board.lock().unwrap().nvm().iter().all(|byte| *byte == 0xFF));
}
