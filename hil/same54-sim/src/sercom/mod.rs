//! SERCOM: serial communication interface (SAM D5x/E5x datasheet, 33 to 36).
//!
//! Fidelity: the USART with internal clock (34), the SPI host (35) and the I2C host (36) are modelled with their
//! interrupts and DMA requests, 32-bit data and LENGTH. A signal whose pad no pin is multiplexed to goes nowhere, which
//! is reported once. USART: character time from BAUD (arithmetic, fractional, synchronous), 5 to 9 bits, parity and
//! stop bits as far as they take time, overflow, start of frame, LIN host frames; IrDA and RS-485 are transparent;
//! handshake finds the other side always ready; collisions, breaks, auto-baud, ISO 7816 retries and a clock on XCK do
//! not happen. I2C: bus states, addresses with START and repeated START, ACK and NACK, smart mode, quick command, STOP,
//! Sm, Fm, Fm+ and Hs times, ADDR.LEN; 10-bit addresses are never acknowledged, nobody else is on the bus (no lost
//! arbitration) and no device stretches the clock (time-outs never strike). Assumed: synchronisation takes five periods
//! of the core clock and for ever without one; SCL rises in 100 ns; an open MISO reads ones. The clients (SPI, I2C) are
//! stored only, their DATA is absent. A pin shows the idle level of a USART's transmitter and nothing else of a SERCOM.

mod device;
mod i2c;
pub(crate) mod pads;
mod regs;
mod spi;
mod usart;

pub use device::{I2cDevice, SpiDevice};

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
use i2c::I2cHost;
use pads::Pin;
use regs::{Mode, Regs, SYNC_SWRST};
use spi::Spi;
use usart::Usart;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger {
    stored: &[
        "I2CS.*",
        "SPIS.*",
        "USART_EXT.DBGCTRL",
        "USART_EXT.RXPL",
        "USART_EXT.RXERRCNT",
        "I2CM.DBGCTRL",
        "SPIM.DBGCTRL",
        "SPIM.ADDR",
        "USART_INT.DBGCTRL",
        "USART_INT.RXPL",
        "USART_INT.RXERRCNT",
    ],
    absent: &["I2CS.DATA", "SPIS.DATA"],
};

/// The register block of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Sercom {
    regs: Regs,
    usart: Usart,
    spi: Spi,
    i2c: I2cHost,
}

impl Sercom {
    /// SERCOM`n` as after reset, with nothing wired to it.
    pub(crate) fn new(n: usize) -> Self {
        Self { regs: Regs::new(n), usart: Usart::new(), spi: Spi::new(), i2c: I2cHost::new() }
    }

    /// Characters that have left the transmitter since the last call.
    pub(crate) fn take_sent(&mut self) -> Vec<u8> {
        self.usart.take_sent()
    }

    /// Sends characters to the receiver, one after the other.
    pub(crate) fn send(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        self.usart.send(bytes, &self.regs, cx);
    }

    /// Wires a device to the I2C bus at pins `sda` and `scl`.
    pub(crate) fn plug_i2c(&mut self, sda: Pin, scl: Pin, device: Box<dyn I2cDevice>) {
        self.i2c.plug(sda, scl, device);
    }

    /// Wires a device to the SPI bus, with its chip select at pin `select`.
    pub(crate) fn plug_spi(&mut self, select: Pin, device: Box<dyn SpiDevice>) {
        self.spi.plug(select, device);
    }

    /// Level that the block drives at pad `pad` while it does nothing: a USART's transmitter, on pad 0 (34.8.1, TXPO), is
    /// high. Characters do not show at the pin, nor do the other pads.
    pub(crate) fn idle_level(&self, pad: usize) -> Option<bool> {
        let usart = matches!(self.regs.mode(), Mode::UsartInternal | Mode::UsartExternal);
        (pad == 0 && usart && self.regs.is_enabled() && self.regs.ctrlb & usart::TXEN != 0).then_some(true)
    }

    /// The pins behind the pads.
    pub(crate) fn set_pads(&mut self, pads: [Option<Pin>; 4]) {
        self.regs.pads = pads;
    }

    /// Whether levels of pins matter to what is wired to the block.
    pub(crate) fn watches_pins(&self) -> bool {
        self.spi.has_devices()
    }

    /// Levels of the pins, by group, have changed.
    pub(crate) fn look_at_pins(&mut self, levels: &[u32; 4], now: Instant) {
        self.spi.look_at_pins(levels, &self.regs, now);
    }

    /// Everything but what is wired to it starts anew.
    fn restart(&mut self) {
        self.usart.stop();
        self.spi.stop();
        self.i2c.stop();
        self.regs = self.regs.restarted();
    }

    fn flags(&self) -> u32 {
        match self.regs.mode() {
            Mode::UsartInternal | Mode::UsartExternal => self.usart.flags(&self.regs),
            Mode::SpiHost => self.spi.flags(&self.regs),
            Mode::SpiClient | Mode::I2cClient | Mode::I2cHost => self.regs.intflag,
        }
    }

    fn write_ctrla(&mut self, w: Write, cx: &mut Context<'_>) {
        if w.value & 1 != 0 {
            self.restart();
            // Assumed: a reset needs no generic clock. Drivers for the silicon reset first and connect the clock then.
            if self.regs.is_clocked(cx) {
                self.regs.synchronise(SYNC_SWRST, cx);
            }
            return;
        }
        let before = self.regs.is_enabled();
        self.regs.write_ctrla(w, cx);
        match (before, self.regs.is_enabled()) {
            (false, true) => match self.regs.mode() {
                Mode::I2cHost => self.i2c.enabled(&self.regs, cx),
                Mode::SpiClient | Mode::I2cClient => {
                    // Say so instead of letting software wait in the dark.
                    cx.violation(format!("SERCOM{} is enabled as a client, which the model only stores", self.regs.n));
                }
                _ => {}
            },
            (true, false) => {
                self.usart.stop();
                self.spi.stop();
                self.i2c.stop();
            }
            _ => {}
        }
    }

    fn write_ctrlb(&mut self, w: Write, cx: &mut Context<'_>) {
        let old = self.regs.ctrlb;
        self.regs.write_ctrlb(w, cx);
        match self.regs.mode() {
            Mode::UsartInternal | Mode::UsartExternal => self.usart.ctrlb_written(old, &mut self.regs, cx),
            Mode::SpiHost | Mode::SpiClient => self.spi.ctrlb_written(old, &mut self.regs, cx),
            Mode::I2cHost => self.i2c.command(&mut self.regs, cx),
            Mode::I2cClient => {}
        }
    }

    fn status(&self) -> u32 {
        if self.regs.mode() == Mode::I2cHost { self.i2c.status(&self.regs) } else { self.regs.status }
    }

    fn read_data(&mut self, cx: &mut Context<'_>) -> u32 {
        match self.regs.mode() {
            Mode::UsartInternal | Mode::UsartExternal => self.usart.read_data(&mut self.regs),
            Mode::SpiHost => self.spi.read_data(&self.regs),
            Mode::I2cHost => self.i2c.read_data(&mut self.regs, cx),
            Mode::SpiClient | Mode::I2cClient => cx.unmodelled(0x28, false),
        }
    }

    fn write_data(&mut self, w: Write, cx: &mut Context<'_>) {
        match self.regs.mode() {
            Mode::UsartInternal | Mode::UsartExternal => self.usart.write_data(w, &mut self.regs, cx),
            Mode::SpiHost => self.spi.write_data(w, &mut self.regs, cx),
            Mode::I2cHost => self.i2c.write_data(w, &mut self.regs, cx),
            Mode::SpiClient | Mode::I2cClient => {
                cx.unmodelled(0x28, true);
            }
        }
    }

    fn write_length(&mut self, w: Write, cx: &mut Context<'_>) {
        match self.regs.mode() {
            Mode::UsartInternal | Mode::UsartExternal => self.usart.write_length(w, &mut self.regs, cx),
            Mode::SpiHost | Mode::SpiClient => self.spi.write_length(w, &mut self.regs, cx),
            _ => self.regs.length = w.onto_masked(self.regs.length, self.regs.masks().length),
        }
    }

    fn clear_flags(&mut self, value: u32) {
        match self.regs.mode() {
            Mode::UsartInternal | Mode::UsartExternal => self.usart.clear_flags(value, &mut self.regs),
            Mode::SpiHost | Mode::SpiClient => self.spi.clear_flags(value, &mut self.regs),
            _ => I2cHost::clear_flags(value, &mut self.regs),
        }
    }

    fn write_register(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        let masks = self.regs.masks();
        match offset {
            0x04 => self.write_ctrlb(w, cx),
            0x08 if self.regs.may_configure("CTRLC", cx) => {
                self.regs.ctrlc = w.onto_masked(self.regs.ctrlc, masks.ctrlc)
            }
            0x0C if self.regs.may_configure("BAUD", cx) => self.regs.baud = w.onto_masked(self.regs.baud, masks.baud),
            // The upper half of what begins with BAUD: RXPL of the USART.
            0x0E if self.regs.may_configure("RXPL", cx) => {
                let upper = Write { value: w.value << 16, lanes: 0xFF_0000 };
                self.regs.baud = upper.onto_masked(self.regs.baud, masks.baud);
            }
            0x14 => self.regs.inten &= !w.value,
            0x16 => self.regs.inten |= w.value & masks.int,
            0x18 => self.clear_flags(w.value),
            0x1A if self.regs.mode() == Mode::I2cHost => self.i2c.write_status(w.value, &mut self.regs, cx),
            0x1A => self.regs.status &= !w.value,
            0x22 => self.write_length(w, cx),
            0x24 if self.regs.mode() == Mode::I2cHost => self.i2c.write_addr(w, &mut self.regs, cx),
            0x24 => self.regs.addr = w.onto_masked(self.regs.addr, masks.addr),
            0x28 => self.write_data(w, cx),
            0x30 => self.regs.dbgctrl = w.value & 1,
            // 0x0F: drivers write the I2C host's 32-bit BAUD before they select its mode.
            0x08 | 0x0C | 0x0E | 0x0F | 0x1C | 0x20 => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }
}

impl Peripheral for Sercom {
    fn width(&self, offset: u32) -> Size {
        let usart = matches!(self.regs.mode(), Mode::UsartInternal | Mode::UsartExternal);
        match offset {
            0x0C..0x10 if self.regs.mode() == Mode::I2cHost => Size::Word,
            0x0C | 0x0D if usart => Size::Half,
            0x0C..0x10 | 0x14..0x1A | 0x20 | 0x21 | 0x30 => Size::Byte,
            0x1A | 0x1B | 0x22 | 0x23 => Size::Half,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        match offset {
            0x00 => self.regs.ctrla,
            0x04 => self.regs.ctrlb,
            0x08 => self.regs.ctrlc,
            0x0C => self.regs.baud & if self.regs.mode() == Mode::I2cHost { u32::MAX } else { 0xFFFF },
            0x0E => self.regs.baud >> 16 & 0xFF,
            0x14 | 0x16 => self.regs.inten,
            0x18 => self.flags(),
            0x1A => self.status(),
            0x1C => self.regs.read_sync_busy(cx),
            0x0D | 0x0F | 0x20 => 0,
            0x22 => self.regs.length,
            0x24 => self.regs.addr,
            0x28 => self.read_data(cx),
            0x30 => self.regs.dbgctrl,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.advance(cx);
        if offset == 0x00 {
            self.write_ctrla(w, cx);
        } else if self.regs.sync_busy(cx) & SYNC_SWRST != 0 && offset != 0x30 {
            // 33.5.8: what is written during the reset is lost.
            cx.violation(format!("SERCOM{}+{offset:#x} written while SYNCBUSY.SWRST is set", self.regs.n));
            cx.signals.access_error = true;
        } else {
            self.write_register(offset, w, cx);
        }
    }

    fn reset(&mut self, cause: ResetCause, _cx: &mut Context<'_>) {
        self.restart();
        if cause.is_supply() {
            self.spi.power_on();
            self.i2c.power_on();
        }
    }

    fn next_event(&self) -> Instant {
        self.usart.next_event().min(self.spi.next_event()).min(self.i2c.next_event())
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.next_event() <= cx.now {
            self.usart.advance(&mut self.regs, cx);
            self.spi.advance(&mut self.regs, cx);
            self.i2c.advance(&mut self.regs, cx);
        }
    }

    fn clocks_changed(&mut self, cx: &mut Context<'_>) {
        self.regs.clock_changed(cx);
        self.usart.clock_changed(&self.regs, cx);
    }

    fn runs_in_standby(&self) -> bool {
        self.regs.is_enabled() && self.regs.ctrla >> 7 & 1 != 0
    }

    fn dma_requests(&self) -> u128 {
        let (receive, transmit) = match self.regs.mode() {
            Mode::I2cHost => self.i2c.requests(&self.regs),
            _ => {
                let flags = self.flags();
                (flags & usart::RXC != 0, flags & usart::DRE != 0)
            }
        };
        let source = 4 + 2 * self.regs.n;
        u128::from(receive) << source | u128::from(transmit) << (source + 1)
    }

    fn irqs(&self) -> u64 {
        // The first three flags have lines of their own, the rest shares the fourth.
        let pending = self.regs.inten & self.flags();
        u64::from(pending & 7 | u32::from(pending >> 3 != 0) << 3)
    }
}

#[cfg(test)]
mod tests;
