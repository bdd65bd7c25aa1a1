//! What a device goes through between two cuts, and what must hold all the while.

use std::time::Duration;

use bootloader_core::{Decision, Event, TRIAL_STARTS};
use update_image::boot_record::{BootRecord, Phase, RollbackCause, Status};
use update_image::layout::{IMAGE_BIN, PREVIOUS_BIN, VECTOR_TABLE};
use update_image::sign::SecretKey;
use update_image::{Refusal, Version};

use crate::device::{Device, image, key};

/// Bytes of program in the images: with header and TLVs two erase blocks of the slot and three of external flash.
const LEN: usize = 7_300;
const SMALL: &str = "small update";
/// Starts after which a device must have come to rest.
const STARTS: u32 = 8;

/// A rule that a start or the end of a walk has broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Nothing was started although an image is there.
    Bricked,
    /// The slot that was started holds neither the old image nor the new one.
    TornImage,
    /// The bootloader released another address than the image's vector table.
    WrongJump,
    /// The recorded security counter is above that of the image that runs.
    CounterAhead,
    /// The new image counts as confirmed and has never confirmed itself.
    Unconfirmed,
    /// The device starts again and again without coming to rest.
    Restless,
    /// At rest, but not where the walk leads.
    Elsewhere,
    /// A rule of the flashes: a word programmed twice, a bit programmed from 0 to 1.
    Flash,
}

/// A broken rule and what was seen.
pub(crate) type Broken = (Rule, String);

/// A walk of the device from a start to rest.
pub struct Walk {
    /// Its name, for tables.
    pub name: &'static str,
    pub(crate) device: Device,
    /// Images that may run after a cut; the first is the confirmed one.
    images: Vec<Vec<u8>>,
    /// Whether an image on trial confirms itself.
    confirms: bool,
    /// Whether the device at rest is where the walk leads.
    is_there: fn(&Self, &mut Device) -> bool,
}

impl Walk {
    /// `image.bin` becomes the confirmed image.
    pub fn update() -> Self {
        Self::update_from("update", LEN, |_| {})
    }

    /// The same with images of one block, which two cuts can go through in every combination.
    pub fn small_update() -> Self {
        Self::update_from(SMALL, 600, |_| {})
    }

    /// Updates that begin when the boot record's block has `spare` entries left.
    pub fn full_record(spare: u32) -> Self {
        const NAMES: [&str; 5] = [
            "full record, 0 left",
            "full record, 1 left",
            "full record, 2 left",
            "full record, 3 left",
            "full record, 4 left",
        ];
        Self::update_from(NAMES[spare as usize], 600, |device| {
            let mut record = BootRecord::open(&mut device.nvm);
            let mut state = *record.state();
            for n in 0..63 - spare {
                // A field that does not matter while nothing is pending.
                state.subject_counter = n;
                record.write(state).expect("flash is well");
            }
        })
    }

    fn update_from(name: &'static str, len: usize, prepare: impl FnOnce(&mut Device)) -> Self {
        let [old, new] = [1, 2].map(|n| image(n, u32::from(n), len, &key()));
        let mut device = Device::running(&old);
        prepare(&mut device);
        device.deliver(IMAGE_BIN, &new);
        Self::to_update(name, device, old, new)
    }

    /// The update of a device that was never started: its boot record is blank.
    pub fn first_start() -> Self {
        let [old, new] = [1, 2].map(|n| image(n, u32::from(n), 600, &key()));
        let mut device = Device::programmed(&old);
        device.deliver(IMAGE_BIN, &new);
        Self::to_update("first start", device, old, new)
    }

    fn to_update(name: &'static str, device: Device, old: Vec<u8>, new: Vec<u8>) -> Self {
        let is_there = |walk: &Self, device: &mut Device| {
            let updated = device.slot_holds(&walk.images[1])
                && device.status() == Status::Confirmed
                && device.state().counter == 2
                && device.read_file(PREVIOUS_BIN).ok().flatten().as_ref() == Some(&walk.images[0]);
            // Each of three starts was cut before it was confirmed, if it came so far as to run the image.
            let taken_back = device.cuts_on_trial >= u32::from(TRIAL_STARTS) && walk.is_rolled_back(device);
            (updated || taken_back) && device.read_file(IMAGE_BIN) == Ok(None)
        };
        Self { name, device, images: vec![old, new], confirms: true, is_there }
    }

    /// An image on trial has been started three times and never confirmed itself: the old one comes back.
    pub fn rollback() -> Self {
        let [old, new] = [1, 2].map(|n| image(n, u32::from(n), LEN, &key()));
        let mut device = Device::running(&old);
        device.deliver(IMAGE_BIN, &new);
        for _ in 0..3 {
            device.start();
        }
        Self { name: "rollback", device, images: vec![old, new], confirms: false, is_there: Self::is_rolled_back }
    }

    fn is_rolled_back(&self, device: &mut Device) -> bool {
        let status = Status::RolledBack { from: Version::new(2, 0, 0), cause: RollbackCause::NotConfirmed };
        device.slot_holds(&self.images[0]) && device.status() == status && device.state().counter == 1
    }

    /// An image that may not run is moved aside, once.
    pub fn refusal(cause: Refusal) -> Self {
        let old = image(1, 5, LEN, &key());
        let new = image(2, 6, LEN, &key());
        let (name, file): (_, Vec<u8>) = match cause {
            Refusal::UnknownKey => ("refused: unknown key", image(2, 9, LEN, &SecretKey::from_seed([9; 32]))),
            Refusal::WrongSignature => {
                let mut damaged = new;
                // The signature is the last TLV.
                let last = damaged.len() - 1;
                damaged[last] ^= 1;
                ("refused: signature", damaged)
            }
            Refusal::CounterTooLow => ("refused: counter", image(2, 4, LEN, &key())),
            Refusal::Truncated => ("refused: truncated", new[..new.len() - 5].to_vec()),
            _ => {
                let mut damaged = new;
                damaged[2_000] ^= 1;
                ("refused: hash", damaged)
            }
        };
        let mut device = Device::running(&old);
        device.deliver(IMAGE_BIN, &file);
        let is_there = |walk: &Self, device: &mut Device| {
            device.slot_holds(&walk.images[0])
                && matches!(device.status(), Status::Refused { .. })
                && device.read_file(IMAGE_BIN) == Ok(None)
        };
        Self { name, device, images: vec![old], confirms: true, is_there }
    }

    /// Whether the walk is short enough for all pairs of cuts.
    pub fn is_small(&self) -> bool {
        self.name == SMALL
    }

    /// Every walk that a campaign goes through.
    pub fn all() -> Vec<Self> {
        let refusals = [
            Refusal::WrongHash,
            Refusal::UnknownKey,
            Refusal::WrongSignature,
            Refusal::CounterTooLow,
            Refusal::Truncated,
        ];
        [Self::update(), Self::small_update(), Self::first_start(), Self::rollback()]
            .into_iter()
            .chain(refusals.map(Self::refusal))
            .chain((0..5).map(Self::full_record))
            .collect()
    }

    /// Starts until nothing is pending any more or the supply is gone; the longest time that a start spent on flash.
    pub(crate) fn go_on(&self, device: &mut Device) -> Result<Duration, Broken> {
        let mut longest = Duration::ZERO;
        for _ in 0..STARTS {
            let start = device.start();
            longest = longest.max(start.busy);
            if !device.supply.is_on() {
                let is_copied = self.images.get(1).is_some_and(|new| device.slot_holds(new));
                device.cuts_on_trial += u32::from(is_copied);
                return Ok(longest);
            }
            let Decision::Start { image, trial } = start.decision else {
                return Err((Rule::Bricked, told(&start.decision, &start.events)));
            };
            match start.vector_table {
                Some(VECTOR_TABLE) => {}
                // Unsteady cells can tell the second verification otherwise; the board then starts again.
                None => continue,
                Some(address) => return Err((Rule::WrongJump, format!("released {address:#x}"))),
            }
            if !self.images.iter().any(|exact| device.slot_holds(exact)) {
                return Err((Rule::TornImage, told(&start.decision, &start.events)));
            }
            let state = device.state();
            if state.counter > image.counter {
                return Err((Rule::CounterAhead, format!("{} recorded, {} runs", state.counter, image.counter)));
            }
            if trial.is_none() && device.confirmations == 0 && !device.slot_holds(&self.images[0]) {
                return Err((Rule::Unconfirmed, told(&start.decision, &start.events)));
            }
            match trial {
                Some(_) if self.confirms => device.confirm(),
                Some(_) => {}
                None => return Ok(longest),
            }
        }
        Err((Rule::Restless, format!("{:?} after {STARTS} starts", device.state())))
    }

    /// Whether the device, which has come to rest, is where the walk leads.
    pub(crate) fn check_rest(&self, device: &mut Device) -> Result<(), Broken> {
        let violations = device.violations();
        if !violations.is_empty() {
            return Err((Rule::Flash, violations.join("; ")));
        }
        if device.state().phase != Phase::Confirmed || !(self.is_there)(self, device) {
            let files =
                [IMAGE_BIN, PREVIOUS_BIN].map(|name| device.read_file(name).map(|file| file.map(|file| file.len())));
            return Err((Rule::Elsewhere, format!("{:?}, image.bin and previous.bin {files:?}", device.state())));
        }
        Ok(())
    }
}

fn told(decision: &Decision, events: &[Event]) -> String {
    format!("{decision:?} after {events:?}")
}
