//! Making images and keys, as `imgtool sign` and `imgtool keygen -t ed25519` do.

use std::string::{String, ToString};
use std::vec::Vec;

use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

use crate::layout::{IMAGE_HEADER_SIZE, SLOT};
use crate::tlv::{self, AREA_MAGIC, BOARD_MAX, PROTECTED_AREA_MAGIC, TLV_HEADER};
use crate::{FLAG_ROM_FIXED, ImageHeader, PublicKey, SPKI_PREFIX, Version};

/// DER of an Ed25519 PrivateKeyInfo without public key up to the 32 key bytes (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2E, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const PRIVATE_LABEL: &str = "PRIVATE KEY";
const PUBLIC_LABEL: &str = "PUBLIC KEY";

/// Why a key file or an image could not be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// No such block in the text.
    #[error("no \"-----BEGIN {0}-----\" block in the key file")]
    NoPemBlock(&'static str),
    /// The block is not what it says.
    #[error("the {0} is not an unencrypted Ed25519 key (make one with `imgtool keygen -t ed25519`)")]
    NotEd25519(&'static str),
    /// The image would not fit.
    #[error("the image has {len} bytes and the slot {limit}")]
    TooLarge {
        /// Bytes of the image with header and TLVs.
        len: usize,
        /// Bytes of the slot.
        limit: u32,
    },
    /// The board name does not fit its TLV.
    #[error("the board name {0:?} has not 1 to {BOARD_MAX} bytes")]
    BoardName(String),
}

/// A private key that signs images.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key with this seed (RFC 8032, section 5.1.5). 32 bytes of an operating system's randomness make a new key.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// Reads a PKCS#8 PEM file; text around the block is ignored.
    ///
    /// # Errors
    /// If it holds no unencrypted Ed25519 key.
    pub fn from_pem(text: &str) -> Result<Self, SignError> {
        let der = pem_block(text, PRIVATE_LABEL)?;
        let seed = strip(&der, &PKCS8_PREFIX).ok_or(SignError::NotEd25519(PRIVATE_LABEL))?;
        Ok(Self::from_seed(seed))
    }

    /// The PKCS#8 PEM file of the key.
    pub fn to_pem(&self) -> String {
        to_pem(PRIVATE_LABEL, &PKCS8_PREFIX, &self.0.to_bytes())
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo PEM file; text around the block is ignored.
    ///
    /// # Errors
    /// If it holds no Ed25519 key.
    pub fn from_pem(text: &str) -> Result<Self, SignError> {
        let der = pem_block(text, PUBLIC_LABEL)?;
        strip(&der, &SPKI_PREFIX).map(Self).ok_or(SignError::NotEd25519(PUBLIC_LABEL))
    }

    /// The SubjectPublicKeyInfo PEM file of the key.
    pub fn to_pem(&self) -> String {
        to_pem(PUBLIC_LABEL, &SPKI_PREFIX, &self.0)
    }
}

/// Makes the image of `payload`, which is linked at [`VECTOR_TABLE`](crate::layout::VECTOR_TABLE).
///
/// Equal to `imgtool sign --pad-header --header-size 0x400 --rom-fixed 0x10000 --security-counter COUNTER
/// --custom-tlv 0xA1 BOARD`, signature included: Ed25519 is deterministic.
///
/// # Errors
/// If the image does not fit the slot, or the board name its TLV.
pub fn sign(
    payload: &[u8],
    key: &SecretKey,
    version: Version,
    counter: u32,
    board: &str,
) -> Result<Vec<u8>, SignError> {
    if board.is_empty() || board.len() > BOARD_MAX {
        return Err(SignError::BoardName(board.to_string()));
    }
    let protected =
        area(PROTECTED_AREA_MAGIC, &[(tlv::SECURITY_COUNTER, &counter.to_le_bytes()), (tlv::BOARD, board.as_bytes())]);
    let too_large = |len| SignError::TooLarge { len, limit: SLOT.len };
    let header = ImageHeader {
        load_address: SLOT.start,
        header_size: IMAGE_HEADER_SIZE as u16,
        protected_size: protected.len() as u16,
        payload_len: u32::try_from(payload.len()).map_err(|_| too_large(payload.len()))?,
        flags: FLAG_ROM_FIXED,
        version,
    };
    let mut image = header.emit().to_vec();
    image.resize(IMAGE_HEADER_SIZE as usize, 0xFF);
    image.extend_from_slice(payload);
    image.extend_from_slice(&protected);
    let hash: [u8; 32] = Sha256::digest(&image).into();
    image.extend_from_slice(&area(
        AREA_MAGIC,
        &[(tlv::SHA256, &hash), (tlv::KEYHASH, &key.public().hash()), (tlv::ED25519, &key.0.sign(&hash).to_bytes())],
    ));
    if image.len() > SLOT.len as usize {
        return Err(too_large(image.len()));
    }
    Ok(image)
}

/// A TLV area; callers pass few and short values, so the lengths fit 16 bits.
fn area(magic: u16, entries: &[(u16, &[u8])]) -> Vec<u8> {
    let len: usize = entries.iter().map(|(_, value)| TLV_HEADER as usize + value.len()).sum();
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&magic.to_le_bytes());
    bytes.extend_from_slice(&(len as u16 + TLV_HEADER as u16).to_le_bytes());
    for (kind, value) in entries {
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
        bytes.extend_from_slice(value);
    }
    bytes
}

/// The 32 key bytes behind `prefix`; anything else, trailing fields included, is refused.
fn strip(der: &[u8], prefix: &[u8]) -> Option<[u8; 32]> {
    der.strip_prefix(prefix)?.try_into().ok()
}

/// The contents of the first PEM block with this label (RFC 7468).
fn pem_block(text: &str, label: &'static str) -> Result<Vec<u8>, SignError> {
    let begin = std::format!("-----BEGIN {label}-----");
    let end = std::format!("-----END {label}-----");
    let body = text
        .split_once(&begin)
        .and_then(|(_, rest)| rest.split_once(&end))
        .map(|(body, _)| body)
        .ok_or(SignError::NoPemBlock(label))?;
    let body: String = body.split_ascii_whitespace().collect();
    Base64::decode_vec(&body).map_err(|_| SignError::NotEd25519(label))
}

/// A PEM block with one line of contents: an Ed25519 key needs 60 or 64 characters.
fn to_pem(label: &str, prefix: &[u8], key: &[u8; 32]) -> String {
    let der: Vec<u8> = prefix.iter().chain(key).copied().collect();
    let body = Base64::encode_string(&der);
    std::format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}
