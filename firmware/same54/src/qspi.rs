//! The QSPI controller in serial memory mode (SAM D5x/E5x datasheet, chapter 37): instruction frames for the NOR
//! driver. atsamd-hal has a driver too; it knows neither the flag status register nor sub-sector sizes.

use core::ptr::read_volatile;

use atsamd_hal::gpio::{AlternateH, PA08, PA09, PA10, PA11, PB10, PB11, Pin, Reset};
use atsamd_hal::pac;
use pac::qspi::instrframe::Tfrtypeselect;

use crate::{cache, window};

/// Where the serial memory is seen on the AHB (datasheet, memory map).
const AHB_BASE: usize = 0x0400_0000;

/// SCK = CLK_QSPI_AHB / (BAUD + 1): 30 MHz at 120 MHz, far below the N25Q256A's 108 MHz.
const BAUD: u8 = 3;

/// Status polls for the end of a frame; a frame of 16 MB at 30 MHz ends well before.
const END_POLLS: u32 = 10_000_000;

/// A data phase's lanes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lanes {
    One,
    Four,
}

/// The controller did not signal the end of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stuck;

/// Controller and pins of the external flash.
pub struct QspiPort {
    pub(crate) qspi: pac::Qspi,
    pub(crate) pins: QspiPins,
}

pub(crate) type QspiPins = (
    Pin<PB10, AlternateH>,
    Pin<PB11, AlternateH>,
    Pin<PA08, AlternateH>,
    Pin<PA09, AlternateH>,
    Pin<PA10, AlternateH>,
    Pin<PA11, AlternateH>,
);

impl QspiPort {
    #[allow(clippy::too_many_arguments, reason = "one argument per wire")]
    pub(crate) fn new(
        qspi: pac::Qspi,
        mclk: &mut pac::Mclk,
        sck: Pin<PB10, Reset>,
        cs: Pin<PB11, Reset>,
        io0: Pin<PA08, Reset>,
        io1: Pin<PA09, Reset>,
        io2: Pin<PA10, Reset>,
        io3: Pin<PA11, Reset>,
    ) -> Self {
        mclk.apbcmask().modify(|_, w| w.qspi_().set_bit());
        mclk.ahbmask().modify(|_, w| w.qspi_().set_bit().qspi_2x_().clear_bit());
        let pins = (
            sck.into_alternate(),
            cs.into_alternate(),
            io0.into_alternate(),
            io1.into_alternate(),
            io2.into_alternate(),
            io3.into_alternate(),
        );
        Self { qspi, pins }
    }
}

/// The controller, set up for a serial memory.
pub(crate) struct Qspi {
    qspi: pac::Qspi,
    _pins: QspiPins,
}

impl Qspi {
    pub(crate) fn new(port: QspiPort) -> Self {
        let QspiPort { qspi, pins } = port;
        qspi.ctrla().write(|w| w.swrst().set_bit());
        // SPI mode 0 is what the N25Q256A wants.
        qspi.baud().write(|w| {
            // SAFETY: BAUD takes any value.
            unsafe { w.baud().bits(BAUD) };
            w.cpol().clear_bit().cpha().clear_bit()
        });
        qspi.ctrlb().write(|w| {
            w.mode().memory();
            w.csmode().lastxfer();
            w.datalen()._8bits()
        });
        qspi.ctrla().write(|w| w.enable().set_bit());
        Self { qspi, _pins: pins }
    }

    /// An instruction alone, for example write enable.
    pub(crate) fn command(&mut self, instruction: u8) -> Result<(), Stuck> {
        self.frame(instruction, Tfrtypeselect::Write, false, false, Lanes::One, 0);
        self.wait_end()
    }

    /// An instruction with a 24-bit address, for example an erase.
    pub(crate) fn command_at(&mut self, instruction: u8, address: u32) -> Result<(), Stuck> {
        // SAFETY: an address field; every value is valid.
        self.qspi.instraddr().write(|w| unsafe { w.addr().bits(address) });
        self.frame(instruction, Tfrtypeselect::Write, true, false, Lanes::One, 0);
        self.wait_end()
    }

    /// An instruction whose answer is `data`, for example a status register.
    pub(crate) fn register(&mut self, instruction: u8, data: &mut [u8]) -> Result<(), Stuck> {
        self.frame(instruction, Tfrtypeselect::Read, false, true, Lanes::One, 0);
        cache::pass_by(|| {
            for (index, byte) in data.iter_mut().enumerate() {
                // SAFETY: the controller answers reads in its AHB window with the bytes of the data phase.
                *byte = unsafe { read_volatile((AHB_BASE + index) as *const u8) };
            }
        });
        self.last_transfer()
    }

    /// Reads memory from a 24-bit address.
    pub(crate) fn read(
        &mut self,
        instruction: u8,
        address: u32,
        lanes: Lanes,
        dummy_cycles: u8,
        data: &mut [u8],
    ) -> Result<(), Stuck> {
        self.frame(instruction, Tfrtypeselect::Readmemory, true, true, lanes, dummy_cycles);
        cache::pass_by(|| {
            // SAFETY: inside the 16 MiB window (checked by the NOR driver), where reads bring the bytes of the data phase.
            unsafe { window::copy_out(AHB_BASE + address as usize, data) };
        });
        self.last_transfer()
    }

    /// Sends `data` to a 24-bit address, for example a page program.
    pub(crate) fn write(&mut self, instruction: u8, address: u32, lanes: Lanes, data: &[u8]) -> Result<(), Stuck> {
        self.frame(instruction, Tfrtypeselect::Writememory, true, true, lanes, 0);
        // SAFETY: inside the 16 MiB window (checked by the NOR driver); stores there go to the serial memory.
        unsafe { window::copy_in(data, AHB_BASE + address as usize) };
        self.last_transfer()
    }

    fn frame(
        &mut self,
        instruction: u8,
        kind: Tfrtypeselect,
        address: bool,
        data: bool,
        lanes: Lanes,
        dummy_cycles: u8,
    ) {
        self.qspi.intflag().write(|w| w.instrend().set_bit().csrise().set_bit());
        // SAFETY: an instruction code; every value is valid.
        self.qspi.instrctrl().write(|w| unsafe { w.instr().bits(instruction) });
        self.qspi.instrframe().write(|w| {
            match lanes {
                Lanes::One => w.width().single_bit_spi(),
                Lanes::Four => w.width().quad_output(),
            };
            // SAFETY: a 5-bit count; callers use 0 or 8.
            unsafe { w.dummylen().bits(dummy_cycles) };
            w.instren().set_bit();
            w.addren().bit(address);
            w.dataen().bit(data);
            w.addrlen()._24bits();
            w.tfrtype().variant(kind)
        });
        // Reading INSTRFRAME back orders the APB write before the AHB accesses that follow (37.6.8.2).
        let _ = self.qspi.instrframe().read().bits();
    }

    /// Ends a data phase: raises chip select and waits for it.
    fn last_transfer(&mut self) -> Result<(), Stuck> {
        cortex_m::asm::dsb();
        self.qspi.ctrla().write(|w| w.enable().set_bit().lastxfer().set_bit());
        self.wait_end()
    }

    fn wait_end(&mut self) -> Result<(), Stuck> {
        for _ in 0..END_POLLS {
            if self.qspi.intflag().read().instrend().bit_is_set() {
                self.qspi.intflag().write(|w| w.instrend().set_bit());
                return Ok(());
            }
        }
        Err(Stuck)
    }
}
