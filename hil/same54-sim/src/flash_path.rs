//! The core's way to flash: through the CMCC, the line in NVMCTRL that was read last, or neither.
//!
//! Fast are the lines that the core reads without waiting and without anything to be noted. Those are
//! all of them while flash is as fast as the core, the ones in the cache while data is cached, and else the one that
//! NVMCTRL holds.

use std::ops::Range;

use armv7m::{BusFault, Cycle, FetchTiming, Lost, Size, Wait};

use crate::arrays::{Arrays, LINE};
use crate::chip::Chip;
use crate::cmcc::{Evicted, Slot, Tags};
use crate::map::Id;
use crate::memory::{FLASH_SIZE, NOTHING_SLOW, USER_PAGE_BASE, USER_PAGE_SIZE};

/// Serial memory window of the QSPI.
pub(crate) const QSPI_BASE: u32 = 0x0400_0000;
pub(crate) const QSPI_END: u32 = 0x0500_0000;
const USER_PAGE_END: u32 = USER_PAGE_BASE + USER_PAGE_SIZE;
/// Flash's auxiliary space.
const AUXILIARY: Range<u32> = 0x0080_0000..0x0081_0000;
/// Lines that are listed at most.
const LISTED: usize = 4_096;

/// State of the way.
#[derive(Clone, Debug)]
pub(crate) struct FlashPath {
    /// Fast lines, and others that once were. None are listed if they are many.
    listed: Vec<u16>,
    many: bool,
    setup: Setup,
    /// The line that NVMCTRL holds for the core's port.
    buffer: Option<u32>,
    /// What accesses have cost that nobody has asked for.
    pending: Wait,
}

/// What software and clocks make of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Setup {
    /// Wait states.
    wait: u8,
    /// NVMCTRL keeps the line that it has read.
    buffered: bool,
    code_cached: bool,
    data_cached: bool,
    counts_code: bool,
    counts_data: bool,
    all_locked: bool,
    /// Where flash needs a closer look: see [`Memory::slow`](crate::memory::Memory::slow).
    slow: (u32, u32),
    /// Of the cache: see [`Tags::losses`].
    losses: u32,
    /// Operations of NVMCTRL.
    operations: u32,
}

impl Setup {
    /// Reads of data are of no interest, and literals cost the same each.
    fn is_direct(self) -> bool {
        !self.data_cached && !self.code_cached
    }
}

impl FlashPath {
    pub(crate) fn new() -> Self {
        Self {
            listed: Vec::new(),
            many: true,
            setup: Setup {
                wait: 0,
                buffered: true,
                code_cached: false,
                data_cached: false,
                counts_code: false,
                counts_data: false,
                all_locked: false,
                slow: NOTHING_SLOW,
                losses: 0,
                operations: 0,
            },
            buffer: None,
            pending: Wait::default(),
        }
    }

    /// Literals cost the same wherever they are.
    #[inline(always)]
    pub(crate) fn is_direct(&self) -> bool {
        self.setup.is_direct()
    }

    /// See [`Bus::take_wait`](armv7m::Bus::take_wait).
    #[inline(always)]
    pub(crate) fn take_wait(&mut self) -> Wait {
        // Mostly there is nothing to be cleared.
        if self.pending == Wait::default() { Wait::default() } else { std::mem::take(&mut self.pending) }
    }

    /// The line is fast, unless something else stands in the way of that.
    fn set_fast(&mut self, arrays: &mut Arrays, addr: u32) {
        let counted = self.setup.data_cached && self.setup.counts_data;
        if addr < FLASH_SIZE && !counted && addr & self.setup.slow.0 != self.setup.slow.1 {
            let line = (addr / LINE) as usize;
            if std::mem::replace(&mut arrays.fast_mut()[line], 1) == 0 && !self.many {
                self.listed.push(line as u16);
                if self.listed.len() > LISTED {
                    self.list_none();
                }
            }
        }
    }

    fn list_none(&mut self) {
        self.listed.clear();
        self.many = true;
    }

    /// No line is fast.
    fn clear(&mut self, arrays: &mut Arrays) {
        if self.many {
            arrays.fast_mut().fill(0);
        }
        for line in self.listed.drain(..) {
            arrays.fast_mut()[usize::from(line)] = 0;
        }
        self.many = false;
    }

    /// A line of code is not resident any longer.
    fn lose(&mut self, line: u32) {
        self.pending.lost = self.pending.lost.and(Lost::Line(line));
    }

    /// Finds the fast lines anew.
    fn rebuild(&mut self, arrays: &mut Arrays, tags: &Tags) {
        self.clear(arrays);
        if self.setup.data_cached {
            for (line, _) in tags.lines().filter(|(_, clean)| *clean) {
                self.set_fast(arrays, line);
            }
        } else if self.setup.wait == 0 {
            self.list_none();
            let (mask, first) = self.setup.slow;
            let lines = arrays.fast_mut();
            lines.fill(1);
            if first < FLASH_SIZE {
                lines[(first / LINE) as usize..=((first | !mask) / LINE) as usize].fill(0);
            }
        } else if let Some(line) = self.buffer {
            self.set_fast(arrays, line);
        }
    }

    /// Reads the line around `addr` from the array. The cycles that the core waits.
    fn read_array(&mut self, arrays: &mut Arrays, addr: u32) -> u32 {
        let line = addr & !(LINE - 1);
        let wait = u32::from(self.setup.wait);
        if wait == 0 || self.setup.buffered && self.buffer == Some(line) {
            return 0;
        }
        if self.setup.buffered {
            if !self.setup.data_cached {
                if let Some(old) = self.buffer {
                    set_slow(arrays, old);
                }
                self.set_fast(arrays, line);
            }
            self.buffer = Some(line);
        }
        wait
    }

    /// Reads all of the line around `addr` from the array, for the cache.
    fn fill_time(&mut self, arrays: &mut Arrays, addr: u32) -> u32 {
        let words = if self.setup.buffered { 1 } else { LINE / 4 };
        words * self.read_array(arrays, addr)
    }
}

fn set_slow(arrays: &mut Arrays, addr: u32) {
    if addr < FLASH_SIZE {
        arrays.fast_mut()[(addr / LINE) as usize] = 0;
    }
}

impl Chip {
    /// Looks at what has changed on the way. How fetches take time from now on, and whether lines of code may be resident
    /// no longer.
    pub(crate) fn look_at_flash_path(&mut self) -> (FetchTiming, bool) {
        let (cmcc, nvmctrl) = (&self.parts.cmcc, &self.parts.nvmctrl);
        let setup = Setup {
            wait: nvmctrl.wait_states(self.shared.clocks.cpu),
            buffered: nvmctrl.keeps_line(),
            code_cached: cmcc.caches_code(),
            data_cached: cmcc.caches_data(),
            counts_code: cmcc.counts_code(),
            counts_data: cmcc.counts_data(),
            all_locked: cmcc.tags.is_all_locked(),
            slow: self.shared.memory.slow(),
            losses: cmcc.tags.losses(),
            operations: nvmctrl.operations(),
        };
        let before = std::mem::replace(&mut self.path.setup, setup);
        let changed = before != setup;
        if changed {
            if setup.operations != before.operations || !setup.buffered {
                self.path.buffer = None;
            }
            self.path.rebuild(&mut self.shared.memory.arrays, &self.parts.cmcc.tags);
        }
        let wait = if setup.code_cached { 0 } else { setup.wait };
        let timing = FetchTiming {
            wait,
            line: if setup.buffered { 4 } else { 2 },
            literal: if setup.is_direct() { wait } else { 0 },
            cached: setup.code_cached,
            by_word: setup.code_cached && (setup.counts_code || setup.all_locked),
        };
        // What lines of code rely on: see `is_code_resident` and `longest_code_wait`.
        let relied_on = |setup: Setup| (setup.losses, setup.slow, setup.wait, setup.buffered);
        (timing, relied_on(before) != relied_on(setup))
    }

    /// Flash in `range` is not what it was. Whether that concerns lines in the cache.
    pub(crate) fn flash_changed(&mut self, range: &Range<u32>) -> bool {
        let lines = self.parts.cmcc.tags.memory_changed(range);
        for line in &lines {
            set_slow(&mut self.shared.memory.arrays, *line);
        }
        !lines.is_empty()
    }

    /// See [`Bus::touch_code`](armv7m::Bus::touch_code).
    pub(crate) fn touch_code_line(&mut self, addr: u32, at: Cycle) -> Wait {
        self.cycle = at;
        match self.parts.cmcc.tags.find(addr) {
            Some(slot) => {
                self.parts.cmcc.hit(true);
                self.parts.cmcc.tags.set_code(slot);
                self.look_for_stale(slot, true);
            }
            None => {
                // What cannot be read faults where it is fetched.
                if let Ok(Some(slot)) = self.fill_line(addr) {
                    self.parts.cmcc.tags.set_code(slot);
                }
            }
        }
        self.path.take_wait()
    }

    /// See [`Bus::is_resident`](armv7m::Bus::is_resident).
    pub(crate) fn is_code_resident(&self, addr: u32) -> bool {
        let tags = &self.parts.cmcc.tags;
        tags.find(addr).is_some_and(|slot| tags.is_code(slot) && !tags.is_changed(slot))
    }

    /// See [`Bus::longest_wait`](armv7m::Bus::longest_wait).
    pub(crate) fn longest_code_wait(&self, code: &Range<u32>) -> Option<u32> {
        let quiet = self.shared.memory.is_plain_throughout(code) && !self.parts.cmcc.tags.has_changed();
        quiet.then(|| u32::from(self.path.setup.wait) * if self.path.setup.buffered { 1 } else { LINE / 4 })
    }

    /// Whether the core can fetch the instruction at `pc` though its bank is busy.
    pub(crate) fn caches_instruction(&self, pc: u32) -> bool {
        self.parts.cmcc.caches_code() && self.parts.cmcc.tags.find(pc).is_some()
    }

    /// A halfword of code that is not to be had from flash as it is.
    pub(crate) fn cached_code(&self, addr: u32) -> Option<u16> {
        let cmcc = &self.parts.cmcc;
        let unusual = cmcc.tags.has_changed() || !self.shared.memory.is_plain(addr);
        if !unusual || !cmcc.caches_code() {
            return None;
        }
        let bytes = cmcc.tags.bytes(cmcc.tags.find(addr)?);
        let at = (addr % LINE) as usize;
        Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
    }

    /// A halfword of code in the QSPI's window, through the cache.
    pub(crate) fn code_through_cache(&mut self, addr: u32) -> Result<u16, BusFault> {
        let slot = match self.parts.cmcc.tags.find(addr) {
            Some(slot) => Some(slot),
            None => self.fill_line(addr)?,
        };
        // That code is decoded each time: nobody relies on the line, and it is not timed by cycles.
        self.path.pending.cycles = 0;
        match slot {
            Some(slot) => {
                self.look_for_stale(slot, true);
                let bytes = self.parts.cmcc.tags.bytes(slot);
                let at = (addr % LINE) as usize;
                Ok(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
            }
            None => Ok(self.read_serial_memory(addr - QSPI_BASE, Size::Half)? as u16),
        }
    }

    /// A read of data by the core. None if it is one like any other master's.
    #[inline]
    pub(crate) fn read_on_path(&mut self, addr: u32, size: Size, at: Cycle) -> Option<Result<u32, BusFault>> {
        if self.shared.signals.debugger {
            return None;
        }
        if self.path.setup.data_cached {
            let cached = addr < FLASH_SIZE || AUXILIARY.contains(&addr) || addr >= QSPI_BASE;
            return if cached { self.read_through_cache(addr, size, at).transpose() } else { None };
        }
        if addr > FLASH_SIZE - 4 {
            return None;
        }
        let last = addr + size as u32 - 1;
        self.path.pending.cycles += self.path.read_array(&mut self.shared.memory.arrays, addr);
        if (addr ^ last) >> if self.path.setup.buffered { 4 } else { 2 } != 0 {
            self.path.pending.cycles += self.path.read_array(&mut self.shared.memory.arrays, last);
        }
        let memory = &self.shared.memory;
        if !memory.is_plain(addr) || !memory.is_plain(last) {
            return None;
        }
        let bytes = memory.nvm(addr, size as u32);
        Some(Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))))
    }

    /// As [`read_on_path`](Self::read_on_path), while data is cached.
    #[inline(never)]
    fn read_through_cache(&mut self, addr: u32, size: Size, at: Cycle) -> Result<Option<u32>, BusFault> {
        self.cycle = at;
        let (mut value, mut at, end) = (0, addr, addr + size as u32);
        while at < end {
            let slot = match self.parts.cmcc.tags.find(at) {
                Some(slot) => {
                    self.parts.cmcc.hit(false);
                    self.look_for_stale(slot, false);
                    slot
                }
                None => match self.fill_line(at)? {
                    Some(slot) => slot,
                    None => return Ok(None),
                },
            };
            let next = end.min((at & !(LINE - 1)) + LINE);
            let bytes = &self.parts.cmcc.tags.bytes(slot)[(at % LINE) as usize..][..(next - at) as usize];
            let part = bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
            value |= part << (8 * (at - addr));
            at = next;
        }
        Ok(Some(value))
    }

    /// Fills the line around `addr`. None if all ways are locked.
    fn fill_line(&mut self, addr: u32) -> Result<Option<Slot>, BusFault> {
        let line = addr & !(LINE - 1);
        let all_locked = self.path.setup.all_locked;
        if line < FLASH_SIZE || AUXILIARY.contains(&line) {
            let time = if all_locked {
                self.path.read_array(&mut self.shared.memory.arrays, line)
            } else {
                self.path.fill_time(&mut self.shared.memory.arrays, line)
            };
            self.path.pending.cycles += time;
        }
        if all_locked {
            return Ok(None);
        }
        let bytes = self.line_behind(line)?;
        let Some((slot, evicted)) = self.parts.cmcc.tags.fill(line, bytes) else { return Ok(None) };
        if let Some(Evicted { line, code, changed }) = evicted {
            if code {
                self.path.lose(line);
            }
            if self.path.setup.data_cached {
                set_slow(&mut self.shared.memory.arrays, line);
            }
            if code && changed {
                // What was decoded from it is not what flash has.
                self.shared.signals.code_changed(line..line + LINE);
            }
        }
        if self.path.setup.data_cached {
            self.path.set_fast(&mut self.shared.memory.arrays, line);
        }
        Ok(Some(slot))
    }

    /// Reads what a line is filled with.
    fn line_behind(&mut self, line: u32) -> Result<[u8; LINE as usize], BusFault> {
        let mut bytes = [0; LINE as usize];
        if line < FLASH_SIZE {
            let memory = &self.shared.memory;
            if memory.is_plain(line) {
                bytes.copy_from_slice(memory.nvm(line, LINE));
                return Ok(bytes);
            }
            if memory.is_reserved(line) {
                return Err(BusFault);
            }
        }
        for (n, word) in bytes.chunks_exact_mut(4).enumerate() {
            let at = line + 4 * n as u32;
            let value = match at {
                QSPI_BASE..QSPI_END => self.read_serial_memory(at - QSPI_BASE, Size::Word)?,
                _ => self.read_nvm(at, Size::Word)?,
            };
            word.copy_from_slice(&value.to_le_bytes());
        }
        Ok(bytes)
    }

    /// A line that may differ from the memory behind it answers.
    fn look_for_stale(&mut self, slot: Slot, code: bool) {
        let cmcc = &self.parts.cmcc;
        let line = cmcc.tags.line(slot);
        let what = if code { "code" } else { "data" };
        let memory = &self.shared.memory;
        let (whose, differs) = match line {
            QSPI_BASE.. => {
                // A transfer that does not read memory may say something else each time.
                let qspi = &self.parts.qspi;
                let same = || qspi.flash.copy(line - QSPI_BASE, LINE as usize) == cmcc.tags.bytes(slot);
                ("the QSPI's memory", !qspi.reads_memory() || !same())
            }
            _ if !cmcc.tags.is_changed(slot) => return,
            0..FLASH_SIZE | USER_PAGE_BASE..USER_PAGE_END => ("flash", memory.nvm(line, LINE) != cmcc.tags.bytes(slot)),
            _ => ("flash", false),
        };
        let tags = &mut self.parts.cmcc.tags;
        if !differs {
            tags.set_changed(slot, false);
            if self.path.setup.data_cached {
                self.path.set_fast(&mut self.shared.memory.arrays, line);
            }
        } else if tags.report(slot) {
            let text = format!("{what} at {line:#010x} comes out of a cache line that {whose} no longer has");
            self.with(Id::Cmcc, |_, cx| cx.violation(format!("{text}: invalidate the CMCC")));
        }
    }

    /// A write by the core has gone to memory: a line that holds its place gets it, too.
    pub(crate) fn write_through(&mut self, addr: u32, size: Size, value: u32) {
        if !self.path.setup.data_cached || self.shared.signals.debugger {
            return;
        }
        if let Some(slot) = self.parts.cmcc.tags.find(addr) {
            let place = Tags::place(slot) + addr % LINE;
            self.write_cache_ram(place, size, value);
        }
    }

    /// Reads the cache's data RAM.
    pub(crate) fn read_cache_ram(&self, offset: u32, size: Size) -> u32 {
        let bytes = self.parts.cmcc.tags.ram(offset, size as usize);
        bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
    }

    /// Writes the cache's data RAM.
    pub(crate) fn write_cache_ram(&mut self, offset: u32, size: Size, value: u32) {
        let tags = &mut self.parts.cmcc.tags;
        let Some(slot) = tags.write_ram(offset, &value.to_le_bytes()[..size as usize]) else { return };
        tags.set_changed(slot, true);
        let (line, code) = (tags.line(slot), tags.is_code(slot));
        if self.path.setup.data_cached {
            set_slow(&mut self.shared.memory.arrays, line);
        }
        // Lines that have changed are no matter for the fast loop.
        self.path.pending.lost = Lost::Anything;
        if code {
            self.shared.signals.code_changed(line..line + LINE);
        }
    }
}
