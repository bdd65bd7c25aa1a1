//! A device: both flashes, a bootloader, and an application that confirms itself or does not.

use std::time::Duration;

use bootloader_core::{Config, Decision, Event, Log, Scratch, boot, release};
use sim_base::Rng;
use update_image::boot_record::{BootRecord, State, Status};
use update_image::layout::{SLOT, VECTOR_TABLE};
use update_image::sign::{SecretKey, sign};
use update_image::sim::{SimNor, SimNvm, Supply};
use update_image::{Region, SoftwareDigest, Version};
use update_store::{Store, StoreError, next_block_len};

/// Name of the board that images are for.
pub const BOARD: &str = "test-board";
const RAM: Region = Region { start: 0x2000_0000, len: 0x4_0000 };
/// A volume of 48 blocks: room for three images and little else.
const STORE: Region = Region { start: 0, len: 48 * 4096 };

/// The key that the bootloader trusts.
pub(crate) fn key() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

/// A program of `len` bytes with a plausible vector table; the rest is drawn from `seed`.
pub(crate) fn payload(len: usize, seed: u64) -> Vec<u8> {
    let mut payload = vec![0; len];
    Rng::new(seed).fill(&mut payload);
    payload[..4].copy_from_slice(&(RAM.start + 0x1000).to_le_bytes());
    payload[4..8].copy_from_slice(&(VECTOR_TABLE + 0x101).to_le_bytes());
    payload
}

/// A signed image with `len` bytes of program.
///
/// # Panics
/// If that does not fit the slot.
pub(crate) fn image(major: u8, counter: u32, len: usize, key: &SecretKey) -> Vec<u8> {
    let payload = payload(len, u64::from(major));
    sign(&payload, key, Version::new(major, 0, 0), counter, BOARD).expect("a test's image fits the slot")
}

/// What the bootloader said.
#[derive(Default)]
struct Events(Vec<Event>);

impl Log for Events {
    fn event(&mut self, event: Event) {
        self.0.push(event);
    }
}

/// A start: what was decided and said, where it jumps to, and how long its flash operations took.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) decision: Decision,
    pub(crate) events: Vec<Event>,
    /// Address of the vector table; `None` if nothing is started or the image was not released.
    pub(crate) vector_table: Option<u32>,
    pub(crate) busy: Duration,
}

/// The simulated device.
#[derive(Clone, Debug)]
pub struct Device {
    pub(crate) nvm: SimNvm,
    pub(crate) nor: SimNor,
    pub(crate) supply: Supply,
    pub(crate) watchdog_reset: bool,
    /// How often the application has said that it is well, whatever became of it.
    pub(crate) confirmations: u32,
    /// How often the supply was cut while the slot held the new image.
    pub(crate) cuts_on_trial: u32,
}

impl Device {
    /// Erased flashes, and an empty volume.
    fn new() -> Self {
        let supply = Supply::steady();
        let mut nor = SimNor::erased(STORE.len as usize, &supply);
        assert!(Store::format(&mut nor, STORE).is_ok(), "an erased flash can be formatted");
        Self { nvm: SimNvm::erased(&supply), nor, supply, watchdog_reset: false, confirmations: 0, cuts_on_trial: 0 }
    }

    /// The device that a programmer has given `image`, after its first start.
    pub(crate) fn running(image: &[u8]) -> Self {
        let mut device = Self::programmed(image);
        device.start();
        device
    }

    /// The device that a programmer has given `image`, before its first start.
    pub(crate) fn programmed(image: &[u8]) -> Self {
        let mut device = Self::new();
        device.nvm.put(SLOT.start, image);
        device
    }

    /// The same device when `supply` comes on.
    pub(crate) fn powered_by(&self, supply: Supply) -> Self {
        Self {
            nvm: self.nvm.powered_by(&supply),
            nor: self.nor.powered_by(&supply),
            supply,
            watchdog_reset: self.watchdog_reset,
            confirmations: self.confirmations,
            cuts_on_trial: self.cuts_on_trial,
        }
    }

    /// The bootloader, from a reset to the jump.
    pub(crate) fn start(&mut self) -> Start {
        let keys = [key().public()];
        let config = Config {
            board: BOARD,
            keys: &keys,
            slot: SLOT,
            ram: RAM,
            store: STORE,
            watchdog_reset: self.watchdog_reset,
        };
        let mut events = Events::default();
        let mut scratch = Scratch::new();
        let mut digest = SoftwareDigest::default();
        let before = self.supply.busy();
        let decision = boot(&mut self.nvm, Some(&mut self.nor), &config, &mut scratch, &mut digest, &mut events);
        let vector_table = match decision {
            Decision::Start { image, .. } => release(&mut self.nvm, &config, &mut scratch, &mut digest, &image).ok(),
            Decision::Recover(_) => None,
        };
        Start { decision, events: events.0, vector_table, busy: self.supply.busy() - before }
    }

    /// What the application does first when it is well.
    pub(crate) fn confirm(&mut self) {
        self.confirmations += 1;
        // Fails with the supply, and then counts or does not.
        let _ = BootRecord::open(&mut self.nvm).confirm();
    }

    pub(crate) fn state(&mut self) -> State {
        *BootRecord::open(&mut self.nvm).state()
    }

    pub(crate) fn status(&mut self) -> Status {
        BootRecord::open(&mut self.nvm).status()
    }

    fn files<T>(&mut self, f: impl FnOnce(&Store<&mut SimNor>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match Store::mount(&mut self.nor, STORE) {
            Ok(store) => f(&store),
            Err((error, _)) => Err(error),
        }
    }

    /// Writes a file block by block, as a download does.
    ///
    /// # Panics
    /// If the volume cannot take it.
    pub(crate) fn deliver(&mut self, name: &str, bytes: &[u8]) {
        let written = self.files(|store| {
            store.remove(name)?;
            let mut offset = 0;
            while offset < bytes.len() {
                let end = bytes.len().min(offset + next_block_len(offset as u32) as usize);
                store.append(name, &bytes[offset..end])?;
                offset = end;
            }
            Ok(())
        });
        assert_eq!(written, Ok(()), "{name} fits a volume that is well");
    }

    /// The contents of a file; `None` if it is not there.
    pub(crate) fn read_file(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.files(|store| {
            let mut bytes = vec![0; store.len(name)? as usize];
            store.read_at(name, 0, &mut bytes)?;
            Ok(bytes)
        });
        match read {
            Err(StoreError::NotFound) => Ok(None),
            read => read.map(Some),
        }
    }

    /// Whether the slot holds `image`, byte for byte.
    pub(crate) fn slot_holds(&self, image: &[u8]) -> bool {
        self.nvm.holds(SLOT.start, image)
    }

    /// Rules of the flashes that were broken.
    pub(crate) fn violations(&self) -> Vec<String> {
        [self.nvm.violations(), self.nor.violations()].concat()
    }
}
