//! Bytes at the serial line of a bootloader in recovery.
//!
//! Input: pieces of a byte and what belongs to it: [`RAW`] bytes as they come, or a packet whose lengths, checksum and
//! base64 are made right.

use boot_recovery::{BUFFER, FlashFailed, Progress, Recovery, Target};
use update_image::layout::{ERASE_SIZE, SLOT, WRITE_SIZE};
use update_image::{ImageInfo, Policy, PublicKey, Refusal, SEAL, SoftwareDigest, VerifyError, verify};

use crate::Input;
use crate::image::{BOARD, KEY, RAM};

/// A length (a byte) and so many bytes.
pub const RAW: u8 = 0;
/// Length of a map (16 bits), operation, group, command; the map.
pub const PACKET: u8 = 1;
/// From here on flash fails in the operation after as many as the next byte says.
pub const FAIL: u8 = 2;
const KINDS: u8 = 3;

const SLOT_LEN: u32 = 4 * ERASE_SIZE;
const UNIT: usize = WRITE_SIZE as usize;

/// Sends the input.
///
/// # Panics
/// If an answer is no sound packet, the slot is misused, an image is accepted that does not verify, or the recovery no
/// longer answers.
pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let mut block = Box::new([0; ERASE_SIZE as usize]);
    let mut recovery = Recovery::new(SLOT_LEN, &mut block);
    let mut slot = Slot {
        bytes: vec![0xFF; SLOT_LEN as usize],
        programmed: vec![false; SLOT_LEN as usize / UNIT],
        fails_in: None,
        accepted: 0,
    };
    while !input.is_empty() {
        match input.byte() % KINDS {
            RAW => {
                let len = input.byte().into();
                send(&mut recovery, &mut slot, input.slice(len));
            }
            PACKET => {
                let len = usize::from(input.half()) % (BUFFER - 7);
                let (operation, group, command) = (input.byte(), input.byte(), input.byte());
                let frames = frames(&packet(operation, group, command, input.slice(len)));
                let answers = send(&mut recovery, &mut slot, &frames);
                assert!(answers.len() <= 1);
                assert_eq!(answers.len() == 1, operation & 7 == 0 || operation & 7 == 2, "a request and its answer");
            }
            _ => slot.fails_in = Some(input.byte()),
        }
    }
    if recovery.is_complete() {
        assert!(slot.accepted > 0 && slot.verify(&mut [0; 64]).is_ok(), "complete, and may not run");
    }
    let answers = send(&mut recovery, &mut slot, &frames(&packet(0, 0, 0, b"\xA1\x61d\x65alive")));
    assert!(answers.len() == 1 && answers[0].ends_with(b"alive\xFF"), "it no longer answers");
}

/// Sends bytes; the packets of the answers.
fn send(recovery: &mut Recovery<'_>, slot: &mut Slot, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    for byte in bytes {
        let mut answer = Vec::new();
        let accepted = slot.accepted;
        let progress = recovery.receive(*byte, slot, &mut |byte| answer.push(byte));
        assert_eq!(progress == Progress::Waiting, answer.is_empty());
        assert!(slot.accepted == accepted || recovery.is_complete());
        if !answer.is_empty() {
            answers.push(unframe(&answer));
        }
    }
    answers
}

/// A request: header and map.
pub fn packet(operation: u8, group: u8, command: u8, map: &[u8]) -> Vec<u8> {
    let [high, low] = (map.len() as u16).to_be_bytes();
    [&[operation, 0, high, low, 0, group, 1, command], map].concat()
}

/// CRC-16 with polynomial 0x1021, from 0.
fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| crc << 1 ^ if crc >> 15 != 0 { 0x1021 } else { 0 })
    })
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A packet as lines.
fn frames(packet: &[u8]) -> Vec<u8> {
    let len = (packet.len() as u16 + 2).to_be_bytes();
    let bytes = [&len, packet, &checksum(packet).to_be_bytes()].concat();
    let mut lines = Vec::new();
    for (index, line) in bytes.chunks(93).enumerate() {
        lines.extend(if index == 0 { [6, 9] } else { [4, 20] });
        for group in line.chunks(3) {
            let bits = (0..3).fold(0, |bits, n| bits << 8 | usize::from(group.get(n).copied().unwrap_or(0)));
            for n in 0..4 {
                lines.push(if n <= group.len() { ALPHABET[bits >> (18 - 6 * n) & 63] } else { b'=' });
            }
        }
        lines.push(b'\n');
    }
    lines
}

/// The packet in an answer's lines.
fn unframe(lines: &[u8]) -> Vec<u8> {
    let lines = lines.strip_suffix(b"\n").expect("a whole line");
    let mut bytes = Vec::new();
    for (index, line) in lines.split(|byte| *byte == b'\n').enumerate() {
        assert!(line.len() < 127 && line.len() % 4 == 2, "a line of {} characters", line.len());
        assert_eq!(line[..2], if index == 0 { [6, 9] } else { [4, 20] });
        for group in line[2..].chunks(4) {
            let sense = |byte: &u8| ALPHABET.iter().position(|character| character == byte);
            let known: Vec<usize> = group.iter().map_while(sense).collect();
            assert!(group[known.len()..].iter().all(|byte| *byte == b'=') && known.len() >= 2, "base64");
            let bits = (0..4).fold(0, |bits, n| bits << 6 | known.get(n).copied().unwrap_or(0));
            bytes.extend_from_slice(&[(bits >> 16) as u8, (bits >> 8) as u8, bits as u8][..known.len() - 1]);
        }
    }
    let (len, rest) = bytes.split_first_chunk::<2>().expect("a length");
    assert_eq!(usize::from(u16::from_be_bytes(*len)), rest.len());
    let (packet, sum) = rest.split_last_chunk::<2>().expect("a checksum");
    assert_eq!(checksum(packet).to_be_bytes(), *sum);
    assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len() - 8);
    packet.to_vec()
}

/// The slot.
struct Slot {
    bytes: Vec<u8>,
    /// Quad words that have been programmed since their erase.
    programmed: Vec<bool>,
    fails_in: Option<u8>,
    accepted: u32,
}

impl Slot {
    fn step(&mut self) -> Result<(), FlashFailed> {
        match &mut self.fails_in {
            Some(0) => {
                self.fails_in = None;
                return Err(FlashFailed);
            }
            Some(operations) => *operations -= 1,
            None => {}
        }
        Ok(())
    }
}

impl Target for Slot {
    fn erase(&mut self, offset: u32) -> Result<(), FlashFailed> {
        assert!(offset.is_multiple_of(ERASE_SIZE) && offset < SLOT_LEN, "erase at {offset:#x}");
        self.step()?;
        let at = offset as usize;
        self.bytes[at..at + ERASE_SIZE as usize].fill(0xFF);
        self.programmed[at / UNIT..(at + ERASE_SIZE as usize) / UNIT].fill(false);
        Ok(())
    }

    fn program(&mut self, offset: u32, data: &[u8]) -> Result<(), FlashFailed> {
        assert!(offset.is_multiple_of(ERASE_SIZE) && data.len().is_multiple_of(UNIT) && !data.is_empty());
        self.step()?;
        let at = offset as usize;
        self.bytes[at..at + data.len()].copy_from_slice(data);
        for programmed in &mut self.programmed[at / UNIT..(at + data.len()) / UNIT] {
            assert!(!*programmed, "programmed twice");
            *programmed = true;
        }
        Ok(())
    }

    fn verify(&mut self, scratch: &mut [u8]) -> Result<ImageInfo, VerifyError<FlashFailed>> {
        let key = ed25519_dalek::SigningKey::from_bytes(&KEY);
        let keys = [PublicKey(key.verifying_key().to_bytes())];
        let policy = Policy { slot: SLOT, ram: RAM, board: BOARD, keys: &keys, min_counter: 0 };
        verify(&mut self.bytes.as_slice(), SLOT_LEN, &policy, &mut SoftwareDigest::default(), scratch).map_err(
            |error| match error {
                VerifyError::Refused(cause) => VerifyError::Refused(cause),
                VerifyError::Read(_) => VerifyError::Refused(Refusal::Truncated),
            },
        )
    }

    fn accept(&mut self, image: &ImageInfo) {
        assert_eq!(image.seal, SEAL);
        self.accepted += 1;
    }
}
