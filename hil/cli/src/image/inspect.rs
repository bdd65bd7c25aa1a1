//! What is in an image.

use std::path::Path;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use update_image::layout::SLOT;
use update_image::tlv::{self, AREA_MAGIC, PROTECTED_AREA_MAGIC, TLV_HEADER};
use update_image::{
    FLAG_ROM_FIXED, HEADER_FIELDS, ImageHeader, ImageInfo, Policy, PublicKey, Refusal, Region, SoftwareDigest,
    VerifyError,
};

use super::{ImageError, Row, hex, keys};
use crate::elf::RAM;

/// Verifies an image as the bootloader does; returns what it is and the key that it is signed under.
///
/// # Errors
/// The first cause to refuse it.
pub fn verify(
    image: &[u8],
    keys: &[PublicKey],
    board: &str,
    min_counter: u32,
) -> Result<(ImageInfo, PublicKey), Refusal> {
    // One key at a time tells which it was.
    let mut outcome = Err(Refusal::UnknownKey);
    for key in keys {
        let ram = Region { start: RAM.start, len: RAM.end - RAM.start };
        let policy = Policy { slot: SLOT, ram, board, keys: &[*key], min_counter };
        let len = u32::try_from(image.len()).map_err(|_| Refusal::TooLarge)?;
        let mut source = image;
        outcome = match update_image::verify(&mut source, len, &policy, &mut SoftwareDigest::default(), &mut [0; 4096])
        {
            Ok(info) => return Ok((info, *key)),
            Err(VerifyError::Refused(refusal)) => Err(refusal),
            Err(VerifyError::Read(_)) => Err(Refusal::Truncated),
        };
        if outcome != Err(Refusal::UnknownKey) {
            break;
        }
    }
    outcome
}

/// What an image says of itself. Nothing of it is verified but [`hash_matches`](Self::hash_matches).
#[derive(Clone, Debug)]
pub struct Contents {
    /// Fixed fields.
    pub header: ImageHeader,
    /// Board that it is for.
    pub board: Option<String>,
    /// Security counter.
    pub counter: Option<u32>,
    /// Stated SHA-256, hexadecimal.
    pub hash: Option<String>,
    /// Whether header, payload and protected TLVs have the stated hash.
    pub hash_matches: bool,
    /// SHA-256 of the public key that it is said to be signed under, hexadecimal.
    pub key_hash: Option<String>,
    /// Type and length of each TLV, in order; protected ones first.
    pub tlvs: Vec<(u16, usize)>,
    /// Bytes from the header to the last TLV.
    pub total_len: usize,
}

/// Reads an image without keys.
///
/// # Errors
/// It is none, or its parts do not lie within the file.
pub fn contents(path: &Path, bytes: &[u8]) -> Result<Contents, ImageError> {
    let refuse = |why| ImageError::NotAnImage { path: path.to_owned(), why };
    let header = bytes
        .first_chunk::<HEADER_FIELDS>()
        .and_then(ImageHeader::parse)
        .ok_or_else(|| refuse("not an MCUboot image (its magic number is missing)"))?;
    let place = |at: Option<u32>| at.map(|at| at as usize).filter(|at| *at <= bytes.len());
    let cut = || refuse("the image is cut short");
    let protected_start = place(header.protected_start()).ok_or_else(cut)?;
    let hashed_len = place(header.hashed_len()).ok_or_else(cut)?;
    let mut contents = Contents {
        header,
        board: None,
        counter: None,
        hash: None,
        hash_matches: false,
        key_hash: None,
        tlvs: Vec::new(),
        total_len: 0,
    };
    if header.protected_size != 0 {
        contents.area(bytes, protected_start, PROTECTED_AREA_MAGIC).map_err(refuse)?;
    }
    contents.total_len = contents.area(bytes, hashed_len, AREA_MAGIC).map_err(refuse)?;
    contents.hash_matches = contents.hash.as_ref() == Some(&hex(&Sha256::digest(&bytes[..hashed_len])));
    Ok(contents)
}

impl Contents {
    /// Reads the TLV area at `start`; returns where it ends.
    fn area(&mut self, bytes: &[u8], start: usize, magic: u16) -> Result<usize, &'static str> {
        let pair = |at: usize| {
            let pair = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>)?;
            Some((u16::from_le_bytes([pair[0], pair[1]]), usize::from(u16::from_le_bytes([pair[2], pair[3]]))))
        };
        let (found, len) = pair(start).ok_or("the image is cut short")?;
        if found != magic {
            return Err("its trailer does not begin where the header says");
        }
        let end = start + len;
        let mut at = start + TLV_HEADER as usize;
        while at < end {
            let (kind, len) = pair(at).ok_or("the image is cut short")?;
            at += TLV_HEADER as usize;
            let value = bytes.get(at..at + len).filter(|_| at + len <= end).ok_or("its trailer is malformed")?;
            self.value(kind, value, magic == PROTECTED_AREA_MAGIC);
            at += len;
        }
        Ok(end)
    }

    fn value(&mut self, kind: u16, value: &[u8], protected: bool) {
        self.tlvs.push((kind, value.len()));
        match (kind, protected) {
            (tlv::BOARD, true) => self.board = Some(String::from_utf8_lossy(value).into_owned()),
            (tlv::SECURITY_COUNTER, true) => self.counter = value.try_into().ok().map(u32::from_le_bytes),
            (tlv::SHA256, false) => self.hash = Some(hex(value)),
            (tlv::KEYHASH, false) => self.key_hash = Some(hex(value)),
            _ => {}
        }
    }

    /// Name, value and text of each field.
    pub(super) fn rows(&self) -> Vec<Row> {
        let header = &self.header;
        let version = header.version.to_string();
        let linked = (header.flags & FLAG_ROM_FIXED != 0).then_some(header.load_address);
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let hash = self.hash.as_ref().map(|hash| {
            let note = if self.hash_matches { "matches" } else { "does NOT match the image" };
            format!("{hash} ({note})")
        });
        let tlvs: Vec<_> = self.tlvs.iter().map(|(kind, len)| format!("{kind:#x} ({len})")).collect();
        vec![
            ("version", json!(version), version.clone()),
            ("board", json!(self.board), text(self.board.clone())),
            ("security_counter", json!(self.counter), text(self.counter.map(|counter| counter.to_string()))),
            ("slot", json!(linked), text(linked.map(|at| format!("{at:#x}")))),
            ("header", json!(header.header_size), format!("{} bytes", header.header_size)),
            ("payload", json!(header.payload_len), format!("{} bytes", header.payload_len)),
            ("length", json!(self.total_len), format!("{} bytes", self.total_len)),
            ("hash", json!(self.hash), text(hash)),
            ("hash_matches", json!(self.hash_matches), String::new()),
            ("key_hash", json!(self.key_hash), text(self.key_hash.as_deref().map(keys::with_note))),
            (
                "tlvs",
                self.tlvs.iter().map(|(kind, len)| json!({ "type": kind, "length": len })).collect(),
                tlvs.join(", "),
            ),
        ]
    }
}
