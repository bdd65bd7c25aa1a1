//! A small machine around the core: flash, RAM and a little device space; and a semihosting host.
#![allow(dead_code, reason = "examples/semihost.rs uses it too, each its part")]

use std::ops::Range;

use armv7m::{Bus, BusFault, Config, Cpu, Cycle, Lost, Size, Stop, Wait};
use object::{Object, ObjectSegment};

pub const FLASH_SIZE: usize = 0x10_0000;
pub const RAM: u32 = 0x2000_0000;
pub const RAM_SIZE: usize = 0x4_0000;
const DEVICE: u32 = 0x4000_0000;

/// The configuration of the SAM E54's core.
pub fn same54() -> Config {
    Config { cpuid: 0x410F_C241, irq_lines: 137, priority_bits: 3, code: 0..FLASH_SIZE as u32 }
}

/// What stands between the core and flash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Path {
    /// Nothing.
    #[default]
    Direct,
    /// One line of data, which takes so many cycles to change. Code and literals do not go through it.
    Buffer { line: Option<u32>, wait: u32 },
    /// Two ways of eight lines for code and data, filled in turn; a line takes so many cycles.
    Cache { tags: [[Option<u32>; 2]; 8], next: [u8; 8], wait: u32 },
}

impl Path {
    fn holds(&self, line: u32) -> bool {
        match self {
            Self::Direct => true,
            Self::Buffer { line: held, .. } => *held == Some(line),
            Self::Cache { tags, .. } => tags[(line % 8) as usize].contains(&Some(line)),
        }
    }

    fn touch(&mut self, line: u32) -> Wait {
        if self.holds(line) {
            return Wait::default();
        }
        match self {
            Self::Direct => Wait::default(),
            Self::Buffer { line: held, wait } => {
                *held = Some(line);
                Wait { cycles: *wait, lost: Lost::Nothing }
            }
            Self::Cache { tags, next, wait } => {
                let set = (line % 8) as usize;
                let way = usize::from(next[set]);
                next[set] ^= 1;
                let lost = tags[set][way].replace(line).map_or(Lost::Nothing, |line| Lost::Line(line << 4));
                Wait { cycles: *wait, lost }
            }
        }
    }
}

/// Flash at 0, RAM at 0x2000_0000, 4 KiB of device words at 0x4000_0000, the upper half of which
/// asks for attention when touched; everything else is a bus error.
#[derive(Clone)]
pub struct Machine {
    pub flash: Vec<u8>,
    pub ram: Vec<u8>,
    pub device: Vec<u32>,
    pub device_accesses: u64,
    pub attention: bool,
    pub path: Path,
    pub wait: Wait,
    /// Touches of code.
    pub touches: u64,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            flash: vec![0xFF; FLASH_SIZE],
            ram: vec![0; RAM_SIZE],
            device: vec![0; 1024],
            device_accesses: 0,
            attention: false,
            path: Path::Direct,
            wait: Wait::default(),
            touches: 0,
        }
    }
}

#[inline(always)]
fn get(bytes: &[u8], offset: usize, size: Size) -> Option<u32> {
    Some(match size {
        Size::Byte => u32::from(*bytes.get(offset)?),
        Size::Half => u32::from(u16::from_le_bytes(*bytes.get(offset..)?.first_chunk()?)),
        Size::Word => u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?),
    })
}

#[inline(always)]
fn put(bytes: &mut [u8], offset: usize, size: Size, value: u32) -> Option<()> {
    match size {
        Size::Byte => *bytes.get_mut(offset)? = value as u8,
        Size::Half => *bytes.get_mut(offset..)?.first_chunk_mut()? = (value as u16).to_le_bytes(),
        Size::Word => *bytes.get_mut(offset..)?.first_chunk_mut()? = value.to_le_bytes(),
    }
    Some(())
}

impl Machine {
    /// Puts an ELF file's loadable segments in place.
    pub fn load_elf(&mut self, elf: &[u8]) {
        let file = object::File::parse(elf).expect("an ELF file");
        let parsed: &object::read::elf::ElfFile32 = match &file {
            object::File::Elf32(elf) => elf,
            _ => panic!("a 32-bit ELF file"),
        };
        for header in parsed.elf_program_headers() {
            use object::read::elf::ProgramHeader;
            let endian = parsed.endian();
            if header.p_type(endian) == object::elf::PT_LOAD {
                let data = header.data(endian, elf).expect("segment data");
                if data.is_empty() {
                    continue;
                }
                let start = header.p_paddr(endian) as usize;
                self.flash[start..start + data.len()].copy_from_slice(data);
            }
        }
        assert!(file.segments().next().is_some_and(|segment| segment.size() > 0));
    }

    /// The bytes of the segment that runs in RAM, which `load_elf` put into flash.
    pub fn flash_copy_of_ram(&self, elf: &[u8]) -> Vec<u8> {
        let file = object::File::parse(elf).expect("an ELF file");
        let segment = file.segments().find(|segment| segment.address() >= u64::from(RAM));
        segment.map_or_else(Vec::new, |segment| segment.data().expect("segment data").to_vec())
    }

    #[cold]
    #[inline(never)]
    fn device_read(&mut self, addr: u32) -> Result<u32, BusFault> {
        let word = self.device.get((addr.wrapping_sub(DEVICE) >> 2) as usize).ok_or(BusFault)?;
        self.device_accesses += 1;
        self.attention |= addr & 0x800 != 0;
        Ok(*word)
    }

    #[cold]
    #[inline(never)]
    fn device_write(&mut self, addr: u32, value: u32) -> Result<(), BusFault> {
        let word = self.device.get_mut((addr.wrapping_sub(DEVICE) >> 2) as usize).ok_or(BusFault)?;
        self.device_accesses += 1;
        self.attention |= addr & 0x800 != 0;
        *word = value;
        Ok(())
    }
}

impl Bus for Machine {
    #[inline(always)]
    fn read(&mut self, addr: u32, size: Size, _at: Cycle) -> Result<u32, BusFault> {
        if let Some(value) = get(&self.ram, addr.wrapping_sub(RAM) as usize, size) {
            return Ok(value);
        }
        if let Some(value) = get(&self.flash, addr as usize, size) {
            for line in [addr >> 4, (addr + size as u32 - 1) >> 4] {
                let wait = self.path.touch(line);
                self.wait = Wait { cycles: self.wait.cycles + wait.cycles, lost: self.wait.lost.and(wait.lost) };
            }
            return Ok(value);
        }
        self.device_read(addr)
    }

    #[inline(always)]
    fn write(&mut self, addr: u32, size: Size, value: u32, _at: Cycle) -> Result<(), BusFault> {
        if put(&mut self.ram, addr.wrapping_sub(RAM) as usize, size, value).is_some() {
            return Ok(());
        }
        self.device_write(addr, value)
    }

    #[inline(always)]
    fn plain_read(&mut self, addr: u32, size: Size) -> Option<u32> {
        let ram = get(&self.ram, addr.wrapping_sub(RAM) as usize, size);
        if ram.is_some() || self.path == Path::Direct {
            return ram.or_else(|| get(&self.flash, addr as usize, size));
        }
        let aligned = addr & (size as u32 - 1) == 0;
        if aligned && self.path.holds(addr >> 4) { get(&self.flash, addr as usize, size) } else { None }
    }

    fn read_literal(&mut self, addr: u32, size: Size, at: Cycle) -> Result<u32, BusFault> {
        get(&self.flash, addr as usize, size).map_or_else(|| self.read(addr, size, at), Ok)
    }

    #[inline(always)]
    fn plain_literal(&mut self, addr: u32, size: Size) -> Option<u32> {
        match self.path {
            Path::Buffer { .. } => get(&self.flash, addr as usize, size).or_else(|| self.plain_read(addr, size)),
            _ => self.plain_read(addr, size),
        }
    }

    fn take_wait(&mut self) -> Wait {
        std::mem::take(&mut self.wait)
    }

    fn touch_code(&mut self, addr: u32, _at: Cycle) -> Wait {
        self.touches += 1;
        self.path.touch(addr >> 4)
    }

    fn longest_wait(&self, _code: &Range<u32>) -> Option<u32> {
        match self.path {
            Path::Cache { wait, .. } => Some(wait),
            _ => Some(0),
        }
    }

    fn is_resident(&self, addr: u32) -> bool {
        self.path.holds(addr >> 4)
    }

    #[inline(always)]
    fn plain_write(&mut self, addr: u32, size: Size, value: u32) -> bool {
        put(&mut self.ram, addr.wrapping_sub(RAM) as usize, size, value).is_some()
    }

    fn fetch(&mut self, addr: u32) -> Result<u16, BusFault> {
        let value = get(&self.ram, addr.wrapping_sub(RAM) as usize, Size::Half)
            .or_else(|| get(&self.flash, addr as usize, Size::Half));
        value.map(|value| value as u16).ok_or(BusFault)
    }

    fn attention(&self) -> bool {
        self.attention
    }
}

const DHCSR: u32 = 0xE000_EDF0;

/// What a semihosted program did.
#[derive(Debug, Default)]
pub struct Semihosted {
    /// SYS_WRITE0.
    pub output: String,
    /// SYS_WRITE to whatever file the program opened.
    pub written: Vec<u8>,
    /// Argument of SYS_EXIT.
    pub reason: u32,
}

/// Runs a program that talks by semihosting until it exits.
pub fn run_semihosted(cpu: &mut Cpu, machine: &mut Machine, cycles: Cycle) -> Semihosted {
    let mut result = Semihosted::default();
    let limit = cpu.cycle() + cycles;
    cpu.debug_write(machine, DHCSR, Size::Word, 0xA05F_0001).expect("DHCSR");
    loop {
        match cpu.run(machine, limit) {
            Stop::Halted => {
                let (operation, argument) = (cpu.register(0), cpu.register(1));
                let word = |machine: &mut Machine, addr: u32| machine.read(addr, Size::Word, 0).expect("memory");
                match operation {
                    // SYS_OPEN: any handle will do.
                    1 => {}
                    4 => {
                        for addr in argument.. {
                            match machine.read(addr, Size::Byte, 0).expect("a terminated string") as u8 {
                                0 => break,
                                byte => result.output.push(char::from(byte)),
                            }
                        }
                    }
                    5 => {
                        let (start, length) = (word(machine, argument + 4), word(machine, argument + 8));
                        for addr in start..start + length {
                            result.written.push(machine.read(addr, Size::Byte, 0).expect("memory") as u8);
                        }
                    }
                    0x18 => {
                        result.reason = argument;
                        return result;
                    }
                    _ => panic!("halted with R0={operation:#x} at {:#x}", cpu.register(15)),
                }
                // Past the BKPT, and on.
                let next = cpu.register(15) + 2;
                cpu.debug_write(machine, 0xE000_EDF8, Size::Word, next).expect("DCRDR");
                cpu.debug_write(machine, 0xE000_EDF4, Size::Word, 1 << 16 | 15).expect("DCRSR");
                cpu.debug_write(machine, DHCSR, Size::Word, 0xA05F_0001).expect("DHCSR");
            }
            stop => panic!("{stop:?} at {:#x}; output so far:\n{}", cpu.register(15), result.output),
        }
    }
}
