//! PM: power manager (SAM D5x/E5x datasheet, 18).
//!
//! Fidelity: idle, standby, hibernate, backup and off are modelled. Standby stops the core with SysTick and CYCCNT and
//! the generic clocks of blocks without RUNSTDBY; the Ethernet controller is deaf; any enabled interrupt wakes, at once
//! (assumed). RTC, WDT and EIC go on. Hibernate and backup leave the backup domain; an RTC interrupt ends them with a
//! backup reset, and BKUPEXIT says so; only RESETN or the supply ends off. RAM and backup RAM keep what STDBYCFG,
//! HIBCFG and BKUPCFG say; lost parts are pseudo-random afterwards. IORET keeps the pins as they were until it is
//! cleared. The backup regulator is ready (SLEEPRDY) with the supply and not again after hibernate or backup. DMA and
//! events do not stop in standby (sleep-walking); fast wake-up and PWSAKDLY are stored only.

use armv7m::Size;

use crate::event::ResetCause;
use crate::memory::{BACKUP_SIZE, RAM_SIZE};
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["PWSAKDLY"], absent: &[] };

const IORET: u32 = 1 << 2;
const SLEEPRDY: u32 = 1;

/// A sleep mode that stops more than the core's execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sleep {
    Standby,
    Hibernate,
    Backup,
    Off,
}

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Pm {
    ctrla: u32,
    sleepcfg: u32,
    inten: u32,
    intflag: u32,
    stdbycfg: u32,
    hibcfg: u32,
    bkupcfg: u32,
    pwsakdly: u32,
    asleep: Option<Sleep>,
}

impl Pm {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self {
            ctrla: 0,
            sleepcfg: 2,
            inten: 0,
            intflag: 0,
            stdbycfg: 0,
            hibcfg: 0,
            bkupcfg: 0,
            pwsakdly: 0,
            asleep: None,
        }
    }

    /// The mode that the chip is in, unless it is awake or idle.
    pub(crate) fn asleep(&self) -> Option<Sleep> {
        self.asleep
    }

    /// The mode that SLEEPCFG selects, unless it is idle.
    pub(crate) fn selected(&self) -> Option<Sleep> {
        match self.sleepcfg {
            4 => Some(Sleep::Standby),
            5 => Some(Sleep::Hibernate),
            6 => Some(Sleep::Backup),
            7 => Some(Sleep::Off),
            _ => None,
        }
    }

    /// The chip goes to sleep; returns how many bytes of RAM and of backup RAM keep their contents (18.8.7 to 18.8.9).
    pub(crate) fn fall_asleep(&mut self, mode: Sleep) -> (u32, u32) {
        self.asleep = Some(mode);
        let kept = |field: u32, all: u32, part: u32| match field & 3 {
            0 => all,
            1 => part,
            _ => 0,
        };
        if matches!(mode, Sleep::Hibernate | Sleep::Backup) {
            self.intflag &= !SLEEPRDY;
        }
        match mode {
            Sleep::Standby => (kept(self.stdbycfg, RAM_SIZE, 0x8000), BACKUP_SIZE),
            Sleep::Hibernate => (kept(self.hibcfg, RAM_SIZE, 0x8000), kept(self.hibcfg >> 2, BACKUP_SIZE, 0x1000)),
            Sleep::Backup => (0, kept(self.bkupcfg, BACKUP_SIZE, 0x1000)),
            Sleep::Off => (0, 0),
        }
    }

    /// Standby ends.
    pub(crate) fn wake_up(&mut self) {
        self.asleep = None;
    }

    /// Whether pins keep their state after hibernate and backup.
    pub(crate) fn retains_pins(&self) -> bool {
        self.ctrla & IORET != 0
    }
}

impl Peripheral for Pm {
    fn width(&self, _offset: u32) -> Size {
        Size::Byte
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 => self.ctrla,
            0x01 => self.sleepcfg,
            0x04 | 0x05 => self.inten,
            0x06 => self.intflag,
            0x08 => self.stdbycfg,
            0x09 => self.hibcfg,
            0x0A => self.bkupcfg,
            0x12 => self.pwsakdly,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x00 => self.ctrla = w.value & IORET,
            0x01 => self.sleepcfg = w.value & 7,
            0x04 => self.inten &= !w.value,
            0x05 => self.inten |= w.value & 1,
            0x06 => self.intflag &= !w.value,
            0x08 => self.stdbycfg = w.value & 0x33,
            0x09 => self.hibcfg = w.value & 0x0F,
            0x0A => self.bkupcfg = w.value & 3,
            0x12 => self.pwsakdly = w.value & 0xFF,
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, cause: ResetCause, _cx: &mut Context<'_>) {
        let (ioret, ready) = if cause.is_supply() { (0, SLEEPRDY) } else { (self.ctrla & IORET, self.intflag) };
        *self = Self { ctrla: ioret, intflag: ready, ..Self::new() };
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag)
    }
}
