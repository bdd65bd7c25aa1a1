//! TC: timer/counter (SAM D5x/E5x datasheet, 48).
//!
//! Fidelity: counting up and down in 8, 16 and 32 bits (the odd partner is marked as slave), prescaler, the four
//! waveform modes, one-shot, compare matches, overflow, double buffering with LUPD, commands, input events (retrigger,
//! count, start, stamp, period and pulse width capture), output events, interrupts, DMA requests and the waveform
//! outputs with inversion are modelled. Synchronisation is instant, and COUNT reads true without READSYNC. CAPTMODE,
//! COPEN and ALOCK are stored only. Assumed: while the counter is disabled, buffers are copied at once; outputs of a
//! disabled or slave TC are low; PWM that counts down is high for CC + 1 counts.

mod output;
#[cfg(test)]
mod tests;

use armv7m::Size;
use sim_base::Instant;

use crate::clocks::channel;
use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
use crate::timer::conditions::Conditions;
use crate::timer::counter::{Counter, Shape};

const SWRST: u32 = 1;
const ENABLE: u32 = 1 << 1;
const DIR: u32 = 1 << 0;
const LUPD: u32 = 1 << 1;
const ONESHOT: u32 = 1 << 2;
const OVF: u32 = 1 << 0;
const ERR: u32 = 1 << 1;
const MC0: u32 = 1 << 4;
const MC1: u32 = 1 << 5;
const INT_MASK: u32 = 0x33;
const TCINV: u32 = 1 << 4;
const TCEI: u32 = 1 << 5;
pub(crate) const DIVISORS: [u64; 8] = [1, 2, 4, 8, 16, 64, 256, 1_024];
/// EVSYS generator, EVSYS user and DMA trigger source of TC0's overflow; three, one and three for each TC.
const GENERATOR: u8 = 73;
const TRIGGER: u32 = 44;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger =
    Ledger { stored: &["COUNT8.DBGCTRL", "COUNT16.DBGCTRL", "COUNT32.DBGCTRL"], absent: &[] };

/// EVCTRL.EVACT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Off,
    Retrigger,
    Count,
    Start,
    Stamp,
    /// Period into CC0 and pulse width into CC1, or the other way round.
    Period {
        first: usize,
    },
    PulseWidth,
}

/// The register block of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Tc {
    n: usize,
    ctrla: u32,
    ctrlb: u32,
    evctrl: u32,
    inten: u32,
    intflag: u32,
    stopped: bool,
    /// The even partner counts with this one's bits too.
    slave: bool,
    wave: u32,
    drvctrl: u32,
    dbgctrl: u32,
    per: u32,
    cc: [u32; 2],
    perbuf: Option<u32>,
    ccbuf: [Option<u32>; 2],
    /// What the buffer registers read.
    shown: [u32; 3],
    counter: Counter,
    /// Levels of the outputs that toggle, at `folded`.
    toggled: [bool; 2],
    folded: Instant,
    /// DMA requests that are asserted: OVF, MC0 and MC1 in their places of INTFLAG.
    requests: u32,
    /// The DMAC waits for one of them.
    watched: bool,
    /// Up to when flags are worked out.
    seen: Instant,
    /// When the next flag rises that is not up yet or matters otherwise, and when the next one that interrupts or does.
    due: Instant,
    event_due: Instant,
}

impl Tc {
    /// TC`n` as after reset.
    pub(crate) fn new(n: usize) -> Self {
        Self {
            n,
            ctrla: 0,
            ctrlb: 0,
            evctrl: 0,
            inten: 0,
            intflag: 0,
            stopped: true,
            slave: false,
            wave: 0,
            drvctrl: 0,
            dbgctrl: 0,
            per: 0xFF,
            cc: [0; 2],
            perbuf: None,
            ccbuf: [None; 2],
            shown: [0xFF, 0, 0],
            counter: Counter::new(Instant::ZERO),
            toggled: [false; 2],
            folded: Instant::ZERO,
            requests: 0,
            watched: false,
            seen: Instant::ZERO,
            due: Instant::NEVER,
            event_due: Instant::NEVER,
        }
    }

    /// Whether it is a 32-bit counter, which takes its odd partner.
    pub(crate) fn takes_partner(&self) -> bool {
        self.n.is_multiple_of(2) && self.bits() == 32 && self.ctrla & ENABLE != 0
    }

    pub(crate) fn set_slave(&mut self, slave: bool) {
        self.slave = slave;
    }

    fn restarted(&self, now: Instant) -> Self {
        let fresh = Self::new(self.n);
        Self { counter: Counter::new(now), seen: now, folded: now, watched: self.watched, slave: self.slave, ..fresh }
    }

    fn bits(&self) -> u32 {
        match self.ctrla >> 2 & 3 {
            0 => 16,
            1 => 8,
            _ => 32,
        }
    }

    /// The highest value that the counter takes.
    fn top(&self) -> u64 {
        let max = (1 << self.bits()) - 1;
        match self.wave & 3 {
            // Match frequency and match PWM: CC0 is the period.
            1 | 3 => u64::from(self.cc[0]) & max,
            _ if self.bits() == 8 => u64::from(self.per),
            _ => max,
        }
    }

    fn action(&self) -> Action {
        if self.evctrl & TCEI == 0 {
            return Action::Off;
        }
        match self.evctrl & 7 {
            0 => Action::Off,
            1 => Action::Retrigger,
            2 => Action::Count,
            3 => Action::Start,
            4 => Action::Stamp,
            5 => Action::Period { first: 0 },
            6 => Action::Period { first: 1 },
            _ => Action::PulseWidth,
        }
    }

    fn captures(&self, n: usize) -> bool {
        self.ctrla >> (16 + n) & 1 != 0
    }

    /// The counter follows the registers.
    fn configure(&mut self, now: Instant, cx: &Context<'_>) {
        let shape = if self.ctrlb & DIR != 0 { Shape::Down } else { Shape::Up };
        self.counter.set_clock(cx.clocks.channel[channel::TC[self.n]], DIVISORS[(self.ctrla >> 8 & 7) as usize], now);
        self.counter.set_shape(shape, self.top(), now);
        let runs = self.ctrla & ENABLE != 0 && !self.stopped && self.action() != Action::Count && !self.slave;
        self.counter.set_running(runs, now);
    }

    fn has_buffered(&self) -> bool {
        self.ctrlb & LUPD == 0 && (self.perbuf.is_some() || self.ccbuf != [None; 2])
    }

    /// An update condition: buffers go where they belong (48.6.2.6), unless LUPD.
    fn update(&mut self) {
        if self.ctrlb & LUPD == 0 {
            self.copy_buffers();
        }
    }

    fn copy_buffers(&mut self) {
        self.per = self.perbuf.take().unwrap_or(self.per);
        for (cc, buffer) in self.cc.iter_mut().zip(&mut self.ccbuf) {
            *cc = buffer.take().unwrap_or(*cc);
        }
    }

    /// Works out what comes next, after anything that it depends on changed.
    fn look_ahead(&mut self) {
        (self.due, self.event_due) = self.outlook(self.seen);
    }

    fn command(&mut self, command: u32, cx: &mut Context<'_>) {
        match command {
            // RETRIGGER: start again from the beginning.
            1 => self.retrigger(cx),
            // STOP.
            2 => self.stopped = true,
            // UPDATE.
            3 => self.copy_buffers(),
            _ => {}
        }
        self.configure(cx.now, cx);
    }

    fn retrigger(&mut self, cx: &mut Context<'_>) {
        self.update();
        self.stopped = false;
        self.configure(cx.now, cx);
        self.counter.restart(cx.now);
    }

    /// A captured value (48.6.2.7). One that was not read yet is an error.
    fn capture(&mut self, n: usize, value: u64) {
        if !self.captures(n) {
            return;
        }
        let flag = MC0 << n;
        self.intflag |= if self.intflag & flag != 0 { ERR } else { 0 };
        self.cc[n] = value as u32;
        self.intflag |= flag;
        self.requests |= flag;
    }

    fn input(&mut self, rises: bool, cx: &mut Context<'_>) {
        if self.ctrla & ENABLE == 0 {
            return;
        }
        self.catch_up(cx);
        self.fold(cx.now);
        let value = self.counter.value(cx.now);
        match (self.action(), rises) {
            (Action::Retrigger, true) => self.retrigger(cx),
            (Action::Count, true) if !self.stopped => self.count_event(cx),
            (Action::Start, true) => {
                self.stopped = false;
                self.configure(cx.now, cx);
            }
            (Action::Stamp, true) => {
                self.capture(0, value);
                self.capture(1, value);
            }
            (Action::Period { first }, true) => {
                self.capture(first, value);
                self.counter.restart(cx.now);
            }
            (Action::Period { first }, false) => self.capture(1 - first, value),
            (Action::PulseWidth, true) => self.counter.restart(cx.now),
            (Action::PulseWidth, false) => self.capture(0, value),
            _ => {}
        }
        self.look_ahead();
    }

    fn count_event(&mut self, cx: &mut Context<'_>) {
        let wrapped = self.counter.step();
        self.toggle();
        if wrapped {
            self.happen(OVF, cx.now, cx);
        }
        let value = self.counter.value(cx.now);
        for (n, flag) in [MC0, MC1].into_iter().enumerate() {
            if !self.captures(n) && value == u64::from(self.cc[n]) {
                self.happen(flag, cx.now, cx);
            }
        }
    }

    fn write_ctrla(&mut self, w: Write, cx: &mut Context<'_>) {
        if w.value & SWRST != 0 {
            *self = self.restarted(cx.now);
            return;
        }
        let old = self.ctrla;
        let value = w.onto_masked(old, 0x1B33_8FFE);
        // 48.7.1: enable-protected but for ENABLE.
        self.ctrla = if old & ENABLE == 0 { value } else { old & !ENABLE | value & ENABLE };
        if old & ENABLE != 0 && (value ^ old) & !ENABLE != 0 && value & ENABLE != 0 {
            cx.violation(format!("TC{}.CTRLA is enable-protected: {value:#x} dropped", self.n));
        }
        if old & ENABLE == 0 && self.ctrla & ENABLE != 0 {
            // 48.6.3.2: with these actions the first event starts it.
            self.stopped = matches!(self.action(), Action::Retrigger | Action::Start);
            self.copy_buffers();
            self.configure(cx.now, cx);
            self.counter.restart(cx.now);
            self.toggled = [false; 2];
            if cx.clocks.channel[channel::TC[self.n]] == 0 {
                cx.violation("TC enabled without a generic clock");
            }
        }
    }

    fn write_register(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        let size = self.bits() / 8;
        let idle = self.ctrla & ENABLE == 0;
        match offset {
            0x00 => self.write_ctrla(w, cx),
            0x04 => self.ctrlb &= !(w.value & (DIR | LUPD | ONESHOT)),
            0x05 => {
                self.ctrlb |= w.value & (DIR | LUPD | ONESHOT);
                self.command(w.value >> 5 & 7, cx);
            }
            0x06 => self.evctrl = w.onto_masked(self.evctrl, 0x3137),
            0x08 => self.inten &= !w.value,
            0x09 => self.inten |= w.value & INT_MASK,
            0x0A => self.intflag &= !w.value,
            // Buffer valid flags: a one discards the buffer.
            0x0B => {
                self.perbuf = self.perbuf.filter(|_| w.value & 8 == 0);
                for (n, buffer) in self.ccbuf.iter_mut().enumerate() {
                    *buffer = buffer.filter(|_| w.value >> (4 + n) & 1 == 0);
                }
            }
            0x10 => {}
            0x0C => self.wave = w.value & 3,
            0x0D => self.drvctrl = w.value & 3,
            0x0F => self.dbgctrl = w.value & 1,
            0x14 => {
                let value = w.onto(self.counter.value(cx.now) as u32);
                self.counter.set_value(value.into(), cx.now);
            }
            0x1B if size == 1 => {
                self.per = w.value & 0xFF;
                self.shown[0] = self.per;
            }
            0x2F if size == 1 => {
                self.shown[0] = w.value & 0xFF;
                self.perbuf = Some(self.shown[0]);
            }
            0x1C..0x24 if (offset - 0x1C) / size < 2 => {
                let n = ((offset - 0x1C) / size) as usize;
                self.cc[n] = w.onto(self.cc[n]);
                self.shown[1 + n] = self.cc[n];
            }
            0x30..0x38 if (offset - 0x30) / size < 2 => {
                let n = ((offset - 0x30) / size) as usize;
                self.shown[1 + n] = w.onto(self.shown[1 + n]);
                self.ccbuf[n] = Some(self.shown[1 + n]);
            }
            _ => {
                cx.unmodelled(offset, true);
            }
        }
        if idle && self.ctrlb & LUPD == 0 {
            self.copy_buffers();
        }
        self.configure(cx.now, cx);
    }

    fn read_cc(&mut self, n: usize) -> u32 {
        if self.captures(n) {
            self.intflag &= !(MC0 << n);
            self.requests &= !(MC0 << n);
        }
        self.cc[n]
    }

    fn status(&self) -> u32 {
        let buffers = [self.perbuf, self.ccbuf[0], self.ccbuf[1]];
        let valid = (3..).zip(buffers).fold(0, |bits, (n, buffer)| bits | u32::from(buffer.is_some()) << n);
        u32::from(self.stopped || self.ctrla & ENABLE == 0) | u32::from(self.slave) << 1 | valid
    }
}

impl Conditions for Tc {
    fn flags(&self) -> impl Iterator<Item = u32> + use<> {
        [MC0, MC1, OVF].into_iter()
    }

    fn flag_after(&self, flag: u32, after: Instant) -> Instant {
        match flag {
            OVF => self.counter.next_cycle(after),
            MC0 if self.captures(0) => Instant::NEVER,
            MC1 if self.captures(1) => Instant::NEVER,
            MC0 => self.counter.next(u64::from(self.cc[0]), after),
            _ => self.counter.next(u64::from(self.cc[1]), after),
        }
    }

    fn repeated(&self) -> u32 {
        let update = self.ctrlb & ONESHOT != 0 || self.has_buffered();
        let events = self.evctrl >> 8 & (OVF | MC0 | MC1);
        events | if update { OVF } else { 0 } | if self.watched { OVF | MC0 | MC1 } else { 0 }
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
        self.requests |= flag;
        if self.evctrl >> 8 & flag != 0 {
            let line = match flag {
                OVF => 0,
                MC0 => 1,
                _ => 2,
            };
            cx.event_out(GENERATOR + 3 * self.n as u8 + line);
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

impl Peripheral for Tc {
    fn width(&self, offset: u32) -> Size {
        let counter = match self.bits() {
            8 => Size::Byte,
            16 => Size::Half,
            _ => Size::Word,
        };
        match offset {
            0x06 | 0x07 => Size::Half,
            0x04..0x10 | 0x1B | 0x2F => Size::Byte,
            0x2C..0x30 if self.bits() == 8 => Size::Byte,
            0x14..0x1B | 0x1C..0x24 | 0x30..0x38 => counter,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        let size = self.bits() / 8;
        match offset {
            0x00 => self.ctrla,
            0x04 | 0x05 => self.ctrlb,
            0x06 => self.evctrl,
            0x08 | 0x09 => self.inten,
            0x0A => self.intflag,
            0x0B => self.status(),
            0x0C => self.wave,
            0x0D => self.drvctrl,
            0x0F => self.dbgctrl,
            0x10 => 0,
            0x14 => self.counter.value(cx.now) as u32,
            0x1B if size == 1 => self.per,
            0x2F if size == 1 => self.shown[0],
            0x1C..0x24 if (offset - 0x1C) / size < 2 => self.read_cc(((offset - 0x1C) / size) as usize),
            0x30..0x38 if (offset - 0x30) / size < 2 => self.shown[1 + ((offset - 0x30) / size) as usize],
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.catch_up(cx);
        self.fold(cx.now);
        self.write_register(offset, w, cx);
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
        self.ctrla & ENABLE != 0 && self.ctrla >> 6 & 1 != 0
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag != 0)
    }

    fn dma_requests(&self) -> u128 {
        let lines = self.requests & OVF | (self.requests & (MC0 | MC1)) >> 3;
        u128::from(lines) << (TRIGGER + 3 * self.n as u32)
    }

    fn dma_served(&mut self, source: u32) {
        // 48.6.4.1: a captured value's request falls when CC is read, the others when they are acknowledged.
        match source - (TRIGGER + 3 * self.n as u32) {
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

    fn event_in(&mut self, _user: usize, cx: &mut Context<'_>) {
        self.input(true, cx);
    }

    fn event_level(&mut self, _user: usize, level: bool, cx: &mut Context<'_>) {
        self.input(level ^ (self.evctrl & TCINV != 0), cx);
    }

    fn clocks_changed(&mut self, cx: &mut Context<'_>) {
        self.catch_up(cx);
        self.fold(cx.now);
        self.configure(cx.now, cx);
        self.look_ahead();
    }
}
