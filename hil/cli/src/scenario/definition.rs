//! Scenarios as data: which steps in which order, under which faults.

use std::path::Path;

use hub::update::Forgery;
use hub::{DeviceFault, FileFault};
use serde::Deserialize;

use crate::error::Error;
use crate::scenario::steps::Step;

/// The scenarios that come with `hil`, in the order in which `--all` runs them.
const BUILT_IN: [(&str, &str); 9] = [
    ("update.toml", include_str!("../../../../fixtures/scenarios/update.toml")),
    ("corrupted-download.toml", include_str!("../../../../fixtures/scenarios/corrupted-download.toml")),
    ("forged-manifest.toml", include_str!("../../../../fixtures/scenarios/forged-manifest.toml")),
    ("forged-image.toml", include_str!("../../../../fixtures/scenarios/forged-image.toml")),
    ("power-cut-download.toml", include_str!("../../../../fixtures/scenarios/power-cut-download.toml")),
    ("power-cut-swap.toml", include_str!("../../../../fixtures/scenarios/power-cut-swap.toml")),
    ("broken-download.toml", include_str!("../../../../fixtures/scenarios/broken-download.toml")),
    ("unsteady-service.toml", include_str!("../../../../fixtures/scenarios/unsteady-service.toml")),
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
    /// Seconds by which the LAN's time server is ahead of the true time; negative, behind it.
    #[serde(default)]
    pub clock: i64,
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
    fn misspelt_key_is_refused_by_name() {
        let error = parse("x.toml", "name='x'\nsummary=''\nsteps=[]\n[faults]\nmanifesto='x'").unwrap_err().to_string();
        assert!(error.contains("manifesto"), "{error}");
    }
}
