//! SUPC: supply controller (SAM D5x/E5x datasheet, 19).
//!
//! Fidelity: BOD33 takes its level, action and enable from the user page at a supply reset, gets ready 27 us after it is
//! enabled (table 54-21) and compares the board's supply with its thresholds (1.5 V and 6 mV a step) at once; sampling
//! mode and its behaviour in sleep are stored only. The battery switch decides what a loss of the supply leaves of the
//! backup domain. Regulators are always ready. VREF and backup pins are stored only.

use std::time::Duration;

use sim_base::Instant;

use crate::event::ResetCause;
use crate::memory::Memory;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

const BOD33RDY: u32 = 1 << 0;
const BOD33DET: u32 = 1 << 1;
const VREGRDY: u32 = 1 << 8;
const VCORERDY: u32 = 1 << 10;
const ENABLE: u32 = 1 << 1;
const INT_MASK: u32 = 0x0507;
const BOD33_STARTUP: Duration = Duration::from_micros(27);
/// BOD33.ACTION (19.8.5).
const ACTION_RESET: u32 = 1;
const ACTION_BACKUP: u32 = 3;
/// BBPS.CONF: backup power always from VBAT.
const BBPS_FORCED: u32 = 1 << 0;
const BBPS_WAKEEN: u32 = 1 << 2;

/// What BOD33 makes of the supply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Nothing new.
    Sound,
    /// The chip is to be held in reset.
    Reset,
    /// The reset ends.
    Release,
}

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["VREG", "VREF", "BKOUT", "BKIN"], absent: &[] };

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Supc {
    inten: u32,
    intflag: u32,
    bod33: u32,
    bod33_ready_at: Instant,
    vreg: u32,
    vref: u32,
    bbps: u32,
    bkout: u32,
    millivolts: u32,
    /// The supply is below the threshold.
    detected: bool,
    /// The chip is held in reset until the supply reaches this.
    hold: Option<u32>,
}

impl Supc {
    /// As before the supply comes.
    pub(crate) fn new() -> Self {
        Self {
            inten: 0,
            intflag: 0,
            bod33: 0,
            bod33_ready_at: Instant::NEVER,
            vreg: 2,
            vref: 0,
            bbps: 0,
            bkout: 0,
            millivolts: 3_300,
            detected: false,
            hold: None,
        }
    }

    /// The supply is at `millivolts`.
    pub(crate) fn watch(&mut self, millivolts: u32, now: Instant) -> Watch {
        self.millivolts = millivolts;
        if let Some(level) = self.hold {
            if millivolts < level {
                return Watch::Sound;
            }
            self.hold = None;
            return Watch::Release;
        }
        if self.look(now) { Watch::Reset } else { Watch::Sound }
    }

    /// Whether BOD33 holds the chip in reset.
    pub(crate) fn holds_reset(&self) -> bool {
        self.hold.is_some()
    }

    /// Lower and upper threshold in millivolts (table 54-21).
    fn thresholds(&self) -> (u32, u32) {
        let lower = 1_500 + 6 * (self.bod33 >> 16 & 0xFF);
        (lower, lower + 6 * (self.bod33 >> 8 & 15))
    }

    /// Compares. True if the chip is to be reset.
    fn look(&mut self, now: Instant) -> bool {
        let (lower, upper) = self.thresholds();
        if self.bod33 & ENABLE == 0 || self.millivolts >= upper {
            self.detected = false;
            return false;
        }
        if self.millivolts >= lower || self.bod33_ready_at > now || self.detected {
            return false;
        }
        self.detected = true;
        self.intflag |= BOD33DET;
        let resets = self.bod33 >> 2 & 3 == ACTION_RESET;
        if resets {
            self.hold = Some(upper);
        }
        resets
    }

    /// Whether the backup domain lives on when the main supply goes and VBAT is there (19.6.4).
    pub(crate) fn switches_to_battery(&self) -> bool {
        self.bbps & BBPS_FORCED != 0 || self.bod33 & ENABLE != 0 && self.bod33 >> 2 & 3 == ACTION_BACKUP
    }

    /// Whether the return of the main supply wakes the chip.
    pub(crate) fn wakes_from_battery(&self) -> bool {
        self.bbps & BBPS_WAKEEN != 0
    }

    fn status(&self, now: Instant) -> u32 {
        VREGRDY
            | VCORERDY
            | if self.bod33_ready_at <= now { BOD33RDY } else { 0 }
            | if self.detected { BOD33DET } else { 0 }
    }

    /// BOD33 as the user page has it (datasheet 9.4).
    fn bod33_from_fuses(memory: &Memory) -> u32 {
        let word = memory.user_word(0);
        let enable = u32::from(word & 1 == 0) << 1;
        let level = (word >> 1 & 0xFF) << 16;
        let action = (word >> 9 & 3) << 2;
        let hysteresis = (word >> 11 & 15) << 8;
        enable | level | action | hysteresis
    }
}

impl Peripheral for Supc {
    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 | 0x04 => self.inten,
            0x08 => self.intflag | self.status(cx.now) & BOD33RDY,
            0x0C => self.status(cx.now),
            0x10 => self.bod33,
            0x18 => self.vreg,
            0x1C => self.vref,
            0x20 => self.bbps,
            0x24 => self.bkout,
            0x28 => 0,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x00 => self.inten &= !w.value,
            0x04 => self.inten |= w.value & INT_MASK,
            0x08 => self.intflag &= !w.value,
            0x0C | 0x28 => {}
            0x10 => {
                let old = self.bod33;
                self.bod33 = w.onto_masked(old, 0xFFFF_7FFE);
                // 19.8.5: everything but ENABLE is enable-protected.
                if old & self.bod33 & ENABLE != 0 && old != self.bod33 {
                    self.bod33 = old;
                    cx.violation("SUPC.BOD33 changed while enabled");
                } else if self.bod33 & ENABLE == 0 {
                    self.bod33_ready_at = Instant::NEVER;
                } else if old & ENABLE == 0 {
                    self.bod33_ready_at = cx.now + BOD33_STARTUP;
                }
            }
            0x18 => self.vreg = w.onto_masked(self.vreg, 0x0701_0086),
            0x1C => self.vref = w.onto_masked(self.vref, 0x000F_00CE),
            0x20 => self.bbps = w.onto_masked(self.bbps, 5),
            0x24 => self.bkout = w.onto_masked(self.bkout, 0x0303_0303),
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, cause: ResetCause, cx: &mut Context<'_>) {
        if cause.is_supply() {
            let bod33 = Self::bod33_from_fuses(cx.memory);
            let ready = if bod33 & ENABLE != 0 { cx.now + BOD33_STARTUP } else { Instant::NEVER };
            let hold = self.hold.filter(|_| cause == ResetCause::BrownOut);
            *self = Self { bod33, bod33_ready_at: ready, millivolts: self.millivolts, hold, ..Self::new() };
        } else {
            self.inten = 0;
            self.intflag = 0;
        }
    }

    fn next_event(&self) -> Instant {
        let low = self.bod33 & ENABLE != 0 && !self.detected && self.millivolts < self.thresholds().0;
        if low && self.hold.is_none() { self.bod33_ready_at } else { Instant::NEVER }
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.hold.is_none() && self.look(cx.now) {
            cx.signals.request_reset(ResetCause::BrownOut);
        }
    }

    fn irqs(&self) -> u64 {
        let pending = self.inten & (self.intflag | VREGRDY | VCORERDY);
        u64::from(pending & !BOD33DET != 0) | u64::from(pending & BOD33DET != 0) << 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    #[test]
    fn the_delivered_fuses_leave_bod33_off() {
        let (mut supc, mut rig) = (Supc::new(), Rig::new());
        supc.reset(ResetCause::PowerOn, &mut rig.cx(0));
        // Level 28, action reset, hysteresis 2.
        assert_eq!(supc.read(0x10, &mut rig.cx(0)), 0x001C_0204);
        assert_eq!(supc.watch(1_600, Instant::ZERO), Watch::Sound);
    }

    #[test]
    fn bod33_gets_ready_and_then_resets_the_chip_on_a_brown_out() {
        let (mut supc, mut rig) = (Supc::new(), Rig::new());
        supc.write(0x10, Write::full(0x001C_0206), &mut rig.cx(0));
        assert_eq!(supc.read(0x0C, &mut rig.cx(10_000)) & 1, 0);
        assert_eq!(supc.read(0x0C, &mut rig.cx(50_000)) & 1, 1);
        // Level 28 is 1.668 V; 12 mV of hysteresis.
        assert_eq!(supc.watch(1_668, Instant::from_nanos(50_000)), Watch::Sound);
        assert_eq!(supc.watch(1_667, Instant::from_nanos(50_000)), Watch::Reset);
        assert_eq!(supc.read(0x08, &mut rig.cx(50_000)) & 2, 2);
        assert_eq!(supc.watch(1_679, Instant::from_nanos(60_000)), Watch::Sound);
        assert!(supc.holds_reset());
        assert_eq!(supc.watch(1_680, Instant::from_nanos(70_000)), Watch::Release);
    }

    #[test]
    fn bod33_settings_are_enable_protected() {
        let (mut supc, mut rig) = (Supc::new(), Rig::new());
        supc.write(0x10, Write::full(0x001C_0206), &mut rig.cx(0));
        supc.write(0x10, Write::full(0x0030_0206), &mut rig.cx(0));
        assert_eq!(supc.read(0x10, &mut rig.cx(0)), 0x001C_0206);
        assert_eq!(rig.violations().len(), 1);
    }

    #[test]
    fn as_an_interrupt_bod33_fires_once_per_dip() {
        let (mut supc, mut rig) = (Supc::new(), Rig::new());
        supc.write(0x10, Write::full(0x00C8_020A), &mut rig.cx(0));
        supc.write(0x04, Write::full(2), &mut rig.cx(0));
        let later = Instant::from_nanos(50_000);
        assert_eq!(supc.watch(2_690, later), Watch::Sound);
        assert_eq!(supc.irqs(), 2);
        supc.write(0x08, Write::full(2), &mut rig.cx(60_000));
        assert_eq!(supc.watch(2_680, later), Watch::Sound);
        assert_eq!((supc.irqs(), supc.read(0x0C, &mut rig.cx(60_000)) & 2), (0, 2));
        supc.watch(3_300, later);
        assert_eq!(supc.read(0x0C, &mut rig.cx(60_000)) & 2, 0);
    }

    #[test]
    fn bod33_that_is_switched_on_below_its_level_resets_when_it_is_ready() {
        let (mut supc, mut rig) = (Supc::new(), Rig::new());
        supc.watch(2_500, Instant::ZERO);
        supc.write(0x10, Write::full(0x00C8_0206), &mut rig.cx(0));
        assert_eq!(supc.next_event(), Instant::from_nanos(27_000));
        supc.advance(&mut rig.cx(27_000));
        assert_eq!(rig.signals.reset, Some(ResetCause::BrownOut));
    }
}
