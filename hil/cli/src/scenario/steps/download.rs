//! The image crosses the network into external flash.

use std::time::Duration;

use hub::EventKind as Cloud;
use same54_sim::{EventKind as BoardEvent, ResetCause};
use sim_base::Instant;
use update_image::layout;

use super::super::OLD;
use super::super::context::{Abort, Context};
use super::deploy;
use crate::rig::{Observation, Running, What};

/// Virtual time that a whole download may take.
const LIMIT: Duration = Duration::from_secs(600);
/// Flash operations that one block of a download takes, roughly: two erases, sixteen pages, one commit.
const OPERATIONS_PER_BLOCK: u64 = 20;

pub fn block_write(context: &mut Context<'_>) -> Result<(), Abort> {
    let mut early = None;
    let mut known = context.blocks.found();
    context.wait("every block of the image in external flash", LIMIT, |context| {
        if context.blocks.is_complete() {
            return Some(());
        }
        if context.blocks.found() > known {
            known = context.blocks.found();
            if context.rig.nor().file_len(layout::IMAGE_BIN).is_some() {
                early.get_or_insert(known);
            }
        }
        None
    })?;
    let blocks = context.blocks.blocks().to_vec();
    let early = early.map_or_else(|| "absent".to_owned(), |block| format!("there after block {block}"));
    context.check_eq("image.bin before the last block", "absent".to_owned(), early)?;
    context.check_eq("blocks written in order", blocks.len(), context.blocks.found())?;
    let copies: u32 = blocks.iter().map(|block| block.copies).sum();
    context.check_eq("blocks programmed a second time", 0, copies)?;
    let over = context.blocks.overprogrammed();
    context.check_eq("bytes programmed twice without an erase", 0, over)?;
    ranges_precede_blocks(context)?;
    heartbeat(context)?;

    let len = context.wait("image.bin on external flash", Duration::from_secs(60), |context| {
        context.rig.nor().file_len(layout::IMAGE_BIN)
    })?;
    context.check_eq("length of image.bin", context.deployed.len(), len as usize)?;
    let equal = context.rig.nor().file(layout::IMAGE_BIN).as_ref() == Some(&context.deployed);
    context.check("image.bin", "equal to what the server holds", if equal { "equal" } else { "different" }, equal)?;
    context.figure("blocks", blocks.len() as u64);
    context.figure("bytes", context.deployed.len() as u64);
    Ok(())
}

/// A range is what fits one flash block; it is served before the block is programmed, and the next one is asked for
/// after.
fn ranges_precede_blocks(context: &mut Context<'_>) -> Result<(), Abort> {
    let served = ranges(context.rig.observations());
    let mut wrong = None;
    for (index, block) in context.blocks.blocks().iter().enumerate() {
        let Some((_, done)) = block.written else { continue };
        // A power cut may have asked twice for one block: the last answer counts.
        let own = served
            .iter()
            .rev()
            .find(|(_, offset, len)| *offset == u64::from(block.offset) && *len == u64::from(block.len));
        let next = served.iter().rev().find(|(_, offset, _)| *offset == u64::from(block.offset + block.len));
        let in_order = own.is_some_and(|(at, ..)| block.started.is_some_and(|started| *at <= started))
            && next.is_none_or(|(at, ..)| *at >= done);
        if !in_order {
            wrong.get_or_insert(index);
        }
    }
    let seen = wrong.map_or_else(|| "every block".to_owned(), |index| format!("not block {index}"));
    context.check_eq(
        "programmed after its range came and before the next was asked for",
        "every block".to_owned(),
        seen,
    )?;
    Ok(())
}

fn ranges(observations: &[Observation]) -> Vec<(Instant, u64, u64)> {
    let range = |seen: &Observation| match seen.what {
        What::Cloud(Cloud::RangeServed { offset, len, .. }) => Some((seen.at, offset, len)),
        _ => None,
    };
    observations.iter().filter_map(range).collect()
}

/// The application keeps running: its telemetry arrives while blocks are written.
fn heartbeat(context: &mut Context<'_>) -> Result<(), Abort> {
    let times: Vec<_> = context.blocks.blocks().iter().filter_map(|block| block.written.map(|(_, at)| at)).collect();
    let (Some(&first), Some(&last)) = (times.iter().min(), times.iter().max()) else { return Ok(()) };
    let beats: Vec<_> = context
        .rig
        .observations()
        .iter()
        .filter(|seen| matches!(seen.what, What::Cloud(Cloud::Telemetry(_))) && (first..=last).contains(&seen.at))
        .map(|seen| seen.at)
        .collect();
    let seconds = last.since(first).as_secs();
    // One a second is what the application sends; a busy network may delay one past its second.
    let enough = beats.len() as u64 * 2 >= seconds;
    context.check(
        "heartbeat during the download",
        "at least one in two seconds",
        format!("{} in {seconds} s", beats.len()),
        enough,
    )?;
    context.figure("heartbeats", beats.len() as u64);
    Ok(())
}

pub fn download_refused(context: &mut Context<'_>) -> Result<(), Abort> {
    deploy::refusal(context, "agent refuses the image", LIMIT)?;
    let requests = ranges(context.rig.observations()).len();
    context.check("the image was downloaded", "ranges were served", requests, requests > 0)?;
    let absent = context.rig.nor().file_len(layout::IMAGE_BIN).is_none();
    context.check("image.bin", "never appears", if absent { "absent" } else { "there" }, absent)?;
    let resets =
        context.unconsumed().iter().filter(|seen| matches!(seen.what, What::Board(BoardEvent::Reset(_)))).count();
    context.check_eq("resets", 0, resets)?;
    let old = context.rig.slot_holds(&context.images.old);
    context.check("application slot", format!("holds {OLD}"), if old { OLD } else { "something else" }, old)?;
    deploy::still_alive(context)
}

pub fn power_cut(context: &mut Context<'_>) -> Result<(), Abort> {
    // Anywhere from the second block to the last but one, so that there is something to resume and something left.
    let blocks = context.blocks.blocks().len() as u64;
    let target = 1 + context.rng.below(blocks.saturating_sub(2).max(1)) as usize;
    context.wait("blocks before the cut", LIMIT, |context| (context.blocks.found() >= target).then_some(()))?;
    cut_in_flash_operation(context, OPERATIONS_PER_BLOCK)?;
    context.blocks.power_cut();
    let resume = context.rig.nor().file_len(layout::IMAGE_TMP).unwrap_or(0);
    context.check("image.tmp after the cut", "holds the blocks before it", format!("{resume} bytes"), resume > 0)?;
    context.figure("bytes kept", u64::from(resume));
    restart(context, OLD)?;
    // The first range asked for after the cut is where the file ended.
    let offset = context.expect("download resumes", LIMIT, |seen| match seen.what {
        What::Cloud(Cloud::RangeServed { offset, .. }) => Some(offset),
        _ => None,
    })?;
    context.check_eq("first byte asked for after the cut", u64::from(resume), offset)?;
    Ok(())
}

/// Cuts the supply inside one of the next `operations` flash operations, which one and how far into it as the seed says,
/// and waits until that has happened.
pub fn cut_in_flash_operation(context: &mut Context<'_>, operations: u64) -> Result<(), Abort> {
    let (skip, share) = (context.rng.below(operations), context.rng.below(256) as u8);
    context.consume();
    context.rig.cut_power_in_flash_operation(skip, share);
    let torn = context.expect("supply cut inside a flash operation", LIMIT, |seen| match &seen.what {
        What::Board(BoardEvent::PowerOff { torn }) => Some(torn.clone()),
        _ => None,
    })?;
    let torn = torn.unwrap_or_else(|| "nothing".to_owned());
    context.check("supply cut", "tears a flash operation", &torn, torn != "nothing")?;
    Ok(())
}

/// Restores the supply and waits for the application.
pub fn restart(context: &mut Context<'_>, version: &str) -> Result<(), Abort> {
    let off = Duration::from_millis(100 + context.rng.below(2_000));
    context.rig.advance(off);
    context.consume();
    context.rig.restore_power()?;
    let cause = context.expect("power-on reset", Duration::from_secs(1), |seen| match seen.what {
        What::Board(BoardEvent::Reset(cause)) => Some(cause),
        _ => None,
    })?;
    context.check(
        "reset cause after the cut",
        "power-on",
        crate::rig::reset_cause(cause),
        cause == ResetCause::PowerOn,
    )?;
    let running =
        context.expect("application starts after the cut", Duration::from_secs(240), |seen| match &seen.what {
            What::Running(Running::Application(version)) => Some(version.clone()),
            _ => None,
        })?;
    context.check_eq("version after the cut", version.to_owned(), running)?;
    Ok(())
}
