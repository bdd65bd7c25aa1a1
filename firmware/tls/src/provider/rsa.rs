//! RSA signature verification: PKCS#1 v1.5 and PSS (RFC 8017), 2048 to 4096 bits.

use core::fmt;

use pkcs1::RsaPublicKeyRef;
use pkcs1::der::Decode;
use rsa::{BoxedUint, PublicKey};
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Sha256, Sha384, Sha512};

const KEY_BITS: core::ops::RangeInclusive<usize> = 2048..=4096;

/// Verifies an RSASSA-PKCS1-v1_5 signature with SHA-256 (JWA's RS256) over `message`.
///
/// `n` is the modulus, big endian, 2048 to 4096 bits; `e` the public exponent; `signature` as long as the modulus.
/// False also if the key itself is not acceptable.
pub fn rsa_pkcs1_sha256_verify(n: &[u8], e: u32, message: &[u8], signature: &[u8]) -> bool {
    key(n, &e.to_be_bytes()).is_some_and(|key| key.pkcs1v15_verify::<Sha256>(message, signature).is_ok())
}

/// Like [`rsa_pkcs1_sha256_verify`] for a message that is hashed already.
pub fn rsa_pkcs1_sha256_verify_digest(n: &[u8], e: u32, digest: &[u8; 32], signature: &[u8]) -> bool {
    key(n, &e.to_be_bytes()).is_some_and(|key| key.pkcs1v15_verify_prehash::<Sha256>(digest, signature).is_ok())
}

/// A public key from big-endian numbers.
fn key(n: &[u8], e: &[u8]) -> Option<PublicKey> {
    let n = BoxedUint::from_be_slice_vartime(n);
    let e = BoxedUint::from_be_slice_vartime(e);
    PublicKey::new_with_size_limits(n, e, KEY_BITS).ok()
}

pub(super) static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        &Rsa::PKCS1_SHA256,
        &Rsa::PKCS1_SHA384,
        &Rsa::PKCS1_SHA512,
        &Rsa::PSS_SHA256,
        &Rsa::PSS_SHA384,
        &Rsa::PSS_SHA512,
    ],
    mapping: &[
        (SignatureScheme::RSA_PKCS1_SHA256, &[&Rsa::PKCS1_SHA256]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[&Rsa::PKCS1_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[&Rsa::PKCS1_SHA512]),
        (SignatureScheme::RSA_PSS_SHA256, &[&Rsa::PSS_SHA256]),
        (SignatureScheme::RSA_PSS_SHA384, &[&Rsa::PSS_SHA384]),
        (SignatureScheme::RSA_PSS_SHA512, &[&Rsa::PSS_SHA512]),
    ],
};

type Verify = fn(&PublicKey, &[u8], &[u8]) -> rsa::Result<()>;

struct Rsa {
    signature: AlgorithmIdentifier,
    verify: Verify,
}

impl Rsa {
    const PKCS1_SHA256: Self = Self::new(alg_id::RSA_PKCS1_SHA256, PublicKey::pkcs1v15_verify::<Sha256>);
    const PKCS1_SHA384: Self = Self::new(alg_id::RSA_PKCS1_SHA384, PublicKey::pkcs1v15_verify::<Sha384>);
    const PKCS1_SHA512: Self = Self::new(alg_id::RSA_PKCS1_SHA512, PublicKey::pkcs1v15_verify::<Sha512>);
    const PSS_SHA256: Self = Self::new(alg_id::RSA_PSS_SHA256, PublicKey::pss_verify::<Sha256>);
    const PSS_SHA384: Self = Self::new(alg_id::RSA_PSS_SHA384, PublicKey::pss_verify::<Sha384>);
    const PSS_SHA512: Self = Self::new(alg_id::RSA_PSS_SHA512, PublicKey::pss_verify::<Sha512>);

    const fn new(signature: AlgorithmIdentifier, verify: Verify) -> Self {
        Self { signature, verify }
    }
}

impl fmt::Debug for Rsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rsa")
    }
}

impl SignatureVerificationAlgorithm for Rsa {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let parsed = RsaPublicKeyRef::from_der(public_key).map_err(|_| InvalidSignature)?;
        let key = key(parsed.modulus.as_bytes(), parsed.public_exponent.as_bytes()).ok_or(InvalidSignature)?;
        (self.verify)(&key, message, signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use rsa::traits::PublicKeyParts;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    const LEAF: &[u8] = include_bytes!("../../tests/keys/leaf.pem");
    const INTERMEDIATE: &[u8] = include_bytes!("../../tests/keys/intermediate.pem");

    /// Public key (PKCS#1) and a signature of another implementation.
    fn signed(pem: &[u8], scheme: SignatureScheme, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let provider = rustls::crypto::ring::default_provider();
        let key = provider.key_provider.load_private_key(PrivateKeyDer::from_pem_slice(pem).unwrap()).unwrap();
        let signature = key.choose_scheme(&[scheme]).unwrap().sign(message).unwrap();
        let spki = key.public_key().unwrap();
        // SubjectPublicKeyInfo of an RSA key: 24 bytes stand before the RSAPublicKey.
        (spki.as_ref()[24..].to_vec(), signature)
    }

    #[test]
    fn each_scheme_accepts_its_own_signature_and_no_other() {
        for pem in [LEAF, INTERMEDIATE] {
            for (signer, _) in ALGORITHMS.mapping {
                let (public, signature) = signed(pem, *signer, b"message");
                for (scheme, algorithms) in ALGORITHMS.mapping {
                    let verify = |message: &[u8], signature: &[u8]| {
                        algorithms[0].verify_signature(&public, message, signature).is_ok()
                    };
                    assert_eq!(verify(b"message", &signature), scheme == signer, "{signer:?} by {scheme:?}");
                    assert!(!verify(b"massage", &signature));
                    assert!(!verify(b"message", &signature[1..]));
                    let mut flipped = signature.clone();
                    flipped[100] ^= 1;
                    assert!(!verify(b"message", &flipped));
                }
                assert!(ALGORITHMS.all[0].verify_signature(&public[1..], b"message", &signature).is_err());
            }
        }
    }

    #[test]
    fn rs256_takes_plain_numbers() {
        let (public, signature) = signed(LEAF, SignatureScheme::RSA_PKCS1_SHA256, b"message");
        let parsed = RsaPublicKeyRef::from_der(&public).unwrap();
        let n = parsed.modulus.as_bytes();
        assert!(rsa_pkcs1_sha256_verify(n, 65537, b"message", &signature));
        assert!(!rsa_pkcs1_sha256_verify(n, 3, b"message", &signature));
        assert!(!rsa_pkcs1_sha256_verify(n, 65537, b"massage", &signature));
        assert!(!rsa_pkcs1_sha256_verify(&n[1..], 65537, b"message", &signature));
        assert!(!rsa_pkcs1_sha256_verify(&[], 65537, b"message", &[]));
        let digest = <[u8; 32]>::from(<Sha256 as sha2::Digest>::digest(b"message"));
        assert!(rsa_pkcs1_sha256_verify_digest(n, 65537, &digest, &signature));
        assert!(!rsa_pkcs1_sha256_verify_digest(n, 65537, &[0; 32], &signature));
    }

    #[test]
    fn keys_outside_2048_to_4096_bits_are_refused() {
        let number = |bits: usize| {
            let mut bytes = alloc::vec![0xFF; bits / 8];
            bytes[0] = 0x80;
            bytes
        };
        assert!(key(&number(1024), &[1, 0, 1]).is_none());
        assert_eq!(key(&number(2048), &[1, 0, 1]).unwrap().size(), 256);
        assert_eq!(key(&number(4096), &[1, 0, 1]).unwrap().size(), 512);
        assert!(key(&number(8192), &[1, 0, 1]).is_none());
    }
}
