//! What the DMA makes of memory: descriptors and packet data, little- or big-endian (datasheet 24.9.5).
//!
//! Assumed: in big-endian mode the bytes of each aligned 32-bit word change places, as on a 32-bit bus.

use armv7m::BusFault;

use super::Gmac;
use super::regs::dcfgr;
use crate::peripheral::Context;

impl Gmac {
    /// Reads one word of a descriptor.
    pub(super) fn load_descriptor(&self, at: u32, cx: &Context<'_>) -> Result<u32, BusFault> {
        let word = cx.dma_read_word(at)?;
        Ok(if self.dcfgr & dcfgr::ESMA != 0 { word.swap_bytes() } else { word })
    }

    /// Writes one word of a descriptor.
    pub(super) fn store_descriptor(&self, at: u32, word: u32, cx: &mut Context<'_>) -> Result<(), BusFault> {
        cx.dma_write_word(at, if self.dcfgr & dcfgr::ESMA != 0 { word.swap_bytes() } else { word })
    }

    /// Reads packet data.
    pub(super) fn load(&self, at: u32, bytes: &mut [u8], cx: &Context<'_>) -> Result<(), BusFault> {
        if self.dcfgr & dcfgr::ESPA == 0 {
            return cx.dma_read(at, bytes);
        }
        for (n, byte) in (0..).zip(bytes) {
            cx.dma_read(at.wrapping_add(n) ^ 3, core::slice::from_mut(byte))?;
        }
        Ok(())
    }

    /// Writes packet data.
    pub(super) fn store_data(&self, at: u32, bytes: &[u8], cx: &mut Context<'_>) -> Result<(), BusFault> {
        if self.dcfgr & dcfgr::ESPA == 0 {
            return cx.dma_write(at, bytes);
        }
        for (n, byte) in (0..).zip(bytes) {
            cx.dma_write(at.wrapping_add(n) ^ 3, core::slice::from_ref(byte))?;
        }
        Ok(())
    }
}
