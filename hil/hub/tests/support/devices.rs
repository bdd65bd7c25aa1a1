//! Thousands of devices that run the firmware's own protocol crates, in virtual time and without TLS.
//!
//! All of them are connected at once. Links differ in speed, and now and then a download is broken off by a power cut.

mod device;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use adu_agent::RootKey;
use hub::{Attestation, Cloud, CloudConfig, ConnId, Endpoint, EventKind, GroupEnrolment, ImportManifest, UpdateId};
use iot_hub::sas::derive_device_key;
use ring::digest::{Context, SHA256};
use serde_json::{Map, json};
use sim_base::{Instant, Rng};

use device::{Buffers, sha256};
pub use device::{Device, Fault};

use crate::support::{EPOCH, KEY};

const PROVIDER: &str = "HIL";
const NAME: &str = "E54";
const FILE: &str = "fw.bin";
/// Bytes of an image.
const IMAGE_LEN: usize = 3000;
/// The byte of external flash that is stuck in devices with [`Fault::Flash`].
const STUCK: usize = 1234;
/// One device in so many has a link on which an answer takes seconds.
const SLOW_ONE_IN: u64 = 20;

/// What happened in the whole fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// MQTT packets that devices received.
    pub packets: usize,
    /// Reports that devices sent.
    pub reports: usize,
    /// Ranges of files that devices received.
    pub ranges: usize,
    /// Files that had the right SHA-256 when they were read back from flash.
    pub good_files: usize,
    /// Files that had another one.
    pub bad_files: usize,
    /// Images that the bootloader installed.
    pub installed: usize,
    /// Power cuts during downloads.
    pub power_cuts: usize,
    /// Downloads that were cut short because something else was deployed.
    pub replaced_downloads: usize,
    /// Devices that came through the provisioning service.
    pub provisioned: usize,
}

/// Everything that the devices share.
pub struct World {
    pub cloud: Cloud,
    pub now: Instant,
    pub counts: Counts,
    rng: Rng,
    /// Whose connection it is.
    owners: BTreeMap<ConnId, usize>,
    /// When which device has something to do.
    queue: BTreeSet<(Instant, usize)>,
    roots: &'static [RootKey<'static>],
    id_scope: &'static str,
    /// Versions that were imported, with their images.
    images: Vec<(&'static str, Vec<u8>)>,
    /// Of everything that the cloud ever sent, and when.
    trace: Context,
}

impl World {
    fn ms(&self) -> u64 {
        self.now.as_millis()
    }

    fn after(&mut self, from_ms: u64, to_ms: u64) -> Instant {
        self.now + Duration::from_millis(from_ms + self.rng.below(to_ms - from_ms))
    }

    fn open(&mut self, endpoint: Endpoint, owner: usize) -> ConnId {
        let conn = self.cloud.open(self.now, endpoint);
        self.owners.insert(conn, owner);
        conn
    }

    fn close(&mut self, conn: ConnId) {
        self.cloud.closed(self.now, conn);
        self.owners.remove(&conn);
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.cloud.receive(self.now, conn, bytes);
        }
    }
}

/// The devices and their cloud.
pub struct Fleet {
    pub world: World,
    pub devices: Vec<Device>,
    buffers: Buffers,
}

impl Fleet {
    /// Devices in groups, each a name for the tag `ADUGroup` and a number of devices; they run `version`. One in
    /// `dps_one_in` registers through the provisioning service, the others are known to the hub. They start within a
    /// minute.
    pub fn new(seed: u64, groups: &[(&'static str, usize)], version: &'static str, dps_one_in: usize) -> Self {
        let cloud = Cloud::new(CloudConfig::new(seed, EPOCH)).expect("the fixture keys work");
        let root = cloud.config().keys.adu_root().expect("the root");
        // The protocol crates borrow what they are configured with; a test may keep it for good.
        let roots = [RootKey { kid: root.kid.leak(), n: root.n.leak(), e: root.e }];
        let id_scope = cloud.config().id_scope.clone().leak();
        let mut world = World {
            cloud,
            now: Instant::ZERO,
            counts: Counts::default(),
            rng: Rng::new(seed).fork("fleet"),
            owners: BTreeMap::new(),
            queue: BTreeSet::new(),
            roots: Box::leak(Box::new(roots)),
            id_scope,
            images: Vec::new(),
            trace: Context::new(&SHA256),
        };
        let mut devices = Vec::new();
        for (group, count) in groups {
            let tags = Map::from_iter([("ADUGroup".to_owned(), json!(group))]);
            let group_key = sha256(&[&KEY[..], group.as_bytes()].concat());
            let enrolment = GroupEnrolment { tags: tags.clone(), ..GroupEnrolment::symmetric(*group, group_key) };
            world.cloud.enroll_group(enrolment).expect("a new group");
            for number in 0..*count {
                let index = devices.len();
                let id: &'static str = format!("{group}-{number:04}").leak();
                let key = derive_device_key(&group_key, id);
                let is_registered = number % dps_one_in != 0;
                if is_registered {
                    world.cloud.register_device(id, Attestation::symmetric(key)).expect("a new device");
                    world.cloud.set_tags(id, &tags).expect("tags");
                }
                let is_slow = world.rng.below(SLOW_ONE_IN) == 0;
                let latency = if is_slow { 2000 + world.rng.below(6000) } else { 5 + world.rng.below(300) };
                let mut device = Device::new(index, id, group, key, is_registered, version, latency);
                let start = world.after(0, 60_000);
                device.plan(&mut world, start);
                devices.push(device);
            }
        }
        Self { world, devices, buffers: Buffers::new() }
    }

    /// Makes an image of chance and imports it.
    pub fn import(&mut self, version: &'static str) -> UpdateId {
        let World { cloud, now, rng, images, .. } = &mut self.world;
        let mut image = vec![0; IMAGE_LEN];
        rng.fill(&mut image);
        // So that the stuck bits of a bad flash matter.
        image[STUCK] |= 0x80;
        let id = UpdateId { provider: PROVIDER.into(), name: NAME.into(), version: version.into() };
        let manifest = ImportManifest::firmware(id, PROVIDER, NAME, FILE, &image, "2026-01-01T00:00:00Z");
        let id = cloud.import_update(*now, &manifest, &[(FILE, &image)]).expect("imports");
        images.push((version, image));
        id
    }

    /// `count` devices of a group get a fault each, all kinds equally often.
    pub fn spoil(&mut self, group: &str, count: usize) {
        let mut healthy: Vec<usize> =
            (0..self.devices.len()).filter(|index| self.devices[*index].group == group).collect();
        for number in 0..count {
            let pick = self.world.rng.below(healthy.len() as u64) as usize;
            self.devices[healthy.swap_remove(pick)].fault = Some(Fault::ALL[number % Fault::ALL.len()]);
        }
    }

    pub fn group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Device> {
        self.devices.iter().filter(move |device| device.group == group)
    }

    /// Lets time pass while the condition holds, which is looked at after each step; panics if it still holds after
    /// `limit`.
    #[track_caller]
    pub fn run_while(&mut self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) {
        let end = self.world.now + limit;
        while condition(self) {
            assert!(self.step(end), "it is not over after {limit:?}; {:?}", self.world.counts);
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.step(end) {}
        self.world.now = end;
    }

    /// The next thing that happens until `end`, if there is one.
    fn step(&mut self, end: Instant) -> bool {
        let Self { world, devices, buffers } = self;
        for conn in world.cloud.take_ready() {
            let mut bytes = Vec::new();
            loop {
                let part = world.cloud.transmit(world.now, conn);
                if part.is_empty() {
                    break;
                }
                bytes.extend(part);
            }
            let Some(&owner) = world.owners.get(&conn) else { continue };
            let device = &mut devices[owner];
            assert!(!world.cloud.wants_close(conn), "the cloud closes {conn:?} of {}", device.id);
            if !bytes.is_empty() {
                world.trace.update(&world.now.as_nanos().to_le_bytes());
                world.trace.update(device.id.as_bytes());
                world.trace.update(&bytes);
                device.deliver(world, conn, &bytes);
            }
        }
        for event in world.cloud.take_events() {
            let is_bad = matches!(
                event.kind,
                EventKind::TwinRefused { .. } | EventKind::ConnectRefused { .. } | EventKind::DpsRefused { .. }
            );
            assert!(!is_bad, "{event:?}");
        }
        let due = world.queue.first().map_or(Instant::NEVER, |(at, _)| *at);
        let next = due.min(world.cloud.deadline());
        if next > end {
            return false;
        }
        world.now = next.max(world.now);
        if world.cloud.deadline() <= world.now {
            world.cloud.poll(world.now);
        }
        if due <= world.now {
            let (_, index) = world.queue.pop_first().expect("is due");
            devices[index].wake(world, buffers);
        }
        true
    }

    /// Hash of everything that the cloud ever sent, with times and receivers.
    pub fn trace(&self) -> Vec<u8> {
        self.world.trace.clone().finish().as_ref().to_vec()
    }
}
