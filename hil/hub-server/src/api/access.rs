//! Who may change something.

use std::net::IpAddr;
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
    names: Vec<String>,
}

impl Access {
    /// Changes need `token`, if there is one. The hub is called by an address or one of `names`.
    pub fn new(token: Option<String>, names: Vec<String>) -> Self {
        Self { token, names }
    }

    /// Whether a `Host` is this hub: any address, or one of its names.
    ///
    /// A page can have its own name resolve to this hub, and has the hub's origin then for a browser. It cannot have an
    /// address or a name of the hub as its own.
    fn knows(&self, host: &str) -> bool {
        if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return address.parse::<IpAddr>().is_ok();
        }
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        name.parse::<IpAddr>().is_ok() || self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    fn judge(&self, method: &Method, headers: &HeaderMap) -> Result<(), Failure> {
        if let Some(host) = headers.get(header::HOST) {
            let host = host.to_str().unwrap_or_default();
            if !self.knows(host) {
                let why =
                    format!("this hub is not `{host}`; if it should be, add the name to `names` of its configuration");
                return Err(Failure::new(StatusCode::MISDIRECTED_REQUEST, why));
            }
        }
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
        if self.has_token(headers) { Ok(()) } else { Err(Failure::unauthorized()) }
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        given.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(|given| equal(given, token))
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
pub async fn check(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    match access.judge(request.method(), request.headers()) {
        Ok(()) => {
            let trusted = access.has_token(request.headers());
            // Their answers are made of keys.
            if !trusted && request.uri().path().to_ascii_lowercase().starts_with("/enrollment") {
                return Failure::unauthorized().into_response();
            }
            request.extensions_mut().insert(Trusted(trusted));
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

/// Whether the request brought the token, or needs none: others see no keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trusted(pub bool);

/// In a time that does not tell how much of it was right.
fn equal(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn judge(method: Method, pairs: &[(header::HeaderName, &str)]) -> Result<(), StatusCode> {
        let access = Access::new(None, vec!["localhost".into(), "hub.test".into()]);
        let pairs = pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).expect("a value")));
        access.judge(&method, &pairs.collect()).map_err(|failure| failure.into_response().status())
    }

    #[test]
    fn only_the_hubs_own_page_changes_it() {
        let change = |host, origin| judge(Method::POST, &[(header::HOST, host), (header::ORIGIN, origin)]);
        assert_eq!(change("127.0.0.1:8080", "http://127.0.0.1:8080"), Ok(()));
        for origin in ["http://127.0.0.1:8081", "http://elsewhere.test", "null"] {
            assert_eq!(change("127.0.0.1:8080", origin), Err(StatusCode::FORBIDDEN), "{origin}");
        }
    }

    #[test]
    fn a_name_that_was_made_to_point_here_is_not_this_hub() {
        for host in ["127.0.0.1:8080", "[::1]:8080", "10.0.0.7", "LocalHost:8080", "hub.test"] {
            assert_eq!(judge(Method::GET, &[(header::HOST, host)]), Ok(()), "{host}");
        }
        for host in ["elsewhere.test:8080", "hub.test.elsewhere.test", "localhost.", "", "[localhost"] {
            for method in [Method::GET, Method::POST] {
                let same = format!("http://{host}");
                let asked = judge(method, &[(header::HOST, host), (header::ORIGIN, &same)]);
                assert_eq!(asked, Err(StatusCode::MISDIRECTED_REQUEST), "{host}");
            }
        }
    }
}
