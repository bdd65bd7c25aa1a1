//! Image format, flash layout and boot record: what application, bootloader and host tools must agree on.
//!
//! - [`layout`]: regions of internal and external flash, file names;
//! - [`verify`](verify()): reads an MCUboot image in pieces and says whether it may run;
//! - [`boot_record`]: what bootloader and application tell each other over a reset, safe against power cuts;
//! - `sign` (feature of the same name): makes images and keys that `imgtool` accepts;
//! - `sim` (feature of the same name): a simulated flash whose supply can be cut in any program or erase.
#![no_std]

#[cfg(any(test, feature = "sign", feature = "sim"))]
extern crate std;

pub mod boot_record;
pub mod layout;
pub mod tlv;

mod digest;
mod header;
mod key;
#[cfg(feature = "sign")]
pub mod sign;
#[cfg(feature = "sim")]
pub mod sim;
mod source;
mod verify;

pub use digest::{DIGEST_BLOCK, Digest, SoftwareDigest};
pub use header::{FLAG_ROM_FIXED, HEADER_FIELDS, ImageHeader, MAGIC, Version};
pub use key::{PublicKey, SPKI_PREFIX};
pub use layout::Region;
pub use source::{FlashSource, OutOfBounds, ReadAt};
pub use verify::{ImageInfo, Policy, Refusal, SEAL, VerifyError, sha256, verify};
