//! The model against the table: every register of every instance in every mode, over the bus as the core sees it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use armv7m::{Bus, Cycle, Size};

use super::exceptions::{EXCEPTIONS, Exception, What};
use crate::ResetCause;
use crate::chip::Chip;
use crate::registers::{Block, Fidelity, Register, blocks, ledger::ledger};

/// Cycles that pass around each access: 10 ms at 48 MHz, longer than any synchronisation.
const PAUSE: Cycle = 480_000;

/// The chip with a clock that goes on from access to access.
struct Bench {
    chip: Chip,
    cycle: Cycle,
}

impl Bench {
    /// After power-on, with every bus clock on and nothing protected.
    fn new() -> Self {
        let mut chip = Chip::new(1, true);
        chip.reset(ResetCause::PowerOn);
        let mut bench = Self { chip, cycle: 0 };
        for address in [0x4000_0810, 0x4000_0814, 0x4000_0818, 0x4000_081C, 0x4000_0820] {
            bench.write(address, Size::Word, u32::MAX);
        }
        // PAC.WRCTRL: the DSU is the one block that is protected after a reset.
        bench.write(0x4000_0000, Size::Word, 1 << 16 | 33);
        bench.write(0x4000_0000, Size::Word, 0);
        bench.unmodelled();
        bench
    }

    fn copy(&self) -> Self {
        Self { chip: self.chip.snapshot(), cycle: self.cycle }
    }

    fn wait(&mut self) {
        self.cycle += PAUSE;
        self.chip.cycle = self.cycle;
        self.chip.advance();
    }

    fn read(&mut self, address: u32, size: Size) -> u32 {
        self.chip.read(address, size, self.cycle).unwrap_or_else(|_| panic!("{address:#x} answers a read"))
    }

    fn write(&mut self, address: u32, size: Size, value: u32) {
        self.chip.write(address, size, value, self.cycle).unwrap_or_else(|_| panic!("{address:#x} answers a write"));
        self.wait();
    }

    /// Accesses since the last call that the model did not have.
    fn unmodelled(&mut self) -> usize {
        std::mem::take(&mut self.chip.shared.signals.unmodelled).len()
    }
}

/// Name of the mode in which a register exists, and its name there.
fn mode(name: &str) -> Option<(&str, &str)> {
    name.split_once('.').filter(|(mode, _)| !mode.contains('['))
}

/// What puts a block into the mode: field, width and value of a write to its first register.
const MODES: [(&str, u32, Size, u32); 14] = [
    ("MODE0", 0x0C, Size::Half, 0),
    ("MODE1", 0x0C, Size::Half, 1 << 2),
    ("MODE2", 0x0C, Size::Half, 2 << 2),
    ("COUNT16", 0x0C, Size::Word, 0),
    ("COUNT8", 0x0C, Size::Word, 1 << 2),
    ("COUNT32", 0x0C, Size::Word, 2 << 2),
    ("USART_EXT", 0x1C, Size::Word, 0),
    ("USART_INT", 0x1C, Size::Word, 1 << 2),
    ("SPIS", 0x1C, Size::Word, 2 << 2),
    ("SPIM", 0x1C, Size::Word, 3 << 2),
    ("I2CS", 0x1C, Size::Word, 4 << 2),
    ("I2CM", 0x1C, Size::Word, 5 << 2),
    ("DEVICE", 0x80, Size::Byte, 0),
    ("HOST", 0x80, Size::Byte, 0x80),
];

fn all_ones(size: Size) -> u32 {
    u32::MAX >> (32 - 8 * size as u32)
}

/// One register at one address, with what is wrong with it.
struct Case<'a> {
    register: &'a Register,
    name: String,
    exceptions: Vec<(usize, &'static Exception)>,
    /// The field that selects the block's mode, and its value, if the register has it.
    mode: (u32, u32),
    /// Indices of exceptions that made a difference.
    used: &'a mut BTreeSet<usize>,
    faults: &'a mut String,
}

impl Case<'_> {
    fn fault(&mut self, text: &str) {
        let _ = writeln!(self.faults, "{}: {text}", self.name);
    }

    /// The first exception that `f` has an answer for.
    fn exception<R>(&mut self, f: impl Fn(What) -> Option<R>) -> Option<R> {
        let (n, answer) = self.exceptions.iter().find_map(|(n, exception)| Some((*n, f(exception.what)?)))?;
        self.used.insert(n);
        Some(answer)
    }

    fn check(&mut self, bench: &Bench, address: u32, fidelity: Fidelity) {
        let (size, ones) = (self.register.size, all_ones(self.register.size));
        let mut chip = bench.copy();
        let value = chip.read(address, size);
        let events = chip.unmodelled();
        let absent = fidelity == Fidelity::Absent;
        if events != usize::from(absent) {
            self.fault(&format!("{events} events of a missing register on a read, and it is {fidelity:?}"));
        }
        let expected = if absent || !self.register.readable { 0 } else { self.register.reset | self.mode.1 };
        if value != expected {
            let varies = |what| if let What::Varies(bits) = what { Some(bits) } else { None };
            let reads = |what| if let What::Reads(value) = what { Some(value) } else { None };
            if let Some(other) = self.exception(reads) {
                if value != other {
                    self.fault(&format!("reads {value:#x} after power-on, not {other:#x} as the exception has it"));
                }
            } else if (value ^ expected) & !self.exception(varies).unwrap_or(0) != 0 {
                self.fault(&format!("reads {value:#x} after power-on, not {expected:#x}"));
            }
        }
        self.check_widths(&mut chip, address, value);
        if absent {
            chip = bench.copy();
            chip.write(address, size, ones);
            if chip.unmodelled() != 1 {
                self.fault("absent, and a write is not one event");
            }
            return;
        }
        for pattern in [ones, 0, ones & 0xA5C3_965A & !self.mode.0 | self.mode.1] {
            self.check_write(bench, address, fidelity, value, pattern);
        }
    }

    /// Narrower accesses give their part, a wider one has the register whole.
    fn check_widths(&mut self, chip: &mut Bench, address: u32, value: u32) {
        let size = self.register.size;
        for (part, bytes) in [(Size::Byte, 1), (Size::Half, 2), (Size::Word, 4)] {
            if size as u32 == bytes {
                continue;
            }
            let inside = (size as u32 / bytes).max(1);
            for n in 0..inside {
                let at = if bytes > size as u32 { address & !(bytes - 1) } else { address + n * bytes };
                let got = chip.read(at, part);
                let (got, wanted) = if bytes > size as u32 {
                    (got >> (8 * (address - at)) & all_ones(size), value)
                } else {
                    (got, value >> (8 * n * bytes) & all_ones(part))
                };
                if got != wanted && self.exception(|what| (what == What::Destroyed).then_some(())).is_none() {
                    self.fault(&format!("access of {bytes} bytes at {at:#x} gives {got:#x} of {value:#x}"));
                }
            }
        }
    }

    fn check_write(&mut self, bench: &Bench, address: u32, fidelity: Fidelity, before: u32, pattern: u32) {
        let register = self.register;
        let mut chip = bench.copy();
        chip.write(address, register.size, pattern);
        if chip.unmodelled() != 0 {
            self.fault(&format!("a write of {pattern:#x} is an event of a missing register"));
        }
        if !register.readable {
            return;
        }
        let after = chip.read(address, register.size);
        let foreign = (before ^ after) & !register.write_mask;
        let changes = |what| match what {
            What::Varies(bits) | What::Changes(bits) => Some(bits),
            _ => None,
        };
        if foreign != 0 && foreign & !self.exception(changes).unwrap_or(0) != 0 {
            self.fault(&format!("a write of {pattern:#x} makes {before:#x} into {after:#x}: read-only bits changed"));
        }
        let kept = register.write_mask & register.read_mask;
        if fidelity == Fidelity::Stored && (after ^ pattern) & kept != 0 {
            let lost = |what| if let What::NotKept(bits) = what { Some(bits) } else { None };
            if (after ^ pattern) & kept & !self.exception(lost).unwrap_or(0) != 0 {
                self.fault(&format!("stored, but reads {after:#x} after a write of {pattern:#x}"));
            }
        }
    }
}

/// INTENSET sets, INTENCLR clears, and both read the same.
fn check_interrupt_enables(block: &Block, bench: &Bench, base: u32, prefix: &str, faults: &mut String) {
    let find = |name: &str| block.registers.iter().find(|register| register.name == format!("{prefix}{name}"));
    let (Some(set), Some(clear)) = (find("INTENSET"), find("INTENCLR")) else { return };
    let is_modelled = ledger(block.name).fidelity(set.name) == Fidelity::Modelled;
    if !is_modelled || !set.dimensions.is_empty() {
        return;
    }
    let mut chip = bench.copy();
    let mut step = |address: u32, value: u32| {
        chip.write(address, set.size, value);
        [set, clear].map(|register| chip.read(base + register.offset, register.size))
    };
    let (all, lowest) = (set.write_mask, set.write_mask & set.write_mask.wrapping_neg());
    let steps = [
        step(base + set.offset, all_ones(set.size)),
        step(base + clear.offset, lowest),
        step(base + set.offset, 0),
        step(base + clear.offset, all),
    ];
    if steps != [[all; 2], [all & !lowest; 2], [all & !lowest; 2], [0; 2]] {
        let _ = writeln!(faults, "{}.{prefix}INTENSET at {base:#x}: {steps:x?} with bits {all:#x}", block.name);
    }
}

#[test]
fn every_register_is_as_the_table_has_it() {
    let (mut used, mut faults, mut count) = (BTreeSet::new(), String::new(), 0);
    let fresh = Bench::new();
    for block in blocks() {
        let ledger = ledger(block.name);
        let modes: BTreeSet<Option<&str>> =
            block.registers.iter().map(|register| mode(register.name).map(|(mode, _)| mode)).collect();
        for &(instance, base) in &block.instances {
            for &current in &modes {
                let mut bench = fresh.copy();
                let setup = current.map(|current| MODES.iter().find(|(name, ..)| *name == current).expect("a mode"));
                if let Some(&(_, _, size, value)) = setup {
                    bench.write(base, size, value);
                }
                bench.unmodelled();
                for register in &block.registers {
                    let here = mode(register.name).map(|(mode, _)| mode);
                    if here != current {
                        continue;
                    }
                    let (field, setting) =
                        setup.filter(|_| register.offset == 0).map_or((0, 0), |&(_, field, _, value)| (field, value));
                    for (n, offset) in register.offsets().into_iter().enumerate() {
                        let exceptions = EXCEPTIONS.iter().enumerate();
                        let exceptions = exceptions.filter(|(_, e)| e.is_of(block.name, register.name, n)).collect();
                        let mut case = Case {
                            register,
                            name: format!("{instance}.{} #{n} at {:#x}", register.name, base + offset),
                            exceptions,
                            mode: (field, setting),
                            used: &mut used,
                            faults: &mut faults,
                        };
                        case.check(&bench, base + offset, ledger.fidelity(register.name));
                        count += 1;
                    }
                }
                let prefix = current.map_or(String::new(), |mode| format!("{mode}."));
                check_interrupt_enables(block, &bench, base, &prefix, &mut faults);
            }
        }
    }
    assert!(faults.is_empty(), "of {count} registers, {} faults:\n{faults}", faults.lines().count());
    let idle: Vec<_> = EXCEPTIONS.iter().enumerate().filter(|(n, _)| !used.contains(n)).map(|(_, e)| e).collect();
    assert!(idle.is_empty(), "exceptions that nothing needs: {idle:#?}");
    assert!(count > 3_000, "{count} registers");
}
