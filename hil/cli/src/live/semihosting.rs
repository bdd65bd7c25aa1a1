//! Semihosting for a program that runs without a debugger: console output, exit, clocks (Arm Semihosting 2.0).
//!
//! The host's files are none of the program's business; the console is the only file (":tt").

use armv7m::Size;
use same54_sim::Board;

use crate::board::TargetMemory as _;

/// `bkpt #0xAB`
const BKPT: u32 = 0xBEAB;

/// DHCSR, DCRSR and DCRDR: how a debugger reaches core registers (ARMv7-M ARM C1.6).
const DHCSR: u32 = 0xE000_EDF0;
const DCRSR: u32 = 0xE000_EDF4;
const DCRDR: u32 = 0xE000_EDF8;
const DBGKEY: u32 = 0xA05F_0000;
const C_DEBUGEN: u32 = 1;

/// Register selectors.
const R0: u8 = 0;
const R1: u8 = 1;
const PC: u8 = 15;

/// UTC at virtual time zero, seconds.
const EPOCH: u64 = 1_767_225_600;
/// Console handle, and what an operation says that failed.
const CONSOLE: u32 = 1;
const FAILED: u32 = u32::MAX;
/// ADP_Stopped_ApplicationExit
const APPLICATION_EXIT: u32 = 0x2_0026;
/// Text beyond this is a missing final zero.
const MAX_TEXT: u32 = 4096;

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// The program goes on; it may have written text.
    Text(String),
    /// It wants to end, with this status.
    Exit(u8),
}

/// Lets `BKPT` halt the core, as if a debugger were attached. A core that is halted stays so.
pub(crate) fn attach(board: &mut Board) {
    if !board.is_halted() {
        resume(board);
    }
}

fn resume(board: &mut Board) {
    // Without supply there is nothing to attach to.
    let _ = board.debug_write(DHCSR, Size::Word, DBGKEY | C_DEBUGEN);
}

/// Writes a core register of a halted core, as DCRSR numbers it.
pub(crate) fn set_register(board: &mut Board, register: u8, value: u32) {
    let _ = board.debug_write(DCRDR, Size::Word, value);
    let _ = board.debug_write(DCRSR, Size::Word, 1 << 16 | u32::from(register));
}

/// Whether the core has halted at a semihosting call.
pub(crate) fn is_call(board: &mut Board) -> bool {
    board.is_halted() && board.debug_read(board.register(PC), Size::Half) == Ok(BKPT)
}

/// The status with which the program wants to end, if that is the call at which the core has halted.
pub(crate) fn exit_status(board: &mut Board) -> Option<u8> {
    let argument = board.register(R1);
    match board.register(R0) {
        // SYS_EXIT: the reason is the argument itself (32-bit).
        0x18 => Some(u8::from(argument != APPLICATION_EXIT)),
        // SYS_EXIT_EXTENDED: reason and status.
        0x20 => {
            let [reason, status] = words(board, argument);
            let status = if reason == APPLICATION_EXIT { status } else { status.max(1) };
            Some(u8::try_from(status).unwrap_or(1))
        }
        _ => None,
    }
}

/// Serves the call at which the core has halted, and lets the core go on unless the program ends.
pub(crate) fn serve(board: &mut Board) -> Served {
    let (operation, argument) = (board.register(R0), board.register(R1));
    if let Some(status) = exit_status(board) {
        return Served::Exit(status);
    }
    let mut text = String::new();
    let result = match operation {
        // SYS_OPEN: path, mode, length.
        0x01 => {
            let [path, _, len] = words(board, argument);
            if bytes(board, path, len) == b":tt" { CONSOLE } else { FAILED }
        }
        // SYS_CLOSE
        0x02 => 0,
        // SYS_WRITEC, SYS_WRITE0
        0x03 => {
            text = String::from_utf8_lossy(&bytes(board, argument, 1)).into_owned();
            operation
        }
        0x04 => {
            text = String::from_utf8_lossy(&text_at(board, argument)).into_owned();
            operation
        }
        // SYS_WRITE: handle, address, length; the result is what was not written.
        0x05 => {
            let [_, at, len] = words(board, argument);
            text = String::from_utf8_lossy(&bytes(board, at, len)).into_owned();
            0
        }
        // SYS_READ: nothing could be read; SYS_READC: there is no key.
        0x06 => {
            let [_, _, len] = words(board, argument);
            len
        }
        // SYS_ISTTY
        0x09 => 1,
        // SYS_CLOCK (1/100 s), SYS_TIME, SYS_ERRNO
        0x10 => (board.now().as_millis() / 10) as u32,
        0x11 => (EPOCH + board.now().as_millis() / 1000) as u32,
        0x13 => 0,
        // SYS_GET_CMDLINE: an empty one.
        0x15 => {
            let [at, _] = words(board, argument);
            let _ = board.debug_write(at, Size::Byte, 0);
            let _ = board.debug_write(argument + 4, Size::Word, 0);
            0
        }
        // SYS_ELAPSED in ticks of SYS_TICKFREQ.
        0x30 => {
            let now = board.now().as_nanos();
            board.write_word(argument, now as u32);
            board.write_word(argument + 4, (now >> 32) as u32);
            0
        }
        0x31 => 1_000_000_000,
        _ => FAILED,
    };
    set_register(board, R0, result);
    let next = board.register(PC) + 2;
    set_register(board, PC, next);
    resume(board);
    Served::Text(text)
}

fn words<const N: usize>(board: &mut Board, at: u32) -> [u32; N] {
    std::array::from_fn(|n| board.debug_read(at.wrapping_add(4 * n as u32) & !3, Size::Word).unwrap_or_default())
}

fn bytes(board: &mut Board, at: u32, len: u32) -> Vec<u8> {
    let mut bytes = vec![0; len.min(MAX_TEXT) as usize];
    if board.read(at, &mut bytes) { bytes } else { Vec::new() }
}

fn text_at(board: &mut Board, at: u32) -> Vec<u8> {
    let text = (0..MAX_TEXT).map_while(|n| board.debug_read(at.wrapping_add(n), Size::Byte).ok());
    text.take_while(|byte| *byte != 0).map(|byte| byte as u8).collect()
}
