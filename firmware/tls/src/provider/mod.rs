//! The cryptography that rustls calls, from RustCrypto crates.
//!
//! One cipher suite, one group, RSA signatures: each algorithm that rustls can reach is linked into the firmware,
//! so what no server of ours needs is left out.

mod aead;
mod hash;
mod kx;
mod rsa;

use alloc::{sync::Arc, vec};

use rustls::crypto::tls12::PrfUsingHmac;
use rustls::crypto::{
    CipherSuiteCommon, CryptoProvider, GetRandomFailed, KeyExchangeAlgorithm, KeyProvider, SecureRandom,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{CipherSuite, SignatureScheme, SupportedCipherSuite, Tls12CipherSuite};

pub use self::rsa::{rsa_pkcs1_sha256_verify, rsa_pkcs1_sha256_verify_digest};
use crate::config::Platform;

static ECDHE_RSA_AES128_GCM_SHA256: Tls12CipherSuite = Tls12CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        hash_provider: &hash::Sha256Hash,
        // RFC 8446 section 5.5 allows 2^24.5 full records under one AES-GCM key.
        confidentiality_limit: 1 << 24,
    },
    kx: KeyExchangeAlgorithm::ECDHE,
    sign: &[
        SignatureScheme::RSA_PSS_SHA512,
        SignatureScheme::RSA_PSS_SHA384,
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::RSA_PKCS1_SHA512,
        SignatureScheme::RSA_PKCS1_SHA384,
        SignatureScheme::RSA_PKCS1_SHA256,
    ],
    aead_alg: &aead::Aes128Gcm,
    prf_provider: &PrfUsingHmac(&hash::HmacSha256),
};

pub(crate) fn provider(platform: &'static Platform) -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![SupportedCipherSuite::Tls12(&ECDHE_RSA_AES128_GCM_SHA256)],
        // The platform is the group too: key generation needs its random numbers and gets no other context.
        kx_groups: vec![platform],
        signature_verification_algorithms: self::rsa::ALGORITHMS,
        secure_random: platform,
        key_provider: platform,
    }
}

impl SecureRandom for Platform {
    fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        (self.random)(buf).map_err(|_| GetRandomFailed)
    }
}

impl KeyProvider for Platform {
    /// There are no client certificates, hence no private keys.
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("client certificates are not supported".into()))
    }
}
