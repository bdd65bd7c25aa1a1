//! What a refused request is answered with.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hub::update::DeleteError;
use hub::update::root_keys::RootKeyError;
use hub::{DeployError, EnrolError, HubError, ImportError};
use serde::Serialize;

/// Body of every answer that is not a success.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Code for programs; where the service of Azure has one, its own, e.g. 404001 (device not found).
    pub code: u32,
    /// One sentence for people: what, where, and what to do.
    pub message: String,
}

/// A refusal.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    code: u32,
    message: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, code: u32::from(status.as_u16()) * 1000, message: message.into() }
    }

    pub(super) fn with_status(status: u16, message: impl Into<String>) -> Self {
        Self::new(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), message)
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn unauthorized() -> Self {
        let message = "changes need the header `Authorization: Bearer TOKEN` with the token that the hub printed";
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    pub(super) fn no_route() -> Self {
        Self::missing("no such resource; /openapi.json lists them all")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(Problem { code: self.code, message: self.message })).into_response()
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self { status, code: error.code(), message: error.to_string() }
    }
}

impl From<EnrolError> for Failure {
    fn from(error: EnrolError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self { status, code: error.code(), message: error.to_string() }
    }
}

impl From<DeployError> for Failure {
    fn from(error: DeployError) -> Self {
        Self::with_status(error.status(), error.to_string())
    }
}

impl From<DeleteError> for Failure {
    fn from(error: DeleteError) -> Self {
        Self::with_status(error.status(), error.to_string())
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        Self::with_status(error.status(), error.to_string())
    }
}

impl From<RootKeyError> for Failure {
    fn from(error: RootKeyError) -> Self {
        Self::with_status(error.status(), error.to_string())
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

/// A JSON body whose faults are answered as every other is.
#[derive(axum::extract::FromRequest)]
#[from_request(via(axum::Json), rejection(Failure))]
pub(super) struct Body<T>(pub T);

/// A query whose faults are answered as every other is.
#[derive(axum::extract::FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Failure))]
pub(super) struct Query<T>(pub T);
