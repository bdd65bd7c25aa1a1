//! The report as JUnit XML: a test suite for each scenario, a test case for each step.

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

use super::{Outcome, Report, ScenarioReport, StepReport};

/// The document's text.
pub fn render(report: &Report) -> String {
    let mut junit = Junit::new("hil");
    junit.set_time(wall(report.wall.ms));
    for scenario in &report.scenarios {
        junit.add_test_suite(suite(report, scenario));
    }
    junit.to_string().expect("a report in memory can always be written")
}

fn suite(report: &Report, scenario: &ScenarioReport) -> TestSuite {
    let mut suite = TestSuite::new(scenario.name.as_str());
    suite.set_time(wall(scenario.wall.ms));
    suite.add_property(("board", report.board.as_str()));
    if let Some(broker) = &report.broker {
        suite.add_property(("broker", broker.as_str()));
    }
    suite.add_property(("seed", report.seed.to_string().as_str()));
    suite.add_test_cases(scenario.steps.iter().map(|step| case(scenario, step)));
    suite
}

fn case(scenario: &ScenarioReport, step: &StepReport) -> TestCase {
    let status = match step.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Skipped => TestCaseStatus::skipped(),
        Outcome::Failed => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            if let Some(failure) = &scenario.failure {
                status.set_message(format!("{}: expected {}, seen {}", failure.what, failure.expected, failure.seen));
                status.set_description(failure.log.join("\n"));
            }
            status
        }
    };
    let mut case = TestCase::new(step.id.as_str(), status);
    case.set_classname(format!("hil.{}", scenario.name));
    case.set_time(wall(step.wall.ms));
    case
}

fn wall(ms: f64) -> Duration {
    Duration::from_secs_f64(ms.max(0.0) / 1e3)
}
