//! TCC: timer/counter for control applications (SAM D5x/E5x datasheet, 49).
//!
//! Fidelity: counting up, down and in both slopes with PER as TOP (CC0 in match frequency mode), prescaler, all waveform
//! modes, overflow and matches, one-shot, buffers of PER, CC and PATT with LUPD, commands, input events 0 and 1
//! (retrigger, count, start, increment, direction, stop, decrement, stamp, pulse capture, fault), capture on match
//! events, output events, recoverable faults A and B with restart and halt, non-recoverable faults, interrupts (one line
//! for the counter, one for each channel), DMA requests and the waveform outputs with polarity, output matrix, dead time,
//! swap, pattern, inversion and NRE/NRV are modelled. Synchronisation is instant, and COUNT reads true without READSYNC.
//! Stored only: RAMP modes, dithering, fault blanking, filters, qualification and KEEP, circular buffers, ALOCK, MSYNC
//! and the filters of DRVCTRL. Assumed: while the counter is disabled, buffers are copied at once and outputs do what NRE
//! and NRV say, as they do while it is stopped; what `output.rs` says of rare settings.

mod input;
mod output;
#[cfg(test)]
mod tests;

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
use crate::timer::conditions::Conditions;
use crate::timer::counter::{Counter, Shape};
use crate::timer::tc::DIVISORS;

const SWRST: u32 = 1;
const ENABLE: u32 = 1 << 1;
const DIR: u32 = 1 << 0;
const LUPD: u32 = 1 << 1;
const ONESHOT: u32 = 1 << 2;
const OVF: u32 = 1 << 0;
const TRG: u32 = 1 << 1;
const CNT: u32 = 1 << 2;
const ERR: u32 = 1 << 3;
const FAULT_A: u32 = 12;
const FAULT_0: u32 = 14;
const MC0: u32 = 1 << 16;
const INT_MASK: u32 = 0x3F_FC0F;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["DBGCTRL"], absent: &[] };

/// What differs between the instances: channels, bits, generic clock channel, first event generator, first event user,
/// first DMA trigger source.
#[derive(Clone, Copy, Debug)]
struct Instance {
    channels: usize,
    bits: u32,
    clock: usize,
    generator: u8,
    user: usize,
    trigger: u32,
}

const fn instance(channels: usize, bits: u32, clock: usize, generator: u8, user: usize, trigger: u32) -> Instance {
    Instance { channels, bits, clock, generator, user, trigger }
}

const INSTANCES: [Instance; 5] = [
    instance(6, 24, 25, 41, 17, 22),
    instance(4, 24, 25, 50, 25, 29),
    instance(3, 16, 29, 57, 31, 34),
    instance(2, 16, 29, 63, 36, 38),
    instance(2, 16, 38, 68, 40, 41),
];

/// The register block of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Tcc {
    n: usize,
    ctrla: u32,
    ctrlb: u32,
    /// FCTRLA and FCTRLB.
    fctrl: [u32; 2],
    /// WEXCTRL, DRVCTRL.
    stored: [u32; 2],
    dbgctrl: u32,
    evctrl: u32,
    inten: u32,
    intflag: u32,
    /// Fault bits of STATUS.
    faults: u32,
    stopped: bool,
    /// A recoverable fault holds the counter.
    halted: bool,
    patt: u32,
    pattbuf: Option<u32>,
    wave: u32,
    per: u32,
    cc: [u32; 6],
    perbuf: Option<u32>,
    ccbuf: [Option<u32>; 6],
    /// What the buffer registers read: PATT, PER and the CC.
    shown: [u32; 8],
    counter: Counter,
    /// Levels of the channels that toggle, at `folded`.
    toggled: [bool; 6],
    folded: Instant,
    requests: u32,
    watched: bool,
    seen: Instant,
    due: Instant,
    event_due: Instant,
}

impl Tcc {
    /// TCC`n` as after reset.
    pub(crate) fn new(n: usize) -> Self {
        let mut shown = [0; 8];
        shown[1] = u32::MAX;
        Self {
            n,
            ctrla: 0,
            ctrlb: 0,
            fctrl: [0; 2],
            stored: [0; 2],
            dbgctrl: 0,
            evctrl: 0,
            inten: 0,
            intflag: 0,
            faults: 0,
            stopped: true,
            halted: false,
            patt: 0,
            pattbuf: None,
            wave: 0,
            per: u32::MAX,
            cc: [0; 6],
            perbuf: None,
            ccbuf: [None; 6],
            shown,
            counter: Counter::new(Instant::ZERO),
            toggled: [false; 6],
            folded: Instant::ZERO,
            requests: 0,
            watched: false,
            seen: Instant::ZERO,
            due: Instant::NEVER,
            event_due: Instant::NEVER,
        }
    }

    fn restarted(&self, now: Instant) -> Self {
        Self { counter: Counter::new(now), seen: now, folded: now, watched: self.watched, ..Self::new(self.n) }
    }

    fn instance(&self) -> Instance {
        INSTANCES[self.n]
    }

    fn max(&self) -> u32 {
        (1 << self.instance().bits) - 1
    }

    /// Bits of COUNT, PER and CC that are fractions of a dithered cycle (CTRLA.RESOLUTION).
    fn fraction(&self) -> u32 {
        match self.ctrla >> 5 & 3 {
            0 => 0,
            n => 3 + n,
        }
    }

    fn top(&self) -> u64 {
        let register = if self.wave & 7 == 1 { self.cc[0] } else { self.per };
        u64::from((register & self.max()) >> self.fraction())
    }

    fn shape(&self) -> Shape {
        match self.wave & 7 {
            4..=7 => Shape::Dual,
            _ if self.ctrlb & DIR != 0 => Shape::Down,
            _ => Shape::Up,
        }
    }

    /// EVCTRL.EVACT of input event `n`, 0 if it is not enabled.
    fn action(&self, n: usize) -> u32 {
        if self.evctrl >> (14 + n) & 1 != 0 { self.evctrl >> (3 * n) & 7 } else { 0 }
    }

    fn captures(&self, n: usize) -> bool {
        self.ctrla >> (24 + n) & 1 != 0
    }

    fn configure(&mut self, now: Instant, cx: &Context<'_>) {
        let divisor = DIVISORS[(self.ctrla >> 8 & 7) as usize];
        self.counter.set_clock(cx.clocks.channel[self.instance().clock], divisor, now);
        self.counter.set_shape(self.shape(), self.top(), now);
        // Events count: EVACT0 COUNTEV, increment and decrement.
        let by_events = matches!(self.action(0), 2 | 4) || self.action(1) == 4;
        let runs = self.ctrla & ENABLE != 0 && !self.stopped && !self.halted && !by_events;
        self.counter.set_running(runs, now);
    }

    fn has_buffered(&self) -> bool {
        self.ctrlb & LUPD == 0 && (self.perbuf.is_some() || self.pattbuf.is_some() || self.ccbuf != [None; 6])
    }

    fn update(&mut self) {
        if self.ctrlb & LUPD == 0 {
            self.copy_buffers();
        }
    }

    fn copy_buffers(&mut self) {
        self.per = self.perbuf.take().unwrap_or(self.per);
        self.patt = self.pattbuf.take().unwrap_or(self.patt);
        for (cc, buffer) in self.cc.iter_mut().zip(&mut self.ccbuf) {
            *cc = buffer.take().unwrap_or(*cc);
        }
    }

    /// Works out what comes next, after anything that it depends on changed.
    fn look_ahead(&mut self) {
        (self.due, self.event_due) = self.outlook(self.seen);
    }

    fn retrigger(&mut self, cx: &mut Context<'_>) {
        self.update();
        self.stopped = false;
        self.configure(cx.now, cx);
        self.counter.restart(cx.now);
        self.happen(TRG, cx.now, cx);
    }

    fn command(&mut self, command: u32, cx: &mut Context<'_>) {
        match command {
            1 => self.retrigger(cx),
            2 => self.stopped = true,
            3 => self.copy_buffers(),
            // DMAOS: one request, as an overflow would make it.
            5 => self.requests |= OVF,
            _ => {}
        }
        self.configure(cx.now, cx);
    }

    fn capture(&mut self, n: usize, value: u64) {
        if n >= self.instance().channels || !self.captures(n) {
            return;
        }
        let flag = MC0 << n;
        self.intflag |= if self.intflag & flag != 0 { ERR } else { 0 };
        self.cc[n] = (value as u32) << self.fraction();
        self.intflag |= flag;
        self.requests |= flag;
    }

    fn write_ctrla(&mut self, w: Write, cx: &mut Context<'_>) {
        if w.value & SWRST != 0 {
            *self = self.restarted(cx.now);
            return;
        }
        let old = self.ctrla;
        let value = w.onto_masked(old, 0x3F80_FF62);
        self.ctrla = if old & ENABLE == 0 { value } else { old & !ENABLE | value & ENABLE };
        if old & ENABLE != 0 && (value ^ old) & !ENABLE != 0 && value & ENABLE != 0 {
            cx.violation(format!("TCC{}.CTRLA is enable-protected: {value:#x} dropped", self.n));
        }
        if old & ENABLE == 0 && self.ctrla & ENABLE != 0 {
            self.stopped = matches!(self.action(0), 1 | 3) || self.action(1) == 1;
            self.copy_buffers();
            self.configure(cx.now, cx);
            self.counter.restart(cx.now);
            self.begin_toggling();
            if cx.clocks.channel[self.instance().clock] == 0 {
                cx.violation("TCC enabled without a generic clock");
            }
        }
    }

    /// A write of STATUS clears fault states whose input is gone, and discards buffers.
    fn write_status(&mut self, value: u32) {
        let inputs = self.faults >> 8 & 15;
        self.faults &= !(value & (15 & !inputs) << FAULT_A);
        if self.faults >> FAULT_A & 3 == 0 {
            self.halted = false;
        }
        self.pattbuf = self.pattbuf.filter(|_| value >> 5 & 1 == 0);
        self.perbuf = self.perbuf.filter(|_| value >> 7 & 1 == 0);
        for (n, buffer) in self.ccbuf.iter_mut().enumerate() {
            *buffer = buffer.filter(|_| value >> (16 + n) & 1 == 0);
        }
    }

    fn status(&self, now: Instant) -> u32 {
        let stop = self.stopped || self.ctrla & ENABLE == 0;
        let valid = (16..).zip(self.ccbuf).fold(0, |bits, (n, buffer)| bits | u32::from(buffer.is_some()) << n);
        // CMPx: the channel's value, set from the beginning of a cycle to the match.
        let value = self.counter.value(now);
        let compared = (0..self.instance().channels)
            .filter(|n| !stop && !self.captures(*n) && value < u64::from(self.cc[*n] & self.max()) >> self.fraction())
            .fold(0, |bits, n| bits | 1 << (24 + n));
        u32::from(stop)
            | u32::from(self.pattbuf.is_some()) << 5
            | u32::from(self.perbuf.is_some()) << 7
            | self.faults
            | valid
            | compared
    }

    fn write_register(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        let channels = self.instance().channels as u32;
        let max = self.max();
        match offset {
            0x00 => self.write_ctrla(w, cx),
            0x04 => self.ctrlb &= !(w.value & 0x1F),
            0x05 => {
                self.ctrlb |= w.value & 0x1F;
                self.command(w.value >> 5 & 7, cx);
            }
            0x08 => {}
            0x0C | 0x10 => {
                let n = (offset as usize - 0x0C) / 4;
                self.fctrl[n] = w.onto_masked(self.fctrl[n], 0x0FFF_FFFB);
            }
            0x14 => self.stored[0] = w.onto_masked(self.stored[0], 0xFFFF_0F03),
            0x18 => self.stored[1] = w.onto(self.stored[1]),
            0x1E => self.dbgctrl = w.value & 5,
            0x20 => self.evctrl = w.onto_masked(self.evctrl, 0x3F3F_F7FF),
            0x24 => self.inten &= !w.value,
            0x28 => self.inten |= w.value & INT_MASK,
            0x2C => self.intflag &= !w.value,
            0x30 => self.write_status(w.value),
            0x34 => {
                let value = w.onto(self.counter.value(cx.now) as u32) & max;
                self.counter.set_value(u64::from(value >> self.fraction()), cx.now);
            }
            0x38 => {
                self.patt = w.onto_masked(self.patt, 0xFFFF);
                self.shown[0] = self.patt;
            }
            0x3C => self.wave = w.onto_masked(self.wave, 0x0F3F_0FB7),
            0x40 => {
                self.per = w.onto_masked(self.per, max);
                self.shown[1] = self.per;
            }
            0x44..0x5C if (offset - 0x44) / 4 < channels => {
                let n = (offset as usize - 0x44) / 4;
                self.cc[n] = w.onto_masked(self.cc[n], max);
                self.shown[2 + n] = self.cc[n];
            }
            0x64 => {
                self.shown[0] = w.onto_masked(self.shown[0], 0xFFFF);
                self.pattbuf = Some(self.shown[0]);
            }
            0x6C => {
                self.shown[1] = w.onto_masked(self.shown[1], max);
                self.perbuf = Some(self.shown[1]);
            }
            0x70..0x88 if (offset - 0x70) / 4 < channels => {
                let n = (offset as usize - 0x70) / 4;
                self.shown[2 + n] = w.onto_masked(self.shown[2 + n], max);
                self.ccbuf[n] = Some(self.shown[2 + n]);
            }
            _ => {
                cx.unmodelled(offset, true);
            }
        }
        if self.ctrla & ENABLE == 0 && self.ctrlb & LUPD == 0 {
            self.copy_buffers();
        }
        self.configure(cx.now, cx);
    }
}

impl Conditions for Tcc {
    fn flags(&self) -> impl Iterator<Item = u32> + use<> {
        [OVF, CNT].into_iter().chain((0..self.instance().channels as u32).map(|n| MC0 << n))
    }

    fn flag_after(&self, flag: u32, after: Instant) -> Instant {
        match flag {
            // 49.6.2.5: dual slopes overflow at the bottom, at the top, or at both.
            OVF => match self.wave & 7 {
                6 => self.counter.next_cycle(after).min(self.counter.next_top(after)),
                7 => self.counter.next_top(after),
                _ => self.counter.next_cycle(after),
            },
            CNT => self.counter.next_cycle(after),
            _ => {
                let n = (flag / MC0).trailing_zeros() as usize;
                let value = u64::from((self.cc[n] & self.max()) >> self.fraction());
                if self.captures(n) { Instant::NEVER } else { self.counter.next(value, after) }
            }
        }
    }

    fn repeated(&self) -> u32 {
        let events = self.evctrl >> 8 & (OVF | CNT) | self.evctrl >> 8 & 0x3F_0000;
        let update = self.ctrlb & ONESHOT != 0 || self.has_buffered();
        events | if update { OVF } else { 0 } | if self.watched { OVF | 0x3F_0000 } else { 0 }
    }

    fn interrupts(&self) -> (u32, u32) {
        (self.intflag, self.inten)
    }

    fn raise(&mut self, flags: u32) {
        self.intflag |= flags;
    }

    fn happen(&mut self, flag: u32, at: Instant, cx: &mut Context<'_>) {
        if flag == OVF {
            self.fold(at);
        }
        self.intflag |= flag;
        self.requests |= flag & (OVF | 0x3F_0000);
        if self.evctrl >> 8 & flag != 0 {
            let line = match flag {
                OVF | TRG | CNT => flag.trailing_zeros(),
                _ => 3 + (flag / MC0).trailing_zeros(),
            };
            cx.event_out(self.instance().generator + line as u8);
        }
        if flag == OVF {
            self.update();
            if self.ctrlb & ONESHOT != 0 {
                self.stopped = true;
                self.counter.restart(at);
            }
            self.configure(at, cx);
        }
    }

    fn seen(&mut self) -> &mut Instant {
        &mut self.seen
    }
}

impl Peripheral for Tcc {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x04..0x08 | 0x1C..0x20 => Size::Byte,
            0x38..0x3C | 0x64..0x68 => Size::Half,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        let channels = self.instance().channels as u32;
        match offset {
            0x00 => self.ctrla,
            0x04 | 0x05 => self.ctrlb,
            0x08 => 0,
            0x0C => self.fctrl[0],
            0x10 => self.fctrl[1],
            0x14 => self.stored[0],
            0x18 => self.stored[1],
            0x1E => self.dbgctrl,
            0x20 => self.evctrl,
            0x24 | 0x28 => self.inten,
            0x2C => self.intflag,
            0x30 => self.status(cx.now),
            0x34 => (self.counter.value(cx.now) as u32) << self.fraction(),
            0x38 => self.patt,
            0x3C => self.wave,
            0x40 => self.per,
            0x44..0x5C if (offset - 0x44) / 4 < channels => {
                let n = (offset as usize - 0x44) / 4;
                if self.captures(n) {
                    self.intflag &= !(MC0 << n);
                    self.requests &= !(MC0 << n);
                }
                self.cc[n]
            }
            0x64 => self.shown[0],
            0x6C => self.shown[1],
            0x70..0x88 if (offset - 0x70) / 4 < channels => self.shown[2 + (offset as usize - 0x70) / 4],
            // Registers of channels that this instance does not have.
            0x44..0x5C | 0x70..0x88 => 0,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.catch_up(cx);
        self.fold(cx.now);
        let channels = self.instance().channels as u32;
        let missing = match offset {
            0x44..0x5C => (offset - 0x44) / 4 >= channels,
            0x70..0x88 => (offset - 0x70) / 4 >= channels,
            _ => false,
        };
        if !missing {
            self.write_register(offset, w, cx);
        }
        self.look_ahead();
    }

    fn reset(&mut self, _cause: ResetCause, cx: &mut Context<'_>) {
        *self = self.restarted(cx.now);
    }

    fn next_event(&self) -> Instant {
        self.event_due
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if cx.now >= self.due {
            self.catch_up(cx);
            self.look_ahead();
        }
    }

    fn runs_in_standby(&self) -> bool {
        self.ctrla & ENABLE != 0 && self.ctrla >> 11 & 1 != 0
    }

    fn irqs(&self) -> u64 {
        let pending = self.inten & self.intflag;
        u64::from(u32::from(pending & 0xFFFF != 0) | (pending >> 16) << 1)
    }

    fn dma_requests(&self) -> u128 {
        u128::from(self.requests & OVF | (self.requests >> 16) << 1) << self.instance().trigger
    }

    fn dma_served(&mut self, source: u32) {
        match source - self.instance().trigger {
            0 => self.requests &= !OVF,
            n if !self.captures(n as usize - 1) => self.requests &= !(MC0 << (n - 1)),
            _ => {}
        }
    }

    fn set_dma_watched(&mut self, watched: bool, cx: &mut Context<'_>) {
        self.catch_up(cx);
        self.watched = watched;
        self.requests = 0;
        self.look_ahead();
    }

    fn event_in(&mut self, user: usize, cx: &mut Context<'_>) {
        self.event(user, true, cx);
    }

    fn event_level(&mut self, user: usize, level: bool, cx: &mut Context<'_>) {
        self.event(user, level, cx);
    }

    fn clocks_changed(&mut self, cx: &mut Context<'_>) {
        self.catch_up(cx);
        self.fold(cx.now);
        self.configure(cx.now, cx);
        self.look_ahead();
    }
}
