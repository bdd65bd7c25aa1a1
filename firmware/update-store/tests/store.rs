//! The store on a simulated flash.

use sim_base::Rng;
use update_image::Region;
use update_image::sim::{SimNor, Supply, Torn};
use update_store::host::Dump;
use update_store::{BLOCK_SIZE, Store, StoreError, next_block_len};

/// 512 KiB that do not start at 0, so that addresses and blocks differ.
const VOLUME: Region = Region { start: 8 * BLOCK_SIZE, len: 128 * BLOCK_SIZE };

fn flash(supply: &Supply) -> SimNor {
    SimNor::erased(VOLUME.end() as usize, supply)
}

/// The volume, mounted; it is made if the flash is blank.
fn store(nor: &mut SimNor) -> Store<&mut SimNor> {
    match Store::mount_or_format(nor, VOLUME) {
        Ok(store) => store,
        Err((error, _)) => panic!("{error}"),
    }
}

fn random(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Rng::new(seed).fill(&mut bytes);
    bytes
}

/// Appends the rest of `bytes` to the file, one flash block at a time, as a download does.
fn download<F: embedded_storage::nor_flash::NorFlash>(
    store: &Store<F>,
    name: &str,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let mut offset = match store.len(name) {
        Err(StoreError::NotFound) => 0,
        len => len? as usize,
    };
    while offset < bytes.len() {
        let end = bytes.len().min(offset + next_block_len(offset as u32) as usize);
        store.append(name, &bytes[offset..end])?;
        offset = end;
    }
    Ok(())
}

#[test]
fn a_download_programs_each_byte_once_and_in_order() {
    let mut nor = flash(&Supply::steady());
    store(&mut nor).write_all("agent.state", b"x").unwrap();
    nor.reset_counts();
    let image = random(300_001, 3);
    download(&store(&mut nor), "image.tmp", &image).unwrap();
    assert_eq!(nor.violations(), Vec::<String>::new());

    let extents = Dump::with(&nor.bytes(), VOLUME, |dump| {
        assert_eq!(dump.read("image.tmp")?, image);
        dump.extents("image.tmp")
    })
    .unwrap();
    assert_eq!(extents.iter().map(|extent| extent.len).sum::<u32>(), 300_001);
    assert_eq!(extents[0].len, BLOCK_SIZE);
    assert_eq!(extents[1].len, BLOCK_SIZE - 4);
    let (bytes, programs, erases) = (nor.bytes(), nor.programs(), nor.erases());
    let mut offset = 0;
    for extent in &extents {
        let range = extent.start as usize..extent.end() as usize;
        assert_eq!(bytes[range.clone()], image[offset..offset + range.len()]);
        assert!(programs[range.clone()].iter().all(|programs| *programs == 1), "block at {range:x?}");
        assert!(erases[range.start / 4096] <= 1, "block at {range:x?}");
        offset += range.len();
    }
    // Beside the file's blocks only the directory was erased: once per commit (littlefs-rust writes no FCRC).
    let directory: u32 = (VOLUME.start / BLOCK_SIZE..VOLUME.end() / BLOCK_SIZE)
        .filter(|block| extents.iter().all(|extent| extent.start / BLOCK_SIZE != *block))
        .map(|block| nor.erases()[block as usize])
        .sum();
    assert!(directory <= extents.len() as u32 + 2, "{directory} erases of the directory");
}

#[test]
fn a_file_written_in_one_go_costs_few_erases_of_the_directory() {
    let mut nor = flash(&Supply::steady());
    store(&mut nor).write_all("previous.tmp", b"old").unwrap();
    nor.reset_counts();
    let image = random(100_000, 5);
    {
        let store = store(&mut nor);
        let mut file = store.create("previous.tmp").unwrap();
        for piece in image.chunks(4_000) {
            file.write(piece).unwrap();
            assert_eq!(store.len("previous.tmp"), Ok(3), "not before it is finished");
        }
        file.finish().unwrap();
    }
    let erases: u32 = nor.erases().iter().sum();
    assert!(erases <= 25 + 2, "{erases} erases for 25 blocks");
    assert!(nor.programs().iter().all(|programs| *programs <= 1));
    let found = Dump::with(&nor.bytes(), VOLUME, |dump| dump.read("previous.tmp"));
    assert!(found.is_ok_and(|bytes| bytes == image));
}

#[test]
fn a_cut_in_a_download_keeps_whole_blocks_and_it_carries_on() {
    let image = random(14_000, 4);
    let mut blank = flash(&Supply::steady());
    store(&mut blank).write_all("agent.state", b"keep me").unwrap();

    let script = |nor: &mut SimNor| -> Result<(), StoreError> {
        let store = store(nor);
        download(&store, "image.tmp", &image)?;
        store.rename("image.tmp", "image.bin")
    };
    let supply = Supply::steady();
    script(&mut blank.powered_by(&supply)).unwrap();
    let operations = supply.operations();
    assert!(operations > 50, "{operations}");

    for operation in 0..operations {
        for torn in Torn::ALL {
            let what = format!("cut at {operation} of {operations}, {torn:?}");
            let supply = Supply::cut_at(operation, torn, operation);
            let mut nor = blank.powered_by(&supply);
            assert!(script(&mut nor).is_err() || torn == Torn::After, "{what}");

            let mut nor = nor.powered_by(&Supply::steady());
            {
                let store = store(&mut nor);
                let mut state = [0; 7];
                store.read_at("agent.state", 0, &mut state).unwrap();
                assert_eq!(&state, b"keep me", "{what}");
                let name = match store.exists("image.bin").unwrap() {
                    true => "image.bin",
                    false => "image.tmp",
                };
                if store.exists(name).unwrap() {
                    let len = store.len(name).unwrap();
                    assert!(name == "image.tmp" || len == 14_000, "{what}");
                    assert!(
                        len == 14_000 || next_block_len(len) >= BLOCK_SIZE - 16,
                        "{what}: {len} bytes are no whole number of blocks"
                    );
                    let mut bytes = vec![0; len as usize];
                    store.read_at(name, 0, &mut bytes).unwrap();
                    assert!(image.starts_with(&bytes), "{what}");
                }
                if name == "image.tmp" {
                    download(&store, name, &image).unwrap();
                    store.rename(name, "image.bin").unwrap();
                }
            }
            let found = Dump::with(&nor.bytes(), VOLUME, |dump| dump.read("image.bin"));
            assert!(found.is_ok_and(|bytes| bytes == image), "{what}");
            assert_eq!(nor.violations(), Vec::<String>::new(), "{what}");
        }
    }
}

#[test]
fn a_cut_in_a_replacement_leaves_the_old_contents_or_the_new() {
    let mut start = flash(&Supply::steady());
    store(&mut start).write_all("agent.state", &random(180, 1)).unwrap();
    // Twenty replacements, so that the directory's blocks are compacted on the way.
    let script = |nor: &mut SimNor| -> Result<u64, (u64, StoreError)> {
        let store = store(nor);
        for n in 2..22 {
            store.write_all("agent.state", &random(180, n)).map_err(|error| (n, error))?;
        }
        Ok(22)
    };
    let supply = Supply::steady();
    script(&mut start.powered_by(&supply)).unwrap();
    for operation in 0..supply.operations() {
        for torn in Torn::ALL {
            let what = format!("cut at {operation}, {torn:?}");
            let mut nor = start.powered_by(&Supply::cut_at(operation, torn, operation));
            let n = match script(&mut nor) {
                Ok(n) | Err((n, _)) => n,
            };
            let mut nor = nor.powered_by(&Supply::steady());
            let mut found = vec![0; 180];
            store(&mut nor).read_at("agent.state", 0, &mut found).unwrap();
            assert!(found == random(180, n - 1) || found == random(180, n), "{what}");
            assert_eq!(nor.violations(), Vec::<String>::new(), "{what}");
        }
    }
}

#[test]
fn what_is_not_there_is_an_error_and_not_a_panic() {
    let mut nor = flash(&Supply::steady());
    assert!(matches!(Store::mount(&mut nor, VOLUME), Err((StoreError::Corrupt, _))));
    {
        let store = store(&mut nor);
        assert_eq!(store.len("a"), Err(StoreError::NotFound));
        assert_eq!(store.exists("a"), Ok(false));
        assert_eq!(store.rename("a", "b"), Err(StoreError::NotFound));
        assert_eq!(store.remove("a"), Ok(()));
        store.append("a", &[1, 2, 3]).unwrap();
        assert_eq!(store.read_at("a", 2, &mut [0; 2]), Err(StoreError::OutOfBounds));
        assert_eq!(store.read_at("a", u32::MAX, &mut [0; 2]), Err(StoreError::OutOfBounds));
        store.remove("a").unwrap();
        assert_eq!(store.exists("a"), Ok(false));
        assert_eq!(store.append("big", &random(VOLUME.len as usize, 1)), Err(StoreError::NoSpace));
        store.append("small", &[1]).unwrap();
    }
    nor.set_dead(true);
    assert!(matches!(Store::mount(&mut nor, VOLUME), Err((StoreError::Flash, _))));
}

#[test]
fn a_renamed_file_replaces_the_other() {
    let mut nor = flash(&Supply::steady());
    let store = store(&mut nor);
    store.append("image.bin", &random(9_000, 1)).unwrap();
    store.append("image.tmp", &random(5_000, 2)).unwrap();
    store.rename("image.tmp", "image.bin").unwrap();
    assert_eq!(store.len("image.bin"), Ok(5_000));
    assert_eq!(store.exists("image.tmp"), Ok(false));
}
