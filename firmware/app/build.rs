//! Version and place of the application: `APP_VERSION` (default 1.0.0) goes into the program, and the linker puts the
//! vector table behind the image header of the slot.

use std::path::PathBuf;

/// The slot from 0x1_0000 on, behind its 1 KiB image header; ends where the provisioning record begins. RAM is 256 KiB
/// as long as the RAMECC fuse is off, which is the factory's default.
const MEMORY: &str = "\
MEMORY
{
  FLASH : ORIGIN = 0x00010400, LENGTH = 0xF8000 - 0x10400
  RAM   : ORIGIN = 0x20000000, LENGTH = 256K
}
";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=APP_VERSION");
    let version = std::env::var("APP_VERSION").unwrap_or_else(|_| String::from("1.0.0"));
    assert!(is_version(&version), "APP_VERSION is `{version}`; it must be three numbers, for example 2.0.0");
    println!("cargo:rustc-env=APP_VERSION={version}");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(out.join("memory.x"), MEMORY).expect("OUT_DIR is writable");
    println!("cargo:rustc-link-arg-bins=-L{}", out.display());
    for script in ["link.x", "defmt.x"] {
        println!("cargo:rustc-link-arg-bins=-T{script}");
    }
}

/// What the image header can hold: major and minor up to 255, revision up to 65535.
fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let [major, minor, revision] = parts[..] else { return false };
    major.parse::<u8>().is_ok() && minor.parse::<u8>().is_ok() && revision.parse::<u16>().is_ok()
}
