//! The contents of a boot record entry.

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

use crate::{ImageInfo, Refusal, Version};

/// Bytes of an entry: eight quad words.
pub(super) const ENTRY_LEN: usize = 128;
/// First word of an entry: "BR" and the version of this layout, 1.
const ENTRY_MAGIC: u32 = 0x0001_5242;

mod field {
    use core::ops::Range;
    pub const MAGIC: Range<usize> = 0..4;
    pub const SEQUENCE: Range<usize> = 4..8;
    pub const COUNTER: Range<usize> = 8..12;
    pub const PHASE: usize = 12;
    pub const STARTS: usize = 13;
    pub const OUTCOME: usize = 14;
    pub const CAUSE: usize = 15;
    pub const CONFIRMED: Range<usize> = 16..56;
    pub const SUBJECT: Range<usize> = 56..96;
    pub const SUBJECT_COUNTER: Range<usize> = 96..100;
    pub const OUTCOME_VERSION: Range<usize> = 100..108;
    pub const OUTCOME_HASH: Range<usize> = 108..124;
    pub const CRC: Range<usize> = 124..128;
}

/// An image, as the boot record knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageId {
    /// Its version.
    pub version: Version,
    /// Its SHA-256.
    pub hash: [u8; 32],
}

impl From<&ImageInfo> for ImageId {
    fn from(info: &ImageInfo) -> Self {
        Self { version: info.version, hash: info.hash }
    }
}

/// Where an update stands. The numbers are on flash: do not reorder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// The image in the slot is the confirmed one.
    #[default]
    Confirmed,
    /// The slot is being overwritten with the subject; the confirmed image is in `previous.bin`.
    Installing,
    /// The subject is in the slot and has been started this many times without confirming itself.
    Trial {
        /// Starts so far.
        starts: u8,
    },
    /// The slot is being overwritten with the confirmed image, for this cause.
    Restoring {
        /// Why the subject has to go.
        cause: RollbackCause,
    },
}

/// Why an image on trial was replaced by the confirmed one.
///
/// The numbers go into the boot record and to the hub: do not reorder, do not reuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum RollbackCause {
    /// It was started as often as a trial allows and never confirmed itself.
    NotConfirmed = 1,
    /// As before, and at least the last start ended in a watchdog reset.
    Watchdog = 2,
    /// Internal flash did not hold what was written.
    SlotDamaged = 3,
    /// The slot was being overwritten and the new image could no longer be read.
    SourceLost = 4,
}

impl RollbackCause {
    /// The cause with number `code`.
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::NotConfirmed,
            2 => Self::Watchdog,
            3 => Self::SlotDamaged,
            4 => Self::SourceLost,
            _ => return None,
        })
    }

    /// The number of the cause.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The cause in a few words, for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotConfirmed => "not confirmed",
            Self::Watchdog => "watchdog",
            Self::SlotDamaged => "slot damaged",
            Self::SourceLost => "source lost",
        }
    }
}

/// How the last update that did not succeed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was installed and taken back.
    RolledBack {
        /// Its version.
        from: Version,
        /// Why.
        cause: RollbackCause,
    },
    /// It was never installed.
    Refused {
        /// Why.
        cause: Refusal,
        /// The first half of the SHA-256 over the file's first KiB (or all of a shorter file), which tells one
        /// refused file from another.
        fingerprint: [u8; 16],
    },
}

/// Everything a boot record says at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Highest security counter of a confirmed image. Only confirmation raises it.
    pub counter: u32,
    /// Where an update stands.
    pub phase: Phase,
    /// The confirmed image; `None` on a device that has not been started yet.
    pub confirmed: Option<ImageId>,
    /// The image that [`phase`](Self::phase) is about, unless that is [`Phase::Confirmed`].
    pub subject: ImageId,
    /// Security counter of the subject.
    pub subject_counter: u32,
    /// How the last unsuccessful update ended, until it is acknowledged or another one succeeds.
    pub outcome: Option<Outcome>,
}

impl State {
    /// The entry that says this.
    pub(super) fn emit(&self, sequence: u32) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        let mut put = |at: core::ops::Range<usize>, value: &[u8]| bytes[at].copy_from_slice(value);
        put(field::MAGIC, &ENTRY_MAGIC.to_le_bytes());
        put(field::SEQUENCE, &sequence.to_le_bytes());
        put(field::COUNTER, &self.counter.to_le_bytes());
        put(field::CONFIRMED, &emit_id(&self.confirmed.unwrap_or_default()));
        put(field::SUBJECT, &emit_id(&self.subject));
        put(field::SUBJECT_COUNTER, &self.subject_counter.to_le_bytes());
        // The low nibble is the phase; bit 7 says that there is a confirmed image.
        let (phase, starts) = match self.phase {
            Phase::Confirmed => (0, 0),
            Phase::Installing => (1, 0),
            Phase::Trial { starts } => (2, starts),
            Phase::Restoring { cause } => (3, cause.code()),
        };
        let (outcome, cause) = match self.outcome {
            None => (0, 0),
            Some(Outcome::RolledBack { from, cause }) => {
                put(field::OUTCOME_VERSION, &from.to_bytes());
                (1, cause.code())
            }
            Some(Outcome::Refused { cause, fingerprint }) => {
                put(field::OUTCOME_HASH, &fingerprint);
                (2, cause.code())
            }
        };
        bytes[field::PHASE] = phase | (u8::from(self.confirmed.is_some()) << 7);
        bytes[field::STARTS] = starts;
        bytes[field::OUTCOME] = outcome;
        bytes[field::CAUSE] = cause;
        let crc = checksum(&bytes);
        bytes[field::CRC].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads an entry and its sequence number; `None` unless every field is sound.
    pub(super) fn parse(bytes: &[u8; ENTRY_LEN]) -> Option<(u32, Self)> {
        let word = |at: core::ops::Range<usize>| {
            let b = &bytes[at];
            u32::from_le_bytes([b[0], b[1], b[2], b[3]])
        };
        if word(field::MAGIC) != ENTRY_MAGIC || word(field::CRC) != checksum(bytes) {
            return None;
        }
        let extra = bytes[field::STARTS];
        let phase = match bytes[field::PHASE] & 0x7F {
            0 => Phase::Confirmed,
            1 => Phase::Installing,
            2 => Phase::Trial { starts: extra },
            3 => Phase::Restoring { cause: RollbackCause::from_code(extra)? },
            _ => return None,
        };
        let cause = bytes[field::CAUSE];
        let outcome = match bytes[field::OUTCOME] {
            0 => None,
            1 => Some(Outcome::RolledBack {
                from: Version::from_bytes(array(&bytes[field::OUTCOME_VERSION])),
                cause: RollbackCause::from_code(cause)?,
            }),
            2 => Some(Outcome::Refused {
                cause: Refusal::from_code(cause)?,
                fingerprint: array(&bytes[field::OUTCOME_HASH]),
            }),
            _ => return None,
        };
        let state = Self {
            counter: word(field::COUNTER),
            phase,
            confirmed: (bytes[field::PHASE] & 0x80 != 0).then(|| parse_id(&bytes[field::CONFIRMED])),
            subject: parse_id(&bytes[field::SUBJECT]),
            subject_counter: word(field::SUBJECT_COUNTER),
            outcome,
        };
        Some((word(field::SEQUENCE), state))
    }
}

fn emit_id(id: &ImageId) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..8].copy_from_slice(&id.version.to_bytes());
    bytes[8..].copy_from_slice(&id.hash);
    bytes
}

fn parse_id(bytes: &[u8]) -> ImageId {
    ImageId { version: Version::from_bytes(array(&bytes[..8])), hash: array(&bytes[8..]) }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

fn checksum(bytes: &[u8; ENTRY_LEN]) -> u32 {
    Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC).checksum(&bytes[..field::CRC.start])
}
