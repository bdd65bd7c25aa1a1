//! A bad cable: faults as a wrapper around any link.

use std::collections::BTreeMap;
use std::time::Duration;

use sim_base::{EthernetLink, Instant, Rng};

const HEADER_LEN: usize = 14;

/// How often frames suffer, in frames of a million, in each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultConfig {
    /// Frames that vanish.
    pub drop_ppm: u32,
    /// Frames that arrive twice.
    pub duplicate_ppm: u32,
    /// IPv4 frames of which one bit behind the Ethernet header is flipped.
    ///
    /// A bit that flips on a real cable is caught by the FCS, which is a drop; this is the rarer fault of a switch
    /// that corrupts a frame and gives it a good FCS. IP, TCP and UDP have their checksums for it, ARP has none.
    pub corrupt_ppm: u32,
    /// Frames that are late, by up to `max_delay`; later frames overtake them.
    pub delay_ppm: u32,
    /// Greatest delay.
    pub max_delay: Duration,
}

/// What a [`FaultyLink`] has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Frames dropped.
    pub dropped: u64,
    /// Frames duplicated.
    pub duplicated: u64,
    /// Frames corrupted.
    pub corrupted: u64,
    /// Frames delayed.
    pub delayed: u64,
}

/// `L` with faults, chosen by a seed.
pub struct FaultyLink<L> {
    inner: L,
    config: FaultConfig,
    rng: Rng,
    counts: FaultCounts,
    /// Frames under way, in the order of arrival; the number keeps frames of one instant in the order of departure.
    to_far: BTreeMap<(Instant, u64), Vec<u8>>,
    to_mac: BTreeMap<(Instant, u64), Vec<u8>>,
    sequence: u64,
}

impl<L: EthernetLink> FaultyLink<L> {
    /// Puts faults between a MAC and `inner`.
    pub fn new(inner: L, config: FaultConfig, rng: Rng) -> Self {
        Self {
            inner,
            config,
            rng,
            counts: FaultCounts::default(),
            to_far: BTreeMap::new(),
            to_mac: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Changes the faults from now on.
    pub fn set_config(&mut self, config: FaultConfig) {
        self.config = config;
    }

    /// What happened so far.
    pub fn counts(&self) -> FaultCounts {
        self.counts
    }

    /// The link behind the faults.
    pub fn inner(&mut self) -> &mut L {
        &mut self.inner
    }

    fn happens(&mut self, ppm: u32) -> bool {
        // No draw for a fault that is off: switching one on does not change what the others do before it strikes.
        ppm != 0 && self.rng.below(1_000_000) < u64::from(ppm)
    }

    /// The arrivals of one frame that is offered at `now`.
    fn mangle(&mut self, now: Instant, frame: &[u8]) -> Vec<(Instant, Vec<u8>)> {
        if self.happens(self.config.drop_ppm) {
            self.counts.dropped += 1;
            return Vec::new();
        }
        let mut frame = frame.to_vec();
        let is_ipv4 = frame.get(12..14) == Some(&[0x08, 0x00]) && frame.len() > HEADER_LEN;
        if is_ipv4 && self.happens(self.config.corrupt_ppm) {
            let bit = self.rng.below((frame.len() - HEADER_LEN) as u64 * 8) as usize;
            frame[HEADER_LEN + bit / 8] ^= 1 << (bit % 8);
            self.counts.corrupted += 1;
        }
        let mut at = now;
        if self.happens(self.config.delay_ppm) {
            let nanos = u64::try_from(self.config.max_delay.as_nanos()).unwrap_or(u64::MAX);
            at = now + Duration::from_nanos(self.rng.below(nanos.saturating_add(1)));
            self.counts.delayed += 1;
        }
        let mut arrivals = vec![(at, frame)];
        if self.happens(self.config.duplicate_ppm) {
            arrivals.push(arrivals[0].clone());
            self.counts.duplicated += 1;
        }
        arrivals
    }

    fn deliver(&mut self, now: Instant) {
        while let Some(entry) = self.to_far.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), frame) = entry.remove_entry();
            self.inner.transmit(at, &frame);
        }
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}

impl<L: EthernetLink> EthernetLink for FaultyLink<L> {
    fn transmit(&mut self, now: Instant, frame: &[u8]) {
        for (at, frame) in self.mangle(now, frame) {
            let sequence = self.next_sequence();
            self.to_far.insert((at, sequence), frame);
        }
        self.deliver(now);
    }

    fn receive(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.deliver(now);
        while let Some(frame) = self.inner.receive(now) {
            for (at, frame) in self.mangle(now, &frame) {
                let sequence = self.next_sequence();
                self.to_mac.insert((at, sequence), frame);
            }
        }
        let entry = self.to_mac.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    fn poll_at(&self) -> Instant {
        let first = |frames: &BTreeMap<(Instant, u64), Vec<u8>>| {
            frames.first_key_value().map_or(Instant::NEVER, |(&(at, _), _)| at)
        };
        self.inner.poll_at().min(first(&self.to_far)).min(first(&self.to_mac))
    }

    fn is_up(&self) -> bool {
        self.inner.is_up()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands back every frame at once.
    #[derive(Default)]
    struct Echo(std::collections::VecDeque<Vec<u8>>);

    impl EthernetLink for Echo {
        fn transmit(&mut self, _: Instant, frame: &[u8]) {
            self.0.push_back(frame.to_vec());
        }
        fn receive(&mut self, _: Instant) -> Option<Vec<u8>> {
            self.0.pop_front()
        }
        fn poll_at(&self) -> Instant {
            if self.0.is_empty() { Instant::NEVER } else { Instant::ZERO }
        }
    }

    fn run(config: FaultConfig, seed: u64) -> (Vec<(Instant, Vec<u8>)>, FaultCounts) {
        let mut link = FaultyLink::new(Echo::default(), config, Rng::new(seed));
        let mut log = Vec::new();
        for step in 0..2_000_u64 {
            let now = Instant::from_nanos(step * 1_000_000);
            let mut frame = vec![0; 60];
            frame[12] = 0x08;
            frame[20..28].copy_from_slice(&step.to_be_bytes());
            link.transmit(now, &frame);
            while let Some(frame) = link.receive(now) {
                log.push((now, frame));
            }
        }
        (log, link.counts())
    }

    #[test]
    fn any_link_can_be_faulty_also_one_that_is_only_known_as_a_link() {
        let link: Box<dyn EthernetLink> = Box::new(Echo::default());
        let config = FaultConfig { drop_ppm: 1_000_000, ..FaultConfig::default() };
        let mut link: Box<dyn EthernetLink> = Box::new(FaultyLink::new(link, config, Rng::new(1)));
        link.transmit(Instant::ZERO, &[0; 60]);
        assert_eq!((link.receive(Instant::ZERO), link.is_up()), (None, true));
    }

    #[test]
    fn no_faults_change_nothing() {
        let (log, counts) = run(FaultConfig::default(), 1);
        assert_eq!(log.len(), 2_000);
        assert_eq!(counts, FaultCounts::default());
    }

    #[test]
    fn faults_strike_as_often_as_asked_and_repeat_with_the_seed() {
        let config = FaultConfig {
            drop_ppm: 100_000,
            duplicate_ppm: 50_000,
            corrupt_ppm: 20_000,
            delay_ppm: 100_000,
            max_delay: Duration::from_millis(5),
        };
        for seed in [1, 2, 3] {
            let (log, counts) = run(config, seed);
            // 2000 frames pass twice; five standard deviations around the mean.
            assert!((300..=500).contains(&counts.dropped), "seed {seed}: {counts:?}");
            assert!((110..=270).contains(&counts.duplicated), "seed {seed}: {counts:?}");
            assert!((30..=130).contains(&counts.corrupted), "seed {seed}: {counts:?}");
            assert!((270..=500).contains(&counts.delayed), "seed {seed}: {counts:?}");
            assert_eq!(log, run(config, seed).0, "seed {seed}");
        }
        assert_ne!(run(config, 1).0, run(config, 2).0);
    }
}
