//! The decision.

use boot_store::{Store, StoreError};
use embedded_storage::nor_flash::NorFlash;
use update_image::boot_record::{BootRecord, ImageId, Outcome, Phase, RollbackCause, State};
use update_image::layout::{ERASE_SIZE, IMAGE_BIN, REFUSED_BIN};
use update_image::{Digest, FlashSource, ImageInfo, Policy, PublicKey, Refusal, Region, VerifyError, sha256, verify};

use crate::event::{Event, Log};
use crate::install::Failure;

/// Starts that an image on trial gets to confirm itself.
pub const TRIAL_STARTS: u8 = 3;

/// What the bootloader knows about its board.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// Name of the board, as in the images for it.
    pub board: &'a str,
    /// Keys that images may be signed under.
    pub keys: &'a [PublicKey],
    /// The application slot, in internal flash.
    pub slot: Region,
    /// RAM, where an image's initial stack pointer must lie.
    pub ram: Region,
    /// The littlefs volume, in external flash.
    pub store: Region,
    /// Whether this reset came from the watchdog.
    pub watchdog_reset: bool,
}

impl<'a> Config<'a> {
    /// What images must satisfy once `min_counter` has been confirmed.
    pub(crate) fn policy(&self, min_counter: u32) -> Policy<'a> {
        Policy { slot: self.slot, ram: self.ram, board: self.board, keys: self.keys, min_counter }
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start the image in the slot, which has just been verified, where [`release`](crate::release) says.
    Start {
        /// The image.
        image: ImageInfo,
        /// Number of this start, from 1, if the image is on trial: the watchdog has to be on.
        trial: Option<u8>,
    },
    /// Nothing can be started: wait for help.
    Recover(NothingToStart),
}

/// Why nothing can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NothingToStart {
    /// What the slot holds may not run.
    Refused(Refusal),
    /// The slot cannot be read, erased or written.
    SlotFailed,
    /// The slot is half written, and its source cannot be read.
    SourceLost(StoreError),
}

/// Memory to work in: one erase block of the slot. Aligned for hardware that reads it by words.
#[repr(align(4))]
pub struct Scratch(pub(crate) [u8; ERASE_SIZE as usize]);

impl Scratch {
    /// For a static.
    pub const fn new() -> Self {
        Self([0; ERASE_SIZE as usize])
    }

    /// The memory, for what else needs a block of it once [`boot`] has decided.
    pub fn bytes_mut(&mut self) -> &mut [u8; ERASE_SIZE as usize] {
        &mut self.0
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Carries out what is pending and decides what runs.
///
/// `internal` is addressed as the chip is; `external` is absent if the flash does not answer.
#[inline(never)]
pub fn boot<I: NorFlash, X: NorFlash, L: Log>(
    internal: I,
    external: Option<X>,
    config: &Config<'_>,
    scratch: &mut Scratch,
    digest: &mut dyn Digest,
    log: &mut L,
) -> Decision {
    let mounted = match external {
        Some(flash) => Store::mount(flash, config.store),
        None => Err(StoreError::Flash),
    };
    let mut store = match mounted {
        Ok(store) => Some(store),
        Err(error) => {
            log.event(Event::ExternalUnusable(error));
            None
        }
    };
    let mut loader = Loader { record: BootRecord::open(internal), store: store.as_mut(), config, scratch, digest, log };
    loader.run()
}

/// What `image.bin` turned out to be.
enum Update {
    None,
    Unreadable(StoreError),
    Good(ImageInfo),
}

/// What the slot turned out to hold.
pub(crate) type Slot = Result<ImageInfo, NothingToStart>;

pub(crate) struct Loader<'a, I: NorFlash, X: NorFlash, L> {
    pub(crate) record: BootRecord<I>,
    pub(crate) store: Option<&'a mut Store<X>>,
    pub(crate) config: &'a Config<'a>,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) digest: &'a mut dyn Digest,
    pub(crate) log: &'a mut L,
}

impl<'a, I: NorFlash, X: NorFlash, L: Log> Loader<'a, I, X, L> {
    fn run(&mut self) -> Decision {
        if self.record.settle().is_err() {
            self.log.event(Event::RecordFailed);
        }
        let slot = self.verify_slot();
        if let Ok(image) = slot
            && self.is_foreign(&image)
        {
            self.adopt(&image);
        }
        if let Phase::Restoring { cause } = self.state().phase {
            return self.restore(cause, slot);
        }
        match self.look_for_update() {
            Update::Good(image) => self.update(&image, slot),
            Update::None => self.without_update(slot, StoreError::NotFound),
            Update::Unreadable(error) => self.without_update(slot, error),
        }
    }

    pub(crate) fn state(&self) -> State {
        *self.record.state()
    }

    /// Writes the boot record and says whether that worked. A failure is told and survived: what has been verified
    /// may run all the same.
    pub(crate) fn write_record(&mut self, state: State) -> bool {
        let written = self.record.write(state).is_ok();
        if !written {
            self.log.event(Event::RecordFailed);
        }
        written
    }

    /// Whether no update has put this image into the slot: it is the device's first, or a programmer's.
    fn is_foreign(&self, image: &ImageInfo) -> bool {
        let state = self.state();
        let id = ImageId::from(image);
        let is_subject = state.phase != Phase::Confirmed && id == state.subject;
        Some(id) != state.confirmed && !is_subject
    }

    /// Takes the image in the slot as the confirmed one.
    fn adopt(&mut self, image: &ImageInfo) {
        self.log.event(Event::Adopted(image.version));
        if self.record.adopt(image).is_err() {
            self.log.event(Event::RecordFailed);
        }
    }

    fn policy(&self) -> Policy<'a> {
        self.config.policy(self.state().counter)
    }

    /// Verifies what the slot holds.
    pub(crate) fn verify_slot(&mut self) -> Slot {
        let policy = self.policy();
        let mut source = FlashSource { flash: self.record.flash(), base: policy.slot.start };
        match verify(&mut source, policy.slot.len, &policy, self.digest, &mut self.scratch.0) {
            Ok(image) => {
                self.log.event(Event::SlotVerified(image.version));
                Ok(image)
            }
            Err(VerifyError::Refused(cause)) => {
                self.log.event(Event::SlotRefused(cause));
                Err(NothingToStart::Refused(cause))
            }
            Err(VerifyError::Read(_)) => {
                self.log.event(Event::SlotFailed);
                Err(NothingToStart::SlotFailed)
            }
        }
    }

    /// Verifies a file.
    pub(crate) fn verify_file(&mut self, name: &str) -> Result<ImageInfo, VerifyError<StoreError>> {
        let policy = self.policy();
        let store = self.store.as_mut().ok_or(VerifyError::Read(StoreError::Flash))?;
        let mut file = store.open(name).map_err(VerifyError::Read)?;
        let len = file.len();
        verify(&mut file, len, &policy, self.digest, &mut self.scratch.0)
    }

    /// Looks at `image.bin`; one that may not run is moved aside.
    fn look_for_update(&mut self) -> Update {
        if self.store.is_none() {
            return Update::Unreadable(StoreError::Flash);
        }
        match self.verify_file(IMAGE_BIN) {
            Ok(image) => {
                self.log.event(Event::UpdateVerified(image.version));
                Update::Good(image)
            }
            Err(VerifyError::Read(StoreError::NotFound)) => {
                self.log.event(Event::NoUpdate);
                Update::None
            }
            Err(VerifyError::Read(error)) => {
                self.log.event(Event::UpdateUnreadable(error));
                Update::Unreadable(error)
            }
            Err(VerifyError::Refused(cause)) => {
                self.log.event(Event::UpdateRefused(cause));
                self.refuse(cause);
                Update::None
            }
        }
    }

    /// Records the cause, then moves the file aside: a cut between the two finds the cause recorded already.
    fn refuse(&mut self, cause: Refusal) {
        let fingerprint = self.fingerprint();
        self.write_record(State { outcome: Some(Outcome::Refused { cause, fingerprint }), ..self.state() });
        let Some(store) = self.store.as_mut() else { return };
        match store.rename(IMAGE_BIN, REFUSED_BIN) {
            Ok(()) => self.log.event(Event::UpdateMovedAside),
            Err(_) => self.remove_update(),
        }
    }

    /// See [`Outcome::Refused`]; all zeros if the file cannot be read.
    fn fingerprint(&mut self) -> [u8; 16] {
        let mut fingerprint = [0; 16];
        if let Some(Ok(mut file)) = self.store.as_mut().map(|store| store.open(IMAGE_BIN)) {
            let len = file.len().min(1024);
            if let Ok(hash) = sha256(&mut file, len, self.digest, &mut self.scratch.0) {
                fingerprint.copy_from_slice(&hash[..16]);
            }
        }
        fingerprint
    }

    pub(crate) fn remove_update(&mut self) {
        let Some(store) = self.store.as_mut() else { return };
        if store.exists(IMAGE_BIN) == Ok(true) && store.remove(IMAGE_BIN).is_ok() {
            self.log.event(Event::UpdateRemoved);
        }
    }

    /// `image.bin` is good.
    fn update(&mut self, image: &ImageInfo, slot: Slot) -> Decision {
        let state = self.state();
        let interrupted = state.phase == Phase::Installing && state.subject == ImageId::from(image);
        let Some(installed) = slot.ok().filter(|installed| installed.hash == image.hash && !interrupted) else {
            // A copy that was cut short is made anew even if it verifies: cells that a cut left between their levels
            // may have read well this once.
            return self.install(image, slot);
        };
        self.log.event(Event::UpdateInstalled(installed.version));
        self.remove_update();
        self.without_update(slot, StoreError::NotFound)
    }

    /// The copy in the slot has been verified.
    pub(crate) fn begin_trial(&mut self, image: &ImageInfo) -> Decision {
        self.write_record(State { phase: Phase::Trial { starts: 0 }, outcome: None, ..self.state() });
        self.remove_update();
        self.start_trial(image, 0)
    }

    fn start_trial(&mut self, image: &ImageInfo, starts: u8) -> Decision {
        let starts = starts.saturating_add(1);
        self.write_record(State { phase: Phase::Trial { starts }, ..self.state() });
        self.start(image, Some(starts))
    }

    pub(crate) fn start(&self, image: &ImageInfo, trial: Option<u8>) -> Decision {
        Decision::Start { image: *image, trial }
    }

    /// There is no update to install; `error` says why, should the slot need one.
    pub(crate) fn without_update(&mut self, slot: Slot, error: StoreError) -> Decision {
        let state = self.state();
        let image = match slot {
            Ok(image) => image,
            Err(nothing) => return self.without_slot(nothing, error),
        };
        let id = Some(ImageId::from(&image));
        if id == state.confirmed && state.phase == Phase::Confirmed {
            return self.start(&image, None);
        }
        let is_subject = id == Some(state.subject);
        match state.phase {
            Phase::Installing if is_subject => self.begin_trial(&image),
            // Announced, and not begun. If external flash is only away for a while, the next start carries on.
            Phase::Installing if id == state.confirmed && self.store.is_none() => self.start(&image, None),
            Phase::Trial { starts } if is_subject && starts < TRIAL_STARTS => self.start_trial(&image, starts),
            Phase::Trial { starts } if is_subject => {
                let cause =
                    if self.config.watchdog_reset { RollbackCause::Watchdog } else { RollbackCause::NotConfirmed };
                if self.has_previous() {
                    self.roll_back(cause, slot)
                } else {
                    self.log.event(Event::NoPrevious);
                    self.start(&image, Some(starts))
                }
            }
            // The confirmed image, though the record is in the middle of an update: that one is off.
            _ => {
                self.write_record(State { phase: Phase::Confirmed, ..state });
                self.start(&image, None)
            }
        }
    }

    /// The slot holds nothing that may run, and there is no update to install.
    fn without_slot(&mut self, nothing: NothingToStart, error: StoreError) -> Decision {
        let state = self.state();
        match state.phase {
            Phase::Installing if self.has_previous() => self.roll_back(RollbackCause::SourceLost, Err(nothing)),
            Phase::Trial { .. } if self.has_previous() => self.roll_back(RollbackCause::SlotDamaged, Err(nothing)),
            Phase::Installing => Decision::Recover(NothingToStart::SourceLost(error)),
            // The confirmed image is damaged: the one before it is better than none.
            Phase::Confirmed => match self.verify_previous() {
                Some(previous) => {
                    self.write_record(State {
                        phase: Phase::Restoring { cause: RollbackCause::SlotDamaged },
                        subject: state.confirmed.unwrap_or_default(),
                        confirmed: Some((&previous).into()),
                        ..state
                    });
                    self.restore(RollbackCause::SlotDamaged, Err(nothing))
                }
                None => Decision::Recover(nothing),
            },
            _ => Decision::Recover(nothing),
        }
    }
}

impl From<Failure> for NothingToStart {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Slot => Self::SlotFailed,
            Failure::Verdict(nothing) => nothing,
            Failure::Source(error) => Self::SourceLost(error),
        }
    }
}
