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
    /// no container engine answers
    #[error(
        "no container engine answers at {host}: {why}; install and start Docker and see that you may open its socket, or set \
         DOCKER_HOST to the socket of another engine"
    )]
    NoEngine {
        /// Where.
        host: String,
        /// The reason.
        why: String,
    },
    /// the container engine is on another machine
    #[error(
        "the container engine at {host} (DOCKER_HOST) cannot share directories with this machine; set DOCKER_HOST to \
         unix:// and the path of a socket"
    )]
    RemoteEngine {
        /// Where.
        host: String,
    },
    /// the image is not there
    #[error(
        "the image {image} is not on this machine and cannot be pulled: {why}; make one of the installed mosquitto with \
         `hil/hub-broker/image NAME`, and name it with --broker-image"
    )]
    NoImage {
        /// Which.
        image: String,
        /// What the engine says.
        why: String,
    },
    /// the engine does not start a container
    #[error("no container of {image} can be started: {why}; the image needs /bin/sh and mosquitto in its path")]
    Container {
        /// Of which image.
        image: String,
        /// What the engine says.
        why: String,
    },
    /// the hub's own connection to the broker failed
    #[error("the hub's connection to mosquitto failed: {0}")]
    Link(String),
}
