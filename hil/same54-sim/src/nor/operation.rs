//! Programs, erases and register writes: their time, suspension, end, and what a cut leaves of them.

use std::fmt;
use std::time::Duration;

use sim_base::{Instant, Rng};

use super::array::SIZE;
use super::{Nor, OTP, PAGE, SECTOR, STATUS_WRITABLE, Transfer, WEL, flag};
use crate::event::EventKind;
use crate::spi_flash::FlashContext;
use crate::tear::Tear;

/// What is being done.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Program(Vec<u8>),
    /// Erase of so many bytes.
    Erase(u32),
    ProgramOtp(Vec<u8>),
    WriteStatus(u8),
    WriteNonVolatile(u16),
}

/// An operation in flight or suspended.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) kind: Kind,
    pub(super) addr: u32,
    pub(super) done_at: Instant,
    /// A suspension has been asked for and comes about then.
    pub(super) suspend_at: Option<Instant>,
    /// What is left of a suspended operation.
    pub(super) remaining: Duration,
}

impl Operation {
    /// When it ends or is suspended.
    pub(super) fn changes_at(&self) -> Instant {
        self.suspend_at.unwrap_or(Instant::NEVER).min(self.done_at)
    }

    /// Whether it works on the cells at `addr`.
    pub(super) fn covers(&self, addr: u32) -> bool {
        match &self.kind {
            Kind::Program(_) => self.addr / PAGE == addr / PAGE,
            Kind::Erase(len) => (self.addr..self.addr + len).contains(&addr),
            _ => false,
        }
    }
}

impl Nor {
    pub(super) fn program(&mut self, transfer: Transfer, cx: &mut FlashContext<'_>) {
        let Transfer { addr, mut data, .. } = transfer;
        if data.is_empty() {
            return;
        }
        if self.is_protected(addr) {
            self.fail(flag::PROGRAM | flag::PROTECTION);
            return;
        }
        cx.event(EventKind::NorProgram { addr, data: data.clone() });
        if addr % PAGE + data.len() as u32 > PAGE {
            cx.violation(format!("NOR program of {} bytes at {addr:#010x} wraps in its page", data.len()));
        }
        // Of more than a page, the last 256 bytes count.
        let excess = data.len().saturating_sub(PAGE as usize);
        data.drain(..excess);
        let addr = addr & !(PAGE - 1) | addr.wrapping_add(excess as u32) & (PAGE - 1);
        self.start(Kind::Program(data), addr, cx);
    }

    pub(super) fn program_otp(&mut self, transfer: Transfer, cx: &mut FlashContext<'_>) {
        let Transfer { addr, mut data, .. } = transfer;
        // Bit 0 of the control byte locks the array for good.
        if self.otp[OTP] & 1 == 0 {
            self.fail(flag::PROGRAM | flag::PROTECTION);
            return;
        }
        data.truncate((OTP + 1).saturating_sub(addr as usize));
        if !data.is_empty() {
            self.start(Kind::ProgramOtp(data), addr, cx);
        }
    }

    pub(super) fn erase(&mut self, addr: u32, len: u32, cx: &mut FlashContext<'_>) {
        let (addr, len) = match len {
            0 => (0, SIZE),
            _ => (addr & !(len - 1), len),
        };
        let whole = len == SIZE && (self.protected_bytes() != 0 || self.locks.values().any(|lock| lock & 1 != 0));
        if whole || self.is_protected(addr) {
            self.fail(flag::ERASE | flag::PROTECTION);
            return;
        }
        cx.event(EventKind::NorErase { addr, len });
        self.start(Kind::Erase(len), addr, cx);
    }

    /// Typical or maximum time (AC characteristics).
    fn time(&self, kind: &Kind) -> Duration {
        let (typical, most) = match kind {
            Kind::Program(data) | Kind::ProgramOtp(data) => (15 * (data.len() as u64).div_ceil(8), 5_000),
            Kind::Erase(4_096) => (250_000, 800_000),
            Kind::Erase(SECTOR) => (700_000, 3_000_000),
            Kind::Erase(_) => (240_000_000, 480_000_000),
            Kind::WriteStatus(_) => (1_300, 8_000),
            Kind::WriteNonVolatile(_) => (200_000, 3_000_000),
        };
        Duration::from_micros(if self.worst_case { most } else { typical })
    }

    pub(super) fn start(&mut self, kind: Kind, addr: u32, cx: &mut FlashContext<'_>) {
        let time = if cx.timing() { self.time(&kind) } else { Duration::ZERO };
        let done_at = cx.now() + time;
        self.operation = Some(Operation { kind, addr, done_at, suspend_at: None, remaining: Duration::ZERO });
        crate::spi_flash::SpiFlash::advance(self, cx.now());
    }

    /// Programs and the smaller erases can be suspended (data sheet, PROGRAM/ERASE SUSPEND); a program inside a suspended
    /// erase too.
    pub(super) fn suspend(&mut self, cx: &mut FlashContext<'_>) {
        let now = cx.now();
        match &mut self.operation {
            Some(operation) => match operation.kind {
                Kind::Program(_) => operation.suspend_at = Some(now + Duration::from_micros(7)),
                Kind::Erase(4_096 | SECTOR) => operation.suspend_at = Some(now + Duration::from_micros(15)),
                _ => cx.violation(format!("{operation} cannot be suspended")),
            },
            None => cx.violation("NOR suspend with nothing to suspend"),
        }
    }

    /// The operation that was suspended last goes on.
    pub(super) fn resume(&mut self, now: Instant) {
        if self.operation.is_none()
            && let Some(operation) = self.suspended.pop()
        {
            self.operation = Some(Operation { done_at: now + operation.remaining, ..operation });
        }
    }

    /// RESET MEMORY: operations in flight are lost.
    pub(super) fn reset(&mut self, cx: &mut FlashContext<'_>) {
        let mut rng = Rng::new(self.noise.next_u64());
        let operations: Vec<Operation> = self.suspended.drain(..).chain(self.operation.take()).collect();
        for operation in operations {
            cx.violation(format!("NOR reset tears {operation}"));
            let tear = Tear::choose(&mut rng);
            self.tear(&operation, tear, &mut rng);
        }
        self.load_registers();
    }

    pub(super) fn complete(&mut self, operation: Operation) {
        self.status &= !WEL;
        match operation.kind {
            Kind::Program(data) => {
                let page = operation.addr & !(PAGE - 1);
                let mut verified = true;
                for (n, byte) in (0..).zip(data) {
                    verified &= self.cells.program(page | operation.addr.wrapping_add(n) & (PAGE - 1), byte);
                }
                if !verified {
                    self.flags |= flag::PROGRAM;
                }
            }
            Kind::Erase(len) => {
                if !self.cells.erase(operation.addr, len) {
                    self.flags |= flag::ERASE;
                }
            }
            Kind::ProgramOtp(data) => {
                for (cell, byte) in self.otp[operation.addr as usize..].iter_mut().zip(data) {
                    *cell &= byte;
                }
            }
            Kind::WriteStatus(value) => {
                self.status_cells.value = u16::from(value & STATUS_WRITABLE);
                self.status_cells.unsteady = 0;
                self.status = value & STATUS_WRITABLE;
            }
            Kind::WriteNonVolatile(value) => {
                self.nonvolatile.value = value;
                self.nonvolatile.unsteady = 0;
            }
        }
    }

    /// `operation` was cut short.
    pub(super) fn tear(&mut self, operation: &Operation, tear: Tear, rng: &mut Rng) {
        match &operation.kind {
            Kind::Program(data) => {
                // In page order the data may wrap; tear it in the order in which it was sent.
                let page = operation.addr & !(PAGE - 1);
                let at = |n: usize| page | operation.addr.wrapping_add(n as u32) & (PAGE - 1);
                let mut cells: Vec<u8> = (0..data.len()).map(|n| self.cells.peek(at(n))).collect();
                let target: Vec<u8> = cells.iter().zip(data).map(|(cell, byte)| cell & byte).collect();
                let unsteady = tear.apply(rng, &mut cells, &target);
                for (n, cell) in cells.into_iter().enumerate() {
                    self.cells.store(at(n), &[cell]);
                }
                for (n, bits) in unsteady {
                    self.cells.unsettle(at(n), bits, rng);
                }
            }
            Kind::Erase(len) => {
                // Erase pulses work on 64 KiB sectors (a bulk erase goes through them one after the other).
                let sector = (*len).min(SECTOR);
                let whole = if *len > sector { rng.below(u64::from(len / sector)) as u32 } else { 0 };
                if whole != 0 {
                    self.cells.erase(operation.addr, whole * sector);
                }
                let at = operation.addr + whole * sector;
                let mut cells: Vec<u8> = (0..sector).map(|n| self.cells.peek(at + n)).collect();
                let target = vec![0xFF; cells.len()];
                let unsteady = tear.apply(rng, &mut cells, &target);
                self.cells.store(at, &cells);
                for (n, bits) in unsteady {
                    self.cells.unsettle(at + n as u32, bits, rng);
                }
            }
            Kind::ProgramOtp(data) => {
                let start = operation.addr as usize;
                let cells = &mut self.otp[start..start + data.len()];
                let target: Vec<u8> = cells.iter().zip(data).map(|(cell, byte)| cell & byte).collect();
                // Unsteady bits of the OTP array settle (assumed).
                tear.apply(rng, cells, &target);
            }
            Kind::WriteStatus(value) => {
                let mut cells = [self.status_cells.value as u8];
                let unsteady = tear.apply(rng, &mut cells, &[value & STATUS_WRITABLE]);
                self.status_cells.value = u16::from(cells[0]);
                self.status_cells.unsteady = unsteady.first().map_or(0, |(_, bits)| u16::from(*bits));
            }
            Kind::WriteNonVolatile(value) => {
                let mut cells = self.nonvolatile.value.to_le_bytes();
                let unsteady = tear.apply(rng, &mut cells, &value.to_le_bytes());
                self.nonvolatile.value = u16::from_le_bytes(cells);
                self.nonvolatile.unsteady =
                    unsteady.iter().fold(0, |mask, (n, bits)| mask | u16::from(*bits) << (8 * n));
            }
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Program(data) => write!(f, "NOR program of {} bytes at {:#010x}", data.len(), self.addr),
            Kind::Erase(len) => write!(f, "NOR erase of {len} bytes at {:#010x}", self.addr),
            Kind::ProgramOtp(data) => write!(f, "NOR program of {} OTP bytes", data.len()),
            Kind::WriteStatus(_) => f.write_str("NOR status register write"),
            Kind::WriteNonVolatile(_) => f.write_str("NOR non-volatile configuration write"),
        }
    }
}
