//! Signatures of update manifests: a JWS whose header carries a signed JSON Web Key (SJWK).
//!
//! `b64url(header).b64url(payload).b64url(signature)`, where the header is `{"alg":"RS256","sjwk":"…"}`, the payload
//! `{"sha256":"<standard base64 of the manifest's SHA-256>"}`, and the SJWK itself a JWS under the root key with header
//! `{"alg":"RS256","kid":"<root>"}` and payload `{"kty":"RSA","n":"…","e":"AQAB","alg":"RS256","kid":"<signing key>"}`.
//! All keys are RSA-3072 and all signatures PKCS#1 v1.5 with SHA-256. In the genuine ones `n` is in *standard* base64
//! (`+` and `/`), against RFC 7518, while everything around it is base64url.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256};
use serde::Deserialize;
use serde_json::json;

use super::import::sha256_base64;
use super::root_keys::{jwk_modulus, pkcs1};
use crate::CloudError;
use crate::keys::{Keys, RootKey, modulus_exponent, rsa_key};

/// Signs update manifests.
#[derive(Debug)]
pub struct Signer {
    signing: Arc<KeyPair>,
    sjwk: String,
    self_signed_sjwk: String,
}

impl Signer {
    /// A signer with the first Device Update keys of `keys`.
    ///
    /// # Errors
    /// [`CloudError::Key`] if a key cannot be read or used.
    pub fn new(keys: &Keys) -> Result<Self, CloudError> {
        let root = rsa_key(&keys.adu_root_key_pem, "Device Update root key")?;
        let signing = rsa_key(&keys.adu_signing_key_pem, "Device Update signing key")?;
        Self::with(&keys.adu_root_kid, &root, &keys.adu_signing_kid, &Arc::new(signing))
    }

    /// A signer whose signing key is vouched for by a root key.
    ///
    /// # Errors
    /// [`CloudError::Key`] if a key refuses to sign.
    pub(crate) fn with(
        root_kid: &str,
        root: &KeyPair,
        signing_kid: &str,
        signing: &Arc<KeyPair>,
    ) -> Result<Self, CloudError> {
        let header = json!({"alg": "RS256", "kid": root_kid}).to_string();
        let (n, e) = modulus_exponent(signing);
        let jwk = json!({
            "kty": "RSA",
            "n": jwk_modulus(&n),
            "e": URL_SAFE_NO_PAD.encode(e),
            "alg": "RS256",
            "kid": signing_kid,
        })
        .to_string();
        Ok(Self {
            sjwk: compact(&header, &jwk, root)?,
            self_signed_sjwk: compact(&header, &jwk, signing)?,
            signing: signing.clone(),
        })
    }

    /// The signature of a manifest: the text of the twin's `updateManifestSignature`.
    ///
    /// # Errors
    /// [`CloudError::Key`] if the key refuses to sign.
    pub fn sign(&self, manifest: &str) -> Result<String, CloudError> {
        self.with_sjwk(&self.sjwk, manifest)
    }

    /// A signature that looks right, but whose last bytes are wrong.
    ///
    /// # Errors
    /// As [`sign`](Self::sign).
    pub fn forge_signature(&self, manifest: &str) -> Result<String, CloudError> {
        let mut jws = self.sign(manifest)?;
        // Another character of the alphabet, away from the end where bits may be padding.
        let at = jws.len() - 10;
        let other = if jws.as_bytes()[at] == b'A' { "B" } else { "A" };
        jws.replace_range(at..=at, other);
        Ok(jws)
    }

    /// A correct signature by a key that the root did not sign.
    ///
    /// # Errors
    /// As [`sign`](Self::sign).
    pub fn forge_signing_key(&self, manifest: &str) -> Result<String, CloudError> {
        self.with_sjwk(&self.self_signed_sjwk, manifest)
    }

    fn with_sjwk(&self, sjwk: &str, manifest: &str) -> Result<String, CloudError> {
        let header = json!({"alg": "RS256", "sjwk": sjwk}).to_string();
        let payload = json!({"sha256": sha256_base64(manifest.as_bytes())}).to_string();
        compact(&header, &payload, &self.signing)
    }
}

fn compact(header: &str, payload: &str, key: &KeyPair) -> Result<String, CloudError> {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = sign_rs256(key, signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// A signature of RSASSA-PKCS1-v1_5 with SHA-256; the same message gives the same bytes.
pub(super) fn sign_rs256(key: &KeyPair, message: &[u8]) -> Result<Vec<u8>, CloudError> {
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| CloudError::Key { what: "Device Update key", why: "it refuses to sign".into() })?;
    Ok(signature)
}

/// Why a signature is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwsError {
    /// a JWS does not have three parts
    #[error("the {0} does not have three parts")]
    Parts(&'static str),
    /// a part is not base64url or not the expected JSON
    #[error("a part of the {0} is not base64url or not the expected JSON")]
    Form(&'static str),
    /// the algorithm is not RS256
    #[error("the {0} is not of algorithm RS256")]
    Algorithm(&'static str),
    /// the root key is not known
    #[error("the root key `{0}` is not trusted")]
    Root(String),
    /// the signature of the signing key is wrong
    #[error("the signing key was not signed by the root key")]
    SigningKey,
    /// the signature of the manifest is wrong
    #[error("the manifest was not signed by the signing key")]
    Signature,
    /// the signing key is disabled
    #[error("the signing key `{0}` is disabled")]
    Disabled(String),
    /// the signature is for another manifest
    #[error("the signature is for another manifest")]
    Hash,
}

/// Who signed a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Key id of the root.
    pub root_kid: String,
    /// Key id of the signing key.
    pub signing_kid: String,
    /// The signing key, PKCS#1 RSAPublicKey in DER.
    pub signing_key: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    sjwk: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RootHeader {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwk {
    kty: String,
    n: String,
    e: String,
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    sha256: String,
}

/// Verifies a manifest's signature as a device does; `manifest` is `None` to check the chain of keys alone.
///
/// # Errors
/// [`JwsError`] with the first check that failed.
pub fn verify(jws: &str, manifest: Option<&str>, roots: &[RootKey]) -> Result<Verified, JwsError> {
    let (header, payload, signed, signature) = split(jws, "JWS")?;
    let header: Header = json(&header, "JWS")?;
    let (root_header, jwk, sjwk_signed, sjwk_signature) = split(&header.sjwk, "SJWK")?;
    let root_header: RootHeader = json(&root_header, "SJWK")?;
    let jwk: Jwk = json(&jwk, "SJWK")?;
    for (alg, what) in [(&header.alg, "JWS"), (&root_header.alg, "SJWK"), (&jwk.alg, "signing key")] {
        if alg != "RS256" {
            return Err(JwsError::Algorithm(what));
        }
    }
    if jwk.kty != "RSA" {
        return Err(JwsError::Algorithm("signing key"));
    }
    let root = roots.iter().find(|root| root.kid == root_header.kid);
    let root = root.ok_or_else(|| JwsError::Root(root_header.kid.clone()))?;
    if !rs256(&root.n, &root.e.to_be_bytes(), sjwk_signed, &sjwk_signature) {
        return Err(JwsError::SigningKey);
    }
    let n = any_base64(&jwk.n).ok_or(JwsError::Form("signing key"))?;
    let e = any_base64(&jwk.e).ok_or(JwsError::Form("signing key"))?;
    if !rs256(&n, &e, signed, &signature) {
        return Err(JwsError::Signature);
    }
    let payload: Payload = json(&payload, "JWS")?;
    let listed = STANDARD.decode(&payload.sha256).map_err(|_| JwsError::Form("JWS"))?;
    if manifest.is_some_and(|manifest| digest(&SHA256, manifest.as_bytes()).as_ref() != listed) {
        return Err(JwsError::Hash);
    }
    Ok(Verified { root_kid: root_header.kid, signing_kid: jwk.kid, signing_key: pkcs1(&n, &e) })
}

type Parts<'a> = (Vec<u8>, Vec<u8>, &'a str, Vec<u8>);

fn split<'a>(jws: &'a str, what: &'static str) -> Result<Parts<'a>, JwsError> {
    let parts: Vec<&str> = jws.split('.').collect();
    let [header, payload, signature] = parts[..] else { return Err(JwsError::Parts(what)) };
    let decode = |part| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::Form(what));
    let signed = &jws[..header.len() + 1 + payload.len()];
    Ok((decode(header)?, decode(payload)?, signed, decode(signature)?))
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &'static str) -> Result<T, JwsError> {
    serde_json::from_slice(bytes).map_err(|_| JwsError::Form(what))
}

fn any_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()
}

pub(super) fn rs256(n: &[u8], e: &[u8], message: &str, signature: &[u8]) -> bool {
    let strip = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    let key = PublicKeyComponents { n: strip(n), e: strip(e) };
    key.verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), signature).is_ok()
}
