//! Internal flash: NVMCTRL (SAM D5x/E5x datasheet, chapter 25).
//!
//! 1 MiB in two banks of 512 KiB, blocks of 8 KiB to erase, pages of 512 bytes, quad words of 16 bytes. Each quad
//! word may be programmed once per erase, because its ECC is programmed with it. While a bank is erased or programmed,
//! fetches from *that* bank stall the core; code in the other bank runs on (25.6.2, read while write).

use atsamd_hal::pac;
use embedded_hal::delay::DelayNs;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use pac::nvmctrl::ctrlb::Cmdselect;

use crate::{cache, window};

/// Size of the main array, bytes.
pub const NVM_SIZE: usize = 1 << 20;
/// Smallest unit of erasing, bytes.
pub const NVM_BLOCK: usize = 8192;
/// Largest unit of programming, bytes.
pub const NVM_PAGE: usize = 512;
/// Smallest unit of programming, bytes.
pub const NVM_QUAD_WORD: usize = 16;

/// How often STATUS is looked at while a write is under way, microseconds.
const WRITE_POLL_US: u32 = 50;
/// A page takes a few milliseconds at worst; beyond this NVMCTRL is taken for dead.
const WRITE_POLLS: u32 = 1_000;
/// How often STATUS is looked at while an erase is under way, microseconds.
const ERASE_POLL_US: u32 = 1_000;
/// A block takes some tenths of a second at worst; beyond this NVMCTRL is taken for dead.
const ERASE_POLLS: u32 = 2_000;

/// Why internal flash refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NvmError {
    /// Outside of the main array.
    OutOfBounds,
    /// Not a multiple of the quad word or of the block.
    NotAligned,
    /// INTFLAG.LOCKE: the region is locked or protected by BOOTPROT.
    Locked,
    /// INTFLAG.PROGE or NVME: the command failed.
    Failed,
    /// INTFLAG.ADDRE: NVMCTRL refused the address.
    Address,
    /// The controller stayed busy far beyond the datasheet's worst case.
    Timeout,
}

impl NorFlashError for NvmError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::OutOfBounds | Self::Address => NorFlashErrorKind::OutOfBounds,
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::Locked | Self::Failed | Self::Timeout => NorFlashErrorKind::Other,
        }
    }
}

fn from_kind(kind: NorFlashErrorKind) -> NvmError {
    match kind {
        NorFlashErrorKind::OutOfBounds => NvmError::OutOfBounds,
        _ => NvmError::NotAligned,
    }
}

/// The internal flash as a whole, addressed from 0 as the core sees it.
///
/// `D` waits while the controller is busy; it should sleep rather than spin.
pub struct Nvm<D> {
    nvm: pac::Nvmctrl,
    delay: D,
}

impl<D: DelayNs> Nvm<D> {
    /// Takes the controller over.
    pub fn new(nvm: pac::Nvmctrl, delay: D) -> Self {
        Self { nvm, delay }
    }

    /// Gives the controller back.
    pub fn release(self) -> (pac::Nvmctrl, D) {
        (self.nvm, self.delay)
    }

    /// Size of the region that BOOTPROT protects against writing, from address 0, bytes.
    pub fn boot_protected(&self) -> u32 {
        let status = self.nvm.status().read();
        if status.bpdis().bit_is_set() {
            return 0;
        }
        u32::from(15 - status.bootprot().bits()) * NVM_BLOCK as u32
    }

    /// The bytes in place, for code that only reads: records, the running image.
    ///
    /// `None` if the range leaves the main array or starts at address 0. The borrow keeps the flash from being erased or programmed while
    /// the slice is held.
    pub fn mapped(&self, offset: u32, len: usize) -> Option<&[u8]> {
        let end = (offset as usize).checked_add(len)?;
        if offset == 0 || end > NVM_SIZE {
            // A slice at address 0 would be a null pointer.
            return None;
        }
        // SAFETY: the range is inside the main array, which is always readable; programming and erasing go through
        // `&mut Nvm`, which the borrow excludes for the slice's lifetime.
        Some(unsafe { core::slice::from_raw_parts(offset as *const u8, len) })
    }

    fn wait_ready(&mut self, poll_us: u32, polls: u32) -> Result<(), NvmError> {
        for _ in 0..polls {
            if self.nvm.status().read().ready().bit_is_set() {
                return Ok(());
            }
            self.delay.delay_us(poll_us);
        }
        Err(NvmError::Timeout)
    }

    fn command(&mut self, command: Cmdselect, address: u32, poll_us: u32, polls: u32) -> Result<(), NvmError> {
        self.wait_ready(poll_us, polls)?;
        self.clear_flags();
        // SAFETY: ADDR is a plain 24-bit address field; every value is valid and callers have checked the range.
        self.nvm.addr().write(|w| unsafe { w.addr().bits(address) });
        self.nvm.ctrlb().write(|w| w.cmdex().key().cmd().variant(command));
        self.wait_ready(poll_us, polls)?;
        let flags = self.nvm.intflag().read();
        self.clear_flags();
        // ADDRE and LOCKE first: PROGE comes with them and says less.
        if flags.addre().bit_is_set() {
            Err(NvmError::Address)
        } else if flags.locke().bit_is_set() {
            Err(NvmError::Locked)
        } else if flags.proge().bit_is_set() || flags.nvme().bit_is_set() {
            Err(NvmError::Failed)
        } else {
            Ok(())
        }
    }

    fn clear_flags(&mut self) {
        self.nvm.intflag().write(|w| {
            w.done().set_bit();
            w.addre().set_bit();
            w.proge().set_bit();
            w.locke().set_bit();
            w.nvme().set_bit()
        });
    }

    /// Reads may return wrong data while the page buffer is filled unless the controller's line caches are off
    /// (SAM D5x/E5x errata, NVMCTRL "NVM read corruption").
    fn set_line_caches(&mut self, on: bool) {
        self.nvm.ctrla().modify(|_, w| w.cachedis0().bit(!on).cachedis1().bit(!on));
    }

    /// Programs one aligned quad word or one aligned page.
    fn program(&mut self, address: u32, data: &[u8]) -> Result<(), NvmError> {
        let command = if data.len() == NVM_PAGE { Cmdselect::Wp } else { Cmdselect::Wqw };
        self.command(Cmdselect::Pbc, address, WRITE_POLL_US, WRITE_POLLS)?;
        // SAFETY: inside the main array (checked by `write`). A store there goes to NVMCTRL's page buffer, which takes
        // words; address and length are multiples of 16.
        unsafe { window::copy_in(data, address as usize) };
        cortex_m::asm::dsb();
        self.command(command, address, WRITE_POLL_US, WRITE_POLLS)
    }

    fn program_all(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NvmError> {
        let (mut address, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let whole_page = (address as usize).is_multiple_of(NVM_PAGE) && rest.len() >= NVM_PAGE;
            let len = if whole_page { NVM_PAGE } else { NVM_QUAD_WORD };
            let (now, later) = rest.split_at(len);
            self.program(address, now)?;
            address += len as u32;
            rest = later;
        }
        Ok(())
    }
}

impl<D> ErrorType for Nvm<D> {
    type Error = NvmError;
}

impl<D: DelayNs> ReadNorFlash for Nvm<D> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NvmError> {
        check_read(self, offset, bytes.len()).map_err(from_kind)?;
        // SAFETY: inside the main array, which is always readable.
        unsafe { window::copy_out(offset as usize, bytes) };
        Ok(())
    }

    fn capacity(&self) -> usize {
        NVM_SIZE
    }
}

impl<D: DelayNs> NorFlash for Nvm<D> {
    const WRITE_SIZE: usize = NVM_QUAD_WORD;
    const ERASE_SIZE: usize = NVM_BLOCK;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NvmError> {
        check_erase(self, from, to).map_err(from_kind)?;
        let result = (from..to)
            .step_by(NVM_BLOCK)
            .try_for_each(|block| self.command(Cmdselect::Eb, block, ERASE_POLL_US, ERASE_POLLS));
        cache::flash_changed();
        result
    }

    /// Programs whole pages where it can (one command per 512 bytes) and quad words elsewhere.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NvmError> {
        check_write(self, offset, bytes.len()).map_err(from_kind)?;
        self.set_line_caches(false);
        let result = self.program_all(offset, bytes);
        self.set_line_caches(true);
        cache::flash_changed();
        result
    }
}
