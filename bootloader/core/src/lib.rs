//! The bootloader without a board: which image runs after this reset?
//!
//! [`boot`] reads the boot record, the slot and external flash, carries out what is pending and returns a
//! [`Decision`]. It is generic over both flashes, so that every power cut can be tried on a host.
//!
//! # An update
//!
//! | step | slot | external flash | boot record |
//! |---|---|---|---|
//! | found | old | `image.bin` verified | Confirmed(old) |
//! | kept | old | + `previous.bin` = old, verified | Confirmed(old) |
//! | announced | old | | Installing(new) |
//! | copied | old, torn, new | | Installing(new) |
//! | slot verified | new | | Trial(new, 0) |
//! | removed | new | `image.bin` gone | Trial(new, 0) |
//! | started | new | | Trial(new, 1) |
//! | confirmed, by the application | new | | Confirmed(new) |
//!
//! Each line starts only when the one before is on flash, and each can be repeated: a cut in any of them is followed
//! by the same line again. The slot is first erased when `image.bin` *and* `previous.bin` have been verified.
//! A rollback is the same walk with `previous.bin`: Restoring(new, cause), copy, verify, Confirmed(old).
//!
//! # When things are broken
//!
//! | what | then |
//! |---|---|
//! | external flash dead, blank or damaged | the image in the slot starts if it verifies |
//! | `image.bin` may not run | moved aside once, cause recorded; the image in the slot starts |
//! | no room for `previous.bin` | the update waits; the image in the slot starts |
//! | slot does not verify after a copy, twice | `previous.bin` is restored |
//! | `image.bin` unreadable with the slot half written | `previous.bin` is restored |
//! | trial exhausted and no `previous.bin` | the image on trial goes on: it is authentic, and nothing else is there |
//! | boot record not writable | no update is begun; what is in the slot starts |
//! | nothing in the slot and nothing to put there | [`Decision::Recover`] |
#![no_std]

mod event;
mod install;
mod loader;
mod release;

pub use event::{Event, Log};
pub use loader::{Config, Decision, NothingToStart, Scratch, TRIAL_STARTS, boot};
pub use release::release;
