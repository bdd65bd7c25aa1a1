//! The whole 16-bit space and the 32-bit space by class against two disassemblers: LLVM as `tests/data/classify.py`
//! recorded it for a Cortex-M4, which tells UNPREDICTABLE encodings, and Capstone, which does not and which knows no
//! processor smaller than the whole of Armv8-M, but runs here on any number of encodings. Where they and the manual
//! (ARMv7-M ARM, DDI0403E) differ the manual wins; those cases have names below.

use std::collections::BTreeMap;

use capstone::arch::arm::{ArchExtraMode, ArchMode};
use capstone::prelude::*;

use super::*;

/// What a source says about an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Valid,
    Undefined,
    Unpredictable,
    /// A coprocessor that the Cortex-M4 does not have: no disassembler knows that.
    NoCoprocessor,
}

/// A difference that is known: encodings with `encoding & mask == value`. 16-bit ones are in the low half.
struct Known {
    mask: u32,
    value: u32,
    /// What it is and where the manual says so.
    what: &'static str,
}

const fn known(mask: u32, value: u32, what: &'static str) -> Known {
    Known { mask, value, what }
}

/// Rules that make an encoding UNPREDICTABLE, which LLVM leaves out (valid) or makes hard errors of (invalid).
const UNPREDICTABLE_FOR_THE_MANUAL: &[Known] = &[
    known(0xFFFF_FFFF, 0x44FF, "ADD (register) T2 of PC to PC, A7.7.4"),
    known(0xFFFF_FF00, 0x4500, "CMP (register) T2 of PC, A7.7.28"),
    known(0xFFFF_FF80, 0x4780, "BLX (register) PC, and its (0) bits, A7.7.20"),
    known(0xFFFF_F600, 0xB400, "PUSH and POP of nothing, A7.7.101 and A7.7.99"),
    known(0xFFFF_FFE0, 0xB660, "CPS of neither mask, and its (0) bits, B5.2.1"),
    known(0xFFFF_FF00, 0xBF00, "IT with AL and an inverted condition, A7.7.38"),
    known(0xFFFF_F000, 0xC000, "LDM and STM of nothing, A7.7.41 and A7.7.159"),
    known(0xFE40_0000, 0xE800_0000, "LDM, STM: PC as base, lists with SP or one register, base in the list, A7.7.41"),
    known(0xFFE0_0000, 0xE840_0000, "STREX with a status register that is also an operand, LDREX's (1) bits, A7.7.167"),
    known(0xFFE0_0000, 0xE8C0_0000, "STREXB, STREXH, LDREXB, LDREXH likewise, TBB's (1) and (0) bits, A7.7.168"),
    known(
        0xFE50_0000,
        0xE850_0000,
        "LDRD into one register twice, with writeback to it, or literal and indexed, A7.7.50",
    ),
    known(0xFE50_0000, 0xE840_0000, "STRD with writeback to a transferred register or to PC, A7.7.166"),
    known(0xFE00_8000, 0xEA00_8000, "data processing (shifted register): bit 15 is (0), A5.3.11"),
    known(0xFF40_0000, 0xEB00_0000, "ADD, SUB of SP: only LSL by 0 to 3 into SP, A7.7.6 and A7.7.176"),
    known(0xFE00_0EF0, 0xEC00_0A10, "VMOV of SP, of a register twice or of S31 and beyond, A7.7.244"),
    known(
        0xFE00_0E00,
        0xEC00_0A00,
        "VLDM, VSTM, VSTR: PC as base, lists of nothing or past the last register, A7.7.235",
    ),
    known(0xFF00_0E10, 0xEE00_0A10, "VMOV, VMSR, VMRS: SP, PC and (0) bits, A7.7.243"),
    known(
        0xFFB0_0E10,
        0xEEB0_0A00,
        "VMOV (immediate), VCMP with zero: (0) bits; fixed point beyond its word, A7.7.230",
    ),
    known(0xFA00_80FF, 0xF000_0000, "ThumbExpandImm of a zero byte more than once, A5.3.2"),
    known(0xFB00_8000, 0xF300_0000, "SSAT to BFI: (0) bits, fields past bit 31 or backwards, A7.7.152"),
    known(0xFFE0_D000, 0xF380_8000, "MSR: no mask, a mask for another register, (0) bits, B5.2.3"),
    known(0xFF80_D000, 0xF380_8000, "hints, barriers, MRS: (0) and (1) bits, SYSm without a register, A5.3.4"),
    known(0xFF00_0800, 0xF800_0800, "stores and loads with writeback to their own register, A7.7.161"),
    known(0xFF00_0800, 0xF900_0800, "signed loads with writeback to their own register, A7.7.62"),
    known(0xFF10_F000, 0xF800_F000, "stores of PC, A7.7.161"),
    known(0xFE10_F000, 0xF810_D000, "loads of bytes and halfwords into SP, A7.7.46"),
    known(0xFF80_F040, 0xFA00_F040, "extensions: bit 6 is (0), A7.7.182"),
    known(0xFFD0_F0C0, 0xFA90_F080, "REV, REV16, RBIT, REVSH, CLZ with two different Rm, A7.7.112"),
    known(0xFFF0_F0F0, 0xFAA0_F080, "SEL of PC, A7.7.127"),
    known(0xFF80_0000, 0xFB80_0000, "long multiplications into one register twice, divisions with Ra, A7.7.149"),
];

/// Valid for the manual.
const VALID_FOR_THE_MANUAL: &[Known] = &[
    known(0xFE10_F000, 0xF810_F000, "memory hints that are not allocated do nothing, A5.3.8 and A5.3.9"),
    known(0xFE4F_0000, 0xE84D_0000, "LDRD and STRD with writeback to SP, A7.7.50 and A7.7.166"),
];

/// UNDEFINED for the manual.
const UNDEFINED_FOR_THE_MANUAL: &[Known] = &[
    known(0xFC00_0E00, 0xFC00_0A00, "floating point with T = 1, A6.4 to A6.7"),
    known(0xFFE0_0F10, 0xEEE0_0A10, "VMSR and VMRS of anything but FPSCR, A6.6"),
];

/// What Capstone knows beyond ARMv7E-M with FPv4-SP.
const LATER_OR_LARGER: &[Known] = &[
    known(0xEF00_0000, 0xEF00_0000, "Advanced SIMD data processing"),
    known(0xFF10_0000, 0xF900_0000, "Advanced SIMD loads and stores"),
    known(0xFC00_0000, 0xFC00_0000, "Armv8 and coprocessors with T = 1"),
    known(0xFF00_0F00, 0xEE00_0B00, "double precision"),
    known(0xFE00_0F00, 0xEC00_0B00, "double precision registers from D16 on"),
    known(0xFFE0_0F00, 0xEEE0_0A00, "VMSR and VMRS of other registers"),
    known(0xFF80_0F00, 0xEE80_0A00, "VMOV in undefined directions"),
    known(0xFFE0_0F80, 0xE8C0_0F80, "Armv8 acquire and release"),
    known(0xFFF0_D000, 0xF7E0_8000, "HVC"),
    known(0xFFF0_D000, 0xF7F0_8000, "SMC"),
];

fn find(table: &[Known], encoding: u32) -> Option<usize> {
    table.iter().position(|known| encoding & known.mask == known.value)
}

fn ours(encoding: u32) -> Class {
    let (hw1, hw2) = if encoding >> 16 == 0 { (encoding, 0) } else { (encoding >> 16, encoding) };
    let op = decode(hw1 as u16, hw2 as u16, 0, 0);
    match op.kind {
        Kind::Undefined if Invalid::of(&op) == Invalid::Unpredictable => Class::Unpredictable,
        Kind::Undefined if Invalid::of(&op) == Invalid::Undefined => Class::Undefined,
        Kind::NoCoprocessor => Class::NoCoprocessor,
        // UDF has a name and so is valid for a disassembler.
        _ => Class::Valid,
    }
}

const SAMPLES: u64 = 16;

fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The same as in `classify.py` for `n` below [`SAMPLES`].
fn second_halfword(hw1: u32, n: u64) -> u32 {
    let r = mix(u64::from(hw1) * SAMPLES + n);
    let (hw2, choice) = (r as u32 & 0xFFFF, (r >> 32) as u32);
    match n % 8 {
        0 => hw2,
        1 => hw2 | 0xF000,
        2 => hw2 & 0x7FFF,
        3 => hw2 & 0xF0FF | 0x0A00,
        4 => hw2 & 0xF02F | 0x0A00 | (choice & 3) << 6 | 0x10,
        5 => hw2 & 0xFF0F | (choice & 15) << 4,
        6 => hw2 | 0x0F00,
        _ => hw2 & 0x0F0F | 0xF000 | (choice & 15) << 4,
    }
}

#[test]
fn llvm_and_the_decoder_agree_on_valid_undefined_and_unpredictable() {
    let number = |hex: &str| u32::from_str_radix(hex, 16).expect("hexadecimal");
    let mut wrong = BTreeMap::<(Class, char, u32), (u32, u32)>::new();
    let mut used = [
        [false; UNPREDICTABLE_FOR_THE_MANUAL.len()],
        [false; UNPREDICTABLE_FOR_THE_MANUAL.len()],
        [false; UNPREDICTABLE_FOR_THE_MANUAL.len()],
    ];
    let mut compared = 0;
    let mut compare = |encoding: u32, letter: char| {
        let ours = ours(encoding);
        let (table, uses) = match (ours, letter) {
            (Class::NoCoprocessor, _) => return,
            (Class::Valid, 'v') | (Class::Undefined, 'u') | (Class::Unpredictable, 'p') => {
                compared += 1;
                return;
            }
            (Class::Valid, _) => (VALID_FOR_THE_MANUAL, 0),
            (Class::Undefined, _) => (UNDEFINED_FOR_THE_MANUAL, 1),
            _ => (UNPREDICTABLE_FOR_THE_MANUAL, 2),
        };
        match find(table, encoding) {
            Some(index) => used[uses][index] = true,
            None => wrong.entry((ours, letter, encoding >> 20)).or_insert((0, encoding)).0 += 1,
        }
    };
    for line in include_str!("../../tests/data/classes.txt").lines().filter(|line| !line.starts_with('#')) {
        let (letters, runs) = line.split_once(' ').expect("letters and halfwords");
        for run in runs.split(' ') {
            let (first, last) = run.split_once('-').unwrap_or((run, run));
            for hw1 in number(first)..=number(last) {
                if !is_wide(hw1 as u16) {
                    compare(hw1, letters.chars().next().expect("a letter"));
                    continue;
                }
                for (n, letter) in (0..).zip(letters.chars()) {
                    compare(hw1 << 16 | second_halfword(hw1, n), letter);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "ours, LLVM's, class: how many, for example {wrong:x?}");
    assert!(compared > 130_000, "{compared}");
    for (table, used) in
        [VALID_FOR_THE_MANUAL, UNDEFINED_FOR_THE_MANUAL, UNPREDICTABLE_FOR_THE_MANUAL].iter().zip(&used)
    {
        for (known, used) in table.iter().zip(used) {
            assert!(used, "no difference any more: {}", known.what);
        }
    }
}

#[test]
fn capstone_and_the_decoder_agree_on_what_exists() {
    let capstone = Capstone::new()
        .arm()
        .mode(ArchMode::Thumb)
        .extra_mode([ArchExtraMode::MClass].into_iter())
        .build()
        .expect("Capstone");
    let mut wrong = BTreeMap::<(Class, u32), (u32, u32)>::new();
    let mut used = [false; LATER_OR_LARGER.len()];
    let mut compare = |encoding: u32| {
        let ours = ours(encoding);
        if matches!(ours, Class::NoCoprocessor | Class::Unpredictable) {
            return;
        }
        let rotated = if encoding >> 16 == 0 { encoding } else { encoding.rotate_left(16) };
        let bytes = rotated.to_le_bytes();
        let length = if encoding >> 16 == 0 { 2 } else { 4 };
        let exists = !capstone.disasm_count(&bytes[..length], 0, 1).expect("Capstone").is_empty();
        let known = match (ours, exists) {
            (Class::Valid, true) | (Class::Undefined, false) => return,
            (Class::Valid, false) => find(VALID_FOR_THE_MANUAL, encoding).is_some(),
            _ => find(LATER_OR_LARGER, encoding).map(|index| used[index] = true).is_some(),
        };
        if !known && encoding != 0xDEF9 {
            wrong.entry((ours, encoding >> 20)).or_insert((0, encoding)).0 += 1;
        }
    };
    (0..0xE800).for_each(&mut compare);
    for hw1 in 0xE800..0x1_0000 {
        for n in 0..64 {
            compare(hw1 << 16 | second_halfword(hw1, n));
        }
    }
    // Classes whose second halfword is all there is to them.
    for hw1 in [0xE8D2, 0xEA4F, 0xEC52, 0xED9F, 0xEEB0, 0xEEF1, 0xF3AF, 0xF3BF, 0xF3EF, 0xFA92, 0xFB95] {
        (0..0x1_0000).for_each(|hw2| compare(hw1 << 16 | hw2));
    }
    assert!(wrong.is_empty(), "ours, class: how many, for example {wrong:x?}");
    for (known, used) in LATER_OR_LARGER.iter().zip(&used) {
        assert!(used, "no difference any more: {}", known.what);
    }
}

#[test]
fn it_blocks_refuse_what_the_manual_keeps_out_of_them() {
    let class = |encoding: u32, it: u8| {
        let (hw1, hw2) = if encoding >> 16 == 0 { (encoding, 0) } else { (encoding >> 16, encoding) };
        let op = decode(hw1 as u16, hw2 as u16, 0, it);
        op.kind == Kind::Undefined && Invalid::of(&op) == Invalid::Unpredictable
    };
    // ITSTATE of the first of two instructions and of the last.
    let (first, last) = (0x04, 0x08);
    // B<cond>, B<cond>.W, CBZ, CPSIE, IT, MOVS Rd, Rm: nowhere.
    for encoding in [0xD0FE, 0xF43F_AFFE, 0xB100, 0xB662, 0xBF08, 0x0008] {
        assert!(!class(encoding, 0) && class(encoding, first) && class(encoding, last), "{encoding:#x}");
    }
    // B, B.W, BL, BX, BLX, ADD PC, MOV PC, POP {PC}, POP.W {R0, PC}, LDMDB, LDR PC (four forms), TBB: at the end.
    for encoding in [
        0xE7FE,
        0xF7FF_BFFE,
        0xF7FF_FFFE,
        0x4770,
        0x4780,
        0x4487,
        0x4687,
        0xBD01,
        0xE8BD_8001,
        0xE912_8001,
        0xF8D0_F000,
        0xF8DF_F000,
        0xF850_FB04,
        0xF850_F001,
        0xE8D0_F001,
    ] {
        assert!(!class(encoding, 0) && class(encoding, first) && !class(encoding, last), "{encoding:#x}");
    }
}

#[test]
fn udf_is_undefined_for_good() {
    for encoding in [(0xDE00, 0), (0xDEFF, 0), (0xF7F0, 0xA000), (0xF7FF, 0xAFFF)] {
        let op = decode(encoding.0, encoding.1, 0, 0);
        assert_eq!((op.kind, Invalid::of(&op)), (Kind::Undefined, Invalid::Permanent), "{encoding:x?}");
    }
    let op = decode(0xF7F0, 0x8000, 0, 0);
    assert_eq!((op.kind, Invalid::of(&op)), (Kind::Undefined, Invalid::Undefined), "SMC");
}

#[test]
fn every_encoding_decodes_to_registers_that_exist() {
    let mut rng = 1u32;
    for _ in 0..200_000 {
        rng = rng.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (hw1, hw2) = ((rng >> 16) as u16, rng.rotate_left(7) as u16);
        let op = decode(hw1, hw2, 0x100, 0);
        let most = if op.kind as u8 >= Kind::Vadd as u8 { 32 } else { 15 };
        assert!(op.a <= most && op.b <= most, "{hw1:04x} {hw2:04x}: {op:?}");
        assert!(op.len == 2 || op.len == 4);
        assert!(op.cost > 0, "{op:?}");
    }
}

#[test]
fn comparison_of_low_registers_may_have_the_encoding_for_high_ones() {
    // `cmp r0, r1`, as LLVM makes it in a compare-and-swap without optimisation.
    assert!(decode(0x4508, 0, 0, 0).kind != Kind::Undefined);
}
