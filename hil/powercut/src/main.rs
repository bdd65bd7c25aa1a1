//! The campaign by itself, in a size that takes seconds: what the mutation test runs. `hil powercut` is for people.

use std::process::ExitCode;
use std::time::Duration;

use powercut::{Effort, Walk, run};

fn main() -> ExitCode {
    let effort = Effort { pairs: 400, triples: 60, seed: 1, threads: 2, clock: || Duration::ZERO };
    let mut sound = true;
    for tally in run(&Walk::all(), &effort) {
        println!("{}: {} points, {} broke a rule", tally.walk, tally.total(), tally.failures.len());
        for failure in tally.failures.iter().take(2) {
            sound = false;
            println!("  {:?} after cuts {:?}, seed {}", failure.rule, failure.cuts, failure.seed);
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
