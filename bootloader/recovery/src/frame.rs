//! SMP over a console (Zephyr documentation, "SMP over console"; mcumgr, transport/smp-console.md).
//!
//! A packet is its length (16 bits, of body and checksum), its body and a CRC-16/XMODEM of the body, all big endian, in
//! base64, cut into lines that begin with two control characters and end with a newline. Control characters never
//! occur in base64, so a line that broke off does not take the next one along.

use crc::{CRC_16_XMODEM, Crc, NoTable};

use crate::BUFFER;

/// First bytes of the first line of a packet.
const START: [u8; 2] = [0x06, 0x09];
/// First bytes of a further line.
const CONTINUATION: [u8; 2] = [0x04, 0x14];
const NEWLINE: u8 = b'\n';
/// Bytes of a packet in a line that is sent: with markers and newline 127 characters, the most that the document allows.
const LINE_BYTES: usize = 93;
/// Length and checksum.
const OVERHEAD: usize = 4;

const CHECKSUM: Crc<u16, NoTable> = Crc::<u16, NoTable>::new(&CRC_16_XMODEM);

/// Where in a line the receiver is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Between lines, or in one that does not matter.
    Outside,
    /// Behind the first byte of a marker.
    Marker(u8),
    /// In the base64.
    Inside,
}

/// Puts packets together.
pub(crate) struct Receiver {
    line: Line,
    /// Length, body and checksum, as far as they have come.
    bytes: [u8; BUFFER + OVERHEAD],
    /// How many bytes have come; beyond the buffer: no packet has begun, or it cannot be one.
    len: usize,
    /// Bits that have come and do not make a byte yet, in the low `count`.
    bits: u32,
    count: u8,
}

/// A length that says that a packet is not to be had.
const NO_PACKET: usize = BUFFER + OVERHEAD + 1;

impl Receiver {
    pub fn new() -> Self {
        Self { line: Line::Outside, bytes: [0; _], len: NO_PACKET, bits: 0, count: 0 }
    }

    /// Takes a byte; returns the body of a packet that is complete with it and undamaged.
    pub fn push(&mut self, byte: u8) -> Option<&[u8]> {
        match (self.line, byte) {
            (_, first) if first == START[0] || first == CONTINUATION[0] => self.line = Line::Marker(first),
            (Line::Marker(first), second) => {
                (self.line, self.count) = (Line::Inside, 0);
                if [first, second] == START {
                    self.len = 0;
                } else if [first, second] != CONTINUATION {
                    self.line = Line::Outside;
                }
            }
            (Line::Inside, NEWLINE) => {
                self.line = Line::Outside;
                return self.end_of_line();
            }
            (Line::Inside, byte) => self.base64(byte),
            _ => {}
        }
        None
    }

    /// What is no base64 is passed over: the padding, which says nothing that the end of the line does not say, a
    /// carriage return, and damage, which the checksum finds.
    fn base64(&mut self, character: u8) {
        let bits = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return,
        };
        self.bits = self.bits << 6 | u32::from(bits);
        self.count += 6;
        if self.count >= 8 {
            self.count -= 8;
            match self.bytes.get_mut(self.len) {
                Some(byte) => {
                    *byte = (self.bits >> self.count) as u8;
                    self.len += 1;
                }
                None => self.len = NO_PACKET,
            }
        }
    }

    fn end_of_line(&mut self) -> Option<&[u8]> {
        let [high, low, rest @ ..] = self.bytes.get(..self.len)? else { return None };
        let wanted = usize::from(u16::from_be_bytes([*high, *low]));
        if rest.len() < wanted {
            return None;
        }
        self.len = NO_PACKET;
        let (body, checksum) = rest.split_last_chunk()?;
        (rest.len() == wanted && *checksum == CHECKSUM.checksum(body).to_be_bytes()).then_some(body)
    }
}

/// Sends a packet that lies in `bytes` with two bytes in front of it, for its length, and two behind.
pub(crate) fn send_frames(bytes: &mut [u8], send: &mut dyn FnMut(u8)) {
    let [high, low, body @ .., sum_high, sum_low] = bytes else { return };
    [*high, *low] = (body.len() as u16 + 2).to_be_bytes();
    [*sum_high, *sum_low] = CHECKSUM.checksum(body).to_be_bytes();
    let mut marker = START;
    for line in bytes.chunks(LINE_BYTES) {
        marker.into_iter().for_each(&mut *send);
        for group in line.chunks(3) {
            let mut bits = 0;
            for position in 0..3 {
                bits = bits << 8 | u32::from(group.get(position).copied().unwrap_or(0));
            }
            for position in 0..4 {
                send(if position > group.len() { b'=' } else { character(bits >> 18 & 63) });
                bits <<= 6;
            }
        }
        send(NEWLINE);
        marker = CONTINUATION;
    }
}

/// The character of 6 bits (RFC 4648, section 4).
fn character(bits: u32) -> u8 {
    let bits = bits as u8;
    match bits {
        0..26 => b'A' + bits,
        26..52 => b'a' + bits - 26,
        52..62 => b'0' + bits - 52,
        62 => b'+',
        _ => b'/',
    }
}
