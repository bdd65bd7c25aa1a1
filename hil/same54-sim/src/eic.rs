//! EIC: external interrupt controller (SAM D5x/E5x datasheet, 23).
//!
//! Fidelity: the sixteen lines with rising, falling, both, high and low detection, their interrupts and pin states are
//! modelled, without latency. Filters, debouncing, NMI and events are stored only. Of the pin multiplexing, a line
//! listens to every pin whose function is A and whose number is its own modulo 16, with the exceptions of PD00 to PD21.

use armv7m::Size;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::port::Port;
use crate::registers::Ledger;

const SWRST: u32 = 1;
const ENABLE: u32 = 1 << 1;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger =
    Ledger { stored: &["NMICTRL", "EVCTRL", "ASYNCH", "DEBOUNCEN", "DPRESCALER"], absent: &[] };

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Eic {
    ctrla: u32,
    nmictrl: u32,
    evctrl: u32,
    inten: u32,
    intflag: u32,
    asynch: u32,
    config: [u32; 2],
    debouncen: u32,
    dprescaler: u32,
    levels: u32,
}

/// EXTINT line of a pin (datasheet 6, "Multiplexed Signals").
fn line(group: usize, pin: usize) -> usize {
    match (group, pin) {
        (3, 8..=12) => pin - 5,
        (3, 20 | 21) => pin - 10,
        (1, 26..=29) => pin - 14,
        _ => pin % 16,
    }
}

impl Eic {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self {
            ctrla: 0,
            nmictrl: 0,
            evctrl: 0,
            inten: 0,
            intflag: 0,
            asynch: 0,
            config: [0; 2],
            debouncen: 0,
            dprescaler: 0,
            levels: 0,
        }
    }

    /// Takes over the pins' levels.
    pub(crate) fn look(&mut self, port: &Port) {
        let mut levels = 0;
        for (group, pins) in port.levels().into_iter().enumerate() {
            for pin in 0..32 {
                if port.function(group, pin) == Some(0) {
                    levels |= (pins >> pin & 1) << line(group, pin);
                }
            }
        }
        let before = std::mem::replace(&mut self.levels, levels);
        self.detect(before);
    }

    fn detect(&mut self, before: u32) {
        if self.ctrla & ENABLE == 0 {
            return;
        }
        for n in 0..16 {
            let (was, is) = (before >> n & 1 != 0, self.levels >> n & 1 != 0);
            let detected = match self.config[n / 8] >> (4 * (n % 8)) & 7 {
                1 => !was && is,
                2 => was && !is,
                3 => was != is,
                4 => is,
                5 => !is,
                _ => false,
            };
            self.intflag |= u32::from(detected) << n;
        }
    }
}

impl Peripheral for Eic {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x00 | 0x01 => Size::Byte,
            0x02 | 0x03 => Size::Half,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 => self.ctrla,
            0x01 => self.nmictrl,
            0x02 | 0x04 => 0,
            0x08 => self.evctrl,
            0x0C | 0x10 => self.inten,
            0x14 => self.intflag,
            0x18 => self.asynch,
            0x1C | 0x20 => self.config[(offset as usize - 0x1C) / 4],
            0x30 => self.debouncen,
            0x34 => self.dprescaler,
            0x38 => self.levels,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x00 => {
                if w.value & SWRST != 0 {
                    *self = Self { levels: self.levels, ..Self::new() };
                } else {
                    self.ctrla = w.value & 0x12;
                }
            }
            0x01 => self.nmictrl = w.value & 0x1F,
            0x02 | 0x04 | 0x38 => {}
            0x08 => self.evctrl = w.onto_masked(self.evctrl, 0xFFFF),
            0x0C => self.inten &= !w.value,
            0x10 => self.inten |= w.value & 0xFFFF,
            0x14 => self.intflag &= !w.value,
            0x18 => self.asynch = w.onto_masked(self.asynch, 0xFFFF),
            0x1C | 0x20 => {
                if self.ctrla & ENABLE != 0 {
                    cx.violation("EIC.CONFIG written while enabled");
                    return;
                }
                let config = &mut self.config[(offset as usize - 0x1C) / 4];
                *config = w.onto(*config);
            }
            0x30 => self.debouncen = w.onto_masked(self.debouncen, 0xFFFF),
            0x34 => self.dprescaler = w.onto_masked(self.dprescaler, 0x0001_00FF),
            _ => {
                cx.unmodelled(offset, true);
            }
        }
        // A level that is already there is detected as soon as the controller looks.
        self.detect(self.levels);
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        *self = Self { levels: self.levels, ..Self::new() };
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    /// PB31 (the board's button) with input, pull-up and function A.
    fn button() -> (Port, Eic, Rig) {
        let (mut port, eic, mut rig) = (Port::new(), Eic::new(), Rig::new());
        port.write(0x80 + 0x18, Write::full(1 << 31), &mut rig.cx(0));
        port.write(0x80 + 0x40 + 31, Write::full(7), &mut rig.cx(0));
        (port, eic, rig)
    }

    #[test]
    fn a_falling_edge_raises_the_line_once() {
        let (mut port, mut eic, mut rig) = button();
        eic.look(&port);
        eic.write(0x20, Write::full(2 << 28), &mut rig.cx(0));
        eic.write(0x10, Write::full(1 << 15), &mut rig.cx(0));
        eic.write(0x00, Write::full(ENABLE), &mut rig.cx(0));
        assert_eq!(eic.irqs(), 0);
        port.drive(1, 31, Some(false));
        eic.look(&port);
        assert_eq!(eic.irqs(), 1 << 15);
        eic.write(0x14, Write::full(1 << 15), &mut rig.cx(0));
        assert_eq!(eic.irqs(), 0);
    }

    #[test]
    fn a_low_level_raises_the_line_as_long_as_it_lasts() {
        let (mut port, mut eic, mut rig) = button();
        port.drive(1, 31, Some(false));
        eic.look(&port);
        eic.write(0x20, Write::full(5 << 28), &mut rig.cx(0));
        eic.write(0x10, Write::full(1 << 15), &mut rig.cx(0));
        eic.write(0x00, Write::full(ENABLE), &mut rig.cx(0));
        eic.write(0x14, Write::full(1 << 15), &mut rig.cx(0));
        assert_eq!(eic.irqs(), 1 << 15);
        port.drive(1, 31, None);
        eic.look(&port);
        eic.write(0x14, Write::full(1 << 15), &mut rig.cx(0));
        assert_eq!(eic.irqs(), 0);
    }

    #[test]
    fn the_phy_interrupt_pin_pd12_is_line_7() {
        assert_eq!(line(3, 12), 7);
    }
}
