//! QSPI: quad serial peripheral interface (SAM D5x/E5x datasheet, 37).
//!
//! Fidelity: modelled are serial memory mode with instruction frames of every form (widths, option codes, 3- and 4-byte
//! addresses, dummy cycles, double data rate, frames without instruction, continuous read mode), read, write and memory
//! transfers through the AHB window at 0x0400_0000 or, with CTRLB.SMEMREG, through RXDATA and TXDATA; SPI mode with 8 and
//! 16 bits, a holding register, CSMODE, local loopback and WDRBT; BAUD, DLYBS, DLYBCT and DLYCS as time; all flags with
//! their interrupts; and the two DMA requests. Assumed: DLYBCT counts 32 clocks a step in SPI mode only; an option code is
//! sent with its low bits; a frame with data that goes through RXDATA or TXDATA starts with the first of them. Clock phase
//! and polarity do not matter. Scrambling is stored; a transfer with it on is reported as a violation and not scrambled.
//! The serial memory is the board's N25Q256A.

mod frame;
mod spi;
#[cfg(test)]
mod tests;

use std::time::Duration;

use armv7m::Size;
use sim_base::{Instant, Rng};

use crate::event::ResetCause;
use crate::nor::Nor;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
use crate::spi_flash::{FlashContext, Lines, SpiFlash};
use crate::tear::Tear;
use spi::Spi;

/// The memory is off below this many millivolts (data sheet, VWI).
const NOR_WRITE_INHIBIT: u32 = 2_500;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["SCRAMBCTRL", "SCRAMBKEY"], absent: &[] };

/// From the memory's supply to the first instruction that it hears (tVTR, tVTW).
const NOR_POWER_UP: Duration = Duration::from_micros(150);

const ENABLE: u32 = 1 << 1;
const LASTXFER: u32 = 1 << 24;
const RXC: u32 = 1 << 0;
const DRE: u32 = 1 << 1;
const TXC: u32 = 1 << 2;
const ERROR: u32 = 1 << 3;
const CSRISE: u32 = 1 << 8;
const INSTREND: u32 = 1 << 10;
const INT_MASK: u32 = 0x050F;
/// What a write to INTFLAG clears; RXDATA and TXDATA clear the others.
const INT_CLEARED: u32 = TXC | ERROR | CSRISE | INSTREND;

/// CTRLB fields.
mod ctrlb {
    pub(super) const MEMORY: u32 = 1 << 0;
    pub(super) const LOOPEN: u32 = 1 << 1;
    pub(super) const WDRBT: u32 = 1 << 2;
    pub(super) const SMEMREG: u32 = 1 << 3;
}

/// A frame whose data phase goes on.
#[derive(Clone, Copy, Debug)]
struct Transfer {
    lines: Lines,
    double_rate: bool,
    /// AHB address that continues a memory transfer.
    next: u32,
}

/// The register block and the memory behind it.
#[derive(Clone)]
pub(crate) struct Qspi {
    ctrla: u32,
    ctrlb: u32,
    baud: u32,
    inten: u32,
    intflag: u32,
    instraddr: u32,
    instrctrl: u32,
    instrframe: u32,
    scrambctrl: u32,
    rxdata: u32,
    transfer: Option<Transfer>,
    /// Continuous read mode: the instruction has been sent.
    instruction_sent: bool,
    spi: Spi,
    /// When chip select may fall again.
    select_at: Instant,
    /// When the wires are free: flags of what was sent rise then.
    wires_free_at: Instant,
    /// Flags that rise at `wires_free_at`.
    upcoming: u32,
    pub(crate) flash: Box<dyn SpiFlash>,
}

impl Qspi {
    /// As after power-on, with an erased memory whose chance follows `rng`.
    pub(crate) fn new(rng: Rng) -> Self {
        Self::with(Box::new(Nor::new(rng)))
    }

    fn with(flash: Box<dyn SpiFlash>) -> Self {
        Self {
            ctrla: 0,
            ctrlb: 0,
            baud: 0,
            inten: 0,
            intflag: 0,
            instraddr: 0,
            instrctrl: 0,
            instrframe: 0,
            scrambctrl: 0,
            rxdata: 0,
            transfer: None,
            instruction_sent: false,
            spi: Spi::default(),
            select_at: Instant::ZERO,
            wires_free_at: Instant::ZERO,
            upcoming: 0,
            flash,
        }
    }

    /// Puts a fault between the controller and its memory.
    pub(crate) fn wrap(&mut self, wrap: impl FnOnce(Box<dyn SpiFlash>) -> Box<dyn SpiFlash>) {
        let flash = std::mem::replace(&mut self.flash, Box::new(Nor::new(Rng::new(0))));
        self.flash = wrap(flash);
    }

    /// The supply failed.
    pub(crate) fn power_cut(&mut self, tear: Option<Tear>, rng: &mut Rng) -> Option<String> {
        self.flash.power_cut(tear, rng)
    }

    /// Whether the memory has supply and loses it at `millivolts`.
    pub(crate) fn nor_loses_supply(&self, millivolts: u32) -> bool {
        self.flash.is_powered() && millivolts < NOR_WRITE_INHIBIT
    }

    /// The memory's supply is at `millivolts`; it comes up together with the chip's or alone.
    pub(crate) fn supply_nor(&mut self, millivolts: u32, with_chip: bool, cx: &mut Context<'_>) {
        let powered = millivolts >= NOR_WRITE_INHIBIT;
        if powered && !self.flash.is_powered() {
            // The chip's own start, which takes no time here, is at least as long.
            self.flash.power_on(if with_chip { cx.now } else { cx.now + NOR_POWER_UP });
        }
    }

    /// A read in the AHB window, `offset` from its start. The time is what the wires need for it.
    pub(crate) fn ahb_read(&mut self, offset: u32, size: Size, cx: &mut Context<'_>) -> Option<(u32, Duration)> {
        let time = self.open(offset, false, cx)?;
        let (value, data_time) = self.read_data(size as u32, cx);
        self.pass(offset, size);
        Some((value, time + data_time))
    }

    /// A write in the AHB window; see [`ahb_read`](Self::ahb_read).
    pub(crate) fn ahb_write(&mut self, offset: u32, size: Size, value: u32, cx: &mut Context<'_>) -> Option<Duration> {
        let time = self.open(offset, true, cx)?;
        let data_time = self.write_data(size as u32, value, cx);
        self.pass(offset, size);
        Some(time + data_time)
    }

    fn pass(&mut self, offset: u32, size: Size) {
        if let Some(transfer) = &mut self.transfer {
            transfer.next = offset.wrapping_add(size as u32);
        }
    }

    fn read_data(&mut self, bytes: u32, cx: &mut Context<'_>) -> (u32, Duration) {
        let Some(transfer) = self.transfer else { return (0, Duration::ZERO) };
        let mut flash_cx = FlashContext::new(cx);
        let mut value = 0;
        for n in 0..bytes {
            value |= u32::from(self.flash.read(transfer.lines, &mut flash_cx)) << (8 * n);
        }
        (value, self.data_time(bytes, transfer, cx))
    }

    fn write_data(&mut self, bytes: u32, value: u32, cx: &mut Context<'_>) -> Duration {
        let Some(transfer) = self.transfer else { return Duration::ZERO };
        let mut flash_cx = FlashContext::new(cx);
        for byte in &value.to_le_bytes()[..bytes as usize] {
            self.flash.write(*byte, transfer.lines, &mut flash_cx);
        }
        self.data_time(bytes, transfer, cx)
    }

    fn data_time(&self, bytes: u32, transfer: Transfer, cx: &Context<'_>) -> Duration {
        let cycles = 8 * bytes / transfer.lines as u32;
        self.clock_time(if transfer.double_rate { cycles.div_ceil(2) } else { cycles }, cx)
    }

    /// Time of so many periods of the serial clock.
    fn clock_time(&self, cycles: u32, cx: &Context<'_>) -> Duration {
        self.peripheral_time(u64::from(cycles) * (u64::from(self.baud >> 8 & 0xFF) + 1), cx)
    }

    /// Time of so many periods of the peripheral's clock.
    fn peripheral_time(&self, cycles: u64, cx: &Context<'_>) -> Duration {
        Duration::from_nanos(cycles * 1_000_000_000 / u64::from(cx.clocks.cpu.max(1)))
    }

    /// Chip select falls as soon as it may. The time until the first edge of the clock: rest of DLYCS, then DLYBS.
    fn select_time(&self, cx: &Context<'_>) -> Duration {
        self.select_at.since(cx.now) + self.peripheral_time(u64::from(self.baud >> 16 & 0xFF), cx)
    }

    /// Chip select rises.
    fn close(&mut self, cx: &mut Context<'_>) {
        if self.transfer.take().is_some() {
            self.end_frame(cx);
            self.intflag |= INSTREND;
        }
        if self.spi.end() {
            self.end_frame(cx);
        }
    }

    fn end_frame(&mut self, cx: &mut Context<'_>) {
        self.flash.end(&mut FlashContext::new(cx));
        self.intflag |= CSRISE;
        // DLYCS: at least one period.
        let inactive = u64::from(self.ctrlb >> 24).max(1);
        self.select_at = cx.now + self.peripheral_time(inactive, cx);
    }

    fn enabled_in_memory_mode(&self) -> bool {
        self.ctrla & ENABLE != 0 && self.ctrlb & ctrlb::MEMORY != 0
    }

    fn status(&self) -> u32 {
        // CSSTATUS: chip select is high.
        self.ctrla & ENABLE | u32::from(self.transfer.is_none() && !self.spi.is_selected()) << 9
    }
}

impl Peripheral for Qspi {
    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        match offset {
            0x00 => self.ctrla,
            0x04 => self.ctrlb,
            0x08 => self.baud,
            0x0C => self.take_rxdata(cx),
            0x14 | 0x18 => self.inten,
            0x1C => self.intflag,
            0x20 => self.status(),
            0x30 => self.instraddr,
            0x34 => self.instrctrl,
            0x38 => self.instrframe,
            0x40 => self.scrambctrl,
            0x10 | 0x44 => 0,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.advance(cx);
        match offset {
            0x00 if w.value & 1 != 0 => {
                self.close(cx);
                self.restart();
            }
            0x00 => {
                let was = self.ctrla;
                self.ctrla = w.value & ENABLE;
                if was & ENABLE == 0 && self.ctrla & ENABLE != 0 {
                    self.intflag |= DRE;
                }
                if w.value & LASTXFER != 0 && self.spi.is_shifting() {
                    // SPI mode: after the character that is on its way.
                    self.spi.last = true;
                } else if w.value & LASTXFER != 0 || self.ctrla & ENABLE == 0 {
                    self.close(cx);
                }
            }
            0x04 => self.ctrlb = w.onto_masked(self.ctrlb, 0xFFFF_0F3F),
            0x08 => self.baud = w.onto_masked(self.baud, 0x00FF_FF03),
            0x10 => self.put_txdata(w.value & 0xFFFF, cx),
            0x14 => self.inten &= !w.value,
            0x18 => self.inten |= w.value & INT_MASK,
            0x1C => self.intflag &= !(w.value & INT_CLEARED),
            0x30 => self.instraddr = w.onto(self.instraddr),
            0x34 => self.instrctrl = w.onto_masked(self.instrctrl, 0x00FF_00FF),
            0x38 => {
                self.instrframe = w.onto_masked(self.instrframe, 0x001F_F7F7);
                self.frame_written(cx);
            }
            0x40 => self.scrambctrl = w.onto_masked(self.scrambctrl, 3),
            // The key cannot be read back, and scrambling does not happen.
            0x44 => {}
            0x0C | 0x20 => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, cx: &mut Context<'_>) {
        // The memory has no reset line: only the supply resets it. A frame that is cut off ends.
        self.close(cx);
        self.flash.advance(cx.now);
        self.restart();
    }

    fn next_event(&self) -> Instant {
        let wires = if self.upcoming & (self.inten | DRE) != 0 { self.wires_free_at } else { Instant::NEVER };
        wires.min(self.spi.done_at()).min(self.flash.busy_until().unwrap_or(Instant::NEVER))
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.upcoming != 0 && self.wires_free_at <= cx.now {
            self.intflag |= std::mem::take(&mut self.upcoming);
        }
        self.advance_spi(cx);
        self.flash.advance(cx.now);
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag != 0)
    }

    fn dma_requests(&self) -> u128 {
        if self.ctrla & ENABLE == 0 {
            return 0;
        }
        // Trigger sources 0x53 and 0x54 (22.8.9).
        u128::from(self.intflag & RXC != 0) << 0x53 | u128::from(self.intflag & DRE != 0) << 0x54
    }
}

impl Qspi {
    /// Registers as after a reset; the memory stays as it is.
    fn restart(&mut self) {
        let flash = std::mem::replace(&mut self.flash, Box::new(Nor::new(Rng::new(0))));
        *self = Self::with(flash);
    }
}
