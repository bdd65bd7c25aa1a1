//! What goes wrong on the way into a board's slot.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use update_image::Refusal;

/// An error of `hil rescue`. Its message is one line for the user.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RescueError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}; check the path and its permissions")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not an image that the board could take.
    #[error("{path} is no signed image for {}: {}; sign a program for the slot with imgtool, see docs/recovery.md", super::BOARD, cause.as_str())]
    NotAnImage {
        /// Which.
        path: PathBuf,
        /// What the bootloader would say.
        cause: Refusal,
    },
    /// No EDBG is plugged in.
    #[error("no serial port of {what} found; plug the board's DEBUG USB in, or name the port with --port")]
    NoPort {
        /// USB ids and serial number.
        what: String,
    },
    /// There are several.
    #[error(
        "several serial ports of {what}: {ports}; choose one with --port, or add the serial number: --board VID:PID:SERIAL"
    )]
    ManyPorts {
        /// USB ids and serial number.
        what: String,
        /// Their names.
        ports: String,
    },
    /// The port could not be opened.
    #[error("cannot open {port}: {source}; check the name, its permissions, and that no other program uses it")]
    Open {
        /// Which.
        port: String,
        /// Why.
        source: io::Error,
    },
    /// The port failed while it was used.
    #[error("{port} failed: {source}; check the cable and try again, the upload goes on where it was")]
    Port {
        /// Which.
        port: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody answers.
    #[error(
        "no answer at {port}: a board that waits for an image flashes its LED twice a second; reset it, or check the port"
    )]
    NoAnswer {
        /// Which.
        port: String,
    },
    /// Something answers that makes no sense.
    #[error("{port} answers {what}, which is not MCUmgr's protocol; is it the right port?")]
    Nonsense {
        /// Which.
        port: String,
        /// What is missing.
        what: &'static str,
    },
    /// The board says no.
    #[error("the board refuses {what}: {reason} (code {code})")]
    Refused {
        /// The image, or a command.
        what: String,
        /// In its own words.
        reason: String,
        /// MCUmgr's error code.
        code: u64,
    },
    /// The upload does not come to its end.
    #[error("{port} loses too much: no progress after {offset} bytes; check the cable and try again")]
    Stalled {
        /// Which.
        port: String,
        /// How far it came.
        offset: usize,
    },
    /// The board has taken the image and does not have it.
    #[error("the board at {port} does not show the image that it took; try again")]
    NotThere {
        /// Which.
        port: String,
    },
    /// The virtual board does not start what it took.
    #[error("the virtual board has taken the image and does not start it")]
    NotStarted,
}

impl RescueError {
    /// The refusal is of this file.
    pub(super) fn about(self, path: &Path) -> Self {
        match self {
            Self::Refused { reason, code, .. } => Self::Refused { what: path.display().to_string(), reason, code },
            other => other,
        }
    }
}
