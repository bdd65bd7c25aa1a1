//! The volume in a flash dump: what a test runner looks at.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_read};
use update_image::{ReadAt, Region};

use crate::{BLOCK_SIZE, Store, StoreError, block_index, block_offset, next_block_len};

/// A flash dump, mounted.
pub struct Dump<'a> {
    store: Store<DumpFlash<'a>>,
    last_read: &'a Cell<u32>,
}

impl<'a> Dump<'a> {
    /// Mounts the volume in `region` of the dump `bytes` and hands it to `f`. Nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if there is no volume.
    pub fn with<T>(
        bytes: &[u8],
        region: Region,
        f: impl FnOnce(&Dump<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let last_read = Cell::new(0);
        let flash = DumpFlash { bytes, last_read: &last_read };
        let store = Store::mount(flash, region).map_err(|(error, _)| error)?;
        f(&Dump { store, last_read: &last_read })
    }

    /// Names and lengths of the files, in the order of the directory.
    ///
    /// # Errors
    /// If the directory is damaged.
    pub fn list(&self) -> Result<Vec<(String, u32)>, StoreError> {
        self.store.list()
    }

    /// Length of the file `name`, bytes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none.
    pub fn len(&self, name: &str) -> Result<u32, StoreError> {
        self.store.len(name)
    }

    /// The contents of the file `name`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let mut file = self.store.open(name)?;
        let mut bytes = vec![0; file.len() as usize];
        file.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Where the flash holds the file `name`: address in the dump and length of its data in each block, in the order
    /// of the file. Pointers of littlefs at the start of a block are left out. A file of up to 256 bytes lies in the
    /// directory, as one piece.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none.
    pub fn extents(&self, name: &str) -> Result<Vec<Region>, StoreError> {
        let len = self.store.len(name)?;
        let mut extents = Vec::new();
        let mut offset = 0;
        while offset < len {
            let piece = next_block_len(offset).min(len - offset);
            // The last flash read of a fresh reader that fetches one byte is the one that fetches that byte.
            let mut byte = [0];
            self.store.open(name)?.read_at(offset + piece - 1, &mut byte)?;
            let block = self.last_read.get() / BLOCK_SIZE * BLOCK_SIZE;
            let index = block_index(offset);
            let pointers = BLOCK_SIZE - (block_offset(index + 1) - block_offset(index));
            extents.push(Region { start: block + pointers, len: piece });
            offset += piece;
        }
        Ok(extents)
    }
}

/// Why a dump refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DumpError(NorFlashErrorKind);

impl NorFlashError for DumpError {
    fn kind(&self) -> NorFlashErrorKind {
        self.0
    }
}

/// A dump as a flash that cannot be written.
struct DumpFlash<'a> {
    bytes: &'a [u8],
    last_read: &'a Cell<u32>,
}

impl ErrorType for DumpFlash<'_> {
    type Error = DumpError;
}

impl ReadNorFlash for DumpFlash<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), DumpError> {
        check_read(self, offset, bytes.len()).map_err(DumpError)?;
        self.last_read.set(offset);
        let start = offset as usize;
        bytes.copy_from_slice(&self.bytes[start..start + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for DumpFlash<'_> {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = BLOCK_SIZE as usize;

    fn erase(&mut self, _: u32, _: u32) -> Result<(), DumpError> {
        Err(DumpError(NorFlashErrorKind::Other))
    }

    fn write(&mut self, _: u32, _: &[u8]) -> Result<(), DumpError> {
        Err(DumpError(NorFlashErrorKind::Other))
    }
}
