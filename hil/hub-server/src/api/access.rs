//! Who may change something.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::Failure;

/// What a request has to bring.
#[derive(Clone, Debug)]
pub struct Access {
    token: Option<String>,
}

impl Access {
    /// Changes need `token`, if there is one.
    pub fn new(token: Option<String>) -> Self {
        Self { token }
    }

    fn judge(&self, method: &Method, headers: &HeaderMap) -> Result<(), Failure> {
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // A page of another origin can make a browser post to loopback, but not without saying where it comes from.
        if let Some(origin) = header(header::ORIGIN)
            && let Some(host) = header(header::HOST)
            && origin.split_once("://").map(|(_, origin)| origin) != Some(host)
        {
            return Err(Failure::new(StatusCode::FORBIDDEN, format!("a page of `{origin}` may not change this hub")));
        }
        let Some(token) = &self.token else { return Ok(()) };
        let given = header(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        if given.is_some_and(|given| equal(given, token)) { Ok(()) } else { Err(Failure::unauthorized()) }
    }
}

/// A token of 192 random bits.
pub fn new_token() -> String {
    let mut bytes = [0; 24];
    // Without the system's random numbers the keys could not have been made either.
    let _ = getrandom::fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Lets reading pass; changes need the token, and may not come from another site's page.
pub async fn check(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match access.judge(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

/// In a time that does not tell how much of it was right.
fn equal(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}
