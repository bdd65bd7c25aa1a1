//! TRNG: true random number generator (SAM D5x/E5x datasheet, 43).
//!
//! Fidelity: one word every 84 cycles of the bus clock, DATARDY, its interrupt and its event are modelled. The numbers come from
//! the board's seed: they repeat from run to run on purpose.

use std::time::Duration;

use armv7m::Size;
use sim_base::{Instant, Rng};

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

const ENABLE: u32 = 1 << 1;
/// Event generator READY (31.7.8).
const GENERATOR: u8 = 115;
const CYCLES_PER_WORD: u64 = 84;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger::MODELLED;

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Trng {
    ctrla: u32,
    evctrl: u32,
    inten: u32,
    ready_at: Instant,
    ready: bool,
    data: u32,
    rng: Rng,
}

impl Trng {
    /// As after reset, with the numbers of `rng`.
    pub(crate) fn new(rng: Rng) -> Self {
        Self { ctrla: 0, evctrl: 0, inten: 0, ready_at: Instant::NEVER, ready: false, data: 0, rng }
    }

    fn begin(&mut self, cx: &Context<'_>) {
        let nanos = CYCLES_PER_WORD * 1_000_000_000 / u64::from(cx.clocks.cpu.max(1));
        self.ready_at = cx.now + Duration::from_nanos(nanos);
        self.ready = false;
    }
}

impl Peripheral for Trng {
    fn width(&self, offset: u32) -> Size {
        if offset < 0x20 { Size::Byte } else { Size::Word }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        match offset {
            0x00 => self.ctrla,
            0x04 => self.evctrl,
            0x08 | 0x09 => self.inten,
            0x0A => u32::from(self.ready),
            0x20 => {
                let data = self.data;
                if self.ready {
                    self.begin(cx);
                } else if self.ctrla & ENABLE != 0 {
                    cx.violation("TRNG.DATA read before DATARDY: the word is not new");
                }
                data
            }
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.advance(cx);
        match offset {
            0x00 => {
                let old = self.ctrla;
                self.ctrla = w.value & 0x42;
                if self.ctrla & ENABLE == 0 {
                    self.ready_at = Instant::NEVER;
                    self.ready = false;
                } else if old & ENABLE == 0 {
                    self.begin(cx);
                }
            }
            0x04 => self.evctrl = w.value & 1,
            0x08 => self.inten &= !w.value,
            0x09 => self.inten |= w.value & 1,
            0x0A => {
                if w.value & 1 != 0 && self.ready {
                    self.begin(cx);
                }
            }
            0x20 => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        // The numbers go on where they were: a reset does not make them repeat.
        *self = Self::new(self.rng.clone());
    }

    fn next_event(&self) -> Instant {
        if self.inten | self.evctrl != 0 { self.ready_at } else { Instant::NEVER }
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.ready_at <= cx.now {
            self.ready_at = Instant::NEVER;
            self.ready = true;
            self.data = self.rng.next_u32();
            if self.evctrl != 0 {
                cx.event_out(GENERATOR);
            }
        }
    }

    fn irqs(&self) -> u64 {
        u64::from(self.ready) & u64::from(self.inten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    #[test]
    fn a_new_word_is_ready_84_cycles_after_the_last_was_read() {
        let (mut trng, mut rig) = (Trng::new(Rng::new(7)), Rig::new());
        trng.write(0, Write::full(2), &mut rig.cx(0));
        assert_eq!(trng.read(0x0A, &mut rig.cx(1_749)), 0);
        assert_eq!(trng.read(0x0A, &mut rig.cx(1_750)), 1);
        let first = trng.read(0x20, &mut rig.cx(1_800));
        assert_eq!(trng.read(0x0A, &mut rig.cx(1_801)), 0);
        assert_eq!(trng.read(0x0A, &mut rig.cx(3_600)), 1);
        assert_ne!(trng.read(0x20, &mut rig.cx(3_600)), first);
        assert_eq!(first, Rng::new(7).next_u32(), "the seed decides");
    }

    #[test]
    fn a_ready_word_is_an_event_if_it_is_asked_for() {
        let (mut trng, mut rig) = (Trng::new(Rng::new(7)), Rig::new());
        trng.write(4, Write::full(1), &mut rig.cx(0));
        trng.write(0, Write::full(2), &mut rig.cx(0));
        trng.advance(&mut rig.cx(trng.next_event().as_nanos()));
        assert_eq!(rig.signals.events_out.len(), 1);
        assert_eq!(trng.irqs(), 0);
    }

    #[test]
    fn the_interrupt_follows_datardy() {
        let (mut trng, mut rig) = (Trng::new(Rng::new(7)), Rig::new());
        trng.write(9, Write::full(1), &mut rig.cx(0));
        trng.write(0, Write::full(2), &mut rig.cx(0));
        trng.advance(&mut rig.cx(trng.next_event().as_nanos()));
        assert_eq!(trng.irqs(), 1);
        trng.read(0x20, &mut rig.cx(1_800));
        assert_eq!(trng.irqs(), 0);
    }
}
