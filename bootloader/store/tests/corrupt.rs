//! Damaged volumes: no call panics, runs for ever, or reads outside the volume.

mod common;

use std::cell::Cell;
use std::convert::Infallible;

use boot_store::{BLOCK_SIZE, Store, StoreError};
use common::{VOLUME, formatted, random, write};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use sim_base::Rng;
use update_image::sim::Supply;
use update_image::{ReadAt, Region};

/// Reads that no call needs more of: every block of the volume, by pages, ten times each.
const READS: u32 = 96 * 16 * 10 * 10;

/// Bytes as a flash, which minds its borders.
struct Guarded<'a> {
    bytes: &'a mut [u8],
    region: Region,
    reads: &'a Cell<u32>,
}

impl Guarded<'_> {
    fn check(&self, offset: u32, len: usize) {
        assert!(
            offset >= self.region.start && offset as usize + len <= self.region.end() as usize,
            "{offset:#x}, {len} bytes: outside the volume"
        );
    }
}

impl ErrorType for Guarded<'_> {
    type Error = Infallible;
}

impl ReadNorFlash for Guarded<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.check(offset, bytes.len());
        self.reads.set(self.reads.get() + 1);
        assert!(self.reads.get() < READS, "no end");
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Guarded<'_> {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = BLOCK_SIZE as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        self.check(from, (to - from) as usize);
        self.bytes[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Infallible> {
        self.check(offset, bytes.len());
        for (cell, byte) in self.bytes[offset as usize..].iter_mut().zip(bytes) {
            *cell &= byte;
        }
        Ok(())
    }
}

/// Makes every call once on these bytes. Returns how many came back well.
fn every_call(bytes: &mut [u8], region: Region) -> u32 {
    let reads = Cell::new(0);
    let fresh = || reads.set(0);
    let Ok(mut store) = Store::mount(Guarded { bytes, region, reads: &reads }, region) else { return 0 };
    let mut good = 1;
    for name in ["agent.state", "image.bin", "previous.bin", "directory", "none"] {
        fresh();
        let _ = store.exists(name);
        let Ok(mut file) = store.open(name) else { continue };
        for offset in [0, file.len() / 2, file.len().saturating_sub(1)] {
            fresh();
            let len = (file.len() - offset).min(9_000);
            good += u32::from(file.read_at(offset, &mut vec![0; len as usize]).is_ok());
        }
    }
    fresh();
    good += u32::from(write(&mut store, "previous.tmp", &random(9_000, 1)).is_ok());
    fresh();
    good += u32::from(store.rename("previous.tmp", "previous.bin").is_ok());
    fresh();
    good += u32::from(store.rename("image.bin", "refused.bin").is_ok());
    fresh();
    good + u32::from(store.remove("agent.state").is_ok())
}

/// A volume with some history, and where its metadata and pointers are.
fn volume() -> Vec<u8> {
    let mut nor = formatted(VOLUME, &Supply::steady());
    {
        let Ok(store) = update_store::Store::mount(&mut nor, VOLUME) else { panic!("not mounted") };
        store.write_all("agent.state", &random(200, 2)).unwrap();
        store.write_all("image.bin", &random(20_000, 3)).unwrap();
    }
    write(&mut common::mount(&mut nor), "previous.bin", &random(15_000, 4)).unwrap();
    nor.bytes().to_vec()
}

/// The checksum of littlefs.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 != 0 { 0xEDB8_8320 } else { 0 })
    })
}

#[test]
fn random_damage_is_survived() {
    let good = volume();
    let used: Vec<usize> = (VOLUME.start as usize..good.len()).filter(|at| good[*at] != 0xFF).collect();
    let mut partly = 0;
    for seed in 0..4_000 {
        let rng = &mut Rng::new(seed);
        let mut bytes = good.clone();
        for _ in 0..1 + rng.below(6) {
            // Metadata, pointers at the start of a block, or anything.
            let block = VOLUME.start as usize + 4096 * rng.below(96) as usize;
            let at = match rng.below(4) {
                0 => VOLUME.start as usize + rng.below(8192) as usize,
                1 => block + rng.below(16) as usize,
                _ => used[rng.below(used.len() as u64) as usize],
            };
            match rng.below(3) {
                0 => bytes[at] = rng.next_u32() as u8,
                1 => bytes[at] ^= 1 << rng.below(8),
                _ => {
                    let len = rng.below(64) as usize;
                    let end = bytes.len().min(at + len);
                    rng.fill(&mut bytes[at..end]);
                }
            }
        }
        let came_well = every_call(&mut bytes, VOLUME);
        partly += u32::from(came_well > 0 && came_well < 14);
    }
    assert!(partly > 100, "{partly}: hardly any damage was reached");
}

/// A log of any tags at all under a valid checksum: what no damage makes, but an attacker does.
fn forged(rng: &mut Rng, rev: u32, blocks: u32) -> Vec<u8> {
    let mut log = rev.to_le_bytes().to_vec();
    let mut last = !0_u32;
    let mut put = |log: &mut Vec<u8>, tag: u32, data: &[u8]| {
        log.extend((tag ^ last).to_be_bytes());
        log.extend(data);
        last = tag;
    };
    let pointer = |rng: &mut Rng| match rng.below(4) {
        0 => rng.next_u32(),
        1 => !0,
        _ => rng.below(u64::from(blocks) + 2) as u32,
    };
    if rng.below(8) != 0 {
        put(&mut log, 0x0FF << 20 | 8, b"littlefs");
        let words = [0x2_0001, BLOCK_SIZE, blocks, 255, 0x7FFF_FFFF, 1022];
        put(&mut log, 0x201 << 20 | 24, &words.map(u32::to_le_bytes).concat());
    }
    for _ in 0..rng.below(30) {
        let id = rng.below(6) as u32;
        let id = if rng.below(10) == 0 { rng.next_u32() & 0x3FF } else { id } << 10;
        let kinds = [0x001, 0x001, 0x002, 0x200, 0x201, 0x202, 0x202, 0x342, 0x401, 0x4FF, 0x5FF, 0x600, 0x601, 0x7FF];
        let kind = match rng.below(20) {
            0 => rng.next_u32() & 0x7FF,
            _ => kinds[rng.below(kinds.len() as u64) as usize],
        };
        let words: Vec<u8> = (0..3).flat_map(|_| pointer(rng).to_le_bytes()).collect();
        let names: [&[u8]; 4] = [b"agent.state", b"image.bin", b"previous.bin", b"directory"];
        let data = match kind {
            0x000..=0x0FF => names[rng.below(4) as usize].to_vec(),
            0x401 | 0x4FF => Vec::new(),
            0x7FF => [(0x4FF << 20 | id).to_le_bytes().to_vec(), words[4..].to_vec()].concat(),
            _ => words[..rng.below(13) as usize].to_vec(),
        };
        if log.len() + data.len() < 4_000 {
            put(&mut log, kind << 20 | id | data.len() as u32, &data);
        }
    }
    let end = (log.len() + 8).next_multiple_of(256);
    let len = (end - log.len() - 4) as u32;
    put(&mut log, 0x500 << 20 | 0x3FF << 10 | len, &[]);
    log.extend(crc(&log).to_le_bytes());
    log.resize(4096, 0xFF);
    log
}

#[test]
fn forged_metadata_is_survived() {
    let blocks = 24;
    let region = Region { start: VOLUME.start, len: blocks * BLOCK_SIZE };
    let mut mounted = 0;
    let mut wrote = 0;
    for seed in 0..20_000 {
        let rng = &mut Rng::new(seed);
        let mut bytes = vec![0xFF; region.end() as usize];
        for block in 0..blocks as usize {
            let at = region.start as usize + 4096 * block;
            let log = match rng.below(3) {
                0 => (0..1024).flat_map(|_| (rng.below(u64::from(blocks) + 1) as u32).to_le_bytes()).collect(),
                _ => forged(rng, block as u32, blocks),
            };
            bytes[at..at + 4096].copy_from_slice(&log);
        }
        let good = every_call(&mut bytes, region);
        mounted += u32::from(good > 0);
        wrote += u32::from(good > 4);
    }
    assert!(mounted > 2_000 && wrote > 100, "{mounted} mounted, {wrote} wrote");
}

#[test]
fn a_list_of_pairs_that_bites_its_tail_is_damage() {
    let blocks = 24;
    let region = Region { start: 0, len: blocks * BLOCK_SIZE };
    for tail in [[0_u32, 1], [1, 0], [3, 3], [24, 25], [0, 5]] {
        let mut bytes = vec![0xFF; region.end() as usize];
        let mut log = 7_u32.to_le_bytes().to_vec();
        let words = [0x2_0001, BLOCK_SIZE, blocks, 255, 0x7FFF_FFFF, 1022];
        let mut last = !0_u32;
        for (tag, data) in [
            (0x0FF << 20 | 8, b"littlefs".to_vec()),
            (0x201 << 20 | 24, words.map(u32::to_le_bytes).concat()),
            (0x601 << 20 | 0x3FF << 10 | 8, tail.map(u32::to_le_bytes).concat()),
            (0x500 << 20 | 0x3FF << 10 | 4, Vec::new()),
        ] {
            log.extend((tag ^ last).to_be_bytes());
            log.extend(data);
            last = tag;
        }
        log.extend(crc(&log).to_le_bytes());
        bytes[..log.len()].copy_from_slice(&log);
        let reads = Cell::new(0);
        let mounted = Store::mount(Guarded { bytes: &mut bytes, region, reads: &reads }, region);
        assert!(matches!(mounted, Err(StoreError::Corrupt)), "{tail:?}");
    }
}
