//! Update manifests: what the service tells the device, in the exact text that is signed.

use std::collections::BTreeMap;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sim_base::Instant;

use super::import::{ImportFile, sha256_base64};
use super::schema::Issue;
use super::{ImportError, ImportManifest, ImportStep, UpdateId};
use crate::files::encode_segment;
use crate::iot_hub::MAX_STRING;

/// A file that a device may download.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateFile {
    /// `f` and 16 hexadecimal digits.
    #[serde(rename = "fileId")]
    pub id: String,
    /// Name.
    #[serde(rename = "fileName")]
    pub name: String,
    /// Size.
    pub size_in_bytes: u64,
    /// Base64 by algorithm; `sha256` is always there.
    pub hashes: BTreeMap<String, String>,
    /// Absolute path at the file server.
    pub path: String,
}

/// An imported update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    import: ImportManifest,
    friendly_name: Option<String>,
    imported_at: u64,
    /// Files of this update and those made for it come first, then those of its children.
    files: Vec<UpdateFile>,
    owned: usize,
    text: String,
    /// What is sent if `text` does not fit a twin.
    mini: Option<String>,
}

/// An update and the contents that have to be published with it.
pub(crate) struct Imported {
    pub(crate) update: Update,
    pub(crate) contents: Vec<(UpdateFile, Arc<[u8]>)>,
}

impl Update {
    /// Checks an import and makes the update manifest.
    ///
    /// `known` are the updates that reference steps may name.
    ///
    /// # Errors
    /// [`ImportError`].
    pub(crate) fn import(
        now: Instant,
        import: &ImportManifest,
        contents: &[(&str, &[u8])],
        known: &BTreeMap<UpdateId, Self>,
    ) -> Result<Imported, ImportError> {
        import.validate(contents)?;
        let mut import = import.clone();
        import.update_id = import.update_id.normalised();
        let id = &import.update_id;
        if known.contains_key(id) {
            return Err(ImportError::Exists(id.clone()));
        }
        let mut published: Vec<(UpdateFile, Arc<[u8]>)> =
            contents.iter().map(|(name, content)| (UpdateFile::new(id, name, content), (*content).into())).collect();
        for (file, _) in &mut published {
            let hashes = import.files.iter().find(|own| own.filename == file.name).map(|own| &own.hashes);
            file.hashes = hashes.cloned().unwrap_or_else(|| file.hashes.clone());
        }
        let mut entries = Map::new();
        for own in &import.files {
            entries.extend(payload_entry(own, &published));
        }
        let mut steps = Vec::new();
        let mut children: Vec<UpdateFile> = Vec::new();
        let mut issues = Vec::new();
        for (index, step) in import.instructions.steps.iter().enumerate() {
            let Some(child) = &step.update_id else {
                steps.push(inline_step(step, &published));
                continue;
            };
            let path = format!("/instructions/steps/{index}/updateId");
            let child = match known.get(&child.normalised()) {
                None => {
                    issues.push(Issue { path, message: format!("{child} is not imported; import it first") });
                    continue;
                }
                Some(child) if child.children().next().is_some() => {
                    let message = format!("{} has reference steps itself; only one level is allowed", child.id());
                    issues.push(Issue { path, message });
                    continue;
                }
                Some(child) => child,
            };
            let (detached, content) = detached_manifest(id, child.id(), &child.text);
            steps.push(json!({"type": "reference", "detachedManifestFileId": detached.id}));
            // Two steps may refer to the same update.
            if entries.insert(detached.id.clone(), detached.entry()).is_none() {
                published.push((detached, content));
                children.extend(child.files[..child.owned].iter().cloned());
            }
        }
        if !issues.is_empty() {
            return Err(ImportError::Invalid(issues));
        }
        // The order of members is that of the genuine manifests; the text is what gets signed.
        let version = import.manifest_version.trim_end_matches(".0");
        let identity = json!({"provider": id.provider, "name": id.name, "version": id.version});
        let text = json!({
            "manifestVersion": version,
            "updateId": identity,
            "compatibility": import.compatibility,
            "instructions": {"steps": steps},
            "files": entries,
            "createdDateTime": import.created_date_time,
        })
        .to_string();
        let mini = (text.len() > MAX_STRING).then(|| {
            let (detached, content) = detached_manifest(id, id, &text);
            let mini = json!({
                "manifestVersion": version,
                "updateId": identity,
                "detachedManifestFileId": detached.id,
                "files": {&detached.id: detached.entry()},
            });
            published.push((detached, content));
            mini.to_string()
        });
        let mut files: Vec<UpdateFile> = published.iter().map(|(file, _)| file.clone()).collect();
        let owned = files.len();
        files.extend(children);
        let update = Self { import, friendly_name: None, imported_at: now.as_nanos(), files, owned, text, mini };
        Ok(Imported { update, contents: published })
    }

    /// What identifies it.
    pub fn id(&self) -> &UpdateId {
        &self.import.update_id
    }

    /// Whether it may be deployed by itself.
    pub fn is_deployable(&self) -> bool {
        self.import.is_deployable
    }

    /// Sets of device properties, of which a device must have one.
    pub fn compatibility(&self) -> &[Map<String, Value>] {
        &self.import.compatibility
    }

    /// Number of steps, and so of `stepResults`.
    pub fn steps(&self) -> usize {
        self.import.instructions.steps.len()
    }

    /// What was imported.
    pub fn import_manifest(&self) -> &ImportManifest {
        &self.import
    }

    /// Updates that its reference steps name.
    pub fn children(&self) -> impl Iterator<Item = &UpdateId> {
        self.import.instructions.steps.iter().filter_map(|step| step.update_id.as_ref())
    }

    /// Everything a device may have to download, children's files included.
    pub fn files(&self) -> &[UpdateFile] {
        &self.files
    }

    /// Files that go when the update goes.
    pub fn own_files(&self) -> &[UpdateFile] {
        &self.files[..self.owned.min(self.files.len())]
    }

    /// The text of the twin's `updateManifest`, which the signature is over: the update manifest, or one that says in
    /// which file the update manifest is (`detachedManifestFileId`) if it does not fit a twin.
    pub fn manifest(&self) -> &str {
        self.mini.as_deref().unwrap_or(&self.text)
    }

    /// The whole update manifest.
    pub fn full_manifest(&self) -> &str {
        &self.text
    }

    /// When it was imported.
    pub fn imported_at(&self) -> Instant {
        Instant::from_nanos(self.imported_at)
    }

    /// Name for people, given with the import.
    pub fn friendly_name(&self) -> Option<&str> {
        self.friendly_name.as_deref()
    }

    pub(crate) fn set_friendly_name(&mut self, name: Option<String>) {
        self.friendly_name = name;
    }
}

/// The file in which a device finds an update manifest that is not in the twin.
fn detached_manifest(parent: &UpdateId, id: &UpdateId, text: &str) -> (UpdateFile, Arc<[u8]>) {
    let UpdateId { provider, name, version } = id;
    let content = json!({"updateManifest": text}).to_string().into_bytes();
    let name = format!("{provider}.{name}.{version}.updatemanifest.json").to_lowercase();
    (UpdateFile::new(parent, &name, &content), content.into())
}

impl UpdateFile {
    fn new(update: &UpdateId, name: &str, content: &[u8]) -> Self {
        let sha256 = sha256_base64(content);
        let seed = format!("{update}\n{name}\n{sha256}");
        let hash = hex(digest(&SHA256, seed.as_bytes()).as_ref());
        Self {
            id: format!("f{}", &hash[..16]),
            name: name.to_owned(),
            size_in_bytes: content.len() as u64,
            hashes: BTreeMap::from([("sha256".to_owned(), sha256)]),
            path: format!("/eastus/hil--hil/{}/{}", &hash[32..], encode_segment(name)),
        }
    }

    fn entry(&self) -> Value {
        json!({"fileName": self.name, "sizeInBytes": self.size_in_bytes, "hashes": self.hashes})
    }
}

type Published<'a> = &'a [(UpdateFile, Arc<[u8]>)];

fn named<'a>(published: Published<'a>, name: &str) -> Option<&'a UpdateFile> {
    published.iter().map(|(file, _)| file).find(|file| file.name == name)
}

/// The entry of a payload file in the manifest's `files`: id and description.
fn payload_entry(own: &ImportFile, published: Published<'_>) -> Option<(String, Value)> {
    let file = named(published, &own.filename)?;
    let mut entry = file.entry();
    if let Some(properties) = &own.properties {
        entry["properties"] = Value::Object(properties.clone());
    }
    if let Some(related) = own.related_files.as_ref().filter(|related| !related.is_empty()) {
        let mut entries = Map::new();
        for one in related {
            let file = named(published, &one.filename)?;
            let mut entry = json!({"fileName": one.filename, "sizeInBytes": one.size_in_bytes, "hashes": one.hashes});
            if let Some(properties) = &one.properties {
                entry["properties"] = Value::Object(properties.clone());
            }
            entries.insert(file.id.clone(), entry);
        }
        entry["relatedFiles"] = Value::Object(entries);
    }
    if let Some(handler) = &own.download_handler {
        entry["downloadHandler"] = json!({"id": handler.id});
    }
    Some((file.id.clone(), entry))
}

fn inline_step(step: &ImportStep, published: Published<'_>) -> Value {
    let files = step.files.iter().flatten();
    let ids: Vec<&str> = files.filter_map(|name| named(published, name)).map(|file| file.id.as_str()).collect();
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
