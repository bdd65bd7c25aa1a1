//! Device Provisioning Service and IoT Hub device protocol over MQTT 3.1.1, without IO.
//!
//! - [`mqtt`]: packets; [`mqtt::Receiver`] cuts them out of the byte stream;
//! - [`sas`]: shared access signature tokens, the passwords of both services;
//! - [`dps`]: registration, until a hub is assigned;
//! - [`hub`]: twin, reported properties, telemetry, direct methods, messages.
//!
//! Both clients work alike. The caller owns a TLS stream and two buffers and repeats:
//!
//! 1. `poll(now, out)`: send what it wrote; an error means to give the connection up;
//! 2. read, at the latest until `deadline()`, into [`mqtt::Receiver::space`];
//! 3. for each [`mqtt::Receiver::packet`]: `handle(packet, now)` yields an event.
//!
//! Times are milliseconds of any clock that does not go back; only [`sas`] needs to know the date.
#![no_std]

pub mod dps;
pub mod hub;
pub mod mqtt;
pub mod sas;

mod session;
mod topic;
mod writer;

pub use session::Error;
