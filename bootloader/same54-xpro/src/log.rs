//! Events as log lines. The wording is stable: people and test runners read it.
//!
//! Each `defmt` macro is a hundred bytes of code, so there are few of them, and what they say is passed by its number in
//! the string table, which is not on the device.

use bootloader_core::{Event, Log};
use defmt::{Str, info, intern, warn};
use same54::watchdog::Watchdog;
use update_image::Version;

/// Logs over RTT, and keeps a watchdog fed that was found running.
pub struct RttLog {
    /// The board's watchdog.
    pub watchdog: Watchdog,
}

/// Says that all is well.
#[inline(never)]
pub fn say(what: Str) {
    info!("boot: {=istr}", what);
}

/// Says that something is not as it should be.
#[inline(never)]
pub fn complain(what: Str) {
    warn!("boot: {=istr}", what);
}

/// Complains, with the reason.
#[inline(never)]
pub fn complain_of(what: Str, why: &str) {
    warn!("boot: {=istr}: {=str}", what, why);
}

/// Says something about a version: before it, and behind it.
#[inline(never)]
pub fn say_version(before: Str, v: Version, behind: Str) {
    info!("boot: {=istr} {=u8}.{=u8}.{=u16}{=istr}", before, v.major, v.minor, v.revision, behind);
}

impl Log for RttLog {
    fn event(&mut self, event: Event) {
        let nothing = intern!("");
        match event {
            Event::ExternalUnusable(error) => complain_of(intern!("external flash"), error.as_str()),
            Event::NoUpdate => say(intern!("no image.bin")),
            Event::UpdateUnreadable(error) => complain_of(intern!("image.bin unreadable"), error.as_str()),
            Event::UpdateVerified(v) => say_version(intern!("image.bin"), v, intern!(" verified")),
            Event::UpdateInstalled(v) => say_version(intern!("image.bin"), v, intern!(" is installed already")),
            Event::UpdateRefused(cause) => complain_of(intern!("image.bin refused"), cause.as_str()),
            Event::UpdateMovedAside => say(intern!("image.bin moved to refused.bin")),
            Event::UpdateRemoved => say(intern!("image.bin removed")),
            Event::BackupFailed(error) => {
                complain_of(intern!("update waits, previous.bin not saved"), error.as_str());
            }
            Event::PreviousSaved(v) => say_version(intern!("previous.bin saved,"), v, nothing),
            Event::PreviousKept(v) => say_version(intern!("previous.bin kept,"), v, nothing),
            Event::Copied(bytes) => info!("boot: copied {=u32} bytes", bytes),
            Event::SlotVerified(v) => say_version(intern!("slot verified,"), v, nothing),
            Event::SlotRefused(cause) => complain_of(intern!("slot refused"), cause.as_str()),
            Event::SlotFailed => complain(intern!("slot failed")),
            Event::Adopted(v) => say_version(intern!("adopted"), v, nothing),
            Event::RollingBack(v, cause) => {
                say_version(intern!("rolling back from"), v, nothing);
                complain_of(intern!("rolling back"), cause.as_str());
            }
            Event::NoPrevious => complain(intern!("no previous.bin to go back to")),
            Event::RolledBack(v) => say_version(intern!("rolled back to"), v, nothing),
            Event::RecordFailed => complain(intern!("boot record failed")),
            _ => {}
        }
    }

    fn keep_alive(&mut self) {
        self.watchdog.feed();
    }
}
