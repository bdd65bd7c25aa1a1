//! The boot record: two blocks of entries.
//!
//! Input: pieces of a byte of kind, and what belongs to it. First come entries (place, then 124
//! bytes and a checksum, or 128 bytes), then what is done to the record.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use update_image::boot_record::{BootRecord, ImageId, Outcome, Phase, RecordError, RollbackCause, State};
use update_image::layout::{BOOT_RECORD, ERASE_SIZE, WRITE_SIZE};
use update_image::{Refusal, Version};

use crate::Input;

/// Bytes of an entry.
pub const ENTRY_LEN: usize = 128;
/// An entry as it comes.
pub const RAW: u8 = 0;
/// An entry with a right first word and checksum.
pub const SOUND: u8 = 1;
/// An entry with an uncorrectable ECC error.
pub const UNREADABLE: u8 = 2;
/// From here on: a state is written.
pub const WRITE: u8 = 3;
/// From here on: a state is written, and the supply fails in the operation with the number that follows.
pub const CUT: u8 = 4;
/// From here on: the record is settled.
pub const SETTLE: u8 = 5;
/// From here on: the image on trial is confirmed.
pub const CONFIRM: u8 = 6;
/// From here on: the last outcome is acknowledged.
pub const ACKNOWLEDGE: u8 = 7;
const KINDS: u8 = 8;
/// What the numbers of later operations count from.
pub const FIRST_OPERATION: u8 = WRITE;

/// Longest history: opening a record reads all of it.
const OPERATIONS: usize = 16;
const UNIT: usize = WRITE_SIZE as usize;
const LEN: usize = BOOT_RECORD.len as usize;

/// Reads, settles and writes the input's record.
///
/// # Panics
/// If a state changes in settling or by a reset; if a quad word is programmed twice; if a power cut leaves neither the
/// old nor the new state.
pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let mut flash = Flash { bytes: vec![0xFF; LEN], bad: vec![false; LEN / UNIT], cut: None, off: false };
    let mut kind = RAW;
    while !input.is_empty() {
        kind = input.byte() % KINDS;
        if kind >= FIRST_OPERATION {
            break;
        }
        let at = usize::from(input.byte()) % (LEN / ENTRY_LEN) * ENTRY_LEN;
        let mut entry: [u8; ENTRY_LEN];
        if kind == SOUND {
            entry = [0; ENTRY_LEN];
            entry[..4].copy_from_slice(b"BR\x01\0");
            entry[4..124].copy_from_slice(&input.array::<120>());
            let crc = !crate::crc(&entry[..124]);
            entry[124..].copy_from_slice(&crc.to_le_bytes());
        } else {
            entry = input.array();
        }
        flash.bytes[at..at + ENTRY_LEN].copy_from_slice(&entry);
        flash.bad[at / UNIT + usize::from(entry[0] % 8)] = kind == UNREADABLE;
    }

    // What the record may say at the next start.
    let mut expected: Option<[State; 2]> = None;
    for _ in 0..=OPERATIONS {
        let mut record = BootRecord::open(&mut flash);
        let state = *record.state();
        assert!(expected.is_none_or(|states| states.contains(&state)), "{state:?} instead of {expected:?}");
        if input.is_empty() && expected.is_some() {
            return;
        }
        let _ = record.status();
        let mut wanted = state;
        let done = match kind {
            SETTLE => record.settle(),
            CONFIRM => {
                if let Phase::Trial { .. } = state.phase {
                    wanted = State {
                        counter: state.counter.max(state.subject_counter),
                        phase: Phase::Confirmed,
                        confirmed: Some(state.subject),
                        outcome: None,
                        ..state
                    };
                }
                record.confirm()
            }
            ACKNOWLEDGE => {
                wanted.outcome = None;
                record.acknowledge()
            }
            _ => {
                if kind == CUT {
                    let (operation, reached) = (input.byte() % 4, input.byte());
                    record.flash().cut = Some((operation, reached));
                }
                wanted = state_of(&mut input);
                record.write(wanted)
            }
        };
        if done.is_ok() {
            assert_eq!(*record.state(), wanted);
            // Nothing is left to do if that was written; if there was nothing to write, the numbers may have run out.
            let settled = record.settle();
            assert!(
                settled.is_ok()
                    || wanted == state && settled == Err(RecordError::Unwritable) && has_high_number(record.flash()),
                "{settled:?}"
            );
        }
        assert!(done.is_ok() || flash.off || has_high_number(&flash), "flash keeps everything, and still: {done:?}");
        expected = Some(if done.is_ok() { [wanted; 2] } else { [state, wanted] });
        (flash.cut, flash.off) = (None, false);
        kind = FIRST_OPERATION + input.byte() % (KINDS - FIRST_OPERATION);
    }
}

/// Whether there is an entry with a number so high that no more than the two blocks' entries can follow.
fn has_high_number(flash: &Flash) -> bool {
    flash.bytes.chunks(ENTRY_LEN).any(|entry| entry.starts_with(b"BR") && entry[5..8] == [0xFF; 3])
}

/// A state out of a few bytes.
fn state_of(input: &mut Input<'_>) -> State {
    let choice = input.byte();
    let value = input.byte();
    let image = |n: u8| ImageId { version: Version::new(1, n, 0), hash: [n; 32] };
    let cause = RollbackCause::from_code(value % 4 + 1).unwrap_or(RollbackCause::Watchdog);
    State {
        counter: value.into(),
        phase: match choice % 4 {
            0 => Phase::Confirmed,
            1 => Phase::Installing,
            2 => Phase::Trial { starts: value },
            _ => Phase::Restoring { cause },
        },
        confirmed: (choice & 4 != 0).then(|| image(value)),
        subject: image(value.wrapping_add(1)),
        subject_counter: value.into(),
        outcome: match choice >> 3 & 3 {
            0 | 3 => None,
            1 => Some(Outcome::RolledBack { from: Version::new(0, value, 0), cause }),
            _ => Refusal::from_code(value % 10 + 1).map(|cause| Outcome::Refused { cause, fingerprint: [value; 16] }),
        },
    }
}

/// The two blocks, which mind that quad words are programmed once, and can lose their supply.
struct Flash {
    bytes: Vec<u8>,
    /// Quad words with an ECC error.
    bad: Vec<bool>,
    /// The supply fails in the operation after this many; it does the first so many 256ths.
    cut: Option<(u8, u8)>,
    off: bool,
}

/// The flash did not do it.
#[derive(Debug, PartialEq, Eq)]
struct Failed;

impl NorFlashError for Failed {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl Flash {
    /// How many of `units` quad words of an operation are done.
    fn reach(&mut self, units: usize) -> Result<usize, Failed> {
        match &mut self.cut {
            _ if self.off => Err(Failed),
            None => Ok(units),
            Some((0, reached)) => {
                self.off = true;
                Ok(units * usize::from(*reached) / 256)
            }
            Some((operations, _)) => {
                *operations -= 1;
                Ok(units)
            }
        }
    }

    fn done(&self) -> Result<(), Failed> {
        if self.off { Err(Failed) } else { Ok(()) }
    }
}

/// Offset in the record.
fn offset_of(address: u32, len: usize) -> usize {
    assert!(address >= BOOT_RECORD.start, "outside the record");
    let at = (address - BOOT_RECORD.start) as usize;
    assert!(at + len <= LEN, "outside the record");
    at
}

impl ErrorType for Flash {
    type Error = Failed;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, address: u32, bytes: &mut [u8]) -> Result<(), Failed> {
        self.done()?;
        let at = offset_of(address, bytes.len());
        if self.bad[at / UNIT..(at + bytes.len()).div_ceil(UNIT)].contains(&true) {
            return Err(Failed);
        }
        bytes.copy_from_slice(&self.bytes[at..at + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        BOOT_RECORD.end() as usize
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = UNIT;
    const ERASE_SIZE: usize = ERASE_SIZE as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Failed> {
        let at = offset_of(from, (to - from) as usize);
        assert!(from.is_multiple_of(ERASE_SIZE) && to - from == ERASE_SIZE, "not a block");
        let units = ERASE_SIZE as usize / UNIT;
        let reached = self.reach(units)?;
        self.bytes[at..at + reached * UNIT].fill(0xFF);
        self.bad[at / UNIT..at / UNIT + reached].fill(false);
        self.done()
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), Failed> {
        let at = offset_of(address, bytes.len());
        assert!(at.is_multiple_of(UNIT) && bytes.len().is_multiple_of(UNIT), "not quad words");
        let reached = self.reach(bytes.len() / UNIT)?;
        for (unit, bytes) in bytes.chunks(UNIT).enumerate().take(reached) {
            let at = at + unit * UNIT;
            let cells = &mut self.bytes[at..at + UNIT];
            assert!(!self.bad[at / UNIT] && cells.iter().all(|cell| *cell == 0xFF), "programmed twice");
            cells.copy_from_slice(bytes);
        }
        self.done()
    }
}
