//! What peripherals put out at the pins that are multiplexed to them.
//!
//! Levels are worked out when somebody looks: a waveform costs nothing while it runs.

mod table;

use sim_base::Instant;

use crate::chip::Chip;
use crate::pm::Sleep;
use crate::port::Port;
use crate::sercom::pads;
use crate::waveform::{Output, Waveform};

/// An output of a peripheral.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Instance and waveform output.
    Tc(u8, u8),
    /// Instance and waveform output.
    Tcc(u8, u8),
    /// Generator.
    Gclk(u8),
    /// Comparator.
    Ac(u8),
    /// Look-up table.
    Ccl(u8),
    /// Instance and pad.
    Sercom(u8, u8),
}

/// The outputs that are multiplexed to pins, with group and number of the pin.
pub(crate) fn routed(port: &Port) -> Vec<(usize, usize, Source)> {
    let pads =
        pads::PADS.iter().map(|&(group, n, function, sercom, pad)| (group, n, function, Source::Sercom(sercom, pad)));
    let all = table::OUTPUTS.iter().copied().chain(pads);
    let at_pins = all.map(|(group, n, function, source)| (usize::from(group), usize::from(n), function, source));
    at_pins
        .filter(|(group, n, function, _)| port.function(*group, *n) == Some(*function))
        .map(|(group, n, _, source)| (group, n, source))
        .collect()
}

impl Chip {
    /// What `source` drives at `now`, if it does.
    fn output_of(&self, source: Source, now: Instant) -> Option<Output> {
        let parts = &self.parts;
        match source {
            Source::Tc(n, wo) => parts.tc[usize::from(n)].output(usize::from(wo), now),
            Source::Tcc(n, wo) => parts.tcc[usize::from(n)].output(usize::from(wo), now),
            Source::Gclk(n) => {
                let standby = parts.pm.asleep() == Some(Sleep::Standby);
                parts.gclk.output(usize::from(n), self.shared.clocks.generator[usize::from(n)], standby, now)
            }
            Source::Ac(n) => parts.ac.output(usize::from(n)).map(Output::steady),
            Source::Ccl(n) => Some(Output::steady(parts.ccl.level(usize::from(n)))),
            Source::Sercom(n, pad) => parts.sercom[usize::from(n)].idle_level(usize::from(pad)).map(Output::steady),
        }
    }

    /// What peripherals drive goes to the pins that are multiplexed to them.
    pub(crate) fn drive_outputs(&mut self) {
        if self.parts.port.routed().is_empty() {
            return;
        }
        let (routed, now) = (self.parts.port.take_routed(), self.now());
        for (group, pin, source) in &routed {
            let output = self.output_of(*source, now);
            self.parts.port.drive_by_peripheral(*group, *pin, output.map(|output| output.level));
        }
        self.parts.port.set_routed(routed);
    }

    /// What a peripheral drives at a pin at `now`: none if no peripheral has it or it drives nothing. Pins that hold
    /// what they had in hibernate or backup follow nobody.
    fn pin_output(&self, group: usize, pin: usize, now: Instant) -> Option<Output> {
        let routed = self.parts.port.routed().iter().find(|routed| (routed.0, routed.1) == (group, pin));
        let &(_, _, source) = routed.filter(|_| !self.parts.port.is_retained())?;
        self.output_of(source, now)
    }

    /// Whether the chip drives the pin at `now`, and to what.
    pub(crate) fn driven(&self, group: usize, pin: usize, now: Instant) -> Option<bool> {
        match self.pin_output(group, pin, now) {
            Some(output) => Some(output.level),
            None if self.parts.port.is_peripheral_s(group, pin) => None,
            None => self.parts.port.output(group, pin),
        }
    }

    /// The waveform that a peripheral repeats at a pin.
    pub(crate) fn waveform(&self, group: usize, pin: usize, now: Instant) -> Option<Waveform> {
        self.pin_output(group, pin, now).and_then(|output| output.waveform)
    }
}

#[cfg(test)]
mod tests;
