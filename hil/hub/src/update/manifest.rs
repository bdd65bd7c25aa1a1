//! Update manifests: what the service tells the device, in the exact text that is signed.

use std::collections::BTreeMap;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::import::sha256_base64;
use super::{ImportError, ImportManifest, UpdateId};
use crate::iot_hub::MAX_STRING;

/// A file that a device may download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateFile {
    /// `f` and 16 hexadecimal digits.
    pub id: String,
    /// Name.
    pub name: String,
    /// Content.
    pub content: Arc<[u8]>,
    /// Absolute path at the file server.
    pub path: String,
}

/// An imported update.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    id: UpdateId,
    is_deployable: bool,
    compatibility: Vec<Map<String, Value>>,
    steps: usize,
    has_references: bool,
    files: Vec<UpdateFile>,
    text: String,
}

impl Update {
    /// Checks an import and makes the update manifest.
    ///
    /// `known` are the updates that reference steps may name.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn import(
        import: &ImportManifest,
        contents: &[(&str, &[u8])],
        known: &BTreeMap<UpdateId, Self>,
    ) -> Result<Self, ImportError> {
        import.validate(contents)?;
        let id = &import.update_id;
        if known.contains_key(id) {
            return Err(ImportError::Exists(id.to_string()));
        }
        let mut files: Vec<UpdateFile> =
            contents.iter().map(|(name, content)| UpdateFile::new(id, name, content)).collect();
        // `files` of the manifest: this update's own files and the manifests of its children.
        let mut listed: Vec<UpdateFile> = Vec::new();
        for file in &import.files {
            listed.extend(files.iter().find(|own| own.name == file.filename).cloned());
        }
        let mut steps = Vec::new();
        let mut has_references = false;
        for (step, import) in import.instructions.steps.iter().enumerate() {
            let Some(child) = &import.update_id else {
                steps.push(inline_step(import, &files));
                continue;
            };
            has_references = true;
            let error = |why: &str| ImportError::Step { step, why: format!("{child}: {why}") };
            let child = known.get(child).ok_or_else(|| error("import it first"))?;
            if child.has_references {
                return Err(error("it has reference steps itself"));
            }
            let detached = child.detached_manifest(id);
            steps.push(json!({"type": "reference", "detachedManifestFileId": detached.id}));
            listed.push(detached.clone());
            files.push(detached);
            files.extend(child.files.iter().cloned());
        }
        let mut entries = Map::new();
        for file in &listed {
            entries.insert(file.id.clone(), file.entry());
        }
        // The order of members is that of the genuine manifests; the text is what gets signed.
        let text = json!({
            "manifestVersion": import.manifest_version.trim_end_matches(".0"),
            "updateId": {"provider": id.provider, "name": id.name, "version": id.version},
            "compatibility": import.compatibility,
            "instructions": {"steps": steps},
            "files": entries,
            "createdDateTime": import.created_date_time,
        })
        .to_string();
        if text.len() > MAX_STRING {
            return Err(ImportError::ManifestTooLarge(text.len()));
        }
        Ok(Self {
            id: id.clone(),
            is_deployable: import.is_deployable,
            compatibility: import.compatibility.clone(),
            steps: import.instructions.steps.len(),
            has_references,
            files,
            text,
        })
    }

    /// What identifies it.
    pub fn id(&self) -> &UpdateId {
        &self.id
    }

    /// Whether it may be deployed by itself.
    pub fn is_deployable(&self) -> bool {
        self.is_deployable
    }

    /// Sets of device properties, of which a device must have one.
    pub fn compatibility(&self) -> &[Map<String, Value>] {
        &self.compatibility
    }

    /// Number of steps, and so of `stepResults`.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Everything a device may have to download, children's files included.
    pub fn files(&self) -> &[UpdateFile] {
        &self.files
    }

    /// The update manifest: the text of the twin's `updateManifest`, which the signature is over.
    pub fn manifest(&self) -> &str {
        &self.text
    }

    /// The file in which a parent's device finds this update's manifest.
    fn detached_manifest(&self, parent: &UpdateId) -> UpdateFile {
        let UpdateId { provider, name, version } = &self.id;
        let content = json!({"updateManifest": self.text}).to_string();
        let name = format!("{provider}.{name}.{version}.updatemanifest.json").to_lowercase();
        UpdateFile::new(parent, &name, content.as_bytes())
    }
}

impl UpdateFile {
    fn new(update: &UpdateId, name: &str, content: &[u8]) -> Self {
        let seed = format!("{update}\n{name}\n{}", sha256_base64(content));
        let hash = hex(digest(&SHA256, seed.as_bytes()).as_ref());
        Self {
            id: format!("f{}", &hash[..16]),
            name: name.to_owned(),
            content: content.into(),
            path: format!("/eastus/hil--hil/{}/{name}", &hash[32..]),
        }
    }

    fn entry(&self) -> Value {
        json!({
            "fileName": self.name,
            "sizeInBytes": self.content.len(),
            "hashes": {"sha256": sha256_base64(&self.content)},
        })
    }
}

fn inline_step(step: &super::ImportStep, files: &[UpdateFile]) -> Value {
    let ids: Vec<&str> = step
        .files
        .iter()
        .flatten()
        .filter_map(|name| files.iter().find(|file| file.name == *name))
        .map(|file| file.id.as_str())
        .collect();
    let mut object = Map::new();
    object.insert("handler".into(), step.handler.clone().into());
    object.insert("files".into(), ids.into());
    if let Some(properties) = &step.handler_properties {
        object.insert("handlerProperties".into(), properties.clone().into());
    }
    Value::Object(object)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
