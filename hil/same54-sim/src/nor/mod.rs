//! N25Q256A, the board's 32 MiB serial NOR flash (Micron data sheet "n25q_256mb_3v").
//!
//! Fidelity: modelled are identification, status and flag status registers, write enable latch, 3- and 4-byte
//! addressing with the extended address register, volatile and non-volatile configuration (dummy cycles, address mode),
//! all single, dual and quad reads and programs of the extended SPI protocol, page programs that only clear bits and
//! wrap in their page, the three erases, block protection by BP bits, and typical times (program 15 us per 8 bytes, 4 KiB
//! 0.25 s, 64 KiB 0.7 s, bulk 240 s, status 1.3 ms, non-volatile configuration 0.2 s). Cells change when the operation
//! ends. A frame whose address, lines or dummy cycles do not fit the instruction is ignored and reported, where the chip
//! would answer garbage. Absent: dual and quad protocols for the instruction itself, XIP, suspend (refused and
//! reported), OTP, sector locks (stored), parameter table (reads erased), wear and read disturbance.

mod array;
mod command;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use sim_base::{Instant, Rng};

use crate::event::EventKind;
use crate::peripheral::Context;
use crate::tear::Tear;
use array::Array;
pub(crate) use array::SIZE;
use command::{Action, AddressBytes, Command, Dummy, Register, decode};
pub(crate) use command::{Frame, Lines};

const PAGE: u32 = 256;
/// Manufacturer, type and capacity, then the length of what follows.
const IDENTIFICATION: [u8; 4] = [0x20, 0xBA, 0x19, 0x10];

const WIP: u8 = 1 << 0;
const WEL: u8 = 1 << 1;
const STATUS_WRITABLE: u8 = 0xFC;

/// Flag status register.
mod flag {
    pub(super) const FOUR_BYTE: u8 = 1 << 0;
    pub(super) const PROTECTION: u8 = 1 << 1;
    pub(super) const PROGRAM: u8 = 1 << 4;
    pub(super) const ERASE: u8 = 1 << 5;
    pub(super) const READY: u8 = 1 << 7;
}

#[derive(Clone, Debug)]
enum Kind {
    Program(Vec<u8>),
    Erase(u32),
    WriteStatus(u8),
    WriteNonVolatile(u16),
}

/// An operation in flight.
#[derive(Clone, Debug)]
struct Operation {
    kind: Kind,
    addr: u32,
    done_at: Instant,
}

/// The frame that is going over the wires.
#[derive(Clone, Debug)]
struct Transfer {
    command: Command,
    addr: u32,
    data: Vec<u8>,
    /// Bytes read so far.
    position: u32,
}

/// Address and dummy bytes that `opcode` takes on a single line in the memory's present mode.
pub(crate) fn address_and_dummy_bytes(nor: &Nor, opcode: u8) -> (u8, u8) {
    decode(opcode).map_or((0, 0), |command| (nor.address_bytes(&command), nor.dummy_cycles(&command) / 8))
}

/// The memory.
#[derive(Clone)]
pub(crate) struct Nor {
    array: Array,
    status: u8,
    flags: u8,
    nonvolatile: u16,
    volatile: u8,
    enhanced: u8,
    extended_address: u8,
    four_byte: bool,
    reset_enabled: bool,
    operation: Option<Operation>,
    transfer: Option<Transfer>,
    powered: bool,
}

impl Nor {
    /// As delivered: erased.
    pub(crate) fn new() -> Self {
        Self {
            array: Array::new(),
            status: 0,
            flags: 0,
            nonvolatile: 0xFFFF,
            volatile: 0xFB,
            enhanced: 0xDF,
            extended_address: 0,
            four_byte: false,
            reset_enabled: false,
            operation: None,
            transfer: None,
            powered: false,
        }
    }

    /// `len` bytes from `addr`, for observers.
    pub(crate) fn copy(&self, addr: u32, len: usize) -> Vec<u8> {
        self.array.copy(addr, len)
    }

    /// The cells from `addr` on hold `bytes`, whatever they held before.
    pub(crate) fn preload(&mut self, addr: u32, bytes: &[u8]) {
        self.array.store(addr, bytes);
    }

    /// When the operation in flight, if any, ends.
    pub(crate) fn busy_until(&self) -> Option<Instant> {
        self.operation.as_ref().map(|operation| operation.done_at)
    }

    /// The supply comes up: volatile registers take their values from the non-volatile ones.
    pub(crate) fn power_on(&mut self, _now: Instant) {
        self.powered = true;
        self.load_registers();
    }

    /// Whether the memory has supply.
    pub(crate) fn is_powered(&self) -> bool {
        self.powered
    }

    fn load_registers(&mut self) {
        self.status &= !(WIP | WEL);
        self.flags = 0;
        // NVCR: bits 15:12 dummy cycles, bit 0 address bytes (0 is four), bit 1 upper or lower 128 Mb segment.
        self.volatile = (self.nonvolatile >> 8 & 0xF0) as u8 | 0x0B;
        self.enhanced = 0xDF;
        self.four_byte = self.nonvolatile & 1 == 0;
        self.extended_address = u8::from(self.nonvolatile & 2 == 0);
        self.reset_enabled = false;
        self.transfer = None;
    }

    /// The supply failed: tears the operation in flight and names it.
    pub(crate) fn power_cut(&mut self, tear: Option<Tear>, rng: &mut Rng) -> Option<String> {
        self.transfer = None;
        self.powered = false;
        let operation = self.operation.take()?;
        let tear = tear.unwrap_or_else(|| Tear::choose(rng));
        match &operation.kind {
            Kind::Program(data) => {
                let page = operation.addr & !(PAGE - 1);
                let offsets: Vec<u32> = (0..data.len() as u32).map(|n| operation.addr.wrapping_add(n) % PAGE).collect();
                let mut cells: Vec<u8> = offsets.iter().map(|offset| self.array.byte(page | offset)).collect();
                // In page order the data may wrap; tear it in the order in which it was sent.
                let target: Vec<u8> = cells.iter().zip(data).map(|(cell, byte)| cell & byte).collect();
                let unsteady = tear.apply(rng, &mut cells, &target);
                for (offset, cell) in offsets.iter().zip(&cells) {
                    self.array.store(page | offset, &[*cell]);
                }
                for (n, bits) in unsteady {
                    self.array.unsettle(page | offsets[n], bits, rng);
                }
            }
            Kind::Erase(len) => {
                // Erase pulses work on 64 KiB sectors (a bulk erase goes through them one after the other).
                let sector = (*len).min(65_536);
                let whole = if *len > sector { rng.below(u64::from(len / sector)) as u32 } else { 0 };
                self.array.erase(operation.addr, whole * sector);
                let at = operation.addr + whole * sector;
                let mut cells = self.array.copy(at, sector as usize);
                let target = vec![0xFF; cells.len()];
                let unsteady = tear.apply(rng, &mut cells, &target);
                self.array.store(at, &cells);
                for (n, bits) in unsteady {
                    self.array.unsettle(at + n as u32, bits, rng);
                }
            }
            // The registers' own cells keep the old value (assumed).
            Kind::WriteStatus(_) | Kind::WriteNonVolatile(_) => {}
        }
        Some(operation.to_string())
    }

    /// Lets the operation in flight end if it is due.
    pub(crate) fn advance(&mut self, now: Instant) {
        let Some(operation) = self.operation.take_if(|operation| operation.done_at <= now) else { return };
        match operation.kind {
            Kind::Program(data) => {
                let page = operation.addr & !(PAGE - 1);
                for (n, byte) in (0..).zip(data) {
                    self.array.program(page | operation.addr.wrapping_add(n) & (PAGE - 1), byte);
                }
            }
            Kind::Erase(len) => self.array.erase(operation.addr, len),
            Kind::WriteStatus(value) => self.status = value & STATUS_WRITABLE,
            Kind::WriteNonVolatile(value) => self.nonvolatile = value,
        }
        self.status &= !WEL;
    }

    /// Chip select falls and the frame's head is sent.
    pub(crate) fn begin(&mut self, frame: Frame, cx: &mut Context<'_>) {
        self.advance(cx.now);
        self.transfer = None;
        if !self.powered {
            return;
        }
        let Some(command) = decode(frame.opcode) else {
            cx.violation(format!("NOR instruction {:#04x} does not exist or is not modelled", frame.opcode));
            return;
        };
        let reads_status =
            matches!(command.action, Action::ReadRegister(Register::Status | Register::FlagStatus) | Action::Suspend);
        if self.operation.is_some() && !reads_status {
            cx.violation(format!("NOR instruction {:#04x} while a program or erase is under way", frame.opcode));
            return;
        }
        if let Some(why) = self.mismatch(&command, &frame) {
            cx.violation(format!("NOR instruction {:#04x}: {why}", frame.opcode));
            return;
        }
        let addr = match frame.address {
            Some((addr, 3, _)) => addr & 0x00FF_FFFF | u32::from(self.extended_address & 1) << 24,
            Some((addr, ..)) => addr,
            None => 0,
        };
        self.transfer = Some(Transfer { command, addr: addr % SIZE, data: Vec::new(), position: 0 });
    }

    fn address_bytes(&self, command: &Command) -> u8 {
        match command.address {
            AddressBytes::None => 0,
            AddressBytes::Mode if self.four_byte => 4,
            AddressBytes::Mode => 3,
            AddressBytes::Four => 4,
        }
    }

    fn dummy_cycles(&self, command: &Command) -> u8 {
        match command.dummy {
            Dummy::None => 0,
            Dummy::Fixed(cycles) => cycles,
            Dummy::Configured(default) => match self.volatile >> 4 {
                0 | 15 => default,
                cycles => cycles,
            },
        }
    }

    /// What does not fit between the instruction and the frame.
    fn mismatch(&self, command: &Command, frame: &Frame) -> Option<String> {
        let expected = self.address_bytes(command);
        let sent = frame.address.map_or(0, |(_, bytes, _)| bytes);
        if sent != expected {
            return Some(format!("{sent} address bytes instead of {expected}"));
        }
        let dummy = self.dummy_cycles(command);
        if frame.dummy != dummy {
            return Some(format!("{} dummy cycles instead of {dummy}", frame.dummy));
        }
        if frame.opcode_lines != Lines::One {
            return Some("the instruction came over more than one line".into());
        }
        let address_lines = frame.address.map_or(command.address_lines, |(_, _, lines)| lines);
        if address_lines != command.address_lines {
            return Some(format!("address over {address_lines:?} lines instead of {:?}", command.address_lines));
        }
        None
    }

    /// The next data byte, sent by the memory over `lines`.
    pub(crate) fn read_byte(&mut self, lines: Lines, cx: &mut Context<'_>) -> u8 {
        self.advance(cx.now);
        let Some(transfer) = &mut self.transfer else { return 0xFF };
        if transfer.command.data_lines != lines {
            let expected = transfer.command.data_lines;
            self.transfer = None;
            cx.violation(format!("NOR data over {lines:?} lines instead of {expected:?}"));
            return 0xFF;
        }
        let position = transfer.position;
        transfer.position = position.wrapping_add(1);
        let addr = transfer.addr.wrapping_add(position);
        match transfer.command.action {
            Action::ReadArray => self.array.sense(addr),
            Action::ReadRegister(register) => self.register(register, position),
            _ => 0xFF,
        }
    }

    fn register(&self, register: Register, position: u32) -> u8 {
        let busy = self.operation.is_some();
        match register {
            Register::Status => self.status | if busy { WIP } else { 0 },
            Register::FlagStatus => {
                let four_byte = if self.four_byte { flag::FOUR_BYTE } else { 0 };
                self.flags | four_byte | if busy { 0 } else { flag::READY }
            }
            Register::NonVolatile => self.nonvolatile.to_le_bytes()[position as usize % 2],
            Register::Volatile => self.volatile,
            Register::Enhanced => self.enhanced,
            Register::ExtendedAddress => self.extended_address,
            Register::Lock => 0,
            Register::Identification => IDENTIFICATION.get(position as usize).copied().unwrap_or(0),
            Register::Parameters => 0xFF,
        }
    }

    /// The next data byte, sent to the memory over `lines`.
    pub(crate) fn write_byte(&mut self, byte: u8, lines: Lines, cx: &mut Context<'_>) {
        let Some(transfer) = &mut self.transfer else { return };
        if transfer.command.data_lines != lines {
            cx.violation(format!("NOR data over {lines:?} lines instead of {:?}", transfer.command.data_lines));
            self.transfer = None;
            return;
        }
        transfer.data.push(byte);
    }

    /// Chip select rises: programs, erases and register writes start.
    pub(crate) fn end(&mut self, cx: &mut Context<'_>) {
        self.advance(cx.now);
        let Some(transfer) = self.transfer.take() else { return };
        let reset_enabled = std::mem::take(&mut self.reset_enabled);
        match transfer.command.action {
            Action::ReadArray | Action::ReadRegister(_) => {}
            Action::WriteEnable => self.status |= WEL,
            Action::WriteDisable => self.status &= !WEL,
            Action::ClearFlags => self.flags = 0,
            Action::ResetEnable => self.reset_enabled = true,
            Action::ResetMemory if reset_enabled => self.load_registers(),
            Action::ResetMemory => cx.violation("NOR reset without reset enable"),
            Action::Suspend | Action::Resume => cx.violation("NOR program and erase suspend is not modelled"),
            _ if self.status & WEL == 0 => {
                cx.violation(format!("NOR {:?} without write enable: ignored", transfer.command.action));
            }
            Action::Enter4Byte => self.set_address_mode(true),
            Action::Exit4Byte => self.set_address_mode(false),
            Action::WriteRegister(register) => self.write_register(register, &transfer.data, cx),
            Action::Program => self.program(transfer, cx),
            Action::Erase(len) => self.erase(transfer.addr, len, cx),
        }
    }

    fn set_address_mode(&mut self, four_byte: bool) {
        self.four_byte = four_byte;
        self.status &= !WEL;
    }

    fn write_register(&mut self, register: Register, data: &[u8], cx: &mut Context<'_>) {
        let Some(value) = data.first().copied() else { return };
        match register {
            Register::Volatile => self.volatile = value,
            Register::Enhanced => self.enhanced = value,
            Register::ExtendedAddress => self.extended_address = value & 1,
            Register::Status => {
                self.start(Kind::WriteStatus(value), 0, Duration::from_micros(1_300), cx);
                return;
            }
            Register::NonVolatile => {
                let value = u16::from_le_bytes([value, data.get(1).copied().unwrap_or(0xFF)]);
                self.start(Kind::WriteNonVolatile(value), 0, Duration::from_millis(200), cx);
                return;
            }
            _ => {}
        }
        self.status &= !WEL;
    }

    fn program(&mut self, transfer: Transfer, cx: &mut Context<'_>) {
        let Transfer { addr, mut data, .. } = transfer;
        if data.is_empty() {
            return;
        }
        if self.is_protected(addr) {
            self.fail(flag::PROGRAM);
            return;
        }
        cx.events.push(cx.now, EventKind::NorProgram { addr, data: data.clone() });
        if addr % PAGE + data.len() as u32 > PAGE {
            cx.violation(format!("NOR program of {} bytes at {addr:#010x} wraps in its page", data.len()));
        }
        // Of more than a page, the last 256 bytes count.
        let excess = data.len().saturating_sub(PAGE as usize);
        data.drain(..excess);
        let addr = addr & !(PAGE - 1) | addr.wrapping_add(excess as u32) & (PAGE - 1);
        let time = Duration::from_micros(15 * (data.len() as u64).div_ceil(8));
        self.start(Kind::Program(data), addr, time, cx);
    }

    fn erase(&mut self, addr: u32, len: u32, cx: &mut Context<'_>) {
        let (addr, len, time) = match len {
            0 => (0, SIZE, Duration::from_secs(240)),
            4_096 => (addr & !4_095, len, Duration::from_millis(250)),
            _ => (addr & !65_535, len, Duration::from_millis(700)),
        };
        if self.is_protected(addr) || len == SIZE && self.protected_bytes() != 0 {
            self.fail(flag::ERASE);
            return;
        }
        cx.events.push(cx.now, EventKind::NorErase { addr, len });
        self.start(Kind::Erase(len), addr, time, cx);
    }

    fn fail(&mut self, what: u8) {
        self.flags |= what | flag::PROTECTION;
        self.status &= !WEL;
    }

    fn start(&mut self, kind: Kind, addr: u32, time: Duration, cx: &mut Context<'_>) {
        let done_at = if cx.flash_timing { cx.now + time } else { cx.now };
        self.operation = Some(Operation { kind, addr, done_at });
        self.advance(cx.now);
    }

    /// Bytes that BP3 (bit 6) and BP2 to BP0 (bits 4 to 2) protect: 64 KiB doubled with each step.
    fn protected_bytes(&self) -> u64 {
        match (self.status >> 3 & 8) | (self.status >> 2 & 7) {
            0 => 0,
            n => (65_536_u64 << (n - 1)).min(u64::from(SIZE)),
        }
    }

    fn is_protected(&self, addr: u32) -> bool {
        let protected = self.protected_bytes();
        let from_bottom = self.status >> 5 & 1 != 0;
        if from_bottom { u64::from(addr) < protected } else { u64::from(SIZE - addr) <= protected }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Program(data) => write!(f, "NOR program of {} bytes at {:#010x}", data.len(), self.addr),
            Kind::Erase(len) => write!(f, "NOR erase of {len} bytes at {:#010x}", self.addr),
            Kind::WriteStatus(_) => f.write_str("NOR status register write"),
            Kind::WriteNonVolatile(_) => f.write_str("NOR non-volatile configuration write"),
        }
    }
}
