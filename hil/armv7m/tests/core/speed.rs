//! Prints the speed of the interpreter; `cargo test --release -p armv7m speed -- --nocapture`.

use std::time::Instant;

use armv7m::Stop;

use crate::guest::Guest;

/// CRC-32 of 256 times the first KiB of flash, checked against the definition of the polynomial.
#[test]
fn speed_of_a_table_driven_crc() {
    let mut guest = Guest::at("kernel");
    let expected = !guest.machine.flash[..0x400].iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    });
    let start = Instant::now();
    assert_eq!(guest.go(100_000_000), Stop::Halted);
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(guest.get(1), expected);
    let instructions = guest.cpu.instructions();
    println!("{instructions} instructions in {seconds:.4} s: {:.0} MIPS", instructions as f64 / seconds / 1e6);
}
