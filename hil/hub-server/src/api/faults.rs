//! Faults of the service, on demand.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use hub::{DeviceFault, Throttle};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{Body, Failure, Problem};
use crate::core::Core;

pub(super) fn routes() -> OpenApiRouter<Arc<Core>> {
    OpenApiRouter::default().routes(routes!(inject, heal)).routes(routes!(refuse)).routes(routes!(throttle))
}

/// Makes the service fail towards a device: `{"fault": "dropPubacks" | "duplicateDesired" | "delayDesired" |
/// "reorderDesired" | "cutReceived" | "cutSent", …}` with `count`, `millis` or `bytes`.
#[utoipa::path(
    post, path = "/devices/{device}/faults", tag = "faults", request_body = Object,
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem))
)]
async fn inject(
    State(core): Shared,
    Path(device): Path<String>,
    Body(fault): Body<DeviceFault>,
) -> Result<StatusCode, Failure> {
    core.call(|cloud, now| cloud.inject_fault(now, &device, fault))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Heals every fault of a device.
#[utoipa::path(
    delete, path = "/devices/{device}/faults", tag = "faults",
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem))
)]
async fn heal(State(core): Shared, Path(device): Path<String>) -> Result<StatusCode, Failure> {
    core.call(|cloud, now| cloud.clear_faults(now, &device))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Twin requests that are refused.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Refusal {
    /// Status of the answers, e.g. 429.
    status: u16,
    /// How many requests.
    count: u32,
}

/// Refuses the next twin requests of a device.
#[utoipa::path(
    post, path = "/devices/{device}/faults/refuse-twin", tag = "faults", request_body = Refusal,
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem))
)]
async fn refuse(
    State(core): Shared,
    Path(device): Path<String>,
    Body(refusal): Body<Refusal>,
) -> Result<StatusCode, Failure> {
    core.call(|cloud, _| cloud.refuse_twin_requests(&device, refusal.status, refusal.count))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Limits what all devices together may do in a second: `connects`, `twinReads`, `twinUpdates`, `telemetry`; null or
/// left out is without limit.
#[utoipa::path(put, path = "/throttle", tag = "faults", request_body = Object, responses((status = OK, body = Object)))]
async fn throttle(State(core): Shared, Body(throttle): Body<Throttle>) -> Json<Throttle> {
    core.call(|cloud, _| cloud.set_throttle(throttle));
    Json(throttle)
}
