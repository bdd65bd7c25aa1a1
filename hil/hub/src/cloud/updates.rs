//! What an operator does with updates: import, list, delete; and faults of the file server.

use std::sync::Arc;

use sim_base::Instant;

use super::Cloud;
use crate::files::FileFault;
use crate::update::{
    DeleteError, Deployment, FileView, ImportError, ImportManifest, Status, Update, UpdateFilter, UpdateId, UpdateView,
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
        let id = self.adu.store.import(now, manifest, files, &mut self.files)?;
        self.adu.fleet.updates_changed(&self.adu.store);
        Ok(id)
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
        let needs = |head: &Deployment| {
            let rollback = head.rollback.as_ref().is_some_and(|policy| policy.update.update_id == *id);
            head.status == Status::Active && (head.update == *id || rollback)
        };
        if let Some(run) = self.adu.runs.values().find(|run| needs(&run.head)) {
            let deployment = run.head.id.to_string();
            return Err(DeleteError::Deployed { update: id.to_string(), deployment });
        }
        self.adu.store.delete(id, &mut self.files)?;
        self.adu.fleet.updates_changed(&self.adu.store);
        Ok(())
    }

    /// Sets the fault of every file of this name at the file server; `FileFault::default()` heals it. Yields how many
    /// files there are.
    pub fn set_file_fault(&mut self, name: &str, fault: FileFault) -> usize {
        self.files.set_fault(name, fault)
    }

    /// The fault of the file `name`, with what is left of it.
    pub fn file_fault(&self, name: &str) -> Option<&FileFault> {
        self.files.faults().find(|(known, _)| *known == name).map(|(_, fault)| fault)
    }

    /// Takes back a durable entry, in any order; false for one that is not of Device Update.
    pub(super) fn restore_update(&mut self, key: &str, value: &[u8]) -> Result<bool, String> {
        let known = self.adu.restore(key, value, &mut self.files)?;
        if key == "adu/rootkeys" {
            self.publish_root_keys().map_err(|error| error.to_string())?;
        }
        Ok(known)
    }
}
