//! What a peripheral's unit tests need around it.

use sim_base::{EthernetLink, Instant, Rng};

use crate::clocks::Frequencies;
use crate::event::{Event, EventKind, EventLog};
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
