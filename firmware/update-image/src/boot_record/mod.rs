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
//!
//! Cells that a cut leaves between their levels read as 0 or 1 by chance. So an entry counts, and a place counts as erased,
//! only if several reads say the same; and if something torn lies behind the newest entry, [`BootRecord::settle`] writes
//! the state once more, under a number above any that the torn entry can turn out to have: a decision is not made on what
//! the next start may read differently.

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
    /// An entry was written twice and read back differently both times: the flash is worn out. Or the newest entry has
    /// the highest number there is.
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
    /// How many torn entries lie behind the newest one. Any of them may yet read as sound.
    torn: u32,
}

/// How often an entry is read before it is believed: a single cell between its levels passes one time in 65,536.
const READS: u8 = 16;

/// What lies on flash, at one reading.
#[derive(Default)]
struct Scan {
    /// The sound entry with the highest number: that, what it says, and where.
    newest: Option<(u32, State, u32)>,
    /// First entry of each block behind which all is blank.
    free: [u32; BLOCKS as usize],
    /// Whether a block holds a sound entry.
    sound: [bool; BLOCKS as usize],
}

impl Scan {
    /// Reads both blocks; entries from number `ceiling` on do not count.
    fn read<F: NorFlash>(flash: &mut F, ceiling: u32) -> Self {
        let mut scan = Self::default();
        for block in 0..BLOCKS {
            let start = block_start(block);
            scan.free[block as usize] = start;
            for index in 0..ENTRIES_PER_BLOCK {
                let address = start + index * ENTRY_LEN as u32;
                let mut bytes = [0; ENTRY_LEN];
                let readable = flash.read(address, &mut bytes).is_ok();
                if readable && is_blank(&bytes) {
                    continue;
                }
                scan.free[block as usize] = address + ENTRY_LEN as u32;
                let Some((sequence, state)) = State::parse(&bytes).filter(|_| readable) else {
                    continue;
                };
                if sequence >= ceiling {
                    continue;
                }
                scan.sound[block as usize] = true;
                if scan.newest.is_none_or(|(highest, ..)| sequence > highest) {
                    scan.newest = Some((sequence, state, address));
                }
            }
        }
        scan
    }

    /// How many entries were begun, sound or torn, in both blocks.
    fn begun(&self) -> u32 {
        (0..BLOCKS).map(|block| (self.free[block as usize] - block_start(block)) / ENTRY_LEN as u32).sum()
    }

    /// How many torn entries lie behind the one at `newest`.
    fn torn_behind(&self, newest: u32) -> u32 {
        let home = block_of(newest);
        let other = (home + 1) % BLOCKS;
        let begun = if self.sound[other as usize] { 0 } else { self.free[other as usize] - block_start(other) };
        (self.free[home as usize] - (newest + ENTRY_LEN as u32) + begun) / ENTRY_LEN as u32
    }
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
        let mut ceiling = u32::MAX;
        loop {
            let scan = Scan::read(&mut flash, ceiling);
            let Some((sequence, state, address)) = scan.newest else {
                let next = scan.free[0];
                return Self { flash, state: State::default(), sequence: 0, home: 0, next, torn: scan.begun() };
            };
            if !reads_as(&mut flash, address, |bytes| State::parse(bytes) == Some((sequence, state))) {
                ceiling = sequence;
                continue;
            }
            let torn = scan.torn_behind(address);
            let home = block_of(address);
            return Self { flash, state, sequence, home, next: scan.free[home as usize], torn };
        }
    }

    /// Makes what the record says independent of what a power cut has torn. Does nothing if nothing is torn.
    ///
    /// # Errors
    /// If flash fails.
    pub fn settle(&mut self) -> Result<(), RecordError<F::Error>> {
        if self.torn == 0 { Ok(()) } else { self.write(self.state) }
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
        if state == self.state && self.sequence != 0 && self.torn == 0 {
            return Ok(());
        }
        // Each torn entry has a number above the one that was the newest before it.
        let sequence = self.sequence.saturating_add(1 + self.torn);
        // Not by counting: an entry with such a number was forged, or damaged in a way that its checksum misses.
        if sequence == u32::MAX {
            return Err(RecordError::Unwritable);
        }
        let bytes = state.emit(sequence);
        for _attempt in 0..2 {
            let address = self.room()?;
            self.next = address + ENTRY_LEN as u32;
            self.flash.write(address, &bytes).map_err(RecordError::Flash)?;
            if reads_as(&mut self.flash, address, |seen| *seen == bytes) {
                self.sequence = sequence;
                self.home = block_of(address);
                self.state = state;
                self.torn = 0;
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
        let end = block_start(self.home) + ERASE_SIZE;
        // Only a record without any entry starts at the first byte of a block that was not erased here.
        while self.next < end {
            if reads_as(&mut self.flash, self.next, is_blank) {
                return Ok(self.next);
            }
            self.next += ENTRY_LEN as u32;
        }
        let other = block_start((self.home + 1) % BLOCKS);
        self.flash.erase(other, other + ERASE_SIZE).map_err(RecordError::Flash)?;
        Ok(other)
    }
}

/// Whether every one of several reads of the entry at `address` satisfies `is_good`.
fn reads_as<F: NorFlash>(flash: &mut F, address: u32, is_good: impl Fn(&[u8; ENTRY_LEN]) -> bool) -> bool {
    let mut bytes = [0; ENTRY_LEN];
    (0..READS).all(|_| flash.read(address, &mut bytes).is_ok() && is_good(&bytes))
}

fn is_blank(bytes: &[u8; ENTRY_LEN]) -> bool {
    bytes.iter().all(|byte| *byte == 0xFF)
}

fn block_start(block: u32) -> u32 {
    BOOT_RECORD.start + block * ERASE_SIZE
}

fn block_of(address: u32) -> u32 {
    (address - BOOT_RECORD.start) / ERASE_SIZE
}
