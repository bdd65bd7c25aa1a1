//! `hil hub`: the local IoT Hub by itself, and what an operator does with it.

mod serve;

use std::process::ExitCode;

use clap::Args;

pub use serve::ServeArgs;

/// Arguments of `hil hub`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HubArgs {
    #[command(flatten)]
    serve: ServeArgs,
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
}

/// Does what the command line says.
///
/// # Errors
/// [`HubError`].
pub fn hub(args: HubArgs) -> Result<ExitCode, HubError> {
    serve::serve(args.serve)
}
