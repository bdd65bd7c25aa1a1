//! The chip without its core: peripherals, memories and what connects them.

use std::collections::BTreeSet;
use std::ops::Range;

use armv7m::Cycle;
use sim_base::{EthernetLink, Instant, Rng};

use crate::clocks::{self, Frequencies, channel};
use crate::eic;
use crate::event::{EventLog, ResetCause};
use crate::flash_path::FlashPath;
use crate::map::{COUNT, Id, NO_BIT, SLOTS};
use crate::memory::Memory;
use crate::parts::{Parts, eeprom};
use crate::peripheral::{Context, Peripheral, Signals};
use crate::pm::Sleep;
use crate::routes::Routes;
use crate::sercom::pads;
use crate::tear::Tear;
use crate::timebase::TimeBase;

/// What peripherals share.
pub(crate) struct Shared {
    pub(crate) memory: Memory,
    pub(crate) link: Option<Box<dyn EthernetLink>>,
    pub(crate) events: EventLog,
    pub(crate) clocks: Frequencies,
    pub(crate) signals: Signals,
    pub(crate) flash_timing: bool,
}

impl Shared {
    pub(crate) fn cx(&mut self, now: Instant, name: &'static str) -> Context<'_> {
        Context {
            now,
            memory: &mut self.memory,
            link: &mut self.link,
            events: &mut self.events,
            clocks: &self.clocks,
            signals: &mut self.signals,
            flash_timing: self.flash_timing,
            name,
        }
    }
}

/// A register that reads the same until `until`, as long as nothing else happens to the chip.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Steady {
    pub(crate) addr: u32,
    pub(crate) bytes: u32,
    pub(crate) value: u32,
    /// The first cycle at which it may read differently.
    pub(crate) until: Cycle,
}

/// Chip and time.
pub(crate) struct Chip {
    pub(crate) parts: Parts,
    pub(crate) shared: Shared,
    pub(crate) time: TimeBase,
    pub(crate) path: FlashPath,
    /// The cycle of the access or of the board's last look.
    pub(crate) cycle: Cycle,
    irqs: [u64; COUNT],
    /// Interrupt lines that changed and that the core has not been told.
    irq_changes: Vec<(usize, bool)>,
    next_events: [Instant; COUNT],
    /// Not later than the earliest of `next_events`.
    deadline: Instant,
    /// When the far end of the Ethernet cable next has something, as it said when it was last asked.
    link_at: Instant,
    /// What a program that polls a register reads without further ado.
    pub(crate) steady: Steady,
    /// Blocks whose missing bus clock has been reported since the last reset.
    unclocked: BTreeSet<Id>,
    /// Share of RAM, in 1/65536, that the next loss of supply costs; all of it if unknown.
    pub(crate) ram_lost: Option<u16>,
    pub(crate) routes: Routes,
    /// The board's MAC address, as its EEPROM has it.
    pub(crate) mac_address: [u8; 6],
    pub(crate) rng: Rng,
}

impl Chip {
    /// A chip fresh from the factory, without supply.
    pub(crate) fn new(seed: u64, flash_timing: bool) -> Self {
        let rng = Rng::new(seed);
        let clocks = Frequencies::after_reset();
        Self {
            parts: Parts::new(&rng),
            time: TimeBase::new(clocks.cpu),
            path: FlashPath::new(),
            shared: Shared {
                memory: Memory::new(&mut rng.fork("serial number")),
                link: None,
                events: EventLog::default(),
                clocks,
                signals: Signals::default(),
                flash_timing,
            },
            cycle: 0,
            irqs: [0; COUNT],
            irq_changes: Vec::new(),
            next_events: [Instant::NEVER; COUNT],
            deadline: Instant::NEVER,
            link_at: Instant::NEVER,
            steady: Steady::default(),
            unclocked: BTreeSet::new(),
            ram_lost: None,
            routes: Routes::default(),
            mac_address: eeprom(&rng).eui(),
            rng: rng.fork("board"),
        }
    }

    /// A copy without the Ethernet cable.
    pub(crate) fn snapshot(&self) -> Self {
        let Shared { memory, events, clocks, signals, flash_timing, .. } = &self.shared;
        Self {
            parts: self.parts.clone(),
            shared: Shared {
                memory: memory.clone(),
                link: None,
                events: events.clone(),
                clocks: clocks.clone(),
                signals: signals.clone(),
                flash_timing: *flash_timing,
            },
            time: self.time,
            path: self.path.clone(),
            cycle: self.cycle,
            irqs: self.irqs,
            irq_changes: self.irq_changes.clone(),
            next_events: self.next_events,
            deadline: self.deadline,
            link_at: Instant::NEVER,
            steady: Steady::default(),
            unclocked: self.unclocked.clone(),
            ram_lost: self.ram_lost,
            routes: self.routes,
            mac_address: self.mac_address,
            rng: self.rng.clone(),
        }
    }

    /// Becomes as `other` is now; the Ethernet cable stays as it is here. Returns the parts of flash that were different.
    pub(crate) fn restore_from(&mut self, other: &Self) -> Vec<Range<u32>> {
        // Named one by one, so that a new field is not forgotten here.
        let Self {
            parts,
            shared: Shared { memory, link: _, events, clocks, signals, flash_timing },
            time,
            path,
            cycle,
            irqs,
            irq_changes,
            next_events,
            deadline,
            link_at: _,
            steady: _,
            unclocked,
            routes,
            mac_address,
            ram_lost,
            rng,
        } = other;
        let changed = self.shared.memory.restore_from(memory);
        self.parts.clone_from(parts);
        self.shared.events.clone_from(events);
        self.shared.clocks.clone_from(clocks);
        self.shared.signals.clone_from(signals);
        self.shared.flash_timing = *flash_timing;
        self.time = *time;
        self.path.clone_from(path);
        self.cycle = *cycle;
        self.irqs = *irqs;
        self.irq_changes.clone_from(irq_changes);
        self.next_events = *next_events;
        self.deadline = *deadline;
        self.look_at_link();
        self.steady = Steady::default();
        self.unclocked.clone_from(unclocked);
        self.routes = *routes;
        self.mac_address = *mac_address;
        self.ram_lost = *ram_lost;
        self.rng = rng.clone();
        changed
    }

    /// What chance decides from now on follows `rng`.
    pub(crate) fn reseed(&mut self, rng: &Rng) {
        self.rng = rng.fork("board");
    }

    /// Time of the chip's current cycle.
    pub(crate) fn now(&self) -> Instant {
        self.time.at(self.cycle)
    }

    /// Lets `f` work on block `id` and then takes notice of what that changed.
    pub(crate) fn with<R>(&mut self, id: Id, f: impl FnOnce(&mut Parts, &mut Context<'_>) -> R) -> R {
        let now = self.now();
        let result = f(&mut self.parts, &mut self.shared.cx(now, SLOTS[id as usize].name));
        self.settle(id);
        result
    }

    /// Reads back interrupt lines and next event of block `id`.
    pub(crate) fn settle(&mut self, id: Id) {
        self.steady.until = 0;
        if self.shared.signals.clocks_dirty {
            self.shared.signals.clocks_dirty = false;
            self.update_clocks();
        }
        let slot = id as usize;
        let part = self.parts.get(id);
        let (irqs, next) = (part.irqs(), part.next_event());
        self.next_events[slot] = next;
        if next < self.deadline {
            self.deadline = next;
            self.shared.signals.attention = true;
        }
        if std::mem::take(&mut self.shared.signals.access_error) {
            let place = &SLOTS[slot];
            if place.bit != NO_BIT {
                self.with(Id::Pac, |parts, cx| parts.pac.access_error(place.bridge, place.bit, cx));
            }
        }
        if id == Id::Gmac
            && let Some(level) = self.parts.gmac.take_phy_interrupt()
        {
            // PD12 is the PHY's interrupt.
            self.parts.port.drive(3, 12, Some(level));
            self.with(Id::Eic, |parts, cx| parts.eic.look(eic::lines(&parts.port, parts.port.levels()), cx));
        }
        let changed = irqs ^ self.irqs[slot];
        if changed != 0 {
            self.irqs[slot] = irqs;
            for line in (0..64).filter(|line| changed >> line & 1 != 0) {
                self.irq_changes.push((SLOTS[slot].irq + line, irqs >> line & 1 != 0));
            }
            self.shared.signals.attention = true;
        }
        self.route(id);
    }

    /// Reads back the next event of block `id` alone.
    pub(crate) fn look_again(&mut self, id: Id) {
        let next = self.parts.get(id).next_event();
        self.next_events[id as usize] = next;
        if next < self.deadline {
            self.deadline = next;
            self.shared.signals.attention = true;
        }
    }

    /// Whether interrupt line `line` is asserted.
    #[cfg(test)]
    pub(crate) fn irq(&self, line: usize) -> bool {
        let blocks = SLOTS.iter().zip(self.irqs);
        blocks
            .filter(|(slot, _)| slot.irq <= line)
            .any(|(slot, irqs)| irqs.checked_shr((line - slot.irq) as u32).is_some_and(|irqs| irqs & 1 != 0))
    }

    /// Interrupt lines that changed since the last call.
    pub(crate) fn take_irq_changes(&mut self) -> Vec<(usize, bool)> {
        std::mem::take(&mut self.irq_changes)
    }

    fn update_clocks(&mut self) {
        let now = self.now();
        let Parts { gclk, oscctrl, osc32kctrl, .. } = &mut self.parts;
        if clocks::request(gclk, oscctrl, osc32kctrl, now) {
            for id in [Id::Oscctrl, Id::Osc32kctrl] {
                let next = self.parts.get(id).next_event();
                self.next_events[id as usize] = next;
                self.deadline = self.deadline.min(next);
            }
        }
        let Parts { gclk, oscctrl, osc32kctrl, mclk, .. } = &mut self.parts;
        let mut clocks = clocks::resolve(gclk, oscctrl, osc32kctrl, mclk);
        if self.parts.pm.asleep() == Some(Sleep::Standby) {
            self.stop_channels(&mut clocks);
        }
        if clocks == self.shared.clocks {
            return;
        }
        if clocks.cpu == 0 {
            let now = self.now();
            self.shared.cx(now, "GCLK").violation("the core clock has stopped: the chip would hang here");
        }
        self.time.set_frequency(self.cycle, clocks.cpu);
        self.shared.clocks = clocks;
        for slot in SLOTS {
            let now = self.now();
            self.parts.get(slot.id).clocks_changed(&mut self.shared.cx(now, slot.name));
            self.next_events[slot.id as usize] = self.parts.get(slot.id).next_event();
        }
        self.deadline = self.next_events.into_iter().min().unwrap_or(Instant::NEVER);
        self.shared.signals.attention = true;
    }

    /// When the chip next needs [`advance`](Self::advance), the Ethernet cable included.
    pub(crate) fn next_event(&mut self) -> Instant {
        if self.parts.pm.asleep().is_some() { self.deadline } else { self.deadline.min(self.link_event()) }
    }

    /// Block `id` has lost its supply: nothing comes of it.
    pub(crate) fn forget_event(&mut self, id: Id) {
        self.next_events[id as usize] = Instant::NEVER;
        self.deadline = self.next_events.into_iter().min().unwrap_or(Instant::NEVER);
    }

    /// Whether a block needs [`advance`](Self::advance) now. Does not ask the cable, which may be slow to answer.
    pub(crate) fn is_due(&self) -> bool {
        self.deadline <= self.now()
    }

    /// Lets everything happen that is due by now.
    pub(crate) fn advance(&mut self) {
        let now = self.now();
        if self.is_due() {
            for slot in SLOTS {
                if self.next_events[slot.id as usize] <= now {
                    match slot.id {
                        Id::Dmac => self.run_dma(),
                        id => self.with(id, |parts, cx| parts.get(id).advance(cx)),
                    }
                }
            }
            self.deadline = self.next_events.into_iter().min().unwrap_or(Instant::NEVER);
            if self.core_domain_is_off() {
                self.look_for_backup_exit();
            }
        }
        if self.parts.pm.asleep().is_none() {
            self.exchange_frames(now);
        }
    }

    /// The MAC looks at the cable when its far end has something.
    fn exchange_frames(&mut self, now: Instant) {
        if self.link_event() <= now {
            self.with(Id::Gmac, |parts, cx| parts.gmac.advance(cx));
        }
    }

    /// When the far end of the Ethernet cable next has something. It may be slow to answer, so it is asked only after
    /// frames have moved.
    fn link_event(&mut self) -> Instant {
        if std::mem::take(&mut self.shared.signals.link_moved) {
            self.link_at = self.shared.link.as_ref().map_or(Instant::NEVER, |link| link.poll_at());
        }
        self.link_at
    }

    /// The far end of the Ethernet cable may have been changed from outside.
    pub(crate) fn look_at_link(&mut self) {
        self.shared.signals.link_moved = true;
        self.with(Id::Gmac, |parts, cx| parts.gmac.look_at_link(cx));
    }

    /// All blocks go through a reset.
    pub(crate) fn reset(&mut self, cause: ResetCause) {
        let now = self.now();
        self.shared.signals.reset = None;
        self.unclocked.clear();
        if cause.is_supply() || cause == ResetCause::Backup {
            self.shared.memory.sense_fuses();
        }
        match cause {
            ResetCause::PowerOn | ResetCause::BrownOut => {
                self.lose_ram();
                self.shared.memory.scramble_backup(&mut self.rng);
            }
            // Sleep has already cost the memory what it costs.
            _ if self.core_domain_is_off() => {}
            // Backup RAM has kept its supply, RAM has not.
            ResetCause::Backup => self.lose_ram(),
            _ => {}
        }
        if cause != ResetCause::Backup || !self.parts.pm.retains_pins() {
            self.parts.port.release();
        }
        for slot in SLOTS {
            self.parts.get(slot.id).reset(cause, &mut self.shared.cx(now, slot.name));
        }
        self.shared.signals.clocks_dirty = true;
        for slot in SLOTS {
            self.settle(slot.id);
        }
        self.look_at_pins();
        // The core reads its vectors next.
        self.look_at_flash_path();
    }

    /// RAM contents after a while without supply.
    fn lose_ram(&mut self) {
        let memory = &mut self.shared.memory;
        match self.ram_lost.take() {
            Some(lost) => memory.decay_ram(&mut self.rng, lost),
            None => memory.scramble_ram(&mut self.rng),
        }
    }

    /// The supply fails: operations in flight are torn, as `tear` says or by chance. Names them.
    pub(crate) fn power_cut(&mut self, tear: Option<Tear>) -> Option<String> {
        self.advance();
        let nvm = self.parts.nvmctrl.power_cut(tear, &mut self.rng, &mut self.shared.memory);
        let nor = self.parts.qspi.power_cut(tear, &mut self.rng);
        self.next_events = [Instant::NEVER; COUNT];
        self.deadline = Instant::NEVER;
        match (nvm, nor) {
            (Some(nvm), Some(nor)) => Some(format!("{nvm}; {nor}")),
            (nvm, nor) => nvm.or(nor),
        }
    }

    /// The supply is at `millivolts`: enough for the chip, perhaps not for the external flash.
    pub(crate) fn sag(&mut self, millivolts: u32, tear: Option<Tear>) {
        let mut rng = self.rng.clone();
        self.with(Id::Qspi, |parts, cx| {
            if parts.qspi.nor_loses_supply(millivolts)
                && let Some(torn) = parts.qspi.power_cut(tear, &mut rng)
            {
                cx.violation(format!("supply of the external flash lost, which tears {torn}"));
            }
            parts.qspi.supply_nor(millivolts, false, cx);
        });
        self.rng = rng;
    }

    /// Pins changed, by the program or from outside.
    pub(crate) fn look_at_pins(&mut self) {
        let remultiplexed = self.parts.port.take_remultiplexed();
        if remultiplexed {
            self.parts.port.route();
        }
        self.drive_outputs();
        // Firmware moves pins often, and most of them lead to none of these.
        let levels = self.parts.port.levels();
        let lines = eic::lines(&self.parts.port, levels);
        if self.parts.eic.is_moved_by(lines) {
            self.with(Id::Eic, |parts, cx| parts.eic.look(lines, cx));
        }
        if self.parts.rtc.is_moved_by(levels) {
            self.with(Id::Rtc, |parts, cx| parts.rtc.look(levels, cx));
        }
        // PC21 is the PHY's reset, pulled up on the board.
        let phy_reset = self.parts.port.output(2, 21) == Some(false);
        if phy_reset != self.parts.gmac.is_phy_in_reset() {
            self.with(Id::Gmac, |parts, cx| parts.gmac.set_phy_reset(phy_reset, cx));
        }
        let now = self.now();
        let Parts { port, sercom, adc, dac, ac, .. } = &mut self.parts;
        if remultiplexed {
            adc.iter_mut().for_each(|adc| adc.connect(port));
            dac.connect(port);
            ac.connect(port);
            for (sercom, pads) in sercom.iter_mut().zip(pads::connected(port)) {
                sercom.set_pads(pads);
            }
        }
        for sercom in sercom.iter_mut().filter(|sercom| sercom.watches_pins()) {
            sercom.look_at_pins(&port.levels(), now);
        }
    }

    /// The core enters or leaves Debug state.
    pub(crate) fn core_halted(&mut self, halted: bool) {
        for slot in SLOTS {
            self.with(slot.id, |parts, cx| parts.get(slot.id).core_halted(halted, cx));
        }
    }

    /// Standby leaves the clocks of those who ask for them (18.6.3.4); the DPLLs' references go on.
    fn stop_channels(&mut self, clocks: &mut Frequencies) {
        let sercom = channel::SERCOM_CORE.iter().zip(&self.parts.sercom).map(|(n, part)| (*n, part.runs_in_standby()));
        let tcc = [25, 25, 29, 29, 38].into_iter().zip(&self.parts.tcc).map(|(n, part)| (n, part.runs_in_standby()));
        let tc = channel::TC.iter().zip(&self.parts.tc).map(|(n, part)| (*n, part.runs_in_standby()));
        let adc = channel::ADC.iter().zip(&self.parts.adc).map(|(n, part)| (*n, part.runs_in_standby()));
        let eic = (channel::EIC, self.parts.eic.runs_in_standby());
        let mut asked = [false; 48];
        for (n, asks) in sercom.chain(tc).chain(tcc).chain(adc).chain([eic]) {
            asked[n] |= asks;
        }
        for (hz, _) in clocks.channel.iter_mut().zip(asked).skip(channel::DPLL1 + 1).filter(|(_, asked)| !asked) {
            *hz = 0;
        }
    }

    /// Whether block `id` has its bus clock; says so once if not.
    pub(crate) fn is_clocked(&mut self, id: Id) -> bool {
        let slot = &SLOTS[id as usize];
        let clocks = &self.shared.clocks;
        let apb = !slot.gated || slot.bit == NO_BIT || clocks.apb_mask[slot.bridge] >> slot.bit & 1 != 0;
        let clocked = apb && (slot.ahb == NO_BIT || clocks.ahb_mask >> slot.ahb & 1 != 0);
        if !clocked && self.unclocked.insert(id) {
            let now = self.now();
            let what = format!("{} accessed while MCLK keeps its bus clock off", slot.name);
            self.shared.cx(now, slot.name).violation(what);
        }
        clocked
    }
}
