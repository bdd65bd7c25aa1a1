//! A small littlefs for bootloaders: the files in the root directory of one volume, without heap.
//!
//! The on-flash format is littlefs' 2.0 and 2.1 (SPEC.md of littlefs). Volumes that the C implementation and
//! `update-store` have written are read and written, and they read what is written here. Volumes are not made here.
//!
//! # What a change costs
//!
//! Every change of the directory writes the whole metadata pair anew: the block that is not in use is erased and gets
//! the pair's entries, changed, as a single commit. Nothing is ever appended to a log, so no FCRC is written either (it
//! is optional, and serves only to append): a reader takes a log without one as one to be compacted before the next
//! write. So a change costs one erase, and it never matters whether the storage behind a log is really blank. The
//! version in the superblock stays as it is.
//!
//! # Cells between the levels
//!
//! A program or an erase that the supply failed in can leave cells that read differently each time. Then a commit may
//! read as valid today, by luck, and as torn tomorrow. Three traps follow, and the order of things that avoids them:
//!
//! 1. *Two answers in one session.* The mount reads each page of each log several times; a page that differs counts as
//!    damaged. Then it elects one block of each pair, and until the first write no other is looked at: what is read is
//!    the state before the interrupted change, or the one behind it, and not now this and now that. What a name is found
//!    by and what it leads to come from the very reading that the checksum was verified over. If the elected block cannot
//!    be read any more, that is an error until the next mount.
//! 2. *The only sound log is erased.* A new commit erases the pair's older log. If the newer one is valid by luck, a cut
//!    can then lose the directory. So before the first write of a mount ([`Store::settle`]) the log in use is read once
//!    more, page by page, and each page is programmed with exactly what it was read as. A torn program leaves bits
//!    unsteady only that should become 0, and programming a bit to 0 settles it; so if the checksum holds over what was
//!    read and programmed, the log rests on settled cells. (A page must first read the same twice, so that a disturbed
//!    read is not made permanent.) A page that is still unsteady ends the log. If the log is then another than the
//!    mount saw, the call fails, nothing having changed, and the caller looks again.
//! 3. *A lost state comes back.* If the newer log was torn and the older one counts, the blocks that only the newer one
//!    refers to are free. Were they written over, and the torn log read as valid at a later start, its files would hold
//!    foreign data. So settling erases the other block of each pair, before any block is taken.
//!
//! After that, everything in use was erased and programmed, or programmed again, by operations that came to their end
//! in this session: new data blocks are programmed and read back, then the directory's block, then nothing older is
//! needed. At any cut, the pair has one block that was settled before the other was touched.
//!
//! A torn erase leaves bits unsteady that should become 1, in a block that is not in use: every block is erased in full
//! before it is programmed.
//!
//! # What is not done
//!
//! A directory that outgrows its blocks is not split ([`StoreError::NoSpace`]); the first pair, blocks 0 and 1, cannot
//! be moved if one of them is bad (the volume stays readable); a list of pairs that another library was interrupted in
//! changing is not repaired (reading goes on, writing is [`StoreError::Corrupt`]). A rename between two pairs that was
//! interrupted is honoured, and finished by the first write. Sub-directories are left alone.
#![no_std]
#![forbid(unsafe_code)]

mod commit;
mod error;
mod file;
mod flash;
mod log;
mod store;
mod tag;

pub use error::StoreError;
pub use file::{Reader, Writer};
pub use store::Store;

/// Erase block of the volume, bytes.
pub const BLOCK_SIZE: u32 = 4096;
