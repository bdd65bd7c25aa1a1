//! Public keys that images are signed under.

use crate::digest::{Digest, SoftwareDigest};

/// DER of a SubjectPublicKeyInfo for Ed25519 up to the 32 key bytes (RFC 8410, section 4).
pub const SPKI_PREFIX: [u8; 12] = [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00];

/// An Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// What `imgtool` puts into the KEYHASH TLV: SHA-256 over the SubjectPublicKeyInfo.
    pub fn hash(&self) -> [u8; 32] {
        self.hash_by(&mut SoftwareDigest::default())
    }

    pub(crate) fn hash_by(&self, digest: &mut dyn Digest) -> [u8; 32] {
        let mut info = [0; SPKI_PREFIX.len() + 32];
        info[..SPKI_PREFIX.len()].copy_from_slice(&SPKI_PREFIX);
        info[SPKI_PREFIX.len()..].copy_from_slice(&self.0);
        digest.begin();
        digest.update(&info);
        digest.finish()
    }

    /// Whether `signature` over `message` was made with this key (RFC 8032, section 5.1.7).
    #[inline(never)]
    pub(crate) fn verify(&self, message: &[u8; 32], signature: &[u8; 64]) -> bool {
        has_canonical_scalar(signature) && self.verify_canonical(message, signature)
    }

    #[cfg(target_arch = "arm")]
    fn verify_canonical(&self, message: &[u8; 32], signature: &[u8; 64]) -> bool {
        let Ok(key) = salty::PublicKey::try_from(&self.0) else {
            return false;
        };
        key.verify(message, &salty::Signature::from(signature)).is_ok()
    }

    #[cfg(not(target_arch = "arm"))]
    fn verify_canonical(&self, message: &[u8; 32], signature: &[u8; 64]) -> bool {
        let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(&self.0) else {
            return false;
        };
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        key.verify_strict(message, &signature).is_ok()
    }
}

/// Order of the group, little endian (RFC 8032, section 5.1).
const GROUP_ORDER: [u8; 32] = [
    0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Whether the second half of a signature is below the group's order. salty 0.3 does not look, so that anybody could
/// make a second valid signature out of a first one.
fn has_canonical_scalar(signature: &[u8; 64]) -> bool {
    signature[32..].iter().rev().lt(GROUP_ORDER.iter().rev())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};
    use sim_base::Rng;

    /// What the device says.
    fn salty_verifies(key: &PublicKey, message: &[u8; 32], signature: &[u8; 64]) -> bool {
        has_canonical_scalar(signature)
            && salty::PublicKey::try_from(&key.0)
                .is_ok_and(|key| key.verify(message, &salty::Signature::from(signature)).is_ok())
    }

    #[test]
    fn device_and_host_agree_on_good_and_damaged_signatures() {
        let seed = 5;
        let mut rng = Rng::new(seed);
        for round in 0..40 {
            let mut bytes = [[0; 32]; 2];
            bytes.iter_mut().for_each(|bytes| rng.fill(bytes));
            let [secret, message] = bytes;
            let secret = SigningKey::from_bytes(&secret);
            let key = PublicKey(secret.verifying_key().to_bytes());
            let signature = secret.sign(&message).to_bytes();
            let what = std::format!("round {round} of seed {seed}");
            assert!(key.verify(&message, &signature), "{what}");
            assert!(salty_verifies(&key, &message, &signature), "{what}");
            let bit = rng.below(512) as usize;
            let mut damaged = signature;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verify(&message, &damaged), "{what}, bit {bit}");
            assert!(!salty_verifies(&key, &message, &damaged), "{what}, bit {bit}");
        }
    }

    #[test]
    fn a_signature_with_the_group_order_added_is_refused_by_both() {
        let secret = SigningKey::from_bytes(&[3; 32]);
        let key = PublicKey(secret.verifying_key().to_bytes());
        let message = [9; 32];
        let mut signature = secret.sign(&message).to_bytes();
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(GROUP_ORDER) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        assert!(!key.verify(&message, &signature));
        assert!(!salty_verifies(&key, &message, &signature));
    }
}
