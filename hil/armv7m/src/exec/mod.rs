//! Execution of decoded instructions.
//!
//! Everything is generic over `CHECKED`: false in the fast loop, which runs while no MPU, no watchpoint, no alignment
//! trap and no stepping asks for a closer look; true where one does.

mod alu;
mod cold;
mod dsp;
mod hot;
mod lines;
mod memory;
mod run;
mod system;
mod vfp;

pub(crate) use run::{Left, run_blocks};

use memory::Any;

use crate::Bus;
use crate::op::{Kind, Op};
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
    let next = pc.wrapping_add(u32::from(op.len));
    let operands = hot::operands(core, op);
    if hot::simple(core, op.kind, op, operands)
        || hot::division(core, op.kind, op)?
        || hot::access::<B, Any<true>>(core, bus, op.kind, op, operands, *cycle)?
    {
        return Ok(next);
    }
    if let Some(taken) = hot::is_taken(core, op.kind, op) {
        *cycle += u64::from(taken);
        return Ok(if taken { op.imm } else { next });
    }
    match op.kind {
        Kind::B => Ok(op.imm),
        Kind::Bl => {
            core.r[14] = next | 1;
            Ok(op.imm)
        }
        Kind::Bx => core.branch_exchange(core.r[usize::from(op.c & 15)]),
        Kind::Blx => {
            let target = core.r[usize::from(op.c & 15)];
            core.r[14] = next | 1;
            core.branch_register(target)
        }
        Kind::PopPc => {
            let target = hot::pop_pc::<B, Any<true>>(core, bus, op, *cycle)?;
            core.branch_exchange(target)
        }
        _ => {
            core.cycle = *cycle;
            let next = cold::execute::<B, true>(core, bus, op, pc);
            *cycle = core.cycle;
            next
        }
    }
}
