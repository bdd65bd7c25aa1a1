use super::{Block, Blocks, Code, Exit, Operand, Part, Step, translate};
use crate::op::{Kind, Op};
use crate::state::Core;
use crate::{Bus, BusFault, Config, Cycle, Size, exec};

const RAM: u32 = 0x2000_0000;

/// 256 bytes of RAM, all over the lower quarter of the addresses, and as many of a device that asks for attention when it
/// is written.
#[derive(Clone, Debug, PartialEq)]
struct Memory {
    ram: [u8; 256],
    device: [u8; 256],
    attention: bool,
}

impl Bus for Memory {
    fn read(&mut self, addr: u32, size: Size, _at: Cycle) -> Result<u32, BusFault> {
        if let Some(value) = self.plain_read(addr, size) {
            return Ok(value);
        }
        let bytes =
            self.device.get(addr.wrapping_sub(0x4000_0000) as usize..).and_then(|from| from.get(..size as usize));
        Ok(bytes.ok_or(BusFault)?.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn write(&mut self, addr: u32, size: Size, value: u32, _at: Cycle) -> Result<(), BusFault> {
        if self.plain_write(addr, size, value) {
            return Ok(());
        }
        let bytes = self.device.get_mut(addr.wrapping_sub(0x4000_0000) as usize..);
        let bytes = bytes.and_then(|from| from.get_mut(..size as usize)).ok_or(BusFault)?;
        bytes.copy_from_slice(&value.to_le_bytes()[..size as usize]);
        self.attention = true;
        Ok(())
    }

    fn plain_read(&mut self, addr: u32, size: Size) -> Option<u32> {
        let bytes = self.ram.get(offset(addr)?..)?.get(..size as usize)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn plain_write(&mut self, addr: u32, size: Size, value: u32) -> bool {
        let bytes = offset(addr).and_then(|at| self.ram.get_mut(at..)?.get_mut(..size as usize));
        bytes.map(|bytes| bytes.copy_from_slice(&value.to_le_bytes()[..size as usize])).is_some()
    }

    fn fetch(&mut self, _addr: u32) -> Result<u16, BusFault> {
        Err(BusFault)
    }

    fn attention(&self) -> bool {
        self.attention
    }
}

/// Of a byte of RAM.
fn offset(addr: u32) -> Option<usize> {
    (addr < 0x4000_0000).then_some(addr as usize % 256)
}

fn next(seed: &mut u64) -> u32 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as u32
}

/// An instruction of this kind on registers R0 to R7, where R4 to R7 may point at memory.
fn instruction(kind: Kind, seed: &mut u64) -> Op {
    let mut register = |bound: u32| next(seed) % bound;
    let (a, b, c) = (register(6), register(8), register(8));
    let d = match kind {
        Kind::Umull | Kind::Umlal | Kind::Umaal | Kind::Smull | Kind::Smlal => (a + 1) % 6,
        Kind::Vldr | Kind::Vstr => 1 + register(2),
        Kind::Push | Kind::Pop => 2,
        _ => register(4),
    };
    let imm = match kind {
        Kind::Mla | Kind::Mls => register(8),
        Kind::Push | Kind::Pop => 0x11,
        Kind::LdrR | Kind::LdrbR | Kind::LdrhR | Kind::LdrsbR | Kind::LdrshR => register(4),
        Kind::StrR | Kind::StrbR | Kind::StrhR => register(4),
        Kind::StmIa => 0x0D,
        Kind::LslI | Kind::LslIS | Kind::LsrI | Kind::LsrIS | Kind::AsrI | Kind::AsrIS | Kind::RorI => 1 + register(31),
        Kind::EorRor | Kind::EorLsr | Kind::EorLsl | Kind::AddLsl | Kind::OrrLsl | Kind::OrrLsr => 1 + register(31),
        Kind::AddSh | Kind::SubSh | Kind::RsbSh | Kind::AndSh | Kind::OrrSh | Kind::EorSh | Kind::BicSh => {
            1 + register(31)
        }
        Kind::LdrLit => RAM + 4 * register(60),
        _ => 4 * register(16),
    };
    Op { len: 2, ..Op::new(kind, a, b, c, d, imm) }
}

/// Everything that a step can change.
fn outcome(core: &Core) -> String {
    let Core { r, s, pc, nz, c, v, it, cycle, instructions, fpscr, trap, attention, .. } = core;
    format!(
        "{:x?} {:x?} {pc:x} {nz:x} {c} {v} {it} {cycle} {instructions} {fpscr:x} {trap:?} {attention}",
        &r[..16],
        &s[..32]
    )
}

fn execute(steps: Vec<Step>, mut core: Core, mut memory: Memory) -> String {
    let mut blocks = Blocks::new(&(0..0x1000), crate::FetchTiming::FAST);
    let last = steps.len() as u32;
    blocks.steps = steps;
    blocks.blocks.push(Block { pc: 0x200, first: 0, last, reach: 0, bytes: 2 * last, starts: 0, marked: 0 });
    let left = exec::run_blocks(&mut core, &mut memory, &blocks, 0);
    format!("{left:?} {} {memory:x?}", outcome(&core))
}

/// Random operands for one step after the other, and the end of the block.
fn steps(parts: &[Part], linked: bool, seed: &mut u64) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let mut op = match part.code.kind() {
            Some(kind) => instruction(kind, seed),
            None => Op::new(Kind::It, 0, 0, 0, 1, next(seed)),
        };
        if let Some(before) = steps.last().filter(|_| linked) {
            let result = before.op.a;
            let other = match part.from {
                Some(Operand::B) => {
                    op.b = result;
                    Some(&mut op.c)
                }
                Some(Operand::C) => {
                    op.c = result;
                    Some(&mut op.b)
                }
                None => None,
            };
            if parts[at - 1].passing {
                op.a = result;
                if let Some(other) = other.filter(|other| **other == result) {
                    *other = (result + 1) % 8;
                }
            }
        }
        if part.code.kind().is_some_and(is_branch) {
            op.imm = Exit::to_address(0x300).0;
        }
        let count = at as u8 + 1;
        steps.push(Step { op: Op { cost: 2 * count, ..op }, code: part.code, offset: count - 1, count });
    }
    let end = Op { imm: Exit::to_address(0x400).0, cost: 99, ..Op::default() };
    steps.push(Step { op: end, code: Code::Next, offset: 50, count: 50 });
    steps
}

/// Registers and memory before the steps.
fn before(round: u64, seed: &mut u64) -> (Core, Memory) {
    let mut core = Core::new(Config { cpuid: 0, irq_lines: 8, priority_bits: 3, code: 0..0x1000 });
    core.limit = 1_000;
    core.fp_ready = !round.is_multiple_of(8);
    core.set_nzcv(next(seed) << 28);
    for register in &mut core.r[..8] {
        *register = match next(seed) % 16 {
            0 => next(seed) << 1,
            1 => 0x4000_0000 + next(seed) % 64,
            2 | 3 => next(seed) % 3,
            _ => RAM + 4 * (next(seed) % 40),
        };
    }
    core.r[13] = RAM + 0x80;
    for single in &mut core.s[..32] {
        *single = next(seed) << 1;
    }
    // What is loaded may be an address in its turn.
    let mut ram = [0; 256];
    for word in ram.as_chunks_mut::<4>().0 {
        *word = (RAM + 4 * (next(seed) % 40)).to_le_bytes();
    }
    (core, Memory { ram, device: [0; 256], attention: false })
}

#[test]
fn a_fused_step_does_what_its_parts_do_one_after_the_other() {
    for (parts, fused) in Code::FUSED {
        let mut left = std::collections::BTreeSet::new();
        for round in 0..400 {
            let mut seed = round * 0x1_0000_0001 + *fused as u64;
            let mut steps = steps(parts, true, &mut seed);
            let (core, memory) = before(round, &mut seed);
            let apart = execute(steps.clone(), core.clone(), memory.clone());
            steps[0].code = *fused;
            let together = execute(steps, core, memory);
            assert_eq!(together, apart, "{fused:?}, round {round}: {parts:?}");
            left.insert(apart.split(' ').next().map(str::to_owned));
        }
        assert!(left.contains(&Some("Link".to_owned())), "{fused:?} never came to its end: {left:?}");
    }
}

#[test]
fn steps_are_fused_only_where_their_operands_are_linked() {
    let (mut fused_steps, mut others) = (0, 0);
    for (parts, fused) in Code::FUSED.iter().filter(|(parts, _)| parts.iter().any(|part| part.from.is_some())) {
        for round in 0..400 {
            let mut seed = round * 0x2_0000_0003 + *fused as u64;
            let apart = steps(parts, round.is_multiple_of(2), &mut seed);
            let (core, memory) = before(round, &mut seed);
            let mut together = apart.clone();
            translate::fuse(&mut together);
            if together[0].code == *fused {
                fused_steps += 1;
            } else {
                others += 1;
            }
            let (together, apart) = (execute(together, core.clone(), memory.clone()), execute(apart, core, memory));
            assert_eq!(together, apart, "{fused:?}, round {round}: {parts:?}");
        }
    }
    assert!(fused_steps > 100 && others > 100, "{fused_steps} fused and {others} others");
}

fn is_branch(kind: Kind) -> bool {
    Code::of(kind) as u16 >= Code::Beq as u16 && Code::of(kind) as u16 <= Code::Cbnz as u16
}
