//! Judging a deployment by what the device reports, as the service does, and saying why.
//!
//! The service's own rules are closed. These follow the documents and the reports of users: success is `state` 0 with
//! this `workflow.id`, a positive `lastInstallResult.resultCode`, `installedUpdateId` equal to the deployed update and
//! as many `stepResults` as the manifest has steps.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{COMPONENT, Deployment, DeviceWork, Forgery, Status, Target, UpdateId, health};
use crate::iot_hub::{DESIRED_PATCHES, Device, TWIN_RESPONSES};

/// Where a deployment stands at a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// The device has not finished.
    InProgress,
    /// The device has the update.
    Succeeded,
    /// The device refused or failed, or reports something that the service takes for a failure.
    Failed,
    /// The deployment was cancelled or replaced before the device finished.
    #[serde(rename = "Canceled")]
    Cancelled,
}

/// Why it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Reason {
    /// The deployment starts later.
    NotStarted,
    /// The deployment is for other devices: an agent check fails, or compatibility or group do not fit.
    NotOffered,
    /// The deployment was cancelled.
    Cancelled,
    /// The device got a later deployment.
    Replaced,
    /// There is no such device.
    NoDevice,
    /// The hub does not take the desired properties.
    TwinRefused,
    /// The device is not connected and has not seen the deployment.
    NotConnected,
    /// The device is connected, but neither reads its twin nor listens to desired properties.
    NotSubscribed,
    /// The device has seen the deployment and not acknowledged it.
    NotAcknowledged,
    /// The device acknowledged it with a code outside 2xx.
    Refused,
    /// The device acknowledged it, and nothing more.
    AcknowledgedOnly,
    /// The latest report is about another workflow.
    StaleWorkflow,
    /// The latest report is about an earlier try.
    StaleRetry,
    /// The device works on it.
    Working,
    /// The device reports failure.
    AgentFailed,
    /// The device reports a state that means nothing.
    UnknownState,
    /// The device reports no state.
    NoState,
    /// `lastInstallResult.resultCode` is missing.
    NoResultCode,
    /// The result code is no success although the agent is idle.
    ResultCode,
    /// `installedUpdateId` is missing.
    NoInstalledUpdate,
    /// `installedUpdateId` cannot be read.
    MalformedInstalledUpdate,
    /// `installedUpdateId` is what the device had before.
    StaleVersion,
    /// `installedUpdateId` is some other update.
    OtherVersion,
    /// `stepResults` is missing.
    NoStepResults,
    /// There are more or fewer `stepResults` than steps.
    StepResultsCount,
    /// `stepResults` have other names than `step_0`, `step_1`…
    StepResultsNames,
    /// Everything is as it should be.
    Succeeded,
}

/// A judgement with its reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// Where the deployment stands.
    #[serde(rename = "deviceState")]
    pub state: State,
    /// Why, for a program.
    pub reason: Reason,
    /// One sentence: why not yet, why failed, or what proved the success.
    #[serde(rename = "message")]
    pub why: String,
    /// `lastInstallResult.resultCode`, if the report belongs to this deployment.
    pub result_code: Option<i64>,
    /// Extended result codes as reported (a number, or a text of hexadecimal numbers), if any.
    pub extended_result: Option<String>,
    /// `lastInstallResult.resultDetails`, if any.
    pub details: Option<String>,
    /// `lastInstallResult.stepResults` as reported, if the report belongs to this deployment.
    pub step_results: Option<Value>,
}

impl Judgement {
    pub(crate) fn new(state: State, reason: Reason, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { state, reason, why, result_code: None, extended_result: None, details: None, step_results: None }
    }
}

type Verdict = (State, Reason, String);

/// Judges the work of `device` on `deployment` by its twin.
pub(crate) fn judge(deployment: &Deployment, work: &DeviceWork, id: &str, device: Option<&Device>) -> Judgement {
    if let Some(why) = &work.refused {
        return Judgement::new(
            State::Failed,
            Reason::TwinRefused,
            format!("the hub did not take the deployment: {why}"),
        );
    }
    let mut judgement = by_report(deployment, work, id, device);
    // What a device had finished before it got something else stays; the rest is over.
    let over = match &deployment.status {
        Status::Cancelled => Some((Reason::Cancelled, "the deployment was cancelled".to_owned())),
        Status::Replaced(by) => Some((Reason::Replaced, format!("deployment {by} took its place"))),
        Status::Active if work.moved_on => {
            Some((Reason::Replaced, format!("`{id}` got a later deployment that is for it as well")))
        }
        Status::Active => None,
    };
    if let Some((reason, why)) = over {
        if work.state == State::Cancelled || work.state == State::InProgress {
            return Judgement::new(State::Cancelled, reason, why);
        }
        if judgement.state != work.state {
            judgement = Judgement::new(work.state, reason, format!("it had come to an end before; {why}"));
        }
    }
    judgement
}

fn by_report(deployment: &Deployment, work: &DeviceWork, id: &str, device: Option<&Device>) -> Judgement {
    let Some(device) = device else {
        let why = format!("the device `{id}` does not exist; enrol it, or let it register");
        return Judgement::new(State::InProgress, Reason::NoDevice, why);
    };
    let component = device.twin().reported().get(COMPONENT);
    let part = |name: &str| component.and_then(|component| component.get(name)).unwrap_or(&Value::Null);
    let (agent, ack) = (part("agent"), part("service"));
    let belongs = agent["workflow"]["id"] == work.workflow.as_str()
        // A report from before the latest retry is not about it.
        && work.retry_timestamp.as_deref().is_none_or(|wanted| agent["workflow"]["retryTimestamp"] == wanted);
    if !belongs {
        let (state, reason, why) = waiting(deployment, work, device, agent, ack);
        return Judgement::new(state, reason, why);
    }
    let result = &agent["lastInstallResult"];
    let code = result["resultCode"].as_i64();
    let (state, reason, why) = match agent["state"].as_i64() {
        Some(6) => (State::InProgress, Reason::Working, "the agent works on it (state 6)".to_owned()),
        Some(255) => {
            let code = code.map_or("no result code".into(), |code| format!("result code {code}"));
            (State::Failed, Reason::AgentFailed, format!("the agent reports failure (state 255) with {code}"))
        }
        Some(0) => idle(deployment, work, agent, code),
        Some(other) => {
            let why = format!("the agent reports state {other}, which means nothing; 0, 6 and 255 do");
            (State::InProgress, Reason::UnknownState, why)
        }
        None => (State::InProgress, Reason::NoState, "the agent reports the workflow, but no state".to_owned()),
    };
    let mut judgement = Judgement::new(state, reason, why);
    judgement.result_code = code;
    judgement.extended_result = [&result["extendedResultCodes"], &result["extendedResultCode"]]
        .into_iter()
        .find(|value| !value.is_null())
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    judgement.details = result["resultDetails"].as_str().filter(|details| !details.is_empty()).map(str::to_owned);
    judgement.step_results = Some(result["stepResults"].clone()).filter(|steps| !steps.is_null());
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
fn waiting(deployment: &Deployment, work: &DeviceWork, device: &Device, agent: &Value, ack: &Value) -> Verdict {
    let id = device.id();
    let version = work.desired_version;
    let acknowledged = ack["av"].as_u64().is_some_and(|av| av >= version);
    let code = ack["ac"].as_i64();
    let forged = match deployment.options.forgery {
        Some(Forgery::WrongWorkflow | Forgery::StaleWorkflow) => " (the deployment was told to send a wrong one)",
        _ => "",
    };
    let (reason, why) = match (acknowledged, code) {
        (true, Some(code)) if !(200..300).contains(&code) => {
            let text = ack["ad"].as_str().unwrap_or_default();
            let why = format!("the agent refused the request with ac {code} {text:?}");
            return (State::Failed, Reason::Refused, why);
        }
        (true, _) => {
            let state = agent["state"].as_i64().map_or("no state".into(), |state| format!("state {state}"));
            match agent["workflow"]["id"].as_str() {
                None => (
                    Reason::AcknowledgedOnly,
                    "the agent acknowledged it, but has not reported a workflow; it has to report state 6, and then 0 \
                     or 255, with workflow.id"
                        .to_owned(),
                ),
                Some(other) if other == work.workflow => (
                    Reason::StaleRetry,
                    format!("the agent's report ({state}) has the workflow, but not the retryTimestamp of the retry"),
                ),
                Some(other) => {
                    let installed = health::installed(device.twin()).ok().flatten();
                    let has = match installed {
                        Some(installed) if installed == deployment.update => {
                            format!(" although installedUpdateId is {installed} already")
                        }
                        _ => String::new(),
                    };
                    let why = format!(
                        "the agent acknowledged it; its latest report ({state}) still belongs to workflow {other}, not \
                         {}{has}{forged}",
                        work.workflow
                    );
                    (Reason::StaleWorkflow, why)
                }
            }
        }
        (false, _) if device.last_desired_sent().is_some_and(|sent| sent >= version) => (
            Reason::NotAcknowledged,
            format!("version {version} of the desired properties was sent to `{id}`, which has not acknowledged it"),
        ),
        (false, _) if !device.is_connected() => {
            (Reason::NotConnected, format!("`{id}` is not connected and has not seen the deployment"))
        }
        (false, _) => {
            let has = |filter: &str| device.subscriptions().any(|(other, _)| other == filter);
            let todo = match (has(DESIRED_PATCHES), has(TWIN_RESPONSES)) {
                (true, _) => "it subscribed after the deployment and has to read its twin then",
                (false, true) => "it has to read its twin",
                (false, false) => "subscribe to both, then read the twin",
            };
            let why = format!(
                "`{id}` is connected, but has neither read its twin nor subscribed to desired properties in time; {todo}"
            );
            (Reason::NotSubscribed, why)
        }
    };
    (State::InProgress, reason, why)
}

/// The agent is idle and says it is done: is that a success?
fn idle(deployment: &Deployment, work: &DeviceWork, agent: &Value, code: Option<i64>) -> Verdict {
    let failed = |reason, why: String| (State::Failed, reason, why);
    match code {
        None => {
            let why = "state 0, but lastInstallResult has no resultCode; report 700 for a success".to_owned();
            return failed(Reason::NoResultCode, why);
        }
        Some(code) if code <= 0 => {
            let why = format!("state 0, but result code {code}, which is not a success; report 700 for one");
            return failed(Reason::ResultCode, why);
        }
        Some(_) => {}
    }
    let Some(installed) = agent["installedUpdateId"].as_str() else {
        let why = "state 0, but installedUpdateId is missing or not a text".to_owned();
        return failed(Reason::NoInstalledUpdate, why);
    };
    match serde_json::from_str::<UpdateId>(installed) {
        Err(_) => {
            let why = format!("installedUpdateId {installed:?} is not the JSON text of provider, name and version");
            return failed(Reason::MalformedInstalledUpdate, why);
        }
        Ok(id) if Some(&id) == work.before.as_ref() && id != deployment.update => {
            let why = format!(
                "installedUpdateId is {id}, but {} was deployed: the device still reports what it ran before; report \
                 state 0 only when the new version runs",
                deployment.update
            );
            return failed(Reason::StaleVersion, why);
        }
        Ok(id) if id != deployment.update => {
            let why = format!("installedUpdateId is {id}, but {} was deployed", deployment.update);
            return failed(Reason::OtherVersion, why);
        }
        Ok(_) => {}
    }
    let steps = agent["lastInstallResult"]["stepResults"].as_object();
    let count = steps.map_or(0, |steps| steps.values().filter(|step| !step.is_null()).count());
    if count != deployment.steps {
        let reason = if count == 0 { Reason::NoStepResults } else { Reason::StepResultsCount };
        let why = format!("{count} stepResults were reported, but the manifest has {} steps", deployment.steps);
        return failed(reason, why);
    }
    let complete = steps.is_some_and(|steps| (0..count).all(|n| steps.contains_key(&format!("step_{n}"))));
    if !complete {
        let why = format!("stepResults must be named step_0 to step_{}", count.saturating_sub(1));
        return failed(Reason::StepResultsNames, why);
    }
    let code = code.unwrap_or(0);
    let why = format!("state 0, result code {code}, {} installed, {count} of {count} steps", deployment.update);
    (State::Succeeded, Reason::Succeeded, why)
}

/// Why a device has no work in a deployment.
pub(crate) fn not_offered(deployment: &Deployment, id: &str, why: String) -> Judgement {
    let (state, reason) = match (&deployment.status, deployment.started) {
        (Status::Active, false) => (State::InProgress, Reason::NotStarted),
        (Status::Active, true) => (State::InProgress, Reason::NotOffered),
        (Status::Cancelled, _) => (State::Cancelled, Reason::Cancelled),
        (Status::Replaced(_), _) => (State::Cancelled, Reason::Replaced),
    };
    let why = match reason {
        Reason::NotStarted => "the deployment has not started yet".to_owned(),
        Reason::NotOffered => format!("`{id}` does not get the deployment: {why}"),
        _ => format!("`{id}` did not get the deployment while it was active"),
    };
    Judgement::new(state, reason, why)
}

/// The sentence about a device of another group.
pub(crate) fn other_group(target: &Target, id: &str, group: Option<&str>) -> Option<String> {
    match target {
        Target::Device(device) if device != id => Some(format!("it is for the device `{device}`")),
        Target::Group(wanted) if group.is_some_and(|group| group != wanted) => {
            Some(format!("it is for the group `{wanted}`, and the device is in `{}`", group.unwrap_or_default()))
        }
        _ => None,
    }
}
