//! Type-length-value trailers of an image (MCUboot docs/design.md, "Image format").
//!
//! A TLV area is a 4-byte header (magic, length of the whole area) and entries of 4-byte header (type, length) and
//! value, with no padding. The protected area, if there is one, comes first and is covered by the hash.

/// Magic of the area that the hash does not cover.
pub const AREA_MAGIC: u16 = 0x6907;
/// Magic of the protected area.
pub const PROTECTED_AREA_MAGIC: u16 = 0x6908;
/// Bytes of an area's header, and of an entry's.
pub const TLV_HEADER: u32 = 4;

/// SHA-256 of the public key's SubjectPublicKeyInfo.
pub const KEYHASH: u16 = 0x01;
/// SHA-256 over header, payload and protected TLVs.
pub const SHA256: u16 = 0x10;
/// Ed25519 signature over the SHA-256.
pub const ED25519: u16 = 0x24;
/// Security counter, 32 bits, protected.
pub const SECURITY_COUNTER: u16 = 0x50;
/// Name of the board that the image is for, UTF-8, protected. Of the vendor range (0xA0 to 0xFFFE), and ours.
pub const BOARD: u16 = 0xA1;

/// Longest board name, bytes.
pub const BOARD_MAX: usize = 32;
