//! The fast loop: blocks from one branch to the next.

use super::memory::{Any, Elsewhere, Plain, Slow};
use super::{cold, hot};
use crate::block::{Blocks, Code, Exit, Step, with_codes};
use crate::decode::advance_it;
use crate::op::{Kind, Op};
use crate::state::{Core, LATE, STOP, Trapped};
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
        // Where it begins, and its steps up to the first in a line of code that is not resident.
        let (pc, steps) = match core.resident.get(number) {
            Some(block) if block.era == core.era && start.wrapping_add(u64::from(block.reach)) < core.limit => {
                (block.pc, blocks.range(block.first, block.end))
            }
            _ => match core.approach(bus, blocks, number, start) {
                Some((waited, block)) => {
                    start = start.wrapping_add(waited);
                    (block.pc, blocks.range(block.first, block.end))
                }
                None => {
                    core.cycle = start;
                    core.instructions = instructions;
                    return Left::Near;
                }
            },
        };
        // The steps from the one that is executed on.
        let mut rest = steps;
        // Steps from that on that is `$ahead` of the first of `rest`, itself included.
        macro_rules! left {
            ($ahead:expr) => {
                rest.len() - $ahead
            };
        }
        // Number of the step from which on so many are left.
        macro_rules! index {
            ($left:expr) => {
                core.resident_steps(number) - $left as u32
            };
        }
        macro_rules! end_cycle {
            ($step:expr) => {
                start.wrapping_add(u64::from($step.op.cost))
            };
        }
        macro_rules! pc {
            ($step:expr) => {
                pc.wrapping_add(2 * u32::from($step.offset))
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
                u64::from(core.fetch.between(pc!($step), $step.op.len, $next))
            };
        }
        macro_rules! trapped {
            ($step:expr, $left:expr) => {{
                let step: &Step = $step;
                save!(step, pc!(step));
                core.it = step.op.it;
                return Left::Trapped { block: number, at: index!($left), op: step.op };
            }};
        }
        // Once the branch is linked, its cost includes the pipeline's reload and wait states; `extra` is the reload.
        macro_rules! direct {
            ($step:expr, $left:expr, $extra:expr) => {{
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
                        return Left::Link { block: number, at: index!($left) };
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
        // The next three yield what register `a` holds afterwards, for the next step of a sequence.
        macro_rules! simple {
            ($kind:ident, $step:expr, $left:expr, $operands:expr) => {{
                hot::simple(core, Kind::$kind, &$step.op, $operands);
                core.r[usize::from($step.op.a)]
            }};
        }
        macro_rules! passing {
            ($kind:ident, $step:expr, $left:expr, $operands:expr) => {
                hot::value(core, Kind::$kind, &$step.op, $operands).unwrap_or(0)
            };
        }
        macro_rules! access {
            ($kind:ident, $step:expr, $left:expr, $operands:expr) => {{
                if hot::access::<B, Plain>(core, bus, Kind::$kind, &$step.op, $operands, 0).is_err() {
                    break $left;
                }
                core.r[usize::from($step.op.a)]
            }};
        }
        macro_rules! division {
            ($kind:ident, $step:expr, $left:expr, $operands:expr) => {
                match hot::division(core, Kind::$kind, &$step.op) {
                    Ok(_) => start = start.wrapping_add(u64::from(std::mem::take(&mut core.late))),
                    Err(Trapped) => trapped!($step, $left),
                }
            };
        }
        macro_rules! float {
            ($kind:ident, $step:expr, $left:expr, $operands:expr) => {
                if !core.fp_ready || !matches!(hot::float(core, bus, Kind::$kind, &$step.op), Ok(true)) {
                    break $left;
                }
            };
        }
        macro_rules! condition {
            ($kind:ident, $step:expr, $left:expr, $operands:expr) => {
                if hot::is_taken(core, Kind::$kind, &$step.op) == Some(true) {
                    direct!($step, $left, 1)
                }
            };
        }
        // Past what the condition in this step guards.
        macro_rules! skip {
            ($step:expr, $left:expr) => {{
                start = start.wrapping_sub(u64::from($step.op.c));
                rest = rest.get(rest.len() - $left + 1 + usize::from($step.op.d)..).unwrap_or(&[]);
                continue;
            }};
        }
        macro_rules! guard {
            ($kind:ident, $step:expr, $left:expr, $operands:expr) => {
                if !passes(core, $step.op.imm) {
                    skip!($step, $left);
                }
            };
        }
        macro_rules! new {
            ($step:expr) => {{
                let step: &Step = $step;
                save!(step, pc!(step));
                core.it = step.op.it;
                return Left::New { block: number, at: index!(left!(0)) };
            }};
        }
        macro_rules! table_branch {
            ($kind:ident, $step:expr) => {
                match hot::table_branch::<B, Plain>(core, bus, Kind::$kind, &$step.op, pc!($step), 0) {
                    Ok(target) => indirect!($step, target),
                    Err(Elsewhere) => break left!(0),
                }
            };
        }
        macro_rules! operands {
            ($step:ident, $last:ident) => {
                hot::operands(core, &$step.op)
            };
            ($step:ident, $last:ident b) => {
                ($last, core.r[usize::from($step.op.c)])
            };
            ($step:ident, $last:ident c) => {
                (core.r[usize::from($step.op.b)], $last)
            };
        }
        // What each of `these` does, from that in place `ahead` on; `last` is what the one before yields.
        macro_rules! sequence {
            ($these:ident, $ahead:expr, $last:ident) => {};
            ($these:ident, $ahead:expr, $last:ident [$how:ident $kind:ident $($from:ident)?] $($more:tt)*) => {
                let step = &$these[$ahead];
                let _last = $how!($kind, step, left!($ahead), operands!(step, $last $($from)?));
                sequence!($these, $ahead + 1, _last $($more)*);
            };
        }
        // How many steps are left when one must be executed out of line.
        macro_rules! dispatch {
            (
                simple: [$($simple:ident)*] access: [$($access:ident)*] division: [$($division:ident)*] float: [$($float:ident)*]
                condition: [$($condition:ident)*] jump: [$($jump:ident)*] indirect: [$($indirect:ident)*]
                fused: [$($fused:ident = $($how:ident $kind:ident $($from:ident)?),+;)*]
            ) => {
                loop {
                    let Some(step) = rest.first() else { break 0 };
                    match step.code {
                        $(Code::$simple => { simple!($simple, step, left!(0), hot::operands(core, &step.op)); })*
                        $(Code::$access => { access!($access, step, left!(0), hot::operands(core, &step.op)); })*
                        $(Code::$division => { division!($division, step, left!(0), ()); })*
                        $(Code::$float => { float!($float, step, left!(0), ()); })*
                        $(Code::$condition => { condition!($condition, step, left!(0), ()); })*
                        $(Code::$fused => {
                            const STEPS: usize = [$(Code::$kind),+].len();
                            let Some((these, behind)) = rest.split_first_chunk::<STEPS>() else { break left!(0) };
                            sequence!(these, 0, none $([$how $kind $($from)?])+);
                            rest = behind;
                            continue;
                        })*
                        Code::B | Code::Next => direct!(step, left!(0), 0),
                        Code::Bl => {
                            core.r[14] = pc!(step).wrapping_add(4) | 1;
                            direct!(step, left!(0), 0)
                        }
                        Code::Bx => match core.branch_exchange(core.r[usize::from(step.op.c & 15)]) {
                            Ok(target) => indirect!(step, target),
                            Err(Trapped) => trapped!(step, left!(0)),
                        },
                        Code::Blx => {
                            let target = core.r[usize::from(step.op.c & 15)];
                            core.r[14] = pc!(step).wrapping_add(2) | 1;
                            match core.branch_register(target) {
                                Ok(target) => indirect!(step, target),
                                Err(Trapped) => trapped!(step, left!(0)),
                            }
                        }
                        Code::PopPc => match hot::pop_pc::<B, Plain>(core, bus, &step.op, 0) {
                            Ok(target) => match core.branch_exchange(target) {
                                Ok(target) => indirect!(step, target),
                                Err(Trapped) => trapped!(step, left!(0)),
                            },
                            Err(Elsewhere) => break left!(0),
                        },
                        Code::Tbb => table_branch!(Tbb, step),
                        Code::Tbh => table_branch!(Tbh, step),
                        Code::If => guard!(If, step, left!(0), ()),
                        Code::IfNew => {
                            if passes(core, step.op.imm) {
                                new!(step);
                            }
                            skip!(step, left!(0));
                        }
                        Code::Mark => new!(step),
                        Code::Cold => break left!(0),
                    }
                    rest = &rest[1..];
                }
            };
        }
        loop {
            let left = with_codes!(dispatch);
            let Some((step, behind)) = rest.get(rest.len() - left..).and_then(|rest| rest.split_first()) else {
                // The next line, or the end: every block ends in a step that leaves it.
                let next = core.resident_steps(number) as usize;
                let Some((waited, block)) = core.walk(bus, blocks, number, next) else {
                    core.pc = pc;
                    core.cycle = start;
                    core.instructions = instructions;
                    return Left::Near;
                };
                start = start.wrapping_add(waited);
                rest = blocks.range(block.first, block.end).get(next..).unwrap_or(&[]);
                if rest.is_empty() {
                    // A condition, which must be executed together with what it guards.
                    if let Some(step) = blocks.block(number).and_then(|block| blocks.steps(block).get(next)) {
                        save!(step, pc!(step));
                        core.it = step.op.it;
                    }
                    return Left::Stopped { block: number, at: next as u32 };
                }
                continue;
            };
            if hot::is_access(step.op.kind) {
                let done = elsewhere(core, bus, &step.op, end_cycle!(step));
                start = start.wrapping_add(u64::from(std::mem::take(&mut core.late)));
                if done.is_err() {
                    trapped!(step, left);
                }
            } else if step.op.kind == Kind::It {
                // The next two begin a sequence that is cut short.
                let mut guarded = 0;
                if !passes(core, step.op.imm) {
                    start = start.wrapping_sub(u64::from(step.op.c));
                    guarded = usize::from(step.op.d);
                }
                rest = behind.get(guarded..).unwrap_or(&[]);
                continue;
            } else if let Some(taken) = hot::is_taken(core, step.op.kind, &step.op) {
                if taken {
                    direct!(step, left, 1);
                }
            } else {
                let at = pc!(step);
                core.cycle = end_cycle!(step);
                let result = out_of_line(core, bus, &step.op, at);
                start = start.wrapping_add(core.cycle.wrapping_sub(end_cycle!(step)));
                start = start.wrapping_add(u64::from(std::mem::take(&mut core.late)));
                match result {
                    Ok(target) if target != at.wrapping_add(u32::from(step.op.len)) => indirect!(step, target),
                    Ok(_) => {}
                    Err(Trapped) => trapped!(step, left),
                }
            }
            // Data has been waited for, or the limit was called in.
            if core.limit <= LATE {
                core.look_ahead(number, start);
                if core.limit == STOP {
                    let next = pc!(step).wrapping_add(u32::from(step.op.len));
                    save!(step, next);
                    core.cycle = core.cycle.wrapping_add(wait!(step, next));
                    core.it = advance_it(step.op.it);
                    core.loaded = timing::loads(&step.op);
                    return Left::Stopped { block: number, at: index!(left) };
                }
            }
            rest = behind;
        }
    }
}

/// An access of more than plain memory.
#[inline(always)]
fn elsewhere<B: Bus>(core: &mut Core, bus: &mut B, op: &Op, cycle: u64) -> Result<(), Trapped> {
    // What programs reach registers of devices with.
    match op.kind {
        Kind::LdrI => device::<B>(core, bus, Kind::LdrI, op, cycle),
        Kind::StrI => device::<B>(core, bus, Kind::StrI, op, cycle),
        kind => any_access(core, bus, kind, op, cycle),
    }
}

#[inline(never)]
fn any_access<B: Bus>(core: &mut Core, bus: &mut B, kind: Kind, op: &Op, cycle: u64) -> Result<(), Trapped> {
    device(core, bus, kind, op, cycle)
}

#[inline(always)]
fn device<B: Bus>(core: &mut Core, bus: &mut B, kind: Kind, op: &Op, cycle: u64) -> Result<(), Trapped> {
    hot::access::<B, Slow>(core, bus, kind, op, hot::operands(core, op), cycle).map(|_| ())
}

/// Any other instruction that the loop does not do in line. Returns the address of the next one; what takes longer than
/// usual is added to `core.cycle`.
#[inline(never)]
fn out_of_line<B: Bus>(core: &mut Core, bus: &mut B, op: &Op, pc: u32) -> Result<u32, Trapped> {
    // The first steps of a sequence that is cut short.
    if hot::simple(core, op.kind, op, hot::operands(core, op)) {
        return Ok(pc.wrapping_add(u32::from(op.len)));
    }
    if op.kind == Kind::PopPc {
        let target = hot::pop_pc::<B, Any<false>>(core, bus, op, core.cycle)?;
        return core.branch_exchange(target);
    }
    cold::execute::<B, false>(core, bus, op, pc)
}
