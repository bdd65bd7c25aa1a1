//! A program becomes an image.

use std::path::Path;

use update_image::layout::VECTOR_TABLE;
use update_image::sign::{self, SecretKey, SignError};
use update_image::{ImageInfo, MAGIC, Refusal, Version};

use super::{ImageError, inspect, read};
use crate::elf::Image;

/// What to do with a program that would not start.
pub(super) const NOT_FOR_THE_SLOT: &str =
    "its stack pointer or reset vector is not that of a program in the slot; link it with its vector table at 0x10400";

const _: () = assert!(VECTOR_TABLE == 0x1_0400);

/// An image and what its bootloader will see in it.
#[derive(Debug)]
pub struct MadeImage {
    /// The file.
    pub bytes: Vec<u8>,
    /// Version, counter, hash.
    pub info: ImageInfo,
}

/// Makes the signed image of the program in `input`: an ELF, or its bytes from the vector table on.
///
/// # Errors
/// The program is not linked for the slot, or the image would not be accepted by a bootloader with this key.
pub fn make(
    input: &Path,
    key: &SecretKey,
    version: Version,
    counter: u32,
    board: &str,
) -> Result<MadeImage, ImageError> {
    let refused = |why: &str| ImageError::Payload { path: input.to_owned(), why: why.to_owned() };
    let bytes = read(input)?;
    let payload = if bytes.starts_with(b"\x7fELF") {
        let elf = Image::parse(bytes).map_err(|why| ImageError::Elf { path: input.to_owned(), why })?;
        let (base, payload) = elf.flat();
        if base != VECTOR_TABLE || elf.vector_table != base {
            return Err(refused(&format!(
                "not linked for the application slot: it begins at {base:#x}, not with its vector table at \
                 {VECTOR_TABLE:#x}; correct FLASH in memory.x"
            )));
        }
        payload
    } else {
        bytes
    };
    if payload.starts_with(&MAGIC.to_le_bytes()) {
        return Err(refused("it is an image already; give the program that it was made of"));
    }
    let bytes = sign::sign(&payload, key, version, counter, board).map_err(|why| match why {
        SignError::TooLarge { len, .. } => ImageError::TooLarge { path: input.to_owned(), len },
        SignError::BoardName(name) => ImageError::BoardName(name),
        other => refused(&other.to_string()),
    })?;
    match inspect::verify(&bytes, &[key.public()], board, counter) {
        Ok((info, _)) => Ok(MadeImage { bytes, info }),
        Err(Refusal::BadVectors) => Err(refused(&format!("not linked for the application slot: {NOT_FOR_THE_SLOT}"))),
        Err(Refusal::BadHeader) => Err(refused("too short for a program: there is no vector table")),
        Err(other) => Err(refused(&format!("the image would be refused: {}", other.as_str()))),
    }
}
