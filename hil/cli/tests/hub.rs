//! `hil hub` as a process: its commands, and a `kill -9`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

struct Hub {
    child: Child,
    admin: String,
}

impl Hub {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hil"))
            .args(["hub", "--json", "--mqtts", "0", "--files", "0", "--admin", "0", "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("hil starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        let about: Value = serde_json::from_str(&line).expect("one JSON line");
        Self { child, admin: about["admin"].as_str().expect("the API").to_owned() }
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hil"));
        command.arg("hub").args(args).args(["--hub", &self.admin]).output().expect("hil starts")
    }

    /// Standard output of a command that succeeds.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// The one line of a command that fails.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // SIGKILL: nothing is said goodbye to.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_was_acknowledged_outlives_kill_9() {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("what_was_acknowledged_outlives_kill_9");
    let _ = std::fs::remove_dir_all(&data);
    std::fs::create_dir_all(&data).unwrap();
    let firmware = b"firmware of the second version";
    std::fs::write(data.join("fw.bin"), firmware).unwrap();
    let manifest = serde_json::json!({
        "updateId": {"provider": "Contoso", "name": "Box", "version": "2.0"},
        "isDeployable": true,
        "compatibility": [{"manufacturer": "Contoso", "model": "Box"}],
        "instructions": {"steps": [{
            "handler": "microsoft/swupdate:1", "files": ["fw.bin"], "handlerProperties": {"installedCriteria": "2.0"},
        }]},
        "files": [{
            "filename": "fw.bin", "sizeInBytes": firmware.len(),
            "hashes": {"sha256": "FoxUUAg+qAyxvPSVXBsBOTkO7NFyBtN7Z3MT4ZHT4lw="},
        }],
        "createdDateTime": "2026-01-01T00:00:00Z",
        "manifestVersion": "5.0",
    });
    let file = data.join("manifest.json");
    std::fs::write(&file, manifest.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let text = {
        let hub = Hub::start(&data);
        // The hash is not the file's: every mistake is told with its place.
        let refused = hub.refused(&["update", "import", file]);
        assert!(refused.contains("/files/0/hashes"), "{refused}");
        let mut manifest = manifest;
        use base64::Engine as _;
        use sha2::Digest as _;
        let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(firmware));
        manifest["files"][0]["hashes"]["sha256"] = hash.into();
        std::fs::write(file, manifest.to_string()).unwrap();
        hub.ok(&["update", "import", file]);
        let text = hub.ok(&["device", "create", "box-1", "--tag", "ADUGroup=test"]);
        hub.ok(&["twin", "set", "box-1", r#"{"interval": 5}"#]);
        hub.ok(&["message", "send", "box-1", "hello", "--property", "a=b"]);
        text
    };
    let hub = Hub::start(&data);
    let shown: Value = serde_json::from_str(&hub.ok(&["device", "show", "box-1", "--json"])).unwrap();
    assert_eq!(shown["connectionString"], text.trim());
    assert_eq!(shown["cloudToDeviceMessageCount"], 1);
    assert!(hub.ok(&["twin", "get", "box-1"]).contains("\"interval\": 5"));
    assert!(hub.ok(&["update", "list"]).contains("Contoso"));
    assert!(hub.ok(&["device", "list", "--tag", "ADUGroup=test"]).contains("box-1"));
    assert!(hub.refused(&["device", "show", "nobody"]).contains("does not exist"));
    assert!(hub.refused(&["method", "call", "box-1", "reboot"]).contains("not connected"));
    assert!(hub.refused(&["deployment", "show", "7"]).contains("does not exist"));
    let refused = hub.refused(&["deployment", "start", "Contoso", "Box", "2.0", "--device", "box-1"]);
    assert!(refused.contains("model id"), "{refused}");
}

#[test]
fn devices_and_groups_are_enrolled_and_faults_are_set() {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("devices_and_groups_are_enrolled");
    let _ = std::fs::remove_dir_all(&data);
    let hub = Hub::start(&data);
    let key = hub.ok(&["enrolment", "create", "box-1", "--device", "sensor", "--tag", "ADUGroup=test"]);
    let shown: Value = serde_json::from_str(&hub.ok(&["enrolment", "show", "box-1", "--json"])).unwrap();
    assert_eq!(shown["attestation"]["symmetricKey"]["primaryKey"], key.trim());
    assert_eq!((&shown["deviceId"], &shown["tags"]["ADUGroup"]), (&"sensor".into(), &"test".into()));

    hub.ok(&["enrolment", "create", "fleet", "--group", "--key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="]);
    // HMAC-SHA256 of "box-7" under the bytes 0 to 31.
    assert_eq!(
        hub.ok(&["enrolment", "device-key", "fleet", "box-7"]).trim(),
        "nFdqMW179b4nHDXOZunRRYdGT6C2N3gN+u04FmQRXGQ="
    );
    // The hub's own CA, as a CA of devices and as a device's certificate.
    let ca = data.join("keys/ca.pem");
    let ca = ca.to_str().unwrap();
    assert_eq!(hub.ok(&["enrolment", "create", "works", "--group", "--certificate", ca]).trim(), "");
    assert_eq!(hub.ok(&["enrolment", "create", "box-2", "--certificate", ca]).trim(), "");
    let list = hub.ok(&["enrolment", "list"]);
    for (name, of, attestation) in [
        ("box-1", "device", "sas"),
        ("box-2", "device", "selfSigned"),
        ("fleet", "group", "symmetricKey"),
        ("works", "group", "x509"),
    ] {
        let line = list.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {list}"));
        assert!(line.contains(of) && line.contains(attestation), "{line}");
    }
    assert!(hub.refused(&["enrolment", "device-key", "works", "box-7"]).contains("certificates of their own"));
    assert!(
        hub.refused(&["enrolment", "create", "box-3", "--certificate", "Cargo.toml"]).contains("no certificate in PEM")
    );
    assert!(hub.refused(&["enrolment", "create", "box-3", "--key", "?"]).contains("not base64"));
    hub.ok(&["enrolment", "delete", "works", "--group"]);
    assert!(hub.refused(&["enrolment", "show", "works", "--group"]).contains("works"));
    assert!(hub.ok(&["enrolment", "registrations"]).starts_with("registration"));

    hub.ok(&["fault", "throttle", "--twin-reads", "2"]);
    hub.ok(&["fault", "throttle"]);
    hub.ok(&["fault", "refuse-dps", "429001", "1"]);
}

#[test]
fn a_hub_that_is_not_there_is_one_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_hil"))
        .args(["hub", "show", "--hub", "http://127.0.0.1:1"])
        .output()
        .expect("hil starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{text}");
    assert!(text.contains("no hub answers at http://127.0.0.1:1"), "{text}");
}
