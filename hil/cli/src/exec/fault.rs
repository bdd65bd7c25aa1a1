//! What a core looked like when it could not go on.

use std::fmt;

use probe_rs::{Core, CoreStatus, MemoryInterface as _, RegisterId};

use super::program::Program;
use crate::board::BoardError;

/// System control block (ARMv7-M ARM B3.2).
const CFSR: u64 = 0xE000_ED28;
const HFSR: u64 = 0xE000_ED2C;
const MMFAR: u64 = 0xE000_ED34;
const BFAR: u64 = 0xE000_ED38;

const MMARVALID: u32 = 1 << 7;
const BFARVALID: u32 = 1 << 15;

/// Set bits of CFSR in words (ARMv7-M ARM B3.2.15).
const CAUSES: &[(u32, &str)] = &[
    (0, "instruction access violation (IACCVIOL)"),
    (1, "data access violation (DACCVIOL)"),
    (3, "MemManage fault on exception return (MUNSTKERR)"),
    (4, "MemManage fault on exception entry: stack overflow? (MSTKERR)"),
    (5, "MemManage fault on lazy FP stacking (MLSPERR)"),
    (8, "instruction bus error (IBUSERR)"),
    (9, "precise data bus error (PRECISERR)"),
    (10, "imprecise data bus error (IMPRECISERR)"),
    (11, "bus fault on exception return (UNSTKERR)"),
    (12, "bus fault on exception entry: stack overflow? (STKERR)"),
    (13, "bus fault on lazy FP stacking (LSPERR)"),
    (16, "undefined instruction (UNDEFINSTR)"),
    (17, "invalid state: branch to an even address? (INVSTATE)"),
    (18, "invalid EXC_RETURN (INVPC)"),
    (19, "coprocessor access: FPU not enabled? (NOCP)"),
    (24, "unaligned access (UNALIGNED)"),
    (25, "division by zero (DIVBYZERO)"),
];

/// Registers, fault status, and where the program was.
#[derive(Debug)]
pub(super) struct Fault {
    what: &'static str,
    causes: Vec<String>,
    /// r0 to r12, sp, lr, pc, xPSR, as they were when the fault struck (as far as they were stacked).
    registers: [u32; 17],
    pc: String,
    lr: String,
}

impl Fault {
    pub fn read(core: &mut Core<'_>, program: &Program) -> Result<Self, BoardError> {
        let failed = |error: probe_rs::Error| BoardError::debug("reading the fault", &error);
        let locked_up = core.status().map_err(failed)? == CoreStatus::LockedUp;
        if locked_up {
            // Registers can be read in Debug state only; entering it ends the lockup.
            core.halt(std::time::Duration::from_millis(100)).map_err(failed)?;
        }
        let mut registers = [0; 17];
        for (id, value) in registers.iter_mut().enumerate() {
            *value = core.read_core_reg(RegisterId(id as u16)).map_err(failed)?;
        }
        let [cfsr, hfsr] = [core.read_word_32(CFSR).map_err(failed)?, core.read_word_32(HFSR).map_err(failed)?];
        let in_exception = registers[16] & 0x1FF != 0;
        let in_fault = matches!(registers[16] & 0x1FF, 3..=6);
        let what = match (locked_up, registers[16] & 0x1FF) {
            (true, _) => "the core locked up",
            (_, 3) => "HardFault",
            (_, 4) => "MemManage fault",
            (_, 5) => "BusFault",
            (_, 6) => "UsageFault",
            _ => "the core halted at a breakpoint",
        };
        let mut causes: Vec<String> =
            CAUSES.iter().filter(|(bit, _)| cfsr >> bit & 1 != 0).map(|(_, text)| (*text).to_owned()).collect();
        if hfsr & 2 != 0 {
            causes.push("unreadable vector table (VECTTBL)".to_owned());
        }
        for (valid, register) in [(MMARVALID, MMFAR), (BFARVALID, BFAR)] {
            if cfsr & valid != 0 {
                let address = core.read_word_32(register).map_err(failed)?;
                causes.push(format!("at data address 0x{address:08x}"));
            }
        }
        if in_exception && in_fault {
            unstack(core, &mut registers);
        }
        Ok(Self { what, causes, registers, pc: program.describe(registers[15]), lr: program.describe(registers[14]) })
    }
}

/// Replaces what exception entry pushed (ARMv7-M ARM B1.5.6) by the values of before. A stack that cannot be read
/// leaves the handler's.
fn unstack(core: &mut Core<'_>, registers: &mut [u32; 17]) {
    let exc_return = registers[14];
    if exc_return >> 24 != 0xFF {
        return;
    }
    // Bit 2: the frame is on the process stack.
    let stack = RegisterId(if exc_return & 4 != 0 { 0b10010 } else { 0b10001 });
    let Ok(sp) = core.read_core_reg::<u32>(stack) else { return };
    let mut frame = [0; 8];
    if core.read_32(u64::from(sp), &mut frame).is_err() {
        return;
    }
    registers[..4].copy_from_slice(&frame[..4]);
    registers[12] = frame[4];
    registers[14] = frame[5];
    registers[15] = frame[6];
    registers[16] = frame[7];
    // Bit 4 clear: S0-S15 and FPSCR are in the frame too; bit 9 of the stacked xPSR: aligned by a word.
    let len = if exc_return & 0x10 == 0 { 0x68 } else { 0x20 };
    registers[13] = sp + len + if frame[7] & (1 << 9) != 0 { 4 } else { 0 };
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.what, self.pc)?;
        if !self.causes.is_empty() {
            write!(f, ": {}", self.causes.join(", "))?;
        }
        write!(f, "\n  called from {}", self.lr)?;
        for (index, value) in self.registers.iter().enumerate() {
            let name = match index {
                13 => "sp".to_owned(),
                14 => "lr".to_owned(),
                15 => "pc".to_owned(),
                16 => "xpsr".to_owned(),
                n => format!("r{n}"),
            };
            let lead = if index % 4 == 0 { "\n  " } else { "  " };
            write!(f, "{lead}{name:>4} 0x{value:08x}")?;
        }
        Ok(())
    }
}
