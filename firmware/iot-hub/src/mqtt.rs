//! The client's half of MQTT 3.1.1 (OASIS standard, 29 October 2014), as far as IoT Hub speaks it.

mod receive;

pub use receive::{Packet, PacketError, Receiver};
