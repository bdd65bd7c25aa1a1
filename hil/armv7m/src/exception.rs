//! Exception entry and return, faults, lockup and sleep (ARMv7-M ARM B1.5).

use crate::debug::{demcr, dfsr};
use crate::nvic::exception::{BUS_FAULT, DEBUG_MONITOR, HARD_FAULT, MEM_MANAGE, NMI, SVCALL, USAGE_FAULT};
use crate::observe::ExceptionEdge;
use crate::state::{Core, Transit, Trap, Trapped, ccr, cfsr, control, fpccr, hfsr};
use crate::{Bus, Size};

/// Cycles from the end of the interrupted instruction to the handler's first one, with memory that answers at once, and
/// between two handlers (ARM's figures for the Cortex-M3 and M4: 12 and 6).
const ENTRY_CYCLES: u64 = 12;
const TAIL_CHAIN_CYCLES: u64 = 6;
/// Cycles of unstacking, after the instruction that returns (assumed: 10, and one less is not documented).
const RETURN_CYCLES: u64 = 10;
/// Cycles for S0-S15 and FPSCR: at an entry without lazy stacking, at the first floating-point instruction with it.
const FP_STATE_CYCLES: u64 = 17;

const LOCKUP_PC: u32 = 0xFFFF_FFFE;

impl Core {
    /// Makes a synchronous fault pending, escalated if it cannot be taken, or locks up. The PC stands at the
    /// instruction to return to.
    pub(crate) fn raise_fault(&mut self, bits: u32, addr: u32) {
        self.scb.cfsr |= bits;
        self.fault_cause = bits;
        if bits & (cfsr::MMARVALID | cfsr::BFARVALID) != 0 {
            // One register holds both addresses: the older one is not valid any more.
            self.scb.fault_address = addr;
            let stale = if bits & cfsr::MMARVALID != 0 { cfsr::BFARVALID } else { cfsr::MMARVALID };
            self.scb.cfsr &= !stale;
        }
        let number = match bits {
            _ if bits & 0xFFFF_0000 != 0 => USAGE_FAULT,
            _ if bits & 0xFF00 != 0 => BUS_FAULT,
            _ => MEM_MANAGE,
        };
        self.raise(number, hfsr::FORCED);
    }

    /// Makes `number` pending, or HardFault with `reason` in HFSR if `number` cannot preempt.
    pub(crate) fn raise(&mut self, number: u16, reason: u32) {
        let current = self.nvic.execution_priority();
        if self.nvic.is_enabled(number) && self.nvic.group_priority(number) < current {
            self.nvic.pend(number);
        } else if current <= -1 {
            self.lock_up();
        } else {
            self.scb.hfsr |= reason;
            self.nvic.pend(HARD_FAULT);
        }
    }

    /// BKPT or a breakpoint unit's match while halting debug is off, or MON_REQ.
    pub(crate) fn raise_debug_event(&mut self, reason: u32) {
        if self.debug.demcr & demcr::MON_EN != 0
            && self.nvic.group_priority(DEBUG_MONITOR) < self.nvic.execution_priority()
        {
            self.debug.dfsr |= reason;
            self.nvic.pend(DEBUG_MONITOR);
        } else if reason == dfsr::BKPT {
            self.debug.dfsr |= reason;
            self.raise_escalated();
        }
    }

    fn raise_escalated(&mut self) {
        if self.nvic.execution_priority() <= -1 {
            self.lock_up();
        } else {
            self.scb.hfsr |= hfsr::DEBUGEVT;
            self.nvic.pend(HARD_FAULT);
        }
    }

    pub(crate) fn lock_up(&mut self) {
        self.locked_up = true;
        self.just_locked_up = true;
        self.pc = LOCKUP_PC;
        self.it = 0;
    }

    pub(crate) fn raise_svc(&mut self) {
        self.raise(SVCALL, hfsr::FORCED);
    }

    /// Begins the entry of an exception: the frame goes onto the stack (ExceptionEntry). Which exception it is for is
    /// decided at its end, so that one that arrives late and is more urgent goes first.
    pub(crate) fn enter_exception<B: Bus>(&mut self, bus: &mut B) {
        let excreturn = self.excreturn();
        self.enter_with(bus, excreturn);
    }

    fn enter_with<B: Bus>(&mut self, bus: &mut B, excreturn: u32) {
        self.spend(ENTRY_CYCLES);
        if self.push_stack(bus).is_err() {
            let bits = self.stacking_fault(cfsr::MSTKERR, cfsr::STKERR);
            self.derive(bits);
        }
        if !self.locked_up {
            self.transit = Some(Transit::Entry(excreturn));
        }
    }

    /// Ends the entry or return that is under way.
    pub(crate) fn end_transit<B: Bus>(&mut self, bus: &mut B, transit: Transit) {
        self.advance_systick();
        match (transit, self.nvic.preempting()) {
            (Transit::Entry(excreturn), Some(number)) => self.take_exception(bus, number, excreturn),
            // Nothing is left to be entered (a debugger took it back): as if its handler had returned at once.
            (Transit::Entry(excreturn), None) => {
                let (to_thread, spsel) = (excreturn & 8 != 0, excreturn & 4 != 0);
                self.unstack(bus, excreturn, to_thread, spsel, self.ipsr);
            }
            (Transit::Return { excreturn, .. }, Some(_)) => self.tail_chain(excreturn),
            (Transit::Return { excreturn, to_thread, spsel, returning }, None) => {
                self.unstack(bus, excreturn, to_thread, spsel, returning);
            }
        }
    }

    fn excreturn(&self) -> u32 {
        let frame = if self.control & control::FPCA != 0 { 0xFFFF_FFE1 } else { 0xFFFF_FFF1 };
        match (self.handler_mode(), self.control & control::SPSEL != 0) {
            (true, _) => frame,
            (false, false) => frame | 8,
            (false, true) => frame | 0xC,
        }
    }

    /// ExceptionTaken: vector, mode, masks.
    fn take_exception<B: Bus>(&mut self, bus: &mut B, number: u16, excreturn: u32) {
        let vector = bus.read(self.scb.vtor.wrapping_add(4 * u32::from(number)), Size::Word, self.cycle);
        // Fetched while the frame is written, which takes longer.
        self.pass_over_wait(bus);
        self.control &= !control::FPCA;
        self.switch_mode(number, false);
        self.r[14] = excreturn;
        self.it = 0;
        self.loaded = crate::timing::NOTHING;
        self.fetched = crate::state::NO_WORD;
        self.exclusive = false;
        self.event = true;
        self.nvic.activate(number);
        self.exceptions.push(number, ExceptionEdge::Entry, self.cycle);
        self.trace_exception(number, 1);
        match vector {
            Ok(vector) => {
                self.pc = vector & !1;
                self.thumb = vector & 1 != 0;
            }
            Err(_) => {
                // VECTTBL: HardFault in its place; a second failure locks up.
                self.nvic.set_active(number, false);
                if number == HARD_FAULT || number == NMI {
                    self.nvic.set_active(number, true);
                    self.lock_up();
                } else {
                    self.scb.hfsr |= hfsr::VECTTBL;
                    self.nvic.pend(HARD_FAULT);
                    self.catch(demcr::VC_INTERR);
                    self.take_exception(bus, HARD_FAULT, excreturn);
                }
                return;
            }
        }
        self.vector_catch(number);
    }

    /// Halts before the handler's first instruction if DEMCR asks for it (C1.4.1 and C1.6.5).
    fn vector_catch(&mut self, number: u16) {
        let caught = match number {
            HARD_FAULT => demcr::VC_HARDERR,
            MEM_MANAGE => demcr::VC_MMERR,
            BUS_FAULT => demcr::VC_BUSERR,
            // What was raised last: older flags in CFSR are not why this handler is entered.
            USAGE_FAULT => {
                let faults = self.fault_cause;
                let group = |bits: u32, catch: u32| if faults & bits != 0 { catch } else { 0 };
                group(cfsr::UNALIGNED | cfsr::DIVBYZERO, demcr::VC_CHKERR)
                    | group(cfsr::NOCP, demcr::VC_NOCPERR)
                    | group(cfsr::UNDEFINSTR | cfsr::INVSTATE | cfsr::INVPC, demcr::VC_STATERR)
            }
            _ => 0,
        };
        self.catch(caught);
    }

    /// Halts if one of these catches is enabled.
    pub(crate) fn catch(&mut self, catches: u32) {
        if self.debug.enabled() && self.debug.demcr & catches != 0 {
            self.halt(dfsr::VCATCH);
        }
    }

    /// Enters Debug state. The core sets C_HALT by itself, so that a debugger's next write does not run it by accident,
    /// and leaves lockup (C1.6.1, B1.5.15).
    pub(crate) fn halt(&mut self, reason: u32) {
        self.debug.dfsr |= reason;
        self.debug.control |= crate::debug::dhcsr::C_HALT;
        self.debug.halted = true;
        self.just_halted = true;
        self.sleeping = false;
        self.locked_up = false;
        self.just_locked_up = false;
        self.limit = 0;
        self.update_checked();
    }

    /// A fault while stacking or unstacking: the trap tells which kind of memory error it was.
    fn stacking_fault(&mut self, mem_manage: u32, bus_fault: u32) -> u32 {
        match core::mem::take(&mut self.trap) {
            Trap::Fault { cfsr: bits, .. } if bits & 0xFF != 0 => mem_manage,
            Trap::Fault { cfsr: bits, .. } if bits & cfsr::NOCP != 0 => cfsr::NOCP,
            _ => bus_fault,
        }
    }

    /// A derived exception (B1.5.10): one that the entry or the return of another makes.
    fn derive(&mut self, bits: u32) {
        self.raise_fault(bits, 0);
        self.catch(demcr::VC_INTERR);
    }

    /// PushStack.
    fn push_stack<B: Bus>(&mut self, bus: &mut B) -> Result<(), Trapped> {
        let extended = self.control & control::FPCA != 0;
        let size = if extended { 0x68 } else { 0x20 };
        let force_align = extended || self.scb.ccr & ccr::STKALIGN != 0;
        let sp = self.r[13];
        let misaligned = force_align && sp & 4 != 0;
        let frame = sp.wrapping_sub(size) & if force_align { !7 } else { !3 };
        let psr = self.xpsr() & !(1 << 9) | u32::from(misaligned) << 9;
        let basic = [self.r[0], self.r[1], self.r[2], self.r[3], self.r[12], self.r[14], self.pc, psr];
        self.r[13] = frame;
        for (i, value) in (0..).zip(basic) {
            self.store_stack(bus, frame.wrapping_add(4 * i), value)?;
        }
        if extended {
            let area = frame.wrapping_add(0x20);
            if self.scb.fpccr & fpccr::LSPEN != 0 {
                self.prepare_lazy(area);
            } else {
                if !self.fp_enabled() {
                    return self.fault(cfsr::NOCP);
                }
                self.cycle += FP_STATE_CYCLES;
                self.push_fp(bus, area)?;
            }
        }
        Ok(())
    }

    fn push_fp<B: Bus>(&mut self, bus: &mut B, area: u32) -> Result<(), Trapped> {
        for i in 0..16 {
            self.store_stack(bus, area.wrapping_add(4 * i), self.s[i as usize])?;
        }
        self.store_stack(bus, area.wrapping_add(0x40), self.fpscr)
    }

    /// UpdateFPCCR: where the registers will go, and which faults may be taken then.
    fn prepare_lazy(&mut self, area: u32) {
        let priority = self.nvic.execution_priority();
        let ready = |number: u16| self.nvic.is_enabled(number) && self.nvic.group_priority(number) < priority;
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        let bits = fpccr::LSPACT
            | flag(!self.privileged(), fpccr::USER)
            | flag(!self.handler_mode(), fpccr::THREAD)
            | flag(priority > -1, fpccr::HFRDY)
            | flag(ready(BUS_FAULT), fpccr::BFRDY)
            | flag(ready(MEM_MANAGE), fpccr::MMRDY)
            | flag(self.debug.demcr & demcr::MON_EN != 0 && ready(DEBUG_MONITOR), fpccr::MONRDY);
        self.scb.fpccr = self.scb.fpccr & (fpccr::ASPEN | fpccr::LSPEN) | bits;
        self.scb.fpcar = area & !7;
        self.fp_changed();
    }

    /// Everything a floating-point instruction needs first: access, lazy state preservation, FPCA (ExecuteFPCheck).
    #[cold]
    pub(crate) fn prepare_fp<B: Bus>(&mut self, bus: &mut B) -> Result<(), Trapped> {
        if !self.fp_enabled() {
            return self.fault(cfsr::NOCP);
        }
        if self.scb.fpccr & fpccr::LSPACT != 0 {
            self.preserve_fp(bus)?;
        }
        if self.scb.fpccr & fpccr::ASPEN != 0 && self.control & control::FPCA == 0 {
            self.control |= control::FPCA;
            self.fpscr = self.scb.fpdscr & 0x07C0_0000;
        }
        self.fp_changed();
        Ok(())
    }

    /// PreserveFPState (B1.5.7): the registers belong to the context that was interrupted, and so do the rights of the
    /// access and the decision which fault exception may be taken for it. A fault that can be taken now leaves the state
    /// to be preserved by the next attempt; one that cannot waits, and the instruction goes on.
    fn preserve_fp<B: Bus>(&mut self, bus: &mut B) -> Result<(), Trapped> {
        self.cycle += FP_STATE_CYCLES;
        // These cycles are in no instruction's cost: the run loop looks at the time after this one.
        self.limit = 0;
        let (context, control) = (self.scb.fpccr, self.control);
        self.unprivileged_access = context & fpccr::USER != 0;
        self.control &= !control::NPRIV;
        let saved = self.push_fp(bus, self.scb.fpcar);
        self.unprivileged_access = false;
        self.control = control;
        if saved.is_err() {
            let bits = self.stacking_fault(cfsr::MLSPERR, cfsr::LSPERR);
            let (number, ready) =
                if bits == cfsr::MLSPERR { (MEM_MANAGE, fpccr::MMRDY) } else { (BUS_FAULT, fpccr::BFRDY) };
            self.scb.cfsr |= bits;
            if context & ready != 0 {
                self.nvic.pend(number);
            } else if context & fpccr::HFRDY != 0 {
                self.scb.hfsr |= hfsr::FORCED;
                self.nvic.pend(HARD_FAULT);
            } else {
                self.lock_up();
                return self.trap(Trap::None);
            }
            if self.nvic.preempting().is_some() {
                return self.trap(Trap::None);
            }
        }
        self.scb.fpccr &= !fpccr::LSPACT;
        Ok(())
    }

    /// ExceptionReturn (B1.5.8), up to the unstacking.
    pub(crate) fn return_from_exception(&mut self, excreturn: u32) {
        let returning = self.ipsr;
        let nested = self.nvic.active_count() > 1;
        let thread_allowed = !nested || self.scb.ccr & ccr::NONBASETHRDENA != 0;
        let (to_thread, spsel) = match excreturn & 15 {
            1 => (false, false),
            9 => (true, false),
            13 => (true, true),
            _ => return self.invalid_return(excreturn),
        };
        let allowed = if to_thread { thread_allowed } else { nested };
        if !allowed || excreturn & 0x0FFF_FFE0 != 0x0FFF_FFE0 || !self.nvic.active.has(returning) {
            return self.invalid_return(excreturn);
        }
        self.deactivate(returning);
        if self.nvic.preempting().is_some() {
            return self.tail_chain(excreturn);
        }
        // Until the unstacking is over a new exception is tail-chained as well.
        self.spend(RETURN_CYCLES + if excreturn & 0x10 == 0 { self.fp_unstacking_cycles() } else { 0 });
        let transit = Transit::Return { excreturn, to_thread, spsel, returning };
        self.transit = Some(transit);
    }

    fn fp_unstacking_cycles(&self) -> u64 {
        if self.scb.fpccr & fpccr::LSPACT != 0 { 0 } else { FP_STATE_CYCLES }
    }

    /// The frame comes off the stack, and with it the context that was interrupted.
    fn unstack<B: Bus>(&mut self, bus: &mut B, excreturn: u32, to_thread: bool, spsel: bool, returning: u16) {
        let control_before = self.control;
        self.switch_mode(if to_thread { 0 } else { returning }, spsel);
        let Ok(handler) = self.pop_stack(bus, excreturn) else {
            // Back into the handler's context for the derived exception.
            let bits = self.stacking_fault(cfsr::MUNSTKERR, cfsr::UNSTKERR);
            self.switch_mode(returning, false);
            self.control = control_before & !control::SPSEL;
            self.fp_changed();
            self.derive(bits);
            if !self.locked_up {
                self.tail_chain(excreturn);
            }
            return;
        };
        if (handler == 0) != to_thread {
            // The frame is of the other mode: UsageFault, from where the frame leads to.
            self.raise_fault(cfsr::INVPC, 0);
            if !self.locked_up {
                self.enter_with(bus, 0xF000_0000 | excreturn);
            }
            return;
        }
        self.ipsr = handler;
        self.trace_exception(handler, 3);
        self.exclusive = false;
        self.event = true;
        self.fp_changed();
        if to_thread && self.nvic.active_count() == 0 && self.scb.scr & 2 != 0 {
            self.sleep(false);
        }
    }

    /// DeActivate.
    fn deactivate(&mut self, number: u16) {
        self.exceptions.push(number, ExceptionEdge::Exit, self.cycle);
        self.trace_exception(number, 2);
        self.nvic.deactivate(number);
        if number != NMI {
            self.faultmask = false;
        }
        self.update_masks();
    }

    fn tail_chain(&mut self, excreturn: u32) {
        self.spend(TAIL_CHAIN_CYCLES);
        self.transit = Some(Transit::Entry(excreturn));
    }

    /// The EXC_RETURN value or the state is illegal: UsageFault INVPC, tail-chained with the value in LR.
    fn invalid_return(&mut self, excreturn: u32) {
        self.deactivate(self.ipsr);
        self.r[14] = 0xF000_0000 | excreturn;
        self.raise_fault(cfsr::INVPC, 0);
        if !self.locked_up {
            self.tail_chain(0xF000_0000 | excreturn);
        }
    }

    /// PopStack, all but IPSR, which it returns.
    fn pop_stack<B: Bus>(&mut self, bus: &mut B, excreturn: u32) -> Result<u16, Trapped> {
        let extended = excreturn & 0x10 == 0;
        let frame = self.r[13];
        let size = if extended { 0x68 } else { 0x20 };
        let force_align = extended || self.scb.ccr & ccr::STKALIGN != 0;
        let mut words = [0; 8];
        for (i, word) in (0..).zip(&mut words) {
            *word = self.load_stack(bus, frame.wrapping_add(4 * i))?;
        }
        if extended {
            if self.scb.fpccr & fpccr::LSPACT != 0 {
                // Nobody touched the registers: nothing was saved.
                self.scb.fpccr &= !fpccr::LSPACT;
            } else if !self.fp_enabled() {
                return self.fault(cfsr::NOCP);
            } else {
                let area = frame.wrapping_add(0x20);
                for i in 0..16 {
                    self.s[i as usize] = self.load_stack(bus, area.wrapping_add(4 * i))?;
                }
                self.fpscr = self.load_stack(bus, area.wrapping_add(0x40))?;
            }
        }
        self.control = self.control & !control::FPCA | if extended { control::FPCA } else { 0 };
        let [r0, r1, r2, r3, r12, lr, pc, psr] = words;
        (self.r[0], self.r[1], self.r[2], self.r[3]) = (r0, r1, r2, r3);
        (self.r[12], self.r[14]) = (r12, lr);
        self.loaded = crate::timing::NOTHING;
        self.fetched = crate::state::NO_WORD;
        self.pc = pc & !1;
        let realign = u32::from(force_align) & psr >> 9;
        self.r[13] = frame.wrapping_add(size) | realign << 2;
        self.set_apsr_epsr(psr);
        Ok((psr & 0x1FF) as u16)
    }

    /// Sleeps for an interrupt, or also for an event.
    pub(crate) fn sleep(&mut self, for_event: bool) {
        self.sleeping = true;
        self.sleeping_for_event = for_event;
        self.attention |= self.watches_sleep;
        self.limit = 0;
    }

    /// Wakes up if there is a reason to (B1.5.18, B1.5.19).
    pub(crate) fn try_wake(&mut self) -> bool {
        let by_event = self.sleeping_for_event && self.event;
        if by_event {
            self.event = false;
        }
        if by_event || self.nvic.wakes(self.faultmask, self.basepri) {
            self.sleeping = false;
        }
        !self.sleeping
    }
}
