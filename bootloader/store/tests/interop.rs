//! Random operations, alternately by this crate and by the application's library; after each session both must see
//! the same files.

mod common;

use common::{Files, VOLUME, assert_ours, formatted, mount, random, theirs, write};
use sim_base::Rng;
use update_image::sim::{SimNor, Supply};

const NAMES: [&str; 9] = ["a", "ab", "abc", "agent.state", "b", "image.bin", "image.tmp", "previous.bin", "z"];

/// Lengths around the borders of pages, inline files and blocks.
fn len(rng: &mut Rng) -> usize {
    let around = [0, 1, 255, 256, 257, 4_095, 4_096, 4_097, 8_188, 8_189, 12_272, 20_000];
    match rng.below(3) {
        0 => rng.below(300) as usize,
        1 => around[rng.below(around.len() as u64) as usize],
        _ => rng.below(30_000) as usize,
    }
}

/// The same calls by either library.
macro_rules! session {
    ($store:expr, $files:expr, $rng:expr, $what:expr, $write:expr) => {
        for _ in 0..1 + $rng.below(6) {
            let name = NAMES[$rng.below(NAMES.len() as u64) as usize];
            let other = NAMES[$rng.below(NAMES.len() as u64) as usize];
            match $rng.below(4) {
                0 => {
                    $store.remove(name).unwrap_or_else(|error| panic!("{}: {error}", $what));
                    $files.remove(name);
                }
                1 if $files.contains_key(name) => {
                    $store.rename(name, other).unwrap_or_else(|error| panic!("{}: {error}", $what));
                    let bytes = $files.remove(name).unwrap();
                    $files.insert(other.to_owned(), bytes);
                }
                _ => {
                    let bytes = random(len($rng), $rng.next_u64());
                    $write(&mut $store, name, &bytes);
                    $files.insert(name.to_owned(), bytes);
                }
            }
        }
    };
}

fn ours(nor: &mut SimNor, files: &mut Files, rng: &mut Rng, what: &str) {
    let mut store = mount(nor);
    assert_ours(&mut store, files, &NAMES, what);
    session!(store, files, rng, what, |store: &mut _, name, bytes: &Vec<u8>| {
        write(store, name, bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    });
    assert_ours(&mut store, files, &NAMES, what);
}

fn application(nor: &mut SimNor, files: &mut Files, rng: &mut Rng, what: &str) {
    let Ok(mut store) = update_store::Store::mount(nor, VOLUME) else { panic!("{what}: not mounted") };
    session!(store, files, rng, what, |store: &mut update_store::Store<_>, name, bytes: &Vec<u8>| {
        store.write_all(name, bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    });
}

#[test]
fn both_libraries_see_the_same_files_after_either_has_written() {
    for seed in 0..60 {
        let rng = &mut Rng::new(seed);
        let mut nor = formatted(VOLUME, &Supply::steady());
        let mut files = Files::new();
        for session in 0..12 {
            let what = format!("seed {seed}, session {session}");
            if rng.below(3) == 0 {
                application(&mut nor, &mut files, rng, &what);
            } else {
                ours(&mut nor, &mut files, rng, &what);
            }
            assert!(theirs(&nor, VOLUME) == files, "{what}");
            assert_ours(&mut mount(&mut nor), &files, &NAMES, &what);
            assert_eq!(nor.violations(), Vec::<String>::new(), "{what}");
        }
    }
}
