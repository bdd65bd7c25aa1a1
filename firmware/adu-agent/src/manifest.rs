//! The update manifest (service to device), versions 4 and 5.
//!
//! A microcontroller has one image, so what can be carried out is exactly one inline `microsoft/swupdate:1` step with
//! one file. Anything else is refused with a code that says why.

use twin_json::{Str, Value};

use crate::code::Code;
use crate::jws::sha256_from_base64;
use crate::state::{Target, UpdateId};
use crate::text::Text;

/// Most steps and most files of a manifest that the service makes.
const MAX_STEPS: usize = 10;
const MAX_FILES: usize = 10;
const HANDLER: &str = "microsoft/swupdate:1";

/// Why a deployment is refused, with a sentence for the operator.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) details: Text<80>,
    /// Steps of the manifest, as far as it could be read.
    pub(crate) steps: u8,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self { code, details: Text::EMPTY, steps: 0 }
    }
}

/// What the device can be asked to match, in the words of `deviceProperties`.
pub(crate) trait Properties {
    /// The value of the property, if the device has it.
    fn property(&self, name: Str<'_>) -> Option<&str>;
}

/// A manifest that this device can carry out.
#[derive(Debug)]
pub(crate) struct Manifest<'a> {
    pub(crate) target: Target,
    pub(crate) file_id: Str<'a>,
}

impl<'a> Manifest<'a> {
    /// Reads a manifest whose signature has been verified.
    pub(crate) fn parse(text: &'a str, device: &impl Properties, max_len: u32) -> Result<Self, Refusal> {
        let root = Value::parse(text).map_err(|_| Code::MalformedManifest)?;
        let version = string(&root, "manifestVersion").ok_or(Code::MalformedManifest)?;
        if !version.is("4") && !version.is("5") {
            return Err(Code::ManifestVersion.into());
        }
        let steps = root.at(&["instructions", "steps"]);
        if steps.is_none() && root.get("detachedManifestFileId").is_some() {
            return Err(Code::DetachedManifest.into());
        }
        let steps = steps.ok_or(Code::MalformedManifest)?;
        let count = steps.items().count();
        let mut refusal = Refusal { code: Code::None, details: Text::EMPTY, steps: count.min(MAX_STEPS) as u8 };
        match Self::supported(&root, steps, count, device, max_len, &mut refusal.details) {
            Ok(manifest) => Ok(manifest),
            Err(code) => {
                refusal.code = code;
                Err(refusal)
            }
        }
    }

    fn supported(
        root: &Value<'a>,
        steps: Value<'a>,
        count: usize,
        device: &impl Properties,
        max_len: u32,
        details: &mut Text<80>,
    ) -> Result<Self, Code> {
        let update_id = update_id(root).ok_or(Code::UpdateId)?;
        compatible(root, device, details)?;

        if count == 0 || count > MAX_STEPS {
            return Err(Code::StepCount);
        }
        for step in steps.items() {
            if string(&step, "type").is_some_and(|kind| !kind.is("inline")) {
                return Err(Code::ReferenceStep);
            }
            if !string(&step, "handler").is_some_and(|handler| handler.is(HANDLER)) {
                return Err(Code::Handler);
            }
        }
        let step = steps.items().next().ok_or(Code::StepCount)?;
        if count > 1 {
            return Err(Code::StepCount);
        }

        let files = root.get("files").ok_or(Code::FileCount)?;
        let mut ids = step.get("files").ok_or(Code::FileCount)?.items();
        let file_id = match (ids.next(), ids.next()) {
            (Some(id), None) => id.as_str().ok_or(Code::File)?,
            _ => return Err(Code::FileCount),
        };
        if files.members().count() > MAX_FILES {
            return Err(Code::FileCount);
        }
        let (_, file) = files.members().find(|(id, _)| id.raw() == file_id.raw()).ok_or(Code::File)?;
        let size = file.get("sizeInBytes").ok_or(Code::File)?;
        let size = size.as_lenient_u32().ok_or(Code::FileSize)?;
        if size == 0 || size > max_len {
            return Err(Code::FileSize);
        }
        let sha256 = file
            .at(&["hashes", "sha256"])
            .and_then(|hash| hash.as_str()?.plain())
            .and_then(sha256_from_base64)
            .ok_or(Code::File)?;

        let criteria = step.at(&["handlerProperties", "installedCriteria"]);
        let criteria = match criteria.and_then(|criteria| criteria.as_str()) {
            Some(criteria) => Text::from_json(criteria).ok_or(Code::MalformedManifest)?,
            None => update_id.version,
        };
        Ok(Self {
            target: Target {
                update_id,
                criteria,
                sha256,
                size,
                steps: count as u8, // at most MAX_STEPS
            },
            file_id,
        })
    }
}

fn update_id(root: &Value<'_>) -> Option<UpdateId> {
    let id = root.get("updateId")?;
    let part = |name| {
        let text = Text::from_json(string(&id, name)?)?;
        // The characters that the service's import allows; they need no escaping in reports.
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || b".-_ ".contains(&byte);
        (!text.is_empty() && text.as_str().bytes().all(usual)).then_some(text)
    };
    Some(UpdateId { provider: part("provider")?, name: part("name")?, version: part("version")? })
}

/// At least one set of `compatibility` must match in all its members.
fn compatible(root: &Value<'_>, device: &impl Properties, details: &mut Text<80>) -> Result<(), Code> {
    let sets = root.get("compatibility");
    let mut sets = sets.iter().flat_map(Value::items).peekable();
    if sets.peek().is_none() {
        details.push_cut("the manifest names no compatible devices");
        return Err(Code::Incompatible);
    }
    for set in sets {
        let mut members = set.members().peekable();
        let is_empty = members.peek().is_none();
        let mismatch = members.find(|(name, value)| {
            let own = device.property(*name);
            !matches!((own, value.as_str()), (Some(own), Some(wanted)) if wanted.is(own))
        });
        let Some((name, value)) = mismatch else {
            if is_empty {
                continue;
            }
            return Ok(());
        };
        // The first mismatch explains best: services put the intended device first.
        if details.is_empty() {
            details.push_cut(name.raw());
            details.push_cut(" is '");
            details.push_cut(value.as_str().map_or("?", |wanted| wanted.raw()));
            details.push_cut("' in the update, '");
            details.push_cut(device.property(name).unwrap_or("(none)"));
            details.push_cut("' here");
        }
    }
    Err(Code::Incompatible)
}

fn string<'a>(object: &Value<'a>, key: &str) -> Option<Str<'a>> {
    object.get(key)?.as_str()
}
