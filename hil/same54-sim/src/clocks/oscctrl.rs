//! OSCCTRL: crystal oscillators, DFLL48M and the two fractional PLLs (SAM D5x/E5x datasheet, 28).
//!
//! Fidelity: enable, ready and lock bits come true after a start-up time; XOSC1 has the board's 12 MHz crystal, XOSC0
//! has none and never gets ready; the DFLL runs at exactly 48 MHz in both modes (assumed: no tuning, no drift); the
//! PLLs multiply their reference by LDR + 1 + LDRFRAC/32. Start-up: DFLL 20 us, DPLL 35 us (typical, electrical
//! characteristics), XOSC by XOSCCTRL.STARTUP. Clock failure detection and filters are stored only.

use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

const ENABLE: u32 = 1 << 1;
const XOSCCTRL_RESET: u32 = 0x80;
const DFLLCTRLA_RESET: u32 = 0x82;
const DPLLCTRLA_RESET: u32 = 0x80;
const DPLLCTRLB_RESET: u32 = 0x20;
const DFLLRDY: u32 = 1 << 8;
const DFLLLCKF: u32 = 1 << 10;
const DFLLLCKC: u32 = 1 << 11;
const INT_MASK: u32 = 0x0F0F_1F0F;
const DFLL_STARTUP: Duration = Duration::from_micros(20);
const DPLL_STARTUP: Duration = Duration::from_micros(35);
/// The crystals of the SAM E54 Xplained Pro: none on XIN0, 12 MHz on XIN1.
const CRYSTAL_HZ: [u32; 2] = [0, 12_000_000];
/// DPLL output range (electrical characteristics, "FDPLL200M").
const DPLL_RANGE: std::ops::RangeInclusive<u64> = 96_000_000..=200_000_000;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["EVCTRL", "DFLLVAL", "DFLLMUL"], absent: &[] };

/// An oscillator that becomes ready some time after it was enabled.
#[derive(Clone, Copy, Debug)]
struct Starting {
    at: Instant,
    ready: bool,
}

impl Starting {
    const OFF: Self = Self { at: Instant::NEVER, ready: false };

    fn start(&mut self, at: Instant) {
        *self = Self { at, ready: false };
    }

    /// True when it has just become ready.
    fn advance(&mut self, now: Instant) -> bool {
        let due = self.at <= now;
        if due {
            *self = Self { at: Instant::NEVER, ready: true };
        }
        due
    }
}

#[derive(Clone, Debug)]
struct Dpll {
    ctrla: u32,
    ratio: u32,
    ctrlb: u32,
    state: Starting,
}

impl Dpll {
    fn new() -> Self {
        Self { ctrla: DPLLCTRLA_RESET, ratio: 0, ctrlb: DPLLCTRLB_RESET, state: Starting::OFF }
    }
}

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Oscctrl {
    evctrl: u32,
    inten: u32,
    intflag: u32,
    xoscctrl: [u32; 2],
    xosc: [Starting; 2],
    dfllctrla: u32,
    dfllctrlb: u32,
    dfllval: u32,
    dfllmul: u32,
    dfll: Starting,
    dpll: [Dpll; 2],
}

impl Oscctrl {
    /// As after reset: the DFLL runs, nothing else.
    pub(crate) fn new() -> Self {
        Self {
            evctrl: 0,
            inten: 0,
            intflag: DFLLRDY,
            xoscctrl: [XOSCCTRL_RESET; 2],
            xosc: [Starting::OFF; 2],
            dfllctrla: DFLLCTRLA_RESET,
            dfllctrlb: 0,
            // The factory's calibration of the free-running mode (values assumed).
            dfllval: 0x0000_2C80,
            dfllmul: 0,
            dfll: Starting { at: Instant::NEVER, ready: true },
            dpll: [Dpll::new(), Dpll::new()],
        }
    }

    pub(super) fn xosc_hz(&self, n: usize) -> u32 {
        if self.xosc[n].ready { CRYSTAL_HZ[n] } else { 0 }
    }

    pub(super) fn dfll_hz(&self) -> u32 {
        if self.dfll.ready { 48_000_000 } else { 0 }
    }

    /// Output of DPLL `n`, given its generic clock channel and XOSC32K.
    pub(super) fn dpll_hz(&self, n: usize, gclk: u32, xosc32k: u32) -> u32 {
        let dpll = &self.dpll[n];
        if !dpll.state.ready {
            return 0;
        }
        let divider = 2 * ((dpll.ctrlb >> 16 & 0x7FF) + 1);
        let reference = match dpll.ctrlb >> 5 & 7 {
            0 => gclk,
            1 => xosc32k,
            2 => self.xosc_hz(0) / divider,
            3 => self.xosc_hz(1) / divider,
            _ => 0,
        };
        let thirty_seconds = u64::from((dpll.ratio & 0x1FFF) + 1) * 32 + u64::from(dpll.ratio >> 16 & 31);
        u32::try_from(u64::from(reference) * thirty_seconds / 32).unwrap_or(u32::MAX)
    }

    fn status(&self) -> u32 {
        let mut status = 0;
        for (n, xosc) in self.xosc.iter().enumerate() {
            status |= u32::from(xosc.ready) << n;
        }
        if self.dfll.ready {
            status |= DFLLRDY;
            if self.dfllctrlb & 1 != 0 {
                status |= DFLLLCKF | DFLLLCKC;
            }
        }
        for (n, dpll) in self.dpll.iter().enumerate() {
            status |= u32::from(dpll.state.ready) << (16 + 8 * n);
        }
        status
    }

    /// XOSCCTRL.STARTUP: 2^n cycles of OSCULP32K.
    fn xosc_startup(&self, n: usize) -> Duration {
        let exponent = self.xoscctrl[n] >> 20 & 15;
        Duration::from_nanos((1_u64 << exponent) * 1_000_000_000 / 32_768)
    }

    fn write_dpll(&mut self, n: usize, offset: u32, w: Write, cx: &mut Context<'_>) {
        let dpll = &mut self.dpll[n];
        match offset {
            0x00 => {
                let old = dpll.ctrla;
                dpll.ctrla = w.value & 0xC2;
                if dpll.ctrla & ENABLE == 0 {
                    dpll.state = Starting::OFF;
                } else if old & ENABLE == 0 {
                    dpll.state.start(cx.now + DPLL_STARTUP);
                }
            }
            0x04 => dpll.ratio = w.onto_masked(dpll.ratio, 0x001F_1FFF),
            0x08 => {
                // 28.8: DPLLCTRLB is enable-protected.
                if dpll.ctrla & ENABLE == 0 {
                    dpll.ctrlb = w.onto_masked(dpll.ctrlb, 0x07FF_FFFF);
                } else {
                    cx.violation(format!("OSCCTRL.DPLLCTRLB{n} written while the DPLL is enabled"));
                }
            }
            0x0C | 0x10 => {}
            _ => {
                cx.unmodelled(0x30 + 0x14 * n as u32 + offset, true);
            }
        }
    }

    fn read_dpll(&self, n: usize, offset: u32, cx: &mut Context<'_>) -> u32 {
        let dpll = &self.dpll[n];
        match offset {
            0x00 => dpll.ctrla,
            0x04 => dpll.ratio,
            0x08 => dpll.ctrlb,
            0x0C => 0,
            0x10 => u32::from(dpll.state.ready) * 3,
            _ => cx.unmodelled(0x30 + 0x14 * n as u32 + offset, false),
        }
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
            0x10 => self.status(),
            0x14 | 0x18 => self.xoscctrl[(offset as usize - 0x14) / 4],
            0x1C => self.dfllctrla,
            0x20 => self.dfllctrlb,
            0x24 => self.dfllval,
            0x28 => self.dfllmul,
            0x2C => 0,
            0x30..0x44 => self.read_dpll(0, offset - 0x30, cx),
            0x44..0x58 => self.read_dpll(1, offset - 0x44, cx),
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
            0x10 | 0x2C => {}
            0x14 | 0x18 => {
                let n = (offset as usize - 0x14) / 4;
                let old = self.xoscctrl[n];
                self.xoscctrl[n] = w.onto_masked(old, 0x0FF3_FFC6);
                if self.xoscctrl[n] & ENABLE == 0 {
                    self.xosc[n] = Starting::OFF;
                } else if old & ENABLE == 0 && CRYSTAL_HZ[n] != 0 {
                    let startup = self.xosc_startup(n);
                    self.xosc[n].start(cx.now + startup);
                }
            }
            0x1C => {
                let old = self.dfllctrla;
                self.dfllctrla = w.value & 0xC2;
                if self.dfllctrla & ENABLE == 0 {
                    self.dfll = Starting::OFF;
                } else if old & ENABLE == 0 {
                    self.dfll.start(cx.now + DFLL_STARTUP);
                }
            }
            0x20 => self.dfllctrlb = w.value & 0xFF,
            0x24 => self.dfllval = w.onto_masked(self.dfllval, 0xFCFF),
            0x28 => self.dfllmul = w.onto_masked(self.dfllmul, 0xFCFF_FFFF),
            0x30..0x44 => self.write_dpll(0, offset - 0x30, w, cx),
            0x44..0x58 => self.write_dpll(1, offset - 0x44, w, cx),
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, cx: &mut Context<'_>) {
        *self = Self::new();
        cx.signals.clocks_dirty = true;
    }

    fn next_event(&self) -> Instant {
        let xosc = self.xosc.iter().map(|xosc| xosc.at);
        let dpll = self.dpll.iter().map(|dpll| dpll.state.at);
        xosc.chain(dpll).chain([self.dfll.at]).min().unwrap_or(Instant::NEVER)
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.next_event() > cx.now {
            return;
        }
        cx.signals.clocks_dirty = true;
        for (n, xosc) in self.xosc.iter_mut().enumerate() {
            if xosc.advance(cx.now) {
                self.intflag |= 1 << n;
            }
        }
        if self.dfll.advance(cx.now) {
            self.intflag |= DFLLRDY;
        }
        for n in 0..self.dpll.len() {
            if self.dpll[n].state.advance(cx.now) {
                self.intflag |= 1 << (16 + 8 * n);
            }
        }
    }

    fn irqs(&self) -> u64 {
        let pending = self.inten & self.intflag;
        let lines = [0x5, 0xA, 0x1F00, 0x000F_0000, 0x0F00_0000];
        lines.iter().enumerate().map(|(n, mask)| u64::from(pending & mask != 0) << n).sum()
    }

    fn clocks_changed(&mut self, cx: &mut Context<'_>) {
        for (n, hz) in cx.clocks.dpll.into_iter().enumerate() {
            if hz != 0 && !DPLL_RANGE.contains(&u64::from(hz)) {
                cx.violation(format!("DPLL{n} runs at {hz} Hz, outside 96 to 200 MHz"));
            }
        }
    }
}
