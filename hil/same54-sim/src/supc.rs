//! SUPC: supply controller (SAM D5x/E5x datasheet, 19).
//!
//! Fidelity: BOD33 takes its level, action and enable from the user page at a supply reset and gets ready 50 us after
//! it is enabled (assumed); the board's supply is either on or off, so it detects a brown-out only when the board is
//! told to make one. Regulators are always ready. VREF, battery switch and backup pins are stored only.

use std::time::Duration;

use sim_base::Instant;

use crate::event::ResetCause;
use crate::memory::Memory;
use crate::peripheral::{Context, Peripheral, Write};

const BOD33RDY: u32 = 1 << 0;
const BOD33DET: u32 = 1 << 1;
const VREGRDY: u32 = 1 << 8;
const VCORERDY: u32 = 1 << 10;
const ENABLE: u32 = 1 << 1;
const INT_MASK: u32 = 0x0507;
const BOD33_STARTUP: Duration = Duration::from_micros(50);

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
}

impl Supc {
    /// As before the supply comes.
    pub(crate) fn new() -> Self {
        Self { inten: 0, intflag: 0, bod33: 0, bod33_ready_at: Instant::NEVER, vreg: 2, vref: 0, bbps: 0, bkout: 0 }
    }

    /// The supply dips below any level. True if the chip resets.
    pub(crate) fn brown_out(&mut self) -> bool {
        if self.bod33 & ENABLE == 0 {
            return false;
        }
        self.intflag |= BOD33DET;
        self.bod33 >> 2 & 3 == 1
    }

    fn status(&self, now: Instant) -> u32 {
        VREGRDY | VCORERDY | if self.bod33_ready_at <= now { BOD33RDY } else { 0 }
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
                self.bod33 = w.onto(old);
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
            0x18 => self.vreg = w.onto(self.vreg),
            0x1C => self.vref = w.onto(self.vref),
            0x20 => self.bbps = w.onto_masked(self.bbps, 5),
            0x24 => self.bkout = w.onto(self.bkout),
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, cause: ResetCause, cx: &mut Context<'_>) {
        if cause.is_supply() {
            let bod33 = Self::bod33_from_fuses(cx.memory);
            let ready = if bod33 & ENABLE != 0 { cx.now + BOD33_STARTUP } else { Instant::NEVER };
            *self = Self { bod33, bod33_ready_at: ready, ..Self::new() };
        } else {
            self.inten = 0;
            self.intflag = 0;
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
        assert!(!supc.brown_out());
    }

    #[test]
    fn bod33_gets_ready_and_then_resets_the_chip_on_a_brown_out() {
        let (mut supc, mut rig) = (Supc::new(), Rig::new());
        supc.write(0x10, Write::full(0x001C_0206), &mut rig.cx(0));
        assert_eq!(supc.read(0x0C, &mut rig.cx(10_000)) & 1, 0);
        assert_eq!(supc.read(0x0C, &mut rig.cx(50_000)) & 1, 1);
        assert!(supc.brown_out());
    }

    #[test]
    fn bod33_settings_are_enable_protected() {
        let (mut supc, mut rig) = (Supc::new(), Rig::new());
        supc.write(0x10, Write::full(0x001C_0206), &mut rig.cx(0));
        supc.write(0x10, Write::full(0x0030_0206), &mut rig.cx(0));
        assert_eq!(supc.read(0x10, &mut rig.cx(0)), 0x001C_0206);
        assert_eq!(rig.violations().len(), 1);
    }
}
