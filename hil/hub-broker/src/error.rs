//! Why there is no broker.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Each says what, where and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// the program is not there
    #[error("mosquitto is not installed; install it, on Debian or Ubuntu with `apt-get install mosquitto`")]
    NotInstalled,
    /// the program cannot be started
    #[error("{program} cannot be started: {why}")]
    Start {
        /// What was to be started.
        program: PathBuf,
        /// The reason.
        why: std::io::Error,
    },
    /// a file that the broker needs cannot be written
    #[error("{path} cannot be written for mosquitto: {why}; check the directory and its permissions")]
    Write {
        /// Which.
        path: PathBuf,
        /// The reason.
        why: std::io::Error,
    },
    /// an address is taken
    #[error("mosquitto cannot listen on {address}: {why}; end what holds it, or choose another port")]
    Taken {
        /// Where.
        address: SocketAddr,
        /// The reason.
        why: std::io::Error,
    },
    /// the broker ended, or never came up
    #[error("mosquitto {what}; its last lines: {last}")]
    Died {
        /// What it did: ended, or did not start in time.
        what: &'static str,
        /// Its last lines, separated by ` | `.
        last: String,
    },
    /// the hub's own connection to the broker failed
    #[error("the hub's connection to mosquitto failed: {0}")]
    Link(String),
}
