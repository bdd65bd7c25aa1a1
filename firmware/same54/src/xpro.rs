//! The board: which pins and controllers a SAM E54 Xplained Pro has, taken once.

use atsamd_hal::gpio::Pins;
use atsamd_hal::pac;
use cortex_m::peripheral::{DCB, DWT, MPU, NVIC};

use crate::brown_out;
use crate::cache;
use crate::clock::{self, RtcSource};
use crate::delay::SysTickDelay;
#[cfg(feature = "net")]
use crate::gmac::EthernetPort;
use crate::icm::Icm;
use crate::led::Led;
use crate::qspi::QspiPort;
use crate::reset::{self, ResetCause};
use crate::trng::Trng;
use crate::uart::UartPort;
use crate::watchdog::Watchdog;

/// The name that an image's header and a deployment's compatibility check know this board by.
pub const BOARD_NAME: &str = "same54-xpro";

/// Everything on the board that has a driver, with the core at 120 MHz.
pub struct Board {
    /// Why the chip was reset.
    pub reset_cause: ResetCause,
    /// Whether the brown-out detector is on watch: it resets the chip when the supply sags below 2.7 V.
    pub brown_out_guarded: bool,
    /// Waits asleep on SysTick.
    pub delay: SysTickDelay,
    /// LED0.
    pub led: Led,
    /// Port of the external flash, for [`Nor::new`](crate::nor::Nor::new).
    pub qspi: QspiPort,
    /// Controller of the internal flash, for [`Nvm::new`](crate::nvm::Nvm::new).
    pub nvmctrl: pac::Nvmctrl,
    /// The watchdog, as the previous program left it.
    pub watchdog: Watchdog,
    /// True random numbers.
    pub trng: Trng,
    /// Hashes memory.
    pub icm: Icm,
    /// The EDBG's virtual COM port, off.
    pub uart: UartPort,
    /// Ethernet: controller, pins, PHY reset.
    #[cfg(feature = "net")]
    pub ethernet: EthernetPort,
    /// The real-time counter.
    pub rtc: RtcPort,
    /// Cycle counter.
    pub dwt: DWT,
    /// Switches tracing (and with it the cycle counter) on.
    pub dcb: DCB,
    /// The interrupt controller.
    pub nvic: NVIC,
    /// The memory protection unit, off.
    pub mpu: MPU,
}

/// The RTC, not yet clocked.
pub struct RtcPort {
    #[cfg(feature = "time")]
    pub(crate) rtc: pac::Rtc,
    pub(crate) osc32kctrl: pac::Osc32kctrl,
    pub(crate) mclk: pac::Mclk,
}

impl RtcPort {
    /// Selects the RTC's clock: the crystal, or the internal oscillator if the crystal does not start.
    pub fn start_clock(&mut self, delay: &mut SysTickDelay) -> RtcSource {
        self.mclk.apbamask().modify(|_, w| w.rtc_().set_bit());
        clock::select_rtc_clock(&mut self.osc32kctrl, delay)
    }
}

impl Board {
    /// Takes the board, switches the core to 120 MHz, and cache and brown-out detector on. `None` from the second call on.
    pub fn take() -> Option<Self> {
        let core = cortex_m::Peripherals::take()?;
        let mut p = pac::Peripherals::take()?;
        let reset_cause = reset::cause(&p.rstc);
        let brown_out_guarded = brown_out::guard_flash(&p.supc);
        clock::run_at_120_mhz(p.gclk, &mut p.mclk, &mut p.osc32kctrl, &mut p.oscctrl, &mut p.nvmctrl);
        cache::start(&p.cmcc);
        let pins = Pins::new(p.port);
        let qspi = QspiPort::new(p.qspi, &mut p.mclk, pins.pb10, pins.pb11, pins.pa08, pins.pa09, pins.pa10, pins.pa11);
        Some(Self {
            reset_cause,
            brown_out_guarded,
            delay: SysTickDelay::new(core.SYST),
            led: Led::new(pins.pc18),
            qspi,
            nvmctrl: p.nvmctrl,
            watchdog: Watchdog::new(p.wdt, &mut p.mclk),
            trng: Trng::new(p.trng, &mut p.mclk),
            icm: Icm::new(p.icm, &mut p.mclk),
            uart: UartPort::new(p.sercom2, pins.pb25, pins.pb24),
            #[cfg(feature = "net")]
            ethernet: EthernetPort {
                gmac: p.gmac,
                pins: crate::gmac::EthernetPins::new(
                    pins.pa12,
                    pins.pa13,
                    pins.pa14,
                    pins.pa15,
                    pins.pa17,
                    pins.pa18,
                    pins.pa19,
                    pins.pc11,
                    pins.pc12,
                    pins.pc20,
                    pins.pc21,
                    &mut p.mclk,
                ),
            },
            rtc: RtcPort {
                #[cfg(feature = "time")]
                rtc: p.rtc,
                osc32kctrl: p.osc32kctrl,
                mclk: p.mclk,
            },
            dwt: core.DWT,
            dcb: core.DCB,
            nvic: core.NVIC,
            mpu: core.MPU,
        })
    }
}
