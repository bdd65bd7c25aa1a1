//! Random instructions against what QEMU's Cortex-M4 made of them (tests/data/record.py).

use std::collections::BTreeMap;

use armv7m::{Cpu, Size, Stop};

use crate::support::{Machine, same54};

const INTERESTING: [u32; 10] = [0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x7FFF_8000, 0x8000, 0xFFFF, 0x80, 0x7F];
const FLOATS: [u32; 18] = [
    0,
    0x8000_0000,
    0x3F80_0000,
    0xBF80_0000,
    0x7F80_0000,
    0xFF80_0000,
    0x7FC0_0000,
    0x7F80_0001,
    0xFFC1_2345,
    1,
    0x807F_FFFF,
    0x0080_0000,
    0x7F7F_FFFF,
    0x4B00_0000,
    0x4F00_0000,
    0xCF00_0000,
    0x3F00_0000,
    0x3380_0000,
];

fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn core_register(line: u64, n: u64) -> u32 {
    let z = mix(line * 64 + n);
    match z >> 60 {
        0..4 => INTERESTING[((z >> 32) % 10) as usize],
        4 | 5 => (z >> 32) as u32 & 63,
        _ => z as u32,
    }
}

fn float_register(line: u64, n: u64) -> u32 {
    let z = mix((line * 64 + n) | 1 << 40);
    let kind = z >> 60;
    match kind {
        0..5 => FLOATS[((z >> 32) % 18) as usize],
        5 | 6 => z as u32,
        7 => z as u32 & 0x807F_FFFF,
        _ => {
            let mantissa = z as u32 & if kind & 1 != 0 { 0x7F_0000 } else { 0x7F_FFFF };
            (z as u32 & 0x8000_0000) | (100 + ((z >> 32) % 55) as u32) << 23 | mantissa
        }
    }
}

fn apsr(line: u64) -> u32 {
    let z = mix(line * 64 + 61);
    ((z & 31) << 27 | (z >> 8 & 15) << 16) as u32
}

fn fpscr(line: u64) -> u32 {
    let z = mix(line * 64 + 60);
    let mode = match z >> 60 {
        0..7 => 0,
        7 | 8 => 0x10,
        _ => (z >> 32 & 31) << 22,
    };
    (mode | (z >> 40 & 15) << 28) as u32
}

/// DCRSR numbers and inputs of everything an instruction may change.
fn inputs(line: u64) -> BTreeMap<String, (u8, u32)> {
    let mut registers = BTreeMap::new();
    for n in 0..13 {
        registers.insert(format!("r{n}"), (n, core_register(line, n.into())));
    }
    for n in 0..32 {
        registers.insert(format!("s{n}"), (64 + n, float_register(line, n.into())));
    }
    registers.insert("apsr".into(), (16, apsr(line)));
    registers.insert("fpscr".into(), (33, fpscr(line)));
    registers
}

fn write_register(cpu: &mut Cpu, machine: &mut Machine, number: u8, value: u32) {
    cpu.debug_write(machine, 0xE000_EDF8, Size::Word, value).expect("DCRDR");
    cpu.debug_write(machine, 0xE000_EDF4, Size::Word, 1 << 16 | u32::from(number)).expect("DCRSR");
}

#[test]
fn random_instructions_change_the_registers_that_they_change_in_qemu() {
    let mut machine = Machine::default();
    machine.flash[..8].copy_from_slice(&[0, 0, 0, 0x20, 0x41, 0, 0, 0]);
    let mut cpu = Cpu::new(same54());
    cpu.debug_write(&mut machine, 0xE000_EDFC, Size::Word, 1).expect("DEMCR: halt after reset");
    cpu.debug_write(&mut machine, 0xE000_EDF0, Size::Word, 0xA05F_0003).expect("DHCSR");
    cpu.reset(&mut machine, false);
    assert!(cpu.is_halted());
    cpu.debug_write(&mut machine, 0xE000_ED88, Size::Word, 0xF << 20).expect("CPACR");

    let text = include_str!("../data/instructions.txt");
    let mut wrong = Vec::new();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let mut columns = line.split(" | ");
        let (number, hex) = columns.next().and_then(|first| first.split_once(' ')).expect("number and encoding");
        let number = number.parse().expect("a number");
        let assembly = columns.next().expect("assembly");
        let mut expected = inputs(number);
        let mut code = Vec::new();
        for halfword in hex.as_bytes().chunks(4) {
            let value = u16::from_str_radix(str::from_utf8(halfword).expect("ASCII"), 16).expect("hexadecimal");
            code.extend(value.to_le_bytes());
        }
        code.extend([0x00, 0xBE]);
        machine.flash[0x40..0x40 + code.len()].copy_from_slice(&code);
        cpu.invalidate_code(0x40..0x48);
        for &(register, value) in expected.values() {
            let value = if register == 16 { value | 1 << 24 } else { value };
            write_register(&mut cpu, &mut machine, register, value);
        }
        // CONTROL.FPCA, so that FPSCR stays as it was set.
        write_register(&mut cpu, &mut machine, 20, 4 << 24);
        write_register(&mut cpu, &mut machine, 15, 0x40);
        for change in columns.next().expect("changes").split_whitespace() {
            let (name, value) = change.split_once('=').expect("name=value");
            expected.get_mut(name).expect("a register").1 = u32::from_str_radix(value, 16).expect("hexadecimal");
        }

        cpu.debug_write(&mut machine, 0xE000_EDF0, Size::Word, 0xA05F_0001).expect("DHCSR");
        let deadline = cpu.cycle() + 1_000;
        assert_eq!(cpu.run(&mut machine, deadline), Stop::Halted, "{assembly}");
        for (name, (register, value)) in expected {
            let seen = cpu.register(register) & if register == 16 { 0xF80F_0000 } else { u32::MAX };
            if seen != value {
                wrong.push(format!("line {number}: {hex} {assembly}: {name} is {seen:08x}, QEMU {value:08x}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
