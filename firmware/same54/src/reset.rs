//! Why the chip was reset, and resetting it (SAM D5x/E5x datasheet, chapter 17 RSTC; ARMv7-M ARM B1.5.16).

use atsamd_hal::pac;

/// RSTC.RCAUSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ResetCause {
    /// POR: power-on.
    PowerOn,
    /// BODCORE or BODVDD: brown-out.
    BrownOut,
    /// NVM: bank swap.
    Nvm,
    /// EXT: RESETN pin.
    External,
    /// WDT: watchdog.
    Watchdog,
    /// SYST: system reset request.
    System,
    /// BACKUP: left backup mode.
    Backup,
    /// No bit is set.
    Unknown,
}

impl ResetCause {
    /// A word for a log line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PowerOn => "power-on",
            Self::BrownOut => "brown-out",
            Self::Nvm => "bank swap",
            Self::External => "reset pin",
            Self::Watchdog => "watchdog",
            Self::System => "system reset request",
            Self::Backup => "backup",
            Self::Unknown => "unknown",
        }
    }
}

pub(crate) fn cause(rstc: &pac::Rstc) -> ResetCause {
    let cause = rstc.rcause().read();
    if cause.por().bit_is_set() {
        ResetCause::PowerOn
    } else if cause.bodcore().bit_is_set() || cause.bodvdd().bit_is_set() {
        ResetCause::BrownOut
    } else if cause.wdt().bit_is_set() {
        ResetCause::Watchdog
    } else if cause.syst().bit_is_set() {
        ResetCause::System
    } else if cause.ext().bit_is_set() {
        ResetCause::External
    } else if cause.nvm().bit_is_set() {
        ResetCause::Nvm
    } else if cause.backup().bit_is_set() {
        ResetCause::Backup
    } else {
        ResetCause::Unknown
    }
}

/// Resets the chip through AIRCR.SYSRESETREQ.
pub fn system_reset() -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
