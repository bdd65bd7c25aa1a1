//! `hil exec`: runs one ELF on a board, as cargo's runner.
//!
//! A program of `embedded-test` (protocol 1) is a set of tests: each runs after a reset of its own, and the command
//! line and output are libtest's. Any other program runs until it exits by semihosting, which is its verdict;
//! `defmt-test` binaries are such programs. Time-outs are in the board's time: a virtual board's virtual time.

mod fault;
mod program;
mod run;
#[cfg(test)]
pub(crate) mod test_elf;
#[cfg(test)]
mod tests;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use libtest_mimic::{Arguments, Failed, Trial};
use thiserror::Error;

use crate::board::{BoardError, BoardSelector, BoardSession, LogLine};
use crate::coverage::{Files, Recorder};
use crate::elf::Image;
use program::{Program, TestCase};
use run::{Ending, Entry, Runner};

/// The command line of `hil exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// The program: an ELF for the board's microcontroller
    #[arg(value_name = "ELF")]
    elf: PathBuf,
    /// Board: `virtual:same54-xpro`, or VID:PID[:SERIAL] of a debug probe
    #[arg(long, value_name = "SELECTOR", env = "HIL_BOARD", default_value = "virtual:same54-xpro")]
    board: String,
    /// Seed of a virtual board's random numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Time a program, or a test that does not set its own, may take on the board's clock
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u32,
    /// Write the executed source lines of the workspace as LCOV
    #[arg(long, value_name = "FILE")]
    coverage: Option<PathBuf>,
    #[command(flatten)]
    tests: Arguments,
}

/// Why nothing could be run.
#[derive(Debug, Error)]
enum ExecError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {why}")]
    Program { path: PathBuf, why: String },
    #[error("--coverage {path}: {why}")]
    Coverage { path: PathBuf, why: String },
    #[error("{0}")]
    Board(#[from] BoardError),
}

/// Runs the program or its tests. Exit code 0: passed; 1: failed; 2: could not be run; a program's own exit status if
/// it gives one; libtest's 101 for failed tests.
pub fn exec(args: ExecArgs) -> ExitCode {
    try_exec(args).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

fn try_exec(args: ExecArgs) -> Result<ExitCode, ExecError> {
    let selector: BoardSelector = args.board.parse()?;
    let elf = std::fs::read(&args.elf).map_err(|source| ExecError::Read { path: args.elf.clone(), source })?;
    let program =
        Program::parse(elf).map_err(|why| ExecError::Program { path: args.elf.clone(), why: why.to_string() })?;
    // What probe-rs would say of such a program later is of no help.
    Image::parse(program.elf().to_vec())
        .map_err(|why| ExecError::Program { path: args.elf.clone(), why: why.to_string() })?;
    let bench = Bench {
        selector,
        seed: args.seed,
        program,
        default_timeout: Duration::from_secs(args.timeout.into()),
        coverage: args.coverage,
    };
    if bench.program.tests().is_some() {
        run_tests(bench, args.tests)
    } else if is_libtest_call(&args.tests) {
        Ok(run_as_one_test(bench, &args.elf, args.tests))
    } else {
        run_alone(&bench)
    }
}

/// What a run needs, before there is a board.
struct Bench {
    selector: BoardSelector,
    seed: u64,
    program: Program,
    default_timeout: Duration,
    /// Where executed lines go.
    coverage: Option<PathBuf>,
}

impl Bench {
    /// Opens the board and puts the program on it.
    fn open(&self) -> Result<Runner, BoardError> {
        let mut board = BoardSession::open(&self.selector, self.seed)?;
        board.flash_elf(self.program.elf())?;
        board.set_flash_timing(true);
        Runner::new(board, &self.program)
    }

    /// Writes which lines have been executed, if somebody wants to know.
    fn cover(&self, runner: &Runner) -> Result<(), ExecError> {
        let Some(path) = &self.coverage else { return Ok(()) };
        let error = |why: String| ExecError::Coverage { path: path.clone(), why };
        let board = runner.board().simulation().ok_or_else(|| {
            error("a real board does not tell what it has executed; use --board virtual:same54-xpro".to_owned())
        })?;
        let image = Image::parse(self.program.elf().to_vec()).map_err(|why| error(why.to_string()))?;
        let mut recorder = Recorder::new([image]);
        recorder.take(&board.lock().unwrap_or_else(PoisonError::into_inner));
        let text = recorder.lcov(&Files::of_workspace()).map_err(error)?;
        std::fs::write(path, text).map_err(|why| error(format!("cannot be written: {why}")))
    }
}

/// Whether the caller speaks to a test harness, not to a program.
fn is_libtest_call(tests: &Arguments) -> bool {
    tests.list || tests.exact || tests.ignored || tests.filter.is_some() || !tests.skip.is_empty() || tests.bench
}

fn run_tests(bench: Bench, mut arguments: Arguments) -> Result<ExitCode, ExecError> {
    // There is one board.
    arguments.test_threads = Some(1);
    let live = arguments.nocapture || arguments.show_output;
    let cases: Vec<TestCase> = bench.program.tests().unwrap_or_default().to_vec();
    // Opened by the first test that runs: `--list` must work without a board.
    let shared = Arc::new((bench, Mutex::new(None)));
    let trials = cases
        .into_iter()
        .map(|case| {
            let shared = Arc::clone(&shared);
            let ignored = case.ignored;
            Trial::test(case.name.clone(), move || run_case(&shared.0, &shared.1, &case, live))
                .with_ignored_flag(ignored)
        })
        .collect();
    let code = libtest_mimic::run(&arguments, trials).exit_code();
    if let Some(runner) = &*shared.1.lock().unwrap_or_else(PoisonError::into_inner) {
        shared.0.cover(runner)?;
    }
    Ok(code)
}

fn run_case(bench: &Bench, slot: &Mutex<Option<Runner>>, case: &TestCase, live: bool) -> Result<(), Failed> {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    let runner = match &mut *slot {
        Some(runner) => runner,
        empty => empty.insert(bench.open()?),
    };
    let timeout = case.timeout.unwrap_or(bench.default_timeout);
    let mut output = Output::new(live);
    let ending = runner.run(&bench.program, Entry::Test(case.address), timeout, &mut |line| output.line(line));
    let ending = match ending {
        Ok(ending) => ending,
        Err(error) => {
            // The next test gets a new session: this one may be beyond repair.
            *slot = None;
            return Err(Failed::from(error.to_string()));
        }
    };
    let verdict = match ending {
        Ending::Exit(0) if case.should_panic => Err("it was to panic, but returned".to_owned()),
        Ending::Exit(0) => Ok(()),
        Ending::Exit(_) if case.should_panic => Ok(()),
        Ending::Exit(_) => Err("the test panicked".to_owned()),
        other => Err(other.to_string()),
    };
    verdict.map_err(|why| Failed::from(output.with_log(&why)))
}

/// A program without tests of its own counts as one test, called like its file.
fn run_as_one_test(bench: Bench, path: &Path, mut arguments: Arguments) -> ExitCode {
    arguments.test_threads = Some(1);
    let name = path.file_stem().map_or_else(|| "program".into(), |stem| stem.to_string_lossy().into_owned());
    let case = TestCase { name, address: 0, should_panic: false, ignored: false, timeout: None };
    let live = arguments.nocapture || arguments.show_output;
    let trial = Trial::test(case.name.clone(), move || {
        let mut runner = bench.open()?;
        let mut output = Output::new(live);
        let ending =
            runner.run(&bench.program, Entry::Program, bench.default_timeout, &mut |line| output.line(line))?;
        bench.cover(&runner)?;
        match ending {
            Ending::Exit(0) => Ok(()),
            other => Err(Failed::from(output.with_log(&other.to_string()))),
        }
    });
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn run_alone(bench: &Bench) -> Result<ExitCode, ExecError> {
    let mut runner = bench.open()?;
    let mut output = Output::new(true);
    let ending = runner.run(&bench.program, Entry::Program, bench.default_timeout, &mut |line| output.line(line))?;
    bench.cover(&runner)?;
    match ending {
        Ending::Exit(status) => Ok(ExitCode::from(status)),
        other => {
            eprintln!("error: {other}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What a program says.
enum Said {
    /// A line of its log.
    Log(LogLine),
    /// Text for the console, by semihosting.
    Console(String),
}

/// Shows a program's output as it comes, or keeps its end for the report of a failure.
struct Output {
    live: bool,
    colour: bool,
    kept: Vec<String>,
}

/// Lines shown with a failure.
const KEPT: usize = 40;

impl Output {
    fn new(live: bool) -> Self {
        Self { live, colour: std::io::stdout().is_terminal(), kept: Vec::new() }
    }

    fn line(&mut self, said: Said) {
        let text = match &said {
            Said::Console(text) => {
                if self.live {
                    print!("{text}");
                    return;
                }
                text.trim_end().to_owned()
            }
            Said::Log(line) => self.render(line),
        };
        if self.live {
            println!("{text}");
            return;
        }
        self.kept.extend(text.lines().map(str::to_owned));
        let surplus = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..surplus);
    }

    fn render(&self, line: &LogLine) -> String {
        let time = line.timestamp.as_ref().map(|time| format!("{time} ")).unwrap_or_default();
        let place = match &line.location {
            Some(at) if line.severity >= Some(crate::board::LogLevel::Warn) => format!(" ({}:{})", at.file, at.line),
            _ => String::new(),
        };
        let colour = match line.level() {
            _ if !self.colour => None,
            "error" => Some("31"),
            "warn" => Some("33"),
            "info" => Some("32"),
            _ => None,
        };
        match colour {
            Some(code) => format!("{time}\x1b[{code}m{:<5}\x1b[0m {}{place}", line.level(), line.text),
            None => format!("{time}{line}{place}"),
        }
    }

    fn with_log(&self, why: &str) -> String {
        if self.kept.is_empty() {
            return why.to_owned();
        }
        format!("{why}\n  last log lines:\n    {}", self.kept.join("\n    "))
    }
}
