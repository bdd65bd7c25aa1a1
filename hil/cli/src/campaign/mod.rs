//! `hil powercut` and `hil glitch`: the bootloader under every power cut and under faults of the core.
//!
//! One part cuts the supply on a host, in the bootloader's decisions over simulated flash; the others run
//! the shipped binaries on the virtual board. All draw what they draw from one seed, and a point that breaks a rule is
//! printed with what repeats it.

mod glitch;
mod powercut_board;
mod powercut_core;
mod report;
pub(crate) mod stage;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use clap::{Args, ValueEnum};

use crate::artifacts::Workspace;
use crate::error::Error;

pub use report::CampaignReport;

/// Where power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// The bootloader's decisions over simulated flash, on this machine
    Core,
    /// The shipped binaries on the virtual board
    Board,
    /// Both
    All,
}

/// What `hil powercut` understands.
#[derive(Debug, Args)]
pub struct PowercutArgs {
    /// What is cut
    #[arg(value_enum, default_value = "all")]
    pub target: Target,
    /// Cut this bootloader (an ELF file with symbols) on the virtual board instead of the workspace's
    #[arg(long, value_name = "ELF")]
    pub bootloader: Option<PathBuf>,
    /// Repeat the campaign of this seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Threads; all cores if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: Option<u32>,
    /// A fraction of the points, for a quick look: every operation still, and few combinations
    #[arg(long)]
    pub quick: bool,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

/// Where the forged image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// In the application's slot
    Slot,
    /// In `image.bin`
    File,
    /// In the one, then in the other
    All,
}

/// What `hil glitch` understands.
#[derive(Debug, Args)]
pub struct GlitchArgs {
    /// Where the forged image is
    #[arg(value_enum, default_value = "all")]
    pub place: Place,
    /// Attack this bootloader (an ELF file with symbols) instead of the workspace's
    #[arg(long, value_name = "ELF")]
    pub bootloader: Option<PathBuf>,
    /// Repeat the campaign of this seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Threads; all cores if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: Option<u32>,
    /// A fraction of the points, for a quick look
    #[arg(long)]
    pub quick: bool,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

/// Cuts power.
pub fn powercut(workspace: &Workspace, args: &PowercutArgs) -> Result<CampaignReport, Error> {
    let threads = threads(args.threads);
    let mut rows = Vec::new();
    if let Some(path) = &args.bootloader
        && args.target != Target::Board
    {
        let why = "a bootloader by itself runs on the virtual board alone; say `hil powercut board` with it".to_owned();
        return Err(Error::Artifact { path: path.clone(), why });
    }
    if args.target != Target::Board {
        rows.extend(powercut_core::run(args.seed, threads, args.quick));
    }
    if args.target != Target::Core {
        rows.extend(powercut_board::run(workspace, args, threads)?);
    }
    Ok(CampaignReport::new("powercut", args.seed, rows))
}

/// Skips instructions and flips bits.
pub fn glitch(workspace: &Workspace, args: &GlitchArgs) -> Result<CampaignReport, Error> {
    let rows = glitch::run(workspace, args, threads(args.threads))?;
    Ok(CampaignReport::new("glitch", args.seed, rows))
}

fn threads(asked: Option<u32>) -> usize {
    let all = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
    asked.map_or_else(all, |threads| threads as usize)
}

/// Runs `work` for every number below `count`, on a thread for each worker; the results in order.
fn in_parallel<W: Send, T: Send>(workers: Vec<W>, count: usize, work: impl Fn(&mut W, usize) -> T + Sync) -> Vec<T> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let next = AtomicUsize::new(0);
    let run = |mut worker: W| {
        let mut done = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                return done;
            }
            done.push((n, work(&mut worker, n)));
        }
    };
    let mut all: Vec<(usize, T)> = thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = workers.into_iter().map(|worker| scope.spawn(move || run(worker))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    all.sort_by_key(|(n, _)| *n);
    all.into_iter().map(|(_, result)| result).collect()
}
