//! Power cuts while the application writes: the download into external flash, and the confirmation.
//!
//! 1.0.0 takes an update from the local hub on the virtual LAN, without a cut. Wherever the application begins a flash
//! operation, a copy of the board without a network loses its supply, the operation torn, and starts again. A part of these
//! copies, as the cut has left them, is put onto a LAN with a hub of its own, and has to come to the end of the update.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hub::{DeployOptions, DeploymentId, EventKind as Cloud, State};
use same54_sim::{Board, Tear};
use update_image::boot_record::Phase;

use super::known::Known;
use super::verdict::{Goal, boot_record, is_formatted};
use super::{Outcome, row, start, tear};
use crate::bench::cpu_time;
use crate::campaign::report::{Broken, Row};
use crate::campaign::stage::Stage;
use crate::error::Error;
use crate::rig::{Programs, Rig, Running, What};
use crate::scenario::{Images, offer};

/// Operations of the download of which one cut is followed to the end of the update.
const COMPLETED_ONE_IN: usize = 150;
/// The same for the confirmation, in a quick look; else it is each.
const CONFIRMED_ONE_IN: usize = 4;
/// Virtual time that an update may take from its offer, cut or not.
const LIMIT: Duration = Duration::from_secs(600);
/// Virtual time behind the end of the update, for what the application may still write.
const BEHIND: Duration = Duration::from_secs(3);
/// Virtual time between two looks at the hub.
const LOOK: Duration = Duration::from_millis(100);
/// Boards that wait for a thread.
const WAITING: usize = 4;

/// A board at the beginning of a flash operation.
struct Cut {
    board: Board,
    goal: Goal,
    /// The operation's number among the application's.
    operation: usize,
    tear: Tear,
    seed: u64,
    /// It is to come to the update's end.
    follow: bool,
}

/// What became of a cut.
struct Tried {
    operation: usize,
    goal: Goal,
    outcome: Outcome,
    /// With the hub, to the end of the update.
    completed: Option<Outcome>,
}

/// Cuts one in `share` of the points.
pub(super) fn rows(
    programs: &Programs,
    images: &Images,
    seed: u64,
    threads: usize,
    share: usize,
) -> Result<Vec<Row>, Error> {
    let stage = Stage::of(programs, images);
    eprintln!("board, download and confirmation");
    let (sender, receiver) = sync_channel::<Cut>(WAITING);
    let receiver = Mutex::new(receiver);
    let (reference, mut tried) = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| work(&receiver, &stage, programs, images, seed))).collect();
        let reference = update(programs, images, seed, |rig, operation| {
            let goal = match rig.slot_holds(&images.new) {
                true => Goal::Confirmation,
                false if is_formatted(&rig.board()) => Goal::Download,
                false => Goal::Format,
            };
            // The confirmation is a handful of them.
            if operation % share == 0 || goal == Goal::Confirmation {
                let (board, tear) = (rig.board().snapshot(), tear(operation, 0));
                let one_in = match goal {
                    Goal::Confirmation if share == 1 => 1,
                    Goal::Confirmation => CONFIRMED_ONE_IN,
                    _ => COMPLETED_ONE_IN,
                };
                let (seed, follow) = (seed ^ (operation as u64) << 16, operation % one_in == 0);
                // Nobody listens only if a thread has panicked, which its end tells.
                let _ = sender.send(Cut { board, goal, operation, tear, seed, follow });
            }
        });
        drop(sender);
        let tried: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap_or_default()).collect();
        (reference, tried.into_iter().flatten().collect::<Vec<_>>())
    });
    reference?;
    tried.sort_by_key(|tried| tried.operation);
    let mut outcomes: [Vec<Outcome>; 3] = Default::default();
    for Tried { goal, outcome, completed, .. } in tried {
        outcomes[usize::from(goal == Goal::Confirmation)].push(outcome);
        outcomes[2].extend(completed);
    }
    let names = ["download, each operation", "confirmation, each operation", "some of these, to the update's end"];
    Ok(names.into_iter().zip(outcomes).map(|(name, outcomes)| row(format!("board, {name}"), outcomes)).collect())
}

/// Takes cuts until there are no more.
fn work(cuts: &Mutex<Receiver<Cut>>, stage: &Stage, programs: &Programs, images: &Images, seed: u64) -> Vec<Tried> {
    let known = Known::nothing(&stage.bootloader);
    let mut tried = Vec::new();
    loop {
        let next = cuts.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut cut) = next else { return tried };
        let point = format!("{:?}, operation {} {:?}, seed {}", cut.goal, cut.operation, cut.tear, cut.seed);
        let told = |seen: Option<String>| seen.map(|seen| Broken { point: point.clone(), seen });
        cut.fall();
        let fallen = cut.follow.then(|| cut.board.snapshot());
        let ((what, broken, way), cpu_s) = cpu_time::of(|| {
            cut.board.power_on();
            start(cut.goal, stage, &mut cut.board, &known)
        });
        let outcome = Outcome { what, boot: way.took, cpu_s, joined: false, broken: told(broken) };
        let completed = fallen.map(|board| {
            let (end, cpu_s) = cpu_time::of(|| complete(board, programs, images, seed));
            let (what, broken) = match end {
                Ok(()) => ("update complete", None),
                Err(why) => ("update incomplete", Some(why.to_string())),
            };
            Outcome { what, boot: Duration::ZERO, cpu_s, joined: false, broken: told(broken) }
        });
        tried.push(Tried { operation: cut.operation, goal: cut.goal, outcome, completed });
    }
}

impl Cut {
    /// The supply goes, and with it what is in flight.
    fn fall(&mut self) {
        let Self { board, tear, seed, .. } = self;
        board.take_events();
        board.stop_at_flash_operations(false);
        board.reseed(*seed);
        board.set_tear(Some(*tear));
        board.power_off();
    }
}

/// The update without a cut; `at` sees the rig wherever the application begins a flash operation, with its number.
fn update(programs: &Programs, images: &Images, seed: u64, mut at: impl FnMut(&Rig, usize)) -> Result<(), Error> {
    let mut rig = Rig::new(programs, seed, None, None, false)?;
    let mut deployment = None;
    rig.start()?;
    rig.board().stop_at_flash_operations(true);
    let mut operations = 0;
    let end = rig.now() + LIMIT;
    let mut last = None;
    while rig.now() < last.unwrap_or(end) {
        if rig.advance_to_operation(LOOK) && matches!(rig.running(), Running::Application(_)) {
            at(&rig, operations);
            operations += 1;
        }
        stuck(&rig)?;
        if last.is_none() && is_complete(&rig, images, &mut deployment)? {
            last = Some(rig.now() + BEHIND);
        }
    }
    last.map(|_| ())
        .ok_or_else(|| Error::Campaign(format!("without a cut the update {}", state(&rig, deployment.as_ref()))))
}

/// Puts a board without supply onto a LAN with a hub that offers the update, and waits for its end.
fn complete(board: Board, programs: &Programs, images: &Images, seed: u64) -> Result<(), Error> {
    let mut rig = Rig::around(board, programs, seed)?;
    let mut deployment = None;
    let end = rig.now() + LIMIT;
    while rig.now() < end {
        rig.advance(LOOK);
        stuck(&rig)?;
        if is_complete(&rig, images, &mut deployment)? {
            return Ok(());
        }
    }
    Err(Error::Campaign(format!("after a cut the update {}", state(&rig, deployment.as_ref()))))
}

/// Offers the update to a device that has reported to the hub; then, whether the hub has judged it a success, and the new
/// image runs and has confirmed itself.
fn is_complete(rig: &Rig, images: &Images, deployment: &mut Option<DeploymentId>) -> Result<bool, Error> {
    let now = rig.now();
    let mut cloud = rig.cloud();
    let Some(deployment) = deployment else {
        if rig.observations().iter().any(|seen| matches!(seen.what, What::Cloud(Cloud::Reported { .. }))) {
            *deployment = Some(offer(&mut cloud, now, &images.new, None, DeployOptions::default())?);
        }
        return Ok(false);
    };
    let succeeded = cloud.judge(deployment).is_ok_and(|judgement| judgement.state == State::Succeeded);
    drop(cloud);
    Ok(succeeded && rig.slot_holds(&images.new) && boot_record(&rig.board()).phase == Phase::Confirmed)
}

/// For an error: how far it has come.
fn state(rig: &Rig, deployment: Option<&DeploymentId>) -> String {
    let judged = match deployment {
        None => "the device never came to the hub".to_owned(),
        Some(id) => rig.cloud().judge(id).map_or_else(|why| why.to_string(), |judgement| judgement.why),
    };
    format!("does not come to its end in {} s: {judged}; {:?}", LIMIT.as_secs(), rig.log_tail(3))
}

fn stuck(rig: &Rig) -> Result<(), Error> {
    match rig.stuck() {
        Some(why) => Err(Error::Campaign(format!("the virtual board stopped: {why:?}; {:?}", rig.log_tail(3)))),
        None => Ok(()),
    }
}
