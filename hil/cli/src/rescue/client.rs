//! MCUmgr's SMP over a serial line, the client's side (docs/recovery.md has the protocol).
//!
//! Another implementation than the bootloader's, so that neither hides the other's bugs.

use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use ciborium::Value;
use crc::{CRC_16_XMODEM, Crc};
use update_image::SoftwareDigest;

use super::RescueError;
use super::line::Line;

const CHECKSUM: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);
const START: &[u8; 2] = &[0x06, 0x09];
const CONTINUATION: &[u8; 2] = &[0x04, 0x14];
/// Characters of base64 in a line of 127 characters.
const LINE: usize = 124;

const READ: u8 = 0;
const WRITE: u8 = 2;
const OS: u16 = 0;
const IMAGE: u16 = 1;

/// How long an answer may take. Erasing a block takes 0.2 s at worst, verifying a full slot about a second; sending a
/// request a quarter.
const PATIENCE: Duration = Duration::from_secs(3);
/// One wait of those that make up [`PATIENCE`].
const SLICE: Duration = Duration::from_millis(50);
/// Times that a request is sent.
const ATTEMPTS: usize = 5;
/// Answers without progress before an upload is given up.
const STALLS: usize = 5;
/// Header and CBOR around the data of an upload request, at most: 8 bytes, and 6 keys with their values.
const OVERHEAD: usize = 8 + 96;
/// Buffer of a device that does not say; MCUboot's own default.
const USUAL_BUFFER: usize = 512;

/// An image that the board has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// As the board writes it.
    pub version: String,
    /// SHA-256 of the image.
    pub hash: Vec<u8>,
}

/// The client.
pub struct Client<'a> {
    line: &'a mut dyn Line,
    sequence: u8,
    /// What has come since the last whole line.
    pending: Vec<u8>,
    /// Base64 of the lines of a packet so far.
    packet: String,
}

impl<'a> Client<'a> {
    /// Talks over `line`.
    pub fn new(line: &'a mut dyn Line) -> Self {
        Self { line, sequence: 0, pending: Vec::new(), packet: String::new() }
    }

    /// Longest request that the board takes, bytes.
    ///
    /// # Errors
    /// If nobody answers.
    pub fn buffer_size(&mut self) -> Result<usize, RescueError> {
        match self.ask("its parameters", READ, OS, 6, vec![]) {
            Ok(answer) => Ok(number(&answer, "buf_size").map_or(USUAL_BUFFER, |size| size as usize)),
            Err(RescueError::Refused { .. }) => Ok(USUAL_BUFFER),
            Err(error) => Err(error),
        }
    }

    /// Uploads an image; `progress` gets the number of bytes that the board has.
    ///
    /// # Errors
    /// If the board refuses it, or nobody answers.
    pub fn upload(&mut self, image: &[u8], buffer: usize, progress: &mut dyn FnMut(usize)) -> Result<(), RescueError> {
        let piece = buffer.saturating_sub(OVERHEAD).max(32);
        let (mut digest, mut buffer) = (SoftwareDigest::default(), [0; 4096]);
        let sha = update_image::sha256(&mut &*image, image.len() as u32, &mut digest, &mut buffer).unwrap_or_default();
        let (mut offset, mut stalls) = (0, 0);
        loop {
            let end = image.len().min(offset + piece);
            let mut request =
                vec![("off", Value::from(offset as u64)), ("data", Value::Bytes(image[offset..end].to_vec()))];
            if offset == 0 {
                request.push(("len", Value::from(image.len() as u64)));
                request.push(("sha", Value::Bytes(sha.to_vec())));
            }
            let answer = self.ask("the image", WRITE, IMAGE, 1, request)?;
            let next = number(&answer, "off").filter(|next| *next <= image.len() as u64);
            let next = next.ok_or_else(|| self.nonsense("an upload without an offset"))? as usize;
            progress(next);
            if next == image.len() {
                return Ok(());
            }
            // Back to the beginning: the board was reset.
            stalls = if next > offset { 0 } else { stalls + 1 };
            if stalls == STALLS {
                return Err(RescueError::Stalled { port: self.line.name(), offset: next });
            }
            offset = next;
        }
    }

    /// The image in the slot, if it may run.
    ///
    /// # Errors
    /// If nobody answers.
    pub fn installed(&mut self) -> Result<Option<Installed>, RescueError> {
        let answer = self.ask("its images", READ, IMAGE, 0, vec![])?;
        let images = get(&answer, "images").and_then(Value::as_array);
        let images = images.ok_or_else(|| self.nonsense("without a list of images"))?;
        Ok(images.iter().find_map(|image| {
            let (version, hash) = (get(image, "version")?.as_text()?, get(image, "hash")?.as_bytes()?);
            Some(Installed { version: version.to_owned(), hash: hash.clone() })
        }))
    }

    /// Resets the board. Silence is no error: the answer may have been lost, and who was reset does not give it again.
    ///
    /// # Errors
    /// If the port fails or the board refuses.
    pub fn reset(&mut self) -> Result<(), RescueError> {
        match self.ask("a reset", WRITE, OS, 5, vec![]) {
            Ok(_) | Err(RescueError::NoAnswer { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn nonsense(&self, what: &'static str) -> RescueError {
        RescueError::Nonsense { port: self.line.name(), what }
    }

    /// Sends a request, again if it is lost, and takes the map of the answer.
    fn ask(
        &mut self,
        what: &str,
        operation: u8,
        group: u16,
        command: u8,
        map: Vec<(&str, Value)>,
    ) -> Result<Value, RescueError> {
        let map = Value::Map(map.into_iter().map(|(key, value)| (Value::from(key), value)).collect());
        let mut body = Vec::new();
        ciborium::into_writer(&map, &mut body).expect("a vector takes everything");
        for _ in 0..ATTEMPTS {
            self.sequence = self.sequence.wrapping_add(1);
            let [g0, g1] = group.to_be_bytes();
            let [l0, l1] = (body.len() as u16).to_be_bytes();
            let header = [operation, 0, l0, l1, g0, g1, self.sequence, command];
            self.line.send(&frames(&[&header[..], &body].concat()))?;
            let Some(answer) = self.answer_to(&header)? else { continue };
            let answer: Value = ciborium::from_reader(&answer[..]).map_err(|_| self.nonsense("without a CBOR map"))?;
            return match number(&answer, "rc") {
                None | Some(0) => Ok(answer),
                Some(code) => {
                    let reason = get(&answer, "rsn").and_then(Value::as_text).unwrap_or("no reason given").to_owned();
                    Err(RescueError::Refused { what: what.to_owned(), reason, code })
                }
            };
        }
        Err(RescueError::NoAnswer { port: self.line.name() })
    }

    /// Waits for the answer to the request with this header; `None` if none comes.
    fn answer_to(&mut self, request: &[u8; 8]) -> Result<Option<Vec<u8>>, RescueError> {
        let mut left = PATIENCE;
        while !left.is_zero() {
            let bytes = self.line.receive(SLICE)?;
            // Whoever says something else all the time is not waited for any longer than silence.
            left = left.saturating_sub(if bytes.is_empty() { SLICE } else { Duration::from_millis(1) });
            self.pending.extend(bytes);
            while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                let Some(packet) = self.take_line(&line[..end]) else { continue };
                if let Some((header, body)) = packet.split_first_chunk::<8>()
                    && header[0] & 7 == request[0] | 1
                    && header[4..] == request[4..]
                {
                    return Ok(Some(body.to_vec()));
                }
            }
        }
        Ok(None)
    }

    /// Takes a line; returns the packet that is complete with it.
    fn take_line(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        // What a program has said in front of it belongs to another line.
        let start = line.windows(2).rposition(|pair| pair == START || pair == CONTINUATION)?;
        let (marker, characters) = line[start..].split_first_chunk::<2>()?;
        if marker == START {
            self.packet.clear();
        }
        self.packet.push_str(std::str::from_utf8(characters).ok()?.trim_end());
        let bytes = Base64::decode_vec(&self.packet).ok()?;
        let (len, rest) = bytes.split_first_chunk::<2>()?;
        let (body, checksum) = rest.split_last_chunk::<2>()?;
        let is_whole = usize::from(u16::from_be_bytes(*len)) == rest.len();
        (is_whole && u16::from_be_bytes(*checksum) == CHECKSUM.checksum(body)).then(|| body.to_vec())
    }
}

/// A packet as lines.
fn frames(packet: &[u8]) -> Vec<u8> {
    let len = (packet.len() as u16 + 2).to_be_bytes();
    let checksum = CHECKSUM.checksum(packet).to_be_bytes();
    let characters = Base64::encode_string(&[&len[..], packet, &checksum].concat());
    let mut frames = Vec::new();
    for (index, line) in characters.as_bytes().chunks(LINE).enumerate() {
        frames.extend(if index == 0 { START } else { CONTINUATION });
        frames.extend(line);
        frames.push(b'\n');
    }
    frames
}

fn get<'a>(map: &'a Value, key: &str) -> Option<&'a Value> {
    map.as_map()?.iter().find(|(name, _)| name.as_text() == Some(key)).map(|(_, value)| value)
}

fn number(map: &Value, key: &str) -> Option<u64> {
    get(map, key)?.as_integer()?.try_into().ok()
}
