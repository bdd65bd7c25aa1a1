//! Memory map, linker scripts, and the public keys that images may be signed under.
//!
//! `BOOT_PUBLIC_KEYS`: up to four PEM files, separated as in `PATH`; default is the test key of this repository.
//! `BOOT_PRODUCTION=1`: refuse that key.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use update_image::PublicKey;

const MEMORY: &str = "\
MEMORY
{
  FLASH : ORIGIN = 0x00000000, LENGTH = 64K
  RAM   : ORIGIN = 0x20000000, LENGTH = 256K
}
";
const TEST_KEY: &str = "../../fixtures/keys/image/test-only.pub.pem";
const KEYS_MAX: usize = 4;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=BOOT_PUBLIC_KEYS");
    println!("cargo:rerun-if-env-changed=BOOT_PRODUCTION");
    println!("cargo:rerun-if-env-changed=DEFMT_LOG");
    if std::env::var_os("DEFMT_LOG").is_none() {
        // defmt's own default leaves out everything but errors.
        println!("cargo:rustc-env=DEFMT_LOG=info");
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(out.join("keys.rs"), keys_source(&keys())).expect("OUT_DIR is writable");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    std::fs::write(out.join("memory.x"), MEMORY).expect("OUT_DIR is writable");
    println!("cargo:rustc-link-arg-bins=-L{}", out.display());
    for script in ["link.x", "defmt.x"] {
        println!("cargo:rustc-link-arg-bins=-T{script}");
    }
}

fn keys() -> Vec<PublicKey> {
    let test_key = read_key(Path::new(TEST_KEY));
    let keys: Vec<_> = match std::env::var_os("BOOT_PUBLIC_KEYS") {
        Some(paths) => std::env::split_paths(&paths).map(|path| read_key(&path)).collect(),
        None => vec![test_key],
    };
    if keys.is_empty() || keys.len() > KEYS_MAX {
        fail(&format!("BOOT_PUBLIC_KEYS names {} files; 1 to {KEYS_MAX} are possible", keys.len()));
    }
    if is_production() && keys.contains(&test_key) {
        fail("BOOT_PRODUCTION=1 refuses the test key: name your own public keys in BOOT_PUBLIC_KEYS");
    }
    keys
}

fn is_production() -> bool {
    match std::env::var_os("BOOT_PRODUCTION") {
        None => false,
        Some(value) if value == "1" => true,
        Some(value) if value == "0" || value.is_empty() => false,
        // Who writes `true` must not get a bootloader that trusts everybody.
        Some(value) => fail(&format!("BOOT_PRODUCTION is {value:?}; set it to 1 or 0")),
    }
}

/// Ends the build with one line instead of a panic.
fn fail(why: &str) -> ! {
    println!("cargo::error={why}");
    std::process::exit(1);
}

fn read_key(path: &Path) -> PublicKey {
    println!("cargo:rerun-if-changed={}", path.display());
    let text = std::fs::read_to_string(path)
        .unwrap_or_else(|error| fail(&format!("cannot read the public key {}: {error}", path.display())));
    PublicKey::from_pem(&text).unwrap_or_else(|error| fail(&format!("{}: {error}", path.display())))
}

fn keys_source(keys: &[PublicKey]) -> String {
    let mut source = format!("[update_image::PublicKey; {}] = [", keys.len());
    for key in keys {
        write!(source, "update_image::PublicKey({:?}),", key.0).expect("writing to a string");
    }
    format!("/// Keys that images may be signed under.\npub static KEYS: {source}];\n")
}
