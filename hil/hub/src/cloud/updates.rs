//! What an operator does with updates: import, deploy, cancel, retry, judge.

use sim_base::Instant;

use super::Cloud;
use crate::dps::guid;
use crate::event::EventKind;
use crate::files::{self, FileFault};
use crate::iot_hub::HubError;
use crate::update::{
    self, APPLY, CANCEL, DeployError, DeployOptions, Deployment, DeploymentId, Forgery, ImportError, ImportManifest,
    Judgement, NO_DEPLOYMENT, Status, Update, UpdateId,
};

impl Cloud {
    /// Imports an update; its files are `(name, content)`.
    ///
    /// # Errors
    /// [`ImportError`] with the first check that failed; nothing is imported then.
    pub fn import_update(
        &mut self,
        manifest: &ImportManifest,
        files: &[(&str, &[u8])],
    ) -> Result<UpdateId, ImportError> {
        let update = Update::import(manifest, files, &self.updates)?;
        for file in update.files() {
            let served = files::File {
                id: file.id.clone(),
                name: file.name.clone(),
                protected: false,
                body: file.content.clone(),
            };
            self.files.publish(file.path.clone(), served);
        }
        let id = update.id().clone();
        self.updates.insert(id.clone(), update);
        Ok(id)
    }

    /// An imported update.
    pub fn update(&self, id: &UpdateId) -> Option<&Update> {
        self.updates.get(id)
    }

    /// All imported updates, by id.
    pub fn updates(&self) -> impl Iterator<Item = &Update> {
        self.updates.values()
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
        let imported = self.updates.get(update).ok_or_else(|| DeployError::NoUpdate(update.to_string()))?;
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
        let id = DeploymentId(self.deployments.len() as u64 + 1);
        let mut deployment = Deployment {
            id,
            device: device.to_owned(),
            update: update.clone(),
            workflow: guid(&mut self.rng),
            retry_timestamp: None,
            steps: imported.steps(),
            desired_version: 0,
            since: now,
            status: Status::Active,
            options,
        };
        self.write(now, &mut deployment)?;
        for other in self.deployments.values_mut() {
            if other.device == device && other.status == Status::Active {
                other.status = Status::Replaced(id);
            }
        }
        self.deployments.insert(id, deployment);
        Ok(id)
    }

    /// Writes a deployment into the twin.
    fn write(&mut self, now: Instant, deployment: &mut Deployment) -> Result<(), DeployError> {
        let update =
            self.updates.get(&deployment.update).ok_or_else(|| DeployError::NoUpdate(deployment.update.to_string()))?;
        let twin = self.twin(&deployment.device).ok_or_else(|| HubError::NoDevice(deployment.device.clone()))?;
        let (manifest, signature) =
            self.signed(update, deployment.options.forgery).map_err(|error| DeployError::Signing(error.to_string()))?;
        let patch = update::apply_patch(twin, update, &self.config.file_host, &manifest, &signature, deployment);
        deployment.desired_version = self.set_desired(now, &deployment.device, &patch)?;
        deployment.since = now;
        self.note(now, &deployment.device, &deployment.workflow, APPLY, deployment.desired_version);
        Ok(())
    }

    fn signed(&self, update: &Update, forgery: Option<Forgery>) -> Result<(String, String), crate::CloudError> {
        let manifest = update.manifest();
        let signature = match forgery {
            None | Some(Forgery::Manifest) => self.signer.sign(manifest)?,
            Some(Forgery::Signature) => self.signer.forge_signature(manifest)?,
            Some(Forgery::SigningKey) => self.signer.forge_signing_key(manifest)?,
        };
        let manifest = match forgery {
            // Still well-formed and of the same length, with the hash of another file: only the signature tells.
            Some(Forgery::Manifest) => {
                let at = manifest.find("\"sha256\":\"").map_or(0, |at| at + "\"sha256\":\"".len());
                let other = if manifest.as_bytes().get(at) == Some(&b'A') { "B" } else { "A" };
                format!("{}{other}{}", &manifest[..at], &manifest[at + 1..])
            }
            _ => manifest.to_owned(),
        };
        Ok((manifest, signature))
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
        if let Some(deployment) = self.deployments.get_mut(&id) {
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
        self.deployments.insert(id, deployment);
        Ok(())
    }

    fn active(&self, id: DeploymentId) -> Result<Deployment, DeployError> {
        let deployment = self.deployments.get(&id).ok_or(DeployError::NoDeployment(id.0))?;
        if deployment.status == Status::Active { Ok(deployment.clone()) } else { Err(DeployError::NotActive(id.0)) }
    }

    /// A deployment.
    pub fn deployment(&self, id: DeploymentId) -> Option<&Deployment> {
        self.deployments.get(&id)
    }

    /// Where a deployment stands and why, by what the device reports.
    ///
    /// # Errors
    /// [`DeployError::NoDeployment`].
    pub fn judge(&self, id: DeploymentId) -> Result<Judgement, DeployError> {
        let deployment = self.deployments.get(&id).ok_or(DeployError::NoDeployment(id.0))?;
        Ok(update::judge(deployment, self.hub.device(&deployment.device)))
    }

    /// Sets the fault of every file of this name at the file server; `FileFault::default()` heals it. Yields how many
    /// files there are.
    pub fn set_file_fault(&mut self, name: &str, fault: FileFault) -> usize {
        self.files.set_fault(name, fault)
    }
}
