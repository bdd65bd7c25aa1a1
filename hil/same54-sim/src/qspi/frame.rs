//! Serial memory mode: instruction frames (37.6.8).

use std::time::Duration;

use super::{CSRISE, INSTREND, Qspi, Transfer, ctrlb};
use crate::peripheral::Context;
use crate::spi_flash::{FlashContext, Frame, Lines};

/// INSTRFRAME fields.
const INSTREN: u32 = 1 << 4;
const ADDREN: u32 = 1 << 5;
const OPTCODEEN: u32 = 1 << 6;
const DATAEN: u32 = 1 << 7;
const ADDRLEN: u32 = 1 << 10;
const CRMODE: u32 = 1 << 14;
const DDREN: u32 = 1 << 15;

/// INSTRFRAME.TFRTYPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TransferType {
    Read,
    ReadMemory,
    Write,
    WriteMemory,
}

impl Qspi {
    fn transfer_type(&self) -> TransferType {
        match self.instrframe >> 12 & 3 {
            0 => TransferType::Read,
            1 => TransferType::ReadMemory,
            2 => TransferType::Write,
            _ => TransferType::WriteMemory,
        }
    }

    /// Whether the window reads the memory itself.
    pub(crate) fn reads_memory(&self) -> bool {
        self.transfer_type() == TransferType::ReadMemory
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

    /// Makes sure that a frame is open which an access at `offset` continues. `None` is a bus error.
    pub(super) fn open(&mut self, offset: u32, write: bool, cx: &mut Context<'_>) -> Option<Duration> {
        crate::peripheral::Peripheral::advance(self, cx);
        if !self.enabled_in_memory_mode() || self.instrframe & DATAEN == 0 {
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
        // 37.6.8.5: a jump ends the frame and starts another.
        match self.transfer {
            Some(transfer) if !memory || transfer.next == offset => return Some(Duration::ZERO),
            Some(_) => {
                self.transfer = None;
                self.end_frame(cx);
            }
            None => {}
        }
        let address = if memory { offset } else { self.instraddr };
        Some(self.start(address, cx))
    }

    /// Sends the head of a frame and opens its data phase. The time is what the wires need for it.
    fn start(&mut self, address: u32, cx: &mut Context<'_>) -> Duration {
        let (opcode_lines, address_lines, data_lines) = self.widths();
        let control = self.instrframe;
        if self.scrambctrl & 1 != 0 && control & DATAEN != 0 {
            cx.violation("QSPI scrambling is on, and not modelled");
        }
        let mut cycles = 0;
        // Continuous read mode: only the first frame has the instruction (37.6.8.4).
        let continued = control & CRMODE != 0 && self.instruction_sent;
        let opcode = (control & INSTREN != 0 && !continued).then(|| {
            cycles += 8 / opcode_lines as u32;
            (self.instrctrl as u8, opcode_lines)
        });
        self.instruction_sent = true;
        let rate = if control & DDREN != 0 { 2 } else { 1 };
        let address = (control & ADDREN != 0).then(|| {
            let bytes = if control & ADDRLEN != 0 { 4 } else { 3 };
            cycles += (8 * u32::from(bytes) / address_lines as u32).div_ceil(rate);
            (address, bytes, address_lines)
        });
        let mut dummy = control >> 16 & 31;
        let option = (control & OPTCODEEN != 0).then(|| {
            let bits = 1 << (control >> 8 & 3);
            dummy += (bits / address_lines as u32).max(1).div_ceil(rate);
            let code = self.instrctrl >> 16 & ((1 << bits) - 1);
            (code as u8, bits as u8)
        });
        cycles += dummy;
        let frame = Frame { opcode, address, option, dummy: dummy as u8, data_lines, double_rate: rate == 2 };
        let time = self.select_time(cx) + self.clock_time(cycles, cx);
        self.flash.begin(frame, &mut FlashContext::new(cx));
        self.transfer = Some(Transfer { lines: data_lines, double_rate: rate == 2, next: 0 });
        time
    }

    /// INSTRFRAME was written in serial memory mode: without data, the frame goes out now (37.6.8.4).
    pub(super) fn frame_written(&mut self, cx: &mut Context<'_>) {
        self.instruction_sent = false;
        if !self.enabled_in_memory_mode() {
            return;
        }
        if self.transfer.is_some() {
            cx.violation("QSPI.INSTRFRAME written before the transfer ended with LASTXFER");
            self.close(cx);
        }
        if self.instrframe & DATAEN == 0 {
            let time = self.start(self.instraddr, cx);
            self.transfer = None;
            let flags = self.intflag;
            self.end_frame(cx);
            self.intflag = flags;
            self.wires_free_at = cx.now + time;
            self.select_at = self.select_at + time;
            self.upcoming |= INSTREND | CSRISE;
        }
    }

    /// Whether data goes through RXDATA and TXDATA (CTRLB.SMEMREG).
    pub(super) fn uses_data_registers(&self) -> bool {
        self.ctrlb & ctrlb::MEMORY != 0 && self.ctrlb & ctrlb::SMEMREG != 0
    }

    /// One data byte of a frame through TXDATA.
    pub(super) fn write_register_data(&mut self, value: u32, cx: &mut Context<'_>) {
        if let Some(time) = self.open_by_register(true, cx) {
            let time = time + self.write_data(1, value, cx);
            self.wires_free_at = cx.now.max(self.wires_free_at) + time;
            self.intflag &= !(super::DRE | super::TXC);
            self.upcoming |= super::DRE | super::TXC;
        }
    }

    /// One data byte of a frame through RXDATA; the bus waits for it (assumed).
    pub(super) fn read_register_data(&mut self, cx: &mut Context<'_>) -> u32 {
        let Some(_) = self.open_by_register(false, cx) else { return 0 };
        self.read_data(1, cx).0
    }

    fn open_by_register(&mut self, write: bool, cx: &mut Context<'_>) -> Option<Duration> {
        let memory = matches!(self.transfer_type(), TransferType::ReadMemory | TransferType::WriteMemory);
        if memory {
            cx.violation("QSPI data register used for a memory transfer");
            return None;
        }
        self.open(0, write, cx)
    }
}
