//! SHA-256, by whatever a board has for it: hardware, or the code here.

use sha2::Digest as _;

/// Bytes that SHA-256 works on at a time (FIPS 180-4, section 1).
pub const DIGEST_BLOCK: usize = 64;

/// SHA-256 of a message that comes in pieces.
pub trait Digest {
    /// Starts a message; what was begun before is forgotten.
    fn begin(&mut self);

    /// Appends a piece: whole blocks of [`DIGEST_BLOCK`] bytes, unless it is the last.
    fn update(&mut self, piece: &[u8]);

    /// The digest of the message.
    fn finish(&mut self) -> [u8; 32];
}

/// SHA-256 by the core.
#[derive(Clone, Default)]
pub struct SoftwareDigest(sha2::Sha256);

impl Digest for SoftwareDigest {
    fn begin(&mut self) {
        self.0.reset();
    }

    fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    fn finish(&mut self) -> [u8; 32] {
        self.0.finalize_reset().into()
    }
}
