//! The command line.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::artifacts::{self, Workspace};
use crate::bench;
use crate::board::BoardSelector;
use crate::broker::BrokerArgs;
use crate::campaign::{self, CampaignReport, GlitchArgs, PowercutArgs};
use crate::error::Error;
use crate::exec::ExecArgs;
use crate::hub::{self, HubArgs};
use crate::image::{self, ImageCommand};
use crate::live::{self, BoardArgs};
use crate::provision::{self, ProvisionArgs};
use crate::report::{self, Outcome, Style};
use crate::rescue::{self, RescueArgs};
use crate::scenario::{self, Options};
use crate::size;

/// Seed when none is given: any number does, but always the same.
const DEFAULT_SEED: u64 = 1;

/// Proves over-the-air updates on a virtual or a real board.
#[derive(Debug, Parser)]
#[command(name = "hil", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios: build, flash, update, assert, report
    Run(RunArgs),
    /// List the scenarios
    List(JsonArgs),
    /// Run one ELF on a board: cargo's runner for on-target tests
    Exec(ExecArgs),
    /// Run a virtual board by itself: log, UART, button, network, debuggers
    Board(Box<BoardArgs>),
    /// Run a local IoT Hub with Device Update, and administer it
    Hub(Box<HubArgs>),
    /// Load a signed image into a board whose bootloader has nothing to start
    Rescue(RescueArgs),
    /// Make, sign, verify and show update images and their keys
    #[command(subcommand)]
    Image(ImageCommand),
    /// Make a device of a board: its record, its fuses, its bootloader's keys, its lock
    Provision(ProvisionArgs),
    /// Measure how fast something is
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Cut power in every flash operation of the bootloader, on a host and on the virtual board
    Powercut(PowercutArgs),
    /// Skip instructions and flip bits of the core while the bootloader refuses a forged image
    Glitch(GlitchArgs),
    /// Print flash and RAM of bootloader, firmware and agent against their budgets
    Size(SizeArgs),
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// The virtual board: kernels and the TLS handshake against real time and against qemu-system-arm
    Board(bench::BoardArgs),
    /// The bootloader: time from power-on to the application, without and with an update, in virtual time
    Boot(JsonArgs),
    /// The local IoT Hub: connects, messages, twins and memory beside a raw Mosquitto with the same clients
    Hub(bench::HubBenchArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Scenarios to run, by name or as files `*.toml`; `update` if none is named
    #[arg(value_name = "NAME", conflicts_with = "all")]
    names: Vec<String>,
    /// Run every scenario
    #[arg(long)]
    all: bool,
    /// Repeat the run of this seed
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// Board: `virtual:same54-xpro`, or VID:PID[:SERIAL] of a debug probe
    #[arg(long, value_name = "SELECTOR", env = "HIL_BOARD", default_value = "virtual:same54-xpro")]
    board: String,
    #[command(flatten)]
    broker: BrokerArgs,
    /// Where report.json, junit.xml and report.html go
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write every Ethernet frame of the last scenario to this pcap file
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Write the executed source lines of the workspace, over all scenarios, as LCOV
    #[arg(long, value_name = "FILE")]
    coverage: Option<PathBuf>,
    /// Print the report as one JSON document on standard output
    #[arg(long)]
    json: bool,
    /// Show the device's log as it comes
    #[arg(short, long)]
    verbose: bool,
}

#[derive(Debug, Args)]
struct JsonArgs {
    /// Print one JSON document on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SizeArgs {
    /// Print one JSON document on standard output
    #[arg(long)]
    json: bool,
    /// Exit with 1 if a budget is exceeded
    #[arg(long)]
    check: bool,
}

/// Parses the command line and does what it says. Exit code 0: all well; 1: an assertion failed; 2: it could not be
/// done.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::List(args) => list(&args),
        Command::Exec(args) => return crate::exec::exec(args),
        Command::Board(args) => live::board(&args).map_err(|error| Error::Live(Box::new(error))),
        Command::Hub(args) => hub::hub(*args).map_err(|error| Error::HubCommand(Box::new(error))),
        Command::Rescue(args) => rescue::rescue(&args),
        Command::Image(command) => image::image(&command).map_err(|error| Error::Image(Box::new(error))),
        Command::Provision(args) => provision::provision(&args).map_err(|error| Error::Provision(Box::new(error))),
        Command::Size(args) => size(&args),
        Command::Powercut(args) => campaign(args.json, |workspace| campaign::powercut(workspace, &args)),
        Command::Glitch(args) => campaign(args.json, |workspace| campaign::glitch(workspace, &args)),
        Command::Bench(BenchCommand::Board(args)) => bench_board(&args),
        Command::Bench(BenchCommand::Boot(args)) => bench_boot(&args),
        Command::Bench(BenchCommand::Hub(args)) => bench_hub(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

fn run(args: &RunArgs) -> Result<ExitCode, Error> {
    let board: BoardSelector = args.board.parse()?;
    let scenarios = match (&args.names[..], args.all) {
        (_, true) => scenario::all()?,
        ([], false) => scenario::select(&["update".to_owned()])?,
        (names, false) => scenario::select(names)?,
    };
    let hil_dir = artifacts::target_dir(&artifacts::root()).join("hil");
    let options = Options {
        seed: args.seed,
        board,
        workspace: Workspace::new(hil_dir.join("programs")),
        broker: args.broker.place(),
        pcap: args.pcap.clone(),
        coverage: args.coverage.clone(),
        verbose: args.verbose,
        live: std::io::stderr().is_terminal() && !args.verbose,
    };
    let report = scenario::run(&scenarios, &options)?;
    let files = report::write(&report, args.out.as_ref().unwrap_or(&hil_dir))?;
    if args.json {
        print!("{}", report.to_json());
    } else {
        let style = if std::io::stdout().is_terminal() { Style::Colour } else { Style::Plain };
        print!("{}", report::table(&report, style));
    }
    eprintln!("report: {}", files.html.display());
    eprintln!("        {}", files.json.display());
    eprintln!("        {}", files.junit.display());
    if report.outcome != Outcome::Passed {
        eprintln!("failed; repeat with --seed {}", report.seed);
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &JsonArgs) -> Result<ExitCode, Error> {
    let scenarios = scenario::all()?;
    if args.json {
        let rows: Vec<_> = scenarios
            .iter()
            .map(|scenario| {
                serde_json::json!({ "name": scenario.name, "summary": scenario.summary, "steps": scenario.steps })
            })
            .collect();
        println!("{:#}", serde_json::json!({ "schema": "hil-list/1", "scenarios": rows }));
    } else {
        for scenario in scenarios {
            println!("{:<20} {}", scenario.name, scenario.summary);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn bench_board(args: &bench::BoardArgs) -> Result<ExitCode, Error> {
    let out = artifacts::target_dir(&artifacts::root()).join("hil").join("programs");
    let report = bench::board(&Workspace::new(out), args)?;
    if args.json {
        println!("{}", report.to_json());
    } else {
        print!("{}", report.to_table());
    }
    Ok(if report.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bench_boot(args: &JsonArgs) -> Result<ExitCode, Error> {
    let out = artifacts::target_dir(&artifacts::root()).join("hil").join("programs");
    let report = bench::boot(&Workspace::new(out))?;
    if args.json {
        println!("{}", report.to_json());
    } else {
        print!("{}", report.to_table());
    }
    Ok(ExitCode::SUCCESS)
}

fn bench_hub(args: &bench::HubBenchArgs) -> Result<ExitCode, Error> {
    let report = bench::hub(args)?;
    if args.json {
        println!("{}", report.to_json());
    } else {
        print!("{}", report.to_table());
    }
    Ok(ExitCode::SUCCESS)
}

/// Exit code 1 if a point broke a rule.
fn campaign(json: bool, run: impl FnOnce(&Workspace) -> Result<CampaignReport, Error>) -> Result<ExitCode, Error> {
    let out = artifacts::target_dir(&artifacts::root()).join("hil").join("programs");
    let report = run(&Workspace::new(out))?;
    if json {
        println!("{}", report.to_json());
    } else {
        print!("{}", report.to_table());
    }
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn size(args: &SizeArgs) -> Result<ExitCode, Error> {
    let out = artifacts::target_dir(&artifacts::root()).join("hil").join("programs");
    let report = size::measure(&Workspace::new(out))?;
    if args.json {
        println!("{}", report.to_json());
    } else {
        print!("{}", report.to_table());
    }
    let failed = args.check && !report.is_within_budgets();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
