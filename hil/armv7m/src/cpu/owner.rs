//! What the chip around the core asks of it and tells it: time, interrupts, how long code takes, records.

use core::ops::Range;
use std::sync::Arc;

use super::{Cpu, Mode, OTHERS, Undefined};
use crate::block::Blocks;
use crate::glitch::{Glitch, Glitched, Plan};
use crate::observe::ExceptionRecord;
use crate::residency::Residency;
use crate::{Cycle, FetchTiming};

impl Cpu {
    /// The current cycle.
    pub fn cycle(&self) -> Cycle {
        self.core.cycle
    }

    /// Instructions executed since power-on.
    pub fn instructions(&self) -> u64 {
        self.core.instructions
    }

    /// Drives external interrupt `line` (0 is exception 16); interrupts are level-sensitive.
    pub fn set_irq(&mut self, line: usize, level: bool) {
        let fresh = self.core.nvic.set_level(line, level);
        self.core.pended(fresh);
    }

    /// Addresses in [`Config::code`](super::Config::code) of the instructions that were executed since the core was made or since
    /// [`clear_executed`](Self::clear_executed), ascending. Exact: one that the program came to, whether or not it
    /// then faulted; not one whose IT condition never passed, nor one that a breakpoint or an exception came before.
    /// Resets, and code that changes, leave the record as it is.
    pub fn executed(&self) -> impl Iterator<Item = u32> + '_ {
        self.coverage.iter()
    }

    /// Whether the instruction at `pc` is among [`executed`](Self::executed).
    pub fn was_executed(&self, pc: u32) -> bool {
        self.coverage.contains(pc)
    }

    /// Begins the record of [`executed`](Self::executed) anew.
    pub fn clear_executed(&mut self) {
        self.coverage.clear();
        self.invalidate_code(self.core.config.code.clone());
    }

    /// Cycles that the core waits for each line of sixteen bytes that it fetches from [`Config::code`](super::Config::code), up to 15: the
    /// flash's wait states. The line that is being executed is at hand; literals have to be waited for, too.
    pub fn set_code_wait(&mut self, cycles: u8) {
        self.set_fetch_timing(FetchTiming::waiting(cycles));
    }

    /// How long fetches from [`Config::code`](super::Config::code) take from now on.
    pub fn set_fetch_timing(&mut self, timing: FetchTiming) {
        let (wait, literal) = (timing.wait.min(15), timing.literal.min(15));
        let timing = FetchTiming { wait, literal, line: timing.line.clamp(2, 4), ..timing };
        if timing == self.core.fetch {
            return;
        }
        self.core.fetch = timing;
        self.core.update_checked();
        if !self.core.lost.is_empty() {
            // They are not followed in what is kept.
            self.core.forget_lines();
        }
        let known = self.others.iter().position(|other| other.code.timing() == timing);
        let next = known.map(|known| self.others.remove(known)).unwrap_or_else(|| Mode {
            code: Arc::new(Blocks::new(&self.core.config.code, timing)),
            resident: Residency::default(),
        });
        self.others.truncate(OTHERS - 1);
        let code = core::mem::replace(&mut self.code, next.code);
        let resident = core::mem::replace(&mut self.core.resident, next.resident);
        self.others.insert(0, Mode { code, resident });
    }

    /// Lines of code may not be resident any longer; see [`Bus::is_resident`](crate::Bus::is_resident).
    pub fn forget_lines(&mut self) {
        self.core.forget_lines();
    }

    /// Forgets decoded instructions of `range`.
    pub fn invalidate_code(&mut self, range: Range<u32>) {
        let all = &self.core.config.code;
        if range.start <= all.start && range.end >= all.end {
            self.code = Arc::new(Blocks::new(all, self.core.fetch));
            self.others.clear();
            self.core.forget_lines();
        } else {
            self.forget(range);
        }
    }

    /// Instructions that were UNDEFINED or UNPREDICTABLE since the last call, oldest first. The last 64 are kept.
    pub fn take_undefined(&mut self) -> Vec<Undefined> {
        self.core.undefined.drain(..).collect()
    }

    /// Bytes that have left on the SWO pin since the last call: packets of ITM and DWT (ARMv7-M ARM appendix D4). Nothing
    /// unless the program or a debugger switched the trace on. After a mebibyte that nobody took packets are lost.
    pub fn take_swo(&mut self) -> Vec<u8> {
        self.core.advance_trace();
        self.core.trace.take()
    }

    /// Replaces the plan of glitches; an empty one ends them. Those whose instruction number has passed do not happen.
    /// Resets leave the plan alone.
    pub fn plan_glitches(&mut self, glitches: impl IntoIterator<Item = Glitch>) {
        self.glitches = Plan::new(glitches);
    }

    /// Glitches that have struck since the last call.
    pub fn take_glitches(&mut self) -> Vec<Glitched> {
        self.glitches.take_done()
    }

    /// Whether [`run`](Self::run) comes back with [`Stop::Attention`](super::Stop::Attention) when the core goes to sleep, for an owner that has a
    /// deeper sleep to offer.
    pub fn watch_sleep(&mut self, on: bool) {
        self.core.watches_sleep = on;
    }

    /// Starts or stops keeping a record of exception entries and exits for [`take_exceptions`](Self::take_exceptions).
    /// Stopping forgets what was not taken.
    pub fn record_exceptions(&mut self, on: bool) {
        self.core.exceptions.switch(on);
    }

    /// Exception entries and exits since the last call, oldest first. A reset ends what was active without a record. At
    /// least the last 500 000 are kept.
    pub fn take_exceptions(&mut self) -> Vec<ExceptionRecord> {
        self.core.exceptions.take()
    }

    /// Locked up (ARMv7-M ARM B1.5.15).
    pub fn is_locked_up(&self) -> bool {
        self.core.locked_up
    }

    /// Whether a sleeping core has a reason to go on, and does; for an owner that lets time pass in its place.
    pub fn wakes_up(&mut self) -> bool {
        self.core.sleeping && self.core.try_wake()
    }

    /// Asleep after WFI, WFE or sleep-on-exit.
    pub fn is_sleeping(&self) -> bool {
        self.core.sleeping
    }
}
