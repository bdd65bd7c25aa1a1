//! The board: what a person would hold in the hand.

use std::collections::BTreeSet;
use std::time::Duration;

use armv7m::{Config, Cpu, ExceptionRecord, Glitch, Glitched, Invalid, Size, Stop};
use sim_base::{EthernetLink, Instant, Rng};

use crate::chip::Chip;
use crate::map::Id;
use crate::memory::{BANK_SIZE, FLASH_SIZE, NO_BANK};
use crate::peripheral::Unmodelled;
use crate::pm::Sleep;
use crate::{Event, EventKind, ResetCause};

/// External interrupt lines of the SAM E54 (datasheet 10.2.2).
const IRQ_LINES: usize = 137;
/// Interrupt control and state register of the core.
const ICSR: u32 = 0xE000_ED04;

/// How a board is made.
#[derive(Clone, Debug)]
pub struct BoardConfig {
    /// Seed of everything that chance decides: TRNG values, torn bits, contents of RAM at power-on.
    pub seed: u64,
    /// True: flash programs and erases take the datasheet's typical times. False: they finish at once, which keeps
    /// probe-rs' wall-clock time-outs out of the picture while it flashes a board.
    pub flash_timing: bool,
}

/// Why [`Board::run_until`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStop {
    /// Virtual time has reached the instant that was asked for, or the supply was cut by
    /// [`Board::cut_power_in_flash_operation`].
    Time,
    /// The core has just entered Debug state (breakpoint, vector catch, halt request).
    Halted,
    /// The core has just locked up.
    Lockup,
    /// The core has just begun a program or erase of internal or external flash, and has executed nothing since; only
    /// after [`Board::stop_at_flash_operations`].
    Operation,
}

/// A cut of the supply that waits for its moment.
#[derive(Clone, Debug)]
struct PlannedCut {
    /// Flash operations that are still let through.
    remaining: u64,
    /// How far the operation gets, in 1/256 of its time.
    share: u8,
    /// The instant, once the operation has begun.
    at: Option<Instant>,
}

/// A virtual SAM E54 Xplained Pro.
pub struct Board {
    cpu: Cpu,
    chip: Chip,
    powered: bool,
    supply: Supply,
    /// RESETN is held low.
    reset_asserted: bool,
    was_halted: bool,
    /// Accesses that have been reported, by 4 KiB page of the instruction.
    reported: BTreeSet<(Unmodelled, u32)>,
    planned_cut: Option<PlannedCut>,
    /// End of the flash operations that were last seen in flight: internal, external.
    operations_seen: [Option<Instant>; 2],
    /// [`run_until`](Self::run_until) comes back when a flash operation begins.
    stops_at_operations: bool,
    /// One has.
    operation_begun: bool,
    /// Exception entries and exits with their time, while somebody wants them.
    exceptions: Option<Vec<(Instant, ExceptionRecord)>>,
}

impl Board {
    /// A board fresh from the factory and without supply: flash erased, fuses at their default, external flash empty.
    pub fn new(config: BoardConfig) -> Self {
        let mut cpu =
            Cpu::new(Config { cpuid: 0x410F_C241, irq_lines: IRQ_LINES, priority_bits: 3, code: 0..FLASH_SIZE });
        cpu.watch_sleep(true);
        Self {
            cpu,
            chip: Chip::new(config.seed, config.flash_timing),
            powered: false,
            supply: Supply::new(),
            reset_asserted: false,
            was_halted: false,
            reported: BTreeSet::new(),
            planned_cut: None,
            operations_seen: [None; 2],
            stops_at_operations: false,
            operation_begun: false,
            exceptions: None,
        }
    }

    /// The board as it is now, with the Ethernet cable pulled. Flash contents are shared until either side changes
    /// them.
    pub fn snapshot(&self) -> Self {
        Self {
            cpu: self.cpu.clone(),
            chip: self.chip.snapshot(),
            powered: self.powered,
            supply: self.supply.clone(),
            reset_asserted: self.reset_asserted,
            was_halted: self.was_halted,
            reported: self.reported.clone(),
            planned_cut: self.planned_cut.clone(),
            operations_seen: self.operations_seen,
            stops_at_operations: self.stops_at_operations,
            operation_begun: self.operation_begun,
            exceptions: self.exceptions.clone(),
        }
    }

    /// Becomes as `other` is now, and goes on exactly as it would: a snapshot taken back. Much cheaper than another
    /// [`snapshot`](Self::snapshot) of `other`, since little is copied and decoded code is kept; for thousands of runs
    /// from one point. The Ethernet cable stays as it is here, as does the record of executed addresses.
    pub fn restore_from(&mut self, other: &Self) {
        // Named one by one, so that a new field is not forgotten here.
        let Self {
            cpu,
            chip,
            powered,
            supply,
            reset_asserted,
            was_halted,
            reported,
            planned_cut,
            operations_seen,
            stops_at_operations,
            operation_begun,
            exceptions,
        } = other;
        self.cpu.restore_from(cpu);
        for range in self.chip.restore_from(chip) {
            self.cpu.invalidate_code(range);
        }
        self.powered = *powered;
        self.supply.clone_from(supply);
        self.reset_asserted = *reset_asserted;
        self.was_halted = *was_halted;
        self.reported.clone_from(reported);
        self.planned_cut.clone_from(planned_cut);
        self.operations_seen = *operations_seen;
        self.stops_at_operations = *stops_at_operations;
        self.operation_begun = *operation_begun;
        self.exceptions.clone_from(exceptions);
    }

    /// Switches datasheet flash timing on or off, at any time.
    pub fn set_flash_timing(&mut self, on: bool) {
        self.chip.shared.flash_timing = on;
    }

    /// Makes what chance decides from now on (torn operations, RAM at power-on) depend on `seed`.
    pub fn reseed(&mut self, seed: u64) {
        self.chip.reseed(&Rng::new(seed));
    }

    /// Plugs the cable of the Ethernet connector.
    pub fn plug_ethernet(&mut self, link: Box<dyn EthernetLink>) {
        self.chip.shared.link = Some(link);
        self.chip.look_at_link();
        self.chip.shared.signals.attention = true;
    }

    /// Pulls the cable of the Ethernet connector.
    pub fn unplug_ethernet(&mut self) -> Option<Box<dyn EthernetLink>> {
        self.chip.look_at_link();
        self.chip.shared.link.take()
    }

    /// Whether the supply is on.
    pub fn is_powered(&self) -> bool {
        self.powered
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.chip.time.at(self.cpu.cycle())
    }

    /// Runs until `until`, or until the core halts or locks up. Without supply only time passes.
    pub fn run_until(&mut self, until: Instant) -> RunStop {
        self.chip.look_at_link();
        loop {
            self.sync();
            if !self.powered {
                self.pass_time(until);
                return RunStop::Time;
            }
            self.serve();
            self.chip.advance();
            self.serve();
            if self.cut_is_due() {
                self.power_off();
                return RunStop::Time;
            }
            if std::mem::take(&mut self.operation_begun) {
                return RunStop::Operation;
            }
            let now = self.now();
            if now >= until {
                return RunStop::Time;
            }
            // At least a nanosecond ahead, so that an event that is never satisfied cannot hold time still.
            let deadline = self.deadline().max(now + Duration::from_nanos(1)).min(until);
            if self.is_held_in_reset() {
                self.pass_time(deadline);
                continue;
            }
            if self.is_deeply_asleep() {
                self.pass_time(deadline);
                continue;
            }
            if let Some(busy_until) = self.stalled_until() {
                self.pass_time(deadline.min(busy_until));
                continue;
            }
            let cycle = self.chip.time.cycle_at(deadline);
            match self.cpu.run(&mut self.chip, cycle) {
                Stop::Deadline | Stop::Attention => {}
                Stop::SystemReset => {
                    self.sync();
                    self.reset(ResetCause::System);
                }
                Stop::Halted => {
                    self.sync();
                    self.serve();
                    return RunStop::Halted;
                }
                Stop::Lockup => {
                    self.sync();
                    self.serve();
                    let pc = self.cpu.register(15);
                    self.event(EventKind::Lockup { pc });
                    return RunStop::Lockup;
                }
            }
        }
    }

    /// Instructions executed since the board was made.
    pub fn instructions(&self) -> u64 {
        self.cpu.instructions()
    }

    /// Addresses in internal flash of the instructions that were executed since the board was made or since
    /// [`clear_executed`](Self::clear_executed), ascending; see [`Cpu::executed`]. They are addresses as the core sees
    /// them: after a bank swap the same ones belong to other code.
    pub fn executed(&self) -> impl Iterator<Item = u32> + '_ {
        self.cpu.executed()
    }

    /// Begins the record of [`executed`](Self::executed) anew.
    pub fn clear_executed(&mut self) {
        self.cpu.clear_executed();
    }

    /// Core cycles since the board was made. Cycles in which the core waits for flash or QSPI are not counted.
    pub fn cycles(&self) -> u64 {
        self.cpu.cycle()
    }

    /// Core clock in Hz.
    pub fn core_hz(&self) -> u32 {
        self.chip.shared.clocks.cpu
    }

    /// Events since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.chip.shared.events.take()
    }

    /// Starts or stops keeping a record of the core's exception entries and exits.
    pub fn record_exceptions(&mut self, on: bool) {
        self.cpu.record_exceptions(on);
        self.exceptions = on.then(Vec::new);
    }

    /// Exception entries and exits since the last call with their virtual time, oldest first. Call it often while the
    /// board is busy: the record grows until it is taken.
    pub fn take_exceptions(&mut self) -> Vec<(Instant, ExceptionRecord)> {
        self.sync();
        self.exceptions.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Bytes that have left on the SWO pin since the last call (see [`Cpu::take_swo`]).
    pub fn take_swo(&mut self) -> Vec<u8> {
        self.cpu.take_swo()
    }

    /// Replaces the plan of faults in the core itself (see [`Cpu::plan_glitches`]).
    pub fn plan_glitches(&mut self, glitches: impl IntoIterator<Item = Glitch>) {
        self.cpu.plan_glitches(glitches);
    }

    /// Glitches that have struck since the last call.
    pub fn take_glitches(&mut self) -> Vec<Glitched> {
        self.cpu.take_glitches()
    }

    /// Whether the core is in Debug state.
    pub fn is_halted(&self) -> bool {
        self.cpu.is_halted()
    }

    /// Whether the core is locked up.
    pub fn is_locked_up(&self) -> bool {
        self.cpu.is_locked_up()
    }

    /// Whether the core sleeps.
    pub fn is_sleeping(&self) -> bool {
        self.cpu.is_sleeping()
    }

    /// Core register as DCRSR.REGSEL numbers it, see [`Cpu::register`].
    pub fn register(&self, regsel: u8) -> u32 {
        self.cpu.register(regsel)
    }

    /// The internal flash's 1 MiB main array, for observers.
    pub fn nvm(&self) -> &[u8] {
        self.chip.shared.memory.arrays.flash()
    }

    /// The user page (fuses), 512 bytes, for observers.
    pub fn user_page(&self) -> &[u8] {
        &self.chip.shared.memory.user_page
    }

    /// RAM, 256 KiB from 0x2000_0000, for observers.
    pub fn ram(&self) -> &[u8] {
        self.chip.shared.memory.arrays.ram()
    }

    /// `len` bytes of the external flash from `addr`, for observers.
    pub fn nor(&self, addr: u32, len: usize) -> Vec<u8> {
        self.chip.parts.qspi.flash.copy(addr, len)
    }

    fn event(&mut self, kind: EventKind) {
        let now = self.now();
        self.chip.shared.events.push(now, kind);
    }

    /// The chip takes over the core's cycle.
    fn sync(&mut self) {
        self.chip.cycle = self.cpu.cycle();
        if let Some(exceptions) = &mut self.exceptions {
            // Before the time base's anchor moves beyond them.
            let time = &self.chip.time;
            exceptions.extend(self.cpu.take_exceptions().into_iter().map(|record| (time.at(record.cycle), record)));
        }
        self.chip.time.tidy(self.chip.cycle);
    }

    /// Time goes on to `until` while the core stands still.
    fn pass_time(&mut self, until: Instant) {
        self.chip.time.meet(self.cpu.cycle(), until);
        self.chip.steady.until = 0;
    }

    /// The chip goes through a reset and the core starts anew.
    fn reset(&mut self, cause: ResetCause) {
        self.reset_chip(cause);
        self.restart_core(cause);
        self.serve();
    }

    fn reset_chip(&mut self, cause: ResetCause) {
        self.chip.reset(cause);
        self.event(EventKind::Reset(cause));
        // The lines fall before the core leaves reset, or it would take them for pending.
        self.drive_interrupts();
    }

    /// 17: supply and external resets also reset the debug logic.
    fn restart_core(&mut self, cause: ResetCause) {
        self.cpu.reset(&mut self.chip, cause.is_supply() || cause == ResetCause::External);
    }

    fn drive_interrupts(&mut self) {
        for (line, level) in self.chip.take_irq_changes() {
            self.cpu.set_irq(line, level);
        }
    }

    /// The NMI of the EIC is taken at its rise, as an edge.
    fn drive_nmi(&mut self) {
        if self.chip.parts.eic.take_nmi_edge() {
            // ICSR.NMIPENDSET (ARMv7-M ARM B3.2.4).
            let _ = self.cpu.debug_write(&mut self.chip, ICSR, Size::Word, 1 << 31);
        }
    }

    /// Does what the chip asked for.
    fn serve(&mut self) {
        loop {
            let signals = &mut self.chip.shared.signals;
            signals.attention = false;
            let cause = signals.reset.take();
            let unmodelled = std::mem::take(&mut signals.unmodelled);
            for range in std::mem::take(&mut signals.stale_code) {
                if self.chip.flash_changed(&range) {
                    self.cpu.forget_lines();
                }
                self.cpu.invalidate_code(range);
            }
            for access in unmodelled {
                self.report(access);
            }
            // A program that executes UDF means it.
            for undefined in self.cpu.take_undefined().into_iter().filter(|one| one.why != Invalid::Permanent) {
                self.event(EventKind::UndefinedInstruction { pc: undefined.pc, encoding: undefined.encoding });
            }
            self.look_at_flash_path();
            self.drive_interrupts();
            self.drive_nmi();
            if std::mem::take(&mut self.chip.shared.signals.pins_moved) {
                self.chip.look_at_pins();
            }
            if self.chip.parts.dsu.take_release() {
                self.cpu.reset(&mut self.chip, false);
            }
            let halted = self.cpu.is_halted();
            if halted != self.was_halted {
                self.was_halted = halted;
                self.chip.core_halted(halted);
            }
            self.watch_flash();
            match cause {
                Some(cause) => {
                    self.reset_chip(cause);
                    self.restart_core(cause);
                }
                None if !self.chip.shared.signals.attention => return,
                None => {}
            }
        }
    }

    /// Reads of flash go as cache, clocks and the flash itself now have it.
    fn look_at_flash_path(&mut self) {
        let (timing, lines_changed) = self.chip.look_at_flash_path();
        self.cpu.set_fetch_timing(timing);
        if lines_changed {
            self.cpu.forget_lines();
        }
    }

    /// Tells observers of an access that the model does not have, once per page of code.
    fn report(&mut self, access: Unmodelled) {
        let pc = self.cpu.register(15);
        if self.reported.insert((access, pc & !0xFFF)) {
            let what = format!("{}+{:#05x}", access.name, access.offset);
            self.event(EventKind::Unmodelled { what, write: access.write, pc });
        }
    }

    /// When something must happen next.
    fn deadline(&mut self) -> Instant {
        let cut = self.planned_cut.as_ref().and_then(|cut| cut.at).unwrap_or(Instant::NEVER);
        self.chip.next_event().min(cut)
    }

    /// Ends of the flash operations in flight.
    fn operations(&self) -> [Option<Instant>; 2] {
        [self.chip.parts.nvmctrl.busy_until(), self.chip.parts.qspi.flash.busy_until()]
    }

    /// Counts flash operations for a planned cut, and sees them begin.
    fn watch_flash(&mut self) {
        if self.planned_cut.is_none() && !self.stops_at_operations {
            return;
        }
        let now = self.now();
        let operations = self.operations();
        for (seen, operation) in self.operations_seen.iter().zip(operations) {
            let Some(end) = operation.filter(|end| *seen != Some(*end)) else { continue };
            self.operation_begun = self.stops_at_operations;
            match &mut self.planned_cut {
                Some(cut) if cut.at.is_none() && cut.remaining == 0 => {
                    cut.at = Some(now + end.since(now) * u32::from(cut.share) / 256);
                }
                Some(cut) if cut.at.is_none() => cut.remaining -= 1,
                _ => {}
            }
        }
        self.operations_seen = operations;
    }

    fn cut_is_due(&self) -> bool {
        self.planned_cut.as_ref().and_then(|cut| cut.at).is_some_and(|at| at <= self.now())
    }

    /// Until when the core cannot fetch its next instruction because its flash bank is busy.
    fn stalled_until(&mut self) -> Option<Instant> {
        let busy_bank = self.chip.shared.memory.busy_bank();
        if busy_bank == NO_BANK || self.cpu.is_sleeping() || self.cpu.is_halted() || self.cpu.is_locked_up() {
            return None;
        }
        let pc = self.cpu.register(15);
        if pc / BANK_SIZE != busy_bank
            || self.chip.caches_instruction(pc)
            || self.chip.with(Id::Nvmctrl, |parts, _| parts.nvmctrl.suspend_for_fetch(pc))
        {
            return None;
        }
        self.chip.parts.nvmctrl.busy_until()
    }

    /// Whether the core's clock stands still, in standby or deeper. The core has just gone to sleep, or may wake up.
    fn is_deeply_asleep(&mut self) -> bool {
        match self.chip.parts.pm.asleep() {
            None if !self.cpu.is_sleeping() || self.cpu.is_halted() => false,
            None => match self.chip.parts.pm.selected() {
                Some(mode) if !self.cpu.wakes_up() => {
                    self.chip.fall_asleep(mode);
                    true
                }
                _ => false,
            },
            Some(Sleep::Standby) if self.cpu.is_halted() || self.cpu.wakes_up() => {
                self.chip.wake_up();
                false
            }
            Some(_) => true,
        }
    }
}

mod crystal;
mod faults;
#[cfg(test)]
mod fuzz;
mod likeness;
#[cfg(test)]
mod peripherals;
mod pins;
mod preload;
mod probe;
mod supply;
#[cfg(test)]
mod tests;
mod wires;

pub use crystal::Crystal;
pub(crate) use likeness::Hash64;
use supply::Supply;
