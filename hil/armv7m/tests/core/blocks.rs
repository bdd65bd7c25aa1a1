//! Blocks against one instruction at a time: the same program on two cores, of which one is kept out of the fast loop by
//! a watchpoint that never matches. Everything must be equal wherever time is stopped.

#![allow(clippy::precedence, reason = "encodings read better without more parentheses")]

use armv7m::{Cpu, FetchTiming, Size};

use crate::guest::{DEMCR, DHCSR, Guest};
use crate::support::{Machine, Path, RAM, same54};

/// Where random code begins and ends; behind it stands a branch back to the beginning.
const CODE: u32 = 0x400;
const CODE_END: u32 = 0xC00;
/// Handlers.
const SKIP: u32 = 0x200;
const COUNT: u32 = 0x240;
const STACK: u32 = RAM + 0x8000;

/// SplitMix64.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, bound: u64) -> u32 {
        (self.next() % bound) as u32
    }

    /// One of the registers R0 to R6, which programs may change.
    fn low(&mut self) -> u32 {
        self.below(7)
    }
}

struct Pair {
    fast: (Cpu, Machine),
    slow: (Cpu, Machine),
}

impl Pair {
    fn new(cpu: Cpu, machine: Machine) -> Self {
        let mut slow = (cpu.clone(), machine.clone());
        for (addr, value) in [(DEMCR, 1 << 24), (0xE000_1020, 0x7000_0000), (0xE000_1028, 6)] {
            slow.0.debug_write(&mut slow.1, addr, Size::Word, value).expect("a debug register");
        }
        Self { fast: (cpu, machine), slow }
    }

    /// Runs both for `cycles` and compares.
    fn run(&mut self, cycles: u64, context: &str) {
        let deadline = self.fast.0.cycle() + cycles;
        loop {
            let stops = [&mut self.fast, &mut self.slow].map(|(cpu, machine)| {
                let stop = cpu.run(machine, deadline);
                machine.attention = false;
                stop
            });
            assert_eq!(stops[0], stops[1], "{context}: {}", self.differences());
            let differences = self.differences();
            assert!(differences.is_empty(), "{context}, to {deadline:#x}, {stops:?}: {differences}");
            if self.fast.0.cycle() >= deadline || self.fast.0.is_halted() || self.fast.0.is_locked_up() {
                return;
            }
        }
    }

    fn differences(&self) -> String {
        let (fast, slow) = (&self.fast.0, &self.slow.0);
        let mut found = String::new();
        let mut compare = |what: String, a: u64, b: u64| {
            if a != b {
                found += &format!("{what} {a:#x}, one by one {b:#x}; ");
            }
        };
        compare("cycle".into(), fast.cycle(), slow.cycle());
        compare("instructions".into(), fast.instructions(), slow.instructions());
        for register in (0..=18).chain([20, 33]).chain(64..96) {
            compare(format!("register {register}"), fast.register(register).into(), slow.register(register).into());
        }
        if self.fast.1.ram != self.slow.1.ram {
            let at = self.fast.1.ram.iter().zip(&self.slow.1.ram).position(|(a, b)| a != b);
            found += &format!("RAM+{:#x}; ", at.unwrap_or(0));
        }
        if self.fast.1.device != self.slow.1.device || self.fast.1.device_accesses != self.slow.1.device_accesses {
            found += "device; ";
        }
        if self.fast.1.path != self.slow.1.path {
            found += &format!("{:x?}, one by one {:x?}; ", self.fast.1.path, self.slow.1.path);
        }
        if !fast.executed().eq(slow.executed()) {
            let only = |a: &Cpu, b: &Cpu| a.executed().filter(|pc| !b.was_executed(*pc)).collect::<Vec<_>>();
            found += &format!("executed {:x?} and {:x?}", only(fast, slow), only(slow, fast));
        }
        found
    }
}

/// Instructions at random, as a compiler and a mischievous hand would write them.
struct Writer {
    random: Random,
    at: u32,
    code: Vec<u16>,
}

impl Writer {
    fn narrow(&mut self, halfword: u32) {
        self.code.push(halfword as u16);
        self.at += 2;
    }

    fn wide(&mut self, first: u32, second: u32) {
        self.narrow(first);
        self.narrow(second);
    }

    /// Anything that is no branch.
    fn plain(&mut self) {
        let mut r = Random(self.random.next());
        let (d, n, m, imm) = (r.low(), r.low(), r.low(), r.below(256));
        match r.below(26) {
            // Shifts, sums and moves of 16 bits.
            0 => self.narrow(imm % 24 << 8 & 0x1800 | (imm & 31) << 6 | n << 3 | d),
            1 => self.narrow(0x1800 | imm % 4 << 9 | m << 6 | n << 3 | d),
            2 => self.narrow(0x2000 | n % 4 << 11 | d << 8 | imm),
            3 => self.narrow(0x4000 | imm % 16 << 6 | n << 3 | d),
            4 => self.narrow(0x4400 | imm % 3 << 8 | n << 3 | d),
            // Data processing of 32 bits, with and without flags.
            5 | 6 => {
                let operation = [0, 1, 2, 3, 4, 8, 10, 11, 13, 14][(imm % 10) as usize];
                let flags = r.below(2) << 4;
                let shift = r.below(8) << 12 | r.below(16) << 4;
                self.wide(0xEA00 | operation << 5 | flags | n, shift | d << 8 | m);
            }
            7 => {
                let operation = [0, 1, 2, 4, 8, 10, 11, 13, 14][(imm % 9) as usize];
                let (flags, constant) = (r.below(2) << 4, r.below(8) << 12 | r.below(256));
                self.wide(0xF000 | operation << 5 | flags | n, constant | d << 8);
            }
            8 => self.wide(0xF240 | imm & 0x80 | imm & 15, r.below(8) << 12 | d << 8 | r.below(256)),
            9 => self.wide(0xFB00 | n, if imm & 1 != 0 { 15 } else { m } << 12 | d << 8 | imm & 0x10 | m),
            10 => self.wide(0xFBA0 | imm & 0x40 | n, d << 12 | (d + 1) % 7 << 8 | m),
            11 => self.wide(0xFB90 | imm & 0x20 | n, 0xF0F0 | d << 8 | m),
            12 => self.wide(0xFA00 | imm % 8 << 4 | n, 0xF000 | d << 8 | m),
            13 => self.wide(0xF3C0 | n, imm % 8 << 12 | d << 8 | (imm / 8 & 3) << 6 | imm & 31),
            14 => self.narrow(0xB200 | imm % 4 << 6 | n << 3 | d),
            // Memory: R7 points into RAM, R8 at the devices, R9 a little before the end of RAM.
            15 => {
                self.narrow([0x6000, 0x6800, 0x7000, 0x7800, 0x8000, 0x8800][(imm % 6) as usize] | m << 6 | 7 << 3 | d)
            }
            16 => self.wide(0xF880 | imm % 3 << 5 | imm & 0x10 | 7, d << 12 | r.below(0x200)),
            17 => self.wide(0xE950 & !(imm & 0x10) | 7, d << 12 | (d + 1) % 7 << 8 | imm & 15),
            18 if imm < 128 => self.narrow(0xB400 | imm & 0x7F | 1),
            18 => self.narrow(0xBC00 | imm & 0x7F | 1),
            19 if imm < 24 => self.wide(0xF8C0 | imm & 0x10 | 8, d << 12 | r.below(4) * 0x300 + imm % 4 * 4),
            19 if imm < 28 => self.wide(0xF8C0 | 9, d << 12 | r.below(16)),
            19 if imm < 30 => self.narrow(0xDE00 | imm),
            19 => self.wide(0xF857, d << 12 | 0x0900 | 4),
            20 => self.wide(0xEE30 | imm & 0x80, 0x0A00 | d << 12 | imm & 0x40 | m),
            21 => self.wide(0xED97 & !(imm & 0x10), 0x0A00 | d << 12 | imm & 15),
            22 => self.narrow(0xBF00),
            // R10 points at the code: LDR, LDRB, LDM.
            23 => self.wide(0xF89A | imm & 0x40, d << 12 | r.below(0x800)),
            24 => self.wide(0xE89A, 1 << d | 1 << n | 1 << m | 1 << 12),
            _ => self.narrow(0x4800 | d << 8 | imm & 15),
        }
    }

    fn branch(&mut self) {
        let here = (self.at - CODE) / 2;
        let mut r = Random(self.random.next());
        let (d, forward) = (r.low(), r.below(12));
        match r.below(10) {
            0..=3 => {
                let back = r.below(40).min(here.saturating_sub(4)).wrapping_neg().wrapping_sub(2);
                let offset = if r.below(3) == 0 { back } else { forward };
                let condition = r.below(14);
                self.narrow(0xD000 | condition << 8 | offset & 0xFF);
            }
            4 | 5 => self.narrow(0xB100 | r.below(2) << 11 | forward << 3 | d),
            6 => self.narrow(0xE000 | forward),
            // Call of the next instruction but some, and a return by register: MOV R6, LR; ORR R6, #1; BX R6.
            7 => self.wide(0xF000, 0xF800 | forward),
            // ADD R6, PC, #n; BX R6 with bit 0 set.
            8 => {
                if self.at & 2 != 0 {
                    self.narrow(0xBF00);
                }
                self.narrow(0xA600 | 2);
                self.narrow(0x1C76);
                self.narrow(0x4730);
                self.narrow(0xBF00);
                self.plain();
            }
            // TBB through a table of two entries.
            _ => {
                self.narrow(0x2600 | r.below(2));
                self.wide(0xE8DF, 0xF006);
                self.narrow(0x0301);
                self.plain();
                if self.code.len() & 1 != 0 {
                    self.narrow(0xBF00);
                }
            }
        }
    }

    fn if_then(&mut self) {
        let mut r = Random(self.random.next());
        let (condition, mask) = (r.below(14), 1 + r.below(15));
        self.narrow(0xBF00 | condition << 4 | mask);
        for _ in 0..4 - mask.trailing_zeros() {
            self.plain();
        }
    }

    /// Code from CODE to CODE_END.
    fn program(random: Random) -> Vec<u16> {
        let mut writer = Self { random, at: CODE, code: Vec::new() };
        while writer.at < CODE_END - 64 {
            match writer.random.below(16) {
                0..=9 => writer.plain(),
                10 | 11 => writer.if_then(),
                _ => writer.branch(),
            }
        }
        while writer.at < CODE_END - 4 {
            writer.narrow(0xBF00);
        }
        // B.W CODE
        let offset = CODE.wrapping_sub(CODE_END) >> 1;
        writer.wide(0xF000 | 1 << 10 | offset >> 11 & 0x3FF, 0xB800 | offset & 0x7FF);
        writer.code
    }
}

/// Handlers: SKIP steps over the instruction that faulted, in Thumb state and out of IT blocks, and COUNT counts.
fn machine(program: &[u16]) -> Machine {
    let mut machine = Machine::default();
    let mut put = |addr: u32, halfwords: &[u16]| {
        for (i, halfword) in halfwords.iter().enumerate() {
            let at = addr as usize + 2 * i;
            machine.flash[at..at + 2].copy_from_slice(&halfword.to_le_bytes());
        }
    };
    let word = |value: u32| [value as u16, (value >> 16) as u16];
    put(0, &word(STACK));
    put(4, &word(CODE | 1));
    for vector in 2..32 {
        put(4 * vector, &word(if vector < 7 { SKIP } else { COUNT } | 1));
    }
    // LDR R0, [SP, #24]; ADDS R0, #4; LDR R1, =CODE_END - 8; CMP R0, R1; IT HS; LDRHS R0, =CODE; BIC R0, #1;
    // STR R0, [SP, #24]; LDR R0, [SP, #28]; UBFX R0, R0, #0, #9; ORR R0, #0x01000000; STR R0, [SP, #28]; BX LR
    put(SKIP, &[0x9806, 0x3004, 0x4906, 0x4288, 0xBF28, 0x4806, 0xF020, 0x0001]);
    put(SKIP + 0x10, &[0x9006, 0x9807, 0xF3C0, 0x0008, 0xF040, 0x7080, 0x9007, 0x4770]);
    put(SKIP + 0x20, &word(CODE_END - 8));
    put(SKIP + 0x24, &word(CODE));
    // LDR R1, =RAM + 0x107C; LDR R0, [R1]; ADDS R0, #1; STR R0, [R1]; BX LR
    put(COUNT, &[0x4902, 0x6808, 0x3001, 0x6008, 0x4770, 0xBF00]);
    put(COUNT + 0xC, &word(RAM + 0x107C));
    put(CODE, program);
    machine
}

fn random_program(seed: u64) {
    let mut random = Random(seed);
    let mut pair = {
        let mut machine = machine(&Writer::program(random.clone()));
        let mut cpu = Cpu::new(same54());
        cpu.reset(&mut machine, true);
        let wait = (seed / 3 % 7) as u8;
        cpu.set_code_wait(wait);
        match seed % 3 {
            0 => {}
            1 => {
                cpu.set_code_wait(1 + wait);
                machine.path = Path::Buffer { line: None, wait: 1 + u32::from(wait) };
            }
            _ => {
                cpu.set_fetch_timing(FetchTiming { cached: true, ..FetchTiming::FAST });
                machine.path =
                    Path::Cache { tags: Default::default(), next: Default::default(), wait: 1 + u32::from(wait) };
            }
        }
        let mut write = |addr, value| cpu.debug_write(&mut machine, addr, Size::Word, value).expect("a register");
        // Halted, for the registers.
        write(DHCSR, 0xA05F_0003);
        let mut registers: Vec<(u32, u32)> = (0..7).map(|r| (r, random.next() as u32 >> random.below(32))).collect();
        registers.extend([
            (7, RAM + 0x1000),
            (8, 0x4000_0000),
            (9, RAM + 0x3_FFF8),
            (10, CODE),
            (13, STACK),
            (14, CODE | 1),
        ]);
        for (register, value) in registers {
            write(0xE000_EDF8, value);
            write(0xE000_EDF4, 1 << 16 | register);
        }
        // FPU on, interrupts on, SysTick with an odd period.
        write(0xE000_ED88, 0xF << 20);
        write(0xE000_E100, 0xFFFF);
        write(0xE000_E014, 97 + random.below(400));
        write(0xE000_E018, 0);
        write(0xE000_E010, 7);
        write(DHCSR, 0xA05F_0000);
        Pair::new(cpu, machine)
    };
    for turn in 0..300 {
        match random.below(16) {
            0 => {
                let line = random.below(16) as usize;
                for level in [true, false] {
                    pair.fast.0.set_irq(line, level);
                    pair.slow.0.set_irq(line, level);
                }
            }
            2 => {
                // Code changes under the program's feet.
                let at = (CODE + 2 * random.below(u64::from(CODE_END - CODE) / 2 - 4)) as usize;
                let halfword = 0x1800 | random.below(0x200) as u16;
                for (cpu, machine) in [&mut pair.fast, &mut pair.slow] {
                    machine.flash[at..at + 2].copy_from_slice(&halfword.to_le_bytes());
                    cpu.invalidate_code(at as u32..at as u32 + 2);
                }
            }
            3 => {
                // A snapshot goes on as its origin would have.
                pair.fast = pair.fast.clone();
            }
            4 if random.below(8) == 0 => {
                pair.fast.0.clear_executed();
                pair.slow.0.clear_executed();
            }
            _ => {}
        }
        let cycles = 1 + u64::from(random.below(1 << random.clone().below(12)));
        pair.run(cycles, &format!("seed {seed}, turn {turn}"));
        // Programs end up in small loops, and the stack wanders.
        if turn % 4 == 0 && pair.fast.0.register(16) & 0x1FF == 0 {
            let pc = CODE + 2 * random.below(u64::from(CODE_END - CODE) / 2);
            let bases = [(7, RAM + 0x1000), (8, 0x4000_0000), (9, RAM + 0x3_FFF8), (10, CODE), (13, STACK)];
            let random = [(random.low(), random.next() as u32), (15, pc), (16, 0x0100_0000)];
            for (cpu, machine) in [&mut pair.fast, &mut pair.slow] {
                let mut write = |addr, value| cpu.debug_write(machine, addr, Size::Word, value).expect("a register");
                write(DHCSR, 0xA05F_0003);
                for (register, value) in bases.into_iter().chain(random) {
                    write(0xE000_EDF8, value);
                    write(0xE000_EDF4, 1 << 16 | register);
                }
                write(DHCSR, 0xA05F_0000);
            }
        }
    }
}

#[test]
fn random_programs_run_the_same_in_blocks_and_one_by_one() {
    for seed in 0..100 {
        random_program(seed);
    }
}

#[test]
fn the_guests_programs_run_the_same_in_blocks_and_one_by_one() {
    let programs = ["priorities", "masks", "undefined", "bus_error", "divide", "escalation", "lazy", "if_then"];
    let programs = programs.iter().chain(&["ticks", "exclusive", "psp", "kernel", "float_kernel", "covered"]);
    for program in programs {
        let mut guest = Guest::at(program);
        guest.write(DHCSR, 0xA05F_0001);
        let mut pair = Pair::new(guest.cpu, guest.machine);
        let mut random = Random(7);
        for turn in 0..200 {
            let cycles = 1 + u64::from(random.below(1 << random.clone().below(12)));
            pair.run(cycles, &format!("{program}, turn {turn}"));
        }
    }
}
