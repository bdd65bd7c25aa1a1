//! The CMCC, and the line that NVMCTRL keeps: what they cost and save, and what they hold back.

use armv7m::Size;
use sim_base::{Instant, Rng};

use super::{DEMCR, DHCSR, config, set, with_code, word};
use crate::board::{Board, RunStop};
use crate::{Event, EventKind};

const CMCC_CFG: u32 = 0x4100_6004;
const CMCC_CTRL: u32 = 0x4100_6008;
const CMCC_LCKWAY: u32 = 0x4100_6010;
const CMCC_MAINT0: u32 = 0x4100_6020;
const CMCC_MCFG: u32 = 0x4100_6028;
const CMCC_MEN: u32 = 0x4100_602C;
const CMCC_MSR: u32 = 0x4100_6034;
const NVM_CTRLA: u32 = 0x4100_4000;
const CYCCNT: u32 = 0xE000_1004;
const CACHEDIS0: u32 = 1 << 14;
/// Wait states of all the tests.
const WAIT: u32 = 5;
const NOP: u16 = 0xBF00;
const BKPT: u16 = 0xBE00;

/// A halted board with `code` at 0x400, wait states, and CYCCNT running.
fn prepared(code: &[u16], ctrla: u32) -> Board {
    let mut board = with_code(code, &[], false);
    set(&mut board, DHCSR, 0xA05F_0003);
    board.debug_write(NVM_CTRLA, Size::Half, WAIT << 8 | ctrla).expect("NVMCTRL");
    set(&mut board, DEMCR, 1 << 24);
    set(&mut board, 0xE000_1000, 1);
    board
}

fn set_register(board: &mut Board, register: u32, value: u32) {
    set(board, 0xE000_EDF8, value);
    set(board, 0xE000_EDF4, 1 << 16 | register);
}

/// Runs to the next BKPT, whose own cycle is not counted, and steps over it. The cycles that it took.
fn run(board: &mut Board) -> u32 {
    let before = word(board, CYCCNT);
    set(board, DHCSR, 0xA05F_0001);
    let end = Instant::from_nanos(board.now().as_nanos() + 1_000_000_000);
    assert_eq!(board.run_until(end), RunStop::Halted);
    let next = board.register(15) + 2;
    set_register(board, 15, next);
    word(board, CYCCNT) - before - 1
}

fn violations(board: &mut Board) -> Vec<String> {
    let texts = board.take_events().into_iter().filter_map(|event| match event.kind {
        EventKind::Violation(text) => Some(text),
        _ => None,
    });
    texts.collect()
}

/// Seven NOPs and `movs r0, #turns` in the line at 0x400; in the `lines` behind it NOPs, `subs r0, #1` and `bne.w` to
/// 0x410; BKPT.
fn counting_loop(lines: u32, turns: u16) -> Vec<u16> {
    let mut code = vec![NOP; 7];
    code.push(0x2000 | turns);
    code.resize(8 + 8 * lines as usize - 3, NOP);
    code.push(0x3801);
    let back = (-(16 * lines as i32) >> 1) as u32;
    let (sign, j1, j2) = (back >> 31, back >> 18 & 1, back >> 17 & 1);
    code.push((0xF040 | sign << 10 | back >> 11 & 0x3F) as u16);
    code.push((0x8000 | j1 << 13 | j2 << 11 | back & 0x7FF) as u16);
    code.push(BKPT);
    code
}

/// Cycles of [`counting_loop`] without waiting: a taken branch takes two.
fn plain_cycles(lines: u32, turns: u32) -> u32 {
    8 + turns * (8 * lines - 3 + 1 + 2) - 1
}

#[test]
fn without_the_cache_each_line_waits_each_time() {
    for lines in [32, 288] {
        let mut board = prepared(&counting_loop(lines, 9), 0);
        // The line before, and each of the loop's and the one behind it in place of the branch back.
        assert_eq!(run(&mut board), plain_cycles(lines, 9) + WAIT * (1 + 9 * lines));
    }
}

#[test]
fn without_nvmctrls_line_each_word_waits() {
    let mut board = prepared(&counting_loop(32, 9), CACHEDIS0);
    assert_eq!(run(&mut board), plain_cycles(32, 9) + WAIT * (4 + 9 * 4 * 32));
}

/// Misses of [`counting_loop`] in `ways` ways: lines that share their set with more than so many others are always gone
/// when their turn comes, since victims are chosen in turn.
fn misses(lines: u32, turns: u32, ways: u32) -> u32 {
    let thrashing: u32 = (0..64).map(|set| (lines + 63 - set) / 64).filter(|count| *count > ways).sum();
    // With the line before and the one behind.
    lines + (turns - 1) * thrashing + 2
}

#[test]
fn a_loop_that_fits_waits_in_its_first_turn_only_and_a_larger_one_for_what_does_not_fit() {
    for (size, ways) in [(2, 4), (1, 2), (0, 1)] {
        for lines in [20, 60, 100, 200, 254, 288, 320, 500] {
            for (ctrla, fill) in [(0, WAIT), (CACHEDIS0, 4 * WAIT)] {
                let mut board = prepared(&counting_loop(lines, 9), ctrla);
                set(&mut board, CMCC_CFG, size << 4);
                set(&mut board, CMCC_CTRL, 1);
                let waited = fill * misses(lines, 9, ways);
                assert_eq!(run(&mut board), plain_cycles(lines, 9) + waited, "{lines} lines, {ways} ways");
            }
        }
    }
    assert_eq!(misses(254, 9, 4), 256);
    assert_eq!(misses(288, 9, 4), 288 + 8 * 160 + 2);
    assert_eq!(misses(320, 9, 4), 9 * 320 + 2);
}

#[test]
fn with_icdis_or_all_ways_locked_code_waits_as_without_a_cache() {
    let mut board = prepared(&counting_loop(32, 9), 0);
    set(&mut board, CMCC_CFG, 0x22);
    set(&mut board, CMCC_CTRL, 1);
    assert_eq!(run(&mut board), plain_cycles(32, 9) + WAIT * (1 + 9 * 32));
    let mut board = prepared(&counting_loop(32, 9), 0);
    set(&mut board, CMCC_LCKWAY, 15);
    set(&mut board, CMCC_CTRL, 1);
    // The first line has to be read as well.
    assert_eq!(run(&mut board), plain_cycles(32, 9) + WAIT * (2 + 9 * 32));
}

#[test]
fn the_monitor_counts_a_hit_for_each_word_of_code() {
    let mut board = prepared(&counting_loop(32, 9), 0);
    set(&mut board, CMCC_MCFG, 1);
    set(&mut board, CMCC_MEN, 1);
    set(&mut board, CMCC_CTRL, 1);
    assert_eq!(run(&mut board), plain_cycles(32, 9) + WAIT * misses(32, 9, 4), "counting takes no time");
    // Four words to a line, of which the first one of the first turn is a miss.
    assert_eq!(word(&mut board, CMCC_MSR), 3 + 32 * (3 + 8 * 4));
}

/// `ldr r2, [r1]; ldr r3, [r1, #8]; ldr r2, [r1, #16]; ldr r2, [r1]; bkpt` twice, all in the line at 0x400.
const READS: [u16; 10] = [0x680A, 0x688B, 0x690A, 0x680A, BKPT, 0x680A, 0x688B, 0x690A, 0x680A, BKPT];

#[test]
fn data_waits_for_lines_that_are_not_at_hand() {
    // Loads in a row take one cycle each and one more. The second BKPT's line is another.
    let reads = |board: &mut Board| {
        set_register(board, 1, 0x2_0000);
        (run(board), run(board))
    };
    let mut board = prepared(&READS, 0);
    assert_eq!(reads(&mut board), (5 + 3 * WAIT, 5 + 2 * WAIT + WAIT), "the last line is at hand");
    let mut board = prepared(&READS, CACHEDIS0);
    // Words of code: 0x404 and 0x408; 0x40C, 0x410 and with the BKPT no other.
    assert_eq!(reads(&mut board), (5 + 4 * WAIT + 2 * WAIT, 5 + 4 * WAIT + 2 * WAIT));
    let mut board = prepared(&READS, 0);
    set(&mut board, CMCC_MCFG, 2);
    set(&mut board, CMCC_MEN, 1);
    set(&mut board, CMCC_CTRL, 1);
    assert_eq!(reads(&mut board), (5 + WAIT + 2 * WAIT, 5 + WAIT), "two lines, and code");
    assert_eq!(word(&mut board, CMCC_MSR), 2 + 4);
    let mut board = prepared(&READS, 0);
    set(&mut board, CMCC_CFG, 0x24);
    set(&mut board, CMCC_CTRL, 1);
    // The line that NVMCTRL keeps is that of code after its miss.
    assert_eq!(reads(&mut board), (5 + WAIT + 3 * WAIT, 5 + 2 * WAIT + WAIT), "DCDIS");
}

/// Programs a word into the erased page at `addr`, as a debugger.
fn program(board: &mut Board, addr: u32, value: u32) {
    set(board, addr, value);
    board.debug_write(0x4100_4004, Size::Half, 0xA503).expect("NVMCTRL");
}

#[test]
fn a_cached_line_hides_what_was_programmed_under_it_until_it_is_invalidated() {
    let code = [0x680A, BKPT, 0x680A, BKPT, 0x680A, BKPT, 0x680A, BKPT];
    for cached in [true, false] {
        let mut board = prepared(&code, 0);
        set(&mut board, CMCC_CTRL, cached.into());
        set_register(&mut board, 1, 0x2_0000);
        run(&mut board);
        assert_eq!(board.register(2), u32::MAX);
        program(&mut board, 0x2_0000, 0x1234_5678);
        for _ in 0..2 {
            run(&mut board);
            assert_eq!(board.register(2), if cached { u32::MAX } else { 0x1234_5678 });
        }
        let told = violations(&mut board);
        assert_eq!(told.len(), usize::from(cached), "once: {told:?}");
        assert!(told.iter().all(|text| text.contains("data at 0x00020000") && text.contains("invalidate")));
        set(&mut board, CMCC_CTRL, 0);
        set(&mut board, CMCC_MAINT0, 1);
        set(&mut board, CMCC_CTRL, cached.into());
        run(&mut board);
        assert_eq!(board.register(2), 0x1234_5678);
        assert_eq!(violations(&mut board), [""; 0]);
    }
}

#[test]
fn programming_what_the_line_already_has_is_no_violation() {
    let mut board = prepared(&[0x680A, BKPT, 0x680A, BKPT], 0);
    set(&mut board, CMCC_CTRL, 1);
    set_register(&mut board, 1, 0x2_0000);
    run(&mut board);
    program(&mut board, 0x2_0010, 7);
    run(&mut board);
    assert_eq!(violations(&mut board), [""; 0]);
}

#[test]
fn cached_code_runs_on_when_other_code_was_programmed_under_it() {
    // blx r1; bkpt, four times; at 0x2_0000 movs r2, #1; bx lr.
    let code = [0x4788, BKPT, 0x4788, BKPT, 0x4788, BKPT, 0x4788, BKPT];
    for cached in [true, false] {
        let mut board = prepared(&code, 0);
        board.chip.shared.memory.arrays.flash_mut()[0x2_0000..0x2_0004].copy_from_slice(&[0x01, 0x22, 0x70, 0x47]);
        set(&mut board, CMCC_CTRL, cached.into());
        set_register(&mut board, 1, 0x2_0001);
        run(&mut board);
        assert_eq!(board.register(2), 1);
        set(&mut board, 0x4100_4014, 0x2_0000);
        board.debug_write(0x4100_4004, Size::Half, 0xA501).expect("NVMCTRL");
        program(&mut board, 0x2_0000, 0x4770_2202);
        for _ in 0..2 {
            run(&mut board);
            assert_eq!(board.register(2), if cached { 1 } else { 2 });
        }
        let told = violations(&mut board);
        assert_eq!(told.len(), usize::from(cached), "once: {told:?}");
        assert!(told.iter().all(|text| text.contains("code at 0x00020000")));
        // Its place is taken by other lines of its set.
        for n in 0..4 {
            set(&mut board, CMCC_CTRL, 0);
            set(&mut board, 0x4100_6024, n << 28);
        }
        set(&mut board, CMCC_CTRL, cached.into());
        run(&mut board);
        assert_eq!(board.register(2), 2);
        assert_eq!(violations(&mut board), [""; 0]);
    }
}

#[test]
fn a_write_to_the_page_buffer_goes_through_a_line_that_holds_its_place() {
    // ldr r2, [r1]; str r0, [r1]; ldr r2, [r1]; bkpt
    let mut board = prepared(&[0x680A, 0x6008, 0x680A, BKPT], 0);
    set(&mut board, CMCC_CTRL, 1);
    set_register(&mut board, 0, 77);
    set_register(&mut board, 1, 0x2_0000);
    run(&mut board);
    assert_eq!(board.register(2), 77);
    assert_eq!(violations(&mut board).len(), 1);
    assert_eq!(word(&mut board, 0x2_0000), u32::MAX, "flash itself has it when it is programmed");
}

#[test]
fn a_hit_does_not_wait_for_the_bank_that_is_busy() {
    // ldr r2, [r1]; bkpt; ldr r2, [r1]; bkpt
    for cached in [true, false] {
        let mut board = prepared(&[0x680A, BKPT, 0x680A, BKPT], 0);
        board.set_flash_timing(true);
        set(&mut board, CMCC_CTRL, cached.into());
        set_register(&mut board, 1, 0x2_0000);
        run(&mut board);
        let before = board.now();
        program(&mut board, 0x2_2000, 1);
        run(&mut board);
        let stood = board.now().since(before).as_micros() > 1_000;
        assert_eq!(stood, !cached, "code and data are in the bank");
    }
}

#[test]
fn what_the_cache_does_not_need_is_memory() {
    let mut board = prepared(&[0x6008, 0x680A, BKPT], 0);
    set(&mut board, CMCC_CFG, 0);
    set(&mut board, CMCC_CTRL, 1);
    set_register(&mut board, 0, 0xCAFE);
    set_register(&mut board, 1, 0x0300_0FFC);
    run(&mut board);
    assert_eq!(board.register(2), 0xCAFE);
    // The line of this code is at its beginning.
    let line = word(&mut board, 0x0300_0000);
    assert_eq!(line, word(&mut board, 0x400));
    assert!(board.debug_read(0x0300_1000, Size::Word).is_err());
}

#[test]
fn a_register_of_the_external_flash_is_cached_with_its_window() {
    // ldr r2, [r1]; bkpt, twice.
    for cached in [true, false] {
        let mut board = prepared(&[0x680A, BKPT, 0x680A, BKPT], 0);
        for (offset, value) in [(0x04, 1), (0x00, 2), (0x34, 0x9F), (0x38, 1 << 7 | 1 << 4)] {
            set(&mut board, 0x4200_3400 + offset, value);
        }
        set(&mut board, CMCC_CTRL, cached.into());
        set_register(&mut board, 1, 0x0400_0000);
        run(&mut board);
        assert_eq!(board.register(2) & 0x00FF_FFFF, 0x19_BA20);
        assert_eq!(violations(&mut board), [""; 0]);
        // Status in place of identification.
        set(&mut board, 0x4200_3400, 1 << 24 | 2);
        set(&mut board, 0x4200_3434, 0x05);
        set(&mut board, 0x4200_3438, 1 << 7 | 1 << 4);
        run(&mut board);
        assert_eq!(board.register(2) & 0xFF, if cached { 0x20 } else { 0 });
        assert_eq!(violations(&mut board).len(), usize::from(cached));
    }
}

/// A loop of 4.5 KiB that also reads a table of 2 KiB, in steps of 52 bytes, and a literal; R0 counts turns.
fn hungry(cached: bool, ctrla: u32) -> Board {
    // adds r3, #52; ubfx r4, r3, #0, #11; ldr r2, [r1, r4]; add r5, r2; ldr r6, =literal; cmp r5, r6; ite lo; addlo r7, r3;
    // subhs r7, r3; str r7, [sp]
    let piece = [0x3334, 0xF3C3, 0x040A, 0x590A, 0x1955, 0x4E7C, 0x42B5, 0xBF34, 0x18FF, 0x1AFF, 0x9700];
    let mut code: Vec<u16> = vec![NOP; 8];
    while code.len() < 8 + 2_300 {
        code.extend(piece);
    }
    code.extend([0x3001, 0xF7FE, 0xBEF0]);
    let back = (0x410 - (0x400 + 2 * code.len() as i32)) >> 1;
    let at = code.len() - 2;
    code[at] = 0xF000 | 1 << 10 | (back >> 11 & 0x3FF) as u16;
    code[at + 1] = 0xB800 | (back & 0x7FF) as u16;
    let mut board = with_code(&code, &[], true);
    let table = &mut board.chip.shared.memory.arrays.flash_mut()[0x2_0000..0x2_1000];
    Rng::new(7).fill(table);
    set(&mut board, DHCSR, 0xA05F_0003);
    board.debug_write(NVM_CTRLA, Size::Half, WAIT << 8 | ctrla).expect("NVMCTRL");
    set(&mut board, CMCC_CTRL, cached.into());
    set_register(&mut board, 1, 0x2_0000);
    // SysTick cuts into it.
    set(&mut board, 0xE000_E014, 997);
    set(&mut board, 0xE000_E010, 5);
    board
}

/// All that a program or an observer can see.
fn state(board: &mut Board) -> (Instant, u64, u64, Vec<u32>, Vec<u8>, Vec<Event>) {
    let registers = (0..=18).map(|n| board.register(n)).collect();
    (board.now(), board.cycles(), board.instructions(), registers, board.ram()[..0x8000].to_vec(), board.take_events())
}

fn march(boards: &mut [Board; 2], seed: u64, steps: u32) {
    let mut rng = Rng::new(seed);
    for step in 0..steps {
        let until = Instant::from_nanos(boards[0].now().as_nanos() + rng.below(20_000));
        let [a, b] = boards.each_mut().map(|board| {
            board.run_until(until);
            state(board)
        });
        assert!(a == b, "seed {seed}, step {step}: {a:x?}\n{b:x?}");
    }
    assert!(boards[0].register(0) > 1, "the loop has come round");
}

#[test]
fn blocks_and_single_steps_agree_about_the_cache() {
    for (cached, ctrla) in [(true, 0), (true, CACHEDIS0), (false, 0), (false, CACHEDIS0)] {
        let mut boards = [hungry(cached, ctrla), hungry(cached, ctrla)];
        for (addr, value) in [(DEMCR, 1 << 24), (0xE000_1020, 0x7000_0000), (0xE000_1028, 6)] {
            set(&mut boards[1], addr, value);
        }
        for board in &mut boards {
            set(board, DHCSR, 0xA05F_0000);
        }
        let seed = 11 + u64::from(ctrla);
        march(&mut boards, seed, 400);
        let tags = boards.each_ref().map(|board| board.chip.parts.cmcc.tags.lines().collect::<Vec<_>>());
        assert_eq!(tags[0], tags[1]);
        assert_eq!(tags[0].len(), if cached { 256 } else { 0 });
    }
}

#[test]
fn a_snapshot_takes_the_cache_along() {
    let mut board = hungry(true, 0);
    set(&mut board, DHCSR, 0xA05F_0000);
    board.run_until(Instant::from_nanos(300_000));
    let copy = board.snapshot();
    let mut other = Board::new(config(true));
    other.power_on();
    other.restore_from(&copy);
    let mut boards = [board, copy];
    march(&mut boards, 3, 100);
    let [_, copy] = boards;
    let mut boards = [copy.snapshot(), copy];
    boards[0].run_until(Instant::from_nanos(9_000_000));
    let [mut strayed, copy] = boards;
    strayed.restore_from(&copy);
    march(&mut [strayed, copy], 4, 100);
    other.run_until(Instant::from_nanos(600_000));
    assert!(other.register(0) > 1);
}
