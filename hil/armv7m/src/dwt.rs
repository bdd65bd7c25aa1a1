//! Data Watchpoint and Trace unit (ARMv7-M ARM C1.8): cycle counter, four comparators, two of the profiling counters, and
//! what it has to say to the trace port. CPICNT, LSUCNT and FOLDCNT stay at zero.

use crate::Cycle;

const WATCHPOINTS: usize = 4;

/// DWT_CTRL bits.
pub(crate) mod ctrl {
    pub(crate) const CYCCNTENA: u32 = 1 << 0;
    pub(crate) const CYCTAP: u32 = 1 << 9;
    pub(crate) const PCSAMPLENA: u32 = 1 << 12;
    pub(crate) const EXCTRCENA: u32 = 1 << 16;
    pub(crate) const EXCEVTENA: u32 = 1 << 18;
    pub(crate) const SLEEPEVTENA: u32 = 1 << 19;
    pub(crate) const CYCEVTENA: u32 = 1 << 22;
    pub(crate) const WRITABLE: u32 = 0x007F_1FFF;
}

/// DWT_FUNCTIONn bits.
mod function {
    pub(super) const EMITRANGE: u32 = 1 << 5;
    pub(super) const CYCMATCH: u32 = 1 << 7;
    pub(super) const DATAVMATCH: u32 = 1 << 8;
    pub(super) const LNK1ENA: u32 = 1 << 9;
    pub(super) const MATCHED: u32 = 1 << 24;
}

/// A data access of the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DataAccess {
    pub(crate) addr: u32,
    /// Bytes.
    pub(crate) size: u32,
    pub(crate) write: bool,
    pub(crate) value: u32,
}

/// What a comparator emits for an access (table C1-21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Emission {
    pub(crate) comparator: u8,
    pub(crate) pc: bool,
    pub(crate) offset: bool,
    pub(crate) value: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Dwt {
    pub(crate) control: u32,
    /// CYCCNT at the cycle `counting_since`, or as it stands while it does not count.
    count: u32,
    counting_since: Option<Cycle>,
    /// POSTCNT.
    post_count: u32,
    exceptions: u8,
    sleep: u8,
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
        self.counting_since = (trace_enabled && self.control & ctrl::CYCCNTENA != 0).then_some(now);
    }

    /// The counter stands still in Debug state.
    pub(crate) fn skip(&mut self, cycles: Cycle) {
        if let Some(since) = &mut self.counting_since {
            *since += cycles;
        }
    }

    /// Cycles between two ticks of POSTCNT: bit 6 or bit 10 of CYCCNT turns over.
    fn tap(&self) -> u32 {
        if self.control & ctrl::CYCTAP != 0 { 1 << 10 } else { 1 << 6 }
    }

    /// Whether POSTCNT's events have somewhere to go.
    pub(crate) fn is_periodic(&self) -> bool {
        self.counting_since.is_some() && self.control & (ctrl::PCSAMPLENA | ctrl::CYCEVTENA) != 0
    }

    /// The cycle of the next tick of POSTCNT after `now`.
    pub(crate) fn next_tick(&self, now: Cycle) -> Cycle {
        let tap = self.tap();
        now + Cycle::from(tap - self.cycle_count(now) % tap)
    }

    /// POSTCNT counts; tells whether it has run out, and begins anew then.
    pub(crate) fn tick(&mut self) -> bool {
        if self.post_count != 0 {
            self.post_count -= 1;
            return false;
        }
        self.post_count = self.control >> 1 & 15;
        true
    }

    /// Cycles of an exception's entry or return; tells whether EXCCNT passed zero and should say so.
    pub(crate) fn count_exception(&mut self, cycles: Cycle) -> bool {
        if self.control & ctrl::EXCEVTENA == 0 {
            return false;
        }
        let sum = Cycle::from(self.exceptions) + cycles;
        self.exceptions = sum as u8;
        sum > 0xFF
    }

    /// Likewise for cycles asleep.
    pub(crate) fn count_sleep(&mut self, cycles: Cycle) -> bool {
        if self.control & ctrl::SLEEPEVTENA == 0 {
            return false;
        }
        let sum = Cycle::from(self.sleep) + cycles;
        self.sleep = sum as u8;
        sum > 0xFF
    }

    pub(crate) fn read(&mut self, offset: u32, now: Cycle) -> u32 {
        let index = (offset as usize).wrapping_sub(0x20) / 16;
        match offset {
            0x00 => (WATCHPOINTS as u32) << 28 | self.control & !(15 << 5) | self.post_count << 5,
            0x04 => self.cycle_count(now),
            0x0C => self.exceptions.into(),
            0x10 => self.sleep.into(),
            0x20..0x60 => match offset & 15 {
                0 => self.comparators[index],
                4 => self.masks[index],
                8 => {
                    let value = self.functions[index];
                    self.functions[index] &= !function::MATCHED;
                    value | if index == 1 { function::LNK1ENA } else { 0 }
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
                self.control = value & ctrl::WRITABLE;
                self.post_count = value >> 5 & 15;
                self.update(now, trace_enabled);
            }
            0x04 => {
                self.count = value;
                self.counting_since = self.counting_since.map(|_| now);
            }
            0x0C => self.exceptions = value as u8,
            0x10 => self.sleep = value as u8,
            0x20..0x60 => match offset & 15 {
                0 => self.comparators[index] = value,
                4 => self.masks[index] = value & 31,
                // Comparator 0 alone can match the cycle counter, comparator 1 alone a value.
                8 => {
                    let special = match index {
                        0 => function::CYCMATCH,
                        1 => function::DATAVMATCH | 0x000F_FC00,
                        _ => 0,
                    };
                    self.functions[index] = value & (0x2F | special);
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// A comparator wants to see each instruction or access. Functions 8 to 11 are for an ETM.
    pub(crate) fn watches(&self) -> bool {
        self.functions.iter().any(|function| !matches!(function & 15, 0 | 8..=11))
    }

    fn address_matches(&self, index: usize, addr: u32, size: u32) -> bool {
        // The mask ignores low address bits; an access touching the range from below counts as well.
        let ignore = u32::MAX.checked_shl(self.masks[index]).map_or(u32::MAX, |mask| !mask);
        let first = self.comparators[index] & !ignore;
        let last = first | ignore;
        addr <= last && addr.wrapping_add(size - 1) >= first
    }

    /// Comparator 1 with DATAVMATCH: the value, and one of the linked addresses if there are any.
    fn value_matches(&self, access: DataAccess) -> bool {
        let function = self.functions[1];
        let width = 1u32 << (function >> 10 & 3).min(2);
        let mask = u32::MAX >> (32 - 8 * width);
        if width != access.size || (access.value ^ self.comparators[1]) & mask != 0 {
            return false;
        }
        let mut linked = [function >> 12 & 15, function >> 16 & 15].map(|index| index as usize);
        linked.sort_unstable();
        let others = || linked.iter().filter(|&&index| index != 1 && index < WATCHPOINTS);
        others().next().is_none() || others().any(|&index| self.address_matches(index, access.addr, access.size))
    }

    fn access_matches(&self, index: usize, access: DataAccess) -> bool {
        let function = self.functions[index];
        let direction = match function & 15 {
            5 | 12 | 14 => !access.write,
            6 | 13 | 15 => access.write,
            1..=3 | 7 => true,
            _ => false,
        };
        direction
            && function & function::CYCMATCH == 0
            && if function & function::DATAVMATCH != 0 {
                self.value_matches(access)
            } else {
                self.address_matches(index, access.addr, access.size)
            }
    }

    /// A data access of the program; tells whether a watchpoint hit.
    pub(crate) fn on_data(&mut self, access: DataAccess) -> bool {
        let mut hit = false;
        for index in 0..WATCHPOINTS {
            if self.access_matches(index, access) {
                self.functions[index] |= function::MATCHED;
                hit |= matches!(self.functions[index] & 15, 5..=7);
            }
        }
        hit
    }

    /// What the comparators emit for an access.
    pub(crate) fn emissions(&self, access: DataAccess) -> impl Iterator<Item = Emission> + '_ {
        (0..WATCHPOINTS).filter(move |&index| self.access_matches(index, access)).filter_map(move |index| {
            let function = self.functions[index];
            let range = function & function::EMITRANGE != 0;
            let (place, value) = match function & 15 {
                1 => (true, false),
                2 => (range, true),
                3 | 14 | 15 => (true, true),
                12 | 13 => (range, true),
                _ => return None,
            };
            Some(Emission { comparator: index as u8, pc: place && !range, offset: place && range, value })
        })
    }

    /// An instruction about to run; tells whether a watchpoint hit.
    pub(crate) fn on_instruction(&mut self, pc: u32, now: Cycle) -> bool {
        let mut hit = false;
        for index in 0..WATCHPOINTS {
            let function = self.functions[index];
            let matched = function & 15 == 4
                && if function & function::CYCMATCH != 0 {
                    self.cycle_count(now) == self.comparators[0]
                } else {
                    self.address_matches(index, pc, 2)
                };
            if matched {
                self.functions[index] |= function::MATCHED;
                hit = true;
            }
        }
        hit
    }
}
