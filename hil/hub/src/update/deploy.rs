//! Deployments: the desired `deviceUpdate` component of a twin.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sim_base::Instant;

use super::{APPLY, CANCEL, COMPONENT, Forgery, NO_DEPLOYMENT, Update, UpdateId};
use crate::iot_hub::{HubError, Twin};

/// Number of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeploymentId(pub(crate) u64);

/// How long URLs of files are good for, seconds.
const URL_LIFETIME: u64 = 7 * 24 * 3600;
/// A workflow id that no deployment has.
const NO_WORKFLOW: &str = "00000000-0000-0000-0000-000000000000";

/// Options of a deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeployOptions {
    /// Spoils what is sent.
    pub forgery: Option<Forgery>,
    /// Deploys although the device's reported properties do not fit the update's compatibility.
    pub ignore_compatibility: bool,
    /// How long the URLs of files are good for; a week if `None`.
    pub url_lifetime_seconds: Option<u64>,
}

/// Whether a deployment is the device's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is what the twin asks for.
    Active,
    /// It was cancelled.
    Cancelled,
    /// Another deployment took its place.
    Replaced(DeploymentId),
}

/// A deployment of an update to a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// Number.
    pub id: DeploymentId,
    /// Device id.
    pub device: String,
    /// What is deployed.
    pub update: UpdateId,
    /// `workflow.id`.
    pub workflow: String,
    /// `workflow.retryTimestamp` of the latest retry.
    pub retry_timestamp: Option<String>,
    /// Number of `stepResults` that a success needs.
    pub steps: usize,
    /// Version of the desired properties that carries it.
    pub desired_version: u64,
    /// When it was made or last retried.
    pub since: Instant,
    /// Whether it is the device's business.
    pub status: Status,
    /// Options.
    pub options: DeployOptions,
}

/// Why a deployment is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// the update is not imported
    #[error("the update {0} is not imported")]
    NoUpdate(String),
    /// the update may only be deployed as part of another one
    #[error("the update {0} is not deployable by itself")]
    NotDeployable(String),
    /// the deployment does not exist
    #[error("the deployment {0} does not exist")]
    NoDeployment(u64),
    /// the deployment is not active
    #[error("the deployment {0} was cancelled or replaced")]
    NotActive(u64),
    /// the device is not compatible
    #[error("the device `{device}` is not offered {update}: {why}")]
    NotCompatible {
        /// Device id.
        device: String,
        /// Update.
        update: String,
        /// The reason.
        why: String,
    },
    /// the manifest could not be signed
    #[error(transparent)]
    Signing(#[from] super::root_keys::RootKeyError),
    /// the hub refuses
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// Whether the device that reported `twin` is offered the update; otherwise the reason.
pub(crate) fn compatible(twin: &Twin, update: &Update) -> Result<(), String> {
    let agent = twin.reported().get(COMPONENT).and_then(|component| component.get("agent"));
    let properties = agent.and_then(|agent| agent.get("deviceProperties")).and_then(Value::as_object);
    let Some(properties) = properties else {
        return Err("it has not reported deviceUpdate.agent.deviceProperties yet".into());
    };
    if !["contractModelId", "interfaceId"].iter().any(|key| properties.contains_key(*key)) {
        return Err("its deviceProperties have neither contractModelId nor interfaceId".into());
    }
    let mut reasons = Vec::new();
    for set in update.compatibility() {
        match set.iter().find(|(key, value)| properties.get(*key) != Some(value)) {
            None => return Ok(()),
            Some((key, wanted)) => reasons.push(mismatch(properties, key, wanted)),
        }
    }
    Err(reasons.join("; "))
}

fn mismatch(properties: &Map<String, Value>, key: &str, wanted: &Value) -> String {
    match properties.get(key) {
        None => {
            let like = properties.keys().find(|other| other.eq_ignore_ascii_case(key));
            let hint = like.map(|like| format!(" (it reports `{like}`: case matters)")).unwrap_or_default();
            format!("the update wants `{key}` = {wanted}, which the device does not report{hint}")
        }
        Some(seen) => {
            let same = seen.as_str().zip(wanted.as_str()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b));
            let hint = if same { ": case matters" } else { "" };
            format!("the update wants `{key}` = {wanted}, the device reports {seen}{hint}")
        }
    }
}

/// What a deployment offers to a device.
pub(crate) struct Offer<'a> {
    pub(crate) update: &'a Update,
    pub(crate) files: &'a crate::files::Service,
    /// Text that is sent.
    pub(crate) manifest: String,
    /// Its signature.
    pub(crate) signature: String,
    pub(crate) now_unix: u64,
    /// URL of the root-key package, if it is offered.
    pub(crate) package: Option<String>,
}

/// The desired patch of a deployment, in the order of the genuine documents.
///
/// `twin` is the twin before it: file ids and a retry timestamp that it still has are deleted by null, as the service
/// does.
pub(crate) fn apply_patch(twin: &Twin, offer: &Offer<'_>, deployment: &Deployment) -> Value {
    let service = twin.desired().get(COMPONENT).and_then(|component| component.get("service"));
    let mut workflow = Map::new();
    workflow.insert("action".into(), APPLY.into());
    let previous = service.and_then(|service| service["workflow"]["id"].as_str());
    let id = match deployment.options.forgery {
        // Well-formed, and never given out.
        Some(Forgery::WrongWorkflow) => NO_WORKFLOW,
        Some(Forgery::StaleWorkflow) => previous.unwrap_or(NO_WORKFLOW),
        _ => deployment.workflow.as_str(),
    };
    workflow.insert("id".into(), id.into());
    match &deployment.retry_timestamp {
        Some(timestamp) => {
            workflow.insert("retryTimestamp".into(), timestamp.as_str().into());
        }
        None => forget_retry(&mut workflow, twin),
    }
    let mut urls = Map::new();
    let expires = match deployment.options.forgery {
        Some(Forgery::ExpiredUrl) => offer.now_unix,
        _ => offer.now_unix.saturating_add(deployment.options.url_lifetime_seconds.unwrap_or(URL_LIFETIME)),
    };
    let missing = usize::from(deployment.options.forgery == Some(Forgery::MissingUrl));
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
        content["rootKeyPackageUrl"] = offer.package.clone().into();
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
