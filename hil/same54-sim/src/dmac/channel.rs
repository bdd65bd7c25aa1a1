//! One DMA channel: its registers and what it waits for.

use crate::peripheral::Write;

pub(super) const ENABLE: u32 = 1 << 1;
pub(super) const TERR: u32 = 1 << 0;
pub(super) const TCMPL: u32 = 1 << 1;
pub(super) const SUSP: u32 = 1 << 2;
pub(super) const CRCERR: u32 = 1 << 3;
pub(super) const FERR: u32 = 1 << 2;
const EVIE: u32 = 1 << 6;
const EVOE: u32 = 1 << 7;
/// CHCTRLA's bits that can be written while the channel is enabled: RUNSTDBY, TRIGSRC and ENABLE are enable-protected.
const ALWAYS: u32 = 0x3F30_0002;

/// CHCTRLA.TRIGACT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Block,
    Burst,
    Transaction,
}

/// CHEVCTRL.EVACT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventAction {
    None,
    Trigger,
    ConditionalTrigger,
    ConditionalBlock,
    Suspend,
    Resume,
    SkipSuspend,
    IncreasePriority,
}

/// Registers and state of a channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Channel {
    pub(super) ctrla: u32,
    pub(super) ctrlb: u32,
    pub(super) prilvl: u32,
    pub(super) evctrl: u32,
    pub(super) inten: u32,
    pub(super) intflag: u32,
    /// CRCERR and FERR of CHSTATUS.
    pub(super) errors: u32,
    pub(super) pending: bool,
    pub(super) busy: bool,
    pub(super) suspended: bool,
    /// The next suspend action is skipped (22.6.3.4).
    pub(super) skip: bool,
    /// It will be disabled when the burst under way is done (22.6.3.7).
    pub(super) stopping: bool,
    /// Suspended when the burst under way is done.
    pub(super) suspending: bool,
    /// The descriptor is the one in the write-back section.
    pub(super) ongoing: bool,
    /// SWTRIGCTRL.
    pub(super) software: bool,
    /// An event has armed the conditional transfer of a burst, or of a block.
    pub(super) armed: bool,
    /// An event has raised the priority for one transfer.
    pub(super) raised: bool,
}

impl Channel {
    pub(super) fn is_enabled(&self) -> bool {
        self.ctrla & ENABLE != 0
    }

    pub(super) fn trigger_source(&self) -> u32 {
        self.ctrla >> 8 & 0x7F
    }

    pub(super) fn action(&self) -> Action {
        match self.ctrla >> 20 & 3 {
            2 => Action::Burst,
            3 => Action::Transaction,
            _ => Action::Block,
        }
    }

    /// Beats of a burst.
    pub(super) fn burst(&self) -> u32 {
        (self.ctrla >> 24 & 15) + 1
    }

    pub(super) fn level(&self) -> u32 {
        if self.raised { 3 } else { self.prilvl }
    }

    pub(super) fn event_action(&self) -> EventAction {
        if self.evctrl & EVIE == 0 {
            return EventAction::None;
        }
        match self.evctrl & 7 {
            0 => EventAction::None,
            1 => EventAction::Trigger,
            2 => EventAction::ConditionalTrigger,
            3 => EventAction::ConditionalBlock,
            4 => EventAction::Suspend,
            5 => EventAction::Resume,
            6 => EventAction::SkipSuspend,
            _ => EventAction::IncreasePriority,
        }
    }

    pub(super) fn gives_events(&self) -> bool {
        self.evctrl & EVOE != 0
    }

    /// CHEVCTRL.EVOMODE: an event for each trigger action instead of what the descriptor says.
    pub(super) fn events_follow_triggers(&self) -> bool {
        self.evctrl >> 4 & 3 == 1
    }

    pub(super) fn status(&self) -> u32 {
        self.errors | u32::from(self.busy) << 1 | u32::from(self.pending)
    }

    pub(super) fn interrupts(&self) -> bool {
        self.inten & self.intflag != 0
    }

    /// Whether its peripheral's request or a waiting trigger makes the channel pending; `request` is the level of its
    /// trigger source.
    pub(super) fn look_for_trigger(&mut self, request: bool) {
        if !self.is_enabled() || self.pending || self.busy {
            return;
        }
        let wants = match self.event_action() {
            EventAction::Trigger | EventAction::ConditionalTrigger | EventAction::ConditionalBlock
                if self.trigger_source() != 0 =>
            {
                request && self.armed
            }
            _ => request,
        };
        if wants || self.software {
            self.pending = true;
        }
    }

    /// An event arrives (22.6.3.5); `request` is the level of its trigger source.
    pub(super) fn event(&mut self, request: bool) {
        if !self.is_enabled() {
            return;
        }
        match self.event_action() {
            EventAction::None => {}
            EventAction::Trigger if self.trigger_source() == 0 => self.software = true,
            // On strobe, the event is kept until the peripheral asks.
            EventAction::Trigger | EventAction::ConditionalBlock => self.armed = true,
            EventAction::ConditionalTrigger => self.armed = request,
            EventAction::Suspend => self.suspend(),
            EventAction::Resume => self.resume(),
            EventAction::SkipSuspend => self.skip = true,
            EventAction::IncreasePriority => self.raised = true,
        }
        self.look_for_trigger(request);
    }

    /// The arbiter gives the channel the bus.
    pub(super) fn start(&mut self) {
        self.pending = false;
        self.busy = true;
        self.software = false;
        if self.event_action() != EventAction::ConditionalBlock {
            self.armed = false;
        }
    }

    pub(super) fn suspend(&mut self) {
        if !self.is_enabled() || self.suspended {
            return;
        }
        if self.busy {
            self.suspending = true;
        } else {
            self.halt();
        }
    }

    /// The channel is suspended from now on, unless that is to be skipped.
    pub(super) fn halt(&mut self) {
        self.suspending = false;
        if std::mem::take(&mut self.skip) {
            return;
        }
        self.suspended = true;
        self.intflag |= SUSP;
    }

    pub(super) fn resume(&mut self) {
        self.errors &= !FERR;
        if self.suspended {
            self.suspended = false;
        } else if self.is_enabled() {
            self.skip = true;
        }
    }

    /// The channel ends: by itself, by software, by an error.
    pub(super) fn disable(&mut self) {
        self.ctrla &= !ENABLE;
        self.pending = false;
        self.busy = false;
        self.suspended = false;
        self.skip = false;
        self.stopping = false;
        self.suspending = false;
        self.ongoing = false;
        self.software = false;
        self.armed = false;
        self.raised = false;
    }

    /// A write of CHCTRLA. Says whether it broke the enable protection.
    pub(super) fn write_ctrla(&mut self, w: Write) -> bool {
        let enabled = self.is_enabled();
        if w.value & 1 != 0 {
            // 22.8.16: a reset needs the channel disabled.
            if !enabled {
                *self = Self::default();
            }
            return enabled;
        }
        let value = w.onto_masked(self.ctrla, 0x3F30_7F42);
        if !enabled {
            self.ctrla = value;
            return false;
        }
        let broken = (value ^ self.ctrla) & !ALWAYS != 0;
        self.ctrla = self.ctrla & !ALWAYS | value & ALWAYS | ENABLE;
        if value & ENABLE == 0 {
            if self.busy {
                self.stopping = true;
            } else {
                self.disable();
            }
        }
        broken
    }
}
