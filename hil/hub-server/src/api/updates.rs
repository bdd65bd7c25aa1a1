//! Updates of Device Update: import, list, show, delete; faults of their files; root keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub::update::UpdateFilter;
use hub::{Cloud, FileFault, ImportManifest, UpdateId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{Body, Failure, Problem, Query};
use crate::core::Core;

pub(super) fn routes() -> OpenApiRouter<Arc<Core>> {
    OpenApiRouter::default()
        .routes(routes!(list, import))
        .routes(routes!(show, delete))
        .routes(routes!(file))
        .routes(routes!(fault))
        .routes(routes!(root_keys, change_root_keys))
}

fn find(cloud: &Cloud, id: &UpdateId) -> Result<Json<Value>, Failure> {
    let view = cloud.update_view(id).ok_or_else(|| Failure::missing(format!("the update {id} is not imported")))?;
    Ok(Json(serde_json::to_value(view).unwrap_or_default()))
}

/// Which updates.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    provider: Option<String>,
    name: Option<String>,
    version: Option<String>,
    /// Deployable by themselves, or not.
    is_deployable: Option<bool>,
}

/// Imported updates, by id.
#[utoipa::path(get, path = "/updates", tag = "updates", params(Filter), responses((status = OK, body = Vec<Object>)))]
async fn list(State(core): Shared, Query(filter): Query<Filter>) -> Json<Vec<Value>> {
    let filter = UpdateFilter {
        provider: filter.provider,
        name: filter.name,
        version: filter.version,
        is_deployable: filter.is_deployable,
    };
    Json(core.look(|cloud, _, _| {
        let views = cloud.list_updates(&filter).filter_map(|update| cloud.update_view(update.id()));
        views.map(|view| serde_json::to_value(view).unwrap_or_default()).collect()
    }))
}

/// An update to import.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewUpdate {
    /// Import manifest, version 4.0 or 5.0, as `az iot du update init` writes it.
    #[schema(value_type = Object)]
    import_manifest: Value,
    /// The files that it names.
    files: Vec<NewFile>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewFile {
    filename: String,
    /// Base64.
    content: String,
}

/// Imports an update; every mistake in the manifest is told at once, by its place.
#[utoipa::path(
    post, path = "/updates", tag = "updates", request_body = NewUpdate,
    responses((status = CREATED, body = Object), (status = BAD_REQUEST, body = Problem), (status = CONFLICT, body = Problem))
)]
async fn import(State(core): Shared, Body(new): Body<NewUpdate>) -> Result<(StatusCode, Json<Value>), Failure> {
    let manifest = ImportManifest::parse(&new.import_manifest.to_string())?;
    let mut files = Vec::new();
    for file in &new.files {
        let wrong = |error| Failure::bad(format!("the content of `{}` is not base64: {error}", file.filename));
        files.push((file.filename.as_str(), STANDARD.decode(&file.content).map_err(wrong)?));
    }
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, content)| (*name, content.as_slice())).collect();
    core.call(|cloud, now| {
        let id = cloud.import_update(now, &manifest, &files)?;
        Ok((StatusCode::CREATED, find(cloud, &id)?))
    })
}

/// An update.
#[utoipa::path(
    get, path = "/updates/{provider}/{name}/{version}", tag = "updates",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn show(
    State(core): Shared,
    Path((provider, name, version)): Path<(String, String, String)>,
) -> Result<Json<Value>, Failure> {
    core.look(|cloud, _, _| find(cloud, &UpdateId { provider, name, version }))
}

/// Deletes an update that is not deployed and not part of another.
#[utoipa::path(
    delete, path = "/updates/{provider}/{name}/{version}", tag = "updates",
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem), (status = CONFLICT, body = Problem))
)]
async fn delete(
    State(core): Shared,
    Path((provider, name, version)): Path<(String, String, String)>,
) -> Result<StatusCode, Failure> {
    core.call(|cloud, _| cloud.delete_update(&UpdateId { provider, name, version }))?;
    Ok(StatusCode::NO_CONTENT)
}

/// A file of an update, by its id.
#[utoipa::path(
    get, path = "/files/{id}", tag = "updates",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn file(State(core): Shared, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    core.look(|cloud, _, _| {
        let view = cloud.file_view(&id).ok_or_else(|| Failure::missing(format!("there is no file `{id}`")))?;
        Ok(Json(serde_json::to_value(view).unwrap_or_default()))
    })
}

/// How many files have the fault.
#[derive(Serialize, ToSchema)]
struct Struck {
    files: usize,
}

/// Sets the fault of every file of a name at the file server; `{}` heals it. Members: `flipByteAt`, `truncateAt`, `stallAt`,
/// `status`, `redirect`, `bytesPerSecond`, `dropAfter`, `extraBytes`, `contentLength`, `contentRange`, `ignoreRange`,
/// `after`, `remaining`.
#[utoipa::path(
    put, path = "/faults/files/{filename}", tag = "faults", request_body = Object,
    responses((status = OK, body = Struck), (status = NOT_FOUND, body = Problem))
)]
async fn fault(
    State(core): Shared,
    Path(filename): Path<String>,
    Body(fault): Body<FileFault>,
) -> Result<Json<Struck>, Failure> {
    match core.call(|cloud, _| cloud.set_file_fault(&filename, fault)) {
        0 => Err(Failure::missing(format!("no update has a file named `{filename}`"))),
        files => Ok(Json(Struck { files })),
    }
}

/// The root keys of Device Update: which are there, which signs, which are disabled.
#[utoipa::path(get, path = "/rootKeys", tag = "updates", responses((status = OK, body = Object)))]
async fn root_keys(State(core): Shared) -> Result<Json<Value>, Failure> {
    core.look(|cloud, _, _| keys(cloud))
}

fn keys(cloud: &Cloud) -> Result<Json<Value>, Failure> {
    Ok(Json(json!({
        "keys": cloud.root_key_ids().collect::<Vec<_>>(),
        "state": serde_json::to_value(cloud.root_key_state()).unwrap_or_default(),
        "packageUrl": cloud.root_key_package_url(),
    })))
}

/// A change of root keys; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyChange {
    /// Sign under this root key from now on.
    rotate: Option<String>,
    /// Disable these root keys.
    #[serde(default)]
    disable: Vec<String>,
    /// Enable these root keys.
    #[serde(default)]
    enable: Vec<String>,
    /// Whether deployments offer the root-key package.
    offer: Option<bool>,
}

/// Rotates and disables root keys, and offers the package that tells devices so.
#[utoipa::path(
    patch, path = "/rootKeys", tag = "updates", request_body = KeyChange,
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn change_root_keys(State(core): Shared, Body(change): Body<KeyChange>) -> Result<Json<Value>, Failure> {
    core.call(|cloud, now| {
        for kid in &change.enable {
            cloud.set_root_key_disabled(now, kid, false)?;
        }
        if let Some(kid) = &change.rotate {
            cloud.rotate_root_key(now, kid)?;
        }
        for kid in &change.disable {
            cloud.set_root_key_disabled(now, kid, true)?;
        }
        if let Some(offer) = change.offer {
            cloud.offer_root_keys(now, offer, false)?;
        }
        keys(cloud)
    })
}
