//! A board at the probe server's connector, whose owner lets it run only between two visits of the probe.

use armv7m::Size;
use same54_sim::{Board, BoardConfig};
use sim_probe::Wired;
use sim_probe::dap::Target as _;

const DHCSR: u32 = 0xE000_EDF0;
const DBGKEY: u32 = 0xA05F << 16;
const C_DEBUGEN: u32 = 1 << 0;
const C_HALT: u32 = 1 << 1;
const C_STEP: u32 = 1 << 2;
const S_HALT: u32 = 1 << 17;

const PC: u8 = 15;

/// A board whose core has just left reset, with this code (Thumb halfwords) at 0x100.
fn board(code: &[u16]) -> Board {
    let mut board = Board::new(BoardConfig { seed: 1, flash_timing: false });
    let mut image = vec![0; 0x100];
    image[..4].copy_from_slice(&0x2001_0000_u32.to_le_bytes());
    image[4..8].copy_from_slice(&0x101_u32.to_le_bytes());
    image.extend(code.iter().flat_map(|half| half.to_le_bytes()));
    assert!(board.preload_nvm(0, &image));
    board.power_on();
    board
}

/// Halts the core out of reset.
fn halt(board: &mut Board) {
    let mut wired = Wired(board);
    wired.write(DHCSR, Size::Word, DBGKEY | C_DEBUGEN | C_HALT).unwrap();
    assert_ne!(wired.read(DHCSR, Size::Word).unwrap() & S_HALT, 0, "halted before the next transfer");
}

/// On the wire a transfer takes longer than an instruction: at 4 MHz, 46 clocks of SWCLK are over a thousand of the
/// core's.
#[test]
fn a_step_is_over_before_the_next_transfer() {
    // `movs r0, #0`, `adds r0, #1`, `b` to the instruction before.
    let mut board = board(&[0x2000, 0x3001, 0xE7FD]);
    halt(&mut board);
    let mut pc = board.register(PC);
    for _ in 0..8 {
        let mut wired = Wired(&mut board);
        wired.write(DHCSR, Size::Word, DBGKEY | C_DEBUGEN | C_STEP).unwrap();
        assert_ne!(wired.read(DHCSR, Size::Word).unwrap() & S_HALT, 0, "halted again behind {pc:#x}");
        let expected = if pc == 0x104 { 0x102 } else { pc + 2 };
        pc = board.register(PC);
        assert_eq!(pc, expected);
    }
}

#[test]
fn a_core_that_is_let_go_runs_until_it_is_halted() {
    let mut board = board(&[0x2000, 0x3001, 0xE7FD]);
    halt(&mut board);
    let before = board.instructions();
    let mut wired = Wired(&mut board);
    wired.write(DHCSR, Size::Word, DBGKEY | C_DEBUGEN).unwrap();
    assert_eq!(wired.read(DHCSR, Size::Word).unwrap() & S_HALT, 0, "it runs");
    halt(&mut board);
    assert!(board.instructions() > before);
    let stood = board.instructions();
    let later = board.now() + std::time::Duration::from_millis(1);
    board.run_until(later);
    assert_eq!(board.instructions(), stood, "it stands");
}
