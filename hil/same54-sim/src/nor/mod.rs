//! N25Q256A, the board's 32 MiB serial NOR flash (Micron data sheet "n25q_256mb_3v").
//!
//! Fidelity: modelled are the whole command set of this part number in the extended, dual and quad protocol, 3- and
//! 4-byte addresses with the extended address register, double transfer rate reads, dummy cycles and wrap of the
//! volatile configuration, execute in place (entered and left by the confirmation bit, or at power-on), page programs
//! that only clear bits and wrap in their page, the three erases, suspend and resume with programs inside a suspended
//! sector erase, block protection with TB, status register write disable with W#, the sectors' lock registers, the OTP
//! array, reset enable and reset, flags for failed and protected operations, deafness for 150 us after a return of its
//! supply alone (the chip takes as long to start itself, assumed), and erase counts. Times are the typical or, if asked
//! for, the maximum ones (page program 15 us per 8 bytes, at most 5 ms; 4 KiB 0.25 s, 0.8 s; 64 KiB 0.7 s, 3 s; bulk
//! 240 s, 480 s; status 1.3 ms, 8 ms; non-volatile configuration 0.2 s, 3 s). Cells change when the operation ends. A
//! frame whose address, lines or dummy cycles do not fit the instruction is ignored and reported, where the chip would
//! answer garbage. Assumed: a suspension takes 15 us (program 7 us); volatile registers may be written during one;
//! cells under a suspended operation read as before it; reset in the middle of an operation tears it. Deep power-down,
//! ENTER QUAD and 4-byte programs are not in this part. HOLD# and VPP are absent.

mod array;
mod command;
mod faults;
mod operation;
mod sfdp;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use sim_base::{Instant, Rng};

use crate::board::Hash64;
use crate::spi_flash::{FlashContext, Frame, Lines, SpiFlash};
use crate::tear::Tear;
use array::Array;
pub use array::NorCells;
pub(crate) use array::SIZE;
use command::{Action, AddressBytes, Command, Dummy, Protocol, Register, decode};
pub use faults::{SilentFlash, SlowFlash, StuckBit, WornRange};
use operation::{Kind, Operation};

const PAGE: u32 = 256;
const SECTOR: u32 = 65_536;
/// Bytes of the OTP array; its lock byte follows.
const OTP: usize = 64;
const WIP: u8 = 1 << 0;
const WEL: u8 = 1 << 1;
const STATUS_WRITABLE: u8 = 0xFC;
/// Status register write disable.
const SRWD: u8 = 1 << 7;

/// Lock register bits.
const WRITE_LOCK: u8 = 1 << 0;
const LOCK_DOWN: u8 = 1 << 1;

/// Flag status register.
mod flag {
    pub(super) const FOUR_BYTE: u8 = 1 << 0;
    pub(super) const PROTECTION: u8 = 1 << 1;
    pub(super) const PROGRAM_SUSPENDED: u8 = 1 << 2;
    pub(super) const PROGRAM: u8 = 1 << 4;
    pub(super) const ERASE: u8 = 1 << 5;
    pub(super) const ERASE_SUSPENDED: u8 = 1 << 6;
    pub(super) const READY: u8 = 1 << 7;
}

/// The frame that is going over the wires.
#[derive(Clone, Debug)]
struct Transfer {
    command: Command,
    data_lines: Lines,
    addr: u32,
    data: Vec<u8>,
    /// Bytes read so far.
    position: u32,
}

/// Non-volatile bits and those that read differently at each power-on.
#[derive(Clone, Copy, Debug)]
struct Cells16 {
    value: u16,
    unsteady: u16,
}

impl Cells16 {
    fn sense(self, noise: &mut Rng) -> u16 {
        if self.unsteady == 0 { self.value } else { self.value ^ self.unsteady & noise.next_u32() as u16 }
    }
}

/// The memory.
#[derive(Clone)]
pub(crate) struct Nor {
    cells: Box<dyn NorCells>,
    status_cells: Cells16,
    nonvolatile: Cells16,
    otp: [u8; OTP + 1],
    /// Status register without WIP.
    status: u8,
    flags: u8,
    volatile: u8,
    enhanced: u8,
    extended_address: u8,
    four_byte: bool,
    /// Lock registers that are not zero, by sector.
    locks: BTreeMap<u32, u8>,
    reset_enabled: bool,
    operation: Option<Operation>,
    /// Suspended operations, the last one on top.
    suspended: Vec<Operation>,
    transfer: Option<Transfer>,
    /// Execute in place: the read that frames without instruction mean.
    in_place: Option<Command>,
    powered: bool,
    ready_at: Instant,
    write_protect: bool,
    worst_case: bool,
    noise: Rng,
}

impl Nor {
    /// As delivered: erased. Chance follows `noise`.
    pub(crate) fn new(noise: Rng) -> Self {
        Self {
            cells: Box::new(Array::new()),
            status_cells: Cells16 { value: 0, unsteady: 0 },
            nonvolatile: Cells16 { value: 0xFFFF, unsteady: 0 },
            otp: [0xFF; OTP + 1],
            status: 0,
            flags: 0,
            volatile: 0xFB,
            enhanced: 0xDF,
            extended_address: 0,
            four_byte: false,
            locks: BTreeMap::new(),
            reset_enabled: false,
            operation: None,
            suspended: Vec::new(),
            transfer: None,
            in_place: None,
            powered: false,
            ready_at: Instant::NEVER,
            write_protect: false,
            worst_case: false,
            noise,
        }
    }

    /// Volatile registers take their values from the non-volatile ones, at power-on and reset.
    fn load_registers(&mut self) {
        self.status = self.status_cells.sense(&mut self.noise) as u8 & STATUS_WRITABLE;
        self.flags = 0;
        let configuration = self.nonvolatile.sense(&mut self.noise);
        // NVCR: bits 15:12 dummy cycles, 11:9 XIP, 8:6 drive, 4 HOLD#, 3 quad, 2 dual, 1 segment, 0 address bytes.
        let xip = configuration >> 9 & 7;
        self.volatile = (configuration >> 8 & 0xF0) as u8 | 0x03 | if xip < 5 { 0 } else { 0x08 };
        self.enhanced =
            (configuration << 4 & 0xC0) as u8 | (configuration & 0x10) as u8 | 0x08 | (configuration >> 6 & 7) as u8;
        self.four_byte = configuration & 1 == 0;
        self.extended_address = u8::from(configuration & 2 == 0);
        self.locks.clear();
        self.reset_enabled = false;
        self.transfer = None;
        self.suspended.clear();
        let read = [0x0B, 0x3B, 0xBB, 0x6B, 0xEB].get(usize::from(xip));
        self.in_place = read.and_then(|opcode| decode(*opcode, self.protocol()));
    }

    fn protocol(&self) -> Protocol {
        match (self.enhanced & 0x80 == 0, self.enhanced & 0x40 == 0) {
            (true, _) => Protocol::Quad,
            (_, true) => Protocol::Dual,
            _ => Protocol::Extended,
        }
    }

    fn address_bytes(&self, command: &Command) -> u8 {
        match command.address {
            AddressBytes::None => 0,
            AddressBytes::Three => 3,
            AddressBytes::Mode if self.four_byte => 4,
            AddressBytes::Mode => 3,
            AddressBytes::Four => 4,
        }
    }

    fn dummy_cycles(&self, command: &Command) -> u8 {
        match (command.dummy, self.volatile >> 4) {
            (Dummy::None, _) => 0,
            (Dummy::Eight, _) => 8,
            (Dummy::Configured { quad, else_ }, 0 | 15) => {
                if self.protocol() == Protocol::Quad {
                    quad
                } else {
                    else_
                }
            }
            (_, cycles) => cycles,
        }
    }

    /// The instruction that `frame` means, or what is wrong with it.
    fn understand(&self, frame: &Frame) -> Result<Command, String> {
        let protocol = self.protocol();
        let command = match (frame.opcode, self.in_place) {
            (None, Some(command)) => command,
            (None, None) => return Err("frame without instruction, but the memory is not in XIP mode".into()),
            (Some((opcode, _)), Some(_)) => {
                return Err(format!("instruction {opcode:#04x} while the memory is in XIP mode"));
            }
            (Some((opcode, lines)), None) => {
                let command = decode(opcode, protocol)
                    .ok_or_else(|| format!("instruction {opcode:#04x} does not exist in the {protocol:?} protocol"))?;
                if lines != command.lines(protocol).0 {
                    return Err(format!(
                        "instruction {opcode:#04x} came over {lines:?} lines in the {protocol:?} protocol"
                    ));
                }
                command
            }
        };
        let what = frame.opcode.map_or("XIP read".into(), |(opcode, _)| format!("instruction {opcode:#04x}"));
        let expected = self.address_bytes(&command);
        let sent = frame.address.map_or(0, |(_, bytes, _)| bytes);
        if sent != expected {
            return Err(format!("{what}: {sent} address bytes instead of {expected}"));
        }
        let dummy = self.dummy_cycles(&command);
        if frame.dummy != dummy {
            return Err(format!("{what}: {} dummy cycles instead of {dummy}", frame.dummy));
        }
        let address_lines = command.lines(protocol).1;
        if let Some((_, _, lines)) = frame.address.filter(|(_, _, lines)| *lines != address_lines) {
            return Err(format!("{what}: address over {lines:?} lines instead of {address_lines:?}"));
        }
        if frame.double_rate != command.double_rate {
            return Err(format!("{what}: double transfer rate does not fit"));
        }
        Ok(command)
    }

    /// Whether `command` is let through while an operation is under way or suspended.
    fn admits(&self, command: &Command, addr: u32) -> bool {
        use Action as A;
        if self.operation.is_some() {
            return matches!(
                command.action,
                A::ReadRegister(Register::Status | Register::FlagStatus) | A::Suspend | A::ResetEnable | A::ResetMemory
            );
        }
        let Some(top) = self.suspended.last() else { return true };
        match command.action {
            A::Program => matches!(top.kind, Kind::Erase(SECTOR)) && top.addr / SECTOR != addr / SECTOR,
            A::ProgramOtp | A::Erase(_) | A::WriteRegister(Register::Status | Register::NonVolatile) => false,
            _ => true,
        }
    }

    /// Execute in place goes on while the confirmation bit, on DQ0 in the first dummy cycle, is 0.
    fn confirm_in_place(&mut self, command: Command, frame: &Frame) {
        let enabled = self.in_place.is_some() || self.volatile & 0x08 == 0;
        let lines = frame.address.map_or(1, |(_, _, lines)| lines as u8);
        let confirmed = frame.option.is_some_and(|(bits, count)| bits >> count.saturating_sub(lines) & 1 == 0);
        self.in_place = (enabled && confirmed && command.dummy != Dummy::None).then_some(command);
    }

    fn register(&mut self, register: Register, addr: u32, position: u32) -> u8 {
        let busy = self.operation.is_some();
        match register {
            Register::Status => self.status | if busy { WIP } else { 0 },
            Register::FlagStatus => {
                let suspended = self.suspended.iter().fold(0, |bits, operation| {
                    bits | match operation.kind {
                        Kind::Erase(_) => flag::ERASE_SUSPENDED,
                        _ => flag::PROGRAM_SUSPENDED,
                    }
                });
                let four_byte = if self.four_byte { flag::FOUR_BYTE } else { 0 };
                self.flags | suspended | four_byte | if busy { 0 } else { flag::READY }
            }
            Register::NonVolatile => self.nonvolatile.sense(&mut self.noise).to_le_bytes()[position as usize % 2],
            Register::Volatile => self.volatile,
            Register::Enhanced => self.enhanced,
            Register::ExtendedAddress => self.extended_address,
            Register::Lock => self.lock_of(addr),
            Register::Identification => sfdp::IDENTIFICATION.get(position as usize).copied().unwrap_or(0),
            Register::ShortIdentification => sfdp::IDENTIFICATION[position as usize % 3],
            Register::Parameters => sfdp::parameter(addr.wrapping_add(position)),
        }
    }

    fn lock_of(&self, addr: u32) -> u8 {
        self.locks.get(&(addr / SECTOR)).copied().unwrap_or(0)
    }

    fn set_address_mode(&mut self, four_byte: bool) {
        self.four_byte = four_byte;
        self.status &= !WEL;
    }

    fn write_register(&mut self, register: Register, transfer: &Transfer, cx: &mut FlashContext<'_>) {
        let Some(value) = transfer.data.first().copied() else { return };
        match register {
            Register::Volatile => self.volatile = value,
            Register::Enhanced => self.enhanced = value,
            Register::ExtendedAddress => self.extended_address = value & 1,
            Register::Lock if self.lock_of(transfer.addr) & LOCK_DOWN != 0 => {
                cx.violation(format!("NOR lock register of {:#010x} is locked down", transfer.addr));
            }
            Register::Lock => {
                self.locks.insert(transfer.addr / SECTOR, value & (WRITE_LOCK | LOCK_DOWN));
            }
            Register::Status if self.write_protect && self.status & SRWD != 0 => {
                cx.violation("NOR status register written while W# protects it");
                return;
            }
            Register::Status => {
                self.start(Kind::WriteStatus(value), 0, cx);
                return;
            }
            Register::NonVolatile => {
                let value = u16::from_le_bytes([value, transfer.data.get(1).copied().unwrap_or(0xFF)]);
                self.start(Kind::WriteNonVolatile(value), 0, cx);
                return;
            }
            _ => {}
        }
        self.status &= !WEL;
    }

    /// Bytes that BP3 (bit 6) and BP2 to BP0 (bits 4 to 2) protect: 64 KiB doubled with each step.
    fn protected_bytes(&self) -> u64 {
        match (self.status >> 3 & 8) | (self.status >> 2 & 7) {
            0 => 0,
            n => (u64::from(SECTOR) << (n - 1)).min(u64::from(SIZE)),
        }
    }

    fn is_protected(&self, addr: u32) -> bool {
        let protected = self.protected_bytes();
        let from_bottom = self.status >> 5 & 1 != 0;
        let by_block = if from_bottom { u64::from(addr) < protected } else { u64::from(SIZE - addr) <= protected };
        by_block || self.lock_of(addr) & WRITE_LOCK != 0
    }

    fn fail(&mut self, what: u8) {
        self.flags |= what;
        self.status &= !WEL;
    }
}

impl SpiFlash for Nor {
    fn begin(&mut self, frame: Frame, cx: &mut FlashContext<'_>) {
        self.advance(cx.now());
        self.transfer = None;
        if !self.powered || cx.timing() && cx.now() < self.ready_at {
            return;
        }
        let command = match self.understand(&frame) {
            Ok(command) => command,
            Err(why) => {
                cx.violation(format!("NOR {why}"));
                return;
            }
        };
        let addr = match frame.address {
            Some((addr, 3, _)) if command.address != AddressBytes::Three => {
                addr & 0x00FF_FFFF | u32::from(self.extended_address & 1) << 24
            }
            Some((addr, ..)) => addr,
            None => 0,
        } % SIZE;
        if !self.admits(&command, addr) {
            let state = if self.operation.is_some() { "under way" } else { "suspended" };
            cx.violation(format!("NOR {:?} while a program or erase is {state}: ignored", command.action));
            return;
        }
        if command.action == Action::ReadArray {
            if self.suspended.iter().any(|operation| operation.covers(addr)) {
                cx.violation(format!("NOR read at {addr:#010x} inside a suspended operation"));
            }
            self.confirm_in_place(command, &frame);
        }
        let data_lines = command.lines(self.protocol()).2;
        self.transfer = Some(Transfer { command, data_lines, addr, data: Vec::new(), position: 0 });
    }

    fn read(&mut self, lines: Lines, cx: &mut FlashContext<'_>) -> u8 {
        self.advance(cx.now());
        let Some(transfer) = &mut self.transfer else { return 0xFF };
        if transfer.data_lines != lines {
            let expected = transfer.data_lines;
            self.transfer = None;
            cx.violation(format!("NOR data over {lines:?} lines instead of {expected:?}"));
            return 0xFF;
        }
        let (position, addr) = (transfer.position, transfer.addr);
        transfer.position = position.wrapping_add(1);
        match transfer.command.action {
            Action::ReadArray => {
                let wrap = match self.volatile & 3 {
                    3 => SIZE,
                    n => 16 << n,
                };
                self.cells.read(addr & !(wrap - 1) | addr.wrapping_add(position) & (wrap - 1))
            }
            Action::ReadOtp => self.otp[(addr.wrapping_add(position) as usize).min(OTP)],
            Action::ReadRegister(register) => self.register(register, addr, position),
            _ => 0xFF,
        }
    }

    fn write(&mut self, byte: u8, lines: Lines, cx: &mut FlashContext<'_>) {
        let Some(transfer) = &mut self.transfer else { return };
        if transfer.data_lines != lines {
            cx.violation(format!("NOR data over {lines:?} lines instead of {:?}", transfer.data_lines));
            self.transfer = None;
            return;
        }
        transfer.data.push(byte);
    }

    fn end(&mut self, cx: &mut FlashContext<'_>) {
        self.advance(cx.now());
        let Some(transfer) = self.transfer.take() else { return };
        let reset_enabled = std::mem::take(&mut self.reset_enabled);
        match transfer.command.action {
            Action::ReadArray | Action::ReadOtp | Action::ReadRegister(_) => {}
            Action::WriteEnable => self.status |= WEL,
            Action::WriteDisable => self.status &= !WEL,
            Action::ClearFlags => self.flags = 0,
            Action::ResetEnable => self.reset_enabled = true,
            Action::ResetMemory if reset_enabled => self.reset(cx),
            Action::ResetMemory => cx.violation("NOR reset without reset enable"),
            Action::Suspend => self.suspend(cx),
            Action::Resume => self.resume(cx.now()),
            _ if self.status & WEL == 0 => {
                cx.violation(format!("NOR {:?} without write enable: ignored", transfer.command.action));
            }
            Action::Enter4Byte => self.set_address_mode(true),
            Action::Exit4Byte => self.set_address_mode(false),
            Action::WriteRegister(register) => self.write_register(register, &transfer, cx),
            Action::Program => self.program(transfer, cx),
            Action::ProgramOtp => self.program_otp(transfer, cx),
            Action::Erase(len) => self.erase(transfer.addr, len, cx),
        }
    }

    fn advance(&mut self, now: Instant) {
        while let Some(operation) = self.operation.take_if(|operation| operation.changes_at() <= now) {
            match operation.suspend_at.filter(|at| *at < operation.done_at) {
                Some(at) => {
                    self.suspended.push(Operation { remaining: operation.done_at - at, suspend_at: None, ..operation })
                }
                None => self.complete(operation),
            }
        }
    }

    fn busy_until(&self) -> Option<Instant> {
        self.operation.as_ref().map(Operation::changes_at)
    }

    fn head(&self, opcode: Option<u8>) -> (u8, u8, Lines) {
        let command = match opcode {
            Some(opcode) => decode(opcode, self.protocol()),
            None => self.in_place,
        };
        command.map_or((0, 0, Lines::One), |command| {
            (self.address_bytes(&command), self.dummy_cycles(&command), command.lines(self.protocol()).2)
        })
    }

    fn is_in_place(&self) -> bool {
        self.in_place.is_some()
    }

    fn power_on(&mut self, ready_at: Instant) {
        self.powered = true;
        self.ready_at = ready_at;
        self.load_registers();
    }

    fn power_cut(&mut self, tear: Option<Tear>, rng: &mut Rng) -> Option<String> {
        self.transfer = None;
        self.powered = false;
        let operations: Vec<Operation> = self.suspended.drain(..).chain(self.operation.take()).collect();
        for operation in &operations {
            let tear = tear.unwrap_or_else(|| Tear::choose(rng));
            self.tear(operation, tear, rng);
        }
        let names: Vec<String> = operations.iter().map(ToString::to_string).collect();
        (!names.is_empty()).then(|| names.join("; "))
    }

    fn is_powered(&self) -> bool {
        self.powered
    }

    fn likeness(&self) -> Option<u64> {
        if !self.suspended.is_empty() || self.status_cells.unsteady | self.nonvolatile.unsteady != 0 {
            return None;
        }
        let mut hash = Hash64::new();
        hash.number(self.cells.likeness()?);
        hash.number(self.status_cells.value.into());
        hash.number(self.nonvolatile.value.into());
        hash.bytes(&self.otp);
        if let Some(operation) = &self.operation {
            hash.number(operation.addr.into());
            match &operation.kind {
                operation::Kind::Program(data) => hash.bytes(data),
                operation::Kind::Erase(len) => hash.number((*len).into()),
                _ => return None,
            }
        }
        Some(hash.finish())
    }

    fn copy(&self, addr: u32, len: usize) -> Vec<u8> {
        (0..len).map(|n| self.cells.peek(addr.wrapping_add(n as u32))).collect()
    }

    fn preload(&mut self, addr: u32, bytes: &[u8]) {
        self.cells.store(addr, bytes);
    }

    fn erases(&self, addr: u32) -> u32 {
        self.cells.erases(addr)
    }

    fn set_write_protect(&mut self, low: bool) {
        self.write_protect = low;
    }

    fn set_worst_case(&mut self, on: bool) {
        self.worst_case = on;
    }

    fn wrap_cells(&mut self, wrap: &mut dyn FnMut(Box<dyn NorCells>) -> Box<dyn NorCells>) {
        let cells = std::mem::replace(&mut self.cells, Box::new(Array::new()));
        self.cells = wrap(cells);
    }

    fn clone_box(&self) -> Box<dyn SpiFlash> {
        Box::new(self.clone())
    }
}
