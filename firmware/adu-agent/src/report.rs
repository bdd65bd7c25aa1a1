//! Reported properties, as JSON merge patches of the twin.

use twin_json::Writer;

use crate::agent::Config;
use crate::code::{Code, result};
use crate::state::{DETAILS_LEN, Phase, State, UpdateId, WorkflowAction};
use crate::text::Text;

/// Length of the buffer that every report fits in.
pub const REPORT_LEN: usize = 2048;

/// The contract that the reports follow: `extendedResultCode` as an integer.
const CONTRACT_MODEL: &str = "dtmi:azure:iot:deviceUpdateContractModel;2";

/// The acknowledgement of the writable property `service`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ack {
    /// Desired `$version` that is acknowledged.
    pub(crate) version: i64,
    pub(crate) is_accepted: bool,
}

/// What the device is. Never what it runs: a version reported before the twin has been read would be taken as the
/// outcome of a deployment that is still going on.
pub(crate) fn startup<'b>(config: &Config<'_>, out: &'b mut [u8]) -> Option<&'b str> {
    let mut json = Writer::new(out);
    json.raw(r#"{"deviceUpdate":{"__t":"c","agent":{"deviceProperties":{"#);
    for (name, value) in config.compatibility() {
        json.string(name).raw(":").string(value).raw(",");
    }
    json.raw(r#""contractModelId":"#).string(CONTRACT_MODEL);
    json.raw(r#","aduVer":"#).string(config.agent_version);
    json.raw(r#"},"compatPropertyNames":""#);
    for (index, (name, _)) in config.compatibility().enumerate() {
        json.raw(if index > 0 { "," } else { "" }).escaped(name);
    }
    json.raw(r#""}}}"#);
    json.finish()
}

/// The state of the deployment and the acknowledgement, whichever of them is due.
pub(crate) fn progress<'b>(state: Option<&State>, ack: Option<&Ack>, out: &'b mut [u8]) -> Option<&'b str> {
    let mut json = Writer::new(out);
    json.raw(r#"{"deviceUpdate":{"__t":"c""#);
    if let Some(state) = state {
        agent(&mut json, state);
    }
    if let Some(ack) = ack {
        json.raw(r#","service":{"ac":"#)
            .raw(if ack.is_accepted { "200" } else { "406" })
            .raw(r#","av":"#)
            .number(ack.version)
            .raw(r#","ad":"","value":{}}"#);
    }
    json.raw("}}");
    json.finish()
}

fn agent(json: &mut Writer<'_>, state: &State) {
    let (number, result_code) = match state.phase {
        Phase::Idle if state.was_cancelled => (0, Some(result::CANCELLED)),
        Phase::Idle => (0, None),
        Phase::Downloading | Phase::Installing => (6, Some(result::IN_PROGRESS)),
        Phase::Failed => (255, Some(result::FAILURE)),
        Phase::Succeeded => (0, Some(result::APPLIED)),
    };
    json.raw(r#","agent":{"state":"#).number(number);
    if !state.workflow.id.is_empty() {
        json.raw(r#","workflow":{"action":"#)
            .number(state.workflow.action as i64)
            .raw(r#","id":"#)
            .string(state.workflow.id.as_str());
        // A merge patch: an absent member would leave the timestamp of an earlier deployment in place.
        json.raw(r#","retryTimestamp":"#);
        if state.workflow.retry.is_empty() || state.workflow.action == WorkflowAction::Cancel {
            json.raw("null}");
        } else {
            json.string(state.workflow.retry.as_str()).raw("}");
        }
    }
    json.raw(r#","installedUpdateId":"#);
    installed_update_id(json, &state.installed);
    if let Some(result_code) = result_code {
        json.raw(r#","lastInstallResult":{"#);
        one_result(json, result_code, state.code, &state.details);
        let has_steps = matches!(state.phase, Phase::Failed | Phase::Succeeded);
        if has_steps && state.target.steps > 0 {
            json.raw(r#","stepResults":{"#);
            for step in 0..state.target.steps {
                json.raw(if step > 0 { r#","step_"# } else { r#""step_"# }).number(step.into()).raw(r#"":{"#);
                one_result(json, result_code, state.code, &Text::EMPTY);
                json.raw("}");
            }
            json.raw("}");
        } else {
            // Removes the results of an earlier deployment, which may have had more steps.
            json.raw(r#","stepResults":null"#);
        }
        json.raw("}");
    }
    json.raw("}");
}

fn one_result(json: &mut Writer<'_>, result_code: i32, code: Code, details: &Text<DETAILS_LEN>) {
    json.raw(r#""resultCode":"#)
        .number(result_code.into())
        .raw(r#","extendedResultCode":"#)
        .number((code as i32).into())
        .raw(r#","resultDetails":"#)
        .string(details.as_str());
}

/// JSON inside a string. The parts have been checked to need no escaping of their own.
fn installed_update_id(json: &mut Writer<'_>, id: &UpdateId) {
    if id.version.is_empty() {
        json.raw("null");
        return;
    }
    json.raw(r#""{\"provider\":\""#)
        .raw(id.provider.as_str())
        .raw(r#"\",\"name\":\""#)
        .raw(id.name.as_str())
        .raw(r#"\",\"version\":\""#)
        .raw(id.version.as_str())
        .raw(r#"\"}""#);
}
