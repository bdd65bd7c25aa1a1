//! Halting debug, breakpoints and watchpoints (ARMv7-M ARM C1).

use crate::Cycle;

/// DHCSR bits.
pub(crate) mod dhcsr {
    pub(crate) const C_DEBUGEN: u32 = 1 << 0;
    pub(crate) const C_HALT: u32 = 1 << 1;
    pub(crate) const C_STEP: u32 = 1 << 2;
    pub(crate) const C_MASKINTS: u32 = 1 << 3;
    pub(crate) const C_SNAPSTALL: u32 = 1 << 5;
    pub(crate) const S_REGRDY: u32 = 1 << 16;
    pub(crate) const S_HALT: u32 = 1 << 17;
    pub(crate) const S_SLEEP: u32 = 1 << 18;
    pub(crate) const S_LOCKUP: u32 = 1 << 19;
    pub(crate) const S_RETIRE_ST: u32 = 1 << 24;
    pub(crate) const S_RESET_ST: u32 = 1 << 25;
}

/// DFSR bits.
pub(crate) mod dfsr {
    pub(crate) const HALTED: u32 = 1 << 0;
    pub(crate) const BKPT: u32 = 1 << 1;
    pub(crate) const DWTTRAP: u32 = 1 << 2;
    pub(crate) const VCATCH: u32 = 1 << 3;
}

/// DEMCR bits.
pub(crate) mod demcr {
    pub(crate) const VC_CORERESET: u32 = 1 << 0;
    pub(crate) const VC_MMERR: u32 = 1 << 4;
    pub(crate) const VC_NOCPERR: u32 = 1 << 5;
    pub(crate) const VC_CHKERR: u32 = 1 << 6;
    pub(crate) const VC_STATERR: u32 = 1 << 7;
    pub(crate) const VC_BUSERR: u32 = 1 << 8;
    pub(crate) const VC_INTERR: u32 = 1 << 9;
    pub(crate) const VC_HARDERR: u32 = 1 << 10;
    pub(crate) const MON_EN: u32 = 1 << 16;
    pub(crate) const MON_PEND: u32 = 1 << 17;
    pub(crate) const MON_STEP: u32 = 1 << 18;
    pub(crate) const TRCENA: u32 = 1 << 24;
    pub(crate) const WRITABLE: u32 = 0x010F_07F1;
}

/// DHCSR, DCRDR, DEMCR, DFSR.
#[derive(Clone, Debug, Default)]
pub(crate) struct Debug {
    /// The control half of DHCSR.
    pub(crate) control: u32,
    pub(crate) dcrdr: u32,
    pub(crate) demcr: u32,
    pub(crate) dfsr: u32,
    pub(crate) halted: bool,
    /// DHCSR.S_RESET_ST and S_RETIRE_ST, which clear on read.
    pub(crate) reset_seen: bool,
    pub(crate) retired: u64,
    /// A watchpoint matched; taken after the instruction.
    pub(crate) watch_hit: bool,
}

impl Debug {
    pub(crate) fn enabled(&self) -> bool {
        self.control & dhcsr::C_DEBUGEN != 0
    }

    pub(crate) fn stepping(&self) -> bool {
        self.control & (dhcsr::C_DEBUGEN | dhcsr::C_STEP | dhcsr::C_HALT) == dhcsr::C_DEBUGEN | dhcsr::C_STEP
    }
}

/// Instruction comparators of the Cortex-M4's FPB.
const CODE_COMPARATORS: usize = 6;
/// Literal comparators: kept, but FP_REMAP is not supported (RMPSPT reads as zero), so they do nothing.
const LITERAL_COMPARATORS: usize = 2;

/// Flash Patch and Breakpoint unit, revision 1 (C1.11).
#[derive(Clone, Debug, Default)]
pub(crate) struct Fpb {
    enabled: bool,
    comparators: [u32; CODE_COMPARATORS + LITERAL_COMPARATORS],
    /// The predecoded code does not yet show the comparators as they are.
    pub(crate) changed: bool,
}

impl Fpb {
    pub(crate) fn read(&self, offset: u32) -> u32 {
        match offset {
            0 => (LITERAL_COMPARATORS << 8 | CODE_COMPARATORS << 4) as u32 | u32::from(self.enabled),
            8..0x28 => self.comparators[(offset as usize - 8) / 4],
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        match offset {
            // Bit 1 is the key.
            0 if value & 2 != 0 => self.enabled = value & 1 != 0,
            8..0x20 => self.comparators[(offset as usize - 8) / 4] = value & 0xDFFF_FFFD,
            0x20..0x28 => self.comparators[(offset as usize - 8) / 4] = value & 0x1FFF_FFFD,
            _ => return,
        }
        self.changed = true;
    }

    /// Addresses with a breakpoint.
    pub(crate) fn breakpoints(&self) -> impl Iterator<Item = u32> + '_ {
        self.comparators[..CODE_COMPARATORS].iter().filter(|&&value| self.enabled && value & 1 != 0).flat_map(
            |&value| {
                let word = value & 0x1FFF_FFFC;
                let lower = (value >> 30 & 1 != 0).then_some(word);
                let upper = (value >> 31 != 0).then_some(word + 2);
                [lower, upper].into_iter().flatten()
            },
        )
    }

    pub(crate) fn matches(&self, pc: u32) -> bool {
        pc < 0x2000_0000 && self.breakpoints().any(|address| address == pc)
    }
}

const WATCHPOINTS: usize = 4;

/// Data Watchpoint and Trace unit (C1.8): cycle counter and four comparators; profiling counters and trace packets
/// are not modelled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dwt {
    control: u32,
    /// CYCCNT at the cycle `counting_since`, or as it stands while it does not count.
    count: u32,
    counting_since: Option<Cycle>,
    comparators: [u32; WATCHPOINTS],
    masks: [u32; WATCHPOINTS],
    functions: [u32; WATCHPOINTS],
}

impl Dwt {
    fn cycle_count(&self, now: Cycle) -> u32 {
        let counted = self.counting_since.map_or(0, |since| now - since);
        self.count.wrapping_add(counted as u32)
    }

    /// Starts or stops the cycle counter after CTRL or DEMCR.TRCENA changed.
    pub(crate) fn update(&mut self, now: Cycle, trace_enabled: bool) {
        self.count = self.cycle_count(now);
        self.counting_since = (trace_enabled && self.control & 1 != 0).then_some(now);
    }

    /// The counter stands still in Debug state.
    pub(crate) fn skip(&mut self, cycles: Cycle) {
        if let Some(since) = &mut self.counting_since {
            *since += cycles;
        }
    }

    pub(crate) fn read(&mut self, offset: u32, now: Cycle) -> u32 {
        let index = (offset as usize).wrapping_sub(0x20) / 16;
        match offset {
            0x00 => (WATCHPOINTS as u32) << 28 | self.control,
            0x04 => self.cycle_count(now),
            0x20..0x60 => match offset & 15 {
                0 => self.comparators[index],
                4 => self.masks[index],
                8 => {
                    let value = self.functions[index];
                    self.functions[index] &= !(1 << 24);
                    value
                }
                _ => 0,
            },
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Cycle, trace_enabled: bool) {
        let index = (offset as usize).wrapping_sub(0x20) / 16;
        match offset {
            0x00 => {
                self.control = value & 0x007F_1FFF;
                self.update(now, trace_enabled);
            }
            0x04 => {
                self.count = value;
                self.counting_since = self.counting_since.map(|_| now);
            }
            0x20..0x60 => match offset & 15 {
                0 => self.comparators[index] = value,
                4 => self.masks[index] = value & 31,
                8 => self.functions[index] = value & 0x000F_FFAF,
                _ => {}
            },
            _ => {}
        }
    }

    pub(crate) fn watches(&self) -> bool {
        self.functions.iter().any(|function| matches!(function & 15, 4..=7))
    }

    fn address_matches(&self, index: usize, addr: u32, size: u32) -> bool {
        // The mask ignores low address bits; an access touching the range from below counts as well.
        let ignore = u32::MAX.checked_shl(self.masks[index]).map_or(u32::MAX, |mask| !mask);
        let first = self.comparators[index] & !ignore;
        let last = first | ignore;
        addr <= last && addr.wrapping_add(size - 1) >= first
    }

    /// A data access of the program; tells whether a watchpoint hit.
    pub(crate) fn on_data(&mut self, addr: u32, size: u32, write: bool, value: u32) -> bool {
        let mut hit = false;
        for index in 0..WATCHPOINTS {
            let function = self.functions[index];
            let direction = match function & 15 {
                5 => !write,
                6 => write,
                7 => true,
                _ => false,
            };
            if !direction || function & 0x80 != 0 {
                continue;
            }
            let matched = if function & 0x100 != 0 {
                // Data value, with the address in the comparator that DATAVADDR0 names.
                let width = 1u32 << (function >> 10 & 3).min(2);
                let mask = u32::MAX >> (32 - 8 * width);
                let linked = (function >> 12 & 15) as usize;
                let address = linked == index || self.address_matches(linked % WATCHPOINTS, addr, size);
                address && width == size && value & mask == self.comparators[index] & mask
            } else {
                self.address_matches(index, addr, size)
            };
            if matched {
                self.functions[index] |= 1 << 24;
                hit = true;
            }
        }
        hit
    }

    /// An instruction about to run; tells whether a watchpoint hit.
    pub(crate) fn on_instruction(&mut self, pc: u32, now: Cycle) -> bool {
        let mut hit = false;
        for index in 0..WATCHPOINTS {
            let function = self.functions[index];
            let matched = function & 15 == 4
                && if index == 0 && function & 0x80 != 0 {
                    self.cycle_count(now) == self.comparators[0]
                } else {
                    self.address_matches(index, pc, 2)
                };
            if matched {
                self.functions[index] |= 1 << 24;
                hit = true;
            }
        }
        hit
    }
}
