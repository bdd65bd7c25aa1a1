//! CMCC: Cortex-M cache controller (SAM D5x/E5x datasheet, 11).
//!
//! Fidelity: a unified cache of 4 KiB in lines of 16 bytes and four ways of 1 KiB, of which CFG.CSIZESW leaves one, two or
//! four; read allocation, write-through, replacement in turn within a set (11.2), locked ways, invalidation of all and by
//! line (which makes that line the next to be filled), ICDIS and DCDIS, the data RAM at 0x0300_0000 with what the cache
//! does not need of it as tightly coupled memory, and the monitor in all modes are modelled. Code and data of the core out
//! of internal flash, its auxiliary space and the QSPI window are cached; nothing else is, and DMA and debuggers pass the
//! cache by (assumed of debuggers). A hit takes no time, out of a bank that is busy too; a miss takes the wait states of
//! the flash, four times as many with NVMCTRL.CTRLA.CACHEDIS0, or the time of 16 bytes through the QSPI. A line whose
//! memory has changed since answers with what it holds, code included, until it is invalidated or replaced; that is
//! reported as a violation once for each such line, as is an answer to a QSPI register transfer. Assumed: the core has the
//! first word of a miss at once and the rest in time; disabling keeps the lines; a smaller size forgets those beyond it;
//! INVALL starts each set's turn at way 0; a write updates a line that holds its address while data is cached; an
//! instruction that lies in a line looks it up each time; IHIT counts one for each word that is fetched, without what the
//! core fetches ahead; exceptions' vectors are looked up as data and their misses hidden behind the writing of the frame.
//! The core is slow to simulate while the monitor counts instructions and while all ways are locked. Tag RAM and valid
//! bits are absent from the address space, for debuggers too.

mod tags;
#[cfg(test)]
mod tests;

use sim_base::Instant;

use crate::arrays::LINE;
use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
pub(crate) use tags::{Evicted, RAM_SIZE, Slot, Tags};

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger::MODELLED;

/// CFG bits.
const ICDIS: u32 = 1 << 1;
const DCDIS: u32 = 1 << 2;
/// MCFG.MODE.
const CYCLES: u32 = 0;
const CODE_HITS: u32 = 1;
const DATA_HITS: u32 = 2;

/// The register block and what the cache holds.
#[derive(Clone, Debug)]
pub(crate) struct Cmcc {
    cfg: u32,
    enabled: bool,
    lckway: u32,
    mcfg: u32,
    men: u32,
    /// MSR at `since`, if it counts cycles.
    count: u32,
    since: Instant,
    /// The core clock since then.
    hz: u32,
    pub(crate) tags: Tags,
}

impl Cmcc {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self {
            cfg: 0x20,
            enabled: false,
            lckway: 0,
            mcfg: 0,
            men: 0,
            count: 0,
            since: Instant::ZERO,
            hz: 0,
            tags: Tags::new(),
        }
    }

    /// Instructions come out of the cache (11.10: CTRL.CEN, CFG.ICDIS).
    pub(crate) fn caches_code(&self) -> bool {
        self.enabled && self.cfg & ICDIS == 0
    }

    /// Data comes out of the cache (11.10: CTRL.CEN, CFG.DCDIS).
    pub(crate) fn caches_data(&self) -> bool {
        self.enabled && self.cfg & DCDIS == 0
    }

    fn counts(&self, mode: u32) -> bool {
        self.men != 0 && self.mcfg == mode
    }

    /// The monitor counts hits of instructions.
    pub(crate) fn counts_code(&self) -> bool {
        self.counts(CODE_HITS)
    }

    /// The monitor counts hits of data.
    pub(crate) fn counts_data(&self) -> bool {
        self.counts(DATA_HITS)
    }

    /// A read was a hit.
    pub(crate) fn hit(&mut self, code: bool) {
        if if code { self.counts_code() } else { self.counts_data() } {
            self.count = self.count.wrapping_add(1);
        }
    }

    /// MSR.
    fn monitor(&self, cx: &Context<'_>) -> u32 {
        if !self.counts(CYCLES) {
            return self.count;
        }
        let nanos = u128::from(cx.now.since(self.since).as_nanos() as u64);
        // Cycles begin at whole nanoseconds, rounded down.
        let cycles = (nanos * u128::from(self.hz) + 500_000_000) / 1_000_000_000;
        self.count.wrapping_add(cycles as u32)
    }

    /// The monitor goes on from what it has, at the clock and in the mode that come next.
    fn anchor(&mut self, cx: &Context<'_>) {
        self.count = self.monitor(cx);
        self.since = cx.now;
        self.hz = cx.clocks.cpu;
    }

    /// Ways that CFG.CSIZESW leaves to the cache.
    fn ways(&self) -> usize {
        match self.cfg >> 4 & 7 {
            0 => 1,
            1 => 2,
            _ => 4,
        }
    }

    fn warn_if_enabled(&self, register: &str, cx: &mut Context<'_>) {
        if self.enabled {
            cx.violation(format!("CMCC.{register} written while the cache is enabled"));
        }
    }
}

impl Peripheral for Cmcc {
    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 => 0x12D2,
            0x04 => self.cfg,
            0x0C => u32::from(self.enabled),
            0x10 => self.lckway,
            0x28 => self.mcfg,
            0x2C => self.men,
            0x34 => self.monitor(cx),
            0x08 | 0x20 | 0x24 | 0x30 => 0,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x04 => {
                let before = self.ways();
                self.cfg = w.onto_masked(self.cfg, 0x76);
                if self.ways() != before {
                    self.warn_if_enabled("CFG.CSIZESW", cx);
                    self.tags.set_ways(self.ways());
                }
            }
            0x08 => self.enabled = w.value & 1 != 0,
            0x10 => {
                self.lckway = w.onto_masked(self.lckway, 15);
                self.tags.lock(self.lckway);
            }
            0x20 => {
                self.warn_if_enabled("MAINT0", cx);
                if w.value & 1 != 0 {
                    self.tags.invalidate();
                }
            }
            0x24 => {
                self.warn_if_enabled("MAINT1", cx);
                self.tags.invalidate_line((w.value >> 4 & 0xFF) as usize, (w.value >> 28) as usize);
            }
            0x28 => {
                self.anchor(cx);
                self.mcfg = w.onto_masked(self.mcfg, 3);
            }
            0x2C => {
                self.anchor(cx);
                self.men = w.onto_masked(self.men, 1);
            }
            0x30 => {
                if w.value & 1 != 0 {
                    self.anchor(cx);
                    self.count = 0;
                }
            }
            0x00 | 0x0C | 0x34 => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
        for line in self.tags.take_stale_code() {
            cx.signals.code_changed(line..line + LINE);
        }
    }

    fn reset(&mut self, _cause: ResetCause, cx: &mut Context<'_>) {
        self.tags.invalidate();
        for line in self.tags.take_stale_code() {
            cx.signals.code_changed(line..line + LINE);
        }
        self.tags.set_ways(tags::WAYS);
        self.tags.lock(0);
        let tags = std::mem::replace(&mut self.tags, Tags::new());
        *self = Self { since: cx.now, hz: cx.clocks.cpu, tags, ..Self::new() };
    }

    fn clocks_changed(&mut self, cx: &mut Context<'_>) {
        self.anchor(cx);
    }
}
