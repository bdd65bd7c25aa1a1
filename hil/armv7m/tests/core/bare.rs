//! A core with hand-made code: halfwords at [`CODE`], handlers wherever a test puts them.

use armv7m::{Cpu, Size, Stop};

use crate::support::{Machine, same54};

pub const CODE: u32 = 0x400;
pub const NOP: u16 = 0xBF00;
/// `b .`
pub const STAY: u16 = 0xE7FE;
/// `bx lr`
pub const BX_LR: u16 = 0x4770;

pub struct Bare {
    pub cpu: Cpu,
    pub machine: Machine,
}

impl Bare {
    /// Out of reset and about to execute `code`; all vectors lead to `bx lr` at 0x300.
    pub fn new(code: &[u16]) -> Self {
        let mut machine = Machine::default();
        machine.flash[..4].copy_from_slice(&0x2000_8000_u32.to_le_bytes());
        let mut bare = Self { cpu: Cpu::new(same54()), machine };
        for number in 2..64 {
            bare.vector(number, 0x300);
        }
        bare.vector(1, CODE);
        bare.put(0x300, &[BX_LR]);
        bare.put(CODE, code);
        bare.cpu.reset(&mut bare.machine, true);
        bare.cpu.record_exceptions(true);
        bare
    }

    pub fn vector(&mut self, number: usize, to: u32) {
        self.machine.flash[4 * number..4 * number + 4].copy_from_slice(&(to | 1).to_le_bytes());
    }

    pub fn put(&mut self, addr: u32, code: &[u16]) {
        for (n, halfword) in code.iter().enumerate() {
            let at = addr as usize + 2 * n;
            self.machine.flash[at..at + 2].copy_from_slice(&halfword.to_le_bytes());
        }
        self.cpu.invalidate_code(addr..addr + 2 * code.len() as u32);
    }

    pub fn write(&mut self, addr: u32, value: u32) {
        self.cpu.debug_write(&mut self.machine, addr, Size::Word, value).expect("a debug write");
    }

    pub fn read(&mut self, addr: u32) -> u32 {
        self.cpu.debug_read(&mut self.machine, addr, Size::Word).expect("a debug read")
    }

    /// Enables interrupt `line` with a priority.
    pub fn enable(&mut self, line: u32, priority: u8) {
        self.write(0xE000_E100, 1 << line);
        let addr = 0xE000_E400 + line;
        self.cpu.debug_write(&mut self.machine, addr, Size::Byte, u32::from(priority)).expect("a debug write");
    }

    /// Runs for `cycles`.
    pub fn run(&mut self, cycles: u64) -> Stop {
        let until = self.cpu.cycle() + cycles;
        self.cpu.run(&mut self.machine, until)
    }
}
