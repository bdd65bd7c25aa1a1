//! Import manifests: what an operator hands to the service together with the files.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::UpdateId;
use super::schema::{Checker, Issue, MAX_SIZE, quote};

/// An import manifest, version 4.0 or 5.0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportManifest {
    /// Address of the JSON schema; not used.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// What is imported.
    pub update_id: UpdateId,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it may be deployed by itself, not only as part of another update.
    #[serde(default = "yes")]
    pub is_deployable: bool,
    /// Sets of device properties; a device must have all properties of one set.
    pub compatibility: Vec<Map<String, Value>>,
    /// What to do.
    pub instructions: Instructions,
    /// Files that the steps name.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub files: Vec<ImportFile>,
    /// ISO 8601.
    pub created_date_time: String,
    /// `4.0` or `5.0`.
    pub manifest_version: String,
}

fn yes() -> bool {
    true
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The steps of an import manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instructions {
    /// One to ten steps.
    pub steps: Vec<ImportStep>,
}

/// A step of an import manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportStep {
    /// `inline` (also if absent) or `reference`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Of an inline step: who carries it out, e.g. `microsoft/swupdate:1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// Of an inline step: names of files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<String>>,
    /// Of an inline step: options of the handler, e.g. `installedCriteria`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler_properties: Option<Map<String, Value>>,
    /// Of a reference step: the other update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_id: Option<UpdateId>,
}

/// A file of an import manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportFile {
    /// Name, unique in the update.
    pub filename: String,
    /// Size.
    pub size_in_bytes: u64,
    /// `sha256` in base64, and perhaps another.
    pub hashes: BTreeMap<String, String>,
    /// Passed on to the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Map<String, Value>>,
    /// Version 5: files from which a download handler can make this one, such as deltas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related_files: Option<Vec<RelatedFile>>,
    /// Version 5: who makes it from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_handler: Option<DownloadHandler>,
}

/// A file that helps to download another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RelatedFile {
    /// Name, unique in the update.
    pub filename: String,
    /// Size.
    pub size_in_bytes: u64,
    /// `sha256` in base64, and perhaps another.
    pub hashes: BTreeMap<String, String>,
    /// Passed on to the device, e.g. `microsoft.sourceFileHash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Map<String, Value>>,
}

/// Who makes a file from related ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownloadHandler {
    /// E.g. `microsoft/delta:1`.
    pub id: String,
}

/// Why an import is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// the import manifest is not JSON
    #[error("the import manifest is not JSON: {0}")]
    Json(String),
    /// the import manifest has mistakes, or does not fit the files
    #[error("the import manifest has {}", listed(.0))]
    Invalid(Vec<Issue>),
    /// the update was imported before
    #[error("the update {0} was imported before; give it another version, or delete it first")]
    Exists(UpdateId),
}

fn listed(issues: &[Issue]) -> String {
    let lines: Vec<String> = issues
        .iter()
        .map(|Issue { path, message }| format!("{}: {message}", if path.is_empty() { "/" } else { path }))
        .collect();
    let plural = if lines.len() == 1 { "a mistake" } else { "mistakes" };
    format!("{plural}: {}", lines.join("; "))
}

impl ImportError {
    /// The HTTP status that says the same.
    pub fn status(&self) -> u16 {
        if matches!(self, Self::Exists(_)) { 409 } else { 400 }
    }

    /// The mistakes, each with its place.
    pub fn issues(&self) -> &[Issue] {
        if let Self::Invalid(issues) = self { issues } else { &[] }
    }
}

impl ImportManifest {
    /// Reads an import manifest.
    ///
    /// # Errors
    /// [`ImportError::Json`], [`ImportError::Invalid`] with every mistake of its form.
    pub fn parse(json: &str) -> Result<Self, ImportError> {
        let value = serde_json::from_str(json).map_err(|error| ImportError::Json(error.to_string()))?;
        Self::from_value(value)
    }

    /// An import manifest from parsed JSON.
    ///
    /// # Errors
    /// [`ImportError::Invalid`] with every mistake of its form.
    pub fn from_value(value: Value) -> Result<Self, ImportError> {
        let mut checker = Checker::default();
        checker.manifest(&value);
        if checker.issues.is_empty() {
            match serde_json::from_value(value) {
                Ok(manifest) => return Ok(manifest),
                Err(error) => checker.issue("", error.to_string()),
            }
        }
        Err(ImportError::Invalid(checker.issues))
    }

    /// An import manifest for one firmware file: one `microsoft/swupdate:1` step, installed criteria = version.
    ///
    /// `created` is an ISO 8601 time such as `2026-01-31T12:00:00.0000000Z`.
    pub fn firmware(
        id: UpdateId,
        manufacturer: &str,
        model: &str,
        filename: &str,
        content: &[u8],
        created: &str,
    ) -> Self {
        let compatibility = Map::from_iter([
            ("manufacturer".to_owned(), Value::from(manufacturer)),
            ("model".to_owned(), Value::from(model)),
        ]);
        let criteria = Map::from_iter([("installedCriteria".to_owned(), Value::from(id.version.as_str()))]);
        Self {
            schema: None,
            update_id: id,
            description: None,
            is_deployable: true,
            compatibility: vec![compatibility],
            instructions: Instructions {
                steps: vec![ImportStep {
                    kind: None,
                    description: None,
                    handler: Some("microsoft/swupdate:1".to_owned()),
                    files: Some(vec![filename.to_owned()]),
                    handler_properties: Some(criteria),
                    update_id: None,
                }],
            },
            files: vec![ImportFile {
                filename: filename.to_owned(),
                size_in_bytes: content.len() as u64,
                hashes: BTreeMap::from([("sha256".to_owned(), sha256_base64(content))]),
                properties: None,
                related_files: None,
                download_handler: None,
            }],
            created_date_time: created.to_owned(),
            manifest_version: "5.0".to_owned(),
        }
    }

    /// Checks form and files; everything that can be checked without the other updates.
    pub(super) fn validate(&self, contents: &[(&str, &[u8])]) -> Result<(), ImportError> {
        let value = serde_json::to_value(self).map_err(|error| ImportError::Json(error.to_string()))?;
        let mut checker = Checker::default();
        checker.manifest(&value);
        if checker.issues.is_empty() {
            self.check_files(contents, &mut checker);
        }
        if checker.issues.is_empty() { Ok(()) } else { Err(ImportError::Invalid(checker.issues)) }
    }

    /// Every file that has to be handed over: JSON pointer, name, size, hashes.
    fn expected(&self) -> impl Iterator<Item = (String, &str, u64, &BTreeMap<String, String>)> {
        self.files.iter().enumerate().flat_map(|(index, file)| {
            let path = format!("/files/{index}");
            let related = file.related_files.iter().flatten().enumerate().map({
                let path = path.clone();
                move |(n, file)| {
                    let path = format!("{path}/relatedFiles/{n}");
                    (path, file.filename.as_str(), file.size_in_bytes, &file.hashes)
                }
            });
            core::iter::once((path, file.filename.as_str(), file.size_in_bytes, &file.hashes)).chain(related)
        })
    }

    fn check_files(&self, contents: &[(&str, &[u8])], checker: &mut Checker) {
        let mut names = BTreeMap::new();
        let mut sum = 0_u64;
        for (path, name, size, hashes) in self.expected() {
            sum = sum.saturating_add(size);
            if let Some(other) = names.insert(name, path.clone()) {
                let message = format!("the file {} is listed before, at {other}; give it another name", quote(name));
                checker.issue(&format!("{path}/filename"), message);
                continue;
            }
            let Some((_, content)) = contents.iter().find(|(given, _)| *given == name) else {
                let message = format!("the file {} was not handed over; send it along", quote(name));
                checker.issue(&format!("{path}/filename"), message);
                continue;
            };
            if size != content.len() as u64 {
                let message = format!("the file {} has {} bytes, not {size}", quote(name), content.len());
                checker.issue(&format!("{path}/sizeInBytes"), message);
            }
            let hash = sha256_base64(content);
            if hashes.get("sha256") != Some(&hash) {
                let message = format!(
                    "the file {} has the SHA-256 {hash}; correct it, or send the file that is meant",
                    quote(name)
                );
                checker.issue(&format!("{path}/hashes/sha256"), message);
            }
        }
        if sum > MAX_SIZE {
            checker.issue("/files", format!("the files have {sum} bytes together, more than {MAX_SIZE} (2 GiB)"));
        }
        for (name, _) in contents.iter().filter(|(name, _)| !names.contains_key(name)) {
            let message =
                format!("the file {} was handed over, but is not listed; list it, or leave it out", quote(name));
            checker.issue("/files", message);
        }
        let steps = || self.instructions.steps.iter().enumerate();
        for (step, index, name) in steps()
            .flat_map(|(step, import)| import.files.iter().flatten().enumerate().map(move |(i, name)| (step, i, name)))
        {
            if !self.files.iter().any(|file| file.filename == *name) {
                let path = format!("/instructions/steps/{step}/files/{index}");
                checker.issue(&path, format!("the file {} is not listed in `files`; list it there", quote(name)));
            }
        }
        for (index, file) in self.files.iter().enumerate() {
            let name = &file.filename;
            if !steps().any(|(_, step)| step.files.iter().flatten().any(|used| used == name)) {
                let message =
                    format!("no step uses the file {}; name it in a step's `files`, or leave it out", quote(name));
                checker.issue(&format!("/files/{index}/filename"), message);
            }
        }
    }
}

/// SHA-256 in standard base64, as manifests have it: 44 characters.
pub(crate) fn sha256_base64(content: &[u8]) -> String {
    STANDARD.encode(digest(&SHA256, content))
}
