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
    run(&mut guest);
    assert_eq!(guest.get(1), expected);
}

/// A recurrence in single precision, checked against the host's.
#[test]
fn speed_of_a_recurrence_in_single_precision() {
    let mut guest = Guest::at("float_kernel");
    let mut values: [f32; 64] = std::array::from_fn(|n| (n + 1) as f32);
    let mut expected = 0.0;
    for round in (1..=10_000).rev() {
        values = values.map(|value| (value * 0.75 + 1.0).min(round as f32));
        let sum = values.iter().fold(0.0f32, |sum, value| sum + value * value);
        expected = sum / sum.sqrt();
    }
    run(&mut guest);
    assert_eq!((guest.get(1), guest.get(2)), (expected.to_bits(), expected as u32));
}

fn run(guest: &mut Guest) {
    let start = Instant::now();
    assert_eq!(guest.go(100_000_000), Stop::Halted);
    let seconds = start.elapsed().as_secs_f64();
    let instructions = guest.cpu.instructions();
    println!("{instructions} instructions in {seconds:.4} s: {:.0} MIPS", instructions as f64 / seconds / 1e6);
}
