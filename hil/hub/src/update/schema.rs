//! The form of import manifests 4.0 and 5.0: what a JSON document must look like before anything else is looked at.
//!
//! The limits are those of the public JSON schemas (`azure-deviceupdate-import-manifest-{4,5}.0.json`) and of the
//! service's documentation. Every mistake is named by JSON pointer (RFC 6901) with a word about what to do.

use serde::Serialize;
use serde_json::{Map, Value};

/// Most steps of an update.
pub const MAX_STEPS: usize = 10;
const MAX_FILES: usize = 10;
const MAX_RELATED_FILES: usize = 4;
const MAX_COMPATIBILITY: usize = 10;
const MAX_COMPATIBILITY_PROPERTIES: usize = 5;
/// Largest sum of all file sizes, bytes.
pub(super) const MAX_SIZE: u64 = 2 * 1024 * 1024 * 1024;
/// Most mistakes that are listed.
const MAX_ISSUES: usize = 20;

/// A mistake in an import manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// JSON pointer of the place, e.g. `/updateId/version`; empty for the whole document.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Collects mistakes.
#[derive(Debug, Default)]
pub(super) struct Checker {
    pub(super) issues: Vec<Issue>,
}

/// Members of an object: name, and whether it must be there.
type Members = [(&'static str, bool)];

const TOP: &Members = &[
    ("$schema", false),
    ("updateId", true),
    ("description", false),
    ("isDeployable", false),
    ("compatibility", true),
    ("instructions", true),
    ("files", false),
    ("manifestVersion", true),
    ("createdDateTime", true),
];

/// Names of members that people write instead, and where the thing belongs.
const ELSEWHERE: &[(&str, &str)] = &[
    ("installedCriteria", "it belongs into a step's `handlerProperties`"),
    ("updateType", "version 4 replaced it by `handler` of a step"),
    ("deviceManufacturer", "it belongs into a set of `compatibility`"),
    ("deviceModel", "it belongs into a set of `compatibility`"),
    ("fileName", "in an import manifest the member is `filename`"),
    ("detachedManifestFileId", "that is of device manifests; a reference step has `updateId`"),
    ("friendlyName", "it is given with the import request, not in the manifest"),
];

impl Checker {
    pub(super) fn issue(&mut self, path: &str, message: impl Into<String>) {
        if self.issues.len() < MAX_ISSUES {
            self.issues.push(Issue { path: path.to_owned(), message: message.into() });
        }
    }

    /// Checks a whole import manifest.
    pub(super) fn manifest(&mut self, value: &Value) {
        let Some(top) = self.object(value, "", TOP) else { return };
        if let Some(version) = top.get("manifestVersion").and_then(|v| self.text(v, "/manifestVersion", 1, 8))
            && !matches!(version, "4.0" | "5.0" | "4" | "5")
        {
            let message = format!("{} is not supported; write \"5.0\" (or \"4.0\")", quote(version));
            self.issue("/manifestVersion", message);
        }
        let delta = matches!(top.get("manifestVersion").and_then(Value::as_str), Some("5" | "5.0"));
        if let Some(schema) = top.get("$schema") {
            self.text(schema, "/$schema", 0, 4096);
        }
        if let Some(id) = top.get("updateId") {
            self.update_id(id, "/updateId");
        }
        if let Some(description) = top.get("description") {
            self.text(description, "/description", 1, 512);
        }
        if let Some(deployable) = top.get("isDeployable")
            && !deployable.is_boolean()
        {
            self.wrong_type(deployable, "/isDeployable", "true or false");
        }
        if let Some(compatibility) = top.get("compatibility") {
            self.compatibility(compatibility);
        }
        if let Some(instructions) = top.get("instructions")
            && let Some(object) = self.object(instructions, "/instructions", &[("steps", true)])
            && let Some(steps) = object.get("steps")
        {
            let path = "/instructions/steps";
            for (index, step) in self.list(steps, path, 1, MAX_STEPS).iter().enumerate() {
                self.step(step, &format!("{path}/{index}"));
            }
        }
        if let Some(files) = top.get("files").filter(|files| !files.is_null()) {
            for (index, file) in self.list(files, "/files", 0, MAX_FILES).iter().enumerate() {
                self.file(file, &format!("/files/{index}"), true, delta);
            }
        }
        if let Some(created) = top.get("createdDateTime").and_then(|v| self.text(v, "/createdDateTime", 1, 64))
            && !is_timestamp(created)
        {
            let message = format!("{} is not an ISO 8601 time; write one like 2026-01-31T12:00:00Z", quote(created));
            self.issue("/createdDateTime", message);
        }
    }

    fn update_id(&mut self, value: &Value, path: &str) {
        let members = [("provider", true), ("name", true), ("version", true)];
        let Some(id) = self.object(value, path, &members) else { return };
        for part in ["provider", "name"] {
            let path = format!("{path}/{part}");
            let allowed = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
            if let Some(text) = id.get(part).and_then(|value| self.text(value, &path, 1, 64))
                && !text.chars().all(allowed)
            {
                let message = format!("{} may only have the characters A-Z a-z 0-9 . -", quote(text));
                self.issue(&path, message);
            }
        }
        let path = format!("{path}/version");
        if let Some(version) = id.get("version").and_then(|value| self.text(value, &path, 1, 64))
            && let Err(why) = check_version(version)
        {
            self.issue(&path, why);
        }
    }

    fn compatibility(&mut self, value: &Value) {
        let path = "/compatibility";
        for (index, set) in self.list(value, path, 1, MAX_COMPATIBILITY).iter().enumerate() {
            let path = format!("{path}/{index}");
            let Some(set) = set.as_object() else {
                self.wrong_type(set, &path, "an object of device properties");
                continue;
            };
            self.count(&path, "properties", set.len(), 1, MAX_COMPATIBILITY_PROPERTIES);
            for (key, value) in set {
                let path = format!("{path}/{}", escape(key));
                if key.is_empty() || key.chars().count() > 32 {
                    self.issue(&path, "the name of a property has 1 to 32 characters");
                }
                self.text(value, &path, 1, 64);
            }
        }
    }

    fn step(&mut self, value: &Value, path: &str) {
        let kind = value.get("type").and_then(Value::as_str);
        let reference = kind == Some("reference");
        let members: &Members = if reference {
            &[("type", true), ("description", false), ("updateId", true)]
        } else {
            &[("type", false), ("description", false), ("handler", true), ("files", true), ("handlerProperties", false)]
        };
        // The commonest mistake gets its own words.
        if kind.is_none() && value.get("updateId").is_some() {
            self.issue(path, "a step with `updateId` is a reference step; add `\"type\": \"reference\"`");
            return;
        }
        let Some(step) = self.object(value, path, members) else { return };
        if let Some(kind) = step.get("type") {
            let path = format!("{path}/type");
            if let Some(kind) = self.text(kind, &path, 1, 64)
                && !matches!(kind, "inline" | "reference")
            {
                let message = format!("{} is not a type of step; write \"inline\" or \"reference\"", quote(kind));
                self.issue(&path, message);
            }
        }
        if let Some(description) = step.get("description") {
            self.text(description, &format!("{path}/description"), 1, 64);
        }
        if reference {
            if let Some(id) = step.get("updateId") {
                self.update_id(id, &format!("{path}/updateId"));
            }
            return;
        }
        if let Some(handler) = step.get("handler") {
            self.handler(handler, &format!("{path}/handler"), "microsoft/swupdate:1");
        }
        if let Some(files) = step.get("files") {
            let path = format!("{path}/files");
            for (index, file) in self.list(files, &path, 1, MAX_FILES).iter().enumerate() {
                self.filename(file, &format!("{path}/{index}"));
            }
        }
        if let Some(properties) = step.get("handlerProperties")
            && !properties.is_object()
        {
            self.wrong_type(properties, &format!("{path}/handlerProperties"), "an object");
        }
    }

    /// `provider/name:version`.
    fn handler(&mut self, value: &Value, path: &str, example: &str) {
        let Some(text) = self.text(value, path, 5, 32) else { return };
        let well_formed = text.split_once('/').is_some_and(|(provider, rest)| {
            let (name, version) = rest.rsplit_once(':').unwrap_or_default();
            let digits = (1..=5).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_digit());
            !provider.is_empty() && !name.is_empty() && digits && !text.contains(char::is_whitespace)
        });
        if !well_formed {
            let message = format!("{} is not of the form provider/name:version, such as {example}", quote(text));
            self.issue(path, message);
        }
    }

    fn filename(&mut self, value: &Value, path: &str) {
        if let Some(name) = self.text(value, path, 1, 255)
            && (name.contains(['/', '\\']) || name.chars().any(char::is_control) || matches!(name, "." | ".."))
        {
            let message = format!("{} is not a file name; leave out folders and control characters", quote(name));
            self.issue(path, message);
        }
    }

    fn file(&mut self, value: &Value, path: &str, payload: bool, delta: bool) {
        let members: &Members = match (payload, delta) {
            (true, true) => &[
                ("filename", true),
                ("sizeInBytes", true),
                ("hashes", true),
                ("properties", false),
                ("relatedFiles", false),
                ("downloadHandler", false),
            ],
            (_, false) if value.get("relatedFiles").or_else(|| value.get("downloadHandler")).is_some() => {
                self.issue(path, "relatedFiles and downloadHandler need manifestVersion \"5.0\"");
                return;
            }
            _ => &[("filename", true), ("sizeInBytes", true), ("hashes", true), ("properties", false)],
        };
        let Some(file) = self.object(value, path, members) else { return };
        if let Some(name) = file.get("filename") {
            self.filename(name, &format!("{path}/filename"));
        }
        if let Some(size) = file.get("sizeInBytes") {
            let path = format!("{path}/sizeInBytes");
            match size.as_u64() {
                None => self.wrong_type(size, &path, "the number of bytes, a positive integer"),
                Some(0) => self.issue(&path, "an empty file cannot be imported; the size is at least 1"),
                Some(size) if size > MAX_SIZE => {
                    self.issue(
                        &path,
                        format!("{size} is more than the {MAX_SIZE} bytes (2 GiB) that an update may have"),
                    );
                }
                Some(_) => {}
            }
        }
        if let Some(hashes) = file.get("hashes") {
            self.hashes(hashes, &format!("{path}/hashes"));
        }
        if let Some(properties) = file.get("properties")
            && !properties.is_object()
        {
            self.wrong_type(properties, &format!("{path}/properties"), "an object");
        }
        if let Some(related) = file.get("relatedFiles") {
            let path = format!("{path}/relatedFiles");
            for (index, file) in self.list(related, &path, 0, MAX_RELATED_FILES).iter().enumerate() {
                self.file(file, &format!("{path}/{index}"), false, true);
            }
        }
        if let Some(handler) = file.get("downloadHandler") {
            let path = format!("{path}/downloadHandler");
            if let Some(id) = self.object(handler, &path, &[("id", true)]).and_then(|handler| handler.get("id")) {
                self.handler(id, &format!("{path}/id"), "microsoft/delta:1");
            }
        }
    }

    fn hashes(&mut self, value: &Value, path: &str) {
        let Some(hashes) = value.as_object() else {
            self.wrong_type(value, path, "an object with `sha256`");
            return;
        };
        self.count(path, "hashes", hashes.len(), 1, 2);
        for (algorithm, hash) in hashes {
            let path = format!("{path}/{}", escape(algorithm));
            if algorithm.chars().count() > 10 {
                self.issue(&path, "the name of an algorithm has at most 10 characters");
            }
            let Some(text) = self.text(hash, &path, 1, 256) else { continue };
            if algorithm == "sha256" && !is_sha256(text) {
                let hint = match text.len() {
                    64 => " (it looks hexadecimal: `openssl dgst -sha256 -binary FILE | base64` writes base64)",
                    _ => "",
                };
                self.issue(&path, format!("{} is not a SHA-256 in base64, 44 characters{hint}", quote(text)));
            }
        }
        if !hashes.contains_key("sha256") {
            self.issue(path, "`sha256` is missing; add the SHA-256 of the file in base64");
        }
    }

    /// An object of these members and no others.
    fn object<'a>(&mut self, value: &'a Value, path: &str, members: &Members) -> Option<&'a Map<String, Value>> {
        let Some(object) = value.as_object() else {
            self.wrong_type(value, path, "an object");
            return None;
        };
        for key in object.keys() {
            if !members.iter().any(|(name, _)| name == key) {
                let at = format!("{path}/{}", escape(key));
                let message = format!("the member {} is not known here; {}", quote(key), hint(key, members));
                self.issue(&at, message);
            }
        }
        for (name, _) in members.iter().filter(|(name, required)| *required && !object.contains_key(*name)) {
            self.issue(&format!("{path}/{name}"), format!("`{name}` is missing; add it"));
        }
        Some(object)
    }

    fn list<'a>(&mut self, value: &'a Value, path: &str, min: usize, max: usize) -> &'a [Value] {
        let Some(list) = value.as_array() else {
            self.wrong_type(value, path, "a list");
            return &[];
        };
        self.count(path, "entries", list.len(), min, max);
        list
    }

    fn count(&mut self, path: &str, what: &str, count: usize, min: usize, max: usize) {
        if !(min..=max).contains(&count) {
            self.issue(path, format!("{count} {what}, but {min} to {max} are allowed"));
        }
    }

    fn text<'a>(&mut self, value: &'a Value, path: &str, min: usize, max: usize) -> Option<&'a str> {
        let Some(text) = value.as_str() else {
            self.wrong_type(value, path, "a text");
            return None;
        };
        let count = text.chars().count();
        if !(min..=max).contains(&count) {
            self.issue(path, format!("{count} characters, but {min} to {max} are allowed"));
            return None;
        }
        Some(text)
    }

    fn wrong_type(&mut self, value: &Value, path: &str, wanted: &str) {
        let seen = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => format!("the number {number}"),
            Value::String(text) => format!("the text {}", quote(text)),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        self.issue(path, format!("{seen} is written where {wanted} belongs"));
    }
}

/// Two to four numbers with dots, each below 2^31; otherwise what to do.
pub(super) fn check_version(version: &str) -> Result<(), String> {
    let number =
        |part: &str| part.bytes().all(|b| b.is_ascii_digit()) && part.parse::<u32>().is_ok_and(|n| n < 1 << 31);
    let parts = version.split('.').count();
    if (2..=4).contains(&parts) && version.split('.').all(|part| !part.is_empty() && number(part)) {
        return Ok(());
    }
    let example = match version.strip_prefix(['v', 'V']) {
        Some(rest) if rest.split('.').all(number) => rest,
        _ if parts == 1 && number(version) && !version.is_empty() => {
            return Err(format!(
                "{} is one number; write two to four numbers with dots, such as {version}.0",
                quote(version)
            ));
        }
        _ => "1.2.3",
    };
    Err(format!("{} is not two to four numbers with dots; write one like {example}", quote(version)))
}

/// What to do about a member that is not known.
fn hint(key: &str, members: &Members) -> String {
    if let Some((_, hint)) = ELSEWHERE.iter().find(|(name, _)| *name == key) {
        return (*hint).to_owned();
    }
    let near = members.iter().map(|(name, _)| (distance(key, name), *name)).min();
    match near {
        Some((distance, name)) if distance <= 2 => format!("did you mean `{name}`?"),
        _ => {
            let names: Vec<String> = members.iter().map(|(name, _)| format!("`{name}`")).collect();
            format!("there are {}", names.join(", "))
        }
    }
}

/// Levenshtein distance without regard to case, counted up to the length of keys that occur.
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| text.chars().take(40).flat_map(char::to_lowercase).collect::<Vec<char>>();
    let (a, b) = (fold(a), fold(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let cost = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A key as a part of a JSON pointer.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A text in backticks, shortened, without control characters.
pub(super) fn quote(text: &str) -> String {
    let shown: String = text.chars().take(60).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    if text.chars().count() > 60 { format!("`{shown}…`") } else { format!("`{shown}`") }
}

fn is_sha256(text: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

/// `2026-01-31T12:00:00[.1234567](Z|+01:00)`.
fn is_timestamp(text: &str) -> bool {
    let Some((seconds, rest)) = text.split_at_checked(19) else { return false };
    let number = |range: core::ops::Range<usize>| seconds.get(range).and_then(|digits| digits.parse::<u32>().ok());
    let shape = seconds.bytes().enumerate().all(|(i, byte)| match i {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    });
    let within = |range, min, max| number(range).is_some_and(|n| (min..=max).contains(&n));
    let sense = within(5..7, 1, 12) && within(8..10, 1, 31) && within(11..13, 0, 23) && within(14..16, 0, 59);
    let rest = rest.strip_prefix('.').map_or(Some(rest), |rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        (1..=9).contains(&digits).then(|| &rest[digits..])
    });
    let zone = rest.is_some_and(|rest| match rest.as_bytes() {
        b"Z" => true,
        [b'+' | b'-', hour @ .., b':', _, _] => {
            hour.len() == 2 && rest[1..].bytes().all(|b| b.is_ascii_digit() || b == b':')
        }
        _ => false,
    });
    shape && sense && zone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_and_versions() {
        for good in ["2020-10-02T22:18:04.9446744Z", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.1+01:30"] {
            assert!(is_timestamp(good), "{good}");
        }
        for bad in [
            "2026-01-31",
            "2026-13-31T12:00:00Z",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00Z",
            "2026-01-31T12:00:00.Z",
        ] {
            assert!(!is_timestamp(bad), "{bad}");
        }
        for good in ["1.0", "2021.11.8", "1.2.3.2147483647", "01.1"] {
            assert_eq!(check_version(good), Ok(()));
        }
        for (bad, part) in [
            ("1", "such as 1.0"),
            ("v1.2", "write one like 1.2"),
            ("1.2.3.4.5", "two to four"),
            ("1.2147483648", "two to four"),
            ("1.", "two to four"),
            ("", "two to four"),
            ("1.0-rc1", "write one like 1.2.3"),
        ] {
            let why = check_version(bad).expect_err(bad);
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn the_nearest_member_is_offered() {
        assert_eq!(hint("updateID", TOP), "did you mean `updateId`?");
        assert_eq!(hint("compatability", TOP), "did you mean `compatibility`?");
        assert!(hint("surprise", TOP).starts_with("there are `$schema`, `updateId`"));
        assert!(hint("installedCriteria", TOP).contains("handlerProperties"));
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
