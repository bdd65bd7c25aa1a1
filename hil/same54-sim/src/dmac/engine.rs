//! The active channel: arbitration, descriptors, and the pieces of work that the chip does on the bus.

use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use super::channel::{Action, Channel, TCMPL, TERR};
use super::descriptor::Descriptor;
use super::{CHANNELS, DMAENABLE, Dmac, channel};
use crate::evsys::GEN_DMAC;
use crate::memory::{BACKUP_BASE, BACKUP_SIZE};
use crate::peripheral::Context;

/// Core clocks (assumed).
const FETCH: u32 = 5;
const WRITE_BACK: u32 = 4;
const MEMORY_ACCESS: u32 = 1;
const PERIPHERAL_ACCESS: u32 = 4;
/// Beats between memories that happen in one piece.
const PIECE: u32 = 16;

/// Beats that are due: the chip reads and writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Trigger source that is served, 0 if none.
    pub(crate) source: u32,
    pub(crate) size: Size,
    pub(crate) beats: u32,
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) from_step: u32,
    pub(crate) to_step: u32,
    /// The data go to the CRC engine alone.
    pub(crate) read_only: bool,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All beats, and the bytes that moved.
    Done(Vec<u8>),
    /// A bus error after so many beats.
    Error(u32),
    /// The bus keeps the DMAC waiting.
    Wait(Instant),
}

/// The active channel and its clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Engine {
    active: Option<Active>,
    /// When a pending channel is granted the bus.
    grant: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Active {
    channel: usize,
    descriptor: Descriptor,
    /// Beats of the piece under way, and when they are through.
    beats: u32,
    until: Instant,
    /// The trigger has not been acknowledged yet.
    fresh: bool,
}

impl Engine {
    /// ACTIVE: LVLEXx, ID, ABUSY and BTCNT.
    pub(super) fn active(&self, channels: &[Channel; CHANNELS]) -> u32 {
        let Some(active) = &self.active else { return 0 };
        let levels = channels.iter().filter(|channel| channel.pending).fold(0, |bits, other| bits | 1 << other.level());
        let level = 1 << channels[active.channel].level();
        levels | level | (active.channel as u32) << 8 | 1 << 15 | u32::from(active.descriptor.btcnt) << 16
    }

    pub(super) fn next_event(&self) -> Instant {
        self.active.map(|active| active.until).or(self.grant).unwrap_or(Instant::NEVER)
    }

    /// Something became pending, or not any more.
    pub(super) fn look(&mut self, ctrl: u32, channels: &[Channel; CHANNELS], now: Instant) {
        if channels.iter().any(|channel| can_run(ctrl, channel)) {
            self.grant.get_or_insert(now);
        } else {
            self.grant = None;
        }
    }
}

/// Whether the arbiter considers the channel: pending, not suspended, its level enabled (22.6.2.4).
fn can_run(ctrl: u32, channel: &Channel) -> bool {
    channel.pending && !channel.suspended && ctrl & DMAENABLE != 0 && ctrl >> (8 + channel.level()) & 1 != 0
}

fn is_memory(addr: u32) -> bool {
    matches!(addr, 0..0x0500_0000 | 0x2000_0000..0x3000_0000) || addr.wrapping_sub(BACKUP_BASE) < BACKUP_SIZE
}

fn clocks(count: u32, cx: &Context<'_>) -> Duration {
    Duration::from_nanos((u64::from(count) * 1_000_000_000).div_ceil(u64::from(cx.clocks.cpu.max(1))))
}

impl Dmac {
    /// The channel that is to become active.
    fn arbitrate(&self) -> Option<usize> {
        let runnable = |n: &usize| can_run(self.ctrl, &self.channels[*n]);
        let level = (0..CHANNELS).filter(runnable).map(|n| self.channels[n].level()).max()?;
        // Static: the lowest number first; round-robin: after the one that was last (LVLPRIx).
        let priority = (self.prictrl >> (8 * level)) as usize;
        let first = if priority & 0x80 != 0 { (priority & 31) + 1 } else { 0 };
        (0..CHANNELS).map(|n| (first + n) % CHANNELS).filter(runnable).find(|n| self.channels[*n].level() == level)
    }

    /// Beats that are through by now, if any. The caller does them and then calls [`finish`](Self::finish).
    pub(crate) fn take_slice(&mut self, cx: &mut Context<'_>) -> Option<Slice> {
        while self.engine.active.is_none() {
            self.engine.grant.filter(|at| *at <= cx.now)?;
            self.engine.grant = None;
            // Without its AHB clock it stands still.
            let n = if cx.clocks.ahb_mask >> 9 & 1 != 0 { self.arbitrate() } else { None };
            self.begin(n?, cx);
        }
        let active = self.engine.active.filter(|active| active.until <= cx.now)?;
        let channel = &self.channels[active.channel];
        let (from_step, to_step) = active.descriptor.steps();
        Some(Slice {
            source: if active.fresh { channel.trigger_source() } else { 0 },
            size: active.descriptor.beat(),
            beats: active.beats,
            from: active.descriptor.source(),
            to: active.descriptor.destination(),
            from_step,
            to_step,
            read_only: self.crc.replaces_transfer() && self.crc.listens_to(active.channel),
        })
    }

    /// Channel `n` becomes active: its descriptor is fetched.
    fn begin(&mut self, n: usize, cx: &mut Context<'_>) {
        self.prictrl_follows(n);
        let ongoing = self.channels[n].ongoing;
        let base = if ongoing { self.wrbaddr } else { self.baseaddr };
        self.channels[n].start();
        let Some(descriptor) = self.fetch(n, base.wrapping_add(16 * n as u32), cx) else {
            self.engine.look(self.ctrl, &self.channels, cx.now);
            return;
        };
        if !ongoing && self.crc.replaces_transfer() && self.crc.listens_to(n) {
            self.crc.load(descriptor.dstaddr);
        }
        // A block that ended in a suspension goes on with the next one.
        let descriptor = match descriptor {
            Descriptor { btcnt: 0, descaddr, .. } if ongoing => self.fetch(n, descaddr, cx),
            descriptor => Some(descriptor),
        };
        self.channels[n].ongoing = true;
        match descriptor {
            Some(descriptor) => self.plan(n, descriptor, true, cx.now, cx),
            None => self.engine.look(self.ctrl, &self.channels, cx.now),
        }
    }

    /// Round-robin: LVLPRIx is the channel that was last granted (22.8.8).
    fn prictrl_follows(&mut self, n: usize) {
        let level = self.channels[n].level();
        if self.prictrl >> (8 * level + 7) & 1 != 0 {
            let shift = 8 * level;
            self.prictrl = self.prictrl & !(0x1F << shift) | (n as u32) << shift;
        }
    }

    /// A valid descriptor, or the channel is suspended (22.6.2.9) or, after a bus error, disabled.
    fn fetch(&mut self, n: usize, addr: u32, cx: &mut Context<'_>) -> Option<Descriptor> {
        let channel = &mut self.channels[n];
        match Descriptor::fetch(addr, cx) {
            Ok(descriptor) if descriptor.is_valid() && addr != 0 => Some(descriptor),
            Ok(_) => {
                channel.errors |= channel::FERR;
                channel.busy = false;
                channel.skip = false;
                channel.halt();
                None
            }
            Err(_) => {
                channel.intflag |= TERR;
                channel.disable();
                self.update_watch();
                None
            }
        }
    }

    /// Plans the next piece of the active channel: from `at` on, the first one after a trigger if `fresh`.
    fn plan(&mut self, n: usize, descriptor: Descriptor, fresh: bool, at: Instant, cx: &Context<'_>) {
        let channel = &self.channels[n];
        let left = u32::from(descriptor.btcnt).max(1);
        let (from, to) = (is_memory(descriptor.source()), is_memory(descriptor.destination()));
        let by_burst = channel.action() == Action::Burst;
        let burst = channel.burst();
        let beats = if from && to && !by_burst { burst.max(PIECE) } else { burst }.min(left);
        let access = |memory: bool| if memory { MEMORY_ACCESS } else { PERIPHERAL_ACCESS };
        let head = if fresh { FETCH } else { 0 };
        let tail = if by_burst || beats == left { WRITE_BACK } else { 0 };
        let until = at + clocks(head + beats * (access(from) + access(to)) + tail, cx);
        self.engine.active = Some(Active { channel: n, descriptor, beats, until, fresh });
    }

    /// The beats of the last slice went as `outcome` says.
    pub(crate) fn finish(&mut self, outcome: Outcome, cx: &mut Context<'_>) {
        let Some(mut active) = self.engine.active.take() else { return };
        let n = active.channel;
        match outcome {
            Outcome::Wait(until) => {
                active.until = until.max(cx.now + Duration::from_nanos(1));
                self.engine.active = Some(active);
                return;
            }
            Outcome::Error(beats) => {
                // 22.6.2.9: the failed beat is not counted.
                active.descriptor.btcnt = active.descriptor.btcnt.saturating_sub(beats as u16);
                self.write_back(n, &active.descriptor, cx);
                self.channels[n].intflag |= TERR;
                self.channels[n].disable();
                self.update_watch();
            }
            Outcome::Done(bytes) => {
                if self.crc.listens_to(n) {
                    self.crc.feed(&bytes);
                }
                active.descriptor.btcnt = active.descriptor.btcnt.saturating_sub(active.beats as u16);
                self.go_on(n, active.descriptor, active.until, cx);
            }
        }
        self.look_for_triggers(cx.now);
    }

    fn write_back(&mut self, n: usize, descriptor: &Descriptor, cx: &mut Context<'_>) {
        if descriptor.write_back(self.wrbaddr.wrapping_add(16 * n as u32), cx).is_err() {
            self.channels[n].intflag |= TERR;
        }
    }

    fn give_event(&mut self, n: usize, cx: &mut Context<'_>) {
        if n < 4 && self.channels[n].gives_events() {
            cx.event_out(GEN_DMAC + n as u8);
        }
    }

    /// A piece is done, at `at`: the block, the trigger action and the transaction may be too.
    fn go_on(&mut self, n: usize, descriptor: Descriptor, at: Instant, cx: &mut Context<'_>) {
        let by_trigger = self.channels[n].events_follow_triggers();
        if descriptor.event_output() == 3 && !by_trigger {
            self.give_event(n, cx);
        }
        let action = self.channels[n].action();
        if descriptor.btcnt != 0 {
            let done = action == Action::Burst;
            if done && by_trigger {
                self.give_event(n, cx);
            }
            return self.hand_over(n, descriptor, done, at, cx);
        }
        if descriptor.event_output() == 1 && !by_trigger || by_trigger && action != Action::Transaction {
            self.give_event(n, cx);
        }
        if self.crc.replaces_transfer() && self.crc.listens_to(n) && self.crc.monitors() {
            return self.end_monitored(n, &descriptor, cx);
        }
        self.end_block(n, descriptor, at, cx);
    }

    /// 22.6.3.10: the block is checked and begun anew, or the channel fails.
    fn end_monitored(&mut self, n: usize, descriptor: &Descriptor, cx: &mut Context<'_>) {
        self.write_back(n, descriptor, cx);
        let channel = &mut self.channels[n];
        if self.crc.is_intact() {
            channel.intflag |= TCMPL;
            channel.busy = false;
            channel.ongoing = false;
        } else {
            self.crc.error = true;
            channel.errors |= channel::CRCERR;
            channel.intflag |= TERR;
            channel.disable();
            self.update_watch();
        }
    }

    fn end_block(&mut self, n: usize, mut descriptor: Descriptor, at: Instant, cx: &mut Context<'_>) {
        let block = descriptor.block_action();
        let last = descriptor.descaddr == 0;
        let channel = &mut self.channels[n];
        channel.armed = false;
        channel.raised = false;
        if block.interrupt || last {
            channel.intflag |= TCMPL;
        }
        if last && !block.suspend {
            // 22.6.3.7: BTCTRL.VALID is cleared in the write-back section.
            descriptor.btctrl &= !1;
            if channel.action() == Action::Transaction && channel.events_follow_triggers() {
                self.give_event(n, cx);
            }
            self.write_back(n, &descriptor, cx);
            self.channels[n].disable();
            self.update_watch();
            return;
        }
        if block.suspend {
            channel.halt();
        }
        let done = channel.action() != Action::Transaction;
        if channel.stopping || (channel.suspended && last) {
            self.write_back(n, &descriptor, cx);
            self.release(n);
            return;
        }
        // The next descriptor is fetched at once and becomes the ongoing one.
        match self.fetch(n, descriptor.descaddr, cx) {
            Some(next) => self.hand_over(n, next, done, at, cx),
            None => self.write_back(n, &descriptor, cx),
        }
    }

    /// The channel leaves the bus for good or for now.
    fn release(&mut self, n: usize) {
        let channel = &mut self.channels[n];
        channel.busy = false;
        if channel.stopping {
            channel.disable();
            self.update_watch();
        }
    }

    /// Goes on with `descriptor`, or writes it back and lets another channel have the bus. `done`: the trigger has had
    /// what it asked for.
    fn hand_over(&mut self, n: usize, descriptor: Descriptor, done: bool, at: Instant, cx: &mut Context<'_>) {
        let channel = &mut self.channels[n];
        if channel.suspending {
            channel.halt();
        }
        if done || channel.stopping || channel.suspended {
            if channel.suspended && !done && !channel.stopping {
                // It goes on when it is resumed.
                channel.pending = true;
            }
            self.write_back(n, &descriptor, cx);
            self.release(n);
            return;
        }
        let level = channel.level();
        let waiting = (0..CHANNELS).filter(|other| *other != n && can_run(self.ctrl, &self.channels[*other]));
        if waiting.map(|other| self.channels[other].level()).max().is_some_and(|other| other > level) {
            self.write_back(n, &descriptor, cx);
            self.channels[n].busy = false;
            self.channels[n].pending = true;
            return;
        }
        // From the end of the last piece, so that a late look does not slow the transfer down.
        let at = if cx.now > at + Duration::from_micros(10) { cx.now } else { at };
        self.plan(n, descriptor, false, at, cx);
    }
}
