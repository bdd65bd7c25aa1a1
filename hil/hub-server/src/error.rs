//! Why a hub does not start.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Each says what, where and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// a listener cannot be opened
    #[error("{what} cannot listen on {address}: {why}; choose another port in `[ports]` or end what holds it")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The reason.
        why: std::io::Error,
    },
    /// the broker does not start
    #[error(transparent)]
    Broker(#[from] hub_broker::BrokerError),
    /// a key or certificate cannot be made, read or written
    #[error("the keys in `{path}` cannot be used: {why}")]
    Keys {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// the store cannot be opened
    #[error("the state in `{path}` cannot be opened: {why}")]
    Store {
        /// The directory.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// the services cannot start
    #[error(transparent)]
    Cloud(#[from] hub::CloudError),
    /// TLS cannot be configured
    #[error("TLS cannot be configured: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
    /// the runtime cannot start
    #[error("no threads can be started: {0}")]
    Runtime(std::io::Error),
}
