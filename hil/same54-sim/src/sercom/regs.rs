//! The registers that the SERCOM's modes share, and their synchronisation.

use std::time::Duration;

use sim_base::Instant;

use super::pads::Pin;
use crate::clocks::channel::SERCOM_CORE;
use crate::peripheral::{Context, Write};

pub(super) const ENABLE: u32 = 1 << 1;
/// SYNCBUSY bits.
pub(super) const SYNC_SWRST: u32 = 1 << 0;
pub(super) const SYNC_ENABLE: u32 = 1 << 1;
pub(super) const SYNC_CTRLB: u32 = 1 << 2;
/// SYSOP of the I2C host lies where CTRLB is elsewhere.
pub(super) const SYNC_SYSOP: u32 = 1 << 2;
pub(super) const SYNC_LENGTH: u32 = 1 << 4;
/// A write of what is enable-protected in CTRLB. Some drivers do so with every transfer.
const REPORTED_CTRLB: u8 = 1 << 7;
/// Periods of the core clock that a synchronisation takes (assumed).
const SYNC_PERIODS: u64 = 5;

/// CTRLA.MODE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    UsartExternal,
    UsartInternal,
    SpiClient,
    SpiHost,
    I2cClient,
    I2cHost,
}

/// Writable bits of a mode's registers, after the register definitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Masks {
    pub(super) ctrla: u32,
    pub(super) ctrlb: u32,
    pub(super) ctrlc: u32,
    /// The four bytes from BAUD on: BAUD and RXPL in the USART.
    pub(super) baud: u32,
    pub(super) int: u32,
    pub(super) length: u32,
    pub(super) addr: u32,
    /// CTRLB's bits that can be changed while enabled.
    pub(super) ctrlb_live: u32,
}

const USART: Masks = Masks {
    ctrla: 0x7FF3_E79F,
    ctrlb: 0x0303_2747,
    ctrlc: 0x0373_0F07,
    baud: 0x00FF_FFFF,
    int: 0xBF,
    length: 0x3FF,
    addr: 0,
    ctrlb_live: 0x0303_0000,
};
const SPI: Masks = Masks {
    ctrla: 0x7F33_019F,
    ctrlb: 0x0002_E247,
    ctrlc: 0x0100_003F,
    baud: 0xFF,
    int: 0x8F,
    length: 0x1FF,
    addr: 0x00FF_00FF,
    ctrlb_live: 0x0002_0000,
};
const I2C_CLIENT: Masks = Masks {
    ctrla: 0x4BB1_009F,
    ctrlb: 0x0007_C700,
    ctrlc: 0x0100_000F,
    baud: 0,
    int: 0x87,
    length: 0x1FF,
    addr: 0x07FE_87FF,
    ctrlb_live: 0x0007_0000,
};
const I2C_HOST: Masks = Masks {
    ctrla: 0x7BF1_009F,
    ctrlb: 0x0007_0300,
    ctrlc: 0x0100_0000,
    baud: u32::MAX,
    int: 0x83,
    length: 0,
    addr: 0x00FF_E7FF,
    ctrlb_live: 0x0007_0000,
};

/// The registers of one instance.
#[derive(Clone, Debug)]
pub(super) struct Regs {
    pub(super) n: usize,
    pub(super) ctrla: u32,
    pub(super) ctrlb: u32,
    pub(super) ctrlc: u32,
    pub(super) baud: u32,
    pub(super) inten: u32,
    /// Flags that stay until they are cleared; others follow the mode's state.
    pub(super) intflag: u32,
    pub(super) status: u32,
    pub(super) length: u32,
    pub(super) addr: u32,
    pub(super) dbgctrl: u32,
    /// Pins behind the pads.
    pub(super) pads: [Option<Pin>; 4],
    /// What has been reported already: the pads without a pin, and [`REPORTED_CTRLB`].
    reported: u8,
    sync: u32,
    sync_until: Instant,
}

impl Regs {
    pub(super) fn new(n: usize) -> Self {
        Self {
            n,
            ctrla: 0,
            ctrlb: 0,
            ctrlc: 0,
            baud: 0,
            inten: 0,
            intflag: 0,
            status: 0,
            length: 0,
            addr: 0,
            dbgctrl: 0,
            pads: [None; 4],
            reported: 0,
            sync: 0,
            sync_until: Instant::ZERO,
        }
    }

    /// As after a software reset; the pins stay.
    pub(super) fn restarted(&self) -> Self {
        Self { pads: self.pads, ..Self::new(self.n) }
    }

    pub(super) fn mode(&self) -> Mode {
        match self.ctrla >> 2 & 7 {
            0 => Mode::UsartExternal,
            2 => Mode::SpiClient,
            3 => Mode::SpiHost,
            4 => Mode::I2cClient,
            5 => Mode::I2cHost,
            _ => Mode::UsartInternal,
        }
    }

    pub(super) fn masks(&self) -> &'static Masks {
        match self.mode() {
            Mode::UsartExternal | Mode::UsartInternal => &USART,
            Mode::SpiClient | Mode::SpiHost => &SPI,
            Mode::I2cClient => &I2C_CLIENT,
            Mode::I2cHost => &I2C_HOST,
        }
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.ctrla & ENABLE != 0
    }

    /// The core clock, Hz; 0 while it stands still.
    pub(super) fn hz(&self, cx: &Context<'_>) -> u32 {
        cx.clocks.channel[SERCOM_CORE[self.n]]
    }

    /// Time of `count` periods of the core clock. Without a clock, forever.
    pub(super) fn periods(&self, count: u64, cx: &Context<'_>) -> Option<Duration> {
        let hz = self.hz(cx);
        (hz != 0).then(|| Duration::from_nanos((u128::from(count) * 1_000_000_000 / u128::from(hz)) as u64))
    }

    /// Whether the generic clock runs.
    pub(super) fn is_clocked(&self, cx: &Context<'_>) -> bool {
        self.periods(1, cx).is_some()
    }

    /// `bits` of SYNCBUSY go up. Without a generic clock they stay.
    pub(super) fn synchronise(&mut self, bits: u32, cx: &mut Context<'_>) {
        self.sync |= bits;
        self.sync_until = match self.periods(SYNC_PERIODS, cx) {
            Some(time) => cx.now + time,
            None => {
                cx.violation(format!("SERCOM{} synchronises without its generic clock: SYNCBUSY stays", self.n));
                Instant::NEVER
            }
        };
    }

    /// SYNCBUSY.
    pub(super) fn sync_busy(&self, cx: &Context<'_>) -> u32 {
        if cx.now < self.sync_until { self.sync } else { 0 }
    }

    /// A program polls SYNCBUSY.
    pub(super) fn read_sync_busy(&mut self, cx: &mut Context<'_>) -> u32 {
        if cx.now >= self.sync_until {
            self.sync = 0;
        }
        if self.sync != 0 {
            cx.steady_until(self.sync_until);
        }
        self.sync
    }

    /// The clock comes or changes while something synchronises.
    pub(super) fn clock_changed(&mut self, cx: &Context<'_>) {
        if cx.now < self.sync_until
            && let Some(time) = self.periods(SYNC_PERIODS, cx)
        {
            self.sync_until = cx.now + time;
        }
    }

    /// A write of CTRLA other than a software reset: while enabled, only ENABLE changes.
    pub(super) fn write_ctrla(&mut self, w: Write, cx: &mut Context<'_>) {
        let value = w.onto(self.ctrla) & !1;
        let changed = value ^ self.ctrla;
        if self.is_enabled() && changed & !ENABLE != 0 {
            if value & ENABLE != 0 {
                cx.violation(format!("SERCOM{}.CTRLA is enable-protected: {value:#x} dropped", self.n));
            }
            self.ctrla ^= changed & ENABLE;
        } else {
            self.ctrla = value;
            // The mode decides what the rest means.
            self.ctrla &= self.masks().ctrla;
        }
        if changed & ENABLE != 0 {
            self.synchronise(SYNC_ENABLE, cx);
        }
    }

    /// A write of CTRLB; gives the bits that the program wrote.
    pub(super) fn write_ctrlb(&mut self, w: Write, cx: &mut Context<'_>) {
        let masks = self.masks();
        let value = w.onto_masked(self.ctrlb, masks.ctrlb);
        let protected = (value ^ self.ctrlb) & !masks.ctrlb_live;
        if self.is_enabled() && protected != 0 {
            if self.reported & REPORTED_CTRLB == 0 {
                self.reported |= REPORTED_CTRLB;
                cx.violation(format!("SERCOM{}.CTRLB is enable-protected: bits {protected:#x} dropped", self.n));
            }
            self.ctrlb ^= (value ^ self.ctrlb) & masks.ctrlb_live;
        } else {
            self.ctrlb = value;
        }
    }

    /// A write of one of the registers that are enable-protected as a whole. False if it was dropped.
    pub(super) fn may_configure(&self, what: &str, cx: &mut Context<'_>) -> bool {
        if self.is_enabled() {
            cx.violation(format!("SERCOM{}.{what} is enable-protected: write dropped", self.n));
        }
        !self.is_enabled()
    }

    /// The pin behind `pad`; says once that there is none, for `signal`.
    pub(super) fn pin(&mut self, pad: usize, signal: &str, cx: &mut Context<'_>) -> Option<Pin> {
        let pin = self.pads[pad];
        if pin.is_none() && self.reported >> pad & 1 == 0 {
            self.reported |= 1 << pad;
            cx.violation(format!("SERCOM{}: {signal} is on PAD[{pad}], which no pin is multiplexed to", self.n));
        }
        pin
    }
}
