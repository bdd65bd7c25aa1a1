//! Power cuts on the virtual board, with the shipped bootloader and application.
//!
//! An update from `image.bin` on external flash to the first start of the new image on trial. Each of its flash operations
//! is cut, in both flashes; then instants between operations are.

use std::time::Duration;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use same54_sim::{Board, EventKind, Tear};
use sim_base::Rng;
use update_image::ReadAt as _;
use update_image::boot_record::{BootRecord, Phase};
use update_image::layout::{self, IMAGE_BIN, PREVIOUS_BIN, SLOT};
use update_image::sim::{SimNvm, Supply};
use update_store::Store;

use super::in_parallel;
use super::report::{Broken, Row};
use super::stage::{End, LONGEST, Stage, run as run_board};
use crate::artifacts::Workspace;
use crate::bench::cpu_time;
use crate::error::Error;

/// What a cut leaves behind. Nothing is what Complete of the operation before leaves.
const TEARS: [Tear; 4] = [Tear::Prefix, Tear::Bits, Tear::Unsteady, Tear::Complete];
/// Tears tried in each operation: two of the four, by turns.
const TEARS_EACH: usize = 2;
/// Cuts at instants that the seed chooses.
const INSTANTS: usize = 500;
/// Virtual time between two looks at the update without a cut.
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

/// What became of a point.
struct Outcome {
    what: &'static str,
    boot: Duration,
    cpu_s: f64,
    broken: Option<Broken>,
}

/// The update without a cut.
struct Reference {
    /// Boards along the way, and how many operations each has begun.
    boards: Vec<(usize, Board)>,
    operations: usize,
    cycles: std::ops::Range<u64>,
}

/// Cuts each operation, and instants.
pub(super) fn run(workspace: &Workspace, seed: u64, threads: usize, quick: bool) -> Result<Vec<Row>, Error> {
    let stage = Stage::new(workspace)?;
    let start = stage.confirmed_board(&[(IMAGE_BIN, &stage.new)], seed)?;
    let reference = reference(&start)?;
    let operations = (0..reference.operations).flat_map(|operation| {
        (0..TEARS_EACH)
            .map(move |n| Point::Operation(operation, TEARS[(operation + 2 * n + operation / 2) % TEARS.len()]))
    });
    let mut rng = Rng::new(seed);
    let cycles = reference.cycles.clone();
    let instants = (0..INSTANTS).map(|_| Point::Cycle(cycles.start + rng.below(cycles.end - cycles.start)));
    let share = if quick { 40 } else { 1 };
    let rows = [
        ("board, update, each operation", operations.step_by(share).collect::<Vec<_>>()),
        ("board, update, any instant", instants.step_by(share).collect()),
    ];
    Ok(rows
        .into_iter()
        .map(|(name, points)| {
            eprintln!("{name}: {} points", points.len());
            let workers =
                (0..threads).map(|_| Worker { board: start.snapshot(), boards: reference.copies() }).collect();
            let outcomes = in_parallel(workers, points.len(), |worker, n| {
                worker.try_point(&stage, points[n], seed ^ (n as u64) << 16)
            });
            row(name, outcomes)
        })
        .collect())
}

impl Reference {
    fn copies(&self) -> Vec<(usize, Board)> {
        self.boards.iter().map(|(begun, board)| (*begun, board.snapshot())).collect()
    }
}

fn row(name: &str, outcomes: Vec<Outcome>) -> Row {
    let mut row = Row { name: name.to_owned(), ..Row::default() };
    let mut worst = Duration::ZERO;
    for outcome in outcomes {
        row.count(outcome.what);
        row.cpu_s += outcome.cpu_s;
        worst = worst.max(outcome.boot);
        row.failures.extend(outcome.broken);
    }
    row.worst_boot_ms = Some(worst.as_secs_f64() * 1e3);
    row
}

/// Runs the update once and keeps boards along it.
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
            return Err(Error::Hub("the update does not come to its end on the virtual board".to_owned()));
        }
    }
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
    fn try_point(&mut self, stage: &Stage, point: Point, seed: u64) -> Outcome {
        let Self { board, boards } = self;
        let ((what, boot, broken), cpu_s) = cpu_time::of(|| {
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
            judge(stage, board)
        });
        let broken = broken.map(|seen| Broken { point: format!("{point:?}, seed {seed}"), seen });
        Outcome { what, boot, cpu_s, broken }
    }
}

/// Runs to the cut and on to the application; what became of it, how long the start took, and what rule it broke.
fn judge(stage: &Stage, board: &mut Board) -> (&'static str, Duration, Option<String>) {
    let mut boot = Duration::ZERO;
    if run_board(board, LONGEST, false) == End::NoPower {
        board.power_on();
        let begun = board.now();
        let end = run_board(board, LONGEST, false);
        boot = board.now() - begun;
        if end != End::Application {
            return ("bricked", boot, Some(format!("{end:?} at {:#x}", board.register(15))));
        }
    }
    let violations: Vec<String> = board
        .take_events()
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::Violation(rule) => Some(rule),
            _ => None,
        })
        .collect();
    if !violations.is_empty() {
        return ("rule of the chip broken", boot, Some(violations.join("; ")));
    }
    let nvm = board.nvm();
    let holds = |image: &[u8]| nvm[SLOT.start as usize..].starts_with(image);
    let mut flash = SimNvm::erased(&Supply::steady());
    flash.put(layout::BOOT_RECORD.start, &nvm[layout::BOOT_RECORD.start as usize..layout::BOOT_RECORD.end() as usize]);
    let state = *BootRecord::open(flash).state();
    let files = Store::mount(Seen(board), layout::STORE).map_err(|(error, _)| error).map(|store| {
        [IMAGE_BIN, PREVIOUS_BIN].map(|name| {
            let mut file = store.open(name).ok()?;
            let mut bytes = vec![0; file.len() as usize];
            file.read_at(0, &mut bytes).ok()?;
            Some(bytes)
        })
    });
    if holds(&stage.new) {
        let arrived = matches!(state.phase, Phase::Trial { .. } | Phase::Confirmed);
        match files {
            Ok([None, Some(previous)]) if previous == stage.old && arrived => ("on trial", boot, None),
            files => {
                let files = files.map(|files| files.map(|file| file.map(|file| file.len())));
                ("incomplete", boot, Some(format!("{:?}, image.bin and previous.bin {files:?}", state.phase)))
            }
        }
    } else if holds(&stage.old) {
        ("old image", boot, Some("the update did not go on".to_owned()))
    } else {
        ("torn image started", boot, Some(format!("{:?}", state.phase)))
    }
}

/// External flash as it is, read where somebody looks: a copy of all of it would take longer than a start.
struct Seen<'a>(&'a Board);

impl ErrorType for Seen<'_> {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Seen<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.copy_from_slice(&self.0.nor(offset, bytes.len()));
        Ok(())
    }

    fn capacity(&self) -> usize {
        layout::STORE.len as usize
    }
}

impl NorFlash for Seen<'_> {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, _from: u32, _to: u32) -> Result<(), Self::Error> {
        Err(NorFlashErrorKind::Other)
    }

    fn write(&mut self, _offset: u32, _bytes: &[u8]) -> Result<(), Self::Error> {
        Err(NorFlashErrorKind::Other)
    }
}
