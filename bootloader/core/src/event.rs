//! What the bootloader says while it works.

use boot_store::StoreError;
use update_image::boot_record::RollbackCause;
use update_image::{Refusal, Version};

/// A step of the bootloader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// External flash cannot be used. The installed image starts without it.
    ExternalUnusable(StoreError),
    /// There is no `image.bin`.
    NoUpdate,
    /// `image.bin` cannot be read. It stays where it is.
    UpdateUnreadable(StoreError),
    /// `image.bin` may run.
    UpdateVerified(Version),
    /// `image.bin` is what the slot holds already.
    UpdateInstalled(Version),
    /// `image.bin` may not run.
    UpdateRefused(Refusal),
    /// `image.bin` is now `refused.bin`.
    UpdateMovedAside,
    /// `image.bin` is gone.
    UpdateRemoved,
    /// `image.bin` has to wait: the running image could not be kept as `previous.bin`.
    BackupFailed(StoreError),
    /// The running image is kept as `previous.bin`.
    PreviousSaved(Version),
    /// `previous.bin` is that image already.
    PreviousKept(Version),
    /// The slot holds that many bytes that were copied from external flash.
    Copied(u32),
    /// What the slot holds may run.
    SlotVerified(Version),
    /// What the slot holds may not run.
    SlotRefused(Refusal),
    /// The slot could not be read, erased or written.
    SlotFailed,
    /// The slot holds an image that a programmer put there; it counts as confirmed.
    Adopted(Version),
    /// The image on trial has to go.
    RollingBack(Version, RollbackCause),
    /// There is no `previous.bin` that could replace the image in the slot.
    NoPrevious,
    /// `previous.bin` is in the slot.
    RolledBack(Version),
    /// The boot record could not be written; the decision stands.
    RecordFailed,
}

/// Where events go; one per board.
pub trait Log {
    /// Something happened.
    fn event(&mut self, event: Event);

    /// Called at least once per flash block that is worked on: feeds a watchdog that cannot be stopped.
    fn keep_alive(&mut self) {}
}
