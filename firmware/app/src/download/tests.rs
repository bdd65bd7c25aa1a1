use core::ops::Range;
use std::boxed::Box;
use std::cell::RefCell;
use std::vec;
use std::vec::Vec;

use embassy_futures::block_on;
use embassy_futures::select::{Either3, select3};
use embassy_time::MockDriver;
use sim_base::Rng;
use update_image::layout::STORE;
use update_image::sim::{SimNor, Supply};

use super::*;
use crate::net::fake::{self, Answer};
use crate::test_clock;

const URL: &str = "http://files.example/image.bin";

fn file(len: usize) -> Vec<u8> {
    let mut rng = Rng::new(7);
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

fn job(contents: &[u8], resume: bool) -> Job {
    Job {
        url: String::try_from(URL).unwrap(),
        size: contents.len() as u32,
        sha256: Sha256::digest(contents).into(),
        resume,
    }
}

fn storage() -> Storage<SimNor> {
    Storage::open(Some(SimNor::erased(STORE.len as usize, &Supply::steady())))
}

/// Runs one job against a server that holds `served`; returns the outcome and the ranges that were asked for. Virtual
/// time advances whenever nothing else happens.
fn run(
    job: Job,
    storage: &Storage<SimNor>,
    served: &[u8],
    mut answer: impl FnMut(usize, &Range<u32>) -> Answer,
    cancel_after: Option<usize>,
) -> (Result<(), DownloadError>, Vec<Range<u32>>) {
    let _clock = test_clock();
    let port: &'static Port = Box::leak(Box::new(Port::new()));
    let downloads = Downloads::new();
    let asked = RefCell::new(Vec::new());
    let server = fake::serve(port, served, |range| {
        let mut asked = asked.borrow_mut();
        let answer = answer(asked.len(), &range);
        asked.push(range);
        if cancel_after == Some(asked.len()) {
            downloads.cancel();
        }
        answer
    });
    let clock = async {
        loop {
            yield_now().await;
            MockDriver::get().advance(Duration::from_millis(1));
        }
    };
    downloads.start(job);
    let client = async {
        match select3(downloads.outcome(), downloads.run(storage, port, None), clock).await {
            Either3::First(outcome) => outcome,
            _ => unreachable!("the others never end"),
        }
    };
    let outcome = match block_on(select(client, server)) {
        Either::First(outcome) => outcome,
        Either::Second(_) => unreachable!("the server never ends"),
    };
    (outcome, asked.into_inner())
}

fn stored(storage: &Storage<SimNor>) -> Vec<u8> {
    let mut bytes = vec![0; storage.downloaded().unwrap() as usize];
    if !bytes.is_empty() {
        storage.read_download(0, &mut bytes).unwrap();
    }
    bytes
}

#[test]
fn each_range_is_what_one_flash_block_takes() {
    let contents = file(3 * 4096 + 100);
    let storage = storage();
    let (outcome, asked) = run(job(&contents, false), &storage, &contents, |_, _| Answer::Range, None);
    assert_eq!(outcome, Ok(()));
    assert_eq!(stored(&storage), contents);
    let mut expected = 0;
    for range in asked {
        assert_eq!(range.start, expected);
        assert_eq!(range.len() as u32, next_block_len(expected).min(contents.len() as u32 - expected));
        expected = range.end;
    }
    assert_eq!(expected as usize, contents.len());
}

#[test]
fn broken_connection_goes_on_behind_the_last_stored_block() {
    let contents = file(20_000);
    let storage = storage();
    let answer = |number, _: &Range<u32>| if number == 2 { Answer::Break(1000) } else { Answer::Range };
    let (outcome, asked) = run(job(&contents, false), &storage, &contents, answer, None);
    assert_eq!(outcome, Ok(()));
    assert_eq!(stored(&storage), contents);
    assert_eq!(asked[2], asked[3]);
}

#[test]
fn resumes_behind_what_is_stored() {
    let contents = file(20_000);
    let storage = storage();
    let first = next_block_len(0);
    storage.append(&contents[..first as usize]).unwrap();
    let (outcome, asked) = run(job(&contents, true), &storage, &contents, |_, _| Answer::Range, None);
    assert_eq!(outcome, Ok(()));
    assert_eq!(asked[0].start, first);
    assert_eq!(stored(&storage), contents);
}

#[test]
fn download_that_is_complete_already_is_only_verified() {
    let contents = file(5_000);
    let storage = storage();
    storage.append(&contents).unwrap();
    let (outcome, asked) = run(job(&contents, true), &storage, &contents, |_, _| Answer::Range, None);
    assert_eq!((outcome, asked), (Ok(()), vec![]));
}

#[test]
fn another_file_starts_from_scratch() {
    let contents = file(5_000);
    let storage = storage();
    storage.append(&[0xAA; 3000]).unwrap();
    let (outcome, asked) = run(job(&contents, false), &storage, &contents, |_, _| Answer::Range, None);
    assert_eq!(outcome, Ok(()));
    assert_eq!(asked[0].start, 0);
    assert_eq!(stored(&storage), contents);
}

#[test]
fn wrong_byte_is_found_and_nothing_is_left_to_resume() {
    let contents = file(9_000);
    let mut served = contents.clone();
    served[6_000] ^= 1;
    let storage = storage();
    let (outcome, _) = run(job(&contents, false), &storage, &served, |_, _| Answer::Range, None);
    assert_eq!(outcome, Err(DownloadError::Hash));
    assert_eq!(storage.downloaded(), Ok(0));
}

#[test]
fn refusal_by_the_server_is_final() {
    let contents = file(9_000);
    let (outcome, asked) = run(job(&contents, false), &storage(), &contents, |_, _| Answer::Status(404), None);
    assert_eq!(outcome, Err(DownloadError::Refused));
    assert_eq!(asked.len(), 1);
}

#[test]
fn server_errors_and_silence_are_given_up_after_retries() {
    let contents = file(9_000);
    for answer in [Answer::Status(503), Answer::Silence] {
        let (outcome, asked) = run(job(&contents, false), &storage(), &contents, |_, _| answer, None);
        assert_eq!(outcome, Err(DownloadError::Network));
        assert!(asked.len() > 1, "{answer:?} is tried again");
    }
}

#[test]
fn server_that_ignores_ranges_is_read_once() {
    let contents = file(9_000);
    let storage = storage();
    let (outcome, asked) = run(job(&contents, false), &storage, &contents, |_, _| Answer::Whole, None);
    assert_eq!(outcome, Ok(()));
    assert_eq!(asked.len(), 1);
    assert_eq!(stored(&storage), contents);
}

#[test]
fn cancelled_download_leaves_nothing() {
    let contents = file(20_000);
    let storage = storage();
    let (outcome, _) = run(job(&contents, false), &storage, &contents, |_, _| Answer::Range, Some(3));
    assert_eq!(outcome, Err(DownloadError::Cancelled));
    assert_eq!(storage.downloaded(), Ok(0));
}

#[test]
fn dead_external_flash_is_reported_not_retried() {
    let contents = file(5_000);
    let storage: Storage<SimNor> = Storage::open(None);
    let (outcome, asked) = run(job(&contents, false), &storage, &contents, |_, _| Answer::Range, None);
    assert_eq!((outcome, asked.len()), (Err(DownloadError::Storage), 0));
}
