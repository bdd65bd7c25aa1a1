//! Is this an image that may run here? Read in pieces through a buffer of the caller's.

use crate::digest::{DIGEST_BLOCK, Digest};
use crate::header::{FLAG_ROM_FIXED, HEADER_FIELDS};
use crate::key::PublicKey;
use crate::layout::IMAGE_HEADER_SIZE;
use crate::source::ReadAt;
use crate::tlv::{self, AREA_MAGIC, BOARD_MAX, PROTECTED_AREA_MAGIC, TLV_HEADER};
use crate::{ImageHeader, Region, Version};

/// Why an image may not run.
///
/// The numbers go into the boot record and to the hub: do not reorder, do not reuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Refusal {
    /// The header is not that of an MCUboot image, or asks for what this loader does not do (encryption,
    /// compression, running from RAM, another slot).
    BadHeader = 1,
    /// The image does not fit the slot.
    TooLarge = 2,
    /// The file ends before the image does.
    Truncated = 3,
    /// A TLV area is malformed, or a TLV that is needed is missing or there twice.
    BadTlv = 4,
    /// The image is for another board.
    WrongBoard = 5,
    /// The SHA-256 does not match.
    WrongHash = 6,
    /// It is signed under a key that this loader does not have.
    UnknownKey = 7,
    /// The signature does not match.
    WrongSignature = 8,
    /// Its security counter is below the one that this device has seen confirmed.
    CounterTooLow = 9,
    /// Its vector table points outside the slot or outside RAM.
    BadVectors = 10,
}

impl Refusal {
    /// The cause with number `code`.
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::BadHeader,
            2 => Self::TooLarge,
            3 => Self::Truncated,
            4 => Self::BadTlv,
            5 => Self::WrongBoard,
            6 => Self::WrongHash,
            7 => Self::UnknownKey,
            8 => Self::WrongSignature,
            9 => Self::CounterTooLow,
            10 => Self::BadVectors,
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
            Self::BadHeader => "bad header",
            Self::TooLarge => "too large",
            Self::Truncated => "truncated",
            Self::BadTlv => "bad TLV",
            Self::WrongBoard => "wrong board",
            Self::WrongHash => "wrong hash",
            Self::UnknownKey => "unknown key",
            Self::WrongSignature => "wrong signature",
            Self::CounterTooLow => "security counter too low",
            Self::BadVectors => "bad vectors",
        }
    }
}

/// Why a verification ended without an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyError<E> {
    /// The image was read and may not run.
    Refused(Refusal),
    /// The image could not be read.
    Read(E),
}

impl<E> From<Refusal> for VerifyError<E> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What an image must satisfy.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// Where it will run; also the limit of its size.
    pub slot: Region,
    /// RAM that its initial stack pointer must point into (one past the end is allowed).
    pub ram: Region,
    /// Name of this board.
    pub board: &'a str,
    /// Keys that are trusted.
    pub keys: &'a [PublicKey],
    /// Lowest security counter that is accepted; an image without one counts as 0.
    pub min_counter: u32,
}

/// An image that has been verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// Its version.
    pub version: Version,
    /// Its security counter; 0 if it has none.
    pub counter: u32,
    /// Its SHA-256 (over header, payload and protected TLVs): the image's identity.
    pub hash: [u8; 32],
    /// Bytes from the header to the last TLV.
    pub total_len: u32,
    /// [`SEAL`], made of the comparisons of hash and signature; something else if the verification went on past one
    /// that failed.
    pub seal: u32,
}

/// What both comparisons give together when they succeed: half of the bits from each. A single fault in the core (an
/// instruction skipped, a bit flipped) can turn a branch; whoever acts on a verdict computes with this as well.
pub const SEAL: u32 = SEAL_HASH | SEAL_SIGNATURE;
const SEAL_HASH: u32 = 0xA53C_0000;
const SEAL_SIGNATURE: u32 = 0x0000_C35A;

/// Verifies the image that `source` holds in its first `available` bytes; bytes behind the image are ignored.
///
/// `buf` is scratch memory of at least [`DIGEST_BLOCK`] bytes; a multiple of 256 reads flash best.
///
/// # Errors
/// [`VerifyError::Refused`] with the first cause found, in the order header, size, TLVs, board, hash, key,
/// signature, counter, vectors; [`VerifyError::Read`] if the source fails.
pub fn verify<S: ReadAt>(
    source: &mut S,
    available: u32,
    policy: &Policy<'_>,
    digest: &mut dyn Digest,
    buf: &mut [u8],
) -> Result<ImageInfo, VerifyError<S::Error>> {
    with_reader(source, |read| judge(read, available, policy, digest, buf))
}

/// SHA-256 of the first `len` bytes of `source`; `buf` as for [`verify`].
pub fn sha256<S: ReadAt>(
    source: &mut S,
    len: u32,
    digest: &mut dyn Digest,
    buf: &mut [u8],
) -> Result<[u8; 32], VerifyError<S::Error>> {
    with_reader(source, |read| hash(read, len, digest, buf))
}

/// A source without its type: a bootloader has two, and room for the verification once.
type Read<'a> = dyn FnMut(u32, &mut [u8]) -> Result<(), Refusal> + 'a;

/// A read that fails ends `work` with a refusal, in whose place the source's own error is returned.
fn with_reader<S: ReadAt, T>(
    source: &mut S,
    work: impl FnOnce(&mut Read<'_>) -> Result<T, Refusal>,
) -> Result<T, VerifyError<S::Error>> {
    let mut failed = None;
    let result = work(&mut |offset, buf| {
        source.read_at(offset, buf).map_err(|error| {
            failed = Some(error);
            Refusal::Truncated
        })
    });
    match failed {
        Some(error) => Err(VerifyError::Read(error)),
        None => result.map_err(VerifyError::Refused),
    }
}

fn judge(
    read: &mut Read<'_>,
    available: u32,
    policy: &Policy<'_>,
    digest: &mut dyn Digest,
    buf: &mut [u8],
) -> Result<ImageInfo, Refusal> {
    let header = read_header(read, available, policy)?;
    let protected_start = header.protected_start().ok_or(Refusal::TooLarge)?;
    let hashed_len = header.hashed_len().ok_or(Refusal::TooLarge)?;
    if hashed_len > policy.slot.len {
        return Err(Refusal::TooLarge);
    }
    if hashed_len > available {
        return Err(Refusal::Truncated);
    }

    let mut tlvs = Tlvs::default();
    if header.protected_size != 0 {
        let end = walk(read, protected_start, available, PROTECTED_AREA_MAGIC, &mut tlvs)?;
        if end != hashed_len {
            return Err(Refusal::BadTlv);
        }
    }
    let total_len = walk(read, hashed_len, available, AREA_MAGIC, &mut tlvs)?;
    if total_len > policy.slot.len {
        return Err(Refusal::TooLarge);
    }

    if !tlvs.is_for(policy.board) {
        return Err(Refusal::WrongBoard);
    }
    let stated_hash = tlvs.hash.ok_or(Refusal::BadTlv)?;
    let hash = hash(read, hashed_len, digest, buf)?;
    let mut seal = sealed_if(hash == stated_hash, SEAL_HASH);
    if seal == 0 {
        return Err(Refusal::WrongHash);
    }
    let key_hash = tlvs.key_hash.ok_or(Refusal::BadTlv)?;
    let signature = tlvs.signature.ok_or(Refusal::BadTlv)?;
    let key = policy.keys.iter().find(|key| key.hash_by(digest) == key_hash).ok_or(Refusal::UnknownKey)?;
    let signed = sealed_if(key.verify(&hash, &signature), SEAL_SIGNATURE);
    if signed == 0 {
        return Err(Refusal::WrongSignature);
    }
    seal |= signed;
    let counter = tlvs.counter.unwrap_or(0);
    if counter < policy.min_counter {
        return Err(Refusal::CounterTooLow);
    }
    check_vectors(read, &header, policy)?;
    Ok(ImageInfo { version: header.version, counter, hash, total_len, seal })
}

/// `seal` if the comparison succeeded, else 0; by arithmetic, for a branch could be turned.
#[inline(always)]
fn sealed_if(equal: bool, seal: u32) -> u32 {
    u32::from(core::hint::black_box(equal)).wrapping_neg() & seal
}

fn hash(read: &mut Read<'_>, len: u32, digest: &mut dyn Digest, buf: &mut [u8]) -> Result<[u8; 32], Refusal> {
    let piece = buf.len() / DIGEST_BLOCK * DIGEST_BLOCK;
    digest.begin();
    let mut offset = 0;
    while offset < len {
        let take = (len - offset).min(piece as u32);
        let chunk = &mut buf[..take as usize];
        read(offset, chunk)?;
        digest.update(chunk);
        offset += take;
    }
    Ok(digest.finish())
}

fn read_header(read: &mut Read<'_>, available: u32, policy: &Policy<'_>) -> Result<ImageHeader, Refusal> {
    if available < HEADER_FIELDS as u32 {
        return Err(Refusal::Truncated);
    }
    let mut bytes = [0; HEADER_FIELDS];
    read(0, &mut bytes)?;
    let header = ImageHeader::parse(&bytes).ok_or(Refusal::BadHeader)?;
    let flags_fit = match header.flags {
        0 => true,
        FLAG_ROM_FIXED => header.load_address == policy.slot.start,
        _ => false,
    };
    if !flags_fit || u32::from(header.header_size) != IMAGE_HEADER_SIZE || header.payload_len < 8 {
        return Err(Refusal::BadHeader);
    }
    Ok(header)
}

/// The first two vectors: initial stack pointer and reset (ARMv7-M ARM B1.5.3). A signed image that was linked for
/// another place would otherwise cost three starts and a rollback.
fn check_vectors(read: &mut Read<'_>, header: &ImageHeader, policy: &Policy<'_>) -> Result<(), Refusal> {
    let mut bytes = [0; 8];
    read(u32::from(header.header_size), &mut bytes)?;
    let [s0, s1, s2, s3, r0, r1, r2, r3] = bytes;
    let stack = u32::from_le_bytes([s0, s1, s2, s3]);
    let reset = u32::from_le_bytes([r0, r1, r2, r3]);
    let code = Region { start: policy.slot.start + u32::from(header.header_size), len: header.payload_len };
    let stack_fits = stack.is_multiple_of(8) && stack > policy.ram.start && stack <= policy.ram.end();
    if stack_fits && reset & 1 == 1 && code.contains(reset & !1) { Ok(()) } else { Err(Refusal::BadVectors) }
}

/// The TLVs that matter.
#[derive(Default)]
struct Tlvs {
    hash: Option<[u8; 32]>,
    key_hash: Option<[u8; 32]>,
    signature: Option<[u8; 64]>,
    counter: Option<u32>,
    board: Option<([u8; BOARD_MAX], usize)>,
}

impl Tlvs {
    fn is_for(&self, board: &str) -> bool {
        self.board.as_ref().is_some_and(|(name, len)| &name[..*len] == board.as_bytes())
    }
}

/// Reads the TLV area at `start`; returns the offset behind it.
///
/// Security counter and board count only in the protected area, hash, key and signature only in the other. Other
/// types are skipped: they are covered by the hash, or harmless.
fn walk(read: &mut Read<'_>, start: u32, available: u32, magic: u16, tlvs: &mut Tlvs) -> Result<u32, Refusal> {
    let (found, area_len) = read_pair(read, start, available, Refusal::Truncated)?;
    if found != magic || u32::from(area_len) < TLV_HEADER {
        return Err(Refusal::BadTlv);
    }
    let end = start.checked_add(u32::from(area_len)).ok_or(Refusal::BadTlv)?;
    if end > available {
        return Err(Refusal::Truncated);
    }
    let protected = magic == PROTECTED_AREA_MAGIC;
    let mut at = start + TLV_HEADER;
    while at < end {
        let (kind, len) = read_pair(read, at, end, Refusal::BadTlv)?;
        at += TLV_HEADER;
        let next = at + u32::from(len);
        if next > end {
            return Err(Refusal::BadTlv);
        }
        match (kind, protected) {
            (tlv::SHA256, false) => take(read, at, len, &mut tlvs.hash)?,
            (tlv::KEYHASH, false) => take(read, at, len, &mut tlvs.key_hash)?,
            (tlv::ED25519, false) => take(read, at, len, &mut tlvs.signature)?,
            (tlv::SECURITY_COUNTER, true) => {
                let mut bytes = None;
                take(read, at, len, &mut bytes)?;
                if tlvs.counter.is_some() {
                    return Err(Refusal::BadTlv);
                }
                tlvs.counter = bytes.map(u32::from_le_bytes);
            }
            (tlv::BOARD, true) => {
                let len = usize::from(len);
                if tlvs.board.is_some() || len > BOARD_MAX {
                    return Err(Refusal::BadTlv);
                }
                let mut name = [0; BOARD_MAX];
                read(at, &mut name[..len])?;
                tlvs.board = Some((name, len));
            }
            _ => {}
        }
        at = next;
    }
    Ok(end)
}

/// The two halfwords of an area's or entry's header; `refusal` if they do not end before `limit`.
fn read_pair(read: &mut Read<'_>, at: u32, limit: u32, refusal: Refusal) -> Result<(u16, u16), Refusal> {
    if at.checked_add(TLV_HEADER).is_none_or(|end| end > limit) {
        return Err(refusal);
    }
    let mut bytes = [0; 4];
    read(at, &mut bytes)?;
    let [a0, a1, b0, b1] = bytes;
    Ok((u16::from_le_bytes([a0, a1]), u16::from_le_bytes([b0, b1])))
}

/// A value of exactly `N` bytes, once.
fn take<const N: usize>(read: &mut Read<'_>, at: u32, len: u16, value: &mut Option<[u8; N]>) -> Result<(), Refusal> {
    if value.is_some() || usize::from(len) != N {
        return Err(Refusal::BadTlv);
    }
    let mut bytes = [0; N];
    read(at, &mut bytes)?;
    *value = Some(bytes);
    Ok(())
}
