//! A crystal oscillator with its clock failure detector (28.6.2, 28.6.3).

use std::time::Duration;

use sim_base::Instant;

use super::{DFLL_HZ, Starting, is_wanted};
use crate::peripheral::Write;

const RESET: u32 = 0x80;
const WRITABLE: u32 = 0x0FF3_FFC6;
const XTALEN: u32 = 1 << 2;
const CFDEN: u32 = 1 << 16;
const SWBEN: u32 = 1 << 17;
/// The crystals of the SAM E54 Xplained Pro: none on XIN0, 12 MHz on XIN1.
const CRYSTAL_HZ: [u32; 2] = [0, 12_000_000];

/// Oscillator, detector and the crystal.
#[derive(Clone, Debug)]
pub(super) struct Xosc {
    pub(super) control: u32,
    crystal_hz: u32,
    alive: bool,
    state: Starting,
    /// When the detector looks at a crystal that stands still.
    detect_at: Instant,
    failed: bool,
    /// The safe clock stands in.
    switched: bool,
}

impl Xosc {
    pub(super) fn new(n: usize) -> Self {
        Self {
            control: RESET,
            crystal_hz: CRYSTAL_HZ[n],
            alive: true,
            state: Starting::Off,
            detect_at: Instant::NEVER,
            failed: false,
            switched: false,
        }
    }

    fn safe_hz(&self) -> u32 {
        DFLL_HZ >> (self.control >> 24 & 15)
    }

    pub(super) fn hz(&self) -> u32 {
        match (self.switched, self.state.is_ready() && self.swings()) {
            (true, _) => self.safe_hz(),
            (false, true) => self.crystal_hz,
            (false, false) => 0,
        }
    }

    fn swings(&self) -> bool {
        self.alive && self.crystal_hz != 0 && self.control & XTALEN != 0
    }

    pub(super) fn is_alive(&self) -> bool {
        self.alive
    }

    pub(super) fn set_alive(&mut self, alive: bool, now: Instant) {
        self.alive = alive;
        if alive {
            self.failed = false;
            self.detect_at = Instant::NEVER;
            self.switch_back();
        } else {
            self.arm(now);
        }
    }

    /// The detector watches a clock that has been ready.
    fn arm(&mut self, now: Instant) {
        if self.control & CFDEN != 0 && self.state.is_ready() && !self.swings() && !self.failed {
            let time = 4 * 1_000_000_000_u64 / u64::from(self.safe_hz().max(1));
            self.detect_at = now + Duration::from_nanos(time);
        }
    }

    /// SWBEN: back to the crystal, once; hardware clears the bit (28.8.6).
    fn switch_back(&mut self) {
        if self.control & SWBEN != 0 && self.switched && !self.failed {
            self.switched = false;
            self.control &= !SWBEN;
        }
    }

    pub(super) fn write(&mut self, w: Write, now: Instant) {
        self.control = w.onto_masked(self.control, WRITABLE);
        if self.control & CFDEN == 0 {
            self.detect_at = Instant::NEVER;
            self.failed = false;
            self.switched = false;
        }
        self.switch_back();
        self.arm(now);
    }

    pub(super) fn run(&mut self, requested: bool, now: Instant) {
        let wanted = is_wanted(self.control, requested) && self.crystal_hz != 0 && self.control & XTALEN != 0;
        // XOSCCTRL.STARTUP: 2^n cycles of OSCULP32K. A crystal that stands still never gets ready.
        let startup = (1_u64 << (self.control >> 20 & 15)) * 1_000_000_000 / 32_768;
        let ready = if self.alive { now + Duration::from_nanos(startup) } else { Instant::NEVER };
        self.state.set_running(wanted, ready);
        if !wanted {
            self.detect_at = Instant::NEVER;
            self.switched = false;
            self.failed = false;
        }
    }

    /// XOSCRDY, XOSCFAIL and XOSCCKSW of XOSC0; one higher each for XOSC1.
    pub(super) fn status(&self) -> u32 {
        u32::from(self.state.is_ready()) | u32::from(self.failed) << 2 | u32::from(self.switched) << 4
    }

    pub(super) fn next_event(&self) -> Instant {
        self.state.at().min(self.detect_at)
    }

    /// Whether it has just got ready, and whether its failure has just been detected.
    pub(super) fn advance(&mut self, now: Instant) -> (bool, bool) {
        let ready = self.state.advance(now);
        let failed = self.detect_at <= now;
        if failed {
            self.detect_at = Instant::NEVER;
            self.failed = true;
            self.switched = true;
        }
        (ready, failed)
    }
}
