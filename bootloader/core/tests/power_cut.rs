//! The supply is cut in every program and erase of the bootloader's walks: before it, torn in two ways, and after it
//! (which is before the next). After each cut the device must start an exact image, and get where it was going.

mod common;

use bootloader_core::Decision;
use common::{Device, image, key, started};
use sim_base::Rng;
use update_image::Version;
use update_image::boot_record::{Phase, RollbackCause, Status};
use update_image::layout::IMAGE_BIN;
use update_image::sign::{SecretKey, sign};
use update_image::sim::{Supply, Torn};

/// Two erase blocks of the slot and three of external flash.
const LEN: usize = 7_300;
const SEED: u64 = 20_261_123;

/// A walk of the device from a start to rest.
struct Walk<'a> {
    name: &'static str,
    /// The device at the start.
    device: Device,
    /// Images that may run after a cut; the first is the confirmed one.
    images: &'a [&'a [u8]],
    /// Whether an image on trial confirms itself.
    confirms: bool,
    /// Looks at the device at rest.
    at_rest: &'a dyn Fn(&mut Device) -> bool,
}

impl Walk<'_> {
    /// Starts until nothing is pending any more or the supply is gone. Checks what runs.
    fn run(&self, device: &mut Device, what: &str) {
        for _ in 0..8 {
            let (decision, events) = device.boot();
            if !device.supply.is_on() {
                return;
            }
            let Decision::Start { image, trial, .. } = decision else {
                panic!("{what}: {decision:?} after {events:?}");
            };
            assert!(
                self.images.iter().any(|exact| device.slot_holds(exact)),
                "{what}: the slot holds neither image, after {events:?}"
            );
            let state = device.state();
            assert!(state.counter <= image.counter, "{what}: security counter ahead of the running image");
            assert!(
                trial.is_some() || device.confirmations > 0 || device.slot_holds(self.images[0]),
                "{what}: the new image counts as confirmed and never confirmed itself"
            );
            match trial {
                Some(_) if self.confirms => device.confirm(),
                Some(_) => {}
                None => return,
            }
        }
        panic!("{what}: comes to no rest");
    }

    fn check_rest(&self, device: &mut Device, what: &str) {
        assert_eq!(device.state().phase, Phase::Confirmed, "{what}");
        assert!((self.at_rest)(device), "{what}: not where it was going: {:?}", device.state());
        assert_eq!(device.violations(), Vec::<String>::new(), "{what}");
    }

    /// Flash operations of the walk without a cut.
    fn operations(&self) -> u64 {
        let mut device = self.device.powered_by(Supply::steady());
        self.run(&mut device, self.name);
        self.check_rest(&mut device, self.name);
        device.supply.operations()
    }

    /// The walk with cuts in the given operations, each counted from the start that follows the one before.
    fn cut(&self, cuts: &[(u64, Torn)], seed: u64) {
        let what = format!("{} with {cuts:?}, seed {seed}", self.name);
        let mut device = self.device.clone();
        for (operation, torn) in cuts {
            device = device.powered_by(Supply::cut_at(*operation, *torn, seed));
            self.run(&mut device, &what);
        }
        device = device.powered_by(Supply::steady());
        self.run(&mut device, &what);
        self.check_rest(&mut device, &what);
    }

    /// Every operation in every way; then pairs of cuts, drawn.
    fn cut_everywhere(&self, pairs: u64) {
        let operations = self.operations();
        assert!(operations > 0, "{}: nothing to cut", self.name);
        for operation in 0..operations {
            for torn in [Torn::Before, Torn::Prefix, Torn::Bits, Torn::Unsteady] {
                self.cut(&[(operation, torn)], SEED + operation);
            }
        }
        self.cut(&[(operations - 1, Torn::After)], SEED);
        let mut rng = Rng::new(SEED);
        for _ in 0..pairs {
            let mut draw = || {
                let torn = Torn::ALL[rng.below(5) as usize];
                (rng.below(operations), torn)
            };
            let cuts = [draw(), draw()];
            self.cut(&cuts, rng.next_u64());
        }
    }
}

#[test]
fn a_cut_in_an_update_leaves_the_old_or_the_new_image_and_the_update_completes() {
    let (old, new) = (image(1, 1, LEN), image(2, 2, LEN));
    let mut device = Device::running(&old);
    device.deliver(&new);
    Walk {
        name: "update",
        device,
        images: &[&old, &new],
        confirms: true,
        at_rest: &|device| {
            device.slot_holds(&new)
                && device.status() == Status::Confirmed
                && device.state().counter == 2
                && device.read_file(IMAGE_BIN).is_none()
        },
    }
    .cut_everywhere(300);
}

#[test]
fn a_cut_in_a_rollback_leaves_the_trial_or_the_old_image_and_the_rollback_completes() {
    let (old, new) = (image(1, 1, LEN), image(2, 2, LEN));
    let mut device = Device::running(&old);
    device.deliver(&new);
    for n in 1..=3 {
        assert_eq!(started(device.boot().0), (2, Some(n)));
    }
    Walk {
        name: "rollback",
        device,
        images: &[&old, &new],
        confirms: false,
        at_rest: &|device| {
            let status = Status::RolledBack { from: Version::new(2, 0, 0), cause: RollbackCause::NotConfirmed };
            device.slot_holds(&old) && device.status() == status && device.state().counter == 1
        },
    }
    .cut_everywhere(200);
}

#[test]
fn a_cut_in_a_refusal_leaves_the_old_image_and_the_refusal_is_recorded() {
    let old = image(1, 1, LEN);
    let forged =
        sign(&common::payload(LEN, 2), &SecretKey::from_seed([9; 32]), Version::new(2, 0, 0), 9, common::BOARD)
            .unwrap();
    assert_ne!(key().public(), SecretKey::from_seed([9; 32]).public());
    let mut device = Device::running(&old);
    device.deliver(&forged);
    Walk {
        name: "refusal",
        device,
        images: &[&old],
        confirms: true,
        at_rest: &|device| {
            device.slot_holds(&old)
                && matches!(device.status(), Status::Refused { .. })
                && device.read_file(IMAGE_BIN).is_none()
        },
    }
    .cut_everywhere(100);
}

#[test]
fn cuts_while_the_boot_record_changes_blocks_lose_nothing() {
    let (old, new) = (image(1, 1, 600), image(2, 2, 600));
    // Fill the log's first block up to its last entries.
    for spare in 0..5 {
        let mut device = Device::running(&old);
        let mut record = update_image::boot_record::BootRecord::open(&mut device.nvm);
        let mut state = *record.state();
        for n in 0..63 - spare {
            // Any field that does not matter while nothing is pending.
            state.subject_counter = n;
            record.write(state).unwrap();
        }
        device.deliver(&new);
        let walk = Walk {
            name: "full record",
            device,
            images: &[&old, &new],
            confirms: true,
            at_rest: &|device| device.slot_holds(&new) && device.status() == Status::Confirmed,
        };
        let operations = walk.operations();
        // Saving previous.bin comes first and writes no record.
        for operation in operations.saturating_sub(140)..operations {
            for torn in [Torn::Before, Torn::Bits] {
                walk.cut(&[(operation, torn)], SEED + operation);
            }
        }
    }
}
