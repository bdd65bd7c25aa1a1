//! The faults of time and services have struck: a device that gets past them has got past something.

use hub::{DeviceFault, EventKind as Cloud};
use sim_lan::LanEvent;

use super::super::context::{Abort, Context};
use super::deploy::FILE;
use crate::rig::What;

pub fn acted(context: &mut Context<'_>) -> Result<(), Abort> {
    let faults = context.scenario.faults.clone();
    if let Some(asked) = faults.file.and_then(|fault| fault.remaining) {
        let left = context.rig.cloud().file_fault(FILE).and_then(|fault| fault.remaining).unwrap_or(asked);
        context.check_eq("answers of the file server that were spoilt", asked, asked - left)?;
    }
    if !faults.device.is_empty() {
        let asked: u32 = faults.device.iter().map(times).sum();
        let seen = context.rig.observations().iter();
        let acted = seen.filter(|seen| matches!(seen.what, What::Cloud(Cloud::FaultActed { .. }))).count();
        context.check("times that the hub failed the device", format!("{asked}"), acted, acted == asked as usize)?;
    }
    if let Some(fault) = faults.clock {
        let told = context.rig.observations().iter().filter_map(|seen| match seen.what {
            What::Lan(LanEvent::NtpReply { unix_seconds, .. }) => {
                Some(unix_seconds as i64 - context.rig.utc(seen.at).as_secs() as i64)
            }
            _ => None,
        });
        let wrong: Vec<_> = told.filter(|ahead| *ahead != 0).collect();
        let ahead = wrong.first().copied().unwrap_or(0);
        context.check_eq("seconds that the time server was ahead", fault.ahead, ahead)?;
        if let Some(asked) = fault.remaining {
            context.check_eq("answers of the time server that were wrong", asked as usize, wrong.len())?;
        }
    }
    Ok(())
}

/// How often a fault acts.
fn times(fault: &DeviceFault) -> u32 {
    match *fault {
        DeviceFault::DropPubacks { count }
        | DeviceFault::DuplicateDesired { count }
        | DeviceFault::DelayDesired { count, .. }
        | DeviceFault::ReorderDesired { count } => count,
        DeviceFault::CutReceived { .. } | DeviceFault::CutSent { .. } => 1,
    }
}
