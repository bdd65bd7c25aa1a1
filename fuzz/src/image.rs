//! An image: header, payload, TLVs.
//!
//! Input: a byte of [`PAD`] and [`SEAL`], a byte that chooses which byte of an accepted image is damaged, the image.

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest as _, Sha256};
use update_image::layout::{IMAGE_HEADER_SIZE, SLOT};
use update_image::tlv::{self, AREA_MAGIC};
use update_image::{
    DIGEST_BLOCK, HEADER_FIELDS, ImageInfo, OutOfBounds, Policy, PublicKey, Refusal, Region, SEAL as SEALED,
    SoftwareDigest, VerifyError, verify,
};

/// The image comes without what follows the header's fields.
pub const PAD: u8 = 1;
/// Hash, key's hash and signature are made right, where there is a TLV of such a type and length.
pub const SEAL: u8 = 2;

/// Seed of the key that images are signed with.
pub const KEY: [u8; 32] = [7; 32];
/// The board that they are for.
pub const BOARD: &str = "test-board";
/// RAM of that board.
pub const RAM: Region = Region { start: 0x2000_0000, len: 0x4_0000 };
/// The lowest security counter that is accepted.
const MIN_COUNTER: u32 = 2;

/// Verifies the input's image.
///
/// # Panics
/// If a verdict depends on the buffer, on what is behind the image or on where it breaks off; if an image is accepted
/// whose hash or signature does not match.
pub fn run(input: &[u8]) {
    let [mode, damage, bytes @ ..] = input else { return };
    let mut image = bytes.to_vec();
    if mode & PAD != 0 && image.len() >= HEADER_FIELDS {
        let padding = vec![0xFF; IMAGE_HEADER_SIZE as usize - HEADER_FIELDS];
        image.splice(HEADER_FIELDS..HEADER_FIELDS, padding);
    }
    let key = SigningKey::from_bytes(&KEY);
    if mode & SEAL != 0 {
        seal(&mut image, &key);
    }

    let verdict = judge(&image, image.len(), 4 * DIGEST_BLOCK, &key);
    assert_eq!(judge(&image, image.len(), DIGEST_BLOCK + 1, &key), verdict, "it depends on the buffer");
    // A length that the source does not have: the last read fails, not the verification.
    let beyond = judge(&image, image.len() + 4096, 4 * DIGEST_BLOCK, &key);
    let Ok(info) = verdict else {
        assert!(beyond.is_err(), "refused, and accepted once more bytes are promised");
        return;
    };
    assert_eq!(beyond, verdict, "it depends on what is behind the image");
    assert_eq!(info.seal, SEALED);
    assert!(info.counter >= MIN_COUNTER);
    let total = info.total_len as usize;
    assert!(total <= image.len() && info.total_len <= SLOT.len);
    let hashed = hashed_len(&image).expect("a header");
    assert_eq!(info.hash, <[u8; 32]>::from(Sha256::digest(&image[..hashed])));
    assert!(judge(&image, total - 1, DIGEST_BLOCK, &key).is_err(), "accepted without its last byte");
    // One bit under the hash.
    image[usize::from(*damage) * hashed / 256] ^= 1 << (damage % 8);
    assert!(judge(&image, total, DIGEST_BLOCK, &key).is_err(), "accepted with a bit flipped");
}

fn judge(
    mut image: &[u8],
    available: usize,
    buffer: usize,
    key: &SigningKey,
) -> Result<ImageInfo, VerifyError<OutOfBounds>> {
    let keys = [PublicKey([1; 32]), PublicKey(key.verifying_key().to_bytes())];
    let policy = Policy { slot: SLOT, ram: RAM, board: BOARD, keys: &keys, min_counter: MIN_COUNTER };
    let exceeds = available > image.len();
    let verdict = verify(&mut image, available as u32, &policy, &mut SoftwareDigest::default(), &mut vec![0; buffer]);
    assert!(exceeds || !matches!(verdict, Err(VerifyError::Read(_))), "a read outside of what is available");
    assert!(verdict != Err(VerifyError::Refused(Refusal::WrongHash)) || available >= HEADER_FIELDS);
    verdict
}

/// What the hash covers, by the header's fields, if the image has as much.
fn hashed_len(image: &[u8]) -> Option<usize> {
    let header_size = usize::from(u16::from_le_bytes(image.get(8..10)?.try_into().ok()?));
    let protected_size = usize::from(u16::from_le_bytes(image.get(10..12)?.try_into().ok()?));
    let payload_len = u32::from_le_bytes(image.get(12..16)?.try_into().ok()?) as usize;
    let len = header_size + payload_len + protected_size;
    (len <= image.len()).then_some(len)
}

/// Puts the right values into the TLVs behind what the hash covers.
fn seal(image: &mut [u8], key: &SigningKey) {
    let Some(hashed) = hashed_len(image) else { return };
    let hash = Sha256::digest(&image[..hashed]);
    let area = &mut image[hashed..];
    if !area.starts_with(&AREA_MAGIC.to_le_bytes()) {
        return;
    }
    let mut at = 4;
    while let Some([kind_low, kind_high, len_low, len_high]) = area.get(at..at + 4) {
        let kind = u16::from_le_bytes([*kind_low, *kind_high]);
        let len = usize::from(u16::from_le_bytes([*len_low, *len_high]));
        at += 4;
        let Some(value) = area.get_mut(at..at + len) else { return };
        let right = match kind {
            tlv::SHA256 => hash.to_vec(),
            tlv::KEYHASH => PublicKey(key.verifying_key().to_bytes()).hash().to_vec(),
            tlv::ED25519 => key.sign(&hash).to_bytes().to_vec(),
            _ => Vec::new(),
        };
        if right.len() == len {
            value.copy_from_slice(&right);
        }
        at += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use update_image::Version;
    use update_image::layout::VECTOR_TABLE;
    use update_image::sign::{SecretKey, sign};

    #[test]
    fn what_is_sealed_here_is_accepted() {
        let mut payload = vec![0; 64];
        payload[..4].copy_from_slice(&(RAM.start + 0x1000).to_le_bytes());
        payload[4..8].copy_from_slice(&(VECTOR_TABLE + 0x11).to_le_bytes());
        let key = SecretKey::from_seed([9; 32]);
        let mut image = sign(&payload, &key, Version::new(1, 2, 3), MIN_COUNTER, BOARD).unwrap();
        let key = SigningKey::from_bytes(&KEY);
        assert!(judge(&image, image.len(), 64, &key).is_err());
        seal(&mut image, &key);
        assert!(judge(&image, image.len(), 64, &key).is_ok_and(|info| info.seal == SEALED));
    }
}
