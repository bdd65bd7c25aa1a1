//! Files on external NOR flash: a littlefs volume behind the calls that an update needs.
//!
//! - [`Store`]: mount, append block by block, read, rename, replace a small file, remove;
//! - [`next_block_len`]: how many bytes to append so that no flash block is ever copied;
//! - `host` (feature of the same name): reads the volume in a flash dump.
#![no_std]

extern crate alloc;

mod error;
mod geometry;
#[cfg(feature = "host")]
pub mod host;
mod store;

pub use error::StoreError;
pub use geometry::{BLOCK_SIZE, block_index, block_offset, next_block_len};
pub use store::{Reader, Store, Writer};
