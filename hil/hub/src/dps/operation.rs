//! Registrations: from a client's request to the device at the hub.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sim_base::Instant;

use super::{
    Allocation, BAD_REQUEST, Client, Context, EnrolError, GroupAttestation, GroupEnrolment, NOT_FOUND, Outcome,
    Provisioning, Refusal, Reprovision, Service, guid,
};
use crate::credentials::{self, Attestation, Presented, Thumbprint};
use crate::durable;
use crate::event::EventKind;
use crate::iot_hub::NewDevice;
use crate::sas;
use crate::utc::Utc;
use crate::x509;

/// How a registration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RegistrationStatus {
    /// There is a device at the hub.
    Assigned,
    /// No hub would have it.
    Unassigned,
    /// The enrolment is disabled.
    Disabled,
    /// Something went wrong; there is an error code.
    Failed,
}

/// What is known of a registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// Registration id.
    pub registration_id: String,
    /// How it ended.
    pub status: RegistrationStatus,
    /// `initialAssignment`, `reprovisionedToInitialAssignment` or `deviceDataReset`; only of an assigned one.
    pub substatus: Option<String>,
    /// Device at the hub; only of an assigned one.
    pub device_id: Option<String>,
    /// Host name of the hub; only of an assigned one.
    pub assigned_hub: Option<String>,
    /// Error code and message; only of a failed one.
    pub error: Option<(u32, String)>,
    /// Group through which it came; `None` of an individual enrolment.
    pub group: Option<String>,
    /// Whether it came with a certificate.
    pub x509: bool,
    /// Passed on to the device.
    pub payload: Option<Value>,
    #[serde(with = "durable::instant")]
    created: Instant,
    #[serde(with = "durable::instant")]
    updated: Instant,
    revision: u64,
}

impl Registration {
    /// The state as the service writes it, to the device and to an administrator.
    pub fn document(&self, utc: Utc) -> Value {
        let mut state = json!({
            "registrationId": self.registration_id,
            "createdDateTimeUtc": utc.format(self.created),
        });
        let mut add = |name: &str, value: Value| {
            if !value.is_null() {
                state[name] = value;
            }
        };
        let group = self.group.as_ref().map_or_else(|| json!({}), |group| json!({"enrollmentGroupId": group}));
        add(if self.x509 { "x509" } else { "symmetricKey" }, group);
        add("assignedHub", json!(self.assigned_hub));
        add("deviceId", json!(self.device_id));
        add("status", json!(self.status));
        add("substatus", json!(self.substatus));
        if let Some((code, message)) = &self.error {
            add("errorCode", json!(code));
            add("errorMessage", json!(message));
        }
        add("lastUpdatedDateTimeUtc", json!(utc.format(self.updated)));
        add("etag", json!(format!("{:016x}", self.revision)));
        add("payload", json!(self.payload));
        state
    }
}

/// A registration that is under way, or was answered.
#[derive(Debug)]
pub(super) struct Operation {
    id: String,
    done_at: Instant,
    model_id: Option<String>,
    enrolled: Enrolled,
    /// It was carried out; the outcome is the registration.
    done: bool,
}

/// What a registration id was found to be entitled to.
#[derive(Clone, Debug)]
struct Enrolled {
    device_id: String,
    attestation: Attestation,
    enabled: bool,
    group: Option<String>,
    tags: serde_json::Map<String, Value>,
    provisioning: Provisioning,
}

impl Service {
    /// Finds the enrolment that the client's credentials prove.
    fn authorise(&self, context: &Context<'_>, client: &Client) -> Result<Enrolled, String> {
        if client.id_scope != self.id_scope {
            return Err(format!("the id scope is `{}`, not `{}`", self.id_scope, client.id_scope));
        }
        let id = client.registration.as_str();
        let resource = format!("{}/registrations/{id}", self.id_scope);
        let anchors: Vec<&[u8]> = context.hub.trusted().collect();
        let presented = Presented {
            name: id,
            password: client.password.as_deref(),
            certificates: &client.certificates,
            anchors: &anchors,
            now: context.utc.seconds(context.now),
        };
        if let Some(individual) = self.individuals.get(id).map(|kept| &kept.value) {
            if !client.vouched {
                individual.attestation.check(&resource, presented)?;
            }
            if let (Attestation::X509 { .. }, Some(leaf)) = (&individual.attestation, client.certificates.first()) {
                let name = x509::common_name(leaf)?;
                if name != id {
                    return Err(format!("the client certificate is for `{name}`, not for `{id}`"));
                }
            }
            return Ok(Enrolled {
                device_id: individual.device_id.clone().unwrap_or_else(|| id.to_owned()),
                attestation: individual.attestation.clone(),
                enabled: individual.enabled,
                group: None,
                tags: individual.tags.clone(),
                provisioning: individual.provisioning.clone(),
            });
        }
        let mut why = format!("the registration id `{id}` is not enrolled");
        for group in self.groups.values().map(|kept| &kept.value) {
            match member(group, &resource, presented, client.vouched) {
                Ok(attestation) => {
                    return Ok(Enrolled {
                        device_id: id.to_owned(),
                        attestation,
                        enabled: group.enabled,
                        group: Some(group.name.clone()),
                        tags: group.tags.clone(),
                        provisioning: group.provisioning.clone(),
                    });
                }
                Err(error) => why = format!("{why}; group `{}`: {error}", group.name),
            }
        }
        Err(why)
    }

    pub(super) fn register(
        &mut self,
        context: &mut Context<'_>,
        client: &Client,
        body: &[u8],
    ) -> Result<Outcome, Refusal> {
        let bad = |why| Refusal { code: BAD_REQUEST, message: "Bad request".into(), why };
        let request: Value = serde_json::from_slice(body)
            .map_err(|error| bad(format!("the registration request is not JSON: {error}")))?;
        let named = &request["registrationId"];
        if named != client.registration.as_str() {
            return Err(bad(format!("`registrationId` in the body is {named}, not that of the user name")));
        }
        let enrolled = self.authorise(context, client).map_err(|why| Refusal::unauthorized(client, why))?;
        self.changed.insert(super::RESTARTS.to_owned());
        let id = format!("5.{:016x}.{}", self.rng.next_u64(), guid(&mut self.rng));
        if !enrolled.enabled {
            let registration = self.conclude(context, client, &enrolled, RegistrationStatus::Disabled);
            return Ok(Outcome::Final(answer(&id, registration, context.utc)));
        }
        let operation = Operation {
            id: id.clone(),
            done_at: context.now + self.assign_after,
            model_id: request["payload"]["modelId"].as_str().map(str::to_owned),
            enrolled,
            done: false,
        };
        // One operation for each registration: a client that registers anew has forgotten the old one.
        self.operations.insert(client.registration.clone(), operation);
        context.effects.events.push(EventKind::DpsAssigning { registration: client.registration.clone() });
        Ok(Outcome::Assigning(json!({"operationId": id, "status": "assigning"})))
    }

    pub(super) fn status(&mut self, context: &mut Context<'_>, client: &Client, id: &str) -> Result<Outcome, Refusal> {
        self.authorise(context, client).map_err(|why| Refusal::unauthorized(client, why))?;
        let missing = || Refusal {
            code: NOT_FOUND,
            message: "Operation not found".into(),
            why: format!("the operation `{id}` does not exist"),
        };
        let operation = self.operations.get_mut(&client.registration).filter(|operation| operation.id == id);
        let operation = operation.ok_or_else(missing)?;
        if context.now < operation.done_at {
            return Ok(Outcome::Assigning(json!({
                "operationId": id,
                "status": "assigning",
                "registrationState": {"registrationId": client.registration, "status": "assigning"},
            })));
        }
        if !core::mem::replace(&mut operation.done, true) {
            let (enrolled, model_id) = (operation.enrolled.clone(), operation.model_id.clone());
            self.carry_out(context, client, &enrolled, model_id);
        }
        let registration = self.registrations.get(&client.registration).ok_or_else(missing)?;
        Ok(Outcome::Final(answer(id, registration, context.utc)))
    }

    /// Makes the device at the hub, or does with it what the enrolment says.
    fn carry_out(&mut self, context: &mut Context<'_>, client: &Client, enrolled: &Enrolled, model_id: Option<String>) {
        let (error_code, error_message) = match &enrolled.provisioning.allocation {
            Allocation::None => {
                self.conclude(context, client, enrolled, RegistrationStatus::Unassigned);
                return;
            }
            Allocation::Fail { error_code, error_message } => (*error_code, error_message.clone()),
            Allocation::Hub => {
                let known = self.registrations.get(&client.registration);
                let again = known.is_some_and(|known| known.device_id.as_ref() == Some(&enrolled.device_id));
                let policy = enrolled.provisioning.reprovision;
                let reset = again && policy == Reprovision::ResetData;
                let new = NewDevice {
                    attestation: Some(enrolled.attestation.clone()),
                    tags: enrolled.tags.clone(),
                    desired: enrolled.provisioning.desired.clone(),
                    ..NewDevice::default()
                };
                let device = &enrolled.device_id;
                let outcome = if again && policy == Reprovision::Never {
                    Ok(())
                } else {
                    context.hub.provision(context.now, device, new, reset, context.effects)
                };
                match outcome {
                    Ok(()) => {
                        let substatus = match policy {
                            Reprovision::KeepData if again => "reprovisionedToInitialAssignment",
                            Reprovision::ResetData if again => "deviceDataReset",
                            _ => "initialAssignment",
                        };
                        let hub = client.assigned_hub.as_deref().unwrap_or(context.hub.host()).to_owned();
                        let registration = self.conclude(context, client, enrolled, RegistrationStatus::Assigned);
                        registration.substatus = Some(substatus.to_owned());
                        registration.device_id = Some(enrolled.device_id.clone());
                        registration.assigned_hub = Some(hub);
                        context.effects.events.push(EventKind::DpsAssigned {
                            registration: client.registration.clone(),
                            device: enrolled.device_id.clone(),
                            model_id,
                            substatus: substatus.to_owned(),
                        });
                        return;
                    }
                    Err(error) => (error.code(), error.to_string()),
                }
            }
        };
        let registration = self.conclude(context, client, enrolled, RegistrationStatus::Failed);
        registration.error = Some((error_code, error_message));
    }

    /// Notes how a registration ended.
    fn conclude(
        &mut self,
        context: &mut Context<'_>,
        client: &Client,
        enrolled: &Enrolled,
        status: RegistrationStatus,
    ) -> &mut Registration {
        let id = &client.registration;
        let new = Registration {
            registration_id: id.clone(),
            status,
            substatus: None,
            device_id: None,
            assigned_hub: None,
            error: None,
            group: enrolled.group.clone(),
            x509: !matches!(enrolled.attestation, Attestation::SymmetricKey { .. }),
            payload: enrolled.provisioning.payload.clone(),
            created: self.registrations.get(id).map_or(context.now, |known| known.created),
            updated: context.now,
            revision: self.registrations.get(id).map_or(1, |known| known.revision + 1),
        };
        self.changed.insert(format!("registration/{id}"));
        if status != RegistrationStatus::Assigned {
            context.effects.events.push(EventKind::DpsConcluded { registration: id.clone(), status });
        }
        let slot = self.registrations.entry(id.clone()).or_insert_with(|| new.clone());
        *slot = new;
        slot
    }

    /// Registrations, by id.
    pub fn registrations(&self) -> impl Iterator<Item = &Registration> {
        self.registrations.values()
    }

    /// A registration.
    pub fn registration(&self, id: &str) -> Option<&Registration> {
        self.registrations.get(id)
    }

    /// Forgets a registration: the next one is the first again. The device stays at the hub.
    ///
    /// # Errors
    /// [`EnrolError::NoRegistration`].
    pub fn remove_registration(&mut self, id: &str) -> Result<(), EnrolError> {
        if self.forget(id) { Ok(()) } else { Err(EnrolError::NoRegistration(id.to_owned())) }
    }

    pub(super) fn forget(&mut self, id: &str) -> bool {
        self.operations.remove(id);
        self.changed.insert(format!("registration/{id}"));
        self.registrations.remove(id).is_some()
    }
}

/// The body of a final answer.
fn answer(operation: &str, registration: &Registration, utc: &Utc) -> Value {
    json!({
        "operationId": operation,
        "status": registration.status,
        "registrationState": registration.document(*utc),
    })
}

/// What the hub gets for a device of a group, if the credentials are good. For one that is vouched for there are none, and
/// so no certificate that the hub could know it by.
fn member(
    group: &GroupEnrolment,
    resource: &str,
    presented: Presented<'_>,
    vouched: bool,
) -> Result<Attestation, String> {
    let anchored = |anchors: &[&[u8]]| {
        if presented.password.is_some() {
            return Err("the group wants certificates, but the client sent a password".to_owned());
        }
        credentials::check_named_chain(Presented { anchors, ..presented })?;
        let leaf = presented.certificates.first().ok_or("the client presented no certificate")?;
        Ok(Attestation::thumbprint(Thumbprint::sha256(leaf)))
    };
    match &group.attestation {
        GroupAttestation::SymmetricKey { primary, secondary } => {
            let attestation = Attestation::SymmetricKey {
                primary: sas::derived_key(primary, presented.name),
                secondary: secondary.as_ref().map(|key| sas::derived_key(key, presented.name)),
            };
            if vouched {
                return Ok(attestation);
            }
            attestation.check(resource, presented).map(|_| attestation)
        }
        GroupAttestation::X509 { primary, secondary } => {
            let anchors: Vec<&[u8]> = core::iter::once(primary).chain(secondary).map(Vec::as_slice).collect();
            anchored(&anchors)
        }
        GroupAttestation::X509Ca => anchored(presented.anchors),
    }
}
