//! PMSAv7 memory protection (ARMv7-M ARM B3.5).

use core::ops::Range;

/// What a program wants to do with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    Execute,
}

/// Number of regions of the Cortex-M4's MPU.
const REGIONS: usize = 8;

#[derive(Clone, Debug, Default)]
pub(crate) struct Mpu {
    /// MPU_CTRL: ENABLE, HFNMIENA, PRIVDEFENA.
    control: u32,
    number: u32,
    base: [u32; REGIONS],
    attributes: [u32; REGIONS],
}

impl Mpu {
    pub(crate) fn is_enabled(&self) -> bool {
        self.control & 1 != 0
    }

    /// Register at `offset` from 0xE000ED90.
    pub(crate) fn read(&self, offset: u32) -> u32 {
        let region = self.number as usize % REGIONS;
        match offset {
            0x00 => (REGIONS as u32) << 8,
            0x04 => self.control,
            0x08 => self.number,
            0x0C | 0x14 | 0x1C | 0x24 => self.base[region] | self.number,
            _ => self.attributes[region],
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        match offset {
            0x04 => self.control = value & 7,
            0x08 => self.number = value & 7,
            0x0C | 0x14 | 0x1C | 0x24 => {
                if value & 0x10 != 0 {
                    self.number = value & 7;
                }
                self.base[self.number as usize % REGIONS] = value & !0x1F;
            }
            0x10 | 0x18 | 0x20 | 0x28 => self.attributes[self.number as usize % REGIONS] = value & 0x173F_FF3F,
            _ => {}
        }
    }

    /// Whether an access is permitted; `urgent` tells that the execution priority is negative (HardFault, NMI,
    /// FAULTMASK), when HFNMIENA decides whether the MPU applies at all.
    pub(crate) fn permits(&self, addr: u32, access: Access, privileged: bool, urgent: bool) -> bool {
        let default_allows = access != Access::Execute || !default_never_executes(addr);
        // The Private Peripheral Bus is out of the MPU's reach, but never executable.
        if addr >> 20 == 0xE00 {
            return access != Access::Execute;
        }
        if !self.is_enabled() || (urgent && self.control & 2 == 0) {
            return default_allows;
        }
        match (0..REGIONS).rev().find(|&region| self.covers(region, addr)) {
            Some(region) => {
                let attributes = self.attributes[region];
                let system_never = access == Access::Execute && addr >= 0xE000_0000;
                if access == Access::Execute && (attributes >> 28 & 1 != 0 || system_never) {
                    return false;
                }
                match attributes >> 24 & 7 {
                    0 => false,
                    1 => privileged,
                    2 => privileged || access != Access::Write,
                    3 => true,
                    5 => privileged && access != Access::Write,
                    6 | 7 => access != Access::Write,
                    _ => false,
                }
            }
            None => privileged && self.control & 4 != 0 && default_allows,
        }
    }

    /// Privileged code notices this MPU only by what it may execute: no access to data is refused to it.
    pub(crate) fn spares_data(&self) -> bool {
        const FULL: u32 = 0b011;
        const PRIVILEGED: u32 = 0b001;
        let mut enabled = self.attributes.iter().filter(|attributes| **attributes & 1 != 0);
        self.control & 4 != 0 && enabled.all(|attributes| matches!(attributes >> 24 & 7, FULL | PRIVILEGED))
    }

    /// Bytes from `code.start` on that privileged code may execute without a gap.
    pub(crate) fn executable_from(&self, code: &Range<u32>) -> u32 {
        let eighths = |region: usize| {
            let log2 = (self.attributes[region] >> 1 & 31) + 1;
            (0..=8_u64).map(move |n| u64::from(self.base[region]) + (n << log2) / 8)
        };
        let mut edges: Vec<u32> = (0..REGIONS)
            .filter(|region| self.attributes[*region] & 1 != 0)
            .flat_map(eighths)
            .filter_map(|edge| u32::try_from(edge).ok())
            .filter(|edge| code.contains(edge))
            .chain([code.start])
            .collect();
        edges.sort_unstable();
        let barred = edges.into_iter().find(|edge| !self.permits(*edge, Access::Execute, true, false));
        barred.unwrap_or(code.end) - code.start
    }

    fn covers(&self, region: usize, addr: u32) -> bool {
        let attributes = self.attributes[region];
        let log2 = (attributes >> 1 & 31) + 1;
        if attributes & 1 == 0 || log2 < 5 {
            return false;
        }
        let mask = if log2 >= 32 { 0 } else { u32::MAX << log2 };
        if (addr ^ self.base[region]) & mask != 0 {
            return false;
        }
        // Regions of 256 bytes and more have eight subregions that can be switched off.
        log2 < 8 || attributes >> (8 + (addr >> (log2 - 3) & 7)) & 1 == 0
    }
}

/// The default memory map's XN regions (B3.1): peripherals, devices and the system region.
pub(crate) fn default_never_executes(addr: u32) -> bool {
    matches!(addr >> 29, 2 | 5..=7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(base: u32, attributes: u32, control: u32) -> Mpu {
        let mut mpu = Mpu::default();
        mpu.write(0x0C, base | 0x10 | 3);
        mpu.write(0x10, attributes);
        mpu.write(0x04, control);
        mpu
    }

    #[test]
    fn a_disabled_subregion_falls_through_to_the_background_map() {
        // 4 KB, no access, subregion 2 (0x400..0x600) switched off.
        let mpu = region(0x2000_0000, 11 << 1 | 1 << (8 + 2) | 1, 5);
        assert!(!mpu.permits(0x2000_03FF, Access::Read, true, false));
        assert!(mpu.permits(0x2000_0400, Access::Read, true, false));
        assert!(!mpu.permits(0x2000_0400, Access::Read, false, false));
        assert!(!mpu.permits(0x2000_0600, Access::Read, true, false));
    }

    #[test]
    fn what_may_be_executed_ends_at_the_first_region_that_bars_it() {
        let code = 0..0x10_0000;
        let mut mpu = region(0, 1 << 28 | 3 << 24 | 28 << 1 | 1, 5);
        assert_eq!((mpu.spares_data(), mpu.executable_from(&code)), (true, 0));
        mpu.write(0x0C, 0x10 | 4);
        mpu.write(0x10, 3 << 24 | 15 << 1 | 1);
        assert_eq!((mpu.spares_data(), mpu.executable_from(&code)), (true, 0x1_0000));
        mpu.write(0x10, 6 << 24 | 15 << 1 | 1);
        assert!(!mpu.spares_data(), "stores are refused");
        // Without the background map nothing else may be touched.
        mpu.write(0x10, 3 << 24 | 15 << 1 | 1);
        mpu.write(0x04, 1);
        assert!(!mpu.spares_data());
    }

    #[test]
    fn read_only_and_never_execute_are_told_apart() {
        let mpu = region(0x0001_0000, 1 << 28 | 6 << 24 | 15 << 1 | 1, 5);
        assert!(mpu.permits(0x0001_8000, Access::Read, false, false));
        assert!(!mpu.permits(0x0001_8000, Access::Write, true, false));
        assert!(!mpu.permits(0x0001_8000, Access::Execute, true, false));
    }

    #[test]
    fn negative_priorities_bypass_the_mpu_unless_hfnmiena() {
        let attributes = 11 << 1 | 1;
        assert!(region(0x2000_0000, attributes, 5).permits(0x2000_0000, Access::Read, true, true));
        assert!(!region(0x2000_0000, attributes, 7).permits(0x2000_0000, Access::Read, true, true));
    }
}
