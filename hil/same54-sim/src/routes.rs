//! What connects the blocks beside the bus: DMA requests and transfers, and events.

use armv7m::{BusFault, Size};

use crate::analog::dac;
use crate::chip::Chip;
use crate::dmac::{Outcome, Slice};
use crate::event::EventKind;
use crate::evsys::{Delivery, trigger_block, user_block};
use crate::map::{COUNT, Id, SLOTS};
use crate::memory::{BANK_SIZE, FLASH_SIZE};
use crate::peripheral::Edge;

/// Events at one instant after which those that are left are dropped.
const MOST_EVENTS: usize = 256;

/// The core's own peripherals and what is above.
const CORE: u32 = 0xE000_0000;

/// State of the connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Routes {
    /// Blocks whose DMA requests count, by [`Id`]; see [`Dmac::watch`](crate::dmac::Dmac::watch).
    watch: u64,
    /// Events are being delivered, further up the stack.
    delivering: bool,
}

impl Chip {
    /// Passes on what block `id` asks of other blocks, after it has done something.
    #[inline]
    pub(crate) fn route(&mut self, id: Id) {
        if self.routes.watch >> id as u64 & 1 != 0 {
            self.tell_dma(id);
        }
        match id {
            Id::Dmac => self.watch_for_dma(),
            Id::Dac => self.pass_voltage(),
            Id::Tc0 => self.pair_timers(0),
            Id::Tc2 => self.pair_timers(2),
            Id::Tc4 => self.pair_timers(4),
            Id::Tc6 => self.pair_timers(6),
            Id::Evsys if self.parts.evsys.has_software() => self.deliver_events(),
            _ => {}
        }
        if !self.shared.signals.events_out.is_empty() {
            self.deliver_events();
        }
    }

    /// The DMAC learns the requests of block `id`.
    fn tell_dma(&mut self, id: Id) {
        let (levels, now) = (self.parts.get(id).dma_requests(), self.now());
        self.parts.dmac.set_requests(id, levels, now);
        self.look_again(Id::Dmac);
    }

    /// The DMAC may wait for other blocks than before.
    fn watch_for_dma(&mut self) {
        let watch = self.parts.dmac.watch();
        let changed = watch ^ self.routes.watch;
        self.routes.watch = watch;
        if changed != 0 {
            for slot in SLOTS.iter().take(COUNT).filter(|slot| changed >> slot.id as u64 & 1 != 0) {
                let watched = watch >> slot.id as u64 & 1 != 0;
                // Telling the DMAC is part of settling the block.
                self.with(slot.id, |parts, cx| parts.get(slot.id).set_dma_watched(watched, cx));
            }
        }
    }

    /// The board applies a voltage to a pin.
    pub(crate) fn set_analog(&mut self, pin: (usize, usize), microvolts: i64) {
        for adc in &mut self.parts.adc {
            adc.set_pin(pin, microvolts);
        }
        self.with(Id::Ac, |parts, cx| parts.ac.set_pin(pin, microvolts, cx));
    }

    /// What the DAC puts out is at the inputs of ADC and AC: inside the chip, and at the pins.
    fn pass_voltage(&mut self) {
        for (n, pin) in dac::PINS.into_iter().enumerate() {
            if let Some(microvolts) = self.parts.dac.pin(n) {
                self.set_analog(pin, microvolts);
            }
        }
        let microvolts = self.parts.dac.voltage(0).unwrap_or(0);
        for adc in &mut self.parts.adc {
            adc.set_dac(microvolts);
        }
        self.with(Id::Ac, |parts, cx| parts.ac.set_dac(microvolts, cx));
    }

    /// The odd partner of a 32-bit TC is its slave (48.6.2.4).
    fn pair_timers(&mut self, even: usize) {
        let slave = self.parts.tc[even].takes_partner();
        self.parts.tc[even + 1].set_slave(slave);
    }

    /// Events go to their users, and those that these cause in turn.
    fn deliver_events(&mut self) {
        if self.routes.delivering {
            return;
        }
        self.routes.delivering = true;
        let mut count = 0;
        let software = self.with(Id::Evsys, |parts, cx| parts.evsys.take_software(cx));
        self.tell_users(&software);
        loop {
            let fired = std::mem::take(&mut self.shared.signals.events_out);
            if fired.is_empty() {
                break;
            }
            count += fired.len();
            if count > MOST_EVENTS {
                let now = self.now();
                let what = format!("events of generator {} feed themselves without end: dropped", fired[0].0);
                self.shared.events.push(now, EventKind::Violation(what));
                break;
            }
            for (generator, edge) in fired {
                let told = self.with(Id::Evsys, |parts, cx| parts.evsys.generated(generator, edge, cx));
                self.tell_users(&told);
            }
        }
        self.routes.delivering = false;
    }

    fn tell_users(&mut self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let mut users = delivery.users;
            while users != 0 {
                let user = users.trailing_zeros() as usize;
                users &= users - 1;
                let Some(id) = user_block(user) else { continue };
                self.with(id, |parts, cx| match delivery.edge {
                    Edge::Pulse => parts.get(id).event_in(user, cx),
                    edge => parts.get(id).event_level(user, edge == Edge::Rise, cx),
                });
                if id == Id::Port {
                    self.look_at_pins();
                }
            }
        }
    }

    /// The DMAC does what is due.
    pub(crate) fn run_dma(&mut self) {
        while let Some(slice) = self.with(Id::Dmac, |parts, cx| parts.dmac.take_slice(cx)) {
            if let Some(id) = trigger_block(slice.source) {
                self.with(id, |parts, _| parts.get(id).dma_served(slice.source));
            }
            let outcome = self.transfer(&slice);
            self.with(Id::Dmac, |parts, cx| parts.dmac.finish(outcome, cx));
        }
    }

    fn transfer(&mut self, slice: &Slice) -> Outcome {
        let in_flash = |addr: u32| addr < FLASH_SIZE && addr / BANK_SIZE == self.shared.memory.busy_bank();
        if (in_flash(slice.from) || in_flash(slice.to))
            && let Some(until) = self.parts.nvmctrl.busy_until()
        {
            return Outcome::Wait(until);
        }
        let size = slice.size;
        let mut bytes = Vec::with_capacity(slice.beats as usize * size as usize);
        for beat in 0..slice.beats {
            let from = slice.from.wrapping_add(beat * slice.from_step);
            let to = slice.to.wrapping_add(beat * slice.to_step);
            match self.beat(from, to, size, slice.read_only) {
                Ok(value) => bytes.extend_from_slice(&value.to_le_bytes()[..size as usize]),
                Err(BusFault) => return Outcome::Error(beat),
            }
        }
        Outcome::Done(bytes)
    }

    fn beat(&mut self, from: u32, to: u32, size: Size, read_only: bool) -> Result<u32, BusFault> {
        // 22.10.3 and 22.10.4: addresses are those of beats.
        let low = !(size as u32 - 1);
        // The core's own peripherals are not on the bus matrix.
        if from >= CORE || to >= CORE && !read_only {
            return Err(BusFault);
        }
        let cycle = self.cycle;
        let value = self.read_by_master(from & low, size, cycle)?;
        // What a register says of itself is for the core alone.
        self.steady.until = 0;
        if !read_only {
            self.write_by_master(to & low, size, value, cycle)?;
        }
        Ok(value)
    }
}
