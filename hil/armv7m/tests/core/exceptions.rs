//! `tests/guest/exceptions.rs` in the simulator and in QEMU: a program that checks by itself what exceptions, faults,
//! stacking and protection do.

use armv7m::{Config, Cpu, Size};

use crate::support::{Machine, run_semihosted};
use crate::{guest, qemu};

/// Tests that QEMU 7.2 fails against the manual.
const QEMU_DIFFERS: [(u32, &str); 1] =
    [(92, "a subregion of less than QEMU's page of 1 KiB that is off takes its neighbours along, against B3.5.3")];

/// How many tests ran, and the failed ones: test, place in its log, got, expected.
fn results(bytes: &[u8]) -> (u32, Vec<[u32; 4]>) {
    let words: Vec<u32> =
        bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes"))).collect();
    (words[0], words[1..].chunks_exact(4).map(|four| four.try_into().expect("four words")).collect())
}

fn describe(failures: &[[u32; 4]]) -> String {
    let lines = failures.iter().map(|[test, place, got, expected]| {
        format!("test {test}: word {place} of its log is {got:#x}, should be {expected:#x}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_exceptions_program_finds_the_simulator_true_to_the_manual() {
    let mut machine =
        Machine { flash: guest::raw_image("exceptions.rs"), ram: vec![0; 0x80_0000], ..Machine::default() };
    machine.flash.resize(0x10_0000, 0xFF);
    let mut cpu = Cpu::new(Config { cpuid: 0x410F_C241, irq_lines: 32, priority_bits: 3, code: 0..0x10_0000 });
    cpu.reset(&mut machine, true);
    // Semihosting needs halting debug, which changes nothing for the program.
    cpu.debug_write(&mut machine, guest::DHCSR, Size::Word, 0xA05F_0001).expect("DHCSR");
    let output = run_semihosted(&mut cpu, &mut machine, 10_000_000);
    let (tests, failures) = results(&output.written);
    assert!(failures.is_empty(), "{} of {tests} failed:\n{}", failures.len(), describe(&failures));
    assert!(tests >= 70, "{tests}");
}

#[test]
fn the_exceptions_program_finds_what_is_known_of_qemu() {
    if !qemu::is_there("the exceptions program's second opinion") {
        return;
    }
    let (tests, mut failures) = results(&qemu::run(&guest::raw_image("exceptions.rs"), "results"));
    failures.retain(|failure| !QEMU_DIFFERS.iter().any(|&(test, _)| test == failure[0]));
    assert!(failures.is_empty(), "{} of {tests} failed:\n{}", failures.len(), describe(&failures));
    assert!(tests >= 70, "{tests}");
}
