//! Programs made by hand, on the virtual board.

use std::time::Duration;

use super::program::ProgramError;
use super::test_elf::{TestElf, image};
use super::*;
use crate::board::{BoardSelector, Model};

/// `b .`
const B_SELF: u16 = 0xE7FE;
/// `bkpt 0xAB`
const SEMIHOSTING: u16 = 0xBEAB;
/// `movs r0, #imm`
const fn movs_r0(value: u16) -> u16 {
    0x2000 | value
}
const SYS_WRITE0: u16 = 0x04;
const SYS_GET_CMDLINE: u16 = 0x15;
const SYS_EXIT: u16 = 0x18;
const SYS_EXIT_EXTENDED: u16 = 0x20;

fn run_with(elf: &TestElf, entry: Entry, timeout: Duration) -> (Ending, String) {
    let bench = Bench {
        selector: BoardSelector::Virtual(Model::Same54Xpro),
        seed: 1,
        program: Program::parse(elf.build()).unwrap(),
        default_timeout: timeout,
        coverage: None,
    };
    let mut runner = bench.open().unwrap();
    let mut console = String::new();
    let ending = runner
        .run(&bench.program, entry, timeout, &mut |said| {
            if let Said::Console(text) = said {
                console.push_str(&text);
            }
        })
        .unwrap();
    (ending, console)
}

fn run(code: &[u16]) -> (Ending, String) {
    run_with(&TestElf::program(code), Entry::Program, Duration::from_secs(1))
}

/// SYS_EXIT with ADP_Stopped_ApplicationExit in r1: `ldr r1, [pc, #4]` and its literal. Word-aligned code only.
fn exit_success() -> [u16; 6] {
    [movs_r0(SYS_EXIT), 0x4901, SEMIHOSTING, B_SELF, 0x0026, 0x0002]
}

#[test]
fn a_program_that_exits_has_succeeded() {
    assert!(matches!(run(&exit_success()).0, Ending::Exit(0)));
}

#[test]
fn an_exit_with_another_reason_is_a_failure() {
    // SYS_EXIT with ADP_Stopped_RunTimeErrorUnknown, 0x20023.
    let code = [movs_r0(SYS_EXIT), 0x4901, SEMIHOSTING, B_SELF, 0x0023, 0x0002];
    assert!(matches!(run(&code).0, Ending::Exit(1)));
}

#[test]
fn an_extended_exit_gives_the_program_s_status() {
    // r1 points to { 0x20026, 7 }.
    let code = [movs_r0(SYS_EXIT_EXTENDED), 0xA101, SEMIHOSTING, B_SELF, 0x0026, 0x0002, 0x0007, 0x0000];
    assert!(matches!(run(&code).0, Ending::Exit(7)));
}

#[test]
fn text_written_by_semihosting_is_shown() {
    // adr r1, text; then exit.
    let mut code = vec![movs_r0(SYS_WRITE0), 0xA103, SEMIHOSTING, 0xBF00];
    code.extend([movs_r0(SYS_EXIT), 0x2100, SEMIHOSTING, B_SELF]);
    code.extend([u16::from_le_bytes(*b"hi"), u16::from_le_bytes(*b"!\n"), 0, 0]);
    let (ending, console) = run(&code);
    assert_eq!(console, "hi!\n");
    assert!(matches!(ending, Ending::Exit(1)));
}

#[test]
fn an_endless_loop_ends_with_the_place_where_it_was() {
    let (ending, _) = run_with(&TestElf::program(&[B_SELF]), Entry::Program, Duration::from_millis(50));
    let text = ending.to_string();
    assert!(matches!(ending, Ending::Timeout { .. }), "{text}");
    assert!(text.contains("0.05 s") && text.contains("0x00000100 (main+0x0)"), "{text}");
}

#[test]
fn a_fault_is_reported_with_cause_and_the_registers_before_it() {
    // movs r0, #5; ldr r1, =0x90000000; ldr r2, [r1]
    let code = [movs_r0(5), 0x4901, 0x680A, B_SELF, 0x0000, 0x9000];
    let text = run(&code).0.to_string();
    assert!(text.starts_with("HardFault at 0x00000104 (main+0x4)"), "{text}");
    assert!(text.contains("PRECISERR") && text.contains("at data address 0x90000000"), "{text}");
    assert!(text.contains("r0 0x00000005") && text.contains("pc 0x00000104"), "{text}");
    assert!(text.contains("sp 0x20010000"), "{text}");
}

#[test]
fn an_undefined_instruction_is_named_as_the_cause() {
    let text = run(&[0xDE00]).0.to_string();
    assert!(text.starts_with("HardFault at 0x00000100") && text.contains("UNDEFINSTR"), "{text}");
}

#[test]
fn a_breakpoint_instruction_ends_the_program() {
    let text = run(&[0xBE00, B_SELF]).0.to_string();
    assert!(text.starts_with("the core halted at a breakpoint at 0x00000100 (main+0x0)"), "{text}");
}

#[test]
fn a_program_without_a_stack_locks_up_and_says_so() {
    let mut elf = TestElf::new();
    let mut bytes = image(&[movs_r0(1), 0xB401, B_SELF]);
    // The stack begins where nothing is, and no handler can run there either.
    bytes[..4].copy_from_slice(&0x9000_0000_u32.to_le_bytes());
    bytes[12..16].copy_from_slice(&0_u32.to_le_bytes());
    let text = elf.section(".text", 0, true, &bytes);
    elf.symbol("main", 0x101, 6, 2, text);
    let (ending, _) = run_with(&elf, Entry::Program, Duration::from_secs(1));
    let text = ending.to_string();
    assert!(matches!(ending, Ending::Fault(_)), "{text}");
    assert!(text.contains("STKERR"), "{text}");
}

/// An embedded-test program of protocol `version`, whose one function takes its command line to 0x2000_0100.
fn suite(version: u32, names: &[&str]) -> TestElf {
    let mut elf = TestElf::new();
    // r1 = { 0x2000_0100, 64 } for SYS_GET_CMDLINE, copied to RAM first because the host writes the length.
    let code: [u16; 16] = [
        0x4806, // ldr r0, =0x20000200
        0x4907, // ldr r1, =0x20000100
        0x6001, // str r1, [r0]
        0x2140, // movs r1, #64
        0x6041, // str r1, [r0, #4]
        0x0001, // movs r1, r0
        movs_r0(SYS_GET_CMDLINE),
        SEMIHOSTING,
        movs_r0(SYS_EXIT),
        0x4904, // ldr r1, =0x20026
        SEMIHOSTING,
        B_SELF,
        0xBF00,
        0xBF00,
        0x0200,
        0x2000,
    ];
    let mut bytes = image(&code);
    bytes.extend(0x2000_0100_u32.to_le_bytes());
    bytes.extend(0x2_0026_u32.to_le_bytes());
    let path = bytes.len() as u32;
    bytes.extend(b"suite::tests");
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let text = elf.section(".text", 0, true, &bytes);
    elf.symbol("main", 0x101, 32, 2, text);
    let mut table = Vec::new();
    for index in 0..names.len() as u32 {
        for word in [0x1001 + 2 * index, path, 12] {
            table.extend(word.to_le_bytes());
        }
    }
    let version_at = table.len() as u32;
    table.extend(version.to_le_bytes());
    let section = elf.section(".embedded_test", 0, false, &table);
    for (index, name) in names.iter().enumerate() {
        elf.symbol(name, 12 * index as u32, 12, 1, section);
    }
    elf.symbol("EMBEDDED_TEST_VERSION", version_at, 4, 1, section);
    elf
}

const NAME: &str = r#"{"disambiguator":1,"name":"b","ignored":false,"should_panic":false}"#;
const TIMED: &str = r#"{"disambiguator":2,"name":"a","ignored":true,"should_panic":true,"timeout":3}"#;

#[test]
fn tests_are_read_from_the_symbol_table_in_order_of_their_names() {
    let program = Program::parse(suite(1, &[NAME, TIMED]).build()).unwrap();
    let tests = program.tests().unwrap();
    let names: Vec<_> = tests.iter().map(|test| (test.name.as_str(), test.address)).collect();
    assert_eq!(names, [("tests::a", 0x1003), ("tests::b", 0x1001)]);
    assert!(tests[0].ignored && tests[0].should_panic);
    assert_eq!(tests[0].timeout, Some(Duration::from_secs(3)));
    assert_eq!(tests[1].timeout, None);
}

#[test]
fn the_target_is_told_which_test_to_run() {
    let elf = suite(1, &[NAME]);
    let bench = Bench {
        selector: BoardSelector::Virtual(Model::Same54Xpro),
        seed: 1,
        program: Program::parse(elf.build()).unwrap(),
        default_timeout: Duration::from_secs(1),
        coverage: None,
    };
    let mut runner = bench.open().unwrap();
    // Twice: each run starts with a reset.
    for _ in 0..2 {
        let ending = runner.run(&bench.program, Entry::Test(0x1001), bench.default_timeout, &mut |_| ()).unwrap();
        assert!(matches!(ending, Ending::Exit(0)), "{ending}");
        let board = runner.board().simulation().unwrap().lock().unwrap();
        assert_eq!(&board.ram()[0x100..0x10E], b"run_addr 4097\0");
    }
}

#[test]
fn other_protocols_of_tests_are_refused_by_number() {
    for version in [0, 2] {
        let error = Program::parse(suite(version, &[NAME]).build()).err().unwrap();
        assert!(matches!(error, ProgramError::Protocol(seen) if seen == version), "{error}");
    }
    let error = Program::parse(suite(1, &["not JSON"]).build()).err().unwrap();
    assert!(matches!(error, ProgramError::BadTest(_)), "{error}");
}

#[test]
fn what_is_no_program_is_refused_in_one_line() {
    let of = |bytes: Vec<u8>| Program::parse(bytes).err().expect("a refusal").to_string();
    let good = TestElf::program(&[B_SELF]).build();
    for bytes in
        [Vec::new(), b"#!/bin/sh\n".to_vec(), good[..40].to_vec(), TestElf::program(&[B_SELF]).machine(8).build()]
    {
        let text = of(bytes);
        assert!(text.contains("thumbv7em-none-eabihf") && !text.contains('\n'), "{text}");
    }
    let mut nothing_to_load = TestElf::new();
    nothing_to_load.section(".debug_info", 0, false, &[1, 2, 3, 4]);
    assert!(of(nothing_to_load.build()).contains("nothing to load"));
}
