//! Import manifests: what an operator hands to the service together with the files.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::UpdateId;

/// Most steps of an update.
pub const MAX_STEPS: usize = 10;
const MAX_FILES: usize = 10;
const MAX_COMPATIBILITY: usize = 10;
const MAX_COMPATIBILITY_PROPERTIES: usize = 5;
const MAX_DESCRIPTION: usize = 512;
const MAX_FILE_SIZE: u64 = 2 * 1024 * 1024 * 1024;

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
    #[serde(default)]
    pub files: Vec<ImportFile>,
    /// ISO 8601.
    pub created_date_time: String,
    /// `4.0` or `5.0`.
    pub manifest_version: String,
}

fn yes() -> bool {
    true
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
    /// `sha256` in base64.
    pub hashes: BTreeMap<String, String>,
    /// Version 5: source files for delta updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related_files: Option<Value>,
    /// Version 5: who puts deltas together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_handler: Option<Value>,
}

/// Why an import is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// the import manifest is not of the documented form
    #[error("the import manifest is not of the documented form: {0}")]
    Form(String),
    /// the manifest version is not known
    #[error("manifestVersion `{0}` is neither 4.0 nor 5.0")]
    ManifestVersion(String),
    /// a part of the update id is malformed
    #[error("`{0}` in updateId must have 1 to 64 of the characters A-Z a-z 0-9 . - _")]
    UpdateId(String),
    /// the version is malformed
    #[error("the version `{0}` must be two to four numbers with dots")]
    Version(String),
    /// the update was imported before
    #[error("the update {0} was imported before; give it another version")]
    Exists(String),
    /// a count or length is out of its limits
    #[error("{what}: {count}, but {min} to {max} are allowed")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        count: u64,
        /// How few may be.
        min: u64,
        /// How many may be.
        max: u64,
    },
    /// a compatibility property is not a text of 1 to 64 characters
    #[error("the compatibility property `{0}` is not a text of 1 to 64 characters")]
    Compatibility(String),
    /// createdDateTime is not an ISO 8601 time in UTC
    #[error("createdDateTime `{0}` is not of the form 2026-01-31T12:00:00Z")]
    Created(String),
    /// a step is not complete, or mixes inline and reference
    #[error("step {step}: {why}")]
    Step {
        /// Index, from 0.
        step: usize,
        /// What is wrong.
        why: String,
    },
    /// a file is named twice
    #[error("the file `{0}` is listed twice")]
    FileTwice(String),
    /// no step uses a file
    #[error("no step uses the file `{0}`")]
    FileUnused(String),
    /// a file was not handed over
    #[error("the file `{0}` is listed, but was not handed over")]
    FileMissing(String),
    /// a file was handed over that is not listed
    #[error("the file `{0}` was handed over, but is not listed")]
    FileUnlisted(String),
    /// a file name is malformed
    #[error("the file name `{0}` must have 1 to 255 of the characters A-Z a-z 0-9 . - _ + ( ) and no others")]
    FileName(String),
    /// the content of a file is not what the manifest says
    #[error("the file `{file}` has {what} {actual}, but the manifest says {listed}")]
    Content {
        /// File name.
        file: String,
        /// What differs.
        what: &'static str,
        /// What it is.
        actual: String,
        /// What the manifest says.
        listed: String,
    },
    /// delta updates are not supported
    #[error("the file `{0}` has relatedFiles or a downloadHandler; delta updates are not supported here")]
    Delta(String),
    /// the update manifest does not fit a twin
    #[error("the update manifest would have {0} bytes, more than the 4096 that fit a twin's string")]
    ManifestTooLarge(usize),
}

impl ImportManifest {
    /// Reads an import manifest.
    ///
    /// # Errors
    /// [`ImportError::Form`].
    pub fn parse(json: &str) -> Result<Self, ImportError> {
        serde_json::from_str(json).map_err(|error| ImportError::Form(error.to_string()))
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
                related_files: None,
                download_handler: None,
            }],
            created_date_time: created.to_owned(),
            manifest_version: "5.0".to_owned(),
        }
    }

    /// Checks everything that can be checked without the other updates.
    pub(super) fn validate(&self, contents: &[(&str, &[u8])]) -> Result<(), ImportError> {
        if !matches!(self.manifest_version.as_str(), "4.0" | "5.0" | "4" | "5") {
            return Err(ImportError::ManifestVersion(self.manifest_version.clone()));
        }
        let UpdateId { provider, name, version } = &self.update_id;
        for part in [provider, name] {
            let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            if part.is_empty() || part.len() > 64 || !part.chars().all(allowed) {
                return Err(ImportError::UpdateId(part.clone()));
            }
        }
        let numbers = version.split('.').count();
        let number = |part: &str| part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty();
        if !(2..=4).contains(&numbers) || !version.split('.').all(number) {
            return Err(ImportError::Version(version.clone()));
        }
        count("characters of the description", self.description.as_ref().map_or(0, String::len), 0, MAX_DESCRIPTION)?;
        if !is_timestamp(&self.created_date_time) {
            return Err(ImportError::Created(self.created_date_time.clone()));
        }
        count("compatibility sets", self.compatibility.len(), 1, MAX_COMPATIBILITY)?;
        for set in &self.compatibility {
            count("properties of a compatibility set", set.len(), 1, MAX_COMPATIBILITY_PROPERTIES)?;
            for (key, value) in set {
                if !value.as_str().is_some_and(|value| (1..=64).contains(&value.len())) {
                    return Err(ImportError::Compatibility(key.clone()));
                }
            }
        }
        count("steps", self.instructions.steps.len(), 1, MAX_STEPS)?;
        for (step, import) in self.instructions.steps.iter().enumerate() {
            import.validate().map_err(|why| ImportError::Step { step, why })?;
        }
        self.validate_files(contents)
    }

    fn validate_files(&self, contents: &[(&str, &[u8])]) -> Result<(), ImportError> {
        count("files", self.files.len(), 0, MAX_FILES)?;
        let mut listed = BTreeMap::new();
        for file in &self.files {
            let name = &file.filename;
            let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_+()".contains(c);
            if name.is_empty() || name.len() > 255 || !name.chars().all(allowed) {
                return Err(ImportError::FileName(name.clone()));
            }
            if listed.insert(name.as_str(), file).is_some() {
                return Err(ImportError::FileTwice(name.clone()));
            }
            if file.related_files.is_some() || file.download_handler.is_some() {
                return Err(ImportError::Delta(name.clone()));
            }
            let content = contents.iter().find(|(given, _)| given == name);
            let (_, content) = content.ok_or_else(|| ImportError::FileMissing(name.clone()))?;
            let differs = |what, actual: String, listed: String| ImportError::Content {
                file: name.clone(),
                what,
                actual,
                listed,
            };
            if file.size_in_bytes != content.len() as u64 {
                return Err(differs("size", content.len().to_string(), file.size_in_bytes.to_string()));
            }
            if file.size_in_bytes > MAX_FILE_SIZE {
                return Err(differs("size", file.size_in_bytes.to_string(), format!("at most {MAX_FILE_SIZE}")));
            }
            let hash = sha256_base64(content);
            let given = file.hashes.get("sha256").map_or("", String::as_str);
            if given != hash {
                return Err(differs("sha256", hash, given.to_owned()));
            }
        }
        if let Some((name, _)) = contents.iter().find(|(name, _)| !listed.contains_key(name)) {
            return Err(ImportError::FileUnlisted((*name).to_owned()));
        }
        let mut unused = listed.clone();
        for (step, import) in self.instructions.steps.iter().enumerate() {
            for name in import.files.iter().flatten() {
                unused.remove(name.as_str());
                if !listed.contains_key(name.as_str()) {
                    return Err(ImportError::Step { step, why: format!("the file `{name}` is not listed") });
                }
            }
        }
        match unused.keys().next() {
            Some(name) => Err(ImportError::FileUnused((*name).to_owned())),
            None => Ok(()),
        }
    }
}

impl ImportStep {
    fn validate(&self) -> Result<(), String> {
        match self.kind.as_deref() {
            None | Some("inline") => {
                let handler = self.handler.as_deref().ok_or("an inline step needs a handler")?;
                let well_formed = handler.split_once('/').is_some_and(|(provider, rest)| {
                    let version = rest.split_once(':').map(|(name, version)| (!name.is_empty(), version));
                    !provider.is_empty()
                        && version
                            .is_some_and(|(named, v)| named && !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()))
                });
                if !well_formed {
                    return Err(format!("the handler `{handler}` is not of the form provider/name:version"));
                }
                if self.files.as_ref().is_none_or(Vec::is_empty) {
                    return Err("an inline step needs a file".into());
                }
                if self.update_id.is_some() { Err("an inline step has no updateId".into()) } else { Ok(()) }
            }
            Some("reference") => {
                if self.update_id.is_none() {
                    return Err("a reference step needs an updateId".into());
                }
                if self.handler.is_some() || self.files.is_some() || self.handler_properties.is_some() {
                    return Err("a reference step has neither handler nor files".into());
                }
                Ok(())
            }
            Some(other) => Err(format!("the type `{other}` is neither inline nor reference")),
        }
    }
}

fn count(what: &'static str, count: usize, min: usize, max: usize) -> Result<(), ImportError> {
    if (min..=max).contains(&count) {
        Ok(())
    } else {
        Err(ImportError::Count { what, count: count as u64, min: min as u64, max: max as u64 })
    }
}

/// `2026-01-31T12:00:00[.1234567]Z`.
fn is_timestamp(text: &str) -> bool {
    let Some((seconds, rest)) = text.split_at_checked(19) else { return false };
    let shape = seconds.bytes().enumerate().all(|(i, byte)| match i {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    });
    let fraction = rest.strip_suffix('Z').map(|rest| rest.strip_prefix('.').unwrap_or(rest));
    shape && fraction.is_some_and(|digits| digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// SHA-256 in standard base64, as manifests have it: 44 characters.
pub(crate) fn sha256_base64(content: &[u8]) -> String {
    STANDARD.encode(digest(&SHA256, content))
}
