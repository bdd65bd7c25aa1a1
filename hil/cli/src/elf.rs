//! An ELF file as a program for the SAM E54: what goes into flash, and whether the chip can start it.

use std::ops::Range;

use object::read::elf::{ElfFile32, FileHeader as _, ProgramHeader as _, SectionHeader as _};
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags, SectionKind, SymbolKind, elf,
};
use thiserror::Error;

/// Internal flash of the ATSAME54P20A.
pub const FLASH: Range<u32> = 0..0x10_0000;
/// Its RAM.
pub const RAM: Range<u32> = 0x2000_0000..0x2004_0000;

/// Why a file is no program for the board. The message goes on after the file's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ElfError {
    /// No ELF at all.
    #[error("not an ELF file; give a program built with --target thumbv7em-none-eabihf")]
    NotElf,
    /// An ELF for something else.
    #[error("an ELF for another machine ({0}); build it with --target thumbv7em-none-eabihf")]
    Machine(String),
    /// Nothing that is loaded.
    #[error("the ELF has nothing to load; is it an object file, or linked without a memory layout?")]
    Empty,
    /// A piece beyond flash.
    #[error(
        "{section} at 0x{start:08x}..0x{end:08x} is not in the chip's flash 0x00000000..0x00100000 (1 MiB); \
         the program is too large or linked for another chip: correct memory.x"
    )]
    TooLarge {
        /// Name of the section.
        section: String,
        /// Load address.
        start: u64,
        /// Its end.
        end: u64,
    },
    /// No vector table where it should be.
    #[error(
        "no vector table at 0x{at:08x}: stack pointer 0x{sp:08x} and reset vector 0x{reset:08x} make no sense; \
         link with cortex-m-rt's link.x or put the table at the start of flash"
    )]
    NoVectorTable {
        /// Where it was looked for.
        at: u32,
        /// First word.
        sp: u32,
        /// Second word.
        reset: u32,
    },
}

/// A function of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its addresses, without the Thumb bit.
    pub range: Range<u32>,
    /// Demangled name.
    pub name: String,
}

/// A checked program.
#[derive(Clone, Debug)]
pub struct Image {
    /// The whole file.
    pub elf: Vec<u8>,
    /// First address and contents of what goes into flash, by address.
    pub pieces: Vec<(u32, Vec<u8>)>,
    /// Address of the vector table.
    pub vector_table: u32,
    /// Functions by address.
    pub functions: Vec<Function>,
}

impl Image {
    /// Reads and checks an ELF.
    ///
    /// # Errors
    /// The file is no program for this chip.
    pub fn parse(elf: Vec<u8>) -> Result<Self, ElfError> {
        let file = parse_arm(&elf)?;
        let mut pieces = pieces(&file)?;
        pieces.sort();
        let first = pieces.first().ok_or(ElfError::Empty)?.0;
        let table = [".vector_table", ".isr_vector", ".vectors", "vectors"]
            .iter()
            .find_map(|name| file.section_by_name(name))
            .and_then(|section| u32::try_from(section.address()).ok())
            .filter(|at| word(&pieces, *at).is_some());
        let vector_table = table.unwrap_or(first);
        let [sp, reset] = [0, 4].map(|offset| word(&pieces, vector_table + offset).unwrap_or_default());
        // A full descending stack may begin just beyond RAM.
        let sp_is_plausible = sp.is_multiple_of(4) && (RAM.start + 4..=RAM.end).contains(&sp);
        if !sp_is_plausible || reset & 1 == 0 || !FLASH.contains(&reset) {
            return Err(ElfError::NoVectorTable { at: vector_table, sp, reset });
        }
        let functions = functions(&file);
        Ok(Self { pieces, vector_table, functions, elf })
    }

    /// The function at `address`.
    pub fn function(&self, address: u32) -> Option<&Function> {
        let after = self.functions.partition_point(|function| function.range.start <= address);
        self.functions[..after].last().filter(|function| function.range.contains(&address))
    }

    /// Whether `flash` (from address 0) holds this program.
    pub fn is_in(&self, flash: &[u8]) -> bool {
        self.pieces.iter().all(|(at, bytes)| flash.get(*at as usize..).is_some_and(|flash| flash.starts_with(bytes)))
    }

    /// Whether `flash` (from address 0) holds what the program has in `range`.
    pub fn holds(&self, flash: &[u8], range: Range<u32>) -> bool {
        self.pieces.iter().any(|(at, bytes)| {
            let Some(start) = range.start.checked_sub(*at) else { return false };
            let (start, len) = (start as usize, (range.end - range.start) as usize);
            let wanted = bytes.get(start..start + len);
            wanted.is_some() && wanted == flash.get(range.start as usize..range.start as usize + len)
        })
    }

    /// Everything as one piece, gaps filled with `0xFF`.
    pub fn flat(&self) -> (u32, Vec<u8>) {
        let base = self.pieces.first().map_or(0, |(at, _)| *at);
        let mut flat = Vec::new();
        for (at, bytes) in &self.pieces {
            flat.resize((at - base) as usize, 0xFF);
            flat.extend_from_slice(bytes);
        }
        (base, flat)
    }
}

fn parse_arm(elf: &[u8]) -> Result<ElfFile32<'_, Endianness>, ElfError> {
    let kind = object::FileKind::parse(elf).map_err(|_| ElfError::NotElf)?;
    if !matches!(kind, object::FileKind::Elf32 | object::FileKind::Elf64) {
        return Err(ElfError::NotElf);
    }
    let any = object::File::parse(elf).map_err(|_| ElfError::NotElf)?;
    if any.is_64() || any.architecture() != object::Architecture::Arm || !any.is_little_endian() {
        let endian = if any.is_little_endian() { "" } else { ", big-endian" };
        return Err(ElfError::Machine(format!("{:?}{endian}", any.architecture())));
    }
    ElfFile32::parse(elf).map_err(|_| ElfError::NotElf)
}

/// By section: a segment may begin with the ELF headers, which belong into no flash.
fn pieces(file: &ElfFile32<'_, Endianness>) -> Result<Vec<(u32, Vec<u8>)>, ElfError> {
    let endian = file.endian();
    debug_assert!(file.elf_header().is_little_endian());
    let mut pieces = Vec::new();
    for section in file.sections().filter(|section| section.size() > 0) {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
        if sh_flags.0 & elf::SHF_ALLOC.0 == 0 || section.kind() == SectionKind::UninitializedData {
            continue;
        }
        let offset = section.elf_section_header().sh_offset(endian);
        let load = file.elf_program_headers().iter().find_map(|segment| {
            let from = segment.p_offset(endian);
            let inside = segment.p_type(endian) == elf::PT_LOAD && offset.checked_sub(from)? < segment.p_filesz(endian);
            inside.then(|| segment.p_paddr(endian).wrapping_add(offset - from))
        });
        let Some(load) = load else { continue };
        let data = section.data().map_err(|_| ElfError::NotElf)?;
        let end = u64::from(load) + data.len() as u64;
        if end > u64::from(FLASH.end) {
            let section = section.name().unwrap_or("a section").to_owned();
            return Err(ElfError::TooLarge { section, start: load.into(), end });
        }
        pieces.push((load, data.to_vec()));
    }
    Ok(pieces)
}

fn word(pieces: &[(u32, Vec<u8>)], at: u32) -> Option<u32> {
    pieces.iter().find_map(|(start, bytes)| {
        let bytes = bytes.get(at.checked_sub(*start)? as usize..)?;
        bytes.first_chunk().map(|word| u32::from_le_bytes(*word))
    })
}

fn functions(file: &ElfFile32<'_, Endianness>) -> Vec<Function> {
    let mut functions: Vec<_> = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
        .filter_map(|symbol| {
            let start = (symbol.address() & !1) as u32;
            let name = rustc_demangle::demangle(symbol.name().ok()?);
            Some(Function { range: start..start.saturating_add(symbol.size() as u32), name: format!("{name:#}") })
        })
        .collect();
    functions.sort_by_key(|function| (function.range.start, function.range.end));
    // Functions that the linker folded into one: the first name is as good as the others.
    functions.dedup_by_key(|function| function.range.start);
    functions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::test_elf::{TestElf, image};

    #[test]
    fn program_is_taken_apart_and_found_in_flash() {
        let program = Image::parse(TestElf::program(&[0xE7FE]).build()).unwrap();
        assert_eq!((program.vector_table, program.function(0x100).unwrap().name.as_str()), (0, "main"));
        assert_eq!((program.function(0xFE), program.function(0x102)), (None, None));
        let (base, flat) = program.flat();
        let mut flash = vec![0xFF; 0x1000];
        assert!(base == 0 && !program.is_in(&flash) && !program.is_in(&[]));
        flash[..flat.len()].copy_from_slice(&flat);
        assert!(program.is_in(&flash));
    }

    #[test]
    fn what_is_no_program_for_this_chip_is_told_in_one_line() {
        let at = |address, bytes: &[u8]| {
            let mut elf = TestElf::new();
            elf.section(".text", address, true, bytes);
            elf.build()
        };
        let code = image(&[0xE7FE]);
        let mut headless = code.clone();
        headless[..8].fill(0xFF);
        let mut even = code.clone();
        even[4] = 0xF4;
        let cases = [
            (b"#!/bin/sh\n".to_vec(), "not an ELF"),
            (TestElf::program(&[0xE7FE]).machine(62).build(), "another machine (I386"),
            (TestElf::new().build(), "nothing to load"),
            (at(0x000F_FFF0, &code), "too large"),
            (at(0x2000_0000, &code), "not in the chip's flash"),
            (at(0, &headless), "no vector table at 0x00000000"),
            (at(0x4000, &even), "no vector table at 0x00004000"),
        ];
        for (elf, expected) in cases {
            let message = Image::parse(elf).expect_err(expected).to_string();
            let fits =
                message.contains(expected) || expected.starts_with("another") && message.contains("another machine");
            assert!(fits && !message.contains('\n'), "{expected}: {message}");
        }
    }
}
