//! The Cortex-M4's AHB access port (ADIv5 chapter C2, MEM-AP; Cortex-M4 TRM section 8.2).

use armv7m::{BusFault, Size};

use super::Target;

const CSW: u8 = 0x00;
const TAR: u8 = 0x04;
pub(super) const DRW: u8 = 0x0C;
const BD0: u8 = 0x10;
const BD3: u8 = 0x1C;
const CFG: u8 = 0xF4;
const BASE: u8 = 0xF8;
const IDR: u8 = 0xFC;

/// AHB-AP of a Cortex-M3 or -M4, revision 2.
const IDR_VALUE: u32 = 0x2477_0011;
/// The SAM E54's ROM table is in the DSU.
const BASE_VALUE: u32 = 0x4100_3003;

const CSW_SIZE: u32 = 0b111;
const CSW_ADDR_INC: u32 = 0b11 << 4;
const CSW_DEVICE_EN: u32 = 1 << 6;
const CSW_MODE: u32 = 0xF << 8;
const CSW_PROT: u32 = 0x7F << 24;
const CSW_DBG_SW_ENABLE: u32 = 1 << 31;
const CSW_WRITABLE: u32 = CSW_SIZE | CSW_ADDR_INC | CSW_MODE | CSW_PROT | CSW_DBG_SW_ENABLE;
/// Word size, no increment, DeviceEn; HPROT and master type as the TRM's reset value has them (assumed for r0p1).
const CSW_RESET: u32 = 0x2300_0002;

const INC_SINGLE: u32 = 1;
const INC_PACKED: u32 = 2;

#[derive(Clone, Debug)]
pub(super) struct AhbAp {
    csw: u32,
    tar: u32,
}

impl AhbAp {
    pub fn new() -> Self {
        Self { csw: CSW_RESET, tar: 0 }
    }

    pub fn tar(&self) -> u32 {
        self.tar
    }

    pub fn read<T: Target>(&mut self, target: &mut T, register: u8) -> Result<u32, BusFault> {
        match register {
            CSW => Ok(self.csw | CSW_DEVICE_EN),
            TAR => Ok(self.tar),
            DRW => {
                let mut value = 0;
                for _ in 0..self.transfers() {
                    let (addr, size) = self.access();
                    value |= target.read(addr, size)? << Self::lane(addr);
                    self.increment(size);
                }
                Ok(value)
            }
            BD0..=BD3 => target.read(self.banked(register), Size::Word),
            CFG => Ok(0),
            BASE => Ok(BASE_VALUE),
            IDR => Ok(IDR_VALUE),
            _ => Ok(0),
        }
    }

    pub fn write<T: Target>(&mut self, target: &mut T, register: u8, value: u32) -> Result<(), BusFault> {
        match register {
            CSW => self.csw = value & CSW_WRITABLE,
            TAR => self.tar = value,
            DRW => {
                for _ in 0..self.transfers() {
                    let (addr, size) = self.access();
                    let mask = u32::MAX >> (32 - 8 * size as u32);
                    target.write(addr, size, (value >> Self::lane(addr)) & mask)?;
                    self.increment(size);
                }
            }
            BD0..=BD3 => target.write(self.banked(register), Size::Word, value)?,
            _ => {}
        }
        Ok(())
    }

    /// Address and width of the next access: the port aligns what TAR says.
    fn access(&self) -> (u32, Size) {
        let size = match self.csw & CSW_SIZE {
            0 => Size::Byte,
            1 => Size::Half,
            _ => Size::Word,
        };
        (self.tar & !(size as u32 - 1), size)
    }

    /// A packed access moves a whole word in parts.
    fn transfers(&self) -> u32 {
        let (_, size) = self.access();
        if self.increments() == INC_PACKED { 4 / size as u32 } else { 1 }
    }

    fn increments(&self) -> u32 {
        (self.csw & CSW_ADDR_INC) >> 4
    }

    /// Narrow data is in the byte lane of its address.
    fn lane(addr: u32) -> u32 {
        (addr & 3) * 8
    }

    /// Automatic increment wraps at 1 KB, the least that ADIv5 guarantees and what this port does.
    fn increment(&mut self, size: Size) {
        if matches!(self.increments(), INC_SINGLE | INC_PACKED) {
            self.tar = (self.tar & !0x3FF) | (self.tar.wrapping_add(size as u32) & 0x3FF);
        }
    }

    fn banked(&self, register: u8) -> u32 {
        (self.tar & !0xF) | u32::from(register & 0xC)
    }
}
