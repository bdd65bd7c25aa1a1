//! Devices: registry, twins, methods, messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub::{Attestation, Cloud, Device, HubError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::error::RecvError;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{Body, Failure, Problem};
use crate::core::Core;

pub(super) fn routes() -> OpenApiRouter<Arc<Core>> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(show, create))
        .routes(routes!(twin, patch_twin))
        .routes(routes!(method))
        .routes(routes!(message))
        .routes(routes!(disconnect))
}

/// A device as the registry has it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeviceView {
    device_id: String,
    /// `enabled` or `disabled`.
    status: &'static str,
    /// `connected` or `disconnected`.
    connection_state: &'static str,
    model_id: Option<String>,
    /// What an SDK is given; only for devices with keys.
    connection_string: Option<String>,
}

impl DeviceView {
    fn of(cloud: &Cloud, device: &Device) -> Self {
        let connection_string = match device.attestation() {
            Attestation::SymmetricKey { primary, .. } => Some(format!(
                "HostName={};DeviceId={};SharedAccessKey={}",
                cloud.config().hub_host,
                device.id(),
                STANDARD.encode(primary)
            )),
            _ => None,
        };
        Self {
            device_id: device.id().to_owned(),
            status: if device.is_enabled() { "enabled" } else { "disabled" },
            connection_state: if device.is_connected() { "connected" } else { "disconnected" },
            model_id: device.model_id().map(str::to_owned),
            connection_string,
        }
    }
}

/// All devices, by id.
#[utoipa::path(get, path = "/devices", tag = "devices", responses((status = OK, body = Vec<DeviceView>)))]
async fn list(State(core): Shared) -> Json<Vec<DeviceView>> {
    Json(core.look(|cloud, _, _| cloud.devices().map(|device| DeviceView::of(cloud, device)).collect()))
}

/// A device.
#[utoipa::path(
    get, path = "/devices/{device}", tag = "devices",
    responses((status = OK, body = DeviceView), (status = NOT_FOUND, body = Problem))
)]
async fn show(State(core): Shared, Path(device): Path<String>) -> Result<Json<DeviceView>, Failure> {
    core.look(|cloud, _, _| {
        let found = cloud.device(&device).ok_or(HubError::NoDevice(device.clone()))?;
        Ok(Json(DeviceView::of(cloud, found)))
    })
}

/// What a new device is made from.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct NewDevice {
    /// Base64; a random one if it is left out.
    primary_key: Option<String>,
    /// Tags of its twin.
    #[schema(value_type = Object)]
    tags: Map<String, Value>,
}

/// Registers a device with a symmetric key.
#[utoipa::path(
    put, path = "/devices/{device}", tag = "devices", request_body = NewDevice,
    responses((status = CREATED, body = DeviceView), (status = CONFLICT, body = Problem))
)]
async fn create(
    State(core): Shared,
    Path(device): Path<String>,
    Body(new): Body<NewDevice>,
) -> Result<(StatusCode, Json<DeviceView>), Failure> {
    let key = match &new.primary_key {
        Some(text) => {
            STANDARD.decode(text).map_err(|error| Failure::bad(format!("`primaryKey` is not base64: {error}")))?
        }
        None => {
            let mut key = vec![0; 32];
            getrandom::fill(&mut key).map_err(|error| Failure::bad(error.to_string()))?;
            key
        }
    };
    core.call(|cloud, _| {
        cloud.register_device(&device, Attestation::symmetric(key))?;
        cloud.set_tags(&device, &new.tags)?;
        let made = cloud.device(&device).ok_or(HubError::NoDevice(device.clone()))?;
        Ok((StatusCode::CREATED, Json(DeviceView::of(cloud, made))))
    })
}

/// A device's twin.
#[utoipa::path(
    get, path = "/twins/{device}", tag = "devices",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn twin(State(core): Shared, Path(device): Path<String>) -> Result<Json<Value>, Failure> {
    core.look(|cloud, _, _| twin_view(cloud, &device))
}

fn twin_view(cloud: &Cloud, device: &str) -> Result<Json<Value>, Failure> {
    let twin = cloud.twin(device).ok_or(HubError::NoDevice(device.to_owned()))?;
    Ok(Json(json!({
        "deviceId": device,
        "tags": twin.tags(),
        "properties": {"desired": twin.desired(), "reported": twin.reported()},
    })))
}

/// A merge patch of a twin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TwinPatch {
    /// Tags; null deletes.
    #[serde(default)]
    #[schema(value_type = Object)]
    tags: Map<String, Value>,
    /// Properties.
    #[serde(default)]
    properties: Desired,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Desired {
    /// Desired properties; null deletes.
    #[schema(value_type = Object)]
    desired: Map<String, Value>,
}

/// Merges a patch into tags and desired properties, and sends the latter if the device listens.
#[utoipa::path(
    patch, path = "/twins/{device}", tag = "devices", request_body = TwinPatch,
    responses((status = OK, body = Object), (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem))
)]
async fn patch_twin(
    State(core): Shared,
    Path(device): Path<String>,
    Body(patch): Body<TwinPatch>,
) -> Result<Json<Value>, Failure> {
    core.call(|cloud, now| {
        if !patch.tags.is_empty() {
            cloud.set_tags(&device, &patch.tags)?;
        }
        if !patch.properties.desired.is_empty() {
            cloud.set_desired(now, &device, &Value::Object(patch.properties.desired))?;
        }
        twin_view(cloud, &device)
    })
}

/// A direct method call.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MethodCall {
    method_name: String,
    #[serde(default)]
    payload: Value,
    /// Seconds to wait for the answer, 5 to 300; 30 without it.
    response_timeout_in_seconds: Option<u64>,
}

/// What the device answered.
#[derive(Serialize, ToSchema)]
struct MethodAnswer {
    status: i64,
    payload: Value,
}

/// Calls a direct method and waits for the answer.
#[utoipa::path(
    post, path = "/twins/{device}/methods", tag = "devices", request_body = MethodCall,
    responses((status = OK, body = MethodAnswer), (status = NOT_FOUND, body = Problem), (status = GATEWAY_TIMEOUT, body = Problem))
)]
async fn method(
    State(core): Shared,
    Path(device): Path<String>,
    Body(call): Body<MethodCall>,
) -> Result<Json<MethodAnswer>, Failure> {
    let timeout = Duration::from_secs(call.response_timeout_in_seconds.unwrap_or(30).clamp(5, 300));
    let mut lines = core.look(|_, log, _| log.follow());
    let id = core.call(|cloud, now| cloud.invoke_method(now, &device, &call.method_name, &call.payload, timeout))?;
    let id = serde_json::to_value(id).unwrap_or_default();
    loop {
        let line = match lines.recv().await {
            Ok(line) => line,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => {
                return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "Stopped", "the hub stops"));
            }
        };
        if line.event["call"] != id {
            continue;
        }
        if line.kind == "methodAnswered" {
            let payload = line.event["body"].as_str().map_or(Value::Null, |body| {
                serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()))
            });
            return Ok(Json(MethodAnswer { status: line.event["status"].as_i64().unwrap_or(0), payload }));
        }
        if line.kind == "methodTimedOut" {
            let message = format!("`{device}` did not answer `{}` within {} s", call.method_name, timeout.as_secs());
            return Err(Failure::new(StatusCode::GATEWAY_TIMEOUT, "GatewayTimeout", message));
        }
    }
}

/// A cloud-to-device message.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewMessage {
    /// Text.
    body: String,
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

/// Queues a cloud-to-device message.
#[utoipa::path(
    post, path = "/devices/{device}/messages", tag = "devices", request_body = NewMessage,
    responses((status = ACCEPTED), (status = NOT_FOUND, body = Problem))
)]
async fn message(
    State(core): Shared,
    Path(device): Path<String>,
    Body(message): Body<NewMessage>,
) -> Result<StatusCode, Failure> {
    let properties: Vec<_> = message.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    core.call(|cloud, now| cloud.send_message(now, &device, &properties, message.body.into_bytes()))?;
    Ok(StatusCode::ACCEPTED)
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
