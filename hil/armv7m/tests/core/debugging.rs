//! What a debugger does through the AHB-AP: halt, step, break, watch, catch (ARMv7-M ARM C1).

use crate::guest::{DEMCR, DHCSR, Guest};
use armv7m::Stop;

const DFSR: u32 = 0xE000_ED30;
const FP_CTRL: u32 = 0xE000_2000;
const FP_COMP0: u32 = 0xE000_2008;
const DWT_CTRL: u32 = 0xE000_1000;
const DWT_CYCCNT: u32 = 0xE000_1004;
const C_HALT: u32 = 2;
const S_HALT: u32 = 1 << 17;

/// A breakpoint on the instruction at `pc`.
fn break_at(guest: &mut Guest, pc: u32) {
    guest.write(FP_COMP0, (if pc & 2 == 0 { 1 << 30 } else { 2 << 30 }) | pc & 0x1FFF_FFFC | 1);
    guest.write(FP_CTRL, 3);
}

#[test]
fn a_step_executes_one_instruction_and_halts_again() {
    let mut guest = Guest::at("steps");
    for expected in 1..=3 {
        guest.write(DHCSR, 0xA05F_0005);
        assert_eq!(guest.run(100), Stop::Halted);
        assert_eq!(guest.get(0), expected);
        let dhcsr = guest.read(DHCSR);
        assert_eq!(dhcsr & (S_HALT | C_HALT), S_HALT | C_HALT, "the core sets C_HALT by itself");
    }
    assert_eq!(guest.cpu.instructions(), 3);
}

#[test]
fn a_step_with_maskints_leaves_a_pending_interrupt_waiting() {
    let mut guest = Guest::at("steps");
    guest.write(0xE000_E100, 1);
    guest.write(0xE000_E200, 1);
    // Two writes, as probe-rs does it: mask while halted, then step.
    guest.write(DHCSR, 0xA05F_000B);
    guest.write(DHCSR, 0xA05F_000D);
    assert_eq!(guest.run(100), Stop::Halted);
    assert_eq!((guest.get(0), guest.get(16) & 0x1FF), (1, 0));
    // Unmasked, the step goes into the handler.
    guest.write(DHCSR, 0xA05F_0003);
    guest.write(DHCSR, 0xA05F_0005);
    assert_eq!(guest.run(100), Stop::Halted);
    assert_eq!(guest.get(16) & 0x1FF, 16);
}

#[test]
fn a_hardware_breakpoint_halts_before_its_instruction_each_time() {
    let mut guest = Guest::at("steps");
    let pc = (guest.symbol("steps") & !1) + 4;
    break_at(&mut guest, pc);
    assert_eq!(guest.go(1_000), Stop::Halted);
    assert_eq!((guest.get(15), guest.get(0)), (pc, 2));
    assert_eq!(guest.read(DFSR) & 2, 2);
    assert_eq!(guest.go(1_000), Stop::Halted, "it is still there");
    assert_eq!(guest.get(15), pc);
    let counted = guest.cpu.instructions();
    guest.write(FP_CTRL, 2);
    assert_eq!(guest.go(1_000), Stop::Halted, "the program's BKPT");
    assert_eq!(guest.get(0), 4);
    assert_eq!(guest.cpu.instructions() - counted, 3);
}

#[test]
fn a_breakpoint_inside_an_if_then_block_keeps_the_block_whole() {
    let mut guest = Guest::at("if_then");
    let pc = (guest.symbol("if_then") & !1) + 8;
    // Once decoded without, and once with the breakpoint.
    for _ in 0..2 {
        guest.set(15, guest.symbol("if_then"));
        break_at(&mut guest, pc + 4);
        assert_eq!(guest.go(1_000), Stop::Halted);
        assert_eq!(guest.get(15), pc + 4);
        guest.write(FP_CTRL, 2);
        assert_eq!(guest.go(1_000), Stop::Halted);
        assert_eq!(guest.get(0), 5);
    }
}

#[test]
fn breakpoints_survive_a_system_reset() {
    let mut guest = Guest::at("steps");
    let pc = guest.symbol("idle") & !1;
    break_at(&mut guest, pc);
    guest.write(DHCSR, 0xA05F_0001);
    let Guest { cpu, machine } = &mut guest;
    cpu.reset(machine, false);
    assert_eq!(guest.run(1_000), Stop::Halted);
    assert_eq!(guest.get(15), pc);
    let Guest { cpu, machine } = &mut guest;
    cpu.reset(machine, true);
    assert_eq!(guest.run(1_000), Stop::Deadline);
}

#[test]
fn a_write_watchpoint_halts_after_the_store() {
    let mut guest = Guest::at("watched");
    guest.write(DEMCR, 1 << 24);
    guest.write(0xE000_1020, 0x2000_4004);
    guest.write(0xE000_1024, 2);
    guest.write(0xE000_1028, 6);
    assert_eq!(guest.go(1_000), Stop::Halted);
    assert_eq!(guest.read(DFSR) & 4, 4);
    assert_eq!(guest.ram_word(0x2000_4004), 0xE000_E000);
    assert_eq!(guest.read(0xE000_1028) & 1 << 24, 1 << 24, "MATCHED");
    assert_eq!(guest.read(0xE000_1028) & 1 << 24, 0, "MATCHED clears on read");
}

#[test]
fn a_hard_fault_is_caught_at_its_handlers_first_instruction() {
    let mut guest = Guest::at("escalation");
    guest.write(DEMCR, 1 << 10);
    assert_eq!(guest.go(1_000), Stop::Halted);
    assert_eq!(guest.get(15), guest.symbol("fault") & !1);
    assert_eq!(guest.read(DFSR) & 8, 8);
    assert_eq!(guest.log(), []);
}

#[test]
fn bkpt_without_a_debugger_is_a_hard_fault() {
    let mut guest = Guest::at("watched");
    guest.write(DHCSR, 0xA05F_0000);
    guest.run(1_000);
    assert_eq!(guest.log()[0], 3);
    assert_eq!(guest.get(9) >> 31, 1, "HFSR.DEBUGEVT");
}

#[test]
fn the_cycle_counter_counts_while_running_and_stands_still_in_debug_state() {
    let mut guest = Guest::at("kernel");
    guest.write(DEMCR, 1 << 24);
    guest.write(DWT_CTRL, 1);
    let before = guest.cpu.cycle();
    guest.go(5_000);
    let counted = guest.read(DWT_CYCCNT);
    assert_eq!(u64::from(counted), guest.cpu.cycle() - before);
    guest.write(DHCSR, 0xA05F_0003);
    assert_eq!(guest.run(10_000), Stop::Deadline);
    assert_eq!(guest.read(DWT_CYCCNT), counted);
}

#[test]
fn a_debugger_finds_the_core_in_the_rom_table() {
    let mut guest = Guest::at("steps");
    let base = 0xE00F_F000_u32;
    let entries: Vec<u32> = (0..4).map(|i| guest.read(base + 4 * i)).collect();
    let components: Vec<u32> = entries.iter().map(|entry| base.wrapping_add(entry & !0xFFF)).collect();
    assert_eq!(components, [0xE000_E000, 0xE000_1000, 0xE000_2000, 0xE000_0000]);
    assert!(entries.iter().all(|entry| entry & 3 == 3));
    for component in components {
        let id = [0xFF0, 0xFF4, 0xFF8, 0xFFC].map(|offset| guest.read(component + offset));
        assert_eq!(id, [0x0D, 0xE0, 0x05, 0xB1]);
    }
    assert_eq!(guest.read(0xE000_E004), 4, "ICTR");
    assert_eq!(guest.read(0xE000_EF40), 0x1011_0021, "MVFR0");
    assert_eq!(guest.read(FP_CTRL), 0x260);
    assert_eq!(guest.read(DWT_CTRL) >> 28, 4);
}
