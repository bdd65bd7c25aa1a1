//! Deployments that are not honest, to see what a device does about them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jws::Signer;
use super::root_keys::{KeyRing, RootKeyError};

/// How a deployment differs from an honest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Forgery {
    /// The signature of the manifest is wrong.
    Signature,
    /// The signing key is not signed by the root key.
    SigningKey,
    /// The manifest was changed after it was signed.
    Manifest,
    /// The manifest is signed under a root key that the root-key package disables.
    DisabledRootKey,
    /// The manifest is signed by a signing key that the root-key package disables.
    DisabledSigningKey,
    /// The signed manifest has the hash of another file.
    FileHash,
    /// The signed manifest has another size of the first file.
    FileSize,
    /// The twin gets another workflow id than the one that the service waits for.
    WrongWorkflow,
    /// The twin keeps the workflow id of the previous deployment, and the service waits for a new one.
    StaleWorkflow,
    /// The URL of the first file is missing.
    MissingUrl,
    /// All URLs have expired.
    ExpiredUrl,
}

/// Signs a manifest, or forges it; yields the text that is sent and its signature.
pub(crate) fn sign(keys: &KeyRing, manifest: &str, forgery: Option<Forgery>) -> Result<(String, String), RootKeyError> {
    let honest = || keys.signer(None, None);
    let disabled = |kind, list: &[String]| list.first().cloned().ok_or(RootKeyError::NoneDisabled { kind });
    let sign =
        |signer: Signer, text: String| Ok((signer.sign(&text)?, text)).map(|(signature, text)| (text, signature));
    match forgery {
        Some(Forgery::Signature) => Ok((manifest.to_owned(), honest()?.forge_signature(manifest)?)),
        Some(Forgery::SigningKey) => Ok((manifest.to_owned(), honest()?.forge_signing_key(manifest)?)),
        // Still well-formed and of the same length: only the signature tells.
        Some(Forgery::Manifest) => Ok((other_hash(manifest), honest()?.sign(manifest)?)),
        Some(Forgery::DisabledRootKey) => {
            let kid = disabled("root key", &keys.state.disabled_root_keys)?;
            sign(keys.signer(Some(&kid), None)?, manifest.to_owned())
        }
        Some(Forgery::DisabledSigningKey) => {
            let kid = disabled("signing key", &keys.state.disabled_signing_keys)?;
            sign(keys.signer(None, Some(&kid))?, manifest.to_owned())
        }
        Some(Forgery::FileHash) => sign(honest()?, other_hash(manifest)),
        Some(Forgery::FileSize) => sign(honest()?, other_size(manifest)),
        Some(Forgery::WrongWorkflow | Forgery::StaleWorkflow | Forgery::MissingUrl | Forgery::ExpiredUrl) | None => {
            sign(honest()?, manifest.to_owned())
        }
    }
}

/// The same manifest with the hash of another file in the first place.
fn other_hash(manifest: &str) -> String {
    let marker = "\"sha256\":\"";
    let Some(at) = manifest.find(marker).map(|at| at + marker.len()) else { return manifest.to_owned() };
    let other = if manifest.as_bytes().get(at) == Some(&b'A') { "B" } else { "A" };
    format!("{}{other}{}", &manifest[..at], &manifest[at + 1..])
}

/// The same manifest in which the first file has one byte more.
fn other_size(manifest: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(manifest) else { return manifest.to_owned() };
    let file = value["files"].as_object_mut().and_then(|files| files.values_mut().next());
    if let Some(file) = file {
        file["sizeInBytes"] = (file["sizeInBytes"].as_u64().unwrap_or(0) + 1).into();
    }
    value.to_string()
}
