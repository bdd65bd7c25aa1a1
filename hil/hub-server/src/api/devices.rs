//! The identity registry: devices and their modules.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub::{Attestation, Cloud, Device, DeviceQuery, DeviceUpdate, HubError, NewDevice};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::access::Trusted;
use super::error::{Body, Failure, Problem, Query};
use crate::core::Core;

/// Most devices of one page.
const PAGE: usize = 1000;

pub(super) fn routes() -> OpenApiRouter<Arc<Core>> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(show, create, update, delete))
        .routes(routes!(list_modules))
        .routes(routes!(show_module, create_module, delete_module))
        .routes(routes!(regenerate))
        .routes(routes!(disconnect))
        .routes(routes!(expire_token))
}

/// The identity of a device or a module, with the connection string that an SDK is given; without keys for those who did
/// not bring the token.
fn document(cloud: &Cloud, device: &Device, trusted: Trusted) -> Value {
    let mut document = device.identity_document(cloud.utc());
    let host = &cloud.config().hub_host;
    let mut text = format!("HostName={host};DeviceId={}", device.device_id());
    if let Some(module) = device.module_id() {
        text += &format!(";ModuleId={module}");
    }
    text += &match device.attestation() {
        Attestation::SymmetricKey { primary, .. } => format!(";SharedAccessKey={}", STANDARD.encode(primary)),
        _ => ";x509=true".into(),
    };
    if trusted.0 {
        document["connectionString"] = text.into();
    } else if let Some(identity) = document.as_object_mut() {
        identity.remove("authentication");
    }
    document["modelId"] = device.model_id().into();
    // What lists show, as it is: a device may report anything.
    let agent = device.twin().reported().get("deviceUpdate").and_then(|component| component.get("agent"));
    document["installedUpdateId"] = agent.and_then(|agent| agent.get("installedUpdateId")).cloned().into();
    document["group"] = device.twin().tags().get("ADUGroup").cloned().into();
    document
}

fn find(cloud: &Cloud, id: &str, trusted: Trusted) -> Result<Json<Value>, Failure> {
    let device = cloud.device(id).ok_or_else(|| HubError::NoDevice(id.to_owned()))?;
    Ok(Json(document(cloud, device, trusted)))
}

pub(super) fn if_match(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()).map(|etag| etag.trim_matches('"'))
}

/// Which devices.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    /// Those whose id comes after this one: the last of the page before.
    after: Option<String>,
    /// At most so many, up to 1000.
    limit: Option<usize>,
    /// `enabled` or `disabled`.
    status: Option<String>,
    /// `connected` or `disconnected`.
    connection: Option<String>,
    /// A tag and its value, e.g. `ADUGroup=test`, with a path for one inside others: `location.floor=2`.
    tag: Option<String>,
}

impl Filter {
    fn query(&self) -> Result<DeviceQuery, Failure> {
        let two = |value: &Option<String>, name: &str, yes: &str, no: &str| match value.as_deref() {
            None => Ok(None),
            Some(value) if value == yes => Ok(Some(true)),
            Some(value) if value == no => Ok(Some(false)),
            Some(value) => Err(Failure::bad(format!("`{name}` is `{yes}` or `{no}`, not `{value}`"))),
        };
        let tags = self.tag.as_deref().map(|tag| {
            let (path, value) = tag.split_once('=').ok_or_else(|| Failure::bad("`tag` has to be NAME=VALUE"))?;
            // A number or `true` as such, all else as text.
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            Ok::<_, Failure>((path.to_owned(), value))
        });
        Ok(DeviceQuery {
            enabled: two(&self.status, "status", "enabled", "disabled")?,
            connected: two(&self.connection, "connection", "connected", "disconnected")?,
            tags: tags.transpose()?.into_iter().collect(),
        })
    }
}

/// Devices in order of their ids, a page at a time.
#[utoipa::path(
    get, path = "/devices", tag = "devices", params(Filter),
    responses((status = OK, body = Vec<Object>), (status = BAD_REQUEST, body = Problem))
)]
async fn list(
    State(core): Shared,
    Extension(trusted): Extension<Trusted>,
    Query(filter): Query<Filter>,
) -> Result<Json<Vec<Value>>, Failure> {
    let query = filter.query()?;
    let limit = filter.limit.unwrap_or(PAGE).min(PAGE);
    Ok(Json(core.look(|cloud, _, _| {
        let devices = cloud.devices_after(filter.after.as_deref().unwrap_or_default());
        devices.filter(|device| query.fits(device)).take(limit).map(|device| document(cloud, device, trusted)).collect()
    })))
}

/// A device.
#[utoipa::path(
    get, path = "/devices/{device}", tag = "devices",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn show(
    State(core): Shared,
    Extension(trusted): Extension<Trusted>,
    Path(device): Path<String>,
) -> Result<Json<Value>, Failure> {
    core.look(|cloud, _, _| find(cloud, &device, trusted))
}

/// What a new device or module is made from.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct NewIdentity {
    /// `{"type": "sas" | "selfSigned" | "certificateAuthority", "symmetricKey": {…}, "x509Thumbprint": {…}}`; random
    /// keys without it.
    #[schema(value_type = Option<Object>)]
    authentication: Option<Attestation>,
    /// `enabled` or `disabled`.
    status: Option<String>,
    status_reason: Option<String>,
    /// Tags of its twin.
    #[schema(value_type = Object)]
    tags: Map<String, Value>,
}

fn enabled(status: Option<&str>) -> Result<Option<bool>, Failure> {
    match status {
        None => Ok(None),
        Some("enabled") => Ok(Some(true)),
        Some("disabled") => Ok(Some(false)),
        Some(other) => Err(Failure::bad(format!("`status` is `enabled` or `disabled`, not `{other}`"))),
    }
}

fn make(core: &Core, id: &str, new: NewIdentity) -> Result<(StatusCode, Json<Value>), Failure> {
    let mut keys = [[0; 32]; 2];
    // Of the system's chance, which nobody can repeat.
    for key in &mut keys {
        getrandom::fill(key).map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    }
    let [primary, secondary] = keys.map(Vec::from);
    let random = || Attestation::SymmetricKey { primary, secondary: Some(secondary) };
    let new = NewDevice {
        attestation: Some(new.authentication.unwrap_or_else(random)),
        enabled: enabled(new.status.as_deref())?.unwrap_or(true),
        status_reason: new.status_reason,
        tags: new.tags,
        desired: Map::new(),
    };
    core.call(|cloud, now| {
        cloud.create_device(now, id, new)?;
        Ok((StatusCode::CREATED, find(cloud, id, Trusted(true))?))
    })
}

/// Registers a device.
#[utoipa::path(
    put, path = "/devices/{device}", tag = "devices", request_body = NewIdentity,
    responses((status = CREATED, body = Object), (status = BAD_REQUEST, body = Problem), (status = CONFLICT, body = Problem))
)]
async fn create(
    State(core): Shared,
    Path(device): Path<String>,
    Body(new): Body<NewIdentity>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    make(&core, &device, new)
}

/// A change of a device; what is left out stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct IdentityPatch {
    /// As at its making.
    #[schema(value_type = Option<Object>)]
    authentication: Option<Attestation>,
    /// `enabled` or `disabled`; a disabled one loses its connection.
    status: Option<String>,
    status_reason: Option<String>,
}

/// Changes a device; `If-Match` with its etag guards against another's change.
#[utoipa::path(
    patch, path = "/devices/{device}", tag = "devices", request_body = IdentityPatch,
    responses(
        (status = OK, body = Object), (status = NOT_FOUND, body = Problem), (status = PRECONDITION_FAILED, body = Problem)
    )
)]
async fn update(
    State(core): Shared,
    Path(device): Path<String>,
    headers: HeaderMap,
    Body(patch): Body<IdentityPatch>,
) -> Result<Json<Value>, Failure> {
    let update = DeviceUpdate {
        attestation: patch.authentication,
        enabled: enabled(patch.status.as_deref())?,
        status_reason: patch.status_reason,
    };
    core.call(|cloud, now| {
        cloud.update_device(now, &device, update, if_match(&headers))?;
        find(cloud, &device, Trusted(true))
    })
}

/// Removes a device with its modules, twin and messages.
#[utoipa::path(
    delete, path = "/devices/{device}", tag = "devices",
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem))
)]
async fn delete(State(core): Shared, Path(device): Path<String>, headers: HeaderMap) -> Result<StatusCode, Failure> {
    core.call(|cloud, now| cloud.delete_device(now, &device, if_match(&headers)))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The modules of a device.
#[utoipa::path(
    get, path = "/devices/{device}/modules", tag = "devices",
    responses((status = OK, body = Vec<Object>), (status = NOT_FOUND, body = Problem))
)]
async fn list_modules(
    State(core): Shared,
    Extension(trusted): Extension<Trusted>,
    Path(device): Path<String>,
) -> Result<Json<Vec<Value>>, Failure> {
    core.look(|cloud, _, _| {
        cloud.device(&device).ok_or_else(|| HubError::NoDevice(device.clone()))?;
        Ok(Json(cloud.modules(&device).map(|module| document(cloud, module, trusted)).collect()))
    })
}

/// A module.
#[utoipa::path(
    get, path = "/devices/{device}/modules/{module}", tag = "devices",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn show_module(
    State(core): Shared,
    Extension(trusted): Extension<Trusted>,
    Path((device, module)): Path<(String, String)>,
) -> Result<Json<Value>, Failure> {
    core.look(|cloud, _, _| find(cloud, &format!("{device}/{module}"), trusted))
}

/// Registers a module.
#[utoipa::path(
    put, path = "/devices/{device}/modules/{module}", tag = "devices", request_body = NewIdentity,
    responses((status = CREATED, body = Object), (status = NOT_FOUND, body = Problem), (status = CONFLICT, body = Problem))
)]
async fn create_module(
    State(core): Shared,
    Path((device, module)): Path<(String, String)>,
    Body(new): Body<NewIdentity>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    make(&core, &format!("{device}/{module}"), new)
}

/// Removes a module.
#[utoipa::path(
    delete, path = "/devices/{device}/modules/{module}", tag = "devices",
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem))
)]
async fn delete_module(
    State(core): Shared,
    Path((device, module)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    core.call(|cloud, now| cloud.delete_device(now, &format!("{device}/{module}"), if_match(&headers)))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes both keys of a device anew; it has to connect with them from its next connection on.
#[utoipa::path(
    post, path = "/devices/{device}/regenerate-keys", tag = "devices",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn regenerate(State(core): Shared, Path(device): Path<String>) -> Result<Json<Value>, Failure> {
    core.call(|cloud, _| {
        cloud.regenerate_keys(&device, true)?;
        find(cloud, &device, Trusted(true))
    })
}

/// Closes the device's connection.
#[utoipa::path(
    post, path = "/devices/{device}/disconnect", tag = "devices",
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem))
)]
async fn disconnect(State(core): Shared, Path(device): Path<String>) -> Result<StatusCode, Failure> {
    core.call(|cloud, now| cloud.disconnect(now, &device))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Closes the device's connection as if its token had expired now.
#[utoipa::path(
    post, path = "/devices/{device}/expire-token", tag = "devices",
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem))
)]
async fn expire_token(State(core): Shared, Path(device): Path<String>) -> Result<StatusCode, Failure> {
    core.call(|cloud, now| cloud.expire_token(now, &device))?;
    Ok(StatusCode::NO_CONTENT)
}
