//! The signature of an update manifest: a JWS (RFC 7515) whose header carries the signing key as a JWS of its own.
//!
//! ```text
//! updateManifestSignature = header . {"sha256": of the manifest} . signature by the signing key
//!            header.sjwk  = header . JWK of the signing key      . signature by a root key
//! ```
//!
//! Everything is decoded where it lies. A part is hashed before it is decoded over itself.

use base64ct::{Base64UrlUnpadded, Encoding};
use twin_json::Value;

use crate::code::Code;
use crate::crypto::{Crypto, RootKey};

/// Bytes of an RSA-3072 modulus: the only size that signing keys have.
const SIGNING_KEY_LEN: usize = 384;

/// Verifies `jws` under `roots` and returns the SHA-256 of the manifest that it vouches for. `jws` is destroyed.
pub(crate) fn verify<C: Crypto>(crypto: &C, jws: &mut [u8], roots: &[RootKey<'_>]) -> Result<[u8; 32], Code> {
    let Parts { digest, header, payload, signature } = Parts::open(crypto, jws)?;
    let sjwk = json(header)?.string("sjwk").ok_or(Code::MalformedSignature)?.range();
    let sjwk = header.get_mut(sjwk).ok_or(Code::MalformedSignature)?;
    let modulus = signing_key(crypto, sjwk, roots)?;
    if !crypto.rs256_verify(modulus, 65537, &digest, signature) {
        return Err(Code::Signature);
    }
    let hash = json(payload)?.string("sha256");
    hash.and_then(|hash| sha256_from_base64(hash.raw())).ok_or(Code::MalformedSignature)
}

/// Decodes the 44 characters of a base64 SHA-256.
pub(crate) fn sha256_from_base64(text: &str) -> Option<[u8; 32]> {
    let mut text: [u8; 44] = text.as_bytes().try_into().ok()?;
    let hash: &[u8] = decode_either(&mut text).ok()?;
    hash.try_into().ok()
}

/// Verifies the signing key's own JWS under the root key that it names, and returns the modulus.
fn signing_key<'a, C: Crypto>(crypto: &C, sjwk: &'a mut [u8], roots: &[RootKey<'_>]) -> Result<&'a [u8], Code> {
    let Parts { digest, header, payload, signature } = Parts::open(crypto, sjwk)?;
    let kid = json(header)?.string("kid").ok_or(Code::MalformedSignature)?;
    let root = roots.iter().find(|root| kid.is(root.kid)).ok_or(Code::UnknownRootKey)?;
    if signature.len() != root.n.len() || !crypto.rs256_verify(root.n, root.e, &digest, signature) {
        return Err(Code::SigningKeySignature);
    }

    let key = json(payload)?;
    for (name, expected) in [("kty", "RSA"), ("alg", "RS256"), ("e", "AQAB")] {
        if !key.string(name).is_some_and(|value| value.is(expected)) {
            return Err(Code::SigningKey);
        }
    }
    let n = key.string("n").ok_or(Code::SigningKey)?.range();
    let n = payload.get_mut(n).ok_or(Code::SigningKey)?;
    // RFC 7518 asks for base64url, but the genuine keys use the alphabet of plain base64.
    let n: &[u8] = decode_either(n).map_err(|_| Code::SigningKey)?;
    // DER habits put a zero before a leading one bit.
    let n = n.strip_prefix(&[0]).unwrap_or(n);
    match n {
        [first, .., last] if n.len() == SIGNING_KEY_LEN && *first >= 0x80 && last & 1 == 1 => Ok(n),
        _ => Err(Code::SigningKey),
    }
}

/// A JWS, hashed and decoded.
struct Parts<'a> {
    /// SHA-256 of what is signed: the first two parts and the dot between them.
    digest: [u8; 32],
    header: &'a mut [u8],
    payload: &'a mut [u8],
    signature: &'a mut [u8],
}

impl<'a> Parts<'a> {
    /// Takes exactly three parts, whose algorithm is RS256: it is fixed, never negotiated.
    #[inline(never)]
    fn open<C: Crypto>(crypto: &C, jws: &'a mut [u8]) -> Result<Self, Code> {
        let dot = jws.iter().rposition(|&byte| byte == b'.').ok_or(Code::MalformedSignature)?;
        let digest = crypto.sha256(&jws[..dot]);
        let mut parts = jws.split_mut(|&byte| byte == b'.');
        let mut part = || decode(parts.next().ok_or(Code::MalformedSignature)?);
        let (header, payload, signature) = (part()?, part()?, part()?);
        if parts.next().is_some() {
            return Err(Code::MalformedSignature);
        }
        match json(header)?.string("alg") {
            Some(alg) if alg.is("RS256") => Ok(Self { digest, header, payload, signature }),
            _ => Err(Code::Algorithm),
        }
    }
}

#[inline(never)]
fn decode(part: &mut [u8]) -> Result<&mut [u8], Code> {
    let len = Base64UrlUnpadded::decode_in_place(part).map_err(|_| Code::MalformedSignature)?.len();
    part.get_mut(..len).ok_or(Code::MalformedSignature)
}

/// Decodes base64 of either alphabet, padded or not: one decoder costs less than two.
fn decode_either(part: &mut [u8]) -> Result<&mut [u8], Code> {
    for digit in part.iter_mut() {
        match digit {
            b'+' => *digit = b'-',
            b'/' => *digit = b'_',
            _ => {}
        }
    }
    let mut len = part.len();
    while part.get(len.wrapping_sub(1)) == Some(&b'=') {
        len -= 1;
    }
    decode(&mut part[..len])
}

#[inline(never)]
fn json(part: &[u8]) -> Result<Value<'_>, Code> {
    let text = core::str::from_utf8(part).map_err(|_| Code::MalformedSignature)?;
    Value::parse(text).map_err(|_| Code::MalformedSignature)
}
