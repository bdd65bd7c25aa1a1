//! The new version reports, and the service judges.

use std::time::Duration;

use hub::State;
use serde_json::Value;

use super::super::NEW;
use super::super::context::{Abort, Context};
use super::deploy;
use super::swap::boot_status;

const LIMIT: Duration = Duration::from_secs(180);
/// `deviceUpdate.agent.state` when there is nothing to do.
const IDLE: i64 = 0;
/// Apply succeeded.
const APPLY_SUCCESS: i64 = 700;

pub fn report(context: &mut Context<'_>) -> Result<(), Abort> {
    let agent = deploy::agent_report(context, "final report", LIMIT, |agent| {
        agent["state"] == IDLE && agent["installedUpdateId"].is_string()
    })?;
    context.check_eq("agent's state", IDLE, agent["state"].as_i64().unwrap_or(-1))?;
    let workflow = agent["workflow"]["id"].as_str().unwrap_or("none").to_owned();
    let expected = deploy::workflow_id(context);
    context.check_eq("workflow reported", expected, workflow)?;
    let installed = agent["installedUpdateId"].as_str().unwrap_or_default();
    let id: Value = serde_json::from_str(installed).unwrap_or_default();
    context.check("installedUpdateId", NEW, installed, id["version"] == NEW)?;
    let result = &agent["lastInstallResult"];
    context.check_eq("result code", APPLY_SUCCESS, result["resultCode"].as_i64().unwrap_or(-1))?;
    let steps = result["stepResults"].as_object();
    let count = steps.map_or(0, |steps| steps.len());
    context.check_eq("stepResults", 1, count)?;
    let step = steps.and_then(|steps| steps.get("step_0")).and_then(|step| step["resultCode"].as_i64());
    context.check_eq("result code of step_0", APPLY_SUCCESS, step.unwrap_or(-1))?;
    let status = context.wait("boot record confirmed", Duration::from_secs(30), |context| {
        let status = boot_status(context);
        (status == "confirmed").then_some(status)
    })?;
    context.check_eq("boot record", "confirmed".to_owned(), status)?;
    let (state, why) = deploy::judge(context);
    context.check("service's verdict", "succeeded", why, state == State::Succeeded)?;
    Ok(())
}
