//! The clock tree: which part runs at which frequency.
//!
//! Fidelity: sources, generators, channels and dividers are modelled as far as they decide frequencies and ready bits.
//! An enabled generator asks for its source whether or not somebody uses it (assumed).
//! Start-up times are typical figures of the datasheet's electrical characteristics where it has them, else assumed.

use sim_base::Instant;

mod gclk;
mod mclk;
mod osc32kctrl;
mod oscctrl;

pub(crate) use gclk::Gclk;
pub(crate) use mclk::Mclk;
pub(crate) use osc32kctrl::{LEDGER as OSC32KCTRL_LEDGER, Osc32kctrl};
pub(crate) use oscctrl::{LEDGER as OSCCTRL_LEDGER, Oscctrl};

/// Frequencies in Hz; 0 is a clock that stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frequencies {
    /// Core, AHB and APB: generator 0 divided by MCLK.CPUDIV.
    pub(crate) cpu: u32,
    /// The twelve generic clock generators.
    pub(crate) generator: [u32; 12],
    /// The 48 peripheral channels.
    pub(crate) channel: [u32; 48],
    /// The two DPLLs.
    pub(crate) dpll: [u32; 2],
    /// CLK_RTC_OSC.
    pub(crate) rtc: u32,
    /// MCLK.AHBMASK.
    pub(crate) ahb_mask: u32,
    /// MCLK.APBAMASK to APBDMASK.
    pub(crate) apb_mask: [u32; 4],
}

impl Frequencies {
    /// After a power-on or system reset: 48 MHz from the free-running DFLL.
    pub(crate) fn after_reset() -> Self {
        let mut generator = [0; 12];
        generator[0] = 48_000_000;
        Self {
            cpu: 48_000_000,
            generator,
            channel: [0; 48],
            dpll: [0; 2],
            rtc: 1_024,
            ahb_mask: mclk::AHBMASK_RESET,
            apb_mask: mclk::APBMASK_RESET,
        }
    }
}

/// Numbers of peripheral channels (datasheet 14, table "PCHCTRLm Mapping").
pub(crate) mod channel {
    /// DFLL reference.
    pub(crate) const DFLL: usize = 0;
    /// DPLL0 reference.
    pub(crate) const DPLL0: usize = 1;
    /// DPLL1 reference.
    pub(crate) const DPLL1: usize = 2;
    /// EIC.
    pub(crate) const EIC: usize = 4;
    /// SERCOM0 to SERCOM7 cores.
    pub(crate) const SERCOM_CORE: [usize; 8] = [7, 8, 23, 24, 34, 35, 36, 37];
    /// TC0 to TC7, in pairs.
    pub(crate) const TC: [usize; 8] = [9, 9, 26, 26, 30, 30, 39, 39];
    /// ADC0 and ADC1.
    pub(crate) const ADC: [usize; 2] = [40, 41];
}

/// Tells the oscillators who asks for them. A generator asks for its source while it is enabled, whoever uses it
/// (assumed: the chip asks only while somebody uses the generator); a PLL for its reference while it runs; the RTC for
/// the clock that RTCCTRL selects. True if that changes what runs.
pub(crate) fn request(gclk: &Gclk, oscctrl: &mut Oscctrl, osc32kctrl: &mut Osc32kctrl, now: Instant) -> bool {
    let mut changed = false;
    // A PLL that starts asks for its reference.
    for _ in 0..2 {
        let mut requests = oscctrl::Requests::default();
        let mut xosc32k = false;
        for n in 0..12 {
            match gclk.asks(n) {
                Some(n @ (0 | 1)) => requests.xosc[usize::from(n)] = true,
                Some(5) => xosc32k = true,
                Some(6) => requests.dfll = true,
                Some(n @ (7 | 8)) => requests.dpll[usize::from(n) - 7] = true,
                _ => {}
            }
        }
        for n in 0..2 {
            match oscctrl.dpll_asks(n) {
                Some(2) => xosc32k = true,
                Some(xosc) => requests.xosc[xosc] = true,
                None => {}
            }
        }
        changed |= oscctrl.set_requests(requests, now);
        changed |= osc32kctrl.set_requested(xosc32k, now);
    }
    changed
}

/// What the four blocks say together.
pub(crate) fn resolve(gclk: &mut Gclk, oscctrl: &Oscctrl, osc32kctrl: &Osc32kctrl, mclk: &Mclk) -> Frequencies {
    let mut generator = [0; 12];
    let xosc32k = osc32kctrl.xosc32k_hz();
    // A DPLL may refer to a generator's channel and a generator to a DPLL; the chip's start-up order breaks the
    // circle, here two rounds do. Generator 1 may feed the others, so it is worked out first.
    let mut dpll = [0; 2];
    let mut sources = [0; 12];
    for _ in 0..3 {
        let reference = gclk.channel_hz(channel::DFLL, &generator);
        for n in [1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] {
            let hz = |source| match source {
                0 | 1 => oscctrl.xosc_hz(usize::from(source)),
                3 if n != 1 => generator[1],
                4 => osc32kctrl::OSCULP32K_HZ,
                5 => xosc32k,
                6 => oscctrl.dfll_hz(reference),
                7 => dpll[0],
                8 => dpll[1],
                _ => 0,
            };
            sources[n] = gclk.choose_source(n, |source| hz(source) != 0);
            generator[n] = gclk.divide(n, hz(sources[n]));
        }
        for (n, channel) in [channel::DPLL0, channel::DPLL1].into_iter().enumerate() {
            dpll[n] = oscctrl.dpll_hz(n, gclk.channel_hz(channel, &generator), xosc32k);
        }
    }
    gclk.run_from(sources);
    let channel = std::array::from_fn(|n| gclk.channel_hz(n, &generator));
    Frequencies {
        cpu: generator[0] / mclk.cpu_divider(),
        generator,
        channel,
        dpll,
        rtc: osc32kctrl.rtc_hz(),
        ahb_mask: mclk.ahb_mask(),
        apb_mask: mclk.apb_masks(),
    }
}

#[cfg(test)]
mod tests;
