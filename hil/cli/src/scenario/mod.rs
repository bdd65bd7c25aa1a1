//! Scenarios: what is done to a rig, in which order, and what is asserted.

mod blocks;
mod context;
mod definition;
mod steps;

pub use definition::{ClockFault, DownloadFault, Faults, ImageFault, Scenario, all, select};
pub use steps::Step;
pub(crate) use steps::offer;

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant as WallInstant;

use hub_broker::Place;
use update_image::layout;
use update_image::sign::{self, SecretKey};

use crate::artifacts::Workspace;
use crate::board::BoardSelector;
use crate::coverage::{Files, Recorder};
use crate::elf::Image;
use crate::error::Error;
use crate::image::ImageError;
use crate::report::{Failure, Outcome, Report, SCHEMA, ScenarioReport, StepReport, Totals, Wall};
use crate::rig::{Observation, Programs, Rig, What};
use context::Context;
use same54_sim::EventKind as BoardEvent;

/// Version on the board at the start.
pub const OLD: &str = "1.0.0";
/// Version that is deployed.
pub const NEW: &str = "2.0.0";
/// Name of the board in an image's target TLV.
pub(crate) const BOARD: &str = "same54-xpro";

/// How scenarios are run.
#[derive(Debug)]
pub struct Options {
    /// Decides everything that chance decides.
    pub seed: u64,
    /// On which board.
    pub board: BoardSelector,
    /// Where the programs come from.
    pub workspace: Workspace,
    /// The broker that MQTT goes through; the hub's own MQTT if `None`.
    pub broker: Option<Place>,
    /// Where the Ethernet frames go.
    pub pcap: Option<PathBuf>,
    /// Where the executed source lines go, as LCOV.
    pub coverage: Option<PathBuf>,
    /// Show the device's log as it comes.
    pub verbose: bool,
    /// Progress goes to a terminal that can redraw a line.
    pub live: bool,
}

/// The images that the scenarios work with.
pub struct Images {
    /// Signed image of [`OLD`].
    pub old: Vec<u8>,
    /// Signed image of [`NEW`].
    pub new: Vec<u8>,
}

/// Builds the programs, runs `scenarios` one after the other and reports.
pub fn run(scenarios: &[Scenario], options: &Options) -> Result<Report, Error> {
    if let BoardSelector::Probe(_) = options.board {
        return Err(Error::Unsupported {
            board: options.board.to_string(),
            why: "their evidence comes from a virtual board's flash and network".to_owned(),
        });
    }
    let started = WallInstant::now();
    let (programs, images) = programs(&options.workspace)?;
    let mut coverage = match options.coverage {
        Some(_) => Some(recorder(&programs)?),
        None => None,
    };
    let mut broker = None;
    let scenarios = scenarios
        .iter()
        .map(|scenario| run_one(scenario, options, &programs, &images, &mut broker, &mut coverage))
        .collect::<Result<Vec<_>, _>>()?;
    if let (Some(path), Some(recorder)) = (&options.coverage, &coverage) {
        let text = recorder
            .lcov(&Files::of_workspace())
            .map_err(|why| Error::Artifact { path: options.workspace.out().to_owned(), why })?;
        std::fs::write(path, text).map_err(|source| Error::write(path, source))?;
    }
    let passed = scenarios.iter().all(|scenario| scenario.outcome == Outcome::Passed);
    let instructions = scenarios.iter().map(|scenario| scenario.totals.instructions).sum();
    Ok(Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        board: options.board.to_string(),
        broker,
        seed: options.seed,
        outcome: if passed { Outcome::Passed } else { Outcome::Failed },
        scenarios,
        wall: Wall::new(started.elapsed(), instructions),
    })
}

/// Builds what scenarios put onto the board.
pub fn programs(workspace: &Workspace) -> Result<(Programs, Images), Error> {
    let bootloader = workspace.bootloader()?;
    let old = workspace.firmware(OLD)?;
    let new = workspace.firmware(NEW)?;
    let images = Images { old: signed(&old.flat()?, OLD)?, new: signed(&new.flat()?, NEW)? };
    let programs = Programs {
        bootloader_image: bootloader.flat()?,
        bootloader: bootloader.elf,
        firmware: vec![(OLD.to_owned(), old.elf), (NEW.to_owned(), new.elf)],
        slot_image: images.old.clone(),
    };
    Ok((programs, images))
}

/// The firmware as an image for the slot, signed with the test key.
pub(crate) fn signed((base, payload): &(u32, Vec<u8>), version: &str) -> Result<Vec<u8>, Error> {
    let image = |why| Error::Image(Box::new(why));
    let refused = |why| image(ImageError::Payload { path: format!("firmware {version}").into(), why });
    if *base != layout::VECTOR_TABLE {
        let slot = layout::VECTOR_TABLE;
        return Err(refused(format!(
            "linked at {base:#x}, not for the application slot at {slot:#x}; correct FLASH in memory.x"
        )));
    }
    let key = SecretKey::from_pem(include_str!("../../../../fixtures/keys/image/test-only.pem")).map_err(|why| {
        image(ImageError::Key { path: "fixtures/keys/image/test-only.pem".into(), why: why.to_string() })
    })?;
    let number = update_image::Version::parse(version).expect("the versions above are well-formed");
    sign::sign(payload, &key, number, 0, BOARD).map_err(|why| refused(why.to_string()))
}

/// Collects what the programs execute in all scenarios.
fn recorder(programs: &Programs) -> Result<Recorder, Error> {
    let elfs = [("bootloader", &programs.bootloader)].into_iter();
    let elfs = elfs.chain(programs.firmware.iter().map(|(version, elf)| (version.as_str(), elf)));
    let images = elfs.map(|(name, elf)| {
        Image::parse(elf.clone()).map_err(|why| Error::Artifact { path: name.into(), why: why.to_string() })
    });
    Ok(Recorder::new(images.collect::<Result<Vec<_>, _>>()?))
}

fn run_one(
    scenario: &Scenario,
    options: &Options,
    programs: &Programs,
    images: &Images,
    broker: &mut Option<String>,
    coverage: &mut Option<Recorder>,
) -> Result<ScenarioReport, Error> {
    let started = WallInstant::now();
    eprintln!("{}: {}", scenario.name, scenario.summary);
    let capture = match &options.pcap {
        Some(path) => Some(File::create(path).map_err(|source| Error::write(path, source))?),
        None => None,
    };
    let mut rig = Rig::new(programs, options.seed, capture, options.broker.as_ref(), options.verbose)?;
    *broker = rig.broker();
    rig.cover(coverage.take());
    if let Some(fault) = scenario.faults.clock {
        rig.set_time_fault(fault.into());
    }
    let mut context = Context::new(rig, scenario, images, options)?;
    let mut steps = Vec::new();
    let mut failed = false;
    for step in &scenario.steps {
        steps.push(if failed { skipped(*step) } else { context.run(*step)? });
        failed |= steps.last().is_some_and(|step| step.outcome == Outcome::Failed);
    }
    let mut failure = context.take_failure();
    let mut rig = context.into_rig();
    *coverage = rig.uncover();
    let violations = violations(rig.observations());
    if let (None, Some(first)) = (&failure, violations.first()) {
        failed = true;
        failure = Some(Failure {
            step: scenario.steps.last().map_or("", |step| step.id()).to_owned(),
            what: "rules of the chip's documents".to_owned(),
            expected: "none broken".to_owned(),
            seen: first.clone(),
            log: rig.log_tail(context::LOG_TAIL),
        });
    }
    let (instructions, cycles) = rig.work();
    Ok(ScenarioReport {
        name: scenario.name.clone(),
        summary: scenario.summary.clone(),
        outcome: if failed { Outcome::Failed } else { Outcome::Passed },
        failure,
        steps,
        totals: Totals { virtual_us: rig.now().as_nanos() / 1_000, instructions, cycles, frames: rig.frames() },
        unmodelled: unmodelled(rig.observations()),
        violations,
        timeline: rig.observations().iter().filter_map(|seen| seen.entry(OLD)).collect(),
        wall: Wall::new(started.elapsed(), instructions),
    })
}

fn skipped(step: Step) -> StepReport {
    StepReport {
        id: step.id().to_owned(),
        outcome: Outcome::Skipped,
        started_us: 0,
        ended_us: 0,
        instructions: 0,
        checks: Vec::new(),
        figures: Default::default(),
        wall: Wall::default(),
    }
}

fn unmodelled(observations: &[Observation]) -> Vec<String> {
    let mut list: Vec<String> = observations
        .iter()
        .filter_map(|seen| match &seen.what {
            What::Board(BoardEvent::Unmodelled { what, write, pc }) => {
                Some(format!("{} {what} (pc {pc:#010x})", if *write { "write" } else { "read" }))
            }
            What::Board(BoardEvent::UndefinedInstruction { pc, encoding }) => {
                Some(format!("instruction {encoding:#010x} (pc {pc:#010x})"))
            }
            _ => None,
        })
        .collect();
    list.sort();
    list.dedup();
    list
}

fn violations(observations: &[Observation]) -> Vec<String> {
    observations
        .iter()
        .filter_map(|seen| match &seen.what {
            What::Board(BoardEvent::Violation(what)) => Some(format!("{} {what}", seen.at)),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_that_cannot_be_signed_is_named_with_the_reason() {
        let error = |base, len| signed(&(base, vec![0; len]), "1.0.0").unwrap_err().to_string();
        let elsewhere = error(0, 16);
        assert!(elsewhere.starts_with("firmware 1.0.0: linked at 0x0, not for the application slot"), "{elsewhere}");
        let large = error(layout::VECTOR_TABLE, layout::SLOT.len as usize);
        assert!(large.starts_with("firmware 1.0.0: the image has "), "{large}");
    }
}
