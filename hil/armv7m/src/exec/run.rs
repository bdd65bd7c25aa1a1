//! The fast loop: blocks from one branch to the next.

use super::{cold, hot};
use crate::block::{Blocks, Code, Exit, Step, with_codes};
use crate::decode::advance_it;
use crate::op::{Kind, Op};
use crate::state::{Core, Trapped};
use crate::{Bus, timing};

/// Why the loop was left. Core state is that before the next instruction, except where it says otherwise; `block` and
/// `at` name the step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    /// The limit is within the next block, or its code is stale.
    Near,
    /// The direct branch in this step was executed for the first time.
    Link { block: u32, at: u32 },
    /// No block is known at the PC.
    Unknown,
    /// This step would be executed for the first time.
    New { block: u32, at: u32 },
    /// The limit was called in while this step, now complete, was executed.
    Stopped { block: u32, at: u32 },
    /// The step's instruction, at which the PC stands, has trapped.
    Trapped { block: u32, at: u32, op: Op },
}

/// The conditions' masks: bit n is set if the condition passes with NZCV equal to n.
#[inline(always)]
fn passes(core: &Core, mask: u32) -> bool {
    let nzcv = u32::from(core.n()) << 3 | u32::from(core.z()) << 2 | u32::from(core.c) << 1 | u32::from(core.v);
    mask >> nzcv & 1 != 0
}

/// Executes from the beginning of block `number` on.
#[inline(never)]
pub(crate) fn run_blocks<B: Bus>(core: &mut Core, bus: &mut B, blocks: &Blocks, mut number: u32) -> Left {
    // Cycle at the beginning of the block, less what conditions have left out and with what took longer than usual.
    let mut start = core.cycle;
    // Instructions before the block.
    let mut instructions = core.instructions;
    'block: loop {
        let Some(block) = blocks.block(number) else {
            core.cycle = start;
            core.instructions = instructions;
            return Left::Unknown;
        };
        let steps = blocks.steps(block);
        if start.wrapping_add(block.reach) >= core.limit || steps.is_empty() {
            core.pc = block.pc;
            core.cycle = start;
            core.instructions = instructions;
            return Left::Near;
        }
        let mut rest = steps.iter();
        macro_rules! index {
            () => {
                (steps.len() - rest.len() - 1) as u32
            };
        }
        macro_rules! end_cycle {
            ($step:expr) => {
                start.wrapping_add(u64::from($step.op.cost))
            };
        }
        macro_rules! pc {
            ($step:expr) => {
                block.pc.wrapping_add(2 * u32::from($step.offset))
            };
        }
        macro_rules! save {
            ($step:expr, $pc:expr) => {
                core.pc = $pc;
                core.cycle = end_cycle!($step);
                core.instructions = instructions + u64::from($step.count);
            };
        }
        // Wait states between the instruction and that at `next`.
        macro_rules! wait {
            ($step:expr, $next:expr) => {
                u64::from(timing::between(pc!($step), $step.op.len, $next, core.code_wait))
            };
        }
        macro_rules! trapped {
            ($step:expr) => {{
                let step: &Step = $step;
                save!(step, pc!(step));
                core.it = step.op.it;
                return Left::Trapped { block: number, at: index!(), op: step.op };
            }};
        }
        // After an instruction that may have called the limit in.
        macro_rules! stop_if_asked {
            ($step:expr) => {
                if core.limit == 0 {
                    let step: &Step = $step;
                    let next = pc!(step).wrapping_add(u32::from(step.op.len));
                    save!(step, next);
                    core.cycle = core.cycle.wrapping_add(wait!(step, next));
                    core.it = advance_it(step.op.it);
                    core.loaded = timing::loads(&step.op);
                    return Left::Stopped { block: number, at: index!() };
                }
            };
        }
        // Once the branch is linked, its cost includes the pipeline's reload and wait states; `extra` is the reload.
        macro_rules! direct {
            ($step:expr, $extra:expr) => {{
                let step: &Step = $step;
                match Exit(step.op.imm).target() {
                    Ok(target) => {
                        start = end_cycle!(step);
                        instructions += u64::from(step.count);
                        number = target;
                        continue 'block;
                    }
                    Err(target) => {
                        save!(step, target);
                        if step.code != Code::Next {
                            core.cycle = core.cycle.wrapping_add($extra + wait!(step, target));
                        }
                        return Left::Link { block: number, at: index!() };
                    }
                }
            }};
        }
        macro_rules! indirect {
            ($step:expr, $target:expr) => {{
                let step: &Step = $step;
                let target: u32 = $target;
                let wait = wait!(step, target);
                match blocks.find(target) {
                    Some(found) => {
                        start = end_cycle!(step).wrapping_add(wait);
                        instructions += u64::from(step.count);
                        number = found;
                        continue 'block;
                    }
                    None => {
                        save!(step, target);
                        core.cycle = core.cycle.wrapping_add(wait);
                        return Left::Unknown;
                    }
                }
            }};
        }
        macro_rules! out_of_line {
            ($step:expr) => {{
                let step: &Step = $step;
                let pc = pc!(step);
                core.cycle = end_cycle!(step);
                match cold::execute::<B, false>(core, bus, &step.op, pc) {
                    Ok(next) => {
                        start = start.wrapping_add(core.cycle.wrapping_sub(end_cycle!(step)));
                        if next != pc.wrapping_add(u32::from(step.op.len)) {
                            indirect!(step, next);
                        }
                        stop_if_asked!(step);
                    }
                    Err(Trapped) => {
                        start = start.wrapping_add(core.cycle.wrapping_sub(end_cycle!(step)));
                        trapped!(step)
                    }
                }
            }};
        }
        macro_rules! simple {
            ($kind:ident, $step:expr) => {
                hot::simple(core, Kind::$kind, &$step.op)
            };
        }
        macro_rules! access {
            ($kind:ident, $step:expr) => {
                match hot::access::<B, false>(core, bus, Kind::$kind, &$step.op, end_cycle!($step)) {
                    Ok(_) => stop_if_asked!($step),
                    Err(Trapped) => trapped!($step),
                }
            };
        }
        macro_rules! division {
            ($kind:ident, $step:expr) => {
                match hot::access::<B, false>(core, bus, Kind::$kind, &$step.op, end_cycle!($step)) {
                    Ok(_) => start = start.wrapping_add(u64::from(std::mem::take(&mut core.late))),
                    Err(Trapped) => trapped!($step),
                }
            };
        }
        macro_rules! float {
            ($kind:ident, $step:expr) => {
                if core.fp_ready {
                    match hot::float::<B, false>(core, bus, Kind::$kind, &$step.op, end_cycle!($step)) {
                        Ok(true) => stop_if_asked!($step),
                        Ok(false) => out_of_line!($step),
                        Err(Trapped) => trapped!($step),
                    }
                } else {
                    out_of_line!($step)
                }
            };
        }
        macro_rules! condition {
            ($kind:ident, $step:expr) => {
                if hot::is_taken(core, Kind::$kind, &$step.op) == Some(true) {
                    direct!($step, 1)
                }
            };
        }
        // Past what the condition in this step guards.
        macro_rules! skip {
            ($step:expr) => {{
                start = start.wrapping_sub(u64::from($step.op.c));
                let next = index!() as usize + 1 + usize::from($step.op.d);
                rest = steps.get(next..).unwrap_or(&[]).iter();
                continue;
            }};
        }
        macro_rules! guard {
            ($kind:ident, $step:expr) => {
                if !passes(core, $step.op.imm) {
                    skip!($step);
                }
            };
        }
        macro_rules! new {
            ($step:expr) => {{
                let step: &Step = $step;
                save!(step, pc!(step));
                core.it = step.op.it;
                return Left::New { block: number, at: index!() };
            }};
        }
        macro_rules! sequence {
            ($step:expr, $how:ident $kind:ident $(, $more:ident $next:ident)*) => {{
                $how!($kind, $step);
                $(
                    let Some(next) = rest.next() else { break };
                    $more!($next, next);
                )*
            }};
        }
        macro_rules! dispatch {
            (
                simple: [$($simple:ident)*] access: [$($access:ident)*] division: [$($division:ident)*] float: [$($float:ident)*]
                condition: [$($condition:ident)*] jump: [$($jump:ident)*] indirect: [$($indirect:ident)*]
                fused: [$($fused:ident = $($how:ident $kind:ident),+;)*]
            ) => {
                while let Some(step) = rest.next() {
                    match step.code {
                        $(Code::$simple => { simple!($simple, step); })*
                        $(Code::$access => { access!($access, step); })*
                        $(Code::$division => { division!($division, step); })*
                        $(Code::$float => { float!($float, step); })*
                        $(Code::$condition => { condition!($condition, step); })*
                        $(Code::$fused => sequence!(step, $($how $kind),+),)*
                        Code::B | Code::Next => direct!(step, 0),
                        Code::Bl => {
                            core.r[14] = pc!(step).wrapping_add(4) | 1;
                            direct!(step, 0)
                        }
                        Code::Bx => match core.branch_exchange(core.r[usize::from(step.op.c & 15)]) {
                            Ok(target) => indirect!(step, target),
                            Err(Trapped) => trapped!(step),
                        },
                        Code::Blx => {
                            let target = core.r[usize::from(step.op.c & 15)];
                            core.r[14] = pc!(step).wrapping_add(2) | 1;
                            match core.branch_register(target) {
                                Ok(target) => indirect!(step, target),
                                Err(Trapped) => trapped!(step),
                            }
                        }
                        Code::PopPc => match hot::pop_pc::<B, false>(core, bus, &step.op, end_cycle!(step)) {
                            Ok(target) => indirect!(step, target),
                            Err(Trapped) => trapped!(step),
                        },
                        Code::If => guard!(If, step),
                        Code::IfNew => {
                            if passes(core, step.op.imm) {
                                new!(step);
                            }
                            skip!(step);
                        }
                        Code::Mark => new!(step),
                        Code::Cold => out_of_line!(step),
                    }
                }
            };
        }
        with_codes!(dispatch);
        // Every block ends in a step that leaves it.
        core.pc = block.pc;
        core.cycle = start;
        core.instructions = instructions;
        return Left::Near;
    }
}
