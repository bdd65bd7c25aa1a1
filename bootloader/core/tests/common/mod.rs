//! A simulated device: both flashes, a bootloader, and an application that confirms or does not.
#![allow(dead_code, reason = "each test file uses its part")]

use bootloader_core::{Config, Decision, Event, Log, Scratch, boot, release};
use sim_base::Rng;
use update_image::boot_record::{BootRecord, State, Status};
use update_image::layout::{IMAGE_BIN, SLOT, VECTOR_TABLE};
use update_image::sign::{SecretKey, sign};
use update_image::sim::{SimNor, SimNvm, Supply};
use update_image::{PublicKey, Region, SoftwareDigest, Version};
use update_store::{Store, StoreError, next_block_len};

pub const BOARD: &str = "test-board";
pub const RAM: Region = Region { start: 0x2000_0000, len: 0x4_0000 };
pub const STORE: Region = Region { start: 0, len: 48 * 4096 };

pub fn key() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

/// A program of `len` bytes with a plausible vector table and `seed`'s bytes.
pub fn payload(len: usize, seed: u64) -> Vec<u8> {
    let mut payload = vec![0; len];
    Rng::new(seed).fill(&mut payload);
    payload[..4].copy_from_slice(&(RAM.start + 0x1000).to_le_bytes());
    payload[4..8].copy_from_slice(&(VECTOR_TABLE + 0x101).to_le_bytes());
    payload
}

pub fn image(major: u8, counter: u32, len: usize) -> Vec<u8> {
    let payload = payload(len, u64::from(major));
    sign(&payload, &key(), Version::new(major, 0, 0), counter, BOARD).unwrap()
}

#[derive(Default)]
pub struct Events(pub Vec<Event>);

impl Log for Events {
    fn event(&mut self, event: Event) {
        self.0.push(event);
    }
}

#[derive(Clone)]
pub struct Device {
    pub nvm: SimNvm,
    pub nor: SimNor,
    pub supply: Supply,
    pub watchdog_reset: bool,
    /// How often the application has confirmed itself.
    pub confirmations: u32,
}

impl Device {
    /// Erased flashes, and an empty volume.
    pub fn new() -> Self {
        let supply = Supply::steady();
        let mut nor = SimNor::erased(STORE.len as usize, &supply);
        assert!(Store::format(&mut nor, STORE).is_ok());
        Self { nvm: SimNvm::erased(&supply), nor, supply, watchdog_reset: false, confirmations: 0 }
    }

    /// The device that a programmer has given `image`, after its first start.
    pub fn running(image: &[u8]) -> Self {
        let mut device = Self::new();
        device.program_slot(image);
        device.boot();
        device
    }

    /// The same device when `supply` comes on.
    pub fn powered_by(&self, supply: Supply) -> Self {
        Self {
            nvm: self.nvm.powered_by(&supply),
            nor: self.nor.powered_by(&supply),
            supply,
            watchdog_reset: self.watchdog_reset,
            confirmations: self.confirmations,
        }
    }

    /// Puts an image into the slot as a programmer does.
    pub fn program_slot(&mut self, image: &[u8]) {
        let mut slot = vec![0xFF; SLOT.len as usize];
        slot[..image.len()].copy_from_slice(image);
        self.nvm.put(SLOT.start, &slot);
    }

    /// Turns a bit of the slot.
    pub fn damage_slot(&mut self, offset: u32) {
        let at = SLOT.start + offset;
        let byte = self.nvm.bytes()[at as usize];
        self.nvm.put(at, &[byte ^ 1]);
    }

    pub fn boot(&mut self) -> (Decision, Vec<Event>) {
        self.boot_under(&[key().public()])
    }

    pub fn boot_under(&mut self, keys: &[PublicKey]) -> (Decision, Vec<Event>) {
        let config =
            Config { board: BOARD, keys, slot: SLOT, ram: RAM, store: STORE, watchdog_reset: self.watchdog_reset };
        let mut events = Events::default();
        let mut scratch = Scratch::new();
        let decision = boot(
            &mut self.nvm,
            Some(&mut self.nor),
            &config,
            &mut scratch,
            &mut SoftwareDigest::default(),
            &mut events,
        );
        if let Decision::Start { image, .. } = decision
            && self.supply.is_on()
        {
            let table = release(&mut self.nvm, &config, &mut scratch, &mut SoftwareDigest::default(), &image);
            assert_eq!(table, Ok(VECTOR_TABLE));
        }
        (decision, events.0)
    }

    /// What the application does first when it is well.
    pub fn confirm(&mut self) {
        self.confirmations += 1;
        let mut record = BootRecord::open(&mut self.nvm);
        let confirmed = record.confirm();
        assert!(confirmed.is_ok() || !self.supply.is_on());
    }

    pub fn state(&mut self) -> State {
        *BootRecord::open(&mut self.nvm).state()
    }

    pub fn status(&mut self) -> Status {
        BootRecord::open(&mut self.nvm).status()
    }

    /// Runs `f` with the volume, as the application would.
    pub fn files<T>(&mut self, f: impl FnOnce(&Store<&mut SimNor>) -> T) -> T {
        let Ok(store) = Store::mount(&mut self.nor, STORE) else {
            panic!("no volume");
        };
        f(&store)
    }

    /// Writes a file block by block, as a download does.
    pub fn write_file(&mut self, name: &str, bytes: &[u8]) {
        self.files(|store| -> Result<(), StoreError> {
            store.remove(name)?;
            let mut offset = 0;
            while offset < bytes.len() {
                let end = bytes.len().min(offset + next_block_len(offset as u32) as usize);
                store.append(name, &bytes[offset..end])?;
                offset = end;
            }
            Ok(())
        })
        .unwrap();
    }

    pub fn read_file(&mut self, name: &str) -> Option<Vec<u8>> {
        self.files(|store| {
            let mut bytes = vec![0; store.len(name).ok()? as usize];
            store.read_at(name, 0, &mut bytes).ok()?;
            Some(bytes)
        })
    }

    pub fn deliver(&mut self, image: &[u8]) {
        self.write_file(IMAGE_BIN, image);
    }

    /// Whether the slot holds `image`, byte for byte.
    pub fn slot_holds(&self, image: &[u8]) -> bool {
        self.nvm.holds(SLOT.start, image)
    }

    pub fn violations(&self) -> Vec<String> {
        [self.nvm.violations(), self.nor.violations()].concat()
    }
}

/// Version and trial number of a start.
pub fn started(decision: Decision) -> (u8, Option<u8>) {
    match decision {
        Decision::Start { image, trial } => (image.version.major, trial),
        Decision::Recover(nothing) => panic!("nothing to start: {nothing:?}"),
    }
}
