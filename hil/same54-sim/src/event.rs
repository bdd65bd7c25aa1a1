//! What an observer of the board is told.

use sim_base::Instant;

/// Something that happened on the board, in order of virtual time.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// What.
    pub kind: EventKind,
}

/// The kinds of [`Event`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// Supply switched on.
    PowerOn,
    /// Supply cut. `torn` names the flash operation that was in flight.
    PowerOff {
        /// For example "NOR page program at 0x0001_0200", if one was under way.
        torn: Option<String>,
    },
    /// The chip left reset.
    Reset(ResetCause),
    /// Internal flash: one write (page or quad word) was started by NVMCTRL.
    NvmProgram {
        /// First byte.
        addr: u32,
        /// Length in bytes.
        len: u32,
    },
    /// Internal flash: a block was erased.
    NvmErase {
        /// First byte.
        addr: u32,
        /// Length in bytes.
        len: u32,
    },
    /// External flash: one page program with the bytes that were sent.
    NorProgram {
        /// First byte in the NOR array.
        addr: u32,
        /// The bytes as sent over QSPI.
        data: Vec<u8>,
    },
    /// External flash: an erase of `len` bytes.
    NorErase {
        /// First byte in the NOR array.
        addr: u32,
        /// Length in bytes.
        len: u32,
    },
    /// A frame left the GMAC (`sent`) or was handed to it.
    Frame {
        /// True if the board sent it.
        sent: bool,
        /// Length without FCS, bytes.
        len: u32,
    },
    /// The program touched a register that the model does not have.
    Unmodelled {
        /// Peripheral and offset, for example "PCC+0x04".
        what: String,
        /// True for a write.
        write: bool,
        /// Address of the instruction.
        pc: u32,
    },
    /// The program executed an instruction that is UNDEFINED or UNPREDICTABLE and took a UsageFault. UDF, which is
    /// UNDEFINED by intention, does not count.
    UndefinedInstruction {
        /// Address of the instruction.
        pc: u32,
        /// The encoding, second halfword in the low bits if there are two.
        encoding: u32,
    },
    /// The core locked up.
    Lockup {
        /// Address of the instruction that could not be handled.
        pc: u32,
    },
    /// A rule of the chip's documents was broken, for example a flash word programmed twice without an erase.
    Violation(String),
}

/// RSTC.RCAUSE (SAM D5x/E5x datasheet, RSTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetCause {
    /// POR: power-on.
    PowerOn,
    /// BODCORE or BODVDD: brown-out.
    BrownOut,
    /// NVM: after a bank swap.
    Nvm,
    /// EXT: RESETN pin.
    External,
    /// WDT: watchdog.
    Watchdog,
    /// SYST: system reset request.
    System,
    /// BACKUP: leaving backup mode.
    Backup,
}

impl ResetCause {
    /// A power supply reset: everything starts anew, debug logic and backup domain included.
    pub(crate) fn is_supply(self) -> bool {
        matches!(self, Self::PowerOn | Self::BrownOut)
    }
}

/// Events in order of time until somebody takes them.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventLog(Vec<Event>);

impl EventLog {
    /// Adds an event.
    pub(crate) fn push(&mut self, at: Instant, kind: EventKind) {
        self.0.push(Event { at, kind });
    }

    /// All events since the last call.
    pub(crate) fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.0)
    }
}
