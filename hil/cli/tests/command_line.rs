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
fn list_names_every_scenario_for_people_and_for_machines() {
    let people = String::from_utf8(hil(&["list"]).stdout).unwrap();
    let machines: serde_json::Value = serde_json::from_slice(&hil(&["list", "--json"]).stdout).unwrap();
    let scenarios = machines["scenarios"].as_array().unwrap();
    assert_eq!(scenarios.len(), 6);
    assert!(scenarios.iter().all(|scenario| people.contains(scenario["name"].as_str().unwrap())));
}
