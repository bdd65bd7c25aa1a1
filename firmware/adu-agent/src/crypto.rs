//! The cryptography that the agent needs from its host.

/// SHA-256 and RSA verification, provided by the application: a TLS stack has both already.
pub trait Crypto {
    /// SHA-256 of `data`.
    fn sha256(&self, data: &[u8]) -> [u8; 32];

    /// Whether `signature` is an RSASSA-PKCS1-v1_5 signature with SHA-256 (`RS256`, RFC 7518 section 3.3) over a
    /// message with this digest, under the key with modulus `n` (big endian, no leading zeros) and exponent `e`.
    ///
    /// Must return false, not panic, for a signature or modulus of any content; `signature` has the length of `n`.
    fn rs256_verify(&self, n: &[u8], e: u32, digest: &[u8; 32], signature: &[u8]) -> bool;
}

/// A root key: signs the signing keys that sign update manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootKey<'a> {
    /// Key id, matched against `kid` in the SJWK header.
    pub kid: &'a str,
    /// Modulus, big endian, without leading zeros.
    pub n: &'a [u8],
    /// Public exponent.
    pub e: u32,
}
