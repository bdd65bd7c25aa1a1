//! The update manifest (service to device), versions 4 and 5.
//!
//! A microcontroller has one image, so what can be carried out is exactly one inline `microsoft/swupdate:1` step with
//! one file. Anything else is refused with a code that says why.

use twin_json::{Str, Value};

use crate::agent::Config;
use crate::code::Code;
use crate::jws::sha256_from_base64;
use crate::state::{DETAILS_LEN, Target, UpdateId};
use crate::text::Text;

/// Most steps and most files of a manifest that the service makes.
const MAX_STEPS: usize = 10;
const MAX_FILES: usize = 10;
const HANDLER: &str = "microsoft/swupdate:1";

/// Reads a manifest whose signature has been verified, and returns the id of its file.
///
/// `target` has to be empty. Its size stays zero if the manifest is refused; `details` may then say more.
pub(crate) fn read<'a>(
    text: &'a str,
    config: &Config<'_>,
    target: &mut Target,
    details: &mut Text<DETAILS_LEN>,
) -> Result<Str<'a>, Code> {
    let root = Value::parse(text).map_err(|_| Code::MalformedManifest)?;
    let version = root.string("manifestVersion").ok_or(Code::MalformedManifest)?;
    if !version.is("4") && !version.is("5") {
        return Err(Code::ManifestVersion);
    }
    let Some(steps) = root.at(&["instructions", "steps"]) else {
        let is_detached = root.get("detachedManifestFileId").is_some();
        return Err(if is_detached { Code::DetachedManifest } else { Code::MalformedManifest });
    };
    let count = steps.items().count();
    target.steps = count.min(MAX_STEPS) as u8;

    if !read_update_id(&root, &mut target.update_id) {
        return Err(Code::UpdateId);
    }
    check_compatible(&root, config, details)?;

    let mut first = None;
    for step in steps.items() {
        if step.string("type").is_some_and(|kind| !kind.is("inline")) {
            return Err(Code::ReferenceStep);
        }
        if !step.string("handler").is_some_and(|handler| handler.is(HANDLER)) {
            return Err(Code::Handler);
        }
        first.get_or_insert(step);
    }
    let step = first.filter(|_| count == 1).ok_or(Code::StepCount)?;

    let criteria = step.at(&["handlerProperties", "installedCriteria"]);
    match criteria.and_then(|criteria| criteria.as_str()) {
        Some(criteria) if !target.criteria.set_json(criteria) => return Err(Code::MalformedManifest),
        Some(_) => {}
        None => target.criteria = target.update_id.version,
    }
    read_file(&root, &step, config.max_file_len, target)
}

fn read_file<'a>(root: &Value<'a>, step: &Value<'a>, max_len: u32, target: &mut Target) -> Result<Str<'a>, Code> {
    let files = root.get("files").ok_or(Code::FileCount)?;
    let mut ids = step.get("files").ok_or(Code::FileCount)?.items();
    let (Some(id), None) = (ids.next(), ids.next()) else {
        return Err(Code::FileCount);
    };
    if files.members().count() > MAX_FILES {
        return Err(Code::FileCount);
    }
    let id = id.as_str().ok_or(Code::File)?;
    let file = files.get(id.raw()).ok_or(Code::File)?;
    let hash = file.at(&["hashes", "sha256"]).and_then(|hash| hash.as_str());
    target.sha256 = hash.and_then(|hash| sha256_from_base64(hash.raw())).ok_or(Code::File)?;
    let size = file.get("sizeInBytes").ok_or(Code::File)?.as_lenient_u32();
    target.size = size.filter(|size| (1..=max_len).contains(size)).ok_or(Code::FileSize)?;
    Ok(id)
}

fn read_update_id(root: &Value<'_>, update_id: &mut UpdateId) -> bool {
    let Some(id) = root.get("updateId") else { return false };
    let UpdateId { provider, name, version } = update_id;
    for (member, text) in [("provider", provider), ("name", name), ("version", version)] {
        let is_read = id.string(member).is_some_and(|value| text.set_json(value));
        // The characters that the service's import allows; they need no escaping in reports.
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || b".-_ ".contains(&byte);
        if !is_read || text.is_empty() || !text.as_str().bytes().all(usual) {
            return false;
        }
    }
    true
}

/// At least one set of `compatibility` must match in all its members.
fn check_compatible(root: &Value<'_>, config: &Config<'_>, details: &mut Text<DETAILS_LEN>) -> Result<(), Code> {
    let mut has_sets = false;
    for set in root.get("compatibility").iter().flat_map(Value::items) {
        has_sets = true;
        let mut matches = 0;
        let mismatch = set.members().find(|(name, value)| {
            let own = config.property(*name);
            let is_match = matches!((own, value.as_str()), (Some(own), Some(wanted)) if wanted.is(own));
            matches += u32::from(is_match);
            !is_match
        });
        match mismatch {
            None if matches > 0 => {
                details.clear();
                return Ok(());
            }
            // The first mismatch explains best: services put the intended device first.
            Some((name, value)) if details.is_empty() => {
                let wanted = value.as_str().map_or("?", |wanted| wanted.raw());
                let own = config.property(name).unwrap_or("(none)");
                for part in [name.raw(), " is '", wanted, "' in the update, '", own, "' here"] {
                    details.push_cut(part);
                }
            }
            _ => {}
        }
    }
    if !has_sets {
        details.push_cut("the manifest names no compatible devices");
    }
    Err(Code::Incompatible)
}
