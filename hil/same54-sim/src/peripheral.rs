//! The edge between the bus and one peripheral.

use std::ops::Range;

use armv7m::{BusFault, Size};
use sim_base::{EthernetLink, Instant};

use crate::clocks::Frequencies;
use crate::event::{EventKind, EventLog, ResetCause};
use crate::memory::Memory;
use crate::registers;

/// One register block. Time is never kept by ticking: a peripheral remembers when something began and works out what
/// a register shows from [`Context::now`].
pub(crate) trait Peripheral {
    /// Width of the register that covers the byte at `offset`. The bus splits wider accesses and shifts narrower ones,
    /// so `read` and `write` see whole registers only, each at its own offset.
    fn width(&self, offset: u32) -> Size {
        let _ = offset;
        Size::Word
    }

    /// Reads the register at `offset`, side effects included. Unknown registers: [`Context::unmodelled`].
    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32;

    /// Writes the register at `offset`.
    fn write(&mut self, offset: u32, value: Write, cx: &mut Context<'_>);

    /// The chip went through a reset. What a reset spares (RTC, backup domain) looks at the cause.
    fn reset(&mut self, cause: ResetCause, cx: &mut Context<'_>);

    /// When [`advance`](Self::advance) must be called next because an interrupt line, a reset or another part depends
    /// on it. Registers that software only polls need no event.
    fn next_event(&self) -> Instant {
        Instant::NEVER
    }

    /// Lets everything happen that is due by `cx.now`. May be called early or more often than asked for.
    fn advance(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// Interrupt lines that are asserted: bit n is the peripheral's n-th line.
    fn irqs(&self) -> u64 {
        0
    }

    /// DMA requests that are asserted: bit n is trigger source n (DMAC.CHCTRLA.TRIGSRC, datasheet 22.8.9). A level: it
    /// falls when the transfer has done what it asked for.
    fn dma_requests(&self) -> u128 {
        0
    }

    /// An event arrives at `user` (EVSYS.USERm, datasheet 31.7.8), which is one of this block's.
    fn event_in(&mut self, user: usize, cx: &mut Context<'_>) {
        let _ = (user, cx);
    }

    /// The level of a generator that is not a pulse changes at `user`, over an asynchronous path. A block that looks at
    /// edges alone takes the rise for an event.
    fn event_level(&mut self, user: usize, level: bool, cx: &mut Context<'_>) {
        if level {
            self.event_in(user, cx);
        }
    }

    /// Whether the DMAC waits for one of the block's trigger sources. A block whose requests come with time has to have
    /// events for them only while it does.
    fn set_dma_watched(&mut self, watched: bool, cx: &mut Context<'_>) {
        let _ = (watched, cx);
    }

    /// The DMAC begins to do what trigger source `source` asked for: a request that nothing else clears falls.
    fn dma_served(&mut self, source: u32) {
        let _ = source;
    }

    /// The core enters or leaves Debug state: blocks that are told to stop then (DBGCTRL) do.
    fn core_halted(&mut self, halted: bool, cx: &mut Context<'_>) {
        let _ = (halted, cx);
    }

    /// Whether the block asks for its generic clock in standby (CTRLA.RUNSTDBY while enabled).
    fn runs_in_standby(&self) -> bool {
        false
    }

    /// A clock frequency changed; `cx.clocks` has the new ones. Counters re-anchor here.
    fn clocks_changed(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }
}

/// A value on its way into a register, with the bits that the access really drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// The value at the register's own position; bits outside `lanes` are zero.
    pub(crate) value: u32,
    /// Bits that are driven: all of the register, unless the access was narrower than the register.
    pub(crate) lanes: u32,
}

impl Write {
    /// A write of the whole register.
    #[cfg(test)]
    pub(crate) fn full(value: u32) -> Self {
        Self { value, lanes: u32::MAX }
    }

    /// What a plain storage register holds after the write.
    pub(crate) fn onto(self, old: u32) -> u32 {
        old & !self.lanes | self.value & self.lanes
    }

    /// As [`onto`](Self::onto), limited to the register's `writable` bits.
    pub(crate) fn onto_masked(self, old: u32, writable: u32) -> u32 {
        let lanes = self.lanes & writable;
        old & !lanes | self.value & lanes
    }
}

/// What a peripheral can reach while it works.
pub(crate) struct Context<'a> {
    /// Virtual time of the access or of the advance.
    pub(crate) now: Instant,
    /// RAM and flash arrays.
    pub(crate) memory: &'a mut Memory,
    /// The cable in the Ethernet connector.
    pub(crate) link: &'a mut Option<Box<dyn EthernetLink>>,
    /// What observers are told.
    pub(crate) events: &'a mut EventLog,
    /// Clock frequencies of the chip's parts.
    pub(crate) clocks: &'a Frequencies,
    /// What the peripheral asks of the chip.
    pub(crate) signals: &'a mut Signals,
    /// Whether flash operations take their datasheet times.
    pub(crate) flash_timing: bool,
    /// Name of the peripheral, for reports.
    pub(crate) name: &'static str,
}

impl Context<'_> {
    /// Sends an event of generator `generator` (EVSYS.CHANNELn.EVGEN, datasheet 31.7.8) to the event system.
    pub(crate) fn event_out(&mut self, generator: u8) {
        self.signals.events_out.push((generator, Edge::Pulse));
        self.signals.attention = true;
    }

    /// As [`event_out`](Self::event_out), for a generator that is a level and changes to `level`.
    pub(crate) fn event_level(&mut self, generator: u8, level: bool) {
        self.signals.events_out.push((generator, if level { Edge::Rise } else { Edge::Fall }));
        self.signals.attention = true;
    }

    /// Notes an access to a register that the model does not have. Reads give 0.
    pub(crate) fn unmodelled(&mut self, offset: u32, write: bool) -> u32 {
        self.signals.unmodelled.push(Unmodelled { name: self.name, offset, write });
        // One that the chip does not have either is an error to PAC (27.5.2.3).
        self.signals.access_error |= !registers::exists(self.name, offset);
        self.signals.attention = true;
        0
    }

    /// Notes a broken rule of the chip's documents.
    pub(crate) fn violation(&mut self, what: impl Into<String>) {
        self.events.push(self.now, EventKind::Violation(what.into()));
    }

    /// A bus master's read of RAM or flash.
    pub(crate) fn dma_read(&self, addr: u32, bytes: &mut [u8]) -> Result<(), BusFault> {
        let source = self.memory.slice(addr, bytes.len()).ok_or(BusFault)?;
        bytes.copy_from_slice(source);
        Ok(())
    }

    /// A bus master's read of one little-endian word of RAM or flash.
    pub(crate) fn dma_read_word(&self, addr: u32) -> Result<u32, BusFault> {
        let mut bytes = [0; 4];
        self.dma_read(addr, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// A bus master's write to RAM.
    pub(crate) fn dma_write(&mut self, addr: u32, bytes: &[u8]) -> Result<(), BusFault> {
        let target = self.memory.ram_slice_mut(addr, bytes.len()).ok_or(BusFault)?;
        target.copy_from_slice(bytes);
        Ok(())
    }

    /// A bus master's write of one little-endian word to RAM.
    pub(crate) fn dma_write_word(&mut self, addr: u32, value: u32) -> Result<(), BusFault> {
        self.dma_write(addr, &value.to_le_bytes())
    }

    /// Puts a frame on the Ethernet cable that leaves the chip at `at`.
    pub(crate) fn transmit_frame(&mut self, at: Instant, frame: &[u8]) {
        if let Some(link) = self.link {
            self.signals.link_moved = true;
            link.transmit(at, frame);
        }
    }

    /// The next frame that has arrived on the Ethernet cable.
    pub(crate) fn receive_frame(&mut self) -> Option<Vec<u8>> {
        let link = self.link.as_mut()?;
        self.signals.link_moved = true;
        link.receive(self.now)
    }

    /// Says of the register that is being read: until `until` it reads the same, without side effects, unless the chip
    /// is touched elsewhere. For registers that programs poll.
    pub(crate) fn steady_until(&mut self, until: Instant) {
        self.signals.steady_until = Some(until);
    }

    /// Whether the far end of the Ethernet cable is plugged in and alive.
    pub(crate) fn link_is_up(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.is_up())
    }
}

/// What an event generator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// It is high for one clock.
    Pulse,
    /// It goes high.
    Rise,
    /// It goes low.
    Fall,
}

/// What peripherals ask of the chip. The board collects it before the next instruction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals {
    /// The board must look: something below changed, or an interrupt line, or the next event.
    pub(crate) attention: bool,
    /// The chip is to be reset.
    pub(crate) reset: Option<ResetCause>,
    /// Code whose decoded form is stale.
    pub(crate) stale_code: Vec<Range<u32>>,
    /// Accesses to registers that the model does not have.
    pub(crate) unmodelled: Vec<Unmodelled>,
    /// The access was an error that PAC flags (27.5.2.3), for example a write during synchronisation.
    pub(crate) access_error: bool,
    /// An event or a peripheral has changed the level of a pin.
    pub(crate) pins_moved: bool,
    /// The clock tree changed.
    pub(crate) clocks_dirty: bool,
    /// The Ethernet cable's far end must be asked anew when it has something next.
    pub(crate) link_moved: bool,
    /// Event generators that have fired, in order, for the event system.
    pub(crate) events_out: Vec<(u8, Edge)>,
    /// The access under way is a debugger's.
    pub(crate) debugger: bool,
    /// See [`Context::steady_until`].
    pub(crate) steady_until: Option<Instant>,
}

impl Signals {
    /// Asks for a reset before the next instruction.
    pub(crate) fn request_reset(&mut self, cause: ResetCause) {
        self.reset = Some(cause);
        self.attention = true;
    }

    /// Code in `range` is not what it was.
    pub(crate) fn code_changed(&mut self, range: Range<u32>) {
        self.stale_code.push(range);
        self.attention = true;
    }
}

/// An access to a register that the model does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unmodelled {
    /// Peripheral.
    pub(crate) name: &'static str,
    /// Offset of the register.
    pub(crate) offset: u32,
    /// True for a write.
    pub(crate) write: bool,
}
