//! FREQM: frequency meter (SAM D5x/E5x datasheet, 30).
//!
//! Fidelity: a measurement takes REFNUM periods of its reference and gives the ratio of the two clocks exactly, with
//! BUSY, OVF, DONE and its interrupt. The count starts at an edge of both clocks. Synchronisation takes three periods of
//! the measured clock (assumed). Without a reference a measurement does not end.

use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger::MODELLED;

const SWRST: u32 = 1;
const ENABLE: u32 = 1 << 1;
const BUSY: u32 = 1;
const OVF: u32 = 1 << 1;
/// PCHCTRL of the measured clock and of the reference (14.8.4).
const MEASURED: usize = 5;
const REFERENCE: usize = 6;
const VALUE_MAX: u64 = 0x00FF_FFFF;

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Freqm {
    ctrla: u32,
    cfga: u32,
    inten: u32,
    intflag: u32,
    overflow: bool,
    value: u32,
    /// When the measurement under way ends, and what it will give.
    running: Option<(Instant, u64)>,
    busy: u32,
    busy_until: Instant,
}

impl Freqm {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self {
            ctrla: 0,
            cfga: 0,
            inten: 0,
            intflag: 0,
            overflow: false,
            value: 0,
            running: None,
            busy: 0,
            busy_until: Instant::ZERO,
        }
    }

    fn synchronise(&mut self, bits: u32, cx: &Context<'_>) {
        self.busy = bits;
        self.busy_until = match cx.clocks.channel[MEASURED] {
            0 => cx.now,
            hz => cx.now + Duration::from_nanos(3 * 1_000_000_000 / u64::from(hz)),
        };
    }

    /// 30.6.2.3: counts the measured clock for REFNUM periods of the reference.
    fn start(&mut self, cx: &mut Context<'_>) {
        let (measured, reference) = (cx.clocks.channel[MEASURED], cx.clocks.channel[REFERENCE]);
        let periods = u64::from(self.cfga & 0xFF);
        if self.ctrla & ENABLE == 0 || periods == 0 {
            cx.violation("FREQM.CTRLB.START while disabled or with REFNUM 0");
            return;
        }
        self.running = Some(match u64::from(reference) {
            0 => (Instant::NEVER, 0),
            hz => {
                let time = Duration::from_nanos((periods * 1_000_000_000).div_ceil(hz));
                (cx.now + time, u64::from(measured) * periods / hz)
            }
        });
    }
}

impl Peripheral for Freqm {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x02 | 0x03 => Size::Half,
            0x00..0x0C => Size::Byte,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        match offset {
            0x00 => self.ctrla,
            0x01 => 0,
            0x02 => self.cfga,
            0x08 | 0x09 => self.inten,
            0x0A => self.intflag,
            0x0B => (if self.running.is_some() { BUSY } else { 0 }) | if self.overflow { OVF } else { 0 },
            0x0C if self.busy_until > cx.now => self.busy,
            0x0C => 0,
            0x10 => self.value,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.advance(cx);
        match offset {
            0x00 if w.value & SWRST != 0 => {
                *self = Self::new();
                self.synchronise(SWRST, cx);
            }
            0x00 => {
                self.ctrla = w.value & ENABLE;
                if self.ctrla & ENABLE == 0 {
                    self.running = None;
                }
                self.synchronise(ENABLE, cx);
            }
            0x01 => {
                if w.value & 1 != 0 {
                    self.start(cx);
                }
            }
            0x02 => {
                // 30.6.2.1: enable-protected.
                if self.ctrla & ENABLE == 0 {
                    self.cfga = w.onto_masked(self.cfga, 0xFF);
                } else {
                    cx.violation("FREQM.CFGA written while enabled: the write is dropped");
                }
            }
            0x08 => self.inten &= !w.value,
            0x09 => self.inten |= w.value & 1,
            0x0A => self.intflag &= !w.value,
            0x0B => self.overflow &= w.value & OVF == 0,
            0x0C | 0x10 => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        *self = Self::new();
    }

    fn next_event(&self) -> Instant {
        self.running.map_or(Instant::NEVER, |(end, _)| end)
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if let Some((_, value)) = self.running.take_if(|(end, _)| *end <= cx.now) {
            self.overflow |= value > VALUE_MAX;
            self.value = (value & VALUE_MAX) as u32;
            self.intflag |= 1;
        }
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    #[test]
    fn a_measurement_gives_the_ratio_of_the_clocks_after_its_time() {
        let (mut freqm, mut rig) = (Freqm::new(), Rig::new());
        rig.clocks.channel[MEASURED] = 12_000_000;
        rig.clocks.channel[REFERENCE] = 32_768;
        freqm.write(0x02, Write::full(200), &mut rig.cx(0));
        freqm.write(0x00, Write::full(ENABLE), &mut rig.cx(0));
        assert_eq!(freqm.read(0x0C, &mut rig.cx(0)), ENABLE);
        freqm.write(0x09, Write::full(1), &mut rig.cx(1_000));
        freqm.write(0x01, Write::full(1), &mut rig.cx(1_000));
        assert_eq!(freqm.read(0x0B, &mut rig.cx(2_000)), BUSY);
        let end = freqm.next_event().as_nanos();
        assert_eq!(end, 1_000 + 200_u64 * 1_000_000_000 / 32_768 + 1);
        freqm.advance(&mut rig.cx(end));
        assert_eq!(freqm.irqs(), 1);
        assert_eq!(freqm.read(0x10, &mut rig.cx(end)), 12_000_000 * 200 / 32_768);
        assert_eq!(freqm.read(0x0B, &mut rig.cx(end)), 0);
    }

    #[test]
    fn a_count_beyond_24_bits_overflows() {
        let (mut freqm, mut rig) = (Freqm::new(), Rig::new());
        rig.clocks.channel[MEASURED] = 120_000_000;
        rig.clocks.channel[REFERENCE] = 1_024;
        freqm.write(0x02, Write::full(255), &mut rig.cx(0));
        freqm.write(0x00, Write::full(ENABLE), &mut rig.cx(0));
        freqm.write(0x01, Write::full(1), &mut rig.cx(0));
        assert_eq!(freqm.read(0x0B, &mut rig.cx(1_000_000_000)), OVF);
        freqm.write(0x0B, Write::full(OVF), &mut rig.cx(1_000_000_000));
        assert_eq!(freqm.read(0x0B, &mut rig.cx(1_000_000_000)), 0);
    }

    #[test]
    fn without_a_reference_it_stays_busy() {
        let (mut freqm, mut rig) = (Freqm::new(), Rig::new());
        rig.clocks.channel[MEASURED] = 12_000_000;
        freqm.write(0x02, Write::full(1), &mut rig.cx(0));
        freqm.write(0x00, Write::full(ENABLE), &mut rig.cx(0));
        freqm.write(0x01, Write::full(1), &mut rig.cx(0));
        assert_eq!(freqm.read(0x0B, &mut rig.cx(10_000_000_000)), BUSY);
    }
}
