//! The agent's cryptography, from the TLS stack, so that RSA is in the program once.

use adu_agent::Crypto;
use sha2::{Digest, Sha256};

/// SHA-256 and RS256.
pub(crate) struct DeviceCrypto;

impl Crypto for DeviceCrypto {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        Sha256::digest(data).into()
    }

    fn rs256_verify(&self, n: &[u8], e: u32, digest: &[u8; 32], signature: &[u8]) -> bool {
        device_tls::rsa_pkcs1_sha256_verify_digest(n, e, digest, signature)
    }
}
