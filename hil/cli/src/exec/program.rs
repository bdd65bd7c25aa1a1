//! An ELF that is to run on a board, and the tests in it.

use std::time::Duration;

use object::elf::SHF_ALLOC;
use object::{
    Architecture, File, Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _, Section, SectionFlags,
    Symbol, SymbolKind,
};
use serde::Deserialize;
use thiserror::Error;

/// Why a file cannot be run.
#[derive(Debug, Error)]
pub(super) enum ProgramError {
    #[error("not an ELF for an Arm microcontroller; build it with --target thumbv7em-none-eabihf")]
    NotArm,
    #[error("the ELF has nothing to load; is it an object file, or linked without a memory layout?")]
    Empty,
    #[error("its tests speak protocol {0} of embedded-test, this runner speaks 1; use embedded-test 0.7")]
    Protocol(u32),
    #[error("its tests cannot be understood: {0}")]
    BadTest(String),
}

/// One test function (embedded-test protocol 1).
#[derive(Clone, Debug)]
pub(super) struct TestCase {
    /// Module path without the crate, and function.
    pub name: String,
    /// What the target is told to run.
    pub address: u32,
    pub should_panic: bool,
    pub ignored: bool,
    pub timeout: Option<Duration>,
}

/// The symbol names of protocol 1 are JSON.
#[derive(Deserialize)]
struct Name {
    name: String,
    should_panic: bool,
    ignored: bool,
    timeout: Option<u32>,
}

/// A program and what its symbols say.
pub(super) struct Program {
    elf: Vec<u8>,
    main: Option<u32>,
    tests: Option<Vec<TestCase>>,
    /// Functions by address: start, size, demangled name.
    functions: Vec<(u32, u32, String)>,
}

impl Program {
    pub fn parse(elf: Vec<u8>) -> Result<Self, ProgramError> {
        let file = File::parse(&*elf).map_err(|_| ProgramError::NotArm)?;
        if file.architecture() != Architecture::Arm || file.is_64() || !file.is_little_endian() {
            return Err(ProgramError::NotArm);
        }
        if file.segments().all(|segment| segment.file_range().1 == 0) {
            return Err(ProgramError::Empty);
        }
        let main = file.symbol_by_name("main").map(|symbol| code_address(symbol.address()));
        let tests = tests(&file, &elf)?;
        let mut functions: Vec<_> = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
            .filter_map(|symbol| {
                let name = rustc_demangle::demangle(symbol.name().ok()?);
                Some((code_address(symbol.address()), symbol.size() as u32, format!("{name:#}")))
            })
            .collect();
        functions.sort();
        Ok(Self { main, tests, functions, elf })
    }

    pub fn elf(&self) -> &[u8] {
        &self.elf
    }

    /// The tests of an embedded-test program.
    pub fn tests(&self) -> Option<&[TestCase]> {
        self.tests.as_deref()
    }

    /// First instruction of `main`.
    pub fn main(&self) -> Option<u32> {
        self.main
    }

    /// `0x0000_1234 (module::function+0x10)`, as far as known.
    pub fn describe(&self, address: u32) -> String {
        let address = address & !1;
        let after = self.functions.partition_point(|(start, ..)| *start <= address);
        match after.checked_sub(1).map(|index| &self.functions[index]) {
            Some((start, size, name)) if address - start < *size => {
                format!("0x{address:08x} ({name}+0x{:x})", address - start)
            }
            _ => format!("0x{address:08x}"),
        }
    }
}

/// Bit 0 of a Thumb function's symbol is not part of its address.
fn code_address(address: u64) -> u32 {
    (address & !1) as u32
}

fn tests(file: &File<'_>, elf: &[u8]) -> Result<Option<Vec<TestCase>>, ProgramError> {
    let Some(section) = file.section_by_name(".embedded_test") else { return Ok(None) };
    let bad = |why: &str| ProgramError::BadTest(why.to_owned());
    // Programs before protocol 1 have the section but no version, or another one.
    let version = file
        .symbol_by_name("EMBEDDED_TEST_VERSION")
        .and_then(|symbol| read_symbol(file, elf, &symbol, 4))
        .map_or(0, |bytes| word(bytes, 0));
    if version != 1 {
        return Err(ProgramError::Protocol(version));
    }
    let mut tests = Vec::new();
    for symbol in file.symbols() {
        let is_test = symbol.is_global()
            && symbol.kind() == SymbolKind::Data
            && symbol.section_index() == Some(section.index())
            && symbol.size() == 12;
        if !is_test {
            continue;
        }
        let name = symbol.name().map_err(|_| bad("a symbol without a name"))?;
        let name: Name =
            serde_json::from_str(name).map_err(|error| ProgramError::BadTest(format!("{error} in {name}")))?;
        // Function, and the module path as pointer and length.
        let entry = read_symbol(file, elf, &symbol, 12).ok_or_else(|| bad("a test entry outside the file"))?;
        let path = read(file, elf, u64::from(word(entry, 4)), word(entry, 8) as usize)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .ok_or_else(|| bad("a module path outside the file"))?;
        let module = path.split_once("::").map_or("", |(_, module)| module);
        tests.push(TestCase {
            name: if module.is_empty() { name.name } else { format!("{module}::{}", name.name) },
            address: word(entry, 0),
            should_panic: name.should_panic,
            ignored: name.ignored,
            timeout: name.timeout.map(|seconds| Duration::from_secs(seconds.into())),
        });
    }
    // The order of symbols is the linker's; that of names is everybody's.
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Some(tests))
}

/// `len` bytes of what a symbol names, which need not be loaded: the table of tests is for the host alone.
fn read_symbol<'e>(file: &File<'_>, elf: &'e [u8], symbol: &Symbol<'_, '_>, len: usize) -> Option<&'e [u8]> {
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    slice(&section, elf, symbol.address(), len)
}

/// `len` initialised bytes at an address of the target.
fn read<'e>(file: &File<'_>, elf: &'e [u8], address: u64, len: usize) -> Option<&'e [u8]> {
    file.sections().filter(is_loaded).find_map(|section| slice(&section, elf, address, len))
}

fn is_loaded(section: &Section<'_, '_>) -> bool {
    matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.0 & SHF_ALLOC.0 != 0)
}

fn slice<'e>(section: &Section<'_, '_>, elf: &'e [u8], address: u64, len: usize) -> Option<&'e [u8]> {
    let (offset, size) = section.file_range()?;
    let start = address.checked_sub(section.address())?;
    let end = start.checked_add(len as u64).filter(|end| *end <= size)?;
    elf.get((offset + start) as usize..(offset + end) as usize)
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[offset + i]))
}
