//! Root keys, signing keys and the signed package that tells devices which of them are good.
//!
//! A package is `{"protected":{…},"signatures":[{"alg":"RS256","sig":…},…]}`; each signature is over `protected` written
//! without white space, and the i-th belongs to the i-th of `protected.rootKeys`. A device accepts a package that every
//! root key it was built with has signed.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::rsa::KeyPair;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::jws::{self, JwsError, Signer, Verified, rs256, sign_rs256};
use crate::CloudError;
use crate::durable::Change;
use crate::keys::{Keys, RootKey, modulus_exponent, rsa_key};

/// What an operator sees of the keys; it outlives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootKeyState {
    /// Version of the package; it grows with every change.
    pub version: u64,
    /// When the package was made, Unix time.
    pub published: u64,
    /// Whether the package is marked as one for tests, which production agents refuse.
    pub is_test: bool,
    /// Whether deployments carry `rootKeyPackageUrl`.
    pub offered: bool,
    /// Key id of the root that signs signing keys.
    pub root: String,
    /// Key id of the key that signs manifests.
    pub signing_key: String,
    /// Key ids of roots that devices must not trust any more.
    pub disabled_root_keys: Vec<String>,
    /// Key ids of signing keys that devices must not trust any more.
    pub disabled_signing_keys: Vec<String>,
}

/// Why the keys are not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootKeyError {
    /// there is no such key
    #[error("there is no {kind} `{kid}`; there are {known}")]
    Unknown {
        /// `root key` or `signing key`.
        kind: &'static str,
        /// Key id.
        kid: String,
        /// Key ids that there are.
        known: String,
    },
    /// a key that is in use would be disabled
    #[error("the {kind} `{kid}` signs deployments; rotate to another one first")]
    InUse {
        /// `root key` or `signing key`.
        kind: &'static str,
        /// Key id.
        kid: String,
    },
    /// a disabled key would come into use
    #[error("the {kind} `{kid}` is disabled; enable it first")]
    Disabled {
        /// `root key` or `signing key`.
        kind: &'static str,
        /// Key id.
        kid: String,
    },
    /// there is no disabled key to sign with
    #[error("no {kind} is disabled; disable one first, to sign with it")]
    NoneDisabled {
        /// `root key` or `signing key`.
        kind: &'static str,
    },
    /// a key refuses to sign
    #[error(transparent)]
    Key(#[from] CloudError),
}

struct Pair {
    kid: String,
    key: Arc<KeyPair>,
}

/// The keys of Device Update and their state.
pub(crate) struct KeyRing {
    roots: Vec<Pair>,
    signing: Vec<Pair>,
    pub(crate) state: RootKeyState,
    pub(crate) changed: bool,
}

impl RootKeyError {
    /// The HTTP status that says the same.
    pub fn status(&self) -> u16 {
        match self {
            Self::Unknown { .. } => 404,
            Self::InUse { .. } | Self::Disabled { .. } | Self::NoneDisabled { .. } => 409,
            Self::Key(_) => 500,
        }
    }
}

impl core::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KeyRing").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Key of the durable entry.
const KEY: &str = "adu/rootkeys";
const ROOT: &str = "root key";
const SIGNING: &str = "signing key";

impl KeyRing {
    pub(crate) fn new(keys: &Keys, published: u64) -> Result<Self, CloudError> {
        let pair = |kid: &str, pem: &[u8], what| Ok(Pair { kid: kid.to_owned(), key: Arc::new(rsa_key(pem, what)?) });
        let mut roots = vec![pair(&keys.adu_root_kid, &keys.adu_root_key_pem, "Device Update root key")?];
        let mut signing = vec![pair(&keys.adu_signing_kid, &keys.adu_signing_key_pem, "Device Update signing key")?];
        if let Some(backup) = &keys.adu_backup {
            roots.push(pair(&backup.root_kid, &backup.root_key_pem, "second Device Update root key")?);
            signing.push(pair(&backup.signing_kid, &backup.signing_key_pem, "second Device Update signing key")?);
        }
        let state = RootKeyState {
            version: 1,
            published,
            is_test: false,
            offered: false,
            root: keys.adu_root_kid.clone(),
            signing_key: keys.adu_signing_kid.clone(),
            disabled_root_keys: Vec::new(),
            disabled_signing_keys: Vec::new(),
        };
        Ok(Self { roots, signing, state, changed: false })
    }

    /// Key ids of all root keys, those that are disabled included.
    pub(crate) fn root_kids(&self) -> impl Iterator<Item = &str> {
        self.roots.iter().map(|pair| pair.kid.as_str())
    }

    /// Key ids of all signing keys.
    pub(crate) fn signing_kids(&self) -> impl Iterator<Item = &str> {
        self.signing.iter().map(|pair| pair.kid.as_str())
    }

    fn find<'a>(pairs: &'a [Pair], kind: &'static str, kid: &str) -> Result<&'a Pair, RootKeyError> {
        pairs.iter().find(|pair| pair.kid == kid).ok_or_else(|| {
            let known: Vec<String> = pairs.iter().map(|pair| format!("`{}`", pair.kid)).collect();
            RootKeyError::Unknown { kind, kid: kid.to_owned(), known: known.join(", ") }
        })
    }

    /// A signer with the chain that is in use, or with the given keys.
    pub(crate) fn signer(&self, root: Option<&str>, signing: Option<&str>) -> Result<Signer, RootKeyError> {
        let root = Self::find(&self.roots, ROOT, root.unwrap_or(&self.state.root))?;
        let signing = Self::find(&self.signing, SIGNING, signing.unwrap_or(&self.state.signing_key))?;
        Ok(Signer::with(&root.kid, &root.key, &signing.kid, &signing.key)?)
    }

    fn change(&mut self, now: u64, change: impl FnOnce(&mut RootKeyState)) {
        let before = self.state.clone();
        change(&mut self.state);
        if self.state != before {
            self.state.version += 1;
            self.state.published = now;
            self.changed = true;
        }
    }

    /// Signs with another root from now on.
    pub(crate) fn use_root(&mut self, now: u64, kid: &str) -> Result<(), RootKeyError> {
        Self::find(&self.roots, ROOT, kid)?;
        if self.state.disabled_root_keys.iter().any(|disabled| disabled == kid) {
            return Err(RootKeyError::Disabled { kind: ROOT, kid: kid.to_owned() });
        }
        self.change(now, |state| state.root = kid.to_owned());
        Ok(())
    }

    /// Signs with another signing key from now on.
    pub(crate) fn use_signing_key(&mut self, now: u64, kid: &str) -> Result<(), RootKeyError> {
        Self::find(&self.signing, SIGNING, kid)?;
        if self.state.disabled_signing_keys.iter().any(|disabled| disabled == kid) {
            return Err(RootKeyError::Disabled { kind: SIGNING, kid: kid.to_owned() });
        }
        self.change(now, |state| state.signing_key = kid.to_owned());
        Ok(())
    }

    /// Disables a root key in the package, or enables it again.
    pub(crate) fn set_root_disabled(&mut self, now: u64, kid: &str, disabled: bool) -> Result<(), RootKeyError> {
        Self::find(&self.roots, ROOT, kid)?;
        if disabled && kid == self.state.root {
            return Err(RootKeyError::InUse { kind: ROOT, kid: kid.to_owned() });
        }
        self.change(now, |state| set_member(&mut state.disabled_root_keys, kid, disabled));
        Ok(())
    }

    /// Disables a signing key in the package, or enables it again.
    pub(crate) fn set_signing_key_disabled(&mut self, now: u64, kid: &str, disabled: bool) -> Result<(), RootKeyError> {
        Self::find(&self.signing, SIGNING, kid)?;
        if disabled && kid == self.state.signing_key {
            return Err(RootKeyError::InUse { kind: SIGNING, kid: kid.to_owned() });
        }
        self.change(now, |state| set_member(&mut state.disabled_signing_keys, kid, disabled));
        Ok(())
    }

    /// Offers the package to devices, or stops; and marks it as one for tests, or not.
    pub(crate) fn offer(&mut self, now: u64, offered: bool, is_test: bool) {
        if self.state.is_test != is_test {
            self.change(now, |state| state.is_test = is_test);
        }
        self.changed |= self.state.offered != offered;
        self.state.offered = offered;
    }

    pub(crate) fn forget_change(&mut self) {
        self.changed = false;
    }

    /// The durable entry, if it has changed.
    pub(crate) fn take_change(&mut self) -> Option<Change> {
        let changed = core::mem::take(&mut self.changed);
        changed.then(|| Change { key: KEY.to_owned(), value: serde_json::to_vec(&self.state).ok() })
    }

    /// Takes back the durable entry; false for another one.
    pub(crate) fn restore(&mut self, key: &str, value: &[u8]) -> Result<bool, String> {
        if key != KEY {
            return Ok(false);
        }
        let state: RootKeyState = serde_json::from_slice(value).map_err(|error| format!("{KEY}: {error}"))?;
        let known = Self::find(&self.roots, ROOT, &state.root).map(|_| ());
        known.and(Self::find(&self.signing, SIGNING, &state.signing_key).map(|_| ())).map_err(|e| e.to_string())?;
        self.state = state;
        Ok(true)
    }

    /// The signed package.
    pub(crate) fn package(&self) -> Result<String, CloudError> {
        let state = &self.state;
        let disabled = state.disabled_signing_keys.iter().filter_map(|kid| {
            let pair = self.signing.iter().find(|pair| pair.kid == *kid)?;
            // The hash is over PKCS#1 RSAPublicKey in DER.
            let (n, e) = modulus_exponent(&pair.key);
            let hash = digest(&SHA256, &pkcs1(&n, &e));
            Some(json!({"alg": "SHA256", "hash": URL_SAFE_NO_PAD.encode(hash)}))
        });
        let mut protected = Map::new();
        protected.insert("version".into(), state.version.into());
        protected.insert("published".into(), state.published.into());
        if state.is_test {
            protected.insert("isTest".into(), true.into());
        }
        protected.insert("disabledRootKeys".into(), json!(state.disabled_root_keys));
        protected.insert("disabledSigningKeys".into(), disabled.collect());
        let roots = self.roots.iter().map(|pair| {
            let (n, e) = modulus_exponent(&pair.key);
            let e = e.iter().fold(0_u64, |e, byte| e << 8 | u64::from(*byte));
            (pair.kid.clone(), json!({"keyType": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": e}))
        });
        protected.insert("rootKeys".into(), Value::Object(roots.collect()));
        let protected = Value::Object(protected);
        let signed = protected.to_string();
        let signature = |pair: &Pair| {
            let signature = sign_rs256(&pair.key, signed.as_bytes())?;
            Ok(json!({"alg": "RS256", "sig": URL_SAFE_NO_PAD.encode(signature)}))
        };
        let signatures = self.roots.iter().map(signature).collect::<Result<Vec<Value>, CloudError>>()?;
        Ok(json!({"protected": protected, "signatures": signatures}).to_string())
    }
}

fn set_member(list: &mut Vec<String>, kid: &str, member: bool) {
    list.retain(|other| other != kid);
    if member {
        list.push(kid.to_owned());
    }
}

/// A root-key package that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootKeyPackage {
    /// Version.
    pub version: u64,
    /// When it was made, Unix time.
    pub published: u64,
    /// Whether it is for tests.
    pub is_test: bool,
    /// Root keys in it, those that are disabled included.
    pub root_keys: Vec<RootKey>,
    /// Key ids of disabled root keys.
    pub disabled_root_keys: Vec<String>,
    /// SHA-256 of the PKCS#1 form of disabled signing keys.
    pub disabled_signing_keys: Vec<Vec<u8>>,
}

/// Why a package is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// it is not of the expected form
    #[error("the root-key package is not of the expected form: {0}")]
    Form(String),
    /// a trusted root key has not signed it
    #[error("the root key `{0}` has not signed the package")]
    Signature(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Protected {
    version: u64,
    published: u64,
    #[serde(default)]
    is_test: bool,
    disabled_root_keys: Vec<String>,
    disabled_signing_keys: Vec<DisabledKey>,
    root_keys: Map<String, Value>,
}

#[derive(Deserialize)]
struct DisabledKey {
    hash: String,
}

impl RootKeyPackage {
    /// Reads a package as a device does; each of `trusted` must have signed it.
    ///
    /// # Errors
    /// [`PackageError`] with the first check that failed.
    pub fn verify(text: &str, trusted: &[RootKey]) -> Result<Self, PackageError> {
        let form = |why: &str| PackageError::Form(why.to_owned());
        let package: Value = serde_json::from_str(text).map_err(|error| PackageError::Form(error.to_string()))?;
        let signed = package["protected"].to_string();
        let protected: Protected = serde_json::from_value(package["protected"].clone())
            .map_err(|error| PackageError::Form(format!("protected: {error}")))?;
        let signatures = package["signatures"].as_array().ok_or_else(|| form("signatures: not a list"))?;
        let decode = |text: Option<&str>| text.and_then(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok());
        let mut root_keys = Vec::new();
        for (kid, key) in &protected.root_keys {
            let n = decode(key["n"].as_str()).ok_or_else(|| form("rootKeys: n is not base64url"))?;
            let e = key["e"].as_u64().and_then(|e| u32::try_from(e).ok()).ok_or_else(|| form("rootKeys: e"))?;
            root_keys.push(RootKey { kid: kid.clone(), n, e });
        }
        for root in trusted {
            let position = root_keys.iter().position(|key| key == root);
            let signature = position.and_then(|position| signatures.get(position));
            let signature = signature.filter(|signature| signature["alg"] == "RS256");
            let signature = signature.and_then(|signature| decode(signature["sig"].as_str()));
            let good = signature.is_some_and(|signature| rs256(&root.n, &root.e.to_be_bytes(), &signed, &signature));
            if !good {
                return Err(PackageError::Signature(root.kid.clone()));
            }
        }
        let hashes = protected.disabled_signing_keys.iter().map(|key| decode(Some(&key.hash)));
        Ok(Self {
            version: protected.version,
            published: protected.published,
            is_test: protected.is_test,
            root_keys,
            disabled_root_keys: protected.disabled_root_keys,
            disabled_signing_keys: hashes
                .collect::<Option<_>>()
                .ok_or_else(|| form("disabledSigningKeys: hash is not base64url"))?,
        })
    }

    /// Verifies a manifest's signature with the keys of the package that are not disabled.
    ///
    /// # Errors
    /// As [`jws::verify`]; a disabled root counts as unknown, a disabled signing key as [`JwsError::Disabled`].
    pub fn verify_manifest(&self, signature: &str, manifest: &str) -> Result<Verified, JwsError> {
        let enabled = self.root_keys.iter().filter(|key| !self.disabled_root_keys.contains(&key.kid));
        let verified = jws::verify(signature, Some(manifest), &enabled.cloned().collect::<Vec<_>>())?;
        let hash = digest(&SHA256, &verified.signing_key);
        if self.disabled_signing_keys.iter().any(|disabled| disabled == hash.as_ref()) {
            return Err(JwsError::Disabled(verified.signing_kid));
        }
        Ok(verified)
    }
}

/// PKCS#1 RSAPublicKey in DER, from big-endian numbers.
pub(super) fn pkcs1(n: &[u8], e: &[u8]) -> Vec<u8> {
    fn tlv(tag: u8, body: &[u8]) -> Vec<u8> {
        let len = body.len();
        let bytes = len.to_be_bytes();
        let significant = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1)..];
        let mut out = vec![tag];
        if len < 0x80 {
            out.push(significant[0]);
        } else {
            out.push(0x80 | significant.len() as u8);
            out.extend_from_slice(significant);
        }
        out.extend_from_slice(body);
        out
    }
    let integer = |number: &[u8]| {
        let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
        let mut body = number[start..].to_vec();
        if body.first().is_none_or(|first| first & 0x80 != 0) {
            body.insert(0, 0);
        }
        tlv(2, &body)
    };
    tlv(0x30, &[integer(n), integer(e)].concat())
}

/// `n` of a JWK in the base64 that genuine ones have.
pub(super) fn jwk_modulus(n: &[u8]) -> String {
    STANDARD_NO_PAD.encode(n)
}
