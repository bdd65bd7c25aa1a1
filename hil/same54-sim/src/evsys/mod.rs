//! EVSYS: event system (SAM D5x/E5x datasheet, 31).
//!
//! Fidelity: all 32 channels, all users, the three paths, edge selection, software events, event detection and its
//! interrupts (one line for each of the channels 0 to 3, one for the others) and their arbitration are modelled. Events
//! arrive without latency, so a channel is never busy, its users are always ready and nothing overruns (assumed: a few
//! clocks of the channel). A synchronous or resynchronised channel passes nothing while its generic clock is off, and
//! says so once. A generator that is a pulse counts once with both edges selected (assumed). ONDEMAND and RUNSTDBY are
//! stored only. Events that feed themselves are cut off after 256 at one instant, which is reported.

mod numbers;

pub(crate) use numbers::{GEN_DMAC, USER_DMAC, trigger_block, trigger_mask, user_block};

use armv7m::Size;

use crate::event::ResetCause;
use crate::peripheral::{Context, Edge, Peripheral, Write};
use crate::registers::Ledger;
use numbers::USERS;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger::MODELLED;

/// Channels with a synchronous and a resynchronised path, and with interrupts.
const CLOCKED: usize = 12;
/// Generic clock channel of EVSYS channel 0.
const GCLK: usize = 11;
const EVD: u32 = 1 << 1;
const ASYNCHRONOUS: u32 = 2;

#[derive(Clone, Copy, Debug)]
struct Channel {
    control: u32,
    inten: u32,
    intflag: u32,
    /// Its missing clock has been reported.
    reported: bool,
}

impl Channel {
    const RESET: Self = Self { control: 0x8000, inten: 0, intflag: 0, reported: false };

    fn generator(&self) -> u32 {
        self.control & 0x7F
    }
}

/// How an event reaches a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// The users, by number.
    pub(crate) users: u128,
    /// What they see.
    pub(crate) edge: Edge,
}

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Evsys {
    prictrl: u32,
    intpend_id: u32,
    channels: [Channel; 32],
    users: [u8; USERS],
    /// Users of each channel.
    listeners: [u128; 32],
    /// Channels whose software event is still to be sent.
    software: u32,
}

impl Evsys {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self {
            prictrl: 0,
            intpend_id: 0,
            channels: [Channel::RESET; 32],
            users: [0; USERS],
            listeners: [0; 32],
            software: 0,
        }
    }

    /// Generator `generator` has fired: who is told.
    pub(crate) fn generated(&mut self, generator: u8, edge: Edge, cx: &mut Context<'_>) -> Vec<Delivery> {
        let mut told = Vec::new();
        for n in 0..32 {
            if generator != 0 && self.channels[n].generator() == u32::from(generator) {
                told.extend(self.pass(n, edge, cx));
            }
        }
        told
    }

    /// Software events that were asked for since the last call (31.5.2.12).
    pub(crate) fn take_software(&mut self, cx: &mut Context<'_>) -> Vec<Delivery> {
        let software = std::mem::take(&mut self.software);
        (0..32).filter(|n| software >> n & 1 != 0).filter_map(|n| self.pass(n, Edge::Pulse, cx)).collect()
    }

    /// Whether a software event waits.
    pub(crate) fn has_software(&self) -> bool {
        self.software != 0
    }

    /// An event goes through channel `n`.
    fn pass(&mut self, n: usize, edge: Edge, cx: &mut Context<'_>) -> Option<Delivery> {
        let channel = &mut self.channels[n];
        let mut seen = edge;
        if n < CLOCKED && channel.control >> 8 & 3 < ASYNCHRONOUS {
            if cx.clocks.channel[GCLK + n] == 0 {
                if !channel.reported {
                    channel.reported = true;
                    cx.violation(format!("EVSYS channel {n} is synchronous and has no generic clock: events are lost"));
                }
                return None;
            }
            let selected = channel.control >> 10 & 3;
            let passes = match edge {
                Edge::Pulse => selected != 0,
                Edge::Rise => selected & 1 != 0,
                Edge::Fall => selected & 2 != 0,
            };
            if !passes {
                return None;
            }
            channel.intflag |= EVD;
            seen = Edge::Pulse;
        }
        let users = self.listeners[n];
        (users != 0).then_some(Delivery { users, edge: seen })
    }

    fn pending(&self, n: usize) -> bool {
        self.channels[n].inten & self.channels[n].intflag != 0
    }

    fn intstatus(&self) -> u32 {
        (0..CLOCKED).filter(|n| self.pending(*n)).fold(0, |bits, n| bits | 1 << n)
    }

    /// The channel whose interrupt goes first (31.5.2.13); channels with a line of their own do not take part
    /// (31.7.4).
    fn first_pending(&self) -> Option<usize> {
        let last = if self.prictrl & 0x80 != 0 { self.prictrl as usize & 15 } else { CLOCKED - 1 };
        (1..=CLOCKED).map(|n| (last + n) % CLOCKED).filter(|n| *n >= 4).find(|n| self.pending(*n))
    }

    fn status(&self, n: usize) -> u32 {
        u32::from(self.channels[n].control >> 8 & 3 != ASYNCHRONOUS)
    }

    fn read_intpend(&self) -> u32 {
        let id = self.first_pending().unwrap_or(self.intpend_id as usize);
        id as u32 | self.channels[id].intflag << 8 | self.status(id) << 14
    }

    fn clear_flags(&mut self, n: usize, value: u32) {
        if self.prictrl & 0x80 != 0 {
            self.prictrl = 0x80 | n as u32;
        }
        self.channels[n].intflag &= !value;
    }

    fn write_channel(&mut self, n: usize, register: u32, w: Write, cx: &mut Context<'_>) {
        let channel = &mut self.channels[n];
        match register {
            0 => {
                channel.control = w.onto_masked(channel.control, 0xCF7F);
                if n >= CLOCKED && channel.generator() != 0 && channel.control >> 8 & 3 != ASYNCHRONOUS {
                    cx.violation(format!("EVSYS channel {n} has the asynchronous path only (31.2)"));
                }
            }
            4 => channel.inten &= !w.value,
            5 => channel.inten |= w.value & 3,
            6 => self.clear_flags(n, w.value & 3),
            _ => {}
        }
    }
}

impl Peripheral for Evsys {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x00..0x04 | 0x08..0x10 => Size::Byte,
            0x10..0x14 => Size::Half,
            0x20..0x120 if offset & 4 != 0 => Size::Byte,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 | 0x04 => 0,
            0x08 => self.prictrl,
            0x10 => self.read_intpend(),
            0x14 => self.intstatus(),
            0x18 => 0,
            0x1C => (0..CLOCKED).filter(|n| self.status(*n) == 0).fold(u32::MAX, |bits, n| bits & !(1 << n)),
            0x20..0x120 => {
                let n = (offset as usize - 0x20) / 8;
                match offset & 7 {
                    0 => self.channels[n].control,
                    4 | 5 => self.channels[n].inten,
                    6 => self.channels[n].intflag,
                    _ => self.status(n),
                }
            }
            0x120.. if (offset as usize - 0x120) / 4 < USERS => self.users[(offset as usize - 0x120) / 4].into(),
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x00 if w.value & 1 != 0 => *self = Self::new(),
            0x00 => {}
            0x04 => {
                self.software |= w.value;
                cx.signals.attention = true;
            }
            0x08 => self.prictrl = w.onto_masked(self.prictrl, 0x8F),
            0x10 => {
                self.intpend_id = w.onto_masked(self.intpend_id, 0xF);
                self.clear_flags(self.intpend_id as usize, w.value >> 8 & 3);
            }
            0x14 | 0x18 | 0x1C => {}
            0x20..0x120 => self.write_channel((offset as usize - 0x20) / 8, offset & 7, w, cx),
            0x120.. if (offset as usize - 0x120) / 4 < USERS => {
                let user = (offset as usize - 0x120) / 4;
                // 31.7.13: 0 is no channel, n is channel n - 1.
                self.users[user] = w.value as u8 & 0x3F;
                for (n, listeners) in self.listeners.iter_mut().enumerate() {
                    *listeners = *listeners & !(1 << user) | u128::from(usize::from(self.users[user]) == n + 1) << user;
                }
            }
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        *self = Self::new();
    }

    fn irqs(&self) -> u64 {
        let pending = self.intstatus();
        u64::from(pending & 15 | u32::from(pending >> 4 != 0) << 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    /// Channel `n` takes generator 73 (TC0 overflow) with `control`, for user 5 (DMAC channel 0).
    fn routed(n: u32, control: u32) -> (Evsys, Rig) {
        let (mut evsys, mut rig) = (Evsys::new(), Rig::new());
        evsys.write(0x20 + 8 * n, Write::full(control | 73), &mut rig.cx(0));
        evsys.write(0x120 + 4 * 5, Write::full(n + 1), &mut rig.cx(0));
        (evsys, rig)
    }

    #[test]
    fn the_asynchronous_path_needs_no_clock_and_detects_nothing() {
        let (mut evsys, mut rig) = routed(20, ASYNCHRONOUS << 8);
        let told = evsys.generated(73, Edge::Rise, &mut rig.cx(0));
        assert_eq!(told, [Delivery { users: 1 << 5, edge: Edge::Rise }]);
        assert_eq!(evsys.generated(74, Edge::Rise, &mut rig.cx(0)), []);
        assert_eq!(evsys.read(0x20 + 8 * 20 + 6, &mut rig.cx(0)), 0);
        assert_eq!(rig.violations().len(), 0);
    }

    #[test]
    fn a_synchronous_path_wants_its_clock_and_the_selected_edge() {
        // 31.5.2.6 and 31.5.2.7: rising edges only.
        let (mut evsys, mut rig) = routed(2, 1 << 10);
        assert_eq!(evsys.generated(73, Edge::Pulse, &mut rig.cx(0)), []);
        assert_eq!(evsys.generated(73, Edge::Pulse, &mut rig.cx(0)), []);
        assert_eq!(rig.violations().len(), 1, "once");
        rig.clocks.channel[13] = 48_000_000;
        evsys.write(0x20 + 8 * 2 + 5, Write::full(EVD), &mut rig.cx(0));
        assert_eq!(evsys.generated(73, Edge::Fall, &mut rig.cx(0)), []);
        assert_eq!(evsys.irqs(), 0);
        let told = evsys.generated(73, Edge::Rise, &mut rig.cx(0));
        assert_eq!(told, [Delivery { users: 1 << 5, edge: Edge::Pulse }]);
        assert_eq!((evsys.irqs(), evsys.read(0x14, &mut rig.cx(0))), (4, 4));
        evsys.write(0x20 + 8 * 2 + 6, Write::full(EVD), &mut rig.cx(0));
        assert_eq!(evsys.irqs(), 0);
    }

    #[test]
    fn a_software_event_goes_to_the_users_of_its_channel() {
        let (mut evsys, mut rig) = routed(31, ASYNCHRONOUS << 8);
        evsys.write(0x04, Write::full(1 << 31), &mut rig.cx(0));
        assert!(evsys.has_software());
        assert_eq!(evsys.take_software(&mut rig.cx(0)), [Delivery { users: 1 << 5, edge: Edge::Pulse }]);
        assert!(!evsys.has_software());
    }

    #[test]
    fn intpend_names_the_first_channel_without_a_line_of_its_own_and_clears_its_flags() {
        let (mut evsys, mut rig) = (Evsys::new(), Rig::new());
        rig.clocks.channel[GCLK..GCLK + CLOCKED].fill(1_000_000);
        for n in [1, 6, 9] {
            evsys.write(0x20 + 8 * n, Write::full(1 << 10 | 73), &mut rig.cx(0));
            evsys.write(0x20 + 8 * n + 5, Write::full(EVD), &mut rig.cx(0));
        }
        evsys.generated(73, Edge::Pulse, &mut rig.cx(0));
        assert_eq!(evsys.irqs(), 1 << 1 | 1 << 4);
        assert_eq!(evsys.read(0x10, &mut rig.cx(0)), 1 << 14 | EVD << 8 | 6);
        evsys.write(0x10, Write::full(EVD << 8 | 6), &mut rig.cx(0));
        assert_eq!(evsys.read(0x10, &mut rig.cx(0)) & 31, 9);
    }
}
