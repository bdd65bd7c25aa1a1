//! Links the on-target tests: at address 0, with all of the chip's flash and RAM. The library itself says nothing about
//! memory; each binary that uses it brings its own `memory.x`.

use std::path::PathBuf;

/// RAM is 256 KiB as long as the RAMECC fuse is off, which is the factory's default.
const MEMORY: &str = "\
MEMORY
{
  FLASH : ORIGIN = 0x00000000, LENGTH = 1M
  RAM   : ORIGIN = 0x20000000, LENGTH = 256K
}
";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // embedded-test's macro asks for it.
    println!("cargo:rustc-check-cfg=cfg(rust_analyzer)");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(out.join("memory.x"), MEMORY).expect("OUT_DIR is writable");
    // Not `rustc-link-search`, which would reach the binaries that depend on this crate.
    println!("cargo:rustc-link-arg-tests=-L{}", out.display());
    for script in ["link.x", "defmt.x", "embedded-test.x"] {
        println!("cargo:rustc-link-arg-tests=-T{script}");
    }
}
