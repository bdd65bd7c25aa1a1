//! The same seed gives the same run.

use std::process::Command;

use serde_json::Value;

/// Removes what depends on the machine that simulates.
fn strip_wall(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.shift_remove("wall");
            map.values_mut().for_each(strip_wall);
        }
        Value::Array(list) => list.iter_mut().for_each(strip_wall),
        _ => {}
    }
}

/// The report of one run in a process of its own, and the frames that crossed the cable.
fn run(name: &str, seed: &str, copy: &str) -> (Value, Vec<u8>) {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{seed}-{copy}"));
    std::fs::create_dir_all(&dir).unwrap();
    let pcap = dir.join("frames.pcap");
    let output = Command::new(env!("CARGO_BIN_EXE_hil"))
        .args(["run", name, "--json", "--seed", seed, "--out"])
        .arg(&dir)
        .arg("--pcap")
        .arg(&pcap)
        .output()
        .expect("hil starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut report: Value = serde_json::from_slice(&output.stdout).expect("standard output is one JSON document");
    strip_wall(&mut report);
    (report, std::fs::read(pcap).unwrap())
}

#[test]
fn same_seed_gives_the_same_instructions_frames_and_report() {
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| run("power-cut-swap", "7", "b"));
        (run("power-cut-swap", "7", "a"), other.join().unwrap())
    });
    let instructions = |report: &Value| report["scenarios"][0]["totals"]["instructions"].as_u64().unwrap();
    assert!(instructions(&first.0) > 1_000_000);
    assert_eq!(instructions(&first.0), instructions(&second.0));
    assert!(first.1 == second.1, "the frames differ");
    assert_eq!(first.0, second.0);
}
