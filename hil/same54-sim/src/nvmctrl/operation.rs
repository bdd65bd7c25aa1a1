//! A program or erase of the internal flash that takes time.

use std::fmt;
use std::time::Duration;

use sim_base::{Instant, Rng};

use super::ecc::{WORD, encode};
use super::pulses::NvmPulses;
use crate::event::EventKind;
use crate::memory::{FLASH_SIZE, Memory};
use crate::peripheral::Context;
use crate::tear::Tear;

/// What is being done.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Programs these bytes.
    Program(Vec<u8>),
    /// Erases.
    Erase,
    /// SmartEEPROM's pages move to its other sector: nothing in itself, but what follows then. The flags are for the end.
    Reallocate(u32),
    /// SmartEEPROM's other sector becomes the active one.
    SwapSectors,
    /// The banks change places and the chip is reset.
    SwapBanks,
}

/// An operation in flight or waiting for the one before it.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) kind: Kind,
    pub(super) addr: u32,
    pub(super) len: u32,
    pub(super) time: Duration,
    /// Part of SmartEEPROM's work.
    pub(super) smart: bool,
    /// Set when the operation starts.
    pub(super) done_at: Instant,
    /// INTFLAG bits that its end sets.
    pub(super) flags: u32,
    /// The core's instruction fetches have suspended it already.
    pub(super) fetched: bool,
}

impl Operation {
    /// An operation that has not started. `addr` and `len` are multiples of [`WORD`].
    pub(super) fn new(kind: Kind, addr: u32, len: u32, time: Duration, flags: u32) -> Self {
        Self { kind, addr, len, time, smart: false, done_at: Instant::NEVER, flags, fetched: false }
    }

    /// Tells observers that the operation starts, and checks the ECC rule.
    pub(super) fn announce(&self, cx: &mut Context<'_>) {
        let (addr, len) = (self.addr, self.len);
        match &self.kind {
            Kind::Program(data) => {
                let array = cx.memory.nvm(addr, len);
                let mut words = array.chunks(WORD as usize).zip(data.chunks(WORD as usize));
                let twice = words.position(|(old, new)| !is_erased(old) && !is_erased(new));
                cx.events.push(cx.now, EventKind::NvmProgram { addr, len });
                if let Some(word) = twice {
                    let at = addr + word as u32 * WORD;
                    cx.violation(format!("internal flash word at {at:#010x} programmed twice without an erase"));
                }
            }
            Kind::Erase => cx.events.push(cx.now, EventKind::NvmErase { addr, len }),
            Kind::Reallocate(_) | Kind::SwapSectors | Kind::SwapBanks => {}
        }
    }

    /// The operation has come to its end. False if the cells did not verify.
    pub(super) fn complete(&self, pulses: &mut dyn NvmPulses, cx: &mut Context<'_>) -> bool {
        let verified = match &self.kind {
            Kind::Program(data) => {
                let wanted = with_codes(data);
                let mut cells = cx.memory.nvm_cells(self.addr, self.len);
                let verified = pulses.program(self.addr, &mut cells, &wanted);
                cx.memory.set_nvm_cells(self.addr, &cells, |n| !wanted[n], &[]);
                verified
            }
            Kind::Erase => {
                if self.addr < FLASH_SIZE {
                    *cx.memory.wear.entry(self.addr / self.len).or_default() += 1;
                }
                let mut cells = cx.memory.nvm_cells(self.addr, self.len);
                let verified = pulses.erase(self.addr, &mut cells);
                if is_erased(&cells) {
                    cx.memory.erase_nvm(self.addr, self.len);
                } else {
                    cx.memory.set_nvm_cells(self.addr, &cells, |_| 0, &[]);
                }
                verified
            }
            Kind::Reallocate(_) => true,
            Kind::SwapSectors => {
                cx.memory.active_sees ^= 1;
                true
            }
            Kind::SwapBanks => {
                cx.memory.swap_banks();
                cx.signals.code_changed(0..FLASH_SIZE);
                cx.signals.request_reset(crate::ResetCause::Nvm);
                true
            }
        };
        if self.len != 0 {
            cx.signals.code_changed(self.addr..self.addr + self.len);
        }
        verified
    }

    /// The operation was cut short.
    pub(super) fn tear(&self, tear: Tear, rng: &mut Rng, memory: &mut Memory) {
        let mut cells = memory.nvm_cells(self.addr, self.len);
        let target = match &self.kind {
            Kind::Program(data) => with_codes(data).iter().zip(&cells).map(|(new, old)| new & old).collect(),
            Kind::Erase => vec![0xFF; cells.len()],
            // Single fuses: done or not.
            Kind::Reallocate(_) | Kind::SwapSectors | Kind::SwapBanks => return,
        };
        let unsteady = tear.apply(rng, &mut cells, &target);
        memory.set_nvm_cells(self.addr, &cells, |_| 0, &unsteady);
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (addr, len) = (self.addr, self.len);
        match self.kind {
            Kind::Program(_) => write!(f, "NVM program of {len} bytes at {addr:#010x}"),
            Kind::Erase => write!(f, "NVM erase of {len} bytes at {addr:#010x}"),
            Kind::Reallocate(_) => f.write_str("NVM reallocation of SmartEEPROM"),
            Kind::SwapSectors => f.write_str("NVM swap of SmartEEPROM sectors"),
            Kind::SwapBanks => f.write_str("NVM bank swap"),
        }
    }
}

/// `data` with the code of each word behind it.
fn with_codes(data: &[u8]) -> Vec<u8> {
    let mut cells = Vec::with_capacity(data.len() / 8 * 9);
    for word in data.chunks(WORD as usize) {
        cells.extend(word);
        cells.push(word.try_into().map_or(0xFF, |bytes| encode(u64::from_le_bytes(bytes))));
    }
    cells
}

fn is_erased(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0xFF)
}
