//! The Device Provisioning Service over MQTT.
//!
//! Any well-formed CONNECT is accepted; the credentials are judged when the client registers, and a wrong one is
//! answered with status 401 and a body, as the service does. An accepted registration takes a while, during which
//! polls are answered with 202.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sim_base::{Instant, Rng};

use crate::credentials::{Attestation, Presented};
use crate::durable::{self, Change};
use crate::event::EventKind;
use crate::iot_hub::{Effects, Hub, NewDevice, query};
use crate::sas;
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

/// An individual enrolment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Enrolment {
    /// Registration id: 1 to 128 of `a-z A-Z 0-9 - . _ :`.
    pub registration_id: String,
    /// Device id at the hub; the registration id if `None`.
    pub device_id: Option<String>,
    /// How the device proves who it is.
    pub attestation: Attestation,
    /// A disabled enrolment is answered with status `disabled`.
    pub enabled: bool,
    /// Tags of the twin that is made for the device, e.g. `{"ADUGroup":"test"}`.
    pub tags: Map<String, Value>,
}

impl Enrolment {
    /// An enabled enrolment with a symmetric key (raw bytes) and no tags.
    pub fn symmetric(registration_id: impl Into<String>, key: impl Into<Vec<u8>>) -> Self {
        Self {
            registration_id: registration_id.into(),
            device_id: None,
            attestation: Attestation::symmetric(key),
            enabled: true,
            tags: Map::new(),
        }
    }
}

/// An enrolment group with a symmetric key: each device's key is derived from its registration id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupEnrolment {
    /// Name of the group.
    pub name: String,
    /// The group's key, raw bytes.
    #[serde(with = "durable::bytes")]
    pub key: Vec<u8>,
    /// Tags of the twins that are made for its devices.
    pub tags: Map<String, Value>,
}

/// Why an enrolment is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// the registration id is empty, too long or has other characters
    #[error("the registration id `{0}` must have 1 to 128 of the characters a-z A-Z 0-9 - . _ :")]
    RegistrationId(String),
    /// the registration id is enrolled already
    #[error("the registration id `{0}` is enrolled already")]
    Exists(String),
    /// the group exists already
    #[error("the enrolment group `{0}` exists already")]
    GroupExists(String),
    /// a symmetric key is not 16 to 64 bytes long
    #[error("a symmetric key must have 16 to 64 bytes, not {0}")]
    KeyLength(usize),
}

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

#[derive(Debug)]
struct Operation {
    registration: String,
    done_at: Instant,
    model_id: Option<String>,
    created: String,
    assigned: bool,
    enrolled: Enrolled,
}

/// What a registration id was found to be entitled to.
#[derive(Clone, Debug)]
struct Enrolled {
    device_id: String,
    attestation: Attestation,
    enabled: bool,
    tags: Map<String, Value>,
}

/// The provisioning service.
#[derive(Debug)]
pub struct Service {
    id_scope: String,
    individuals: BTreeMap<String, Enrolment>,
    groups: BTreeMap<String, GroupEnrolment>,
    operations: BTreeMap<String, Operation>,
    rng: Rng,
    restarts: u32,
    /// Keys of durable entries that have changed.
    changed: BTreeSet<String>,
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
            operations: BTreeMap::new(),
            rng,
            restarts: 0,
            changed: BTreeSet::new(),
            assign_after: Duration::from_secs(4),
            retry_after: 3,
        }
    }

    /// Adds an individual enrolment.
    ///
    /// # Errors
    /// [`EnrolError`].
    pub fn enroll(&mut self, enrolment: Enrolment) -> Result<(), EnrolError> {
        let id = &enrolment.registration_id;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if id.is_empty() || id.len() > 128 || !id.chars().all(allowed) {
            return Err(EnrolError::RegistrationId(id.clone()));
        }
        if self.individuals.contains_key(id) {
            return Err(EnrolError::Exists(id.clone()));
        }
        if let Attestation::SymmetricKey { primary, secondary } = &enrolment.attestation {
            core::iter::once(primary).chain(secondary).try_for_each(|key| check_key(key))?;
        }
        self.changed.insert(format!("enrolment/{id}"));
        self.individuals.insert(id.clone(), enrolment);
        Ok(())
    }

    /// Adds an enrolment group.
    ///
    /// # Errors
    /// [`EnrolError::KeyLength`], [`EnrolError::GroupExists`].
    pub fn enroll_group(&mut self, group: GroupEnrolment) -> Result<(), EnrolError> {
        check_key(&group.key)?;
        if self.groups.contains_key(&group.name) {
            return Err(EnrolError::GroupExists(group.name));
        }
        self.changed.insert(format!("group/{}", group.name));
        self.groups.insert(group.name.clone(), group);
        Ok(())
    }

    /// Durable entries that have changed since the last call, each once: `enrolment/REGISTRATION`, `group/NAME`.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let entry = |key: String| match key.split_once('/') {
            Some(("enrolment", id)) => Change::new(key.clone(), self.individuals.get(id)),
            Some(("group", name)) => Change::new(key.clone(), self.groups.get(name)),
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
        let outcome = match request {
            Request::Register => self.register(context, client, body),
            Request::Status => self.status(context, client, parameter("operationId").unwrap_or_default()),
        };
        Ok(match outcome {
            Ok(Outcome::Assigning(body)) => Reply {
                topic: format!("$dps/registrations/res/202/?$rid={rid}&retry-after={}", self.retry_after),
                body,
            },
            Ok(Outcome::Final(body)) => Reply { topic: format!("$dps/registrations/res/200/?$rid={rid}"), body },
            Err(Refusal { code, message, why }) => {
                context.effects.events.push(EventKind::DpsRefused {
                    registration: client.registration.clone(),
                    error_code: code,
                    why,
                });
                Reply {
                    topic: format!("$dps/registrations/res/{}/?$rid={rid}", code / 1000),
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

    /// Finds the enrolment that the client's credentials prove.
    fn authorise(&self, context: &Context<'_>, client: &Client) -> Result<Enrolled, String> {
        if client.id_scope != self.id_scope {
            return Err(format!("the id scope is `{}`, not `{}`", self.id_scope, client.id_scope));
        }
        let id = &client.registration;
        let check = |attestation: &Attestation| {
            let resource = format!("{}/registrations/{id}", self.id_scope);
            let presented = Presented {
                name: id,
                anchors: &[],
                password: client.password.as_deref(),
                certificates: &client.certificates,
                now: context.utc.seconds(context.now),
            };
            attestation.check(&resource, presented).map(|_| ())
        };
        if let Some(individual) = self.individuals.get(id) {
            check(&individual.attestation)?;
            return Ok(Enrolled {
                device_id: individual.device_id.clone().unwrap_or_else(|| id.clone()),
                attestation: individual.attestation.clone(),
                enabled: individual.enabled,
                tags: individual.tags.clone(),
            });
        }
        let mut why = format!("the registration id `{id}` is not enrolled");
        for group in self.groups.values() {
            let attestation = Attestation::symmetric(sas::derived_key(&group.key, id));
            match check(&attestation) {
                Ok(()) => {
                    return Ok(Enrolled {
                        device_id: id.clone(),
                        attestation,
                        enabled: true,
                        tags: group.tags.clone(),
                    });
                }
                Err(error) => why = format!("{why}; group `{}`: {error}", group.name),
            }
        }
        Err(why)
    }

    fn register(&mut self, context: &mut Context<'_>, client: &Client, body: &[u8]) -> Result<Outcome, Refusal> {
        let request: Value = serde_json::from_slice(body).map_err(|error| Refusal {
            code: BAD_REQUEST,
            message: "Bad request",
            why: format!("the registration request is not JSON: {error}"),
        })?;
        if request["registrationId"] != client.registration.as_str() {
            return Err(Refusal {
                code: BAD_REQUEST,
                message: "Bad request",
                why: format!(
                    "`registrationId` in the body is {}, not that of the user name",
                    request["registrationId"]
                ),
            });
        }
        let enrolled = self.authorise(context, client).map_err(Refusal::unauthorized)?;
        if !enrolled.enabled {
            let state = json!({
                "registrationId": client.registration, "status": "disabled",
                "lastUpdatedDateTimeUtc": context.utc.format(context.now),
            });
            return Ok(Outcome::Final(json!({"operationId": "", "status": "disabled", "registrationState": state})));
        }
        self.changed.insert(RESTARTS.to_owned());
        let id = format!("5.{:016x}.{}", self.rng.next_u64(), guid(&mut self.rng));
        let operation = Operation {
            registration: client.registration.clone(),
            done_at: context.now + self.assign_after,
            model_id: request["payload"]["modelId"].as_str().map(str::to_owned),
            created: context.utc.format(context.now),
            assigned: false,
            enrolled,
        };
        // One operation for each registration: a client that registers anew has forgotten the old one.
        self.operations.retain(|_, operation| operation.registration != client.registration);
        self.operations.insert(id.clone(), operation);
        context.effects.events.push(EventKind::DpsAssigning { registration: client.registration.clone() });
        Ok(Outcome::Assigning(json!({"operationId": id, "status": "assigning"})))
    }

    fn status(&mut self, context: &mut Context<'_>, client: &Client, id: &str) -> Result<Outcome, Refusal> {
        self.authorise(context, client).map_err(Refusal::unauthorized)?;
        let operation =
            self.operations.get_mut(id).filter(|operation| operation.registration == client.registration).ok_or_else(
                || Refusal {
                    code: NOT_FOUND,
                    message: "Operation not found",
                    why: format!("the operation `{id}` does not exist"),
                },
            )?;
        if context.now < operation.done_at {
            return Ok(Outcome::Assigning(json!({
                "operationId": id,
                "status": "assigning",
                "registrationState": {"registrationId": client.registration, "status": "assigning"},
            })));
        }
        let enrolled = &operation.enrolled;
        if !operation.assigned {
            operation.assigned = true;
            // A device that comes back to the same hub keeps its registration and its twin.
            let attestation = Some(enrolled.attestation.clone());
            let new = NewDevice { attestation, tags: enrolled.tags.clone(), ..NewDevice::default() };
            let _ = context.hub.provision(context.now, &enrolled.device_id, new, false, context.effects);
            context.effects.events.push(EventKind::DpsAssigned {
                registration: client.registration.clone(),
                device: enrolled.device_id.clone(),
                model_id: operation.model_id.clone(),
            });
        }
        let updated = context.utc.format(operation.done_at);
        Ok(Outcome::Final(json!({
            "operationId": id,
            "status": "assigned",
            "registrationState": {
                "registrationId": client.registration,
                "createdDateTimeUtc": operation.created,
                "assignedHub": context.hub.host(),
                "deviceId": enrolled.device_id,
                "status": "assigned",
                "substatus": "initialAssignment",
                "lastUpdatedDateTimeUtc": updated,
                "etag": format!("{:016x}", operation.done_at.as_nanos()),
            },
        })))
    }
}

fn check_key(key: &[u8]) -> Result<(), EnrolError> {
    if (16..=64).contains(&key.len()) { Ok(()) } else { Err(EnrolError::KeyLength(key.len())) }
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
    message: &'static str,
    why: String,
}

impl Refusal {
    fn unauthorized(why: String) -> Self {
        Self { code: UNAUTHORIZED, message: "Unauthorized", why }
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
