//! Twins and direct methods of devices and modules.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use hub::{Cloud, Device, HubError, MethodRequest, TwinUpdate};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::broadcast::error::RecvError;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::devices::if_match;
use super::error::{Body, Failure, Problem};
use crate::core::Core;

pub(super) fn routes() -> OpenApiRouter<Arc<Core>> {
    OpenApiRouter::default()
        .routes(routes!(show, patch, replace))
        .routes(routes!(show_module, patch_module))
        .routes(routes!(method))
        .routes(routes!(module_method))
}

fn find(cloud: &Cloud, id: &str) -> Result<Json<Value>, Failure> {
    let device = cloud.device(id).ok_or_else(|| HubError::NoDevice(id.to_owned()))?;
    Ok(Json(Device::twin_document(device, cloud.utc())))
}

/// A change of a twin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TwinPatch {
    /// Tags; null deletes.
    #[schema(value_type = Option<Object>)]
    tags: Option<Map<String, Value>>,
    #[serde(default)]
    properties: Desired,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Desired {
    /// Desired properties; null deletes.
    #[schema(value_type = Option<Object>)]
    desired: Option<Map<String, Value>>,
}

fn change(core: &Core, id: &str, patch: TwinPatch, replace: bool, headers: &HeaderMap) -> Result<Json<Value>, Failure> {
    let if_match = if_match(headers).map(str::to_owned);
    let update = TwinUpdate { tags: patch.tags, desired: patch.properties.desired, replace, if_match };
    core.call(|cloud, now| {
        cloud.update_twin(now, id, &update)?;
        find(cloud, id)
    })
}

/// A device's twin, as the back end sees it.
#[utoipa::path(
    get, path = "/twins/{device}", tag = "twins",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn show(State(core): Shared, Path(device): Path<String>) -> Result<Json<Value>, Failure> {
    core.look(|cloud, _, _| find(cloud, &device))
}

/// Merges a patch into tags and desired properties, and sends the latter if the device listens.
#[utoipa::path(
    patch, path = "/twins/{device}", tag = "twins", request_body = TwinPatch,
    responses((status = OK, body = Object), (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem))
)]
async fn patch(
    State(core): Shared,
    Path(device): Path<String>,
    headers: HeaderMap,
    Body(patch): Body<TwinPatch>,
) -> Result<Json<Value>, Failure> {
    change(&core, &device, patch, false, &headers)
}

/// Replaces tags and desired properties.
#[utoipa::path(
    put, path = "/twins/{device}", tag = "twins", request_body = TwinPatch,
    responses((status = OK, body = Object), (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem))
)]
async fn replace(
    State(core): Shared,
    Path(device): Path<String>,
    headers: HeaderMap,
    Body(patch): Body<TwinPatch>,
) -> Result<Json<Value>, Failure> {
    change(&core, &device, patch, true, &headers)
}

/// A module's twin, as the back end sees it.
#[utoipa::path(
    get, path = "/twins/{device}/modules/{module}", tag = "twins",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn show_module(
    State(core): Shared,
    Path((device, module)): Path<(String, String)>,
) -> Result<Json<Value>, Failure> {
    core.look(|cloud, _, _| find(cloud, &format!("{device}/{module}")))
}

/// Merges a patch into a module's tags and desired properties.
#[utoipa::path(
    patch, path = "/twins/{device}/modules/{module}", tag = "twins", request_body = TwinPatch,
    responses((status = OK, body = Object), (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem))
)]
async fn patch_module(
    State(core): Shared,
    Path((device, module)): Path<(String, String)>,
    headers: HeaderMap,
    Body(patch): Body<TwinPatch>,
) -> Result<Json<Value>, Failure> {
    change(&core, &format!("{device}/{module}"), patch, false, &headers)
}

/// A direct method call.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MethodCall {
    /// `component*command` for a component's command.
    method_name: String,
    payload: Option<Value>,
    /// Seconds to wait for the answer, 5 to 300; 30 without it.
    response_timeout_in_seconds: Option<u64>,
    /// Seconds to wait for a device that is not connected, 0 to 300; 0 without it.
    connect_timeout_in_seconds: Option<u64>,
}

/// What the device answered.
#[derive(Serialize, ToSchema)]
struct MethodAnswer {
    /// Chosen by the device.
    status: i64,
    payload: Value,
}

async fn call(core: &Core, id: String, call: MethodCall) -> Result<Json<MethodAnswer>, Failure> {
    let seconds = |given: Option<u64>, default| Duration::from_secs(given.unwrap_or(default));
    let request = MethodRequest {
        payload: call.payload,
        response_timeout: seconds(call.response_timeout_in_seconds, 30),
        connect_timeout: seconds(call.connect_timeout_in_seconds, 0),
        ..MethodRequest::new(call.method_name)
    };
    // Followed first, so that the answer cannot be missed.
    let mut lines = core.look(|_, log, _| log.follow());
    let number = core.call(|cloud, now| cloud.call_method(now, &id, &request))?;
    let number = serde_json::to_value(number).unwrap_or_default();
    let gone = || Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the hub stops");
    loop {
        let line = match lines.recv().await {
            Ok(entry) => entry.line(),
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return Err(gone()),
        };
        if line.event["call"] != number {
            continue;
        }
        let name = &request.name;
        match line.kind.as_str() {
            "methodAnswered" => {
                let body = line.event["body"].as_str().unwrap_or_default();
                let payload = match body {
                    "" => Value::Null,
                    body => serde_json::from_str(body).unwrap_or_else(|_| body.into()),
                };
                return Ok(Json(MethodAnswer { status: line.event["status"].as_i64().unwrap_or(0), payload }));
            }
            "methodTimedOut" => {
                let message = format!("`{id}` did not answer `{name}` within {} s", request.response_timeout.as_secs());
                return Err(Failure::new(StatusCode::GATEWAY_TIMEOUT, message));
            }
            "methodNotOnline" => {
                let waited = request.connect_timeout.as_secs();
                return Err(Failure::missing(format!("`{id}` was not there for `{name}` within {waited} s")));
            }
            _ => {}
        }
    }
}

/// Calls a direct method of a device and waits for the answer.
#[utoipa::path(
    post, path = "/twins/{device}/methods", tag = "twins", request_body = MethodCall,
    responses(
        (status = OK, body = MethodAnswer), (status = NOT_FOUND, body = Problem),
        (status = GATEWAY_TIMEOUT, body = Problem)
    )
)]
async fn method(
    State(core): Shared,
    Path(device): Path<String>,
    Body(body): Body<MethodCall>,
) -> Result<Json<MethodAnswer>, Failure> {
    call(&core, device, body).await
}

/// Calls a direct method of a module and waits for the answer.
#[utoipa::path(
    post, path = "/twins/{device}/modules/{module}/methods", tag = "twins", request_body = MethodCall,
    responses(
        (status = OK, body = MethodAnswer), (status = NOT_FOUND, body = Problem),
        (status = GATEWAY_TIMEOUT, body = Problem)
    )
)]
async fn module_method(
    State(core): Shared,
    Path((device, module)): Path<(String, String)>,
    Body(body): Body<MethodCall>,
) -> Result<Json<MethodAnswer>, Failure> {
    call(&core, format!("{device}/{module}"), body).await
}
