//! The hub itself.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<crate::core::Core>> {
    OpenApiRouter::default().routes(routes!(show))
}

/// What the hub is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HubView {
    /// Host name of hub and provisioning service.
    host_name: String,
    /// Id scope of the provisioning service.
    id_scope: String,
    /// Host name and port of the file server.
    file_host: String,
    /// UTC, RFC 3339.
    now: String,
    /// Devices that are registered.
    devices: usize,
    /// Devices that are connected.
    connected: usize,
    /// Open connections.
    connections: usize,
}

/// Names and counts of the hub.
#[utoipa::path(get, path = "/hub", tag = "hub", responses((status = OK, body = HubView)))]
async fn show(State(core): Shared) -> Json<HubView> {
    Json(core.look(|cloud, _, now| {
        let config = cloud.config();
        HubView {
            host_name: config.hub_host.clone(),
            id_scope: config.id_scope.clone(),
            file_host: config.file_host.clone(),
            now: cloud.utc().format(now),
            devices: cloud.devices().count(),
            connected: cloud.devices().filter(|device| device.is_connected()).count(),
            connections: cloud.connection_count(),
        }
    }))
}
