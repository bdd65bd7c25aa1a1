//! Reset, and what the bootloader does with `image.bin`.

use std::time::Duration;

use hub::EventKind as Cloud;
use same54_sim::{EventKind as BoardEvent, ResetCause};
use update_image::layout;

use super::super::context::{Abort, Context};
use super::super::{NEW, OLD};
use super::{deploy, download};
use crate::rig::{Running, What, reset_cause};

/// Virtual time that a swap may take: two copies of the slot, each at the flash's pace.
pub const LIMIT: Duration = Duration::from_secs(300);
/// Bytes that one operation programs, of external and of internal flash.
const NOR_PAGE: u64 = 256;
const NVM_PAGE: u64 = 512;

pub fn reset(context: &mut Context<'_>) -> Result<(), Abort> {
    let complete = context.blocks.blocks().last().and_then(|block| block.written).map(|(_, at)| at);
    let Some(complete) = complete else {
        return Err(context.fail("last block", "written before the reset", "not written").into());
    };
    let mut early = 0;
    let (at, cause) =
        context.expect("reset after the last block", Duration::from_secs(120), |seen| match seen.what {
            What::Board(BoardEvent::Reset(cause)) if seen.at >= complete => Some((seen.at, cause)),
            What::Board(BoardEvent::Reset(_)) => {
                early += 1;
                None
            }
            _ => None,
        })?;
    context.check_eq("resets before the last block", 0, early)?;
    let system = cause == ResetCause::System;
    context.check("reset cause", reset_cause(ResetCause::System), reset_cause(cause), system)?;
    context.figure("ms after the last block", at.since(complete).as_millis() as u64);
    Ok(())
}

pub fn image_swap(context: &mut Context<'_>) -> Result<(), Abort> {
    let already = context.rig.slot_holds(&context.deployed);
    if !already && context.rig.slot_holds(&context.images.old) {
        // The first erase of the slot: by now the way back must be complete.
        context.wait("bootloader erases the slot", LIMIT, |context| {
            context.unconsumed().iter().any(|seen| is_slot_erase(&seen.what)).then_some(())
        })?;
        let kept = context.rig.nor().file(layout::PREVIOUS_BIN).as_ref() == Some(&context.images.old);
        context.check(
            "previous.bin when the first byte of the slot goes",
            "the image that ran",
            if kept { "the image that ran" } else { "not complete" },
            kept,
        )?;
        let there = context.rig.nor().file_len(layout::IMAGE_BIN).is_some();
        context.check(
            "image.bin when the first byte of the slot goes",
            "there",
            if there { "there" } else { "gone" },
            there,
        )?;
    }
    let version = context.expect("application starts after the swap", LIMIT, |seen| match &seen.what {
        What::Running(Running::Application(version)) => Some(version.clone()),
        _ => None,
    })?;
    context.check_eq("version that runs", NEW.to_owned(), version)?;
    let holds = context.rig.slot_holds(&context.deployed);
    context.check(
        "application slot",
        "equal to the image deployed",
        if holds { "equal" } else { "different" },
        holds,
    )?;
    let gone = context.rig.nor().file_len(layout::IMAGE_BIN).is_none();
    context.check("image.bin after the swap", "gone", if gone { "gone" } else { "there" }, gone)?;
    let kept = context.rig.nor().file(layout::PREVIOUS_BIN).as_ref() == Some(&context.images.old);
    context.check("previous.bin", format!("holds {OLD}"), if kept { OLD } else { "something else" }, kept)?;
    let status = boot_status(context);
    context.check("boot record", "trial", &status, status.starts_with("trial"))?;
    let programmed = context
        .rig
        .observations()
        .iter()
        .filter(
            |seen| matches!(seen.what, What::Board(BoardEvent::NvmErase { addr, .. }) if layout::SLOT.contains(addr)),
        )
        .count();
    context.figure("slot blocks erased", programmed as u64);
    Ok(())
}

/// The boot record's status in a few words.
pub fn boot_status(context: &Context<'_>) -> String {
    use update_image::boot_record::{BootRecord, Status};
    match BootRecord::open(context.rig.nvm()).status() {
        Status::Confirmed => "confirmed".to_owned(),
        Status::Trial(start) => format!("trial, start {start}"),
        Status::RolledBack { from, cause } => format!("rolled back from {from}: {}", cause.as_str()),
        Status::Refused { cause } => format!("refused: {}", cause.as_str()),
    }
}

fn is_slot_erase(what: &What) -> bool {
    matches!(what, What::Board(BoardEvent::NvmErase { addr, .. }) if layout::SLOT.contains(*addr))
}

pub fn image_refused(context: &mut Context<'_>) -> Result<(), Abort> {
    let mut erased = 0;
    let version = context.expect("application starts", LIMIT, |seen| match &seen.what {
        What::Running(Running::Application(version)) => Some(version.clone()),
        what => {
            erased += usize::from(is_slot_erase(what));
            None
        }
    })?;
    context.check_eq("version that runs", OLD.to_owned(), version)?;
    context.check_eq("blocks of the slot erased", 0, erased)?;
    let status = boot_status(context);
    context.check("boot record", "refused, with the cause", &status, status.starts_with("refused"))?;
    let gone = context.rig.nor().file_len(layout::IMAGE_BIN).is_none();
    context.check("image.bin", "moved aside", if gone { "moved aside" } else { "still there" }, gone)?;
    deploy::refusal(context, "agent reports the refusal", Duration::from_secs(180))?;
    let again = context
        .rig
        .observations()
        .iter()
        .filter(|seen| matches!(seen.what, What::Cloud(Cloud::RangeServed { offset: 0, .. })))
        .count();
    context.check_eq("downloads of the refused image", 1, again)?;
    deploy::still_alive(context)
}

pub fn power_cut(context: &mut Context<'_>) -> Result<(), Abort> {
    // Half of the seeds cut while previous.bin is written, half while the slot is overwritten.
    let operations = if context.rng.below(2) == 0 {
        context.wait("bootloader erases the slot", LIMIT, |context| {
            context.unconsumed().iter().any(|seen| is_slot_erase(&seen.what)).then_some(())
        })?;
        context.images.new.len() as u64 / NVM_PAGE
    } else {
        context.images.old.len() as u64 / NOR_PAGE
    };
    download::cut_in_flash_operation(context, operations)?;
    let off = Duration::from_millis(100 + context.rng.below(2_000));
    context.rig.advance(off);
    context.consume();
    context.rig.restore_power()?;
    Ok(())
}
