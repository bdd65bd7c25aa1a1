//! Power cuts in the bootloader's decisions, on this machine.

use powercut::{Effort, Failure, Tally, Walk};

use super::report::{Broken, Row};
use crate::bench::cpu_time;

/// Points with two cuts for each walk but the small update, which has every pair.
const PAIRS: u64 = 3_000;
/// Points with three cuts for each walk.
const TRIPLES: u64 = 2_000;

/// Runs every walk.
pub(super) fn run(seed: u64, threads: usize, quick: bool) -> Vec<Row> {
    Walk::all()
        .into_iter()
        .map(|walk| {
            eprintln!("core, {}", walk.name);
            let share = if quick { 20 } else { 1 };
            let pairs = if walk.is_small() && !quick { u64::MAX } else { PAIRS / share };
            let effort = Effort { pairs, triples: TRIPLES / share, seed, threads, clock: cpu_time::now };
            powercut::run(&[walk], &effort).into_iter().map(row).next().unwrap_or_default()
        })
        .collect()
}

fn row(tally: Tally) -> Row {
    let [one, two, three] = tally.points;
    let mut row = Row {
        name: format!("core, {}", tally.walk),
        points: tally.total(),
        worst_boot_ms: Some(tally.worst_flash_time.as_secs_f64() * 1e3),
        cpu_s: tally.busy.as_secs_f64(),
        ..Row::default()
    };
    for (cuts, points) in [("with one cut", one), ("with two", two), ("with three", three)] {
        row.outcomes.insert(cuts.to_owned(), points);
    }
    row.failures = tally.failures.iter().map(broken).collect();
    row
}

fn broken(failure: &Failure) -> Broken {
    let cuts: Vec<_> = failure.cuts.iter().map(|(operation, torn)| format!("operation {operation} {torn:?}")).collect();
    Broken {
        point: format!("cut in {}, seed {}", cuts.join(", then in "), failure.seed),
        seen: format!("{:?}: {}", failure.rule, failure.seen),
    }
}
