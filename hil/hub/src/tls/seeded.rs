//! Everything in a handshake that is random or might be: the random source, ECDHE, the signature.

use std::fmt;
use std::sync::{Arc, Mutex};

use p256::ecdh::diffie_hellman;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{PublicKey, SecretKey};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, NamedGroup, PeerMisbehaved, SignatureAlgorithm, SignatureScheme};
use sim_base::Rng;

type SharedRng = Arc<Mutex<Rng>>;

fn fill(rng: &SharedRng, bytes: &mut [u8]) {
    // A panic while the lock is held cannot leave the generator half-updated.
    rng.lock().unwrap_or_else(std::sync::PoisonError::into_inner).fill(bytes);
}

/// The random source and the key exchange group of one seed, for the life of the program, as rustls wants them.
pub(super) fn leak(rng: Rng) -> (&'static dyn SecureRandom, &'static dyn SupportedKxGroup) {
    let random: &'static SeededRandom = Box::leak(Box::new(SeededRandom(Arc::new(Mutex::new(rng.fork("random"))))));
    let group: &'static SeededP256 = Box::leak(Box::new(SeededP256(Arc::new(Mutex::new(rng.fork("ecdhe"))))));
    (random, group)
}

#[derive(Debug)]
struct SeededRandom(SharedRng);

impl SecureRandom for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        fill(&self.0, bytes);
        Ok(())
    }
}

/// ECDHE on P-256 (RFC 8422) with seeded secrets.
#[derive(Debug)]
struct SeededP256(SharedRng);

impl SupportedKxGroup for SeededP256 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = loop {
            let mut bytes = [0; 32];
            fill(&self.0, &mut bytes);
            // All but one in 2^32 draws are a valid scalar.
            if let Ok(secret) = SecretKey::from_slice(&bytes) {
                break secret;
            }
        };
        // The uncompressed form is the only one that TLS knows (RFC 8422 section 5.4.1).
        let public = secret.public_key().to_sec1_point(false).as_bytes().to_vec();
        Ok(Box::new(Exchange { secret, public }))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

struct Exchange {
    secret: SecretKey,
    public: Vec<u8>,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        // Uncompressed points only, as in the reference providers.
        if peer.first() != Some(&4) {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        let peer = PublicKey::from_sec1_bytes(peer).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = diffie_hellman(self.secret.to_nonzero_scalar(), peer.as_affine());
        Ok(SharedSecret::from(&shared.raw_secret_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

/// An RSA key that signs with PKCS#1 v1.5 and SHA-256 only: PSS would salt each signature from the system's chance.
#[derive(Clone)]
pub(super) struct RsaSha256Key(Arc<KeyPair>);

impl RsaSha256Key {
    pub(super) fn new(pair: KeyPair) -> Self {
        Self(Arc::new(pair))
    }
}

impl fmt::Debug for RsaSha256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaSha256Key")
    }
}

impl SigningKey for RsaSha256Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::RSA_PKCS1_SHA256).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

impl Signer for RsaSha256Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        // PKCS#1 v1.5 is deterministic; `ring` takes a random source for the sake of PSS.
        self.0
            .sign(&ring::signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| Error::General("RSA signature failed".into()))?;
        Ok(signature)
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::RSA_PKCS1_SHA256
    }
}
