//! Requests to a hub's API.

use std::io::{BufRead as _, BufReader};

use serde_json::Value;
use ureq::http::{Request, Response, StatusCode};
use ureq::{Agent, AsSendBody, Body};

use super::HubError;

/// A hub that runs, by its API.
pub(super) struct Client {
    agent: Agent,
    url: String,
    token: Option<String>,
}

impl Client {
    pub(super) fn new(url: &str, token: Option<String>) -> Self {
        // A refusal's body says why: it is not an error of the transport.
        let config = Agent::config_builder().http_status_as_error(false).build();
        Self { agent: config.into(), url: url.trim_end_matches('/').to_owned(), token }
    }

    fn run(&self, method: &str, path: &str, body: impl AsSendBody) -> Result<Response<Body>, HubError> {
        let unreachable = |why: String| HubError::Unreachable { url: self.url.clone(), why };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(|error| unreachable(error.to_string()))?;
        let mut response = self.agent.run(request).map_err(|error| unreachable(error.to_string()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem: Value = response
            .body_mut()
            .read_to_string()
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let why = problem["message"].as_str().map_or_else(|| format!("the hub answers {status}"), str::to_owned);
        let hint = if status == StatusCode::UNAUTHORIZED { " (--token, or HIL_HUB_TOKEN)" } else { "" };
        Err(HubError::Refused(why + hint))
    }

    /// Sends a document, if there is one, and yields the answer; null if it is empty.
    pub(super) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, HubError> {
        let mut response = match body {
            Some(body) => self.run(method, path, body.to_string())?,
            None => self.run(method, path, ())?,
        };
        let text = response.body_mut().with_config().limit(u64::MAX).read_to_string();
        let text = text.map_err(|error| HubError::Unreachable { url: self.url.clone(), why: error.to_string() })?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Follows a stream of events until it ends or `each` has had enough.
    pub(super) fn follow(&self, path: &str, mut each: impl FnMut(Value) -> bool) -> Result<(), HubError> {
        let response = self.run("GET", path, ())?;
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            let line = line.map_err(|error| HubError::Unreachable { url: self.url.clone(), why: error.to_string() })?;
            if let Some(data) = line.strip_prefix("data:")
                && let Ok(event) = serde_json::from_str(data.trim_start())
                && !each(event)
            {
                break;
            }
        }
        Ok(())
    }
}

/// A part of a path.
pub(super) fn escape(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:@!$'()*,;=".contains(&byte);
    part.bytes().fold(String::new(), |mut text, byte| {
        if plain(byte) {
            text.push(char::from(byte));
        } else {
            text += &format!("%{byte:02X}");
        }
        text
    })
}
