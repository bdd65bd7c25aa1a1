//! What a rig sees: everything that happened on it, in order of virtual time.

use std::fmt;

use same54_sim::{EventKind as BoardEvent, ResetCause};
use sim_base::Instant;
use sim_lan::LanEvent;

use crate::board::LogLine;
use crate::report::{Entry, Lane};

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Observation {
    /// When.
    pub at: Instant,
    /// What.
    pub what: What,
}

/// Where an [`Observation`] comes from.
#[derive(Clone, Debug)]
pub enum What {
    /// The board: flash commands, resets, frames, supply.
    Board(BoardEvent),
    /// The LAN and its own services.
    Lan(LanEvent),
    /// The hub, the provisioning service, the file server.
    Cloud(hub::EventKind),
    /// The device's log.
    Log(LogLine),
    /// Another program runs.
    Running(Running),
}

/// Which program the core executes, by its vector table and the header of the image in the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Running {
    /// No supply, or held in reset.
    Off,
    /// The bootloader.
    Bootloader,
    /// The application, in the version that the slot's image header names.
    Application(String),
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Bootloader => f.write_str("bootloader"),
            Self::Application(version) => write!(f, "application {version}"),
        }
    }
}

impl Observation {
    /// The row of the report's picture, or nothing if it would only make it longer.
    pub fn entry(&self, old_version: &str) -> Option<Entry> {
        let (lane, kind, text, value) = match &self.what {
            What::Board(event) => board_entry(event)?,
            What::Lan(event) => (Lane::Network, "lan", event.to_string(), None),
            What::Cloud(event) => cloud_entry(event)?,
            What::Log(line) => (Lane::Log, line.level(), line.to_string(), None),
            What::Running(running) => {
                let kind = match running {
                    Running::Off => "off",
                    Running::Bootloader => "boot",
                    Running::Application(version) if version == old_version => "old",
                    Running::Application(_) => "new",
                };
                (Lane::Program, kind, running.to_string(), None)
            }
        };
        Some(Entry { at_us: self.at.as_nanos() / 1_000, lane, kind, text, value })
    }
}

type Row = (Lane, &'static str, String, Option<u64>);

fn board_entry(event: &BoardEvent) -> Option<Row> {
    Some(match event {
        BoardEvent::PowerOn => (Lane::Power, "power-on", "supply on".to_owned(), None),
        BoardEvent::PowerOff { torn } => {
            let torn = torn.as_ref().map_or_else(String::new, |torn| format!(", tearing {torn}"));
            (Lane::Power, "power-off", format!("supply cut{torn}"), None)
        }
        BoardEvent::Reset(cause) => (Lane::Power, "reset", format!("reset: {}", reset_cause(*cause)), None),
        BoardEvent::NvmProgram { addr, len } => {
            (Lane::InternalFlash, "nvm-program", format!("program {len} B at {addr:#07x}"), Some(u64::from(*addr)))
        }
        BoardEvent::NvmErase { addr, len } => {
            (Lane::InternalFlash, "nvm-erase", format!("erase {len} B at {addr:#07x}"), Some(u64::from(*addr)))
        }
        BoardEvent::NorProgram { addr, data } => (
            Lane::ExternalFlash,
            "nor-program",
            format!("program {} B at {addr:#08x}", data.len()),
            Some(u64::from(*addr)),
        ),
        BoardEvent::NorErase { addr, len } => {
            (Lane::ExternalFlash, "nor-erase", format!("erase {len} B at {addr:#08x}"), Some(u64::from(*addr)))
        }
        BoardEvent::Lockup { pc } => (Lane::Program, "lockup", format!("lockup at {pc:#010x}"), None),
        // Counted, or listed elsewhere in the report.
        _ => return None,
    })
}

/// The datasheet's word for a reset cause.
pub fn reset_cause(cause: ResetCause) -> &'static str {
    match cause {
        ResetCause::PowerOn => "power-on",
        ResetCause::BrownOut => "brown-out",
        ResetCause::Nvm => "NVM bank swap",
        ResetCause::External => "RESETN pin",
        ResetCause::Watchdog => "watchdog",
        ResetCause::System => "system reset request",
        ResetCause::Backup => "backup",
        _ => "other",
    }
}

fn cloud_entry(event: &hub::EventKind) -> Option<Row> {
    use hub::EventKind as Cloud;
    let cloud = |kind, text: String| (Lane::Cloud, kind, text, None);
    Some(match event {
        Cloud::TlsEstablished { sni, version, suite, .. } => {
            cloud("tls", format!("{version} {suite} with {}", sni.as_deref().unwrap_or("no server name")))
        }
        Cloud::TlsFailed { why } => cloud("tls-failed", format!("TLS failed: {why}")),
        Cloud::DpsConnected { registration } => cloud("dps", format!("{registration} connects to provisioning")),
        Cloud::DpsAssigning { registration } => cloud("dps", format!("{registration} is being assigned")),
        Cloud::DpsAssigned { device, .. } => cloud("assigned", format!("assigned to the hub as {device}")),
        Cloud::DpsRefused { error_code, why, .. } => cloud("dps", format!("provisioning refused: {error_code} {why}")),
        Cloud::Connected { device, model_id, .. } => {
            cloud("connected", format!("{device} connects, model {}", model_id.as_deref().unwrap_or("not announced")))
        }
        Cloud::ConnectRefused { code, why } => cloud("refused", format!("CONNECT refused with {code}: {why}")),
        Cloud::TwinRead { desired_version, .. } => {
            cloud("twin", format!("twin read, desired version {desired_version}"))
        }
        Cloud::DesiredSent { version, .. } => cloud("desired", format!("desired patch sent, version {version}")),
        Cloud::Reported { patch, version, .. } => cloud("reported", format!("reported version {version}: {patch}")),
        Cloud::TwinRefused { status, why, .. } => cloud("twin", format!("twin request refused: {status} {why}")),
        Cloud::Telemetry(told) => cloud("telemetry", String::from_utf8_lossy(told.body()).into_owned()),
        Cloud::RangeServed { file, offset, len, status } => {
            (Lane::Download, "range", format!("{status} {file} bytes {offset}+{len}"), Some(offset + len))
        }
        Cloud::FaultActed { what, .. } => cloud("fault", format!("fault: {what}")),
        Cloud::Throttled { operation, .. } => cloud("fault", format!("throttled: {operation:?}")),
        Cloud::DeploymentChanged { workflow, action, .. } => {
            cloud("deployment", format!("deployment {workflow}, action {action}"))
        }
        Cloud::Disconnected { device: Some(device), why } => {
            cloud("disconnected", format!("{device} disconnected: {why}"))
        }
        _ => return None,
    })
}
