//! What a peripheral's unit tests need around it.

use std::time::Duration;

use armv7m::{Bus, Size};
use sim_base::{EthernetLink, Instant, Rng};

use crate::chip::Chip;
use crate::clocks::Frequencies;
use crate::event::{Event, EventKind, EventLog, ResetCause};
use crate::memory::Memory;
use crate::peripheral::{Context, Signals};

/// A chip with nothing but memory.
pub(crate) struct Rig {
    pub(crate) memory: Memory,
    pub(crate) link: Option<Box<dyn EthernetLink>>,
    pub(crate) events: EventLog,
    pub(crate) clocks: Frequencies,
    pub(crate) signals: Signals,
    pub(crate) flash_timing: bool,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self {
            memory: Memory::new(&mut Rng::new(1)),
            link: None,
            events: EventLog::default(),
            clocks: Frequencies::after_reset(),
            signals: Signals::default(),
            flash_timing: true,
        }
    }

    /// A context at `nanos`.
    pub(crate) fn cx(&mut self, nanos: u64) -> Context<'_> {
        Context {
            now: Instant::from_nanos(nanos),
            memory: &mut self.memory,
            link: &mut self.link,
            events: &mut self.events,
            clocks: &self.clocks,
            signals: &mut self.signals,
            flash_timing: self.flash_timing,
            name: "TEST",
        }
    }

    /// Events since the last call.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        self.events.take()
    }

    /// Violations among the events since the last call.
    pub(crate) fn violations(&mut self) -> Vec<String> {
        let texts = self.events.take().into_iter().filter_map(|event| match event.kind {
            EventKind::Violation(text) => Some(text),
            _ => None,
        });
        texts.collect()
    }
}

/// A whole chip without its core, fresh from reset, for what several blocks do together.
pub(crate) struct Bench {
    pub(crate) chip: Chip,
}

impl Bench {
    /// With every bus clock on and generic clock generator 0 (48 MHz) on every peripheral channel.
    pub(crate) fn new() -> Self {
        let mut chip = Chip::new(1, true);
        chip.reset(ResetCause::PowerOn);
        let mut bench = Self { chip };
        for bridge in 0..4 {
            bench.set(0x4000_0814 + 4 * bridge, u32::MAX);
        }
        for channel in 0..48 {
            bench.set(0x4000_1C80 + 4 * channel, 1 << 6);
        }
        bench
    }

    /// Writes a word.
    pub(crate) fn set(&mut self, addr: u32, value: u32) {
        self.write(addr, Size::Word, value);
    }

    pub(crate) fn set_half(&mut self, addr: u32, value: u32) {
        self.write(addr, Size::Half, value);
    }

    pub(crate) fn set_byte(&mut self, addr: u32, value: u32) {
        self.write(addr, Size::Byte, value);
    }

    fn write(&mut self, addr: u32, size: Size, value: u32) {
        let cycle = self.chip.cycle;
        Bus::write(&mut self.chip, addr, size, value, cycle).expect("the address answers");
    }

    /// Reads a word.
    pub(crate) fn word(&mut self, addr: u32) -> u32 {
        self.read(addr, Size::Word)
    }

    pub(crate) fn half(&mut self, addr: u32) -> u32 {
        self.read(addr, Size::Half)
    }

    pub(crate) fn byte(&mut self, addr: u32) -> u32 {
        self.read(addr, Size::Byte)
    }

    fn read(&mut self, addr: u32, size: Size) -> u32 {
        let cycle = self.chip.cycle;
        Bus::read(&mut self.chip, addr, size, cycle).expect("the address answers")
    }

    /// Lets `nanos` pass, event by event.
    pub(crate) fn run(&mut self, nanos: u64) {
        let end = self.chip.now() + Duration::from_nanos(nanos);
        loop {
            let now = self.chip.now();
            let next = self.chip.next_event().max(now).min(end);
            self.chip.time.meet(self.chip.cycle, next);
            self.chip.steady.until = 0;
            self.chip.advance();
            if next >= end && self.chip.next_event() > end {
                return;
            }
        }
    }

    /// Whether interrupt line `line` is asserted.
    pub(crate) fn irq(&self, line: usize) -> bool {
        self.chip.irq(line)
    }

    /// Violations among the events since the last call.
    pub(crate) fn violations(&mut self) -> Vec<String> {
        let texts = self.chip.shared.events.take().into_iter().filter_map(|event| match event.kind {
            EventKind::Violation(text) => Some(text),
            _ => None,
        });
        texts.collect()
    }
}
