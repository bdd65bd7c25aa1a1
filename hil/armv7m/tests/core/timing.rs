//! Cycle counts, worked out by hand after the Cortex-M4 TRM, table 3-1.

use armv7m::{Cpu, Size, Stop};

use crate::guest::DHCSR;
use crate::support::{Machine, same54};

/// Cycles from the instruction at `start` to the BKPT that ends `code`, which stands at 0x400. R0 is 10, R1 points into
/// RAM, R2 and R3 are 1000 and 7.
fn cycles(code: &[u16], start: u32, wait: u8) -> u64 {
    let mut machine = Machine::default();
    for (at, halfword) in (0x400..).step_by(2).zip(code) {
        machine.flash[at..at + 2].copy_from_slice(&halfword.to_le_bytes());
    }
    machine.flash[..8].copy_from_slice(&[0, 0x80, 0, 0x20, 1, 4, 0, 0]);
    let mut counts = Vec::new();
    // Not depending on how time is cut.
    for slice in [100_000, 1, 7] {
        let mut machine = machine.clone();
        let mut cpu = Cpu::new(same54());
        cpu.set_code_wait(wait);
        cpu.reset(&mut machine, true);
        let mut write = |addr, value| cpu.debug_write(&mut machine, addr, Size::Word, value).expect("a register");
        write(DHCSR, 0xA05F_0003);
        for (register, value) in [(15, start), (0, 10), (1, 0x2000_1000), (2, 1_000), (3, 7)] {
            write(0xE000_EDF8, value);
            write(0xE000_EDF4, 1 << 16 | register);
        }
        write(DHCSR, 0xA05F_0001);
        let before = cpu.cycle();
        while cpu.run(&mut machine, cpu.cycle() + slice) != Stop::Halted {}
        // BKPT takes one.
        counts.push(cpu.cycle() - before - 1);
    }
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    counts[0]
}

/// `subs r0, #1; bne .-2; bkpt`.
const COUNT_DOWN: [u16; 3] = [0x3801, 0xD1FD, 0xBE00];

#[test]
fn a_loop_in_one_line_waits_for_flash_once() {
    // Nine turns of 1 + 2 cycles, the last of 1 + 1.
    assert_eq!(cycles(&COUNT_DOWN, 0x400, 0), 9 * 3 + 2);
    assert_eq!(cycles(&COUNT_DOWN, 0x400, 5), 9 * 3 + 2);
}

#[test]
fn a_loop_over_the_end_of_a_line_waits_twice_a_turn() {
    let mut code = [0xBF00; 10];
    code[7..].copy_from_slice(&COUNT_DOWN);
    assert_eq!(cycles(&code, 0x40E, 0), 9 * 3 + 2);
    assert_eq!(cycles(&code, 0x40E, 5), 9 * (3 + 5 + 5) + 2 + 5);
}

#[test]
fn loads_that_do_not_depend_on_each_other_are_pipelined() {
    // ldr r4, [r1]; ldr r5, [r1, #4]; ldr r6, [r1, #8]; bkpt: "normally four cycles total".
    assert_eq!(cycles(&[0x680C, 0x684D, 0x688E, 0xBE00], 0x400, 0), 4);
    // ldr r4, [r1]; adds r5, r4, #0; ldr r6, [r1]
    assert_eq!(cycles(&[0x680C, 0x1C25, 0x680E, 0xBE00], 0x400, 0), 2 + 1 + 2);
    // str r2, [r1]; ldr r4, [r1]: nothing follows a store in its shadow.
    assert_eq!(cycles(&[0x600A, 0x680C, 0xBE00], 0x400, 0), 1 + 2);
}

#[test]
fn a_load_that_needs_the_one_before_is_not_pipelined() {
    // str r1, [r1]; ldr r4, [r1]; ldr r5, [r4]
    assert_eq!(cycles(&[0x6009, 0x680C, 0x6825, 0xBE00], 0x400, 0), 1 + 2 + 2);
}

#[test]
fn a_literal_waits_for_flash() {
    // ldr r4, [pc, #0]; bkpt; literal
    assert_eq!(cycles(&[0x4C00, 0xBE00, 0, 0], 0x400, 0), 2);
    assert_eq!(cycles(&[0x4C00, 0xBE00, 0, 0], 0x400, 3), 2 + 3);
}

#[test]
fn a_division_ends_early() {
    // udiv r4, r0, r2 is 10 / 1000; udiv r4, r2, r3 is 1000 / 7 = 142, eight bits: 8 * 10 / 32 rounded up.
    assert_eq!(cycles(&[0xFBB0, 0xF4F2, 0xBE00], 0x400, 0), 2);
    assert_eq!(cycles(&[0xFBB2, 0xF4F3, 0xBE00], 0x400, 0), 2 + 3);
}

#[test]
fn a_wide_instruction_over_the_end_of_a_line_waits_for_its_second_half() {
    // Seven NOPs, then mov.w r4, #1 at 0x40E.
    let mut code = [0xBF00; 10];
    code[7..].copy_from_slice(&[0xF04F, 0x0401, 0xBE00]);
    assert_eq!(cycles(&code, 0x400, 0), 8);
    assert_eq!(cycles(&code, 0x400, 4), 8 + 4);
}
