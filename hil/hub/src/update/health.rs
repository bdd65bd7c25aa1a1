//! What Device Update makes of a device: the agent check, its class and its group.
//!
//! The checks and limits are those of the service's agent check. A device that fails one is no target of deployments.

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::{Map, Value};

use super::schema::quote;
use super::{COMPONENT, Update, UpdateId, hex};
use crate::iot_hub::{Device, Twin};

/// Tag that puts a device into a group.
pub const GROUP_TAG: &str = "ADUGroup";
/// Group of devices without the tag.
pub const DEFAULT_GROUP: &str = "$default";
/// Most properties that `compatPropertyNames` may name.
const MAX_PROPERTIES: usize = 5;
/// Families of interfaces that agents may report.
const CONTRACTS: [&str; 2] = ["dtmi:azure:iot:deviceUpdateContractModel;", "dtmi:azure:iot:deviceUpdate;"];

/// Whether a device can be updated, as the service's agent check shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceHealth {
    /// Device id.
    pub device_id: String,
    /// `healthy` or `unhealthy`.
    pub state: &'static str,
    /// Model id of the latest CONNECT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digital_twin_model_id: Option<String>,
    /// The checks.
    pub health_checks: Vec<HealthCheck>,
}

/// A check of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// What was checked.
    pub name: &'static str,
    /// `success` or `userError`.
    pub result: &'static str,
    /// What is wrong and what to do; absent if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Properties by which devices are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClassKey {
    pub(crate) contract: String,
    pub(crate) properties: BTreeMap<String, String>,
}

impl ClassKey {
    /// 40 hexadecimal digits.
    pub(crate) fn id(&self) -> String {
        let text = self.properties.iter().fold(self.contract.clone(), |text, (k, v)| format!("{text}\n{k}={v}"));
        hex(&digest(&SHA256, text.as_bytes()).as_ref()[..20])
    }

    /// Whether an update is for devices of this class.
    pub(crate) fn fits(&self, update: &Update) -> bool {
        update
            .compatibility()
            .iter()
            .any(|set| set.iter().all(|(key, wanted)| self.properties.get(key).map(String::as_str) == wanted.as_str()))
    }
}

fn agent(twin: &Twin) -> &Value {
    static NOTHING: Value = Value::Null;
    twin.reported().get(COMPONENT).and_then(|component| component.get("agent")).unwrap_or(&NOTHING)
}

/// The update that a device says it runs; the error is a text that cannot be read as one.
pub(crate) fn installed(twin: &Twin) -> Result<Option<UpdateId>, String> {
    match &agent(twin)["installedUpdateId"] {
        Value::Null => Ok(None),
        Value::String(text) => serde_json::from_str(text).map(Some).map_err(|_| text.clone()),
        other => Err(other.to_string()),
    }
}

/// Everything that the checks found out.
pub(crate) struct Examined {
    checks: [(&'static str, Result<(), String>); 5],
    contract: String,
    properties: BTreeMap<String, String>,
    pub(crate) group: String,
}

impl Examined {
    /// The class, if all checks passed.
    pub(crate) fn class(self) -> Option<(ClassKey, String)> {
        let healthy = self.checks.iter().all(|(_, outcome)| outcome.is_ok());
        healthy.then_some((ClassKey { contract: self.contract, properties: self.properties }, self.group))
    }

    fn first_problem(&self) -> Option<&str> {
        self.checks.iter().find_map(|(_, outcome)| outcome.as_ref().err().map(String::as_str))
    }
}

/// Examines a device.
pub(crate) fn examine(device: &Device) -> Examined {
    let twin = device.twin();
    let agent = agent(twin);
    let properties = agent["deviceProperties"].as_object();
    let model = match device.model_id() {
        None => Err("the device announces no model id; add `model-id` to the user name of CONNECT (api-version \
                     2020-09-30 or later)"
            .to_owned()),
        Some(id) if !is_dtmi(id) => Err(format!("the model id {} is no DTMI; write one like {}", quote(id), EXAMPLE)),
        Some(_) => Ok(()),
    };
    let mut contract = String::new();
    let interface = match properties {
        None => Err("it has not reported deviceUpdate.agent.deviceProperties yet; report them after each start".into()),
        Some(properties) => check_contract(properties).map(|id| contract = id),
    };
    let mut values = BTreeMap::new();
    let names = check_names(&agent["compatPropertyNames"]);
    let reported = match (&names, properties) {
        (Ok(names), Some(properties)) => check_values(names, properties).map(|found| values = found),
        _ => Err("unknown before the checks above pass".into()),
    };
    let group = check_group(twin.tags());
    let (group, tag) = match group {
        Ok(group) => (group, Ok(())),
        Err(why) => (DEFAULT_GROUP.to_owned(), Err(why)),
    };
    Examined {
        checks: [
            ("PnP model ID", model),
            ("Interface ID", interface),
            ("Compatibility property names", names.map(|_| ())),
            ("Compatibility property values", reported),
            ("ADU group", tag),
        ],
        contract,
        properties: values,
        group,
    }
}

const EXAMPLE: &str = "`dtmi:azure:iot:deviceUpdateModel;3`";

fn check_contract(properties: &Map<String, Value>) -> Result<String, String> {
    let found = ["contractModelId", "interfaceId"].into_iter().find_map(|key| Some((key, properties.get(key)?)));
    let Some((key, value)) = found else {
        return Err("its deviceProperties have neither contractModelId nor interfaceId; report contractModelId = \
                    `dtmi:azure:iot:deviceUpdateContractModel;2` (or ;3)"
            .into());
    };
    let id = value.as_str().unwrap_or_default();
    if !CONTRACTS.iter().any(|family| id.starts_with(family)) || !is_dtmi(id) {
        let wanted = CONTRACTS.map(|family| format!("`{family}…`")).join(" or ");
        return Err(format!("deviceProperties.{key} is {value}, which is not of Device Update; report {wanted}"));
    }
    Ok(id.to_owned())
}

fn check_names(value: &Value) -> Result<Vec<String>, String> {
    let Some(text) = value.as_str() else {
        return Err("compatPropertyNames is missing or no text; report e.g. `manufacturer,model`".into());
    };
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.len() > MAX_PROPERTIES || names.iter().any(|name| name.is_empty() || name.chars().count() >= 32) {
        return Err(format!(
            "compatPropertyNames is {}; it must be 1 to {MAX_PROPERTIES} names with commas between, each under 32 \
             characters",
            quote(text)
        ));
    }
    Ok(names)
}

fn check_values(names: &[String], properties: &Map<String, Value>) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    for name in names {
        let value = match properties.get(name) {
            Some(Value::String(value)) if (1..=64).contains(&value.chars().count()) => value.clone(),
            Some(other) => {
                return Err(format!("deviceProperties.{name} is {other}; it must be a text of 1 to 64 characters"));
            }
            None => {
                let like = properties.keys().find(|key| key.eq_ignore_ascii_case(name));
                let hint = like.map_or_else(
                    || "report it".to_owned(),
                    |like| format!("it reports `{like}`: case matters, make them the same"),
                );
                return Err(format!(
                    "compatPropertyNames names `{name}`, which deviceProperties does not have; {hint}"
                ));
            }
        };
        found.insert(name.clone(), value);
    }
    Ok(found)
}

fn check_group(tags: &Map<String, Value>) -> Result<String, String> {
    match tags.get(GROUP_TAG) {
        None | Some(Value::Null) => Ok(DEFAULT_GROUP.to_owned()),
        Some(Value::String(group)) if is_group(group) => Ok(group.clone()),
        Some(other) => {
            Err(format!("the tag {GROUP_TAG} is {other}; it must have 1 to 255 of the characters A-Z a-z 0-9 . - _ ~"))
        }
    }
}

/// Whether a text may be the name of a group that a tag makes.
fn is_group(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_~".contains(&b))
}

/// `dtmi:a:b_c;1`.
fn is_dtmi(text: &str) -> bool {
    let Some((path, version)) = text.strip_prefix("dtmi:").and_then(|rest| rest.split_once(';')) else { return false };
    let segment = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes.last().is_some_and(|last| *last != b'_')
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
    };
    let number = (1..=9).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_digit());
    path.split(':').all(segment) && number && !version.starts_with('0')
}

/// The agent check of a device.
pub(crate) fn health(device: &Device) -> DeviceHealth {
    let examined = examine(device);
    let state = if examined.first_problem().is_none() { "healthy" } else { "unhealthy" };
    let checks = examined.checks.into_iter().map(|(name, outcome)| HealthCheck {
        name,
        result: if outcome.is_ok() { "success" } else { "userError" },
        reason: outcome.err(),
    });
    DeviceHealth {
        device_id: device.id().to_owned(),
        state,
        digital_twin_model_id: device.model_id().map(str::to_owned),
        health_checks: checks.collect(),
    }
}

/// Whether a device is offered an update; otherwise the reason.
pub(crate) fn compatible(device: &Device, update: &Update) -> Result<(), String> {
    let examined = examine(device);
    if let Some(why) = examined.first_problem() {
        return Err(why.to_owned());
    }
    let mut reasons = Vec::new();
    for set in update.compatibility() {
        let class = &examined.properties;
        match set.iter().find(|(key, value)| class.get(*key).map(String::as_str) != value.as_str()) {
            None => return Ok(()),
            Some((key, wanted)) => reasons.push(mismatch(class, agent(device.twin()), key, wanted)),
        }
    }
    Err(reasons.join("; "))
}

fn mismatch(class: &BTreeMap<String, String>, agent: &Value, key: &str, wanted: &Value) -> String {
    if let Some(seen) = class.get(key) {
        let same = wanted.as_str().is_some_and(|wanted| wanted.eq_ignore_ascii_case(seen));
        let hint = if same { ": case matters" } else { "" };
        return format!("the update wants `{key}` = {wanted}, the device reports \"{seen}\"{hint}");
    }
    let hint = match class.keys().find(|other| other.eq_ignore_ascii_case(key)) {
        Some(like) => format!(" (it reports `{like}`: case matters)"),
        None if agent["deviceProperties"].get(key).is_some() => {
            format!(" as a compatibility property (it reports it, but compatPropertyNames does not name `{key}`)")
        }
        None => String::new(),
    };
    format!("the update wants `{key}` = {wanted}, which the device does not report{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_ids() {
        for good in ["dtmi:azure:iot:deviceUpdateModel;3", "dtmi:com:example:Thermo_stat;1", "dtmi:a;123456789"] {
            assert!(is_dtmi(good), "{good}");
        }
        for bad in
            ["dtmi:azure:iot", "azure:iot;1", "dtmi:;1", "dtmi:a_;1", "dtmi:1a;1", "dtmi:a;0", "dtmi:a;", "dtmi:a:;1"]
        {
            assert!(!is_dtmi(bad), "{bad}");
        }
    }
}
