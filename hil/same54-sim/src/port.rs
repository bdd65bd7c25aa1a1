//! PORT: I/O pins (SAM D5x/E5x datasheet, 32).
//!
//! Fidelity: direction, output, input with pull and external drive, pin configuration, multiplexing and WRCONFIG are
//! modelled. Drive strength, sampling mode and events are stored only. Pins that a peripheral drives do not show in IN.

use armv7m::Size;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

const PMUXEN: u8 = 1 << 0;
const INEN: u8 = 1 << 1;
const PULLEN: u8 = 1 << 2;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["GROUP[].CTRL", "GROUP[].EVCTRL"], absent: &[] };

#[derive(Clone, Debug)]
struct Group {
    dir: u32,
    out: u32,
    ctrl: u32,
    evctrl: u32,
    pmux: [u8; 16],
    pincfg: [u8; 32],
    /// Pins that something outside the chip drives, and to what.
    driven: u32,
    drive: u32,
}

impl Group {
    fn new() -> Self {
        Self { dir: 0, out: 0, ctrl: 0, evctrl: 0, pmux: [0; 16], pincfg: [0; 32], driven: 0, drive: 0 }
    }

    fn configured(&self, flag: u8) -> u32 {
        (0..).zip(&self.pincfg).fold(0, |bits, (n, config)| bits | u32::from(config & flag != 0) << n)
    }

    /// Levels at the pins: what the chip drives, else what the world drives, else the pull, else low.
    fn levels(&self) -> u32 {
        let pulled = self.configured(PULLEN) & self.out;
        let undriven = self.driven & self.drive | !self.driven & pulled;
        self.dir & self.out | !self.dir & undriven
    }

    fn write_config(&mut self, value: u32) {
        let upper = value >> 31 != 0;
        for n in 0..16 {
            if value >> n & 1 == 0 {
                continue;
            }
            let pin = n + if upper { 16 } else { 0 };
            if value >> 30 & 1 != 0 {
                // PMUXEN, INEN, PULLEN and DRVSTR are bits 16, 17, 18 and 22.
                self.pincfg[pin] = (value >> 16 & 0x47) as u8;
            }
            if value >> 28 & 1 != 0 {
                let shift = 4 * (pin % 2);
                let mux = &mut self.pmux[pin / 2];
                *mux = *mux & !(15 << shift) | ((value >> 24 & 15) as u8) << shift;
            }
        }
    }
}

/// The register block: groups A to D.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    groups: [Group; 4],
    /// The multiplexing may have changed since somebody looked.
    remultiplexed: bool,
}

impl Port {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self { groups: std::array::from_fn(|_| Group::new()), remultiplexed: true }
    }

    /// Drives a pin from outside, or lets go of it.
    pub(crate) fn drive(&mut self, group: usize, pin: usize, level: Option<bool>) {
        let group = &mut self.groups[group];
        let bit = 1 << pin;
        group.driven = group.driven & !bit | if level.is_some() { bit } else { 0 };
        group.drive = group.drive & !bit | if level == Some(true) { bit } else { 0 };
    }

    /// Levels at the pins of each group.
    pub(crate) fn levels(&self) -> [u32; 4] {
        std::array::from_fn(|n| self.groups[n].levels())
    }

    /// Whether the multiplexing may have changed since the last call.
    pub(crate) fn take_remultiplexed(&mut self) -> bool {
        std::mem::take(&mut self.remultiplexed)
    }

    /// Whether the chip drives the pin, and to what.
    pub(crate) fn output(&self, group: usize, pin: usize) -> Option<bool> {
        let group = &self.groups[group];
        (group.dir >> pin & 1 != 0).then_some(group.out >> pin & 1 != 0)
    }

    /// The peripheral function (PMUX value) that has the pin, if PMUXEN is set.
    pub(crate) fn function(&self, group: usize, pin: usize) -> Option<u8> {
        let group = &self.groups[group];
        (group.pincfg[pin] & PMUXEN != 0).then_some(group.pmux[pin / 2] >> (4 * (pin % 2)) & 15)
    }
}

impl Peripheral for Port {
    fn width(&self, offset: u32) -> Size {
        if offset & 0x7F >= 0x30 { Size::Byte } else { Size::Word }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        let Some(group) = self.groups.get(offset as usize / 0x80) else {
            return cx.unmodelled(offset, false);
        };
        match offset & 0x7F {
            0x00 | 0x04 | 0x08 | 0x0C => group.dir,
            0x10 | 0x14 | 0x18 | 0x1C => group.out,
            0x20 => group.levels() & group.configured(INEN),
            0x24 => group.ctrl,
            0x28 => 0,
            0x2C => group.evctrl,
            at @ 0x30..0x40 => u32::from(group.pmux[at as usize - 0x30]),
            at @ 0x40..0x60 => u32::from(group.pincfg[at as usize - 0x40]),
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        let Some(group) = self.groups.get_mut(offset as usize / 0x80) else {
            cx.unmodelled(offset, true);
            return;
        };
        self.remultiplexed |= matches!(offset & 0x7F, 0x28 | 0x30..0x60);
        match offset & 0x7F {
            0x00 => group.dir = w.onto(group.dir),
            0x04 => group.dir &= !w.value,
            0x08 => group.dir |= w.value,
            0x0C => group.dir ^= w.value,
            0x10 => group.out = w.onto(group.out),
            0x14 => group.out &= !w.value,
            0x18 => group.out |= w.value,
            0x1C => group.out ^= w.value,
            0x20 => {}
            0x24 => group.ctrl = w.onto(group.ctrl),
            0x28 => group.write_config(w.value),
            0x2C => group.evctrl = w.onto(group.evctrl),
            at @ 0x30..0x40 => group.pmux[at as usize - 0x30] = w.value as u8,
            at @ 0x40..0x60 => group.pincfg[at as usize - 0x40] = w.value as u8 & 0x47,
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        self.remultiplexed = true;
        // What the world drives stays.
        for group in &mut self.groups {
            *group = Group { driven: group.driven, drive: group.drive, ..Group::new() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    #[test]
    fn set_clear_and_toggle_act_on_the_written_bits_only() {
        let (mut port, mut rig) = (Port::new(), Rig::new());
        let c = 2 * 0x80;
        port.write(c + 0x08, Write::full(1 << 18), &mut rig.cx(0));
        port.write(c + 0x18, Write::full(1 << 18 | 1), &mut rig.cx(0));
        port.write(c + 0x1C, Write::full(1), &mut rig.cx(0));
        assert_eq!(port.read(c + 0x10, &mut rig.cx(0)), 1 << 18);
        assert_eq!(port.output(2, 18), Some(true));
        assert_eq!(port.output(2, 0), None);
    }

    #[test]
    fn an_input_reads_its_pull_until_something_drives_it() {
        let (mut port, mut rig) = (Port::new(), Rig::new());
        let b = 0x80;
        port.write(b + 0x40 + 31, Write::full(u32::from(INEN | PULLEN)), &mut rig.cx(0));
        port.write(b + 0x18, Write::full(1 << 31), &mut rig.cx(0));
        assert_eq!(port.read(b + 0x20, &mut rig.cx(0)), 1 << 31);
        port.drive(1, 31, Some(false));
        assert_eq!(port.read(b + 0x20, &mut rig.cx(0)), 0);
    }

    #[test]
    fn wrconfig_sets_configuration_and_function_of_several_pins() {
        let (mut port, mut rig) = (Port::new(), Rig::new());
        // Upper half of group B: PB24 and PB25 to function D.
        let value = 1 << 31 | 1 << 30 | 1 << 28 | 3 << 24 | 1 << 16 | 0x0300;
        port.write(0x80 + 0x28, Write::full(value), &mut rig.cx(0));
        assert_eq!((port.function(1, 24), port.function(1, 25), port.function(1, 26)), (Some(3), Some(3), None));
    }
}
