//! The kernels on the virtual board: a semihosting host without a probe in between.

use std::time::Duration;

use armv7m::Size;
use same54_sim::{Board, BoardConfig, RunStop};

use super::cpu_time;
use crate::artifacts::Program;
use crate::error::Error;

const DHCSR: u32 = 0xE000_EDF0;
const DCRSR: u32 = 0xE000_EDF4;
const DCRDR: u32 = 0xE000_EDF8;
const NVM_CTRLA: u32 = 0x4100_4000;
const NVM_CTRLB: u32 = 0x4100_4004;
const CMCC_CTRL: u32 = 0x4100_6008;
/// RWS 5, as for 120 MHz, and no automatic wait states.
const WAIT_STATES: u32 = 5 << 8;
/// CMDEX key and write page.
const WRITE_PAGE: u32 = 0xA503;
const PAGE: usize = 512;

/// What the program did between asking for its command line and printing.
pub struct Run {
    pub instructions: u64,
    pub cycles: u64,
    pub seconds: f64,
    pub output: String,
}

/// Runs one kernel to its end.
pub fn run(program: &Program, command_line: &str) -> Result<Run, Error> {
    let mut guest = Guest::new(program)?;
    guest.start(command_line)?;
    let (instructions, cycles) = (guest.board.instructions(), guest.board.cycles());
    let (halted, seconds) = cpu_time::of(|| guest.run());
    halted?;
    let run = Run {
        instructions: guest.board.instructions() - instructions,
        cycles: guest.board.cycles() - cycles,
        seconds,
        output: guest.written()?,
    };
    Ok(run)
}

/// Seconds for an hour of sleep.
pub fn idle_hour(program: &Program) -> Result<f64, Error> {
    let mut guest = Guest::new(program)?;
    guest.start("idle 0")?;
    let end = guest.board.now() + Duration::from_secs(3_600);
    guest.write(DHCSR, 0xA05F_0001)?;
    let (stop, seconds) = cpu_time::of(|| guest.board.run_until(end));
    if stop == RunStop::Time && guest.board.is_sleeping() { Ok(seconds) } else { Err(stuck("it does not sleep")) }
}

struct Guest {
    board: Board,
}

fn stuck(why: &str) -> Error {
    Error::Bench(why.to_owned())
}

impl Guest {
    /// A board with the program in flash, halted at its beginning.
    fn new(program: &Program) -> Result<Self, Error> {
        let (base, image) = program.flat()?;
        let mut guest = Self { board: Board::new(BoardConfig { seed: 1, flash_timing: false }) };
        guest.board.power_on();
        guest.write(DHCSR, 0xA05F_0003)?;
        guest.halfword(NVM_CTRLA, WAIT_STATES)?;
        for (number, page) in image.chunks(PAGE).enumerate() {
            for (offset, word) in page.chunks(4).enumerate() {
                let mut bytes = [0xFF; 4];
                bytes[..word.len()].copy_from_slice(word);
                guest.write(base + (number * PAGE + offset * 4) as u32, u32::from_le_bytes(bytes))?;
            }
            guest.halfword(NVM_CTRLB, WRITE_PAGE)?;
        }
        if guest.board.nvm()[base as usize..][..image.len()] != image[..] {
            return Err(stuck("its flash does not take the program"));
        }
        guest.write(CMCC_CTRL, 1)?;
        let (sp, pc) = (guest.read(base)?, guest.read(base + 4)?);
        guest.set(13, sp)?;
        guest.set(15, pc & !1)?;
        Ok(guest)
    }

    /// Runs until the program asks for its command line, and gives it.
    fn start(&mut self, command_line: &str) -> Result<(), Error> {
        self.run()?;
        if self.board.register(0) != 0x15 {
            return Err(stuck("it does not ask for its command line"));
        }
        let block = self.board.register(1);
        let buffer = self.read(block)?;
        for (at, byte) in (buffer..).zip(command_line.bytes()) {
            self.board.debug_write(at, Size::Byte, byte.into()).map_err(|_| stuck("its buffer is nowhere"))?;
        }
        self.write(block + 4, command_line.len() as u32)?;
        self.set(0, 0)?;
        let next = self.board.register(15) + 2;
        self.set(15, next)
    }

    /// Runs to the next semihosting call.
    fn run(&mut self) -> Result<(), Error> {
        self.write(DHCSR, 0xA05F_0001)?;
        let end = self.board.now() + Duration::from_secs(3_600);
        match self.board.run_until(end) {
            RunStop::Halted => Ok(()),
            RunStop::Lockup => Err(stuck("it locked up")),
            RunStop::Time | RunStop::Operation => Err(stuck("it does not end")),
        }
    }

    /// The argument of SYS_WRITE0.
    fn written(&mut self) -> Result<String, Error> {
        if self.board.register(0) != 4 {
            return Err(stuck("it ended without a checksum"));
        }
        let mut text = String::new();
        for at in self.board.register(1).. {
            match self.board.debug_read(at, Size::Byte) {
                Ok(0) => break,
                Ok(byte) => text.push(char::from(byte as u8)),
                Err(_) => return Err(stuck("its text is nowhere")),
            }
        }
        Ok(text)
    }

    fn read(&mut self, addr: u32) -> Result<u32, Error> {
        self.board.debug_read(addr, Size::Word).map_err(|_| stuck("a bus error"))
    }

    fn write(&mut self, addr: u32, value: u32) -> Result<(), Error> {
        self.board.debug_write(addr, Size::Word, value).map_err(|_| stuck("a bus error"))
    }

    fn halfword(&mut self, addr: u32, value: u32) -> Result<(), Error> {
        self.board.debug_write(addr, Size::Half, value).map_err(|_| stuck("a bus error"))
    }

    fn set(&mut self, register: u32, value: u32) -> Result<(), Error> {
        self.write(DCRDR, value)?;
        self.write(DCRSR, 1 << 16 | register)
    }
}
