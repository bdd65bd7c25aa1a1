//! The 32-byte image header of MCUboot (docs/design.md, "Image format": `struct image_header`), little endian.

use core::fmt;

/// First word of every image.
pub const MAGIC: u32 = 0x96F3_B83D;
/// Bytes of the header that carry fields; the rest of `header_size` is padding.
pub const HEADER_FIELDS: usize = 32;

/// Flag `IMAGE_F_ROM_FIXED`: the image was linked for the slot at `load_address` (imgtool's `--rom-fixed`).
pub const FLAG_ROM_FIXED: u32 = 0x100;

mod field {
    use core::ops::Range;
    pub const MAGIC: Range<usize> = 0..4;
    pub const LOAD_ADDRESS: Range<usize> = 4..8;
    pub const HEADER_SIZE: Range<usize> = 8..10;
    pub const PROTECTED_SIZE: Range<usize> = 10..12;
    pub const PAYLOAD_LEN: Range<usize> = 12..16;
    pub const FLAGS: Range<usize> = 16..20;
    pub const VERSION: Range<usize> = 20..28;
}

/// Version of an image; ordered as MCUboot orders them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u8,
    /// Second number.
    pub minor: u8,
    /// Third number.
    pub revision: u16,
    /// Number after the `+`.
    pub build: u32,
}

impl Version {
    /// `major.minor.revision+0`.
    pub const fn new(major: u8, minor: u8, revision: u16) -> Self {
        Self { major, minor, revision, build: 0 }
    }

    /// Parses `1.2.3` or `1.2.3+4`.
    pub fn parse(text: &str) -> Option<Self> {
        // The standard library's numbers may have a sign.
        if text.contains("++") {
            return None;
        }
        let (numbers, build) = match text.split_once('+') {
            Some((numbers, build)) => (numbers, build.parse().ok()?),
            None => (text, 0),
        };
        let mut parts = numbers.split('.');
        let version = Self {
            major: parts.next()?.parse().ok()?,
            minor: parts.next()?.parse().ok()?,
            revision: parts.next()?.parse().ok()?,
            build,
        };
        parts.next().is_none().then_some(version)
    }

    pub(crate) fn from_bytes(bytes: [u8; 8]) -> Self {
        let [major, minor, r0, r1, b0, b1, b2, b3] = bytes;
        Self { major, minor, revision: u16::from_le_bytes([r0, r1]), build: u32::from_le_bytes([b0, b1, b2, b3]) }
    }

    pub(crate) fn to_bytes(self) -> [u8; 8] {
        let [r0, r1] = self.revision.to_le_bytes();
        let [b0, b1, b2, b3] = self.build.to_le_bytes();
        [self.major, self.minor, r0, r1, b0, b1, b2, b3]
    }
}

impl fmt::Display for Version {
    /// `1.2.3`, and `+4` if there is a build number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.revision)?;
        if self.build != 0 {
            write!(f, "+{}", self.build)?;
        }
        Ok(())
    }
}

/// The fields of an image header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// Address of the slot the image was linked for; only meaningful with [`FLAG_ROM_FIXED`].
    pub load_address: u32,
    /// Bytes from the start of the image to the payload.
    pub header_size: u16,
    /// Bytes of the protected TLV area behind the payload, its own 4-byte header included; 0 if there is none.
    pub protected_size: u16,
    /// Bytes of the payload.
    pub payload_len: u32,
    /// `IMAGE_F_*` bits.
    pub flags: u32,
    /// Version of the image.
    pub version: Version,
}

impl ImageHeader {
    /// Reads the fields; `None` if the magic number is wrong.
    pub fn parse(bytes: &[u8; HEADER_FIELDS]) -> Option<Self> {
        let word = |at: core::ops::Range<usize>| {
            let b = &bytes[at];
            u32::from_le_bytes([b[0], b[1], b[2], b[3]])
        };
        let half = |at: core::ops::Range<usize>| u16::from_le_bytes([bytes[at.start], bytes[at.start + 1]]);
        if word(field::MAGIC) != MAGIC {
            return None;
        }
        let mut version = [0; 8];
        version.copy_from_slice(&bytes[field::VERSION]);
        Some(Self {
            load_address: word(field::LOAD_ADDRESS),
            header_size: half(field::HEADER_SIZE),
            protected_size: half(field::PROTECTED_SIZE),
            payload_len: word(field::PAYLOAD_LEN),
            flags: word(field::FLAGS),
            version: Version::from_bytes(version),
        })
    }

    /// Writes the fields.
    pub fn emit(&self) -> [u8; HEADER_FIELDS] {
        let mut bytes = [0; HEADER_FIELDS];
        bytes[field::MAGIC].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[field::LOAD_ADDRESS].copy_from_slice(&self.load_address.to_le_bytes());
        bytes[field::HEADER_SIZE].copy_from_slice(&self.header_size.to_le_bytes());
        bytes[field::PROTECTED_SIZE].copy_from_slice(&self.protected_size.to_le_bytes());
        bytes[field::PAYLOAD_LEN].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[field::FLAGS].copy_from_slice(&self.flags.to_le_bytes());
        bytes[field::VERSION].copy_from_slice(&self.version.to_bytes());
        bytes
    }

    /// Where the protected TLV area starts, if 32 bits can say so.
    pub fn protected_start(&self) -> Option<u32> {
        u32::from(self.header_size).checked_add(self.payload_len)
    }

    /// Bytes that the image's hash covers: header, payload and protected TLVs.
    pub fn hashed_len(&self) -> Option<u32> {
        self.protected_start()?.checked_add(u32::from(self.protected_size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_survives_emit_and_parse() {
        let header = ImageHeader {
            load_address: 0x1_0000,
            header_size: 0x400,
            protected_size: 36,
            payload_len: 0x1234_5678,
            flags: FLAG_ROM_FIXED,
            version: Version { major: 1, minor: 2, revision: 0x0304, build: 0x0506_0708 },
        };
        let bytes = header.emit();
        assert_eq!(ImageHeader::parse(&bytes), Some(header));
        for bit in 0..32 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ImageHeader::parse(&damaged), None, "magic with bit {bit} flipped");
        }
    }

    #[test]
    fn versions_are_parsed_and_ordered() {
        assert_eq!(Version::parse("1.2.3"), Some(Version::new(1, 2, 3)));
        assert_eq!(Version::parse("1.2.3+9").map(|v| v.build), Some(9));
        for bad in ["", "1", "1.2", "1.2.3.4", "256.0.0", "1.2.x", "1.2.3+", "1.2.3++4", "+1.2.3"] {
            assert_eq!(Version::parse(bad), None, "{bad:?}");
        }
        assert!(Version::new(1, 9, 9) < Version::new(2, 0, 0));
        assert!(Version::parse("2.0.0") < Version::parse("2.0.0+1"));
    }
}
