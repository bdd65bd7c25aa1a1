//! The local IoT Hub as a server: the core of [`hub`] on sockets.
//!
//! [`Server`] is the entry. One [`hub::Cloud`] is behind a lock ([`core::Core`]); each connection has a task that carries bytes
//! between its socket and the cloud, those of devices on one thread. TLS is done outside the lock, its handshakes on all
//! processors. Whatever a call changes is in the [`store`] before a byte of its answer leaves.

pub mod api;
mod broker;
pub mod config;
pub mod core;
mod dashboard;
mod edge;
mod error;
pub mod keys;
mod lane;
pub mod log;
mod server;
mod signal;
pub mod store;

pub use config::Config;
pub use error::ServerError;
pub use server::{Addresses, Server};
