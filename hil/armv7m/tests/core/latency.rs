//! Cycles of exception entry, return, tail-chaining and late arrival, with memory that answers at once: 12 to enter, 6
//! from handler to handler, 17 more where the floating-point registers are written at entry (ARM's figures for the
//! Cortex-M3 and M4; DDI0439, 3.9 names the mechanisms).

use armv7m::{ExceptionEdge, Stop};

use crate::bare::{BX_LR, Bare, CODE, NOP, STAY};

const ENTRY: u64 = 12;
const TAIL_CHAIN: u64 = 6;
const RETURN: u64 = 10;
const FP_STATE: u64 = 17;
/// `vmov.f32 s0, #1.0`
const VMOV: [u16; 2] = [0xEEB7, 0x0A00];

/// Exception number, edge and cycle since `start`.
fn records(bare: &mut Bare, start: u64) -> Vec<(u16, ExceptionEdge, u64)> {
    bare.cpu.take_exceptions().into_iter().map(|record| (record.number, record.edge, record.cycle - start)).collect()
}

use ExceptionEdge::{Entry, Exit};

#[test]
fn an_interrupt_is_entered_after_12_cycles() {
    let mut bare = Bare::new(&[NOP; 64]);
    bare.enable(0, 0x40);
    bare.run(10);
    let start = bare.cpu.cycle();
    bare.cpu.set_irq(0, true);
    bare.run(ENTRY);
    assert_eq!(bare.cpu.cycle(), start + ENTRY);
    assert_eq!(bare.cpu.instructions(), 10, "nothing was executed on the way");
    bare.run(1);
    assert_eq!(records(&mut bare, start)[0], (16, Entry, ENTRY));
}

#[test]
fn an_instruction_that_has_begun_is_completed_first() {
    // movs r0, #0; nops; udiv r0, r0, r0: six cycles here.
    let mut bare = Bare::new(&[0x2000, NOP, 0xFBB0, 0xF0F0, STAY]);
    bare.enable(0, 0x40);
    bare.run(3);
    // The division is under way at cycle 2; it ends at 8, and time is there.
    let ends = bare.cpu.cycle();
    assert!(ends > 3);
    bare.cpu.set_irq(0, true);
    bare.run(ENTRY + 1);
    assert_eq!(records(&mut bare, ends)[0], (16, Entry, ENTRY));
}

#[test]
fn sleep_does_not_make_the_entry_longer() {
    // wfi
    let mut bare = Bare::new(&[0xBF30, STAY]);
    bare.enable(0, 0x40);
    bare.run(1_000);
    assert!(bare.cpu.is_sleeping());
    let start = bare.cpu.cycle();
    bare.cpu.set_irq(0, true);
    bare.run(ENTRY + 1);
    assert_eq!(records(&mut bare, start)[0], (16, Entry, ENTRY));
}

#[test]
fn two_pending_interrupts_are_tail_chained_in_6_cycles() {
    let mut bare = Bare::new(&[STAY]);
    bare.enable(0, 0x40);
    bare.enable(1, 0x80);
    bare.run(5);
    let start = bare.cpu.cycle();
    bare.write(0xE000_E200, 3);
    bare.run(60);
    // BX LR takes three cycles.
    let first = ENTRY + 3;
    let second = first + TAIL_CHAIN;
    assert_eq!(
        records(&mut bare, start),
        [(16, Entry, ENTRY), (16, Exit, first), (17, Entry, second), (17, Exit, second + 3)]
    );
}

#[test]
fn the_program_goes_on_after_the_unstacking() {
    // Only the return is in the way of the next instruction, `adds r0, #1`.
    let mut bare = Bare::new(&[0x3001, 0x3001, 0x3001, 0x3001, STAY]);
    bare.enable(0, 0x40);
    bare.run(1);
    let start = bare.cpu.cycle();
    bare.write(0xE000_E200, 1);
    bare.run(ENTRY + 3 + RETURN);
    assert_eq!((bare.cpu.cycle() - start, bare.cpu.register(0)), (ENTRY + 3 + RETURN, 1));
    bare.run(1);
    assert_eq!((bare.cpu.cycle() - start, bare.cpu.register(0)), (ENTRY + 3 + RETURN + 1, 2));
}

#[test]
fn a_more_urgent_interrupt_that_arrives_late_takes_the_entry_over() {
    let mut bare = Bare::new(&[STAY]);
    bare.enable(0, 0x40);
    bare.enable(1, 0x80);
    bare.run(4);
    let start = bare.cpu.cycle();
    bare.cpu.set_irq(1, true);
    assert_eq!(bare.run(5), Stop::Deadline);
    bare.cpu.set_irq(1, false);
    bare.cpu.set_irq(0, true);
    bare.run(20);
    bare.cpu.set_irq(0, false);
    bare.run(20);
    let seen: Vec<_> = records(&mut bare, start).into_iter().take(2).collect();
    assert_eq!(seen, [(16, Entry, ENTRY), (16, Exit, ENTRY + 3)]);

    // One that is less urgent does not.
    let mut bare = Bare::new(&[STAY]);
    bare.enable(0, 0x80);
    bare.enable(1, 0x40);
    bare.run(4);
    let start = bare.cpu.cycle();
    bare.write(0xE000_E200, 2);
    bare.run(5);
    bare.cpu.set_irq(0, true);
    bare.run(25);
    let numbers: Vec<_> =
        records(&mut bare, start).into_iter().map(|(number, edge, _)| (number, edge)).take(3).collect();
    assert_eq!(numbers, [(17, Entry), (17, Exit), (16, Entry)]);
}

#[test]
fn systick_can_arrive_late_as_well() {
    let mut bare = Bare::new(&[STAY]);
    bare.enable(0, 0x80);
    bare.write(0xE000_E014, 19);
    bare.write(0xE000_E018, 0);
    bare.write(0xE000_E010, 7);
    // It is due at 20; the interrupt comes at 12.
    bare.run(12);
    bare.cpu.set_irq(0, true);
    bare.run(20);
    assert_eq!(bare.cpu.take_exceptions()[0].number, 15);
}

#[test]
fn an_interrupt_during_a_return_is_tail_chained_and_nothing_is_unstacked() {
    let mut bare = Bare::new(&[STAY]);
    bare.enable(0, 0x80);
    bare.enable(1, 0x80);
    bare.run(4);
    let start = bare.cpu.cycle();
    bare.write(0xE000_E200, 1);
    // In the midst of the return.
    bare.run(ENTRY + 3 + 2);
    let sp = bare.cpu.register(13);
    bare.cpu.set_irq(1, true);
    bare.run(TAIL_CHAIN + 1);
    let exit = ENTRY + 3;
    // How much of the unstacking is done when it is abandoned is not documented: all of its cycles count.
    let second = exit + RETURN + TAIL_CHAIN;
    assert_eq!(records(&mut bare, start)[..3], [(16, Entry, ENTRY), (16, Exit, exit), (17, Entry, second)]);
    assert_eq!(bare.cpu.register(13), sp);
}

/// With CPACR set and floating-point context active.
fn with_floats(handler: &[u16]) -> Bare {
    let mut code = VMOV.to_vec();
    code.push(STAY);
    let mut bare = Bare::new(&code);
    bare.put(0x200, handler);
    bare.vector(16, 0x200);
    bare.write(0xE000_ED88, 0xF << 20);
    bare.enable(0, 0x40);
    bare.run(5);
    bare
}

#[test]
fn lazy_stacking_keeps_the_entry_at_12_cycles_and_costs_at_the_first_use() {
    let mut bare = with_floats(&[VMOV[0], VMOV[1], BX_LR]);
    let start = bare.cpu.cycle();
    bare.write(0xE000_E200, 1);
    bare.run(ENTRY + 1 + FP_STATE + 3 + 1);
    assert_eq!(records(&mut bare, start), [(16, Entry, ENTRY), (16, Exit, ENTRY + FP_STATE + 1 + 3)]);
    // And its registers come back from memory.
    bare.run(RETURN + FP_STATE);
    assert_eq!(bare.cpu.register(15), CODE + 4);
}

#[test]
fn without_lazy_stacking_the_entry_takes_29_cycles() {
    let mut bare = with_floats(&[BX_LR]);
    bare.write(0xE000_EF34, 1 << 31);
    let start = bare.cpu.cycle();
    bare.write(0xE000_E200, 1);
    bare.run(ENTRY + FP_STATE + 1);
    assert_eq!(records(&mut bare, start)[0], (16, Entry, 29));
}
