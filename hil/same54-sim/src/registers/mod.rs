//! The chip's register table: every register of every block, and what the model makes of it.
//!
//! The table itself (`atsame54p.tsv`) is generated from the definitions of the `atsame54p` crate by the test
//! `registers`. What the model makes of a register, each block says in a [`Ledger`] beside its model.

mod ledger;

use std::sync::LazyLock;

use armv7m::Size;

use ledger::ledger;

/// What the model makes of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fidelity {
    /// It behaves as the datasheet says, as far as the block's own notes go.
    Modelled,
    /// It keeps what is written and has no effect.
    Stored,
    /// It reads zero, writes are dropped, and each access is a recorded event.
    Absent,
}

/// What a block's model does not make [`Fidelity::Modelled`], by register name as the table has it. A name that ends in
/// `*` stands for all that begin so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ledger {
    pub(crate) stored: &'static [&'static str],
    pub(crate) absent: &'static [&'static str],
}

impl Ledger {
    /// All registers behave.
    pub(crate) const MODELLED: Self = Self { stored: &[], absent: &[] };
    /// All registers are stored only.
    pub(crate) const STORED: Self = Self { stored: &["*"], absent: &[] };

    /// What the model makes of the register called `name`.
    pub(crate) fn fidelity(&self, name: &str) -> Fidelity {
        let has = |names: &[&str]| {
            names.iter().any(|entry| match entry.strip_suffix('*') {
                Some(head) => name.starts_with(head),
                None => *entry == name,
            })
        };
        if has(self.absent) {
            Fidelity::Absent
        } else if has(self.stored) {
            Fidelity::Stored
        } else {
            Fidelity::Modelled
        }
    }
}

/// A register or an array of registers.
#[derive(Clone, Debug)]
pub(crate) struct Register {
    /// As in the datasheet, with the mode (`COUNT8.CTRLA`) or cluster (`CHANNEL[].CHCTRLA`) before it.
    pub(crate) name: &'static str,
    /// From the block's base, in bytes; of the first element.
    pub(crate) offset: u32,
    pub(crate) size: Size,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) reset: u32,
    /// Bits that belong to a readable field.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the test of the table"))]
    pub(crate) read_mask: u32,
    /// Bits that belong to a writable field.
    pub(crate) write_mask: u32,
    /// Count and stride in bytes of each dimension, outermost first; empty for a single register.
    pub(crate) dimensions: Vec<(u32, u32)>,
}

impl Register {
    /// Offsets of all elements.
    pub(crate) fn offsets(&self) -> Vec<u32> {
        self.dimensions.iter().fold(vec![self.offset], |starts, &(count, stride)| {
            starts.iter().flat_map(|start| (0..count).map(move |n| start + n * stride)).collect()
        })
    }
}

/// A kind of block, with its instances.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Name of the kind, for example `SERCOM0` for all SERCOMs.
    pub(crate) name: &'static str,
    /// Name and base address of each instance.
    pub(crate) instances: Vec<(&'static str, u32)>,
    pub(crate) registers: Vec<Register>,
}

/// How many registers of a kind of block the model makes what of. An array counts with each element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Names of the instances, for example `ADC0` and `ADC1`.
    pub instances: Vec<&'static str>,
    /// Registers of one instance that are [`Fidelity::Modelled`], [`Fidelity::Stored`] and [`Fidelity::Absent`].
    pub counts: [usize; 3],
    /// The names of those that are stored and of those that are absent.
    pub exceptions: [Vec<&'static str>; 2],
}

/// What the model makes of the chip's registers, block by block in the order of their names.
pub fn coverage() -> Vec<Coverage> {
    let rows = blocks().iter().map(|block| {
        let ledger = ledger(block.name);
        let mut counts = [0; 3];
        let mut exceptions = [Vec::new(), Vec::new()];
        for register in &block.registers {
            let fidelity = ledger.fidelity(register.name);
            counts[fidelity as usize] += register.offsets().len();
            match fidelity {
                Fidelity::Modelled => {}
                Fidelity::Stored => exceptions[0].push(register.name),
                Fidelity::Absent => exceptions[1].push(register.name),
            }
        }
        Coverage { instances: block.instances.iter().map(|(name, _)| *name).collect(), counts, exceptions }
    });
    rows.collect()
}

/// All blocks of the chip, in the order of their names.
pub(crate) fn blocks() -> &'static [Block] {
    static BLOCKS: LazyLock<Vec<Block>> = LazyLock::new(|| parse(include_str!("atsame54p.tsv")));
    &BLOCKS
}

/// The block that has an instance called `instance`.
pub(crate) fn block_of(instance: &str) -> Option<&'static Block> {
    blocks().iter().find(|block| block.instances.iter().any(|(name, _)| *name == instance))
}

/// Whether instance `instance` has a register at `offset`, in any of its modes. One that the table does not know, as
/// PUKCC, might.
pub(crate) fn exists(instance: &str, offset: u32) -> bool {
    block_of(instance).is_none_or(|block| {
        block
            .registers
            .iter()
            .any(|register| register.offsets().iter().any(|at| (*at..at + register.size as u32).contains(&offset)))
    })
}

/// Reads the table; the test `registers` keeps it well-formed.
fn parse(text: &'static str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&'static str> = line.split('\t').collect();
        match fields[..] {
            ["@", instance, name, base] => {
                let place = (instance, number(base));
                match blocks.last_mut().filter(|block| block.name == name) {
                    Some(block) => block.instances.push(place),
                    None => blocks.push(Block { name, instances: vec![place], registers: Vec::new() }),
                }
            }
            [name, offset, bits, access, reset, read_mask, write_mask, dimensions] => {
                let size = match bits {
                    "8" => Size::Byte,
                    "16" => Size::Half,
                    _ => Size::Word,
                };
                let dimensions = dimensions.split(',').filter_map(|text| text.split_once('*'));
                let register = Register {
                    name,
                    offset: number(offset),
                    size,
                    readable: access != "wo",
                    writable: access != "ro",
                    reset: number(reset),
                    read_mask: number(read_mask),
                    write_mask: number(write_mask),
                    dimensions: dimensions.map(|(count, stride)| (number(count), number(stride))).collect(),
                };
                if let Some(block) = blocks.last_mut() {
                    block.registers.push(register);
                }
            }
            _ => debug_assert!(false, "a line of the register table: {line}"),
        }
    }
    blocks
}

fn number(text: &str) -> u32 {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.unwrap_or_else(|_| {
        debug_assert!(false, "a number of the register table: {text}");
        0
    })
}

#[cfg(test)]
mod tests;
