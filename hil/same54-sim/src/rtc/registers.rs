//! The registers of the RTC, mode by mode (SAM D5x/E5x datasheet, 21.8 to 21.12).

use armv7m::Size;
use sim_base::Instant;

use super::{ENABLE, GP0EN, GP2EN, Mode, Rtc, SWRST, TAMPER, sync};
use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};

/// DMA trigger of a captured time (22.8.9).
const DMA_TIMESTAMP: u32 = 1;

impl Rtc {
    /// Register index of a compare or alarm at `offset` in the current mode.
    fn compare_index(&self, offset: u32) -> Option<usize> {
        match (self.mode(), offset) {
            (Mode::Count32, 0x20 | 0x24) => Some((offset as usize - 0x20) / 4),
            (Mode::Count16, 0x20 | 0x22 | 0x24 | 0x26) => Some((offset as usize - 0x20) / 2),
            (Mode::Clock, 0x20 | 0x28) => Some((offset as usize - 0x20) / 8),
            _ => None,
        }
    }

    fn write_register(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        if let Some(n) = self.compare_index(offset) {
            self.write_compare(n, w.onto(self.comp[n].value), cx);
            return;
        }
        match offset {
            0x00 => self.write_ctrla(w.onto(self.ctrla & !SWRST), cx),
            // 21.8: enable-protected.
            0x02 | 0x04 | 0x60 if self.ctrla & ENABLE != 0 => {
                cx.violation("RTC.CTRLB, EVCTRL or TAMPCTRL written while enabled: the write is dropped");
            }
            0x02 => self.ctrlb = w.onto_masked(self.ctrlb, 0x77F3),
            0x04 => self.evctrl = w.onto_masked(self.evctrl, 0x0001_0000 | self.interrupts()),
            0x08 => self.inten &= !w.value,
            0x0A => self.inten |= w.value & self.interrupts(),
            0x0C => self.intflag &= !w.value,
            0x0E => self.dbgctrl = w.value & 1,
            0x10 | 0x64 => {}
            0x14 => {
                if self.synchronise(sync::FREQCORR, "FREQCORR", cx) {
                    self.re_anchor(cx.now);
                    self.freqcorr = w.value & 0xFF;
                }
            }
            0x18 => self.write_counter(w.value, cx),
            0x1C if self.mode() == Mode::Count16 => {
                if self.synchronise(sync::PER, "PER", cx) {
                    self.re_anchor(cx.now);
                    self.per = w.onto_masked(self.per, 0xFFFF);
                }
            }
            0x24 | 0x2C if self.mode() == Mode::Clock => {
                let n = (offset as usize - 0x24) / 8;
                if self.synchronise(sync::MASK0 << n, "MASK", cx) {
                    self.mask[n] = w.value & 7;
                }
            }
            0x40..0x50 => {
                let n = (offset as usize - 0x40) / 4;
                // 21.6.8.4: GP0 and GP2 are the comparators' unless they are given away.
                let given = [GP0EN, ALWAYS, GP2EN, ALWAYS][n];
                if given != ALWAYS && self.ctrlb & given == 0 {
                    cx.violation(format!("RTC.GP{n} written while CTRLB does not enable it: the write is dropped"));
                } else if self.synchronise(sync::GP0 << n, "GP", cx) {
                    self.gp[n] = w.onto(self.gp[n]);
                }
            }
            0x60 => self.write_tampctrl(w.onto_masked(self.tamper.tampctrl, 0x1F1F_03FF), cx),
            0x68 => self.tamper.tampid &= !w.value,
            0x80..0xA0 => {
                let bkup = &mut self.bkup[(offset as usize - 0x80) / 4];
                *bkup = w.onto(*bkup);
            }
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    /// The counter at `at` as a TIMESTAMP.
    pub(super) fn stamp(&self, at: Instant) -> u32 {
        match self.mode() {
            Mode::Clock => self.clock_register(self.count_at(at)),
            _ => self.count_at(at) as u32,
        }
    }
}

/// Of a general purpose register that no comparator shares.
const ALWAYS: u32 = 0;

impl Peripheral for Rtc {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x00..0x04 | 0x08..0x0E => Size::Half,
            0x0E..0x10 | 0x14..0x18 => Size::Byte,
            0x18..0x28 if self.mode() == Mode::Count16 => Size::Half,
            0x24..0x28 | 0x2C..0x30 if self.mode() == Mode::Clock => Size::Byte,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        if let Some(n) = self.compare_index(offset) {
            return self.comp[n].value;
        }
        match offset {
            0x00 => self.ctrla,
            0x02 => self.ctrlb,
            0x04 => self.evctrl,
            0x08 | 0x0A => self.inten,
            0x0C => self.intflag,
            0x0E => self.dbgctrl,
            0x10 => {
                cx.steady_until(self.busy_changes_after(cx.now).min(self.due));
                self.syncbusy(cx.now)
            }
            0x14 => self.freqcorr,
            0x18 => self.read_counter(cx),
            0x1C if self.mode() == Mode::Count16 => self.per,
            0x24 | 0x2C if self.mode() == Mode::Clock => self.mask[(offset as usize - 0x24) / 8],
            0x40..0x50 => self.gp[(offset as usize - 0x40) / 4],
            0x60 => self.tamper.tampctrl,
            0x64 => {
                // 21.6.8.5.1: reading the time clears its flag.
                self.intflag &= !TAMPER;
                self.look_ahead();
                self.tamper.timestamp
            }
            0x68 => self.tamper.tampid,
            0x80..0xA0 => self.bkup[(offset as usize - 0x80) / 4],
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.catch_up(cx);
        self.write_register(offset, w, cx);
        self.look_ahead();
    }

    fn reset(&mut self, cause: ResetCause, cx: &mut Context<'_>) {
        // The RTC is reset with the supply only (17, "Effects of the Different Reset Causes").
        if cause.is_supply() {
            let tamper = self.tamper.reset();
            *self = Self { hz: cx.clocks.rtc, anchor: cx.now, seen: cx.now, tamper, ..Self::new() };
        }
    }

    fn next_event(&self) -> Instant {
        self.interrupt_due
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if cx.now >= self.due {
            self.catch_up(cx);
            self.look_ahead();
        }
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag != 0)
    }

    fn dma_requests(&self) -> u128 {
        u128::from(self.wants_transfer()) << DMA_TIMESTAMP
    }

    fn event_in(&mut self, _user: usize, cx: &mut Context<'_>) {
        self.tamper_event(cx);
    }

    fn core_halted(&mut self, halted: bool, cx: &mut Context<'_>) {
        let frozen = halted && self.dbgctrl & 1 == 0;
        if frozen != self.frozen {
            self.catch_up(cx);
            self.re_anchor(cx.now);
            self.frozen = frozen;
            self.look_ahead();
        }
    }

    fn clocks_changed(&mut self, cx: &mut Context<'_>) {
        if self.hz != cx.clocks.rtc {
            self.catch_up(cx);
            self.re_anchor(cx.now);
            self.hz = cx.clocks.rtc;
            self.look_ahead();
        }
    }
}
