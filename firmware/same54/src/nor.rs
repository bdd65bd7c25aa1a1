//! External flash: Micron N25Q256A (32 MiB serial NOR) on the QSPI port, as [`NorFlash`].
//!
//! 24-bit addressing, which reaches the first 16 MiB. Quad output reads and quad input programs (1-1-4). Source of
//! instructions, status bits and times: N25Q256A13 datasheet.

use embedded_hal::delay::DelayNs;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use crate::qspi::{Lanes, Qspi, QspiPort, Stuck};

/// What this driver reaches with 24-bit addresses, bytes.
pub const NOR_CAPACITY: usize = 16 << 20;
/// Smallest unit of erasing (a subsector), bytes.
pub const NOR_SUBSECTOR: usize = 4096;
/// A sector, bytes; erased with one instruction where a range covers it.
pub const NOR_SECTOR: usize = 64 << 10;
/// Largest unit of programming, bytes.
pub const NOR_PAGE: usize = 256;

const WRITE_ENABLE: u8 = 0x06;
const READ_STATUS: u8 = 0x05;
const READ_FLAG_STATUS: u8 = 0x70;
const CLEAR_FLAG_STATUS: u8 = 0x50;
const READ_ID: u8 = 0x9F;
const RESET_ENABLE: u8 = 0x66;
const RESET_MEMORY: u8 = 0x99;
const QUAD_OUTPUT_FAST_READ: u8 = 0x6B;
const QUAD_OUTPUT_DUMMY: u8 = 8;
const QUAD_INPUT_PROGRAM: u8 = 0x32;
const SUBSECTOR_ERASE: u8 = 0x20;
const SECTOR_ERASE: u8 = 0xD8;

const STATUS_BUSY: u8 = 1 << 0;
const STATUS_WRITE_ENABLED: u8 = 1 << 1;
const FLAG_ERASE_FAILED: u8 = 1 << 5;
const FLAG_PROGRAM_FAILED: u8 = 1 << 4;
const FLAG_PROTECTED: u8 = 1 << 1;

/// The memory is accessible 150 us after its supply (datasheet, power-up timing); ten times that is waited for.
const POWER_UP_POLL_US: u32 = 50;
const POWER_UP_POLLS: u32 = 30;
/// Page program: 0.5 ms typical, 5 ms at most.
const PROGRAM_POLL_US: u32 = 250;
const PROGRAM_POLLS: u32 = 40;
/// Subsector erase: 0.25 s typical, 0.8 s at most; sector erase: 0.7 s typical, 3 s at most.
const ERASE_POLL_US: u32 = 5_000;
const ERASE_POLLS: u32 = 1_200;
/// What a reset can have left under way: one subsector. A memory that is busy for longer is taken for dead.
const LEFT_OVER_POLLS: u32 = 200;

/// Why external flash refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NorError {
    /// No N25Q256A answered; the three bytes of the JEDEC identification.
    NotDetected([u8; 3]),
    /// Outside of the 16 MiB.
    OutOfBounds,
    /// Not a multiple of the subsector.
    NotAligned,
    /// The memory reports a failed program, or write enable did not stick.
    ProgramFailed,
    /// The memory reports a failed erase.
    EraseFailed,
    /// The memory reports a protected area.
    Protected,
    /// Memory or controller stayed busy far beyond the datasheet's worst case.
    Timeout,
}

impl NorFlashError for NorError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            _ => NorFlashErrorKind::Other,
        }
    }
}

impl From<Stuck> for NorError {
    fn from(_: Stuck) -> Self {
        Self::Timeout
    }
}

fn from_kind(kind: NorFlashErrorKind) -> NorError {
    match kind {
        NorFlashErrorKind::OutOfBounds => NorError::OutOfBounds,
        _ => NorError::NotAligned,
    }
}

/// The external flash.
///
/// `D` waits while the memory is busy (a quarter of a second per erase); it should sleep rather than spin.
pub struct Nor<D> {
    qspi: Qspi,
    delay: D,
}

impl<D: DelayNs> Nor<D> {
    /// Sets the port up, resets the memory and checks its identification.
    ///
    /// A program or erase that a reset of the core left under way is waited for first: resetting the memory in the
    /// middle of it would leave undefined bits.
    pub fn new(port: QspiPort, delay: D) -> Result<Self, NorError> {
        let mut nor = Self { qspi: Qspi::new(port), delay };
        // The memory may not answer yet, and the core is ready sooner.
        for _ in 0..POWER_UP_POLLS {
            if nor.jedec_id()? != [0xFF; 3] {
                break;
            }
            nor.delay.delay_us(POWER_UP_POLL_US);
        }
        nor.wait_ready(ERASE_POLL_US, LEFT_OVER_POLLS)?;
        nor.qspi.command(RESET_ENABLE)?;
        nor.qspi.command(RESET_MEMORY)?;
        nor.delay.delay_us(100);
        let id = nor.jedec_id()?;
        // 0x20 Micron, 0xBA N25Q at 3 V, 0x19 256 Mbit.
        if id != [0x20, 0xBA, 0x19] {
            return Err(NorError::NotDetected(id));
        }
        Ok(nor)
    }

    /// The three bytes of READ ID: manufacturer, type, capacity.
    pub fn jedec_id(&mut self) -> Result<[u8; 3], NorError> {
        let mut id = [0; 3];
        self.qspi.register(READ_ID, &mut id)?;
        Ok(id)
    }

    fn status(&mut self) -> Result<u8, NorError> {
        let mut status = [0];
        self.qspi.register(READ_STATUS, &mut status)?;
        Ok(status[0])
    }

    /// A line that is stuck high (no memory, no supply) reads as busy for ever, hence the bound.
    fn wait_ready(&mut self, poll_us: u32, polls: u32) -> Result<(), NorError> {
        if self.status()? == 0xFF && self.jedec_id()? == [0xFF; 3] {
            return Err(NorError::NotDetected([0xFF; 3]));
        }
        for _ in 0..polls {
            if self.status()? & STATUS_BUSY == 0 {
                return Ok(());
            }
            self.delay.delay_us(poll_us);
        }
        Err(NorError::Timeout)
    }

    fn enable_write(&mut self) -> Result<(), NorError> {
        self.qspi.command(WRITE_ENABLE)?;
        if self.status()? & STATUS_WRITE_ENABLED == 0 {
            return Err(NorError::ProgramFailed);
        }
        Ok(())
    }

    /// Waits for the end and reads the flag status register, whose error bits stay until they are cleared.
    fn finish(&mut self, poll_us: u32, polls: u32) -> Result<(), NorError> {
        self.wait_ready(poll_us, polls)?;
        let mut flags = [0];
        self.qspi.register(READ_FLAG_STATUS, &mut flags)?;
        let error = if flags[0] & FLAG_PROTECTED != 0 {
            NorError::Protected
        } else if flags[0] & FLAG_ERASE_FAILED != 0 {
            NorError::EraseFailed
        } else if flags[0] & FLAG_PROGRAM_FAILED != 0 {
            NorError::ProgramFailed
        } else {
            return Ok(());
        };
        self.qspi.command(CLEAR_FLAG_STATUS)?;
        Err(error)
    }
}

impl<D> ErrorType for Nor<D> {
    type Error = NorError;
}

impl<D: DelayNs> ReadNorFlash for Nor<D> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorError> {
        check_read(self, offset, bytes.len()).map_err(from_kind)?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.qspi.read(QUAD_OUTPUT_FAST_READ, offset, Lanes::Four, QUAD_OUTPUT_DUMMY, bytes)?;
        Ok(())
    }

    fn capacity(&self) -> usize {
        NOR_CAPACITY
    }
}

impl<D: DelayNs> NorFlash for Nor<D> {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = NOR_SUBSECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorError> {
        check_erase(self, from, to).map_err(from_kind)?;
        let mut address = from;
        while address < to {
            let whole_sector = (address as usize).is_multiple_of(NOR_SECTOR) && (to - address) as usize >= NOR_SECTOR;
            let (instruction, len) =
                if whole_sector { (SECTOR_ERASE, NOR_SECTOR) } else { (SUBSECTOR_ERASE, NOR_SUBSECTOR) };
            self.enable_write()?;
            self.qspi.command_at(instruction, address)?;
            self.finish(ERASE_POLL_US, ERASE_POLLS)?;
            address += len as u32;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorError> {
        check_write(self, offset, bytes.len()).map_err(from_kind)?;
        let (mut address, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            // A page program wraps inside its page, so it must not cross the end.
            let room = NOR_PAGE - address as usize % NOR_PAGE;
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.enable_write()?;
            self.qspi.write(QUAD_INPUT_PROGRAM, address, Lanes::Four, now)?;
            self.finish(PROGRAM_POLL_US, PROGRAM_POLLS)?;
            address += now.len() as u32;
            rest = later;
        }
        Ok(())
    }
}
