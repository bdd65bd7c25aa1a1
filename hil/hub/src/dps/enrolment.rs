//! Enrolments: who may register, as what, and what becomes of them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Service;
use crate::credentials::Attestation;
use crate::durable;
use crate::iot_hub::Twin;
use crate::x509;

/// What happens to the device of a registration that comes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reprovision {
    /// It keeps its twin and its messages; credentials are renewed.
    #[default]
    KeepData,
    /// Its twin begins anew with the enrolment's, and its queue is purged. Stands for a move to another hub, of which there
    /// is none here.
    ResetData,
    /// Nothing: the answer is that of the first time, whether the device still exists or not.
    Never,
}

/// To which hub a registration is assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "policy")]
pub enum Allocation {
    /// To the only one.
    #[default]
    Hub,
    /// To none: the registration ends with status `unassigned`.
    None,
    /// The registration ends with status `failed`.
    Fail {
        /// Error code, e.g. 400207 (custom allocation failed).
        error_code: u32,
        /// Message of the answer.
        error_message: String,
    },
}

/// What an enrolment says about its devices, be it for one or for a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Provisioning {
    /// Desired properties of the twin that is made.
    pub desired: Map<String, Value>,
    /// Passed on in the answer to the device as `payload`.
    pub payload: Option<Value>,
    /// What happens when a device registers again.
    pub reprovision: Reprovision,
    /// To which hub.
    pub allocation: Allocation,
}

/// An individual enrolment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Enrolment {
    /// Registration id: 1 to 128 of `a-z A-Z 0-9 - . _ :`. With a certificate, it is the leaf's common name.
    pub registration_id: String,
    /// Device id at the hub; the registration id if `None`.
    #[serde(default)]
    pub device_id: Option<String>,
    /// How the device proves who it is; the hub gets the same.
    pub attestation: Attestation,
    /// A disabled enrolment is answered with status `disabled`.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Tags of the twin that is made for the device, e.g. `{"ADUGroup":"test"}`.
    #[serde(default)]
    pub tags: Map<String, Value>,
    /// The rest.
    #[serde(default)]
    pub provisioning: Provisioning,
}

impl Enrolment {
    /// An enabled enrolment with a symmetric key (raw bytes) and no tags.
    pub fn symmetric(registration_id: impl Into<String>, key: impl Into<Vec<u8>>) -> Self {
        Self::new(registration_id, Attestation::symmetric(key))
    }

    /// An enabled enrolment without tags.
    pub fn new(registration_id: impl Into<String>, attestation: Attestation) -> Self {
        Self {
            registration_id: registration_id.into(),
            device_id: None,
            attestation,
            enabled: true,
            tags: Map::new(),
            provisioning: Provisioning::default(),
        }
    }
}

/// How the devices of a group prove who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type")]
pub enum GroupAttestation {
    /// By keys that are derived from the group's and the registration id (raw bytes).
    SymmetricKey {
        /// First key.
        #[serde(with = "durable::bytes")]
        primary: Vec<u8>,
        /// Second key, for rotation.
        #[serde(with = "durable::maybe_bytes", default)]
        secondary: Option<Vec<u8>>,
    },
    /// By chains to one of these CA certificates, roots or intermediates (DER), of a leaf whose common name is the
    /// registration id.
    X509 {
        /// First certificate.
        #[serde(with = "durable::bytes")]
        primary: Vec<u8>,
        /// Second certificate, for rotation.
        #[serde(with = "durable::maybe_bytes", default)]
        secondary: Option<Vec<u8>>,
    },
    /// By chains to any CA certificate that is verified at the hub.
    X509Ca,
}

/// An enrolment group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupEnrolment {
    /// Name of the group: 1 to 128 of `a-z A-Z 0-9 - . _ :`.
    pub name: String,
    /// How its devices prove who they are.
    pub attestation: GroupAttestation,
    /// A disabled group's devices are answered with status `disabled`.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Tags of the twins that are made for its devices.
    #[serde(default)]
    pub tags: Map<String, Value>,
    /// The rest.
    #[serde(default)]
    pub provisioning: Provisioning,
}

impl GroupEnrolment {
    /// An enabled group with a symmetric key (raw bytes) and no tags.
    pub fn symmetric(name: impl Into<String>, key: impl Into<Vec<u8>>) -> Self {
        Self::new(name, GroupAttestation::SymmetricKey { primary: key.into(), secondary: None })
    }

    /// An enabled group without tags.
    pub fn new(name: impl Into<String>, attestation: GroupAttestation) -> Self {
        Self { name: name.into(), attestation, enabled: true, tags: Map::new(), provisioning: Provisioning::default() }
    }
}

fn yes() -> bool {
    true
}

/// Why an enrolment is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// the registration id or group name is empty, too long or has other characters
    #[error("the id `{0}` must have 1 to 128 of the characters a-z A-Z 0-9 - . _ :")]
    RegistrationId(String),
    /// the registration id is enrolled already
    #[error("the registration id `{0}` is enrolled already")]
    Exists(String),
    /// the group exists already
    #[error("the enrolment group `{0}` exists already")]
    GroupExists(String),
    /// the enrolment does not exist
    #[error("the registration id `{0}` is not enrolled")]
    NoEnrolment(String),
    /// the group does not exist
    #[error("the enrolment group `{0}` does not exist")]
    NoGroup(String),
    /// the registration does not exist
    #[error("`{0}` has not registered")]
    NoRegistration(String),
    /// a symmetric key is not 16 to 64 bytes long
    #[error("a symmetric key must have 16 to 64 bytes, not {0}")]
    KeyLength(usize),
    /// a CA certificate cannot be used
    #[error("the certificate of the group `{name}` cannot be used: {why}")]
    Certificate {
        /// Name of the group.
        name: String,
        /// The reason.
        why: String,
    },
    /// the initial twin is not acceptable
    #[error("the initial twin of `{id}` is not acceptable: {why}")]
    Twin {
        /// Registration id or group.
        id: String,
        /// The reason.
        why: String,
    },
    /// the enrolment has changed since it was read
    #[error("the etag `{given}` is not that of `{id}`, which is `{actual}`; read it again")]
    Precondition {
        /// Registration id or group.
        id: String,
        /// Etag of the request.
        given: String,
        /// Etag that it has.
        actual: String,
    },
}

impl EnrolError {
    /// HTTP status of the service's answer.
    pub fn status(&self) -> u16 {
        (self.code() / 1000) as u16
    }

    /// Error code of the service's answer; its first three digits are the status.
    pub fn code(&self) -> u32 {
        match self {
            Self::Exists(_) | Self::GroupExists(_) => 409_000,
            Self::NoEnrolment(_) | Self::NoGroup(_) | Self::NoRegistration(_) => 404_201,
            Self::Precondition { .. } => 412_000,
            Self::RegistrationId(_) | Self::KeyLength(_) | Self::Certificate { .. } | Self::Twin { .. } => 400_004,
        }
    }
}

/// An enrolment, and how often it was changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept<T> {
    pub value: T,
    pub revision: u64,
}

impl<T> Kept<T> {
    fn etag(&self) -> String {
        format!("{:016x}", self.revision)
    }
}

impl Service {
    /// Adds an individual enrolment.
    ///
    /// # Errors
    /// [`EnrolError`].
    pub fn enroll(&mut self, enrolment: Enrolment) -> Result<(), EnrolError> {
        if self.individuals.contains_key(&enrolment.registration_id) {
            return Err(EnrolError::Exists(enrolment.registration_id));
        }
        self.put_enrolment(enrolment, None)
    }

    /// Adds or replaces an individual enrolment; `if_match` is the etag that an existing one has to have.
    ///
    /// # Errors
    /// [`EnrolError`]; nothing is changed then.
    pub fn put_enrolment(&mut self, enrolment: Enrolment, if_match: Option<&str>) -> Result<(), EnrolError> {
        let id = enrolment.registration_id.clone();
        check_id(&id)?;
        if let Attestation::SymmetricKey { primary, secondary } = &enrolment.attestation {
            core::iter::once(primary).chain(secondary).try_for_each(|key| check_key(key))?;
        }
        check_twin(&id, &enrolment.tags, &enrolment.provisioning.desired)?;
        let revision = next_revision(&id, self.individuals.get(&id), if_match)?;
        self.changed.insert(format!("enrolment/{id}"));
        self.individuals.insert(id, Kept { value: enrolment, revision });
        Ok(())
    }

    /// Removes an individual enrolment and its registration; the device stays at the hub.
    ///
    /// # Errors
    /// [`EnrolError::NoEnrolment`], [`EnrolError::Precondition`].
    pub fn remove_enrolment(&mut self, id: &str, if_match: Option<&str>) -> Result<(), EnrolError> {
        let kept = self.individuals.get(id).ok_or_else(|| EnrolError::NoEnrolment(id.to_owned()))?;
        next_revision(id, Some(kept), if_match)?;
        self.individuals.remove(id);
        self.changed.insert(format!("enrolment/{id}"));
        self.forget(id);
        Ok(())
    }

    /// Individual enrolments with their etags, by registration id.
    pub fn enrolments(&self) -> impl Iterator<Item = (&Enrolment, String)> {
        self.individuals.values().map(|kept| (&kept.value, kept.etag()))
    }

    /// An individual enrolment with its etag.
    pub fn enrolment(&self, id: &str) -> Option<(&Enrolment, String)> {
        self.individuals.get(id).map(|kept| (&kept.value, kept.etag()))
    }

    /// Adds an enrolment group.
    ///
    /// # Errors
    /// [`EnrolError`].
    pub fn enroll_group(&mut self, group: GroupEnrolment) -> Result<(), EnrolError> {
        if self.groups.contains_key(&group.name) {
            return Err(EnrolError::GroupExists(group.name));
        }
        self.put_group(group, None)
    }

    /// Adds or replaces an enrolment group; `if_match` is the etag that an existing one has to have.
    ///
    /// # Errors
    /// [`EnrolError`]; nothing is changed then.
    pub fn put_group(&mut self, group: GroupEnrolment, if_match: Option<&str>) -> Result<(), EnrolError> {
        let name = group.name.clone();
        check_id(&name)?;
        match &group.attestation {
            GroupAttestation::SymmetricKey { primary, secondary } => {
                core::iter::once(primary).chain(secondary).try_for_each(|key| check_key(key))?;
            }
            GroupAttestation::X509 { primary, secondary } => {
                let wrong = |why| EnrolError::Certificate { name: name.clone(), why };
                for certificate in core::iter::once(primary).chain(secondary) {
                    if !x509::describe(certificate).map_err(wrong)?.is_ca {
                        return Err(wrong("it may not issue certificates (basic constraints)".into()));
                    }
                }
            }
            GroupAttestation::X509Ca => {}
        }
        check_twin(&name, &group.tags, &group.provisioning.desired)?;
        let revision = next_revision(&name, self.groups.get(&name), if_match)?;
        self.changed.insert(format!("group/{name}"));
        self.groups.insert(name, Kept { value: group, revision });
        Ok(())
    }

    /// Removes an enrolment group; registrations and devices stay.
    ///
    /// # Errors
    /// [`EnrolError::NoGroup`], [`EnrolError::Precondition`].
    pub fn remove_group(&mut self, name: &str, if_match: Option<&str>) -> Result<(), EnrolError> {
        let kept = self.groups.get(name).ok_or_else(|| EnrolError::NoGroup(name.to_owned()))?;
        next_revision(name, Some(kept), if_match)?;
        self.groups.remove(name);
        self.changed.insert(format!("group/{name}"));
        Ok(())
    }

    /// Enrolment groups with their etags, by name.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupEnrolment, String)> {
        self.groups.values().map(|kept| (&kept.value, kept.etag()))
    }

    /// An enrolment group with its etag.
    pub fn group(&self, name: &str) -> Option<(&GroupEnrolment, String)> {
        self.groups.get(name).map(|kept| (&kept.value, kept.etag()))
    }
}

fn next_revision<T>(id: &str, kept: Option<&Kept<T>>, if_match: Option<&str>) -> Result<u64, EnrolError> {
    let given = if_match.map(|given| given.trim_matches('"')).filter(|given| *given != "*");
    match (kept, given) {
        (Some(kept), Some(given)) if given != kept.etag() => {
            Err(EnrolError::Precondition { id: id.to_owned(), given: given.to_owned(), actual: kept.etag() })
        }
        (kept, _) => Ok(kept.map_or(1, |kept| kept.revision + 1)),
    }
}

fn check_id(id: &str) -> Result<(), EnrolError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    let good = (1..=128).contains(&id.len()) && id.chars().all(allowed);
    if good { Ok(()) } else { Err(EnrolError::RegistrationId(id.to_owned())) }
}

fn check_key(key: &[u8]) -> Result<(), EnrolError> {
    if (16..=64).contains(&key.len()) { Ok(()) } else { Err(EnrolError::KeyLength(key.len())) }
}

fn check_twin(id: &str, tags: &Map<String, Value>, desired: &Map<String, Value>) -> Result<(), EnrolError> {
    let wrong = |error: crate::TwinError| EnrolError::Twin { id: id.to_owned(), why: error.to_string() };
    Twin::default().begin_with(tags, desired, "").map_err(wrong)
}
