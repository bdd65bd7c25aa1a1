//! `hil provision`, as a user types it.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::{LiveBoard, folder, program, texts};

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/keys");
const MANUAL: &str = include_str!("../../../docs/production.md");
/// 32 bytes in base64.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const PROVISIONING: usize = 0xF_8000;

fn provision(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hil"));
    command.arg("provision").args(args).env_remove("HIL_BOARD").stdin(Stdio::null()).output().expect("hil starts")
}

/// A folder with the files that the manual's example names.
fn device(name: &str) -> PathBuf {
    let dir = folder(name);
    std::fs::copy(format!("{KEYS}/tls/root.pem"), dir.join("DigiCertGlobalRootG2.pem")).unwrap();
    std::fs::write(dir.join("same54-0001.key"), format!("{KEY}\n")).unwrap();
    std::fs::copy(format!("{KEYS}/adu/root.pub.der"), dir.join("root.der")).unwrap();
    std::fs::write(dir.join("device.toml"), example()).unwrap();
    dir
}

/// The example in docs/production.md.
fn example() -> &'static str {
    let (_, rest) = MANUAL.split_once("```toml\n").expect("an example");
    rest.split_once("```").expect("its end").0
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn example_of_the_manual_is_understood_and_shown_without_its_key() {
    let file = text(&device("provision-example").join("device.toml"));
    let (out, err) = texts(&provision(&[&file, "--yes"]), 0);
    for shown in [
        "registration id   same54-0001",
        "id scope          0ne00E54000",
        "provisioning      global.azure-devices-provisioning.net",
        "symmetric key     32 bytes",
        "DigiCertGlobalRootG2.pem",
        "BOOTPROT 64 KiB, BOD33 on at 2.700 V, action reset",
        "none on the board",
        "written and read back",
    ] {
        assert!(out.contains(shown), "{shown}: {out}{err}");
    }
    assert!(!out.contains(KEY) && !out.contains("00010203"), "{out}");
}

#[test]
fn nobody_to_ask_means_that_nothing_is_written() {
    let file = text(&device("provision-nobody").join("device.toml"));
    let (out, err) = texts(&provision(&[&file]), 2);
    assert!(out.contains("same54-0001") && !out.contains("written"), "{out}");
    assert!(err.contains("nothing was written") && err.contains("--yes") && err.lines().count() == 1, "{err}");
}

#[test]
fn mistakes_in_the_file_are_told_by_field_in_one_line() {
    let dir = device("provision-mistakes");
    let good = "registration_id = 'a'\nid_scope = '0ne1'\nsymmetric_key_file = 'same54-0001.key'\n\
                ca_certificates = ['DigiCertGlobalRootG2.pem']\n";
    let root_key = |kid: &str, file: &str| format!("{good}[[root_keys]]\nkid = '{kid}'\nfile = '{file}'\n");
    std::fs::write(dir.join("short.key"), "AAEC").unwrap();
    let long = "x".repeat(129);
    let cases = [
        (good.replace("registration_id = 'a'", ""), "registration_id is missing"),
        (good.replace("id_scope = '0ne1'", ""), "id_scope is missing"),
        (good.replace("id_scope = '0ne1'", "id_scope = '0ne 1'"), "id_scope: \"0ne 1\" is not possible"),
        (good.replace("'a'", "'a b'"), "registration_id: \"a b\" is not possible"),
        (good.replace("'a'", &format!("'{long}'")), "up to 128 letters"),
        (format!("{good}hub_host = 'h'\n"), "exclude each other"),
        (good.replace("registration_id = 'a'", "hub_host = 'h'"), "device_id is missing: hub_host needs it"),
        (
            good.replace("registration_id = 'a'", "hub_host = 'h'\ndevice_id = 'd'"),
            "id_scope has no meaning beside hub_host",
        ),
        (
            format!("{good}dps_host = 'https://x'\n"),
            "dps_host: \"https://x\" is not possible; write a name without https://",
        ),
        (good.replace("symmetric_key_file = 'same54-0001.key'", ""), "symmetric_key_file is missing"),
        (format!("{good}symmetric_key = '{KEY}'\n"), "exclude each other"),
        (good.replace("same54-0001.key", "absent.key"), "absent.key: cannot be read"),
        (good.replace("same54-0001.key", "short.key"), "short.key: 3 bytes; a key has 16 to 64"),
        (
            good.replace("symmetric_key_file = 'same54-0001.key'", "symmetric_key = 'pass word'"),
            "symmetric_key: not base64",
        ),
        (good.replace("ca_certificates = ['DigiCertGlobalRootG2.pem']", ""), "ca_certificates is missing"),
        (good.replace("DigiCertGlobalRootG2.pem", "same54-0001.key"), "same54-0001.key holds no X.509 certificate"),
        (root_key("K", "same54-0001.key"), "same54-0001.key holds no RSA public key"),
        (root_key("", "root.der"), "root_keys: \"\" is no key"),
        (format!("{good}mac = '01:00:5e:00:00:01'\n"), "mac: \"01:00:5e:00:00:01\" is no unicast address"),
        (format!("{good}mac = 'fc:c2:3d'\n"), "mac: \"fc:c2:3d\""),
        (format!("{good}registraton_id = 'a'\n"), "line 5: unknown field `registraton_id`"),
        ("registration_id = ".to_owned(), "line 1:"),
    ];
    let file = dir.join("case.toml");
    for (contents, expected) in cases {
        std::fs::write(&file, &contents).unwrap();
        let (out, err) = texts(&provision(&[&text(&file), "--yes"]), 2);
        assert!(out.is_empty() && err.contains(expected) && err.trim_end().lines().count() == 1, "{expected}: {err}");
        assert!(err.contains("case.toml") || err.contains("absent.key"), "{err}");
        assert!(!err.contains("pass word") && !err.contains(KEY), "{err}");
    }
    let keys = |keys: &str| texts(&provision(&[&text(&dir.join("device.toml")), "--yes", "--keys", keys]), 2).1;
    let published = format!("{KEYS}/image/test-only.pub.pem");
    assert!(keys(&published).contains("test-only.pub.pem: the test key of this repository"));
    assert!(keys(&format!("{KEYS}/image/test-only.pem")).contains("a private key; give its public half"));
    assert!(keys(&[published.as_str(); 5].join(",")).contains("--keys names 5 files"));
    assert!(keys("/nonexistent.pub.pem").contains("cannot read /nonexistent.pub.pem"));
}

/// Another process holds the board, so this is the way to a real one but for the wire.
#[test]
fn board_at_a_probe_is_provisioned_and_locked() {
    let dir = device("provision-probe");
    let (file, dump) = (text(&dir.join("device.toml")), dir.join("nvm.bin"));
    let demo = text(&program("demo"));
    let args = ["--elf", &demo, "--lan", "none", "--probe", "0", "--dump", &format!("nvm:{}", dump.display())];
    let board = LiveBoard::start(&args);
    let selector = format!("20b7:9db1:tcp:{}", board.announced("probe: "));
    board.says("demo: ready");
    let (out, err) = texts(&provision(&[&file, "--board", &selector, "--yes"]), 0);
    assert!(out.contains("as it is on the board") && out.contains("BOD33 begins"), "{out}{err}");
    board.says("demo: ready");
    let (out, err) = texts(&provision(&[&file, "--board", &selector, "--yes", "--lock"]), 0);
    assert!(out.contains("as they should be") && out.contains("locked: the debugger reads no memory"), "{out}{err}");
    let (_, err) = texts(&provision(&[&file, "--board", &selector, "--yes"]), 2);
    assert!(err.contains("is locked by its security bit") && err.trim_end().lines().count() == 1, "{err}");
    let (code, err) = board.interrupt();
    assert_eq!(code, Some(0), "{err}");
    let nvm = std::fs::read(dump).unwrap();
    let record = provisioning::Record::parse(&nvm[PROVISIONING..]).unwrap();
    assert_eq!((record.registration_id(), record.id_scope()), (Some("same54-0001"), Some("0ne00E54000")));
    assert!(record.symmetric_key().unwrap().iter().copied().eq(0..32));
    assert_eq!((record.ca_certificates().count(), record.root_keys().count()), (1, 0));
}
