//! Packets from the server.

use core::fmt;

/// A packet from the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Answer to CONNECT (section 3.2).
    Connack {
        /// The server still had a session of this client.
        session_present: bool,
        /// 0: accepted; 1 to 5: see [`Refusal`](crate::Error::Refused).
        code: u8,
    },
    /// A message (section 3.3).
    Publish {
        /// Where it was published.
        topic: &'a str,
        /// Its content, mutable so that it can be decoded in place.
        payload: &'a mut [u8],
        /// Packet id of a message with QoS 1, which is to be acknowledged.
        id: Option<u16>,
    },
    /// Acknowledges a message with QoS 1 (section 3.4).
    Puback(u16),
    /// Answer to SUBSCRIBE (section 3.9).
    Suback {
        /// Packet id of the SUBSCRIBE.
        id: u16,
        /// One return code for each filter: the granted QoS, or 0x80.
        codes: &'a [u8],
    },
    /// Answer to PINGREQ (section 3.13).
    Pingresp,
}

/// What arrived is no packet that this server may send. The connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketError {
    /// Unknown type, wrong flags or lengths, or a topic that is not UTF-8.
    Malformed,
    /// A packet of `len` bytes does not fit the receive buffer of `capacity` bytes.
    TooLarge {
        /// Length of the packet.
        len: usize,
        /// Length of the buffer.
        capacity: usize,
    },
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("malformed MQTT packet"),
            Self::TooLarge { len, capacity } => {
                write!(f, "MQTT packet of {len} bytes for a buffer of {capacity}")
            }
        }
    }
}

impl core::error::Error for PacketError {}

/// Collects bytes in a caller's buffer and cuts packets out of them.
///
/// The buffer's length is the length of the longest packet: a twin has up to 8 KB of desired and 32 KB of reported
/// properties, in practice 8 to 16 KB suffice.
#[derive(Debug)]
pub struct Receiver<'b> {
    buffer: &'b mut [u8],
    /// Bytes of the packet that was handed out last: gone at the next call.
    taken: usize,
    /// Bytes in the buffer.
    len: usize,
}

impl<'b> Receiver<'b> {
    /// Starts empty, on `buffer`.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, taken: 0, len: 0 }
    }

    /// Where to read bytes to. Not empty, as long as [`packet`](Self::packet) was called until it had nothing.
    pub fn space(&mut self) -> &mut [u8] {
        self.discard();
        &mut self.buffer[self.len..]
    }

    /// The first `count` bytes of [`space`](Self::space) have been filled.
    pub fn filled(&mut self, count: usize) {
        self.len = (self.len + count).min(self.buffer.len());
    }

    /// Forgets everything, for a new connection.
    pub fn clear(&mut self) {
        self.taken = 0;
        self.len = 0;
    }

    /// The next complete packet, if there is one.
    ///
    /// # Errors
    /// [`PacketError`]; it stays, until [`clear`](Self::clear).
    pub fn packet(&mut self) -> Result<Option<Packet<'_>>, PacketError> {
        self.discard();
        let Some((header, body)) = fixed_header(&self.buffer[..self.len])? else {
            return Ok(None);
        };
        let end = header + body;
        if end > self.buffer.len() {
            return Err(PacketError::TooLarge { len: end, capacity: self.buffer.len() });
        }
        if end > self.len {
            return Ok(None);
        }
        self.taken = end;
        let (first, rest) = self.buffer[..end].split_first_mut().ok_or(PacketError::Malformed)?;
        decode(*first, &mut rest[header - 1..]).map(Some).ok_or(PacketError::Malformed)
    }

    fn discard(&mut self) {
        if self.taken > 0 {
            self.buffer.copy_within(self.taken..self.len, 0);
            self.len -= self.taken;
            self.taken = 0;
        }
    }
}

/// Lengths of the fixed header and of what follows it (section 2.2), once the header is complete.
fn fixed_header(bytes: &[u8]) -> Result<Option<(usize, usize)>, PacketError> {
    let mut body = 0;
    for index in 0..4 {
        let Some(&byte) = bytes.get(1 + index) else {
            return Ok(None);
        };
        body |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((2 + index, body)));
        }
    }
    Err(PacketError::Malformed)
}

fn decode(first: u8, body: &mut [u8]) -> Option<Packet<'_>> {
    match first {
        0x20 => match *body {
            [flags @ 0..=1, code] => Some(Packet::Connack { session_present: flags == 1, code }),
            _ => None,
        },
        0x30..=0x3F => publish(first & 0x0F, body),
        0x40 => match *body {
            [high, low] => Some(Packet::Puback(packet_id(high, low)?)),
            _ => None,
        },
        0x90 => match body {
            [high, low, codes @ ..] if !codes.is_empty() => Some(Packet::Suback { id: packet_id(*high, *low)?, codes }),
            _ => None,
        },
        0xD0 if body.is_empty() => Some(Packet::Pingresp),
        _ => None,
    }
}

fn publish(flags: u8, body: &mut [u8]) -> Option<Packet<'_>> {
    let (len, rest) = body.split_first_chunk_mut::<2>()?;
    let len = usize::from(u16::from_be_bytes(*len));
    let (topic, rest) = rest.split_at_mut_checked(len)?;
    let topic = core::str::from_utf8(topic).ok()?;
    let (id, payload) = match flags >> 1 & 3 {
        0 => (None, rest),
        1 => {
            let (id, payload) = rest.split_first_chunk_mut::<2>()?;
            (Some(packet_id(id[0], id[1])?), payload)
        }
        // Never granted: we subscribe with QoS 1.
        _ => return None,
    };
    Some(Packet::Publish { topic, payload, id })
}

/// Packet ids are not zero (section 2.3.1).
fn packet_id(high: u8, low: u8) -> Option<u16> {
    Some(u16::from_be_bytes([high, low])).filter(|id| *id != 0)
}
