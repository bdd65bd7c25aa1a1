//! A program's log: defmt frames, or plain text, out of the first RTT up-channel.
//!
//! probe-rs has an RTT client too. This one keeps no state that a reset could make stale, so it follows a board
//! through resets and from one program to the next, and one look costs a single short read: a simulation looks a
//! thousand times in each virtual second.

use std::collections::BTreeMap;
use std::fmt;

use armv7m::Size;
use defmt_decoder::{DecodeError, Encoding, Table};
use object::{Object as _, ObjectSymbol as _};
use probe_rs::{Core, MemoryInterface as _};
use same54_sim::Board;

use super::BoardError;
use super::error::chain;

/// SEGGER's mark at the start of the control block.
const ID: &[u8; 16] = b"SEGGER RTT\0\0\0\0\0\0";
/// Up to and including the descriptor of up-channel 0.
const BLOCK_LEN: usize = 48;
/// Offsets of that descriptor's fields in the control block.
const UP_BUFFERS: usize = 16;
const BUFFER: usize = 28;
const BUFFER_SIZE: usize = 32;
const WRITE_OFFSET: usize = 36;
const READ_OFFSET: usize = 40;
const FLAGS: usize = 44;
/// Mode bits of the flags: the program waits for the host when the buffer is full, instead of losing frames.
const MODE: u32 = 0b11;
const BLOCK_IF_FULL: u32 = 2;
/// No RTT buffer is larger; what says so is not a control block.
const MAX_BUFFER: u32 = 1 << 16;
/// A frame or line longer than this is rubbish.
const MAX_PENDING: usize = 1 << 16;

/// Memory of a running target. Failures are not told apart: without an answer there is no log.
pub trait TargetMemory {
    /// Fills `bytes` from `addr`; false if it could not be read.
    fn read(&mut self, addr: u32, bytes: &mut [u8]) -> bool;
    /// Writes an aligned word.
    fn write_word(&mut self, addr: u32, value: u32) -> bool;
}

impl TargetMemory for Core<'_> {
    fn read(&mut self, addr: u32, bytes: &mut [u8]) -> bool {
        probe_rs::MemoryInterface::read(self, u64::from(addr), bytes).is_ok()
    }

    fn write_word(&mut self, addr: u32, value: u32) -> bool {
        self.write_word_32(u64::from(addr), value).is_ok()
    }
}

impl TargetMemory for Board {
    fn read(&mut self, addr: u32, bytes: &mut [u8]) -> bool {
        let mut at = addr;
        let mut rest = bytes;
        while !rest.is_empty() {
            let Ok(word) = self.debug_read(at & !3, Size::Word) else { return false };
            let lanes = &word.to_le_bytes()[(at & 3) as usize..];
            let n = lanes.len().min(rest.len());
            let (now, later) = rest.split_at_mut(n);
            now.copy_from_slice(&lanes[..n]);
            rest = later;
            at += n as u32;
        }
        true
    }

    fn write_word(&mut self, addr: u32, value: u32) -> bool {
        self.debug_write(addr, Size::Word, value).is_ok()
    }
}

/// Severity of a [`LogLine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `defmt::trace!`
    Trace,
    /// `defmt::debug!`
    Debug,
    /// `defmt::info!`
    Info,
    /// `defmt::warn!`
    Warn,
    /// `defmt::error!`
    Error,
}

impl LogLevel {
    /// In lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Where in the program's source a line was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLocation {
    /// Source file, as the compiler knew it.
    pub file: String,
    /// Line in it.
    pub line: u64,
}

/// One line of a program's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The program's own time stamp, if it makes any.
    pub timestamp: Option<String>,
    /// Severity; none for `println!` and plain text.
    pub severity: Option<LogLevel>,
    /// The message.
    pub text: String,
    /// Where it was logged, if the program has debug information.
    pub location: Option<LogLocation>,
}

impl LogLine {
    /// The severity's name, `print` if there is none.
    pub fn level(&self) -> &'static str {
        self.severity.map_or("print", LogLevel::as_str)
    }
}

impl fmt::Display for LogLine {
    /// Level and text; who prints it knows better what time it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.severity {
            Some(level) => write!(f, "{:<5} {}", level.as_str(), self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Reads the log of one program.
pub struct LogReader {
    /// Address of `_SEGGER_RTT`; none if the program does not log.
    block: Option<u32>,
    decoder: Decoder,
    /// Bytes of a frame or line that is not complete.
    pending: Vec<u8>,
    /// Where this reader has left the read offset, to notice that the program has started anew.
    left_at: u32,
}

enum Decoder {
    Text,
    Defmt { table: Box<Table>, locations: BTreeMap<u64, LogLocation> },
}

impl LogReader {
    /// A reader for the program of this ELF. A program without RTT never logs.
    pub fn new(elf: &[u8]) -> Result<Self, BoardError> {
        let file = object::File::parse(elf).map_err(|error| BoardError::Program(error.to_string()))?;
        let block = file.symbol_by_name("_SEGGER_RTT").filter(|symbol| !symbol.is_undefined());
        let table = Table::parse(elf).map_err(|error| BoardError::Program(chain(error.as_ref())))?;
        let decoder = match table {
            None => Decoder::Text,
            Some(table) if table.encoding() == Encoding::Raw => {
                // Without frame ends a reader cannot find its place again after a reset.
                return Err(BoardError::Program("it logs with defmt's raw encoding; use the default, rzcobs".into()));
            }
            Some(table) => {
                // A release build without debug information still has its messages.
                let locations = table.get_locations(elf).unwrap_or_default();
                let locations = locations
                    .into_iter()
                    .map(|(index, at)| (index, LogLocation { file: at.file.display().to_string(), line: at.line }))
                    .collect();
                Decoder::Defmt { table: Box::new(table), locations }
            }
        };
        Ok(Self {
            block: block.and_then(|symbol| u32::try_from(symbol.address()).ok()),
            decoder,
            pending: Vec::new(),
            left_at: 0,
        })
    }

    /// Address of the program's RTT control block.
    pub fn control_block(&self) -> Option<u32> {
        self.block
    }

    /// Wipes the mark of the control block, so that what an earlier program left in RAM is not taken for a log.
    pub fn forget(&mut self, memory: &mut impl TargetMemory) {
        if let Some(block) = self.block {
            for i in 0..4 {
                memory.write_word(block + 4 * i, 0);
            }
        }
        self.pending.clear();
    }

    /// What was logged since the last call.
    pub fn poll(&mut self, memory: &mut impl TargetMemory) -> Vec<LogLine> {
        let Some(addr) = self.block else { return Vec::new() };
        let Some(channel) = Channel::find(memory, addr) else { return Vec::new() };
        if channel.flags & MODE != BLOCK_IF_FULL {
            memory.write_word(addr + FLAGS as u32, (channel.flags & !MODE) | BLOCK_IF_FULL);
        }
        if channel.read_offset != self.left_at {
            // Not where we left it: the program was started anew, and half a frame will not be continued.
            self.pending.clear();
            self.left_at = channel.read_offset;
        }
        if channel.read_offset == channel.write_offset {
            return Vec::new();
        }
        let Some(bytes) = channel.fetch(memory) else { return Vec::new() };
        memory.write_word(addr + READ_OFFSET as u32, channel.write_offset);
        self.left_at = channel.write_offset;
        self.pending.extend_from_slice(&bytes);
        let lines = self.decode();
        if self.pending.len() > MAX_PENDING {
            self.pending.clear();
        }
        lines
    }

    /// Takes complete frames or lines off `pending`.
    fn decode(&mut self) -> Vec<LogLine> {
        let end = match self.decoder {
            Decoder::Text => b'\n',
            Decoder::Defmt { .. } => 0,
        };
        let Some(last) = self.pending.iter().rposition(|byte| *byte == end) else { return Vec::new() };
        let rest = self.pending.split_off(last + 1);
        let complete = std::mem::replace(&mut self.pending, rest);
        match &self.decoder {
            Decoder::Text => String::from_utf8_lossy(&complete).lines().map(text_line).collect(),
            Decoder::Defmt { table, locations } => decode_defmt(table, locations, &complete),
        }
    }
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader").field("block", &self.block).finish_non_exhaustive()
    }
}

/// Up-channel 0 as the control block describes it.
struct Channel {
    buffer: u32,
    size: u32,
    write_offset: u32,
    read_offset: u32,
    flags: u32,
}

impl Channel {
    /// Reads the control block; none if there is none, or rubbish.
    fn find(memory: &mut impl TargetMemory, addr: u32) -> Option<Self> {
        let mut block = [0; BLOCK_LEN];
        if !memory.read(addr, &mut block) || !block.starts_with(ID) {
            return None;
        }
        let word = |offset: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| block[offset + i]));
        let channel = Self {
            buffer: word(BUFFER),
            size: word(BUFFER_SIZE),
            write_offset: word(WRITE_OFFSET),
            read_offset: word(READ_OFFSET),
            flags: word(FLAGS),
        };
        // RAM keeps what another program has left there: believe only what can be true.
        let plausible = (1..=16).contains(&word(UP_BUFFERS))
            && channel.buffer != 0
            && (1..=MAX_BUFFER).contains(&channel.size)
            && channel.write_offset < channel.size
            && channel.read_offset < channel.size;
        plausible.then_some(channel)
    }

    /// The bytes between read and write offset.
    fn fetch(&self, memory: &mut impl TargetMemory) -> Option<Vec<u8>> {
        let (read, write) = (self.read_offset, self.write_offset);
        let spans = if read < write { [(read, write), (0, 0)] } else { [(read, self.size), (0, write)] };
        let mut bytes = Vec::new();
        for (from, to) in spans {
            let start = bytes.len();
            bytes.resize(start + (to - from) as usize, 0);
            if to > from && !memory.read(self.buffer + from, &mut bytes[start..]) {
                return None;
            }
        }
        Some(bytes)
    }
}

fn text_line(text: &str) -> LogLine {
    LogLine { timestamp: None, severity: None, text: text.trim_end_matches('\r').to_owned(), location: None }
}

fn decode_defmt(table: &Table, locations: &BTreeMap<u64, LogLocation>, bytes: &[u8]) -> Vec<LogLine> {
    let mut decoder = table.new_stream_decoder();
    decoder.received(bytes);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => lines.push(LogLine {
                timestamp: frame.display_timestamp().map(|time| time.to_string()),
                severity: frame.level().map(|level| match level {
                    defmt_parser::Level::Trace => LogLevel::Trace,
                    defmt_parser::Level::Debug => LogLevel::Debug,
                    defmt_parser::Level::Info => LogLevel::Info,
                    defmt_parser::Level::Warn => LogLevel::Warn,
                    defmt_parser::Level::Error => LogLevel::Error,
                }),
                text: frame.display_message().to_string(),
                location: locations.get(&frame.index()).cloned(),
            }),
            Err(DecodeError::UnexpectedEof) => return lines,
            // A frame that was cut by a reset; the next one starts after its end mark.
            Err(DecodeError::Malformed) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::test_elf::TestElf;

    const BLOCK: u32 = 0x2000_0010;
    const RING: u32 = 0x2000_0100;
    const RING_SIZE: u32 = 32;

    /// 4 KB of RAM with a program that logs text.
    struct Target {
        ram: Vec<u8>,
        reachable: bool,
    }

    impl TargetMemory for Target {
        fn read(&mut self, addr: u32, bytes: &mut [u8]) -> bool {
            let at = (addr - 0x2000_0000) as usize;
            bytes.copy_from_slice(&self.ram[at..at + bytes.len()]);
            self.reachable
        }

        fn write_word(&mut self, addr: u32, value: u32) -> bool {
            let at = (addr - 0x2000_0000) as usize;
            self.ram[at..at + 4].copy_from_slice(&value.to_le_bytes());
            self.reachable
        }
    }

    impl Target {
        fn new() -> Self {
            Self { ram: vec![0xA5; 4096], reachable: true }
        }

        fn word(&mut self, offset: usize) -> u32 {
            let mut bytes = [0; 4];
            self.read(BLOCK + offset as u32, &mut bytes);
            u32::from_le_bytes(bytes)
        }

        /// What start-up code does.
        fn start(&mut self) {
            let at = (BLOCK - 0x2000_0000) as usize;
            self.ram[at..at + 16].copy_from_slice(ID);
            for (offset, value) in [
                (16, 1),
                (20, 0),
                (24, 0),
                (BUFFER, RING),
                (BUFFER_SIZE, RING_SIZE),
                (WRITE_OFFSET, 0),
                (READ_OFFSET, 0),
                (FLAGS, 0),
            ] {
                self.write_word(BLOCK + offset as u32, value);
            }
        }

        fn log(&mut self, text: &str) {
            for byte in text.bytes() {
                let write = self.word(WRITE_OFFSET);
                self.ram[(RING - 0x2000_0000 + write) as usize] = byte;
                let next = (write + 1) % RING_SIZE;
                assert_ne!(next, self.word(READ_OFFSET), "the buffer is full");
                self.write_word(BLOCK + WRITE_OFFSET as u32, next);
            }
        }
    }

    fn reader() -> LogReader {
        let mut elf = TestElf::program(&[0xE7FE]);
        let data = elf.section(".data", BLOCK, true, &[0; 48]);
        elf.symbol("_SEGGER_RTT", BLOCK, 48, 1, data);
        LogReader::new(&elf.build()).unwrap()
    }

    fn texts(lines: Vec<LogLine>) -> Vec<String> {
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_arrive_whole_and_in_order_around_the_end_of_the_ring() {
        let (mut target, mut reader) = (Target::new(), reader());
        target.start();
        for round in 0..20 {
            target.log(&format!("line {round}\npart "));
            assert_eq!(
                texts(reader.poll(&mut target)),
                [if round == 0 { "line 0".into() } else { format!("part line {round}") }]
            );
        }
    }

    #[test]
    fn the_program_is_told_not_to_drop_lines() {
        let (mut target, mut reader) = (Target::new(), reader());
        target.start();
        assert!(reader.poll(&mut target).is_empty());
        assert_eq!(target.word(FLAGS) & MODE, BLOCK_IF_FULL);
    }

    #[test]
    fn a_reset_ends_a_line_that_was_cut_and_logging_goes_on() {
        let (mut target, mut reader) = (Target::new(), reader());
        target.start();
        target.log("before\ncut he");
        assert_eq!(texts(reader.poll(&mut target)), ["before"]);
        target.start();
        target.log("after\n");
        assert_eq!(texts(reader.poll(&mut target)), ["after"]);
        assert_eq!(target.word(FLAGS) & MODE, BLOCK_IF_FULL, "start-up had reset it");
    }

    #[test]
    fn rubbish_where_the_block_should_be_is_left_alone() {
        let (mut target, mut reader) = (Target::new(), reader());
        let before = target.ram.clone();
        assert!(reader.poll(&mut target).is_empty());
        assert!(target.ram == before);
        // The mark alone is not enough: another program's data may follow it.
        target.start();
        for (offset, value) in
            [(BUFFER_SIZE, 0), (BUFFER_SIZE, u32::MAX), (WRITE_OFFSET, RING_SIZE), (BUFFER, 0), (16, 1000)]
        {
            target.start();
            target.write_word(BLOCK + offset as u32, value);
            let before = target.ram.clone();
            assert!(reader.poll(&mut target).is_empty(), "{value} at {offset}");
            assert!(target.ram == before, "{value} at {offset}");
        }
    }

    #[test]
    fn forgetting_wipes_the_mark_of_an_earlier_program() {
        let (mut target, mut reader) = (Target::new(), reader());
        target.start();
        target.log("old\n");
        reader.forget(&mut target);
        assert!(reader.poll(&mut target).is_empty());
        target.start();
        target.log("new\n");
        assert_eq!(texts(reader.poll(&mut target)), ["new"]);
    }

    #[test]
    fn without_an_answer_there_are_no_lines() {
        let (mut target, mut reader) = (Target::new(), reader());
        target.start();
        target.log("unheard\n");
        target.reachable = false;
        assert!(reader.poll(&mut target).is_empty());
    }

    #[test]
    fn a_program_without_rtt_never_logs() {
        let mut reader = LogReader::new(&TestElf::program(&[0xE7FE]).build()).unwrap();
        assert_eq!(reader.control_block(), None);
        assert!(reader.poll(&mut Target::new()).is_empty());
    }

    #[test]
    fn a_virtual_board_is_read_at_any_address_and_length() {
        let mut board = Board::new(same54_sim::BoardConfig { seed: 1, flash_timing: false });
        assert!(!board.read(0x2000_0000, &mut [0]), "no supply");
        board.power_on();
        for i in 0..16 {
            assert!(board.write_word(0x2000_0000 + 4 * i, 0x0302_0100 + 0x0404_0404 * i));
        }
        for start in 0..8_u32 {
            for len in 0..20 {
                let mut bytes = vec![0; len];
                assert!(TargetMemory::read(&mut board, 0x2000_0000 + start, &mut bytes));
                let expected: Vec<u8> = (start as u8..).take(len).collect();
                assert_eq!(bytes, expected, "{len} bytes from {start}");
            }
        }
        assert!(!TargetMemory::read(&mut board, 0x9000_0000, &mut [0]));
    }
}
