//! DSP extension: parallel and saturating arithmetic, packing, and the signed multiplications.

use crate::op::{Kind, Op, extend};
use crate::state::Core;

/// Kinds that only touch core registers, APSR.Q and APSR.GE.
pub(super) fn execute(core: &mut Core, op: &Op) {
    let n = core.r[usize::from(op.b & 15)];
    let m = core.r[usize::from(op.c & 15)];
    let result = match op.kind {
        Kind::Rev16 => (m & 0x00FF_00FF) << 8 | m >> 8 & 0x00FF_00FF,
        Kind::Revsh => (m as u16).swap_bytes() as i16 as u32,
        Kind::Rbit => m.reverse_bits(),
        Kind::Extend => extended(op, n, m),
        Kind::Pkhbt => n & 0xFFFF | shift_left(m, op.imm) & 0xFFFF_0000,
        Kind::Pkhtb => n & 0xFFFF_0000 | ((m as i32) >> op.imm.min(31)) as u32 & 0xFFFF,
        Kind::Ssat | Kind::Usat => {
            let shifted = if op.d == 0 { shift_left(n, op.c.into()) as i32 } else { (n as i32) >> op.c.min(31) };
            saturate(core, i64::from(shifted), op.imm, op.kind == Kind::Usat)
        }
        Kind::Ssat16 | Kind::Usat16 => {
            let unsigned = op.kind == Kind::Usat16;
            let low = saturate(core, i64::from(n as i16), op.imm, unsigned) & 0xFFFF;
            let high = saturate(core, i64::from((n >> 16) as i16), op.imm, unsigned);
            high << 16 | low
        }
        Kind::Parallel => parallel(core, op.d, op.imm, n, m),
        Kind::Sel => {
            let mask = (0..4).fold(0, |mask, i| mask | ((core.ge >> i & 1) * (0xFF << (8 * i))));
            n & mask | m & !mask
        }
        Kind::Saturating => {
            let (n, m) = (i64::from(n as i32), i64::from(m as i32));
            let n = if op.d & 1 != 0 { i64::from(saturate(core, 2 * n, 32, false) as i32) } else { n };
            saturate(core, if op.d & 2 != 0 { m - n } else { m + n }, 32, false)
        }
        Kind::Usada8 => {
            let accumulator = if op.imm == 15 { 0 } else { core.r[(op.imm & 15) as usize] };
            (0..4).fold(accumulator, |sum, i| {
                let (a, b) = (n >> (8 * i) & 0xFF, m >> (8 * i) & 0xFF);
                sum.wrapping_add(a.abs_diff(b))
            })
        }
        Kind::SmlalXy | Kind::Smlald => return long(core, op, n, m),
        _ => multiply(core, op, n, m),
    };
    core.r[usize::from(op.a & 15)] = result;
}

fn shift_left(value: u32, amount: u32) -> u32 {
    value << (amount & 31)
}

fn extended(op: &Op, n: u32, m: u32) -> u32 {
    let rotated = m.rotate_right(op.imm);
    let base = if op.b == 15 { 0 } else { n };
    let halves = |low: u32, high: u32| base.wrapping_add(low) & 0xFFFF | (base >> 16).wrapping_add(high) << 16;
    match op.d {
        extend::SXTH => base.wrapping_add(rotated as i16 as u32),
        extend::UXTH => base.wrapping_add(rotated & 0xFFFF),
        extend::SXTB16 => halves(rotated as i8 as u32, (rotated >> 16) as i8 as u32),
        extend::UXTB16 => halves(rotated & 0xFF, rotated >> 16 & 0xFF),
        extend::SXTB => base.wrapping_add(rotated as i8 as u32),
        _ => base.wrapping_add(rotated & 0xFF),
    }
}

/// SatQ to `bits` bits, with the Q flag.
fn saturate(core: &mut Core, value: i64, bits: u32, unsigned: bool) -> u32 {
    let (least, most) =
        if unsigned { (0, (1i64 << bits) - 1) } else { (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1) };
    let result = value.clamp(least, most);
    core.q |= result != value;
    result as u32
}

/// `operation` and `prefix` as encoded (A5.3.15): S, Q, SH and, from 4, U, UQ, UH.
fn parallel(core: &mut Core, operation: u8, prefix: u32, n: u32, m: u32) -> u32 {
    let unsigned = prefix & 4 != 0;
    let mut ge = 0;
    let mut result = 0;
    // Lane `i` of the result, made of lane `i` of `n` and lane `j` of `m`.
    let mut lane = |width: u32, i: u32, j: u32, subtract: bool| {
        let mask = (1u32 << width) - 1;
        let extract = |word: u32, k: u32| {
            let field = word >> (width * k) & mask;
            if unsigned { i64::from(field) } else { i64::from(((field << (32 - width)) as i32) >> (32 - width)) }
        };
        let (a, b) = (extract(n, i), extract(m, j));
        let exact = if subtract { a - b } else { a + b };
        let value = match (prefix & 3, unsigned) {
            (1, false) => exact.clamp(-(1 << (width - 1)), (1 << (width - 1)) - 1),
            (1, true) => exact.clamp(0, (1 << width) - 1),
            (2, _) => exact >> 1,
            _ => exact,
        };
        // GE: no borrow, or a carry in unsigned sums.
        let set = if unsigned && !subtract { exact >> width != 0 } else { exact >= 0 };
        if set {
            ge |= ((1 << (width / 8)) - 1) << (width / 8 * i);
        }
        result |= (value as u32 & mask) << (width * i);
    };
    match operation {
        1 => [0, 1].into_iter().for_each(|i| lane(16, i, i, false)),
        5 => [0, 1].into_iter().for_each(|i| lane(16, i, i, true)),
        // ASX: the low half subtracts, the high half adds, with the halves of Rm exchanged.
        2 => {
            lane(16, 0, 1, true);
            lane(16, 1, 0, false);
        }
        6 => {
            lane(16, 0, 1, false);
            lane(16, 1, 0, true);
        }
        0 => (0..4).for_each(|i| lane(8, i, i, false)),
        _ => (0..4).for_each(|i| lane(8, i, i, true)),
    }
    if prefix & 3 == 0 {
        core.ge = ge;
    }
    result
}

fn half(word: u32, top: bool) -> i64 {
    i64::from(if top { (word >> 16) as i16 } else { word as i16 })
}

/// The two products of SMUAD and its kin, the second operand's halves exchanged if `exchange`.
fn dual(n: u32, m: u32, exchange: bool, subtract: bool) -> i64 {
    let m = if exchange { m.rotate_right(16) } else { m };
    let (low, high) = (half(n, false) * half(m, false), half(n, true) * half(m, true));
    if subtract { low - high } else { low + high }
}

fn multiply(core: &mut Core, op: &Op, n: u32, m: u32) -> u32 {
    let accumulator = if op.imm == 15 { 0 } else { i64::from(core.r[(op.imm & 15) as usize] as i32) };
    let exact = match op.kind {
        Kind::SmlaXy => half(n, op.d & 2 != 0) * half(m, op.d & 1 != 0) + accumulator,
        Kind::SmlaWy => ((i64::from(n as i32) * half(m, op.d & 1 != 0)) >> 16) + accumulator,
        Kind::Smlad => dual(n, m, op.d & 1 != 0, op.d & 2 != 0) + accumulator,
        _ => {
            let product = i64::from(n as i32) * i64::from(m as i32);
            let sum = (accumulator << 32).wrapping_add(if op.d & 2 != 0 { -product } else { product });
            let rounded = if op.d & 1 != 0 { sum.wrapping_add(0x8000_0000) } else { sum };
            return (rounded >> 32) as u32;
        }
    };
    core.q |= i64::from(exact as i32) != exact;
    exact as u32
}

fn long(core: &mut Core, op: &Op, n: u32, m: u32) {
    let (lo, hi) = (usize::from(op.a & 15), usize::from(op.d & 15));
    let accumulator = (u64::from(core.r[hi]) << 32 | u64::from(core.r[lo])) as i64;
    let product = match op.kind {
        Kind::SmlalXy => half(n, op.imm & 2 != 0) * half(m, op.imm & 1 != 0),
        _ => dual(n, m, op.imm & 1 != 0, op.imm & 2 != 0),
    };
    let sum = accumulator.wrapping_add(product);
    core.r[lo] = sum as u32;
    core.r[hi] = (sum >> 32) as u32;
}
