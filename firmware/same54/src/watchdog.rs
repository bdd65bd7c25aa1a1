//! The watchdog (SAM D5x/E5x datasheet, chapter 20), clocked by the internal 1.024 kHz oscillator.

use atsamd_hal::pac;
use pac::wdt::config::Perselect;

/// CLEAR's key; any other value resets the chip at once.
const CLEAR_KEY: u8 = 0xA5;

/// The watchdog, which a bootloader starts for a trial and the application then feeds.
pub struct Watchdog {
    wdt: pac::Wdt,
}

impl Watchdog {
    pub(crate) fn new(wdt: pac::Wdt, mclk: &mut pac::Mclk) -> Self {
        mclk.apbamask().modify(|_, w| w.wdt_().set_bit());
        Self { wdt }
    }

    /// Starts it with its longest period: 16384 cycles of 1.024 kHz, 16 s.
    ///
    /// Has no effect if it already runs: a running watchdog keeps its period.
    pub fn start_16_s(&mut self) {
        if self.is_running() {
            return;
        }
        self.wdt.config().write(|w| w.per().variant(Perselect::Cyc16384));
        self.wdt.ctrla().write(|w| w.enable().set_bit());
        while self.wdt.syncbusy().read().enable().bit_is_set() {}
    }

    /// Stops it. Has no effect if ALWAYSON is set.
    pub fn stop(&mut self) {
        if !self.is_running() {
            return;
        }
        self.wdt.ctrla().modify(|_, w| w.enable().clear_bit());
        while self.wdt.syncbusy().read().enable().bit_is_set() {}
    }

    /// Whether it counts.
    pub fn is_running(&self) -> bool {
        let ctrla = self.wdt.ctrla().read();
        ctrla.enable().bit_is_set() || ctrla.alwayson().bit_is_set()
    }

    /// Starts the period anew, if it runs.
    pub fn feed(&mut self) {
        // A CLEAR that is still being synchronised does the same job.
        if self.is_running() && self.wdt.syncbusy().read().clear().bit_is_clear() {
            // SAFETY: the documented key; a wrong one would reset the chip.
            self.wdt.clear().write(|w| unsafe { w.clear().bits(CLEAR_KEY) });
        }
    }
}
