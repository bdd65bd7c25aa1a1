//! Device Update for IoT Hub: import, sign, deploy, judge.

mod deploy;
mod deployment;
mod fleet;
mod forge;
mod health;
mod import;
mod judge;
pub mod jws;
mod manifest;
pub mod root_keys;
mod schema;
mod service;
mod store;
mod view;

use serde::{Deserialize, Serialize};

pub(crate) use deploy::{Offer, apply_patch, cancel_patch};
pub(crate) use deployment::Run;
pub use deployment::{
    DeployError, DeployOptions, Deployment, DeploymentId, DeviceCounts, DeviceWork, NewDeployment, RollbackFailure,
    RollbackPolicy, Status, Target, UpdateInfo,
};
pub use fleet::Compliance;
pub use forge::Forgery;
pub(crate) use forge::sign;
pub use health::{DEFAULT_GROUP, DeviceHealth, GROUP_TAG, HealthCheck};
pub(crate) use health::{compatible, examine, health, installed};
pub use import::{DownloadHandler, ImportError, ImportFile, ImportManifest, ImportStep, Instructions, RelatedFile};
pub use judge::{Judgement, Reason, State};
pub(crate) use judge::{judge, not_offered, other_group};
pub(crate) use manifest::{Imported, hex};
pub use manifest::{Update, UpdateFile};
pub use schema::{Issue, MAX_STEPS};
pub(crate) use service::Service;
pub(crate) use store::Store;
pub use store::{DeleteError, FileView, InstructionsView, UpdateFilter, UpdateView};
pub use view::{
    ContractModel, DeploymentDeviceState, DeploymentStatus, DeploymentView, DeviceClassProperties, DeviceClassView,
    DeviceView, GroupView, SubgroupStatus, SubgroupView,
};

/// Name of the component in which agent and service talk.
pub const COMPONENT: &str = "deviceUpdate";
/// `workflow.action`: apply the deployment.
pub const APPLY: u8 = 3;
/// `workflow.action`: cancel.
pub const CANCEL: u8 = 255;
/// `workflow.id` when there is no deployment.
pub const NO_DEPLOYMENT: &str = "nodeployment";

/// What identifies an update.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateId {
    /// Who makes it.
    pub provider: String,
    /// What it is for.
    pub name: String,
    /// Two to four numbers with dots.
    pub version: String,
}

impl UpdateId {
    /// The same id with a version without leading zeros, as the service keeps it.
    pub fn normalised(&self) -> Self {
        let number = |part: &str| part.parse::<u32>().map_or_else(|_| part.to_owned(), |number| number.to_string());
        let version = self.version.split('.').map(number).collect::<Vec<_>>().join(".");
        Self { version, ..self.clone() }
    }

    /// The numbers of the version, by which it is newer or older than another.
    pub fn version_numbers(&self) -> Vec<u32> {
        self.version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
    }
}

impl core::fmt::Display for UpdateId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{} {}", self.provider, self.name, self.version)
    }
}
