//! Scenarios as data: which steps in which order, under which faults.

use std::ops::RangeInclusive;
use std::path::Path;

use hub::update::Forgery;
use hub::{DeviceFault, FileFault};
use serde::Deserialize;
use sim_lan::NtpFault;

use crate::error::Error;
use crate::rig::EPOCH;
use crate::scenario::steps::Step;

/// The scenarios that come with `hil`, in the order in which `--all` runs them.
const BUILT_IN: [(&str, &str); 11] = [
    ("update.toml", include_str!("../../../../fixtures/scenarios/update.toml")),
    ("corrupted-download.toml", include_str!("../../../../fixtures/scenarios/corrupted-download.toml")),
    ("forged-manifest.toml", include_str!("../../../../fixtures/scenarios/forged-manifest.toml")),
    ("forged-image.toml", include_str!("../../../../fixtures/scenarios/forged-image.toml")),
    ("power-cut-download.toml", include_str!("../../../../fixtures/scenarios/power-cut-download.toml")),
    ("power-cut-swap.toml", include_str!("../../../../fixtures/scenarios/power-cut-swap.toml")),
    ("broken-download.toml", include_str!("../../../../fixtures/scenarios/broken-download.toml")),
    ("unsteady-service.toml", include_str!("../../../../fixtures/scenarios/unsteady-service.toml")),
    ("wrong-time.toml", include_str!("../../../../fixtures/scenarios/wrong-time.toml")),
    ("wrong-time-on-trial.toml", include_str!("../../../../fixtures/scenarios/wrong-time-on-trial.toml")),
    ("rollback.toml", include_str!("../../../../fixtures/scenarios/rollback.toml")),
];

/// A scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// What is done and asserted, in order.
    pub steps: Vec<Step>,
    /// What goes wrong on purpose.
    #[serde(default)]
    pub faults: Faults,
}

/// What goes wrong on purpose.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Faults {
    /// In the deployment that the hub sends.
    pub manifest: Option<Forgery>,
    /// In the image that is deployed.
    pub image: Option<ImageFault>,
    /// In what the file server sends, at a place that the seed decides.
    pub download: Option<DownloadFault>,
    /// In what the file server sends, in the members of the hub's API.
    pub file: Option<FileFault>,
    /// In the hub's conversation with the device, from the deployment on.
    #[serde(default)]
    pub device: Vec<DeviceFault>,
    /// In what the LAN's time server tells.
    pub clock: Option<ClockFault>,
}

/// A time server that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ClockTable")]
pub struct ClockFault {
    /// Seconds by which it is ahead of the true time, not 0; negative, behind it.
    pub ahead: i64,
    /// How many answers are right before the fault begins.
    pub after: u32,
    /// How many answers are wrong before the fault is gone, at least 1; all of them if `None`.
    pub remaining: Option<u32>,
}

/// What a time server may be ahead: it tells no time before 1970, and none that SNTP cannot tell from one before 1968, which
/// is that from 2104-02-26 on (RFC 4330 section 3).
const AHEAD: RangeInclusive<i64> = -(EPOCH as i64)..=4_233_462_143 - EPOCH as i64 - LONGEST;
/// Seconds that a scenario lasts, at the most: a day.
const LONGEST: i64 = 86_400;

/// A [`ClockFault`] as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, e.g. { ahead = -86400, remaining = 1 }")]
struct ClockTable {
    ahead: i64,
    #[serde(default)]
    after: u32,
    remaining: Option<u32>,
}

impl TryFrom<ClockTable> for ClockFault {
    type Error = String;

    fn try_from(ClockTable { ahead, after, remaining }: ClockTable) -> Result<Self, String> {
        if ahead == 0 {
            return Err("faults.clock: ahead is 0 seconds, which is no fault".to_owned());
        }
        if !AHEAD.contains(&ahead) {
            let (first, last) = AHEAD.into_inner();
            return Err(format!("faults.clock: ahead is {ahead} seconds; SNTP carries {first} to {last}"));
        }
        if remaining == Some(0) {
            return Err("faults.clock: remaining is 0, so no answer would be wrong".to_owned());
        }
        Ok(Self { ahead, after, remaining })
    }
}

impl From<ClockFault> for NtpFault {
    fn from(ClockFault { ahead, after, remaining }: ClockFault) -> Self {
        Self { ahead, after, remaining }
    }
}

/// A fault of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageFault {
    /// Its Ed25519 signature does not verify; the update's hash covers the image as it is.
    ForgedSignature,
}

/// A fault of the download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DownloadFault {
    /// One byte at a seeded offset differs from the image.
    FlipByte,
}

/// The built-in scenarios.
pub fn all() -> Result<Vec<Scenario>, Error> {
    BUILT_IN.iter().map(|(path, text)| parse(path, text)).collect()
}

/// The scenarios called `names`, in that order; a name that ends in `.toml` is a file.
pub fn select(names: &[String]) -> Result<Vec<Scenario>, Error> {
    let known = all()?;
    names
        .iter()
        .map(|name| {
            if name.ends_with(".toml") {
                let text = std::fs::read_to_string(name).map_err(|source| Error::read(Path::new(name), source))?;
                return parse(name, &text);
            }
            known.iter().find(|scenario| scenario.name == *name).cloned().ok_or_else(|| Error::UnknownScenario {
                name: name.clone(),
                known: known.iter().map(|scenario| scenario.name.as_str()).collect::<Vec<_>>().join(", "),
            })
        })
        .collect()
}

fn parse(path: &str, text: &str) -> Result<Scenario, Error> {
    toml::from_str(text).map_err(|why| Error::Scenario { path: path.to_owned(), why: why.message().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_scenarios_parse_and_their_names_are_their_file_names() {
        for (scenario, (path, _)) in all().unwrap().iter().zip(BUILT_IN) {
            assert_eq!(format!("{}.toml", scenario.name), path);
            assert!(!scenario.steps.is_empty());
        }
    }

    #[test]
    fn scenario_may_be_a_file() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/scenarios/rollback.toml");
        let scenarios = select(&["update".to_owned(), file.to_owned()]).unwrap();
        let names: Vec<_> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names, ["update", "rollback"]);
        let error = select(&["no-such.toml".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no-such.toml"), "{error}");
    }

    #[test]
    fn unknown_scenario_names_the_known_ones() {
        let error = select(&["updat".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("\"updat\"") && error.contains("update, corrupted-download"), "{error}");
    }

    #[test]
    fn clock_fault_that_cannot_strike_is_refused_and_says_why() {
        let parse = |clock: &str| {
            let text = format!("name='x'\nsummary=''\nsteps=[]\n[faults]\nclock = {clock}");
            parse("x.toml", &text).map(|scenario| scenario.faults.clock).map_err(|why| why.to_string())
        };
        let fault = |ahead, after, remaining| Ok(Some(ClockFault { ahead, after, remaining }));
        assert_eq!(parse("{ ahead = -1200 }"), fault(-1_200, 0, None));
        assert_eq!(parse("{ ahead = 60, after = 3, remaining = 2 }"), fault(60, 3, Some(2)));
        assert_eq!(parse("{ ahead = -1767225600 }"), fault(-1_767_225_600, 0, None));
        for (clock, why) in [
            ("-1200", "a table, e.g. { ahead = -86400, remaining = 1 }"),
            ("{ remaining = 1 }", "missing field `ahead`"),
            ("{ ahead = 0 }", "ahead is 0 seconds"),
            ("{ ahead = 60, remaining = 0 }", "remaining is 0"),
            ("{ ahead = 60, after = -1 }", "-1"),
            ("{ ahead = 60, seconds = 5 }", "unknown field `seconds`"),
            ("{ ahead = -1767225601 }", "SNTP carries -1767225600 to 2466150143"),
            ("{ ahead = 2466150144 }", "SNTP carries -1767225600 to 2466150143"),
        ] {
            let error = parse(clock).unwrap_err();
            assert!(error.contains("x.toml") && error.contains(why), "{clock}: {error}");
        }
    }

    #[test]
    fn misspelt_key_is_refused_by_name() {
        let error = parse("x.toml", "name='x'\nsummary=''\nsteps=[]\n[faults]\nmanifesto='x'").unwrap_err().to_string();
        assert!(error.contains("manifesto"), "{error}");
    }
}
