//! Guest programs with DMA, serial ports and interrupts.

use armv7m::Size;
use sim_base::Instant;

use super::{Board, BoardConfig};
use crate::EventKind;

const DMAC: u32 = 0x4100_A000;
const SERCOM2: u32 = 0x4101_2000;
const COUNT: u32 = 0x2000_0100;

/// A board that sleeps at 0x400, and whose handler of the DMAC's first line, at 0x420, clears TCMPL of channel 0 and
/// counts in RAM.
fn board() -> Board {
    let mut board = Board::new(BoardConfig { seed: 1, flash_timing: true });
    let handler = [
        // ldr r0, =CHINTFLAG0; movs r1, #2; strb r1, [r0]
        0x4803, 0x2102, 0x7001, // ldr r2, =COUNT; ldr r3, [r2]; adds r3, #1; str r3, [r2]; bx lr
        0x4A03, 0x6813, 0x3301, 0x6013, 0x4770, 0xA04E, 0x4100, 0x0100, 0x2000,
    ];
    let mut put = |addr: usize, halfwords: &[u16]| {
        for (n, halfword) in halfwords.iter().enumerate() {
            board.chip.shared.memory.arrays.flash_mut()[addr + 2 * n..addr + 2 * n + 2]
                .copy_from_slice(&halfword.to_le_bytes());
        }
    };
    put(0, &[0x8000, 0x2000, 0x0401, 0]);
    put(4 * (16 + 31), &[0x0421, 0]);
    // wfi; b .-2
    put(0x400, &[0xBF30, 0xE7FD]);
    put(0x420, &handler);
    board.power_on();
    set(&mut board, COUNT, 0);
    set(&mut board, 0xE000_E100, 1 << 31);
    board
}

fn set(board: &mut Board, addr: u32, value: u32) {
    board.debug_write(addr, Size::Word, value).expect("the address answers");
}

fn micros(micros: u64) -> Instant {
    Instant::from_nanos(1_000 * micros)
}

#[test]
fn dma_sends_a_line_over_the_com_port_and_wakes_the_program_once() {
    let mut board = board();
    let text = b"hello, board";
    let mask = board.debug_read(0x4000_0818, Size::Word).expect("MCLK");
    set(&mut board, 0x4000_0818, mask | 1 << 9);
    set(&mut board, 0x4000_1C80 + 4 * 23, 1 << 6);
    // PB24 and PB25 to function D; 115 200 baud.
    set(&mut board, 0x4100_80A8, 1 << 31 | 1 << 30 | 1 << 28 | 3 << 24 | 1 << 16 | 0x0300);
    board.debug_write(SERCOM2 + 0xC, Size::Half, 63_019).expect("SERCOM2");
    set(&mut board, SERCOM2 + 4, 1 << 16);
    set(&mut board, SERCOM2, 1 << 30 | 1 << 20 | 1 << 2 | 2);
    for (n, byte) in (0..).zip(text) {
        board.debug_write(0x2000_0200 + n, Size::Byte, u32::from(*byte)).expect("RAM");
    }
    let end = 0x2000_0200 + text.len() as u32;
    for (n, word) in (0..).zip([(text.len() as u32) << 16 | 1 << 10 | 1 << 3 | 1, end, SERCOM2 + 0x28, 0]) {
        set(&mut board, 0x2000_1000 + 4 * n, word);
    }
    set(&mut board, DMAC + 0x34, 0x2000_1000);
    set(&mut board, DMAC + 0x38, 0x2000_2000);
    board.debug_write(DMAC, Size::Half, 0xF02).expect("DMAC");
    board.debug_write(DMAC + 0x4D, Size::Byte, 2).expect("DMAC");
    set(&mut board, DMAC + 0x40, 2 << 20 | 9 << 8 | 2);
    // Two characters are in the transmitter while the others wait: ten times 87 us.
    board.run_until(micros(800));
    assert_eq!(board.debug_read(COUNT, Size::Word), Ok(0));
    board.run_until(micros(1_200));
    assert_eq!(board.debug_read(COUNT, Size::Word), Ok(1));
    assert_eq!(board.take_uart(), text);
    assert!(board.is_sleeping());
    let violations = board.take_events().into_iter().filter(|event| matches!(event.kind, EventKind::Violation(_)));
    assert_eq!(violations.count(), 0);
}

#[test]
fn a_snapshot_in_the_middle_of_a_transfer_goes_on_like_the_original() {
    let mut board = board();
    for n in 0..1_024 {
        set(&mut board, 0x2000_4000 + 4 * n, 3 * n);
    }
    for (n, word) in (0..).zip([1_024 << 16 | 3 << 10 | 2 << 8 | 1 << 3 | 1, 0x2000_5000, 0x2000_7000, 0]) {
        set(&mut board, 0x2000_1000 + 4 * n, word);
    }
    set(&mut board, DMAC + 0x34, 0x2000_1000);
    set(&mut board, DMAC + 0x38, 0x2000_2000);
    board.debug_write(DMAC, Size::Half, 0xF02).expect("DMAC");
    board.debug_write(DMAC + 0x4D, Size::Byte, 2).expect("DMAC");
    set(&mut board, DMAC + 0x40, 2);
    set(&mut board, DMAC + 0x10, 1);
    board.run_until(micros(20));
    let mut copy = board.snapshot();
    for board in [&mut board, &mut copy] {
        board.run_until(micros(100));
        assert_eq!(board.debug_read(COUNT, Size::Word), Ok(1));
        assert_eq!(board.ram()[0x4000..0x5000], board.ram()[0x6000..0x7000]);
    }
    assert_eq!((board.instructions(), board.now()), (copy.instructions(), copy.now()));
}
