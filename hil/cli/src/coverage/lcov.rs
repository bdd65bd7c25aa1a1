//! LCOV's tracefile format (`geninfo(1)`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use super::Source;
use super::lines::Sources;

/// Which source files count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// Those that exist below one of these folders, build output and dependencies excluded.
    Below(Vec<PathBuf>),
    /// Every one, whether it exists on this machine or not.
    All,
}

impl Files {
    /// The workspace, and the folder in which the user is.
    pub fn of_workspace() -> Self {
        let folders = [Some(crate::artifacts::root()), std::env::current_dir().ok()];
        Self::Below(folders.into_iter().flatten().filter_map(|folder| folder.canonicalize().ok()).collect())
    }

    /// The path under which a file is reported, if it counts.
    fn choose(&self, path: &Path) -> Option<PathBuf> {
        match self {
            Self::All => Some(path.canonicalize().unwrap_or_else(|_| path.to_owned())),
            Self::Below(folders) => {
                let path = path.canonicalize().ok().filter(|path| path.is_file())?;
                let inside = folders.iter().find_map(|folder| path.strip_prefix(folder).ok())?;
                let is_foreign =
                    |part: Component<'_>| matches!(part.as_os_str().to_str(), Some("target" | ".cargo" | ".rustup"));
                (!inside.components().any(is_foreign)).then_some(path)
            }
        }
    }
}

/// Renders what is known. Counts are 0 or 1: executed is known, how often is not.
pub(super) fn lcov(sources: &Sources, files: &Files) -> String {
    // Several names may be one file.
    let mut chosen: BTreeMap<PathBuf, Source> = BTreeMap::new();
    for (path, source) in &sources.0 {
        let Some(path) = files.choose(path) else { continue };
        let entry = chosen.entry(path).or_default();
        for (line, executed) in &source.lines {
            *entry.lines.entry(*line).or_default() |= executed;
        }
        for (name, (line, executed)) in &source.functions {
            let (first, known) = entry.functions.entry(name.clone()).or_insert((*line, false));
            *first = (*first).min(*line);
            *known |= executed;
        }
    }
    let mut text = String::new();
    for (path, source) in chosen.iter().filter(|(_, source)| !source.lines.is_empty()) {
        render(&mut text, path, source);
    }
    text
}

fn render(text: &mut String, path: &Path, source: &Source) {
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{arguments}");
    };
    line(format_args!("TN:"));
    line(format_args!("SF:{}", path.display()));
    for (name, (first, _)) in &source.functions {
        line(format_args!("FN:{first},{name}"));
    }
    for (name, (_, executed)) in &source.functions {
        line(format_args!("FNDA:{},{name}", u8::from(*executed)));
    }
    line(format_args!("FNF:{}", source.functions.len()));
    line(format_args!("FNH:{}", source.functions.values().filter(|(_, executed)| *executed).count()));
    for (number, executed) in &source.lines {
        line(format_args!("DA:{number},{}", u8::from(*executed)));
    }
    line(format_args!("LF:{}", source.lines.len()));
    line(format_args!("LH:{}", source.lines.values().filter(|executed| **executed).count()));
    line(format_args!("end_of_record"));
}
