//! Shifts, sums and flags.

use crate::decode::{ASR, LSL, LSR, ROR};
use crate::op::{Alu, Op};
use crate::state::Core;

/// Shift by a constant, where 0 < `amount` < 32 or the type is LSL; no RRX.
#[inline(always)]
pub(super) fn shift_plain(value: u32, ty: u8, amount: u32) -> u32 {
    match u32::from(ty) {
        LSL => value << (amount & 31),
        LSR => value >> (amount & 31),
        ASR => ((value as i32) >> (amount & 31)) as u32,
        _ => value.rotate_right(amount),
    }
}

/// Shift_C: any amount, RRX as type 4.
pub(super) fn shift_carry(value: u32, ty: u32, amount: u32, carry: bool) -> (u32, bool) {
    match (ty, amount) {
        (LSL | LSR | ASR | ROR, 0) => (value, carry),
        (LSL, 1..=31) => (value << amount, value >> (32 - amount) & 1 != 0),
        (LSL, 32) => (0, value & 1 != 0),
        (LSR, 1..=31) => (value >> amount, value >> (amount - 1) & 1 != 0),
        (LSR, 32) => (0, value >> 31 != 0),
        (LSL | LSR, _) => (0, false),
        (ASR, 1..=31) => (((value as i32) >> amount) as u32, value >> (amount - 1) & 1 != 0),
        (ASR, _) => (((value as i32) >> 31) as u32, value >> 31 != 0),
        (ROR, _) => {
            let rotated = value.rotate_right(amount);
            (rotated, rotated >> 31 != 0)
        }
        _ => (u32::from(carry) << 31 | value >> 1, value & 1 != 0),
    }
}

impl Core {
    /// AddWithCarry with the flags.
    #[inline(always)]
    pub(super) fn add_flags(&mut self, a: u32, b: u32, carry: bool) -> u32 {
        let (partial, first) = a.overflowing_add(b);
        let (sum, second) = partial.overflowing_add(u32::from(carry));
        self.set_nz(sum);
        self.c = first | second;
        self.v = ((a ^ sum) & (b ^ sum)) >> 31 != 0;
        sum
    }

    /// `a + b` with the flags.
    #[inline(always)]
    pub(super) fn adds(&mut self, a: u32, b: u32) -> u32 {
        let (sum, carry) = a.overflowing_add(b);
        self.set_nz(sum);
        self.c = carry;
        self.v = ((a ^ sum) & (b ^ sum)) >> 31 != 0;
        sum
    }

    /// `a - b` with the flags.
    #[inline(always)]
    pub(super) fn subs(&mut self, a: u32, b: u32) -> u32 {
        let difference = a.wrapping_sub(b);
        self.set_nz(difference);
        self.c = a >= b;
        self.v = ((a ^ b) & (a ^ difference)) >> 31 != 0;
        difference
    }

    /// Flags of a logical operation with an immediate, whose carry is `d`.
    #[inline(always)]
    pub(super) fn logical(&mut self, result: u32, carry: u8) -> u32 {
        self.set_nz(result);
        if carry != Op::CARRY_KEPT {
            self.c = carry != 0;
        }
        result
    }

    /// Any data processing operation; `carry` is the shifter's.
    pub(super) fn data_processing(&mut self, alu: Alu, flags: bool, a: u32, b: u32, carry: bool) -> u32 {
        let arithmetic = |core: &mut Self, a: u32, b: u32, carry: bool| {
            if flags { core.add_flags(a, b, carry) } else { a.wrapping_add(b).wrapping_add(u32::from(carry)) }
        };
        let result = match alu {
            Alu::Add => return arithmetic(self, a, b, false),
            Alu::Adc => return arithmetic(self, a, b, self.c),
            Alu::Sbc => return arithmetic(self, a, !b, self.c),
            Alu::Sub => return arithmetic(self, a, !b, true),
            Alu::Rsb => return arithmetic(self, !a, b, true),
            Alu::And => a & b,
            Alu::Bic => a & !b,
            Alu::Orr => a | b,
            Alu::Orn => a | !b,
            Alu::Eor => a ^ b,
            Alu::Mov => b,
            Alu::Mvn => !b,
        };
        if flags {
            self.set_nz(result);
            self.c = carry;
        }
        result
    }
}
