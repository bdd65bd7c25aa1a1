//! Input of the kernels.

/// Pseudo-random numbers (Numerical Recipes' linear congruential generator).
pub struct Numbers(pub u32);

impl Iterator for Numbers {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some(self.0)
    }
}

/// 16 KiB of bytes.
pub fn bytes() -> [u8; 16 * 1024] {
    let mut numbers = Numbers(12_345);
    core::array::from_fn(|_| (numbers.next().unwrap_or(0) >> 24) as u8)
}
