//! The REST API: everything that an operator does, as JSON over HTTP.

mod access;
mod certificates;
mod deployments;
mod devices;
mod enrolments;
mod error;
mod faults;
mod hub;
mod log;
mod messages;
mod twins;
mod updates;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{Json, Router, routing};
use tokio::net::TcpListener;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use access::{Access, new_token};

use crate::core::Core;
use crate::dashboard;

type Shared = axum::extract::State<Arc<Core>>;

/// The description of the API, OpenAPI 3.1.
pub fn description() -> OpenApi {
    routes().into_openapi()
}

/// The answer to a path that nothing is at.
pub fn no_route() -> Response {
    error::Failure::no_route().into_response()
}

fn routes() -> OpenApiRouter<Arc<Core>> {
    let mut router = OpenApiRouter::default()
        .merge(hub::routes())
        .merge(devices::routes())
        .merge(twins::routes())
        .merge(messages::routes())
        .merge(enrolments::routes())
        .merge(certificates::routes())
        .merge(updates::routes())
        .merge(deployments::routes())
        .merge(faults::routes())
        .merge(log::routes());
    let about = router.get_openapi_mut();
    about.info.title = "hil hub".into();
    about.info.version = env!("CARGO_PKG_VERSION").into();
    about.info.description = Some("Local Azure IoT Hub with Device Provisioning Service and Device Update".into());
    router
}

fn router(core: Arc<Core>, access: Access, body: usize) -> Router {
    let (router, description) = routes().split_for_parts();
    router
        .route("/openapi.json", routing::get(async move || Json(description)))
        .route("/", routing::get(async || Redirect::temporary("/dashboard/")))
        .merge(dashboard::routes())
        .fallback(async || no_route())
        .layer(middleware::from_fn_with_state(Arc::new(access), access::check))
        .layer(DefaultBodyLimit::max(body))
        .with_state(core)
}

/// Serves the API, for ever.
pub async fn serve(listener: TcpListener, core: Arc<Core>, access: Access, body: usize) {
    // Accepting again after an error is axum's own doing.
    let _ = axum::serve(listener, router(core, access, body)).await;
}
