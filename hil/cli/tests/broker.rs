//! The main job with the device's MQTT going through a real Mosquitto.

mod support;

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Whether `mosquitto` is installed. Where CI=true it has to be.
fn has_mosquitto() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = dirs.map(|dir| dir.join("mosquitto")).any(|program| program.is_file());
    assert!(found || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "mosquitto is missing");
    if !found {
        eprintln!("skipped: mosquitto is not installed");
    }
    found
}

#[test]
fn update_passes_through_mosquitto_and_the_report_says_so() {
    if !has_mosquitto() {
        return;
    }
    let out = support::folder("broker");
    let output = Command::new(env!("CARGO_BIN_EXE_hil"))
        .args(["run", "update", "--broker", "mosquitto", "--json", "--out"])
        .arg(&out)
        .output()
        .expect("hil starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("standard output is one JSON document");
    let broker = report["broker"].as_str().unwrap_or_default();
    assert!(broker.starts_with("mosquitto 2."), "{broker}");
    assert_eq!(report["scenarios"][0]["steps"].as_array().map(Vec::len), Some(8));
    let junit = std::fs::read_to_string(out.join("junit.xml")).unwrap();
    assert!(junit.contains(&format!("name=\"broker\" value=\"{broker}\"")), "{junit}");
}

#[test]
fn brokers_end_with_a_hub_that_is_killed() {
    if !has_mosquitto() {
        return;
    }
    let mut hub = Command::new(env!("CARGO_BIN_EXE_hil"))
        .args(["hub", "--broker", "mosquitto", "--mqtts", "0", "--files", "0", "--admin", "0", "--json", "--data"])
        .arg(support::folder("broker-hub"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("hil starts");
    let mut line = String::new();
    BufReader::new(hub.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let start: Value = serde_json::from_str(&line).expect("one JSON document");
    let devices: Vec<String> = serde_json::from_value(start["devices"].clone()).expect("addresses");
    assert!(!devices.is_empty() && devices.iter().all(|at| TcpStream::connect(at).is_ok()), "{line}");
    // With SIGKILL: nothing in the hub can end its children.
    hub.kill().expect("runs");
    hub.wait().expect("ends");
    let begun = Instant::now();
    while devices.iter().any(|at| TcpStream::connect(at).is_ok()) {
        assert!(begun.elapsed() < Duration::from_secs(30), "a broker outlives its hub");
        std::thread::sleep(Duration::from_millis(20));
    }
}
