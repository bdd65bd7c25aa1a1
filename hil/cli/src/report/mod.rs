//! The report of a run: one model, four renderings.
//!
//! [`Report`] is what a run leaves behind. Everything in it follows from the seed, save what is under a `wall` key:
//! two runs with one seed give the same document once those keys are removed.

mod html;
mod junit;
mod model;
mod table;

pub use model::{
    Check, Entry, Failure, Figures, Lane, Outcome, Report, SCHEMA, ScenarioReport, StepReport, Totals, Wall,
};
pub use table::{Style, render as table};

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Where the renderings of a report were written.
#[derive(Debug)]
pub struct Files {
    /// The report itself.
    pub json: PathBuf,
    /// For CI systems.
    pub junit: PathBuf,
    /// For people.
    pub html: PathBuf,
}

/// Writes `report.json`, `junit.xml` and `report.html` into `dir`.
pub fn write(report: &Report, dir: &Path) -> Result<Files, Error> {
    fs::create_dir_all(dir).map_err(|source| Error::write(dir, source))?;
    let put = |name: &str, text: String| {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|source| Error::write(&path, source))?;
        Ok::<_, Error>(path)
    };
    Ok(Files {
        json: put("report.json", report.to_json())?,
        junit: put("junit.xml", junit::render(report))?,
        html: put("report.html", html::render(report))?,
    })
}
