//! The register blocks of the chip, and what the board wires to them.

use sim_base::Rng;

use crate::aes::Aes;
use crate::analog::ac::Ac;
use crate::analog::adc::Adc;
use crate::analog::dac::Dac;
use crate::at24mac402::At24mac402;
use crate::ccl::Ccl;
use crate::clocks::{Gclk, Mclk, Osc32kctrl, Oscctrl};
use crate::cmcc::Cmcc;
use crate::dmac::Dmac;
use crate::dsu::Dsu;
use crate::eic::Eic;
use crate::evsys::Evsys;
use crate::freqm::Freqm;
use crate::gmac::Gmac;
use crate::hmatrix::Hmatrix;
use crate::icm::Icm;
use crate::map::Id;
use crate::nvmctrl::Nvmctrl;
use crate::pac::Pac;
use crate::peripheral::Peripheral;
use crate::pm::Pm;
use crate::port::Port;
use crate::pukcc::Pukcc;
use crate::qspi::Qspi;
use crate::ramecc::Ramecc;
use crate::rstc::Rstc;
use crate::rtc::Rtc;
use crate::sercom::Sercom;
use crate::stored::Stored;
use crate::supc::Supc;
use crate::timer::tc::Tc;
use crate::timer::tcc::Tcc;
use crate::trng::Trng;
use crate::wdt::Wdt;

/// The register blocks.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) pac: Pac,
    pub(crate) pm: Pm,
    pub(crate) mclk: Mclk,
    pub(crate) rstc: Rstc,
    pub(crate) oscctrl: Oscctrl,
    pub(crate) osc32kctrl: Osc32kctrl,
    pub(crate) supc: Supc,
    pub(crate) gclk: Gclk,
    pub(crate) wdt: Wdt,
    pub(crate) rtc: Rtc,
    pub(crate) eic: Eic,
    pub(crate) dsu: Dsu,
    pub(crate) nvmctrl: Nvmctrl,
    pub(crate) cmcc: Cmcc,
    pub(crate) port: Port,
    pub(crate) hmatrix: Hmatrix,
    pub(crate) ramecc: Ramecc,
    pub(crate) gmac: Gmac,
    pub(crate) trng: Trng,
    pub(crate) qspi: Qspi,
    pub(crate) sercom: [Sercom; 8],
    pub(crate) tc: [Tc; 8],
    pub(crate) freqm: Freqm,
    pub(crate) usb: Stored,
    pub(crate) dmac: Dmac,
    pub(crate) evsys: Evsys,
    pub(crate) pdec: Stored,
    pub(crate) ac: Ac,
    pub(crate) aes: Aes,
    pub(crate) icm: Icm,
    pub(crate) pukcc: Pukcc,
    pub(crate) ccl: Ccl,
    pub(crate) dac: Dac,
    pub(crate) i2s: Stored,
    pub(crate) pcc: Stored,
    pub(crate) tcc: [Tcc; 5],
    pub(crate) can: [Stored; 2],
    pub(crate) adc: [Adc; 2],
    pub(crate) sdhc: [Stored; 2],
}

impl Parts {
    /// All blocks, as after power-on.
    pub(crate) fn new(rng: &Rng) -> Self {
        Self {
            pac: Pac::new(),
            pm: Pm::new(),
            mclk: Mclk::new(),
            rstc: Rstc::new(),
            oscctrl: Oscctrl::new(),
            osc32kctrl: Osc32kctrl::new(),
            supc: Supc::new(),
            gclk: Gclk::new(),
            wdt: Wdt::new(),
            rtc: Rtc::new(),
            eic: Eic::new(),
            dsu: Dsu::new(),
            nvmctrl: Nvmctrl::new(),
            cmcc: Cmcc::new(),
            port: Port::new(),
            hmatrix: Hmatrix::new(),
            ramecc: Ramecc::new(),
            gmac: Gmac::new(),
            trng: Trng::new(rng.fork("trng")),
            qspi: Qspi::new(rng.fork("nor")),
            sercom: sercoms(rng),
            tc: std::array::from_fn(Tc::new),
            freqm: Freqm::new(),
            usb: Stored::new("USB"),
            dmac: Dmac::new(),
            evsys: Evsys::new(),
            pdec: Stored::new("PDEC"),
            ac: Ac::new(),
            aes: Aes::new(),
            icm: Icm::new(),
            pukcc: Pukcc::new(),
            ccl: Ccl::new(),
            dac: Dac::new(),
            i2s: Stored::new("I2S"),
            pcc: Stored::new("PCC"),
            tcc: std::array::from_fn(Tcc::new),
            can: ["CAN0", "CAN1"].map(Stored::new),
            adc: std::array::from_fn(Adc::new),
            sdhc: ["SDHC0", "SDHC1"].map(Stored::new),
        }
    }

    pub(crate) fn get(&mut self, id: Id) -> &mut dyn Peripheral {
        match id {
            Id::Pac => &mut self.pac,
            Id::Pm => &mut self.pm,
            Id::Mclk => &mut self.mclk,
            Id::Rstc => &mut self.rstc,
            Id::Oscctrl => &mut self.oscctrl,
            Id::Osc32kctrl => &mut self.osc32kctrl,
            Id::Supc => &mut self.supc,
            Id::Gclk => &mut self.gclk,
            Id::Wdt => &mut self.wdt,
            Id::Rtc => &mut self.rtc,
            Id::Eic => &mut self.eic,
            Id::Dsu => &mut self.dsu,
            Id::Nvmctrl => &mut self.nvmctrl,
            Id::Cmcc => &mut self.cmcc,
            Id::Port => &mut self.port,
            Id::Hmatrix => &mut self.hmatrix,
            Id::Ramecc => &mut self.ramecc,
            Id::Gmac => &mut self.gmac,
            Id::Trng => &mut self.trng,
            Id::Qspi => &mut self.qspi,
            Id::Sercom0 => &mut self.sercom[0],
            Id::Sercom1 => &mut self.sercom[1],
            Id::Sercom2 => &mut self.sercom[2],
            Id::Sercom3 => &mut self.sercom[3],
            Id::Sercom4 => &mut self.sercom[4],
            Id::Sercom5 => &mut self.sercom[5],
            Id::Sercom6 => &mut self.sercom[6],
            Id::Sercom7 => &mut self.sercom[7],
            Id::Tc0 => &mut self.tc[0],
            Id::Tc1 => &mut self.tc[1],
            Id::Tc2 => &mut self.tc[2],
            Id::Tc3 => &mut self.tc[3],
            Id::Tc4 => &mut self.tc[4],
            Id::Tc5 => &mut self.tc[5],
            Id::Tc6 => &mut self.tc[6],
            Id::Tc7 => &mut self.tc[7],
            Id::Freqm => &mut self.freqm,
            Id::Usb => &mut self.usb,
            Id::Dmac => &mut self.dmac,
            Id::Evsys => &mut self.evsys,
            Id::Pdec => &mut self.pdec,
            Id::Ac => &mut self.ac,
            Id::Aes => &mut self.aes,
            Id::Icm => &mut self.icm,
            Id::Pukcc => &mut self.pukcc,
            Id::Ccl => &mut self.ccl,
            Id::Dac => &mut self.dac,
            Id::I2s => &mut self.i2s,
            Id::Pcc => &mut self.pcc,
            Id::Tcc0 => &mut self.tcc[0],
            Id::Tcc1 => &mut self.tcc[1],
            Id::Tcc2 => &mut self.tcc[2],
            Id::Tcc3 => &mut self.tcc[3],
            Id::Tcc4 => &mut self.tcc[4],
            Id::Can0 => &mut self.can[0],
            Id::Can1 => &mut self.can[1],
            Id::Adc0 => &mut self.adc[0],
            Id::Adc1 => &mut self.adc[1],
            Id::Sdhc0 => &mut self.sdhc[0],
            Id::Sdhc1 => &mut self.sdhc[1],
        }
    }
}

/// The board's EEPROM.
pub(crate) fn eeprom(rng: &Rng) -> At24mac402 {
    At24mac402::new(&mut rng.fork("EEPROM"))
}

/// The SERCOMs with what the board wires to them: the EEPROM at PD08 and PD09 of SERCOM7.
fn sercoms(rng: &Rng) -> [Sercom; 8] {
    let mut sercoms = std::array::from_fn(Sercom::new);
    sercoms[7].plug_i2c((3, 8), (3, 9), Box::new(eeprom(rng)));
    sercoms
}
