//! Everything the core remembers, apart from decoded code.

use std::collections::VecDeque;

use crate::debug::Debug;
use crate::decode::Invalid;
use crate::dwt::Dwt;
use crate::fpb::Fpb;
use crate::mpu::Mpu;
use crate::nvic::Nvic;
use crate::observe::ExceptionLog;
use crate::residency::Residency;
use crate::systick::SysTick;
use crate::trace::Trace;
use crate::{Bus, Config, Cycle, FetchTiming, Undefined};

/// CFSR bits, by the exception they belong to (B3.2.15).
pub(crate) mod cfsr {
    pub(crate) const IACCVIOL: u32 = 1 << 0;
    pub(crate) const DACCVIOL: u32 = 1 << 1;
    pub(crate) const MUNSTKERR: u32 = 1 << 3;
    pub(crate) const MSTKERR: u32 = 1 << 4;
    pub(crate) const MLSPERR: u32 = 1 << 5;
    pub(crate) const MMARVALID: u32 = 1 << 7;
    pub(crate) const IBUSERR: u32 = 1 << 8;
    pub(crate) const PRECISERR: u32 = 1 << 9;
    pub(crate) const UNSTKERR: u32 = 1 << 11;
    pub(crate) const STKERR: u32 = 1 << 12;
    pub(crate) const LSPERR: u32 = 1 << 13;
    pub(crate) const BFARVALID: u32 = 1 << 15;
    pub(crate) const UNDEFINSTR: u32 = 1 << 16;
    pub(crate) const INVSTATE: u32 = 1 << 17;
    pub(crate) const INVPC: u32 = 1 << 18;
    pub(crate) const NOCP: u32 = 1 << 19;
    pub(crate) const UNALIGNED: u32 = 1 << 24;
    pub(crate) const DIVBYZERO: u32 = 1 << 25;
}

/// HFSR bits.
pub(crate) mod hfsr {
    pub(crate) const VECTTBL: u32 = 1 << 1;
    pub(crate) const FORCED: u32 = 1 << 30;
    pub(crate) const DEBUGEVT: u32 = 1 << 31;
}

/// CCR bits.
pub(crate) mod ccr {
    pub(crate) const NONBASETHRDENA: u32 = 1 << 0;
    pub(crate) const USERSETMPEND: u32 = 1 << 1;
    pub(crate) const UNALIGN_TRP: u32 = 1 << 3;
    pub(crate) const DIV_0_TRP: u32 = 1 << 4;
    pub(crate) const BFHFNMIGN: u32 = 1 << 8;
    pub(crate) const STKALIGN: u32 = 1 << 9;
    pub(crate) const WRITABLE: u32 = 0x31B;
}

/// FPCCR bits.
pub(crate) mod fpccr {
    pub(crate) const LSPACT: u32 = 1 << 0;
    pub(crate) const USER: u32 = 1 << 1;
    pub(crate) const THREAD: u32 = 1 << 3;
    pub(crate) const HFRDY: u32 = 1 << 4;
    pub(crate) const MMRDY: u32 = 1 << 5;
    pub(crate) const BFRDY: u32 = 1 << 6;
    pub(crate) const MONRDY: u32 = 1 << 8;
    pub(crate) const LSPEN: u32 = 1 << 30;
    pub(crate) const ASPEN: u32 = 1 << 31;
}

/// CONTROL bits.
pub(crate) mod control {
    pub(crate) const NPRIV: u32 = 1;
    pub(crate) const SPSEL: u32 = 2;
    pub(crate) const FPCA: u32 = 4;
}

/// Why an instruction did not complete in the ordinary way. It stands in [`Core::trap`]; the functions that execute
/// only say [`Trapped`], so that their results fit into registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trap {
    #[default]
    None,
    /// A synchronous fault: CFSR bits, and the address if one of the VALID bits is among them.
    Fault {
        cfsr: u32,
        addr: u32,
    },
    Svc,
    Bkpt,
    Wfi,
    Wfe,
    /// EXC_RETURN was loaded into the PC in Handler mode.
    ExceptionReturn(u32),
}

/// An exception entry or return whose cycles have passed and whose end is to come. Between the two the owner may have
/// been called, and an exception may have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transit {
    /// The frame is on the stack. The EXC_RETURN value for LR.
    Entry(u32),
    /// The handler has returned, its frame is still on the stack.
    Return { excreturn: u32, to_thread: bool, spsel: bool, returning: u16 },
}

/// See [`Trap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trapped;

/// System control block registers that are plain storage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scb {
    pub(crate) vtor: u32,
    pub(crate) scr: u32,
    pub(crate) ccr: u32,
    pub(crate) cfsr: u32,
    pub(crate) hfsr: u32,
    /// MMFAR and BFAR: one register on the Cortex-M4.
    pub(crate) fault_address: u32,
    pub(crate) actlr: u32,
    pub(crate) cpacr: u32,
    pub(crate) fpccr: u32,
    pub(crate) fpcar: u32,
    pub(crate) fpdscr: u32,
}

/// See [`Core::limit`].
pub(crate) const STOP: Cycle = 0;
/// See [`Core::limit`].
pub(crate) const LATE: Cycle = 1;
/// See [`Core::fetched`].
pub(crate) const NO_WORD: u32 = 1;

/// How many undefined instructions are remembered until somebody takes them.
const UNDEFINED_KEPT: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    /// Length of `config.code`.
    pub(crate) code_len: u32,
    /// How much of it the fast loop may execute; beyond that the MPU is asked.
    pub(crate) executable: u32,
    /// R0-R12, SP, LR; the next place catches results that are thrown away. The rest is there so that a byte of a
    /// decoded instruction is an index that needs neither a check nor a mask.
    pub(crate) r: [u32; 256],
    /// Address of the next instruction.
    pub(crate) pc: u32,
    /// Z if the low word is zero; N if bit 31 or bit 63 is set.
    pub(crate) nz: u64,
    pub(crate) c: bool,
    pub(crate) v: bool,
    pub(crate) q: bool,
    pub(crate) ge: u32,
    /// ITSTATE of the next instruction.
    pub(crate) it: u8,
    /// EPSR.T.
    pub(crate) thumb: bool,
    pub(crate) cycle: Cycle,
    pub(crate) instructions: u64,
    /// Cycles that the instruction took beyond its fixed cost, or waited for data, until somebody adds them.
    pub(crate) late: u32,
    /// The register that the instruction before has loaded, or [`NOTHING`](crate::timing::NOTHING).
    pub(crate) loaded: u8,
    pub(crate) fetch: FetchTiming,
    /// The word that was fetched last, if the next instruction follows; [`NO_WORD`] otherwise.
    pub(crate) fetched: u32,
    /// How often everything was forgotten about lines of code and blocks.
    pub(crate) era: u64,
    /// What is resident of each block.
    pub(crate) resident: Residency,
    /// Lines that are not resident any longer, which `resident` does not show yet.
    pub(crate) lost: Vec<u32>,
    /// The run loop leaves when `cycle` reaches this; [`STOP`] calls it out at once, [`LATE`] has it look at `late`.
    pub(crate) limit: Cycle,
    /// The limit behind [`LATE`].
    pub(crate) held_limit: Cycle,

    pub(crate) ipsr: u16,
    pub(crate) primask: bool,
    pub(crate) faultmask: bool,
    pub(crate) basepri: u8,
    pub(crate) control: u32,
    /// The stack pointer that is not in use.
    pub(crate) other_sp: u32,
    pub(crate) exclusive: bool,
    /// The event register.
    pub(crate) event: bool,
    pub(crate) sleeping: bool,
    /// Asleep by WFE (or WFI).
    pub(crate) sleeping_for_event: bool,
    /// The owner wants to know when the core goes to sleep.
    pub(crate) watches_sleep: bool,
    pub(crate) locked_up: bool,
    /// The access under way is that of LDRT or STRT.
    pub(crate) unprivileged_access: bool,

    /// S0-S31, and a rest as in `r`.
    pub(crate) s: [u32; 256],
    pub(crate) fpscr: u32,
    /// The next floating-point instruction needs no look at CPACR, lazy stacking or CONTROL.FPCA.
    pub(crate) fp_ready: bool,

    pub(crate) nvic: Nvic,
    pub(crate) systick: SysTick,
    pub(crate) scb: Scb,
    pub(crate) mpu: Mpu,
    pub(crate) debug: Debug,
    pub(crate) fpb: Fpb,
    pub(crate) dwt: Dwt,
    pub(crate) trace: Trace,
    /// When POSTCNT next counts, if anybody wants to know.
    pub(crate) next_tick: Cycle,

    pub(crate) trap: Trap,
    pub(crate) transit: Option<Transit>,
    /// CFSR bits of the fault that was raised last.
    pub(crate) fault_cause: u32,
    /// Each instruction must go through the checks that the fast loop leaves out.
    pub(crate) checked: bool,
    pub(crate) attention: bool,
    pub(crate) reset_request: bool,
    pub(crate) just_halted: bool,
    pub(crate) just_locked_up: bool,
    pub(crate) undefined: VecDeque<Undefined>,
    pub(crate) exceptions: ExceptionLog,
}

impl Core {
    pub(crate) fn new(config: Config) -> Self {
        let nvic = Nvic::new(config.irq_lines, config.priority_bits);
        let code_len = config.code.end.saturating_sub(config.code.start);
        Self {
            config,
            code_len,
            executable: code_len,
            r: [0; 256],
            pc: 0,
            nz: 1,
            c: false,
            v: false,
            q: false,
            ge: 0,
            it: 0,
            thumb: true,
            cycle: 0,
            instructions: 0,
            late: 0,
            loaded: crate::timing::NOTHING,
            fetch: FetchTiming::FAST,
            fetched: NO_WORD,
            era: 1,
            resident: Residency::default(),
            lost: Vec::new(),
            limit: STOP,
            held_limit: 0,
            ipsr: 0,
            primask: false,
            faultmask: false,
            basepri: 0,
            control: 0,
            other_sp: 0,
            exclusive: false,
            event: false,
            sleeping: false,
            sleeping_for_event: false,
            watches_sleep: false,
            locked_up: false,
            unprivileged_access: false,
            s: [0; 256],
            fpscr: 0,
            fp_ready: false,
            nvic,
            systick: SysTick::default(),
            scb: Scb::default(),
            mpu: Mpu::default(),
            debug: Debug::default(),
            fpb: Fpb::default(),
            dwt: Dwt::default(),
            trace: Trace::default(),
            next_tick: Cycle::MAX,
            trap: Trap::None,
            transit: None,
            fault_cause: 0,
            checked: false,
            attention: false,
            reset_request: false,
            just_halted: false,
            just_locked_up: false,
            undefined: VecDeque::new(),
            exceptions: ExceptionLog::default(),
        }
    }

    /// TakeReset (B1.5.5). What belongs to the debugger stays unless `power_on`.
    pub(crate) fn reset<B: Bus>(&mut self, bus: &mut B, power_on: bool) {
        let mut fresh = Self::new(self.config.clone());
        fresh.cycle = self.cycle;
        fresh.instructions = self.instructions;
        fresh.watches_sleep = self.watches_sleep;
        fresh.fetch = self.fetch;
        fresh.era = self.era + 1;
        core::mem::swap(&mut fresh.undefined, &mut self.undefined);
        core::mem::swap(&mut fresh.exceptions, &mut self.exceptions);
        core::mem::swap(&mut fresh.nvic, &mut self.nvic);
        fresh.nvic.reset();
        if !power_on {
            fresh.debug = self.debug.clone();
            fresh.debug.halted = false;
            fresh.debug.watch_hit = false;
            // A system reset leaves DHCSR alone but for C_HALT; halting on reset is what VC_CORERESET is for (TI
            // SLAU356, 2.4.7.1, of the same core). A debugger resets a halted core to let it run.
            fresh.debug.control &= !crate::debug::dhcsr::C_HALT;
            fresh.fpb = self.fpb.clone();
            fresh.dwt = self.dwt.clone();
            fresh.trace = self.trace.clone();
            fresh.next_tick = self.next_tick;
        }
        fresh.debug.reset_seen = true;
        // Either way the decoded code must show the comparators as they are now.
        fresh.fpb.changed = true;
        fresh.scb.ccr = ccr::STKALIGN;
        fresh.scb.fpccr = fpccr::ASPEN | fpccr::LSPEN;
        fresh.r[14] = u32::MAX;
        *self = fresh;
        self.nvic.mask_interrupts = self.interrupts_masked();
        self.update_masks();
        self.nvic.enable(crate::nvic::exception::DEBUG_MONITOR, self.debug.demcr & crate::debug::demcr::MON_EN != 0);
        let sp = bus.read(0, crate::Size::Word, self.cycle);
        let vector = bus.read(4, crate::Size::Word, self.cycle);
        self.pass_over_wait(bus);
        match (sp, vector) {
            (Ok(sp), Ok(vector)) => {
                self.r[13] = sp & !3;
                self.pc = vector & !1;
                self.thumb = vector & 1 != 0;
            }
            _ => self.lock_up(),
        }
        self.update_checked();
    }

    // Flags.

    #[inline(always)]
    pub(crate) fn set_nz(&mut self, result: u32) {
        self.nz = u64::from(result);
    }

    #[inline(always)]
    pub(crate) fn n(&self) -> bool {
        self.nz & (1 << 63 | 1 << 31) != 0
    }

    #[inline(always)]
    pub(crate) fn z(&self) -> bool {
        self.nz as u32 == 0
    }

    /// ConditionPassed for one of the sixteen conditions.
    #[inline(always)]
    pub(crate) fn condition(&self, cond: u8) -> bool {
        match cond & 15 {
            0 => self.z(),
            1 => !self.z(),
            2 => self.c,
            3 => !self.c,
            4 => self.n(),
            5 => !self.n(),
            6 => self.v,
            7 => !self.v,
            8 => self.c && !self.z(),
            9 => !self.c || self.z(),
            10 => self.n() == self.v,
            11 => self.n() != self.v,
            12 => !self.z() && self.n() == self.v,
            13 => self.z() || self.n() != self.v,
            _ => true,
        }
    }

    pub(crate) fn set_nzcv(&mut self, word: u32) {
        let (n, z) = (word >> 31 != 0, word >> 30 & 1 != 0);
        self.nz = match (n, z) {
            (true, true) => 1 << 63,
            (true, false) => 1 << 31,
            (false, true) => 0,
            (false, false) => 1,
        };
        self.c = word >> 29 & 1 != 0;
        self.v = word >> 28 & 1 != 0;
    }

    /// APSR: NZCVQ and GE.
    pub(crate) fn apsr(&self) -> u32 {
        u32::from(self.n()) << 31
            | u32::from(self.z()) << 30
            | u32::from(self.c) << 29
            | u32::from(self.v) << 28
            | u32::from(self.q) << 27
            | self.ge << 16
    }

    pub(crate) fn xpsr(&self) -> u32 {
        let it = u32::from(self.it);
        self.apsr() | (it & 3) << 25 | (it >> 2) << 10 | u32::from(self.thumb) << 24 | u32::from(self.ipsr)
    }

    /// APSR and EPSR out of a word; IPSR is left alone.
    pub(crate) fn set_apsr_epsr(&mut self, word: u32) {
        self.set_nzcv(word);
        self.q = word >> 27 & 1 != 0;
        self.ge = word >> 16 & 15;
        self.thumb = word >> 24 & 1 != 0;
        self.it = (word >> 25 & 3 | (word >> 10 & 0x3F) << 2) as u8;
    }

    // Modes and stacks.

    pub(crate) fn handler_mode(&self) -> bool {
        self.ipsr != 0
    }

    pub(crate) fn privileged(&self) -> bool {
        self.handler_mode() || self.control & control::NPRIV == 0
    }

    pub(crate) fn uses_psp(&self) -> bool {
        !self.handler_mode() && self.control & control::SPSEL != 0
    }

    pub(crate) fn msp(&self) -> u32 {
        if self.uses_psp() { self.other_sp } else { self.r[13] }
    }

    pub(crate) fn psp(&self) -> u32 {
        if self.uses_psp() { self.r[13] } else { self.other_sp }
    }

    /// Changes IPSR and CONTROL.SPSEL with both stack pointers in their places.
    pub(crate) fn switch_mode(&mut self, ipsr: u16, spsel: bool) {
        let (msp, psp) = (self.msp(), self.psp());
        self.ipsr = ipsr;
        self.control = self.control & !control::SPSEL | if spsel { control::SPSEL } else { 0 };
        (self.r[13], self.other_sp) = if self.uses_psp() { (psp, msp) } else { (msp, psp) };
        self.fp_changed();
    }

    pub(crate) fn set_msp(&mut self, value: u32) {
        if self.uses_psp() { self.other_sp = value & !3 } else { self.r[13] = value & !3 }
    }

    pub(crate) fn set_psp(&mut self, value: u32) {
        if self.uses_psp() { self.r[13] = value & !3 } else { self.other_sp = value & !3 }
    }

    // Reasons to leave the fast loop.

    /// PRIMASK, FAULTMASK or BASEPRI changed.
    pub(crate) fn update_masks(&mut self) {
        self.nvic.set_masks(self.primask, self.faultmask, self.basepri);
        self.look_for_exception();
    }

    /// Calls the loop out if an exception preempts now.
    pub(crate) fn look_for_exception(&mut self) {
        if self.nvic.preempting().is_some() {
            self.limit = STOP;
        }
    }

    /// An interrupt or system exception became pending: SCR.SEVONPEND makes that an event.
    pub(crate) fn pended(&mut self, fresh: bool) {
        if fresh && self.scb.scr & 0x10 != 0 {
            self.event = true;
        }
        self.look_for_exception();
    }

    /// Whether the fast loop's shortcuts are allowed.
    pub(crate) fn update_checked(&mut self) {
        let is_privileged = self.control & control::NPRIV == 0;
        let guards_code_alone = self.mpu.is_enabled() && is_privileged && self.mpu.spares_data();
        let executable = if guards_code_alone { self.mpu.executable_from(&self.config.code) } else { self.code_len };
        if executable != self.executable {
            self.executable = executable;
            self.limit = STOP;
        }
        let checked = self.mpu.is_enabled() && !guards_code_alone
            || self.scb.ccr & ccr::UNALIGN_TRP != 0
            || self.dwt.watches()
            || self.fpb.remaps()
            || self.fetch.cached && self.fetch.by_word
            || self.debug.stepping()
            || self.debug.demcr & crate::debug::demcr::MON_STEP != 0;
        if checked != self.checked {
            self.checked = checked;
            self.limit = STOP;
        }
    }

    pub(crate) fn interrupts_masked(&self) -> bool {
        use crate::debug::dhcsr::{C_DEBUGEN, C_MASKINTS};
        self.debug.control & (C_DEBUGEN | C_MASKINTS) == C_DEBUGEN | C_MASKINTS
    }

    /// Something that [`Core::fp_ready`] sums up changed.
    pub(crate) fn fp_changed(&mut self) {
        let active = self.control & control::FPCA != 0 || self.scb.fpccr & fpccr::ASPEN == 0;
        self.fp_ready = active && self.scb.fpccr & fpccr::LSPACT == 0 && self.fp_enabled();
    }

    /// CPACR lets the current privilege use coprocessors 10 and 11.
    pub(crate) fn fp_enabled(&self) -> bool {
        match self.scb.cpacr >> 20 & 3 {
            3 => true,
            1 => self.privileged(),
            _ => false,
        }
    }

    pub(crate) fn trap<T>(&mut self, trap: Trap) -> Result<T, Trapped> {
        self.trap = trap;
        Err(Trapped)
    }

    pub(crate) fn fault<T>(&mut self, cfsr: u32) -> Result<T, Trapped> {
        self.trap(Trap::Fault { cfsr, addr: 0 })
    }

    pub(crate) fn record_undefined(&mut self, pc: u32, encoding: u32, why: Invalid) {
        if self.undefined.len() == UNDEFINED_KEPT {
            self.undefined.pop_front();
        }
        self.undefined.push_back(Undefined { pc, encoding, why });
    }
}
