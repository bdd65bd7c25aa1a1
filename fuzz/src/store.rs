//! A littlefs volume of [`BLOCKS`] blocks.
//!
//! Input: pieces of a byte (kind), a byte (block), a length (16 bits) and so many bytes.

use std::convert::Infallible;

use boot_store::{BLOCK_SIZE, Store, StoreError};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use update_image::{ReadAt, Region};

use crate::Input;

/// The block begins with these bytes.
pub const RAW: u8 = 0;
/// The block is a metadata log: revision, then tags and their data; tags are not chained, and an end of a commit has no
/// checksum: both are done here.
pub const LOG: u8 = 1;
/// An offset (16 bits), and what is there.
pub const PATCH: u8 = 2;
const KINDS: u8 = 3;

/// Blocks of the volume.
pub const BLOCKS: u32 = 16;
/// Where the volume is; not at 0, where an offset could pass for an address.
pub const VOLUME: Region = Region { start: 3 * BLOCK_SIZE, len: BLOCKS * BLOCK_SIZE };
const BLOCK: usize = BLOCK_SIZE as usize;

/// Reads that no call needs more of: every block, by pages, ten times each, from ten places.
const READS: u32 = BLOCKS * 16 * 10 * 10;

/// Makes every call on the input's volume.
///
/// # Panics
/// If a call does not come to an end or leaves the volume; if a file that was written has other contents.
pub fn run(input: &[u8]) {
    let mut flash = Flash { bytes: vec![0xFF; VOLUME.len as usize], reads: 0 };
    let mut input = Input(input);
    while !input.is_empty() {
        let kind = input.byte() % KINDS;
        let block = (u32::from(input.byte()) % BLOCKS) as usize;
        let len = input.half().into();
        let mut piece = Input(input.slice(len));
        let (offset, bytes) = match kind {
            RAW => (0, piece.0.to_vec()),
            LOG => (0, log(&mut piece)),
            _ => (usize::from(piece.half()) % BLOCK, piece.0.to_vec()),
        };
        let len = bytes.len().min(BLOCK - offset);
        flash.bytes[block * BLOCK + offset..][..len].copy_from_slice(&bytes[..len]);
    }

    let Ok(mut store) = Store::mount(&mut flash, VOLUME) else { return };
    for name in ["agent.state", "image.bin", "previous.bin", "directory", "none"] {
        look(&mut store, name);
    }
    let contents: Vec<u8> = (0..6_000_u32).map(|n| (n * n / 16) as u8).collect();
    if write(&mut store, "previous.tmp", &contents).is_ok() {
        // In a directory that is forged (ids left out, names out of order) the entry may not be found again. It may not
        // lead elsewhere.
        let leads_there = |file: Result<Vec<u8>, StoreError>| file.map_or(true, |read| read == contents);
        assert!(leads_there(read(&mut store, "previous.tmp")), "written, and something else is there");
        let earlier = read(&mut store, "previous.bin");
        if store.rename("previous.tmp", "previous.bin").is_ok() {
            let later = read(&mut store, "previous.bin");
            assert!(later == earlier || leads_there(later), "renamed, and something else is there");
        }
    }
    let _ = write(&mut store, "empty", &[]);
    let _ = store.rename("image.bin", "refused.bin");
    let _ = store.remove("agent.state");
    flash.reads = 0;
    if let Ok(mut store) = Store::mount(&mut flash, VOLUME) {
        let _ = store.settle();
        look(&mut store, "refused.bin");
        let _ = store.rename("refused.bin", "image.bin");
    }
}

/// Looks at a file, and at its start, middle and end.
fn look(store: &mut Store<&mut Flash>, name: &str) {
    let exists = store.exists(name);
    let Ok(mut file) = store.open(name) else { return };
    assert_eq!(exists, Ok(true));
    assert!(file.len() <= VOLUME.len);
    for offset in [0, file.len() / 2, file.len().saturating_sub(1)] {
        let len = (file.len() - offset).min(9_000);
        let _ = file.read_at(offset, &mut vec![0; len as usize]);
    }
    let len = file.len();
    assert_eq!(file.read_at(len, &mut [0]), Err(StoreError::OutOfBounds));
}

fn read(store: &mut Store<&mut Flash>, name: &str) -> Result<Vec<u8>, StoreError> {
    let mut file = store.open(name)?;
    let mut bytes = vec![0; file.len() as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

fn write(store: &mut Store<&mut Flash>, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = store.create(name)?;
    for piece in bytes.chunks(1_000) {
        file.write(piece)?;
    }
    file.finish()
}

/// The bytes of a log.
fn log(input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = input.array::<4>().to_vec();
    let mut begin = 0;
    let mut last = !0;
    while !input.is_empty() && bytes.len() < BLOCK {
        let tag = u32::from_be_bytes(input.array()) & 0x7FFF_FFFF;
        bytes.extend((tag ^ last).to_be_bytes());
        last = tag;
        let len = (tag & 0x3FF) as usize;
        if tag >> 20 & 0x780 == 0x500 {
            bytes.extend(crate::crc(&bytes[begin..]).to_le_bytes());
            bytes.resize(bytes.len() + len.saturating_sub(4), 0xFF);
            begin = bytes.len();
            // The phase of the next commit's first valid bit: the lowest bit of the type.
            last ^= tag >> 20 << 31;
        } else if len != 0x3FF {
            bytes.extend(input.slice(len));
        }
    }
    bytes
}

/// A block's log as a `LOG` has it; a block that holds none, `None`.
pub fn unlog(block: &[u8]) -> Option<Vec<u8>> {
    let mut input = Input(block);
    let mut out = input.array::<4>().to_vec();
    let mut commits = 0;
    let mut end = 0;
    let mut last = !0;
    while input.0.len() >= 4 {
        let tag = u32::from_be_bytes(input.array()) ^ last;
        if tag >> 31 != 0 {
            break;
        }
        last = tag;
        out.extend(tag.to_be_bytes());
        let len = (tag & 0x3FF) as usize;
        if tag >> 20 & 0x780 == 0x500 {
            input.slice(len.max(4));
            last ^= tag >> 20 << 31;
            commits += 1;
            end = out.len();
        } else if len != 0x3FF {
            out.extend(input.slice(len));
        }
    }
    out.truncate(end);
    (commits > 0).then_some(out)
}

/// The volume as a flash that minds its borders and counts reads.
struct Flash {
    bytes: Vec<u8>,
    reads: u32,
}

fn offset_of(address: u32, len: usize) -> usize {
    assert!(address >= VOLUME.start, "outside the volume");
    let at = (address - VOLUME.start) as usize;
    assert!(at + len <= VOLUME.len as usize, "outside the volume");
    at
}

impl ErrorType for Flash {
    type Error = Infallible;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, address: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        let at = offset_of(address, bytes.len());
        self.reads += 1;
        assert!(self.reads < 40 * READS, "no end");
        bytes.copy_from_slice(&self.bytes[at..at + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        VOLUME.end() as usize
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = BLOCK;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        let at = offset_of(from, (to - from) as usize);
        self.bytes[at..at + (to - from) as usize].fill(0xFF);
        Ok(())
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), Infallible> {
        let at = offset_of(address, bytes.len());
        for (cell, byte) in self.bytes[at..].iter_mut().zip(bytes) {
            *cell &= byte;
        }
        Ok(())
    }
}
