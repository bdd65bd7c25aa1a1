//! The provisioning service: enrolments, groups, registrations.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use hub::{EnrolError, Enrolment, GroupEnrolment};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::devices::if_match;
use super::error::{Body, Failure, Problem};
use crate::core::Core;

pub(super) fn routes() -> OpenApiRouter<Arc<Core>> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(show, put, remove))
        .routes(routes!(list_groups))
        .routes(routes!(show_group, put_group, remove_group))
        .routes(routes!(list_registrations))
        .routes(routes!(show_registration, remove_registration))
        .routes(routes!(refuse))
}

/// The document of an enrolment, with its etag.
fn document(value: &impl Serialize, etag: String) -> Value {
    let mut document = serde_json::to_value(value).unwrap_or_default();
    document["etag"] = etag.into();
    document
}

/// An enrolment out of a document whose name is in the path.
fn read<T: DeserializeOwned>(mut document: Map<String, Value>, name: &str, value: String) -> Result<T, Failure> {
    document.remove("etag");
    document.insert(name.to_owned(), value.into());
    serde_json::from_value(Value::Object(document)).map_err(|error| Failure::bad(error.to_string()))
}

/// Individual enrolments.
#[utoipa::path(get, path = "/enrollments", tag = "provisioning", responses((status = OK, body = Vec<Object>)))]
async fn list(State(core): Shared) -> Json<Vec<Value>> {
    Json(core.look(|cloud, _, _| {
        cloud.provisioning().enrolments().map(|(enrolment, etag)| document(enrolment, etag)).collect()
    }))
}

/// An individual enrolment.
#[utoipa::path(
    get, path = "/enrollments/{id}", tag = "provisioning",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn show(State(core): Shared, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    core.look(|cloud, _, _| {
        let found = cloud.provisioning().enrolment(&id).ok_or_else(|| EnrolError::NoEnrolment(id.clone()))?;
        Ok(Json(document(found.0, found.1)))
    })
}

/// Adds or replaces an individual enrolment: `attestation` as a device's `authentication`; `deviceId`, `enabled`, `tags`,
/// and `provisioning` with `desired`, `payload`, `reprovision` (`keepData`, `resetData`, `never`) and `allocation`.
#[utoipa::path(
    put, path = "/enrollments/{id}", tag = "provisioning", request_body = Object,
    responses((status = OK, body = Object), (status = BAD_REQUEST, body = Problem), (status = PRECONDITION_FAILED, body = Problem))
)]
async fn put(
    State(core): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(body): Body<Map<String, Value>>,
) -> Result<Json<Value>, Failure> {
    let enrolment: Enrolment = read(body, "registrationId", id.clone())?;
    core.call(|cloud, _| {
        cloud.provisioning_mut().put_enrolment(enrolment, if_match(&headers))?;
        let put = cloud.provisioning().enrolment(&id).ok_or_else(|| EnrolError::NoEnrolment(id.clone()))?;
        Ok(Json(document(put.0, put.1)))
    })
}

/// Removes an individual enrolment; its device stays.
#[utoipa::path(
    delete, path = "/enrollments/{id}", tag = "provisioning",
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem))
)]
async fn remove(State(core): Shared, Path(id): Path<String>, headers: HeaderMap) -> Result<StatusCode, Failure> {
    core.call(|cloud, _| cloud.provisioning_mut().remove_enrolment(&id, if_match(&headers)))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Enrolment groups.
#[utoipa::path(get, path = "/enrollmentGroups", tag = "provisioning", responses((status = OK, body = Vec<Object>)))]
async fn list_groups(State(core): Shared) -> Json<Vec<Value>> {
    Json(core.look(|cloud, _, _| cloud.provisioning().groups().map(|(group, etag)| document(group, etag)).collect()))
}

/// An enrolment group.
#[utoipa::path(
    get, path = "/enrollmentGroups/{name}", tag = "provisioning",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn show_group(State(core): Shared, Path(name): Path<String>) -> Result<Json<Value>, Failure> {
    core.look(|cloud, _, _| {
        let found = cloud.provisioning().group(&name).ok_or_else(|| EnrolError::NoGroup(name.clone()))?;
        Ok(Json(document(found.0, found.1)))
    })
}

/// Adds or replaces an enrolment group: `attestation` is `{"type": "symmetricKey" | "x509", "primary": BASE64,
/// "secondary": BASE64}` or `{"type": "x509Ca"}`; the rest as of an individual enrolment.
#[utoipa::path(
    put, path = "/enrollmentGroups/{name}", tag = "provisioning", request_body = Object,
    responses((status = OK, body = Object), (status = BAD_REQUEST, body = Problem), (status = PRECONDITION_FAILED, body = Problem))
)]
async fn put_group(
    State(core): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(body): Body<Map<String, Value>>,
) -> Result<Json<Value>, Failure> {
    let group: GroupEnrolment = read(body, "name", name.clone())?;
    core.call(|cloud, _| {
        cloud.provisioning_mut().put_group(group, if_match(&headers))?;
        let put = cloud.provisioning().group(&name).ok_or_else(|| EnrolError::NoGroup(name.clone()))?;
        Ok(Json(document(put.0, put.1)))
    })
}

/// Removes an enrolment group; its devices stay.
#[utoipa::path(
    delete, path = "/enrollmentGroups/{name}", tag = "provisioning",
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem))
)]
async fn remove_group(
    State(core): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    core.call(|cloud, _| cloud.provisioning_mut().remove_group(&name, if_match(&headers)))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Registrations: what came of enrolments.
#[utoipa::path(get, path = "/registrations", tag = "provisioning", responses((status = OK, body = Vec<Object>)))]
async fn list_registrations(State(core): Shared) -> Json<Vec<Value>> {
    Json(core.look(|cloud, _, _| {
        let registrations = cloud.provisioning().registrations();
        registrations.map(|registration| registration.document(cloud.utc())).collect()
    }))
}

/// A registration.
#[utoipa::path(
    get, path = "/registrations/{id}", tag = "provisioning",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn show_registration(State(core): Shared, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    core.look(|cloud, _, _| {
        let found = cloud.provisioning().registration(&id).ok_or_else(|| EnrolError::NoRegistration(id.clone()))?;
        Ok(Json(found.document(cloud.utc())))
    })
}

/// Forgets a registration: the device's next one is its first.
#[utoipa::path(
    delete, path = "/registrations/{id}", tag = "provisioning",
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem))
)]
async fn remove_registration(State(core): Shared, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    core.call(|cloud, _| cloud.provisioning_mut().remove_registration(&id))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Requests that are refused.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Refusal {
    /// Error code of the answers, e.g. 429001; its first three digits are the status.
    code: u32,
    /// How many requests.
    count: u32,
}

/// Refuses the next requests of registering devices.
#[utoipa::path(post, path = "/faults/refuse-dps", tag = "faults", request_body = Refusal, responses((status = NO_CONTENT)))]
async fn refuse(State(core): Shared, Body(refusal): Body<Refusal>) -> StatusCode {
    core.call(|cloud, _| cloud.provisioning_mut().refuse_requests(refusal.code, refusal.count));
    StatusCode::NO_CONTENT
}
