//! OSC32KCTRL: 32 kHz oscillators (SAM D5x/E5x datasheet, 29).
//!
//! Fidelity: XOSC32K ready after its start-up time, RTC clock selection, OSCULP32K (always on). The board carries a
//! 32.768 kHz crystal on PA00/PA01. Clock failure detection and calibration are stored only. Both oscillators run at
//! exactly 32 768 Hz (assumed; OSCULP32K is specified to a few per cent).

use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

/// The ultra low power oscillator, always running.
pub(super) const OSCULP32K_HZ: u32 = 32_768;

const ENABLE: u32 = 1 << 1;
const XOSC32KRDY: u32 = 1;
const XOSC32K_RESET: u32 = 0x2080;
/// EN32K and EN1K of OSCULP32K after reset (read back as set by the factory).
const OSCULP32K_RESET: u32 = 0x0006;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["CFDCTRL", "EVCTRL", "OSCULP32K"], absent: &[] };

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
            osculp32k: OSCULP32K_RESET,
            ready_at: Instant::NEVER,
            ready: false,
        }
    }

    pub(super) fn xosc32k_hz(&self) -> u32 {
        if self.ready { 32_768 } else { 0 }
    }

    pub(super) fn rtc_hz(&self) -> u32 {
        match self.rtcctrl & 7 {
            0 => 1_024,
            1 => 32_768,
            4 => self.xosc32k_hz() / 32,
            5 => self.xosc32k_hz(),
            _ => 0,
        }
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
            0x0C => u32::from(self.ready) * XOSC32KRDY,
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
            0x04 => self.inten |= w.value & 5,
            0x08 => self.intflag &= !w.value,
            0x0C => {}
            0x10 => self.rtcctrl = w.value & 7,
            0x14 => {
                let old = self.xosc32k;
                self.xosc32k = w.onto_masked(old, 0x77DE);
                if self.xosc32k & ENABLE == 0 {
                    self.ready = false;
                    self.ready_at = Instant::NEVER;
                } else if old & ENABLE == 0 {
                    self.ready_at = cx.now + self.startup();
                }
            }
            0x16 => self.cfdctrl = w.value & 7,
            0x17 => self.evctrl = w.value & 1,
            0x1C => self.osculp32k = w.onto_masked(self.osculp32k, 0x8006),
            _ => {
                cx.unmodelled(offset, true);
            }
        }
        cx.signals.clocks_dirty = true;
    }

    fn reset(&mut self, cause: ResetCause, cx: &mut Context<'_>) {
        // 29.6: the oscillators' control registers live in the backup domain, which only the supply resets; the
        // interrupt registers follow every reset.
        if cause.is_supply() {
            *self = Self::new();
        } else {
            self.inten = 0;
            self.intflag = 0;
        }
        cx.signals.clocks_dirty = true;
    }

    fn next_event(&self) -> Instant {
        self.ready_at
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.ready_at <= cx.now {
            self.ready_at = Instant::NEVER;
            self.ready = true;
            self.intflag |= XOSC32KRDY;
            cx.signals.clocks_dirty = true;
        }
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag != 0)
    }
}
