//! The flash under the store: reads that stay inside the volume, a cached page of the log, programs that are checked.

use embedded_storage::nor_flash::NorFlash;

use crate::store::Store;
use crate::{BLOCK_SIZE, StoreError};

/// Unit of programs and of the cache, bytes: the page of the flash.
pub(crate) const PAGE: u32 = 256;
/// How often a page has to read the same to be taken for settled, and how often a log may be read until it is sound.
pub(crate) const READS: u32 = 8;
/// Blocks that may fail in one call before the flash as a whole is taken to have failed.
const FAULTS: u8 = 8;
/// No page.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// What a walk over the metadata pairs does on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing.
    Read,
    /// Reads each page of a log several times; one that does not read the same each time counts as damaged. Elects one
    /// block of each pair.
    Check,
    /// As `Check`, and programs each page with what it reads as; then erases the other block of the pair.
    Settle,
    /// Collects the blocks in use.
    Map,
}

impl<F: NorFlash> Store<F> {
    pub(crate) fn blocks(&self) -> u32 {
        self.region.len / BLOCK_SIZE
    }

    /// Address of `len` bytes in a block. Pointers come from the flash, so nothing here trusts them.
    fn address(&self, block: u32, offset: u32, len: usize) -> Result<u32, StoreError> {
        if block < self.blocks() && offset <= BLOCK_SIZE && len <= (BLOCK_SIZE - offset) as usize {
            Ok(self.region.start + block * BLOCK_SIZE + offset)
        } else {
            Err(StoreError::Corrupt)
        }
    }

    pub(crate) fn read(&mut self, block: u32, offset: u32, buf: &mut [u8]) -> Result<(), StoreError> {
        let address = self.address(block, offset, buf.len())?;
        self.flash.read(address, buf).map_err(|_| StoreError::Flash)
    }

    /// A little-endian word that is read afresh.
    pub(crate) fn word(&mut self, block: u32, offset: u32) -> Result<u32, StoreError> {
        let mut word = [0; 4];
        self.read(block, offset, &mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    /// A byte of a log, from the cached page.
    pub(crate) fn log_byte(&mut self, block: u32, offset: u32) -> Result<u8, StoreError> {
        let page = self.address(block, offset / PAGE * PAGE, PAGE as usize)?;
        if page != self.line_at {
            self.load(page)?;
        }
        Ok(self.line[(offset % PAGE) as usize])
    }

    /// A big-endian word of a log.
    pub(crate) fn log_word(&mut self, block: u32, offset: u32) -> Result<u32, StoreError> {
        let mut word = 0;
        for n in 0..4 {
            word = word << 8 | u32::from(self.log_byte(block, offset + n)?);
        }
        Ok(word)
    }

    fn load(&mut self, page: u32) -> Result<(), StoreError> {
        self.line_at = NOWHERE;
        self.flash.read(page, &mut self.line).map_err(|_| StoreError::Flash)?;
        if self.mode == Mode::Check || self.mode == Mode::Settle {
            for n in 0..READS {
                self.flash.read(page, &mut self.page).map_err(|_| StoreError::Flash)?;
                if self.page != self.line {
                    // No checksum holds over this.
                    self.line.fill(0);
                    break;
                }
                if n == 0 && self.mode == Mode::Settle {
                    self.flash.write(page, &self.line).map_err(|_| StoreError::Flash)?;
                }
            }
        }
        self.line_at = page;
        Ok(())
    }

    /// Programs the page buffer and reads it back.
    ///
    /// # Errors
    /// [`StoreError::Flash`]: the block is bad.
    pub(crate) fn program(&mut self, block: u32, offset: u32) -> Result<(), StoreError> {
        self.line_at = NOWHERE;
        let address = self.address(block, offset, PAGE as usize)?;
        let written = self.flash.write(address, &self.page).and_then(|()| self.flash.read(address, &mut self.line));
        if written.is_ok() && self.line == self.page { Ok(()) } else { self.fault() }
    }

    /// # Errors
    /// [`StoreError::Flash`]: the block is bad.
    pub(crate) fn erase(&mut self, block: u32) -> Result<(), StoreError> {
        const {
            assert!(F::ERASE_SIZE == BLOCK_SIZE as usize);
            assert!(PAGE.is_multiple_of(F::WRITE_SIZE as u32) && F::READ_SIZE == 1);
        }
        self.line_at = NOWHERE;
        let address = self.address(block, 0, BLOCK_SIZE as usize)?;
        match self.flash.erase(address, address + BLOCK_SIZE) {
            Ok(()) => Ok(()),
            Err(_) => self.fault(),
        }
    }

    fn fault(&mut self) -> Result<(), StoreError> {
        self.faults = self.faults.saturating_add(1);
        Err(StoreError::Flash)
    }

    /// Takes a free block and erases it.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] if there is none, [`StoreError::Flash`] if too many have proved bad.
    pub(crate) fn allocate(&mut self) -> Result<u32, StoreError> {
        let blocks = self.blocks();
        for _ in 0..blocks {
            let block = self.cursor;
            self.cursor = (block + 1) % blocks;
            if self.faults > FAULTS {
                return Err(StoreError::Flash);
            }
            if self.take(block)? && self.erase(block).is_ok() {
                return Ok(block);
            }
        }
        Err(StoreError::NoSpace)
    }

    pub(crate) fn is_used(&self, block: u32) -> bool {
        self.used.get((block / 8) as usize).is_some_and(|byte| byte >> (block % 8) & 1 != 0)
    }

    /// Marks a block as used and says whether it was free.
    pub(crate) fn take(&mut self, block: u32) -> Result<bool, StoreError> {
        let bit = 1 << (block % 8);
        match self.used.get_mut((block / 8) as usize) {
            Some(byte) if block < self.region.len / BLOCK_SIZE => {
                let free = *byte & bit == 0;
                *byte |= bit;
                Ok(free)
            }
            _ => Err(StoreError::Corrupt),
        }
    }
}
