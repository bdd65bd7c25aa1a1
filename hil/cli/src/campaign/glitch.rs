//! Faults of the core while the bootloader looks at a forged image.
//!
//! The path begins where the signature's verdict is returned and ends where the bootloader has decided. Each instruction
//! of it is skipped, and bits of registers are flipped, on the shipped bootloader; none of that may start the image. Some
//! flips are drawn, and some aim: at the verdict itself while it is still in a register, and at a program counter that lands
//! in the image.

use std::time::Duration;

use armv7m::{Glitch, GlitchKind, Size};
use object::{Object as _, ObjectSymbol as _};
use same54_sim::{Board, RunStop};
use sim_base::Rng;
use update_image::layout::{BOOTLOADER, IMAGE_BIN, SLOT};

use super::report::{Broken, Row};
use super::stage::{End, LONGEST, Stage, run as run_board};
use super::{GlitchArgs, Place, in_parallel, stage};
use crate::artifacts::Workspace;
use crate::bench::cpu_time;
use crate::error::Error;

/// Debug halting control and status, and its key (ARMv7-M ARM C1.6.2).
const DHCSR: u32 = 0xE000_EDF0;
const DHCSR_KEY: u32 = 0xA05F_0000;
/// Flash patch: control and first comparator (ARMv7-M ARM C1.11).
const FP_CTRL: u32 = 0xE000_2000;
const FP_COMP0: u32 = 0xE000_2008;
/// Instructions behind the decision that belong to the path: what is done with it.
const BEHIND: u64 = 3_000;
/// Instructions from the verdict on of which each is skipped; behind them one in [`ONE_IN`] is.
const EVERY_ONE: usize = 30_000;
const ONE_IN: usize = 31;
/// Flipped bits.
const FLIPS: usize = 10_000;
/// Instructions behind the verdict in which the flips that aim are.
const AIMED: u64 = 32;
/// Time for the path, and for what a fault makes of it: an update that is undone takes most.
const PATIENCE: Duration = LONGEST;

/// A board at the verdict, and the instructions of the path.
struct Path {
    board: Board,
    instructions: std::ops::Range<u64>,
}

/// Attacks the places where a forged image can be.
pub(super) fn run(workspace: &Workspace, args: &GlitchArgs, threads: usize) -> Result<Vec<Row>, Error> {
    let (programs, images) = stage::programs(workspace, args.bootloader.as_deref())?;
    let stage = Stage::of(&programs, &images);
    let seed = args.seed;
    let forged = forge(&stage.new);
    let mut rows = Vec::new();
    let places =
        [Place::Slot, Place::File].into_iter().filter(|place| args.place == Place::All || args.place == *place);
    for place in places {
        let (name, start, verdict) = match place {
            Place::Slot => ("forged slot", stage.board(&forged, &[], seed)?, 1),
            _ => ("forged image.bin", stage.confirmed_board(&[(IMAGE_BIN, &forged)], seed)?, 2),
        };
        let path = path(&stage, start, verdict)?;
        // The refusal of a file goes on for a quarter of a million instructions of file system: all of its beginning, and a
        // part of the rest.
        let skips: Vec<Glitch> = (path.instructions.clone().enumerate())
            .filter(|(n, _)| *n < EVERY_ONE || n % ONE_IN == 0)
            .map(|(_, at)| Glitch { at, kind: GlitchKind::Skip })
            .collect();
        let mut rng = Rng::new(seed);
        let flips: Vec<Glitch> = (0..FLIPS)
            .map(|_| Glitch {
                at: path.instructions.start + rng.below(path.instructions.end - path.instructions.start),
                kind: GlitchKind::Register { register: rng.below(17) as u8, bit: rng.below(32) as u8 },
            })
            .collect();
        let share = if args.quick { 50 } else { 1 };
        let aimed = aimed(path.instructions.start);
        let kinds = [("skipped instruction", skips, share), ("flipped bit", flips, share), ("aimed bit", aimed, 1)];
        for (kind, glitches, share) in kinds {
            let glitches: Vec<Glitch> = glitches.into_iter().step_by(share).collect();
            let name = format!("{name}, {kind}");
            eprintln!("{name}: {} points", glitches.len());
            let workers = (0..threads).map(|_| [path.board.snapshot(), path.board.snapshot()]).collect();
            let end = path.instructions.end;
            let outcomes = in_parallel(workers, glitches.len(), |[board, at_verdict], n| {
                board.restore_from(at_verdict);
                cpu_time::of(|| try_point(&stage, end, board, glitches[n]))
            });
            let mut row = Row { name, ..Row::default() };
            for ((outcome, broken), cpu_s) in outcomes {
                row.count(outcome);
                row.cpu_s += cpu_s;
                row.failures.extend(broken);
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Each instruction from `start` on, for a moment: the lowest bit of each register, where a `bool` is; and each bit of the
/// program counter that leads from the bootloader into the slot.
fn aimed(start: u64) -> Vec<Glitch> {
    const PC: u8 = 15;
    let registers = (0..=12).map(|register| (register, 0));
    let jumps = (BOOTLOADER.end().ilog2()..=SLOT.end().ilog2()).map(|bit| (PC, bit as u8));
    let bits: Vec<(u8, u8)> = registers.chain(jumps).collect();
    let at = (start..start + AIMED).flat_map(|at| bits.iter().map(move |bit| (at, *bit)));
    at.map(|(at, (register, bit))| Glitch { at, kind: GlitchKind::Register { register, bit } }).collect()
}

/// The image under a signature of nobody: everything else is right.
fn forge(image: &[u8]) -> Vec<u8> {
    let mut forged = image.to_vec();
    // The signature is the last TLV.
    let last = forged.len() - 40;
    forged[last] ^= 1;
    forged
}

/// Runs `board` to the return of signature verification number `verdict`, and finds where the decision is made.
fn path(stage: &Stage, mut board: Board, verdict: u32) -> Result<Path, Error> {
    let verify = symbol(&stage.bootloader, &["update_image", "PublicKey", "verify"])?;
    let decide = symbol(&stage.bootloader, &["bootloader_core", "loader", "boot"])?;
    board.power_on();
    run_to(&mut board, decide)?;
    let decided = board.register(14) & !1;
    for _ in 0..verdict {
        run_to(&mut board, verify)?;
        let returned = board.register(14) & !1;
        run_to(&mut board, returned)?;
    }
    let mut at_verdict = board.snapshot();
    let start = board.instructions();
    run_to(&mut board, decided)?;
    let end = board.instructions() + BEHIND;
    free(&mut at_verdict);
    at_verdict.take_events();
    Ok(Path { board: at_verdict, instructions: start..end })
}

/// Address of the one function whose mangled name has all these parts.
fn symbol(elf: &[u8], parts: &[&str]) -> Result<u32, Error> {
    let file = object::File::parse(elf).map_err(|why| Error::Campaign(format!("bootloader: {why}")))?;
    file.symbols()
        .filter(|symbol| symbol.size() > 0)
        .find(|symbol| {
            let name = format!("{:#}", rustc_demangle::demangle(symbol.name().unwrap_or_default()));
            let last = parts
                .last()
                .is_some_and(|last| name.rsplit("::").next() == Some(last) || name.contains(&format!("::{last}<")));
            last && parts.iter().all(|part| name.contains(part))
        })
        .map(|symbol| symbol.address() as u32 & !1)
        .ok_or_else(|| Error::Campaign(format!("the bootloader has no function {}", parts.join("::"))))
}

/// Runs to a breakpoint at `address`.
fn run_to(board: &mut Board, address: u32) -> Result<(), Error> {
    let fault = |_| Error::Campaign("the virtual board's debug registers cannot be written".to_owned());
    let mut write = |at, value| board.debug_write(at, Size::Word, value).map_err(fault);
    write(DHCSR, DHCSR_KEY | 1)?;
    write(FP_CTRL, 3)?;
    // REPLACE: which halfword; then the address and ENABLE.
    let half = if address & 2 == 0 { 1 << 30 } else { 2 << 30 };
    // Step off a breakpoint that the core stands at.
    write(FP_COMP0, 0)?;
    if board.is_halted() {
        board.debug_write(DHCSR, Size::Word, DHCSR_KEY | 0b1101).map_err(fault)?;
        board.run_until(board.now() + Duration::from_micros(10));
    }
    board.debug_write(FP_COMP0, Size::Word, half | (address & 0x1FFF_FFFC) | 1).map_err(fault)?;
    board.debug_write(DHCSR, Size::Word, DHCSR_KEY | 1).map_err(fault)?;
    let end = board.now() + LONGEST;
    while board.now() < end {
        if board.run_until(end) == RunStop::Halted {
            return Ok(());
        }
    }
    Err(Error::Campaign(format!("the bootloader never comes to {address:#x}")))
}

/// Takes breakpoints and debugger away and lets the core go on.
fn free(board: &mut Board) {
    for (at, value) in [(FP_COMP0, 0), (FP_CTRL, 2), (DHCSR, DHCSR_KEY | 1), (DHCSR, DHCSR_KEY)] {
        // The registers were written before.
        let _ = board.debug_write(at, Size::Word, value);
    }
}

/// One fault; what came of it.
fn try_point(stage: &Stage, path_end: u64, board: &mut Board, glitch: Glitch) -> (&'static str, Option<Broken>) {
    board.plan_glitches([glitch]);
    let end = board.now() + PATIENCE;
    loop {
        // The path takes milliseconds; a restart or the good image ends the matter.
        let end_of_look = run_board(board, Duration::from_millis(20), true);
        let told =
            || Broken { point: format!("{glitch:?}"), seen: format!("the core is at {:#x}", board.register(15)) };
        match end_of_look {
            End::Application if board.nvm()[SLOT.start as usize..].starts_with(&stage.old) => {
                return ("good image", None);
            }
            End::Application => return ("forged image", Some(told())),
            End::Reset => return ("restart", None),
            End::Lockup => return ("lockup", None),
            End::NoPower => return ("no power", Some(told())),
            // Past the path without any change of the slot: it waits for help.
            End::Time if board.instructions() > path_end && board.flash_busy_until() == [None; 2] => {
                return ("refused", None);
            }
            End::Time if board.now() >= end => return ("hung", None),
            End::Time => {}
        }
    }
}
