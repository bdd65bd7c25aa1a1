//! CA certificates that vouch for devices.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use hub::Cloud;
use serde::{Deserialize, Serialize};
use serde_json::Value;
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
        .routes(routes!(add, remove))
        .routes(routes!(code))
        .routes(routes!(verify))
}

fn find(cloud: &Cloud, name: &str) -> Result<Json<Value>, Failure> {
    let found = cloud.certificates().find(|certificate| certificate.name == name);
    let found = found.ok_or_else(|| hub::HubError::NoCertificate(name.to_owned()))?;
    Ok(Json(found.document(cloud.utc())))
}

/// CA certificates by name.
#[utoipa::path(get, path = "/certificates", tag = "certificates", responses((status = OK, body = Vec<Object>)))]
async fn list(State(core): Shared) -> Json<Vec<Value>> {
    Json(core.look(|cloud, _, _| cloud.certificates().map(|certificate| certificate.document(cloud.utc())).collect()))
}

/// A CA certificate.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewCertificate {
    /// PEM.
    certificate: String,
    /// Whether it counts at once, without proof that its holder has the key.
    #[serde(default)]
    is_verified: bool,
}

/// Adds or replaces a CA certificate.
#[utoipa::path(
    put, path = "/certificates/{name}", tag = "certificates", request_body = NewCertificate,
    responses((status = OK, body = Object), (status = BAD_REQUEST, body = Problem))
)]
async fn add(
    State(core): Shared,
    Path(name): Path<String>,
    Body(new): Body<NewCertificate>,
) -> Result<Json<Value>, Failure> {
    core.call(|cloud, now| {
        cloud.add_certificate(now, &name, new.certificate.as_bytes(), new.is_verified)?;
        find(cloud, &name)
    })
}

/// Removes a CA certificate.
#[utoipa::path(
    delete, path = "/certificates/{name}", tag = "certificates",
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem))
)]
async fn remove(State(core): Shared, Path(name): Path<String>, headers: HeaderMap) -> Result<StatusCode, Failure> {
    core.call(|cloud, _| cloud.remove_certificate(&name, if_match(&headers)))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The code that proof of possession is made for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Code {
    verification_code: String,
}

/// Makes up the common name of the certificate that proves possession of the CA's key.
#[utoipa::path(
    post, path = "/certificates/{name}/verification-code", tag = "certificates",
    responses((status = OK, body = Code), (status = NOT_FOUND, body = Problem))
)]
async fn code(State(core): Shared, Path(name): Path<String>) -> Result<Json<Code>, Failure> {
    let verification_code = core.call(|cloud, now| cloud.verification_code(now, &name))?;
    Ok(Json(Code { verification_code }))
}

/// The certificate that was signed for the code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Proof {
    /// PEM.
    certificate: String,
}

/// Proves possession of the CA's key.
#[utoipa::path(
    post, path = "/certificates/{name}/verify", tag = "certificates", request_body = Proof,
    responses((status = OK, body = Object), (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem))
)]
async fn verify(
    State(core): Shared,
    Path(name): Path<String>,
    Body(proof): Body<Proof>,
) -> Result<Json<Value>, Failure> {
    core.call(|cloud, now| {
        cloud.verify_certificate(now, &name, proof.certificate.as_bytes())?;
        find(cloud, &name)
    })
}
