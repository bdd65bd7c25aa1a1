//! Sizes of types, read from a program's debug information (DWARF 5, sections 2.2 and 5.7).

use std::borrow::Cow;

use gimli::{AttributeValue, DebuggingInformationEntry, Dwarf, EndianSlice, LittleEndian, Unit};
use object::{Object, ObjectSection};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Bytes that a value of the struct `name` of the crate `krate` takes, `None` if the program does not use it or has no
/// debug information. Modules between crate and type do not matter; of several such types the largest counts.
pub fn size_of(elf: &[u8], krate: &str, name: &str) -> Option<u64> {
    let file = object::File::parse(elf).ok()?;
    let load = |id: gimli::SectionId| -> Result<Cow<'_, [u8]>, gimli::Error> {
        let data = file.section_by_name(id.name()).and_then(|section| section.uncompressed_data().ok());
        Ok(data.unwrap_or_default())
    };
    let sections = gimli::DwarfSections::load(load).ok()?;
    let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
    largest(&dwarf, krate, name).ok().flatten()
}

fn largest(dwarf: &Dwarf<Slice<'_>>, krate: &str, name: &str) -> Result<Option<u64>, gimli::Error> {
    let mut largest = None;
    let mut headers = dwarf.units();
    while let Some(header) = headers.next()? {
        let unit = dwarf.unit(header)?;
        // Names of the entries that enclose the current one.
        let mut path: Vec<String> = Vec::new();
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs()? {
            let depth = entry.depth().max(0) as usize;
            path.truncate(depth);
            path.resize(depth, String::new());
            let own = text(dwarf, &unit, entry)?;
            let inside = path.iter().any(|outer| outer == krate);
            if entry.tag() == gimli::DW_TAG_structure_type && inside && own == name {
                let size = entry.attr_value(gimli::DW_AT_byte_size).and_then(|size| size.udata_value());
                largest = largest.max(size);
            }
            path.push(own);
        }
    }
    Ok(largest)
}

fn text(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &Unit<Slice<'_>>,
    entry: &DebuggingInformationEntry<Slice<'_>>,
) -> Result<String, gimli::Error> {
    let Some(name) = entry.attr_value(gimli::DW_AT_name) else { return Ok(String::new()) };
    if !matches!(
        name,
        AttributeValue::DebugStrRef(_) | AttributeValue::String(_) | AttributeValue::DebugStrOffsetsIndex(_)
    ) {
        return Ok(String::new());
    }
    Ok(dwarf.attr_string(unit, name)?.to_string_lossy().into_owned())
}
