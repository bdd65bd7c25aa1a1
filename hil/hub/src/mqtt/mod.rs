//! MQTT 3.1.1 (OASIS standard, 29 October 2014): packets and the server's half of a connection.
//!
//! IoT Hub is not a broker, so there is neither routing nor retained messages here; what a topic means is the
//! business of [`dps`](crate::dps) and [`iot_hub`](crate::iot_hub).

pub mod codec;
mod session;

pub use codec::{Connect, DecodeError, Packet, Publish, Will};
pub use session::{Input, Session, Tag, Unacknowledged};

/// Largest packet taken before CONNECT was accepted, bytes.
pub const MAX_CONNECT: usize = 16 * 1024;
/// Largest packet taken afterwards, bytes: a device-to-cloud message has at most 256 KB, and the topic comes on top.
pub const MAX_PACKET: usize = 256 * 1024 + 8 * 1024;

/// SUBACK: the subscription failed.
pub const SUBSCRIPTION_FAILED: u8 = 0x80;
/// CONNACK: connection accepted.
pub const ACCEPTED: u8 = 0;
/// CONNACK: the protocol level is not supported.
pub const REFUSED_PROTOCOL: u8 = 1;
/// CONNACK: the client identifier is not allowed.
pub const REFUSED_IDENTIFIER: u8 = 2;
/// CONNACK: the service is not available.
pub const REFUSED_UNAVAILABLE: u8 = 3;
/// CONNACK: user name or password are malformed.
pub const REFUSED_CREDENTIALS: u8 = 4;
/// CONNACK: not authorised.
pub const REFUSED_NOT_AUTHORISED: u8 = 5;
