//! The desired properties: `deviceUpdate.service`, as the service writes it.

use core::ops::Range;

use twin_json::{Kind, Str, Value};

use crate::agent::Config;
use crate::code::Code;
use crate::crypto::Crypto;
use crate::download::Url;
use crate::roots::PRODUCTION_ROOTS;
use crate::state::{RETRY_LEN, State, WORKFLOW_ID_LEN};
use crate::text::Text;
use crate::{jws, manifest};

/// Longest download URL; the service's have 200 to 320 bytes.
pub const URL_LEN: usize = 512;

/// What `service` asks for.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) action: Option<i64>,
    pub(crate) id: Text<WORKFLOW_ID_LEN>,
    /// Empty if the deployment is no retry.
    pub(crate) retry: Text<RETRY_LEN>,
    pub(crate) deployment: Places,
}

/// Where the parts of a deployment stand in the document; empty where a part is missing or of another kind.
#[derive(Debug, Default)]
pub(crate) struct Places {
    manifest: Range<usize>,
    signature: Range<usize>,
    file_urls: Range<usize>,
}

impl Places {
    /// Whether a patch holds the whole deployment and not, say, only a new workflow.
    pub(crate) fn are_complete(&self) -> bool {
        !self.manifest.is_empty() && !self.signature.is_empty() && !self.file_urls.is_empty()
    }
}

impl Request {
    /// Reads `service`; None if its workflow is missing or cannot be echoed.
    pub(crate) fn parse(service: &Value<'_>) -> Option<Self> {
        let mut request = Self::default();
        let workflow = service.get("workflow")?;
        request.action = workflow.get("action").and_then(|action| action.as_i64());
        if !request.id.set_json(workflow.string("id")?) {
            return None;
        }
        if let Some(retry) = workflow.string("retryTimestamp")
            && !request.retry.set_json(retry)
        {
            return None;
        }
        let place = |name| service.string(name).map(|text| text.range()).unwrap_or_default();
        request.deployment.manifest = place("updateManifest");
        request.deployment.signature = place("updateManifestSignature");
        let urls = service.get("fileUrls").filter(|urls| urls.kind() == Kind::Object);
        request.deployment.file_urls = urls.map(|urls| urls.range()).unwrap_or_default();
        Some(request)
    }
}

/// Verifies the deployment and fills in what to download (`target`, and `details` of a refusal) and from where.
///
/// Signature and manifest are decoded in place.
pub(crate) fn verify<C: Crypto>(
    crypto: &C,
    document: &mut [u8],
    places: &Places,
    config: &Config<'_>,
    state: &mut State,
    url: &mut Text<URL_LEN>,
) -> Result<(), Code> {
    let manifest = unescape(document, &places.manifest).ok_or(Code::NoManifest)?;
    let signature = unescape(document, &places.signature).ok_or(Code::NoSignature)?;
    let signature = document.get_mut(signature).ok_or(Code::NoSignature)?;
    let roots = match config.root_keys {
        [] => PRODUCTION_ROOTS,
        roots => roots,
    };
    let expected = jws::verify(crypto, signature, roots)?;

    // From here on the document is not changed any more.
    let manifest = document.get(manifest).ok_or(Code::NoManifest)?;
    if crypto.sha256(manifest) != expected {
        return Err(Code::ManifestHash);
    }
    let manifest = core::str::from_utf8(manifest).map_err(|_| Code::MalformedManifest)?;
    let file_id = manifest::read(manifest, config, &mut state.target, &mut state.details)?;

    let found = find_url(document, places, file_id).ok_or(Code::NoFileUrl);
    let found = found.and_then(|found| {
        let is_usable = url.set_json(found) && Url::parse(url.as_str()).is_some();
        is_usable.then_some(()).ok_or(Code::BadFileUrl)
    });
    if found.is_err() {
        state.target.size = 0;
    }
    found
}

fn find_url<'a>(document: &'a [u8], places: &Places, file_id: Str<'_>) -> Option<Str<'a>> {
    let urls = core::str::from_utf8(document.get(places.file_urls.clone())?).ok()?;
    Value::parse(urls).ok()?.get(file_id.raw())?.as_str()
}

/// Unescapes the string at `place` and returns where its text is now; None if there is none.
fn unescape(document: &mut [u8], place: &Range<usize>) -> Option<Range<usize>> {
    let text = document.get_mut(place.clone()).filter(|text| !text.is_empty())?;
    let len = twin_json::unescape_in_place(text)?;
    Some(place.start..place.start + len)
}
