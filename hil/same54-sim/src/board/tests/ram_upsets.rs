//! A guest program and errors in RAM.

use std::time::Duration;

use armv7m::Size;

use crate::{Board, BoardConfig};

#[test]
fn a_program_reads_what_is_corrected_and_reaches_its_core_s_registers_meanwhile() {
    let mut board = Board::new(BoardConfig { seed: 1, flash_timing: true });
    // r1 = 0x2000_0000; ldr r0, [r1]; ldr r2, =0xE000_E100; movs r3, #1; str r3, [r2]; ldr r4, [r2]; b .
    let code = [0x2101_u16, 0x0749, 0x6808, 0x4A02, 0x2301, 0x6013, 0x6814, 0xE7FE, 0xE100, 0xE000];
    let vectors = [0x8000, 0x2000, 0x9, 0];
    let program: Vec<u8> = vectors.into_iter().chain(code).flat_map(u16::to_le_bytes).collect();
    board.preload_nvm(0, &program);
    // The fuse RAM.ECCDIS.
    board.chip.shared.memory.user_page[4] &= 0x7F;
    board.power_on();
    board.chip.shared.memory.arrays.ram_mut()[..4].copy_from_slice(&0x0102_0304_u32.to_le_bytes());
    board.upset_ram(0x2000_0002, 0x40);
    assert_eq!(board.ram()[2], 0x42, "observers see the cells");
    board.run_until(board.now() + Duration::from_micros(10));
    assert_eq!((board.register(0), board.register(4)), (0x0102_0304, 1));
    assert_eq!(board.debug_read(0x4102_0002, Size::Byte), Ok(1), "SINGLEE");
    assert_eq!(board.debug_read(0x4102_0004, Size::Word), Ok(2), "ERRADDR");
}
