//! The desired properties: `deviceUpdate.service`, as the service writes it.

use core::ops::Range;

use twin_json::{Kind, Str, Value};

use crate::code::Code;
use crate::crypto::{Crypto, RootKey};
use crate::jws;
use crate::manifest::{Manifest, Properties, Refusal};
use crate::state::{RETRY_LEN, Target, WORKFLOW_ID_LEN};
use crate::text::Text;

/// Longest download URL; the service's have 200 to 320 bytes.
pub const URL_LEN: usize = 512;

/// What `service` asks for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) action: Option<i64>,
    pub(crate) id: Text<WORKFLOW_ID_LEN>,
    /// Empty if the deployment is no retry.
    pub(crate) retry: Text<RETRY_LEN>,
    pub(crate) deployment: Places,
}

/// Where the parts of a deployment stand in the document; None where a part is missing or of another kind.
#[derive(Debug)]
pub(crate) struct Places {
    manifest: Option<Range<usize>>,
    signature: Option<Range<usize>>,
    file_urls: Option<Range<usize>>,
}

impl Places {
    /// Whether a patch holds the whole deployment and not, say, only a new workflow.
    pub(crate) fn are_complete(&self) -> bool {
        self.manifest.is_some() && self.signature.is_some() && self.file_urls.is_some()
    }
}

impl Request {
    /// Reads `service`; None if its workflow is missing or cannot be echoed.
    pub(crate) fn parse(service: &Value<'_>) -> Option<Self> {
        let workflow = service.get("workflow")?;
        let range = |string: Str<'_>| string.range();
        let string = |name| service.get(name)?.as_str().map(range);
        let retry = workflow.get("retryTimestamp").and_then(|retry| retry.as_str());
        Some(Self {
            action: workflow.get("action").and_then(|action| action.as_i64()),
            id: Text::from_json(workflow.get("id")?.as_str()?)?,
            retry: match retry {
                Some(retry) => Text::from_json(retry)?,
                None => Text::EMPTY,
            },
            deployment: Places {
                manifest: string("updateManifest"),
                signature: string("updateManifestSignature"),
                file_urls: service.get("fileUrls").filter(|urls| urls.kind() == Kind::Object).map(|urls| urls.range()),
            },
        })
    }
}

/// Verifies the deployment and says what to download from where. Signature and manifest are decoded in place.
pub(crate) fn verify<C: Crypto>(
    crypto: &C,
    document: &mut [u8],
    places: &Places,
    roots: &[RootKey<'_>],
    device: &impl Properties,
    max_len: u32,
) -> Result<(Target, Text<URL_LEN>), Refusal> {
    let manifest = unescape(document, &places.manifest, Code::NoManifest)?;
    let signature = unescape(document, &places.signature, Code::NoSignature)?;
    let signature = document.get_mut(signature).ok_or(Code::NoSignature)?;
    let expected = jws::verify(crypto, signature, roots)?;

    // From here on the document is not changed any more.
    let document: &[u8] = document;
    let manifest = document.get(manifest).ok_or(Code::NoManifest)?;
    if crypto.sha256(manifest) != expected {
        return Err(Code::ManifestHash.into());
    }
    let manifest = core::str::from_utf8(manifest).map_err(|_| Code::MalformedManifest)?;
    let manifest = Manifest::parse(manifest, device, max_len)?;

    let refuse = |code: Code| Refusal { code, details: Text::EMPTY, steps: manifest.target.steps };
    let urls = places.file_urls.clone().and_then(|urls| document.get(urls));
    let urls = urls.and_then(|urls| core::str::from_utf8(urls).ok());
    let urls = urls.and_then(|urls| Value::parse(urls).ok());
    let url = urls
        .and_then(|urls| {
            let (_, url) = urls.members().find(|(id, _)| id.raw() == manifest.file_id.raw())?;
            url.as_str()
        })
        .ok_or_else(|| refuse(Code::NoFileUrl))?;
    let url = Text::from_json(url)
        .filter(|url: &Text<URL_LEN>| crate::download::Url::parse(url.as_str()).is_some())
        .ok_or_else(|| refuse(Code::BadFileUrl))?;
    Ok((manifest.target, url))
}

/// Unescapes the string at `place` and returns where its text is now.
fn unescape(document: &mut [u8], place: &Option<Range<usize>>, missing: Code) -> Result<Range<usize>, Code> {
    let place = place.clone().ok_or(missing)?;
    let text = document.get_mut(place.clone()).ok_or(missing)?;
    let len = twin_json::unescape_in_place(text).ok_or(missing)?;
    Ok(place.start..place.start + len)
}
