//! The last step before the image runs.
//!
//! [`boot`](crate::boot) decides by branches, and one fault in the core, a skipped instruction or a flipped bit, turns a
//! branch. So nothing starts on its word alone: the image is verified again, from its first byte and under a boot record
//! that is read again, and the address of its vector table is computed out of both verdicts. One fault reaches one of
//! them; the other then leads to an address where no image is.

use core::hint::black_box;

use embedded_storage::nor_flash::NorFlash;
use update_image::boot_record::BootRecord;
use update_image::layout::IMAGE_HEADER_SIZE;
use update_image::{Digest, FlashSource, ImageInfo, SEAL, VerifyError, verify};

use crate::loader::{Config, NothingToStart, Scratch};

/// Verifies the slot once more and gives the address of the vector table of `image`, which [`boot`](crate::boot) has
/// decided to start.
///
/// # Errors
/// If the slot does not hold an image that may run: after a fault, or because flash cells change.
#[inline(never)]
pub fn release<I: NorFlash>(
    internal: I,
    config: &Config<'_>,
    scratch: &mut Scratch,
    digest: &mut dyn Digest,
    image: &ImageInfo,
) -> Result<u32, NothingToStart> {
    let mut record = BootRecord::open(internal);
    let policy = config.policy(record.state().counter);
    let mut source = FlashSource { flash: record.flash(), base: config.slot.start };
    let again = verify(&mut source, config.slot.len, &policy, digest, &mut scratch.0).map_err(|error| match error {
        VerifyError::Refused(cause) => NothingToStart::Refused(cause),
        VerifyError::Read(_) => NothingToStart::SlotFailed,
    })?;
    let differs = image.hash.iter().zip(&again.hash).fold(0, |all, (one, other)| all | (one ^ other));
    let doubt = black_box(image.seal ^ SEAL) | black_box(again.seal ^ SEAL) | u32::from(differs);
    Ok((config.slot.start + IMAGE_HEADER_SIZE).wrapping_add(doubt))
}
