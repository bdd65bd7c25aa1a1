//! Building the programs that go onto the board: bootloader, firmware in some version, signed image.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use object::read::elf::{ProgramHeader as _, SectionHeader as _};
use object::{Architecture, Object, ObjectSection, SectionFlags, SectionKind, elf};

use crate::error::Error;

/// The microcontroller's target triple.
pub const TARGET: &str = "thumbv7em-none-eabihf";
/// The cargo profile that keeps firmware small.
const PROFILE: &str = "firmware";
/// Environment variables that choose the bootloader's keys: no file's age shows that they changed.
const KEY_CHOICE: [&str; 2] = ["BOOT_PUBLIC_KEYS", "BOOT_PRODUCTION"];

/// A program as the linker made it.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// The ELF file.
    pub elf: Vec<u8>,
}

impl Program {
    /// Reads and checks an Arm ELF file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let elf = fs::read(path).map_err(|source| Error::read(path, source))?;
        let artifact = |why: String| Error::Artifact { path: path.to_owned(), why };
        let file = object::File::parse(&*elf)
            .map_err(|why| artifact(format!("not an ELF file ({why}); build it for {TARGET}")))?;
        if file.architecture() != Architecture::Arm {
            return Err(artifact(format!(
                "an ELF file for {:?}, not for Arm; build it for {TARGET}",
                file.architecture()
            )));
        }
        Ok(Self { path: path.to_owned(), elf })
    }

    /// The bytes that go into flash, as one piece: its first address and its contents, gaps filled with `0xFF`.
    pub fn flat(&self) -> Result<(u32, Vec<u8>), Error> {
        let artifact = |why: &str| Error::Artifact { path: self.path.clone(), why: why.to_owned() };
        let file = object::read::elf::ElfFile32::<object::Endianness>::parse(&*self.elf)
            .map_err(|_| artifact("not a 32-bit ELF file"))?;
        let endian = file.endian();
        let mut pieces = Vec::new();
        // By section: a segment may begin with the ELF headers, which belong into no flash.
        for section in file.sections().filter(|section| section.size() > 0) {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
            if sh_flags.0 & elf::SHF_ALLOC.0 == 0 || section.kind() == SectionKind::UninitializedData {
                continue;
            }
            let at = section.elf_section_header().sh_offset(endian);
            let load = file.elf_program_headers().iter().find_map(|segment| {
                let from = segment.p_offset(endian);
                let inside =
                    segment.p_type(endian) == elf::PT_LOAD && (from..from + segment.p_filesz(endian)).contains(&at);
                inside.then(|| segment.p_paddr(endian) + (at - from))
            });
            let data = section.data().map_err(|_| artifact("a section lies outside the file"))?;
            if let Some(load) = load {
                pieces.push((load, data));
            }
        }
        pieces.sort_by_key(|(addr, _)| *addr);
        let base = pieces.first().ok_or_else(|| artifact("nothing to load"))?.0;
        let mut image = Vec::new();
        for (addr, data) in pieces {
            image.resize((addr - base) as usize, 0xFF);
            image.extend_from_slice(data);
        }
        Ok((base, image))
    }
}

/// The workspace's programs and where they are kept.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    out: PathBuf,
}

impl Workspace {
    /// The workspace that this `hil` was built from; `out` is where programs are kept.
    pub fn new(out: PathBuf) -> Self {
        Self { root: root(), out }
    }

    /// Where programs are kept.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// The bootloader.
    pub fn bootloader(&self) -> Result<Program, Error> {
        self.build("bootloader-same54-xpro", "bootloader-same54-xpro", &[], None, PROFILE)
    }

    /// The bootloader with these public keys (PEM files), as for production: it refuses the test key.
    pub fn bootloader_with_keys(&self, keys: &[PathBuf]) -> Result<Program, Error> {
        let unusable = |path: &Path, why: String| Error::Artifact { path: path.to_owned(), why };
        let keys = keys.iter().map(|path| {
            // The build script runs in another folder.
            std::path::absolute(path).map_err(|why| unusable(path, format!("no path that can be used: {why}")))
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let list = std::env::join_paths(&keys)
            .map_err(|why| unusable(&keys[0], format!("{why}; move the key files to another folder")))?;
        let variables = [(KEY_CHOICE[0], list), (KEY_CHOICE[1], "1".into())];
        let variant = Variant { name: "own-keys", variables: &variables };
        self.build("bootloader-same54-xpro", "bootloader-same54-xpro", &[], Some(variant), PROFILE)
    }

    /// The application firmware, as version `version`.
    pub fn firmware(&self, version: &str) -> Result<Program, Error> {
        let variant = Variant { name: version, variables: &[("APP_VERSION", version.into())] };
        self.build("app", "same54_xpro", &["--features", "same54-xpro"], Some(variant), PROFILE)
    }

    /// The kernels that measure a simulated core, built for speed.
    pub fn bench_guest(&self) -> Result<Program, Error> {
        self.build("bench-guest", "bench-guest", &[], None, "release")
    }

    /// Builds `bin` of `package` unless a copy is there that is newer than each of its sources.
    ///
    /// cargo keeps one copy for each program; this one keeps a copy for each variant, so that two versions do not
    /// push each other out and a second run builds nothing.
    fn build(
        &self,
        package: &str,
        bin: &str,
        features: &[&str],
        variant: Option<Variant<'_>>,
        profile: &str,
    ) -> Result<Program, Error> {
        let name = match &variant {
            Some(variant) => format!("{package}-{}", variant.name),
            None => package.to_owned(),
        };
        let variables = variant.map_or(&[][..], |variant| variant.variables);
        let kept = self.out.join(format!("{name}.elf"));
        let sources = self.out.join(format!("{name}.d"));
        let chooses_keys =
            |name: &&str| std::env::var_os(name).is_some() || variables.iter().any(|(variable, _)| variable == name);
        let is_usual = !KEY_CHOICE.iter().any(chooses_keys);
        if is_usual && is_fresh(&kept, &sources, &self.root) {
            return Program::read(&kept);
        }
        // Whoever builds another variant meanwhile would put it where cargo has put this one.
        let _alone = lock(&target_dir(&self.root))?;
        if is_usual && is_fresh(&kept, &sources, &self.root) {
            return Program::read(&kept);
        }
        if !has_target() {
            return Err(Error::NoTarget { target: TARGET.to_owned(), dir: self.root.clone() });
        }
        eprintln!("building {name} for {TARGET}");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(&cargo);
        command.current_dir(&self.root).args([
            "build",
            "--quiet",
            "-p",
            package,
            "--bin",
            bin,
            "--target",
            TARGET,
            "--profile",
            profile,
        ]);
        command.args(features);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let status = command
            .status()
            .map_err(|source| Error::NoCargo { program: cargo.to_string_lossy().into_owned(), source })?;
        if !status.success() {
            return Err(Error::Build { what: name });
        }
        let built = target_dir(&self.root).join(TARGET).join(profile).join(bin);
        fs::create_dir_all(&self.out).map_err(|source| Error::write(&self.out, source))?;
        // The program last: it is fresh only if it is newer than what it is made of.
        replace(&built.with_extension("d"), &sources)?;
        replace(&built, &kept)?;
        Program::read(&kept)
    }
}

/// A program that is not built as usual.
struct Variant<'a> {
    /// What its copy is called after.
    name: &'a str,
    /// Environment variables of its build.
    variables: &'a [(&'a str, OsString)],
}

/// The workspace's folder, as it was when `hil` was built.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// cargo's output folder for `root`.
pub fn target_dir(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root.join(dir),
        None => root.join("target"),
    }
}

/// Waits until nobody else builds programs in `target`; they may until the file is dropped.
fn lock(target: &Path) -> Result<File, Error> {
    let dir = target.join("hil");
    fs::create_dir_all(&dir).map_err(|source| Error::write(&dir, source))?;
    let path = dir.join("programs.lock");
    let file = File::create(&path).map_err(|source| Error::write(&path, source))?;
    file.lock().map_err(|source| Error::write(&path, source))?;
    Ok(file)
}

/// Makes `to` a copy of `from`, at once: others read it without a lock, and find the old one or the new one.
fn replace(from: &Path, to: &Path) -> Result<(), Error> {
    let bytes = fs::read(from).map_err(|source| Error::read(from, source))?;
    let mut new = to.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    fs::write(&new, bytes).map_err(|source| Error::write(&new, source))?;
    fs::rename(&new, to).map_err(|source| Error::write(to, source))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Whether `kept` is newer than every file that its dep-info file names, and than what decides how it is built.
fn is_fresh(kept: &Path, dep_info: &Path, root: &Path) -> bool {
    let (Some(built), Ok(dep_info)) = (modified(kept), fs::read_to_string(dep_info)) else { return false };
    let Some((_, sources)) = dep_info.split_once(": ") else { return false };
    let lists = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", ".cargo/config.toml"].map(|name| root.join(name));
    // A space in a path is escaped with a backslash.
    let sources = sources.replace("\\ ", "\0");
    let sources = sources.split_whitespace().map(|path| PathBuf::from(path.replace('\0', " ")));
    let manifests = ["firmware", "bootloader"].into_iter().flat_map(|dir| {
        fs::read_dir(root.join(dir)).into_iter().flatten().flatten().map(|entry| entry.path().join("Cargo.toml"))
    });
    let manifests = manifests.filter(|path| path.exists());
    lists.into_iter().chain(sources).chain(manifests).all(|path| modified(&path).is_some_and(|time| time <= built))
}

/// Whether the standard library for [`TARGET`] is there.
fn has_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Ok(output) =
        Command::new(rustc).current_dir(root()).args(["--print", "target-libdir", "--target", TARGET]).output()
    else {
        return false;
    };
    Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds in which a program is replaced while others read it.
    const ROUNDS: usize = 200;

    #[test]
    fn program_that_is_replaced_is_read_whole() {
        let dir = target_dir(&root()).join("tmp").join("artifacts");
        fs::create_dir_all(&dir).unwrap();
        let (old, new, kept) = (dir.join("old"), dir.join("new"), dir.join("kept"));
        fs::write(&old, vec![1; 1 << 20]).unwrap();
        fs::write(&new, vec![2; 1 << 20]).unwrap();
        replace(&old, &kept).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for _ in 0..ROUNDS {
                    replace(&new, &kept).unwrap();
                    replace(&old, &kept).unwrap();
                }
            });
            while !writer.is_finished() {
                let bytes = fs::read(&kept).unwrap();
                assert_eq!(bytes.len(), 1 << 20);
                assert!(bytes.iter().all(|byte| *byte == bytes[0]));
            }
        });
    }

    #[test]
    fn only_one_builds_at_a_time() {
        let target = target_dir(&root()).join("tmp").join("artifacts");
        let alone = lock(&target).unwrap();
        let path = target.join("hil").join("programs.lock");
        let second = || File::open(&path).unwrap().try_lock();
        assert!(matches!(second(), Err(fs::TryLockError::WouldBlock)));
        drop(alone);
        second().unwrap();
    }
}
