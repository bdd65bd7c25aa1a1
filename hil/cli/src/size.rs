//! Flash and RAM of the programs, by crate, against their budgets.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, SymbolKind, elf};
use serde::Serialize;

use crate::artifacts::{Program, Workspace};
use crate::debug_info;
use crate::error::Error;

const KIB: u64 = 1024;

/// What is measured, and the limits that it has to keep.
#[derive(Debug, Serialize)]
pub struct SizeReport {
    schema: &'static str,
    budgets: Vec<Budget>,
    programs: Vec<ProgramSize>,
}

#[derive(Debug, Serialize)]
struct Budget {
    what: &'static str,
    bytes: u64,
    limit: u64,
    within: bool,
}

#[derive(Debug, Serialize)]
struct ProgramSize {
    name: &'static str,
    flash: u64,
    ram: u64,
    /// By crate, largest first. A function that was inlined counts for the crate that it went into; constants without
    /// a symbol count for `(constants)`.
    crates: Vec<CrateSize>,
}

#[derive(Debug, Serialize)]
struct CrateSize {
    name: String,
    flash: u64,
    ram: u64,
}

/// Builds bootloader and firmware and measures them.
pub fn measure(workspace: &Workspace) -> Result<SizeReport, Error> {
    let bootloader = program("bootloader", &workspace.bootloader()?)?;
    let elf = workspace.firmware("1.0.0")?;
    let firmware = program("firmware", &elf)?;
    let agent = firmware.crates.iter().find(|size| size.name == "adu_agent").map_or(0, |size| size.flash);
    let agent_ram = agent_ram(&elf)?;
    let budget = |what, bytes, limit| Budget { what, bytes, limit, within: bytes <= limit };
    let budgets = vec![
        budget("agent flash", agent, 8 * KIB),
        budget("agent RAM", agent_ram, 4 * KIB),
        budget("bootloader flash", bootloader.flash, 40 * KIB),
        budget("firmware flash", firmware.flash, 400 * KIB),
        budget("firmware static RAM", firmware.ram, 256 * KIB),
    ];
    Ok(SizeReport { schema: "hil-size/1", budgets, programs: vec![bootloader, firmware] })
}

/// RAM of the agent: its state, an HTTP connection and the buffer of its reports. They live inside the application's
/// tasks, so no symbol has their size; the debug information does.
fn agent_ram(firmware: &Program) -> Result<u64, Error> {
    let size_of = |name: &str| {
        debug_info::size_of(&firmware.elf, "adu_agent", name).ok_or_else(|| Error::Artifact {
            path: firmware.path.clone(),
            why: format!("no debug information of adu_agent's {name}; build it with `debug = 2`"),
        })
    };
    Ok(size_of("Agent")? + size_of("Connection")? + adu_agent::REPORT_LEN as u64)
}

fn program(name: &'static str, program: &Program) -> Result<ProgramSize, Error> {
    let file = object::File::parse(&*program.elf)
        .map_err(|why| Error::Artifact { path: program.path.clone(), why: why.to_string() })?;
    let (mut flash, mut ram) = (0, 0);
    for section in file.sections().filter(|section| is_allocated(section.flags())) {
        let in_ram = section.address() >= 0x2000_0000;
        let loaded = !matches!(section.kind(), SectionKind::UninitializedData);
        if in_ram {
            ram += section.size();
        }
        if loaded {
            flash += section.size();
        }
    }
    let mut crates: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut last = (0, 0);
    for symbol in file.symbols().filter(|symbol| matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data)) {
        // Identical functions are folded by the linker into one place with several names.
        let place = (symbol.address(), symbol.size());
        if place == last || symbol.size() == 0 {
            continue;
        }
        last = place;
        let entry = crates.entry(crate_of(symbol.name().unwrap_or_default())).or_default();
        if symbol.address() >= 0x2000_0000 { entry.1 += symbol.size() } else { entry.0 += symbol.size() }
    }
    let attributed: u64 = crates.values().map(|(flash, _)| flash).sum();
    crates.insert("(constants)".to_owned(), (flash.saturating_sub(attributed), 0));
    let mut crates: Vec<_> = crates.into_iter().map(|(name, (flash, ram))| CrateSize { name, flash, ram }).collect();
    crates.sort_by(|a, b| (b.flash + b.ram, &a.name).cmp(&(a.flash + a.ram, &b.name)));
    Ok(ProgramSize { name, flash, ram, crates })
}

fn is_allocated(flags: SectionFlags) -> bool {
    matches!(flags, SectionFlags::Elf { sh_flags, .. } if sh_flags.0 & elf::SHF_ALLOC.0 != 0)
}

/// The crate that a symbol belongs to: the first path segment of its demangled name, also of `<Type as Trait>::f`.
fn crate_of(symbol: &str) -> String {
    let name = format!("{:#}", rustc_demangle::demangle(symbol));
    if !name.contains("::") {
        return "(other)".to_owned();
    }
    let name = name.trim_start_matches(['<', '&', '*', '(', '[']);
    let name = name.strip_prefix("mut ").or_else(|| name.strip_prefix("dyn ")).unwrap_or(name);
    name.split("::").next().unwrap_or(name).split([' ', '<']).next().unwrap_or(name).to_owned()
}

impl SizeReport {
    /// Whether every figure keeps its limit.
    pub fn is_within_budgets(&self) -> bool {
        self.budgets.iter().all(|budget| budget.within)
    }

    /// One JSON document, indented.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("the model has string keys only")
    }

    /// For people: the budgets, then the largest crates of each program.
    pub fn to_table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{:<24} {:>9} {:>9}", "", "bytes", "budget");
        for budget in &self.budgets {
            let mark = if budget.within { "" } else { "  OVER" };
            let _ = writeln!(out, "{:<24} {:>9} {:>9}{mark}", budget.what, budget.bytes, budget.limit);
        }
        for program in &self.programs {
            let _ = writeln!(out, "\n{:<24} {:>9} {:>9}", program.name, "flash", "RAM");
            for size in program.crates.iter().take(16) {
                let _ = writeln!(out, "  {:<22} {:>9} {:>9}", size.name, size.flash, size.ram);
            }
            let _ = writeln!(out, "  {:<22} {:>9} {:>9}", "all", program.flash, program.ram);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::crate_of;

    #[test]
    fn symbols_are_attributed_to_their_crate() {
        assert_eq!(crate_of("_ZN9adu_agent5Agent4poll17h0123456789abcdefE"), "adu_agent");
        assert_eq!(crate_of("memcpy"), "(other)");
        assert_eq!(
            crate_of("_ZN57_$LT$rustls..client..Conn$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE"),
            "rustls"
        );
    }
}
