//! docs/fidelity.md is what the models say of themselves.
//!
//! Each module of the virtual board has a paragraph that begins with "Fidelity:". This test gathers them and compares;
//! `UPDATE=1 cargo test -p same54-sim --test fidelity` writes the page.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const HEAD: &str = "\
# Fidelity of the virtual board

What each block of the virtual SAM E54 Xplained Pro models, what it only stores, what is absent, and what is assumed because
no document says it. *Modelled* means behaviour, after the SAM D5x/E5x datasheet and the register definitions of the
`atsame54p` crate. An access to a register that is absent is recorded and shown in the report of the run.

Not one of these models has been compared with silicon yet. Times in the core follow the Cortex-M4's tables, with the wait
states of the flash; the error of DWT CYCCNT is estimated (`hil/armv7m/README.md`).

This page is generated from the sources (`UPDATE=1 cargo test -p same54-sim --test fidelity`).
";

/// The top folder of the project.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The module documentation of a file: its first line, and the paragraph about fidelity.
fn fidelity(source: &str) -> Option<(String, String)> {
    let docs: Vec<&str> = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let start = docs.iter().position(|line| line.starts_with("Fidelity:"))?;
    let paragraph: Vec<&str> = docs[start..].iter().take_while(|line| !line.is_empty()).copied().collect();
    let text = paragraph.join(" ");
    Some((docs[0].trim_end_matches('.').to_owned(), text["Fidelity:".len()..].trim().to_owned()))
}

/// The table of counts, and under it the registers that do not behave.
fn registers(page: &mut String) {
    page.push_str(TABLE);
    let coverage = same54_sim::coverage();
    let mut total = [0; 3];
    for row in &coverage {
        let [modelled, stored, absent] = row.counts;
        let _ = writeln!(page, "| {} | {modelled} | {stored} | {absent} |", row.instances.join(", "));
        for (sum, count) in total.iter_mut().zip(row.counts) {
            *sum += count * row.instances.len();
        }
    }
    let [modelled, stored, absent] = total;
    let _ = writeln!(page, "| **all instances** | **{modelled}** | **{stored}** | **{absent}** |\n");
    for row in &coverage {
        let [_, stored, absent] = row.counts;
        let words = ["stored only", "absent"].into_iter().zip(&row.exceptions);
        let parts: Vec<String> = words
            .filter(|(_, names)| !names.is_empty())
            .map(|(word, names)| match row.counts[0] + stored + absent {
                all if all == stored || all == absent => format!("all {word}"),
                _ => format!("{word}: `{}`", names.join("`, `")),
            })
            .collect();
        if !parts.is_empty() {
            let _ = writeln!(page, "- {}: {}", row.instances.join(", "), parts.join("; "));
        }
    }
}

const TABLE: &str = "
## Every register
Counted by register of one instance, an array with each element, after the definitions of the `atsame54p` crate. A test
walks the table and compares address, width, reset value, read-only bits and these classes with the model.

| block | modelled | stored only | absent |
|---|---|---|---|
";

fn page() -> String {
    let root = root().join("hil/same54-sim/src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    files.sort();
    let mut page = HEAD.to_owned();
    registers(&mut page);
    for file in files {
        if let Some((title, text)) = fidelity(&fs::read_to_string(&file).unwrap()) {
            let name = file.strip_prefix(&root).unwrap().display();
            let mut chars = text.chars();
            let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
            let _ = write!(page, "\n## {title}\n`{name}`\n\n{first}{}\n", chars.as_str());
        }
    }
    page
}

#[test]
fn page_says_what_the_models_say() {
    let path = root().join("docs/fidelity.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "docs/fidelity.md is stale; run UPDATE=1 cargo test -p same54-sim --test fidelity");
}
