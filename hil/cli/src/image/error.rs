//! What goes wrong with images and keys: one line that says what, where and what to do.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use update_image::layout::SLOT;

use crate::elf::ElfError;

/// An error of `hil image`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A file could not be read.
    #[error("cannot read {path}: {why}; check the path and its permissions")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {why}; choose another place")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// A key would be overwritten.
    #[error("{0} exists and keys are never overwritten; choose another place with --out FILE")]
    KeyExists(PathBuf),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers ({0}); no key was made")]
    Random(String),
    /// A file holds no key as it is needed.
    #[error("{path}: {why}")]
    Key {
        /// Which file.
        path: PathBuf,
        /// What it is instead and what to do.
        why: String,
    },
    /// Not a version.
    #[error(
        "\"{0}\" is no version: write MAJOR.MINOR.REVISION, perhaps with +BUILD, for example 1.4.0 or 1.4.0+17 \
         (at most 255.255.65535+4294967295)"
    )]
    Version(String),
    /// The program is no ELF for this chip.
    #[error("{path}: {why}")]
    Elf {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: ElfError,
    },
    /// Nothing can be signed that would not start.
    #[error("{path}: {why}")]
    Payload {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        why: String,
    },
    /// The program does not fit.
    #[error(
        "{path}: the image would have {len} bytes and the slot has {limit}; make the program smaller",
        limit = SLOT.len
    )]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Bytes of the image with header and trailer.
        len: usize,
    },
    /// The board's name does not fit.
    #[error("\"{0}\" is no board name: 1 to 32 bytes are possible")]
    BoardName(String),
    /// The file is no image.
    #[error("{path}: {why}; give a file made by `hil image sign` or `imgtool sign`")]
    NotAnImage {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
}

impl ImageError {
    /// A failed read of `path`.
    pub(super) fn read(path: &Path, why: io::Error) -> Self {
        Self::Read { path: path.to_owned(), why }
    }

    /// A failed write of `path`.
    pub(super) fn write(path: &Path, why: io::Error) -> Self {
        Self::Write { path: path.to_owned(), why }
    }
}
