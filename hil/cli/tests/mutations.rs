//! The campaigns on the virtual board notice when what stands against faults and power cuts is taken away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hil::artifacts::{self, TARGET};
use serde_json::Value;

/// A protection, and how to take it away: file, text, replacement.
struct Mutation {
    protection: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const INSTALL: &str = "bootloader/core/src/install.rs";
const RELEASE: &str = "bootloader/core/src/release.rs";
const MAIN: &str = "bootloader/same54-xpro/src/main.rs";

const AGAINST_FAULTS: [Mutation; 3] = [
    Mutation {
        protection: "the slot is verified a second time",
        file: RELEASE,
        from: "verify(&mut source, config.slot.len, &policy, digest, &mut scratch.0).map_err(",
        to: "Ok::<_, VerifyError<()>>(*image).map_err(",
    },
    Mutation {
        protection: "nothing starts on the word of a decision alone",
        file: RELEASE,
        from: "    let mut record = BootRecord::open(internal);",
        to: "    if black_box(true) {\n        return Ok(config.slot.start + IMAGE_HEADER_SIZE);\n    }\n    \
             let mut record = BootRecord::open(internal);",
    },
    Mutation {
        protection: "the slot may not be executed before an image is released",
        file: MAIN,
        from: "guard::only_below(board.mpu, BOOTLOADER.end());",
        to: "let _ = (board.mpu, BOOTLOADER);",
    },
];

const AGAINST_POWER_CUTS: [Mutation; 2] = [
    Mutation {
        protection: "files are settled before they are relied on",
        file: "bootloader/store/src/store.rs",
        from: "        if self.settled {\n            return Ok(());\n        }\n        // Its highest",
        to: "        if self.faults == 0 {\n            return Ok(());\n        }\n        // Its highest",
    },
    Mutation {
        protection: "the running image is kept before the slot is erased",
        file: INSTALL,
        from: "self.store().and_then(Store::settle).and_then(|()| self.keep_fallback(slot));",
        to: "self.store().and_then(Store::settle);",
    },
];

#[test]
fn a_bootloader_with_one_protection_less_starts_a_forged_image() {
    each_is_noticed("glitch", &AGAINST_FAULTS, forged_starts);
}

#[test]
fn a_bootloader_with_one_protection_less_does_not_survive_power_cuts() {
    each_is_noticed("powercut", &AGAINST_POWER_CUTS, broken_rules);
}

/// Takes one protection after the other away from a copy of the sources, in a folder called `name`; `seen` counts what must
/// not be, with the bootloader that was built from them.
fn each_is_noticed(name: &str, mutations: &[Mutation], seen: fn(&Path) -> u64) {
    let copy = Copy::new(&artifacts::root(), &Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
    assert_eq!(seen(&copy.build()), 0, "unchanged");
    let mut unnoticed = Vec::new();
    for mutation in mutations {
        let path = copy.source.join(mutation.file);
        let original = fs::read_to_string(&path).expect("a copied source");
        assert_eq!(original.matches(mutation.from).count(), 1, "{}: {}", mutation.protection, mutation.file);
        fs::write(&path, original.replacen(mutation.from, mutation.to, 1)).expect("the copy is writable");
        let bootloader = copy.build();
        fs::write(&path, original).expect("the copy is writable");
        if seen(&bootloader) == 0 {
            unnoticed.push(mutation.protection);
        }
    }
    assert_eq!(unnoticed, Vec::<&str>::new(), "protections whose absence nobody notices");
}

/// Attacks a forged image in the slot; how often it was started.
fn forged_starts(bootloader: &Path) -> u64 {
    let rows = rows(&["glitch", "slot"], bootloader);
    rows.iter().filter_map(|row| row["outcomes"]["forged image"].as_u64()).sum()
}

/// Cuts power; how many points broke a rule.
fn broken_rules(bootloader: &Path) -> u64 {
    let rows = rows(&["powercut", "board"], bootloader);
    rows.iter().map(|row| row["failures"].as_array().map_or(0, Vec::len) as u64).sum()
}

/// What a campaign finds in a quick look at this bootloader.
fn rows(campaign: &[&str], bootloader: &Path) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_hil"))
        .args(campaign)
        .args(["--quick", "--json", "--bootloader"])
        .arg(bootloader)
        .output()
        .expect("hil starts");
    let told = || String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {}", told()));
    let rows = report["rows"].as_array().expect("rows").clone();
    assert!(rows.iter().any(|row| row["points"].as_u64() > Some(0)), "{report}");
    rows
}

/// The crates that the bootloader is made of, apart from those that are being worked on.
struct Copy {
    source: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn new(root: &Path, work: &Path) -> Self {
        const CRATES: [&str; 8] = [
            "bootloader/core",
            "bootloader/recovery",
            "bootloader/same54-xpro",
            "bootloader/store",
            "firmware/same54",
            "firmware/update-image",
            "firmware/update-store",
            "hil/sim-base",
        ];
        let source = work.join("source");
        let _ = fs::remove_dir_all(&source);
        let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the workspace's manifest");
        let (_, rest) = manifest.split_once("[workspace.package]").expect("the workspace's manifest");
        let members = CRATES.map(|name| format!("{name:?}")).join(", ");
        fs::create_dir_all(&source).expect("cargo's folder for tests is writable");
        let manifest = format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n[workspace.package]{rest}");
        fs::write(source.join("Cargo.toml"), manifest).expect("the copy is writable");
        for file in ["Cargo.lock", "rust-toolchain.toml"] {
            fs::copy(root.join(file), source.join(file)).expect("a file of the workspace");
        }
        for folder in CRATES.into_iter().chain([".cargo", "fixtures/keys/image"]) {
            copy_dir(&root.join(folder), &source.join(folder));
        }
        Self { source, target: work.join("target") }
    }

    /// Builds the bootloader as it is shipped, with the test key.
    fn build(&self) -> PathBuf {
        let name = "bootloader-same54-xpro";
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(&self.source)
            .args(["build", "--quiet", "--offline", "-p", name, "--target", TARGET, "--profile", "firmware"])
            .env("CARGO_TARGET_DIR", &self.target)
            .env_remove("BOOT_PUBLIC_KEYS")
            .env_remove("BOOT_PRODUCTION")
            .output()
            .expect("cargo starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.target.join(TARGET).join("firmware").join(name)
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the copy is writable");
    for entry in fs::read_dir(from).expect("a folder of the workspace").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file of the workspace");
        }
    }
}
