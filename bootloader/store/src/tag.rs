//! Tags of a metadata log (littlefs SPEC.md, "Metadata tags"): `valid(1) type(11) id(10) length(10)`.

/// Name of a file; the low byte says what kind of file.
pub const REGULAR: u32 = 0x001;
/// File contents in the log.
pub const INLINE: u32 = 0x201;
/// File contents in a skip-list of blocks.
pub const CTZ: u32 = 0x202;
/// A directory: its first metadata pair.
pub const DIRECTORY: u32 = 0x200;
/// An entry is inserted; those from its id on move up.
pub const CREATE: u32 = 0x401;
/// An entry is taken out; those behind it move down.
pub const DELETE: u32 = 0x4FF;
/// End of a commit.
pub const CRC: u32 = 0x500;
/// The next metadata pair; with 1 added if it is of the same directory.
pub const TAIL: u32 = 0x600;
/// Part of the state that spans the volume.
pub const MOVE_STATE: u32 = 0x7FF;

/// Names of files and directories, by [`class`].
pub const FILES: u32 = 0x000;
/// The name of the superblock, by [`class`].
pub const SUPERBLOCK: u32 = 0x080;

/// Id of what belongs to no entry.
pub const NO_ID: u32 = 0x3FF;

/// A block pointer to nothing.
pub const NO_BLOCK: u32 = u32::MAX;

pub const fn new(kind: u32, id: u32, len: u32) -> u32 {
    kind << 20 | id << 10 | len
}

pub const fn kind(tag: u32) -> u32 {
    tag >> 20 & 0x7FF
}

/// The upper four bits of the type: tells CRC from FCRC, and files from the superblock.
pub const fn class(tag: u32) -> u32 {
    tag >> 20 & 0x780
}

pub const fn id(tag: u32) -> u32 {
    tag >> 10 & 0x3FF
}

/// Bytes of data behind the tag. The length of all ones stands for "deleted".
pub const fn len(tag: u32) -> u32 {
    let len = tag & 0x3FF;
    if len == 0x3FF { 0 } else { len }
}

/// CRC-32 of polynomial 0x04C11DB7, bits reflected, not inverted at the end.
pub fn crc(crc: u32, byte: u8) -> u32 {
    let mut crc = crc ^ u32::from(byte);
    for _ in 0..8 {
        crc = crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
    }
    crc
}

/// Number `n` of the little-endian words in `bytes`; 0 behind their end.
pub fn word(bytes: &[u8; 12], n: usize) -> u32 {
    bytes.as_chunks::<4>().0.get(n).map_or(0, |word| u32::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_the_one_of_littlefs() {
        // CRC-32/JAMCRC, check value of the catalogue of parametrised CRC algorithms.
        assert_eq!(b"123456789".iter().fold(!0, |sum, byte| crc(sum, *byte)), 0x340B_C6D9);
    }

    #[test]
    fn fields_of_a_tag() {
        let tag = new(CTZ, 5, 8);
        assert_eq!((kind(tag), id(tag), len(tag)), (CTZ, 5, 8));
        assert_eq!(len(new(0x342, 1, 0x3FF)), 0);
        assert_eq!((class(new(0x5FF, NO_ID, 8)), class(new(0x501, NO_ID, 8))), (0x580, CRC));
    }
}
