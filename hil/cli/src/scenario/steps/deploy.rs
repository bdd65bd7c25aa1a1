//! The hub offers an update.

use std::time::Duration;

use hub::{DeployOptions, DeploymentId, EventKind as Cloud, FileFault, ImportManifest, State, UpdateId};
use serde_json::Value;
use sim_base::Instant;

use super::super::context::{Abort, Context};
use super::super::{DownloadFault, NEW, OLD};
use crate::error::Error;
use crate::rig::{DEVICE, MANUFACTURER, MODEL, Running, What};

/// Name of the update's file at the file server.
pub const FILE: &str = "firmware-2.0.0.bin";
/// `deviceUpdate.agent.state` while a deployment is under way.
const IN_PROGRESS: i64 = 6;
/// `deviceUpdate.agent.state` after a failure.
pub const FAILED: i64 = 255;

/// Imports `image` as the update to [`NEW`] and deploys it to [`DEVICE`]; its file has this fault.
pub fn offer(
    cloud: &mut hub::Cloud,
    now: Instant,
    image: &[u8],
    fault: Option<FileFault>,
    options: DeployOptions,
) -> Result<DeploymentId, Error> {
    let id = UpdateId { provider: "Contoso".into(), name: "same54-firmware".into(), version: NEW.into() };
    let manifest = ImportManifest::firmware(id, MANUFACTURER, MODEL, FILE, image, "2026-01-01T00:00:00.0000000Z");
    let update = cloud.import_update(now, &manifest, &[(FILE, image)]).map_err(|why| Error::Hub(why.to_string()))?;
    if let Some(fault) = fault {
        cloud.set_file_fault(FILE, fault);
    }
    cloud.deploy(now, DEVICE, &update, options).map_err(|why| Error::Hub(why.to_string()))
}

/// Imports the update and deploys it.
fn deploy(context: &mut Context<'_>) -> Result<(), Abort> {
    let image = &context.deployed;
    let offset = context.rng.below(image.len() as u64);
    let faults = &context.scenario.faults;
    let mut fault = faults.file.clone();
    match faults.download {
        Some(DownloadFault::FlipByte) => fault.get_or_insert_default().flip_byte_at = Some(offset),
        None => {}
    }
    let options = DeployOptions { forgery: faults.manifest, ..DeployOptions::default() };
    let now = context.rig.now();
    for fault in &faults.device {
        context.rig.cloud().inject_fault(now, DEVICE, *fault).map_err(|why| Error::Hub(why.to_string()))?;
    }
    let deployed = offer(&mut context.rig.cloud(), now, image, fault, options)?;
    context.deployment = Some(deployed);
    Ok(())
}

pub fn deployment(context: &mut Context<'_>) -> Result<(), Abort> {
    deploy(context)?;
    context.expect("desired properties sent", Duration::from_secs(10), |seen| {
        matches!(seen.what, What::Cloud(Cloud::DesiredSent { .. })).then_some(())
    })?;
    // One patch may carry both.
    let (mut code, mut agent) = (None, None);
    let (code, agent) = context.expect("acknowledgement and state 6", Duration::from_secs(60), |seen| {
        if let What::Cloud(Cloud::Reported { patch, .. }) = &seen.what {
            code = code.or(patch.pointer("/deviceUpdate/service/ac").and_then(Value::as_i64));
            let reported = patch.pointer("/deviceUpdate/agent").filter(|agent| agent["state"] == IN_PROGRESS);
            agent = agent.take().or(reported.cloned());
        }
        code.zip(agent.clone())
    })?;
    context.check_eq("acknowledgement of deviceUpdate.service", 200, code)?;
    context.check_eq("agent's state", IN_PROGRESS, agent["state"].as_i64().unwrap_or(-1))?;
    let workflow = agent["workflow"]["id"].as_str().unwrap_or("none").to_owned();
    let expected = workflow_id(context);
    context.check_eq("workflow reported", expected, workflow)?;
    Ok(())
}

pub fn manifest_refused(context: &mut Context<'_>) -> Result<(), Abort> {
    deploy(context)?;
    refusal(context, "agent refuses the manifest", Duration::from_secs(60))?;
    let served = ranges(context);
    context.check_eq("ranges downloaded", 0, served)?;
    still_alive(context)
}

/// Waits for the report of a failed deployment, checks it, and that the service judges it so.
pub fn refusal(context: &mut Context<'_>, what: &str, limit: Duration) -> Result<(), Abort> {
    let agent = agent_report(context, what, limit, |agent| agent["state"] == FAILED)?;
    context.check_eq("agent's state", FAILED, agent["state"].as_i64().unwrap_or(-1))?;
    let result = &agent["lastInstallResult"];
    let code = result["resultCode"].as_i64().unwrap_or(1);
    context.check("result code", "not above 0: a failure", code, code <= 0)?;
    let extended = result["extendedResultCode"].as_i64().map(|code| format!("{:#010x}", code as u32));
    let extended = extended.or_else(|| result["extendedResultCodes"].as_str().map(str::to_owned)).unwrap_or_default();
    let named = !extended.is_empty() && extended != "0x00000000";
    context.check("extended result code", "one that names the cause", &extended, named)?;
    let workflow = agent["workflow"]["id"].as_str().unwrap_or("none").to_owned();
    let expected = workflow_id(context);
    context.check_eq("workflow reported", expected, workflow)?;
    let judgement = judge(context);
    context.check("service's verdict", "failed", &judgement.1, judgement.0 == State::Failed)?;
    Ok(())
}

/// 1.0.0 goes on: it runs, and its telemetry arrives after this moment.
pub fn still_alive(context: &mut Context<'_>) -> Result<(), Abort> {
    context.consume();
    let body = context.expect("telemetry afterwards", Duration::from_secs(120), |seen| match &seen.what {
        What::Cloud(Cloud::Telemetry(told)) => Some(String::from_utf8_lossy(told.body()).into_owned()),
        _ => None,
    })?;
    context.check("telemetry afterwards", "arrives", body, true)?;
    let running = context.rig.running().clone();
    let old = running == Running::Application(OLD.to_owned());
    context.check("program that runs", format!("application {OLD}"), running, old)?;
    Ok(())
}

/// Requests that the file server has answered since the deployment.
fn ranges(context: &Context<'_>) -> usize {
    let observations = context.rig.observations();
    observations.iter().filter(|seen| matches!(seen.what, What::Cloud(Cloud::RangeServed { .. }))).count()
}

/// The service's verdict and its sentence.
pub fn judge(context: &Context<'_>) -> (State, String) {
    let Some(deployment) = &context.deployment else { return (State::InProgress, "nothing was deployed".to_owned()) };
    match context.rig.cloud().judge(deployment) {
        Ok(judgement) => (judgement.state, judgement.why),
        Err(why) => (State::InProgress, why.to_string()),
    }
}

/// `workflow.id` of the deployment, as it stands in the twin.
pub fn workflow_id(context: &Context<'_>) -> String {
    let cloud = context.rig.cloud();
    let twin = cloud.twin(DEVICE);
    let document = twin.map(hub::Twin::document).unwrap_or_default();
    document.pointer("/desired/deviceUpdate/service/workflow/id").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Waits for a report of `deviceUpdate.agent` that passes `test`.
pub fn agent_report(
    context: &mut Context<'_>,
    what: &str,
    limit: Duration,
    test: impl Fn(&Value) -> bool,
) -> Result<Value, Abort> {
    Ok(context.expect(what, limit, |seen| match &seen.what {
        What::Cloud(Cloud::Reported { patch, .. }) => {
            patch.pointer("/deviceUpdate/agent").filter(|agent| test(agent)).cloned()
        }
        _ => None,
    })?)
}
