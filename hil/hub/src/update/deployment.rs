//! Deployments: what an operator asks for, and how far each device has come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sim_base::Instant;

use super::root_keys::RootKeyError;
use super::{Forgery, State, UpdateId};
use crate::durable::{instant, maybe_instant};
use crate::iot_hub::HubError;

/// Id of a deployment: chosen by the operator, or a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeploymentId(pub(crate) String);

impl DeploymentId {
    /// An id of 1 to 128 of the characters `A-Z a-z 0-9 . - _ ~`.
    ///
    /// # Errors
    /// [`DeployError::Id`].
    pub fn new(id: &str) -> Result<Self, DeployError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_~".contains(&b);
        if (1..=128).contains(&id.len()) && id.bytes().all(allowed) {
            Ok(Self(id.to_owned()))
        } else {
            Err(DeployError::Id(id.chars().take(140).collect()))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl core::fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Options of a deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeployOptions {
    /// Spoils what is sent.
    pub forgery: Option<Forgery>,
    /// Deploys to a device although its reported properties do not fit the update's compatibility.
    pub ignore_compatibility: bool,
    /// How long the URLs of files are good for; a week if `None`.
    pub url_lifetime_seconds: Option<u64>,
}

/// For whom a deployment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// All devices of a group that the update fits, those that join later included.
    #[serde(rename = "groupId")]
    Group(String),
    /// One device.
    #[serde(rename = "deviceId")]
    Device(String),
}

/// When to give up an update and deploy another one to the whole group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollbackPolicy {
    /// What is deployed then.
    pub update: UpdateInfo,
    /// When.
    pub failure: RollbackFailure,
}

/// Both have to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollbackFailure {
    /// Share of the deployment's devices that have failed, 1 to 100.
    pub devices_failed_percentage: u8,
    /// Number of devices that have failed, at least 1.
    pub devices_failed_count: u32,
}

/// An update as it is named in other objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateInfo {
    /// What identifies it.
    pub update_id: UpdateId,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub friendly_name: Option<String>,
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDeployment {
    /// Its id; a number is found if `None`.
    pub id: Option<DeploymentId>,
    /// For whom.
    pub target: Target,
    /// What.
    pub update: UpdateId,
    /// When it starts; at once if `None` or past.
    pub start: Option<Instant>,
    /// When to give it up; only for groups.
    pub rollback: Option<RollbackPolicy>,
    /// Options.
    pub options: DeployOptions,
}

/// Whether a deployment is the devices' business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Devices get it, from its start on.
    Active,
    /// It was cancelled.
    Cancelled,
    /// Another deployment took its place.
    Replaced(DeploymentId),
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Its id.
    #[serde(rename = "deploymentId")]
    pub id: DeploymentId,
    /// For whom.
    pub target: Target,
    /// What is deployed.
    pub update: UpdateId,
    /// When it starts or started.
    #[serde(with = "instant")]
    pub start: Instant,
    /// Whether it has started.
    pub started: bool,
    /// Later deployments have higher numbers.
    pub sequence: u64,
    /// Whether it is the devices' business.
    pub status: Status,
    /// Whether failed devices were asked to try again.
    pub is_retried: bool,
    /// When to give it up.
    pub rollback: Option<RollbackPolicy>,
    /// Whether a rollback policy made it.
    pub is_cloud_initiated_rollback: bool,
    /// Number of `stepResults` that a success needs.
    pub steps: usize,
    /// Options.
    pub options: DeployOptions,
}

/// How far a device has come with a deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceWork {
    /// Device class when it got the deployment; empty if it had none.
    pub class: String,
    /// `workflow.id`.
    pub workflow: String,
    /// `workflow.retryTimestamp` of the latest retry.
    pub retry_timestamp: Option<String>,
    /// How often it was asked to try again.
    pub retry_count: u32,
    /// Version of the desired properties that carry it.
    pub desired_version: u64,
    /// When it was written or last retried.
    #[serde(with = "instant")]
    pub since: Instant,
    /// When it got its present state, once it is not in progress.
    #[serde(with = "maybe_instant")]
    pub finished: Option<Instant>,
    /// Where it stands.
    pub state: State,
    /// Whether a later deployment was written for the device.
    pub moved_on: bool,
    /// What the device ran before.
    pub before: Option<UpdateId>,
    /// Why the twin could not be written, if it could not.
    pub refused: Option<String>,
}

/// Why a deployment is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// the update is not imported
    #[error("the update {0} is not imported; import it first")]
    NoUpdate(String),
    /// the update may only be deployed as part of another one
    #[error("the update {0} is not deployable by itself; deploy one that refers to it")]
    NotDeployable(String),
    /// the deployment does not exist
    #[error("the deployment `{0}` does not exist")]
    NoDeployment(String),
    /// a deployment of this id exists
    #[error("the deployment `{0}` exists; choose another id")]
    Exists(String),
    /// the id is malformed
    #[error("the deployment id `{0}` must have 1 to 128 of the characters A-Z a-z 0-9 . - _ ~")]
    Id(String),
    /// the deployment is not active
    #[error("the deployment `{0}` was cancelled or replaced; make a new one")]
    NotActive(String),
    /// the deployment is active
    #[error("the deployment `{0}` is active; cancel it first")]
    StillActive(String),
    /// the group does not exist
    #[error("no device has the tag ADUGroup = `{0}`; set the tag, or choose a group that exists")]
    NoGroup(String),
    /// no device of the group is compatible
    #[error("no device of the group `{group}` is offered {update}: {why}")]
    NoneCompatible {
        /// Group.
        group: String,
        /// Update.
        update: String,
        /// The reason.
        why: String,
    },
    /// the rollback policy makes no sense
    #[error("the rollback policy: {0}")]
    Rollback(String),
    /// the device is not compatible
    #[error("the device `{device}` is not offered {update}: {why}")]
    NotCompatible {
        /// Device id.
        device: String,
        /// Update.
        update: String,
        /// The reason.
        why: String,
    },
    /// the manifest could not be signed
    #[error(transparent)]
    Signing(#[from] RootKeyError),
    /// the hub refuses
    #[error(transparent)]
    Hub(#[from] HubError),
}

impl DeployError {
    /// The HTTP status that says the same.
    pub fn status(&self) -> u16 {
        match self {
            Self::NoUpdate(_) | Self::NoDeployment(_) | Self::NoGroup(_) | Self::Hub(HubError::NoDevice(_)) => 404,
            Self::Id(_) | Self::Rollback(_) => 400,
            Self::Signing(error) => error.status(),
            _ => 409,
        }
    }
}

/// A deployment and its devices.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) head: Deployment,
    pub(crate) work: BTreeMap<String, DeviceWork>,
    /// Devices by class and state.
    counts: BTreeMap<String, DeviceCounts>,
    /// Manifest and signature; made when they are first needed, and after each retry.
    pub(crate) signed: Option<(String, String)>,
}

/// Devices of a deployment by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCounts {
    /// All that got it.
    pub total_devices: usize,
    /// In progress.
    pub devices_in_progress_count: usize,
    /// Failed.
    pub devices_completed_failed_count: usize,
    /// Succeeded.
    pub devices_completed_succeeded_count: usize,
    /// Cancelled, or moved on to another deployment before they finished.
    pub devices_canceled_count: usize,
}

impl DeviceCounts {
    fn of(&mut self, state: State) -> &mut usize {
        match state {
            State::InProgress => &mut self.devices_in_progress_count,
            State::Succeeded => &mut self.devices_completed_succeeded_count,
            State::Failed => &mut self.devices_completed_failed_count,
            State::Cancelled => &mut self.devices_canceled_count,
        }
    }

    fn add(&mut self, other: &Self) {
        self.total_devices += other.total_devices;
        self.devices_in_progress_count += other.devices_in_progress_count;
        self.devices_completed_failed_count += other.devices_completed_failed_count;
        self.devices_completed_succeeded_count += other.devices_completed_succeeded_count;
        self.devices_canceled_count += other.devices_canceled_count;
    }
}

impl Run {
    pub(crate) fn new(head: Deployment) -> Self {
        Self { head, work: BTreeMap::new(), counts: BTreeMap::new(), signed: None }
    }

    /// Sets what a device's work is now, with the counts.
    pub(crate) fn set(&mut self, device: &str, work: DeviceWork) {
        let counts = self.counts.entry(work.class.clone()).or_default();
        counts.total_devices += 1;
        *counts.of(work.state) += 1;
        if let Some(old) = self.work.insert(device.to_owned(), work)
            && let Some(counts) = self.counts.get_mut(&old.class)
        {
            counts.total_devices -= 1;
            *counts.of(old.state) -= 1;
            if counts.total_devices == 0 {
                self.counts.remove(&old.class);
            }
        }
    }

    /// Devices by state, by class.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (&str, DeviceCounts)> {
        self.counts.iter().map(|(class, counts)| (class.as_str(), *counts))
    }

    /// Devices by state.
    pub(crate) fn counts(&self) -> DeviceCounts {
        let mut sum = DeviceCounts::default();
        self.counts.values().for_each(|counts| sum.add(counts));
        sum
    }

    pub(crate) fn is_open(&self) -> bool {
        self.head.status == Status::Active && self.head.started
    }
}
