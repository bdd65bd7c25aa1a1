//! Public keys that images are signed under.

use sha2::{Digest, Sha256};

/// DER of a SubjectPublicKeyInfo for Ed25519 up to the 32 key bytes (RFC 8410, section 4).
pub const SPKI_PREFIX: [u8; 12] = [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00];

/// An Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// What `imgtool` puts into the KEYHASH TLV: SHA-256 over the SubjectPublicKeyInfo.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new().chain_update(SPKI_PREFIX).chain_update(self.0).finalize().into()
    }

    /// Whether `signature` over `message` was made with this key (RFC 8032, section 5.1.7).
    pub(crate) fn verify(&self, message: &[u8; 32], signature: &[u8; 64]) -> bool {
        let Ok(key) = salty::PublicKey::try_from(&self.0) else {
            return false;
        };
        key.verify(message, &salty::Signature::from(signature)).is_ok()
    }
}
