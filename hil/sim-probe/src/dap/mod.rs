//! The debug access port of the SAM E54: an ADIv5.1 serial-wire debug port and one AHB access port.
//!
//! Fidelity: register behaviour, power-up handshake, sticky errors and FAULT responses follow the ADIv5 specification
//! (Arm IHI 0031), identification values the SAM D5x/E5x datasheet (section 12, DSU) and the Cortex-M4 TRM
//! (Arm DDI 0439). A transfer here is complete when it returns, as CMSIS-DAP presents it: posted reads, WAIT
//! responses, overrun detection, pushed verify and compare (CTRL/STAT.TRNMODE) and the wire itself are not modelled.

mod ahb_ap;

use armv7m::{BusFault, Size};

use ahb_ap::AhbAp;

/// What the debug port reaches: the chip behind it.
pub trait Target {
    /// Whether the chip has supply; without it nothing answers and the debug port forgets its state.
    fn is_powered(&self) -> bool;

    /// A read through the AHB-AP, aligned to `size`.
    fn read(&mut self, addr: u32, size: Size) -> Result<u32, BusFault>;

    /// A write through the AHB-AP, aligned to `size`.
    fn write(&mut self, addr: u32, size: Size, value: u32) -> Result<(), BusFault>;
}

/// Answers to a transfer other than OK (ADIv5 section B4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nak {
    /// FAULT: a sticky flag is set; ABORT clears it.
    Fault,
    /// Nobody drives the line: the chip has no supply.
    NoAnswer,
}

/// Which register file a transfer addresses (bit APnDP of the request).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Debug port.
    Dp,
    /// The access port that SELECT names.
    Ap,
}

/// DPIDR: designer Arm, version 1, minimal debug port, part 0xBA, revision 2.
pub const DPIDR: u32 = 0x2BA0_1477;

/// ABORT (write, address 0x0).
mod abort {
    pub const STKCMPCLR: u32 = 1 << 1;
    pub const STKERRCLR: u32 = 1 << 2;
    pub const WDERRCLR: u32 = 1 << 3;
    pub const ORUNERRCLR: u32 = 1 << 4;
}

/// CTRL/STAT (address 0x4, bank 0).
mod ctrl {
    pub const ORUNDETECT: u32 = 1 << 0;
    pub const STICKYORUN: u32 = 1 << 1;
    pub const TRNMODE: u32 = 0b11 << 2;
    pub const STICKYCMP: u32 = 1 << 4;
    pub const STICKYERR: u32 = 1 << 5;
    pub const READOK: u32 = 1 << 6;
    pub const WDATAERR: u32 = 1 << 7;
    pub const MASKLANE: u32 = 0xF << 8;
    pub const TRNCNT: u32 = 0xFFF << 12;
    pub const CDBGRSTREQ: u32 = 1 << 26;
    pub const CDBGPWRUPREQ: u32 = 1 << 28;
    pub const CDBGPWRUPACK: u32 = 1 << 29;
    pub const CSYSPWRUPREQ: u32 = 1 << 30;

    /// The bits that a debugger sets; the rest is status.
    pub const WRITABLE: u32 = ORUNDETECT | TRNMODE | MASKLANE | TRNCNT | CDBGRSTREQ | CDBGPWRUPREQ | CSYSPWRUPREQ;
    pub const STICKY: u32 = STICKYORUN | STICKYCMP | STICKYERR | WDATAERR;
}

/// DLCR (address 0x4, bank 1): synchronous wire mode, turnaround of one cycle.
const DLCR: u32 = 0x40;

/// The debug port and its access port.
#[derive(Clone, Debug)]
pub struct DebugPort {
    /// The writable part of CTRL/STAT and its sticky flags.
    ctrl: u32,
    select: u32,
    /// Result of the last AP read, for RDBUFF and RESEND.
    last_read: u32,
    ap: AhbAp,
}

impl Default for DebugPort {
    fn default() -> Self {
        Self::new()
    }
}

impl DebugPort {
    /// A debug port after power-on: everything off.
    pub fn new() -> Self {
        Self { ctrl: 0, select: 0, last_read: 0, ap: AhbAp::new() }
    }

    /// Where the next access to DRW goes: TAR, if SELECT and `addr` (bits 3:2 of the register) name DRW of AP 0.
    pub fn drw_target(&self, port: Port, addr: u8) -> Option<u32> {
        let drw = port == Port::Ap && self.select >> 24 == 0 && self.ap_register(addr) == ahb_ap::DRW;
        drw.then(|| self.ap.tar())
    }

    /// Reads the register at `addr` (bits 3:2 count).
    pub fn read<T: Target>(&mut self, target: &mut T, port: Port, addr: u8) -> Result<u32, Nak> {
        self.check_supply(target)?;
        match (port, addr & 0xC) {
            (Port::Dp, 0x0) => Ok(DPIDR),
            (Port::Dp, 0x4) => Ok(match self.select & 0xF {
                0 => self.ctrl_stat(),
                1 => DLCR,
                _ => 0,
            }),
            // RESEND and RDBUFF: both give the last AP read again.
            (Port::Dp, _) => {
                self.check_sticky()?;
                Ok(self.last_read)
            }
            (Port::Ap, _) => {
                self.check_ap_access()?;
                // Where no access port is, everything reads as zero (IDR included).
                let value = if self.select >> 24 == 0 {
                    self.ap.read(target, self.ap_register(addr)).map_err(|BusFault| self.stick())?
                } else {
                    0
                };
                self.ctrl |= ctrl::READOK;
                self.last_read = value;
                Ok(value)
            }
        }
    }

    /// Writes the register at `addr` (bits 3:2 count).
    pub fn write<T: Target>(&mut self, target: &mut T, port: Port, addr: u8, value: u32) -> Result<(), Nak> {
        self.check_supply(target)?;
        match (port, addr & 0xC) {
            (Port::Dp, 0x0) => {
                for (clear, flag) in [
                    (abort::STKCMPCLR, ctrl::STICKYCMP),
                    (abort::STKERRCLR, ctrl::STICKYERR),
                    (abort::WDERRCLR, ctrl::WDATAERR),
                    (abort::ORUNERRCLR, ctrl::STICKYORUN),
                ] {
                    if value & clear != 0 {
                        self.ctrl &= !flag;
                    }
                }
                Ok(())
            }
            (Port::Dp, 0x4) => {
                self.check_sticky()?;
                if self.select & 0xF == 0 {
                    self.ctrl = (self.ctrl & !ctrl::WRITABLE) | (value & ctrl::WRITABLE);
                }
                Ok(())
            }
            (Port::Dp, 0x8) => {
                self.check_sticky()?;
                self.select = value;
                Ok(())
            }
            // TARGETSEL is for multi-drop ports of version 2.
            (Port::Dp, _) => Ok(()),
            (Port::Ap, _) => {
                self.check_ap_access()?;
                if self.select >> 24 == 0 {
                    self.ap.write(target, self.ap_register(addr), value).map_err(|BusFault| self.stick())?;
                }
                Ok(())
            }
        }
    }

    /// Bits 7:0 of an AP register's address: bank from SELECT, bits 3:2 from the request.
    fn ap_register(&self, addr: u8) -> u8 {
        (self.select & 0xF0) as u8 | (addr & 0xC)
    }

    /// CTRL/STAT as read: the power domains acknowledge at once, and drop the acknowledge with the request.
    fn ctrl_stat(&self) -> u32 {
        let requests = self.ctrl & (ctrl::CDBGRSTREQ | ctrl::CDBGPWRUPREQ | ctrl::CSYSPWRUPREQ);
        self.ctrl | requests << 1
    }

    fn check_supply<T: Target>(&mut self, target: &T) -> Result<(), Nak> {
        if target.is_powered() {
            return Ok(());
        }
        *self = Self::new();
        Err(Nak::NoAnswer)
    }

    fn check_sticky(&self) -> Result<(), Nak> {
        if self.ctrl & ctrl::STICKY != 0 { Err(Nak::Fault) } else { Ok(()) }
    }

    /// An AP access while a sticky flag is set, or without debug power, is answered with FAULT.
    fn check_ap_access(&mut self) -> Result<(), Nak> {
        self.check_sticky()?;
        if self.ctrl_stat() & ctrl::CDBGPWRUPACK == 0 {
            return Err(self.stick());
        }
        Ok(())
    }

    /// The access failed: STICKYERR stays until ABORT clears it.
    fn stick(&mut self) -> Nak {
        self.ctrl = (self.ctrl | ctrl::STICKYERR) & !ctrl::READOK;
        Nak::Fault
    }
}

#[cfg(test)]
mod tests;
