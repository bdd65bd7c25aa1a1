//! What goes wrong with `hil board`: one line that says what, where and what to do.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::elf::ElfError;

/// What goes wrong with `hil board`: a message of one line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LiveError {
    /// Not a time.
    #[error("{option}: \"{text}\" is no time; write a number with ns, us, ms, s, min or h, for example 10s or 500us")]
    Duration {
        /// The option.
        option: &'static str,
        /// As typed.
        text: String,
    },
    /// Not `FILE@ADDRESS`.
    #[error("--image: \"{0}\" is not FILE@ADDRESS; for example app.bin@0x10000")]
    Image(String),
    /// Not a LAN.
    #[error("--lan: \"{0}\" is no network; use none, sim, or tap:NAME with the name of a TAP device")]
    Lan(String),
    /// Not `MEMORY:FILE`.
    #[error("--dump: \"{0}\" is no dump; use nor:FILE or nvm:FILE")]
    Dump(String),
    /// Not `TIME:ACTION`.
    #[error(
        "--at: \"{0}\" is not TIME:ACTION; for example 2s:press, with press, release, reset, power-off, power-on, \
         unplug, plug, or uart=TEXT"
    )]
    Script(String),
    /// An option that would have no effect.
    #[error("{0}")]
    Option(&'static str),
    /// A file could not be read.
    #[error("cannot read {path}: {source}; check the path and its permissions")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {source}; check that the folder exists and may be written")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An ELF that is no program for the board.
    #[error("{path}: {why}")]
    Elf {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: ElfError,
    },
    /// A raw image that does not fit.
    #[error("{path}: {len} bytes at 0x{addr:08x} do not fit the {what} of 0x{size:08x} bytes; check address and file")]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its length.
        len: usize,
        /// Where it was to go.
        addr: u32,
        /// Which memory.
        what: &'static str,
        /// Its size.
        size: u32,
    },
    /// Two programs at one place.
    #[error("{first} and {second} overlap at 0x{at:08x}; link one of them elsewhere, or leave it out")]
    Overlap {
        /// Which.
        first: PathBuf,
        /// And which.
        second: PathBuf,
        /// First address that both want.
        at: u32,
    },
    /// The core would find nothing.
    #[error(
        "nothing is at 0x00000000, where the core looks for its vector table; \
         add a bootloader with --elf, or link the program there"
    )]
    NothingAtZero,
    /// A TCP port that cannot be had.
    #[error("--{option} {port}: cannot listen on 127.0.0.1:{port}: {why}; choose another port, or 0 for any free one")]
    Port {
        /// `gdb` or `probe`.
        option: &'static str,
        /// Which.
        port: u16,
        /// Why not.
        why: String,
    },
    /// No coverage.
    #[error("--coverage {path}: {why}; build the programs with debug information, or leave the option out")]
    Coverage {
        /// Where it was to go.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// No TAP device.
    #[error("--lan tap:{name}: {why}; {advice}")]
    Tap {
        /// Its name.
        name: String,
        /// Why not.
        why: String,
        /// What to do.
        advice: &'static str,
    },
    /// No pseudo-terminal.
    #[error("--pty: the system gives no pseudo-terminal: {0}; use --uart FILE")]
    Pty(io::Error),
    /// Something of the rest of `hil`.
    #[error("{0}")]
    Other(#[from] Box<crate::error::Error>),
}

impl From<crate::error::Error> for LiveError {
    fn from(error: crate::error::Error) -> Self {
        Self::Other(Box::new(error))
    }
}

impl LiveError {
    pub(super) fn read(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.to_owned(), source }
    }

    pub(super) fn write(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }
}
