//! The C implementation of littlefs must read what this crate has written, and this crate what C has written, also in
//! the states that a power cut leaves. Needs Python with the package `littlefs-python`; `LITTLEFS_PYTHON` names the
//! interpreter, by default `python3`.

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use boot_store::{BLOCK_SIZE, Store, StoreError};
use common::{Files, random, read, write};
use embedded_storage::nor_flash::NorFlash;
use sim_base::Rng;
use update_image::Region;
use update_image::layout::STORE;
use update_image::sim::{SimNor, Supply};

const VOLUME: Region = Region { start: 0, len: 96 * BLOCK_SIZE };
const NEWEST: &str = "20001";
/// Never moves metadata to spread wear, as the application's library is told.
const NO_CYCLES: &str = "-1";

/// A Python process with littlefs in it.
struct C {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    image: PathBuf,
}

impl C {
    /// None if there is no such package, which CI does not let pass.
    fn start(test: &str) -> Option<Self> {
        let python = std::env::var("LITTLEFS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let has = Command::new(&python).args(["-c", "import littlefs"]).output();
        if !has.is_ok_and(|output| output.status.success()) {
            let why = format!("{python} has no littlefs: pip install littlefs-python, or set LITTLEFS_PYTHON");
            assert!(std::env::var_os("CI").is_none(), "{why}");
            eprintln!("{test}: skipped, {why}");
            return None;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/c_littlefs.py");
        let mut child = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let image = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.bin"));
        Some(Self { child, to, from, image })
    }

    /// The answer, or the number of the error.
    fn try_say(&mut self, line: &str) -> Result<String, i32> {
        writeln!(self.to, "{line}").unwrap();
        let mut answer = String::new();
        self.from.read_line(&mut answer).unwrap();
        let (word, rest) = answer.trim_end().split_once(' ').unwrap_or((answer.trim_end(), ""));
        match word {
            "ok" => Ok(rest.to_owned()),
            "error" => Err(rest.parse().unwrap()),
            _ => panic!("{line:.100}: {answer}"),
        }
    }

    fn say(&mut self, line: &str) -> String {
        self.try_say(line).unwrap_or_else(|error| panic!("{line:.100}: error {error}"))
    }

    fn write(&mut self, name: &str, bytes: &[u8]) {
        self.say(&format!("write {name} {}", hex(bytes)));
    }

    /// Gives C the volume.
    fn load(&mut self, nor: &SimNor, cycles: &str, version: &str) {
        let bytes = nor.bytes().to_vec();
        std::fs::write(&self.image, &bytes[..]).unwrap();
        self.say(&format!("load {}", self.image.display()));
        self.say(&format!("mount {cycles} {version}"));
    }

    /// The volume as C has left it.
    fn take(&mut self) -> SimNor {
        self.say(&format!("save {}", self.image.display()));
        let bytes = std::fs::read(&self.image).unwrap();
        let mut nor = SimNor::erased(bytes.len(), &Supply::steady());
        nor.write(0, &bytes).unwrap();
        nor
    }

    fn files(&mut self) -> Files {
        let names = self.say("list");
        let names = names.split_whitespace().filter(|name| !name.starts_with("dir"));
        names.map(|name| (name.to_owned(), unhex(&self.say(&format!("read {name}"))))).collect()
    }
}

impl Drop for C {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
}

fn assert_ours(nor: &mut SimNor, files: &Files, what: &str) {
    let mut store = Store::mount(nor, VOLUME).unwrap_or_else(|error| panic!("{what}: {error}"));
    for (name, bytes) in files {
        assert!(read(&mut store, name).as_ref() == Ok(bytes), "{what}: {name}");
    }
    assert_eq!(store.exists("none"), Ok(false), "{what}");
}

#[test]
fn c_reads_a_bootloaders_work_after_hundreds_of_calls() {
    let Some(mut c) = C::start("bootloader") else { return };
    let mut nor = common::formatted(STORE, &Supply::steady());
    let mut files = Files::new();
    for n in 0..100_u64 {
        let mut store = Store::mount(&mut nor, STORE).unwrap();
        let bytes = random(2_000 + 331 * n as usize, n);
        write(&mut store, "previous.tmp", &bytes).unwrap();
        store.rename("previous.tmp", "previous.bin").unwrap();
        files.insert("previous.bin".to_owned(), bytes);
        if n % 3 == 0 {
            let bytes = random(n as usize, n);
            write(&mut store, "image.bin", &bytes).unwrap();
            store.rename("image.bin", "refused.bin").unwrap();
            files.insert("refused.bin".to_owned(), bytes);
        }
        if n % 7 == 0 {
            store.remove("refused.bin").unwrap();
            files.remove("refused.bin");
        }
    }
    let bytes = random(366_779, 1_000);
    write(&mut Store::mount(&mut nor, STORE).unwrap(), "previous.bin", &bytes).unwrap();
    files.insert("previous.bin".to_owned(), bytes);
    assert_eq!(nor.violations(), Vec::<String>::new());
    c.load(&nor, NO_CYCLES, NEWEST);
    assert!(c.files() == files);
    // 91 blocks of previous.bin, those of refused.bin, and the root directory: nothing is lost or counted twice.
    let blocks = |name: &str| files.get(name).map_or(0, |bytes| bytes.len().div_ceil(4_080));
    assert_eq!(c.say("used"), (2 + blocks("previous.bin") + blocks("refused.bin")).to_string());
}

#[test]
fn inline_files_skip_lists_and_directories_of_c_are_read() {
    let Some(mut c) = C::start("kinds") else { return };
    for version in ["20000", NEWEST] {
        c.say("blank 96");
        c.say(&format!("format {NO_CYCLES} {version}"));
        let mut files = Files::new();
        for len in [0, 1, 200, 256, 257, 4_095, 4_096, 4_097, 8_188, 8_189, 30_000, 66_000] {
            let (name, bytes) = (format!("file{len}"), random(len, len as u64));
            c.write(&name, &bytes);
            files.insert(name, bytes);
        }
        c.say("mkdir dir");
        c.write("dir/file", b"inside");
        c.say(&format!("append file1 {}", hex(&random(5_000, 9))));
        files.get_mut("file1").unwrap().extend(random(5_000, 9));
        let mut nor = c.take();
        assert_ours(&mut nor, &files, version);
        {
            let mut store = Store::mount(&mut nor, VOLUME).unwrap();
            assert!(matches!(store.open("dir"), Err(StoreError::Invalid)));
            assert!(matches!(store.create("dir"), Err(StoreError::Invalid)));
            assert_eq!(store.remove("dir"), Err(StoreError::Invalid));
            assert_eq!(store.rename("dir", "other"), Err(StoreError::Invalid));
            assert_eq!(store.rename("file0", "dir"), Err(StoreError::Invalid));
            write(&mut store, "new", &random(10_000, 5)).unwrap();
            store.rename("new", "file257").unwrap();
            store.remove("file4096").unwrap();
        }
        files.insert("file257".to_owned(), random(10_000, 5));
        files.remove("file4096");
        c.load(&nor, NO_CYCLES, version);
        assert!(c.files() == files, "{version}");
        assert_eq!(c.say("read dir/file"), hex(b"inside"));
        assert_eq!(c.say("version"), version, "the version on flash is left as it is");
        // C goes on from there.
        c.write("more", &random(300, 6));
        files.insert("more".to_owned(), random(300, 6));
        assert_ours(&mut c.take(), &files, version);
    }
}

#[test]
fn user_attributes_stay_with_their_file() {
    let Some(mut c) = C::start("attributes") else { return };
    c.say("blank 96");
    c.say(&format!("format {NO_CYCLES} {NEWEST}"));
    c.write("a", b"a");
    c.write("b", b"b");
    for attribute in ["a 1 aa01", "a 255 aaff", "b 1 bb01", "b 7 bb07", "a 1 aa02"] {
        c.say(&format!("setattr {attribute}"));
    }
    let mut nor = c.take();
    {
        let mut store = Store::mount(&mut nor, VOLUME).unwrap();
        store.rename("a", "c").unwrap();
        write(&mut store, "b", &random(5_000, 1)).unwrap();
    }
    c.load(&nor, NO_CYCLES, NEWEST);
    let attribute = |c: &mut C, of: &str| c.say(&format!("getattr {of}"));
    assert_eq!(["c 1", "c 255", "b 1", "b 7"].map(|of| attribute(&mut c, of)), ["aa02", "aaff", "bb01", "bb07"]);
}

/// Random calls, now by C and now by this crate, on a root directory of several pairs.
fn alternate(c: &mut C, seed: u64, names: usize, cycles: &str, version: &str) {
    let rng = &mut Rng::new(seed);
    let name = |rng: &mut Rng| format!("{:_<60}", format!("n{}", rng.below(names as u64)));
    c.say("blank 96");
    c.say(&format!("format {cycles} {version}"));
    let mut files = Files::new();
    let mut nor = c.take();
    for session in 0..10 {
        let what = format!("seed {seed}, session {session}");
        let by_c = session == 0 || rng.below(2) == 0;
        if by_c {
            c.load(&nor, cycles, version);
            for _ in 0..if session == 0 { names } else { 6 } {
                let (from, to) = (name(rng), name(rng));
                match rng.below(6) {
                    0 if files.remove(&from).is_some() => drop(c.say(&format!("remove {from}"))),
                    1 if files.contains_key(&from) => {
                        c.say(&format!("rename {from} {to}"));
                        let bytes = files.remove(&from).unwrap();
                        files.insert(to, bytes);
                    }
                    _ => {
                        let most = if session == 0 || rng.below(3) != 0 { 200 } else { 9_000 };
                        let bytes = random(rng.below(most) as usize, rng.next_u64());
                        c.write(&from, &bytes);
                        files.insert(from, bytes);
                    }
                }
            }
            nor = c.take();
        } else {
            let mut store = Store::mount(&mut nor, VOLUME).unwrap_or_else(|error| panic!("{what}: {error}"));
            for _ in 0..6 {
                let (from, to) = (name(rng), name(rng));
                let full = match rng.below(4) {
                    0 => {
                        files.remove(&from);
                        store.remove(&from)
                    }
                    1 if files.contains_key(&from) => {
                        let renamed = store.rename(&from, &to);
                        if renamed.is_ok() {
                            let bytes = files.remove(&from).unwrap();
                            files.insert(to, bytes);
                        }
                        renamed
                    }
                    _ => {
                        let bytes = random(rng.below(9_000) as usize, rng.next_u64());
                        let written = write(&mut store, &from, &bytes);
                        if written.is_ok() {
                            files.insert(from, bytes);
                        }
                        written
                    }
                };
                // A pair that is full is not split.
                assert!(matches!(full, Ok(()) | Err(StoreError::NoSpace)), "{what}: {full:?}");
            }
        }
        assert_ours(&mut nor, &files, &what);
        assert_eq!(nor.violations(), Vec::<String>::new(), "{what}");
        c.load(&nor, cycles, version);
        assert!(c.files() == files, "{what}");
    }
}

#[test]
fn c_and_this_crate_take_turns_in_a_root_directory_of_many_pairs() {
    let Some(mut c) = C::start("turns") else { return };
    for seed in 0..12 {
        // block_cycles of 5: C moves pairs, and expands the superblock into a pair of its own.
        for (cycles, version) in [(NO_CYCLES, NEWEST), ("5", NEWEST), (NO_CYCLES, "20000")] {
            alternate(&mut c, seed, 60, cycles, version);
        }
    }
}

#[test]
fn a_rename_between_pairs_that_was_cut_is_seen_as_done_or_not_and_is_finished() {
    let Some(mut c) = C::start("moves") else { return };
    c.say("blank 96");
    c.say(&format!("format {NO_CYCLES} {NEWEST}"));
    let name = |n: usize| format!("{:_<60}", format!("n{n:02}"));
    let mut files = Files::new();
    for n in 0..60 {
        c.write(&name(n), &random(100, n as u64));
        files.insert(name(n), random(100, n as u64));
    }
    let start = c.take();
    let (mut old, mut new) = (0, 0);
    for (from, to) in [(name(1), name(58)), (name(58), name(1)), (name(2), "z".to_owned()), (name(55), "a".to_owned())]
    {
        let mut after = files.clone();
        let bytes = after.remove(&from).unwrap();
        after.insert(to.clone(), bytes);
        // By C, cut at each operation.
        for cut in 0..20 {
            c.load(&start, NO_CYCLES, NEWEST);
            c.say(&format!("cut {cut}"));
            if c.try_say(&format!("rename {from} {to}")).is_ok() {
                break;
            }
            let mut nor = c.take();
            let what = format!("{from} to {to}, cut at {cut}");
            let seen = {
                let mut store = Store::mount(&mut nor, VOLUME).unwrap();
                if store.exists(&from) == Ok(true) { &files } else { &after }
            };
            *if seen == &files { &mut old } else { &mut new } += 1;
            assert_ours(&mut nor, seen, &what);
            assert_eq!(Store::mount(&mut nor, VOLUME).unwrap().exists(&from), Ok(seen == &files), "{what}");
            // The first write finishes the move.
            Store::mount(&mut nor, VOLUME).unwrap().remove(&name(30)).unwrap();
            let mut rest = seen.clone();
            rest.remove(&name(30));
            assert_ours(&mut nor, &rest, &what);
            c.load(&nor, NO_CYCLES, NEWEST);
            assert!(c.files() == rest, "{what}");
        }
        // By this crate, cut at each operation.
        let supply = Supply::steady();
        Store::mount(start.powered_by(&supply), VOLUME).unwrap().rename(&from, &to).unwrap();
        for cut in 0..supply.operations() {
            let what = format!("our {from} to {to}, cut at {cut}");
            let mut nor = start.powered_by(&Supply::cut_at(cut, update_image::sim::Torn::Bits, cut));
            assert!(Store::mount(&mut nor, VOLUME).unwrap().rename(&from, &to).is_err(), "{what}");
            let mut nor = nor.powered_by(&Supply::steady());
            let moved = Store::mount(&mut nor, VOLUME).unwrap().exists(&from) == Ok(false);
            let seen = if moved { &after } else { &files };
            assert_ours(&mut nor, seen, &what);
            c.load(&nor, NO_CYCLES, NEWEST);
            // C finishes it with its next write. (Before that, littlefs 2.11 also hides the entry behind the moved one.)
            c.write("more", b"x");
            let mut rest = seen.clone();
            rest.insert("more".to_owned(), b"x".to_vec());
            assert!(c.files() == rest, "{what}");
            assert_ours(&mut c.take(), &rest, &what);
        }
    }
    assert!(old > 3 && new > 3, "{old} old, {new} new");
}

#[test]
fn a_volume_that_needs_a_repair_is_read_and_not_written() {
    let Some(mut c) = C::start("orphans") else { return };
    c.say("blank 96");
    c.say(&format!("format {NO_CYCLES} {NEWEST}"));
    c.write("file", b"contents");
    c.say("mkdir dir");
    c.say("mkdir dir2");
    let start = c.take();
    let mut refused = 0;
    // Removing a directory takes it out of its parent first, and out of the list of pairs then.
    for cut in 0..20 {
        c.load(&start, NO_CYCLES, NEWEST);
        c.say(&format!("cut {cut}"));
        if c.try_say("remove dir").is_ok() {
            break;
        }
        let mut nor = c.take();
        let before = nor.bytes().to_vec();
        let mut store = Store::mount(&mut nor, VOLUME).unwrap();
        assert_eq!(read(&mut store, "file").unwrap(), b"contents");
        match store.remove("file") {
            Err(StoreError::Corrupt) => {
                refused += 1;
                assert_eq!(read(&mut store, "file").unwrap(), b"contents");
                assert!(nor.bytes()[..] == before[..]);
            }
            removed => assert_eq!(removed, Ok(())),
        }
        c.load(&nor, NO_CYCLES, NEWEST);
        c.write("file", b"more");
        assert_eq!(read(&mut Store::mount(&mut c.take(), VOLUME).unwrap(), "file").unwrap(), b"more");
    }
    assert!(refused > 0);
}

#[test]
fn a_bad_block_of_a_later_pair_is_replaced() {
    let Some(mut c) = C::start("relocation") else { return };
    c.say("blank 96");
    c.say(&format!("format {NO_CYCLES} {NEWEST}"));
    let mut files = Files::new();
    for n in 0..60 {
        let name = format!("{:_<60}", format!("n{n:02}"));
        c.write(&name, &random(100, n));
        files.insert(name, random(100, n));
    }
    let start = c.take();
    let erased: BTreeSet<usize> = {
        // Which blocks a change of each file erases: those of its pair.
        let mut nor = start.clone();
        nor.reset_counts();
        for name in files.keys() {
            write(&mut Store::mount(&mut nor, VOLUME).unwrap(), name, &[]).unwrap();
        }
        (0..96).filter(|block| nor.erases()[*block] != 0).collect()
    };
    assert!(erased.len() > 4, "{erased:?}");
    let mut replaced = 0;
    for bad in erased {
        let mut expected = files.clone();
        let mut nor = start.clone();
        for name in files.keys() {
            let mut store = Store::mount(Worn { nor: &mut nor, bad: bad as u32 }, VOLUME).unwrap();
            match store.rename(name, &format!("{name}x")) {
                Ok(()) => {
                    let bytes = expected.remove(name).unwrap();
                    expected.insert(format!("{name}x"), bytes);
                }
                Err(error) => assert!(bad < 2 && error == StoreError::Flash, "{bad}: {error}"),
            }
        }
        assert_ours(&mut nor, &expected, &format!("block {bad}"));
        c.load(&nor, NO_CYCLES, NEWEST);
        assert!(c.files() == expected, "block {bad}");
        replaced += u32::from(bad > 1);
    }
    assert!(replaced > 2);
}

/// A flash with a block that keeps nothing.
struct Worn<'a> {
    nor: &'a mut SimNor,
    bad: u32,
}

impl embedded_storage::nor_flash::ErrorType for Worn<'_> {
    type Error = update_image::sim::SimError;
}

impl embedded_storage::nor_flash::ReadNorFlash for Worn<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.nor.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.nor.capacity()
    }
}

impl NorFlash for Worn<'_> {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = BLOCK_SIZE as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.nor.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        // An erased block that takes no programs, silently.
        if offset / BLOCK_SIZE == self.bad && self.nor.erases()[self.bad as usize] > 0 {
            return Ok(());
        }
        self.nor.write(offset, bytes)
    }
}
