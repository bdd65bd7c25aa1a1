//! What an operator does with updates: import, deploy, cancel, retry, judge.

use std::sync::Arc;

use sim_base::Instant;

use super::Cloud;
use crate::dps::guid;
use crate::durable::Change;
use crate::event::EventKind;
use crate::files::FileFault;
use crate::iot_hub::HubError;
use crate::update::{
    self, APPLY, CANCEL, DeleteError, DeployError, DeployOptions, Deployment, DeploymentId, FileView, ImportError,
    ImportManifest, Judgement, NO_DEPLOYMENT, Status, Update, UpdateFilter, UpdateId, UpdateView,
};

impl Cloud {
    /// Imports an update; its files are `(name, content)`.
    ///
    /// # Errors
    /// [`ImportError`] with the first check that failed; nothing is imported then.
    pub fn import_update(
        &mut self,
        now: Instant,
        manifest: &ImportManifest,
        files: &[(&str, &[u8])],
    ) -> Result<UpdateId, ImportError> {
        self.adu.store.import(now, manifest, files, &mut self.files)
    }

    /// An imported update.
    pub fn update(&self, id: &UpdateId) -> Option<&Update> {
        self.adu.store.get(id)
    }

    /// All imported updates, by id.
    pub fn updates(&self) -> impl Iterator<Item = &Update> {
        self.adu.store.iter()
    }

    /// Imported updates that pass a filter, by id.
    pub fn list_updates<'a>(&'a self, filter: &'a UpdateFilter) -> impl Iterator<Item = &'a Update> {
        self.adu.store.list(filter)
    }

    /// An update as the service's API shows it.
    pub fn update_view<'a>(&'a self, id: &'a UpdateId) -> Option<UpdateView<'a>> {
        self.adu.store.view(id, self.utc)
    }

    /// A file of an update, by its id, as the service's API shows it.
    pub fn file_view(&self, id: &str) -> Option<FileView<'_>> {
        self.adu.store.file_view(id)
    }

    /// The content of a file, by its id.
    pub fn file_content(&self, id: &str) -> Option<&Arc<[u8]>> {
        self.adu.store.content(id, &self.files)
    }

    /// Gives an update a name for people, or takes it away; false if there is no such update.
    pub fn set_friendly_name(&mut self, id: &UpdateId, name: Option<String>) -> bool {
        self.adu.store.set_friendly_name(id, name)
    }

    /// Deletes an update and its files.
    ///
    /// # Errors
    /// [`DeleteError`] while another update refers to it or a deployment needs it.
    pub fn delete_update(&mut self, id: &UpdateId) -> Result<(), DeleteError> {
        let needs = |deployment: &&Deployment| deployment.update == *id && deployment.status == Status::Active;
        if let Some(deployment) = self.adu.deployments.values().find(needs) {
            let deployment = deployment.id.0.to_string();
            return Err(DeleteError::Deployed { update: id.to_string(), deployment });
        }
        self.adu.store.delete(id, &mut self.files)
    }

    /// Deploys an update to a device: signs the manifest and writes the desired `deviceUpdate` component.
    ///
    /// # Errors
    /// [`DeployError`]; the twin is unchanged then.
    pub fn deploy(
        &mut self,
        now: Instant,
        device: &str,
        update: &UpdateId,
        options: DeployOptions,
    ) -> Result<DeploymentId, DeployError> {
        let imported = self.adu.store.get(update).ok_or_else(|| DeployError::NoUpdate(update.to_string()))?;
        if !imported.is_deployable() {
            return Err(DeployError::NotDeployable(update.to_string()));
        }
        let twin = self.twin(device).ok_or_else(|| HubError::NoDevice(device.to_owned()))?;
        if !options.ignore_compatibility {
            update::compatible(twin, imported).map_err(|why| DeployError::NotCompatible {
                device: device.to_owned(),
                update: update.to_string(),
                why,
            })?;
        }
        let id = DeploymentId(self.adu.deployments.len() as u64 + 1);
        let mut deployment = Deployment {
            id,
            device: device.to_owned(),
            update: update.clone(),
            workflow: guid(&mut self.adu.rng),
            retry_timestamp: None,
            steps: imported.steps(),
            desired_version: 0,
            since: now,
            status: Status::Active,
            options,
        };
        self.write(now, &mut deployment)?;
        for other in self.adu.deployments.values_mut() {
            if other.device == device && other.status == Status::Active {
                other.status = Status::Replaced(id);
            }
        }
        self.adu.deployments.insert(id, deployment);
        Ok(id)
    }

    /// Writes a deployment into the twin.
    fn write(&mut self, now: Instant, deployment: &mut Deployment) -> Result<(), DeployError> {
        let update = self
            .adu
            .store
            .get(&deployment.update)
            .ok_or_else(|| DeployError::NoUpdate(deployment.update.to_string()))?;
        let twin = self.twin(&deployment.device).ok_or_else(|| HubError::NoDevice(deployment.device.clone()))?;
        let (manifest, signature) = update::sign(&self.adu.keys, update.manifest(), deployment.options.forgery)?;
        let package = self.root_key_package_url();
        let now_unix = self.utc.seconds(now);
        let offer = update::Offer { update, files: &self.files, manifest, signature, now_unix, package };
        let patch = update::apply_patch(twin, &offer, deployment);
        deployment.desired_version = self.set_desired(now, &deployment.device, &patch)?;
        deployment.since = now;
        self.note(now, &deployment.device, &deployment.workflow, APPLY, deployment.desired_version);
        Ok(())
    }

    fn note(&mut self, now: Instant, device: &str, workflow: &str, action: u8, version: u64) {
        let kind =
            EventKind::DeploymentChanged { device: device.to_owned(), workflow: workflow.to_owned(), action, version };
        self.record(now, None, vec![kind]);
    }

    /// Cancels a deployment: action 255, `nodeployment`, everything else null.
    ///
    /// # Errors
    /// [`DeployError`].
    pub fn cancel(&mut self, now: Instant, id: DeploymentId) -> Result<(), DeployError> {
        let deployment = self.active(id)?;
        let twin = self.twin(&deployment.device).ok_or_else(|| HubError::NoDevice(deployment.device.clone()))?;
        let patch = update::cancel_patch(twin);
        let version = self.set_desired(now, &deployment.device, &patch)?;
        if let Some(deployment) = self.adu.deployments.get_mut(&id) {
            deployment.status = Status::Cancelled;
        }
        self.note(now, &deployment.device, NO_DEPLOYMENT, CANCEL, version);
        Ok(())
    }

    /// Asks the device to try again: same workflow id, a new `retryTimestamp`.
    ///
    /// # Errors
    /// [`DeployError`].
    pub fn retry(&mut self, now: Instant, id: DeploymentId) -> Result<(), DeployError> {
        let mut deployment = self.active(id)?;
        deployment.retry_timestamp = Some(self.utc.format(now));
        self.write(now, &mut deployment)?;
        self.adu.deployments.insert(id, deployment);
        Ok(())
    }

    fn active(&self, id: DeploymentId) -> Result<Deployment, DeployError> {
        let deployment = self.adu.deployments.get(&id).ok_or(DeployError::NoDeployment(id.0))?;
        if deployment.status == Status::Active { Ok(deployment.clone()) } else { Err(DeployError::NotActive(id.0)) }
    }

    /// A deployment.
    pub fn deployment(&self, id: DeploymentId) -> Option<&Deployment> {
        self.adu.deployments.get(&id)
    }

    /// Where a deployment stands and why, by what the device reports.
    ///
    /// # Errors
    /// [`DeployError::NoDeployment`].
    pub fn judge(&self, id: DeploymentId) -> Result<Judgement, DeployError> {
        let deployment = self.adu.deployments.get(&id).ok_or(DeployError::NoDeployment(id.0))?;
        Ok(update::judge(deployment, self.hub.device(&deployment.device)))
    }

    /// Sets the fault of every file of this name at the file server; `FileFault::default()` heals it. Yields how many
    /// files there are.
    pub fn set_file_fault(&mut self, name: &str, fault: FileFault) -> usize {
        self.files.set_fault(name, fault)
    }

    /// Durable entries of Device Update that have changed since the last call: `update/…`, `file/ID` (the raw bytes),
    /// `rootkeys`.
    pub fn take_update_changes(&mut self) -> Vec<Change> {
        let mut changes = self.adu.store.take_changes(&self.files);
        changes.extend(self.adu.keys.take_change());
        changes
    }

    /// Takes back an entry that [`take_update_changes`](Self::take_update_changes) gave, in any order; false for one
    /// that is not of Device Update.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn restore_update(&mut self, key: &str, value: &[u8]) -> Result<bool, String> {
        if self.adu.keys.restore(key, value)? {
            self.publish_root_keys().map_err(|error| error.to_string())?;
            return Ok(true);
        }
        self.adu.store.restore(key, value, &mut self.files)
    }
}
