//! The logs of the programs on a board, of which one runs at a time.

use armv7m::Size;
use same54_sim::Board;

use super::load::Program;
use crate::board::{BoardError, LogLine, LogReader};

/// The vector table offset register: who runs has set it, or the reset has.
const VTOR: u32 = 0xE000_ED08;

struct Log {
    reader: LogReader,
    vector_table: u32,
    /// The program has run since the last reset, so what its control block says is its own.
    has_run: bool,
}

/// See the [module](self).
pub(super) struct Logs(Vec<Log>);

impl Logs {
    pub fn new(programs: &[Program]) -> Result<Self, BoardError> {
        let logs = programs.iter().map(|program| {
            let reader = LogReader::new(&program.image.elf)?;
            Ok(Log { reader, vector_table: program.image.vector_table, has_run: false })
        });
        Ok(Self(logs.collect::<Result<_, BoardError>>()?))
    }

    /// After a reset only what starts then has run.
    pub fn reset(&mut self) {
        self.0.iter_mut().for_each(|log| log.has_run = false);
    }

    /// Lines since the last call, with the number of the program.
    pub fn poll(&mut self, board: &mut Board) -> Vec<(usize, LogLine)> {
        if !board.is_powered() {
            return Vec::new();
        }
        let Ok(table) = board.debug_read(VTOR, Size::Word) else { return Vec::new() };
        let current = self.0.iter().position(|log| log.vector_table == table);
        let block = current.and_then(|index| self.0[index].reader.control_block());
        let mut lines = Vec::new();
        for (index, log) in self.0.iter_mut().enumerate() {
            let is_current = current == Some(index);
            log.has_run |= is_current;
            // Where the current program has its control block, an earlier one's is gone.
            if is_current || log.has_run && log.reader.control_block() != block {
                lines.extend(log.reader.poll(board).into_iter().map(|line| (index, line)));
            }
        }
        lines
    }
}
