//! SHA over whole blocks, without padding.

use sha1::block_api::compress as compress_sha1;
use sha2::block_api::compress256;

const SHA1: [u32; 8] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0, 0, 0, 0];
const SHA224: [u32; 8] =
    [0xC105_9ED8, 0x367C_D507, 0x3070_DD17, 0xF70E_5939, 0xFFC0_0B31, 0x6858_1511, 0x64F9_8FA7, 0xBEFA_4FA4];
const SHA256: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];

/// RCFG.ALGO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Sha1,
    Sha224,
    Sha256,
}

impl Algorithm {
    pub(super) fn new(field: u32) -> Self {
        match field {
            0 => Self::Sha1,
            4 => Self::Sha224,
            _ => Self::Sha256,
        }
    }

    /// Bus clocks of a block.
    pub(super) fn clocks(self) -> u64 {
        if self == Self::Sha1 { 85 } else { 72 }
    }
}

/// A hash under way.
pub(super) struct Hash {
    algorithm: Algorithm,
    state: [u32; 8],
}

impl Hash {
    /// With the standard's initial value, or the user's: words whose lowest byte is the digest's first.
    pub(super) fn new(algorithm: Algorithm, initial: Option<[u32; 8]>) -> Self {
        let standard = match algorithm {
            Algorithm::Sha1 => SHA1,
            Algorithm::Sha224 => SHA224,
            Algorithm::Sha256 => SHA256,
        };
        Self { algorithm, state: initial.map_or(standard, |words| words.map(u32::swap_bytes)) }
    }

    pub(super) fn update(&mut self, block: &[u8; 64]) {
        if self.algorithm != Algorithm::Sha1 {
            compress256(&mut self.state, &[*block]);
        } else if let Some((state, _)) = self.state.split_first_chunk_mut() {
            compress_sha1(state, &[*block]);
        }
    }

    pub(super) fn digest(&self) -> Vec<u8> {
        let words = match self.algorithm {
            Algorithm::Sha1 => 5,
            Algorithm::Sha224 => 7,
            Algorithm::Sha256 => 8,
        };
        self.state[..words].iter().flat_map(|word| word.to_be_bytes()).collect()
    }
}
