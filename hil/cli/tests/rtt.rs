//! A device's log through the debug port: probe-rs' own RTT reader, and ours over probe-rs' core, as on a real board.

use std::time::Duration;

use hil::artifacts::{self, Workspace};
use hil::board::{BoardSession, LogReader};
use probe_rs::rtt::Rtt;

#[test]
fn log_is_read_through_the_debug_port_while_the_core_runs() {
    let programs = artifacts::target_dir(&artifacts::root()).join("hil").join("programs");
    let bootloader = Workspace::new(programs).bootloader().unwrap();
    let (base, image) = bootloader.flat().unwrap();
    let mut session = BoardSession::open(&"virtual:same54-xpro".parse().unwrap(), 1).unwrap();
    session.flash(&[(base, &image)]).unwrap();
    let mut reader = LogReader::new(&bootloader.elf).unwrap();
    let block = reader.control_block().expect("the bootloader logs");

    session.reset().unwrap();
    session.advance(Duration::from_millis(100));
    let mut core = session.core().unwrap();
    let mut rtt = Rtt::attach_at(&mut core, u64::from(block)).unwrap();
    let mut bytes = [0; 512];
    let read = rtt.up_channel(0).expect("defmt's channel").read(&mut core, &mut bytes).unwrap();
    assert!(read > 0, "probe-rs reads nothing");
    drop(core);

    session.reset().unwrap();
    session.advance(Duration::from_millis(100));
    let lines = reader.poll(&mut session.core().unwrap());
    let lines: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    assert!(lines.first().is_some_and(|line| line.starts_with("boot: reset by system reset request")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("nothing to start")), "an empty slot is told: {lines:?}");
}
