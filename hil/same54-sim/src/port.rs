//! PORT: I/O pins (SAM D5x/E5x datasheet, 32).
//!
//! Fidelity: direction, output, input with pull and external drive, pin configuration, multiplexing, WRCONFIG, the four
//! event actions of each group and I/O retention are modelled. A pin that a peripheral has (function B and up) shows
//! what that peripheral drives, and not OUT: TC, TCC, GCLK, AC and CCL outputs and a USART's idle transmitter, worked out
//! when somebody looks. Such a pin is no input of the EIC, whose function A it has not. An event that drives a pin
//! (EVACT = OUT) leaves it low, since events are pulses here. Drive strength and sampling mode are stored only: every
//! read sees the pin as it is.

use armv7m::Size;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::pins::{self, Source};
use crate::registers::Ledger;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["GROUP[].CTRL"], absent: &[] };

const PMUXEN: u8 = 1 << 0;
const INEN: u8 = 1 << 1;
const PULLEN: u8 = 1 << 2;
/// Event user of the first event input (31.7.9).
const USER: usize = 1;

#[derive(Clone, Debug)]
struct Group {
    dir: u32,
    out: u32,
    ctrl: u32,
    evctrl: u32,
    pmux: [u8; 16],
    pincfg: [u8; 32],
    /// Pins with PMUXEN, INEN and PULLEN, after `pincfg`; with PMUXEN and another function than A.
    muxed: u32,
    input: u32,
    pulled: u32,
    peripheral: u32,
    /// Pins that something outside the chip drives, and to what.
    driven: u32,
    drive: u32,
    /// Pins that a peripheral of the chip drives, and to what.
    peripheral_driven: u32,
    peripheral_drive: u32,
}

impl Group {
    fn new() -> Self {
        Self {
            dir: 0,
            out: 0,
            ctrl: 0,
            evctrl: 0,
            pmux: [0; 16],
            pincfg: [0; 32],
            muxed: 0,
            input: 0,
            pulled: 0,
            peripheral: 0,
            driven: 0,
            drive: 0,
            peripheral_driven: 0,
            peripheral_drive: 0,
        }
    }

    /// Pins that the chip drives, and to what.
    fn outputs(&self) -> (u32, u32) {
        let by_peripheral = self.peripheral & self.peripheral_driven;
        let by_port = self.dir & !self.peripheral;
        (by_port | by_peripheral, by_port & self.out | by_peripheral & self.peripheral_drive)
    }

    /// Levels at the pins: what the chip drives, else what the world drives, else the pull, else low.
    fn levels(&self, (by_chip, output): (u32, u32)) -> u32 {
        let undriven = self.driven & self.drive | !self.driven & self.pulled & self.out;
        by_chip & output | !by_chip & undriven
    }

    fn mux(&self, pin: usize) -> u8 {
        self.pmux[pin / 2] >> (4 * (pin % 2)) & 15
    }

    /// Takes over the configuration of `pin`.
    fn configure(&mut self, pin: usize, config: u8) {
        self.pincfg[pin] = config;
        let set = |bits: &mut u32, on: bool| *bits = *bits & !(1 << pin) | u32::from(on) << pin;
        set(&mut self.muxed, config & PMUXEN != 0);
        set(&mut self.input, config & INEN != 0);
        set(&mut self.pulled, config & PULLEN != 0);
        let function = self.mux(pin);
        set(&mut self.peripheral, config & PMUXEN != 0 && function != 0);
    }

    fn write_pmux(&mut self, n: usize, value: u8) {
        self.pmux[n] = value;
        for pin in [2 * n, 2 * n + 1] {
            self.configure(pin, self.pincfg[pin]);
        }
    }

    fn write_config(&mut self, value: u32) {
        let upper = value >> 31 != 0;
        for n in 0..16 {
            if value >> n & 1 == 0 {
                continue;
            }
            let pin = n + if upper { 16 } else { 0 };
            if value >> 28 & 1 != 0 {
                let shift = 4 * (pin % 2);
                let mux = self.pmux[pin / 2] & !(15 << shift) | ((value >> 24 & 15) as u8) << shift;
                self.write_pmux(pin / 2, mux);
            }
            if value >> 30 & 1 != 0 {
                // PMUXEN, INEN, PULLEN and DRVSTR are bits 16, 17, 18 and 22.
                self.configure(pin, (value >> 16 & 0x47) as u8);
            }
        }
    }

    /// An event arrives at input `n` (32.8.11).
    fn event(&mut self, n: usize) {
        let action = self.evctrl >> (8 * n);
        if action & 0x80 == 0 {
            return;
        }
        let pin = 1 << (action & 31);
        match action >> 5 & 3 {
            // OUT follows the event, which is over at once; CLR.
            0 | 2 => self.out &= !pin,
            1 => self.out |= pin,
            _ => self.out ^= pin,
        }
    }
}

/// The register block: groups A to D.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    groups: [Group; 4],
    /// The multiplexing may have changed since somebody looked.
    remultiplexed: bool,
    /// Outputs of peripherals that are multiplexed to pins, with group and number of the pin.
    routed: Vec<(usize, usize, Source)>,
    /// What the pins of each group hold, whatever the registers say, during and after hibernate and backup.
    retained: Option<[(u32, u32); 4]>,
}

impl Port {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self { groups: std::array::from_fn(|_| Group::new()), remultiplexed: true, routed: Vec::new(), retained: None }
    }

    /// Drives a pin from outside, or lets go of it.
    pub(crate) fn drive(&mut self, group: usize, pin: usize, level: Option<bool>) {
        let group = &mut self.groups[group];
        let bit = 1 << pin;
        group.driven = group.driven & !bit | if level.is_some() { bit } else { 0 };
        group.drive = group.drive & !bit | if level == Some(true) { bit } else { 0 };
    }

    /// A peripheral of the chip drives a pin that is multiplexed to it, or lets go of it.
    pub(crate) fn drive_by_peripheral(&mut self, group: usize, pin: usize, level: Option<bool>) {
        let group = &mut self.groups[group];
        let bit = 1 << pin;
        group.peripheral_driven = group.peripheral_driven & !bit | if level.is_some() { bit } else { 0 };
        group.peripheral_drive = group.peripheral_drive & !bit | if level == Some(true) { bit } else { 0 };
    }

    /// Outputs of peripherals that are multiplexed to pins, with group and number of the pin.
    pub(crate) fn routed(&self) -> &[(usize, usize, Source)] {
        &self.routed
    }

    /// Takes the list of [`routed`](Self::routed), to be [given back](Self::set_routed).
    pub(crate) fn take_routed(&mut self) -> Vec<(usize, usize, Source)> {
        std::mem::take(&mut self.routed)
    }

    /// See [`take_routed`](Self::take_routed).
    pub(crate) fn set_routed(&mut self, routed: Vec<(usize, usize, Source)>) {
        self.routed = routed;
    }

    /// The multiplexing has changed: other outputs of peripherals may be at the pins.
    pub(crate) fn route(&mut self) {
        for (group, pin, _) in std::mem::take(&mut self.routed) {
            self.drive_by_peripheral(group, pin, None);
        }
        self.routed = pins::routed(self);
    }

    /// Whether a peripheral has the pin, and it follows its registers.
    pub(crate) fn is_peripheral_s(&self, group: usize, pin: usize) -> bool {
        self.retained.is_none() && self.groups[group].peripheral >> pin & 1 != 0
    }

    /// The level that the world or the pull gives the pin, if they do.
    pub(crate) fn given(&self, group: usize, pin: usize) -> Option<bool> {
        let group = &self.groups[group];
        let bit = |bits: u32| bits >> pin & 1 != 0;
        if bit(group.driven) {
            return Some(bit(group.drive));
        }
        bit(group.pulled).then_some(bit(group.out))
    }

    fn outputs(&self, n: usize) -> (u32, u32) {
        self.retained.map_or_else(|| self.groups[n].outputs(), |retained| retained[n])
    }

    /// Levels at the pins of each group.
    pub(crate) fn levels(&self) -> [u32; 4] {
        std::array::from_fn(|n| self.groups[n].levels(self.outputs(n)))
    }

    /// Whether the multiplexing may have changed since the last call.
    pub(crate) fn take_remultiplexed(&mut self) -> bool {
        std::mem::take(&mut self.remultiplexed)
    }

    /// Whether the chip drives the pin, and to what.
    pub(crate) fn output(&self, group: usize, pin: usize) -> Option<bool> {
        let (driven, level) = self.outputs(group);
        (driven >> pin & 1 != 0).then_some(level >> pin & 1 != 0)
    }

    /// The peripheral function (PMUX value) that has the pin, if PMUXEN is set.
    pub(crate) fn function(&self, group: usize, pin: usize) -> Option<u8> {
        let group = &self.groups[group];
        (group.pincfg[pin] & PMUXEN != 0).then_some(group.mux(pin))
    }

    /// Pins of `group` that function `function` (PMUX value) has.
    pub(crate) fn selected(&self, group: usize, function: u8) -> u32 {
        let group = &self.groups[group];
        let mut pins = group.muxed;
        let mut selected = 0;
        while pins != 0 {
            let pin = pins.trailing_zeros();
            pins &= pins - 1;
            selected |= u32::from(group.mux(pin as usize) == function) << pin;
        }
        selected
    }

    /// The core's power domain goes off: the pins hold what they have.
    pub(crate) fn retain(&mut self) {
        self.retained = Some(std::array::from_fn(|n| self.outputs(n)));
    }

    /// Whether the pins hold what they had.
    pub(crate) fn is_retained(&self) -> bool {
        self.retained.is_some()
    }

    /// The pins follow their registers again.
    pub(crate) fn release(&mut self) {
        self.retained = None;
    }
}

impl Peripheral for Port {
    fn width(&self, offset: u32) -> Size {
        if offset & 0x7F >= 0x30 { Size::Byte } else { Size::Word }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        let n = offset as usize / 0x80;
        if n >= self.groups.len() {
            return cx.unmodelled(offset, false);
        }
        let outputs = self.outputs(n);
        let group = &self.groups[n];
        match offset & 0x7F {
            0x00 | 0x04 | 0x08 | 0x0C => group.dir,
            0x10 | 0x14 | 0x18 | 0x1C => group.out,
            0x20 => group.levels(outputs) & group.input,
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
            at @ 0x30..0x40 => group.write_pmux(at as usize - 0x30, w.value as u8),
            at @ 0x40..0x60 => group.configure(at as usize - 0x40, w.value as u8 & 0x47),
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

    fn event_in(&mut self, user: usize, cx: &mut Context<'_>) {
        for group in &mut self.groups {
            group.event(user - USER);
        }
        cx.signals.pins_moved = true;
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
        assert_eq!(port.selected(1, 3), 3 << 24);
    }

    #[test]
    fn a_pin_of_a_peripheral_does_not_follow_out() {
        let (mut port, mut rig) = (Port::new(), Rig::new());
        port.write(0x08, Write::full(1 << 4), &mut rig.cx(0));
        port.write(0x18, Write::full(1 << 4), &mut rig.cx(0));
        assert_eq!(port.output(0, 4), Some(true));
        port.write(0x32, Write::full(3), &mut rig.cx(0));
        port.write(0x44, Write::full(u32::from(PMUXEN)), &mut rig.cx(0));
        assert_eq!(port.output(0, 4), None);
    }

    #[test]
    fn the_four_event_inputs_act_on_their_pins() {
        let (mut port, mut rig) = (Port::new(), Rig::new());
        // Inputs 0 to 2: set pin 3, clear pin 4, toggle pin 5; input 3 is off.
        port.write(0x2C, Write::full(0x00E5_C4A3), &mut rig.cx(0));
        port.write(0x10, Write::full(1 << 4), &mut rig.cx(0));
        for user in [1, 2, 3, 4] {
            port.event_in(user, &mut rig.cx(0));
        }
        assert_eq!(port.read(0x10, &mut rig.cx(0)), 1 << 3 | 1 << 5);
        assert!(rig.signals.pins_moved);
    }
}
