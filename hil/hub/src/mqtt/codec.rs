//! MQTT 3.1.1 packets: what a client sends is parsed, what a server sends is written.

/// A packet of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// 3.1 CONNECT.
    Connect(Connect),
    /// 3.3 PUBLISH.
    Publish(Publish),
    /// 3.4 PUBACK with its packet identifier.
    PubAck(u16),
    /// 3.8 SUBSCRIBE.
    Subscribe {
        /// Packet identifier.
        id: u16,
        /// Filters with the QoS asked for.
        filters: Vec<(String, u8)>,
    },
    /// 3.10 UNSUBSCRIBE.
    Unsubscribe {
        /// Packet identifier.
        id: u16,
        /// Filters.
        filters: Vec<String>,
    },
    /// 3.12 PINGREQ.
    PingReq,
    /// 3.14 DISCONNECT.
    Disconnect,
}

/// 3.1 CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Protocol level; 4 is MQTT 3.1.1.
    pub level: u8,
    /// Client identifier.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Vec<u8>>,
    /// Whether the client wants a clean session.
    pub clean_session: bool,
    /// Keep-alive interval, seconds; 0 is none.
    pub keep_alive: u16,
    /// Message to publish if the connection breaks.
    pub will: Option<Will>,
}

/// The last will of a CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub body: Vec<u8>,
    /// QoS, 0 to 2.
    pub qos: u8,
    /// RETAIN flag.
    pub retain: bool,
}

/// 3.3 PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub body: Vec<u8>,
    /// QoS, 0 to 2.
    pub qos: u8,
    /// Packet identifier; `None` at QoS 0.
    pub id: Option<u16>,
    /// DUP flag.
    pub dup: bool,
    /// RETAIN flag.
    pub retain: bool,
}

/// Why bytes are not an acceptable packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// the remaining length has more than four bytes (2.2.3)
    #[error("the remaining length has more than four bytes (MQTT 2.2.3)")]
    RemainingLength,
    /// the packet is larger than the server takes
    #[error("a packet of {size} bytes is larger than the {limit} that the server takes")]
    TooLarge {
        /// Size of the packet.
        size: usize,
        /// Size that would be taken.
        limit: usize,
    },
    /// a field reaches beyond the end of the packet
    #[error("a field of packet type {0} reaches beyond the end of the packet")]
    Truncated(u8),
    /// bytes are left over after the last field
    #[error("bytes are left over after the last field of packet type {0}")]
    Trailing(u8),
    /// the packet type is reserved, or only a server may send it
    #[error("packet type {0} is reserved or only for servers")]
    Type(u8),
    /// reserved flags have the wrong value
    #[error("reserved flags of packet type {0} have the wrong value")]
    Flags(u8),
    /// a string is not well-formed UTF-8 or contains U+0000 (1.5.3)
    #[error("a string is not well-formed UTF-8 or contains U+0000 (MQTT 1.5.3)")]
    Text,
    /// the protocol name is not `MQTT`
    #[error("the protocol name is not `MQTT`")]
    ProtocolName,
    /// QoS 3 does not exist
    #[error("QoS 3 does not exist")]
    QoS,
    /// packet identifier 0 is not allowed (2.3.1)
    #[error("packet identifier 0 is not allowed (MQTT 2.3.1)")]
    PacketId,
    /// a topic name is empty or contains a wildcard (4.7)
    #[error("a topic name is empty or contains a wildcard (MQTT 4.7)")]
    TopicName,
    /// a topic filter is malformed (4.7)
    #[error("a topic filter is malformed (MQTT 4.7)")]
    TopicFilter,
    /// a SUBSCRIBE or UNSUBSCRIBE names no filter (3.8.3, 3.10.3)
    #[error("a SUBSCRIBE or UNSUBSCRIBE names no filter (MQTT 3.8.3)")]
    NoFilter,
}

/// Parses one packet at the start of `bytes`.
///
/// Yields the packet and its length, or `None` if more bytes are needed. A packet of more than `limit` bytes is
/// refused as soon as its length is known, before it is buffered.
///
/// # Errors
/// [`DecodeError`]: the connection has to be closed (4.8).
pub fn decode(bytes: &[u8], limit: usize) -> Result<Option<(Packet, usize)>, DecodeError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let mut length = 0_usize;
    let mut header = 1;
    loop {
        let Some(&byte) = bytes.get(header) else {
            return if header > 4 { Err(DecodeError::RemainingLength) } else { Ok(None) };
        };
        length |= usize::from(byte & 0x7F) << (7 * (header - 1));
        header += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if header > 4 {
            return Err(DecodeError::RemainingLength);
        }
    }
    let size = header + length;
    if size > limit {
        return Err(DecodeError::TooLarge { size, limit });
    }
    let Some(body) = bytes.get(header..size) else { return Ok(None) };
    let mut fields = Fields { kind: first >> 4, rest: body };
    let packet = packet(first & 0x0F, &mut fields)?;
    if !fields.rest.is_empty() {
        return Err(DecodeError::Trailing(fields.kind));
    }
    Ok(Some((packet, size)))
}

fn packet(flags: u8, fields: &mut Fields<'_>) -> Result<Packet, DecodeError> {
    let kind = fields.kind;
    let reserved = |value| if flags == value { Ok(()) } else { Err(DecodeError::Flags(kind)) };
    match kind {
        1 => reserved(0).and_then(|()| connect(fields)),
        3 => publish(flags, fields),
        4 => {
            reserved(0)?;
            Ok(Packet::PubAck(fields.packet_id()?))
        }
        8 => {
            reserved(2)?;
            let id = fields.packet_id()?;
            let mut filters = Vec::new();
            while !fields.rest.is_empty() {
                let filter = fields.filter()?;
                match fields.u8()? {
                    qos @ 0..=2 => filters.push((filter, qos)),
                    3 => return Err(DecodeError::QoS),
                    _ => return Err(DecodeError::Flags(kind)),
                }
            }
            if filters.is_empty() { Err(DecodeError::NoFilter) } else { Ok(Packet::Subscribe { id, filters }) }
        }
        10 => {
            reserved(2)?;
            let id = fields.packet_id()?;
            let mut filters = Vec::new();
            while !fields.rest.is_empty() {
                filters.push(fields.filter()?);
            }
            if filters.is_empty() { Err(DecodeError::NoFilter) } else { Ok(Packet::Unsubscribe { id, filters }) }
        }
        12 => reserved(0).map(|()| Packet::PingReq),
        14 => reserved(0).map(|()| Packet::Disconnect),
        _ => Err(DecodeError::Type(kind)),
    }
}

fn connect(fields: &mut Fields<'_>) -> Result<Packet, DecodeError> {
    if fields.data()? != b"MQTT" {
        return Err(DecodeError::ProtocolName);
    }
    let level = fields.u8()?;
    let flags = fields.u8()?;
    let keep_alive = fields.u16()?;
    let (has_will, will_qos) = (flags & 0x04 != 0, flags >> 3 & 3);
    let (has_password, has_username) = (flags & 0x40 != 0, flags & 0x80 != 0);
    // 3.1.2.3 to 3.1.2.9: bit 0 is reserved; will flags need a will; a password needs a user name.
    if flags & 1 != 0 || (!has_will && flags & 0x38 != 0) || (has_password && !has_username) {
        return Err(DecodeError::Flags(fields.kind));
    }
    if will_qos == 3 {
        return Err(DecodeError::QoS);
    }
    let client_id = fields.text()?;
    let will = if has_will {
        let topic = fields.topic()?;
        Some(Will { topic, body: fields.data()?.to_vec(), qos: will_qos, retain: flags & 0x20 != 0 })
    } else {
        None
    };
    let username = if has_username { Some(fields.text()?) } else { None };
    let password = if has_password { Some(fields.data()?.to_vec()) } else { None };
    Ok(Packet::Connect(Connect {
        level,
        client_id,
        username,
        password,
        clean_session: flags & 2 != 0,
        keep_alive,
        will,
    }))
}

fn publish(flags: u8, fields: &mut Fields<'_>) -> Result<Packet, DecodeError> {
    let qos = flags >> 1 & 3;
    let dup = flags & 8 != 0;
    if qos == 3 {
        return Err(DecodeError::QoS);
    }
    if dup && qos == 0 {
        return Err(DecodeError::Flags(fields.kind));
    }
    let topic = fields.topic()?;
    let id = if qos > 0 { Some(fields.packet_id()?) } else { None };
    let body = core::mem::take(&mut fields.rest).to_vec();
    Ok(Packet::Publish(Publish { topic, body, qos, id, dup, retain: flags & 1 != 0 }))
}

/// Reads fields from the front of a packet's variable header and payload.
struct Fields<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated(self.kind))?;
        self.rest = tail;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn packet_id(&mut self) -> Result<u16, DecodeError> {
        match self.u16()? {
            0 => Err(DecodeError::PacketId),
            id => Ok(id),
        }
    }

    fn data(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(len.into())
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let text = core::str::from_utf8(self.data()?).map_err(|_| DecodeError::Text)?;
        if text.contains('\0') { Err(DecodeError::Text) } else { Ok(text.to_owned()) }
    }

    fn topic(&mut self) -> Result<String, DecodeError> {
        let topic = self.text()?;
        let wildcard = topic.bytes().any(|byte| byte == b'+' || byte == b'#');
        if topic.is_empty() || wildcard { Err(DecodeError::TopicName) } else { Ok(topic) }
    }

    fn filter(&mut self) -> Result<String, DecodeError> {
        let filter = self.text()?;
        let levels = filter.split('/').count();
        let well_formed = filter.split('/').enumerate().all(|(index, level)| match level {
            "+" => true,
            "#" => index + 1 == levels,
            _ => !level.contains(['+', '#']),
        });
        if filter.is_empty() || !well_formed { Err(DecodeError::TopicFilter) } else { Ok(filter) }
    }
}

/// Writes 3.2 CONNACK.
pub fn write_connack(out: &mut Vec<u8>, session_present: bool, code: u8) {
    out.extend([0x20, 2, u8::from(session_present), code]);
}

/// Writes 3.3 PUBLISH. The topic must have less than 64 KiB and the packet less than 256 MiB.
pub fn write_publish(out: &mut Vec<u8>, publish: &Publish) {
    let topic = &publish.topic.as_bytes()[..publish.topic.len().min(usize::from(u16::MAX))];
    let flags = u8::from(publish.dup) << 3 | publish.qos << 1 | u8::from(publish.retain);
    out.push(0x30 | flags);
    let id_len = if publish.id.is_some() { 2 } else { 0 };
    write_length(out, 2 + topic.len() + id_len + publish.body.len());
    out.extend((topic.len() as u16).to_be_bytes());
    out.extend(topic);
    if let Some(id) = publish.id {
        out.extend(id.to_be_bytes());
    }
    out.extend(&publish.body);
}

/// Writes 3.4 PUBACK.
pub fn write_puback(out: &mut Vec<u8>, id: u16) {
    out.extend([0x40, 2]);
    out.extend(id.to_be_bytes());
}

/// Writes 3.9 SUBACK with one return code for each filter.
pub fn write_suback(out: &mut Vec<u8>, id: u16, codes: &[u8]) {
    out.push(0x90);
    write_length(out, 2 + codes.len());
    out.extend(id.to_be_bytes());
    out.extend(codes);
}

/// Writes 3.11 UNSUBACK.
pub fn write_unsuback(out: &mut Vec<u8>, id: u16) {
    out.extend([0xB0, 2]);
    out.extend(id.to_be_bytes());
}

/// Writes 3.13 PINGRESP.
pub fn write_pingresp(out: &mut Vec<u8>) {
    out.extend([0xD0, 0]);
}

fn write_length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let byte = (length & 0x7F) as u8;
        length >>= 7;
        if length == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 300_000;

    fn decoded(bytes: &[u8]) -> Result<Packet, DecodeError> {
        decode(bytes, LIMIT).map(|packet| packet.expect("complete packet").0)
    }

    #[test]
    fn connect_has_all_its_fields() {
        let bytes = b"\x10\x24\0\x04MQTT\x04\xCE\0\x3C\0\x02d1\0\x01t\0\x02by\0\x05user1\0\x04pass";
        let mut bytes = bytes.to_vec();
        bytes[1] = (bytes.len() - 2) as u8;
        let Ok(Packet::Connect(connect)) = decoded(&bytes) else { panic!("no CONNECT") };
        assert_eq!(connect.client_id, "d1");
        assert_eq!(connect.username.as_deref(), Some("user1"));
        assert_eq!(connect.password.as_deref(), Some(&b"pass"[..]));
        assert_eq!(connect.will, Some(Will { topic: "t".into(), body: b"by".to_vec(), qos: 1, retain: false }));
        assert_eq!((connect.level, connect.keep_alive, connect.clean_session), (4, 60, true));
    }

    #[test]
    fn length_of_five_bytes_is_refused_before_the_body_arrives() {
        assert_eq!(decode(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF], LIMIT), Err(DecodeError::RemainingLength));
        assert_eq!(
            decode(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], LIMIT),
            Err(DecodeError::TooLarge { size: 268_435_460, limit: LIMIT })
        );
    }

    #[test]
    fn malformed_packets_are_named() {
        for (bytes, error) in [
            (&b"\x82\x05\0\0\0\x01a\0"[..0], None),
            (&b"\x82\x06\0\0\0\x01a\0"[..], Some(DecodeError::PacketId)),
            (b"\x82\x06\0\x01\0\x01a\x03", Some(DecodeError::QoS)),
            (b"\x80\x06\0\x01\0\x01a\0", Some(DecodeError::Flags(8))),
            (b"\x82\x02\0\x01", Some(DecodeError::NoFilter)),
            (b"\x82\x07\0\x01\0\x02#a\0", Some(DecodeError::TopicFilter)),
            (b"\x30\x04\0\x02a+", Some(DecodeError::TopicName)),
            (b"\x30\x02\0\0", Some(DecodeError::TopicName)),
            (b"\x30\x03\0\x01\xFF", Some(DecodeError::Text)),
            (b"\x30\x03\0\x01\0", Some(DecodeError::Text)),
            (b"\x36\x03\0\x01a", Some(DecodeError::QoS)),
            (b"\x38\x03\0\x01a", Some(DecodeError::Flags(3))),
            (b"\x32\x03\0\x01a", Some(DecodeError::Truncated(3))),
            (b"\x20\x02\0\0", Some(DecodeError::Type(2))),
            (b"\xC0\x01\0", Some(DecodeError::Trailing(12))),
            (b"\x10\x0A\0\x04MQTS\x04\x02\0\0", Some(DecodeError::ProtocolName)),
        ] {
            assert_eq!(decode(bytes, LIMIT).err(), error, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(Some((_, len))) = decode(&bytes, LIMIT) {
                prop_assert!(len <= bytes.len());
            }
        }

        #[test]
        fn garbage_after_a_valid_first_byte_never_panics(
            kind in proptest::sample::select(vec![0x10_u8, 0x30, 0x32, 0x34, 0x40, 0x82, 0xA2, 0xC0, 0xE0]),
            body in proptest::collection::vec(any::<u8>(), 0..127),
        ) {
            let mut bytes = vec![kind, body.len() as u8];
            bytes.extend(&body);
            if let Ok(Some((_, len))) = decode(&bytes, LIMIT) {
                prop_assert_eq!(len, bytes.len());
            }
        }

        #[test]
        fn a_publish_survives_writing_and_reading(
            topic in "[a-zA-Z0-9/$=&?_-]{1,80}",
            body in proptest::collection::vec(any::<u8>(), 0..40_000),
            id in proptest::option::of(1_u16..),
            retain: bool,
        ) {
            let publish = Publish { topic, body, qos: u8::from(id.is_some()), id, dup: false, retain };
            let mut bytes = Vec::new();
            write_publish(&mut bytes, &publish);
            for cut in [1, 2, 3, bytes.len() - 1] {
                prop_assert_eq!(decode(&bytes[..cut.min(bytes.len() - 1)], LIMIT), Ok(None));
            }
            let len = bytes.len();
            prop_assert_eq!(decode(&bytes, LIMIT), Ok(Some((Packet::Publish(publish), len))));
        }
    }
}
