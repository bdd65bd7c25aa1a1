//! The main job with the device's MQTT going through a real Mosquitto, as a child process and in a container.

#[path = "../../hub-broker/tests/support/brokers.rs"]
mod brokers;
mod support;

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use brokers::{has_mosquitto, image};
use serde_json::Value;

fn update_passes(broker: &str, named: &str) {
    let out = support::folder(broker);
    let output = Command::new(env!("CARGO_BIN_EXE_hil"))
        .args(["run", "update", "--broker", broker, "--json", "--out"])
        .arg(&out)
        .output()
        .expect("hil starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("standard output is one JSON document");
    let broker = report["broker"].as_str().unwrap_or_default();
    assert!(broker.starts_with("mosquitto 2.") && broker.ends_with(named), "{broker}");
    assert_eq!(report["scenarios"][0]["steps"].as_array().map(Vec::len), Some(8));
    let junit = std::fs::read_to_string(out.join("junit.xml")).unwrap();
    assert!(junit.contains(&format!("name=\"broker\" value=\"{broker}\"")), "{junit}");
}

#[test]
fn update_passes_through_mosquitto_and_the_report_says_so() {
    if has_mosquitto() {
        update_passes("mosquitto", "");
    }
}

#[test]
fn update_passes_through_a_container_and_the_report_says_so() {
    if let Some(image) = image() {
        update_passes("container", &format!(" in a container of {image}"));
    }
}

/// A hub behind a broker, and where devices connect.
fn hub(broker: &str) -> (Child, Vec<String>) {
    let mut hub = Command::new(env!("CARGO_BIN_EXE_hil"))
        .args(["hub", "--broker", broker, "--mqtts", "0", "--files", "0", "--admin", "0", "--json", "--data"])
        .arg(support::folder(&format!("{broker}-hub")))
        .stdout(Stdio::piped())
        .spawn()
        .expect("hil starts");
    let mut line = String::new();
    BufReader::new(hub.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let start: Value = serde_json::from_str(&line).expect("one JSON document");
    let devices: Vec<String> = serde_json::from_value(start["devices"].clone()).expect("addresses");
    assert!(!devices.is_empty() && devices.iter().all(|at| TcpStream::connect(at).is_ok()), "{line}");
    (hub, devices)
}

fn await_end(devices: &[String]) {
    let begun = Instant::now();
    while devices.iter().any(|at| TcpStream::connect(at).is_ok()) {
        assert!(begun.elapsed() < Duration::from_secs(30), "a broker outlives its hub");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn brokers_end_with_a_hub_that_is_killed() {
    if !has_mosquitto() {
        return;
    }
    let (mut hub, devices) = hub("mosquitto");
    // With SIGKILL: nothing in the hub can end its children.
    hub.kill().expect("runs");
    hub.wait().expect("ends");
    await_end(&devices);
}

/// How many containers there are for these listeners, stopped ones too.
fn containers(devices: &[String]) -> usize {
    let count = |at: &String| {
        let filter = format!("label=hil.listener={at}");
        let output = Command::new("docker").args(["ps", "--all", "--quiet", "--filter", &filter]).output();
        let output = output.expect("docker starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().count()
    };
    devices.iter().map(count).sum()
}

fn containers_are_gone(end: impl FnOnce(&mut Child)) {
    let (mut hub, devices) = hub("container");
    assert_eq!(containers(&devices), devices.len());
    end(&mut hub);
    hub.wait().expect("ends");
    await_end(&devices);
    let begun = Instant::now();
    while containers(&devices) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "a container is left");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn containers_are_removed_with_a_hub_that_is_killed_or_interrupted() {
    if image().is_none() {
        return;
    }
    containers_are_gone(|hub| hub.kill().expect("runs"));
    containers_are_gone(|hub| {
        let status = Command::new("kill").args(["-INT", &hub.id().to_string()]).status().expect("kill starts");
        assert!(status.success());
    });
}

/// What `hil run --broker container` says if it cannot: one line.
fn refusal(docker_host: &str, image: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_hil"))
        .args(["run", "update", "--broker", "container", "--broker-image", image, "--out"])
        .arg(support::folder("no-container"))
        .env("DOCKER_HOST", docker_host)
        .output()
        .expect("hil starts");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    errors[0].to_owned()
}

#[test]
fn missing_engine_is_named_with_what_to_do() {
    let error = refusal("unix:///nowhere/docker.sock", "x");
    assert!(error.contains("unix:///nowhere/docker.sock") && error.contains("start Docker"), "{error}");
    let error = refusal("tcp://127.0.0.1:1", "x");
    assert!(error.contains("tcp://127.0.0.1:1") && error.contains("unix://"), "{error}");
}

#[test]
fn missing_image_is_named_with_what_to_do() {
    if image().is_none() {
        return;
    }
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    // A name of nobody's: port 9 of this machine is no registry.
    let error = refusal(&host, "127.0.0.1:9/no-such-mosquitto:1");
    assert!(error.contains("127.0.0.1:9/no-such-mosquitto:1") && error.contains("hil/hub-broker/image"), "{error}");
}
