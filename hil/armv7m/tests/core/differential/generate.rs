//! Random instructions that the manual gives one meaning to, in steps that can be cut apart.
//!
//! R11 and SP point into the scratch area; nothing here changes R11, and SP moves little.

use super::random::Random;

/// Bytes to either side of R11 that accesses stay in.
const REACH: u32 = 240;
const SP: u32 = 13;
const PC: u32 = 15;
const SCRATCH: u32 = 11;

/// Some instructions that stand together: an IT block, or an access with what prepares its address.
#[derive(Clone, Debug)]
pub struct Step {
    pub halfwords: Vec<u16>,
    /// At least so many are executed (those that fail their condition count).
    pub instructions: u32,
}

/// Makes steps.
pub struct Generator {
    random: Random,
    halfwords: Vec<u16>,
    instructions: u32,
}

/// An instruction that stands alone: no memory, no change of flow.
#[derive(Clone, Copy)]
struct Plain([u32; 2]);

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), halfwords: Vec::new(), instructions: 0 }
    }

    pub fn step(&mut self) -> Step {
        self.halfwords.clear();
        self.instructions = 0;
        match self.random.below(24) {
            0..=13 => {
                let plain = self.plain(false);
                self.emit_plain(plain);
            }
            14 | 15 => self.if_then(),
            16 | 17 => self.access(),
            18 => self.access_16(),
            19 => self.access_many(),
            20 => self.access_floats(),
            21 => self.exclusive(),
            22 => self.stack(),
            _ => self.branch(),
        }
        Step { halfwords: self.halfwords.clone(), instructions: self.instructions }
    }

    fn narrow(&mut self, halfword: u32) {
        self.halfwords.push(halfword as u16);
        self.instructions += 1;
    }

    fn wide(&mut self, first: u32, second: u32) {
        self.halfwords.extend([first as u16, second as u16]);
        self.instructions += 1;
    }

    fn emit_plain(&mut self, Plain([first, second]): Plain) {
        if first < 0xE800 { self.narrow(first) } else { self.wide(first, second) }
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.random.below(limit)
    }

    /// A register that may be read and written.
    fn any(&mut self) -> u32 {
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14][self.below(13) as usize]
    }

    /// One that is none of `others`.
    fn other_than(&mut self, others: &[u32]) -> u32 {
        loop {
            let register = self.any();
            if !others.contains(&register) {
                return register;
            }
        }
    }

    /// Core registers only, or floating point.
    fn plain(&mut self, in_it: bool) -> Plain {
        match self.below(10) {
            0..=2 => Plain([self.narrow_alu(in_it), 0]),
            3 => self.modified_immediate(),
            4 => self.shifted_register(),
            5 => self.plain_immediate(),
            6 => self.data_register(),
            7 => self.multiply(),
            _ => self.float(),
        }
    }

    fn narrow_alu(&mut self, in_it: bool) -> u32 {
        let bits = self.random.next_u32();
        match self.below(8) {
            // LSL #0 is MOVS, which does not go into an IT block.
            0 => (self.below(3) << 11 | bits & 0x7FF).max(if in_it { 0x40 } else { 0 }),
            1 => 0x1800 | bits & 0x7FF,
            2 => 0x2000 | bits & 0x1FFF,
            3 | 4 => 0x4000 | bits & 0x3FF,
            5 => {
                let (operation, rd) = (self.below(3), self.any());
                let rm = if operation == 1 && rd < 8 { [8, 9, 10, 12, 14][self.below(5) as usize] } else { self.any() };
                0x4400 | operation << 8 | (rd & 8) << 4 | rm << 3 | rd & 7
            }
            6 => [0xB200 | bits & 0xFF, 0xBA00 | [0, 1, 3][self.below(3) as usize] << 6 | bits & 63]
                [self.below(2) as usize],
            _ => 0xA000 | bits & 0xFFF,
        }
    }

    /// Opcode, S, Rd, Rn of data processing.
    fn operation(&mut self) -> (u32, u32, u32, u32) {
        let opcode = [0, 1, 2, 3, 4, 8, 10, 11, 13, 14][self.below(10) as usize];
        let (mut flags, mut rd, mut rn) = (self.below(2), self.any(), self.any());
        match (opcode, self.below(4)) {
            // TST, TEQ, CMN, CMP; MOV, MVN.
            (0 | 4 | 8 | 13, 0) => (flags, rd) = (1, PC),
            (2 | 3, 0 | 1) => rn = PC,
            (8 | 13, 1) => rn = SP,
            _ => {}
        }
        (opcode, flags, rd, rn)
    }

    fn modified_immediate(&mut self) -> Plain {
        let (opcode, flags, rd, rn) = self.operation();
        let (i, imm3, imm8) = (self.below(2), self.below(8), 1 + self.below(255));
        Plain([0xF000 | i << 10 | opcode << 5 | flags << 4 | rn, imm3 << 12 | rd << 8 | imm8])
    }

    fn shifted_register(&mut self) -> Plain {
        let shift = self.below(8) << 12 | self.below(16) << 4;
        let rm = self.any();
        if self.below(8) == 0 {
            // PKHBT, PKHTB.
            return Plain([0xEAC0 | self.any(), shift & !0x10 | self.any() << 8 | rm]);
        }
        let (opcode, flags, rd, rn) = self.operation();
        Plain([0xEA00 | opcode << 5 | flags << 4 | rn, shift | rd << 8 | rm])
    }

    fn plain_immediate(&mut self) -> Plain {
        let (rd, rn) = (self.any(), self.any());
        let imm12 = (self.below(2) << 10, self.below(8) << 12 | self.below(256));
        let (low, position) = (self.below(32), self.below(32));
        let field = |lsb: u32| (lsb >> 2) << 12 | (lsb & 3) << 6;
        match self.below(10) {
            0 => Plain([0xF200 | imm12.0 | [rn, SP, PC][self.below(3) as usize], imm12.1 | rd << 8]),
            1 => Plain([0xF2A0 | imm12.0 | [rn, SP, PC][self.below(3) as usize], imm12.1 | rd << 8]),
            2 => Plain([0xF240 | imm12.0 | self.below(16), imm12.1 | rd << 8]),
            3 => Plain([0xF2C0 | imm12.0 | self.below(16), imm12.1 | rd << 8]),
            4 => Plain([0xF300 | self.below(2) << 7 | rn, field(low) | rd << 8 | position]),
            5 => Plain([0xF320 | self.below(2) << 7 | rn, field(low.max(1)) | rd << 8 | position]),
            // SSAT16, USAT16.
            6 => Plain([0xF320 | self.below(2) << 7 | rn, rd << 8 | position & 15]),
            // SBFX, UBFX.
            7 | 8 => Plain([0xF340 | self.below(2) << 7 | rn, field(low) | rd << 8 | position.min(31 - low)]),
            // BFI, BFC.
            _ => Plain([0xF360 | [rn, PC][self.below(2) as usize], field(low) | rd << 8 | position.max(low)]),
        }
    }

    fn data_register(&mut self) -> Plain {
        let (rd, rn, rm) = (self.any(), self.any(), self.any());
        let second = 0xF000 | rd << 8 | rm;
        match self.below(9) {
            0 => Plain([0xFA00 | self.below(8) << 4 | rn, second]),
            1 | 2 => {
                let rn = [rn, PC][self.below(2) as usize];
                Plain([0xFA00 | self.below(6) << 4 | rn, second | 0x80 | self.below(4) << 4])
            }
            3..=5 => {
                let operation = [0, 1, 2, 4, 5, 6][self.below(6) as usize];
                let prefix = [0, 1, 2, 4, 5, 6][self.below(6) as usize];
                Plain([0xFA80 | operation << 4 | rn, second | prefix << 4])
            }
            6 => Plain([0xFA80 | rn, second | 0x80 | self.below(4) << 4]),
            7 => Plain([0xFAA0 | rn, second | 0x80]),
            _ => match self.below(5) {
                4 => Plain([0xFAB0 | rm, second | 0x80]),
                which => Plain([0xFA90 | rm, second | 0x80 | which << 4]),
            },
        }
    }

    fn multiply(&mut self) -> Plain {
        let (rd, rn, rm, ra) = (self.any(), self.any(), self.any(), self.any());
        let hi = self.other_than(&[rd]);
        let maybe = [ra, PC][self.below(2) as usize];
        let long = rd << 12 | hi << 8 | rm;
        match self.below(16) {
            0 => Plain([0xFB00 | rn, maybe << 12 | rd << 8 | rm]),
            1 => Plain([0xFB00 | rn, ra << 12 | rd << 8 | 0x10 | rm]),
            2 | 3 => Plain([0xFB10 | rn, maybe << 12 | rd << 8 | self.below(4) << 4 | rm]),
            4..=6 => {
                let operation = [2, 3, 4, 5][self.below(4) as usize];
                Plain([0xFB00 | operation << 4 | rn, maybe << 12 | rd << 8 | self.below(2) << 4 | rm])
            }
            7 => Plain([0xFB60 | rn, ra << 12 | rd << 8 | self.below(2) << 4 | rm]),
            8 => Plain([0xFB70 | rn, maybe << 12 | rd << 8 | rm]),
            9 | 10 => Plain([0xFB80 | [0, 2, 4, 6][self.below(4) as usize] << 4 | rn, long]),
            11 => Plain([0xFBC0 | rn, long | 0x80 | self.below(4) << 4]),
            12 => Plain([0xFBC0 | self.below(2) << 4 | rn, long | 0xC0 | self.below(2) << 4]),
            13 => Plain([0xFBE0 | rn, long | 0x60]),
            14 => Plain([0xFB90 | self.below(2) << 5 | rn, 0xF0F0 | rd << 8 | rm]),
            // MRS and MSR of the APSR.
            _ => match self.below(4) {
                0 => Plain([0xF3EF, 0x8000 | rd << 8]),
                mask => Plain([0xF380 | rn, 0x8000 | mask << 10]),
            },
        }
    }

    fn float(&mut self) -> Plain {
        let (vd, vn, vm) = (self.below(32), self.below(32), self.below(32));
        let first = 0xEE00 | (vd & 1) << 6 | vn >> 1;
        let second = (vd >> 1) << 12 | 0xA00 | (vn & 1) << 7 | (vm & 1) << 5 | vm >> 1;
        let one = |operation: u32, top: u32| {
            Plain([0xEEB0 | (vd & 1) << 6 | operation, (vd >> 1) << 12 | 0xA40 | top << 7 | (vm & 1) << 5 | vm >> 1])
        };
        match self.below(20) {
            0..=8 => {
                // VMLA, VMLS, VNMLS, VNMLA, VMUL, VNMUL, VADD, VSUB, VDIV, VFNMA, VFNMS, VFMA, VFMS.
                let (group, operation) = (self.below(7), self.below(2));
                let operation = if group == 4 { 0 } else { operation };
                Plain([first | (group >> 2) << 7 | (group & 3) << 4, second | operation << 6])
            }
            9 => Plain([0xEEB0 | (vd & 1) << 6 | self.below(16), (vd >> 1) << 12 | 0xA00 | self.below(16)]),
            10 => one(self.below(2), self.below(2)),
            11 => one(1, 1),
            12 => one(2 + self.below(2), self.below(2)),
            13 => one(4, self.below(2)),
            14 => {
                let Plain([first, second]) = one(5, self.below(2));
                Plain([first, second & !0x2F])
            }
            15 => one(8, self.below(2)),
            16 => one(12 + self.below(2), self.below(2)),
            17 => {
                let top = self.below(2);
                let immediate = self.below(if top != 0 { 32 } else { 17 });
                let operation = [10, 11, 14, 15][self.below(4) as usize];
                let Plain([first, second]) = one(operation, top);
                Plain([first, second & !0x2F | immediate >> 1 | (immediate & 1) << 5])
            }
            18 => {
                let (rt, to_core) = (self.any(), self.below(2));
                match self.below(3) {
                    0 => Plain([0xEE00 | to_core << 4 | vn >> 1, rt << 12 | 0xA10 | (vn & 1) << 7]),
                    1 => Plain([0xEE00 | self.below(2) << 5 | to_core << 4 | self.below(16), rt << 12 | 0xB10]),
                    _ => {
                        let (rt2, vm) = (self.other_than(&[rt]), vm.min(30));
                        let (double, m) = (self.below(2), (vm & 1) << 5);
                        let m = if double != 0 { 0 } else { m };
                        Plain([0xEC40 | to_core << 4 | rt2, rt << 12 | 0xA10 | double << 8 | m | vm >> 1])
                    }
                }
            }
            _ => {
                let rt = self.any();
                match self.below(3) {
                    0 => Plain([0xEEF1, 0xFA10]),
                    1 => Plain([0xEEF1, rt << 12 | 0xA10]),
                    _ => Plain([0xEEE1, rt << 12 | 0xA10]),
                }
            }
        }
    }

    fn if_then(&mut self) {
        let (condition, mask) = (self.below(14), 1 + self.below(15));
        self.narrow(0xBF00 | condition << 4 | mask);
        for _ in 0..4 - mask.trailing_zeros() {
            let plain = self.plain(true);
            self.emit_plain(plain);
        }
    }

    /// `rd` = R11 plus something small.
    fn pointer(&mut self, rd: u32) -> i32 {
        let offset = self.below(32) & !3;
        self.wide(0xF10B, rd << 8 | offset);
        offset as i32
    }

    /// One of the 32-bit loads and stores of a single register.
    fn access(&mut self) {
        let rt = self.any();
        let (signed, size, load) = (self.below(2), self.below(3), self.below(2));
        let signed = if size == 2 || load == 0 { 0 } else { signed };
        let first = 0xF800 | signed << 8 | size << 5 | load << 4;
        match self.below(6) {
            0 => {
                let offset = self.below(REACH - 4);
                self.wide(first | 0x80 | SCRATCH, rt << 12 | offset);
            }
            1 => {
                let offset = self.below(REACH);
                self.wide(first | SCRATCH, rt << 12 | 0xC00 | offset);
            }
            2 => {
                // Before and after, up and down, with writeback.
                let rn = self.other_than(&[rt]);
                self.pointer(rn);
                let (puw, offset) = ([1, 3, 5, 7][self.below(4) as usize], self.below(REACH - 40));
                self.wide(first | rn, rt << 12 | 0x800 | puw << 8 | offset);
            }
            3 => {
                let rm = self.any();
                let (mask, shift) = ([0x1F, 0x3F, 0x0F, 0xFF & 0x70][self.below(4) as usize], self.below(2));
                self.wide(0xF000 | rm, rm << 8 | mask);
                self.wide(first | SCRATCH, rt << 12 | shift << 4 | rm);
            }
            4 => {
                let offset = self.below(REACH - 4);
                self.wide(first | SCRATCH, rt << 12 | 0xE00 | offset);
            }
            _ => {
                // Out of the code.
                let offset = self.below(64);
                let first = 0xF810 | signed << 8 | size << 5 | self.below(2) << 7 | PC;
                self.wide(first, rt << 12 | offset);
            }
        }
    }

    fn access_16(&mut self) {
        let (rt, imm5) = (self.below(8), self.below(32));
        let rn = (rt + 1 + self.below(7)) & 7;
        let rm = (rn + 1 + self.below(7)) & 7;
        match self.below(3) {
            0 => {
                // MOV Rn, R11.
                self.narrow(0x4658 | rn);
                let form = [0x6000, 0x6800, 0x7000, 0x7800, 0x8000, 0x8800][self.below(6) as usize];
                self.narrow(form | imm5 << 6 | rn << 3 | rt);
            }
            1 => {
                self.narrow(0x4658 | rn);
                self.wide(0xF000 | rm, rm << 8 | 0x7E);
                let form = self.below(8) << 9;
                self.narrow(0x5000 | form | rm << 6 | rn << 3 | rt);
            }
            _ => {
                let (load, offset) = (self.below(2), self.below(32));
                self.narrow(0x9000 | load << 11 | rt << 8 | offset);
            }
        }
    }

    /// A list of two registers or more, none of them `without`.
    fn list(&mut self, without: u32) -> u32 {
        loop {
            let list = self.random.next_u32() & self.random.next_u32() & 0x57FF & !(1 << without);
            if list.count_ones() >= 2 {
                return list;
            }
        }
    }

    fn access_many(&mut self) {
        let load = self.below(2);
        match self.below(3) {
            0 => {
                let rn = self.below(8);
                self.narrow(0x4658 | rn);
                let list = 1 + self.below(255);
                // STM with its base in the list, not first, stores what is UNKNOWN.
                let list = if load == 0 && list & (1 << rn) != 0 { list & !((1 << rn) - 1) } else { list };
                self.narrow(0xC000 | load << 11 | rn << 8 | list);
            }
            1 => {
                let rn = self.any();
                self.pointer(rn);
                let (direction, writeback, list) = (1 + self.below(2), self.below(2), self.list(rn));
                self.wide(0xE800 | direction << 7 | writeback << 5 | load << 4 | rn, list);
            }
            _ => {
                let rn = self.any();
                let rt = self.other_than(&[rn]);
                let rt2 = self.other_than(&[rn, rt]);
                self.pointer(rn);
                let (puw, offset) = ([1, 3, 4, 5, 6, 7][self.below(6) as usize], self.below(50));
                let [p, u, w] = [puw >> 2, puw >> 1 & 1, puw & 1];
                self.wide(0xE840 | p << 8 | u << 7 | w << 5 | load << 4 | rn, rt << 12 | rt2 << 8 | offset);
            }
        }
    }

    fn access_floats(&mut self) {
        let (load, double, vd) = (self.below(2), self.below(2), self.below(32));
        let d = if double != 0 { 0 } else { vd & 1 };
        let second = (vd >> 1) << 12 | 0xA00 | double << 8;
        if self.below(2) == 0 {
            let (up, offset) = (self.below(2), self.below(58));
            self.wide(0xED00 | up << 7 | d << 6 | load << 4 | SCRATCH, second | offset);
            return;
        }
        let rn = self.any();
        self.pointer(rn);
        let first = (vd >> 1) << 1 | d;
        let count = 1 + self.below((32 - first).min(24));
        let count = if double != 0 { (count + 1) & !1 } else { count };
        let (down, writeback) = [(0, 0), (0, 1), (1, 1)][self.below(3) as usize];
        let mode = down << 8 | (1 - down) << 7 | d << 6 | writeback << 5 | load << 4;
        self.wide(0xEC00 | mode | rn, second | count);
    }

    /// LDREX and STREX to one place, or STREX without a reservation.
    fn exclusive(&mut self) {
        let rn = self.any();
        let (rt, rd) = (self.other_than(&[rn]), self.other_than(&[rn]));
        let value = self.other_than(&[rn, rd]);
        self.pointer(rn);
        let size = self.below(3);
        let offset = self.below(16);
        let (load, store) = match size {
            0 => ([0xE850 | rn, rt << 12 | 0xF00 | offset], [0xE840 | rn, value << 12 | rd << 8 | offset]),
            _ => {
                let form = (3 + size) << 4;
                ([0xE8D0 | rn, rt << 12 | 0xF0F | form], [0xE8C0 | rn, value << 12 | 0xF00 | form | rd])
            }
        };
        self.wide(load[0], load[1]);
        if self.below(3) == 0 {
            self.wide(0xF3BF, 0x8F2F);
        }
        self.wide(store[0], store[1]);
        // A reservation must not reach a later step.
        self.wide(0xF3BF, 0x8F2F);
    }

    fn stack(&mut self) {
        match self.below(5) {
            0 => {
                let list = 1 + self.below(0x1FF);
                self.narrow(0xB400 | list);
                let plain = self.plain(false);
                self.emit_plain(plain);
                let back = list.count_ones();
                self.narrow(0xB000 | back);
            }
            1 => {
                let list = self.list(SP);
                self.wide(0xE92D, list);
                let plain = self.plain(false);
                self.emit_plain(plain);
                let back = self.list(SP);
                self.wide(0xE8BD, back);
            }
            2 => {
                let rt = self.any();
                self.wide(0xF84D, rt << 12 | 0xD04);
                let rt = self.any();
                self.wide(0xF85D, rt << 12 | 0xB04);
            }
            3 => {
                let by = self.below(16);
                let down = self.below(2);
                self.narrow(0xB000 | down << 7 | by);
            }
            _ => {
                let (vd, count) = (self.below(24), 1 + self.below(8));
                let second = (vd >> 1) << 12 | 0xA00 | count;
                self.wide(0xED2D | (vd & 1) << 6, second);
                self.wide(0xECBD | (vd & 1) << 6, second);
            }
        }
    }

    /// Forward, over one instruction or none.
    fn branch(&mut self) {
        let over = Plain([self.narrow_alu(false), 0]);
        match self.below(7) {
            0 => {
                let condition = self.below(14);
                self.narrow(0xD000 | condition << 8);
            }
            1 => {
                let condition = self.below(14);
                self.wide(0xF000 | condition << 6, 0x8001);
            }
            2 => {
                let (nonzero, rn) = (self.below(2), self.below(8));
                self.narrow(0xB100 | nonzero << 11 | rn);
            }
            3 => self.wide(0xF000, 0xB801),
            4 => self.wide(0xF000, 0xF801),
            5 => {
                // TBB with two entries: to the next instruction or over it.
                let rm = self.any();
                self.wide(0xF000 | rm, rm << 8 | 1);
                self.wide(0xE8DF, 0xF000 | rm);
                self.halfwords.push(0x0201);
            }
            _ => {
                // BX to the next instruction but one, by way of ADD Rd, PC, #imm (ADR.W), which rounds the PC down.
                let rd = self.any();
                self.wide(0xF20F, rd << 8 | 5);
                self.narrow(0x4700 | rd << 3);
                // At either alignment of the ADR the target is one of these.
                self.narrow(0xBF00);
                self.narrow(0xBF00);
                self.instructions -= 2;
            }
        }
        self.emit_plain(over);
        self.instructions -= 1;
    }
}
