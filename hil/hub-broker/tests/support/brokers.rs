//! Which brokers tests can start on this machine.

use std::io::Write as _;

/// Whether `mosquitto` is installed. Where CI=true it has to be.
pub fn has_mosquitto() -> bool {
    let found = hub_broker::installed().is_some();
    assert!(found || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "mosquitto is missing");
    if !found {
        skipped("mosquitto is not installed");
    }
    found
}

/// The image that containers can be made of here: what `.ci/run` prepares where it can start an engine.
pub fn image() -> Option<String> {
    let image = std::env::var("HIL_BROKER_IMAGE").ok();
    if image.is_none() {
        skipped("no container, because HIL_BROKER_IMAGE is not set");
    }
    image
}

/// Past the test runner, which shows what passing tests print to nobody.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
