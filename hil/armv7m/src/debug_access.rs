//! DHCSR, DCRSR, DCRDR and DEMCR (ARMv7-M ARM C1.6), the register transfers behind them, and what the DWT tells the
//! trace port (appendix D4.3).

use crate::Cycle;
use crate::debug::{demcr, dfsr, dhcsr};
use crate::dwt::{DataAccess, ctrl};
use crate::float::fpscr;
use crate::nvic::exception::DEBUG_MONITOR;
use crate::state::Core;

/// Headers of the DWT's packets, without the size (appendix D4.3).
const EVENT: u8 = 0x04;
const EXCEPTION: u8 = 0x0C;
const PC_SAMPLE: u8 = 0x14;
const DATA_PC: u8 = 0x44;
const DATA_ADDRESS: u8 = 0x4C;
const DATA_VALUE: u8 = 0x84;

impl Core {
    pub(crate) fn trace_enabled(&self) -> bool {
        self.debug.demcr & demcr::TRCENA != 0
    }

    /// Packets of the DWT have a way out.
    pub(crate) fn traces(&self) -> bool {
        self.trace_enabled() && self.trace.forwards()
    }

    /// After anything that POSTCNT's next tick depends on.
    pub(crate) fn plan_tick(&mut self) {
        self.next_tick = if self.dwt.is_periodic() { self.dwt.next_tick(self.cycle) } else { Cycle::MAX };
        self.limit = 0;
    }

    /// Ticks of POSTCNT up to now: cycle events and PC samples.
    pub(crate) fn advance_trace(&mut self) {
        while self.cycle >= self.next_tick {
            let at = self.next_tick;
            self.next_tick = self.dwt.next_tick(at);
            if self.dwt.tick() && self.traces() {
                if self.dwt.control & ctrl::CYCEVTENA != 0 {
                    self.trace.packet(EVENT, 1 << 5, 1, at);
                }
                if self.dwt.control & ctrl::PCSAMPLENA != 0 {
                    // A sleeping core has no PC to show.
                    let (value, size) = if self.sleeping { (0, 1) } else { (self.pc, 4) };
                    self.trace.packet(PC_SAMPLE, value, size, at);
                }
            }
            if self.trace.is_full() {
                self.next_tick = self.dwt.next_tick(self.cycle);
            }
        }
    }

    /// `cycles` went by asleep.
    pub(crate) fn slept(&mut self, cycles: Cycle) {
        if self.dwt.count_sleep(cycles) && self.traces() {
            self.trace.packet(EVENT, 1 << 2, 1, self.cycle);
        }
    }

    /// `cycles` go into entering or leaving an exception.
    pub(crate) fn spend(&mut self, cycles: Cycle) {
        self.cycle += cycles;
        if self.dwt.count_exception(cycles) && self.traces() {
            self.trace.packet(EVENT, 1 << 1, 1, self.cycle);
        }
    }

    /// Exception trace; `function` is 1 for an entry, 2 for an exit, 3 for the return to what was interrupted.
    pub(crate) fn trace_exception(&mut self, number: u16, function: u32) {
        if self.dwt.control & ctrl::EXCTRCENA != 0 && self.traces() {
            self.trace.packet(EXCEPTION, u32::from(number) | function << 12, 2, self.cycle);
        }
    }

    /// A data access of the program, for watchpoints and data trace.
    pub(crate) fn watch(&mut self, access: DataAccess) {
        if !self.trace_enabled() {
            return;
        }
        if self.trace.forwards() {
            for emission in self.dwt.emissions(access) {
                let comparator = emission.comparator << 4;
                if emission.pc {
                    self.trace.packet(DATA_PC | comparator, self.pc, 4, self.cycle);
                }
                if emission.offset {
                    self.trace.packet(DATA_ADDRESS | comparator, access.addr & 0xFFFF, 2, self.cycle);
                }
                if emission.value {
                    let direction = if access.write { 8 } else { 0 };
                    self.trace.packet(DATA_VALUE | comparator | direction, access.value, access.size as u8, self.cycle);
                }
            }
        }
        if self.dwt.on_data(access) {
            self.debug.watch_hit = true;
        }
    }

    /// The status bits that clear on read do so for the debugger only.
    pub(crate) fn read_dhcsr(&mut self, debugger: bool) -> u32 {
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        let value = self.debug.control
            | dhcsr::S_REGRDY
            | flag(self.debug.halted, dhcsr::S_HALT)
            | flag(self.sleeping, dhcsr::S_SLEEP)
            | flag(self.locked_up, dhcsr::S_LOCKUP)
            | flag(self.instructions != self.debug.retired, dhcsr::S_RETIRE_ST)
            | flag(self.debug.reset_seen, dhcsr::S_RESET_ST);
        if debugger {
            self.debug.reset_seen = false;
            self.debug.retired = self.instructions;
        }
        value
    }

    pub(crate) fn write_dhcsr(&mut self, value: u32, debugger: bool) {
        const CONTROL: u32 = dhcsr::C_DEBUGEN | dhcsr::C_HALT | dhcsr::C_STEP | dhcsr::C_MASKINTS | dhcsr::C_SNAPSTALL;
        let enable = if debugger { value & dhcsr::C_DEBUGEN } else { self.debug.control & dhcsr::C_DEBUGEN };
        // Without C_DEBUGEN the other bits read as zero.
        self.debug.control = if enable != 0 { value & CONTROL & !dhcsr::C_DEBUGEN | enable } else { 0 };
        let halt = self.debug.control & dhcsr::C_HALT != 0;
        if halt && !self.debug.halted {
            self.halt(dfsr::HALTED);
            // Whoever wrote this knows; run() need not tell.
            self.just_halted = !debugger;
        } else if !halt {
            self.debug.halted = false;
            // A halt that run() has not told of yet is over.
            self.just_halted = false;
        }
        self.nvic.mask_interrupts = self.interrupts_masked();
        self.nvic.update_pending();
        self.look_for_exception();
        self.update_checked();
    }

    pub(crate) fn write_demcr(&mut self, value: u32) {
        self.debug.demcr = value & demcr::WRITABLE;
        self.nvic.enable(DEBUG_MONITOR, value & demcr::MON_EN != 0);
        self.nvic.pending.set(DEBUG_MONITOR, value & demcr::MON_PEND != 0);
        self.nvic.update_pending();
        let trace = self.trace_enabled();
        self.dwt.update(self.cycle, trace);
        self.plan_tick();
        self.look_for_exception();
        self.update_checked();
    }

    /// Register transfer through DCRDR. Only in Debug state does it do anything.
    pub(crate) fn write_dcrsr(&mut self, value: u32) {
        let register = (value & 0x7F) as u8;
        if !self.debug.halted {
            return;
        }
        if value & 1 << 16 != 0 {
            self.set_register(register, self.debug.dcrdr);
        } else {
            self.debug.dcrdr = self.register(register);
        }
    }

    /// A register by its REGSEL number; numbers that are not allocated read as zero.
    pub(crate) fn register(&self, register: u8) -> u32 {
        match register {
            0..=14 => self.r[usize::from(register)],
            15 => self.pc,
            16 => self.xpsr(),
            17 => self.msp(),
            18 => self.psp(),
            20 => {
                self.control << 24
                    | u32::from(self.faultmask) << 16
                    | u32::from(self.basepri) << 8
                    | u32::from(self.primask)
            }
            33 => self.fpscr,
            64..=95 => self.s[usize::from(register - 64)],
            _ => 0,
        }
    }

    /// A bit of a register turns over by itself.
    pub(crate) fn flip(&mut self, register: u8, bit: u8) {
        let mask = 1u32.checked_shl(bit.into()).unwrap_or(0);
        match register {
            0..=15 => self.set_register(register, self.register(register) ^ mask),
            16 => self.set_apsr_epsr(self.xpsr() ^ mask & !0x1FF),
            _ => {}
        }
    }

    fn set_register(&mut self, register: u8, value: u32) {
        match register {
            13 => self.r[13] = value & !3,
            0..=14 => self.r[usize::from(register)] = value,
            15 => self.pc = value & !1,
            16 => {
                self.switch_mode((value & 0x1FF) as u16, self.control & crate::state::control::SPSEL != 0);
                self.set_apsr_epsr(value);
            }
            17 => self.set_msp(value),
            18 => self.set_psp(value),
            20 => {
                let spsel = value >> 25 & 1 != 0;
                self.control = self.control & crate::state::control::SPSEL | value >> 24 & 5;
                self.update_checked();
                self.switch_mode(self.ipsr, spsel && !self.handler_mode());
                self.faultmask = value >> 16 & 1 != 0;
                self.basepri = self.nvic.mask_priority((value >> 8) as u8);
                self.primask = value & 1 != 0;
                self.update_masks();
            }
            33 => self.fpscr = value & fpscr::WRITABLE,
            64..=95 => self.s[usize::from(register - 64)] = value,
            _ => {}
        }
    }
}
