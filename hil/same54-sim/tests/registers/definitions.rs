//! The register definitions, read out of the sources of the `atsame54p` crate (svd2rust's output of Microchip's SVD).
//!
//! The sources are as regular as a generator makes them, so a look at single lines is enough. Whatever does not fit is
//! a panic: the table must not lose a register silently.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Blocks of the core: they are not the chip's (see the `armv7m` crate).
const CORE: [&str; 4] = ["core_debug", "etm", "sys_tick", "system_control"];

/// A register or an array of registers.
struct Register {
    name: String,
    offset: u32,
    /// Count and stride in bytes, outermost first.
    dimensions: Vec<(u32, u32)>,
    bits: u32,
    readable: bool,
    writable: bool,
    reset: u32,
    read_mask: u32,
    write_mask: u32,
}

/// Where cargo keeps the sources of `atsame54p`.
fn sources() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    let text = String::from_utf8(output.stdout).expect("cargo metadata is UTF-8");
    let metadata: serde_json::Value = serde_json::from_str(&text).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package = packages.iter().find(|package| package["name"] == "atsame54p").expect("same54 depends on atsame54p");
    let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
    manifest.parent().expect("a folder").join("src")
}

/// The table as text; see `src/registers`.
pub fn table() -> String {
    let src = sources();
    let lib = fs::read_to_string(src.join("lib.rs")).expect("lib.rs");
    let mut instances: BTreeMap<String, Vec<(u32, String)>> = BTreeMap::new();
    let mut name = String::new();
    for line in lib.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("pub type ").or_else(|| line.strip_prefix("pub struct "))
            && let Some(word) = rest.split([' ', '{', '=']).next()
        {
            name = word.trim_matches('_').to_uppercase();
        }
        let Some(rest) = line.strip_prefix("pub const PTR: *const ") else { continue };
        let (module, rest) = rest.split_once("::").expect("a module");
        let base = rest.split_once("= ").and_then(|(_, rest)| rest.split_once(" as ")).expect("an address").0;
        if !CORE.contains(&module) {
            instances.entry(module.to_owned()).or_default().push((number(base), name.clone()));
        }
    }
    let mut out = String::from(HEAD);
    for (module, mut places) in instances {
        places.sort();
        for (base, instance) in places {
            let _ = writeln!(out, "@\t{instance}\t{}\t{base:#010x}", module.to_uppercase());
        }
        let mut registers = Vec::new();
        block(&src.join(&module), "", 0, &[], &mut registers);
        registers.sort_by(|a, b| (mode(&a.name), a.offset, &a.name).cmp(&(mode(&b.name), b.offset, &b.name)));
        registers.dedup_by(|a, b| a.name == b.name && a.offset == b.offset);
        for register in registers {
            let access = match (register.readable, register.writable) {
                (true, true) => "rw",
                (true, false) => "ro",
                _ => "wo",
            };
            let dimensions: Vec<String> =
                register.dimensions.iter().map(|(count, stride)| format!("{count}*{stride}")).collect();
            let _ = writeln!(
                out,
                "{}\t{:#05x}\t{}\t{access}\t{:#x}\t{:#x}\t{:#x}\t{}",
                register.name,
                register.offset,
                register.bits,
                register.reset,
                register.read_mask,
                register.write_mask,
                if dimensions.is_empty() { "-".to_owned() } else { dimensions.join(",") },
            );
        }
    }
    out
}

const HEAD: &str = "\
# The registers of the ATSAME54P20A, after the crate atsame54p. Generated: UPDATE=1 cargo test -p same54-sim --test registers
# @ INSTANCE BLOCK BASE: what follows are the registers of BLOCK:
# NAME OFFSET BITS ACCESS RESET READ-MASK WRITE-MASK DIMENSIONS (count*stride, outermost first)
";

/// The part of a name that says in which mode of its block the register exists.
fn mode(name: &str) -> &str {
    name.split_once('.').map_or("", |(mode, _)| if mode.contains('[') { "" } else { mode })
}

fn number(text: &str) -> u32 {
    let text = text.trim().replace('_', "");
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    }
    .unwrap_or_else(|_| panic!("{text} is a number"))
}

/// Reads the register block or cluster in `path`.rs.
fn block(path: &Path, prefix: &str, base: u32, dimensions: &[(u32, u32)], into: &mut Vec<Register>) {
    let file = path.with_extension("rs");
    let text = fs::read_to_string(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for (at, line) in lines.iter().enumerate() {
        let Some(rest) = line.strip_prefix("pub const fn ") else { continue };
        let (accessor, rest) = rest.split_once('(').expect("an argument list");
        let type_name = rest.split_once("-> &").expect("a type").1.trim_end_matches([' ', '{']);
        let is_array = rest.starts_with("&self, n: usize");
        let doc = lines[..at].iter().rev().find_map(|line| line.strip_prefix("#[doc = \"0x")).expect("an offset");
        let range = doc.split_once(" - ").expect("a description").0;
        let (start, end) = range.split_once("..").unwrap_or((range, range));
        let start = number(&format!("0x{start}"));
        let end = number(&format!("0x{}", end.trim_start_matches("0x")));
        let mut dimensions = dimensions.to_vec();
        if is_array {
            let body = &lines[at..(at + 12).min(lines.len())];
            let count = lines
                .iter()
                .find_map(|line| line.strip_prefix(&format!("{accessor}: [{type_name}; ")))
                .map(|rest| rest.trim_end_matches("],"))
                .or_else(|| body.iter().find_map(|line| line.strip_prefix("[(); ")?.strip_suffix("][n];")))
                .unwrap_or_else(|| panic!("{}: length of {accessor}", file.display()));
            let count = number(count);
            let stride = body
                .iter()
                .take_while(|line| **line != "}")
                .find_map(|line| line.strip_prefix(".add(")?.strip_suffix(" * n)"))
                .map_or((end - start) / count, number);
            dimensions.push((count, stride));
        }
        let module = lines.iter().find_map(|line| {
            let rest = line.strip_prefix(&format!("pub type {type_name} = crate::Reg<"))?;
            Some((rest.split_once("::")?.0, true))
        });
        let cluster = lines.iter().find_map(|line| {
            let rest = line.strip_prefix("pub use self::")?;
            let (module, name) = rest.split_once("::")?;
            (name.trim_end_matches(';') == type_name).then_some((module, false))
        });
        let (module, is_register) =
            module.or(cluster).unwrap_or_else(|| panic!("{}: what is {type_name}?", file.display()));
        let suffix = if is_array { "[]" } else { "" };
        let name = format!("{prefix}{}{suffix}", module.trim_end_matches('_').to_uppercase());
        if is_register {
            // One element of an array has an accessor of its own too.
            let element = lines.iter().any(|line| line.starts_with(&format!("pub const fn {module}(&self, n: usize)")));
            if is_array || !element {
                into.push(register(&path.join(module), name, base + start, dimensions));
            }
        } else {
            block(&path.join(module), &format!("{name}."), base + start, &dimensions, into);
        }
    }
}

/// Reads the register in `path`.rs.
fn register(path: &Path, name: String, offset: u32, dimensions: Vec<(u32, u32)>) -> Register {
    let file = path.with_extension("rs");
    let text = fs::read_to_string(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    let value = |prefix: &str| text.lines().find_map(|line| line.trim().strip_prefix(prefix));
    let reset = value("const RESET_VALUE: u")
        .and_then(|rest| rest.split_once("= "))
        .map_or(0, |(_, value)| number(value.trim_end_matches(';')));
    let (_, spec) = text.split_once("impl crate::RegisterSpec for").expect("a specification");
    let (_, width) = spec.split_once("type Ux = u").expect("a width");
    let bits = number(width.split(';').next().unwrap_or_default());
    let all = if bits == 32 { u32::MAX } else { (1 << bits) - 1 };
    let (mut read_mask, mut write_mask) = (0, 0);
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in flat.split("R::new(").skip(1) {
        let Some(rest) = part.strip_prefix("self, ").is_none().then_some(part) else { continue };
        let expression = rest.split('}').next().unwrap_or_default().replace(['(', ')'], " ");
        let words: Vec<&str> = expression.split_whitespace().collect();
        let after = |sign: &str| words.iter().position(|word| *word == sign).map(|at| number(words[at + 1]));
        if words.contains(&"self.bits") {
            read_mask |= after("&").unwrap_or(u32::MAX) << after(">>").unwrap_or(0);
        }
    }
    for part in flat.split("W::new(self, ").skip(1) {
        let shift = number(part.split(')').next().unwrap_or_default());
        // The type of the field's writer stands before: pub fn name(&mut self) -> NameW<..> { NameW::new(self, n) }.
        let head = &flat[..part.as_ptr() as usize - flat.as_ptr() as usize - "::new(self, ".len()];
        let writer = head.rsplit([' ', '{']).next().unwrap_or_default();
        let line = text.split("pub type ").find(|line| line.starts_with(&format!("{writer}<'a, REG> = ")));
        let kind = line.unwrap_or_else(|| panic!("{}: {writer}", file.display())).split_whitespace();
        let kind = kind.collect::<Vec<_>>().join(" ");
        let width = match kind.split_once("FieldWriter<'a, REG, ") {
            Some((_, rest)) => number(rest.split([',', '>']).next().unwrap_or_default()),
            None => 1,
        };
        write_mask |= if width == 32 { u32::MAX } else { ((1_u32 << width) - 1) << shift };
    }
    let (readable, writable) = (text.contains("impl crate::Readable for"), text.contains("impl crate::Writable for"));
    let mut dimensions = dimensions;
    if let Some((_, stride @ 0)) = dimensions.last_mut() {
        // Bytes are given without the end of their range.
        *stride = bits / 8;
    }
    // A register without fields is all value.
    let mask = |present: bool, mask: u32| if !present { 0 } else { if mask == 0 { all } else { mask & all } };
    Register {
        name,
        offset,
        dimensions,
        bits,
        readable,
        writable,
        reset,
        read_mask: mask(readable, read_mask),
        write_mask: mask(writable, write_mask),
    }
}
