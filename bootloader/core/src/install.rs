//! Moving images: slot to `previous.bin`, `image.bin` or `previous.bin` to slot. Every function here can be cut
//! anywhere and called again.

use boot_store::{Store, StoreError};
use embedded_storage::nor_flash::NorFlash;
use update_image::boot_record::{ImageId, Outcome, Phase, RollbackCause, State};
use update_image::layout::{ERASE_SIZE, IMAGE_BIN, PREVIOUS_BIN, PREVIOUS_TMP, REFUSED_BIN, WRITE_SIZE};
use update_image::{FlashSource, ImageInfo, ReadAt, sha256};

use crate::event::{Event, Log};
use crate::loader::{Decision, Loader, NothingToStart, Slot};

/// A copy is tried twice before the slot's flash is taken for bad.
const COPIES: u8 = 2;

/// Why a copy into the slot failed.
pub(crate) enum Failure {
    /// The slot could not be erased or written.
    Slot,
    /// The copy does not verify.
    Verdict(NothingToStart),
    /// The file could not be read.
    Source(StoreError),
}

impl<I: NorFlash, X: NorFlash, L: Log> Loader<'_, I, X, L> {
    /// Puts `image`, which is `image.bin` and has been verified, into the slot.
    pub(crate) fn install(&mut self, image: &ImageInfo, slot: Slot) -> Decision {
        // What follows rests on the files that were read: they must be there at the next start too.
        let kept = self.store().and_then(Store::settle).and_then(|()| self.keep_fallback(slot));
        if let Err(error) = kept {
            self.log.event(Event::BackupFailed(error));
            return self.without_update(slot, error);
        }
        let announced = self.write_record(State {
            phase: Phase::Installing,
            subject: image.into(),
            subject_counter: image.counter,
            ..self.state()
        });
        if !announced && slot.is_ok() {
            // Without a record there would be no trial.
            return self.without_update(slot, StoreError::NotFound);
        }
        match self.copy_to_slot(IMAGE_BIN, image) {
            Ok(installed) => self.begin_trial(&installed),
            Err(failure) => {
                let cause = match failure {
                    Failure::Source(_) => RollbackCause::SourceLost,
                    Failure::Slot | Failure::Verdict(_) => RollbackCause::SlotDamaged,
                };
                let nothing = failure.into();
                if self.has_previous() { self.roll_back(cause, Err(nothing)) } else { Decision::Recover(nothing) }
            }
        }
    }

    /// Sees to it that `previous.bin` is an image that this device can go back to: the confirmed one; or whatever
    /// runs now, if the confirmed one is nowhere. With nothing in the slot there is nothing to keep or to lose.
    fn keep_fallback(&mut self, slot: Slot) -> Result<(), StoreError> {
        let confirmed = self.state().confirmed;
        let runs_confirmed = slot.is_ok_and(|image| Some(ImageId::from(&image)) == confirmed);
        if !runs_confirmed && self.has_previous() {
            return Ok(());
        }
        let Ok(image) = slot else { return Ok(()) };
        if self.verify_previous().is_some_and(|previous| previous.hash == image.hash) {
            self.log.event(Event::PreviousKept(image.version));
        } else {
            self.save_previous(&image)?;
            self.log.event(Event::PreviousSaved(image.version));
        }
        if !runs_confirmed {
            self.write_record(State { confirmed: Some((&image).into()), ..self.state() });
        }
        Ok(())
    }

    /// Copies the slot, which holds `image`, to `previous.bin`.
    fn save_previous(&mut self, image: &ImageInfo) -> Result<(), StoreError> {
        match self.write_previous_tmp(image) {
            Err(StoreError::NoSpace) => {
                self.store()?.remove(REFUSED_BIN)?;
                self.write_previous_tmp(image)?;
            }
            written => written?,
        }
        if !self.equals_slot(PREVIOUS_TMP, image.total_len)? {
            return Err(StoreError::Corrupt);
        }
        self.store()?.rename(PREVIOUS_TMP, PREVIOUS_BIN)
    }

    /// Whether the file `name` holds what the first `len` bytes of the slot do, which have been verified.
    fn equals_slot(&mut self, name: &str, len: u32) -> Result<bool, StoreError> {
        let store = self.store.as_deref_mut().ok_or(StoreError::Flash)?;
        let buf = &mut self.scratch.0;
        let corrupt = StoreError::Corrupt;
        let file = sha256(&mut store.open(name)?, len, self.digest, buf).map_err(|_| corrupt)?;
        let mut slot = FlashSource { flash: self.record.flash(), base: self.config.slot.start };
        let slot = sha256(&mut slot, len, self.digest, buf).map_err(|_| corrupt)?;
        Ok(file == slot)
    }

    fn store(&mut self) -> Result<&mut Store<X>, StoreError> {
        self.store.as_deref_mut().ok_or(StoreError::Flash)
    }

    fn write_previous_tmp(&mut self, image: &ImageInfo) -> Result<(), StoreError> {
        let store = self.store.as_mut().ok_or(StoreError::Flash)?;
        let mut file = store.create(PREVIOUS_TMP)?;
        let mut offset = 0;
        while offset < image.total_len {
            let len = ERASE_SIZE.min(image.total_len - offset);
            let block = &mut self.scratch.0[..len as usize];
            self.record.flash().read(self.config.slot.start + offset, block).map_err(|_| StoreError::Corrupt)?;
            file.write(block)?;
            self.log.keep_alive();
            offset += len;
        }
        file.finish()
    }

    /// `previous.bin`, if it may run.
    pub(crate) fn verify_previous(&mut self) -> Option<ImageInfo> {
        self.verify_file(PREVIOUS_BIN).ok()
    }

    /// Whether `previous.bin` is the confirmed image.
    pub(crate) fn has_previous(&mut self) -> bool {
        let confirmed = self.state().confirmed;
        self.verify_previous().is_some_and(|previous| Some(ImageId::from(&previous)) == confirmed)
    }

    /// Takes the subject back; `previous.bin` has been verified.
    pub(crate) fn roll_back(&mut self, cause: RollbackCause, slot: Slot) -> Decision {
        let state = self.state();
        self.log.event(Event::RollingBack(state.subject.version, cause));
        self.write_record(State { phase: Phase::Restoring { cause }, ..state });
        self.restore(cause, slot)
    }

    /// Carries a rollback on that the boot record has announced.
    pub(crate) fn restore(&mut self, cause: RollbackCause, slot: Slot) -> Decision {
        // What could not be installed, or has proved bad, must not be found again.
        self.remove_update();
        let state = self.state();
        // Copied even if the slot verifies: a copy that was cut short may have read well this once.
        let restored = match (self.verify_previous(), slot) {
            (Some(previous), _) if Some(ImageId::from(&previous)) == state.confirmed => {
                self.copy_to_slot(PREVIOUS_BIN, &previous).map_err(NothingToStart::from)
            }
            (_, Ok(image)) if Some(ImageId::from(&image)) == state.confirmed => Ok(image),
            (_, Ok(image)) => {
                self.log.event(Event::NoPrevious);
                return self.start(&image, Some(crate::TRIAL_STARTS));
            }
            (_, Err(nothing)) => {
                self.log.event(Event::NoPrevious);
                return Decision::Recover(nothing);
            }
        };
        match restored {
            Ok(image) => {
                self.log.event(Event::RolledBack(image.version));
                self.write_record(State {
                    phase: Phase::Confirmed,
                    outcome: Some(Outcome::RolledBack { from: state.subject.version, cause }),
                    ..state
                });
                self.start(&image, None)
            }
            Err(nothing) => Decision::Recover(nothing),
        }
    }

    /// Copies the file `name`, which holds `image`, into the slot and verifies what the slot then holds.
    fn copy_to_slot(&mut self, name: &str, image: &ImageInfo) -> Result<ImageInfo, Failure> {
        let mut failure = Failure::Slot;
        for _ in 0..COPIES {
            failure = match self.copy_blocks(name, image.total_len) {
                Ok(()) => {
                    self.log.event(Event::Copied(image.total_len));
                    match self.verify_slot() {
                        Ok(copy) if copy.hash == image.hash => return Ok(copy),
                        Ok(_) => Failure::Verdict(NothingToStart::SlotFailed),
                        Err(nothing) => Failure::Verdict(nothing),
                    }
                }
                Err(failure) => failure,
            };
        }
        Err(failure)
    }

    /// Erases and writes the slot block by block.
    fn copy_blocks(&mut self, name: &str, total_len: u32) -> Result<(), Failure> {
        let store = self.store.as_mut().ok_or(Failure::Source(StoreError::Flash))?;
        let mut file = store.open(name).map_err(Failure::Source)?;
        let mut offset = 0;
        while offset < total_len {
            let len = ERASE_SIZE.min(total_len - offset);
            let padded = len.next_multiple_of(WRITE_SIZE);
            let block = &mut self.scratch.0[..padded as usize];
            file.read_at(offset, &mut block[..len as usize]).map_err(Failure::Source)?;
            block[len as usize..].fill(0xFF);
            let address = self.config.slot.start + offset;
            let flash = self.record.flash();
            flash
                .erase(address, address + ERASE_SIZE)
                .and_then(|()| flash.write(address, block))
                .map_err(|_| Failure::Slot)?;
            self.log.keep_alive();
            offset += len;
        }
        Ok(())
    }
}
