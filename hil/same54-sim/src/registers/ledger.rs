//! What the model makes of each block's registers, gathered from the blocks.

use super::Ledger;
use crate::{
    aes, analog, ccl, clocks, cmcc, dmac, dsu, eic, evsys, gmac, hmatrix, icm, nvmctrl, pac, pm, port, qspi, ramecc,
    rtc, sercom, supc, timer, trng,
};

/// The ledger of the kind of block called `block`.
pub(crate) fn ledger(block: &str) -> Ledger {
    match block {
        "AC" => analog::ac::LEDGER,
        "ADC0" => analog::adc::LEDGER,
        "AES" => aes::LEDGER,
        "CCL" => ccl::LEDGER,
        "CMCC" => cmcc::LEDGER,
        "DAC" => analog::dac::LEDGER,
        "DMAC" => dmac::LEDGER,
        "DSU" => dsu::LEDGER,
        "EIC" => eic::LEDGER,
        "EVSYS" => evsys::LEDGER,
        "FREQM" => crate::freqm::LEDGER,
        "GCLK" | "MCLK" | "RSTC" | "WDT" => Ledger::MODELLED,
        "GMAC" => gmac::LEDGER,
        "HMATRIX" => hmatrix::LEDGER,
        "ICM" => icm::LEDGER,
        "NVMCTRL" => nvmctrl::LEDGER,
        "OSC32KCTRL" => clocks::OSC32KCTRL_LEDGER,
        "OSCCTRL" => clocks::OSCCTRL_LEDGER,
        "PAC" => pac::LEDGER,
        "PM" => pm::LEDGER,
        "PORT" => port::LEDGER,
        "QSPI" => qspi::LEDGER,
        "RAMECC" => ramecc::LEDGER,
        "RTC" => rtc::LEDGER,
        "SERCOM0" => sercom::LEDGER,
        "SUPC" => supc::LEDGER,
        "TC0" => timer::tc::LEDGER,
        "TCC0" => timer::tcc::LEDGER,
        "TRNG" => trng::LEDGER,
        // Nothing but a `Stored`.
        _ => Ledger::STORED,
    }
}
