//! From addresses to lines: DWARF line tables (DWARF 5, 6.2).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

use gimli::{Dwarf, EndianSlice, LineProgramHeader, LittleEndian, Unit};
use object::{Object as _, ObjectSection as _, SectionKind};

use super::{ByPath, Source};
use crate::elf::Image;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// A stretch of code that was made for one line.
struct Piece {
    range: Range<u32>,
    file: PathBuf,
    line: u32,
    /// The place where a debugger would stop for the line.
    is_statement: bool,
}

/// What is known of each source file.
#[derive(Debug, Default)]
pub(super) struct Sources(pub ByPath);

impl Sources {
    /// Adds a program. A line counts as executed if any instruction of it was, in any program.
    pub fn add(&mut self, image: &Image, executed: &BTreeSet<u32>) -> Result<(), gimli::Error> {
        let pieces = pieces(&image.elf)?;
        let was_executed = |range: &Range<u32>| executed.range(range.clone()).next().is_some();
        let mut starts = BTreeMap::new();
        for piece in &pieces {
            starts.insert(piece.range.start, piece);
            if piece.is_statement {
                let source = self.source(&piece.file);
                *source.lines.entry(piece.line).or_default() |= was_executed(&piece.range);
            }
        }
        for function in &image.functions {
            let Some((_, first)) = starts.range(..=function.range.start).next_back() else { continue };
            if !first.range.contains(&function.range.start) {
                continue;
            }
            let entry = self.source(&first.file).functions.entry(function.name.clone());
            let (line, is_executed) = entry.or_insert((first.line, false));
            *line = first.line.min(*line);
            *is_executed |= was_executed(&function.range);
        }
        Ok(())
    }

    fn source(&mut self, path: &PathBuf) -> &mut Source {
        if !self.0.contains_key(path) {
            self.0.insert(path.clone(), Source::default());
        }
        self.0.get_mut(path).unwrap_or_else(|| unreachable!("it was inserted"))
    }
}

fn pieces(elf: &[u8]) -> Result<Vec<Piece>, gimli::Error> {
    let Ok(file) = object::File::parse(elf) else { return Ok(Vec::new()) };
    let code: Vec<Range<u64>> = file
        .sections()
        .filter(|section| section.kind() == SectionKind::Text)
        .map(|section| section.address()..section.address() + section.size())
        .collect();
    let load = |id: gimli::SectionId| -> Result<Cow<'_, [u8]>, gimli::Error> {
        let data = file.section_by_name(id.name()).and_then(|section| section.uncompressed_data().ok());
        Ok(data.unwrap_or_default())
    };
    let sections = gimli::DwarfSections::load(load)?;
    let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
    let mut pieces = Vec::new();
    let mut headers = dwarf.units();
    while let Some(header) = headers.next()? {
        let unit = dwarf.unit(header)?;
        unit_pieces(&dwarf, &unit, &code, &mut pieces)?;
    }
    Ok(pieces)
}

fn unit_pieces(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &Unit<Slice<'_>>,
    code: &[Range<u64>],
    pieces: &mut Vec<Piece>,
) -> Result<(), gimli::Error> {
    let Some(program) = unit.line_program.clone() else { return Ok(()) };
    let (program, sequences) = program.sequences()?;
    let mut files: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for sequence in &sequences {
        // What the linker has thrown away stands at address 0, outside any code.
        if !code.iter().any(|range| range.contains(&sequence.start)) {
            continue;
        }
        let mut rows = program.resume_from(sequence);
        let mut open: Option<(u64, u64, u32, bool)> = None;
        while let Some((header, row)) = rows.next_row()? {
            if let Some((start, index, line, is_statement)) = open.take()
                && row.address() > start
            {
                let file = match files.get(&index) {
                    Some(path) => path.clone(),
                    None => {
                        let path = path(dwarf, unit, header, index)?;
                        files.insert(index, path.clone());
                        path
                    }
                };
                pieces.push(Piece { range: start as u32..row.address() as u32, file, line, is_statement });
            }
            // Line 0 is code that belongs to no line.
            if let (false, Some(line)) = (row.end_sequence(), row.line()) {
                open = Some((row.address(), row.file_index(), line.get() as u32, row.is_stmt()));
            }
        }
    }
    Ok(())
}

fn path(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &Unit<Slice<'_>>,
    header: &LineProgramHeader<Slice<'_>>,
    index: u64,
) -> Result<PathBuf, gimli::Error> {
    let mut path = PathBuf::new();
    if let Some(dir) = unit.comp_dir {
        path.push(&*dir.to_string_lossy());
    }
    let Some(file) = header.file(index) else { return Ok(path) };
    if let Some(dir) = file.directory(header) {
        path.push(&*dwarf.attr_string(unit, dir)?.to_string_lossy());
    }
    // An absolute path takes the place of what is there.
    path.push(&*dwarf.attr_string(unit, file.path_name())?.to_string_lossy());
    Ok(path)
}
