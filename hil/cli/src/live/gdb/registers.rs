//! The Cortex-M4F's registers as GDB names and orders them.

use std::num::NonZeroUsize;

use gdbstub::arch::{Arch, RegId, Registers};

/// Register groups in GDB's order: r0-r15 and xPSR, d0-d15, FPSCR, MSP and PSP, then what DCRSR calls register 20.
pub(super) const TARGET_XML: &str = r#"<?xml version="1.0"?>
<!DOCTYPE target SYSTEM "gdb-target.dtd">
<target version="1.0">
<architecture>armv7e-m</architecture>
<feature name="org.gnu.gdb.arm.m-profile">
<reg name="r0" bitsize="32"/><reg name="r1" bitsize="32"/><reg name="r2" bitsize="32"/><reg name="r3" bitsize="32"/>
<reg name="r4" bitsize="32"/><reg name="r5" bitsize="32"/><reg name="r6" bitsize="32"/><reg name="r7" bitsize="32"/>
<reg name="r8" bitsize="32"/><reg name="r9" bitsize="32"/><reg name="r10" bitsize="32"/><reg name="r11" bitsize="32"/>
<reg name="r12" bitsize="32"/><reg name="sp" bitsize="32" type="data_ptr"/><reg name="lr" bitsize="32"/>
<reg name="pc" bitsize="32" type="code_ptr"/><reg name="xpsr" bitsize="32"/>
</feature>
<feature name="org.gnu.gdb.arm.vfp">
<reg name="d0" bitsize="64" type="ieee_double"/><reg name="d1" bitsize="64" type="ieee_double"/>
<reg name="d2" bitsize="64" type="ieee_double"/><reg name="d3" bitsize="64" type="ieee_double"/>
<reg name="d4" bitsize="64" type="ieee_double"/><reg name="d5" bitsize="64" type="ieee_double"/>
<reg name="d6" bitsize="64" type="ieee_double"/><reg name="d7" bitsize="64" type="ieee_double"/>
<reg name="d8" bitsize="64" type="ieee_double"/><reg name="d9" bitsize="64" type="ieee_double"/>
<reg name="d10" bitsize="64" type="ieee_double"/><reg name="d11" bitsize="64" type="ieee_double"/>
<reg name="d12" bitsize="64" type="ieee_double"/><reg name="d13" bitsize="64" type="ieee_double"/>
<reg name="d14" bitsize="64" type="ieee_double"/><reg name="d15" bitsize="64" type="ieee_double"/>
<reg name="fpscr" bitsize="32" type="int" group="float"/>
</feature>
<feature name="org.gnu.gdb.arm.m-system">
<reg name="msp" bitsize="32" type="data_ptr"/><reg name="psp" bitsize="32" type="data_ptr"/>
<reg name="primask" bitsize="32" type="int" group="system"/><reg name="basepri" bitsize="32" type="int" group="system"/>
<reg name="faultmask" bitsize="32" type="int" group="system"/><reg name="control" bitsize="32" type="int" group="system"/>
</feature>
</target>
"#;

/// Words in the order of [`TARGET_XML`].
const WORDS: usize = 17 + 32 + 1 + 6;
/// Index of FPSCR's word, and GDB's number of it.
const FPSCR: usize = 17 + 32;
const FPSCR_NUMBER: usize = 17 + 16;
const PC: usize = 15;

/// Where a word is, as DCRSR.REGSEL numbers it, and the byte of it (PRIMASK and its neighbours share one).
pub(super) fn selector(word: usize) -> (u8, Option<u32>) {
    match word {
        0..17 => (word as u8, None),
        17..FPSCR => (64 + (word - 17) as u8, None),
        FPSCR => (33, None),
        50 => (17, None),
        51 => (18, None),
        // PRIMASK, BASEPRI, FAULTMASK, CONTROL.
        _ => (20, Some(8 * (word - 52) as u32)),
    }
}

/// All registers, as words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CoreRegisters(pub [u32; WORDS]);

impl Default for CoreRegisters {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl Registers for CoreRegisters {
    type ProgramCounter = u32;

    fn pc(&self) -> u32 {
        self.0[PC]
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        self.0.iter().flat_map(|word| word.to_le_bytes()).for_each(|byte| write_byte(Some(byte)));
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        if bytes.len() != 4 * WORDS {
            return Err(());
        }
        for (word, bytes) in self.0.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Ok(())
    }
}

/// One register: its first word and how many it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CoreRegister {
    pub first: usize,
    pub words: usize,
}

impl RegId for CoreRegister {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        let (first, words) = match id {
            0..17 => (id, 1),
            17..FPSCR_NUMBER => (17 + 2 * (id - 17), 2),
            FPSCR_NUMBER..40 => (id - FPSCR_NUMBER + FPSCR, 1),
            _ => return None,
        };
        Some((Self { first, words }, NonZeroUsize::new(4 * words)))
    }
}

/// ARMv7E-M with FPv4-SP.
#[derive(Debug)]
pub(super) enum CortexM4f {}

impl Arch for CortexM4f {
    type Usize = u32;
    type Registers = CoreRegisters;
    type BreakpointKind = usize;
    type RegId = CoreRegister;

    fn target_description_xml() -> Option<&'static str> {
        Some(TARGET_XML)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sizes_and_the_description_agree() {
        let sizes: Vec<usize> = TARGET_XML
            .split("bitsize=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().parse::<usize>().unwrap() / 32)
            .collect();
        assert_eq!(sizes.iter().sum::<usize>(), WORDS);
        let mut word = 0;
        for (id, words) in sizes.into_iter().enumerate() {
            assert_eq!(CoreRegister::from_raw_id(id).unwrap().0, CoreRegister { first: word, words });
            word += words;
        }
        assert_eq!(CoreRegister::from_raw_id(40), None);
        assert_eq!(
            [selector(48), selector(49), selector(52), selector(55)],
            [(95, None), (33, None), (20, Some(0)), (20, Some(24))]
        );
    }
}
