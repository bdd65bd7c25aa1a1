//! The core as its owner sees it: run loop, code cache and the edges to chip and debugger.

use core::ops::Range;
use std::sync::Arc;

use crate::block::Blocks;
use crate::coverage::Coverage;
use crate::debug::dfsr;
use crate::decode::{self, Invalid, advance_it};
use crate::exec::{self, Left};
use crate::glitch::{GlitchKind, Plan};
use crate::mpu::Access;
use crate::op::{Kind, Op};
use crate::residency::Residency;
use crate::state::{Core, NO_WORD, Trap, Trapped, cfsr};
use crate::{Bus, BusFault, Cycle, FetchTiming, timing};

/// What differs between implementations of the architecture.
#[derive(Clone, Debug)]
pub struct Config {
    /// CPUID, e.g. `0x410F_C241` for a Cortex-M4 r0p1.
    pub cpuid: u32,
    /// Number of external interrupt lines, up to 240.
    pub irq_lines: usize,
    /// Implemented bits of a priority field, 3 on the SAM E54.
    pub priority_bits: u8,
    /// Address range whose instructions are decoded once and kept: the chip's flash. The owner says when it changes
    /// with [`Cpu::invalidate_code`]. Code elsewhere is decoded each time it runs.
    pub code: Range<u32>,
}

/// Why [`Cpu::run`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The cycle given to `run` is reached (also while asleep or halted: time goes on).
    Deadline,
    /// [`Bus::attention`] asked for the owner.
    Attention,
    /// The core has just entered Debug state.
    Halted,
    /// The core has just entered lockup.
    Lockup,
    /// The program or the debugger asked for a system reset (AIRCR.SYSRESETREQ); the owner resets chip and core.
    SystemReset,
}

/// An instruction that is UNDEFINED or UNPREDICTABLE; the program took a UsageFault for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undefined {
    /// Address of the instruction.
    pub pc: u32,
    /// The encoding: a 16-bit one in the low half, a 32-bit one with its first halfword in the upper half.
    pub encoding: u32,
    /// What is wrong with it.
    pub why: Invalid,
}

/// Instructions outside [`Config::code`], kept with the encoding they were decoded from.
const SCRATCH_OPS: usize = 1024;

#[derive(Clone, Copy, Debug, Default)]
struct ScratchOp {
    pc: u32,
    encoding: u32,
    op: Op,
}

/// Code as it was decoded for a [`FetchTiming`] that is not the current one, and [`Core::resident`].
#[derive(Clone, Debug)]
struct Mode {
    code: Arc<Blocks>,
    resident: Residency,
}

/// Ways of fetching that are kept.
const OTHERS: usize = 3;

/// A Cortex-M4F core.
///
/// A clone is a snapshot: it shares the decoded code until either side decodes more.
#[derive(Clone, Debug)]
pub struct Cpu {
    core: Core,
    /// Decoded instructions of `Config::code`.
    code: Arc<Blocks>,
    /// The same for other ways of fetching, which programs that switch a cache off for a while come back to.
    others: Vec<Mode>,
    scratch: Vec<ScratchOp>,
    /// Addresses of breakpoints: no block contains them.
    breakpoints: Vec<u32>,
    coverage: Coverage,
    glitches: Plan,
}

impl Cpu {
    /// A core that is held in reset; call [`reset`](Self::reset) before the first `run`.
    pub fn new(config: Config) -> Self {
        Self {
            coverage: Coverage::new(&config.code),
            glitches: Plan::default(),
            code: Arc::new(Blocks::new(&config.code, FetchTiming::FAST)),
            others: Vec::new(),
            core: Core::new(config),
            scratch: vec![ScratchOp { pc: 1, ..ScratchOp::default() }; SCRATCH_OPS],
            breakpoints: Vec::new(),
        }
    }

    /// Leaves reset: SP and PC come from the vector table at address 0. `power_on` also clears what survives a system
    /// reset: the debug registers (DHCSR, DEMCR, FPB, DWT).
    pub fn reset<B: Bus>(&mut self, bus: &mut B, power_on: bool) {
        self.core.reset(bus, power_on);
        self.show_breakpoints();
        self.core.catch(crate::debug::demcr::VC_CORERESET);
    }

    /// Executes until `until` or until something needs the owner. While the core sleeps, is halted or locked up, time
    /// skips to `until` (or to the SysTick that wakes it) at no cost.
    ///
    /// An instruction that has begun completes, so the cycle may end a little past `until`.
    pub fn run<B: Bus>(&mut self, bus: &mut B, until: Cycle) -> Stop {
        loop {
            self.show_breakpoints();
            if self.code.executable() != self.core.executable {
                Arc::make_mut(&mut self.code).set_executable(self.core.executable);
                self.core.forget_lines();
            }
            if let Some(stop) = self.reason_to_stop(until) {
                return stop;
            }
            let core = &mut self.core;
            if core.debug.halted || core.locked_up {
                self.stand_still(until);
                continue;
            }
            if let Some(transit) = core.transit.take() {
                core.end_transit(bus, transit);
                continue;
            }
            core.advance_systick();
            core.advance_trace();
            if core.sleeping && !core.try_wake() {
                let before = core.cycle;
                core.cycle = until.min(core.systick.next()).max(core.cycle + 1);
                core.slept(core.cycle - before);
                continue;
            }
            if core.nvic.preempting().is_some() {
                core.enter_exception(bus);
                continue;
            }
            if !core.thumb {
                core.raise_fault(cfsr::INVSTATE, 0);
                continue;
            }
            core.limit = until.min(core.systick.next()).min(core.next_tick);
            let distance = self.glitches.distance(core.instructions);
            let result = if let Some(distance) = distance
                && !self.approach(distance)
            {
                if distance == 0 { self.strike(bus) } else { self.step(bus) }
            } else if self.core.checked || self.core.it != 0 || !self.in_code(self.core.pc) {
                self.step(bus)
            } else {
                self.run_fast(bus)
            };
            if let Err(op) = result {
                self.handle_trap(bus, &op);
            }
        }
    }

    /// Brings the limit so near that the fast loop cannot pass the next glitch: an instruction takes half a cycle at
    /// least. False where only single steps can go on.
    fn approach(&mut self, distance: u64) -> bool {
        let cycles = distance / 2;
        self.core.limit = self.core.limit.min(self.core.cycle + cycles);
        cycles > 4
    }

    /// The next glitch.
    fn strike<B: Bus>(&mut self, bus: &mut B) -> Result<(), Op> {
        let pc = self.core.pc;
        if self.core.fpb.matches(pc) {
            return self.step(bus);
        }
        match self.glitches.strike(pc) {
            None => Ok(()),
            Some(GlitchKind::Register { register, bit }) => {
                self.core.flip(register, bit);
                Ok(())
            }
            Some(GlitchKind::Encoding { bit }) => {
                let flip = 1u32.checked_shl(bit.into()).unwrap_or(0);
                let op = self.fetch(bus, pc, flip).map_err(|Trapped| Op::default())?;
                self.perform(bus, pc, op)
            }
            Some(GlitchKind::Skip) => {
                let op = self.fetch(bus, pc, 0).map_err(|Trapped| Op::default())?;
                self.core.instructions += 1;
                self.core.cycle += 1;
                self.complete(pc.wrapping_add(op.len.into()), &op);
                self.after_step();
                Ok(())
            }
        }
    }

    fn reason_to_stop(&mut self, until: Cycle) -> Option<Stop> {
        let core = &mut self.core;
        if core.reset_request {
            return Some(Stop::SystemReset);
        }
        if core::mem::take(&mut core.attention) {
            return Some(Stop::Attention);
        }
        if core::mem::take(&mut core.just_halted) {
            return Some(Stop::Halted);
        }
        if core::mem::take(&mut core.just_locked_up) {
            return Some(Stop::Lockup);
        }
        (core.cycle >= until).then_some(Stop::Deadline)
    }

    /// Debug state or lockup: time passes. Debug state stops SysTick and CYCCNT; NMI ends a lockup at HardFault's level.
    fn stand_still(&mut self, until: Cycle) {
        let core = &mut self.core;
        core.advance_systick();
        if core.locked_up && core.nvic.preempting().is_some() {
            core.locked_up = false;
            return;
        }
        let skipped = until - core.cycle;
        core.cycle = until;
        if core.debug.halted {
            core.systick.skip(skipped);
            core.dwt.skip(skipped);
            core.next_tick = core.next_tick.saturating_add(skipped);
        }
    }

    fn in_code(&self, pc: u32) -> bool {
        pc.wrapping_sub(self.core.config.code.start) < self.core.executable
    }

    /// Block after block from the PC, outside an IT block and while nothing asks for a closer look; a single instruction
    /// where no block may be executed as a whole. The error is the instruction that trapped.
    fn run_fast<B: Bus>(&mut self, bus: &mut B) -> Result<(), Op> {
        // The first load of a block takes its cycles as if there was none before it.
        if self.core.loaded != timing::NOTHING {
            return self.step(bus);
        }
        let Some(mut number) = self.block_at(bus, self.core.pc) else { return self.step(bus) };
        let before = self.core.instructions;
        loop {
            self.core.drop_lost();
            match exec::run_blocks(&mut self.core, bus, &self.code, number) {
                Left::Near if self.core.instructions == before => return self.step(bus),
                Left::Near | Left::Unknown => return Ok(()),
                Left::Stopped { block, at } => {
                    self.mark(block, at);
                    return Ok(());
                }
                Left::Trapped { block, at, op } => {
                    self.mark(block, at);
                    return Err(op);
                }
                Left::Link { block, at } => {
                    self.mark(block, at);
                    self.core.loaded = self.code.loaded(block, at);
                    if self.core.loaded != timing::NOTHING {
                        return Ok(());
                    }
                    let generation = self.code.generation();
                    let Some(target) = self.block_at(bus, self.core.pc) else { return Ok(()) };
                    // Translation may have forgotten all blocks, this one among them.
                    if self.code.generation() == generation {
                        Arc::make_mut(&mut self.code).link(block, at, target);
                    }
                    number = target;
                }
                Left::New { block, at } => {
                    self.mark(block, at);
                    let code = Arc::make_mut(&mut self.code);
                    // Instructions behind a condition count as executed one by one, and freely after that.
                    if code.guarded(block, at).all(|pc| self.coverage.contains(pc)) {
                        code.reveal(block, at);
                    }
                    return self.step(bus);
                }
            }
        }
    }

    /// The block that begins at `pc`, if there can be one.
    fn block_at<B: Bus>(&mut self, bus: &mut B, pc: u32) -> Option<u32> {
        if let Some(number) = self.code.find(pc)
            && self.code.is_ready(number)
        {
            return Some(number);
        }
        if !self.in_code(pc) || self.breakpoints.contains(&pc) {
            return None;
        }
        let before = self.code.generation();
        let number = Arc::make_mut(&mut self.code).translate(bus, pc, &self.breakpoints);
        if self.code.generation() != before {
            self.core.forget_lines();
        }
        number
    }

    /// The program came to step `at` of `block`.
    fn mark(&mut self, block: u32, at: u32) {
        let fresh = self.code.unmarked(block, at);
        if fresh != 0 {
            Arc::make_mut(&mut self.code).mark(block, fresh, &mut self.coverage);
        }
    }

    /// One instruction with every check, from anywhere.
    fn step<B: Bus>(&mut self, bus: &mut B) -> Result<(), Op> {
        let pc = self.core.pc;
        let none = Op::default();
        if self.core.fpb.matches(pc) {
            self.breakpoint();
            return Ok(());
        }
        if self.core.trace_enabled() && self.core.dwt.on_instruction(pc, self.core.cycle) {
            if self.core.debug.enabled() {
                self.core.halt(dfsr::DWTTRAP);
                return Ok(());
            }
            self.core.raise_debug_event(dfsr::DWTTRAP);
        }
        let op = self.fetch(bus, pc, 0).map_err(|Trapped| none)?;
        self.perform(bus, pc, op)
    }

    /// Executes a fetched instruction.
    fn perform<B: Bus>(&mut self, bus: &mut B, pc: u32, op: Op) -> Result<(), Op> {
        let core = &mut self.core;
        let it = core.it;
        let in_code = pc.wrapping_sub(core.config.code.start) < core.code_len;
        let fetch = if in_code { core.fetch } else { FetchTiming::FAST };
        if fetch.cached {
            core.cycle += u64::from(core.fetch_lines(bus, pc, op.len, core.cycle));
        }
        let loaded = std::mem::replace(&mut core.loaded, timing::NOTHING);
        let mut cycle = core.cycle + u64::from(timing::own(&op, pc, fetch, loaded));
        core.instructions += 1;
        let passed = op.kind == Kind::Bkpt || it == 0 || core.condition(it >> 4);
        let result = if passed {
            self.coverage.mark(pc);
            exec::execute_checked(core, bus, &op, pc, &mut cycle)
        } else {
            cycle = core.cycle + u64::from(timing::skipped(&op, pc, fetch));
            Ok(pc.wrapping_add(u32::from(op.len)))
        };
        core.cycle = cycle + u64::from(std::mem::take(&mut core.late));
        let next = result.map_err(|Trapped| op)?;
        core.cycle += u64::from(fetch.between(pc, op.len, next));
        if next != pc.wrapping_add(u32::from(op.len)) || !in_code {
            core.fetched = NO_WORD;
        }
        core.loaded = timing::loads(&op);
        core.pc = next;
        core.it = if op.kind == Kind::It { op.imm as u8 } else { advance_it(it) };
        self.after_step();
        Ok(())
    }

    /// Watchpoints and stepping, after an instruction that did not fault.
    fn after_step(&mut self) {
        let core = &mut self.core;
        let watched = core::mem::take(&mut core.debug.watch_hit);
        if watched && core.debug.enabled() {
            core.halt(dfsr::DWTTRAP);
        } else if watched {
            core.raise_debug_event(dfsr::DWTTRAP);
        }
        self.after_stepping();
    }

    fn after_stepping(&mut self) {
        let core = &mut self.core;
        if core.debug.stepping() && !core.debug.halted {
            core.halt(dfsr::HALTED);
        } else if core.debug.demcr & crate::debug::demcr::MON_STEP != 0 && !core.debug.enabled() {
            core.raise_debug_event(dfsr::HALTED);
        }
    }

    /// The instruction at `pc` outside the fast loop: from the cache, from the scratch cache or freshly decoded.
    /// Bits in `flip` turn over on the way.
    fn fetch<B: Bus>(&mut self, bus: &mut B, pc: u32, flip: u32) -> Result<Op, Trapped> {
        let core = &mut self.core;
        let urgent = core.nvic.execution_priority() < 0;
        let privileged = core.privileged();
        if !core.mpu.permits(pc, Access::Execute, privileged, urgent) {
            return core.fault(cfsr::IACCVIOL);
        }
        let hw1 = bus.fetch(core.fpb.code_address(pc)).or_else(|BusFault| core.fault(cfsr::IBUSERR))?;
        let (flip, second_flip) =
            if decode::is_wide(hw1) { ((flip >> 16) as u16, flip as u16) } else { (flip as u16, 0) };
        let hw1 = hw1 ^ flip;
        let hw2 = if decode::is_wide(hw1) {
            let second = pc.wrapping_add(2);
            if !core.mpu.permits(second, Access::Execute, privileged, urgent) {
                return core.fault(cfsr::IACCVIOL);
            }
            bus.fetch(core.fpb.code_address(second)).or_else(|BusFault| core.fault(cfsr::IBUSERR))? ^ second_flip
        } else {
            0
        };
        let it = core.it;
        let encoding = u32::from(hw1) << 16 | u32::from(hw2);
        let slot = &mut self.scratch[(pc >> 1) as usize % SCRATCH_OPS];
        if slot.pc != pc || slot.encoding != encoding || slot.op.it != it {
            *slot = ScratchOp { pc, encoding, op: decode::decode(hw1, hw2, pc, it) };
        }
        Ok(slot.op)
    }

    fn handle_trap<B: Bus>(&mut self, bus: &mut B, op: &Op) {
        let core = &mut self.core;
        let next = core.pc.wrapping_add(u32::from(op.len));
        match core::mem::take(&mut core.trap) {
            Trap::None => {}
            Trap::Fault { cfsr, addr } => {
                core.raise_fault(cfsr, addr);
                self.after_stepping();
            }
            Trap::Svc => {
                self.complete(next, op);
                self.core.raise_svc();
                self.after_stepping();
            }
            Trap::Bkpt => self.breakpoint(),
            Trap::Wfi => {
                self.complete(next, op);
                if !self.core.debug.stepping() {
                    self.core.sleep(false);
                }
                self.after_stepping();
            }
            Trap::Wfe => {
                self.complete(next, op);
                if self.core.event {
                    self.core.event = false;
                } else if !self.core.debug.stepping() {
                    self.core.sleep(true);
                }
                self.after_stepping();
            }
            Trap::ExceptionReturn(value) => {
                core.it = 0;
                core.return_from_exception(value);
                if self.core.debug.stepping() {
                    self.settle(bus);
                }
                self.after_stepping();
            }
        }
    }

    /// BKPT or an FPB match: halt, DebugMonitor, or HardFault.
    fn breakpoint(&mut self) {
        if self.core.debug.enabled() {
            self.core.halt(dfsr::BKPT);
        } else {
            self.core.raise_debug_event(dfsr::BKPT);
        }
    }

    /// An instruction that trapped after it did its work.
    fn complete(&mut self, next: u32, op: &Op) {
        self.core.pc = next;
        self.core.it = advance_it(op.it);
    }

    /// Brings the blocks into line with the FPB.
    fn show_breakpoints(&mut self) {
        if !core::mem::take(&mut self.core.fpb.changed) {
            return;
        }
        self.breakpoints = self.core.fpb.breakpoints().filter(|&pc| self.in_code(pc)).collect();
        for pc in self.breakpoints.clone() {
            self.forget(pc..pc.saturating_add(2));
        }
    }

    fn forget(&mut self, range: Range<u32>) {
        if self.code.covers(&range) {
            Arc::make_mut(&mut self.code).invalidate(&range);
            self.core.forget_lines();
        }
        for other in self.others.iter_mut().filter(|other| other.code.covers(&range)) {
            Arc::make_mut(&mut other.code).invalidate(&range);
            self.core.forget_lines();
        }
    }

    /// Becomes as `other`, a core of the same configuration, is now. Decoded code stays: the owner forgets what differs
    /// with [`invalidate_code`](Self::invalidate_code).
    pub fn restore_from(&mut self, other: &Self) {
        // Named one by one, so that a new field is not forgotten here.
        let Self { core, code: _, others: _, scratch: _, breakpoints: _, coverage: _, glitches } = other;
        // Blocks have other numbers here.
        let (era, fetch) = (self.core.era.max(core.era) + 1, self.core.fetch);
        self.core.clone_from(core);
        (self.core.era, self.core.fetch) = (era, fetch);
        self.set_fetch_timing(core.fetch);
        self.glitches.clone_from(glitches);
        // Breakpoints show anew in this side's decoded code.
        self.core.fpb.changed = true;
    }
}

mod debugger;
mod owner;
