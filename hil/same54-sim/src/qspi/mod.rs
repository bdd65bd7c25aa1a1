//! QSPI: quad serial peripheral interface (SAM D5x/E5x datasheet, 37).
//!
//! Fidelity: serial memory mode with instruction frames of all widths, read and write transfers, memory reads and writes
//! through the AHB window at 0x0400_0000, INSTREND and CSRISE, and plain SPI mode with 8-bit data are modelled, with the
//! time that frames take on the wires. DDR, scrambling, continuous read mode and the DMA requests are stored only; WDRBT
//! and delays are ignored. The serial memory is the board's N25Q256A.

mod spi;
#[cfg(test)]
mod tests;

use std::time::Duration;

use armv7m::Size;
use sim_base::{Instant, Rng};

use crate::event::ResetCause;
use crate::nor::{Frame, Lines, Nor};
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
use crate::tear::Tear;
use spi::SpiFrame;

/// The memory is off below this many millivolts (data sheet, VWI).
const NOR_WRITE_INHIBIT: u32 = 2_500;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["SCRAMBCTRL", "SCRAMBKEY"], absent: &[] };

const ENABLE: u32 = 1 << 1;
const LASTXFER: u32 = 1 << 24;
const RXC: u32 = 1 << 0;
const DRE: u32 = 1 << 1;
const TXC: u32 = 1 << 2;
const ERROR: u32 = 1 << 3;
const CSRISE: u32 = 1 << 8;
const INSTREND: u32 = 1 << 10;
const INT_MASK: u32 = 0x050F;

/// INSTRFRAME fields.
mod frame {
    pub(super) const INSTREN: u32 = 1 << 4;
    pub(super) const ADDREN: u32 = 1 << 5;
    pub(super) const OPTCODEEN: u32 = 1 << 6;
    pub(super) const DATAEN: u32 = 1 << 7;
    pub(super) const ADDRLEN: u32 = 1 << 10;
}

/// INSTRFRAME.TFRTYPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TransferType {
    Read,
    ReadMemory,
    Write,
    WriteMemory,
}

/// A frame whose data phase goes on.
#[derive(Clone, Copy, Debug)]
struct Transfer {
    lines: Lines,
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
    spi: Option<SpiFrame>,
    /// When the wires are free: flags of what was sent rise then.
    wires_free_at: Instant,
    /// Flags that rise at `wires_free_at`.
    upcoming: u32,
    pub(crate) nor: Nor,
}

impl Qspi {
    /// As after power-on, with an erased memory.
    pub(crate) fn new() -> Self {
        Self::with(Nor::new())
    }

    fn with(nor: Nor) -> Self {
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
            spi: None,
            wires_free_at: Instant::ZERO,
            upcoming: 0,
            nor,
        }
    }

    /// The supply failed.
    pub(crate) fn power_cut(&mut self, tear: Option<Tear>, rng: &mut Rng) -> Option<String> {
        self.nor.power_cut(tear, rng)
    }

    /// Whether the memory has supply and loses it at `millivolts`.
    pub(crate) fn nor_loses_supply(&self, millivolts: u32) -> bool {
        self.nor.is_powered() && millivolts < NOR_WRITE_INHIBIT
    }

    /// The memory's supply is at `millivolts`.
    pub(crate) fn supply_nor(&mut self, millivolts: u32, cx: &mut Context<'_>) {
        let powered = millivolts >= NOR_WRITE_INHIBIT;
        if powered && !self.nor.is_powered() {
            self.nor.power_on(cx.now);
        }
    }

    /// A read in the AHB window, `offset` from its start. The time is what the wires need for it.
    pub(crate) fn ahb_read(&mut self, offset: u32, size: Size, cx: &mut Context<'_>) -> Option<(u32, Duration)> {
        let mut time = self.open(offset, false, cx)?;
        let lines = self.transfer?.lines;
        let mut bytes = [0; 4];
        for byte in &mut bytes[..size as usize] {
            *byte = self.nor.read_byte(lines, cx);
        }
        time += self.data_time(size, lines, cx);
        self.transfer = Some(Transfer { lines, next: offset.wrapping_add(size as u32) });
        Some((u32::from_le_bytes(bytes), time))
    }

    /// A write in the AHB window; see [`ahb_read`](Self::ahb_read).
    pub(crate) fn ahb_write(&mut self, offset: u32, size: Size, value: u32, cx: &mut Context<'_>) -> Option<Duration> {
        let mut time = self.open(offset, true, cx)?;
        let lines = self.transfer?.lines;
        for byte in &value.to_le_bytes()[..size as usize] {
            self.nor.write_byte(*byte, lines, cx);
        }
        time += self.data_time(size, lines, cx);
        self.transfer = Some(Transfer { lines, next: offset.wrapping_add(size as u32) });
        Some(time)
    }

    /// Makes sure that a frame is open which an access at `offset` continues. `None` is a bus error.
    fn open(&mut self, offset: u32, write: bool, cx: &mut Context<'_>) -> Option<Duration> {
        self.advance(cx);
        let serial_memory = self.ctrlb & 1 != 0;
        if self.ctrla & ENABLE == 0 || !serial_memory || self.instrframe & frame::DATAEN == 0 {
            cx.violation("QSPI window accessed without a frame with data in serial memory mode");
            return None;
        }
        let transfer_type = self.transfer_type();
        let writes = matches!(transfer_type, TransferType::Write | TransferType::WriteMemory);
        if writes != write {
            cx.violation(format!("QSPI window: access does not fit TFRTYPE {transfer_type:?}"));
            return None;
        }
        let memory = matches!(transfer_type, TransferType::ReadMemory | TransferType::WriteMemory);
        match self.transfer {
            Some(transfer) if !memory || transfer.next == offset => Some(Duration::ZERO),
            open => {
                if open.is_some() {
                    // 37.6.8.5: a jump ends the frame and starts another.
                    self.nor.end(cx);
                    self.intflag |= CSRISE;
                }
                let address = if memory { offset } else { self.instraddr };
                Some(self.start(address, cx))
            }
        }
    }

    fn transfer_type(&self) -> TransferType {
        match self.instrframe >> 12 & 3 {
            0 => TransferType::Read,
            1 => TransferType::ReadMemory,
            2 => TransferType::Write,
            _ => TransferType::WriteMemory,
        }
    }

    /// Lines of instruction, address and data (INSTRFRAME.WIDTH).
    fn widths(&self) -> (Lines, Lines, Lines) {
        use Lines::{Four, One, Two};
        match self.instrframe & 7 {
            0 => (One, One, One),
            1 => (One, One, Two),
            2 => (One, One, Four),
            3 => (One, Two, Two),
            4 => (One, Four, Four),
            5 => (Two, Two, Two),
            _ => (Four, Four, Four),
        }
    }

    /// Sends the head of a frame and opens its data phase. The time is what the wires need for it.
    fn start(&mut self, address: u32, cx: &mut Context<'_>) -> Duration {
        let (opcode_lines, address_lines, data_lines) = self.widths();
        let control = self.instrframe;
        let mut cycles = 0;
        if control & frame::INSTREN != 0 {
            cycles += 8 / opcode_lines as u32;
        } else {
            cx.violation("QSPI frame without an instruction: continuous read mode is not modelled");
        }
        let address = (control & frame::ADDREN != 0).then(|| {
            let bytes = if control & frame::ADDRLEN != 0 { 4 } else { 3 };
            cycles += 8 * u32::from(bytes) / address_lines as u32;
            (address, bytes, address_lines)
        });
        let mut dummy = control >> 16 & 31;
        if control & frame::OPTCODEEN != 0 {
            dummy += (1 << (control >> 8 & 3)) / address_lines as u32;
        }
        cycles += dummy;
        let opcode = self.instrctrl as u8;
        self.nor.begin(Frame { opcode, opcode_lines, address, dummy: dummy as u8, data_lines }, cx);
        self.transfer = Some(Transfer { lines: data_lines, next: 0 });
        self.clock_time(cycles, cx)
    }

    fn clock_time(&self, cycles: u32, cx: &Context<'_>) -> Duration {
        let divider = u64::from(self.baud >> 8 & 0xFF) + 1;
        Duration::from_nanos(u64::from(cycles) * divider * 1_000_000_000 / u64::from(cx.clocks.cpu.max(1)))
    }

    fn data_time(&self, size: Size, lines: Lines, cx: &Context<'_>) -> Duration {
        self.clock_time(8 * size as u32 / lines as u32, cx)
    }

    /// Chip select rises.
    fn close(&mut self, cx: &mut Context<'_>) {
        if self.transfer.take().is_some() {
            self.nor.end(cx);
            self.intflag |= INSTREND | CSRISE;
        }
        if self.spi.take().is_some() {
            self.nor.end(cx);
            self.intflag |= CSRISE;
        }
    }

    /// INSTRFRAME was written in serial memory mode: without data, the frame goes out now (37.6.8.4).
    fn frame_written(&mut self, cx: &mut Context<'_>) {
        if self.ctrlb & 1 == 0 || self.ctrla & ENABLE == 0 {
            return;
        }
        if self.transfer.is_some() {
            cx.violation("QSPI.INSTRFRAME written before the transfer ended with LASTXFER");
            self.close(cx);
        }
        if self.instrframe & frame::DATAEN == 0 {
            let time = self.start(self.instraddr, cx);
            self.transfer = None;
            self.nor.end(cx);
            self.wires_free_at = cx.now + time;
            self.upcoming |= INSTREND | CSRISE;
        }
    }

    /// A character in SPI mode.
    fn exchange(&mut self, value: u32, cx: &mut Context<'_>) {
        if self.ctrla & ENABLE == 0 || self.ctrlb & 1 != 0 {
            cx.violation("QSPI.TXDATA written outside SPI mode");
            return;
        }
        if self.ctrlb >> 8 & 15 != 0 {
            cx.unmodelled(0x04, true);
        }
        let frame = self.spi.get_or_insert_with(SpiFrame::default);
        self.rxdata = u32::from(frame.exchange(value as u8, &mut self.nor, cx));
        self.wires_free_at = cx.now + self.clock_time(8, cx);
        self.upcoming |= RXC | DRE | TXC;
        self.intflag &= !(RXC | DRE | TXC);
    }
}

impl Peripheral for Qspi {
    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        match offset {
            0x00 => self.ctrla,
            0x04 => self.ctrlb,
            0x08 => self.baud,
            0x0C => {
                self.intflag &= !RXC;
                self.rxdata
            }
            0x14 | 0x18 => self.inten,
            0x1C => self.intflag,
            // ENABLE, and CSSTATUS: chip select is high.
            0x20 => self.ctrla & ENABLE | u32::from(self.transfer.is_none() && self.spi.is_none()) << 9,
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
                *self = Self::with(self.nor.clone());
            }
            0x00 => {
                let was = self.ctrla;
                self.ctrla = w.value & ENABLE;
                if was & ENABLE == 0 && self.ctrla & ENABLE != 0 && self.ctrlb & 1 == 0 {
                    self.intflag |= DRE;
                }
                if w.value & LASTXFER != 0 || self.ctrla & ENABLE == 0 {
                    self.close(cx);
                }
            }
            0x04 => self.ctrlb = w.onto_masked(self.ctrlb, 0xFFFF_0F3F),
            0x08 => self.baud = w.onto_masked(self.baud, 0x00FF_FF03),
            0x10 => self.exchange(w.value, cx),
            0x14 => self.inten &= !w.value,
            0x18 => self.inten |= w.value & INT_MASK,
            0x1C => self.intflag &= !(w.value & (ERROR | CSRISE | INSTREND)),
            0x30 => self.instraddr = w.onto(self.instraddr),
            0x34 => self.instrctrl = w.onto_masked(self.instrctrl, 0x00FF_00FF),
            0x38 => {
                self.instrframe = w.onto_masked(self.instrframe, 0x001F_F7F7);
                self.frame_written(cx);
            }
            0x40 => self.scrambctrl = w.onto_masked(self.scrambctrl, 3),
            0x0C | 0x20 | 0x44 => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, cx: &mut Context<'_>) {
        // The memory has no reset line: only the supply resets it. A frame that is cut off ends.
        self.close(cx);
        self.nor.advance(cx.now);
        *self = Self::with(self.nor.clone());
    }

    fn next_event(&self) -> Instant {
        let wires = if self.upcoming & self.inten != 0 { self.wires_free_at } else { Instant::NEVER };
        wires.min(self.nor.busy_until().unwrap_or(Instant::NEVER))
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.upcoming != 0 && self.wires_free_at <= cx.now {
            self.intflag |= std::mem::take(&mut self.upcoming);
        }
        self.nor.advance(cx.now);
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag != 0)
    }
}
