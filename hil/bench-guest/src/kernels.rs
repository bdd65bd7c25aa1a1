//! The kernels. Each returns a checksum of all that it worked out.

use core::arch::{asm, global_asm};
use core::hint::black_box;

use crate::data::{Numbers, bytes};

/// CRC-32 of 16 KiB, a table look-up per byte.
pub fn crc32(rounds: u32) -> u32 {
    let table: [u32; 256] = core::array::from_fn(|i| {
        (0..8).fold(i as u32, |crc, _| if crc & 1 != 0 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    });
    let (data, table) = (bytes(), black_box(table));
    (0..rounds).fold(0u32, |sum, _| {
        let crc = black_box(&data).iter().fold(u32::MAX, |crc, &byte| table[usize::from(crc as u8 ^ byte)] ^ crc >> 8);
        (sum ^ crc).rotate_left(1)
    })
}

const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
    0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
    0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2,
];

/// One block of SHA-256 (FIPS 180-4, 6.2.2).
fn compress(state: &mut [u32; 8], block: &[u8; 64]) {
    let mut w = [0u32; 64];
    for (word, bytes) in w.iter_mut().zip(block.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    for t in 16..64 {
        let (a, b) = (w[t - 15], w[t - 2]);
        let small0 = a.rotate_right(7) ^ a.rotate_right(18) ^ a >> 3;
        let small1 = b.rotate_right(17) ^ b.rotate_right(19) ^ b >> 10;
        w[t] = w[t - 16].wrapping_add(small0).wrapping_add(w[t - 7]).wrapping_add(small1);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (k, w) in K.iter().zip(w) {
        let big1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = e & f ^ !e & g;
        let first = h.wrapping_add(big1).wrapping_add(choice).wrapping_add(*k).wrapping_add(w);
        let big0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = a & b ^ a & c ^ b & c;
        (h, g, f, e) = (g, f, e, d.wrapping_add(first));
        (d, c, b, a) = (c, b, a, first.wrapping_add(big0).wrapping_add(majority));
    }
    for (word, value) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(value);
    }
}

/// SHA-256's compression of 16 KiB, without padding.
pub fn sha256(rounds: u32) -> u32 {
    let data = bytes();
    let mut state =
        [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    for _ in 0..rounds {
        for block in black_box(&data).as_chunks().0 {
            compress(&mut state, block);
        }
    }
    state.iter().fold(0, |sum, word| sum ^ word)
}

/// Product of two matrices of 24 by 24 integers.
pub fn matmul(rounds: u32) -> u32 {
    const N: usize = 24;
    let mut numbers = Numbers(7);
    let mut matrix = || -> [[i32; N]; N] {
        core::array::from_fn(|_| core::array::from_fn(|_| (numbers.next().unwrap_or(0) as i32) >> 20))
    };
    let (mut a, b) = (matrix(), matrix());
    let mut sum = 0u32;
    for round in 0..rounds {
        let (left, right) = (black_box(&a), black_box(&b));
        let mut product = [[0i32; N]; N];
        for (row, out) in left.iter().zip(&mut product) {
            for (column, out) in out.iter_mut().enumerate() {
                *out = row.iter().zip(right).fold(0, |sum, (x, y)| sum.wrapping_add(x.wrapping_mul(y[column])));
            }
        }
        sum = product.as_flattened().iter().fold(sum, |sum, &x| sum.rotate_left(1) ^ x as u32);
        a[0][0] = round as i32;
    }
    sum
}

/// The library's unstable sort of 4096 numbers.
pub fn sort(rounds: u32) -> u32 {
    let mut numbers = Numbers(99);
    let mut values = [0; 4096];
    let mut sum = 0u32;
    for _ in 0..rounds {
        values.fill_with(|| numbers.next().unwrap_or(0));
        black_box(&mut values).sort_unstable();
        sum ^= values[17] ^ values[2048].rotate_left(5) ^ values[4095];
    }
    sum
}

// Square root by the instruction, which `core` does not offer.
global_asm!(
    ".fpu fpv4-sp-d16",
    ".thumb_func",
    ".type square_root, %function",
    "square_root:",
    "vsqrt.f32 s0, s0",
    "bx lr",
);

unsafe extern "C" {
    safe fn square_root(x: f32) -> f32;
}

/// A filter of 16 taps over 64 samples in single precision, with a square root and a division per sample.
pub fn f32(rounds: u32) -> u32 {
    let mut samples: [f32; 64] = core::array::from_fn(|n| n as f32 * 0.37 - 9.0);
    let taps: [f32; 16] = core::array::from_fn(|n| 1.0 / (n as f32 + 1.5));
    let mut sum = 0u32;
    for round in 0..rounds {
        let (input, taps) = (black_box(&samples), black_box(&taps));
        let mut energy = 0.0;
        for window in input.windows(16) {
            let filtered = window.iter().zip(taps).fold(0.0, |sum, (x, h)| sum + x * h);
            energy += square_root(filtered * filtered + 1.0) / (1.0 + energy);
        }
        samples[round as usize % 64] = energy - 4.0;
        sum = sum.rotate_left(1) ^ energy.to_bits();
    }
    sum
}

/// Copies of 16 000 bytes to the four alignments, and fills.
pub fn memcpy(rounds: u32) -> u32 {
    let data = bytes();
    let mut target = [0u8; 16 * 1024];
    let mut sum = 0u32;
    for round in 0..rounds {
        let offset = round as usize & 3;
        target[offset..offset + 16_000].copy_from_slice(&black_box(&data)[..16_000]);
        target[100..433].fill(round as u8);
        let target = black_box(&target);
        sum = sum.wrapping_add(u32::from(target[8000 + offset]) + u32::from(target[120])).rotate_left(7);
    }
    sum
}

#[derive(Clone, Copy)]
enum State {
    Start,
    Integer,
    Sign,
    Point,
    Fraction,
    Exponent,
    Word,
    Skip,
}

/// A scanner of numbers and words over random bytes: branches that depend on data.
pub fn states(rounds: u32) -> u32 {
    use State as S;
    let data = bytes();
    let mut counts = [0u32; 8];
    for _ in 0..rounds {
        let mut state = S::Start;
        for &byte in black_box(&data) {
            state = match (state, byte) {
                (S::Start, b'0'..=b'9') => S::Integer,
                (S::Start, b'+' | b'-') => S::Sign,
                (S::Start, b'.') => S::Point,
                (S::Start, b'a'..=b'z' | 0x80..) => S::Word,
                (S::Start, _) => S::Skip,
                (S::Sign | S::Integer, b'0'..=b'9') => S::Integer,
                (S::Sign | S::Integer, b'.') => S::Point,
                (S::Point | S::Fraction, b'0'..=b'9') => S::Fraction,
                (S::Fraction | S::Integer, b'e' | b'E') => S::Exponent,
                (S::Exponent, 0x80..) => S::Exponent,
                (S::Word, b' '..=0xC0) => S::Word,
                (S::Skip, byte) if byte & 1 == 0 => S::Skip,
                _ => S::Start,
            };
            counts[state as usize] = counts[state as usize].wrapping_add(u32::from(byte));
        }
    }
    counts.iter().fold(0, |sum, count| sum.rotate_left(5) ^ count)
}

/// `rounds` times eight reads and eight writes of the word at `address`.
pub fn register(rounds: u32, address: u32) -> u32 {
    let register = address as *mut u32;
    let mut value = 0;
    for _ in 0..rounds {
        for _ in 0..8 {
            // SAFETY: the host names the register of a peripheral that stores what is written.
            value = unsafe { register.read_volatile() };
            // SAFETY: as above.
            unsafe { register.write_volatile(value) };
        }
    }
    value
}

/// Sleeps for ever.
pub fn idle() -> ! {
    loop {
        // SAFETY: waits for an interrupt.
        unsafe { asm!("wfi") };
    }
}
