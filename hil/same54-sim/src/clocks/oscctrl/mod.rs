//! OSCCTRL: crystal oscillators, DFLL48M and the two fractional PLLs (SAM D5x/E5x datasheet, 28).
//!
//! Fidelity: enable, ready and lock bits come true after a start-up time; an oscillator with ONDEMAND runs only while an
//! enabled generator, a running PLL or the RTC asks for it. XOSC1 has the board's 12 MHz crystal, XOSC0 has none and
//! never gets ready, as does an oscillator without XTALEN. Clock failure detection takes four periods of the safe clock
//! (DFLL48M by CFDPRESC), which then stands in until the crystal is back and SWBEN is set. The DFLL runs at exactly
//! 48 MHz in open loop, whatever DFLLVAL says (assumed: no tuning, no drift). In closed loop it multiplies its reference
//! and locks, coarse after 16 and fine after 64 of its periods (assumed), if that gives 40 to 56 MHz (assumed), else it is
//! out of bounds; without a reference it goes on open and says so. The PLLs multiply their reference by LDR + 1 +
//! LDRFRAC/32 and lock after 35 us (typical, electrical characteristics) or LTIME, or never without a reference; with WUF
//! their clock is there after 10 us (assumed). DFLL start-up: 20 us; XOSC by XOSCCTRL.STARTUP. Filters, WAITLOCK, USB
//! recovery mode and synchronisation of DFLL registers are stored only.

mod dfll;
mod dpll;
mod xosc;

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
use dfll::Dfll;
use dpll::Dpll;
use xosc::Xosc;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["DFLLVAL"], absent: &[] };

pub(super) const DFLL_HZ: u32 = 48_000_000;
const ENABLE: u32 = 1 << 1;
const ONDEMAND: u32 = 1 << 7;
const INT_MASK: u32 = 0x0F0F_1F0F;
/// DPLL output range (electrical characteristics, "FDPLL200M").
const DPLL_RANGE: std::ops::RangeInclusive<u64> = 96_000_000..=200_000_000;

/// An oscillator that becomes ready some time after it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Starting {
    Off,
    Until(Instant),
    Ready,
}

impl Starting {
    /// When it gets ready.
    fn at(self) -> Instant {
        if let Self::Until(at) = self { at } else { Instant::NEVER }
    }

    /// True when it has just become ready.
    fn advance(&mut self, now: Instant) -> bool {
        let due = self.at() <= now;
        if due {
            *self = Self::Ready;
        }
        due
    }

    fn is_ready(self) -> bool {
        self == Self::Ready
    }

    /// Starts or stops it.
    fn set_running(&mut self, running: bool, ready_at: Instant) {
        match (running, *self) {
            (true, Self::Off) => *self = Self::Until(ready_at),
            (false, _) => *self = Self::Off,
            _ => {}
        }
    }
}

/// Whether an oscillator with this control register is to run.
fn is_wanted(control: u32, requested: bool) -> bool {
    control & ENABLE != 0 && (control & ONDEMAND == 0 || requested)
}

/// Who is asked for by generators, PLLs and RTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Requests {
    pub(super) xosc: [bool; 2],
    pub(super) dfll: bool,
    pub(super) dpll: [bool; 2],
}

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Oscctrl {
    evctrl: u32,
    inten: u32,
    intflag: u32,
    xosc: [Xosc; 2],
    dfll: Dfll,
    dpll: [Dpll; 2],
    requests: Requests,
}

impl Oscctrl {
    /// As after reset: the DFLL runs, nothing else.
    pub(crate) fn new() -> Self {
        Self {
            evctrl: 0,
            inten: 0,
            intflag: dfll::RDY,
            xosc: [Xosc::new(0), Xosc::new(1)],
            dfll: Dfll::new(),
            dpll: [Dpll::new(), Dpll::new()],
            requests: Requests { dfll: true, ..Requests::default() },
        }
    }

    pub(super) fn xosc_hz(&self, n: usize) -> u32 {
        self.xosc[n].hz()
    }

    /// Output of the DFLL, given its reference.
    pub(super) fn dfll_hz(&self, reference: u32) -> u32 {
        self.dfll.hz(reference)
    }

    /// Output of DPLL `n`, given its generic clock channel and XOSC32K.
    pub(super) fn dpll_hz(&self, n: usize, gclk: u32, xosc32k: u32) -> u32 {
        self.dpll[n].hz(gclk, xosc32k, [self.xosc_hz(0), self.xosc_hz(1)])
    }

    /// Source that a running DPLL `n` asks for: XOSC0, XOSC1 (0, 1) or XOSC32K (2).
    pub(super) fn dpll_asks(&self, n: usize) -> Option<usize> {
        self.dpll[n].asks()
    }

    /// Takes over who is asked for. True if that changes what runs.
    pub(super) fn set_requests(&mut self, requests: Requests, now: Instant) -> bool {
        if requests == self.requests {
            return false;
        }
        self.requests = requests;
        self.run(now);
        true
    }

    /// The crystal at XOSC `n` swings, or no longer does.
    pub(crate) fn set_crystal(&mut self, n: usize, alive: bool, cx: &mut Context<'_>) {
        self.xosc[n].set_alive(alive, cx.now);
        cx.signals.clocks_dirty = true;
    }

    /// Starts and stops what is or is not wanted.
    fn run(&mut self, now: Instant) {
        for (xosc, requested) in self.xosc.iter_mut().zip(self.requests.xosc) {
            xosc.run(requested, now);
        }
        self.dfll.run(self.requests.dfll, now);
        for (dpll, requested) in self.dpll.iter_mut().zip(self.requests.dpll) {
            dpll.run(requested, now);
        }
    }

    fn status(&self, cx: &Context<'_>) -> u32 {
        let xosc = self.xosc.iter().enumerate().fold(0, |bits, (n, xosc)| bits | xosc.status() << n);
        let dpll = (0..2).fold(0, |bits, n| bits | self.dpll[n].status(cx.clocks.dpll[n]) << (16 + 8 * n));
        xosc | self.dfll.status() | dpll
    }

    /// What is read stays until something happens, unless that has just happened and frequencies are to follow.
    fn stay_until_next_event(&self, cx: &mut Context<'_>) {
        if !cx.signals.clocks_dirty {
            cx.steady_until(self.next_event());
        }
    }

    fn raise(&mut self, flags: u32) {
        self.intflag |= flags;
    }
}

impl Peripheral for Oscctrl {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x00..0x04 | 0x1C..0x24 | 0x2C..0x34 | 0x44..0x48 => Size::Byte,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        match offset {
            0x00 => self.evctrl,
            0x04 | 0x08 => self.inten,
            0x0C => self.intflag,
            0x10 => {
                self.stay_until_next_event(cx);
                self.status(cx)
            }
            0x14 | 0x18 => self.xosc[(offset as usize - 0x14) / 4].control,
            0x1C..0x30 => self.dfll.read(offset, cx),
            0x30..0x58 => {
                let n = (offset as usize - 0x30) / 0x14;
                self.stay_until_next_event(cx);
                let hz = cx.clocks.dpll[n];
                self.dpll[n].read((offset - 0x30) % 0x14, hz).unwrap_or_else(|| cx.unmodelled(offset, false))
            }
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.advance(cx);
        cx.signals.clocks_dirty = true;
        match offset {
            0x00 => self.evctrl = w.value & 3,
            0x04 => self.inten &= !w.value,
            0x08 => self.inten |= w.value & INT_MASK,
            0x0C => self.intflag &= !w.value,
            0x10 => {}
            0x14 | 0x18 => self.xosc[(offset as usize - 0x14) / 4].write(w, cx.now),
            0x1C..0x30 => self.dfll.write(offset, w, cx),
            0x30..0x58 => {
                let n = (offset as usize - 0x30) / 0x14;
                let flags = self.dpll[n].write((offset - 0x30) % 0x14, w, offset, cx);
                self.raise(flags << (16 + 8 * n));
            }
            _ => {
                cx.unmodelled(offset, true);
            }
        }
        self.run(cx.now);
    }

    fn reset(&mut self, _cause: ResetCause, cx: &mut Context<'_>) {
        let alive = [self.xosc[0].is_alive(), self.xosc[1].is_alive()];
        *self = Self::new();
        for (xosc, alive) in self.xosc.iter_mut().zip(alive) {
            xosc.set_alive(alive, cx.now);
        }
        cx.signals.clocks_dirty = true;
    }

    fn next_event(&self) -> Instant {
        let xosc = self.xosc.iter().map(Xosc::next_event);
        let dpll = self.dpll.iter().map(Dpll::next_event);
        xosc.chain(dpll).chain([self.dfll.next_event()]).min().unwrap_or(Instant::NEVER)
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.next_event() > cx.now {
            return;
        }
        cx.signals.clocks_dirty = true;
        for n in 0..2 {
            let (ready, failed) = self.xosc[n].advance(cx.now);
            self.raise(u32::from(ready) << n | u32::from(failed) << (2 + n));
            if failed && self.evctrl >> n & 1 != 0 {
                // Generators XOSC_FAIL0 and 1 (31.7.8).
                cx.event_out(1 + n as u8);
            }
            self.dpll[n].advance(cx.now);
        }
        let flags = self.dfll.advance(cx.now);
        self.raise(flags);
    }

    fn irqs(&self) -> u64 {
        let pending = self.inten & self.intflag;
        let lines = [0x5, 0xA, 0x1F00, 0x000F_0000, 0x0F00_0000];
        lines.iter().enumerate().map(|(n, mask)| u64::from(pending & mask != 0) << n).sum()
    }

    fn clocks_changed(&mut self, cx: &mut Context<'_>) {
        for (n, hz) in cx.clocks.dpll.into_iter().enumerate() {
            let flags = self.dpll[n].output_changed(hz);
            self.raise(flags << (16 + 8 * n));
            if hz != 0 && !DPLL_RANGE.contains(&u64::from(hz)) {
                cx.violation(format!("DPLL{n} runs at {hz} Hz, outside 96 to 200 MHz"));
            }
        }
        let flags = self.dfll.reference_changed(cx.clocks.channel[super::channel::DFLL], cx.now);
        self.raise(flags);
    }
}
