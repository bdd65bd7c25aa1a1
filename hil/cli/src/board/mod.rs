//! A board at a debug probe, real or virtual: everything is done through probe-rs' `Session`.
//!
//! What differs is the clock. A real board runs by itself and waiting for it is sleeping; a virtual board runs only
//! while somebody advances its virtual time.

mod error;
mod flash;
mod nvm;
mod rtt;
mod selector;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as WallInstant};

use probe_rs::probe::list::Lister;
use probe_rs::probe::{DebugProbeSelector, Probe, WireProtocol};
use probe_rs::{Core, Permissions, Session};
use same54_sim::{Board, BoardConfig};
use sim_probe::{Cable, VirtualProbe};

pub use error::BoardError;
pub(crate) use error::chain;
pub use nvm::USER_PAGE_SIZE;
pub use rtt::{LogLevel, LogLine, LogLocation, LogReader, TargetMemory};
pub use selector::{BoardSelector, Model};

/// probe-rs' name of the chip on a SAM E54 Xplained Pro.
const CHIP: &str = "ATSAME54P20A";

/// How long a real core may take to halt after a reset.
const HALT_TIMEOUT: Duration = Duration::from_millis(500);

/// A debug session with a board.
pub struct BoardSession {
    session: Session,
    name: String,
    place: Place,
}

/// Where the board is.
enum Place {
    /// In this process.
    Virtual { board: Arc<Mutex<Board>>, cable: Cable },
    /// At a probe; attached since then.
    Real { since: WallInstant },
}

impl BoardSession {
    /// Opens the board that `selector` names. A virtual one is new, powered, without cable in its Ethernet connector,
    /// and decides by `seed` what chance decides; its flash is as fast as its clock until
    /// [`set_flash_timing`](Self::set_flash_timing).
    pub fn open(selector: &BoardSelector, seed: u64) -> Result<Self, BoardError> {
        match selector {
            BoardSelector::Virtual(Model::Same54Xpro) => {
                let mut board = Board::new(BoardConfig { seed, flash_timing: false });
                board.power_on();
                Self::virtual_board(Arc::new(Mutex::new(board)))
            }
            BoardSelector::Probe(selector) => Self::real_board(selector),
        }
    }

    /// A session with a virtual board that is powered. Others may hold the board too: nothing here keeps it locked
    /// between calls.
    pub fn virtual_board(board: Arc<Mutex<Board>>) -> Result<Self, BoardError> {
        let name = BoardSelector::Virtual(Model::Same54Xpro).to_string();
        let probe = VirtualProbe::new(Arc::clone(&board));
        let cable = probe.cable();
        let session = attach(Probe::new(probe), &name)?;
        Ok(Self { session, name, place: Place::Virtual { board, cable } })
    }

    fn real_board(selector: &DebugProbeSelector) -> Result<Self, BoardError> {
        let name = selector.to_string();
        let lister = Lister::new();
        let found = lister.list(Some(selector));
        let probe = match &found[..] {
            [] => return Err(BoardError::NoProbe { selector: name }),
            [one] => one.open(),
            many => return Err(BoardError::ManyProbes { selector: name, count: many.len() }),
        };
        let mut probe =
            probe.map_err(|source| BoardError::Attach { board: name.clone(), source: Box::new(source.into()) })?;
        // The EDBG speaks JTAG too, but the SAM E54 does not.
        probe
            .select_protocol(WireProtocol::Swd)
            .map_err(|source| BoardError::Attach { board: name.clone(), source: Box::new(source.into()) })?;
        let session = attach(probe, &name)?;
        Ok(Self { session, name, place: Place::Real { since: WallInstant::now() } })
    }

    /// The selector by which the board was opened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The simulated board, if it is one.
    pub fn simulation(&self) -> Option<&Arc<Mutex<Board>>> {
        match &self.place {
            Place::Virtual { board, .. } => Some(board),
            Place::Real { .. } => None,
        }
    }

    /// Lets a virtual board's flash take the datasheet's times (a real board's does anyway).
    pub fn set_flash_timing(&mut self, on: bool) {
        if let Some(board) = self.simulation() {
            lock(board).set_flash_timing(on);
        }
    }

    /// probe-rs' session.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The core, for as long as the borrow lasts.
    pub fn core(&mut self) -> Result<Core<'_>, BoardError> {
        self.session.core(0).map_err(|error| BoardError::debug("selecting the core", &error))
    }

    /// Resets chip and core and lets them run.
    pub fn reset(&mut self) -> Result<(), BoardError> {
        self.core()?.reset().map_err(|error| BoardError::debug("resetting the board", &error))
    }

    /// Resets chip and core and halts before the first instruction.
    pub fn reset_and_halt(&mut self) -> Result<(), BoardError> {
        self.core()?
            .reset_and_halt(HALT_TIMEOUT)
            .map(drop)
            .map_err(|error| BoardError::debug("resetting and halting the board", &error))
    }

    /// Lets the board run for `time`: virtual time, which ends early when the core halts or locks up, or a sleep.
    pub fn advance(&mut self, time: Duration) {
        match &self.place {
            Place::Virtual { board, .. } => {
                let mut board = lock(board);
                let until = board.now() + time;
                board.run_until(until);
            }
            Place::Real { .. } => std::thread::sleep(time),
        }
    }

    /// The board's clock: virtual time, or time since it was attached.
    pub fn elapsed(&self) -> Duration {
        match &self.place {
            Place::Virtual { board, .. } => Duration::from_nanos(lock(board).now().as_nanos()),
            Place::Real { since } => since.elapsed(),
        }
    }

    /// The lines that a program has logged since the last call. Empty too while the core cannot be reached, for
    /// example without supply.
    pub fn poll_log(&mut self, reader: &mut LogReader) -> Vec<LogLine> {
        match &self.place {
            // Past the debug port: a rig looks every virtual millisecond, and each look has to cost nothing.
            Place::Virtual { board, .. } => reader.poll(&mut *lock(board)),
            Place::Real { .. } => self.session.core(0).map(|mut core| reader.poll(&mut core)).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for BoardSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoardSession").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for BoardSession {
    fn drop(&mut self) {
        // Closing a session resumes the core and switches debugging off. On a virtual board that could hit whoever
        // has attached since.
        if let Place::Virtual { cable, .. } = &self.place {
            cable.unplug();
        }
    }
}

fn attach(probe: Probe, board: &str) -> Result<Session, BoardError> {
    probe
        .attach(CHIP, Permissions::default())
        .map_err(|source| BoardError::Attach { board: board.to_owned(), source: Box::new(source) })
}

/// A panic in another user of the board has been reported already; the board itself is plain data.
fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}
