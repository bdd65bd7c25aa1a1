//! The same program on `qemu-system-arm`.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::cpu_time;

const PROGRAM: &str = "qemu-system-arm";

/// An installed QEMU.
pub struct Qemu {
    version: String,
}

impl Qemu {
    /// None if it is not there.
    pub fn find() -> Option<Self> {
        let output = Command::new(PROGRAM).arg("--version").output().ok()?;
        let version = String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned();
        Some(Self { version })
    }

    /// What it says of itself.
    pub fn version(&self) -> String {
        self.version.clone()
    }

    /// What the program printed, and the process's CPU time in seconds.
    pub fn run(&self, elf: &Path, kernel: &str, rounds: u32) -> (String, f64) {
        let semihosting = format!("enable=on,target=native,arg=bench,arg={kernel},arg={rounds}");
        let child = Command::new(PROGRAM)
            .args(["-M", "mps2-an386", "-display", "none", "-monitor", "none", "-serial", "none"])
            .args(["-semihosting-config", &semihosting, "-kernel"])
            .arg(elf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut printed = String::new();
        let Ok(mut child) = child else { return (printed, f64::MAX) };
        // Semihosting goes to standard error.
        if let Some(mut stderr) = child.stderr.take() {
            let _ = stderr.read_to_string(&mut printed);
        }
        match cpu_time::of_child(child) {
            Ok((status, seconds)) if status.success() => (printed, seconds),
            _ => (printed, f64::MAX),
        }
    }
}
