//! The EDBG's virtual COM port: SERCOM2 as a USART at 115200 baud, 8N1, polled (SAM D5x/E5x datasheet, chapter 34; SAM
//! E54 Xplained Pro user guide, 4.2.2: PB25 transmits, PB24 receives).

use atsamd_hal::gpio::{AlternateD, PB24, PB25, Pin, Reset};
use atsamd_hal::pac;

/// Baud rate.
pub const BAUD_RATE: u32 = 115_200;
/// DFLL48M, which runs since reset. GCLK0 is too fast: a SERCOM takes 100 MHz at most.
const CLOCK_HZ: u32 = 48_000_000;
/// Generator of that clock; atsamd-hal uses 0, 1 and 5.
const GENERATOR: u8 = 2;
/// GCLK_SERCOM2_CORE (datasheet, table "PCHCTRLm Mapping").
const CHANNEL: usize = 23;
/// 65536 * (1 - 16 * rate / clock), the arithmetic mode of 33.6.2.3; 0.001 % off.
const BAUD: u16 = (65_536 - 65_536_u64 * 16 * BAUD_RATE as u64 / CLOCK_HZ as u64) as u16;

/// The virtual COM port, not yet switched on: its pins are as after reset.
pub struct UartPort {
    sercom: pac::Sercom2,
    tx: Pin<PB25, Reset>,
    rx: Pin<PB24, Reset>,
}

impl UartPort {
    pub(crate) fn new(sercom: pac::Sercom2, tx: Pin<PB25, Reset>, rx: Pin<PB24, Reset>) -> Self {
        Self { sercom, tx, rx }
    }

    /// Switches it on.
    pub fn start(self) -> Uart {
        // SAFETY: generator 2 and channel 23 are nobody else's: atsamd-hal's clock controller, which has the rest of
        // GCLK, was asked for neither. MCLK is shared, and interrupts that might change it are not enabled by a program
        // that polls; the bit is set in one read-modify-write.
        let (gclk, mclk) = unsafe { (pac::Gclk::steal(), pac::Mclk::steal()) };
        // SAFETY: a division by one is a valid divider.
        gclk.genctrl(GENERATOR.into()).write(|w| unsafe { w.src().dfll().div().bits(1).genen().set_bit() });
        while gclk.syncbusy().read().bits() != 0 {}
        // SAFETY: generators are numbered from 0 to 11.
        gclk.pchctrl(CHANNEL).write(|w| unsafe { w.r#gen().bits(GENERATOR).chen().set_bit() });
        mclk.apbbmask().modify(|_, w| w.sercom2_().set_bit());

        let pins = (self.tx.into_alternate(), self.rx.into_alternate());
        let usart = self.sercom.usart_int();
        usart.ctrla().write(|w| w.swrst().set_bit());
        while usart.syncbusy().read().swrst().bit_is_set() {}
        usart.ctrla().write(|w| w.mode().usart_int_clk().dord().lsb().rxpo().pad1());
        usart.ctrlb().write(|w| w.rxen().set_bit().txen().set_bit());
        while usart.syncbusy().read().ctrlb().bit_is_set() {}
        // SAFETY: every value of BAUD is valid.
        usart.baud().write(|w| unsafe { w.bits(BAUD) });
        usart.ctrla().modify(|_, w| w.enable().set_bit());
        while usart.syncbusy().read().enable().bit_is_set() {}
        Uart { sercom: self.sercom, _pins: pins }
    }
}

/// The virtual COM port. The receiver holds two characters: at 115200 baud it wants to be asked every 170 us.
pub struct Uart {
    sercom: pac::Sercom2,
    _pins: (Pin<PB25, AlternateD>, Pin<PB24, AlternateD>),
}

impl Uart {
    /// A character that has been received, if there is one. Damaged ones come as they are, lost ones not at all: what
    /// is said over the line has to have its own checksum.
    pub fn read(&mut self) -> Option<u8> {
        let usart = self.sercom.usart_int();
        if usart.intflag().read().rxc().bit_is_clear() {
            return None;
        }
        if usart.status().read().bits() != 0 {
            usart.status().write(|w| w.perr().set_bit().ferr().set_bit().bufovf().set_bit());
        }
        Some(usart.data().read().bits() as u8)
    }

    /// Sends a character, after those before it.
    pub fn write(&mut self, character: u8) {
        let usart = self.sercom.usart_int();
        while usart.intflag().read().dre().bit_is_clear() {}
        // SAFETY: DATA takes any character.
        usart.data().write(|w| unsafe { w.bits(character.into()) });
    }

    /// Waits until the last character is on the line. Only after a [`write`](Self::write).
    pub fn flush(&mut self) {
        while self.sercom.usart_int().intflag().read().txc().bit_is_clear() {}
    }
}
