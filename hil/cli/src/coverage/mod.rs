//! Which source lines of the programs on a board have been executed, with no instrumentation: from the addresses that
//! the core has executed and the programs' own line tables.

mod lcov;
mod lines;

use std::collections::BTreeSet;
use std::path::PathBuf;

use same54_sim::{Board, EventKind, ResetCause};

use crate::elf::Image;

pub use lcov::Files;
use lcov::lcov;

struct Tracked {
    image: Image,
    /// Its code is in flash.
    is_there: bool,
    executed: BTreeSet<u32>,
}

/// Collects executed addresses by program. Several programs may use the same addresses one after the other, as the
/// versions of an update do: each has what was executed while its code was in flash.
#[derive(Default)]
pub struct Recorder(Vec<Tracked>);

impl Recorder {
    /// For these programs.
    pub fn new(programs: impl IntoIterator<Item = Image>) -> Self {
        let track = |image| Tracked { image, is_there: false, executed: BTreeSet::new() };
        Self(programs.into_iter().map(track).collect())
    }

    /// A board begins to run.
    pub fn start(&mut self, board: &mut Board) {
        board.clear_executed();
        self.find_programs(board.nvm());
    }

    /// Takes in what a board has executed since it was made, of programs that are in its flash now.
    pub fn take(&mut self, board: &Board) {
        self.find_programs(board.nvm());
        self.collect(board);
    }

    /// Flash is not what it was. To be called before code that is new in it can have run.
    pub fn flash_changed(&mut self, board: &mut Board) {
        let is_as_before = self.0.iter().all(|tracked| tracked.image.is_in(board.nvm()) == tracked.is_there);
        if is_as_before {
            return;
        }
        self.collect(board);
        self.start(board);
    }

    /// Takes in what has been executed.
    pub fn collect(&mut self, board: &Board) {
        for tracked in self.0.iter_mut().filter(|tracked| tracked.is_there) {
            let image = &tracked.image;
            let is_own =
                |at: &u32| image.pieces.iter().any(|(start, bytes)| (*start..start + bytes.len() as u32).contains(at));
            tracked.executed.extend(board.executed().filter(is_own));
        }
    }

    /// The lines of all programs as one LCOV file.
    ///
    /// # Errors
    /// A program's debug information cannot be read; the message says why.
    pub fn lcov(&self, files: &Files) -> Result<String, String> {
        let mut sources = lines::Sources::default();
        for tracked in &self.0 {
            sources
                .add(&tracked.image, &tracked.executed)
                .map_err(|error| format!("debug information cannot be read: {error}"))?;
        }
        Ok(lcov(&sources, files))
    }

    fn find_programs(&mut self, flash: &[u8]) {
        for tracked in &mut self.0 {
            tracked.is_there = tracked.image.is_in(flash);
        }
    }
}

/// Whether what is executed at an address may be other code after `event` than before it.
pub fn changes_flash(event: &EventKind) -> bool {
    matches!(event, EventKind::NvmProgram { .. } | EventKind::NvmErase { .. } | EventKind::Reset(ResetCause::Nvm))
}

/// Lines by number: executed or not; functions by name: first line, executed or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    lines: std::collections::BTreeMap<u32, bool>,
    functions: std::collections::BTreeMap<String, (u32, bool)>,
}

/// Source files by path.
type ByPath = std::collections::BTreeMap<PathBuf, Source>;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use same54_sim::BoardConfig;

    use super::*;
    use crate::exec::test_elf::TestElf;

    #[test]
    fn two_programs_at_the_same_addresses_have_what_each_executed() {
        // An endless loop at 0x100, and one that comes after a `movs r0, #1`.
        let programs = [&[0xE7FE_u16][..], &[0x2001, 0xE7FE]];
        let images = programs.map(|code| Image::parse(TestElf::program(code).build()).unwrap());
        let mut recorder = Recorder::new(images.clone());
        let mut board = Board::new(BoardConfig { seed: 1, flash_timing: true });
        for (n, image) in images.iter().enumerate() {
            for (at, bytes) in &image.pieces {
                assert!(board.preload_nvm(*at, bytes));
            }
            if n == 0 {
                board.power_on();
                recorder.start(&mut board);
            } else {
                recorder.flash_changed(&mut board);
                board.set_nreset(true, false);
                board.set_nreset(false, false);
            }
            let until = board.now() + Duration::from_micros(10);
            board.run_until(until);
        }
        recorder.collect(&board);
        let executed: Vec<Vec<u32>> = recorder.0.iter().map(|one| one.executed.iter().copied().collect()).collect();
        assert_eq!(executed, [vec![0xF4, 0x100], vec![0xF4, 0x100, 0x102]]);
    }
}
