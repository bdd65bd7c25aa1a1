//! Device Provisioning Service: registration, until a hub is assigned.
//!
//! CONNECT, SUBSCRIBE, register; 202 with an operation id means to ask again after a while, 200 names the hub or says
//! why there is none.

use twin_json::Value;

use crate::mqtt::Packet;
use crate::session::{Incoming, Session};
use crate::topic::{number, status_and_query};
use crate::writer::Writer;
use crate::{Error, sas};

/// Protocol version in the user name.
pub const API_VERSION: &str = "2019-03-31";

const RESPONSE: &str = "$dps/registrations/res/";
const FILTERS: [&str; 1] = ["$dps/registrations/res/#"];
/// Pause before asking again, where the service names none.
const DEFAULT_RETRY_S: u64 = 3;
/// The service's pauses are a few seconds; a longer one is cut.
const MAX_RETRY_S: u64 = 300;
/// Time for an answer to a request.
const ANSWER_TIMEOUT_MS: u64 = 30_000;
/// Requests without a final answer, after which the registration is given up.
const MAX_REQUESTS: u8 = 60;
const OPERATION_ID_LEN: usize = 128;
const KEEP_ALIVE_S: u16 = 120;

/// Who wants to be registered where.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// Id scope of the provisioning service.
    pub id_scope: &'a str,
    /// Registration id.
    pub registration_id: &'a str,
    /// Plug and play model, announced in the registration's payload.
    pub model_id: Option<&'a str>,
    /// `ClientVersion`: which software this is.
    pub product: &'a str,
}

impl Config<'_> {
    /// The password: a token under the device's own `key` (raw bytes; see
    /// [`derive_device_key`](sas::derive_device_key) for group enrolments), valid until `expiry` (Unix seconds).
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`sas::TOKEN_LEN`] bytes suffice.
    pub fn token<'b>(&self, key: &[u8], expiry: u64, out: &'b mut [u8]) -> Result<&'b str, Error> {
        let scope = [self.id_scope, "registrations", self.registration_id];
        sas::token(&scope, Some("registration"), key, expiry, out)
    }
}

/// Where the device belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment<'p> {
    /// Host name of the hub.
    pub hub_host: &'p str,
    /// Device id at the hub.
    pub device_id: &'p str,
}

/// What a packet meant.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'p> {
    /// Nothing for the application; the registration goes on.
    Nothing,
    /// Done: disconnect, and connect to the hub.
    Assigned(Assignment<'p>),
    /// The service refuses; trying again at once is pointless.
    Failed {
        /// HTTP-like status of the answer.
        status: u16,
        /// The service's error code, for example 401002; zero if it gave none.
        error_code: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A request is to be sent at this time.
    Ask {
        at_ms: u64,
    },
    /// An answer is owed since this time.
    Wait {
        since_ms: u64,
    },
    Done,
}

/// A registration in progress.
#[derive(Clone, Debug)]
pub struct Client<'a> {
    config: Config<'a>,
    session: Session,
    step: Step,
    requests: u8,
    operation_id: [u8; OPERATION_ID_LEN],
    operation_id_len: usize,
}

impl<'a> Client<'a> {
    /// Not connected yet.
    pub fn new(config: Config<'a>) -> Self {
        Self {
            config,
            session: Session::new(KEEP_ALIVE_S),
            step: Step::Ask { at_ms: 0 },
            requests: 0,
            operation_id: [0; OPERATION_ID_LEN],
            operation_id_len: 0,
        }
    }

    /// Starts on a new connection: writes CONNECT and returns its length.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`].
    pub fn connect(&mut self, password: &str, now_ms: u64, out: &mut [u8]) -> Result<usize, Error> {
        let config = self.config;
        let username = |user: &mut Writer<'_>| {
            user.text(config.id_scope)
                .text("/registrations/")
                .text(config.registration_id)
                .text("/api-version=")
                .text(API_VERSION)
                .text("&ClientVersion=")
                .encoded(config.product);
        };
        let len = self.session.connect(config.registration_id, username, password, now_ms, out)?;
        *self = Self { session: self.session.clone(), ..Self::new(config) };
        Ok(len)
    }

    /// Takes a packet.
    ///
    /// # Errors
    /// The connection is to be closed.
    pub fn handle<'p>(&mut self, packet: Packet<'p>, now_ms: u64) -> Result<Event<'p>, Error> {
        match self.session.handle(packet)? {
            Incoming::Message { topic, payload } => {
                let Some(tail) = topic.strip_prefix(RESPONSE) else {
                    return Ok(Event::Nothing);
                };
                let (status, query) = status_and_query(tail).ok_or(Error::Unexpected)?;
                self.answer(status, query, payload, now_ms)
            }
            _ => Ok(Event::Nothing),
        }
    }

    /// Writes what is due: one packet, or zero bytes.
    ///
    /// Call it after [`handle`](Self::handle) and at [`deadline`](Self::deadline), until it returns zero.
    ///
    /// # Errors
    /// [`Error::TimedOut`]: the connection is to be closed. [`Error::BufferTooSmall`].
    pub fn poll(&mut self, now_ms: u64, out: &mut [u8]) -> Result<usize, Error> {
        let len = self.session.poll(&FILTERS, now_ms, out)?;
        if len > 0 || !self.session.is_ready() {
            return Ok(len);
        }
        match self.step {
            Step::Wait { since_ms } if now_ms.saturating_sub(since_ms) >= ANSWER_TIMEOUT_MS => Err(Error::TimedOut),
            Step::Ask { at_ms } if now_ms >= at_ms => {
                if self.requests == MAX_REQUESTS {
                    return Err(Error::TimedOut);
                }
                let len = self.ask(now_ms, out)?;
                self.requests += 1;
                self.step = Step::Wait { since_ms: now_ms };
                Ok(len)
            }
            _ => Ok(0),
        }
    }

    /// When [`poll`](Self::poll) is to be called at the latest, in milliseconds.
    pub fn deadline(&self) -> u64 {
        let own = match self.step {
            _ if !self.session.is_ready() => u64::MAX,
            Step::Ask { at_ms } => at_ms,
            Step::Wait { since_ms } => since_ms + ANSWER_TIMEOUT_MS,
            Step::Done => u64::MAX,
        };
        own.min(self.session.deadline())
    }

    /// Ends the session: writes DISCONNECT.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`].
    pub fn disconnect(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        self.session.disconnect(out)
    }

    fn ask(&mut self, now_ms: u64, out: &mut [u8]) -> Result<usize, Error> {
        let Config { registration_id, model_id, .. } = self.config;
        let rid = u64::from(self.requests) + 1;
        let operation_id = self.operation_id;
        let operation_id = operation_id.get(..self.operation_id_len).unwrap_or_default();
        let topic = |topic: &mut Writer<'_>| {
            if operation_id.is_empty() {
                topic.text("$dps/registrations/PUT/iotdps-register/?$rid=").number(rid);
            } else {
                topic
                    .text("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=")
                    .number(rid)
                    .text("&operationId=")
                    .bytes(operation_id);
            }
        };
        let payload = |body: &mut Writer<'_>| {
            if !operation_id.is_empty() {
                body.text(" ");
                return;
            }
            body.text(r#"{"registrationId":""#).json(registration_id).text("\"");
            if let Some(model_id) = model_id {
                body.text(r#","payload":{"modelId":""#).json(model_id).text(r#""}"#);
            }
            body.text("}");
        };
        let (len, _) = self.session.publish(topic, payload, true, now_ms, out)?;
        Ok(len)
    }

    fn answer<'p>(&mut self, status: u16, query: &str, payload: &'p mut [u8], now_ms: u64) -> Result<Event<'p>, Error> {
        if number(query, "$rid") != Some(self.requests.into()) || !matches!(self.step, Step::Wait { .. }) {
            return Ok(Event::Nothing); // to an earlier request
        }
        let payload: &'p [u8] = payload;
        let body = core::str::from_utf8(payload).ok();
        let body = body.and_then(|body| Value::parse(body).ok());
        let text = |path: &[&str]| body?.at(path)?.as_str()?.plain();
        match status {
            202 | 429 | 500.. => {
                // An answer to a poll may lack the operation id: the one that is known stays valid.
                if let Some(id) = text(&["operationId"])
                    && let Some(place) = self.operation_id.get_mut(..id.len())
                {
                    place.copy_from_slice(id.as_bytes());
                    self.operation_id_len = id.len();
                }
                let pause = number(query, "retry-after").unwrap_or(DEFAULT_RETRY_S);
                self.step = Step::Ask { at_ms: now_ms + pause.min(MAX_RETRY_S) * 1000 };
                Ok(Event::Nothing)
            }
            200 if text(&["status"]) == Some("assigned") => {
                self.step = Step::Done;
                let hub_host = text(&["registrationState", "assignedHub"]);
                let device_id = text(&["registrationState", "deviceId"]);
                match (hub_host, device_id) {
                    (Some(hub_host), Some(device_id)) => Ok(Event::Assigned(Assignment { hub_host, device_id })),
                    _ => Err(Error::Unexpected),
                }
            }
            _ => {
                self.step = Step::Done;
                let code = |path: &[&str]| body?.at(path)?.as_lenient_u32();
                let error_code = code(&["errorCode"]).or_else(|| code(&["registrationState", "errorCode"]));
                Ok(Event::Failed { status, error_code: error_code.unwrap_or(0) })
            }
        }
    }
}
