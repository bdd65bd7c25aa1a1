//! PAC: peripheral access controller (SAM D5x/E5x datasheet, 27).
//!
//! Fidelity: write protection per peripheral (clear, set, set and lock), status, and the error flags with their
//! interrupt and event are modelled: protected writes, registers that the chip does not have, writes during the RTC's
//! synchronisation, wrong use of WRCTRL, and bus errors of the AHB's slaves that the core meets. A protected write is
//! dropped; that these errors of peripherals raise no bus error is assumed.

use armv7m::Size;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

const STATUS_RESET: [u32; 4] = [0x0001_0000, 0x02, 0, 0];

/// Event generator ACCERR (31.7.8).
const GENERATOR: u8 = 38;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger::MODELLED;

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Pac {
    wrctrl: u32,
    evctrl: u32,
    inten: u32,
    intflag_ahb: u32,
    intflag: [u32; 4],
    status: [u32; 4],
    locked: [u32; 4],
}

impl Pac {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self { wrctrl: 0, evctrl: 0, inten: 0, intflag_ahb: 0, intflag: [0; 4], status: STATUS_RESET, locked: [0; 4] }
    }

    /// Whether writes to peripheral `bit` of `bridge` are refused.
    pub(crate) fn is_protected(&self, bridge: usize, bit: u32) -> bool {
        self.status[bridge] >> bit & 1 != 0
    }

    /// Notes a refused access.
    pub(crate) fn access_error(&mut self, bridge: usize, bit: u32, cx: &mut Context<'_>) {
        self.intflag[bridge] |= 1 << bit;
        self.send_event(cx);
    }

    /// Slave `bit` of the AHB (INTFLAGAHB) answered with an error.
    pub(crate) fn ahb_error(&mut self, bit: u32, cx: &mut Context<'_>) {
        self.intflag_ahb |= 1 << bit;
        self.send_event(cx);
    }

    fn send_event(&mut self, cx: &mut Context<'_>) {
        if self.evctrl & 1 != 0 {
            cx.event_out(GENERATOR);
        }
    }

    fn control(&mut self, value: u32, cx: &mut Context<'_>) {
        let id = value & 0xFFFF;
        let (bridge, bit) = ((id / 32) as usize, id % 32);
        self.wrctrl = value & 0x00FF_FFFF;
        let key = value >> 16 & 0xFF;
        if bridge >= 4 {
            return;
        }
        // 27.5.2.5: what is so already, or locked, is an error.
        let protected = self.status[bridge] >> bit & 1 != 0;
        let locked = self.locked[bridge] >> bit & 1 != 0;
        if key != 0 && (locked || key == 1 && !protected || matches!(key, 2 | 3) && protected) {
            self.access_error(0, 0, cx);
        }
        if locked {
            return;
        }
        match key {
            0 => {}
            1 => self.status[bridge] &= !(1 << bit),
            2 => self.status[bridge] |= 1 << bit,
            3 => {
                self.status[bridge] |= 1 << bit;
                self.locked[bridge] |= 1 << bit;
            }
            key => cx.violation(format!("PAC.WRCTRL with reserved key {key:#x}")),
        }
    }
}

impl Peripheral for Pac {
    fn width(&self, offset: u32) -> Size {
        if (0x04..0x10).contains(&offset) { Size::Byte } else { Size::Word }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 => self.wrctrl,
            0x04 => self.evctrl,
            0x08 | 0x09 => self.inten,
            0x10 => self.intflag_ahb,
            0x14..=0x20 => self.intflag[(offset as usize - 0x14) / 4],
            0x34..=0x40 => self.status[(offset as usize - 0x34) / 4],
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            // 27.5.2.5: only whole words count.
            0x00 if w.lanes != u32::MAX => self.access_error(0, 0, cx),
            0x00 => self.control(w.value, cx),
            0x04 => self.evctrl = w.value & 1,
            0x08 => self.inten &= !w.value,
            0x09 => self.inten |= w.value & 1,
            0x10 => self.intflag_ahb &= !w.value,
            0x14..=0x20 => self.intflag[(offset as usize - 0x14) / 4] &= !w.value,
            0x34..=0x40 => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        *self = Self::new();
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten != 0 && (self.intflag_ahb | self.intflag.iter().fold(0, |all, flags| all | flags)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    /// NVMCTRL: bridge B, bit 2.
    const NVMCTRL: u32 = 34;

    #[test]
    fn keys_clear_set_and_lock_write_protection() {
        let (mut pac, mut rig) = (Pac::new(), Rig::new());
        let mut control = |pac: &mut Pac, key: u32| pac.write(0, Write::full(key << 16 | NVMCTRL), &mut rig.cx(0));
        control(&mut pac, 2);
        assert!(pac.is_protected(1, 2));
        control(&mut pac, 1);
        assert!(!pac.is_protected(1, 2));
        control(&mut pac, 3);
        control(&mut pac, 1);
        assert!(pac.is_protected(1, 2), "locked until reset");
    }

    #[test]
    fn an_access_error_raises_the_interrupt_until_its_flag_is_cleared() {
        let (mut pac, mut rig) = (Pac::new(), Rig::new());
        pac.write(9, Write::full(1), &mut rig.cx(0));
        pac.access_error(1, 2, &mut rig.cx(0));
        assert_eq!(pac.irqs(), 1);
        pac.write(0x18, Write::full(4), &mut rig.cx(0));
        assert_eq!(pac.irqs(), 0);
    }

    #[test]
    fn wrong_use_of_wrctrl_is_an_error_of_the_pac_itself_and_an_event() {
        for (key, lanes) in [(1, u32::MAX), (2, 0xFFFF)] {
            let (mut pac, mut rig) = (Pac::new(), Rig::new());
            pac.write(4, Write::full(1), &mut rig.cx(0));
            // Clearing what is clear; half a word.
            pac.write(0, Write { value: (key << 16 | NVMCTRL) & lanes, lanes }, &mut rig.cx(0));
            assert_eq!(pac.read(0x14, &mut rig.cx(0)), 1);
            assert!(!pac.is_protected(1, 2));
            assert_eq!(rig.signals.events_out.len(), 1);
        }
    }

    #[test]
    fn only_the_dsu_is_protected_after_reset() {
        let (mut pac, mut rig) = (Pac::new(), Rig::new());
        assert_eq!(pac.read(0x38, &mut rig.cx(0)), 2);
    }
}
