//! AC: analog comparators (SAM D5x/E5x datasheet, 46).
//!
//! Fidelity: both comparators, continuous and single-shot, with the four pins, ground, the VDD scaler, the bandgap (1 V,
//! assumed) and DAC0 as inputs, swap, interrupt selection, the window, start events and events out are modelled. They
//! compare at once, without hysteresis, filter or start-up time (assumed). A pin that is not multiplexed to function B
//! is not connected (reported once). Outputs reach the pins; ASYNC and SYNC are the same. Stored only: speed,
//! hysteresis, filter, calibration.

use armv7m::Size;

use super::{Inputs, Pin, VDDANA};
use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::port::Port;
use crate::registers::Ledger;

const ENABLE: u32 = 1 << 1;
const SINGLE: u32 = 1 << 2;
const SWAP: u32 = 1 << 15;
const WIN0: u32 = 1 << 4;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["DBGCTRL", "CALIB"], absent: &[] };

const PINS: [Pin; 4] = [(0, 4), (0, 5), (0, 6), (0, 7)];

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Ac {
    ctrla: u32,
    evctrl: u32,
    inten: u32,
    intflag: u32,
    dbgctrl: u32,
    winctrl: u32,
    scaler: [u32; 2],
    compctrl: [u32; 2],
    calib: u32,
    /// The comparators' outputs, as they were last looked at, and whether they are valid.
    state: u32,
    ready: u32,
    /// WSTATE0: 0 above, 1 inside, 2 below.
    window: u32,
    inputs: Inputs,
    dac: i64,
}

impl Ac {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self {
            ctrla: 0,
            evctrl: 0,
            inten: 0,
            intflag: 0,
            dbgctrl: 0,
            winctrl: 0,
            scaler: [0; 2],
            compctrl: [0; 2],
            calib: 0x101,
            state: 0,
            ready: 0,
            window: 0,
            inputs: Inputs::default(),
            dac: 0,
        }
    }

    fn restart(&mut self) {
        let mut inputs = std::mem::take(&mut self.inputs);
        inputs.restart();
        *self = Self { inputs, dac: self.dac, ..Self::new() };
    }

    /// What the board applies to a pin.
    pub(crate) fn set_pin(&mut self, pin: Pin, microvolts: i64, cx: &mut Context<'_>) {
        self.inputs.set(pin, microvolts);
        self.look(cx);
    }

    /// The multiplexing of the pins has changed.
    pub(crate) fn connect(&mut self, port: &Port) {
        self.inputs.connect(&PINS, port);
    }

    /// What DAC0 puts out.
    pub(crate) fn set_dac(&mut self, microvolts: i64, cx: &mut Context<'_>) {
        if microvolts != self.dac {
            self.dac = microvolts;
            self.look(cx);
        }
    }

    /// What comparator `n` drives at its pin: COMPCTRL.OUT is not OFF. Low before it has compared (assumed).
    pub(crate) fn output(&self, n: usize) -> Option<bool> {
        (self.is_on(n) && self.compctrl[n] >> 28 & 3 != 0).then_some(self.state & self.ready & 1 << n != 0)
    }

    fn is_on(&self, n: usize) -> bool {
        self.ctrla & ENABLE != 0 && self.compctrl[n] & ENABLE != 0
    }

    fn pin(&mut self, n: usize, cx: &mut Context<'_>) -> i64 {
        self.inputs.read(n, PINS[n]).unwrap_or_else(|(_, pin)| {
            cx.violation(format!("AC: PA{pin:02} is not multiplexed to function B"));
            0
        })
    }

    /// Positive and negative input of comparator `n`.
    fn compare(&mut self, n: usize, cx: &mut Context<'_>) -> bool {
        let control = self.compctrl[n];
        // 46.8.12: VDD scaler, in 64ths.
        let scaled = VDDANA * i64::from(self.scaler[n] + 1) / 64;
        let positive = match control >> 12 & 7 {
            mux @ 0..=3 => self.pin(mux as usize, cx),
            _ => scaled,
        };
        let negative = match control >> 8 & 7 {
            mux @ 0..=3 => self.pin(mux as usize, cx),
            4 => 0,
            5 => scaled,
            6 => 1_000_000,
            _ => self.dac,
        };
        (positive > negative) ^ (control & SWAP != 0)
    }

    /// Compares what compares continuously.
    fn look(&mut self, cx: &mut Context<'_>) {
        for n in 0..2 {
            if self.is_on(n) && self.compctrl[n] & SINGLE == 0 {
                self.take(n, cx);
            }
        }
        self.look_at_window(cx);
    }

    /// Comparator `n` has a new output.
    fn take(&mut self, n: usize, cx: &mut Context<'_>) {
        let (old, output) = (self.state >> n & 1 != 0, self.compare(n, cx));
        let first = self.ready >> n & 1 == 0;
        self.state = self.state & !(1 << n) | u32::from(output) << n;
        self.ready |= 1 << n;
        let edge = output != old;
        // INTSEL: toggle, rising, falling, end of comparison.
        let raises = match self.compctrl[n] >> 3 & 3 {
            0 => edge && !first,
            1 => edge && output,
            2 => edge && !output && !first,
            _ => true,
        };
        self.intflag |= u32::from(raises) << n;
        if edge && self.evctrl >> n & 1 != 0 {
            cx.event_level(107 + n as u8, output);
        }
    }

    /// 46.6.6: comparator 0 has the upper limit, 1 the lower one, on the same signal.
    fn look_at_window(&mut self, cx: &mut Context<'_>) {
        if self.winctrl & 1 == 0 || self.ready != 3 {
            return;
        }
        let window = match self.state {
            3 => 0,
            2 => 1,
            _ => 2,
        };
        let matches = |window: u32| match self.winctrl >> 1 & 3 {
            0 => window == 0,
            1 => window == 1,
            2 => window == 2,
            _ => window != 1,
        };
        let (was, is) = (matches(self.window), matches(window));
        if is && (!was || window != self.window) {
            self.intflag |= WIN0;
        }
        if is != was && self.evctrl >> 4 & 1 != 0 {
            cx.event_level(109, is);
        }
        self.window = window;
    }

    fn start(&mut self, n: usize, cx: &mut Context<'_>) {
        if self.is_on(n) && self.compctrl[n] & SINGLE != 0 {
            self.take(n, cx);
            self.look_at_window(cx);
        }
    }
}

impl Peripheral for Ac {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x02 | 0x03 | 0x24 | 0x25 => Size::Half,
            0x10..0x24 => Size::Word,
            _ => Size::Byte,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 => self.ctrla,
            0x01 => 0,
            0x02 => self.evctrl,
            0x04 | 0x05 => self.inten,
            0x06 => self.intflag,
            0x07 => self.state | self.window << 4,
            0x08 => self.ready,
            0x09 => self.dbgctrl,
            0x0A => self.winctrl,
            0x0C | 0x0D => self.scaler[offset as usize - 0x0C],
            0x10 | 0x14 => self.compctrl[(offset as usize - 0x10) / 4],
            0x20 => 0,
            0x24 => self.calib,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x00 if w.value & 1 != 0 => self.restart(),
            0x00 => self.ctrla = w.value & ENABLE,
            0x01 => {
                for n in (0..2).filter(|n| w.value >> n & 1 != 0) {
                    self.start(n, cx);
                }
            }
            0x02 => self.evctrl = w.onto_masked(self.evctrl, 0x3313),
            0x04 => self.inten &= !w.value,
            0x05 => self.inten |= w.value & 0x13,
            0x06 => self.intflag &= !w.value,
            0x09 => self.dbgctrl = w.value & 1,
            0x0A => self.winctrl = w.value & 7,
            0x0C | 0x0D => self.scaler[offset as usize - 0x0C] = w.value & 0x3F,
            0x10 | 0x14 => {
                let n = (offset as usize - 0x10) / 4;
                self.compctrl[n] = w.onto_masked(self.compctrl[n], 0x373B_F75E);
            }
            0x24 => self.calib = w.onto_masked(self.calib, 3),
            0x07 | 0x08 | 0x20 => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
        self.ready &= (0..2).filter(|n| self.is_on(*n)).fold(0, |bits, n| bits | 1 << n);
        if matches!(offset, 0x00 | 0x0A..0x18) {
            self.look(cx);
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        self.restart();
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag != 0)
    }

    fn event_in(&mut self, user: usize, cx: &mut Context<'_>) {
        let n = user - 59;
        if self.evctrl >> (8 + n) & 1 != 0 {
            self.start(n, cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Bench;

    const AC: u32 = 0x4200_2000;

    /// Comparator 0: PA04 against half of VDDANA.
    fn bench(control: u32) -> Bench {
        let mut bench = Bench::new();
        bench.set_byte(0x4100_8032, 0x11);
        bench.set_byte(0x4100_8044, 1);
        bench.set_byte(AC + 0xC, 31);
        bench.set(AC + 0x10, control | 5 << 8 | ENABLE);
        bench.set_byte(AC + 5, 1);
        bench.set_byte(AC, ENABLE);
        bench
    }

    #[test]
    fn a_comparator_interrupts_at_the_selected_edge() {
        let mut bench = bench(1 << 3);
        assert_eq!((bench.byte(AC + 7), bench.byte(AC + 8)), (0, 1));
        bench.chip.set_analog((0, 4), 1_700_000);
        assert!(bench.irq(122));
        assert_eq!(bench.byte(AC + 7), 1);
        bench.set_byte(AC + 6, 1);
        bench.chip.set_analog((0, 4), 1_600_000);
        assert!(!bench.irq(122));
    }

    #[test]
    fn single_shot_waits_for_its_start() {
        let mut bench = bench(SINGLE | 3 << 3);
        bench.chip.set_analog((0, 4), 3_000_000);
        assert_eq!((bench.byte(AC + 7), bench.byte(AC + 8)), (0, 0));
        bench.set_byte(AC + 1, 1);
        assert_eq!((bench.byte(AC + 7), bench.byte(AC + 8)), (1, 1));
        assert!(bench.irq(122));
    }

    #[test]
    fn an_output_is_a_level_event_that_a_timer_can_measure() {
        // AC0 to TC0 over channel 0, pulse width capture.
        let mut bench = bench(0);
        bench.set_half(AC + 2, 1);
        bench.set(0x4100_E020, 2 << 8 | 107);
        bench.set(0x4100_E120 + 4 * 44, 1);
        bench.set_half(0x4000_3806, 1 << 5 | 7);
        bench.set(0x4000_3800, 1 << 16 | 2);
        bench.run(1_000);
        bench.chip.set_analog((0, 4), 3_000_000);
        bench.run(10_000);
        bench.chip.set_analog((0, 4), 0);
        assert_eq!(bench.half(0x4000_381C), 480, "10 us at 48 MHz");
    }
}
