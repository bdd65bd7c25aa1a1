//! The dashboard: pages of the program itself, which look at the API and nothing else.
//!
//! Devices choose much of what is shown. The pages put it in as text only, and the policy that they come with lets a
//! browser run no script but these files, load nothing from elsewhere, and make no markup out of strings.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::api::no_route;

/// What the browser is held to.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    // A hub of another version may answer at the same address tomorrow.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! files {
    ($($name:literal: $kind:expr),* $(,)?) => {
        &[$(($name, $kind, include_str!(concat!("../../dashboard/", $name)))),*]
    };
}

/// Name, media type and content of each file.
const FILES: &[(&str, &str, &str)] = files![
    "index.html": HTML,
    "style.css": CSS,
    "icon.svg": SVG,
    "api.js": SCRIPT,
    "app.js": SCRIPT,
    "cells.js": SCRIPT,
    "deployment.js": SCRIPT,
    "deployments.js": SCRIPT,
    "device.js": SCRIPT,
    "devices.js": SCRIPT,
    "dom.js": SCRIPT,
    "feed.js": SCRIPT,
    "list.js": SCRIPT,
    "log.js": SCRIPT,
    "model.js": SCRIPT,
    "twin.js": SCRIPT,
];

/// `/dashboard/` and what is below it.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/dashboard", get(async || Redirect::permanent("/dashboard/")))
        .route("/dashboard/", get(async || file("index.html")))
        .route("/dashboard/{file}", get(async |Path(name): Path<String>| file(&name)))
}

fn file(name: &str) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => (HEADERS, [(header::CONTENT_TYPE, *kind)], *text).into_response(),
        None => no_route(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_together_are_small() {
        let size: usize = FILES.iter().map(|(_, _, text)| text.len()).sum();
        assert!(size < 80 * 1024, "{size} bytes");
    }

    #[test]
    fn no_file_names_another_host_or_makes_markup_of_text() {
        for (name, _, text) in FILES {
            // What names the namespaces of SVG is no address.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for word in ["http:", "https:", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(!text.contains(word), "{name}: {word}");
            }
        }
    }
}
