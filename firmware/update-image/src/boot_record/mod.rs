//! The boot record: what bootloader and application tell each other over a reset.
//!
//! An append-only log over two erase blocks of internal flash. Each entry of 128 bytes holds the whole
//! [`State`] with a sequence number and a CRC, so the record is simply the sound entry with the highest number:
//!
//! | supply cut while | found at the next start |
//! |---|---|
//! | an entry is written | the entry before it; the torn one fails its CRC and is never written again |
//! | a full block is left behind: the other one is erased | the newest entry of the full block |
//! | the first entry goes into the block just erased | the newest entry of the full block |
//!
//! A quad word is written once per erase (the flash's ECC allows no more) because only entries that read as erased
//! from end to end are written; one that cannot be read (ECC error) counts as torn. The block that is erased never
//! holds the newest entry.

mod state;

use embedded_storage::nor_flash::NorFlash;

use crate::layout::{BOOT_RECORD, ERASE_SIZE, WRITE_SIZE};
use crate::{ImageInfo, Version};
use state::ENTRY_LEN;

pub use state::{ImageId, Outcome, Phase, RollbackCause, State};

const ENTRIES_PER_BLOCK: u32 = ERASE_SIZE / ENTRY_LEN as u32;
const BLOCKS: u32 = BOOT_RECORD.len / ERASE_SIZE;
const _: () = assert!(BLOCKS == 2 && ENTRY_LEN.is_multiple_of(WRITE_SIZE as usize));

/// How this start came about, in the application's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The running image is confirmed, and nothing else happened.
    Confirmed,
    /// The running image is on trial, in its start number `n` (from 1).
    Trial(u8),
    /// The running image is confirmed; an update was taken back.
    RolledBack {
        /// Version that was taken back.
        from: Version,
        /// Why.
        cause: RollbackCause,
    },
    /// The running image is confirmed; an update was refused.
    Refused {
        /// Why.
        cause: crate::Refusal,
    },
}

/// Why the boot record could not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError<E> {
    /// The flash failed.
    Flash(E),
    /// An entry was written twice and read back differently both times: the flash is worn out.
    Unwritable,
}

/// The boot record on a flash that is addressed as the chip is: [`BOOT_RECORD`] are addresses of `F`.
///
/// Bootloader and application have one each; the bootloader's is gone when the application starts.
pub struct BootRecord<F> {
    flash: F,
    state: State,
    /// Sequence number of the newest entry; 0 if there is none.
    sequence: u32,
    /// The block that holds the newest entry.
    home: u32,
    /// Address of the first entry behind which all is blank, of the block that is being filled; the end of that
    /// block if it is full.
    next: u32,
}

impl<F: NorFlash> BootRecord<F> {
    /// Reads the record. A blank one gives the default [`State`].
    ///
    /// Never fails: what cannot be read counts as torn.
    pub fn open(mut flash: F) -> Self {
        const {
            assert!(F::ERASE_SIZE == ERASE_SIZE as usize && F::WRITE_SIZE <= WRITE_SIZE as usize);
            assert!(F::READ_SIZE <= WRITE_SIZE as usize);
        }
        let mut newest: Option<(u32, State, u32)> = None;
        // First entry of each block behind which all is blank.
        let mut free = [0; BLOCKS as usize];
        for (block, free) in (0..BLOCKS).zip(&mut free) {
            let start = block_start(block);
            *free = start;
            for index in 0..ENTRIES_PER_BLOCK {
                let address = start + index * ENTRY_LEN as u32;
                let mut bytes = [0; ENTRY_LEN];
                let readable = flash.read(address, &mut bytes).is_ok();
                if readable && bytes.iter().all(|byte| *byte == 0xFF) {
                    continue;
                }
                *free = address + ENTRY_LEN as u32;
                let Some((sequence, state)) = State::parse(&bytes).filter(|_| readable) else {
                    continue;
                };
                if newest.is_none_or(|(highest, ..)| sequence > highest) {
                    newest = Some((sequence, state, block));
                }
            }
        }
        let (sequence, state, block) = newest.unwrap_or_default();
        Self { flash, state, sequence, home: block, next: free[block as usize] }
    }

    /// What the record says.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What the record says, in the application's words.
    pub fn status(&self) -> Status {
        match (self.state.phase, self.state.outcome) {
            (Phase::Trial { starts }, _) => Status::Trial(starts),
            (_, Some(Outcome::RolledBack { from, cause })) => Status::RolledBack { from, cause },
            (_, Some(Outcome::Refused { cause, .. })) => Status::Refused { cause },
            (_, None) => Status::Confirmed,
        }
    }

    /// The image on trial is good: it stays, and its security counter becomes the lowest that is accepted.
    ///
    /// Does nothing if no image is on trial. To be called by the application once it has proved that it can be
    /// updated again.
    ///
    /// # Errors
    /// If flash fails; the image is then still on trial.
    pub fn confirm(&mut self) -> Result<(), RecordError<F::Error>> {
        if !matches!(self.state.phase, Phase::Trial { .. }) {
            return Ok(());
        }
        self.write(State {
            counter: self.state.counter.max(self.state.subject_counter),
            phase: Phase::Confirmed,
            confirmed: Some(self.state.subject),
            outcome: None,
            ..self.state
        })
    }

    /// The application has reported the outcome of the last unsuccessful update: [`status`](Self::status) forgets
    /// it.
    ///
    /// # Errors
    /// If flash fails.
    pub fn acknowledge(&mut self) -> Result<(), RecordError<F::Error>> {
        if self.state.outcome.is_none() {
            return Ok(());
        }
        self.write(State { outcome: None, ..self.state })
    }

    /// Takes `image` as the confirmed one: the first start of a device, or after a programmer was at work.
    ///
    /// # Errors
    /// If flash fails.
    pub fn adopt(&mut self, image: &ImageInfo) -> Result<(), RecordError<F::Error>> {
        self.write(State {
            counter: self.state.counter.max(image.counter),
            phase: Phase::Confirmed,
            confirmed: Some(image.into()),
            ..self.state
        })
    }

    /// Writes an entry that says `state`, and reads it back; nothing is written if the record says so already.
    ///
    /// # Errors
    /// If flash fails, or does not hold what is written.
    pub fn write(&mut self, state: State) -> Result<(), RecordError<F::Error>> {
        if state == self.state && self.sequence != 0 {
            return Ok(());
        }
        let sequence = self.sequence.wrapping_add(1);
        let bytes = state.emit(sequence);
        for _attempt in 0..2 {
            let address = self.room()?;
            self.next = address + ENTRY_LEN as u32;
            self.flash.write(address, &bytes).map_err(RecordError::Flash)?;
            let mut seen = [0; ENTRY_LEN];
            if self.flash.read(address, &mut seen).is_ok() && seen == bytes {
                self.sequence = sequence;
                self.home = block_of(address);
                self.state = state;
                return Ok(());
            }
        }
        Err(RecordError::Unwritable)
    }

    /// The flash that the record lies on, for the rest of it.
    pub fn flash(&mut self) -> &mut F {
        &mut self.flash
    }

    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// Address of a blank entry; moves to the other block, which is erased first, if this one is full.
    fn room(&mut self) -> Result<u32, RecordError<F::Error>> {
        let offset = self.next - BOOT_RECORD.start;
        // Only a record without any entry starts at the first byte of a block that was not erased here.
        if offset == 0 || !offset.is_multiple_of(ERASE_SIZE) {
            return Ok(self.next);
        }
        let other = block_start((self.home + 1) % BLOCKS);
        self.flash.erase(other, other + ERASE_SIZE).map_err(RecordError::Flash)?;
        Ok(other)
    }
}

fn block_start(block: u32) -> u32 {
    BOOT_RECORD.start + block * ERASE_SIZE
}

fn block_of(address: u32) -> u32 {
    (address - BOOT_RECORD.start) / ERASE_SIZE
}
