//! The probe's end of the Glasgow `probe-rs` applet: a protocol that probe-rs speaks over TCP, so that its own tools
//! attach to a virtual board (`--probe 20b7:9db1:tcp:127.0.0.1:PORT`).
//!
//! Source: the definitions in probe-rs' Glasgow driver. A packet is COBS-encoded and ends with a zero byte; its first
//! byte is the endpoint, the rest goes on where the endpoint's last packet ended. Endpoint 0 (root): identity, clock,
//! RESETN. Endpoint 1 (SWD): bit sequences, which get no answer, and transfers, which each get one.
//!
//! Bytes in, bytes out: the socket is the caller's.

use thiserror::Error;

use crate::dap::{DebugPort, Nak, Port, Target};

/// What the driver asks a probe for before anything else.
const IDENTIFIER: &[u8; 12] = b"probe-rs,v01";
/// Clock from which the driver derives its SWD clock, Hz. Transfers here take no time.
const REF_CLOCK: u32 = 48_000_000;
/// Longer packets than any driver sends: whoever sends one does not speak this protocol.
const MAX_PACKET: usize = 1 << 20;

const ROOT: u8 = 0;
const SWD: u8 = 1;

/// Commands of the root endpoint.
mod root {
    pub const IDENTIFY: u8 = 0x00;
    pub const GET_REF_CLOCK: u8 = 0x10;
    pub const GET_DIVISOR: u8 = 0x11;
    pub const SET_DIVISOR: u8 = 0x12;
    pub const ASSERT_RESET: u8 = 0x20;
    pub const CLEAR_RESET: u8 = 0x21;
}

/// Commands and answers of the SWD endpoint.
mod swd {
    /// Set: a bit sequence; clear: a transfer.
    pub const SEQUENCE: u8 = 0x20;
    pub const AP: u8 = 1 << 0;
    pub const READ: u8 = 1 << 1;
    pub const ADDRESS: u8 = 0xC;

    pub const DATA: u8 = 0x00;
    pub const NO_DATA: u8 = 0x10;
    pub const ERROR: u8 = 0x20;
    pub const OK: u8 = 0b001;
    pub const FAULT: u8 = 0b100;
}

/// RDBUFF and ABORT of the debug port, and the flag that clears STICKYERR.
const RDBUFF: u8 = 0xC;
const ABORT: u8 = 0x0;
const STKERRCLR: u32 = 1 << 2;

/// What hangs at the probe's connector: SWD, and RESETN.
pub trait Connector: Target {
    /// Drives RESETN; asserted is low.
    fn set_nreset(&mut self, asserted: bool);
}

/// The other side does not speak this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// Not COBS, or an empty packet.
    #[error("a packet that cannot be decoded")]
    Encoding,
    /// A packet for an endpoint that there is not.
    #[error("a packet for endpoint {0}, which does not exist")]
    Endpoint(u8),
    /// A command that the root endpoint does not know.
    #[error("unknown command {0:#04x}")]
    Command(u8),
    /// A packet without end.
    #[error("a packet that is too long")]
    TooLong,
}

/// One connection's state.
#[derive(Clone, Debug, Default)]
pub struct Glasgow {
    port: DebugPort,
    /// Bytes of a packet that is not complete.
    packet: Vec<u8>,
    /// Commands that are not complete, by endpoint.
    root: Vec<u8>,
    swd: Vec<u8>,
    divisor: u16,
}

impl Glasgow {
    /// A probe that has just been plugged in.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what has been received, does it, and returns what is to be sent.
    ///
    /// # Errors
    /// The other side speaks something else; the connection should be closed.
    pub fn receive<C: Connector>(&mut self, connector: &mut C, bytes: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        let mut out = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == 0) {
            self.packet.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let packet = cobs::decode_vec(&self.packet).map_err(|_| ProtocolError::Encoding)?;
            self.packet.clear();
            let (endpoint, commands) = packet.split_first().ok_or(ProtocolError::Encoding)?;
            let answer = match *endpoint {
                ROOT => self.root(connector, commands)?,
                SWD => self.swd(connector, commands),
                other => return Err(ProtocolError::Endpoint(other)),
            };
            if !answer.is_empty() {
                let mut packet = vec![*endpoint];
                packet.extend(answer);
                out.extend(cobs::encode_vec(&packet));
                out.push(0);
            }
        }
        self.packet.extend_from_slice(rest);
        if self.packet.len() > MAX_PACKET { Err(ProtocolError::TooLong) } else { Ok(out) }
    }

    fn root<C: Connector>(&mut self, connector: &mut C, commands: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        self.root.extend_from_slice(commands);
        let mut answer = Vec::new();
        let mut used = 0;
        while let Some((&command, operands)) = self.root.get(used..).and_then(<[u8]>::split_first) {
            used += 1;
            match command {
                root::IDENTIFY => answer.extend(IDENTIFIER),
                root::GET_REF_CLOCK => answer.extend(REF_CLOCK.to_le_bytes()),
                root::GET_DIVISOR => answer.extend(self.divisor.to_le_bytes()),
                root::SET_DIVISOR => {
                    let Some(divisor) = operands.first_chunk() else {
                        used -= 1;
                        break;
                    };
                    self.divisor = u16::from_le_bytes(*divisor);
                    used += 2;
                }
                root::ASSERT_RESET => connector.set_nreset(true),
                root::CLEAR_RESET => connector.set_nreset(false),
                other => return Err(ProtocolError::Command(other)),
            }
        }
        self.root.drain(..used);
        Ok(answer)
    }

    fn swd<C: Connector>(&mut self, connector: &mut C, commands: &[u8]) -> Vec<u8> {
        self.swd.extend_from_slice(commands);
        let mut answer = Vec::new();
        let mut used = 0;
        while let Some((&command, operands)) = self.swd.get(used..).and_then(<[u8]>::split_first) {
            let operand = operands.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
            let port = if command & swd::AP != 0 { Port::Ap } else { Port::Dp };
            let address = command & swd::ADDRESS;
            let result = match operand {
                _ if command & (swd::SEQUENCE | swd::READ) == swd::READ => {
                    used += 1;
                    self.read(connector, port, address).map(Some)
                }
                None => break,
                // Line resets and the JTAG-to-SWD switch: the port is in SWD mode already. No answer.
                Some(_) if command & swd::SEQUENCE != 0 => {
                    used += 5;
                    continue;
                }
                Some(value) => {
                    used += 5;
                    self.port.write(connector, port, address, value).map(|()| None)
                }
            };
            match result {
                Ok(Some(value)) => {
                    answer.push(swd::DATA | swd::OK);
                    answer.extend(value.to_le_bytes());
                }
                Ok(None) => answer.push(swd::NO_DATA | swd::OK),
                Err(nak) => {
                    answer.push(self.refuse(connector, nak));
                    // The driver reads no further than the first refusal of a batch, which is one packet: answers to
                    // the rest of it would be taken for those of the next.
                    used = self.swd.len();
                }
            }
        }
        self.swd.drain(..used);
        answer
    }

    /// Reads of an access port are posted, as on the wire (ADIv5, B4.2.2): each gives the result of the one before, and
    /// RDBUFF that of the last.
    fn read<C: Connector>(&mut self, connector: &mut C, port: Port, address: u8) -> Result<u32, Nak> {
        if port == Port::Dp {
            return self.port.read(connector, port, address);
        }
        let posted = self.port.read(connector, Port::Dp, RDBUFF)?;
        self.port.read(connector, Port::Ap, address)?;
        Ok(posted)
    }

    /// The driver leaves it to the probe to clear the flag that made the port refuse.
    fn refuse<C: Connector>(&mut self, connector: &mut C, nak: Nak) -> u8 {
        match nak {
            Nak::Fault => {
                // ABORT is always accepted.
                let _ = self.port.write(connector, Port::Dp, ABORT, STKERRCLR);
                swd::NO_DATA | swd::FAULT
            }
            Nak::NoAnswer => swd::ERROR,
        }
    }
}

#[cfg(test)]
mod tests;
