//! What a user sees who types something wrong: one line that says what, where and what to do; exit code 2.

use std::process::{Command, Output};

fn hil(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hil")).args(args).output().expect("hil starts")
}

fn error_line(args: &[&str]) -> String {
    let output = hil(args);
    let text = String::from_utf8(output.stderr).expect("messages are text");
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{args:?}: {text}");
    assert!(!text.contains("panicked") && !text.contains("backtrace"), "{text}");
    text
}

#[test]
fn unknown_scenario_is_named_with_the_known_ones() {
    let line = error_line(&["run", "updaet"]);
    assert!(line.contains("updaet") && line.contains("power-cut-swap"), "{line}");
}

#[test]
fn unknown_board_is_named_with_what_is_understood() {
    let line = error_line(&["run", "--board", "toaster"]);
    assert!(line.contains("toaster") && line.contains("virtual:same54-xpro"), "{line}");
}

#[test]
fn unreadable_program_is_named() {
    let line = error_line(&["exec", "/nonexistent/program.elf"]);
    assert!(line.contains("/nonexistent/program.elf"), "{line}");
}

#[test]
fn program_for_another_machine_is_refused() {
    let line = error_line(&["exec", env!("CARGO_BIN_EXE_hil")]);
    assert!(line.contains("thumbv7em-none-eabihf"), "{line}");
}

#[test]
fn program_that_is_no_elf_is_refused() {
    let line = error_line(&["exec", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    assert!(line.contains("Cargo.toml") && line.contains("ELF"), "{line}");
}

#[test]
fn program_without_vector_table_is_refused() {
    // An ELF with code for the chip, but linked without a start: the compiler's own objects are such.
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("command-line");
    std::fs::create_dir_all(&dir).unwrap();
    let elf = dir.join("headless.elf");
    std::fs::write(&elf, headless()).unwrap();
    let line = error_line(&["exec", &elf.display().to_string()]);
    assert!(line.contains("headless.elf") && line.contains("no vector table at 0x00000000"), "{line}");
}

/// An ELF for Arm whose only section, at address 0, is eight bytes of 0xFF.
fn headless() -> Vec<u8> {
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves = |elf: &mut Vec<u8>, values: &[u16]| elf.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    let words = |elf: &mut Vec<u8>, values: &[u32]| elf.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    // Header: executable, machine 40; program header at 52, section headers at 112; two sections, names in the second.
    halves(&mut elf, &[2, 40]);
    words(&mut elf, &[1, 0, 52, 112, 0x0500_0000]);
    halves(&mut elf, &[52, 32, 1, 40, 3, 2]);
    words(&mut elf, &[1, 84, 0, 0, 8, 8, 5, 4]);
    elf.extend([0xFF; 8]);
    elf.extend(b"\0.text\0.shstrtab\0\0\0\0");
    words(&mut elf, &[0; 10]);
    words(&mut elf, &[1, 1, 6, 0, 84, 8, 0, 0, 4, 0]);
    words(&mut elf, &[7, 3, 0, 0, 92, 17, 0, 0, 1, 0]);
    elf
}

#[test]
fn list_names_every_scenario_for_people_and_for_machines() {
    let people = String::from_utf8(hil(&["list"]).stdout).unwrap();
    let machines: serde_json::Value = serde_json::from_slice(&hil(&["list", "--json"]).stdout).unwrap();
    let scenarios = machines["scenarios"].as_array().unwrap();
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/scenarios")).unwrap();
    assert_eq!(scenarios.len(), files.count());
    assert!(scenarios.iter().all(|scenario| people.contains(scenario["name"].as_str().unwrap())));
}
