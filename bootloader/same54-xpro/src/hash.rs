//! SHA-256 for the bootloader: by ICM, which takes a fifteenth of the core's time. A start must not hang on one more
//! unit of the chip, so it is tested first, and the core takes over if it fails.

use same54::Icm;
use update_image::{Digest, SoftwareDigest};

/// The unit, or the core.
#[allow(clippy::large_enum_variant, reason = "there is one, on the stack of `main`")]
pub enum BootDigest {
    /// ICM has passed its test.
    Hardware(Icm),
    /// It has not, or the last start ended in a crash.
    Software(SoftwareDigest),
}

/// 67 bytes in two pieces: chained blocks, and a padding of its own.
const MESSAGE: [u8; 67] = [b'a'; 67];
/// SHA-256 of [`MESSAGE`].
const DIGEST: [u8; 32] = [
    0x61, 0x16, 0xC0, 0x9F, 0x89, 0x71, 0x8E, 0x82, 0x9F, 0x69, 0xB7, 0xAF, 0xB1, 0xD9, 0xD6, 0x0C, 0x69, 0x73, 0x93,
    0x5D, 0x96, 0xB3, 0x32, 0x13, 0xE4, 0xD2, 0x86, 0x89, 0xFE, 0x10, 0x8E, 0xE7,
];

impl BootDigest {
    /// Tests the unit, if it is to be used.
    pub fn new(mut icm: Icm, use_hardware: bool) -> Self {
        icm.begin();
        icm.update(&MESSAGE[..64]);
        icm.update(&MESSAGE[64..]);
        if use_hardware && icm.finish() == Some(DIGEST) {
            Self::Hardware(icm)
        } else {
            Self::Software(SoftwareDigest::default())
        }
    }

    /// Whether the unit is used.
    pub fn is_hardware(&self) -> bool {
        matches!(self, Self::Hardware(_))
    }
}

impl Digest for BootDigest {
    fn begin(&mut self) {
        match self {
            Self::Hardware(icm) => icm.begin(),
            Self::Software(digest) => digest.begin(),
        }
    }

    fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Hardware(icm) => icm.update(piece),
            Self::Software(digest) => digest.update(piece),
        }
    }

    /// A unit that fails on the way would make a good image look damaged: this start ends, and the next one does without.
    fn finish(&mut self) -> [u8; 32] {
        match self {
            Self::Hardware(icm) => icm.finish().unwrap_or_else(|| panic!("the integrity check monitor has failed")),
            Self::Software(digest) => digest.finish(),
        }
    }
}
