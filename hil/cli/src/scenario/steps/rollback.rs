//! A new version that never confirms itself is taken back.

use std::time::Duration;

use adu_agent::Code;
use bootloader_core::TRIAL_STARTS;
use hub::{EventKind as Cloud, State};
use same54_sim::{EventKind as BoardEvent, ResetCause};
use update_image::boot_record::RollbackCause;
use update_image::layout;

use super::super::context::{Abort, Context};
use super::super::{NEW, OLD};
use super::deploy;
use super::swap::{LIMIT, boot_status};
use crate::rig::{Running, What, reset_cause};

/// Virtual time that one start on trial may take: the application gives up after a quarter of an hour.
const TRIAL_LIMIT: Duration = Duration::from_secs(1_200);
/// Virtual time from the restored image's start to its report.
const REPORT_LIMIT: Duration = Duration::from_secs(180);

/// The cable is pulled before 2.0.0 has a link; in each of its starts it waits for the network in vain.
pub fn unconfirmed(context: &mut Context<'_>) -> Result<(), Abort> {
    context.rig.set_link_up(false);
    let mut connections = 0;
    for start in 1..=TRIAL_STARTS {
        context.check_eq("boot record", format!("trial, start {start}"), boot_status(context))?;
        let cause = context.expect("reset while on trial", TRIAL_LIMIT, |seen| match seen.what {
            What::Board(BoardEvent::Reset(cause)) => Some(cause),
            What::Cloud(Cloud::Connected { .. }) => {
                connections += 1;
                None
            }
            _ => None,
        })?;
        let watchdog = cause == ResetCause::Watchdog;
        context.check("reset cause", reset_cause(ResetCause::Watchdog), reset_cause(cause), watchdog)?;
        if start < TRIAL_STARTS {
            let version = context.expect("application starts again", LIMIT, |seen| match &seen.what {
                What::Running(Running::Application(version)) => Some(version.clone()),
                _ => None,
            })?;
            context.check_eq("version that runs", NEW.to_owned(), version)?;
        }
    }
    context.check_eq("connections with the hub", 0, connections)?;
    context.figure("starts on trial", u64::from(TRIAL_STARTS));
    Ok(())
}

/// The old image is copied back, the cable plugged in again, and the hub is told.
pub fn rollback(context: &mut Context<'_>) -> Result<(), Abort> {
    let version = context.expect("application starts after the rollback", LIMIT, |seen| match &seen.what {
        What::Running(Running::Application(version)) => Some(version.clone()),
        _ => None,
    })?;
    context.check_eq("version that runs", OLD.to_owned(), version)?;
    let holds = context.rig.slot_holds(&context.images.old);
    let told = if holds { "equal" } else { "different" };
    context.check("application slot", format!("equal to the image of {OLD}"), told, holds)?;
    let cause = RollbackCause::Watchdog;
    let expected = format!("rolled back from {NEW}: {}", cause.as_str());
    context.check_eq("boot record", expected, boot_status(context))?;
    let gone = context.rig.nor().file_len(layout::IMAGE_BIN).is_none();
    context.check("image.bin", "gone", if gone { "gone" } else { "there" }, gone)?;

    context.rig.set_link_up(true);
    let agent = deploy::agent_report(context, "agent reports the rollback", REPORT_LIMIT, |agent| {
        agent["state"] == deploy::FAILED
    })?;
    let result = &agent["lastInstallResult"];
    let code = result["resultCode"].as_i64().unwrap_or(1);
    context.check("result code", "not above 0: a failure", code, code <= 0)?;
    let extended = result["extendedResultCode"].as_i64().unwrap_or_default();
    let hex = |code: i64| format!("{code:#010x}");
    context.check_eq("extended result code", hex(Code::RolledBack as i64), hex(extended))?;
    let details = result["resultDetails"].as_str().unwrap_or_default().to_owned();
    context.check_eq("result details", format!("bootloader cause {:#04x}", cause.code()), details.clone())?;
    let workflow = agent["workflow"]["id"].as_str().unwrap_or("none").to_owned();
    context.check_eq("workflow reported", deploy::workflow_id(context), workflow)?;
    let (state, why) = deploy::judge(context);
    let judged = state == State::Failed && why.contains(&extended.to_string()) && why.ends_with(&details);
    context.check("service's verdict", "failed, with this code and cause", why, judged)?;
    let status = context.wait("outcome acknowledged in the boot record", Duration::from_secs(30), |context| {
        let status = boot_status(context);
        (status == "confirmed").then_some(status)
    })?;
    context.check_eq("boot record after the report", "confirmed".to_owned(), status)?;

    let resets = count(context, |what| matches!(what, What::Board(BoardEvent::Reset(_))));
    deploy::still_alive(context)?;
    let after = count(context, |what| matches!(what, What::Board(BoardEvent::Reset(_)))) - resets;
    context.check_eq("resets after the report", 0, after)?;
    let downloads = count(context, |what| matches!(what, What::Cloud(Cloud::RangeServed { offset: 0, .. })));
    context.check_eq("downloads of the image that was taken back", 1, downloads)?;
    Ok(())
}

/// How many things that `is_one` applies to were seen in all steps.
fn count(context: &Context<'_>, is_one: impl Fn(&What) -> bool) -> usize {
    context.rig.observations().iter().filter(|seen| is_one(&seen.what)).count()
}
