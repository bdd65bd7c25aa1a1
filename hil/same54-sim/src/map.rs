//! The peripheral address map (SAM D5x/E5x datasheet, 10 "Memory Mapping" and 12 "Peripherals").

/// The blocks that the model has, in the order of their slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Id {
    Pac,
    Pm,
    Mclk,
    Rstc,
    Oscctrl,
    Osc32kctrl,
    Supc,
    Gclk,
    Wdt,
    Rtc,
    Eic,
    Sercom0,
    Sercom1,
    Tc0,
    Tc1,
    Dsu,
    Nvmctrl,
    Cmcc,
    Port,
    Hmatrix,
    Sercom2,
    Sercom3,
    Tc2,
    Tc3,
    Ramecc,
    Gmac,
    Tc4,
    Tc5,
    Trng,
    Qspi,
    Sercom4,
    Sercom5,
    Sercom6,
    Sercom7,
    Tc6,
    Tc7,
}

/// Number of slots.
pub(crate) const COUNT: usize = Id::Tc7 as usize + 1;

/// A block's place in the chip.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) id: Id,
    pub(crate) name: &'static str,
    pub(crate) base: u32,
    /// Bridge (0 is A) and bit in MCLK.APBxMASK and PAC.STATUSx, `NO_BIT` if it has none.
    pub(crate) bridge: usize,
    pub(crate) bit: u32,
    /// Whether MCLK.APBxMASK has the bit too.
    pub(crate) gated: bool,
    /// First interrupt line.
    pub(crate) irq: usize,
}

/// A block without a bit in the PAC and the APB masks.
pub(crate) const NO_BIT: u32 = 32;

const fn slot(id: Id, name: &'static str, base: u32, bridge: usize, bit: u32, gated: bool, irq: usize) -> Slot {
    Slot { id, name, base, bridge, bit, gated, irq }
}

/// All slots, indexed by [`Id`].
pub(crate) const SLOTS: [Slot; COUNT] = [
    slot(Id::Pac, "PAC", 0x4000_0000, 0, 0, true, 41),
    slot(Id::Pm, "PM", 0x4000_0400, 0, 1, true, 0),
    slot(Id::Mclk, "MCLK", 0x4000_0800, 0, 2, true, 1),
    slot(Id::Rstc, "RSTC", 0x4000_0C00, 0, 3, true, 0),
    slot(Id::Oscctrl, "OSCCTRL", 0x4000_1000, 0, 4, true, 2),
    slot(Id::Osc32kctrl, "OSC32KCTRL", 0x4000_1400, 0, 5, true, 7),
    slot(Id::Supc, "SUPC", 0x4000_1800, 0, 6, true, 8),
    slot(Id::Gclk, "GCLK", 0x4000_1C00, 0, 7, true, 0),
    slot(Id::Wdt, "WDT", 0x4000_2000, 0, 8, true, 10),
    slot(Id::Rtc, "RTC", 0x4000_2400, 0, 9, true, 11),
    slot(Id::Eic, "EIC", 0x4000_2800, 0, 10, true, 12),
    slot(Id::Sercom0, "SERCOM0", 0x4000_3000, 0, 12, true, 46),
    slot(Id::Sercom1, "SERCOM1", 0x4000_3400, 0, 13, true, 50),
    slot(Id::Tc0, "TC0", 0x4000_3800, 0, 14, true, 107),
    slot(Id::Tc1, "TC1", 0x4000_3C00, 0, 15, true, 108),
    slot(Id::Dsu, "DSU", 0x4100_2000, 1, 1, true, 0),
    slot(Id::Nvmctrl, "NVMCTRL", 0x4100_4000, 1, 2, true, 29),
    slot(Id::Cmcc, "CMCC", 0x4100_6000, 1, 3, false, 0),
    slot(Id::Port, "PORT", 0x4100_8000, 1, 4, true, 0),
    slot(Id::Hmatrix, "HMATRIX", 0x4100_C000, 1, NO_BIT, false, 0),
    slot(Id::Sercom2, "SERCOM2", 0x4101_2000, 1, 9, true, 54),
    slot(Id::Sercom3, "SERCOM3", 0x4101_4000, 1, 10, true, 58),
    slot(Id::Tc2, "TC2", 0x4101_A000, 1, 13, true, 109),
    slot(Id::Tc3, "TC3", 0x4101_C000, 1, 14, true, 110),
    slot(Id::Ramecc, "RAMECC", 0x4102_0000, 1, 16, true, 45),
    slot(Id::Gmac, "GMAC", 0x4200_0800, 2, 2, true, 84),
    slot(Id::Tc4, "TC4", 0x4200_1400, 2, 5, true, 111),
    slot(Id::Tc5, "TC5", 0x4200_1800, 2, 6, true, 112),
    slot(Id::Trng, "TRNG", 0x4200_2800, 2, 10, true, 131),
    slot(Id::Qspi, "QSPI", 0x4200_3400, 2, 13, true, 134),
    slot(Id::Sercom4, "SERCOM4", 0x4300_0000, 3, 0, true, 62),
    slot(Id::Sercom5, "SERCOM5", 0x4300_0400, 3, 1, true, 66),
    slot(Id::Sercom6, "SERCOM6", 0x4300_0800, 3, 2, true, 70),
    slot(Id::Sercom7, "SERCOM7", 0x4300_0C00, 3, 3, true, 74),
    slot(Id::Tc6, "TC6", 0x4300_1400, 3, 5, true, 113),
    slot(Id::Tc7, "TC7", 0x4300_1800, 3, 6, true, 114),
];

/// Where an address of the peripheral space leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A modelled block and the offset in it.
    Block(Id, u32),
    /// A block of the chip that the model does not have.
    Absent(&'static str, u32),
}

/// Finds the block at `addr`; `None` is a bus error.
pub(crate) fn locate(addr: u32) -> Option<Place> {
    let page = addr & !0x3FF;
    let id = match page {
        0x4000_0000 => Id::Pac,
        0x4000_0400 => Id::Pm,
        0x4000_0800 => Id::Mclk,
        0x4000_0C00 => Id::Rstc,
        0x4000_1000 => Id::Oscctrl,
        0x4000_1400 => Id::Osc32kctrl,
        0x4000_1800 => Id::Supc,
        0x4000_1C00 => Id::Gclk,
        0x4000_2000 => Id::Wdt,
        0x4000_2400 => Id::Rtc,
        0x4000_2800 => Id::Eic,
        0x4000_3000 => Id::Sercom0,
        0x4000_3400 => Id::Sercom1,
        0x4000_3800 => Id::Tc0,
        0x4000_3C00 => Id::Tc1,
        0x4100_2000..0x4100_4000 => Id::Dsu,
        0x4100_4000..0x4100_6000 => Id::Nvmctrl,
        0x4100_6000..0x4100_8000 => Id::Cmcc,
        0x4100_8000..0x4100_A000 => Id::Port,
        0x4100_C000..0x4100_E000 => Id::Hmatrix,
        0x4101_2000..0x4101_4000 => Id::Sercom2,
        0x4101_4000..0x4101_6000 => Id::Sercom3,
        0x4101_A000..0x4101_C000 => Id::Tc2,
        0x4101_C000..0x4101_E000 => Id::Tc3,
        0x4102_0000..0x4102_2000 => Id::Ramecc,
        0x4200_0800 => Id::Gmac,
        0x4200_1400 => Id::Tc4,
        0x4200_1800 => Id::Tc5,
        0x4200_2800 => Id::Trng,
        0x4200_3400 => Id::Qspi,
        0x4300_0000 => Id::Sercom4,
        0x4300_0400 => Id::Sercom5,
        0x4300_0800 => Id::Sercom6,
        0x4300_0C00 => Id::Sercom7,
        0x4300_1400 => Id::Tc6,
        0x4300_1800 => Id::Tc7,
        _ => {
            let (name, base) = absent(page)?;
            return Some(Place::Absent(name, addr - base));
        }
    };
    Some(Place::Block(id, addr - SLOTS[id as usize].base))
}

fn absent(page: u32) -> Option<(&'static str, u32)> {
    Some(match page {
        0x4000_2C00 => ("FREQM", page),
        0x4100_0000..0x4100_2000 => ("USB", 0x4100_0000),
        0x4100_A000..0x4100_C000 => ("DMAC", 0x4100_A000),
        0x4100_E000..0x4101_0000 => ("EVSYS", 0x4100_E000),
        0x4101_6000..0x4101_8000 => ("TCC0", 0x4101_6000),
        0x4101_8000..0x4101_A000 => ("TCC1", 0x4101_8000),
        0x4200_0000 => ("CAN0", page),
        0x4200_0400 => ("CAN1", page),
        0x4200_0C00 => ("TCC2", page),
        0x4200_1000 => ("TCC3", page),
        0x4200_1C00 => ("PDEC", page),
        0x4200_2000 => ("AC", page),
        0x4200_2400 => ("AES", page),
        0x4200_2C00 => ("ICM", page),
        0x4200_3000 => ("PUKCC", page),
        0x4200_3800 => ("CCL", page),
        0x4300_1000 => ("TCC4", page),
        0x4300_1C00 => ("ADC0", page),
        0x4300_2000 => ("ADC1", page),
        0x4300_2400 => ("DAC", page),
        0x4300_2800 => ("I2S", page),
        0x4300_2C00 => ("PCC", page),
        0x4500_0000..0x4600_0000 => ("SDHC0", 0x4500_0000),
        0x4600_0000..0x4700_0000 => ("SDHC1", 0x4600_0000),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_in_the_order_of_their_numbers_and_found_at_their_bases() {
        for (n, slot) in SLOTS.iter().enumerate() {
            assert_eq!(slot.id as usize, n, "{}", slot.name);
            assert_eq!(locate(slot.base + 4), Some(Place::Block(slot.id, 4)), "{}", slot.name);
        }
    }

    #[test]
    fn holes_lead_nowhere() {
        assert_eq!(locate(0x4000_4000), None);
        assert_eq!(locate(0x4200_4000), None);
        assert_eq!(locate(0x4300_2C10), Some(Place::Absent("PCC", 0x10)));
    }
}
