//! What the tests share: a small volume that does not start at 0, and two libraries that look at it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;

use boot_store::{BLOCK_SIZE, Store, StoreError};
use embedded_storage::nor_flash::NorFlash;
use sim_base::Rng;
use update_image::sim::{SimNor, Supply};
use update_image::{ReadAt, Region};

pub const VOLUME: Region = Region { start: 3 * BLOCK_SIZE, len: 96 * BLOCK_SIZE };

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

pub fn random(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Rng::new(seed).fill(&mut bytes);
    bytes
}

/// An empty volume in `region`, as the application's library makes it.
pub fn formatted(region: Region, supply: &Supply) -> SimNor {
    let mut nor = SimNor::erased(region.end() as usize, supply);
    assert!(update_store::Store::format(&mut nor, region).is_ok());
    nor
}

pub fn mount<F: NorFlash>(flash: F) -> Store<F> {
    Store::mount(flash, VOLUME).unwrap_or_else(|error| panic!("{error}"))
}

pub fn write<F: NorFlash>(store: &mut Store<F>, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = store.create(name)?;
    for piece in bytes.chunks(1_000) {
        file.write(piece)?;
    }
    file.finish()
}

pub fn read<F: NorFlash>(store: &mut Store<F>, name: &str) -> Result<Vec<u8>, StoreError> {
    let mut file = store.open(name)?;
    let mut bytes = vec![0; file.len() as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// The files as the application's library sees them.
pub fn theirs(nor: &SimNor, region: Region) -> Files {
    let bytes = nor.bytes().to_vec();
    update_store::host::Dump::with(&bytes, region, |dump| {
        dump.list()?.into_iter().map(|(name, _)| Ok((name.clone(), dump.read(&name)?))).collect()
    })
    .unwrap()
}

/// Checks that this crate sees these files, and none of `absent`.
pub fn assert_ours<F: NorFlash>(store: &mut Store<F>, files: &Files, absent: &[&str], what: &str) {
    for (name, bytes) in files {
        assert!(read(store, name).as_ref() == Ok(bytes), "{what}: {name}");
    }
    for name in absent.iter().filter(|name| !files.contains_key(**name)) {
        assert_eq!(store.exists(name), Ok(false), "{what}: {name}");
    }
}
