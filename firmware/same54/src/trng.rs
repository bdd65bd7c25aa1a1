//! True random numbers (SAM D5x/E5x datasheet, chapter 44 TRNG): 32 bits every 84 cycles of CLK_TRNG_APB.

use atsamd_hal::pac;

/// The generator.
pub struct Trng {
    trng: pac::Trng,
}

impl Trng {
    pub(crate) fn new(trng: pac::Trng, mclk: &mut pac::Mclk) -> Self {
        mclk.apbcmask().modify(|_, w| w.trng_().set_bit());
        trng.ctrla().write(|w| w.enable().set_bit());
        Self { trng }
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        while self.trng.intflag().read().datardy().bit_is_clear() {}
        self.trng.data().read().bits()
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(4) {
            let word = self.next_u32().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}
