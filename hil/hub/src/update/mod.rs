//! Device Update for IoT Hub: import, sign, deploy, judge.

mod deploy;
mod import;
mod judge;
pub mod jws;
mod manifest;

use serde::{Deserialize, Serialize};

pub use deploy::{DeployError, DeployOptions, Deployment, DeploymentId, Forgery, Status};
pub(crate) use deploy::{apply_patch, cancel_patch, compatible};
pub use import::{ImportError, ImportFile, ImportManifest, ImportStep, Instructions, MAX_STEPS};
pub(crate) use judge::judge;
pub use judge::{Judgement, State};
pub(crate) use manifest::hex;
pub use manifest::{Update, UpdateFile};

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

impl core::fmt::Display for UpdateId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{} {}", self.provider, self.name, self.version)
    }
}
