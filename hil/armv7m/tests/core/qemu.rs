//! QEMU's Cortex-M4 as the other witness: runs an image on its mps2-an386 board.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Runs a raw image at address 0, which writes one file by semihosting, and returns that file's bytes.
pub fn run(image: &[u8], file: &str) -> Vec<u8> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let name = format!("qemu-{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder for QEMU");
    std::fs::write(folder.join("image.bin"), image).expect("the image");
    let mut child = Command::new("qemu-system-arm")
        .current_dir(&folder)
        .args(["-M", "mps2-an386", "-display", "none", "-serial", "none", "-monitor", "none", "-nic", "none"])
        .args(["-semihosting-config", "enable=on,target=native", "-kernel", "image.bin"])
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(folder.join("stderr")).expect("a file for QEMU's complaints"))
        .spawn()
        .expect("qemu-system-arm starts");
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("QEMU's status") {
            break status;
        }
        if start.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            let _ = child.wait();
            panic!("QEMU did not come to an end; its image is in {}", folder.display());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "QEMU: {status}; its image is in {}", folder.display());
    let bytes = std::fs::read(folder.join(file)).expect("the file that the program writes");
    std::fs::remove_dir_all(&folder).expect("QEMU's folder");
    bytes
}

/// Whether QEMU is there. Where it must be (`CI=true` or `HIL_REQUIRE_QEMU=1`) its absence is a failure; elsewhere the
/// test says that it is skipped.
pub fn is_there(test: &str) -> bool {
    let found = Command::new("qemu-system-arm").arg("--version").output();
    let why = match found {
        Ok(output) if output.status.success() => return true,
        Ok(output) => format!("qemu-system-arm --version: {}", output.status),
        Err(error) => format!("qemu-system-arm: {error}"),
    };
    let set = |name: &str, value: &str| std::env::var(name).is_ok_and(|set| set == value);
    assert!(!set("CI", "true") && !set("HIL_REQUIRE_QEMU", "1"), "{test} needs QEMU (package qemu-system-arm): {why}");
    eprintln!("SKIPPED: {test} needs QEMU (package qemu-system-arm): {why}");
    false
}
