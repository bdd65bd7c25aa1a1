//! The on-target tests of the drivers, on the virtual board, as part of `cargo test`.
//!
//! `cargo test -p hil --test on_target -- --board 03eb:2111:SERIAL` runs them on a real board. Everything after `--`
//! goes to `hil exec`.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    // Test runners ask for a list of tests; the tests in here are the device's, and are listed by `hil exec`.
    let args: Vec<String> = std::env::args().skip(1).collect();
    let programs = match build() {
        Ok(programs) => programs,
        Err(why) => {
            eprintln!("error: {why}");
            return ExitCode::from(2);
        }
    };
    let mut failed = false;
    for program in programs {
        let status = Command::new(env!("CARGO_BIN_EXE_hil")).arg("exec").arg(&program).args(&args).status();
        match status {
            Ok(status) => failed |= !status.success(),
            Err(why) => {
                eprintln!("error: cannot run hil: {why}");
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Builds the test programs of the driver crate, and those on drivers of others, and returns where they are.
fn build() -> Result<Vec<PathBuf>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(hil::artifacts::root())
        .args([
            "test",
            "--quiet",
            "--no-run",
            "-p",
            "same54",
            "-p",
            "hal-programs",
            "--tests",
            "--target",
            hil::artifacts::TARGET,
        ])
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|why| format!("cannot run cargo: {why}"))?;
    if !output.status.success() {
        return Err("building the on-target tests failed; the compiler's messages are above".to_owned());
    }
    let mut programs: Vec<PathBuf> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["kind"][0] == "test")
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .collect();
    programs.sort();
    if programs.is_empty() { Err("the driver crate has no on-target tests".to_owned()) } else { Ok(programs) }
}
