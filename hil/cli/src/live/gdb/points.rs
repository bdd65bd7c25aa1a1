//! Breakpoints and watchpoints: the core's comparators (FPB and DWT, ARMv7-M ARM C1.11 and C1.8), and BKPT in RAM.

use std::collections::BTreeMap;

use armv7m::Size;
use gdbstub::target::ext::breakpoints::WatchKind;
use same54_sim::Board;

use crate::elf::RAM;

const FP_CTRL: u32 = 0xE000_2000;
const FP_COMP: u32 = 0xE000_2008;
const CODE_COMPARATORS: u32 = 6;
const DWT_COMP: u32 = 0xE000_1020;
const WATCHPOINTS: u32 = 4;
const DEMCR: u32 = 0xE000_EDFC;
const TRCENA: u32 = 1 << 24;
/// DWT_FUNCTION: the comparator matched since it was last read.
const MATCHED: u32 = 1 << 24;
/// `bkpt #0`
const BKPT: u32 = 0xBE00;

/// What is set.
#[derive(Debug, Default)]
pub(super) struct Points {
    /// Instructions in RAM that a BKPT has replaced.
    replaced: BTreeMap<u32, u32>,
}

/// FUNCTION of a watchpoint.
fn function(kind: WatchKind) -> u32 {
    match kind {
        WatchKind::Read => 5,
        WatchKind::Write => 6,
        WatchKind::ReadWrite => 7,
    }
}

fn read(board: &mut Board, addr: u32) -> u32 {
    board.debug_read(addr, Size::Word).unwrap_or_default()
}

fn write(board: &mut Board, addr: u32, value: u32) -> bool {
    board.debug_write(addr, Size::Word, value).is_ok()
}

/// FP_COMP for an instruction.
fn comparator(addr: u32) -> u32 {
    let half = if addr & 2 == 0 { 0b01 } else { 0b10 };
    half << 30 | addr & 0x1FFF_FFFC | 1
}

/// Sets one of the six comparators. False if none is free, or the address is beyond their reach.
pub(super) fn set_hardware(board: &mut Board, addr: u32) -> bool {
    if addr >= RAM.start {
        return false;
    }
    let wanted = comparator(addr);
    let values: Vec<u32> = (0..CODE_COMPARATORS).map(|n| read(board, FP_COMP + 4 * n)).collect();
    let free = values.iter().position(|value| *value == wanted).or(values.iter().position(|value| value & 1 == 0));
    let Some(n) = free else { return false };
    // KEY and ENABLE.
    write(board, FP_COMP + 4 * n as u32, wanted) && write(board, FP_CTRL, 3)
}

/// Frees the comparator.
pub(super) fn clear_hardware(board: &mut Board, addr: u32) -> bool {
    let set = (0..CODE_COMPARATORS).find(|n| read(board, FP_COMP + 4 * n) == comparator(addr));
    set.is_some_and(|n| write(board, FP_COMP + 4 * n, 0))
}

/// Whether a comparator stands for `addr`.
pub(super) fn is_hardware(board: &mut Board, addr: u32) -> bool {
    (0..CODE_COMPARATORS).any(|n| read(board, FP_COMP + 4 * n) == comparator(addr))
}

/// Watches `len` bytes, a power of two, at an address that is a multiple of it. False if none of the four comparators is
/// free, or for other ranges.
pub(super) fn watch(board: &mut Board, addr: u32, len: u32, kind: WatchKind) -> bool {
    if !len.is_power_of_two() || !addr.is_multiple_of(len) {
        return false;
    }
    let Some(n) = (0..WATCHPOINTS).find(|n| read(board, DWT_COMP + 16 * n + 8) & 15 == 0) else { return false };
    let trace = read(board, DEMCR) | TRCENA;
    write(board, DEMCR, trace)
        && write(board, DWT_COMP + 16 * n, addr)
        && write(board, DWT_COMP + 16 * n + 4, len.trailing_zeros())
        && write(board, DWT_COMP + 16 * n + 8, function(kind))
}

/// Ends [`watch`].
pub(super) fn unwatch(board: &mut Board, addr: u32, len: u32, kind: WatchKind) -> bool {
    let set = (0..WATCHPOINTS).find(|n| {
        let [comp, mask, fun] = [0, 4, 8].map(|offset| read(board, DWT_COMP + 16 * n + offset));
        comp == addr && mask == len.trailing_zeros() && fun & 15 == function(kind)
    });
    set.is_some_and(|n| write(board, DWT_COMP + 16 * n + 8, 0))
}

/// The watchpoint that has matched since the last call.
pub(super) fn watch_hit(board: &mut Board) -> Option<(u32, WatchKind)> {
    let mut hit = None;
    for n in 0..WATCHPOINTS {
        let value = read(board, DWT_COMP + 16 * n + 8);
        let kind = match value & 15 {
            5 => WatchKind::Read,
            6 => WatchKind::Write,
            7 => WatchKind::ReadWrite,
            _ => continue,
        };
        if value & MATCHED != 0 {
            hit = hit.or(Some((read(board, DWT_COMP + 16 * n), kind)));
        }
    }
    hit
}

impl Points {
    /// A breakpoint anywhere: in flash by a comparator, in RAM by a BKPT.
    pub fn set(&mut self, board: &mut Board, addr: u32) -> bool {
        if !RAM.contains(&addr) {
            return set_hardware(board, addr);
        }
        let Ok(before) = board.debug_read(addr, Size::Half) else { return false };
        if board.debug_write(addr, Size::Half, BKPT).is_err() {
            return false;
        }
        self.replaced.entry(addr).or_insert(before);
        true
    }

    pub fn clear(&mut self, board: &mut Board, addr: u32) -> bool {
        match self.replaced.remove(&addr) {
            Some(before) => board.debug_write(addr, Size::Half, before).is_ok(),
            None => clear_hardware(board, addr),
        }
    }

    /// Whether a BKPT at `addr` is ours.
    pub fn is_ours(&self, board: &mut Board, addr: u32) -> bool {
        self.replaced.contains_key(&addr) || is_hardware(board, addr)
    }

    /// Leaves nothing behind.
    pub fn clear_all(&mut self, board: &mut Board) {
        for (addr, before) in std::mem::take(&mut self.replaced) {
            let _ = board.debug_write(addr, Size::Half, before);
        }
        for n in 0..CODE_COMPARATORS {
            write(board, FP_COMP + 4 * n, 0);
        }
        for n in 0..WATCHPOINTS {
            write(board, DWT_COMP + 16 * n + 8, 0);
        }
    }
}
