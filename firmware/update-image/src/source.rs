//! What an image is read from.

use embedded_storage::nor_flash::ReadNorFlash;

/// Bytes that can be read at any offset.
pub trait ReadAt {
    /// Why a read failed.
    type Error;

    /// Fills `buf` from `offset`; a short read is an error.
    fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), Self::Error>;
}

impl<T: ReadAt + ?Sized> ReadAt for &mut T {
    type Error = T::Error;

    fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), Self::Error> {
        T::read_at(self, offset, buf)
    }
}

/// A read past the end of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds;

impl ReadAt for &[u8] {
    type Error = OutOfBounds;

    fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), OutOfBounds> {
        let start = offset as usize;
        let end = start.checked_add(buf.len()).ok_or(OutOfBounds)?;
        buf.copy_from_slice(self.get(start..end).ok_or(OutOfBounds)?);
        Ok(())
    }
}

/// A flash seen from `base` on.
///
/// Reads are passed on as they come, so the flash's `READ_SIZE` must be 1.
pub struct FlashSource<F> {
    /// The flash.
    pub flash: F,
    /// Address that offset 0 stands for.
    pub base: u32,
}

impl<F: ReadNorFlash> ReadAt for FlashSource<F> {
    type Error = F::Error;

    fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), F::Error> {
        const { assert!(F::READ_SIZE == 1, "images are read at byte granularity") };
        self.flash.read(self.base.saturating_add(offset), buf)
    }
}
