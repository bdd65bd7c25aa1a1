//! The provisioning record: who a device is and whom it trusts.
//!
//! All integers are little endian. The record is a header followed by tag-length-value fields:
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 4 | magic `ADUP` |
//! | 4 | 2 | version, [`VERSION`] |
//! | 6 | 2 | reserved, zero |
//! | 8 | 4 | total length in bytes, header included |
//! | 12 | 4 | CRC-32/ISO-HDLC over bytes 0..12 and 16..total length |
//! | 16 | | fields: tag (2 bytes), length (2 bytes), value |
//!
//! Unknown tags are skipped, so that a newer factory can write for older firmware. [`Record::parse`] checks every
//! known field once; the accessors cannot fail afterwards.
#![no_std]

mod builder;
mod field;
mod record;

pub use builder::{BuildError, Builder};
pub use field::RootKey;
pub use record::{Error, Record};

/// First four bytes of a record.
pub const MAGIC: [u8; 4] = *b"ADUP";
/// Version of the layout that this crate reads and writes.
pub const VERSION: u16 = 1;
/// Bytes before the first field.
pub const HEADER_LEN: usize = 16;
/// Longest record: the size of its place in internal flash.
pub const MAX_LEN: usize = 16 * 1024;

/// Bitwise, without a table: a record is checked once per start.
const CRC: crc::Crc<u32, crc::NoTable> = crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISO_HDLC);

/// The checksum of a record: everything but the four bytes of the checksum itself.
fn checksum(head: &[u8], fields: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(head);
    digest.update(fields);
    digest.finalize()
}
