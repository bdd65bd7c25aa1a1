//! Single-precision arithmetic as FPv4-SP does it (ARMv7-M ARM A2.5): every rounding mode, flush to zero, default NaN
//! and the cumulative flags.
//!
//! Host doubles carry the exact result of each operation on singles, rounded *to odd* in their last bit where 53 bits
//! do not hold it; rounding that once more to 24 bits is correct in every mode (Boldo and Melquiond, 2008). The host's
//! own single-precision result is used whenever it cannot differ: round to nearest, no flush to zero, and a result well
//! inside the normal range. Then the only flag that can rise is Inexact, and it stays up, so most operations need not
//! look for it.

/// FPSCR bits.
pub(crate) mod fpscr {
    pub(crate) const IOC: u32 = 1 << 0;
    pub(crate) const DZC: u32 = 1 << 1;
    pub(crate) const OFC: u32 = 1 << 2;
    pub(crate) const UFC: u32 = 1 << 3;
    pub(crate) const IXC: u32 = 1 << 4;
    pub(crate) const IDC: u32 = 1 << 7;
    /// RMode, FZ, DN and AHP: zero is the fast mode.
    pub(crate) const FZ: u32 = 1 << 24;
    pub(crate) const DN: u32 = 1 << 25;
    pub(crate) const AHP: u32 = 1 << 26;
    pub(crate) const MODE: u32 = 0x07C0_0000;
    /// What a write keeps.
    pub(crate) const WRITABLE: u32 = 0xF7C0_009F;
}
use fpscr::{AHP, DN, DZC, FZ, IDC, IOC, IXC, MODE, OFC, UFC};

const DEFAULT_NAN: u32 = 0x7FC0_0000;
const SIGN: u32 = 0x8000_0000;
const INFINITY: u32 = 0x7F80_0000;

/// FPSCR.RMode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    Nearest,
    Up,
    Down,
    Zero,
}

fn rounding(fpscr: u32) -> Rounding {
    match fpscr >> 22 & 3 {
        0 => Rounding::Nearest,
        1 => Rounding::Up,
        2 => Rounding::Down,
        _ => Rounding::Zero,
    }
}

fn is_nan(bits: u32) -> bool {
    bits & !SIGN > INFINITY
}

fn is_signalling(bits: u32) -> bool {
    is_nan(bits) && bits & 0x0040_0000 == 0
}

/// The host's result stands: all that an exact computation could add is the Inexact flag.
#[inline(always)]
fn host_result_stands(result: f32, fpscr: u32) -> bool {
    let exponent = result.to_bits() >> 23 & 0xFF;
    fpscr & MODE == 0 && exponent.wrapping_sub(2) <= 252
}

/// The host's result, with the Inexact flag unless it `is_exact`.
#[inline(always)]
fn host_result(result: f32, fpscr: &mut u32, is_exact: impl FnOnce() -> bool) -> u32 {
    if *fpscr & IXC == 0 && !is_exact() {
        *fpscr |= IXC;
    }
    result.to_bits()
}

/// Flush to zero of an operand (FPUnpack).
fn unpack(bits: u32, fpscr: &mut u32) -> u32 {
    if *fpscr & FZ != 0 && bits & INFINITY == 0 && bits & !SIGN != 0 {
        *fpscr |= IDC;
        bits & SIGN
    } else {
        bits
    }
}

/// FPProcessNaN(s): the result if any operand is a NaN, signalling ones first.
fn process_nans(operands: &[u32], fpscr: &mut u32) -> Option<u32> {
    let signalling = operands.iter().copied().find(|&bits| is_signalling(bits));
    let nan = signalling.or_else(|| operands.iter().copied().find(|&bits| is_nan(bits)))?;
    if signalling.is_some() {
        *fpscr |= IOC;
    }
    Some(if *fpscr & DN != 0 { DEFAULT_NAN } else { nan | 0x0040_0000 })
}

fn invalid(fpscr: &mut u32) -> u32 {
    *fpscr |= IOC;
    DEFAULT_NAN
}

fn double(bits: u32) -> f64 {
    f64::from(f32::from_bits(bits))
}

/// Makes `value`, the nearest double of an exact result, odd if that result lies `error` away from it.
fn to_odd(value: f64, error: f64) -> f64 {
    if error == 0.0 || value.to_bits() & 1 != 0 {
        return value;
    }
    let away = (error > 0.0) == (value > 0.0);
    f64::from_bits(if away { value.to_bits() + 1 } else { value.to_bits() - 1 })
}

/// The sum of two doubles, rounded to odd (Knuth's exact error).
fn add_to_odd(a: f64, b: f64) -> f64 {
    let sum = a + b;
    let part = sum - a;
    to_odd(sum, (a - (sum - part)) + (b - part))
}

/// FPRound: `value` is exact or rounded to odd, finite and not zero.
fn round(value: f64, fpscr: &mut u32) -> u32 {
    round_with(value, rounding(*fpscr), fpscr)
}

fn round_with(value: f64, mode: Rounding, fpscr: &mut u32) -> u32 {
    let bits = value.to_bits();
    let negative = bits >> 63 != 0;
    let sign = if negative { SIGN } else { 0 };
    let exponent = (bits >> 52 & 0x7FF) as i32 - 1023;
    let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
    let tiny = exponent < -126;
    if tiny && *fpscr & FZ != 0 {
        *fpscr |= UFC;
        return sign;
    }
    // Bits to drop: 29 for a normal result, more for a subnormal one.
    let drop = if tiny { (29 + (-126 - exponent)).min(63) } else { 29 } as u32;
    let kept = mantissa >> drop;
    let rest = mantissa & ((1 << drop) - 1);
    let half = 1u64 << (drop - 1);
    let up = match mode {
        Rounding::Nearest => rest > half || (rest == half && kept & 1 != 0),
        Rounding::Up => rest != 0 && !negative,
        Rounding::Down => rest != 0 && negative,
        Rounding::Zero => false,
    };
    if rest != 0 {
        *fpscr |= IXC;
        if tiny {
            *fpscr |= UFC;
        }
    }
    let kept = kept as u32 + u32::from(up);
    // A carry out of the mantissa runs into the exponent field, which is what it should do.
    let magnitude = if tiny { kept } else { (((exponent + 126) as u32) << 23).wrapping_add(kept) };
    if exponent > 127 || magnitude >= INFINITY {
        *fpscr |= OFC | IXC;
        let to_infinity = match mode {
            Rounding::Nearest => true,
            Rounding::Up => !negative,
            Rounding::Down => negative,
            Rounding::Zero => false,
        };
        return sign | if to_infinity { INFINITY } else { INFINITY - 1 };
    }
    sign | magnitude
}

/// The sign of an exact zero sum of operands with different signs.
fn zero_sum(fpscr: u32) -> u32 {
    if rounding(fpscr) == Rounding::Down { SIGN } else { 0 }
}

#[inline(always)]
pub(crate) fn add(a: u32, b: u32, fpscr: &mut u32) -> u32 {
    let host = f32::from_bits(a) + f32::from_bits(b);
    if host_result_stands(host, *fpscr) {
        host_result(host, fpscr, || add_to_odd(double(a), double(b)) == f64::from(host))
    } else {
        add_exactly(a, b, fpscr)
    }
}

#[inline(always)]
pub(crate) fn sub(a: u32, b: u32, fpscr: &mut u32) -> u32 {
    let host = f32::from_bits(a) - f32::from_bits(b);
    if host_result_stands(host, *fpscr) {
        host_result(host, fpscr, || add_to_odd(double(a), -double(b)) == f64::from(host))
    } else {
        sub_exactly(a, b, fpscr)
    }
}

#[inline(never)]
fn sub_exactly(a: u32, b: u32, fpscr: &mut u32) -> u32 {
    if is_nan(b) {
        // FPSub hands NaNs on unchanged.
        let operands = [unpack(a, fpscr), b];
        process_nans(&operands, fpscr).unwrap_or(DEFAULT_NAN)
    } else {
        add_exactly(a, b ^ SIGN, fpscr)
    }
}

#[inline(never)]
fn add_exactly(a: u32, b: u32, fpscr: &mut u32) -> u32 {
    let (a, b) = (unpack(a, fpscr), unpack(b, fpscr));
    if let Some(nan) = process_nans(&[a, b], fpscr) {
        return nan;
    }
    let (infinite_a, infinite_b) = (a & !SIGN == INFINITY, b & !SIGN == INFINITY);
    if infinite_a || infinite_b {
        return if infinite_a && infinite_b && a != b {
            invalid(fpscr)
        } else if infinite_a {
            a
        } else {
            b
        };
    }
    let sum = add_to_odd(double(a), double(b));
    if sum != 0.0 {
        round(sum, fpscr)
    } else if a == b {
        a
    } else {
        zero_sum(*fpscr)
    }
}

#[inline(always)]
pub(crate) fn mul(a: u32, b: u32, fpscr: &mut u32) -> u32 {
    let host = f32::from_bits(a) * f32::from_bits(b);
    if host_result_stands(host, *fpscr) {
        host_result(host, fpscr, || double(a) * double(b) == f64::from(host))
    } else {
        mul_exactly(a, b, fpscr)
    }
}

#[inline(never)]
fn mul_exactly(a: u32, b: u32, fpscr: &mut u32) -> u32 {
    let (a, b) = (unpack(a, fpscr), unpack(b, fpscr));
    if let Some(nan) = process_nans(&[a, b], fpscr) {
        return nan;
    }
    let sign = (a ^ b) & SIGN;
    let (magnitude_a, magnitude_b) = (a & !SIGN, b & !SIGN);
    if magnitude_a == INFINITY || magnitude_b == INFINITY {
        return if magnitude_a == 0 || magnitude_b == 0 { invalid(fpscr) } else { sign | INFINITY };
    }
    if magnitude_a == 0 || magnitude_b == 0 { sign } else { round(double(a) * double(b), fpscr) }
}

#[inline(always)]
pub(crate) fn div(a: u32, b: u32, fpscr: &mut u32) -> u32 {
    let host = f32::from_bits(a) / f32::from_bits(b);
    if host_result_stands(host, *fpscr) {
        // The product of two singles is exact.
        host_result(host, fpscr, || f64::from(host) * double(b) == double(a))
    } else {
        div_exactly(a, b, fpscr)
    }
}

#[inline(never)]
fn div_exactly(a: u32, b: u32, fpscr: &mut u32) -> u32 {
    let (a, b) = (unpack(a, fpscr), unpack(b, fpscr));
    if let Some(nan) = process_nans(&[a, b], fpscr) {
        return nan;
    }
    let sign = (a ^ b) & SIGN;
    let (magnitude_a, magnitude_b) = (a & !SIGN, b & !SIGN);
    match (magnitude_a, magnitude_b) {
        (0, 0) | (INFINITY, INFINITY) => invalid(fpscr),
        (INFINITY, _) => sign | INFINITY,
        (0, _) | (_, INFINITY) => sign,
        (_, 0) => {
            *fpscr |= DZC;
            sign | INFINITY
        }
        _ => {
            let (dividend, divisor) = (double(a), double(b));
            let quotient = dividend / divisor;
            // The remainder is exact; where the true quotient lies follows from its sign and the divisor's.
            let remainder = (-quotient).mul_add(divisor, dividend);
            round(to_odd(quotient, if divisor > 0.0 { remainder } else { -remainder }), fpscr)
        }
    }
}

#[inline(always)]
pub(crate) fn sqrt(a: u32, fpscr: &mut u32) -> u32 {
    let host = f32::from_bits(a).sqrt();
    if host_result_stands(host, *fpscr) {
        host_result(host, fpscr, || f64::from(host) * f64::from(host) == double(a))
    } else {
        sqrt_exactly(a, fpscr)
    }
}

#[inline(never)]
fn sqrt_exactly(a: u32, fpscr: &mut u32) -> u32 {
    let a = unpack(a, fpscr);
    if let Some(nan) = process_nans(&[a], fpscr) {
        return nan;
    }
    if a & !SIGN == 0 || a == INFINITY {
        return a;
    }
    if a & SIGN != 0 {
        return invalid(fpscr);
    }
    let value = double(a);
    let root = value.sqrt();
    round(to_odd(root, (-root).mul_add(root, value)), fpscr)
}

/// `addend + a * b`, rounded once.
#[inline(always)]
pub(crate) fn fused_multiply_add(addend: u32, a: u32, b: u32, fpscr: &mut u32) -> u32 {
    let sum = add_to_odd(double(addend), double(a) * double(b));
    let host = sum as f32;
    if host_result_stands(host, *fpscr) {
        host_result(host, fpscr, || sum == f64::from(host))
    } else {
        fuse_exactly(addend, a, b, fpscr)
    }
}

#[inline(never)]
fn fuse_exactly(addend: u32, a: u32, b: u32, fpscr: &mut u32) -> u32 {
    let (addend, a, b) = (unpack(addend, fpscr), unpack(a, fpscr), unpack(b, fpscr));
    let (magnitude_a, magnitude_b) = (a & !SIGN, b & !SIGN);
    let infinite_product = magnitude_a == INFINITY || magnitude_b == INFINITY;
    let zero_product = magnitude_a == 0 || magnitude_b == 0;
    if is_nan(addend) && !is_signalling(addend) && infinite_product && zero_product {
        return invalid(fpscr);
    }
    if let Some(nan) = process_nans(&[addend, a, b], fpscr) {
        return nan;
    }
    let sign = (a ^ b) & SIGN;
    let infinite_addend = addend & !SIGN == INFINITY;
    if infinite_product {
        return if zero_product || (infinite_addend && addend & SIGN != sign) {
            invalid(fpscr)
        } else {
            sign | INFINITY
        };
    }
    if infinite_addend {
        return addend;
    }
    let sum = add_to_odd(double(addend), double(a) * double(b));
    if sum != 0.0 {
        round(sum, fpscr)
    } else if zero_product && addend & !SIGN == 0 && addend & SIGN == sign {
        sign
    } else {
        zero_sum(*fpscr)
    }
}

/// FPCompare: NZCV in the upper bits of a word.
#[inline(always)]
pub(crate) fn compare(a: u32, b: u32, signal_quiet: bool, fpscr: &mut u32) -> u32 {
    let (a, b) = (unpack(a, fpscr), unpack(b, fpscr));
    let (left, right) = (f32::from_bits(a), f32::from_bits(b));
    if left == right {
        0x6000_0000
    } else if left < right {
        0x8000_0000
    } else if left > right {
        0x2000_0000
    } else {
        compare_unordered(a, b, signal_quiet, fpscr)
    }
}

#[inline(never)]
fn compare_unordered(a: u32, b: u32, signal_quiet: bool, fpscr: &mut u32) -> u32 {
    if signal_quiet || is_signalling(a) || is_signalling(b) {
        *fpscr |= IOC;
    }
    0x3000_0000
}

/// FPToFixed of a whole number of 32 bits, rounded to zero: what a conversion in a program is.
#[inline(always)]
pub(crate) fn to_integer(a: u32, unsigned: bool, fpscr: &mut u32) -> u32 {
    let host = f32::from_bits(a);
    let fits = if unsigned {
        (0.0..4_294_967_296.0).contains(&host)
    } else {
        (-2_147_483_648.0..2_147_483_648.0).contains(&host)
    };
    if !fits || *fpscr & FZ != 0 {
        return to_fixed(a, 0, 32, unsigned, true, fpscr);
    }
    let integer = host as i64;
    if integer as f32 != host {
        *fpscr |= IXC;
    }
    integer as u32
}

/// FPToFixed: to an integer of `size` bits with `fraction` bits below the point, saturating.
pub(crate) fn to_fixed(a: u32, fraction: u32, size: u32, unsigned: bool, to_zero: bool, fpscr: &mut u32) -> u32 {
    let a = unpack(a, fpscr);
    let mode = if to_zero { Rounding::Zero } else { rounding(*fpscr) };
    if is_nan(a) {
        *fpscr |= IOC;
        return 0;
    }
    let (least, most) = match (unsigned, size) {
        (true, 16) => (0.0, 65_535.0),
        (true, _) => (0.0, 4_294_967_295.0),
        (false, 16) => (-32_768.0, 32_767.0),
        (false, _) => (-2_147_483_648.0, 2_147_483_647.0),
    };
    let exact = double(a) * f64::from(fraction).exp2();
    let integer = match mode {
        Rounding::Nearest => exact.round_ties_even(),
        Rounding::Up => exact.ceil(),
        Rounding::Down => exact.floor(),
        Rounding::Zero => exact.trunc(),
    };
    let result = if integer < least || integer > most {
        *fpscr |= IOC;
        if integer < least { least } else { most }
    } else {
        if integer != exact {
            *fpscr |= IXC;
        }
        integer
    };
    result as i64 as u32
}

/// FixedToFP from a whole number of 32 bits.
#[inline(always)]
pub(crate) fn from_integer(a: u32, unsigned: bool, fpscr: &mut u32) -> u32 {
    if *fpscr & MODE != 0 {
        return from_fixed(a, 0, 32, unsigned, false, fpscr);
    }
    let integer = if unsigned { i64::from(a) } else { i64::from(a as i32) };
    let host = integer as f32;
    host_result(host, fpscr, || host as i64 == integer)
}

/// FixedToFP: from an integer of `size` bits in the low bits of `a`.
pub(crate) fn from_fixed(a: u32, fraction: u32, size: u32, unsigned: bool, to_nearest: bool, fpscr: &mut u32) -> u32 {
    let integer = match (unsigned, size) {
        (true, 16) => f64::from(a as u16),
        (true, _) => f64::from(a),
        (false, 16) => f64::from(a as i16),
        (false, _) => f64::from(a as i32),
    };
    if integer == 0.0 {
        return 0;
    }
    let mode = if to_nearest { Rounding::Nearest } else { rounding(*fpscr) };
    round_with(integer / f64::from(fraction).exp2(), mode, fpscr)
}

/// FPHalfToSingle.
pub(crate) fn half_to_single(half: u32, fpscr: &mut u32) -> u32 {
    let sign = (half & 0x8000) << 16;
    let (exponent, mantissa) = (half >> 10 & 31, half & 0x3FF);
    match exponent {
        0 if mantissa == 0 => sign,
        0 => {
            // Subnormal halves are normal singles: m * 2^-24.
            let value = f64::from(mantissa) * (-24f64).exp2();
            sign | (value as f32).to_bits()
        }
        31 if *fpscr & AHP == 0 => {
            if mantissa == 0 {
                sign | INFINITY
            } else {
                if mantissa & 0x200 == 0 {
                    *fpscr |= IOC;
                }
                if *fpscr & DN != 0 { DEFAULT_NAN } else { sign | INFINITY | 0x0040_0000 | mantissa << 13 }
            }
        }
        _ => sign | (exponent + 112) << 23 | mantissa << 13,
    }
}

/// FPSingleToHalf. Flush to zero does not apply to the result (FPRound for 16 bits), but to the operand it does.
pub(crate) fn single_to_half(a: u32, fpscr: &mut u32) -> u32 {
    let a = unpack(a, fpscr);
    let sign = a >> 16 & 0x8000;
    let alternative = *fpscr & AHP != 0;
    if is_nan(a) {
        if is_signalling(a) || alternative {
            *fpscr |= IOC;
        }
        return match (alternative, *fpscr & DN != 0) {
            (true, _) => sign,
            (false, true) => 0x7E00,
            (false, false) => sign | 0x7E00 | a >> 13 & 0x1FF,
        };
    }
    if a & !SIGN == INFINITY {
        if alternative {
            *fpscr |= IOC;
            return sign | 0x7FFF;
        }
        return sign | 0x7C00;
    }
    if a & !SIGN == 0 {
        return sign;
    }
    let mode = rounding(*fpscr);
    let negative = sign != 0;
    let bits = double(a).to_bits();
    let exponent = (bits >> 52 & 0x7FF) as i32 - 1023;
    let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
    let tiny = exponent < -14;
    let drop = if tiny { (42 + (-14 - exponent)).min(63) } else { 42 } as u32;
    let kept = mantissa >> drop;
    let rest = mantissa & ((1 << drop) - 1);
    let half = 1u64 << (drop - 1);
    let up = match mode {
        Rounding::Nearest => rest > half || (rest == half && kept & 1 != 0),
        Rounding::Up => rest != 0 && !negative,
        Rounding::Down => rest != 0 && negative,
        Rounding::Zero => false,
    };
    let kept = kept as u32 + u32::from(up);
    let magnitude = if tiny { kept } else { (((exponent + 14) as u32) << 10).wrapping_add(kept) };
    if alternative {
        if exponent > 16 || magnitude > 0x7FFF {
            *fpscr |= IOC;
            return sign | 0x7FFF;
        }
    } else if exponent > 15 || magnitude >= 0x7C00 {
        *fpscr |= OFC | IXC;
        let to_infinity = match mode {
            Rounding::Nearest => true,
            Rounding::Up => !negative,
            Rounding::Down => negative,
            Rounding::Zero => false,
        };
        return sign | if to_infinity { 0x7C00 } else { 0x7BFF };
    }
    if rest != 0 {
        *fpscr |= IXC;
        if tiny {
            *fpscr |= UFC;
        }
    }
    sign | magnitude
}

#[cfg(test)]
mod tests;
