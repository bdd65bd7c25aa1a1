//! Requests and answers (Zephyr documentation, "SMP Protocol Specification", groups 0 and 1).

use update_image::{ImageInfo, Refusal, Version};

use crate::cbor::{self, END, Writer};
use crate::frame::send_frames;
use crate::upload::{Chunk, Upload};
use crate::{BUFFER, Progress, Target};

/// Longest answer with its frame, bytes. The longest but for echoes says what the slot holds, in some 110.
const REPLY: usize = 256;
/// Longest text that is echoed, bytes: what fits the answer, its frame and 32 bytes around it.
const ECHO: usize = REPLY - 32;
/// `255.255.65535.4294967295`.
const VERSION: usize = 24;
const HEADER: usize = 8;

const READ: u8 = 0;
const WRITE: u8 = 2;
/// Added to a request's operation it makes the answer's.
const ANSWER: u8 = 1;
const OPERATION: u8 = 0b111;

const OS: u8 = 0;
const IMAGE: u8 = 1;

/// Why a request was not carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Error {
    NoCommand,
    Malformed,
    EchoTooLong,
    NoSuchImage,
    NoLength,
    LargerThanSlot,
    LongerThanAnnounced,
    FlashFailed,
    Refused(Refusal),
}

impl Error {
    /// MCUmgr's error code (`mcumgr_err_t`), and the reason in a few words.
    fn code_and_reason(self) -> (u8, &'static str) {
        const UNKNOWN: u8 = 1;
        const INVALID: u8 = 3;
        const TOO_LONG: u8 = 7;
        const UNSUPPORTED: u8 = 8;
        const CORRUPT: u8 = 9;
        match self {
            Self::NoCommand => (UNSUPPORTED, "no such command here"),
            Self::Malformed => (INVALID, "malformed request"),
            Self::EchoTooLong => (TOO_LONG, "text too long"),
            Self::NoSuchImage => (INVALID, "no such image"),
            Self::NoLength => (INVALID, "no length"),
            Self::LargerThanSlot => (INVALID, "larger than the slot"),
            Self::LongerThanAnnounced => (INVALID, "longer than announced"),
            Self::FlashFailed => (UNKNOWN, "flash failed"),
            Self::Refused(cause) => (CORRUPT, cause.as_str()),
        }
    }
}

/// A request: the eight bytes of its header, and a map.
pub(crate) struct Request<'a> {
    header: &'a [u8; HEADER],
    body: &'a [u8],
}

impl<'a> Request<'a> {
    /// `None` if the packet is not one request.
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let (header, body) = packet.split_first_chunk::<HEADER>()?;
        let [first, _, high, low, ..] = *header;
        let is_request = matches!(first & OPERATION, READ | WRITE);
        (is_request && usize::from(u16::from_be_bytes([high, low])) == body.len()).then_some(Self { header, body })
    }
}

/// An answer: room for the frame's length, a header, a map, room for the frame's checksum.
struct Reply(Writer<REPLY>);

impl Reply {
    /// Begins the answer to a request with this header, and its map.
    fn to(header: &[u8; HEADER]) -> Self {
        let mut map = Writer::new();
        map.raw(&[0; 2]);
        map.raw(header);
        map.raw(b"\xBF");
        Self(map)
    }

    /// The packet, for [`send_frames`].
    fn finish(&mut self) -> &mut [u8] {
        self.0.raw(&[END, 0, 0]);
        let packet = self.0.written();
        let len = (packet.len() as u16).wrapping_sub(HEADER as u16 + 4);
        if let [_, _, first, _, high, low, ..] = packet {
            *first |= ANSWER;
            [*high, *low] = len.to_be_bytes();
        }
        packet
    }
}

/// Carries a request out and sends the answer.
pub(crate) fn carry_out(
    request: &Request<'_>,
    upload: &mut Upload<'_>,
    target: &mut impl Target,
    send: &mut dyn FnMut(u8),
) -> Progress {
    let mut reply = Reply::to(request.header);
    let progress = answer(request, upload, target, &mut reply.0).unwrap_or_else(|error| {
        // No command has written anything before it fails.
        let (code, reason) = error.code_and_reason();
        reply.0.raw(&[b'\x62', b'r', b'c', code, b'\x63', b'r', b's', b'n']);
        reply.0.text(reason.as_bytes());
        Progress::Answered
    });
    send_frames(reply.finish(), send);
    progress
}

fn answer(
    request: &Request<'_>,
    upload: &mut Upload<'_>,
    target: &mut impl Target,
    map: &mut Writer<REPLY>,
) -> Result<Progress, Error> {
    // Operation with version, group, command. Version 2, which is number 1, differs in errors that belong to a group, and
    // has the others as well, which are what is answered here.
    let [first, _, _, _, 0, group, _, command] = *request.header else { return Err(Error::NoCommand) };
    match (group, command, first & OPERATION) {
        (OS, 0, _) => {
            let text = cbor::string(request.body, "d").ok_or(Error::Malformed)?;
            if text.len() > ECHO {
                return Err(Error::EchoTooLong);
            }
            map.raw(b"\x61r");
            map.text(text);
        }
        // Nothing more than that it worked: some clients take a code for an error here.
        (OS, 5, WRITE) => return Ok(Progress::Reset),
        (OS, 6, READ) => {
            map.raw(b"\x68buf_size");
            map.number(BUFFER as u32);
            map.raw(b"\x69buf_count\x01");
        }
        (IMAGE, 0, READ) => {
            map.raw(b"\x66images\x9F");
            if let Some(image) = upload.look(target) {
                write_image(map, &image, upload.is_complete());
            }
            map.raw(&[END]);
        }
        (IMAGE, 1, WRITE) => {
            let chunk = Chunk {
                image: cbor::number(request.body, "image"),
                offset: cbor::number(request.body, "off").ok_or(Error::Malformed)?,
                len: cbor::number(request.body, "len"),
                sha: cbor::string(request.body, "sha"),
                data: cbor::string(request.body, "data").ok_or(Error::Malformed)?,
            };
            let next = upload.take(&chunk, target)?;
            map.raw(b"\x62rc\x00\x63off");
            map.number(next);
        }
        _ => return Err(Error::NoCommand),
    }
    Ok(Progress::Answered)
}

fn write_image(map: &mut Writer<REPLY>, image: &ImageInfo, confirmed: bool) {
    map.raw(b"\xBF\x64slot\x00\x67version");
    write_version(map, image.version);
    map.raw(b"\x64hash\x58\x20");
    map.raw(&image.hash);
    map.raw(b"\x68bootable\xF5\x69confirmed");
    map.raw(&[if confirmed { 0xF5 } else { 0xF4 }, END]);
}

/// `1.2.3`, or `1.2.3.4` with a build number, as MCUboot writes it; without the formatter, which takes kilobytes.
fn write_version(map: &mut Writer<REPLY>, version: Version) {
    let mut text = Writer::<VERSION>::new();
    let numbers = [version.major.into(), version.minor.into(), version.revision.into(), version.build];
    for (place, number) in numbers.into_iter().enumerate() {
        match place {
            0 => {}
            3 if number == 0 => break,
            _ => text.raw(b"."),
        }
        write_decimal(&mut text, number);
    }
    map.text(text.written());
}

fn write_decimal(text: &mut Writer<VERSION>, number: u32) {
    if number >= 10 {
        write_decimal(text, number / 10);
    }
    text.raw(&[b'0' + (number % 10) as u8]);
}
