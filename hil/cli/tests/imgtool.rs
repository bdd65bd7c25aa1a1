//! `hil image` and MCUboot's `imgtool` read each other's keys and images.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{folder, python, texts};

const PAYLOAD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../firmware/update-image/tests/data/payload.bin");

/// Both programs, and a folder for their files.
struct Bench {
    python: PathBuf,
    dir: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Option<Self> {
        let python = python("imgtool")?;
        let dir = folder(name);
        std::fs::remove_dir_all(&dir).unwrap();
        Some(Self { python, dir: folder(name) })
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// What imgtool prints; it must succeed or fail as `good` says.
    fn imgtool(&self, args: &[&str], good: bool) -> String {
        let output = Command::new(&self.python).args(["-m", "imgtool.main"]).args(args).output().expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(output.status.success(), good, "{args:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    fn hil(&self, args: &[&str], code: i32) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_hil")).arg("image").args(args).arg("--json").output();
        serde_json::from_str(&texts(&output.expect("hil starts"), code).0).expect("one JSON document")
    }

    /// Signs the payload with imgtool's options for the application slot and `more`; returns the image's path.
    fn signed_by_imgtool(&self, name: &str, key: &str, more: &[&str]) -> String {
        let out = self.path(name);
        let slot = ["--header-size", "0x400", "--pad-header", "--slot-size", "0xE8000", "--align", "1"];
        self.imgtool(
            &[&["sign", "--key", key, "--version", "3.1.4+15"], &slot[..], more, &[PAYLOAD, &out]].concat(),
            true,
        );
        out
    }
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// A TLV of `imgtool dumpinfo -f json`, as hexadecimal digits.
fn tlv<'a>(info: &'a Value, area: &str, kind: u64) -> &'a str {
    let tlvs = info["tlv_area"][area].as_array().unwrap();
    tlvs.iter().find(|tlv| tlv["type"] == kind).unwrap_or_else(|| panic!("{kind:#x} in {info}"))["data"]
        .as_str()
        .unwrap()
}

#[test]
fn imgtool_reads_our_keys_and_we_read_imgtools() {
    let Some(bench) = Bench::new("imgtool-keys") else { return };
    let [ours, theirs, image] = ["ours.pem", "theirs.pem", "app.img"].map(|name| bench.path(name));
    let made = bench.hil(&["keygen", "--out", &ours], 0);
    let public = bench.imgtool(&["getpub", "--key", &ours, "-e", "pem"], true);
    assert_eq!(public, std::fs::read_to_string(bench.path("ours.pub.pem")).unwrap());
    let hash = bench.path("hash.bin");
    bench.imgtool(&["getpubhash", "--key", &ours, "-e", "raw", "-o", &hash], true);
    let hash: String = read(&hash).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(made["key_hash"], *hash);

    bench.imgtool(&["keygen", "-t", "ed25519", "--key", &theirs], true);
    let their_public = bench.path("theirs.pub.pem");
    std::fs::write(&their_public, bench.imgtool(&["getpub", "--key", &theirs, "-e", "pem"], true)).unwrap();
    bench.hil(&["sign", "--key", &theirs, "--version", "1.0.0", PAYLOAD, "-o", &image], 0);
    bench.hil(&["verify", "--key", &their_public, &image], 0);
    bench.imgtool(&["verify", "--key", &theirs, &image], true);
}

#[test]
fn our_image_is_verified_and_described_by_imgtool() {
    let Some(bench) = Bench::new("imgtool-ours") else { return };
    let [key, public, other, image, json] =
        ["key.pem", "key.pub.pem", "other.pem", "app.img", "info.json"].map(|name| bench.path(name));
    bench.hil(&["keygen", "--out", &key], 0);
    bench.hil(&["keygen", "--out", &other], 0);
    let sign = ["sign", "--key", &key, "--version", "3.1.4+15", "--security-counter", "258", "--board", "other-board"];
    let signed = bench.hil(&[&sign[..], &[PAYLOAD, "-o", &image]].concat(), 0);
    for key in [&key, &public] {
        assert!(bench.imgtool(&["verify", "--key", key, &image], true).contains("correctly validated"));
    }
    bench.imgtool(&["verify", "--key", &other, &image], false);

    bench.imgtool(&["dumpinfo", "-s", "-f", "json", "-o", &json, &image], true);
    let info: Value = serde_json::from_slice(&read(&json)).unwrap();
    assert_eq!(info["header"]["version"], "3.1.4+15");
    assert_eq!((&info["header"]["hdr_size"], &info["header"]["load_addr"]), (&0x400.into(), &0x1_0000.into()));
    assert_eq!(tlv(&info, "tlvs_prot", 0x50), "02010000");
    assert_eq!(tlv(&info, "tlvs_prot", 0xA1), "6f746865722d626f617264", "other-board");
    assert_eq!(tlv(&info, "tlvs", 0x10), signed["hash"]);
    assert_eq!(tlv(&info, "tlvs", 0x01), signed["key_hash"]);

    let mut damaged = read(&image);
    damaged[0x500] ^= 1;
    std::fs::write(&image, damaged).unwrap();
    bench.imgtool(&["verify", "--key", &key, &image], false);
}

#[test]
fn imgtools_image_is_accepted_and_equals_ours() {
    let Some(bench) = Bench::new("imgtool-theirs") else { return };
    let [key, public, ours] = ["key.pem", "key.pub.pem", "ours.img"].map(|name| bench.path(name));
    bench.imgtool(&["keygen", "-t", "ed25519", "--key", &key], true);
    std::fs::write(&public, bench.imgtool(&["getpub", "--key", &key, "-e", "pem"], true)).unwrap();
    let tlvs = ["--security-counter", "9", "--custom-tlv", "0xA1", "same54-xpro"];
    let theirs = bench.signed_by_imgtool("theirs.img", &key, &[&tlvs[..], &["--rom-fixed", "0x10000"]].concat());
    let verified = bench.hil(&["verify", "--key", &public, "--security-counter", "9", &theirs], 0);
    assert_eq!((&verified["version"], &verified["security_counter"]), (&"3.1.4+15".into(), &9.into()));
    bench.hil(&["sign", "--key", &key, "--version", "3.1.4+15", "--security-counter", "9", PAYLOAD, "-o", &ours], 0);
    assert!(read(&ours) == read(&theirs), "byte for byte");

    // Without what this project's images have besides.
    let plain = bench.signed_by_imgtool("plain.img", &key, &tlvs[2..]);
    assert_eq!(bench.hil(&["verify", "--key", &public, &plain], 0)["security_counter"], 0);
    let anywhere = bench.signed_by_imgtool("no-board.img", &key, &[]);
    assert_eq!(bench.hil(&["verify", "--key", &public, &anywhere], 1)["cause"], "wrong board");
    let low = bench.hil(&["verify", "--key", &public, "--security-counter", "1", &plain], 1);
    assert_eq!(low["cause"], "security counter too low");
    // Padded to the whole slot, as for a programmer.
    let padded = bench.signed_by_imgtool("padded.img", &key, &[&tlvs[..], &["--pad"]].concat());
    assert_eq!(read(&padded).len(), 0xE_8000);
    bench.hil(&["verify", "--key", &public, &padded], 0);
}
