//! What the steps of one scenario share: the rig, what has been asserted, and how a step waits.

use std::fmt::Display;
use std::time::{Duration, Instant as WallInstant};

use hub::DeploymentId;
use sim_base::Rng;

use super::blocks::BlockWatch;
use super::steps::Step;
use super::{Images, Options, Scenario};
use crate::error::Error;
use crate::report::{Check, Failure, Figures, Outcome, StepReport, Wall};
use crate::rig::{Observation, Rig, Stuck};

/// Log lines that a failure shows.
pub const LOG_TAIL: usize = 20;
/// Wall-clock time between two drawings of the line that shows progress.
const REDRAW: Duration = Duration::from_millis(80);

/// A check did not hold; the context has recorded it.
#[derive(Debug)]
pub struct Failed;

/// How a step ends early.
#[derive(Debug)]
pub enum Abort {
    /// A check did not hold.
    Failed,
    /// The runner itself could not go on.
    Error(Error),
}

impl From<Failed> for Abort {
    fn from(Failed: Failed) -> Self {
        Self::Failed
    }
}

impl From<Error> for Abort {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// State of one scenario.
pub struct Context<'a> {
    /// The board and everything around it.
    pub rig: Rig,
    /// What is run.
    pub scenario: &'a Scenario,
    /// Signed images.
    pub images: &'a Images,
    /// The image as it is deployed: [`Images::new`], or a forgery of it.
    pub deployed: Vec<u8>,
    /// The deployment under test, once it is made.
    pub deployment: Option<DeploymentId>,
    /// Watches the download being written.
    pub blocks: BlockWatch,
    /// Chance, for what the scenario itself decides.
    pub rng: Rng,
    /// First observation that no step has consumed.
    cursor: usize,
    /// First observation that `blocks` has not seen.
    blocks_cursor: usize,
    checks: Vec<Check>,
    figures: Figures,
    failure: Option<Failure>,
    step: &'static str,
    /// The terminal can redraw a line: when that was done last.
    live: Option<WallInstant>,
}

impl<'a> Context<'a> {
    pub fn new(rig: Rig, scenario: &'a Scenario, images: &'a Images, options: &Options) -> Result<Self, Error> {
        let rng = Rng::new(options.seed).fork(&scenario.name);
        let deployed = super::steps::deployed_image(scenario, images);
        Ok(Self {
            rig,
            scenario,
            images,
            blocks: BlockWatch::new(deployed.clone()),
            deployed,
            deployment: None,
            rng,
            cursor: 0,
            blocks_cursor: 0,
            checks: Vec::new(),
            figures: Figures::new(),
            failure: None,
            step: "",
            live: options.live.then(WallInstant::now),
        })
    }

    /// Runs one step and reports it, with a line of progress.
    pub fn run(&mut self, step: Step) -> Result<StepReport, Error> {
        let wall = WallInstant::now();
        self.step = step.id();
        let started_us = self.rig.now().as_nanos() / 1_000;
        let (before, _) = self.rig.work();
        let outcome = match step.run(self) {
            Ok(()) => Outcome::Passed,
            Err(Abort::Failed) => Outcome::Failed,
            Err(Abort::Error(error)) => return Err(error),
        };
        if let Some(failure) = &mut self.failure {
            failure.step = step.id().to_owned();
            failure.log = self.rig.log_tail(LOG_TAIL);
        }
        let instructions = self.rig.work().0 - before;
        let report = StepReport {
            id: step.id().to_owned(),
            outcome,
            started_us,
            ended_us: self.rig.now().as_nanos() / 1_000,
            instructions,
            checks: std::mem::take(&mut self.checks),
            figures: std::mem::take(&mut self.figures),
            wall: Wall::new(wall.elapsed(), instructions),
        };
        self.progress(&report);
        Ok(report)
    }

    fn progress(&self, step: &StepReport) {
        let (mark, reset) = match (step.outcome == Outcome::Passed, self.live.is_some()) {
            (true, true) => ("\r\x1b[K  \x1b[32m✓", "\x1b[0m"),
            (false, true) => ("\r\x1b[K  \x1b[31m✗", "\x1b[0m"),
            (true, false) => ("  ✓", ""),
            (false, false) => ("  ✗", ""),
        };
        eprintln!(
            "{mark}{reset} {:<18} {:>8.3} s virtual {:>7.2} s wall",
            step.id,
            step.ended_us as f64 / 1e6,
            step.wall.ms / 1e3
        );
        for check in &step.checks {
            eprintln!("      {}: {}", check.what, check.seen);
        }
    }

    /// Asserts that `passed`; `expected` and `seen` are for the report.
    pub fn check(
        &mut self,
        what: impl Display,
        expected: impl Display,
        seen: impl Display,
        passed: bool,
    ) -> Result<(), Failed> {
        if !passed {
            return Err(self.fail(what, expected, seen));
        }
        self.checks.push(Check {
            what: what.to_string(),
            expected: expected.to_string(),
            seen: seen.to_string(),
            passed,
        });
        Ok(())
    }

    /// Records a check that did not hold.
    pub fn fail(&mut self, what: impl Display, expected: impl Display, seen: impl Display) -> Failed {
        let (what, expected, seen) = (what.to_string(), expected.to_string(), seen.to_string());
        self.failure = Some(Failure {
            step: String::new(),
            what: what.clone(),
            expected: expected.clone(),
            seen: seen.clone(),
            log: Vec::new(),
        });
        self.checks.push(Check { what, expected, seen, passed: false });
        Failed
    }

    /// Asserts that `seen` equals `expected`.
    pub fn check_eq<T: PartialEq + Display>(&mut self, what: impl Display, expected: T, seen: T) -> Result<(), Failed> {
        let passed = expected == seen;
        self.check(what, expected, seen, passed)
    }

    /// Puts a figure into the step's report.
    pub fn figure(&mut self, name: &'static str, value: u64) {
        self.figures.insert(name, value);
    }

    /// Waits until `find` makes something of an observation that no step has consumed, and consumes up to it. `what`
    /// names it as an expectation; `limit` is virtual time.
    pub fn expect<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut find: impl FnMut(&Observation) -> Option<T>,
    ) -> Result<T, Failed> {
        let found = self.wait(what, limit, |context| {
            while let Some(seen) = context.rig.observations().get(context.cursor) {
                let found = find(seen);
                context.cursor += 1;
                if found.is_some() {
                    return found;
                }
            }
            None
        })?;
        Ok(found)
    }

    /// Lets time pass until `look` yields something.
    pub fn wait<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, Failed> {
        let end = self.rig.now() + limit;
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if let Some(stuck) = self.rig.stuck().cloned() {
                let seen = match stuck {
                    Stuck::Lockup => "the core locked up".to_owned(),
                    Stuck::Halted { pc } => {
                        format!("the core stopped at {pc:#010x}: a panic, or a breakpoint instruction")
                    }
                    Stuck::Broker(why) => why,
                    Stuck::Watchdog => "the simulation made no end within five minutes of wall time".to_owned(),
                };
                return Err(self.fail(what, "seen", format!("{seen}, in {}", self.rig.running())));
            }
            if self.rig.now() >= end {
                let seen = format!("nothing within {} s of virtual time; {} runs", limit.as_secs(), self.rig.running());
                return Err(self.fail(what, "seen", seen));
            }
            self.rig.tick();
            self.feed_blocks();
            self.show_life();
        }
    }

    /// Redraws the line that says what is being waited for.
    fn show_life(&mut self) {
        let Some(drawn) = &mut self.live else { return };
        if drawn.elapsed() < REDRAW {
            return;
        }
        *drawn = WallInstant::now();
        let (found, all) = (self.blocks.found(), self.blocks.blocks().len());
        let running = self.rig.running();
        eprint!(
            "\r\x1b[K  … {:<18} {:>8.1} s virtual  {running}, {found} of {all} blocks",
            self.step,
            self.rig.now().as_nanos() as f64 / 1e9
        );
    }

    /// Shows external flash's commands to the block watch.
    fn feed_blocks(&mut self) {
        use crate::rig::What;
        use same54_sim::EventKind as BoardEvent;
        let observations = self.rig.observations();
        for seen in &observations[self.blocks_cursor..] {
            match &seen.what {
                What::Board(BoardEvent::NorErase { addr, len }) => self.blocks.erase(*addr, *len),
                What::Board(BoardEvent::NorProgram { addr, data }) => self.blocks.program(seen.at, *addr, data),
                _ => {}
            }
        }
        self.blocks_cursor = observations.len();
    }

    /// Observations that no step has consumed.
    pub fn unconsumed(&self) -> &[Observation] {
        &self.rig.observations()[self.cursor..]
    }

    /// Consumes everything seen so far.
    pub fn consume(&mut self) {
        self.cursor = self.rig.observations().len();
    }

    /// The check that failed, if one did.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Gives the rig back at the end.
    pub fn into_rig(self) -> Rig {
        self.rig
    }
}
