//! The clause 45 registers behind registers 0Dh and 0Eh (IEEE 802.3, 22.2.4.3.11 and .12; DS00002298, "MMD Registers").
//!
//! Fidelity: access with address, data and both post-increments is modelled; of the registers only what is read-only is
//! known, the others keep what is written.

use std::collections::BTreeMap;

/// EEE advertisement of the link partner: it has none.
const EEE_PARTNER: (u8, u16) = (7, 0x3D);

/// Registers by device and number.
#[derive(Clone, Debug, Default)]
pub(super) struct Mmd {
    control: u16,
    addresses: [u16; 32],
    values: BTreeMap<(u8, u16), u16>,
}

impl Mmd {
    pub fn new() -> Self {
        Self::default()
    }

    /// Register 0Dh.
    pub fn control(&self) -> u16 {
        self.control
    }

    pub fn set_control(&mut self, value: u16) {
        self.control = value & 0xC01F;
    }

    /// Register 0Eh.
    pub fn read(&mut self) -> u16 {
        let device = (self.control & 0x1F) as u8;
        let address = self.addresses[usize::from(device)];
        match self.control >> 14 {
            0 => address,
            function => {
                if function == 2 {
                    self.addresses[usize::from(device)] = address.wrapping_add(1);
                }
                self.values.get(&(device, address)).copied().unwrap_or(0)
            }
        }
    }

    pub fn write(&mut self, value: u16) {
        let device = (self.control & 0x1F) as u8;
        let address = self.addresses[usize::from(device)];
        match self.control >> 14 {
            0 => self.addresses[usize::from(device)] = value,
            function => {
                if (device, address) != EEE_PARTNER {
                    self.values.insert((device, address), value);
                }
                if function != 1 {
                    self.addresses[usize::from(device)] = address.wrapping_add(1);
                }
            }
        }
    }
}
