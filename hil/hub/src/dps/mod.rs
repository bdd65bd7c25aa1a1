//! The Device Provisioning Service over MQTT.
//!
//! Any well-formed CONNECT is accepted; the credentials are judged when the client registers, and a wrong one is
//! answered with status 401 and a body, as the service does. An accepted registration takes a while, during which
//! polls are answered with 202.

mod enrolment;
mod operation;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sim_base::{Instant, Rng};

use enrolment::Kept;
pub use enrolment::{Allocation, EnrolError, Enrolment, GroupAttestation, GroupEnrolment, Provisioning, Reprovision};
use operation::Operation;
pub use operation::{Registration, RegistrationStatus};

use crate::durable::{self, Change};
use crate::event::EventKind;
use crate::iot_hub::{Effects, Hub, query};
use crate::utc::Utc;

/// The only filter that the service knows.
pub const FILTER: &str = "$dps/registrations/res/#";
const REGISTER: &str = "$dps/registrations/PUT/iotdps-register/?";
const STATUS: &str = "$dps/registrations/GET/iotdps-get-operationstatus/?";
/// Key under which it is stored how often the service was restored; each life draws other random numbers.
const RESTARTS: &str = "dps/restarts";
/// Error code of an answer to a client that may not register.
pub const UNAUTHORIZED: u32 = 401_002;
/// Error code of an answer to a malformed request.
pub const BAD_REQUEST: u32 = 400_004;
/// Error code of an answer about an unknown operation.
pub const NOT_FOUND: u32 = 404_002;

/// A client that has connected to the service.
#[derive(Clone, Debug)]
pub struct Client {
    /// Registration id of the user name.
    pub registration: String,
    id_scope: String,
    password: Option<String>,
    certificates: Vec<Vec<u8>>,
    /// Granted QoS of the response filter, once it is subscribed to.
    pub granted: Option<u8>,
    /// A broker has let it in: its credentials are not known here.
    pub(crate) vouched: bool,
    /// Name of the hub that it is told; the hub's own if `None`.
    pub(crate) assigned_hub: Option<String>,
}

impl Client {
    /// Reads `{idScope}/registrations/{registrationId}/api-version=…`; `None` if the user name is not of that form.
    pub fn from_username(username: &str, password: Option<String>, certificates: Vec<Vec<u8>>) -> Option<Self> {
        let mut parts = username.splitn(4, '/');
        let (id_scope, literal, registration, rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let has_version =
            query(rest.trim_start_matches('?')).any(|(name, value)| name == "api-version" && !value.is_empty());
        (literal == "registrations" && !registration.is_empty() && has_version).then(|| Self {
            registration: registration.to_owned(),
            id_scope: id_scope.to_owned(),
            password: password.filter(|password| !password.is_empty()),
            certificates,
            granted: None,
            vouched: false,
            assigned_hub: None,
        })
    }
}

/// A message for the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Topic.
    pub topic: String,
    /// Body.
    pub body: Value,
}

/// The provisioning service.
#[derive(Debug)]
pub struct Service {
    id_scope: String,
    individuals: BTreeMap<String, Kept<Enrolment>>,
    groups: BTreeMap<String, Kept<GroupEnrolment>>,
    registrations: BTreeMap<String, Registration>,
    /// By registration id.
    operations: BTreeMap<String, Operation>,
    rng: Rng,
    restarts: u32,
    /// Keys of durable entries that have changed.
    changed: BTreeSet<String>,
    /// Error code for so many more requests.
    refuse: Option<(u32, u32)>,
    /// Time from an accepted registration to the assignment.
    pub assign_after: Duration,
    /// Seconds after which clients are told to poll again.
    pub retry_after: u32,
}

/// What the service needs to see of its surroundings.
pub(crate) struct Context<'a> {
    pub now: Instant,
    pub utc: &'a Utc,
    pub hub: &'a mut Hub,
    pub effects: &'a mut Effects,
}

impl Service {
    /// A service without enrolments.
    pub fn new(id_scope: String, rng: Rng) -> Self {
        Self {
            id_scope,
            individuals: BTreeMap::new(),
            groups: BTreeMap::new(),
            registrations: BTreeMap::new(),
            operations: BTreeMap::new(),
            rng,
            restarts: 0,
            changed: BTreeSet::new(),
            refuse: None,
            assign_after: Duration::from_secs(4),
            retry_after: 3,
        }
    }

    /// Answers the next `count` requests of any client with an error code, e.g. 429001 or 500000; those above 429000 tell
    /// the client when to try again.
    pub fn refuse_requests(&mut self, code: u32, count: u32) {
        self.refuse = Some((code, count));
    }

    /// Forgets which durable entries have changed.
    pub fn forget_changes(&mut self) {
        self.changed.clear();
    }

    /// Durable entries that have changed since the last call, each once: `enrolment/REGISTRATION`, `group/NAME`,
    /// `registration/REGISTRATION`, and `dps/restarts`.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let entry = |key: String| match key.split_once('/') {
            Some(("enrolment", id)) => Change::new(key.clone(), self.individuals.get(id)),
            Some(("group", name)) => Change::new(key.clone(), self.groups.get(name)),
            Some(("registration", id)) => Change::new(key.clone(), self.registrations.get(id)),
            _ => Change::new(key, Some(&self.restarts)),
        };
        core::mem::take(&mut self.changed).into_iter().map(entry).collect()
    }

    /// Takes back an entry.
    ///
    /// # Errors
    /// Names the entry that cannot be read.
    pub fn restore(&mut self, key: &str, value: &[u8]) -> Result<(), String> {
        match key.split_once('/') {
            Some(("enrolment", id)) => {
                self.individuals.insert(id.to_owned(), durable::read(key, value)?);
            }
            Some(("group", name)) => {
                self.groups.insert(name.to_owned(), durable::read(key, value)?);
            }
            Some(("registration", id)) => {
                self.registrations.insert(id.to_owned(), durable::read(key, value)?);
            }
            _ => {
                let restarts: u32 = durable::read(key, value)?;
                self.restarts = restarts + 1;
                self.rng = self.rng.fork(&format!("restart {}", self.restarts));
                self.changed.insert(RESTARTS.to_owned());
            }
        }
        Ok(())
    }

    /// Handles a PUBLISH of a client.
    ///
    /// # Errors
    /// The protocol violation for which the connection has to be closed.
    pub(crate) fn publish(
        &mut self,
        context: &mut Context<'_>,
        client: &Client,
        topic: &str,
        body: &[u8],
    ) -> Result<Reply, String> {
        let (request, text) = if let Some(text) = topic.strip_prefix(REGISTER) {
            (Request::Register, text)
        } else if let Some(text) = topic.strip_prefix(STATUS) {
            (Request::Status, text)
        } else {
            return Err(format!("the provisioning service does not know the topic `{topic}`"));
        };
        let parameter = |wanted| query(text).find_map(|(name, value)| (name == wanted).then_some(value));
        let rid = parameter("$rid").ok_or_else(|| format!("the topic `{topic}` has no $rid"))?;
        let outcome = match (self.refusal(), request) {
            (Some(refusal), _) => Err(refusal),
            (None, Request::Register) => self.register(context, client, body),
            (None, Request::Status) => self.status(context, client, parameter("operationId").unwrap_or_default()),
        };
        let retry_after = self.retry_after;
        Ok(match outcome {
            Ok(Outcome::Assigning(body)) => {
                Reply { topic: format!("$dps/registrations/res/202/?$rid={rid}&retry-after={retry_after}"), body }
            }
            Ok(Outcome::Final(body)) => Reply { topic: format!("$dps/registrations/res/200/?$rid={rid}"), body },
            Err(Refusal { code, message, why }) => {
                context.effects.events.push(EventKind::DpsRefused {
                    registration: client.registration.clone(),
                    error_code: code,
                    why,
                });
                let status = code / 1000;
                let again = if status >= 429 { format!("&retry-after={retry_after}") } else { String::new() };
                Reply {
                    topic: format!("$dps/registrations/res/{status}/?$rid={rid}{again}"),
                    body: json!({
                        "errorCode": code,
                        "trackingId": guid(&mut self.rng),
                        "message": message,
                        "timestampUtc": context.utc.format(context.now),
                    }),
                }
            }
        })
    }

    fn refusal(&mut self) -> Option<Refusal> {
        let (code, left) = self.refuse.as_mut().filter(|(_, left)| *left > 0)?;
        *left -= 1;
        let message =
            if *code / 1000 == 429 { "Operations are being throttled for this tenant." } else { "Server error." };
        Some(Refusal { code: *code, message: message.into(), why: "the scenario asked for it".into() })
    }
}

#[derive(Clone, Copy)]
enum Request {
    Register,
    Status,
}

enum Outcome {
    Assigning(Value),
    Final(Value),
}

struct Refusal {
    code: u32,
    message: String,
    why: String,
}

impl Refusal {
    fn unauthorized(client: &Client, why: String) -> Self {
        let by_certificate = client.password.is_none() && !client.certificates.is_empty();
        let message = if by_certificate { "Invalid certificate." } else { "Unauthorized" };
        Self { code: UNAUTHORIZED, message: message.into(), why }
    }
}

/// A version 4 UUID (RFC 9562).
pub(crate) fn guid(rng: &mut Rng) -> String {
    let high = rng.next_u64() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000;
    let low = rng.next_u64() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFF_FFFF_FFFF
    )
}
