//! EIC: external interrupt controller (SAM D5x/E5x datasheet, 23).
//!
//! Fidelity: sixteen lines and the NMI with rising, falling, both, high and low detection, synchronous and asynchronous
//! edges, filters, debouncing, events, enable protection and SYNCBUSY are modelled. A synchronous edge is seen three
//! periods of the EIC clock after the pin changed, if it lasts (assumed; shorter pulses "may not be detected"), and
//! never without that clock; a filtered line three periods later, where the chip takes the majority of three samples; a
//! debounced one after its four or eight ticks of the prescaler. A line listens to every pin whose function is A and
//! whose number table 6-1 gives it.

#[cfg(test)]
mod tests;

use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::port::Port;
use crate::registers::Ledger;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger::MODELLED;

const SWRST: u32 = 1;
const ENABLE: u32 = 1 << 1;
/// CTRLA.CKSEL: CLK_ULP32K in place of GCLK_EIC.
const CKSEL: u32 = 1 << 4;
const ULP32K_HZ: u32 = 32_768;
/// PCHCTRL of GCLK_EIC.
const CHANNEL: usize = 4;
/// The NMI, beside the sixteen lines.
const NMI: usize = 16;
const LINES: usize = 17;
/// Event generator of line 0 (31.7.8).
const GENERATOR: u8 = 18;
/// Periods of the EIC clock that a synchronous edge or a filtered level takes.
const SYNC_CYCLES: u64 = 3;

/// How a line is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sense {
    None,
    Rise,
    Fall,
    Both,
    High,
    Low,
}

/// What stands between pin and detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// Nothing: a level, or an asynchronous edge.
    Direct,
    /// Periods of the EIC clock.
    Clocked(u64),
}

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Eic {
    ctrla: u32,
    nmictrl: u32,
    nmiflag: u32,
    nmi_edge: bool,
    evctrl: u32,
    inten: u32,
    intflag: u32,
    asynch: u32,
    config: [u32; 2],
    debouncen: u32,
    dprescaler: u32,
    /// Levels at the pins, and what detection makes of them.
    levels: u32,
    valid: u32,
    /// When a change of each line reaches detection, if it lasts.
    change_at: [Instant; LINES],
    hz: u32,
    busy_until: Instant,
    busy: u32,
}

/// EXTINT line of a pin (datasheet 6, "Multiplexed Signals"); PA08 is the NMI.
fn line(group: usize, pin: usize) -> usize {
    match (group, pin) {
        (0, 8) => NMI,
        (3, 8..=12) => pin - 5,
        (3, 20 | 21) => pin - 10,
        (1, 26..=29) => pin - 14,
        _ => pin % 16,
    }
}

/// Levels of the lines, one bit each, when the pins of each port group are at `pins`.
pub(crate) fn lines(port: &Port, pins: [u32; 4]) -> u32 {
    let mut levels = 0;
    for (group, pins) in pins.into_iter().enumerate() {
        let mut selected = port.selected(group, 0);
        while selected != 0 {
            let pin = selected.trailing_zeros();
            selected &= selected - 1;
            levels |= (pins >> pin & 1) << line(group, pin as usize);
        }
    }
    levels
}

impl Eic {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self {
            ctrla: 0,
            nmictrl: 0,
            nmiflag: 0,
            nmi_edge: false,
            evctrl: 0,
            inten: 0,
            intflag: 0,
            asynch: 0,
            config: [0; 2],
            debouncen: 0,
            dprescaler: 0,
            levels: 0,
            valid: 0,
            change_at: [Instant::NEVER; LINES],
            hz: 0,
            busy_until: Instant::ZERO,
            busy: 0,
        }
    }

    /// Whether the NMI has been asserted since the last call.
    pub(crate) fn take_nmi_edge(&mut self) -> bool {
        std::mem::take(&mut self.nmi_edge)
    }

    /// Whether [`look`](Self::look) has anything to do for these levels of the lines.
    pub(crate) fn is_moved_by(&self, levels: u32) -> bool {
        levels != self.levels || self.ctrla & ENABLE == 0 && levels != self.valid
    }

    /// Takes over the levels of the [lines](lines).
    pub(crate) fn look(&mut self, levels: u32, cx: &mut Context<'_>) {
        let changed = levels ^ self.levels;
        self.levels = levels;
        if changed == 0 || self.ctrla & ENABLE == 0 {
            self.valid = if self.ctrla & ENABLE == 0 { levels } else { self.valid };
            return;
        }
        for n in (0..LINES).filter(|n| changed >> n & 1 != 0) {
            match self.path(n) {
                Path::Direct => self.settle(n, cx),
                // Back to where detection is: a pulse that nobody saw.
                Path::Clocked(_) if (self.levels ^ self.valid) >> n & 1 == 0 => self.change_at[n] = Instant::NEVER,
                Path::Clocked(cycles) => {
                    self.change_at[n] = match self.hz {
                        0 => Instant::NEVER,
                        hz => cx.now + Duration::from_nanos(cycles * 1_000_000_000 / u64::from(hz)),
                    };
                }
            }
        }
    }

    fn sense(&self, n: usize) -> Sense {
        let bits = if n == NMI { self.nmictrl } else { self.config[n / 8] >> (4 * (n % 8)) };
        match bits & 7 {
            1 => Sense::Rise,
            2 => Sense::Fall,
            3 => Sense::Both,
            4 => Sense::High,
            5 => Sense::Low,
            _ => Sense::None,
        }
    }

    fn is_level(&self, n: usize) -> bool {
        matches!(self.sense(n), Sense::High | Sense::Low)
    }

    /// 23.6.3 and 23.6.4.
    fn path(&self, n: usize) -> Path {
        let (filter, asynchronous) = match n {
            NMI => (self.nmictrl >> 3 & 1, self.nmictrl >> 4 & 1),
            _ => (self.config[n / 8] >> (4 * (n % 8) + 3) & 1, self.asynch >> n & 1),
        };
        if n != NMI && self.debouncen >> n & 1 != 0 && !self.is_level(n) {
            let settings = self.dprescaler >> (4 * (n / 8));
            let threshold = if asynchronous == 0 && settings & 8 != 0 { 8 } else { 4 };
            return Path::Clocked(threshold << ((settings & 7) + 1));
        }
        match (filter != 0, self.is_level(n) || asynchronous != 0) {
            (false, true) => Path::Direct,
            (true, true) => Path::Clocked(SYNC_CYCLES),
            (false, false) => Path::Clocked(SYNC_CYCLES),
            (true, false) => Path::Clocked(2 * SYNC_CYCLES),
        }
    }

    /// The level of line `n` reaches detection.
    fn settle(&mut self, n: usize, cx: &mut Context<'_>) {
        self.change_at[n] = Instant::NEVER;
        let is = self.levels >> n & 1 != 0;
        let was = self.valid >> n & 1 != 0;
        self.valid = self.valid & !(1 << n) | u32::from(is) << n;
        let detected = match self.sense(n) {
            Sense::Rise => !was && is,
            Sense::Fall => was && !is,
            Sense::Both => was != is,
            _ => false,
        };
        if detected {
            self.detect(n, cx);
        }
        self.look_at_levels(cx);
    }

    fn detect(&mut self, n: usize, cx: &mut Context<'_>) {
        if n == NMI {
            self.nmiflag = 1;
            self.nmi_edge = true;
            cx.signals.attention = true;
            return;
        }
        self.intflag |= 1 << n;
        if self.evctrl >> n & 1 != 0 {
            cx.event_out(GENERATOR + n as u8);
        }
    }

    /// A level that is there raises its flag whenever it is not up.
    fn look_at_levels(&mut self, cx: &mut Context<'_>) {
        if self.ctrla & ENABLE == 0 {
            return;
        }
        for n in 0..LINES {
            let wanted = match self.sense(n) {
                Sense::High => 1,
                Sense::Low => 0,
                _ => continue,
            };
            let up = if n == NMI { self.nmiflag } else { self.intflag >> n & 1 };
            if up == 0 && self.valid >> n & 1 == wanted {
                self.detect(n, cx);
            }
        }
    }

    /// Synchronisation of CTRLA `bits`: three periods of the EIC clock; at once if there is none, since asynchronous
    /// detection works without (assumed).
    fn synchronise(&mut self, bits: u32, now: Instant) {
        self.busy = bits;
        self.busy_until = match self.hz {
            0 => now,
            hz => now + Duration::from_nanos(SYNC_CYCLES * 1_000_000_000 / u64::from(hz)),
        };
    }

    fn clock(&self, cx: &Context<'_>) -> u32 {
        if self.ctrla & CKSEL != 0 { ULP32K_HZ } else { cx.clocks.channel[CHANNEL] }
    }

    fn write_ctrla(&mut self, value: u32, cx: &mut Context<'_>) {
        if value & SWRST != 0 {
            *self = Self { levels: self.levels, valid: self.levels, hz: self.hz, ..Self::new() };
            self.synchronise(SWRST, cx.now);
            return;
        }
        let old = self.ctrla;
        // CKSEL is enable-protected.
        let kept = if old & ENABLE != 0 { CKSEL } else { 0 };
        self.ctrla = old & kept | value & (ENABLE | CKSEL) & !kept;
        self.hz = self.clock(cx);
        if (old ^ self.ctrla) & ENABLE != 0 {
            self.valid = self.levels;
            self.change_at = [Instant::NEVER; LINES];
            self.synchronise(ENABLE, cx.now);
        }
    }
}

impl Peripheral for Eic {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x00 | 0x01 => Size::Byte,
            0x02 | 0x03 => Size::Half,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        match offset {
            0x00 => self.ctrla,
            0x01 => self.nmictrl,
            0x02 => self.nmiflag,
            0x04 => {
                if self.busy_until > cx.now {
                    cx.steady_until(self.busy_until.min(self.next_event()));
                    self.busy
                } else {
                    0
                }
            }
            0x08 => self.evctrl,
            0x0C | 0x10 => self.inten,
            0x14 => self.intflag,
            0x18 => self.asynch,
            0x1C | 0x20 => self.config[(offset as usize - 0x1C) / 4],
            0x30 => self.debouncen,
            0x34 => self.dprescaler,
            // 23.8.13: the valid state of debounced lines.
            0x38 => (self.levels & !self.debouncen | self.valid & self.debouncen) & 0xFFFF,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.advance(cx);
        match offset {
            0x00 => self.write_ctrla(w.value, cx),
            // 23.6.2.1: enable-protected registers.
            0x01 | 0x08 | 0x18 | 0x1C | 0x20 | 0x30 | 0x34 if self.ctrla & ENABLE != 0 => {
                cx.violation(format!("EIC+{offset:#04x} written while enabled: the write is dropped"));
            }
            0x01 => self.nmictrl = w.value & 0x1F,
            0x02 => self.nmiflag &= !w.value,
            0x04 | 0x38 => {}
            0x08 => self.evctrl = w.onto_masked(self.evctrl, 0xFFFF),
            0x0C => self.inten &= !w.value,
            0x10 => self.inten |= w.value & 0xFFFF,
            0x14 => self.intflag &= !w.value,
            0x18 => self.asynch = w.onto_masked(self.asynch, 0xFFFF),
            0x1C | 0x20 => {
                let config = &mut self.config[(offset as usize - 0x1C) / 4];
                *config = w.onto(*config);
            }
            0x30 => self.debouncen = w.onto_masked(self.debouncen, 0xFFFF),
            0x34 => self.dprescaler = w.onto_masked(self.dprescaler, 0x0001_00FF),
            _ => {
                cx.unmodelled(offset, true);
            }
        }
        self.look_at_levels(cx);
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        *self = Self { levels: self.levels, valid: self.levels, ..Self::new() };
    }

    fn next_event(&self) -> Instant {
        self.change_at.iter().copied().min().unwrap_or(Instant::NEVER)
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        for n in 0..LINES {
            if self.change_at[n] <= cx.now {
                self.settle(n, cx);
            }
        }
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag)
    }

    fn runs_in_standby(&self) -> bool {
        self.ctrla & ENABLE != 0
    }

    fn clocks_changed(&mut self, cx: &mut Context<'_>) {
        self.hz = self.clock(cx);
    }
}
