//! The desired `deviceUpdate` component of a twin: what a deployment writes.

use serde_json::{Map, Value, json};

use super::{APPLY, CANCEL, COMPONENT, DeployOptions, Forgery, NO_DEPLOYMENT, Update};
use crate::iot_hub::Twin;

/// How long URLs of files are good for, seconds.
const URL_LIFETIME: u64 = 7 * 24 * 3600;
/// A workflow id that no deployment has.
const NO_WORKFLOW: &str = "00000000-0000-0000-0000-000000000000";

/// What a deployment offers to a device.
pub(crate) struct Offer<'a> {
    pub(crate) update: &'a Update,
    pub(crate) files: &'a crate::files::Service,
    /// Text that is sent.
    pub(crate) manifest: &'a str,
    /// Its signature.
    pub(crate) signature: &'a str,
    pub(crate) now_unix: u64,
    /// URL of the root-key package, if it is offered.
    pub(crate) package: Option<&'a str>,
    pub(crate) options: DeployOptions,
    pub(crate) workflow: &'a str,
    pub(crate) retry_timestamp: Option<&'a str>,
}

/// The desired patch of a deployment, in the order of the genuine documents.
///
/// `twin` is the twin before it: file ids and a retry timestamp that it still has are deleted by null, as the service
/// does.
pub(crate) fn apply_patch(twin: &Twin, offer: &Offer<'_>) -> Value {
    let service = twin.desired().get(COMPONENT).and_then(|component| component.get("service"));
    let forgery = offer.options.forgery;
    let mut workflow = Map::new();
    workflow.insert("action".into(), APPLY.into());
    let previous = service.and_then(|service| service["workflow"]["id"].as_str());
    let id = match forgery {
        // Well-formed, and never given out.
        Some(Forgery::WrongWorkflow) => NO_WORKFLOW,
        Some(Forgery::StaleWorkflow) => previous.unwrap_or(NO_WORKFLOW),
        _ => offer.workflow,
    };
    workflow.insert("id".into(), id.into());
    match offer.retry_timestamp {
        Some(timestamp) => {
            workflow.insert("retryTimestamp".into(), timestamp.into());
        }
        None => forget_retry(&mut workflow, twin),
    }
    let mut urls = Map::new();
    let expires = match forgery {
        Some(Forgery::ExpiredUrl) => offer.now_unix,
        _ => offer.now_unix.saturating_add(offer.options.url_lifetime_seconds.unwrap_or(URL_LIFETIME)),
    };
    let missing = usize::from(forgery == Some(Forgery::MissingUrl));
    for file in offer.update.files().iter().skip(missing) {
        urls.insert(file.id.clone(), offer.files.url(&file.path, expires).into());
    }
    let old = service.and_then(|service| service["fileUrls"].as_object());
    for id in old.into_iter().flat_map(Map::keys) {
        urls.entry(id.clone()).or_insert(Value::Null);
    }
    let mut content = json!({
        "workflow": workflow,
        "updateManifest": offer.manifest,
        "updateManifestSignature": offer.signature,
        "fileUrls": urls,
    });
    if offer.package.is_some() || service.is_some_and(|service| !service["rootKeyPackageUrl"].is_null()) {
        content["rootKeyPackageUrl"] = offer.package.into();
    }
    json!({COMPONENT: {"service": content, "__t": "c"}})
}

/// The desired patch that cancels.
pub(crate) fn cancel_patch(twin: &Twin) -> Value {
    let mut workflow = Map::new();
    workflow.insert("action".into(), CANCEL.into());
    workflow.insert("id".into(), NO_DEPLOYMENT.into());
    forget_retry(&mut workflow, twin);
    json!({COMPONENT: {
        "service": {
            "workflow": workflow,
            "updateManifest": null,
            "updateManifestSignature": null,
            "fileUrls": null,
        },
        "__t": "c",
    }})
}

/// Deletes a retry timestamp that the twin still has from an earlier deployment.
fn forget_retry(workflow: &mut Map<String, Value>, twin: &Twin) {
    let service = twin.desired().get(COMPONENT).and_then(|component| component.get("service"));
    if service.is_some_and(|service| !service["workflow"]["retryTimestamp"].is_null()) {
        workflow.insert("retryTimestamp".into(), Value::Null);
    }
}
