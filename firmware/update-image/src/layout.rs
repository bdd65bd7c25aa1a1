//! Where things lie in flash, and what the files of an update are called.
//!
//! Internal flash is the SAM E54's 1 MiB array with 8 KiB erase blocks and 16-byte quad words (SAM D5x/E5x datasheet,
//! NVMCTRL). External flash holds one littlefs volume.

use core::ops::Range;

/// A part of a flash, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

impl Region {
    /// The byte after the last one.
    pub const fn end(self) -> u32 {
        self.start + self.len
    }

    /// The addresses of the region.
    pub const fn range(self) -> Range<u32> {
        self.start..self.end()
    }

    /// Whether `address` lies inside.
    pub const fn contains(self, address: u32) -> bool {
        address >= self.start && address < self.end()
    }
}

/// Erase block of the internal flash, bytes.
pub const ERASE_SIZE: u32 = 0x2000;
/// The smallest write to internal flash, bytes: the quad word that shares one ECC and is programmed once per erase.
pub const WRITE_SIZE: u32 = 16;

/// The bootloader (BOOTPROT covers it).
pub const BOOTLOADER: Region = Region { start: 0, len: 0x1_0000 };
/// The application slot: image header, payload and TLVs, as they stand in the image file.
pub const SLOT: Region = Region { start: 0x1_0000, len: 0xE_8000 };
/// Header size of every image: the vector table behind it must lie on a multiple of 1 KiB, since VTOR ignores as many
/// address bits as the table needs (153 vectors on the SAM E54; ARMv7-M ARM B3.2.5).
pub const IMAGE_HEADER_SIZE: u32 = 0x400;
/// Address of the vector table of the application in the slot.
pub const VECTOR_TABLE: u32 = SLOT.start + IMAGE_HEADER_SIZE;
/// The provisioning record.
pub const PROVISIONING: Region = Region { start: 0xF_8000, len: 0x4000 };
/// The boot record: a log over two erase blocks.
pub const BOOT_RECORD: Region = Region { start: 0xF_C000, len: 0x4000 };

/// The littlefs volume on external flash; the rest of the device is free.
pub const STORE: Region = Region { start: 0, len: 0x80_0000 };
/// A download that is under way.
pub const IMAGE_TMP: &str = "image.tmp";
/// A complete download for the bootloader.
pub const IMAGE_BIN: &str = "image.bin";
/// The last confirmed image, for a rollback.
pub const PREVIOUS_BIN: &str = "previous.bin";
/// `previous.bin` while it is being written.
pub const PREVIOUS_TMP: &str = "previous.tmp";
/// The last image that the bootloader refused.
pub const REFUSED_BIN: &str = "refused.bin";
/// The agent's own memory over a reset.
pub const AGENT_STATE: &str = "agent.state";

const _: () = {
    assert!(BOOTLOADER.end() == SLOT.start);
    assert!(SLOT.end() == PROVISIONING.start);
    assert!(PROVISIONING.end() == BOOT_RECORD.start);
    assert!(BOOT_RECORD.end() == 0x10_0000);
    assert!(VECTOR_TABLE.is_multiple_of(0x400));
    assert!(SLOT.start.is_multiple_of(ERASE_SIZE) && SLOT.len.is_multiple_of(ERASE_SIZE));
};
