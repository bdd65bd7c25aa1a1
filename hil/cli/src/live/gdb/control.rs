//! What a debugger does to the core: halt, resume, step, reset; and why the core stopped.

use armv7m::Size;
use gdbstub::common::Signal;
use gdbstub::stub::SingleThreadStopReason;
use same54_sim::Board;
use sim_probe::Wired;
use sim_probe::dap::Target as _;

use super::points::{Points, watch_hit};
use crate::live::semihosting;

const DHCSR: u32 = 0xE000_EDF0;
const DEMCR: u32 = 0xE000_EDFC;
const DFSR: u32 = 0xE000_ED30;
const AIRCR: u32 = 0xE000_ED0C;

/// DHCSR: key, C_DEBUGEN, C_HALT, C_STEP, C_MASKINTS.
const RUN: u32 = 0xA05F_0001;
const HALT: u32 = RUN | 1 << 1;
const STEP: u32 = RUN | 1 << 2;
const MASKINTS: u32 = 1 << 3;
/// DFSR: BKPT, DWTTRAP; all flags.
const BKPT: u32 = 1 << 1;
const DWTTRAP: u32 = 1 << 2;
const ALL: u32 = 0x1F;
/// DEMCR: halt at the reset vector.
const VC_CORERESET: u32 = 1;
/// AIRCR: key and SYSRESETREQ.
const SYSRESETREQ: u32 = 0x05FA_0004;

const PC: u8 = 15;

pub(super) fn halt(board: &mut Board) {
    let _ = board.debug_write(DHCSR, Size::Word, HALT);
}

/// Lets the core go on. A BKPT of the program's own, at which it has stopped, is done with.
pub(super) fn resume(board: &mut Board, points: &Points) {
    let pc = board.register(PC);
    let is_bkpt = board.debug_read(pc, Size::Half).is_ok_and(|code| code >> 8 == 0xBE);
    if is_bkpt && !points.is_ours(board, pc) {
        semihosting::set_register(board, PC, pc + 2);
    }
    forget(board);
    let _ = board.debug_write(DHCSR, Size::Word, RUN);
}

/// One instruction; interrupts wait, so that the step ends where its reader expects it.
pub(super) fn step(board: &mut Board) {
    forget(board);
    let _ = board.debug_write(DHCSR, Size::Word, HALT | MASKINTS);
    let _ = board.debug_write(DHCSR, Size::Word, STEP | MASKINTS);
}

/// Resets chip and core; the core halts before its first instruction.
pub(super) fn reset_and_halt(board: &mut Board) {
    let before = board.debug_read(DEMCR, Size::Word).unwrap_or_default();
    let _ = board.debug_write(DHCSR, Size::Word, RUN);
    let _ = board.debug_write(DEMCR, Size::Word, before | VC_CORERESET);
    // Includes the moment that the chip needs to get there.
    let _ = Wired(board).write(AIRCR, Size::Word, SYSRESETREQ);
    let _ = board.debug_write(DEMCR, Size::Word, before & !VC_CORERESET);
}

/// Why the core has stopped, if it has. A semihosting call other than exit is no stop: the board's owner serves it.
pub(super) fn stopped(board: &mut Board, points: &Points, stepping: bool) -> Option<SingleThreadStopReason<u32>> {
    if board.is_locked_up() {
        // Registers can be read in Debug state only; entering it ends the lockup.
        halt(board);
        return Some(SingleThreadStopReason::Signal(Signal::SIGSEGV));
    }
    if !board.is_halted() {
        return None;
    }
    let cause = board.debug_read(DFSR, Size::Word).unwrap_or_default();
    let pc = board.register(PC);
    if semihosting::is_call(board) && !stepping && !points.is_ours(board, pc) {
        return semihosting::exit_status(board).map(SingleThreadStopReason::Exited);
    }
    if stepping {
        // Interrupts no longer wait.
        halt(board);
    }
    let watch = watch_hit(board);
    Some(match watch {
        Some((addr, kind)) if cause & DWTTRAP != 0 => SingleThreadStopReason::Watch { tid: (), kind, addr },
        _ if cause & BKPT != 0 && super::points::is_hardware(board, pc) => SingleThreadStopReason::HwBreak(()),
        _ if cause & BKPT != 0 && points.is_ours(board, pc) => SingleThreadStopReason::SwBreak(()),
        _ if cause & BKPT != 0 => SingleThreadStopReason::Signal(Signal::SIGTRAP),
        _ if stepping => SingleThreadStopReason::DoneStep,
        _ => SingleThreadStopReason::Signal(Signal::SIGINT),
    })
}

fn forget(board: &mut Board) {
    let _ = board.debug_write(DFSR, Size::Word, ALL);
    watch_hit(board);
}
