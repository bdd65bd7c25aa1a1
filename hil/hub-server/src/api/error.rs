//! What a refused request is answered with.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hub::HubError;
use serde::Serialize;

/// Body of every answer that is not a success.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// One word for programs, e.g. `DeviceNotFound`.
    pub code: String,
    /// One sentence for people: what, where, and what to do.
    pub message: String,
}

/// A refusal.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ArgumentInvalid", message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    pub(super) fn unauthorized() -> Self {
        let message = "changes need the header `Authorization: Bearer TOKEN` with the token that the hub printed";
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    }

    pub(super) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "no such resource; /openapi.json lists them all")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(Problem { code: self.code.into(), message: self.message })).into_response()
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        let (status, code) = match &error {
            HubError::NoDevice(_) => (StatusCode::NOT_FOUND, "DeviceNotFound"),
            HubError::Exists(_) => (StatusCode::CONFLICT, "DeviceAlreadyExists"),
            HubError::NotConnected(_) | HubError::NoMethods(_) => (StatusCode::NOT_FOUND, "DeviceNotOnline"),
            HubError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "MessageTooLarge"),
            HubError::QueueFull(_) => (StatusCode::FORBIDDEN, "DeviceMaximumQueueDepthExceeded"),
            _ => (StatusCode::BAD_REQUEST, "ArgumentInvalid"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "ArgumentInvalid", rejection.body_text())
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "ArgumentInvalid", rejection.body_text())
    }
}

/// A JSON body whose faults are answered as every other is.
#[derive(axum::extract::FromRequest)]
#[from_request(via(axum::Json), rejection(Failure))]
pub(super) struct Body<T>(pub T);
