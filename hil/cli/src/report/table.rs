//! The report as a table in the terminal.

use std::fmt::Write as _;

use super::{Outcome, Report, ScenarioReport, StepReport};

/// Whether the terminal wants colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Escape codes.
    Colour,
    /// Plain text.
    Plain,
}

/// Every scenario's table, one after the other.
pub fn render(report: &Report, style: Style) -> String {
    let tables = report.scenarios.iter().map(|scenario| scenario_table(scenario, style)).collect::<Vec<_>>().join("\n");
    let broker = report.broker.as_ref().map(|broker| format!("MQTT through {broker}\n"));
    tables + &broker.unwrap_or_default()
}

fn scenario_table(scenario: &ScenarioReport, style: Style) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} {}", mark(scenario.outcome, style), bold(&scenario.name, style));
    let _ = writeln!(
        out,
        "  {:<14} {:>6} {:>10} {:>12} {:>8} {:>8}  figures",
        "step", "checks", "virtual s", "instructions", "MIPS", "wall s"
    );
    for step in &scenario.steps {
        let _ = writeln!(out, "{}", step_row(step, style));
    }
    let totals = &scenario.totals;
    let _ = writeln!(
        out,
        "  {:<14} {:>6} {:>10.3} {:>12} {:>8.0} {:>8.2}  {} frames",
        "total",
        scenario.steps.iter().map(|step| step.checks.len()).sum::<usize>(),
        totals.virtual_us as f64 / 1e6,
        grouped(totals.instructions),
        scenario.wall.mips,
        scenario.wall.ms / 1e3,
        grouped(totals.frames),
    );
    if let Some(failure) = &scenario.failure {
        let _ = writeln!(out, "  step {}: {}", failure.step, failure.what);
        let _ = writeln!(out, "    expected {}", failure.expected);
        let _ = writeln!(out, "    seen     {}", failure.seen);
        for line in &failure.log {
            let _ = writeln!(out, "    | {line}");
        }
    }
    for violation in &scenario.violations {
        let _ = writeln!(out, "  violation: {violation}");
    }
    if !scenario.unmodelled.is_empty() {
        let _ = writeln!(out, "  not modelled: {}", scenario.unmodelled.join(", "));
    }
    out
}

fn step_row(step: &StepReport, style: Style) -> String {
    let figures = step.figures.iter().map(|(name, value)| format!("{} {name}", grouped(*value))).collect::<Vec<_>>();
    if step.outcome == Outcome::Skipped {
        return format!("  {:<14} not reached", step.id);
    }
    let cells = format!(
        "{:<14} {:>6} {:>10.3} {:>12} {:>8.0} {:>8.2}  {}",
        step.id,
        step.checks.len(),
        (step.ended_us - step.started_us) as f64 / 1e6,
        grouped(step.instructions),
        step.wall.mips,
        step.wall.ms / 1e3,
        figures.join(", "),
    );
    format!("{} {}", mark(step.outcome, style), cells.trim_end())
}

fn mark(outcome: Outcome, style: Style) -> &'static str {
    match (outcome, style) {
        (Outcome::Passed, Style::Colour) => "\x1b[32m✓\x1b[0m",
        (Outcome::Passed, Style::Plain) => "✓",
        (Outcome::Failed, Style::Colour) => "\x1b[31m✗\x1b[0m",
        (Outcome::Failed, Style::Plain) => "✗",
        (Outcome::Skipped, _) => "-",
    }
}

fn bold(text: &str, style: Style) -> String {
    match style {
        Style::Colour => format!("\x1b[1m{text}\x1b[0m"),
        Style::Plain => text.to_owned(),
    }
}

/// `1234567` as `1,234,567`.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_separated() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1_000, 1_234_567].map(grouped).each_ref().map(String::as_str)
        );
    }
}
