//! Faults of the core at a chosen instruction.

use armv7m::{Glitch, GlitchKind, Glitched, Stop};

use crate::bare::{Bare, CODE, NOP, STAY};

/// Runs `code` from power-on with `glitches` to instruction 200 and returns the core.
fn run(code: &[u16], glitches: &[(u64, GlitchKind)]) -> Bare {
    let mut all = code.to_vec();
    all.push(STAY);
    let mut bare = Bare::new(&all);
    bare.cpu.plan_glitches(glitches.iter().map(|&(at, kind)| Glitch { at, kind }));
    bare.run(300);
    bare
}

/// `movs r0, #1; adds r0, #2; adds r0, #4; adds r0, #8`
const SUM: [u16; 4] = [0x2001, 0x3002, 0x3004, 0x3008];

#[test]
fn one_instruction_is_skipped_and_no_other() {
    assert_eq!(run(&SUM, &[]).cpu.register(0), 15);
    for (at, expected) in [(0, 14), (1, 13), (2, 11), (3, 7)] {
        let mut bare = run(&SUM, &[(at, GlitchKind::Skip)]);
        assert_eq!(bare.cpu.register(0), expected, "at {at}");
        let glitch = Glitch { at, kind: GlitchKind::Skip };
        assert_eq!(bare.cpu.take_glitches(), [Glitched { glitch, pc: CODE + 2 * at as u32 }]);
        assert_eq!(bare.cpu.take_glitches(), []);
    }
}

#[test]
fn a_wide_instruction_is_skipped_whole_and_it_blocks_stay_whole() {
    // movw r0, #0x1234; movs r1, #1
    let bare = run(&[0xF241, 0x2034, 0x2101], &[(0, GlitchKind::Skip)]);
    assert_eq!((bare.cpu.register(0), bare.cpu.register(1)), (0, 1));
    // movs r0, #0; ite eq; moveq r1, #1; movne r1, #2; movs r2, #3: without the IT both moves happen.
    let code = [0x2000, 0xBF0C, 0x2101, 0x2102, 0x2203];
    assert_eq!(run(&code, &[]).cpu.register(1), 1);
    assert_eq!(run(&code, &[(1, GlitchKind::Skip)]).cpu.register(1), 2);
    assert_eq!(run(&code, &[(2, GlitchKind::Skip)]).cpu.register(1), 0);
}

#[test]
fn bits_of_registers_and_flags_turn_over() {
    let flip = |register, bit| GlitchKind::Register { register, bit };
    assert_eq!(run(&SUM, &[(1, flip(0, 31))]).cpu.register(0), 0x8000_000F);
    assert_eq!(run(&SUM, &[(1, flip(7, 4))]).cpu.register(7), 0x10);
    assert_eq!(run(&SUM, &[(1, flip(13, 4))]).cpu.register(13), 0x2000_8010);
    assert_eq!(run(&SUM, &[(1, flip(13, 0))]).cpu.register(13), 0x2000_8000);
    // PC from CODE + 4 to CODE + 6.
    assert_eq!(run(&SUM, &[(2, flip(15, 1))]).cpu.register(0), 11);
    // Z between the comparison and the branch: cmp r0, r0; bne +0 (over the next); movs r1, #1.
    let code = [0x4280, 0xD100, 0x2101];
    assert_eq!(run(&code, &[]).cpu.register(1), 1);
    assert_eq!(run(&code, &[(1, flip(16, 30))]).cpu.register(1), 0);
}

#[test]
fn a_bit_of_the_encoding_turns_over_once() {
    // movs r0, #1 in a loop of two: the second time it is itself again.
    let bare = run(&SUM, &[(1, GlitchKind::Encoding { bit: 3 })]);
    assert_eq!(bare.cpu.register(0), 1 + 10 + 4 + 8);
    // ADDS becomes SUBS.
    let bare = run(&SUM, &[(2, GlitchKind::Encoding { bit: 11 })]);
    assert_eq!(bare.cpu.register(0), 1 + 2 + 8 - 4);
    // The first halfword of a wide one is the upper half: movw r0, #0x1234 with imm4 1 -> 3.
    let bare = run(&[0xF241, 0x2034], &[(0, GlitchKind::Encoding { bit: 17 })]);
    assert_eq!(bare.cpu.register(0), 0x3234);
    // And what runs again is what stands in memory: adds r0, #1; b . - 2, for six instructions.
    let mut bare = Bare::new(&[0x3001, 0xE7FD]);
    bare.cpu.plan_glitches([Glitch { at: 2, kind: GlitchKind::Encoding { bit: 1 } }]);
    while bare.cpu.instructions() < 6 {
        bare.run(1);
    }
    assert_eq!(bare.cpu.register(0), 1 + 3 + 1);
}

#[test]
fn glitches_far_ahead_are_exact() {
    // adds r0, #1; b . - 2
    let code = [0x3001, 0xE7FD];
    for at in [1_000, 1_001, 99_998, 123_457] {
        let mut bare = Bare::new(&code);
        bare.cpu.plan_glitches([Glitch { at, kind: GlitchKind::Register { register: 1, bit: 0 } }]);
        let mut plain = Bare::new(&code);
        assert_eq!(bare.run(400_000), Stop::Deadline);
        plain.run(400_000);
        let done = bare.cpu.take_glitches();
        assert_eq!((done.len(), done[0].pc), (1, CODE + 2 * (at % 2) as u32), "at {at}");
        assert_eq!(bare.cpu.register(1), 1);
        // Time is as without.
        let state = |bare: &Bare| (bare.cpu.cycle(), bare.cpu.instructions(), bare.cpu.register(0));
        assert_eq!(state(&bare), state(&plain));
    }
}

#[test]
fn past_glitches_do_not_happen_and_the_order_of_a_plan_does_not_matter() {
    let mut bare = Bare::new(&[NOP, NOP, NOP, NOP, 0x3001, STAY]);
    bare.run(3);
    let skip = |at| Glitch { at, kind: GlitchKind::Skip };
    bare.cpu.plan_glitches([skip(4), skip(1)]);
    bare.run(20);
    assert_eq!(bare.cpu.take_glitches().len(), 1);
    assert_eq!(bare.cpu.register(0), 0);
}
