//! The other side of the line, with codecs of its own, and a board whose flash can lose its supply.
#![allow(dead_code, reason = "each test file uses its part")]

use base64ct::{Base64, Encoding};
use boot_recovery::{FlashFailed, Progress, Recovery, Target};
use ciborium::Value;
use embedded_storage::nor_flash::NorFlash as _;
use sim_base::Rng;
use update_image::boot_record::BootRecord;
use update_image::layout::{ERASE_SIZE, SLOT, VECTOR_TABLE};
use update_image::sign::{SecretKey, sign};
use update_image::sim::{SimNvm, Supply};
use update_image::{FlashSource, ImageInfo, Policy, Region, SoftwareDigest, VerifyError, Version, verify};

pub const BOARD: &str = "test-board";
pub const RAM: Region = Region { start: 0x2000_0000, len: 0x4_0000 };
pub const READ: u8 = 0;
pub const WRITE: u8 = 2;

pub fn key() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

/// A signed image with a program of `len` bytes.
pub fn image(version: Version, counter: u32, len: usize, board: &str) -> Vec<u8> {
    let mut payload = vec![0; len];
    Rng::new(len as u64).fill(&mut payload);
    payload[..4].copy_from_slice(&(RAM.start + 0x1000).to_le_bytes());
    payload[4..8].copy_from_slice(&(VECTOR_TABLE + 0x101).to_le_bytes());
    sign(&payload, &key(), version, counter, board).unwrap()
}

/// The slot of a board.
pub struct Slot {
    pub nvm: SimNvm,
    pub accepted: Vec<ImageInfo>,
}

impl Slot {
    pub fn new(supply: &Supply) -> Self {
        Self { nvm: SimNvm::erased(supply), accepted: Vec::new() }
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.nvm.bytes()[SLOT.start as usize..SLOT.end() as usize].to_vec()
    }

    /// What a start would say of the slot.
    pub fn verdict(&mut self) -> Result<ImageInfo, VerifyError<FlashFailed>> {
        self.verify(&mut [0; 256])
    }
}

impl Target for Slot {
    fn erase(&mut self, offset: u32) -> Result<(), FlashFailed> {
        let address = SLOT.start + offset;
        self.nvm.erase(address, address + ERASE_SIZE).map_err(|_| FlashFailed)
    }

    fn program(&mut self, offset: u32, data: &[u8]) -> Result<(), FlashFailed> {
        self.nvm.write(SLOT.start + offset, data).map_err(|_| FlashFailed)
    }

    fn verify(&mut self, scratch: &mut [u8]) -> Result<ImageInfo, VerifyError<FlashFailed>> {
        let min_counter = BootRecord::open(&mut self.nvm).state().counter;
        let keys = [key().public()];
        let policy = Policy { slot: SLOT, ram: RAM, board: BOARD, keys: &keys, min_counter };
        let mut source = FlashSource { flash: &mut self.nvm, base: SLOT.start };
        verify(&mut source, SLOT.len, &policy, &mut SoftwareDigest::default(), scratch).map_err(|error| match error {
            VerifyError::Refused(cause) => VerifyError::Refused(cause),
            VerifyError::Read(_) => VerifyError::Read(FlashFailed),
        })
    }

    fn accept(&mut self, image: &ImageInfo) {
        self.accepted.push(*image);
        let _ = BootRecord::open(&mut self.nvm).adopt(image);
    }
}

/// Both sides of a line.
pub struct Line<'a> {
    pub recovery: Recovery<'a>,
    pub slot: Slot,
    pub sequence: u8,
}

impl<'a> Line<'a> {
    pub fn new(block: &'a mut [u8; ERASE_SIZE as usize], slot: Slot) -> Self {
        Self { recovery: Recovery::new(SLOT.len, block), slot, sequence: 0 }
    }

    /// What the device says to these bytes.
    pub fn send(&mut self, bytes: &[u8]) -> (Vec<u8>, Progress) {
        let (mut answer, mut last) = (Vec::new(), Progress::Waiting);
        for byte in bytes {
            let progress = self.recovery.receive(*byte, &mut self.slot, &mut |byte| answer.push(byte));
            if progress != Progress::Waiting {
                last = progress;
            }
        }
        (answer, last)
    }

    /// Sends a request and takes the map of the answer.
    pub fn ask(&mut self, operation: u8, group: u16, command: u8, map: &Value) -> Value {
        self.sequence = self.sequence.wrapping_add(1);
        let request = packet(operation, group, self.sequence, command, map);
        let (answer, _) = self.send(&frames(&request, 127));
        let body = unframe(&answer).expect("an answer");
        assert_eq!(body[0], operation | 1);
        assert_eq!(usize::from(u16::from_be_bytes([body[2], body[3]])), body.len() - 8);
        assert_eq!((u16::from_be_bytes([body[4], body[5]]), body[6], body[7]), (group, self.sequence, command));
        ciborium::from_reader(&body[8..]).expect("CBOR")
    }

    /// Uploads `image` in pieces of `piece` bytes; the last answer.
    pub fn upload(&mut self, image: &[u8], piece: usize) -> Value {
        let mut offset = 0;
        loop {
            let end = image.len().min(offset + piece);
            let answer = self.ask(WRITE, 1, 1, &chunk(offset, image.len(), &image[offset..end]));
            if number(&answer, "rc") != Some(0) || end == image.len() {
                return answer;
            }
            assert_eq!(number(&answer, "off"), Some(end as u64));
            offset = end;
        }
    }
}

/// A map with text keys.
pub fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(key, value)| (Value::Text((*key).into()), value.clone())).collect())
}

/// An upload request; the length is only in the first.
pub fn chunk(offset: usize, len: usize, data: &[u8]) -> Value {
    let mut entries = vec![("off", Value::from(offset as u64)), ("data", Value::Bytes(data.to_vec()))];
    if offset == 0 {
        entries.insert(0, ("len", Value::from(len as u64)));
    }
    map(&entries)
}

pub fn get<'a>(answer: &'a Value, key: &str) -> Option<&'a Value> {
    answer.as_map()?.iter().find(|(name, _)| name.as_text() == Some(key)).map(|(_, value)| value)
}

pub fn number(answer: &Value, key: &str) -> Option<u64> {
    get(answer, key)?.as_integer()?.try_into().ok()
}

pub fn text<'a>(answer: &'a Value, key: &str) -> Option<&'a str> {
    get(answer, key)?.as_text()
}

/// Header and map.
pub fn packet(operation: u8, group: u16, sequence: u8, command: u8, map: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    ciborium::into_writer(map, &mut body).unwrap();
    let mut packet = vec![operation, 0];
    packet.extend((body.len() as u16).to_be_bytes());
    packet.extend(group.to_be_bytes());
    packet.extend([sequence, command]);
    packet.extend(body);
    packet
}

/// A packet with its length and checksum.
pub fn sealed(packet: &[u8]) -> Vec<u8> {
    let mut bytes = (packet.len() as u16 + 2).to_be_bytes().to_vec();
    bytes.extend(packet);
    bytes.extend(checksum(packet).to_be_bytes());
    bytes
}

/// A packet as lines of at most `line` characters.
pub fn frames(packet: &[u8], line: usize) -> Vec<u8> {
    let bytes = sealed(packet);
    let mut out = Vec::new();
    for (index, characters) in Base64::encode_string(&bytes).as_bytes().chunks((line - 3) / 4 * 4).enumerate() {
        out.extend(if index == 0 { [6, 9] } else { [4, 20] });
        out.extend(characters);
        out.push(b'\n');
    }
    out
}

/// The packet of an answer; `None` if there is none. Panics over anything else.
pub fn unframe(bytes: &[u8]) -> Option<Vec<u8>> {
    let lines = bytes.strip_suffix(b"\n")?;
    let mut characters = String::new();
    for (index, line) in lines.split(|byte| *byte == b'\n').enumerate() {
        assert!(line.len() < 127, "a line of {} characters", line.len() + 1);
        assert_eq!(line[..2], if index == 0 { [6, 9] } else { [4, 20] });
        characters.push_str(std::str::from_utf8(&line[2..]).unwrap());
    }
    let bytes = Base64::decode_vec(&characters).expect("base64");
    let (len, rest) = bytes.split_at(2);
    assert_eq!(usize::from(u16::from_be_bytes([len[0], len[1]])), rest.len());
    let (body, sum) = rest.split_at(rest.len() - 2);
    assert_eq!(checksum(body).to_be_bytes(), sum);
    Some(body.to_vec())
}

/// CRC-16 with polynomial 0x1021, from 0.
fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |mut crc, byte| {
        for bit in (0..8).rev() {
            let feedback = (crc >> 15) as u8 ^ (byte >> bit & 1);
            crc = crc << 1 ^ if feedback == 1 { 0x1021 } else { 0 };
        }
        crc
    })
}
