//! The clock tree: core and buses at 120 MHz, 32.768 kHz for the RTC.

use atsamd_hal::clock::GenericClockController;
use atsamd_hal::pac;
use embedded_hal::delay::DelayNs;

/// Core and bus clock from [`Board::take`](crate::Board::take) on, Hz.
pub const CORE_HZ: u32 = 120_000_000;

/// Switches the core from the 48 MHz that it leaves reset with to 120 MHz: DFLL48M -> GCLK5 (2 MHz) -> DPLL0 -> GCLK0.
///
/// Reference is the open-loop DFLL, which needs no crystal and so never waits for one. A core that a bootloader has
/// switched already is left as it is: DPLL0 must not be set up while it runs (28.6.5, enable-protected).
pub(crate) fn run_at_120_mhz(
    gclk: pac::Gclk,
    mclk: &mut pac::Mclk,
    osc32kctrl: &mut pac::Osc32kctrl,
    oscctrl: &mut pac::Oscctrl,
    nvmctrl: &mut pac::Nvmctrl,
) {
    let pll = oscctrl.dpll(0);
    let is_running = gclk.genctrl(0).read().src().is_dpll0()
        && pll.dpllstatus().read().lock().bit_is_set()
        && pll.dpllratio().read().ldr().bits() == DPLL_RATIO;
    if !is_running {
        GenericClockController::with_internal_32kosc(gclk, mclk, osc32kctrl, oscctrl, nvmctrl);
    }
}

/// DPLL0's multiplier less one, as atsamd-hal sets it: 2 MHz * 60.
const DPLL_RATIO: u16 = 59;

/// What drives the RTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RtcSource {
    /// The board's 32.768 kHz crystal.
    Crystal,
    /// OSCULP32K, some percent off: the crystal did not start.
    Internal,
}

/// The start-up counter of XOSC32K below is 0.5 s, a dead crystal is given four times that, milliseconds.
const CRYSTAL_WAIT_MS: u32 = 2_000;

/// Starts the crystal and selects it for the RTC; falls back to the internal oscillator if it does not start.
///
/// A crystal that already runs (the controller survives a core reset) is taken at once.
pub(crate) fn select_rtc_clock(osc32kctrl: &mut pac::Osc32kctrl, delay: &mut impl DelayNs) -> RtcSource {
    osc32kctrl.xosc32k().write(|w| {
        w.ondemand().clear_bit();
        w.runstdby().set_bit();
        w.en32k().set_bit();
        w.xtalen().set_bit();
        w.cgm().xt();
        // 16384 cycles of 32.768 kHz: the crystal's own start-up time is a few hundred milliseconds.
        w.startup().cycle16384();
        w.enable().set_bit()
    });
    for _ in 0..CRYSTAL_WAIT_MS / 10 {
        if osc32kctrl.status().read().xosc32krdy().bit_is_set() {
            osc32kctrl.rtcctrl().write(|w| w.rtcsel().xosc32k());
            return RtcSource::Crystal;
        }
        delay.delay_ms(10);
    }
    osc32kctrl.rtcctrl().write(|w| w.rtcsel().ulp32k());
    RtcSource::Internal
}
