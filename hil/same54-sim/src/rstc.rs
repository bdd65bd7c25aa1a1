//! RSTC: reset controller (SAM D5x/E5x datasheet, 17).
//!
//! Fidelity: RCAUSE is modelled for every reset that the board can make; BKUPEXIT tells what ended hibernate or backup
//! mode: the RTC, or the main supply's return.

use armv7m::Size;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};

/// BKUPEXIT bits.
const RTC: u32 = 1 << 1;
const BBPS: u32 = 1 << 2;
const HIB: u32 = 1 << 7;

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Rstc {
    rcause: u32,
    bkupexit: u32,
}

impl Rstc {
    /// Before the first reset.
    pub(crate) fn new() -> Self {
        Self { rcause: 0, bkupexit: 0 }
    }

    /// The next reset leaves backup mode; by the battery backup power switch or not.
    pub(crate) fn set_backup_exit(&mut self, by_power_switch: bool) {
        self.bkupexit = if by_power_switch { BBPS } else { 0 };
    }

    /// The next reset ends hibernate or backup mode because of the RTC.
    pub(crate) fn set_sleep_exit(&mut self, hibernated: bool) {
        self.bkupexit = RTC | if hibernated { HIB } else { 0 };
    }
}

impl Peripheral for Rstc {
    fn width(&self, _offset: u32) -> Size {
        Size::Byte
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 => self.rcause,
            0x01 => 0,
            0x02 => self.bkupexit,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, _offset: u32, _w: Write, _cx: &mut Context<'_>) {}

    fn reset(&mut self, cause: ResetCause, _cx: &mut Context<'_>) {
        if cause != ResetCause::Backup {
            self.bkupexit = 0;
        }
        self.rcause = match cause {
            ResetCause::PowerOn => 1 << 0,
            ResetCause::BrownOut => 1 << 2,
            ResetCause::Nvm => 1 << 3,
            ResetCause::External => 1 << 4,
            ResetCause::Watchdog => 1 << 5,
            ResetCause::System => 1 << 6,
            ResetCause::Backup => 1 << 7,
        };
    }
}
