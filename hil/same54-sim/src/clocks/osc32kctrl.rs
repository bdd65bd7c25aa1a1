//! OSC32KCTRL: 32 kHz oscillators (SAM D5x/E5x datasheet, 29).
//!
//! Fidelity: XOSC32K ready after its start-up time, on demand, its 32 and 1 kHz outputs, clock failure detection with
//! OSCULP32K as the safe clock, RTC clock selection and OSCULP32K (always on, its outputs and write lock) are modelled.
//! The board carries a 32.768 kHz crystal on PA00/PA01; without XTALEN nothing swings. Both oscillators run at exactly
//! 32 768 Hz (assumed; OSCULP32K is specified to a few per cent).

use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

/// The ultra low power oscillator, always running.
pub(super) const OSCULP32K_HZ: u32 = 32_768;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger::MODELLED;

const ENABLE: u32 = 1 << 1;
const XTALEN: u32 = 1 << 2;
const EN32K: u32 = 1 << 3;
const EN1K: u32 = 1 << 4;
const ONDEMAND: u32 = 1 << 7;
const XOSC32KRDY: u32 = 1;
const XOSC32KFAIL: u32 = 1 << 2;
const XOSC32KSW: u32 = 1 << 3;
const CFDEN: u32 = 1 << 0;
const SWBACK: u32 = 1 << 1;
const XOSC32K_RESET: u32 = 0x2080;
/// OSCULP32K: EN32K and EN1K, and the lock of the register.
const ULP_EN32K: u32 = 1 << 1;
const ULP_EN1K: u32 = 1 << 2;
const ULP_WRTLOCK: u32 = 1 << 15;
/// Event generator XOSC32K_FAIL (31.7.8).
const GENERATOR: u8 = 3;

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Osc32kctrl {
    inten: u32,
    intflag: u32,
    rtcctrl: u32,
    xosc32k: u32,
    cfdctrl: u32,
    evctrl: u32,
    osculp32k: u32,
    /// When XOSC32K is stable.
    ready_at: Instant,
    ready: bool,
    running: bool,
    /// A generator or PLL asks for it.
    requested: bool,
    /// The crystal swings.
    alive: bool,
    detect_at: Instant,
    failed: bool,
    switched: bool,
}

impl Osc32kctrl {
    /// As after power-on.
    pub(crate) fn new() -> Self {
        Self {
            inten: 0,
            intflag: 0,
            rtcctrl: 0,
            xosc32k: XOSC32K_RESET,
            cfdctrl: 0,
            evctrl: 0,
            osculp32k: ULP_EN32K | ULP_EN1K,
            ready_at: Instant::NEVER,
            ready: false,
            running: false,
            requested: false,
            alive: true,
            detect_at: Instant::NEVER,
            failed: false,
            switched: false,
        }
    }

    /// XOSC32K or what stands in for it.
    fn oscillator_hz(&self) -> u32 {
        match (self.switched, self.ready && self.alive) {
            // CFDPRESC: half the frequency (29.8.7).
            (true, _) => OSCULP32K_HZ >> (self.cfdctrl >> 2 & 1),
            (false, true) => 32_768,
            (false, false) => 0,
        }
    }

    /// The 32 kHz output.
    pub(super) fn xosc32k_hz(&self) -> u32 {
        if self.xosc32k & EN32K != 0 { self.oscillator_hz() } else { 0 }
    }

    pub(super) fn rtc_hz(&self) -> u32 {
        let output = |enabled: u32, hz: u32| if enabled != 0 { hz } else { 0 };
        match self.rtcctrl & 7 {
            0 => output(self.osculp32k & ULP_EN1K, 1_024),
            1 => output(self.osculp32k & ULP_EN32K, OSCULP32K_HZ),
            4 => output(self.xosc32k & EN1K, self.oscillator_hz() / 32),
            5 => self.xosc32k_hz(),
            _ => 0,
        }
    }

    /// Whether a generator or PLL asks for XOSC32K. True if that changes what runs.
    pub(super) fn set_requested(&mut self, requested: bool, now: Instant) -> bool {
        let changed = requested != self.requested;
        self.requested = requested;
        if changed {
            self.run(now);
        }
        changed
    }

    /// The crystal swings, or no longer does.
    pub(crate) fn set_crystal(&mut self, alive: bool, cx: &mut Context<'_>) {
        self.alive = alive;
        if alive {
            self.failed = false;
            self.detect_at = Instant::NEVER;
            self.switch_back();
        } else {
            self.arm(cx.now);
        }
        cx.signals.clocks_dirty = true;
    }

    fn switch_back(&mut self) {
        if self.cfdctrl & SWBACK != 0 && self.switched && !self.failed {
            self.switched = false;
            self.cfdctrl &= !SWBACK;
        }
    }

    /// 29.6.3: the detector looks for an edge in four periods of the safe clock.
    fn arm(&mut self, now: Instant) {
        if self.cfdctrl & CFDEN != 0 && self.ready && !self.alive && !self.failed {
            self.detect_at = now + Duration::from_nanos(4 * 1_000_000_000 / u64::from(OSCULP32K_HZ));
        }
    }

    /// Starts or stops the oscillator.
    fn run(&mut self, now: Instant) {
        let asked = self.requested || matches!(self.rtcctrl & 7, 4 | 5);
        let running = self.xosc32k & (ENABLE | XTALEN) == ENABLE | XTALEN && (self.xosc32k & ONDEMAND == 0 || asked);
        if running && !self.running {
            self.ready_at = if self.alive { now + self.startup() } else { Instant::NEVER };
        } else if !running {
            self.ready = false;
            self.ready_at = Instant::NEVER;
            self.detect_at = Instant::NEVER;
            (self.failed, self.switched) = (false, false);
        }
        self.running = running;
    }

    /// XOSC32K.STARTUP (29.8.6) as a time.
    fn startup(&self) -> Duration {
        let cycles = match self.xosc32k >> 8 & 7 {
            0 => 2_048,
            1 => 4_096,
            2 => 16_384,
            3 => 32_768,
            4 => 65_536,
            5 => 131_072,
            _ => 262_144,
        };
        Duration::from_nanos(cycles * 1_000_000_000 / 32_768)
    }

    fn status(&self) -> u32 {
        (if self.ready { XOSC32KRDY } else { 0 })
            | if self.failed { XOSC32KFAIL } else { 0 }
            | if self.switched { XOSC32KSW } else { 0 }
    }
}

impl Peripheral for Osc32kctrl {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x10..0x14 | 0x16..0x18 => Size::Byte,
            0x14..0x16 => Size::Half,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 | 0x04 => self.inten,
            0x08 => self.intflag,
            0x0C => {
                cx.steady_until(self.next_event());
                self.status()
            }
            0x10 => self.rtcctrl,
            0x14 => self.xosc32k,
            0x16 => self.cfdctrl,
            0x17 => self.evctrl,
            0x1C => self.osculp32k,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x00 => self.inten &= !w.value,
            0x04 => self.inten |= w.value & (XOSC32KRDY | XOSC32KFAIL),
            0x08 => self.intflag &= !w.value,
            0x0C => {}
            0x10 => self.rtcctrl = w.value & 7,
            0x14 => self.xosc32k = w.onto_masked(self.xosc32k, 0x77DE),
            0x16 => {
                self.cfdctrl = w.value & 7;
                if self.cfdctrl & CFDEN == 0 {
                    self.detect_at = Instant::NEVER;
                    (self.failed, self.switched) = (false, false);
                }
                self.switch_back();
                self.arm(cx.now);
            }
            0x17 => self.evctrl = w.value & 1,
            0x1C => {
                if self.osculp32k & ULP_WRTLOCK == 0 {
                    self.osculp32k = w.onto_masked(self.osculp32k, ULP_EN32K | ULP_EN1K | ULP_WRTLOCK);
                }
            }
            _ => {
                cx.unmodelled(offset, true);
            }
        }
        self.run(cx.now);
        cx.signals.clocks_dirty = true;
    }

    fn reset(&mut self, cause: ResetCause, cx: &mut Context<'_>) {
        // 29.6: the oscillators' control registers live in the backup domain, which only the supply resets; the
        // interrupt registers follow every reset.
        if cause.is_supply() {
            *self = Self { alive: self.alive, ..Self::new() };
        } else {
            self.inten = 0;
            self.intflag = 0;
        }
        cx.signals.clocks_dirty = true;
    }

    fn next_event(&self) -> Instant {
        self.ready_at.min(self.detect_at)
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.ready_at <= cx.now {
            self.ready_at = Instant::NEVER;
            self.ready = true;
            self.intflag |= XOSC32KRDY;
            cx.signals.clocks_dirty = true;
        }
        if self.detect_at <= cx.now {
            self.detect_at = Instant::NEVER;
            self.failed = true;
            self.switched = true;
            self.intflag |= XOSC32KFAIL;
            if self.evctrl & 1 != 0 {
                cx.event_out(GENERATOR);
            }
            cx.signals.clocks_dirty = true;
        }
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag != 0)
    }
}
