//! The data of a report, as `report.json` holds it. Keys are stable: they are only ever added to.

use std::collections::BTreeMap;

use serde::Serialize;

/// Value of the `schema` key.
pub const SCHEMA: &str = "hil-report/1";

/// A whole invocation of `hil run`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Version of `hil`.
    pub version: &'static str,
    /// Board selector, for example `virtual:same54-xpro`.
    pub board: String,
    /// Name and version of the broker that MQTT went through, for example `mosquitto 2.0.11`; null if it did not.
    pub broker: Option<String>,
    /// Seed that repeats the run.
    pub seed: u64,
    /// `Passed` if every scenario passed.
    pub outcome: Outcome,
    /// In the order in which they ran.
    pub scenarios: Vec<ScenarioReport>,
    /// Wall-clock figures; not repeatable.
    pub wall: Wall,
}

impl Report {
    /// One JSON document, indented, with a final newline.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("the model has string keys and finite numbers only");
        text.push('\n');
        text
    }
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Every check held.
    Passed,
    /// A check did not hold.
    Failed,
    /// Not reached.
    Skipped,
}

/// One scenario.
#[derive(Clone, Debug, Serialize)]
pub struct ScenarioReport {
    /// As on the command line.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The first check that did not hold.
    pub failure: Option<Failure>,
    /// In order.
    pub steps: Vec<StepReport>,
    /// Totals over the scenario.
    pub totals: Totals,
    /// Accesses and instructions that the virtual board does not model, each once.
    pub unmodelled: Vec<String>,
    /// Rules of the chip's documents that the firmware broke.
    pub violations: Vec<String>,
    /// What happened, in order of virtual time.
    pub timeline: Vec<Entry>,
    /// Wall-clock figures; not repeatable.
    pub wall: Wall,
}

/// One step of a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Short name, for example `block-write`.
    pub id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Virtual time at its start, microseconds.
    pub started_us: u64,
    /// Virtual time at its end, microseconds.
    pub ended_us: u64,
    /// Instructions that the device executed in it.
    pub instructions: u64,
    /// What was asserted, in order.
    pub checks: Vec<Check>,
    /// Figures of this step by name, for example `blocks`.
    pub figures: Figures,
    /// Wall-clock figures; not repeatable.
    pub wall: Wall,
}

/// Figures by name.
pub type Figures = BTreeMap<&'static str, u64>;

/// One assertion.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What is asserted.
    pub what: String,
    /// What was to be seen.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// Whether it held.
    pub passed: bool,
}

/// Why a scenario failed.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The step that failed.
    pub step: String,
    /// The assertion.
    pub what: String,
    /// What was to be seen.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// The device's last log lines before it.
    pub log: Vec<String>,
}

/// Totals of a scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Virtual time that passed, microseconds.
    pub virtual_us: u64,
    /// Instructions executed.
    pub instructions: u64,
    /// Core clock cycles that passed, sleep included.
    pub cycles: u64,
    /// Ethernet frames, both directions.
    pub frames: u64,
}

/// Figures of the machine that ran the simulation.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Wall {
    /// Milliseconds.
    pub ms: f64,
    /// Millions of instructions simulated per second of wall-clock time.
    pub mips: f64,
}

impl Wall {
    /// From a duration and the instructions simulated in it.
    pub fn new(elapsed: std::time::Duration, instructions: u64) -> Self {
        let seconds = elapsed.as_secs_f64();
        let mips = if seconds > 0.0 { instructions as f64 / seconds / 1e6 } else { 0.0 };
        Self { ms: (seconds * 1e5).round() / 1e2, mips: (mips * 10.0).round() / 10.0 }
    }
}

/// A row of the picture that an [`Entry`] belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// Supply and resets.
    Power,
    /// Which program runs.
    Program,
    /// Ethernet and the services on it.
    Network,
    /// IoT Hub and provisioning.
    Cloud,
    /// Ranges served by the file server.
    Download,
    /// External flash.
    ExternalFlash,
    /// Internal flash.
    InternalFlash,
    /// The device's own log.
    Log,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Virtual time, microseconds.
    pub at_us: u64,
    /// Where it belongs.
    pub lane: Lane,
    /// A stable word for what it is, for example `nor-program`.
    pub kind: &'static str,
    /// For people.
    pub text: String,
    /// A quantity, for example an address or a length; meaning by `kind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<u64>,
}
