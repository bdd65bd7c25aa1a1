//! The cipher itself, and the multiplication of GCM.

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256, Block};

/// A key of one of the three sizes.
pub(super) enum Key {
    Short(Aes128),
    Middle(Aes192),
    Long(Aes256),
}

impl Key {
    /// `size` is CTRLA.KEYSIZE; `words` are the KEYWORD registers, the first bytes lowest.
    pub(super) fn new(size: u32, words: [u32; 8]) -> Self {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.chunks_mut(4).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        let [short, middle] = [16, 24].map(|size| &bytes[..size]);
        match size {
            0 => Self::Short(Aes128::new_from_slice(short).unwrap_or_else(|_| Aes128::new(&[0; 16].into()))),
            1 => Self::Middle(Aes192::new_from_slice(middle).unwrap_or_else(|_| Aes192::new(&[0; 24].into()))),
            _ => Self::Long(Aes256::new(&bytes.into())),
        }
    }

    pub(super) fn encrypt(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = Block::from(block);
        match self {
            Self::Short(cipher) => cipher.encrypt_block(&mut block),
            Self::Middle(cipher) => cipher.encrypt_block(&mut block),
            Self::Long(cipher) => cipher.encrypt_block(&mut block),
        }
        block.into()
    }

    pub(super) fn decrypt(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = Block::from(block);
        match self {
            Self::Short(cipher) => cipher.decrypt_block(&mut block),
            Self::Middle(cipher) => cipher.decrypt_block(&mut block),
            Self::Long(cipher) => cipher.decrypt_block(&mut block),
        }
        block.into()
    }
}

/// (hash XOR block) times key in GF(2^128), as NIST SP 800-38D, 6.3 has it.
pub(super) fn ghash(hash: [u8; 16], block: [u8; 16], key: [u8; 16]) -> [u8; 16] {
    let x = u128::from_be_bytes(hash) ^ u128::from_be_bytes(block);
    let mut v = u128::from_be_bytes(key);
    let mut product = 0;
    for bit in (0..128).rev() {
        if x >> bit & 1 != 0 {
            product ^= v;
        }
        v = v >> 1 ^ if v & 1 != 0 { 0xE1 << 120 } else { 0 };
    }
    product.to_be_bytes()
}
