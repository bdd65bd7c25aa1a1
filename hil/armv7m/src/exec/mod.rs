//! Execution of decoded instructions.
//!
//! Everything is generic over `CHECKED`: false in the fast loop, which runs while no MPU, no watchpoint, no alignment
//! trap and no stepping asks for a closer look; true where one does.

mod alu;
mod cold;
mod dsp;
mod hot;
mod memory;
mod system;
mod vfp;

use crate::Bus;
use crate::op::Op;
use crate::state::{Core, Trapped};

/// Executes `op` at `pc` with every check and returns the address of the next instruction. `cycle` is the cycle after
/// the instruction's fixed cost; extra cycles are added to it.
pub(crate) fn execute_checked<B: Bus>(
    core: &mut Core,
    bus: &mut B,
    op: &Op,
    pc: u32,
    cycle: &mut u64,
) -> Result<u32, Trapped> {
    if op.len == 2 {
        hot::execute::<B, true, 2>(core, bus, op, pc, cycle)
    } else {
        hot::execute::<B, true, 4>(core, bus, op, pc, cycle)
    }
}

/// The fast loop: executes out of `code`, which covers addresses from `base`, until `core.limit` is reached, code is not
/// there or not decoded, or an instruction traps. Returns the instruction that trapped, if one did.
#[inline(never)]
pub(crate) fn run_fast<B: Bus>(core: &mut Core, bus: &mut B, code: &[Op], base: u32) -> Result<(), Op> {
    let mut pc = core.pc;
    let mut cycle = core.cycle;
    let mut instructions = core.instructions;
    let result = loop {
        if cycle >= core.limit {
            break Ok(());
        }
        let Some(op) = code.get((pc.wrapping_sub(base) >> 1) as usize) else {
            core.trap = crate::state::Trap::Decode;
            break Err(Op::default());
        };
        cycle += u64::from(op.cost);
        instructions += 1;
        if op.it != 0 && !core.condition(op.it >> 4) {
            // A skipped instruction takes one cycle.
            cycle = cycle + 1 - u64::from(op.cost);
            pc = pc.wrapping_add(u32::from(op.len));
            continue;
        }
        // The length decides by a branch, which is predicted, and not by an addition, which would make the address of
        // each instruction wait for the decoded form of the one before.
        let next = if op.len == 2 {
            hot::execute::<B, false, 2>(core, bus, op, pc, &mut cycle)
        } else {
            hot::execute::<B, false, 4>(core, bus, op, pc, &mut cycle)
        };
        match next {
            Ok(next) => pc = next,
            Err(Trapped) => break Err(*op),
        }
    };
    core.pc = pc;
    core.cycle = cycle;
    core.instructions = instructions;
    // Where an IT block was left, the decoded instruction knows the state. A placeholder keeps it in `d`.
    core.it = code.get((pc.wrapping_sub(base) >> 1) as usize).map_or(0, |op| match op.kind {
        crate::op::Kind::Undecoded | crate::op::Kind::Breakpoint => op.d,
        _ => op.it,
    });
    result
}
