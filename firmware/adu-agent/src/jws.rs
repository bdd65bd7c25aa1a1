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
    let digest = signed_digest(crypto, jws)?;
    let [header, payload, signature] = split(jws)?;

    let header = decode(header)?;
    let sjwk = {
        let header = json(header)?;
        require_rs256(&header)?;
        string(&header, "sjwk").ok_or(Code::MalformedSignature)?.range()
    };
    let sjwk = header.get_mut(sjwk).ok_or(Code::MalformedSignature)?;
    let modulus = signing_key(crypto, sjwk, roots)?;
    if !crypto.rs256_verify(modulus, 65537, &digest, decode(signature)?) {
        return Err(Code::Signature);
    }

    let payload = decode(payload)?;
    let payload = json(payload)?;
    let hash = string(&payload, "sha256").and_then(|hash| hash.plain());
    hash.and_then(sha256_from_base64).ok_or(Code::MalformedSignature)
}

/// Decodes the 44 characters of a base64 SHA-256.
pub(crate) fn sha256_from_base64(text: &str) -> Option<[u8; 32]> {
    let mut text: [u8; 44] = text.as_bytes().try_into().ok()?;
    let hash: &[u8] = decode_either(&mut text).ok()?;
    hash.try_into().ok()
}

/// Verifies the signing key's own JWS under the root key that it names, and returns the modulus.
fn signing_key<'a, C: Crypto>(crypto: &C, sjwk: &'a mut [u8], roots: &[RootKey<'_>]) -> Result<&'a [u8], Code> {
    let digest = signed_digest(crypto, sjwk)?;
    let [header, payload, signature] = split(sjwk)?;

    let header = json(decode(header)?)?;
    require_rs256(&header)?;
    let kid = string(&header, "kid").ok_or(Code::MalformedSignature)?;
    let root = roots.iter().find(|root| kid.is(root.kid)).ok_or(Code::UnknownRootKey)?;
    let signature = decode(signature)?;
    if signature.len() != root.n.len() || !crypto.rs256_verify(root.n, root.e, &digest, signature) {
        return Err(Code::SigningKeySignature);
    }

    let payload = decode(payload)?;
    let n = {
        let key = json(payload)?;
        require_rs256(&key).map_err(|_| Code::SigningKey)?;
        let is = |name, expected| string(&key, name).is_some_and(|value| value.is(expected));
        if !is("kty", "RSA") || !is("e", "AQAB") {
            return Err(Code::SigningKey);
        }
        string(&key, "n").ok_or(Code::SigningKey)?.range()
    };
    let n = payload.get_mut(n).ok_or(Code::SigningKey)?;
    // RFC 7518 asks for base64url, but the genuine keys use the alphabet of plain base64.
    let n: &[u8] = decode_either(n).map_err(|_| Code::SigningKey)?;
    // DER habits put a zero before a leading one bit.
    let n = match n {
        [0, rest @ ..] => rest,
        _ => n,
    };
    let is_sound = n.len() == SIGNING_KEY_LEN && n[0] & 0x80 != 0 && n[n.len() - 1] & 1 == 1;
    is_sound.then_some(n).ok_or(Code::SigningKey)
}

/// SHA-256 of what a JWS signs: its first two parts and the dot between them.
fn signed_digest<C: Crypto>(crypto: &C, jws: &[u8]) -> Result<[u8; 32], Code> {
    let end = jws.iter().rposition(|&byte| byte == b'.').ok_or(Code::MalformedSignature)?;
    Ok(crypto.sha256(&jws[..end]))
}

/// Splits at exactly two dots.
fn split(jws: &mut [u8]) -> Result<[&mut [u8]; 3], Code> {
    let mut parts = jws.split_mut(|&byte| byte == b'.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature), None) => Ok([header, payload, signature]),
        _ => Err(Code::MalformedSignature),
    }
}

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

fn json(part: &[u8]) -> Result<Value<'_>, Code> {
    let text = core::str::from_utf8(part).map_err(|_| Code::MalformedSignature)?;
    Value::parse(text).map_err(|_| Code::MalformedSignature)
}

fn string<'a>(object: &Value<'a>, key: &str) -> Option<twin_json::Str<'a>> {
    object.get(key)?.as_str()
}

/// The algorithm is fixed, never negotiated: `none` and every other one is refused.
fn require_rs256(header: &Value<'_>) -> Result<(), Code> {
    match string(header, "alg") {
        Some(alg) if alg.is("RS256") => Ok(()),
        _ => Err(Code::Algorithm),
    }
}
