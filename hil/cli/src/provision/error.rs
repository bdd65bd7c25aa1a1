//! What goes wrong while a board is provisioned: one line that says what, where and what to do.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::board::BoardError;
use crate::image::ImageError;

/// An error of `hil provision`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// The file that says who the device is, or one that it names, is not as it should be.
    #[error("{path}: {what}")]
    Config {
        /// Which file.
        path: PathBuf,
        /// Field, what is wrong with it, what to do.
        what: String,
    },
    /// A public key cannot be used.
    #[error("{0}")]
    Key(#[from] ImageError),
    /// More keys than a bootloader has room for.
    #[error("--keys names {0} files; a bootloader takes 1 to 4")]
    KeyCount(usize),
    /// The key that everybody has.
    #[error("{0}: the test key of this repository, whose private half everybody has; make one with `hil image keygen`")]
    TestKey(PathBuf),
    /// The board.
    #[error("{0}")]
    Board(#[from] BoardError),
    /// Building the bootloader.
    #[error("{0}")]
    Build(Box<crate::error::Error>),
    /// The debugger sees nothing of the chip.
    #[error(
        "board {0} is locked by its security bit; a chip erase lifts it and loses everything but a protected bootloader; \
         docs/production.md says how"
    )]
    Locked(String),
    /// The user page has lost the factory's calibration.
    #[error(
        "the user page at 0x804000 is erased and with it the factory's calibration; write its first words back from a \
         record of the board, or use --keep-fuses"
    )]
    BlankFuses,
    /// Nobody could be asked.
    #[error("nothing was written: standard input is no terminal, so nobody can be asked; add --yes")]
    NobodyToAsk,
    /// A locked device would run anybody's images.
    #[error(
        "not locked: the bootloader on the board trusts the test key, which everybody has; name your own with --keys"
    )]
    LockWithTestKey,
    /// There is nothing that would verify an image.
    #[error("not locked: there is no bootloader on the board; name its keys with --keys, and it is built and flashed")]
    LockWithoutBootloader,
    /// What was written is not what the chip shows.
    #[error("{0}")]
    Mismatch(String),
}

impl ProvisionError {
    /// `what` is wrong in the file at `path`.
    pub(super) fn config(path: &Path, what: impl Into<String>) -> Self {
        Self::Config { path: path.to_owned(), what: what.into() }
    }
}
