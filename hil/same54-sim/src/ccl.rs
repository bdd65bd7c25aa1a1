//! CCL: configurable custom logic (SAM D5x/E5x datasheet, 38).
//!
//! Fidelity: the truth tables of the four LUTs with masked, feedback, linked and event inputs, edge selection and output
//! events are modelled, without delay. Filters, synchronisers and sequential logic (SEQCTRL) are stored only; inputs from
//! pins, AC, TC, TCC and SERCOM are low, and outputs reach the pins.

use armv7m::Size;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

const ENABLE: u32 = 1 << 1;
const EDGESEL: u32 = 1 << 7;
const INVEI: u32 = 1 << 20;
const LUTEI: u32 = 1 << 21;
const LUTEO: u32 = 1 << 22;
/// EVSYS generator of LUT0, and its user.
const GENERATOR: u8 = 116;
const USER: usize = 63;
/// Evaluations after which logic that feeds itself is taken to oscillate.
const ROUNDS: usize = 16;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["SEQCTRL[]"], absent: &[] };

/// The register block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ccl {
    ctrl: u32,
    seqctrl: [u32; 2],
    lutctrl: [u32; 4],
    /// Levels of the event inputs and of the outputs, by LUT.
    events: u32,
    outputs: u32,
}

impl Ccl {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Level of the output of LUT `n`.
    pub(crate) fn level(&self, n: usize) -> bool {
        self.outputs >> n & 1 != 0
    }

    fn is_on(&self, n: usize) -> bool {
        self.ctrl & ENABLE != 0 && self.lutctrl[n] & ENABLE != 0
    }

    fn input(&self, n: usize, select: u32) -> u32 {
        match select {
            1 => self.outputs >> n & 1,
            // 38.6.2.5: linked is the next LUT, and after the last the first.
            2 => self.outputs >> ((n + 1) % 4) & 1,
            3 if self.lutctrl[n] & LUTEI != 0 => (self.events >> n ^ u32::from(self.lutctrl[n] & INVEI != 0)) & 1,
            _ => 0,
        }
    }

    fn output(&self, n: usize) -> u32 {
        if !self.is_on(n) {
            return 0;
        }
        let control = self.lutctrl[n];
        let index = (0..3).fold(0, |index, bit| index | self.input(n, control >> (8 + 4 * bit) & 15) << bit);
        control >> (24 + index) & 1
    }

    /// The logic settles; changed outputs are events.
    fn settle(&mut self, cx: &mut Context<'_>) {
        let before = self.outputs;
        let mut round = 0;
        loop {
            let outputs = (0..4).fold(0, |bits, n| bits | self.output(n) << n);
            if outputs == self.outputs {
                break;
            }
            self.outputs = outputs;
            round += 1;
            if round == ROUNDS {
                cx.violation("CCL: the logic oscillates");
                break;
            }
        }
        for n in (0..4).filter(|n| (before ^ self.outputs) >> n & 1 != 0 && self.lutctrl[*n] & LUTEO != 0) {
            let level = self.outputs >> n & 1 != 0;
            if self.lutctrl[n] & EDGESEL == 0 {
                cx.event_level(GENERATOR + n as u8, level);
            } else if level {
                cx.event_out(GENERATOR + n as u8);
            }
        }
    }
}

impl Peripheral for Ccl {
    fn width(&self, offset: u32) -> Size {
        if offset < 0x08 { Size::Byte } else { Size::Word }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 => self.ctrl,
            0x04 | 0x05 => self.seqctrl[offset as usize - 4],
            0x08..0x18 => self.lutctrl[(offset as usize - 8) / 4],
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x00 if w.value & 1 != 0 => *self = Self::new(),
            0x00 => self.ctrl = w.value & 0x42,
            0x04 | 0x05 => self.seqctrl[offset as usize - 4] = w.value & 15,
            0x08..0x18 => {
                let control = &mut self.lutctrl[(offset as usize - 8) / 4];
                *control = w.onto_masked(*control, 0xFF7F_FFB2);
            }
            _ => {
                cx.unmodelled(offset, true);
            }
        }
        self.settle(cx);
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        *self = Self::new();
    }

    fn event_in(&mut self, user: usize, cx: &mut Context<'_>) {
        self.event_level(user, true, cx);
        self.event_level(user, false, cx);
    }

    fn event_level(&mut self, user: usize, level: bool, cx: &mut Context<'_>) {
        let n = user - USER;
        self.events = self.events & !(1 << n) | u32::from(level) << n;
        self.settle(cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Bench;

    const CCL: u32 = 0x4200_3800;

    /// A LUT whose inputs are chosen by `inputs`, with its event input and output.
    fn lut(inputs: u32, truth: u32) -> u32 {
        truth << 24 | LUTEO | LUTEI | inputs << 8 | ENABLE
    }

    #[test]
    fn a_truth_table_follows_its_events_and_links() {
        // LUT0 is LUT1 and its own event; LUT1 is its event. TC0 counts LUT0's rises.
        let mut bench = Bench::new();
        for (channel, generator, user) in [(0, 0, 63), (1, 0, 64), (2, 116, 44)] {
            bench.set(0x4100_E020 + 8 * channel, 2 << 8 | generator);
            bench.set(0x4100_E120 + 4 * user, channel + 1);
        }
        bench.set_half(0x4000_3806, 1 << 5 | 2);
        bench.set(0x4000_3800, 2);
        bench.set(CCL + 0x08, lut(0x032, 0x88));
        bench.set(CCL + 0x0C, lut(0x003, 0x55));
        bench.set_byte(CCL, ENABLE);
        bench.set(0x4100_E004, 1);
        assert_eq!(bench.half(0x4000_3814), 1, "LUT1 inverts: high while its event is low");
        bench.set(CCL + 0x0C, lut(0x003, 0xAA));
        bench.set(0x4100_E004, 1);
        assert_eq!(bench.half(0x4000_3814), 1);
    }

    #[test]
    fn events_that_feed_themselves_are_cut_off_and_reported() {
        // LUT0 inverts its own output event.
        let mut bench = Bench::new();
        bench.set(0x4100_E020, 2 << 8 | 116);
        bench.set(0x4100_E120 + 4 * 63, 1);
        bench.set(CCL + 0x08, lut(0x003, 0x55));
        bench.set_byte(CCL, ENABLE);
        let violations = bench.violations();
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert!(violations[0].contains("generator 116"), "{violations:?}");
    }
}
