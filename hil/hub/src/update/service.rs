//! Everything that Device Update keeps: updates, keys, devices by class and group, deployments.

use std::collections::BTreeMap;

use sim_base::Rng;

use super::root_keys::KeyRing;
use super::{Deployment, DeploymentId, Store};
use crate::CloudError;
use crate::keys::Keys;

/// What Device Update keeps.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) store: Store,
    pub(crate) keys: KeyRing,
    pub(crate) deployments: BTreeMap<DeploymentId, Deployment>,
    pub(crate) rng: Rng,
}

impl Service {
    pub(crate) fn new(keys: &Keys, now_unix: u64, rng: Rng) -> Result<Self, CloudError> {
        Ok(Self { store: Store::default(), keys: KeyRing::new(keys, now_unix)?, deployments: BTreeMap::new(), rng })
    }
}
