//! The message log.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::error::Query;
use crate::log::Line;

pub(super) fn routes() -> OpenApiRouter<Arc<crate::core::Core>> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(follow))
}

/// Which lines.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    /// From this number on; without it, the latest.
    from: Option<u64>,
    /// At most so many; 1000 without it.
    limit: Option<usize>,
    /// Of this device or registration.
    device: Option<String>,
    /// Of this kind, e.g. `telemetry`.
    kind: Option<String>,
}

impl Filter {
    fn takes(&self, line: &Line) -> bool {
        self.device.as_ref().is_none_or(|device| line.device.as_ref() == Some(device))
            && self.kind.as_ref().is_none_or(|kind| line.kind == *kind)
    }
}

/// Lines of the log, oldest first.
#[utoipa::path(get, path = "/log", tag = "log", params(Filter), responses((status = OK, body = Vec<Line>)))]
async fn list(State(core): Shared, Query(filter): Query<Filter>) -> Json<Vec<Line>> {
    let limit = filter.limit.unwrap_or(1000);
    // Read off the lock: the log may be long.
    let entries: Vec<_> = core.look(|_, log, _| log.since(filter.from.unwrap_or(0)).cloned().collect());
    let lines = entries.iter().map(|entry| entry.line()).filter(|line| filter.takes(line));
    if filter.from.is_some() {
        return Json(lines.take(limit).collect());
    }
    let mut latest: Vec<_> = lines.rev().take(limit).collect();
    latest.reverse();
    Json(latest)
}

/// New lines of the log as they come, as server-sent events with the line's number as id.
#[utoipa::path(
    get, path = "/log/follow", tag = "log", params(Filter),
    responses((status = OK, content_type = "text/event-stream", body = Line))
)]
async fn follow(
    State(core): Shared,
    Query(filter): Query<Filter>,
) -> Sse<impl futures_core::Stream<Item = Result<Event, Infallible>>> {
    // Older lines that were asked for come first; followed under the same lock, so that none is missed or doubled.
    let (older, lines) = core.look(|_, log, _| {
        let older: Vec<_> = filter.from.map(|from| log.since(from).cloned().collect()).unwrap_or_default();
        (older, log.follow())
    });
    let state = (older.into_iter(), lines, filter);
    let stream = futures_util::stream::unfold(state, async |(mut older, mut lines, filter)| {
        loop {
            let entry = match older.next() {
                Some(entry) => entry,
                None => match lines.recv().await {
                    Ok(entry) => entry,
                    // Too slow: the client sees the gap in the numbers.
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return None,
                },
            };
            let line = entry.line();
            if filter.takes(&line) {
                let event = Event::default().id(line.number.to_string()).json_data(&line).unwrap_or_default();
                return Some((Ok(event), (older, lines, filter)));
            }
        }
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}
