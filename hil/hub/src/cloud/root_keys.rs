//! What an operator does with the keys of Device Update: rotate, disable, publish.

use sim_base::Instant;

use super::{Cloud, CloudError};
use crate::files;
use crate::update::root_keys::{RootKeyError, RootKeyState};

impl Cloud {
    /// The keys that are in use, those that are disabled, and the version of the package.
    pub fn root_key_state(&self) -> &RootKeyState {
        &self.adu.keys.state
    }

    /// Key ids of all root keys.
    pub fn root_key_ids(&self) -> impl Iterator<Item = &str> {
        self.adu.keys.root_kids()
    }

    /// Key ids of all signing keys.
    pub fn signing_key_ids(&self) -> impl Iterator<Item = &str> {
        self.adu.keys.signing_kids()
    }

    /// Deployments and retries from now on are signed under this root key.
    ///
    /// # Errors
    /// [`RootKeyError`] if it does not exist or is disabled.
    pub fn rotate_root_key(&mut self, now: Instant, kid: &str) -> Result<(), RootKeyError> {
        self.adu.keys.use_root(self.utc.seconds(now), kid)?;
        Ok(self.publish_root_keys()?)
    }

    /// Deployments and retries from now on are signed by this signing key, for which the root key in use vouches.
    ///
    /// # Errors
    /// [`RootKeyError`] if it does not exist or is disabled.
    pub fn rotate_signing_key(&mut self, now: Instant, kid: &str) -> Result<(), RootKeyError> {
        self.adu.keys.use_signing_key(self.utc.seconds(now), kid)?;
        Ok(self.publish_root_keys()?)
    }

    /// Disables a root key in the package, or enables it again.
    ///
    /// # Errors
    /// [`RootKeyError`] if it does not exist or is in use.
    pub fn set_root_key_disabled(&mut self, now: Instant, kid: &str, disabled: bool) -> Result<(), RootKeyError> {
        self.adu.keys.set_root_disabled(self.utc.seconds(now), kid, disabled)?;
        Ok(self.publish_root_keys()?)
    }

    /// Disables a signing key in the package, or enables it again.
    ///
    /// # Errors
    /// [`RootKeyError`] if it does not exist or is in use.
    pub fn set_signing_key_disabled(&mut self, now: Instant, kid: &str, disabled: bool) -> Result<(), RootKeyError> {
        self.adu.keys.set_signing_key_disabled(self.utc.seconds(now), kid, disabled)?;
        Ok(self.publish_root_keys()?)
    }

    /// Whether deployments and retries from now on carry `rootKeyPackageUrl`, and whether the package says that it is
    /// for tests.
    ///
    /// # Errors
    /// [`RootKeyError::Key`] if a root key refuses to sign.
    pub fn offer_root_keys(&mut self, now: Instant, offered: bool, is_test: bool) -> Result<(), RootKeyError> {
        self.adu.keys.offer(self.utc.seconds(now), offered, is_test);
        Ok(self.publish_root_keys()?)
    }

    /// The signed package with all root keys.
    ///
    /// # Errors
    /// [`CloudError::Key`] if a root key refuses to sign.
    pub fn root_key_package(&self) -> Result<String, CloudError> {
        self.adu.keys.package()
    }

    /// Where deployments say that the package is, if they do.
    pub fn root_key_package_url(&self) -> Option<String> {
        self.adu.keys.state.offered.then(|| self.files.open_url(&self.root_key_package_path()))
    }

    fn root_key_package_path(&self) -> String {
        format!("/eastus/hil--hil/rootkeys/{}/rootkeypackage.json", self.adu.keys.state.version)
    }

    pub(super) fn publish_root_keys(&mut self) -> Result<(), CloudError> {
        if self.adu.keys.state.offered {
            let body = self.adu.keys.package()?.into_bytes().into();
            let id = format!("rootkeys-{}", self.adu.keys.state.version);
            let file = files::File { id, name: "rootkeypackage.json".into(), protected: false, body };
            self.files.publish(self.root_key_package_path(), file);
        }
        Ok(())
    }
}
