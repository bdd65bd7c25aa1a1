//! `hil hub`: the local IoT Hub by itself, and what an operator does with it.

mod admin;
mod client;
mod enrolments;
mod serve;
mod table;
mod updates;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

pub use admin::{AdminCommand, Target};
pub use serve::ServeArgs;

/// Arguments of `hil hub`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HubArgs {
    #[command(flatten)]
    serve: ServeArgs,
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Option<AdminCommand>,
}

/// Why a command on the hub failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// the hub does not start, or had to stop
    #[error(transparent)]
    Server(#[from] hub_server::ServerError),
    /// the configuration is wrong
    #[error(transparent)]
    Config(#[from] hub_server::config::ConfigError),
    /// the hub had to stop
    #[error("{0}")]
    Stopped(String),
    /// no hub answers
    #[error("no hub answers at {url}: {why}; start one by `cargo hil hub`, or name it by --hub or HIL_HUB")]
    Unreachable {
        /// Address of the API.
        url: String,
        /// The reason.
        why: String,
    },
    /// the hub refuses
    #[error("{0}")]
    Refused(String),
    /// an argument is wrong
    #[error("{0}")]
    Argument(String),
    /// a file cannot be read
    #[error("`{path}` cannot be read: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: std::io::Error,
    },
}

/// Does what the command line says.
///
/// # Errors
/// [`HubError`].
pub fn hub(args: HubArgs) -> Result<ExitCode, HubError> {
    match args.command {
        Some(command) => admin::admin(command, &args.target).map(|()| ExitCode::SUCCESS),
        None => serve::serve(args.serve, args.target),
    }
}
