//! The calls, one by one, and what they cost.

mod common;

use std::cell::RefCell;

use boot_store::{BLOCK_SIZE, Store, StoreError};
use common::{Files, VOLUME, assert_ours, formatted, mount, random, read, theirs, write};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use update_image::layout::STORE;
use update_image::sim::{SimError, SimNor, Supply};
use update_image::{ReadAt, Region};

/// A flash with bad blocks, that counts reads.
struct Watched<'a> {
    nor: &'a mut SimNor,
    /// Blocks in which a bit stays 1.
    stuck: &'a [u32],
    /// Blocks that report failed erases and programs.
    failing: &'a [u32],
    reads: &'a RefCell<Vec<(u32, usize)>>,
}

impl ErrorType for Watched<'_> {
    type Error = SimError;
}

impl ReadNorFlash for Watched<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimError> {
        self.reads.borrow_mut().push((offset, bytes.len()));
        self.nor.read(offset, bytes)?;
        for block in self.stuck {
            // One bit in a page that logs and data reach.
            let cell = VOLUME.start + block * BLOCK_SIZE + 21;
            if let Some(byte) = cell.checked_sub(offset).and_then(|at| bytes.get_mut(at as usize)) {
                *byte |= 0x10;
            }
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.nor.capacity()
    }
}

impl NorFlash for Watched<'_> {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = BLOCK_SIZE as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), SimError> {
        if self.failing.contains(&((from - VOLUME.start) / BLOCK_SIZE)) {
            return Err(SimError::Dead);
        }
        self.nor.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimError> {
        if self.failing.contains(&((offset - VOLUME.start) / BLOCK_SIZE)) {
            return Err(SimError::Dead);
        }
        self.nor.write(offset, bytes)
    }
}

fn with_bad_blocks<T>(
    nor: &mut SimNor,
    stuck: &[u32],
    failing: &[u32],
    f: impl FnOnce(&mut Store<Watched<'_>>) -> T,
) -> T {
    f(&mut mount(Watched { nor, stuck, failing, reads: &RefCell::default() }))
}

#[test]
fn a_file_can_be_read_from_anywhere() {
    let mut nor = formatted(VOLUME, &Supply::steady());
    let mut store = mount(&mut nor);
    let bytes = random(100_003, 1);
    write(&mut store, "file", &bytes).unwrap();
    let mut file = store.open("file").unwrap();
    assert_eq!((file.len(), file.is_empty()), (100_003, false));
    for (offset, len) in [(0, 1), (4_095, 2), (99_000, 1_003), (50_000, 20_000), (20_000, 9), (100_003, 0), (8_188, 1)]
    {
        let mut buf = vec![0; len];
        file.read_at(offset, &mut buf).unwrap();
        assert_eq!(buf, bytes[offset as usize..][..len], "{offset}");
    }
    assert_eq!(file.read_at(100_000, &mut [0; 4]), Err(StoreError::OutOfBounds));
    assert_eq!(file.read_at(u32::MAX, &mut [0; 4]), Err(StoreError::OutOfBounds));
}

#[test]
fn a_file_is_written_in_pieces_of_any_length_and_old_contents_stay_until_the_end() {
    let mut nor = formatted(VOLUME, &Supply::steady());
    write(&mut mount(&mut nor), "file", b"old").unwrap();
    let bytes = random(30_000, 2);
    let mut store = mount(&mut nor);
    let mut in_pieces = |finish: bool| {
        let mut file = store.create("file").unwrap();
        let mut rest = &bytes[..];
        for len in (0..).map(|n| n * 7 % 1_200) {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at(rest.len().min(len));
            file.write(piece).unwrap();
            rest = later;
        }
        if finish {
            file.finish().unwrap();
        }
        read(&mut store, "file").unwrap()
    };
    assert_eq!(in_pieces(false), b"old");
    assert!(in_pieces(true) == bytes);
    write(&mut store, "file", &[]).unwrap();
    assert_eq!(read(&mut store, "file").unwrap(), b"");
}

#[test]
fn what_is_not_there_or_not_possible_is_an_error() {
    let mut nor = formatted(VOLUME, &Supply::steady());
    {
        let mut store = mount(&mut nor);
        assert!(matches!(store.open("a"), Err(StoreError::NotFound)));
        assert_eq!(store.rename("a", "b"), Err(StoreError::NotFound));
        assert_eq!(store.remove("a"), Ok(()));
        for name in ["", "a/b", ".", "..", &"n".repeat(256)] {
            assert!(matches!(store.create(name), Err(StoreError::Invalid)), "{name}");
        }
        let longest = "n".repeat(255);
        write(&mut store, &longest, b"x").unwrap();
        assert_eq!(store.rename(&longest, "a/b"), Err(StoreError::Invalid));
        assert_eq!(store.rename(&longest, &longest), Ok(()));
        assert_eq!(read(&mut store, &longest).unwrap(), b"x");
        assert_eq!(write(&mut store, "big", &random(VOLUME.len as usize, 1)), Err(StoreError::NoSpace));
        assert_eq!(store.exists("big"), Ok(false));
        write(&mut store, "small", b"y").unwrap();
    }
    let mut blank = SimNor::erased(VOLUME.end() as usize, &Supply::steady());
    assert!(matches!(Store::mount(&mut blank, VOLUME), Err(StoreError::Corrupt)));
    let half = Region { len: VOLUME.len / 2, ..VOLUME };
    assert!(matches!(Store::mount(&mut nor, half), Err(StoreError::Corrupt)), "a volume of another size");
    nor.set_dead(true);
    assert!(matches!(Store::mount(&mut nor, VOLUME), Err(StoreError::Flash)));
}

#[test]
fn a_writer_that_has_failed_does_not_finish() {
    let mut nor = formatted(VOLUME, &Supply::steady());
    let mut store = mount(&mut nor);
    write(&mut store, "file", b"old").unwrap();
    let mut file = store.create("file").unwrap();
    assert_eq!(file.write(&random(VOLUME.len as usize, 1)), Err(StoreError::NoSpace));
    assert_eq!(file.write(b"more"), Err(StoreError::NoSpace));
    assert_eq!(file.finish(), Err(StoreError::NoSpace));
    assert_eq!(read(&mut store, "file").unwrap(), b"old");
}

#[test]
fn a_full_directory_refuses_another_file_and_keeps_the_others() {
    let mut nor = formatted(VOLUME, &Supply::steady());
    let mut files = Files::new();
    let mut store = mount(&mut nor);
    let refused = (0..).find_map(|n| {
        let name = format!("{n:0>200}");
        let written = write(&mut store, &name, &[]);
        files.insert(name, Vec::new());
        written.err().map(|error| (n, error))
    });
    assert_eq!(refused, Some((19, StoreError::NoSpace)));
    files.remove(&format!("{:0>200}", 19));
    assert_ours(&mut store, &files, &[], "full");
    let longer = |n: u32| format!("{n:0>255}");
    store.rename(&format!("{:0>200}", 3), &longer(3)).unwrap();
    assert_eq!(store.rename(&format!("{:0>200}", 4), &longer(4)), Err(StoreError::NoSpace));
    store.rename(&longer(3), &format!("{:0>200}", 3)).unwrap();
    store.remove(&format!("{:0>200}", 3)).unwrap();
    files.remove(&format!("{:0>200}", 3));
    assert!(theirs(&nor, VOLUME) == files);
}

#[test]
fn reading_in_order_follows_few_pointers() {
    let mut nor = formatted(VOLUME, &Supply::steady());
    let bytes = random(200_000, 3);
    write(&mut mount(&mut nor), "file", &bytes).unwrap();
    let reads = RefCell::default();
    let mut store = mount(Watched { nor: &mut nor, stuck: &[], failing: &[], reads: &reads });
    let mut file = store.open("file").unwrap();
    reads.borrow_mut().clear();
    for offset in (0..200_000).step_by(50) {
        let mut piece = [0; 50];
        file.read_at(offset, &mut piece).unwrap();
        assert_eq!(piece, bytes[offset as usize..][..50]);
    }
    let pointers = reads.borrow().iter().filter(|(_, len)| *len == 4).count();
    // 49 blocks, and at most log2 of that many steps down to each.
    assert!(pointers < 49 * 6, "{pointers} pointers");
    assert!(reads.borrow().len() - pointers < 4_000 + 49 + 1);
}

#[test]
fn a_normal_start_writes_nothing_and_an_update_little() {
    let mut nor = formatted(STORE, &Supply::steady());
    let bytes = random(366_779, 4);
    {
        let mut store = Store::mount(&mut nor, STORE).unwrap();
        write(&mut store, "image.bin", &bytes).unwrap();
    }
    nor.reset_counts();
    let before = nor.bytes().to_vec();
    {
        let mut store = Store::mount(&mut nor, STORE).unwrap();
        assert!(read(&mut store, "image.bin").unwrap() == bytes);
        assert_eq!(store.exists("previous.bin"), Ok(false));
        assert_eq!(store.remove("previous.bin"), Ok(()));
    }
    assert!(nor.bytes() == before && nor.erases().iter().all(|erases| *erases == 0));
    {
        let mut store = Store::mount(&mut nor, STORE).unwrap();
        write(&mut store, "previous.tmp", &bytes).unwrap();
        store.rename("previous.tmp", "previous.bin").unwrap();
    }
    // 90 blocks of data; of the directory one to settle it, one for the file, one for the new name.
    assert_eq!(nor.erases().iter().sum::<u32>(), 90 + 3);
    assert_eq!(theirs(&nor, STORE).len(), 2);
}

#[test]
fn wear_spreads_over_the_volume() {
    let mut nor = formatted(VOLUME, &Supply::steady());
    for n in 0..200 {
        write(&mut mount(&mut nor), "file", &random(9_000, n)).unwrap();
    }
    let blocks = nor.erases()[(VOLUME.start / BLOCK_SIZE + 2) as usize..].to_vec();
    // 600 erases of 94 blocks.
    assert!(*blocks.iter().max().unwrap() < 25 && *blocks.iter().min().unwrap() > 0, "{blocks:?}");
}

#[test]
fn bad_blocks_are_passed_over() {
    let bytes = random(80_000, 5);
    for bad in 0..8 {
        let mut nor = formatted(VOLUME, &Supply::steady());
        // A quarter of the blocks, in two ways.
        let stuck: Vec<u32> = (2..96).filter(|block| block % 8 == bad).collect();
        let failing: Vec<u32> = (2..96).filter(|block| block % 8 == (bad + 3) % 8).collect();
        with_bad_blocks(&mut nor, &stuck, &failing[..6], |store| {
            write(store, "file", &bytes).unwrap();
            assert!(read(store, "file").unwrap() == bytes, "{bad}");
        });
        assert!(theirs(&nor, VOLUME)["file"] == bytes, "{bad}");
    }
}

#[test]
fn a_bad_block_of_the_first_pair_freezes_the_volume_and_leaves_it_readable() {
    for block in [0, 1] {
        for kind in [0, 1] {
            let mut nor = formatted(VOLUME, &Supply::steady());
            write(&mut mount(&mut nor), "file", b"kept").unwrap();
            let in_use = |nor: &mut SimNor| {
                let at = |block: u32| (VOLUME.start + block * BLOCK_SIZE) as usize;
                let rev = |block| i32::from_le_bytes(nor.bytes()[at(block)..][..4].try_into().unwrap());
                if rev(1).wrapping_sub(rev(0)) > 0 { 1 } else { 0 }
            };
            if in_use(&mut nor) == block {
                write(&mut mount(&mut nor), "file", b"kept").unwrap();
            }
            assert_ne!(in_use(&mut nor), block);
            let (stuck, failing) = if kind == 0 { (vec![block], vec![]) } else { (vec![], vec![block]) };
            with_bad_blocks(&mut nor, &stuck, &failing, |store| {
                for _ in 0..3 {
                    assert_eq!(write(store, "file", b"lost"), Err(StoreError::Flash));
                    assert_eq!(store.remove("file"), Err(StoreError::Flash));
                    assert_eq!(read(store, "file").unwrap(), b"kept");
                }
            });
            assert_eq!(read(&mut mount(&mut nor), "file").unwrap(), b"kept");
        }
    }
}

#[test]
fn a_flash_that_dies_fails_every_call_and_soon() {
    let mut nor = formatted(VOLUME, &Supply::steady());
    write(&mut mount(&mut nor), "file", &random(9_000, 1)).unwrap();
    let all: Vec<u32> = (0..96).collect();
    let reads = RefCell::default();
    let mut store = mount(Watched { nor: &mut nor, stuck: &[], failing: &all, reads: &reads });
    assert_eq!(write(&mut store, "other", b"x"), Err(StoreError::Flash));
    assert_eq!(store.remove("file"), Err(StoreError::Flash));
    assert_eq!(store.rename("file", "other"), Err(StoreError::Flash));
    assert_eq!(read(&mut store, "file").unwrap(), random(9_000, 1));
}
