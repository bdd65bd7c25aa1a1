//! The board's flashes as an observer reads them: read-only, straight from the model's arrays.

use std::sync::{Arc, Mutex, PoisonError};

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use same54_sim::Board;
use update_image::{ReadAt as _, layout};
use update_store::Store;

/// External flash, read without the firmware.
#[derive(Clone)]
pub struct NorView(pub(super) Arc<Mutex<Board>>);

impl ErrorType for NorView {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for NorView {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.copy_from_slice(&board.nor(offset, bytes.len()));
        Ok(())
    }

    fn capacity(&self) -> usize {
        layout::STORE.len as usize
    }
}

impl NorFlash for NorView {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, _from: u32, _to: u32) -> Result<(), Self::Error> {
        Err(NorFlashErrorKind::Other)
    }

    fn write(&mut self, _offset: u32, _bytes: &[u8]) -> Result<(), Self::Error> {
        Err(NorFlashErrorKind::Other)
    }
}

impl NorView {
    /// Contents of a file on external flash; nothing if there is no such file or no volume.
    pub fn file(&self, name: &str) -> Option<Vec<u8>> {
        let store = Store::mount(self.clone(), layout::STORE).ok()?;
        let mut reader = store.open(name).ok()?;
        let mut bytes = vec![0; reader.len() as usize];
        reader.read_at(0, &mut bytes).ok()?;
        Some(bytes)
    }

    /// Length of a file on external flash; nothing if there is no such file or no volume.
    pub fn file_len(&self, name: &str) -> Option<u32> {
        Store::mount(self.clone(), layout::STORE).ok()?.len(name).ok()
    }
}

/// Internal flash, as it was when the copy was taken.
pub struct NvmView(pub(super) Vec<u8>);

impl ErrorType for NvmView {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for NvmView {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let from = offset as usize;
        let there = self.0.get(from..from + bytes.len()).ok_or(NorFlashErrorKind::OutOfBounds)?;
        bytes.copy_from_slice(there);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for NvmView {
    const WRITE_SIZE: usize = layout::WRITE_SIZE as usize;
    const ERASE_SIZE: usize = layout::ERASE_SIZE as usize;

    fn erase(&mut self, _from: u32, _to: u32) -> Result<(), Self::Error> {
        Err(NorFlashErrorKind::Other)
    }

    fn write(&mut self, _offset: u32, _bytes: &[u8]) -> Result<(), Self::Error> {
        Err(NorFlashErrorKind::Other)
    }
}
