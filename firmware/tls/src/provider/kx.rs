//! ECDHE over P-256 (RFC 8422).

use alloc::boxed::Box;

use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{PublicKey, SecretKey};
use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved};

use crate::config::Platform;

/// A random number below 2^256 is a valid P-256 key but for one in 2^32 cases, so this many draws end in a key or
/// show that the source is broken.
const ATTEMPTS: usize = 4;

impl SupportedKxGroup for Platform {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut bytes = [0; 32];
        for _ in 0..ATTEMPTS {
            (self.random)(&mut bytes).map_err(|_| GetRandomFailed)?;
            if let Ok(secret) = SecretKey::from_slice(&bytes) {
                let mut public = [0; 65];
                public.copy_from_slice(secret.public_key().to_sec1_point(false).as_bytes());
                return Ok(Box::new(Exchange { secret, public }));
            }
        }
        Err(GetRandomFailed.into())
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
    public: [u8; 65],
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        // RFC 8422 section 5.4.1: only uncompressed points. `from_sec1_bytes` checks that it lies on the curve and
        // is not the identity.
        let peer = match peer {
            [0x04, ..] => PublicKey::from_sec1_bytes(peer).ok(),
            _ => None,
        }
        .ok_or(PeerMisbehaved::InvalidKeyShare)?;
        let shared = p256::ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), peer.as_affine());
        Ok(SharedSecret::from(shared.raw_secret_bytes().as_slice()))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }
}
