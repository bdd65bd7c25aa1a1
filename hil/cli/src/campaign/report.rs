//! What a campaign found, for people and for machines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

/// Failures that a table shows; JSON has them all.
const SHOWN: usize = 5;

/// The outcome of a campaign.
#[derive(Debug, Serialize)]
pub struct CampaignReport {
    schema: &'static str,
    what: &'static str,
    seed: u64,
    rows: Vec<Row>,
}

/// One kind of points.
#[derive(Debug, Default, Serialize)]
pub(super) struct Row {
    /// For example "core, update".
    pub(super) name: String,
    /// How many were tried.
    pub(super) points: u64,
    /// How often each outcome came.
    pub(super) outcomes: BTreeMap<String, u64>,
    /// The longest time from power-on to the application, virtual milliseconds; for the core the time of its flash
    /// operations alone.
    pub(super) worst_boot_ms: Option<f64>,
    /// Processor time of all threads together, seconds.
    pub(super) cpu_s: f64,
    /// Points that came to a state from which the way to the end had been gone before, and were judged by that.
    pub(super) joined: u64,
    /// Points that broke a rule.
    pub(super) failures: Vec<Broken>,
}

/// A point that broke a rule.
#[derive(Debug, Serialize)]
pub(super) struct Broken {
    /// Which: the cuts or the fault, and the seed that repeats it.
    pub(super) point: String,
    /// What was seen.
    pub(super) seen: String,
}

impl Row {
    pub(super) fn count(&mut self, outcome: &str) {
        self.points += 1;
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
    }
}

impl CampaignReport {
    pub(super) fn new(what: &'static str, seed: u64, rows: Vec<Row>) -> Self {
        Self { schema: "hil-campaign/1", what, seed, rows }
    }

    /// Whether every point kept the rules.
    pub fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.failures.is_empty() && row.points > 0)
    }

    /// As one JSON document.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// As a table.
    pub fn to_table(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(5);
        let mut out = String::new();
        let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").unwrap_or_default();
        line(format_args!("{:width$}  {:>8}  {:>7}  {:>8}  outcomes", self.what, "points", "CPU s", "boot ms"));
        for row in &self.rows {
            let boot = row.worst_boot_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
            let outcomes: Vec<_> = row.outcomes.iter().map(|(what, n)| format!("{n} {what}")).collect();
            let mut outcomes = outcomes.join(", ");
            if row.joined > 0 {
                outcomes += &format!("; {} of them by a way that was known", row.joined);
            }
            line(format_args!("{:width$}  {:>8}  {:>7.1}  {boot:>8}  {outcomes}", row.name, row.points, row.cpu_s));
        }
        let points: u64 = self.rows.iter().map(|row| row.points).sum();
        let cpu: f64 = self.rows.iter().map(|row| row.cpu_s).sum();
        let failures: usize = self.rows.iter().map(|row| row.failures.len()).sum();
        line(format_args!("{:width$}  {points:>8}  {cpu:>7.1}            {failures} broke a rule", "all"));
        for row in self.rows.iter().filter(|row| !row.failures.is_empty()) {
            for broken in row.failures.iter().take(SHOWN) {
                line(format_args!("{}: {}: {}", row.name, broken.point, broken.seen));
            }
            if row.failures.len() > SHOWN {
                line(format_args!("{}: and {} more; --json has them all", row.name, row.failures.len() - SHOWN));
            }
        }
        out
    }
}
