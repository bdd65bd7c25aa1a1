//! What a bootloader for devices in the field trusts is chosen when it is built: only its build script is looked at here.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hil::image::{generate, public_key};
use support::folder;

const TEST_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/keys/image/test-only.pub.pem");

/// Checks the bootloader with these public keys; `production` is the value of BOOT_PRODUCTION.
fn build(keys: Option<&[&Path]>, production: &str) -> Output {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(hil::artifacts::root()).env("BOOT_PRODUCTION", production).env_remove("BOOT_PUBLIC_KEYS");
    if let Some(keys) = keys {
        command.env("BOOT_PUBLIC_KEYS", std::env::join_paths(keys).unwrap());
    }
    let program = ["check", "-p", "bootloader-same54-xpro", "--target", hil::artifacts::TARGET];
    command.args(program).args(["--message-format", "json-render-diagnostics"]).output().expect("cargo starts")
}

/// The one line that says why the build script failed.
fn refusal(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && !text.contains("panicked"), "{text}");
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("error: bootloader-same54-xpro")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    lines[0].to_owned()
}

/// The source that the build script made.
fn key_source(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let out_dir = String::from_utf8_lossy(&output.stdout).lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_script = message["reason"] == "build-script-executed";
        (is_script && message["package_id"].as_str()?.contains("bootloader/same54-xpro"))
            .then(|| PathBuf::from(message["out_dir"].as_str().unwrap()))
    });
    std::fs::read_to_string(out_dir.expect("the build script ran").join("keys.rs")).unwrap()
}

/// One after the other: cargo would let them wait for each other anyway.
#[test]
fn production_refuses_the_published_key_and_takes_ones_own() {
    let dir = folder("production");
    std::fs::remove_dir_all(&dir).unwrap();
    let dir = folder("production");
    let own = generate(&dir.join("own.pem")).unwrap();
    let (test_key, second) = (Path::new(TEST_KEY), generate(&dir.join("second.pem")).unwrap());

    let line = refusal(&build(None, "1"));
    assert!(line.contains("BOOT_PRODUCTION=1 refuses the test key") && line.contains("BOOT_PUBLIC_KEYS"), "{line}");
    let line = refusal(&build(Some(&[&own.public, test_key]), "1"));
    assert!(line.contains("BOOT_PRODUCTION=1 refuses the test key"), "{line}");
    let line = refusal(&build(Some(&[&own.public]), "true"));
    assert!(line.contains("BOOT_PRODUCTION is \"true\"") && line.contains("1 or 0"), "{line}");
    let line = refusal(&build(Some(&[&dir.join("absent.pem")]), "1"));
    assert!(line.contains("absent.pem"), "{line}");
    let line = refusal(&build(Some(&[&own.private]), "1"));
    assert!(line.contains("own.pem: no \"-----BEGIN PUBLIC KEY-----\""), "{line}");
    let line = refusal(&build(Some(&[own.public.as_path(); 5]), "1"));
    assert!(line.contains("names 5 files; 1 to 4"), "{line}");

    let source = key_source(&build(Some(&[&own.public, &second.public]), "1"));
    for key in [&own.key, &second.key] {
        assert!(source.contains(&format!("{:?}", key.0)), "{source}");
    }
    let published = public_key(test_key).unwrap();
    assert!(!source.contains(&format!("{:?}", published.0)), "{source}");
    assert!(key_source(&build(None, "0")).contains(&format!("{:?}", published.0)));
}
