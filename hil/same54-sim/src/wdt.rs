//! WDT: watchdog timer (SAM D5x/E5x datasheet, 20).
//!
//! Fidelity: normal and window mode, early warning, CLEAR key, ALWAYSON and start-up settings from the user page are
//! modelled, clocked by OSCULP32K at 1 024 Hz. Synchronisation takes three of its cycles (assumed); a CLEAR takes
//! effect at once. It stands still while a debugger halts the core.

use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::memory::Memory;
use crate::peripheral::{Context, Peripheral, Write};

const ENABLE: u32 = 1 << 1;
const WEN: u32 = 1 << 2;
const ALWAYSON: u32 = 1 << 7;
const KEY: u32 = 0xA5;
const HZ: u64 = 1_024;
/// SYNCBUSY bits of CTRLA and CLEAR.
const SYNC_CTRLA: u32 = ENABLE | WEN | 1 << 3;
const SYNC_CLEAR: u32 = 1 << 4;

/// Cycles of a PER, WINDOW or EWOFFSET field.
fn cycles(field: u32) -> u64 {
    8 << field.min(11)
}

fn time(cycles: u64) -> Duration {
    Duration::from_nanos(cycles * 1_000_000_000 / HZ)
}

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Wdt {
    ctrla: u32,
    config: u32,
    ewctrl: u32,
    inten: u32,
    intflag: u32,
    /// When the current time-out period began; meaningless while stopped.
    started: Instant,
    ctrla_busy_until: Instant,
    clear_busy_until: Instant,
    /// Set while a debugger halts the core.
    frozen_at: Option<Instant>,
}

impl Wdt {
    /// Before the first reset.
    pub(crate) fn new() -> Self {
        Self {
            ctrla: 0,
            config: 0xBB,
            ewctrl: 0x0B,
            inten: 0,
            intflag: 0,
            started: Instant::ZERO,
            ctrla_busy_until: Instant::ZERO,
            clear_busy_until: Instant::ZERO,
            frozen_at: None,
        }
    }

    fn running(&self) -> bool {
        self.ctrla & (ENABLE | ALWAYSON) != 0 && self.frozen_at.is_none()
    }

    fn windowed(&self) -> bool {
        self.ctrla & WEN != 0
    }

    /// Length of the closed window.
    fn closed(&self) -> u64 {
        if self.windowed() { cycles(self.config >> 4) } else { 0 }
    }

    fn timeout_at(&self) -> Instant {
        self.started + time(self.closed() + cycles(self.config & 15))
    }

    fn warning_at(&self) -> Instant {
        // 20.6.2.5: in window mode the warning comes when the open window starts.
        let offset = if self.windowed() { self.closed() } else { cycles(self.ewctrl) };
        self.started + time(offset)
    }

    /// CTRLA, CONFIG and EWCTRL as the user page has them (datasheet 9.4).
    fn fuses(memory: &Memory) -> (u32, u32, u32) {
        let word = memory.user_word(1);
        let enable = (word >> 16 & 1) << 1 | (word >> 30 & 1) << 2 | (word >> 17 & 1) << 7;
        (enable, (word >> 18 & 15) | (word >> 22 & 15) << 4, word >> 26 & 15)
    }

    fn syncbusy(&self, now: Instant) -> u32 {
        let ctrla = if self.ctrla_busy_until > now { SYNC_CTRLA } else { 0 };
        let clear = if self.clear_busy_until > now { SYNC_CLEAR } else { 0 };
        ctrla | clear
    }

    fn clear(&mut self, value: u32, cx: &mut Context<'_>) {
        if !self.running() {
            return;
        }
        let in_closed_window = self.windowed() && cx.now < self.started + time(self.closed());
        if value != KEY || in_closed_window {
            cx.signals.request_reset(ResetCause::Watchdog);
        } else {
            self.started = cx.now;
            self.clear_busy_until = cx.now + time(3);
        }
    }
}

impl Peripheral for Wdt {
    fn width(&self, offset: u32) -> Size {
        if (8..12).contains(&offset) { Size::Word } else { Size::Byte }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 => self.ctrla,
            0x01 => self.config,
            0x02 => self.ewctrl,
            0x04 | 0x05 => self.inten,
            0x06 => self.intflag,
            0x08 => self.syncbusy(cx.now),
            0x03 | 0x0C => 0,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x00 => {
                if self.ctrla & ALWAYSON != 0 {
                    return;
                }
                let was = self.ctrla;
                self.ctrla = w.value & (ENABLE | WEN | ALWAYSON);
                if (was ^ self.ctrla) & WEN != 0 && was & ENABLE != 0 {
                    self.ctrla = self.ctrla & !WEN | was & WEN;
                    cx.violation("WDT.CTRLA.WEN changed while enabled");
                }
                if was & (ENABLE | ALWAYSON) == 0 && self.ctrla & (ENABLE | ALWAYSON) != 0 {
                    self.started = cx.now + time(3);
                }
                self.ctrla_busy_until = cx.now + time(3);
            }
            0x01 | 0x02 => {
                if self.ctrla & (ENABLE | ALWAYSON) != 0 {
                    cx.violation("WDT.CONFIG or EWCTRL written while enabled");
                } else if offset == 1 {
                    self.config = w.value & 0xFF;
                } else {
                    self.ewctrl = w.value & 15;
                }
            }
            0x04 => self.inten &= !w.value,
            0x05 => self.inten |= w.value & 1,
            0x06 => self.intflag &= !w.value,
            0x0C => self.clear(w.value, cx),
            0x03 | 0x08 => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, cx: &mut Context<'_>) {
        let (ctrla, config, ewctrl) = Self::fuses(cx.memory);
        *self = Self { ctrla, config, ewctrl, started: cx.now, frozen_at: None, ..Self::new() };
    }

    fn next_event(&self) -> Instant {
        if !self.running() {
            return Instant::NEVER;
        }
        if self.inten & !self.intflag & 1 != 0 { self.timeout_at().min(self.warning_at()) } else { self.timeout_at() }
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if !self.running() {
            return;
        }
        if cx.now >= self.warning_at() {
            self.intflag |= 1;
        }
        if cx.now >= self.timeout_at() {
            cx.signals.request_reset(ResetCause::Watchdog);
        }
    }

    fn core_halted(&mut self, halted: bool, cx: &mut Context<'_>) {
        match (self.frozen_at, halted) {
            (None, true) => self.frozen_at = Some(cx.now),
            (Some(since), false) => {
                self.frozen_at = None;
                self.started = self.started + cx.now.since(since);
            }
            _ => {}
        }
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    const MS: u64 = 1_000_000;

    fn started(ctrla: u32, config: u32) -> (Wdt, Rig) {
        let (mut wdt, mut rig) = (Wdt::new(), Rig::new());
        wdt.write(1, Write::full(config), &mut rig.cx(0));
        wdt.write(0, Write::full(ctrla), &mut rig.cx(0));
        wdt.started = Instant::ZERO;
        (wdt, rig)
    }

    #[test]
    fn the_delivered_fuses_leave_the_watchdog_off_with_the_longest_period() {
        let (mut wdt, mut rig) = (Wdt::new(), Rig::new());
        wdt.reset(ResetCause::PowerOn, &mut rig.cx(0));
        assert_eq!([0, 1, 2].map(|offset| wdt.read(offset, &mut rig.cx(0))), [0, 0xBB, 0x0B]);
        assert_eq!(wdt.next_event(), Instant::NEVER);
    }

    #[test]
    fn it_resets_the_chip_when_the_period_passes_without_a_clear() {
        // PER = 7: 1024 cycles, one second.
        let (mut wdt, mut rig) = started(ENABLE, 7);
        assert_eq!(wdt.next_event(), Instant::from_nanos(1_000 * MS));
        wdt.write(0x0C, Write::full(KEY), &mut rig.cx(900 * MS));
        wdt.advance(&mut rig.cx(1_500 * MS));
        assert_eq!(rig.signals.reset, None);
        wdt.advance(&mut rig.cx(1_900 * MS));
        assert_eq!(rig.signals.reset, Some(ResetCause::Watchdog));
    }

    #[test]
    fn a_wrong_key_resets_the_chip_at_once() {
        let (mut wdt, mut rig) = started(ENABLE, 7);
        wdt.write(0x0C, Write::full(0x5A), &mut rig.cx(MS));
        assert_eq!(rig.signals.reset, Some(ResetCause::Watchdog));
    }

    #[test]
    fn in_window_mode_a_clear_in_the_closed_window_resets_the_chip() {
        // WINDOW = 6: half a second closed, PER = 6: half a second open.
        let (mut wdt, mut rig) = started(ENABLE | WEN, 0x66);
        wdt.write(0x0C, Write::full(KEY), &mut rig.cx(600 * MS));
        assert_eq!(rig.signals.reset, None);
        wdt.write(0x0C, Write::full(KEY), &mut rig.cx(900 * MS));
        assert_eq!(rig.signals.reset, Some(ResetCause::Watchdog));
    }

    #[test]
    fn the_early_warning_comes_before_the_time_out() {
        let (mut wdt, mut rig) = started(0, 7);
        wdt.write(2, Write::full(6), &mut rig.cx(0));
        wdt.write(5, Write::full(1), &mut rig.cx(0));
        wdt.write(0, Write::full(ENABLE), &mut rig.cx(0));
        wdt.started = Instant::ZERO;
        assert_eq!(wdt.next_event(), Instant::from_nanos(500 * MS));
        wdt.advance(&mut rig.cx(500 * MS));
        assert_eq!(wdt.irqs(), 1);
        assert_eq!(wdt.next_event(), Instant::from_nanos(1_000 * MS));
    }

    #[test]
    fn always_on_cannot_be_switched_off() {
        let (mut wdt, mut rig) = started(ALWAYSON, 7);
        wdt.write(0, Write::full(0), &mut rig.cx(0));
        assert_eq!(wdt.read(0, &mut rig.cx(0)), ALWAYSON);
        assert_ne!(wdt.next_event(), Instant::NEVER);
    }

    #[test]
    fn it_stands_still_while_a_debugger_halts_the_core() {
        let (mut wdt, mut rig) = started(ENABLE, 7);
        wdt.core_halted(true, &mut rig.cx(500 * MS));
        assert_eq!(wdt.next_event(), Instant::NEVER);
        wdt.core_halted(false, &mut rig.cx(9_500 * MS));
        assert_eq!(wdt.next_event(), Instant::from_nanos(10_000 * MS));
    }
}
