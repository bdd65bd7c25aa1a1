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
    Freqm,
    Sercom0,
    Sercom1,
    Tc0,
    Tc1,
    Usb,
    Dsu,
    Nvmctrl,
    Cmcc,
    Port,
    Dmac,
    Hmatrix,
    Evsys,
    Sercom2,
    Sercom3,
    Tcc0,
    Tcc1,
    Tc2,
    Tc3,
    Ramecc,
    Can0,
    Can1,
    Gmac,
    Tcc2,
    Tcc3,
    Tc4,
    Tc5,
    Pdec,
    Ac,
    Aes,
    Trng,
    Icm,
    Pukcc,
    Qspi,
    Ccl,
    Sercom4,
    Sercom5,
    Sercom6,
    Sercom7,
    Tcc4,
    Tc6,
    Tc7,
    Adc0,
    Adc1,
    Dac,
    I2s,
    Pcc,
    Sdhc0,
    Sdhc1,
}

/// Number of slots.
pub(crate) const COUNT: usize = Id::Sdhc1 as usize + 1;

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
    /// Bit in MCLK.AHBMASK, `NO_BIT` if it has none: blocks that are bus masters or have a window of their own also need
    /// their AHB clock.
    pub(crate) ahb: u32,
    /// First interrupt line.
    pub(crate) irq: usize,
}

/// A block without a bit in the PAC and the APB masks.
pub(crate) const NO_BIT: u32 = 32;

const fn slot(id: Id, name: &'static str, base: u32, bridge: usize, bit: u32, gated: bool, irq: usize) -> Slot {
    let ahb = match id {
        Id::Nvmctrl => 6,
        Id::Dmac => 9,
        Id::Usb => 10,
        Id::Qspi => 13,
        Id::Gmac => 14,
        Id::Sdhc0 => 15,
        Id::Sdhc1 => 16,
        Id::Can0 => 17,
        Id::Can1 => 18,
        Id::Icm => 19,
        Id::Pukcc => 20,
        _ => NO_BIT,
    };
    Slot { id, name, base, bridge, bit, gated, ahb, irq }
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
    slot(Id::Freqm, "FREQM", 0x4000_2C00, 0, 11, true, 28),
    slot(Id::Sercom0, "SERCOM0", 0x4000_3000, 0, 12, true, 46),
    slot(Id::Sercom1, "SERCOM1", 0x4000_3400, 0, 13, true, 50),
    slot(Id::Tc0, "TC0", 0x4000_3800, 0, 14, true, 107),
    slot(Id::Tc1, "TC1", 0x4000_3C00, 0, 15, true, 108),
    slot(Id::Usb, "USB", 0x4100_0000, 1, 0, true, 80),
    slot(Id::Dsu, "DSU", 0x4100_2000, 1, 1, true, 0),
    slot(Id::Nvmctrl, "NVMCTRL", 0x4100_4000, 1, 2, true, 29),
    slot(Id::Cmcc, "CMCC", 0x4100_6000, 1, 3, false, 0),
    slot(Id::Port, "PORT", 0x4100_8000, 1, 4, true, 0),
    slot(Id::Dmac, "DMAC", 0x4100_A000, 1, 5, false, 31),
    slot(Id::Hmatrix, "HMATRIX", 0x4100_C000, 1, NO_BIT, false, 0),
    slot(Id::Evsys, "EVSYS", 0x4100_E000, 1, 7, true, 36),
    slot(Id::Sercom2, "SERCOM2", 0x4101_2000, 1, 9, true, 54),
    slot(Id::Sercom3, "SERCOM3", 0x4101_4000, 1, 10, true, 58),
    slot(Id::Tcc0, "TCC0", 0x4101_6000, 1, 11, true, 85),
    slot(Id::Tcc1, "TCC1", 0x4101_8000, 1, 12, true, 92),
    slot(Id::Tc2, "TC2", 0x4101_A000, 1, 13, true, 109),
    slot(Id::Tc3, "TC3", 0x4101_C000, 1, 14, true, 110),
    slot(Id::Ramecc, "RAMECC", 0x4102_0000, 1, 16, true, 45),
    slot(Id::Can0, "CAN0", 0x4200_0000, 2, 0, false, 78),
    slot(Id::Can1, "CAN1", 0x4200_0400, 2, 1, false, 79),
    slot(Id::Gmac, "GMAC", 0x4200_0800, 2, 2, true, 84),
    slot(Id::Tcc2, "TCC2", 0x4200_0C00, 2, 3, true, 97),
    slot(Id::Tcc3, "TCC3", 0x4200_1000, 2, 4, true, 101),
    slot(Id::Tc4, "TC4", 0x4200_1400, 2, 5, true, 111),
    slot(Id::Tc5, "TC5", 0x4200_1800, 2, 6, true, 112),
    slot(Id::Pdec, "PDEC", 0x4200_1C00, 2, 7, true, 115),
    slot(Id::Ac, "AC", 0x4200_2000, 2, 8, true, 122),
    slot(Id::Aes, "AES", 0x4200_2400, 2, 9, true, 130),
    slot(Id::Trng, "TRNG", 0x4200_2800, 2, 10, true, 131),
    slot(Id::Icm, "ICM", 0x4200_2C00, 2, 11, true, 132),
    slot(Id::Pukcc, "PUKCC", 0x4200_3000, 2, 12, false, 0),
    slot(Id::Qspi, "QSPI", 0x4200_3400, 2, 13, true, 134),
    slot(Id::Ccl, "CCL", 0x4200_3800, 2, 14, true, 0),
    slot(Id::Sercom4, "SERCOM4", 0x4300_0000, 3, 0, true, 62),
    slot(Id::Sercom5, "SERCOM5", 0x4300_0400, 3, 1, true, 66),
    slot(Id::Sercom6, "SERCOM6", 0x4300_0800, 3, 2, true, 70),
    slot(Id::Sercom7, "SERCOM7", 0x4300_0C00, 3, 3, true, 74),
    slot(Id::Tcc4, "TCC4", 0x4300_1000, 3, 4, true, 104),
    slot(Id::Tc6, "TC6", 0x4300_1400, 3, 5, true, 113),
    slot(Id::Tc7, "TC7", 0x4300_1800, 3, 6, true, 114),
    slot(Id::Adc0, "ADC0", 0x4300_1C00, 3, 7, true, 118),
    slot(Id::Adc1, "ADC1", 0x4300_2000, 3, 8, true, 120),
    slot(Id::Dac, "DAC", 0x4300_2400, 3, 9, true, 123),
    slot(Id::I2s, "I2S", 0x4300_2800, 3, 10, true, 128),
    slot(Id::Pcc, "PCC", 0x4300_2C00, 3, 11, true, 129),
    slot(Id::Sdhc0, "SDHC0", 0x4500_0000, 2, NO_BIT, false, 135),
    slot(Id::Sdhc1, "SDHC1", 0x4600_0000, 2, NO_BIT, false, 136),
];

/// Number of the slot of each KiB of the bridges A to D; `COUNT` where there is none.
const BY_KIB: [[u8; KIBS]; 4] = {
    let mut table = [[COUNT as u8; KIBS]; 4];
    let mut n = 0;
    while n < COUNT {
        let base = SLOTS[n].base;
        let bridge = (base >> 24 & 7) as usize;
        if bridge < 4 {
            let first = (base >> 10) as usize % KIBS;
            // Bridge B has its blocks 8 KiB apart (10.2).
            let mut kib = first;
            while kib < first + if bridge == 1 { 8 } else { 1 } {
                table[bridge][kib] = n as u8;
                kib += 1;
            }
        }
        n += 1;
    }
    table
};

/// Size of a bridge's part of the table, in KiB.
const KIBS: usize = 256;

/// Finds the block at `addr` and the offset in it; `None` is a bus error.
pub(crate) fn locate(addr: u32) -> Option<(Id, u32)> {
    let slot = match addr {
        0x4000_0000..0x4400_0000 if addr & 0x00FF_FFFF < (KIBS << 10) as u32 => {
            let n = BY_KIB[(addr >> 24 & 3) as usize][(addr >> 10) as usize % KIBS];
            SLOTS.get(n as usize)?
        }
        0x4500_0000..0x4600_0000 => &SLOTS[Id::Sdhc0 as usize],
        0x4600_0000..0x4700_0000 => &SLOTS[Id::Sdhc1 as usize],
        _ => return None,
    };
    Some((slot.id, addr - slot.base))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::registers::blocks;

    #[test]
    fn slots_are_in_the_order_of_their_numbers_and_found_at_their_bases() {
        for (n, slot) in SLOTS.iter().enumerate() {
            assert_eq!(slot.id as usize, n, "{}", slot.name);
            assert_eq!(locate(slot.base + 4), Some((slot.id, 4)), "{}", slot.name);
        }
    }

    #[test]
    fn a_block_ends_where_its_part_of_the_map_ends() {
        let id = |addr| locate(addr).map(|(id, _)| id);
        assert_eq!([id(0x4000_3FFF), id(0x4000_4000)], [Some(Id::Tc1), None]);
        assert_eq!([id(0x4100_9FFF), id(0x4100_A000)], [Some(Id::Port), Some(Id::Dmac)]);
        assert_eq!([id(0x4101_0000), id(0x4101_1FFF), id(0x4102_1FFF)], [None, None, Some(Id::Ramecc)]);
        assert_eq!([id(0x4102_2000), id(0x4104_0000), id(0x4204_0000)], [None; 3]);
        assert_eq!([id(0x43FF_FFFF), id(0x4400_0000), id(0x4700_0000)], [None; 3]);
        assert_eq!(locate(0x4500_0104), Some((Id::Sdhc0, 0x104)));
    }

    #[test]
    fn the_register_table_has_the_same_blocks_at_the_same_places() {
        let table: BTreeMap<_, _> = blocks().iter().flat_map(|block| block.instances.iter().copied()).collect();
        // The definitions leave PUKCC out: Microchip's library drives it.
        let map = SLOTS.iter().filter(|slot| slot.id != Id::Pukcc).map(|slot| (slot.name, slot.base)).collect();
        assert_eq!(table, map);
    }

    #[test]
    fn holes_lead_nowhere() {
        assert_eq!(locate(0x4000_4000), None);
        assert_eq!(locate(0x4200_4000), None);
    }
}
