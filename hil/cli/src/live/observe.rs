//! A run on file: trace and coverage.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use same54_sim::{Board, Event};

use super::LiveError;
use super::load::Program;
use super::machine::Observer;
use crate::board::LogLine;
use crate::coverage::{self, Files};
use crate::elf::Image;
use crate::trace;

/// Writes a trace as the board runs.
pub(super) struct Trace {
    path: PathBuf,
    recorder: trace::Recorder<BufWriter<File>>,
    names: Vec<String>,
}

impl Trace {
    pub fn begin(path: &Path, programs: &[Program], board: &mut Board) -> Result<Self, LiveError> {
        let file = File::create(path).map_err(LiveError::write(path))?;
        let images: Arc<[Image]> = programs.iter().map(|program| program.image.clone()).collect();
        Ok(Self {
            path: path.to_owned(),
            recorder: trace::Recorder::new(BufWriter::new(file), images, board),
            names: programs.iter().map(|program| program.name.clone()).collect(),
        })
    }
}

impl Observer for Trace {
    fn look(&mut self, board: &mut Board, events: &[Event], lines: &[(usize, LogLine)]) {
        let lines: Vec<_> = lines.iter().map(|(program, line)| (self.names[*program].as_str(), line)).collect();
        self.recorder.look(board, events, &lines);
    }

    fn finish(&mut self, board: &mut Board) -> Result<(), LiveError> {
        self.recorder.finish(board).map_err(LiveError::write(&self.path))
    }
}

/// Writes what leaves on the SWO pin.
pub(super) struct Swo {
    path: PathBuf,
    file: BufWriter<File>,
    /// The first error; nothing is written after it.
    error: Option<io::Error>,
}

impl Swo {
    pub fn begin(path: &Path) -> Result<Self, LiveError> {
        let file = File::create(path).map_err(LiveError::write(path))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), error: None })
    }
}

impl Observer for Swo {
    fn look(&mut self, board: &mut Board, _: &[Event], _: &[(usize, LogLine)]) {
        let bytes = board.take_swo();
        if self.error.is_none() {
            self.error = self.file.write_all(&bytes).err();
        }
    }

    fn finish(&mut self, board: &mut Board) -> Result<(), LiveError> {
        self.look(board, &[], &[]);
        let result = self.error.take().map_or_else(|| self.file.flush(), Err);
        result.map_err(LiveError::write(&self.path))
    }
}

/// Collects executed lines and writes them at the end.
pub(super) struct Coverage {
    path: PathBuf,
    recorder: coverage::Recorder,
    files: Files,
}

impl Coverage {
    pub fn begin(path: &Path, programs: &[Program], all: bool, board: &mut Board) -> Result<Self, LiveError> {
        // Before the run: who cannot have the file should not wait for it.
        File::create(path).map_err(LiveError::write(path))?;
        let mut recorder = coverage::Recorder::new(programs.iter().map(|program| program.image.clone()));
        recorder.start(board);
        let files = if all { Files::All } else { Files::of_workspace() };
        Ok(Self { path: path.to_owned(), recorder, files })
    }
}

impl Observer for Coverage {
    fn look(&mut self, board: &mut Board, events: &[Event], _: &[(usize, LogLine)]) {
        if events.iter().any(|event| coverage::changes_flash(&event.kind)) {
            self.recorder.flash_changed(board);
        }
    }

    fn finish(&mut self, board: &mut Board) -> Result<(), LiveError> {
        self.recorder.collect(board);
        let text =
            self.recorder.lcov(&self.files).map_err(|why| LiveError::Coverage { path: self.path.clone(), why })?;
        std::fs::write(&self.path, text).map_err(LiveError::write(&self.path))
    }
}
