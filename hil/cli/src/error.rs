//! What goes wrong before or beside a scenario: one clear line that says what, where and what to do.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An error that ends `hil`. Its message is one line for the user.
#[derive(Debug, Error)]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {path}: {source}; check the path and its permissions")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {source}; choose another place with --out DIR")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No such scenario.
    #[error("unknown scenario \"{name}\"; known are {known}")]
    UnknownScenario {
        /// As typed.
        name: String,
        /// Comma-separated names.
        known: String,
    },
    /// A scenario file is wrong.
    #[error("scenario {path}: {why}; see docs/scenarios.md for its keys")]
    Scenario {
        /// Which file.
        path: String,
        /// Why.
        why: String,
    },
    /// The compiler lacks the microcontroller's target.
    #[error("the Rust target {target} is not installed; run `rustup toolchain install` in {dir}")]
    NoTarget {
        /// For example `thumbv7em-none-eabihf`.
        target: String,
        /// The workspace.
        dir: PathBuf,
    },
    /// cargo could not be started.
    #[error("cannot run {program}: {source}; install Rust with rustup and try again")]
    NoCargo {
        /// What was to be run.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// cargo failed.
    #[error("building {what} failed; the compiler's messages are above")]
    Build {
        /// Package and version.
        what: String,
    },
    /// An artifact is not what it should be.
    #[error("{path}: {why}")]
    Artifact {
        /// Which file.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// The board could not be reached or flashed.
    #[error("{0}")]
    Board(#[from] crate::board::BoardError),
    /// A board could not run by itself.
    #[error("{0}")]
    Live(Box<crate::live::LiveError>),
    /// There is no broker.
    #[error("{0}")]
    Broker(#[from] hub_broker::BrokerError),
    /// The hub could not run or do what it was asked for.
    #[error("{0}")]
    HubCommand(Box<crate::hub::HubError>),
    /// A board could not be rescued.
    #[error("{0}")]
    Rescue(Box<crate::rescue::RescueError>),
    /// An image or a key is not what it should be.
    #[error("{0}")]
    Image(Box<crate::image::ImageError>),
    /// A board could not be provisioned.
    #[error("{0}")]
    Provision(Box<crate::provision::ProvisionError>),
    /// The hub refused its configuration, an update or a deployment.
    #[error("local IoT Hub: {0}")]
    Hub(String),
    /// A campaign's programs do not come to where the campaign begins.
    #[error("the campaign cannot begin: {0}")]
    Campaign(String),
    /// A program that measures the board did not do what it should.
    #[error("the benchmark's program: {0}; is it built from this workspace?")]
    Bench(String),
    /// The hub could not be measured.
    #[error("{0}")]
    HubBench(String),
    /// A scenario needs what this board cannot give.
    #[error("board {board} cannot run scenarios yet: {why}; use --board virtual:same54-xpro")]
    Unsupported {
        /// The selector.
        board: String,
        /// What is missing.
        why: String,
    },
}

impl Error {
    /// A failed read of `path`.
    pub fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    /// A failed write of `path`.
    pub fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}
