//! Lets a program run on a board until it ends.

use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use probe_rs::semihosting::SemihostingCommand;
use probe_rs::{BreakpointCause, Core, CoreStatus, HaltReason, VectorCatchCondition};

use super::Said;
use super::fault::Fault;
use super::program::Program;
use crate::board::{BoardError, BoardSession, LogReader};

/// Board time between two looks.
const QUANTUM: Duration = Duration::from_millis(1);
/// Board time that start-up code may need until `main`.
const STARTUP: Duration = Duration::from_secs(5);
/// Wall-clock time after which a simulation is taken for hung, whatever its own clock says.
const WATCHDOG: Duration = Duration::from_secs(300);

/// Handles that the console gets: what `semihosting` and `cortex-m-semihosting` open as ":tt".
const CONSOLE: NonZeroU32 = NonZeroU32::MIN;

/// What the program is to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    /// Its `main`.
    Program,
    /// Of an embedded-test program, the test with this entry address.
    Test(u32),
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// SYS_EXIT; zero is success.
    Exit(u8),
    /// A fault exception, lockup or breakpoint.
    Fault(Box<Fault>),
    /// Time is up on the board's clock.
    Timeout { limit: Duration, at: String },
    /// Time is up on the wall clock.
    Watchdog { at: String },
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(0) => f.write_str("the program succeeded"),
            Self::Exit(status) => write!(f, "the program exited with status {status}"),
            Self::Fault(fault) => fault.fmt(f),
            Self::Timeout { limit, at } => {
                write!(f, "not finished after {} s of the board's time; it was at {at}", limit.as_secs_f64())
            }
            Self::Watchdog { at } => {
                write!(f, "the simulation ran for {} s without an end; it was at {at}", WATCHDOG.as_secs())
            }
        }
    }
}

/// What a look at the core found.
enum Step {
    Running,
    /// A semihosting call; the core runs again.
    Served,
    Ended(Ending),
}

/// A board with a program in its flash.
pub(super) struct Runner {
    board: BoardSession,
    log: LogReader,
}

impl Runner {
    pub fn new(board: BoardSession, program: &Program) -> Result<Self, BoardError> {
        Ok(Self { board, log: LogReader::new(program.elf())? })
    }

    /// The board.
    pub fn board(&self) -> &BoardSession {
        &self.board
    }

    /// Resets the board and runs the program until it ends or `timeout` of the board's time is over.
    pub fn run(
        &mut self,
        program: &Program,
        entry: Entry,
        timeout: Duration,
        say: &mut dyn FnMut(Said),
    ) -> Result<Ending, BoardError> {
        let ending = self.start(program).and_then(|()| self.watch(program, entry, timeout, say));
        // What the program said last is the most interesting.
        self.poll_log(say);
        ending
    }

    /// Resets, and stops at `main` to make the log lossless: until a host has attached, defmt drops what does not fit
    /// its buffer.
    fn start(&mut self, program: &Program) -> Result<(), BoardError> {
        self.board.reset_and_halt()?;
        let (board, log) = (&mut self.board, &mut self.log);
        let mut core = board.core()?;
        core.enable_vector_catch(VectorCatchCondition::HardFault).map_err(debug("arming the fault catch"))?;
        log.forget(&mut core);
        let Some(main) = program.main() else {
            return core.run().map_err(debug("starting the program"));
        };
        core.set_hw_breakpoint(u64::from(main)).map_err(debug("setting a breakpoint at main"))?;
        core.run().map_err(debug("starting the program"))?;
        drop(core);
        let begin = self.board.elapsed();
        while self.board.elapsed() - begin < STARTUP {
            self.board.advance(QUANTUM);
            let mut core = self.board.core()?;
            match core.status().map_err(debug("looking at the core"))? {
                CoreStatus::Running | CoreStatus::Sleeping | CoreStatus::Unknown => {}
                CoreStatus::LockedUp => break,
                CoreStatus::Halted(_) => {
                    if pc(&mut core)? == main {
                        // No lines yet, but the reader makes the channel lossless.
                        let _ = self.log.poll(&mut core);
                        // Resume before the breakpoint goes: probe-rs would take an instruction that does not move
                        // the program counter for a BKPT and skip it.
                        core.run().map_err(debug("starting the program"))?;
                    }
                    core.clear_hw_breakpoint(u64::from(main)).map_err(debug("clearing a breakpoint"))?;
                    return Ok(());
                }
            }
        }
        // Lockup or an endless loop before `main`: `watch` will see and say it.
        let mut core = self.board.core()?;
        core.clear_hw_breakpoint(u64::from(main)).map_err(debug("clearing a breakpoint"))
    }

    fn watch(
        &mut self,
        program: &Program,
        entry: Entry,
        timeout: Duration,
        say: &mut dyn FnMut(Said),
    ) -> Result<Ending, BoardError> {
        let begin = self.board.elapsed();
        let wall = Instant::now();
        loop {
            self.poll_log(say);
            // The log lines from before a semihosting call are said already: text keeps its order.
            match self.look(program, entry, say)? {
                Step::Running => {}
                Step::Served => continue,
                Step::Ended(ending) => return Ok(ending),
            }
            let timed_out = self.board.elapsed() - begin > timeout;
            if timed_out || wall.elapsed() > WATCHDOG.max(timeout) {
                let mut core = self.board.core()?;
                core.halt(Duration::from_millis(100)).map_err(debug("halting the core"))?;
                let at = program.describe(pc(&mut core)?);
                return Ok(if timed_out { Ending::Timeout { limit: timeout, at } } else { Ending::Watchdog { at } });
            }
            self.board.advance(QUANTUM);
        }
    }

    fn look(&mut self, program: &Program, entry: Entry, say: &mut dyn FnMut(Said)) -> Result<Step, BoardError> {
        let mut core = self.board.core()?;
        Ok(match core.status().map_err(debug("looking at the core"))? {
            CoreStatus::Running | CoreStatus::Sleeping | CoreStatus::Unknown => Step::Running,
            CoreStatus::Halted(HaltReason::Breakpoint(BreakpointCause::Semihosting(call))) => {
                serve(&mut core, call, entry, say)?.map_or(Step::Served, Step::Ended)
            }
            CoreStatus::Halted(_) | CoreStatus::LockedUp => {
                Step::Ended(Ending::Fault(Box::new(Fault::read(&mut core, program)?)))
            }
        })
    }

    fn poll_log(&mut self, say: &mut dyn FnMut(Said)) {
        for line in self.board.poll_log(&mut self.log) {
            say(Said::Log(line));
        }
    }
}

/// Serves a semihosting call and resumes the core, unless it was the last one.
fn serve(
    core: &mut Core<'_>,
    call: SemihostingCommand,
    entry: Entry,
    say: &mut dyn FnMut(Said),
) -> Result<Option<Ending>, BoardError> {
    let failed = |error: probe_rs::Error| BoardError::debug("serving a semihosting call", &error);
    match call {
        SemihostingCommand::ExitSuccess => return Ok(Some(Ending::Exit(0))),
        SemihostingCommand::ExitError(details) => {
            let status = details.exit_status.and_then(|status| u8::try_from(status).ok());
            // Whatever the details: not zero.
            return Ok(Some(Ending::Exit(status.filter(|status| *status != 0).unwrap_or(1))));
        }
        SemihostingCommand::GetCommandLine(request) => {
            let line = match entry {
                Entry::Program => String::new(),
                Entry::Test(address) => format!("run_addr {address}"),
            };
            request.write_command_line_to_target(core, &line).map_err(failed)?;
        }
        SemihostingCommand::WriteConsole(request) => say(Said::Console(request.read(core).map_err(failed)?)),
        SemihostingCommand::Open(request) => {
            if request.path(core).map_err(failed)? == ":tt" {
                request.respond_with_handle(core, CONSOLE).map_err(failed)?;
            } else {
                // The host's files are none of the program's business.
                status(core, -1)?;
            }
        }
        SemihostingCommand::Write(request) => {
            let bytes = request.read(core).map_err(failed)?;
            say(Said::Console(String::from_utf8_lossy(&bytes).into_owned()));
            request.write_status(core, 0).map_err(failed)?;
        }
        SemihostingCommand::Close(request) => request.success(core).map_err(failed)?,
        SemihostingCommand::Errno(request) => request.write_errno(core, 0).map_err(failed)?,
        _ => status(core, -1)?,
    }
    core.run().map_err(failed)?;
    Ok(None)
}

/// A semihosting call's result is in r0.
fn status(core: &mut Core<'_>, value: i32) -> Result<(), BoardError> {
    core.write_core_reg(probe_rs::RegisterId(0), value as u32).map_err(debug("answering a semihosting call"))
}

fn pc(core: &mut Core<'_>) -> Result<u32, BoardError> {
    let pc = core.program_counter().id();
    core.read_core_reg::<u32>(pc).map_err(debug("reading the program counter"))
}

fn debug(doing: &'static str) -> impl Fn(probe_rs::Error) -> BoardError {
    move |error| BoardError::debug(doing, &error)
}
