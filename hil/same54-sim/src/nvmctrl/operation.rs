//! A program or erase of the internal flash that takes time.

use std::fmt;

use sim_base::{Instant, Rng};

use crate::event::EventKind;
use crate::memory::{FLASH_SIZE, Memory, USER_PAGE_BASE};
use crate::peripheral::Context;
use crate::tear;

/// Bytes that share one error correction code.
const ECC_WORD: usize = 8;

/// What is being done.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Programs these bytes.
    Program(Vec<u8>),
    /// Erases.
    Erase,
}

/// An operation in flight.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) kind: Kind,
    pub(super) addr: u32,
    pub(super) len: u32,
    pub(super) done_at: Instant,
}

impl Operation {
    /// Tells observers that the operation starts, and checks the ECC rule.
    pub(super) fn announce(&self, cx: &mut Context<'_>) {
        let (addr, len) = (self.addr, self.len);
        match &self.kind {
            Kind::Program(data) => {
                let array = self.array(cx.memory);
                let mut words = array.chunks(ECC_WORD).zip(data.chunks(ECC_WORD));
                let twice = words.position(|(old, new)| !is_erased(old) && !is_erased(new));
                cx.events.push(cx.now, EventKind::NvmProgram { addr, len });
                if let Some(word) = twice {
                    let at = addr + (word * ECC_WORD) as u32;
                    cx.violation(format!("internal flash word at {at:#010x} programmed twice without an erase"));
                }
            }
            Kind::Erase => cx.events.push(cx.now, EventKind::NvmErase { addr, len }),
        }
    }

    /// The operation has come to its end.
    pub(super) fn complete(&self, cx: &mut Context<'_>) {
        let array = self.array_mut(cx.memory);
        match &self.kind {
            Kind::Program(data) => array.iter_mut().zip(data).for_each(|(cell, byte)| *cell &= byte),
            Kind::Erase => array.fill(0xFF),
        }
        if self.addr < FLASH_SIZE {
            cx.signals.code_changed(self.addr..self.addr + self.len);
        }
    }

    /// The operation was cut short.
    pub(super) fn tear(&self, rng: &mut Rng, memory: &mut Memory) {
        let array = self.array_mut(memory);
        match &self.kind {
            Kind::Program(data) => tear::program(rng, array, data),
            Kind::Erase => tear::erase(rng, array),
        }
    }

    fn array<'a>(&self, memory: &'a Memory) -> &'a [u8] {
        let (array, start): (&[u8], u32) = match self.addr {
            USER_PAGE_BASE.. => (&memory.user_page, self.addr - USER_PAGE_BASE),
            _ => (&memory.flash[..], self.addr),
        };
        &array[start as usize..(start + self.len) as usize]
    }

    fn array_mut<'a>(&self, memory: &'a mut Memory) -> &'a mut [u8] {
        let (array, start): (&mut [u8], u32) = match self.addr {
            USER_PAGE_BASE.. => (&mut memory.user_page, self.addr - USER_PAGE_BASE),
            _ => (&mut memory.flash[..], self.addr),
        };
        &mut array[start as usize..(start + self.len) as usize]
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Program(_) => "program",
            Kind::Erase => "erase",
        };
        write!(f, "NVM {what} of {} bytes at {:#010x}", self.len, self.addr)
    }
}

fn is_erased(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0xFF)
}
