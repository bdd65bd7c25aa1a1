//! The updates that were imported, and their files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use sim_base::Instant;

use super::{
    DownloadHandler, ImportError, ImportManifest, ImportStep, Imported, RelatedFile, Update, UpdateFile, UpdateId,
};
use crate::durable::Change;
use crate::files;
use crate::utc::Utc;

/// Which updates are listed; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateFilter {
    /// Of this provider.
    pub provider: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// Of this version.
    pub version: Option<String>,
    /// Deployable by themselves, or not.
    pub is_deployable: Option<bool>,
}

impl UpdateFilter {
    fn admits(&self, update: &Update) -> bool {
        let id = update.id();
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        same(&self.provider, &id.provider)
            && same(&self.name, &id.name)
            && same(&self.version, &id.version)
            && self.is_deployable.is_none_or(|wanted| wanted == update.is_deployable())
    }
}

/// An update as the service's API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateView<'a> {
    /// What identifies it.
    pub update_id: &'a UpdateId,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub friendly_name: Option<&'a str>,
    /// Whether it may be deployed by itself.
    pub is_deployable: bool,
    /// Sets of device properties.
    pub compatibility: &'a [Map<String, Value>],
    /// What to do: `steps`.
    pub instructions: InstructionsView<'a>,
    /// Updates whose reference steps name it.
    pub referenced_by: Vec<&'a UpdateId>,
    /// `4.0` or `5.0`.
    pub manifest_version: &'a str,
    /// When it was imported.
    pub imported_date_time: String,
    /// When it was made.
    pub created_date_time: &'a str,
    /// Ids of its files.
    pub file_ids: Vec<&'a str>,
}

/// Steps as the service's API shows them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InstructionsView<'a> {
    /// As imported.
    pub steps: &'a [ImportStep],
}

/// A file as the service's API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileView<'a> {
    /// Id, name, size and hashes.
    #[serde(flatten)]
    pub file: &'a UpdateFile,
    /// Passed on to the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<&'a Map<String, Value>>,
    /// Files from which it can be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related_files: Option<&'a [RelatedFile]>,
    /// Who makes it from them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_handler: Option<&'a DownloadHandler>,
}

/// Why an update is not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// the update is not imported
    #[error("the update {0} is not imported")]
    NoUpdate(String),
    /// a reference step of another update names it
    #[error("the update {update} is part of {parent}; delete that first")]
    Referenced {
        /// What was to be deleted.
        update: String,
        /// What names it.
        parent: String,
    },
    /// a deployment needs it
    #[error("the update {update} is deployed by `{deployment}`; cancel that first")]
    Deployed {
        /// What was to be deleted.
        update: String,
        /// Id of the deployment.
        deployment: String,
    },
}

impl DeleteError {
    /// The HTTP status that says the same.
    pub fn status(&self) -> u16 {
        if matches!(self, Self::NoUpdate(_)) { 404 } else { 409 }
    }
}

/// The updates.
#[derive(Debug, Default)]
pub(crate) struct Store {
    updates: BTreeMap<UpdateId, Update>,
    /// Paths of files at the file server, by id.
    paths: BTreeMap<String, String>,
    /// Restored contents whose update was not restored yet, by file id.
    loose: BTreeMap<String, Arc<[u8]>>,
    /// Keys of durable entries that have changed.
    changed: BTreeSet<String>,
}

impl Store {
    pub(crate) fn import(
        &mut self,
        now: Instant,
        manifest: &ImportManifest,
        contents: &[(&str, &[u8])],
        files: &mut files::Service,
    ) -> Result<UpdateId, ImportError> {
        let Imported { update, contents } = Update::import(now, manifest, contents, &self.updates)?;
        for (file, body) in contents {
            self.changed.insert(format!("file/{}", file.id));
            self.publish(&file, body, files);
        }
        let id = update.id().clone();
        self.changed.insert(key(&id));
        self.updates.insert(id.clone(), update);
        Ok(id)
    }

    fn publish(&mut self, file: &UpdateFile, body: Arc<[u8]>, files: &mut files::Service) {
        let UpdateFile { id, name, path, .. } = file.clone();
        files.publish(path.clone(), files::File { id: id.clone(), name, protected: true, body });
        self.paths.insert(id, path);
    }

    pub(crate) fn get(&self, id: &UpdateId) -> Option<&Update> {
        self.updates.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Update> {
        self.updates.values()
    }

    pub(crate) fn list<'a>(&'a self, filter: &'a UpdateFilter) -> impl Iterator<Item = &'a Update> {
        self.updates.values().filter(|update| filter.admits(update))
    }

    pub(crate) fn set_friendly_name(&mut self, id: &UpdateId, name: Option<String>) -> bool {
        let Some(update) = self.updates.get_mut(id) else { return false };
        update.set_friendly_name(name);
        self.changed.insert(key(id));
        true
    }

    fn parents<'a>(&'a self, id: &'a UpdateId) -> impl Iterator<Item = &'a UpdateId> {
        let names = move |update: &&Update| update.children().any(|child| child.normalised() == *id);
        self.updates.values().filter(names).map(Update::id)
    }

    pub(crate) fn view<'a>(&'a self, id: &'a UpdateId, utc: Utc) -> Option<UpdateView<'a>> {
        let update = self.updates.get(id)?;
        let import = update.import_manifest();
        Some(UpdateView {
            update_id: update.id(),
            description: import.description.as_deref(),
            friendly_name: update.friendly_name(),
            is_deployable: update.is_deployable(),
            compatibility: update.compatibility(),
            instructions: InstructionsView { steps: &import.instructions.steps },
            referenced_by: self.parents(id).collect(),
            manifest_version: &import.manifest_version,
            imported_date_time: utc.format(update.imported_at()),
            created_date_time: &import.created_date_time,
            file_ids: update.own_files().iter().map(|file| file.id.as_str()).collect(),
        })
    }

    pub(crate) fn file_view(&self, id: &str) -> Option<FileView<'_>> {
        let mut found = self.updates.values().flat_map(|update| update.own_files().iter().map(move |f| (update, f)));
        let (update, file) = found.find(|(_, file)| file.id == id)?;
        let import = update.import_manifest().files.iter().find(|import| import.filename == file.name);
        Some(FileView {
            file,
            properties: import.and_then(|import| import.properties.as_ref()),
            related_files: import.and_then(|import| import.related_files.as_deref()),
            download_handler: import.and_then(|import| import.download_handler.as_ref()),
        })
    }

    pub(crate) fn content<'a>(&self, id: &str, files: &'a files::Service) -> Option<&'a Arc<[u8]>> {
        files.file(self.paths.get(id)?).map(|file| &file.body)
    }

    /// Deletes an update that no other one names.
    pub(crate) fn delete(&mut self, id: &UpdateId, files: &mut files::Service) -> Result<(), DeleteError> {
        let update = self.updates.get(id).ok_or_else(|| DeleteError::NoUpdate(id.to_string()))?;
        if let Some(parent) = self.parents(id).next() {
            return Err(DeleteError::Referenced { update: id.to_string(), parent: parent.to_string() });
        }
        for file in update.own_files() {
            files.withdraw(&file.path);
            self.paths.remove(&file.id);
            self.changed.insert(format!("file/{}", file.id));
        }
        self.changed.insert(key(id));
        self.updates.remove(id);
        Ok(())
    }

    pub(crate) fn forget_changes(&mut self) {
        self.changed.clear();
    }

    pub(crate) fn take_changes(&mut self, files: &files::Service) -> Vec<Change> {
        let changed = core::mem::take(&mut self.changed);
        let updates: BTreeMap<String, &Update> = match changed.iter().any(|key| key.starts_with("update/")) {
            true => self.updates.iter().map(|(id, update)| (key(id), update)).collect(),
            false => BTreeMap::new(),
        };
        let value = |key: &str| match key.strip_prefix("file/") {
            Some(id) => self.content(id, files).map(|body| body.to_vec()),
            // Maps with texts as keys and finite numbers: nothing that JSON could refuse.
            None => updates.get(key).and_then(|update| serde_json::to_vec(update).ok()),
        };
        changed.iter().map(|key| Change { key: key.clone(), value: value(key) }).collect()
    }

    /// Takes back an entry, in any order; yields false for one that is not of the store.
    pub(crate) fn restore(&mut self, key: &str, value: &[u8], files: &mut files::Service) -> Result<bool, String> {
        if let Some(id) = key.strip_prefix("file/") {
            let owner = self.updates.values().flat_map(Update::own_files).find(|file| file.id == id).cloned();
            match owner {
                Some(file) => self.publish(&file, value.into(), files),
                None => {
                    self.loose.insert(id.to_owned(), value.into());
                }
            }
            return Ok(true);
        }
        if !key.starts_with("update/") {
            return Ok(false);
        }
        let update: Update = serde_json::from_slice(value).map_err(|error| format!("{key}: {error}"))?;
        for file in update.own_files() {
            if let Some(body) = self.loose.remove(&file.id) {
                self.publish(file, body, files);
            }
        }
        self.updates.insert(update.id().clone(), update);
        Ok(true)
    }
}

fn key(id: &UpdateId) -> String {
    format!("update/{}/{}/{}", id.provider, id.name, id.version)
}
