//! Groups, device classes and deployments of Device Update.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use hub::update::{RollbackFailure, RollbackPolicy, UpdateInfo};
use hub::{Cloud, DeployError, DeployOptions, DeploymentId, NewDeployment, Target, UpdateId};
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
        .routes(routes!(groups))
        .routes(routes!(group))
        .routes(routes!(classes))
        .routes(routes!(compliance))
        .routes(routes!(managed))
        .routes(routes!(health))
        .routes(routes!(list, create))
        .routes(routes!(show, delete))
        .routes(routes!(devices))
        .routes(routes!(device))
        .routes(routes!(cancel))
        .routes(routes!(retry))
}

fn value(view: impl Serialize) -> Value {
    serde_json::to_value(view).unwrap_or_default()
}

/// Groups of devices: the tag `ADUGroup`, or `$default` without it.
#[utoipa::path(get, path = "/groups", tag = "deployments", responses((status = OK, body = Vec<Object>)))]
async fn groups(State(core): Shared) -> Json<Vec<Value>> {
    Json(core.look(|cloud, _, _| cloud.groups().map(value).collect()))
}

/// A group with its subgroups: one for each device class, with its best update and compliance.
#[utoipa::path(
    get, path = "/groups/{group}", tag = "deployments",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn group(State(core): Shared, Path(group): Path<String>) -> Result<Json<Value>, Failure> {
    core.look(|cloud, _, _| {
        let mut view = value(cloud.group(&group).ok_or_else(|| DeployError::NoGroup(group.clone()))?);
        view["subgroups"] = cloud.subgroups(&group).map(value).collect();
        view["compliance"] = value(cloud.compliance(Some(&group)));
        view["devices"] = cloud.group_devices(&group, None).collect();
        Ok(Json(view))
    })
}

/// Device classes: devices that report the same compatibility properties.
#[utoipa::path(get, path = "/deviceClasses", tag = "deployments", responses((status = OK, body = Vec<Object>)))]
async fn classes(State(core): Shared) -> Json<Vec<Value>> {
    Json(core.look(|cloud, _, _| cloud.device_classes().map(value).collect()))
}

/// How many devices are up to date.
#[utoipa::path(get, path = "/compliance", tag = "deployments", responses((status = OK, body = Object)))]
async fn compliance(State(core): Shared) -> Json<Value> {
    Json(core.look(|cloud, _, _| value(cloud.compliance(None))))
}

/// A device as Device Update has it: class, group, installed update, latest deployment.
#[utoipa::path(
    get, path = "/devices/{device}/update", tag = "deployments",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn managed(State(core): Shared, Path(device): Path<String>) -> Result<Json<Value>, Failure> {
    core.look(|cloud, _, _| {
        let view = cloud.managed_device(&device).ok_or_else(|| hub::HubError::NoDevice(device.clone()))?;
        Ok(Json(value(view)))
    })
}

/// Whether a device can be updated, and if not, why.
#[utoipa::path(
    get, path = "/devices/{device}/health", tag = "deployments",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn health(State(core): Shared, Path(device): Path<String>) -> Result<Json<Value>, Failure> {
    core.look(|cloud, _, _| {
        let health = cloud.device_health(&device).ok_or_else(|| hub::HubError::NoDevice(device.clone()))?;
        Ok(Json(value(health)))
    })
}

/// A deployment with its counts, and where it stands in a sentence.
fn document(cloud: &Cloud, id: &DeploymentId) -> Result<Value, Failure> {
    let missing = || DeployError::NoDeployment(id.to_string());
    let mut view = value(cloud.deployment_view(id).ok_or_else(missing)?);
    view["status"] = value(cloud.deployment_status(id)?);
    view["judgement"] = value(cloud.judge(id)?);
    Ok(view)
}

fn parse(id: &str) -> Result<DeploymentId, Failure> {
    Ok(DeploymentId::new(id)?)
}

/// All deployments, by id.
#[utoipa::path(get, path = "/deployments", tag = "deployments", responses((status = OK, body = Vec<Object>)))]
async fn list(State(core): Shared) -> Result<Json<Vec<Value>>, Failure> {
    core.look(|cloud, _, _| {
        let all: Result<Vec<Value>, Failure> =
            cloud.deployments().map(|deployment| document(cloud, &deployment.id)).collect();
        Ok(Json(all?))
    })
}

/// A deployment to make.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct New {
    /// A number without it.
    deployment_id: Option<String>,
    /// Group; or `device`.
    group: Option<String>,
    /// Device; or `group`.
    device: Option<String>,
    /// `{"provider": …, "name": …, "version": …}`.
    #[schema(value_type = Object)]
    update_id: UpdateId,
    /// UTC, RFC 3339; at once without it.
    start_time: Option<String>,
    /// When to give it up; only for groups.
    rollback: Option<NewRollback>,
    /// Faults: `forgery`, `ignoreCompatibility`, `urlLifetimeSeconds`.
    #[serde(default)]
    #[schema(value_type = Object)]
    options: DeployOptions,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewRollback {
    /// What is deployed then.
    #[schema(value_type = Object)]
    update_id: UpdateId,
    /// Share of the devices that have failed, 1 to 100.
    devices_failed_percentage: u8,
    /// And their number, at least 1.
    devices_failed_count: u32,
}

/// Deploys an update to a group or a device.
#[utoipa::path(
    post, path = "/deployments", tag = "deployments", request_body = New,
    responses(
        (status = CREATED, body = Object), (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem)
    )
)]
async fn create(State(core): Shared, Body(new): Body<New>) -> Result<(StatusCode, Json<Value>), Failure> {
    let target = match (new.group, new.device) {
        (Some(group), None) => Target::Group(group),
        (None, Some(device)) => Target::Device(device),
        _ => return Err(Failure::bad("a deployment is for one `group` or one `device`")),
    };
    let id = new.deployment_id.as_deref().map(parse).transpose()?;
    let rollback = new.rollback.map(|rollback| RollbackPolicy {
        update: UpdateInfo { update_id: rollback.update_id, description: None, friendly_name: None },
        failure: RollbackFailure {
            devices_failed_percentage: rollback.devices_failed_percentage,
            devices_failed_count: rollback.devices_failed_count,
        },
    });
    core.call(|cloud, now| {
        let start = new.start_time.map(|text| {
            cloud.utc().parse(&text).ok_or_else(|| Failure::bad(format!("`startTime` is not RFC 3339: `{text}`")))
        });
        let new = NewDeployment {
            id,
            target,
            update: new.update_id,
            start: start.transpose()?,
            rollback,
            options: new.options,
        };
        let id = cloud.create_deployment(now, new)?;
        Ok((StatusCode::CREATED, Json(document(cloud, &id)?)))
    })
}

/// A deployment with its counts, and where it stands in a sentence.
#[utoipa::path(
    get, path = "/deployments/{id}", tag = "deployments",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn show(State(core): Shared, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    let id = parse(&id)?;
    core.look(|cloud, _, _| Ok(Json(document(cloud, &id)?)))
}

/// Deletes a deployment that is cancelled or replaced.
#[utoipa::path(
    delete, path = "/deployments/{id}", tag = "deployments",
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem), (status = CONFLICT, body = Problem))
)]
async fn delete(State(core): Shared, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    let id = parse(&id)?;
    core.call(|cloud, _| cloud.delete_deployment(&id))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which devices of a deployment.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Page {
    /// Those whose id comes after this one.
    after: Option<String>,
    /// At most so many, up to 1000.
    limit: Option<usize>,
    /// Only those of this state: `InProgress`, `Succeeded`, `Failed`, `Canceled`.
    state: Option<String>,
}

/// Devices that got a deployment: state, reason in a sentence, results.
#[utoipa::path(
    get, path = "/deployments/{id}/devices", tag = "deployments", params(Page),
    responses((status = OK, body = Vec<Object>), (status = NOT_FOUND, body = Problem))
)]
async fn devices(
    State(core): Shared,
    Path(id): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Value>>, Failure> {
    let id = parse(&id)?;
    let after = page.after.as_deref().unwrap_or_default();
    core.look(|cloud, _, _| {
        cloud.deployment_status(&id)?;
        let chosen = cloud.deployment_devices(&id).filter(|(device, work)| {
            *device > after && page.state.as_ref().is_none_or(|state| value(work.state) == json!(state))
        });
        let chosen = chosen.take(page.limit.unwrap_or(1000).min(1000));
        let states: Result<Vec<Value>, DeployError> =
            chosen.map(|(device, _)| cloud.deployment_device(&id, device).map(value)).collect();
        Ok(Json(states?))
    })
}

/// How far a device is with a deployment, and why; also for a device that does not get it.
#[utoipa::path(
    get, path = "/deployments/{id}/devices/{device}", tag = "deployments",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem))
)]
async fn device(State(core): Shared, Path((id, device)): Path<(String, String)>) -> Result<Json<Value>, Failure> {
    let id = parse(&id)?;
    core.look(|cloud, _, _| Ok(Json(value(cloud.deployment_device(&id, &device)?))))
}

/// Cancels a deployment.
#[utoipa::path(
    post, path = "/deployments/{id}/cancel", tag = "deployments",
    responses((status = OK, body = Object), (status = NOT_FOUND, body = Problem), (status = CONFLICT, body = Problem))
)]
async fn cancel(State(core): Shared, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    let id = parse(&id)?;
    core.call(|cloud, now| {
        cloud.cancel(now, &id)?;
        Ok(Json(document(cloud, &id)?))
    })
}

/// How many devices were asked to try again.
#[derive(Serialize, ToSchema)]
struct Retried {
    devices: usize,
}

/// Asks the devices that have failed to try again.
#[utoipa::path(
    post, path = "/deployments/{id}/retry", tag = "deployments",
    responses((status = OK, body = Retried), (status = NOT_FOUND, body = Problem), (status = CONFLICT, body = Problem))
)]
async fn retry(State(core): Shared, Path(id): Path<String>) -> Result<Json<Retried>, Failure> {
    let id = parse(&id)?;
    Ok(Json(Retried { devices: core.call(|cloud, now| cloud.retry(now, &id))? }))
}
