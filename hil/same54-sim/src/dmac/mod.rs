//! DMAC: direct memory access controller (SAM D5x/E5x datasheet, 22).
//!
//! Fidelity: all 32 channels, descriptors with linked lists and write-back, trigger actions block, burst and
//! transaction, software, event and peripheral triggers, static and round-robin priorities, suspend, resume and skip,
//! block actions, bus and fetch errors, event inputs and outputs, the CRC engine with its memory modes, INTPEND and the
//! five interrupt lines are modelled. It moves data over the same bus as the core, peripherals included. Assumed times,
//! in core clocks: 5 for a descriptor's fetch, 4 for its write-back, 1 for an access to memory and 4 for one to a
//! peripheral; the core is not slowed down. A burst happens at its end in one piece, as do up to 16 beats between
//! memories; it writes back when its trigger action is done, when another channel takes over, and when it stops.
//! Assumed: descriptors lie at 64-bit boundaries; TCMPL also rises at the end of a transaction without a block
//! interrupt. THRESHOLD, QOS, RUNSTDBY and DBGRUN are stored only.

mod channel;
mod crc;
mod descriptor;
mod engine;

pub(crate) use engine::{Outcome, Slice};

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::evsys::{USER_DMAC, trigger_block, trigger_mask};
use crate::map::Id;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
use channel::Channel;
use crc::Crc;
use engine::Engine;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["DBGCTRL"], absent: &[] };

const CHANNELS: usize = 32;
/// CRCCTRL.CRCSRC of channel 0.
const CRC_CHANNEL: u32 = 0x20;
const DMAENABLE: u32 = 1 << 1;

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Dmac {
    ctrl: u32,
    crc: Crc,
    dbgctrl: u32,
    prictrl: u32,
    intpend_id: u32,
    baseaddr: u32,
    wrbaddr: u32,
    channels: Box<[Channel; CHANNELS]>,
    /// Levels of the trigger sources that are watched.
    requests: u128,
    /// Blocks whose trigger sources an enabled channel waits for, by [`Id`].
    watch: u64,
    engine: Engine,
}

impl Dmac {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self {
            ctrl: 0,
            crc: Crc::default(),
            dbgctrl: 0,
            prictrl: 0x4040_4040,
            intpend_id: 0,
            baseaddr: 0,
            wrbaddr: 0,
            channels: Box::new(std::array::from_fn(|_| Channel::default())),
            requests: 0,
            watch: 0,
            engine: Engine::default(),
        }
    }

    /// Blocks whose DMA requests are to be told to [`set_requests`](Self::set_requests): bit n is the block of that
    /// [`Id`].
    pub(crate) fn watch(&self) -> u64 {
        self.watch
    }

    /// The levels of block `id`'s trigger sources.
    pub(crate) fn set_requests(&mut self, id: Id, levels: u128, now: Instant) {
        let mask = trigger_mask(id);
        let levels = self.requests & !mask | levels & mask;
        if levels != self.requests {
            self.requests = levels;
            self.look_for_triggers(now);
        }
    }

    fn request(&self, n: usize) -> bool {
        self.requests >> self.channels[n].trigger_source() & 1 != 0
    }

    fn look_for_triggers(&mut self, now: Instant) {
        for n in 0..CHANNELS {
            let request = self.request(n);
            self.channels[n].look_for_trigger(request);
        }
        self.engine.look(self.ctrl, &self.channels, now);
    }

    fn update_watch(&mut self) {
        let enabled = self.channels.iter().filter(|channel| channel.is_enabled());
        let blocks = enabled.filter_map(|channel| trigger_block(channel.trigger_source()));
        self.watch = blocks.fold(0, |watch, id| watch | 1 << id as u64);
    }

    fn mask(&self, f: impl Fn(&Channel) -> bool) -> u32 {
        (0..).zip(self.channels.iter()).fold(0, |bits, (n, channel)| bits | u32::from(f(channel)) << n)
    }

    fn read_intpend(&self) -> u32 {
        let pending = self.mask(Channel::interrupts);
        let id = if pending != 0 { pending.trailing_zeros() } else { self.intpend_id };
        let channel = &self.channels[id as usize];
        let (status, flags) = (channel.status(), channel.intflag);
        // CRCERR, FERR, BUSY and PEND are bits 12 to 15 the other way round.
        id | flags << 8
            | (status & channel::CRCERR) << 9
            | (status & channel::FERR) << 11
            | (status & 2) << 13
            | (status & 1) << 15
    }

    fn write_intpend(&mut self, w: Write) {
        self.intpend_id = w.onto_masked(self.intpend_id, 0x1F);
        let channel = &mut self.channels[self.intpend_id as usize];
        channel.intflag &= !(w.value >> 8 & 7);
        channel.errors &= !(w.value >> 9 & channel::CRCERR);
    }

    fn write_ctrl(&mut self, w: Write, cx: &mut Context<'_>) {
        if w.value & 1 != 0 {
            // 22.8.1: ignored while the DMAC is enabled.
            if self.ctrl & DMAENABLE == 0 {
                *self = Self::new();
            } else {
                cx.violation("DMAC.CTRL.SWRST while the DMAC is enabled");
            }
            return;
        }
        self.ctrl = w.onto_masked(self.ctrl, 0xF02);
        if self.ctrl & DMAENABLE == 0 {
            // 22.6.3.7: channels end after the burst under way.
            for channel in self.channels.iter_mut().filter(|channel| channel.is_enabled()) {
                if channel.busy {
                    channel.stopping = true;
                } else {
                    channel.disable();
                }
            }
        }
    }

    fn write_channel(&mut self, n: usize, register: u32, w: Write, cx: &mut Context<'_>) {
        let channel = &mut self.channels[n];
        match register {
            0x0 if channel.write_ctrla(w) => {
                cx.violation(format!("DMAC.CHCTRLA{n} changed while the channel is enabled"));
            }
            0x4 => {
                channel.ctrlb = w.value & 3;
                match channel.ctrlb {
                    1 => channel.suspend(),
                    2 => channel.resume(),
                    _ => {}
                }
            }
            0x5 => channel.prilvl = w.value & 3,
            0x6 => channel.evctrl = w.value & 0xF7,
            0xC => channel.inten &= !w.value,
            0xD => channel.inten |= w.value & 7,
            0xE => channel.intflag &= !w.value,
            0xF => channel.errors &= !(w.value & channel::CRCERR),
            _ => {}
        }
    }
}

impl Peripheral for Dmac {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x00..0x04 | 0x20..0x24 => Size::Half,
            0x0C..0x10 => Size::Byte,
            0x40..0x240 if offset & 15 >= 4 => Size::Byte,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 => self.ctrl,
            0x02 => self.crc.ctrl,
            0x04 => self.crc.data_in,
            0x08 => self.crc.checksum(),
            0x0C => self.crc.status(),
            0x0D => self.dbgctrl,
            0x10 => self.mask(|channel| channel.software),
            0x14 => self.prictrl,
            0x20 => self.read_intpend(),
            0x24 => self.mask(Channel::interrupts),
            0x28 => self.mask(|channel| channel.busy),
            0x2C => self.mask(|channel| channel.pending),
            0x30 => self.engine.active(&self.channels),
            0x34 => self.baseaddr,
            0x38 => self.wrbaddr,
            0x40..0x240 => {
                let channel = &self.channels[(offset as usize - 0x40) / 16];
                match offset & 15 {
                    0x0 => channel.ctrla,
                    0x4 => channel.ctrlb,
                    0x5 => channel.prilvl,
                    0x6 => channel.evctrl,
                    0xC | 0xD => channel.inten,
                    0xE => channel.intflag,
                    0xF => channel.status(),
                    _ => cx.unmodelled(offset, false),
                }
            }
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x00 => self.write_ctrl(w, cx),
            0x02 => self.crc.write_ctrl(w.onto(self.crc.ctrl)),
            0x04 => self.crc.write_data(w.value),
            0x08 => self.crc.load(w.value),
            0x0C => self.crc.clear_status(w.value),
            0x0D => self.dbgctrl = w.value & 1,
            0x10 => {
                for (n, channel) in self.channels.iter_mut().enumerate() {
                    channel.software |= w.value >> n & 1 != 0 && channel.is_enabled();
                }
            }
            0x14 => self.prictrl = w.onto(self.prictrl),
            0x20 => self.write_intpend(w),
            0x24..0x34 => {}
            // 22.8.13 and 22.8.14: enable-protected.
            0x34 | 0x38 if self.ctrl & DMAENABLE != 0 => {
                cx.violation("DMAC.BASEADDR or WRBADDR written while the DMAC is enabled");
            }
            0x34 => self.baseaddr = w.onto(self.baseaddr),
            0x38 => self.wrbaddr = w.onto(self.wrbaddr),
            0x40..0x240 if !matches!(offset & 15, 7..0xC) => {
                self.write_channel((offset as usize - 0x40) / 16, offset & 15, w, cx);
            }
            _ => {
                cx.unmodelled(offset, true);
            }
        }
        self.update_watch();
        self.look_for_triggers(cx.now);
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        *self = Self::new();
    }

    fn next_event(&self) -> Instant {
        self.engine.next_event()
    }

    fn irqs(&self) -> u64 {
        let pending = self.mask(Channel::interrupts);
        u64::from(pending & 15 | u32::from(pending >> 4 != 0) << 4)
    }

    fn event_in(&mut self, user: usize, cx: &mut Context<'_>) {
        let n = user - USER_DMAC;
        let request = self.request(n);
        self.channels[n].event(request);
        self.engine.look(self.ctrl, &self.channels, cx.now);
    }
}

#[cfg(test)]
mod tests;
