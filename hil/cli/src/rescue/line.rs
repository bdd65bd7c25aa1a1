//! What characters go over: a serial port, or the virtual COM port of a virtual board in this process.

use std::io;
use std::path::Path;
use std::time::Duration;

use armv7m::Size;
use same54_sim::{Board, BoardConfig};
use serial2::SerialPort;
use sim_base::Instant;
use update_image::layout::VECTOR_TABLE;

use super::RescueError;
use crate::artifacts::Program;
use crate::error::Error;

/// Baud rate of the bootloader.
const BAUD_RATE: u32 = 115_200;
/// Vector table offset register: who runs has set it.
const VTOR: u32 = 0xE000_ED08;
/// Virtual time between two looks at a virtual board.
const QUANTUM: Duration = Duration::from_millis(1);
/// Virtual time in which a bootloader comes to its decision, far more than it takes.
const START: Duration = Duration::from_secs(30);

/// A serial line to a board.
pub trait Line {
    /// What users know it by.
    fn name(&self) -> String;

    /// Sends bytes.
    ///
    /// # Errors
    /// If the port fails.
    fn send(&mut self, bytes: &[u8]) -> Result<(), RescueError>;

    /// What has come, as soon as something has; nothing if nothing comes for `patience`.
    ///
    /// # Errors
    /// If the port fails.
    fn receive(&mut self, patience: Duration) -> Result<Vec<u8>, RescueError>;
}

/// A serial port.
pub struct SerialLine {
    name: String,
    port: SerialPort,
}

impl SerialLine {
    /// Opens `path` at the bootloader's baud rate.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RescueError> {
        let name = path.display().to_string();
        let port =
            SerialPort::open(path, BAUD_RATE).map_err(|source| RescueError::Open { port: name.clone(), source })?;
        // The EDBG passes nothing on before its host says that it is ready. A pseudo-terminal has no such wire.
        let _ = port.set_dtr(true);
        // What was said before somebody listened.
        let _ = port.discard_input_buffer();
        Ok(Self { name, port })
    }

    fn failed(&self, source: io::Error) -> RescueError {
        RescueError::Port { port: self.name.clone(), source }
    }
}

impl Line for SerialLine {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), RescueError> {
        self.port.write_all(bytes).map_err(|source| self.failed(source))
    }

    fn receive(&mut self, patience: Duration) -> Result<Vec<u8>, RescueError> {
        self.port.set_read_timeout(patience).map_err(|source| self.failed(source))?;
        let mut buffer = [0; 512];
        loop {
            match self.port.read(&mut buffer) {
                Ok(len) => return Ok(buffer[..len].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(Vec::new()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }
}

/// A virtual board with a bootloader and nothing else. Time passes while it is listened to.
pub struct VirtualLine {
    /// The board.
    pub board: Board,
}

impl VirtualLine {
    /// Gives a board with `bootloader` its supply.
    ///
    /// # Errors
    /// If the program is not one for the board.
    pub fn start(bootloader: &Program) -> Result<Self, Error> {
        let mut board = Board::new(BoardConfig { seed: 1, flash_timing: true });
        let (address, bytes) = bootloader.flat()?;
        if !board.preload_nvm(address, &bytes) {
            let why = "does not fit the internal flash".to_owned();
            return Err(Error::Artifact { path: bootloader.path.clone(), why });
        }
        board.power_on();
        Ok(Self { board })
    }

    /// Lets time pass until the application runs, and says when it does.
    ///
    /// # Errors
    /// If it does not come to that.
    pub fn wait_for_application(&mut self) -> Result<Instant, RescueError> {
        let limit = self.board.now() + START;
        while self.board.now() < limit {
            if self.board.debug_read(VTOR, Size::Word) == Ok(VECTOR_TABLE) {
                return Ok(self.board.now());
            }
            self.board.run_until(self.board.now() + QUANTUM);
        }
        Err(RescueError::NotStarted)
    }
}

impl Line for VirtualLine {
    fn name(&self) -> String {
        "virtual:same54-xpro".to_owned()
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), RescueError> {
        self.board.send_uart(bytes);
        Ok(())
    }

    fn receive(&mut self, patience: Duration) -> Result<Vec<u8>, RescueError> {
        let end = self.board.now() + patience;
        loop {
            let bytes = self.board.take_uart();
            if !bytes.is_empty() || self.board.now() >= end {
                return Ok(bytes);
            }
            self.board.run_until((self.board.now() + QUANTUM).min(end));
        }
    }
}
