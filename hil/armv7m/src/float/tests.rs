//! The short ways against the exact computations.

use super::*;

const ROUNDS: usize = 200_000;
const SPECIAL: [u32; 12] = [
    0,
    SIGN,
    INFINITY,
    SIGN | INFINITY,
    DEFAULT_NAN,
    0x7F80_0001,
    1,
    0x007F_FFFF,
    0x0080_0000,
    0x00FF_FFFF,
    0x7F7F_FFFF,
    0x3F80_0000,
];

/// xorshift64*, so that failures repeat.
struct Numbers(u64);

impl Numbers {
    fn word(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32
    }

    /// A single: any at all, of ordinary size, a small whole number, or a special one.
    fn single(&mut self) -> u32 {
        let word = self.word();
        match self.word() % 8 {
            0 => word,
            1 => SPECIAL[word as usize % SPECIAL.len()],
            2 | 3 => ((word as i32 >> (8 + self.word() % 24)) as f32).to_bits(),
            4 => word & 0x807F_0000 | (124 + word % 8) << 23,
            _ => word & 0x807F_FFFF | (110 + self.word() % 36) << 23,
        }
    }

    /// FPSCR: mostly the default mode, with and without Inexact.
    fn fpscr(&mut self) -> u32 {
        let word = self.word();
        if word & 7 == 0 { word & (MODE | IXC) } else { word & IXC }
    }
}

fn check(
    what: &str,
    operands: &[u32],
    fpscr: u32,
    short: impl FnOnce(&mut u32) -> u32,
    exact: impl FnOnce(&mut u32) -> u32,
) {
    let (mut short_flags, mut exact_flags) = (fpscr, fpscr);
    let (short, exact) = (short(&mut short_flags), exact(&mut exact_flags));
    assert_eq!((short, short_flags), (exact, exact_flags), "{what} of {operands:08x?} with FPSCR {fpscr:#x}");
}

#[test]
fn short_ways_give_the_exact_results_and_flags() {
    let mut numbers = Numbers(1);
    for _ in 0..ROUNDS {
        let (a, b, c, fpscr) = (numbers.single(), numbers.single(), numbers.single(), numbers.fpscr());
        check("add", &[a, b], fpscr, |flags| add(a, b, flags), |flags| add_exactly(a, b, flags));
        check("sub", &[a, b], fpscr, |flags| sub(a, b, flags), |flags| sub_exactly(a, b, flags));
        check("mul", &[a, b], fpscr, |flags| mul(a, b, flags), |flags| mul_exactly(a, b, flags));
        check("div", &[a, b], fpscr, |flags| div(a, b, flags), |flags| div_exactly(a, b, flags));
        check("sqrt", &[a], fpscr, |flags| sqrt(a, flags), |flags| sqrt_exactly(a, flags));
        check(
            "fused multiply-add",
            &[a, b, c],
            fpscr,
            |flags| fused_multiply_add(a, b, c, flags),
            |flags| fuse_exactly(a, b, c, flags),
        );
        for unsigned in [false, true] {
            let whole = numbers.word() >> (numbers.word() % 32);
            check(
                "to integer",
                &[a],
                fpscr,
                |flags| to_integer(a, unsigned, flags),
                |flags| to_fixed(a, 0, 32, unsigned, true, flags),
            );
            check(
                "from integer",
                &[whole],
                fpscr,
                |flags| from_integer(whole, unsigned, flags),
                |flags| from_fixed(whole, 0, 32, unsigned, false, flags),
            );
        }
    }
}

/// What FPCompare says of two singles.
#[test]
fn comparisons_order_singles_and_flag_signalling_nans() {
    let compared = |a: f32, b: f32, signal_quiet| {
        let mut fpscr = 0;
        (compare(a.to_bits(), b.to_bits(), signal_quiet, &mut fpscr), fpscr)
    };
    assert_eq!(compared(1.0, 2.0, true), (0x8000_0000, 0));
    assert_eq!(compared(2.0, 1.0, true), (0x2000_0000, 0));
    assert_eq!(compared(0.0, -0.0, true), (0x6000_0000, 0));
    assert_eq!(compared(f32::NAN, 1.0, false), (0x3000_0000, 0));
    assert_eq!(compared(f32::NAN, 1.0, true), (0x3000_0000, IOC));
    assert_eq!(compared(f32::from_bits(0x7F80_0001), 1.0, false), (0x3000_0000, IOC));
}
