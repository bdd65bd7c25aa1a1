//! Judging a deployment by what the device reports, as the service does, and saying why.
//!
//! The service's own rules are closed. These follow the documents and the reports of users: success is `state` 0 with
//! this `workflow.id`, a positive `lastInstallResult.resultCode`, `installedUpdateId` equal to the deployed update and
//! as many `stepResults` as the manifest has steps.

use serde_json::Value;

use super::{COMPONENT, Deployment, Status, UpdateId};
use crate::iot_hub::Device;

/// Where a deployment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The device has not finished.
    InProgress,
    /// The device has the update.
    Succeeded,
    /// The device refused or failed, or reports something that the service takes for a failure.
    Failed,
    /// The deployment was cancelled or replaced.
    Cancelled,
}

/// A judgement with its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Where the deployment stands.
    pub state: State,
    /// One sentence: why not yet, why failed, or what proved the success.
    pub why: String,
    /// `lastInstallResult.resultCode`, if the report belongs to this deployment.
    pub result_code: Option<i64>,
    /// Extended result codes as reported (a number, or a text of hexadecimal numbers), if any.
    pub extended_result: Option<String>,
    /// `lastInstallResult.resultDetails`, if any.
    pub details: Option<String>,
}

impl Judgement {
    fn new(state: State, why: impl Into<String>) -> Self {
        Self { state, why: why.into(), result_code: None, extended_result: None, details: None }
    }
}

/// Judges `deployment` by the twin of `device`.
pub(crate) fn judge(deployment: &Deployment, device: Option<&Device>) -> Judgement {
    match deployment.status {
        Status::Active => {}
        Status::Cancelled => return Judgement::new(State::Cancelled, "the deployment was cancelled"),
        Status::Replaced(by) => {
            return Judgement::new(State::Cancelled, format!("deployment {} took its place", by.0));
        }
    }
    let Some(device) = device else {
        return Judgement::new(State::InProgress, format!("the device `{}` does not exist yet", deployment.device));
    };
    let component = device.twin().reported().get(COMPONENT);
    let part = |name: &str| component.and_then(|component| component.get(name)).unwrap_or(&Value::Null);
    let (agent, ack) = (part("agent"), part("service"));
    let belongs = agent["workflow"]["id"] == deployment.workflow.as_str()
        // A report from before the latest retry is not about it.
        && deployment.retry_timestamp.as_deref().is_none_or(|wanted| agent["workflow"]["retryTimestamp"] == wanted);
    if !belongs {
        return waiting(deployment, device, agent, ack);
    }
    let result = &agent["lastInstallResult"];
    let code = result["resultCode"].as_i64();
    let mut judgement = match agent["state"].as_i64() {
        Some(6) => Judgement::new(State::InProgress, "the agent works on it (state 6)"),
        Some(255) => {
            let code = code.map_or("no result code".into(), |code| format!("result code {code}"));
            Judgement::new(State::Failed, format!("the agent reports failure (state 255) with {code}"))
        }
        Some(0) => match idle(deployment, agent, code) {
            Ok(why) => Judgement::new(State::Succeeded, why),
            Err(why) => Judgement::new(State::Failed, why),
        },
        Some(other) => {
            Judgement::new(State::InProgress, format!("the agent reports state {other}, which means nothing"))
        }
        None => Judgement::new(State::InProgress, "the agent reports the workflow, but no state"),
    };
    judgement.result_code = code;
    judgement.extended_result = [&result["extendedResultCodes"], &result["extendedResultCode"]]
        .into_iter()
        .find(|value| !value.is_null())
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    judgement.details = result["resultDetails"].as_str().filter(|details| !details.is_empty()).map(str::to_owned);
    if let Some(extended) = judgement.extended_result.as_deref().filter(|extended| *extended != "0")
        && judgement.state == State::Failed
    {
        judgement.why = format!("{}, extended {extended}", judgement.why);
    }
    if let Some(details) = judgement.details.as_deref().filter(|_| judgement.state == State::Failed) {
        judgement.why = format!("{}: {details}", judgement.why);
    }
    judgement
}

/// No report belongs to the deployment yet: how far did it get?
fn waiting(deployment: &Deployment, device: &Device, agent: &Value, ack: &Value) -> Judgement {
    let id = device.id();
    let version = deployment.desired_version;
    let acknowledged = ack["av"].as_u64().is_some_and(|av| av >= version);
    let code = ack["ac"].as_i64();
    let why = match (acknowledged, code) {
        (true, Some(code)) if !(200..300).contains(&code) => {
            let text = ack["ad"].as_str().unwrap_or_default();
            return Judgement::new(State::Failed, format!("the agent refused the request with ac {code} {text:?}"));
        }
        (true, _) => match (agent["state"].as_i64(), agent["workflow"]["id"].as_str()) {
            (_, None) => "the agent acknowledged it, but has not reported a workflow".to_owned(),
            (state, Some(other)) => {
                let state = state.map_or("no state".into(), |state| format!("state {state}"));
                if other == deployment.workflow {
                    format!("the agent's report ({state}) has the workflow, but not the retryTimestamp")
                } else {
                    format!("the agent acknowledged it; its latest report ({state}) still belongs to workflow {other}")
                }
            }
        },
        (false, _) if device.last_desired_sent().is_some_and(|sent| sent >= version) => {
            format!("version {version} of the desired properties was sent to `{id}`, which has not acknowledged it")
        }
        (false, _) if !device.is_connected() => format!("`{id}` is not connected and has not seen the deployment"),
        (false, _) => {
            format!("`{id}` is connected, but has neither read its twin nor subscribed to desired properties")
        }
    };
    Judgement::new(State::InProgress, why)
}

/// The agent is idle and says it is done: is that a success?
fn idle(deployment: &Deployment, agent: &Value, code: Option<i64>) -> Result<String, String> {
    match code {
        None => return Err("state 0, but lastInstallResult has no resultCode".into()),
        Some(code) if code <= 0 => return Err(format!("state 0, but result code {code}, which is not a success")),
        Some(_) => {}
    }
    let Some(installed) = agent["installedUpdateId"].as_str() else {
        return Err("state 0, but installedUpdateId is missing or not a text".into());
    };
    match serde_json::from_str::<UpdateId>(installed) {
        Err(_) => {
            return Err(format!("installedUpdateId {installed:?} is not the JSON text of provider, name and version"));
        }
        Ok(id) if id != deployment.update => {
            return Err(format!("installedUpdateId is {id}, but {} was deployed", deployment.update));
        }
        Ok(_) => {}
    }
    let steps = agent["lastInstallResult"]["stepResults"].as_object();
    let count = steps.map_or(0, |steps| steps.values().filter(|step| !step.is_null()).count());
    if count != deployment.steps {
        return Err(format!("{count} stepResults were reported, but the manifest has {} steps", deployment.steps));
    }
    let complete = steps.is_some_and(|steps| (0..count).all(|n| steps.contains_key(&format!("step_{n}"))));
    if !complete {
        return Err(format!("stepResults must be named step_0 to step_{}", count.saturating_sub(1)));
    }
    Ok(format!("state 0, result code {}, {} installed, {count} of {count} steps", code.unwrap_or(0), deployment.update))
}
