//! Every cut of every walk, on all cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sim_base::Rng;
use update_image::sim::{Supply, Torn};

use crate::device::Device;
use crate::walk::{Broken, Rule, Walk};

/// A cut: in which program or erase since the start before it (from 0), and what is left of that.
pub type Cut = (u64, Torn);

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Points with two cuts for each walk; `u64::MAX` for every combination.
    pub pairs: u64,
    /// Points with three cuts for each walk.
    pub triples: u64,
    /// What is drawn is drawn from here.
    pub seed: u64,
    /// Threads to use.
    pub threads: usize,
    /// Time that the calling thread has spent, of the processor or of the wall clock.
    pub clock: fn() -> Duration,
}

/// A point that broke a rule.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Name of the walk.
    pub walk: &'static str,
    /// The cuts, each counted from the start that follows the one before.
    pub cuts: Vec<Cut>,
    /// Seed of the torn bits.
    pub seed: u64,
    /// The rule.
    pub rule: Rule,
    /// What was seen.
    pub seen: String,
}

/// What became of a walk's points.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Name of the walk.
    pub walk: &'static str,
    /// Programs and erases of the walk without a cut.
    pub operations: u64,
    /// Points tried, by number of cuts.
    pub points: [u64; 3],
    /// The longest time that a start spent on flash operations, by the datasheets' typical times.
    pub worst_flash_time: Duration,
    /// Time of all threads together.
    pub busy: Duration,
    /// The points that broke a rule.
    pub failures: Vec<Failure>,
}

impl Tally {
    /// All points.
    pub fn total(&self) -> u64 {
        self.points.iter().sum()
    }
}

/// What is tried is cut into pieces that threads take in any order; each piece's result has its place.
enum Piece {
    /// Every torn model in this operation; behind each, `pairs` second cuts or all.
    First(u64),
    /// Three cuts, drawn from this seed.
    Triple(u64),
}

/// Runs the campaign over `walks`.
pub fn run(walks: &[Walk], effort: &Effort) -> Vec<Tally> {
    walks.iter().map(|walk| run_one(walk, effort)).collect()
}

fn run_one(walk: &Walk, effort: &Effort) -> Tally {
    let mut tally = Tally { walk: walk.name, ..Tally::default() };
    let mut device = walk.device.powered_by(Supply::steady());
    let whole = walk.go_on(&mut device).and_then(|longest| walk.check_rest(&mut device).map(|()| longest));
    match whole {
        Ok(longest) => tally.worst_flash_time = longest,
        Err((rule, seen)) => {
            tally.failures.push(Failure { walk: walk.name, cuts: Vec::new(), seed: 0, rule, seen });
            return tally;
        }
    }
    tally.operations = device.supply.operations();
    let firsts = tally.operations * Torn::ALL.len() as u64;
    let pairs_each = if effort.pairs == u64::MAX { u64::MAX } else { effort.pairs.div_ceil(firsts) };
    let mut rng = Rng::new(effort.seed);
    let triples = (0..effort.triples).map(|_| Piece::Triple(rng.next_u64()));
    let pieces: Vec<Piece> = (0..tally.operations).map(Piece::First).chain(triples).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut point = Points { walk, tally: Tally::default(), seed: effort.seed };
        let begun = (effort.clock)();
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            match piece {
                Piece::First(operation) => point.first(*operation, pairs_each),
                Piece::Triple(seed) => point.triple(*seed, device.supply.operations()),
            }
        }
        point.tally.busy = (effort.clock)().saturating_sub(begun);
        point.tally
    };
    let parts: Vec<Tally> = thread::scope(|scope| {
        let threads: Vec<_> = (0..effort.threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    for part in parts {
        for (sum, points) in tally.points.iter_mut().zip(part.points) {
            *sum += points;
        }
        tally.worst_flash_time = tally.worst_flash_time.max(part.worst_flash_time);
        tally.busy += part.busy;
        tally.failures.extend(part.failures);
    }
    tally.failures.sort_by_key(|failure| (failure.cuts.len(), failure.seed));
    tally
}

/// One thread's points.
struct Points<'a> {
    walk: &'a Walk,
    tally: Tally,
    seed: u64,
}

impl Points<'_> {
    /// Cuts in `operation`, in every way; behind each the given number of second cuts.
    fn first(&mut self, operation: u64, pairs: u64) {
        for torn in Torn::ALL {
            // Before an operation is after the one before it.
            if torn == Torn::After && operation != 0 {
                continue;
            }
            let cut = (operation, torn);
            let seed = self.seed ^ (operation << 8 | torn as u64);
            let mut device = self.walk.device.clone();
            if let Err(broken) = self.cut(&mut device, cut, seed) {
                self.fail(&[cut], seed, broken);
                continue;
            }
            let mut rested = device.clone();
            match self.finish(&mut rested, seed) {
                Ok(operations) => {
                    self.tally.points[0] += 1;
                    self.seconds(&device, cut, seed, operations, pairs);
                }
                Err(broken) => self.fail(&[cut], seed, broken),
            }
        }
    }

    /// Second cuts behind `first`: in every operation and every way, or as many as asked for.
    fn seconds(&mut self, device: &Device, first: Cut, seed: u64, operations: u64, pairs: u64) {
        let all = operations * Torn::ALL.len() as u64;
        let mut rng = Rng::new(seed);
        for n in 0..all.min(pairs) {
            let n = if pairs < all { rng.below(all) } else { n };
            let torn = Torn::ALL[(n % Torn::ALL.len() as u64) as usize];
            let second = (n / Torn::ALL.len() as u64, torn);
            let seed = seed ^ (n + 1) << 24;
            let mut device = device.clone();
            let result = self.cut(&mut device, second, seed).and_then(|()| self.finish(&mut device, seed));
            match result {
                Ok(_) => self.tally.points[1] += 1,
                Err(broken) => self.fail(&[first, second], seed, broken),
            }
        }
    }

    /// Three cuts, drawn.
    fn triple(&mut self, seed: u64, operations: u64) {
        let mut rng = Rng::new(seed);
        let cuts: [Cut; 3] = std::array::from_fn(|_| {
            let torn = Torn::ALL[rng.below(Torn::ALL.len() as u64) as usize];
            (rng.below(operations), torn)
        });
        let mut device = self.walk.device.clone();
        let walked = cuts.iter().enumerate().try_for_each(|(n, cut)| self.cut(&mut device, *cut, seed ^ n as u64));
        match walked.and_then(|()| self.finish(&mut device, seed)) {
            Ok(_) => self.tally.points[2] += 1,
            Err(broken) => self.fail(&cuts, seed, broken),
        }
    }

    /// Goes on until the cut, or to rest if that comes first.
    fn cut(&mut self, device: &mut Device, (operation, torn): Cut, seed: u64) -> Result<(), Broken> {
        *device = device.powered_by(Supply::cut_at(operation, torn, seed));
        self.go_on(device)
    }

    /// Goes on to rest under a supply that stays on; how many operations that took.
    fn finish(&mut self, device: &mut Device, seed: u64) -> Result<u64, Broken> {
        *device = device.powered_by(Supply::seeded(seed));
        self.go_on(device)?;
        self.walk.check_rest(device)?;
        Ok(device.supply.operations())
    }

    fn go_on(&mut self, device: &mut Device) -> Result<(), Broken> {
        let longest = self.walk.go_on(device)?;
        self.tally.worst_flash_time = self.tally.worst_flash_time.max(longest);
        Ok(())
    }

    fn fail(&mut self, cuts: &[Cut], seed: u64, (rule, seen): (Rule, String)) {
        self.tally.points[cuts.len() - 1] += 1;
        self.tally.failures.push(Failure { walk: self.walk.name, cuts: cuts.to_vec(), seed, rule, seen });
    }
}
