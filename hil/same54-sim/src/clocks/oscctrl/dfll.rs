//! DFLL48M in open and closed loop (28.6.4).

use std::time::Duration;

use sim_base::Instant;

use super::{DFLL_HZ, Starting, is_wanted};
use crate::peripheral::{Context, Write};

/// INTFLAG and STATUS bits.
pub(super) const RDY: u32 = 1 << 8;
const OOB: u32 = 1 << 9;
const LCKF: u32 = 1 << 10;
const LCKC: u32 = 1 << 11;
const RCS: u32 = 1 << 12;

const CTRLA_RESET: u32 = 0x82;
/// DFLLCTRLB.MODE: closed loop.
const CLOSED: u32 = 1 << 0;
/// The factory's calibration of the free-running mode (values assumed).
const VALUE_RESET: u32 = 0x0000_2C80;
const STARTUP: Duration = Duration::from_micros(20);
/// 28.6.4.1: a stopped reference is noticed after some 2^17 periods of the output.
const RCS_TIME: Duration = Duration::from_nanos((1 << 17) * 1_000_000_000 / DFLL_HZ as u64);
const BOUNDS: std::ops::RangeInclusive<u64> = 40_000_000..=56_000_000;

#[derive(Clone, Debug)]
pub(super) struct Dfll {
    ctrla: u32,
    ctrlb: u32,
    value: u32,
    multiplier: u32,
    state: Starting,
    /// Of the loop: what STATUS shows, and what it will from when on.
    status: u32,
    pending: [(Instant, u32); 2],
    reference: u32,
}

const NOTHING: (Instant, u32) = (Instant::NEVER, 0);

impl Dfll {
    pub(super) fn new() -> Self {
        Self {
            ctrla: CTRLA_RESET,
            ctrlb: 0,
            value: VALUE_RESET,
            multiplier: 0,
            state: Starting::Ready,
            status: 0,
            pending: [NOTHING; 2],
            reference: 0,
        }
    }

    fn target(&self, reference: u32) -> u64 {
        u64::from(reference) * u64::from(self.multiplier & 0xFFFF)
    }

    pub(super) fn hz(&self, reference: u32) -> u32 {
        let target = self.target(reference);
        match self.state.is_ready() {
            false => 0,
            true if self.ctrlb & CLOSED != 0 && self.status & LCKC != 0 && BOUNDS.contains(&target) => target as u32,
            true => DFLL_HZ,
        }
    }

    pub(super) fn run(&mut self, requested: bool, now: Instant) {
        self.state.set_running(is_wanted(self.ctrla, requested), now + STARTUP);
        if self.state == Starting::Off {
            self.status = 0;
            self.pending = [NOTHING; 2];
        }
    }

    /// Begins to look for the lock.
    fn begin(&mut self, now: Instant) {
        self.status = 0;
        self.pending = [NOTHING; 2];
        if self.ctrlb & CLOSED == 0 || self.state == Starting::Off {
            return;
        }
        let Some(period) = 1_000_000_000_u64.checked_div(self.reference.into()) else {
            self.pending[0] = (now + RCS_TIME, RCS);
            return;
        };
        let after = |periods: u64| now + Duration::from_nanos(periods * period);
        self.pending = match BOUNDS.contains(&self.target(self.reference)) {
            true => [(after(16), LCKC), (after(64), LCKF)],
            false => [(after(64), OOB), NOTHING],
        };
    }

    /// The reference has another frequency now. Flags that rise.
    pub(super) fn reference_changed(&mut self, reference: u32, now: Instant) -> u32 {
        if reference != self.reference {
            self.reference = reference;
            self.begin(now);
        }
        0
    }

    pub(super) fn status(&self) -> u32 {
        self.status | if self.state.is_ready() { RDY } else { 0 }
    }

    pub(super) fn next_event(&self) -> Instant {
        self.pending.iter().fold(self.state.at(), |next, (at, _)| next.min(*at))
    }

    /// Flags that rise.
    pub(super) fn advance(&mut self, now: Instant) -> u32 {
        let mut flags = if self.state.advance(now) { RDY } else { 0 };
        for pending in &mut self.pending {
            if pending.0 <= now {
                self.status |= pending.1;
                flags |= pending.1;
                *pending = NOTHING;
            }
        }
        flags
    }

    pub(super) fn read(&self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x1C => self.ctrla,
            0x20 => self.ctrlb,
            0x24 => self.value,
            0x28 => self.multiplier,
            // DFLLSYNC: a few periods of 48 MHz, which no program sees.
            0x2C => 0,
            _ => cx.unmodelled(offset, false),
        }
    }

    pub(super) fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x1C => self.ctrla = w.value & 0xC2,
            0x20 => {
                let old = self.ctrlb;
                self.ctrlb = w.value & 0xFF;
                if (old ^ self.ctrlb) & CLOSED != 0 {
                    self.begin(cx.now);
                }
            }
            0x24 => self.value = w.onto_masked(self.value, 0xFCFF),
            0x28 => {
                let old = self.multiplier;
                self.multiplier = w.onto_masked(old, 0xFCFF_FFFF);
                if (old ^ self.multiplier) & 0xFFFF != 0 {
                    self.begin(cx.now);
                }
            }
            0x2C => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }
}
