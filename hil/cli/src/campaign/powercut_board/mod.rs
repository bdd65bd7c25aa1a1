//! Power cuts on the virtual board, with the shipped bootloader and application.
//!
//! The bootloader's part: an update from `image.bin` on external flash to the first start of the new image on trial, and a
//! rollback. Each of their flash operations is cut, in both flashes; then instants between operations are. The
//! application's part, from the download to the confirmation, is in [`agent`].

mod agent;
mod known;
mod verdict;

use std::time::Duration;

use bootloader_core::TRIAL_STARTS;
use same54_sim::{Board, EventKind, Tear};
use sim_base::Rng;
use update_image::boot_record::Phase;
use update_image::layout::{IMAGE_BIN, SLOT};

use super::report::{Broken, Row};
use super::stage::{self, End, LONGEST, Stage, run as run_board};
use super::{PowercutArgs, in_parallel};
use crate::artifacts::Workspace;
use crate::bench::cpu_time;
use crate::error::Error;
use known::{Known, Way};
use verdict::{Goal, boot_record};

/// What a cut leaves behind. Nothing is what Complete of the operation before leaves.
const TEARS: [Tear; 4] = [Tear::Prefix, Tear::Bits, Tear::Unsteady, Tear::Complete];
/// Tears tried in each operation of an update: two of the four, by turns. Elsewhere it is one.
const TEARS_EACH: usize = 2;
/// Cuts of an update at instants that the seed chooses.
const INSTANTS: usize = 400;
/// Such cuts that go to their end, whether the way is known or not, with contents of RAM of their own.
const TO_THE_END: usize = 100;
/// One in so many points of a quick look.
const QUICK: usize = 40;
/// The same of its instants, which find what takes long: erases.
const QUICK_INSTANTS: usize = 8;
/// Virtual time between two looks at a way without a cut.
const LOOK: Duration = Duration::from_micros(100);
/// Flash operations between two boards to start from.
const STRIDE: usize = 24;

/// A point.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// In a flash operation, by number.
    Operation(usize, Tear),
    /// After so many cycles.
    Cycle(u64),
}

/// What RAM holds when the supply comes back.
#[derive(Clone, Copy)]
enum Ram {
    /// The same for all points, so that they can be compared.
    Same,
    /// Another for each.
    Own,
}

/// What became of a point.
struct Outcome {
    what: &'static str,
    boot: Duration,
    cpu_s: f64,
    /// The rest of the way was known.
    joined: bool,
    broken: Option<Broken>,
}

/// The way without a cut.
struct Reference {
    /// Boards along the way, and how many operations each has begun.
    boards: Vec<(usize, Board)>,
    operations: usize,
    cycles: std::ops::Range<u64>,
}

/// What all points of a part share.
struct Walk<'a> {
    stage: &'a Stage,
    goal: Goal,
    seed: u64,
}

/// Cuts each operation, and instants.
pub(super) fn run(workspace: &Workspace, args: &PowercutArgs, threads: usize) -> Result<Vec<Row>, Error> {
    let (programs, images) = stage::programs(workspace, args.bootloader.as_deref())?;
    let stage = Stage::of(&programs, &images);
    let seed = args.seed;
    let share = if args.quick { QUICK } else { 1 };
    let start = stage.confirmed_board(&[(IMAGE_BIN, &stage.new)], seed)?;
    let walk = Walk { stage: &stage, goal: Goal::Update, seed };
    let mut rows = walk.rows("update", &start, threads, share)?;
    let walk = Walk { goal: Goal::Rollback, ..walk };
    rows.extend(walk.rows("rollback", &before_rollback(start)?, threads, share)?);
    rows.extend(agent::rows(&programs, &images, seed, threads, share)?);
    Ok(rows)
}

/// What the cut number `turn` in an operation leaves behind.
fn tear(operation: usize, turn: usize) -> Tear {
    TEARS[(operation + 2 * turn + operation / 2) % TEARS.len()]
}

/// Lets a board with an update start so often that the next start takes the update back.
fn before_rollback(mut board: Board) -> Result<Board, Error> {
    for _ in 0..TRIAL_STARTS {
        board.power_on();
        let end = run_board(&mut board, LONGEST, false);
        if end != End::Application {
            return Err(Error::Campaign(format!("the update does not start on trial: {end:?}")));
        }
        board.power_off();
    }
    let phase = boot_record(&board).phase;
    if phase != (Phase::Trial { starts: TRIAL_STARTS }) {
        return Err(Error::Campaign(format!("no rollback is due after {TRIAL_STARTS} starts on trial: {phase:?}")));
    }
    board.take_events();
    Ok(board)
}

impl Walk<'_> {
    /// Cuts one in `share` of the points of the way that begins when `start` is switched on.
    fn rows(&self, name: &str, start: &Board, threads: usize, share: usize) -> Result<Vec<Row>, Error> {
        let reference = reference(start)?;
        let mut workers: Vec<Worker> =
            (0..threads).map(|_| Worker { board: start.snapshot(), boards: reference.copies() }).collect();
        let nothing = Known::nothing(&self.stage.bootloader);

        // Ways that are gone to their end, for the others to be compared with.
        let firsts: Vec<Point> =
            reference.boards.iter().map(|(begun, _)| Point::Operation(*begun, Tear::Complete)).collect();
        let name_of = |what: &str| format!("board, {name}, {what}");
        let share_of_instants = share.min(QUICK_INSTANTS);
        let (row, ways) = self.points(&mut workers, name_of("to compare with"), &firsts, share, &nothing, Ram::Same);
        let mut known = Known::nothing(&self.stage.bootloader);
        ways.iter().flatten().for_each(|way| known.learn(way));
        let mut rows = vec![row];

        // Fewer of a rollback, whose copy into the slot is the update's.
        let (tears, part) = if self.goal == Goal::Update { (TEARS_EACH, 1) } else { (1, 5) };
        let operations: Vec<Point> = (0..reference.operations)
            .flat_map(|operation| (0..tears).map(move |turn| Point::Operation(operation, tear(operation, turn))))
            .collect();
        rows.push(self.points(&mut workers, name_of("each operation"), &operations, share, &known, Ram::Same).0);
        let mut rng = Rng::new(self.seed);
        let cycles = reference.cycles.clone();
        let mut instants = |count: usize| -> Vec<Point> {
            (0..count).map(|_| Point::Cycle(cycles.start + rng.below(cycles.end - cycles.start))).collect()
        };
        let (joining, to_the_end) = (instants(INSTANTS / part), instants(TO_THE_END / part));
        rows.push(self.points(&mut workers, name_of("any instant"), &joining, share_of_instants, &known, Ram::Same).0);
        let name = name_of("any instant, to the end");
        rows.push(self.points(&mut workers, name, &to_the_end, share_of_instants, &nothing, Ram::Own).0);
        Ok(rows)
    }

    /// Tries one in `share` of `points`; the ways that were good and gone to their end.
    fn points(
        &self,
        workers: &mut [Worker],
        name: String,
        points: &[Point],
        share: usize,
        known: &Known,
        ram: Ram,
    ) -> (Row, Vec<Option<Way>>) {
        let points: Vec<Point> = points.iter().copied().step_by(share).collect();
        eprintln!("{name}: {} points", points.len());
        let workers = workers.iter_mut().collect();
        let outcomes = in_parallel(workers, points.len(), |worker: &mut &mut Worker, n| {
            worker.try_point(self, known, points[n], self.seed ^ (n as u64) << 16, ram)
        });
        let (outcomes, ways): (Vec<_>, Vec<_>) = outcomes.into_iter().unzip();
        (row(name, outcomes), ways)
    }
}

impl Reference {
    fn copies(&self) -> Vec<(usize, Board)> {
        self.boards.iter().map(|(begun, board)| (*begun, board.snapshot())).collect()
    }
}

fn row(name: String, outcomes: Vec<Outcome>) -> Row {
    let mut row = Row { name, ..Row::default() };
    let mut worst = Duration::ZERO;
    for outcome in outcomes {
        row.count(outcome.what);
        row.cpu_s += outcome.cpu_s;
        row.joined += u64::from(outcome.joined);
        worst = worst.max(outcome.boot);
        row.failures.extend(outcome.broken);
    }
    row.worst_boot_ms = Some(worst.as_secs_f64() * 1e3);
    row
}

/// Goes the way once and keeps boards along it.
fn reference(start: &Board) -> Result<Reference, Error> {
    let mut board = start.snapshot();
    board.power_on();
    let begun = board.cycles();
    board.take_events();
    let mut boards = vec![(0, board.snapshot())];
    let mut operations = 0;
    let end = board.now() + LONGEST;
    loop {
        board.run_until(board.now() + LOOK);
        operations += board.take_events().iter().filter(|event| is_operation(&event.kind)).count();
        if boards.last().is_none_or(|(begun, _)| operations >= begun + STRIDE) {
            boards.push((operations, board.snapshot()));
        }
        if SLOT.contains(board.register(15)) {
            break;
        }
        if board.now() >= end || !board.is_powered() {
            return Err(Error::Campaign("a way does not come to its end on the virtual board".to_owned()));
        }
    }
    boards.retain(|(begun, _)| *begun < operations);
    Ok(Reference { boards, operations, cycles: begun..board.cycles() })
}

fn is_operation(kind: &EventKind) -> bool {
    use EventKind as K;
    matches!(kind, K::NvmProgram { .. } | K::NvmErase { .. } | K::NorProgram { .. } | K::NorErase { .. })
}

/// What a thread works with: a board, and those to start from.
struct Worker {
    board: Board,
    boards: Vec<(usize, Board)>,
}

impl Worker {
    /// Cuts once, starts again, and looks at what there is.
    fn try_point(
        &mut self,
        walk: &Walk<'_>,
        known: &Known,
        point: Point,
        seed: u64,
        ram: Ram,
    ) -> (Outcome, Option<Way>) {
        let Self { board, boards } = self;
        let ((what, broken, way), cpu_s) = cpu_time::of(|| {
            let mut rng = Rng::new(seed);
            match point {
                Point::Operation(operation, tear) => {
                    let from = boards.partition_point(|(begun, _)| *begun <= operation).saturating_sub(1);
                    let (begun, start) = &boards[from];
                    board.restore_from(start);
                    board.reseed(seed);
                    board.set_tear(Some(tear));
                    board.cut_power_in_flash_operation((operation - begun) as u64, 1 + rng.below(255) as u8);
                }
                Point::Cycle(cycle) => {
                    let before = boards.partition_point(|(_, board)| board.cycles() < cycle).saturating_sub(1);
                    board.restore_from(&boards[before].1);
                    board.reseed(seed);
                    board.set_tear(None);
                    board.cut_power_at_cycle(cycle);
                }
            }
            let ram = match ram {
                Ram::Same => walk.seed,
                Ram::Own => seed,
            };
            restart(walk, board, known, ram)
        });
        let (boot, joined) = way.as_ref().map_or((Duration::ZERO, false), |way| (way.took, way.joined));
        let way = way.filter(|way| !way.joined && broken.is_none());
        let broken = broken.map(|seen| Broken { point: format!("{point:?}, seed {seed}"), seen });
        (Outcome { what, boot, cpu_s, joined, broken }, way)
    }
}

/// Runs to the cut, switches on again, and on to the application or to where the way is known; what became of it, what
/// rule it broke, and how it came there.
fn restart(walk: &Walk<'_>, board: &mut Board, known: &Known, ram: u64) -> (&'static str, Option<String>, Option<Way>) {
    if run_board(board, LONGEST, false) != End::NoPower {
        // The cut would have come after the way's end.
        let (what, broken) = verdict::judge(walk.goal, walk.stage, board);
        return (what, broken, None);
    }
    board.reseed(ram);
    board.power_on();
    let (what, broken, way) = start(walk.goal, walk.stage, board, known);
    (what, broken, Some(way))
}

/// Lets a board that has just been switched on run to the application and judges what it has become.
fn start(goal: Goal, stage: &Stage, board: &mut Board, known: &Known) -> (&'static str, Option<String>, Way) {
    let way = known.follow(board);
    let (what, broken) = if way.end != End::Application {
        ("bricked", Some(format!("{:?} at {:#x}", way.end, board.register(15))))
    } else if !way.violations.is_empty() {
        ("rule of the chip broken", Some(way.violations.join("; ")))
    } else if way.joined {
        (goal.reached(), None)
    } else {
        verdict::judge(goal, stage, board)
    };
    (what, broken, way)
}

#[cfg(test)]
mod tests;
