//! The supply is cut in every program and erase of a sequence of calls, in every model of what a cut leaves behind. After
//! that each file is exactly what it was or what it was to become, and the sequence can be carried on with.

mod common;

use boot_store::StoreError;
use common::{Files, VOLUME, formatted, mount, random, read, theirs, write};
use sim_base::Rng;
use update_image::sim::{SimNor, Supply, Torn};

const MODELS: [Torn; 5] = [Torn::Before, Torn::Prefix, Torn::Bits, Torn::Unsteady, Torn::After];
/// How unsteady cells read: see `SimFlash::set_bias`.
const BIASES: [u32; 3] = [1, 5, 9];
const NAMES: [&str; 5] = ["agent.state", "image.bin", "previous.bin", "previous.tmp", "refused.bin"];
const SEED: u64 = 20_261_125;

#[derive(Clone, Copy, Debug)]
enum Call {
    /// Name, length, seed of the contents.
    Write(&'static str, usize, u64),
    Rename(&'static str, &'static str),
    Remove(&'static str),
}

impl Call {
    fn by_us(self, nor: &mut SimNor) -> Result<(), StoreError> {
        let mut store = boot_store::Store::mount(nor, VOLUME)?;
        self.on(&mut store)
    }

    fn on<F: embedded_storage::nor_flash::NorFlash>(self, store: &mut boot_store::Store<F>) -> Result<(), StoreError> {
        match self {
            Self::Write(name, len, seed) => write(store, name, &random(len, seed)),
            Self::Rename(from, to) => store.rename(from, to),
            Self::Remove(name) => store.remove(name),
        }
    }

    fn by_application(self, nor: &mut SimNor) -> Result<(), update_store::StoreError> {
        let store = update_store::Store::mount(nor, VOLUME).map_err(|(error, _)| error)?;
        match self {
            Self::Write(name, len, seed) => store.write_all(name, &random(len, seed)),
            Self::Rename(from, to) => store.rename(from, to),
            Self::Remove(name) => store.remove(name),
        }
    }

    fn apply(self, files: &mut Files) {
        match self {
            Self::Write(name, len, seed) => drop(files.insert(name.to_owned(), random(len, seed))),
            Self::Rename(from, to) => {
                let bytes = files.remove(from).unwrap();
                files.insert(to.to_owned(), bytes);
            }
            Self::Remove(name) => drop(files.remove(name)),
        }
    }
}

/// What an update, a refusal and a rollback do; `previous.bin` and `image.bin` are there before.
const CALLS: [Call; 7] = [
    Call::Write("previous.tmp", 9_000, 10),
    Call::Rename("previous.tmp", "previous.bin"),
    Call::Remove("image.bin"),
    Call::Write("image.bin", 5_000, 11),
    Call::Rename("image.bin", "refused.bin"),
    Call::Write("agent.state", 100, 12),
    Call::Remove("previous.bin"),
];

fn start() -> (SimNor, Files) {
    let mut nor = formatted(VOLUME, &Supply::steady());
    let mut files = Files::new();
    for call in
        [Call::Write("agent.state", 180, 1), Call::Write("image.bin", 12_000, 2), Call::Write("previous.bin", 8_500, 3)]
    {
        call.by_application(&mut nor).unwrap();
        call.apply(&mut files);
    }
    (nor, files)
}

/// The files before each call, and after the last.
fn states(start: &Files, calls: &[Call]) -> Vec<Files> {
    let mut states = vec![start.clone()];
    for call in calls {
        let mut files = states.last().unwrap().clone();
        call.apply(&mut files);
        states.push(files);
    }
    states
}

/// The files that this crate sees. What was elected at the mount may prove unreadable: then a reset elects anew.
fn ours(nor: &mut SimNor, what: &str) -> Files {
    (0..10).find_map(|_| view(nor, what)).unwrap_or_else(|| panic!("{what}: unreadable"))
}

fn view(nor: &mut SimNor, what: &str) -> Option<Files> {
    let mut store = mount(nor);
    let mut files = Files::new();
    for name in NAMES {
        match read(&mut store, name) {
            Ok(bytes) => drop(files.insert(name.to_owned(), bytes)),
            Err(StoreError::NotFound) => {}
            Err(StoreError::Corrupt) => return None,
            Err(error) => panic!("{what}: {name}: {error}"),
        }
    }
    Some(files)
}

/// Runs the calls in one session until the supply is gone. Returns how many have come back.
fn session(nor: &mut SimNor, calls: &[Call]) -> usize {
    let Ok(mut store) = boot_store::Store::mount(nor, VOLUME) else { return 0 };
    calls.iter().take_while(|call| call.on(&mut store).is_ok()).count()
}

/// After a cut: files of the state before or behind the call that was cut. One reading may differ from the next as
/// long as nothing has been written; from the first write on, nothing changes by itself.
fn recover(nor: &SimNor, states: &[Files], done: usize, calls: &[Call], what: &str) {
    let mut nor = nor.powered_by(&Supply::steady());
    let possible = &states[done..states.len().min(done + 2)];
    let found = ours(&mut nor, what);
    assert!(possible.contains(&found), "{what}: {:?}", found.keys());

    // The first write may find that the volume was not what it seemed; then the next one goes ahead.
    let marker = Call::Write("marker", 300, 99);
    let marked = marker.by_us(&mut nor).or_else(|error| match error {
        StoreError::Corrupt => marker.by_us(&mut nor),
        error => Err(error),
    });
    assert_eq!(marked, Ok(()), "{what}");
    Call::Remove("marker").by_us(&mut nor).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = ours(&mut nor, what);
    let at = possible.iter().position(|files| *files == found).unwrap_or_else(|| panic!("{what}: after a write"));
    assert!(theirs(&nor, VOLUME) == found, "{what}: the application's view");
    let rest = &calls[done + at..];
    assert_eq!(session(&mut nor, rest), rest.len(), "{what}");
    assert!(theirs(&nor, VOLUME) == *states.last().unwrap(), "{what}: at the end");
    assert_eq!(nor.violations(), Vec::<String>::new(), "{what}");
}

#[test]
fn a_cut_leaves_each_file_as_it_was_or_as_it_was_to_become() {
    let (start, files) = start();
    let states = states(&files, &CALLS);
    let supply = Supply::steady();
    assert_eq!(session(&mut start.powered_by(&supply), &CALLS), CALLS.len());
    let operations = supply.operations();
    assert!(operations > 80, "{operations}");
    for operation in 0..operations {
        for torn in MODELS {
            // What an unsteady cell does is chance, so try it more often.
            let rounds = if torn == Torn::Unsteady { 6 } else { 1 };
            for round in 0..rounds {
                let seed = SEED + 1_000 * round + operation;
                let what = format!("cut at {operation} of {operations}, {torn:?}, seed {seed}");
                let mut nor = start.powered_by(&Supply::cut_at(operation, torn, seed));
                nor.set_bias(BIASES[round as usize % 3]);
                let done = session(&mut nor, &CALLS);
                recover(&nor, &states, done, &CALLS, &what);
            }
        }
    }
}

#[test]
fn a_second_cut_while_the_volume_recovers_from_the_first_does_no_more_harm() {
    let (start, files) = start();
    let states = states(&files, &CALLS);
    let supply = Supply::steady();
    session(&mut start.powered_by(&supply), &CALLS);
    let operations = supply.operations();
    let mut rng = Rng::new(SEED);
    for n in 0..1_500 {
        let mut draw = |operations| (rng.below(operations), MODELS[rng.below(5) as usize], rng.next_u64());
        let mut nor = start.clone();
        let mut done = 0;
        let mut what = format!("walk {n} of seed {SEED}:");
        for _ in 0..3 {
            let (operation, torn, seed) = draw(operations / 3);
            what = format!("{what} {operation} {torn:?}");
            nor = nor.powered_by(&Supply::cut_at(operation, torn, seed));
            nor.set_bias(BIASES[n % 3]);
            // Where the cut before has left the volume shows at the first write, as it does to a bootloader.
            let mut seen = nor.powered_by(&Supply::steady());
            let found = ours(&mut seen, &what);
            let at = states[done..].iter().position(|files| *files == found);
            let at = at.unwrap_or_else(|| panic!("{what}: none of the possible states"));
            assert!(at <= 1, "{what}");
            // A state that was only seen may go again; one that a call has come back from may not.
            let advanced = session(&mut nor, &CALLS[done + at..]);
            if advanced > 0 {
                done += at + advanced;
            }
        }
        recover(&nor, &states, done, &CALLS, &what);
    }
}

#[test]
fn what_the_application_left_torn_is_settled_before_it_is_built_on() {
    let mut rng = Rng::new(SEED);
    let application =
        [Call::Write("agent.state", 200, 20), Call::Remove("previous.bin"), Call::Rename("image.bin", "refused.bin")];
    let ours_then = [Call::Write("previous.tmp", 6_000, 30), Call::Rename("previous.tmp", "previous.bin")];
    let (start, files) = start();
    for call in application {
        let mut after = files.clone();
        call.apply(&mut after);
        let supply = Supply::steady();
        call.by_application(&mut start.powered_by(&supply)).unwrap();
        for (operation, round) in (0..supply.operations()).flat_map(|operation| (0..40).map(move |n| (operation, n))) {
            let seed = rng.next_u64();
            let what = format!("{call:?} cut at {operation}, round {round}, seed {seed}");
            let mut torn = start.powered_by(&Supply::cut_at(operation, Torn::Unsteady, seed));
            torn.set_bias(BIASES[round % 3]);
            let _ = call.by_application(&mut torn);
            // The bootloader, and a cut in its calls too.
            let (cut, model) = (rng.below(30), MODELS[rng.below(5) as usize]);
            let mut nor = torn.powered_by(&Supply::cut_at(cut, model, seed));
            let done = session(&mut nor, &ours_then);
            let mut nor = nor.powered_by(&Supply::steady());
            let found = ours(&mut nor, &what);
            let possible = [&files, &after].map(|files| states(files, &ours_then)[done..].to_vec()).concat();
            assert!(possible.contains(&found), "{what}, then {cut} {model:?}: {:?}", found.keys());
        }
    }
}

#[test]
fn a_log_that_reads_as_valid_by_luck_is_never_the_only_one() {
    // Both blocks of the root directory, after the application's last program was torn in a few bits: whatever is
    // seen, at any operation of the next call one of the two holds a whole log for sure.
    let (start, files) = start();
    let call = Call::Rename("image.bin", "refused.bin");
    let mut after = files.clone();
    call.apply(&mut after);
    let supply = Supply::steady();
    call.by_application(&mut start.powered_by(&supply)).unwrap();
    let last = supply.operations() - 1;
    let mut lucky = 0;
    for seed in 0..400 {
        let mut torn = start.powered_by(&Supply::cut_at(last, Torn::Unsteady, seed));
        torn.set_bias(BIASES[seed as usize % 3]);
        let _ = call.by_application(&mut torn);
        let mut nor = torn.powered_by(&Supply::steady());
        // A library that reads once takes chance for the truth.
        let naive = update_store::Store::mount(&mut nor, VOLUME).ok();
        lucky += u32::from(naive.is_some_and(|store| store.exists("refused.bin") == Ok(true)));
        for cut in 0..5 {
            let mut nor = torn.powered_by(&Supply::cut_at(cut, Torn::Bits, seed));
            let _ = Call::Write("agent.state", 10, 40).by_us(&mut nor);
            for read in 0..4 {
                let what = format!("seed {seed}, cut {cut}, read {read}");
                let mut nor = nor.powered_by(&Supply::steady());
                let mut found = ours(&mut nor, &what);
                if found["agent.state"] == random(10, 40) {
                    found.insert("agent.state".to_owned(), files["agent.state"].clone());
                }
                assert!(found == files || found == after, "{what}");
            }
        }
    }
    assert!(lucky > 20, "{lucky}: the case hardly came up");
}
