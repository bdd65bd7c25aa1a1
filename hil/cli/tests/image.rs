//! `hil image`: keys and signed images, as a user types it.

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::{folder, texts};

const PAYLOAD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../firmware/update-image/tests/data/payload.bin");
const IMGTOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../firmware/update-image/tests/data/imgtool.bin");
const TEST_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/keys/image/test-only.pem");
const TEST_PUBLIC_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/keys/image/test-only.pub.pem");

fn image(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hil")).arg("image").args(args).output().expect("hil starts")
}

fn json(args: &[&str], code: i32) -> Value {
    let output = image(&[args, &["--json"]].concat());
    serde_json::from_str(&texts(&output, code).0).expect("one JSON document")
}

/// The one line on standard error of a run that ended with `code`.
fn line(args: &[&str], code: i32) -> String {
    let (out, err) = texts(&image(args), code);
    assert_eq!((out.as_str(), err.trim_end().lines().count()), ("", 1), "{args:?}: {out}{err}");
    err
}

/// A fresh folder.
fn empty(name: &str) -> PathBuf {
    let dir = folder(name);
    std::fs::remove_dir_all(&dir).unwrap();
    folder(name)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// An ELF for Arm whose only section lies at `addr`.
fn elf(addr: u32, contents: &[u8]) -> Vec<u8> {
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves = |elf: &mut Vec<u8>, values: &[u16]| elf.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    let words = |elf: &mut Vec<u8>, values: &[u32]| elf.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    let len = contents.len() as u32;
    let names = b"\0.text\0.shstrtab\0";
    // Header: executable, machine 40; program header at 52; then contents, names, section headers.
    halves(&mut elf, &[2, 40]);
    words(&mut elf, &[1, 0, 52, 84 + len + names.len() as u32, 0x0500_0000]);
    halves(&mut elf, &[52, 32, 1, 40, 3, 2]);
    words(&mut elf, &[1, 84, addr, addr, len, len, 5, 4]);
    elf.extend(contents);
    elf.extend(names);
    words(&mut elf, &[0; 10]);
    words(&mut elf, &[1, 1, 6, addr, 84, len, 0, 0, 4, 0]);
    words(&mut elf, &[7, 3, 0, 0, 84 + len, names.len() as u32, 0, 0, 1, 0]);
    elf
}

#[test]
fn new_key_signs_an_image_that_its_public_half_verifies() {
    let dir = empty("image-new-key");
    let [key, public, out] = ["key.pem", "key.pub.pem", "app.img"].map(|name| text(&dir.join(name)));
    let made = json(&["keygen", "--out", &key], 0);
    assert_eq!((made["schema"].as_str(), made["public_key"].as_str()), (Some("hil-image/1"), Some(public.as_str())));
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let sign = ["sign", "--key", &key, "--version", "1.2.3+4", "--security-counter", "7", PAYLOAD, "-o", &out];
    let signed = json(&sign, 0);
    let verified = json(&["verify", "--key", TEST_PUBLIC_KEY, "--key", &public, &out], 0);
    for document in [&signed, &verified] {
        assert_eq!(document["version"], "1.2.3+4");
        assert_eq!(document["board"], "same54-xpro");
        assert_eq!(document["security_counter"], 7);
        assert_eq!(document["key_hash"], made["key_hash"]);
        assert_eq!(document["hash"], signed["hash"]);
    }
    assert_eq!(verified["accepted"], true);
    let people = texts(&image(&["verify", "--key", &public, &out]), 0).0;
    for word in ["1.2.3+4", "same54-xpro", signed["hash"].as_str().unwrap(), made["key_hash"].as_str().unwrap()] {
        assert!(people.contains(word), "{word}: {people}");
    }
    let shown = json(&["show", &out], 0);
    assert_eq!((&shown["key_hash"], &shown["hash"]), (&made["key_hash"], &signed["hash"]));
}

#[test]
fn two_keys_differ_and_none_is_overwritten() {
    let dir = empty("image-keys");
    let [first, second] = ["a.pem", "b.pem"].map(|name| text(&dir.join(name)));
    assert_ne!(json(&["keygen", "--out", &first], 0)["key_hash"], json(&["keygen", "--out", &second], 0)["key_hash"]);
    let before = std::fs::read(&first).unwrap();
    let error = line(&["keygen", "--out", &first], 2);
    assert!(error.contains("a.pub.pem exists") && error.contains("--out"), "{error}");
    // The private key alone is not overwritten either, and no public half that belongs to nothing is left.
    std::fs::remove_file(dir.join("a.pub.pem")).unwrap();
    let error = line(&["keygen", "--out", &first], 2);
    assert!(error.contains("a.pem exists"), "{error}");
    assert!(!dir.join("a.pub.pem").exists());
    assert_eq!(std::fs::read(&first).unwrap(), before);
}

#[test]
fn payload_and_elf_of_the_same_program_make_the_image_that_imgtool_makes() {
    let dir = empty("image-same");
    let [program, from_elf, from_bin] = ["app.elf", "elf.img", "bin.img"].map(|name| dir.join(name));
    std::fs::write(&program, elf(0x1_0400, &std::fs::read(PAYLOAD).unwrap())).unwrap();
    for (input, out) in [(text(&program), &from_elf), (PAYLOAD.to_owned(), &from_bin)] {
        let common = ["sign", "--key", TEST_KEY, "--version", "1.2.3+4", "--security-counter", "7"];
        texts(&image(&[&common[..], &[&input, "-o", &text(out)]].concat()), 0);
        assert!(std::fs::read(out).unwrap() == std::fs::read(IMGTOOL).unwrap(), "{input}");
    }
}

#[test]
fn what_is_no_program_for_the_slot_is_not_signed() {
    let dir = empty("image-refused-input");
    let payload = std::fs::read(PAYLOAD).unwrap();
    let mut elsewhere = payload.clone();
    elsewhere[4..8].copy_from_slice(&0x0000_0401_u32.to_le_bytes());
    let large = [&payload[..], &vec![0; 0xE_8000]].concat();
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("low.elf", elf(0, &elsewhere), "not linked for the application slot: it begins at 0x0"),
        ("ram.elf", elf(0x2000_0000, &payload), "not in the chip's flash"),
        ("elsewhere.bin", elsewhere, "link it with its vector table at 0x10400"),
        ("large.bin", large, "the slot has 950272"),
        ("short.bin", vec![0; 4], "too short"),
        ("image.bin", std::fs::read(IMGTOOL).unwrap(), "it is an image already"),
        ("host.elf", std::fs::read("/bin/sh").unwrap(), "another machine"),
    ];
    for (name, contents, expected) in cases {
        let (input, out) = (text(&dir.join(name)), text(&dir.join("never.img")));
        std::fs::write(&input, contents).unwrap();
        let error = line(&["sign", "--key", TEST_KEY, "--version", "1.0.0", &input, "-o", &out], 2);
        assert!(error.contains(expected) && error.contains(name), "{name}: {error}");
        assert!(!Path::new(&out).exists(), "{name}");
    }
}

#[test]
fn wrong_arguments_are_told_in_one_line() {
    let dir = empty("image-arguments");
    let encrypted = text(&dir.join("encrypted.pem"));
    std::fs::write(&encrypted, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
        .unwrap();
    let rsa = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/keys/adu/root.key.pem");
    let out = text(&dir.join("out.img"));
    let sign = |key: &str, version: &str, board: &str, input: &str, out: &str| {
        line(&["sign", "--key", key, "--version", version, "--board", board, input, "-o", out], 2)
    };
    let board = "same54-xpro";
    let cases = [
        (sign("/nonexistent/key.pem", "1.0.0", board, PAYLOAD, &out), "cannot read /nonexistent/key.pem"),
        (sign(TEST_PUBLIC_KEY, "1.0.0", board, PAYLOAD, &out), "test-only.pub.pem: a public key; give its private"),
        (sign(&encrypted, "1.0.0", board, PAYLOAD, &out), "protected by a password"),
        (sign(rsa, "1.0.0", board, PAYLOAD, &out), "root.key.pem: not an Ed25519 private key"),
        (sign(PAYLOAD, "1.0.0", board, PAYLOAD, &out), "payload.bin: not a key in PEM form"),
        (sign(TEST_KEY, "1.0.0", board, "/nonexistent/app.elf", &out), "cannot read /nonexistent/app.elf"),
        (sign(TEST_KEY, "1.0.0", board, PAYLOAD, "/nonexistent/out.img"), "cannot write /nonexistent/out.img"),
        (sign(TEST_KEY, "1.0.0", &"x".repeat(33), PAYLOAD, &out), "1 to 32 bytes"),
        (line(&["verify", "--key", TEST_KEY, IMGTOOL], 2), "test-only.pem: a private key; give its public half"),
        (line(&["verify", "--key", TEST_PUBLIC_KEY, "/nonexistent"], 2), "cannot read /nonexistent"),
        (line(&["show", PAYLOAD], 2), "payload.bin: not an MCUboot image"),
        (line(&["keygen", "--out", "/nonexistent/key.pem"], 2), "cannot write /nonexistent/key.pub.pem"),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    for version in ["1", "1.2", "256.0.0", "1.2.65536", "v1.2.3", "1.2.3+", "1.2.3++4", ""] {
        let error = sign(TEST_KEY, version, board, PAYLOAD, &out);
        assert!(error.contains(&format!("\"{version}\" is no version")), "{error}");
    }
    assert!(!Path::new(&out).exists());
}

#[test]
fn refused_image_is_one_line_with_the_cause_and_exit_code_1() {
    let dir = empty("image-refused");
    let good = std::fs::read(IMGTOOL).unwrap();
    let write = |name: &str, contents: &[u8]| {
        let path = text(&dir.join(name));
        std::fs::write(&path, contents).unwrap();
        path
    };
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let other = text(&dir.join("other.pem"));
    let other_public = json(&["keygen", "--out", &other], 0)["public_key"].as_str().unwrap().to_owned();
    let verify = |file: &str, more: &[&str]| line(&[&["verify", "--key", TEST_PUBLIC_KEY, file], more].concat(), 1);
    let cases = [
        (verify(&write("payload.img", &flipped(0x500)), &[]), "wrong hash"),
        (verify(&write("signature.img", &flipped(good.len() - 1)), &[]), "wrong signature"),
        (verify(&write("magic.img", &flipped(0)), &[]), "bad header"),
        (verify(&write("cut.img", &good[..good.len() - 1]), &[]), "truncated"),
        (verify(IMGTOOL, &["--board", "toaster"]), "wrong board: it is for \"same54-xpro\", not for \"toaster\""),
        (verify(IMGTOOL, &["--security-counter", "8"]), "security counter too low: it has 7, and at least 8"),
        (line(&["verify", "--key", &other_public, IMGTOOL], 1), "unknown key: it is signed under the key with hash"),
    ];
    for (error, expected) in cases {
        assert!(error.starts_with("refused: ") && error.contains(expected), "{expected}: {error}");
    }
    let document = json(&["verify", "--key", &other_public, IMGTOOL], 1);
    assert_eq!((&document["accepted"], &document["cause"]), (&Value::from(false), &Value::from("unknown key")));
}

#[test]
fn show_needs_no_key_and_tells_a_damaged_image() {
    let dir = empty("image-show");
    let shown = json(&["show", IMGTOOL], 0);
    assert_eq!(shown["version"], "1.2.3+4");
    assert_eq!((&shown["board"], &shown["security_counter"]), (&Value::from("same54-xpro"), &Value::from(7)));
    assert_eq!((&shown["slot"], &shown["header"]), (&Value::from(0x1_0000), &Value::from(0x400)));
    assert_eq!((&shown["payload"], &shown["length"]), (&Value::from(1_500), &Value::from(2_695)));
    assert_eq!(shown["hash_matches"], true);
    let kinds: Vec<_> = shown["tlvs"].as_array().unwrap().iter().map(|tlv| tlv["type"].as_u64().unwrap()).collect();
    assert_eq!(kinds, [0x50, 0xA1, 0x10, 0x01, 0x24]);
    let people = texts(&image(&["show", IMGTOOL]), 0).0;
    assert!(people.contains("test key of this repository"), "{people}");
    assert!(people.contains("(matches)") && people.contains("0x10000"), "{people}");

    let mut damaged = std::fs::read(IMGTOOL).unwrap();
    damaged[0x500] ^= 1;
    let path = text(&dir.join("damaged.img"));
    std::fs::write(&path, damaged).unwrap();
    assert_eq!(json(&["show", &path], 0)["hash_matches"], false);
    let people = texts(&image(&["show", &path]), 0).0;
    assert!(people.contains("does NOT match"), "{people}");
}
