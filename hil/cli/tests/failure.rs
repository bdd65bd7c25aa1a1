//! What a failed assertion leaves behind: the step, what was expected, what was seen, the device's last log lines.

use hil::artifacts::{self, Workspace};
use hil::report::{self, Outcome, Style};
use hil::scenario::{self, Faults, Options, Scenario, Step};

#[test]
fn failed_step_names_what_was_expected_and_seen_and_ends_the_scenario() {
    // No update was deployed, so no block can have been written before this reset.
    let scenario = Scenario {
        name: "impossible".to_owned(),
        summary: "A reset without an update.".to_owned(),
        steps: vec![Step::Boot, Step::Reset, Step::Report],
        faults: Faults::default(),
    };
    let programs = artifacts::target_dir(&artifacts::root()).join("hil").join("programs");
    let options = Options {
        seed: 3,
        board: "virtual:same54-xpro".parse().unwrap(),
        workspace: Workspace::new(programs),
        broker: None,
        pcap: None,
        coverage: None,
        verbose: false,
        live: false,
    };
    let report = scenario::run(&[scenario], &options).unwrap();

    assert_eq!((report.outcome, report.seed), (Outcome::Failed, 3));
    let scenario = &report.scenarios[0];
    let outcomes: Vec<_> = scenario.steps.iter().map(|step| step.outcome).collect();
    assert_eq!(outcomes, [Outcome::Passed, Outcome::Failed, Outcome::Skipped]);
    let failure = scenario.failure.as_ref().unwrap();
    assert_eq!(
        (failure.step.as_str(), failure.what.as_str(), failure.seen.as_str()),
        ("reset", "last block", "not written")
    );
    assert!(failure.log.iter().any(|line| line.contains("starting 1.0.0")), "{:?}", failure.log);

    let table = report::table(&report, Style::Plain);
    assert!(
        table.contains("expected written before the reset") && table.contains("report         not reached"),
        "{table}"
    );
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("failure");
    let files = report::write(&report, &dir).unwrap();
    let junit = std::fs::read_to_string(files.junit).unwrap();
    assert!(junit.contains("failures=\"1\"") && junit.contains("<skipped"), "{junit}");
    let html = std::fs::read_to_string(files.html).unwrap();
    assert!(html.contains("\"outcome\": \"failed\""));
}
