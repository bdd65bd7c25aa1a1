//! A fractional digital PLL (28.6.5).

use std::time::Duration;

use sim_base::Instant;

use super::{ENABLE, Starting, is_wanted};
use crate::peripheral::{Context, Write};

/// INTFLAG bits of DPLL0, shifted down; STATUS has the same.
const LCKR: u32 = 1 << 0;
const LCKF: u32 = 1 << 1;
const LDRTO: u32 = 1 << 3;
/// DPLLSTATUS.
const LOCK: u32 = 1 << 0;
const CLKRDY: u32 = 1 << 1;

const CTRLA_RESET: u32 = 0x80;
const CTRLB_RESET: u32 = 0x20;
const WUF: u32 = 1 << 4;
const LOCK_TIME: Duration = Duration::from_micros(35);
/// Until the output of a PLL that is not locked is there.
const WAKE_UP_TIME: Duration = Duration::from_micros(10);

#[derive(Clone, Debug)]
pub(super) struct Dpll {
    ctrla: u32,
    ratio: u32,
    ctrlb: u32,
    /// The output clock, and the lock.
    clock: Starting,
    lock: Starting,
    /// Output frequency as last worked out.
    hz: u32,
}

impl Dpll {
    pub(super) fn new() -> Self {
        Self { ctrla: CTRLA_RESET, ratio: 0, ctrlb: CTRLB_RESET, clock: Starting::Off, lock: Starting::Off, hz: 0 }
    }

    pub(super) fn hz(&self, gclk: u32, xosc32k: u32, xosc: [u32; 2]) -> u32 {
        if !self.clock.is_ready() {
            return 0;
        }
        let divider = 2 * ((self.ctrlb >> 16 & 0x7FF) + 1);
        let reference = match self.ctrlb >> 5 & 7 {
            0 => gclk,
            1 => xosc32k,
            2 => xosc[0] / divider,
            3 => xosc[1] / divider,
            _ => 0,
        };
        let thirty_seconds = u64::from((self.ratio & 0x1FFF) + 1) * 32 + u64::from(self.ratio >> 16 & 31);
        u32::try_from(u64::from(reference) * thirty_seconds / 32).unwrap_or(u32::MAX)
    }

    /// The oscillator that it asks for while it runs: XOSC0, XOSC1 or XOSC32K.
    pub(super) fn asks(&self) -> Option<usize> {
        match (self.clock, self.ctrlb >> 5 & 7) {
            (Starting::Off, _) => None,
            (_, 1) => Some(2),
            (_, reference @ (2 | 3)) => Some(reference as usize - 2),
            _ => None,
        }
    }

    pub(super) fn run(&mut self, requested: bool, now: Instant) {
        let wanted = is_wanted(self.ctrla, requested);
        // DPLLCTRLB.LTIME: 0x4 is 800 us, each step 100 us more (28.8.15).
        let lock_time = match self.ctrlb >> 8 & 7 {
            time @ 4.. => Duration::from_micros(400 + 100 * u64::from(time)),
            _ => LOCK_TIME,
        };
        let clock_time = if self.ctrlb & WUF != 0 { WAKE_UP_TIME } else { lock_time };
        self.clock.set_running(wanted, now + clock_time);
        self.lock.set_running(wanted, now + lock_time);
    }

    /// The output frequency may have changed: flags that rise.
    pub(super) fn output_changed(&mut self, hz: u32) -> u32 {
        let before = std::mem::replace(&mut self.hz, hz);
        match (before, hz) {
            (0, 0) => 0,
            (0, _) => LCKR,
            (_, 0) => LCKF,
            _ => 0,
        }
    }

    /// LCKR of STATUS, where it is LOCK.
    pub(super) fn status(&self, hz: u32) -> u32 {
        u32::from(self.lock.is_ready() && hz != 0) * LCKR
    }

    pub(super) fn next_event(&self) -> Instant {
        self.clock.at().min(self.lock.at())
    }

    pub(super) fn advance(&mut self, now: Instant) {
        self.clock.advance(now);
        self.lock.advance(now);
    }

    pub(super) fn read(&self, offset: u32, hz: u32) -> Option<u32> {
        Some(match offset {
            0x00 => self.ctrla,
            0x04 => self.ratio,
            0x08 => self.ctrlb,
            // ENABLE: until the output clock has seen the bit (28.6.5.1).
            0x0C => u32::from(self.clock.at() != Instant::NEVER) * ENABLE,
            0x10 => {
                let lock = self.lock.is_ready() && hz != 0;
                (if lock { LOCK } else { 0 }) | if hz != 0 { CLKRDY } else { 0 }
            }
            _ => return None,
        })
    }

    /// Flags that rise.
    pub(super) fn write(&mut self, offset: u32, w: Write, at: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 => self.ctrla = w.value & 0xC2,
            0x04 => {
                self.ratio = w.onto_masked(self.ratio, 0x001F_1FFF);
                if self.ctrla & ENABLE != 0 {
                    return LDRTO;
                }
            }
            0x08 => {
                // 28.8: DPLLCTRLB is enable-protected.
                if self.ctrla & ENABLE == 0 {
                    self.ctrlb = w.onto_masked(self.ctrlb, 0x07FF_FFFF);
                } else {
                    cx.violation(format!("OSCCTRL.DPLLCTRLB (+{at:#04x}) written while the DPLL is enabled"));
                }
            }
            0x0C | 0x10 => {}
            _ => {
                cx.unmodelled(at, true);
            }
        }
        0
    }
}
