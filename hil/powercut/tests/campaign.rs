//! The campaign holds, and notices when a protection is taken away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use powercut::{Effort, Walk, run};

#[test]
fn no_cut_breaks_a_rule() {
    let effort = Effort { pairs: 300, triples: 100, seed: 7, threads: 2, clock: || Duration::ZERO };
    for tally in run(&Walk::all(), &effort) {
        assert!(tally.total() > tally.operations, "{} tried too little", tally.walk);
        assert!(tally.failures.is_empty(), "{}: {:#?}", tally.walk, tally.failures.first());
    }
}

/// A protection, and how to take it away: file, text, replacement.
struct Mutation {
    protection: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const VERIFY: &str = "firmware/update-image/src/verify.rs";
const LOADER: &str = "bootloader/core/src/loader.rs";
const INSTALL: &str = "bootloader/core/src/install.rs";

const MUTATIONS: [Mutation; 9] = [
    Mutation {
        protection: "the signature is verified",
        file: VERIFY,
        from: "sealed_if(key.verify(&hash, &signature), SEAL_SIGNATURE)",
        to: "sealed_if(key.hash() == key_hash, SEAL_SIGNATURE)",
    },
    Mutation {
        protection: "the security counter may not fall",
        file: VERIFY,
        from: "if counter < policy.min_counter {",
        to: "if false {",
    },
    Mutation {
        protection: "only confirmation raises the security counter",
        file: INSTALL,
        from: "            phase: Phase::Installing,\n",
        to: "            phase: Phase::Installing,\n            counter: image.counter,\n",
    },
    Mutation {
        protection: "the running image is kept before the slot is erased",
        file: INSTALL,
        from: "if !self.equals_slot(PREVIOUS_TMP, image.total_len)? {",
        to: "if self.store()?.remove(PREVIOUS_TMP).is_ok() { return Ok(()); }\n        if false {",
    },
    Mutation {
        protection: "the boot record announces that the slot is being overwritten",
        file: INSTALL,
        from: "            phase: Phase::Installing,\n",
        to: "            phase: self.state().phase,\n",
    },
    Mutation {
        protection: "files are settled before they are relied on",
        file: "bootloader/store/src/store.rs",
        from: "        if self.settled {\n            return Ok(());\n        }\n        // Its highest",
        to: "        if self.faults == 0 {\n            return Ok(());\n        }\n        // Its highest",
    },
    Mutation {
        protection: "a copy that was cut short is made anew",
        file: LOADER,
        from: "let interrupted = state.phase == Phase::Installing",
        to: "let interrupted = false && state.phase == Phase::Installing",
    },
    Mutation {
        protection: "a trial ends",
        file: LOADER,
        from: "if is_subject && starts < TRIAL_STARTS",
        to: "if is_subject && starts < 200",
    },
    Mutation {
        protection: "a refused image is moved aside",
        file: LOADER,
        from: "match store.rename(IMAGE_BIN, REFUSED_BIN) {",
        to: "match store.exists(REFUSED_BIN).map(|_| ()) {",
    },
];

#[test]
fn a_bootloader_with_one_protection_less_is_found_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("hil/powercut lies two folders down");
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutations");
    let copy = Copy::new(root, &work);
    let sound = copy.campaign();
    assert!(sound.status.success(), "unchanged: {}", told(&sound));
    let mut unnoticed = Vec::new();
    for mutation in &MUTATIONS {
        let path = copy.source.join(mutation.file);
        let original = fs::read_to_string(&path).expect("a copied source");
        assert_eq!(original.matches(mutation.from).count(), 1, "{}: {}", mutation.protection, mutation.file);
        fs::write(&path, original.replacen(mutation.from, mutation.to, 1)).expect("the copy is writable");
        let output = copy.campaign();
        fs::write(&path, original).expect("the copy is writable");
        // A campaign that could not be built prints no walk.
        let built = String::from_utf8_lossy(&output.stdout).contains("update: ");
        assert!(built, "{}: {}", mutation.protection, told(&output));
        if output.status.success() {
            unnoticed.push(mutation.protection);
        }
    }
    assert_eq!(unnoticed, Vec::<&str>::new(), "protections whose absence nobody notices");
}

fn told(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// A workspace of the crates that decide, apart from the one that is being worked on.
struct Copy {
    source: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn new(root: &Path, work: &Path) -> Self {
        const CRATES: [&str; 6] = [
            "firmware/update-image",
            "firmware/update-store",
            "bootloader/core",
            "bootloader/store",
            "hil/sim-base",
            "hil/powercut",
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
        for name in CRATES {
            copy_dir(&root.join(name), &source.join(name));
        }
        Self { source, target: work.join("target") }
    }

    fn campaign(&self) -> Output {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Command::new(cargo)
            .current_dir(&self.source)
            .args(["run", "--quiet", "--offline", "--release", "-p", "powercut"])
            .env("CARGO_TARGET_DIR", &self.target)
            .output()
            .expect("cargo runs")
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
