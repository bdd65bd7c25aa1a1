//! What an observer outside the machine may ask for. Off by default, and then it costs nothing.

use crate::Cycle;

/// One edge in the life of an exception, as the DWT's exception trace tells it (ARMv7-M ARM D4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExceptionRecord {
    /// Exception number: 2 NMI, 3 HardFault, ... 15 SysTick, 16 and up the external interrupts.
    pub number: u16,
    /// Entry or exit.
    pub edge: ExceptionEdge,
    /// Cycle at which the handler's first instruction begins (entry), or at which its return begins (exit).
    pub cycle: Cycle,
}

/// See [`ExceptionRecord`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceptionEdge {
    /// The handler is entered. A handler that was running is preempted; its exit comes later.
    Entry,
    /// The handler returns. A tail-chained entry, or nothing, follows: then the program below goes on.
    Exit,
}

/// How many records are kept until somebody takes them; the oldest go first.
const KEPT: usize = 1 << 20;

/// The log behind [`Cpu::record_exceptions`](crate::Cpu::record_exceptions).
#[derive(Clone, Debug, Default)]
pub(crate) struct ExceptionLog {
    on: bool,
    records: Vec<ExceptionRecord>,
}

impl ExceptionLog {
    pub(crate) fn switch(&mut self, on: bool) {
        self.on = on;
        if !on {
            self.records = Vec::new();
        }
    }

    pub(crate) fn push(&mut self, number: u16, edge: ExceptionEdge, cycle: Cycle) {
        if self.on {
            if self.records.len() == KEPT {
                // Half at once: an observer who never looks should not make each entry slow.
                self.records.drain(..KEPT / 2);
            }
            self.records.push(ExceptionRecord { number, edge, cycle });
        }
    }

    pub(crate) fn take(&mut self) -> Vec<ExceptionRecord> {
        core::mem::take(&mut self.records)
    }
}
