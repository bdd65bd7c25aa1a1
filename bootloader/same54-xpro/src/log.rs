//! Events as log lines. The wording is stable: people and test runners read it.

use bootloader_core::{Event, Log};
use defmt::{info, warn};
use same54::watchdog::Watchdog;

/// Logs over RTT, and keeps a watchdog fed that was found running.
pub struct RttLog {
    /// The board's watchdog.
    pub watchdog: Watchdog,
}

impl Log for RttLog {
    fn event(&mut self, event: Event) {
        match event {
            Event::ExternalUnusable(error) => warn!("boot: external flash: {=str}", error.as_str()),
            Event::NoUpdate => info!("boot: no image.bin"),
            Event::UpdateUnreadable(error) => warn!("boot: image.bin unreadable: {=str}", error.as_str()),
            Event::UpdateVerified(v) => {
                info!("boot: image.bin {=u8}.{=u8}.{=u16} verified", v.major, v.minor, v.revision);
            }
            Event::UpdateInstalled(v) => {
                info!("boot: image.bin {=u8}.{=u8}.{=u16} is installed already", v.major, v.minor, v.revision);
            }
            Event::UpdateRefused(cause) => warn!("boot: image.bin refused: {=str}", cause.as_str()),
            Event::UpdateMovedAside => info!("boot: image.bin moved to refused.bin"),
            Event::UpdateRemoved => info!("boot: image.bin removed"),
            Event::BackupFailed(error) => warn!("boot: update waits, previous.bin not saved: {=str}", error.as_str()),
            Event::PreviousSaved(v) => {
                info!("boot: previous.bin saved, {=u8}.{=u8}.{=u16}", v.major, v.minor, v.revision);
            }
            Event::PreviousKept(v) => {
                info!("boot: previous.bin kept, {=u8}.{=u8}.{=u16}", v.major, v.minor, v.revision);
            }
            Event::Copied(bytes) => info!("boot: copied {=u32} bytes", bytes),
            Event::SlotVerified(v) => info!("boot: slot verified, {=u8}.{=u8}.{=u16}", v.major, v.minor, v.revision),
            Event::SlotRefused(cause) => warn!("boot: slot refused: {=str}", cause.as_str()),
            Event::SlotFailed => warn!("boot: slot failed"),
            Event::Adopted(v) => info!("boot: adopted {=u8}.{=u8}.{=u16}", v.major, v.minor, v.revision),
            Event::RollingBack(v, cause) => {
                warn!(
                    "boot: rolling back from {=u8}.{=u8}.{=u16}: {=str}",
                    v.major,
                    v.minor,
                    v.revision,
                    cause.as_str()
                );
            }
            Event::NoPrevious => warn!("boot: no previous.bin to go back to"),
            Event::RolledBack(v) => info!("boot: rolled back to {=u8}.{=u8}.{=u16}", v.major, v.minor, v.revision),
            Event::RecordFailed => warn!("boot: boot record failed"),
            _ => {}
        }
    }

    fn keep_alive(&mut self) {
        self.watchdog.feed();
    }
}
