//! Cloud-to-device messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub::{Ack, Message};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::{Body, Failure, Problem};
use crate::core::Core;

pub(super) fn routes() -> OpenApiRouter<Arc<Core>> {
    OpenApiRouter::default().routes(routes!(send, purge))
}

/// A cloud-to-device message.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct NewMessage {
    /// Text.
    body: String,
    /// Bytes, in place of `body`.
    body_base64: Option<String>,
    /// A random one without it.
    message_id: Option<String>,
    correlation_id: Option<String>,
    user_id: Option<String>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    /// Of which outcomes an event `feedback` tells: `none`, `positive`, `negative` or `full`.
    #[schema(value_type = String)]
    ack: Ack,
    /// Seconds that it may wait, up to two days; an hour without it.
    ttl_seconds: Option<u64>,
    properties: BTreeMap<String, String>,
}

/// What was queued.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Queued {
    message_id: String,
}

/// Queues a message for a device.
#[utoipa::path(
    post, path = "/devices/{device}/messages", tag = "messages", request_body = NewMessage,
    responses((status = ACCEPTED, body = Queued), (status = NOT_FOUND, body = Problem), (status = FORBIDDEN, body = Problem))
)]
async fn send(
    State(core): Shared,
    Path(device): Path<String>,
    Body(new): Body<NewMessage>,
) -> Result<(StatusCode, Json<Queued>), Failure> {
    let body = match &new.body_base64 {
        None => new.body.into_bytes(),
        Some(text) => {
            STANDARD.decode(text).map_err(|error| Failure::bad(format!("`bodyBase64` is not base64: {error}")))?
        }
    };
    let message = Message {
        message_id: new.message_id,
        correlation_id: new.correlation_id,
        user_id: new.user_id,
        content_type: new.content_type,
        content_encoding: new.content_encoding,
        ack: new.ack,
        ttl_seconds: new.ttl_seconds,
        properties: new.properties.into_iter().map(|(name, value)| (name, Some(value))).collect(),
        body,
    };
    let message_id = core.call(|cloud, now| cloud.send_cloud_to_device(now, &device, message))?;
    Ok((StatusCode::ACCEPTED, Json(Queued { message_id })))
}

/// How many messages went.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Purged {
    total_messages_purged: usize,
}

/// Empties a device's queue.
#[utoipa::path(
    delete, path = "/devices/{device}/messages", tag = "messages",
    responses((status = OK, body = Purged), (status = NOT_FOUND, body = Problem))
)]
async fn purge(State(core): Shared, Path(device): Path<String>) -> Result<Json<Purged>, Failure> {
    let total_messages_purged = core.call(|cloud, now| cloud.purge_messages(now, &device))?;
    Ok(Json(Purged { total_messages_purged }))
}
