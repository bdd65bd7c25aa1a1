//! Builds tests/guest with rustc and runs its programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use armv7m::{Cpu, Size, Stop};
use object::{Object, ObjectSegment, ObjectSymbol};

use crate::support::{Machine, RAM, same54};

pub const DHCSR: u32 = 0xE000_EDF0;
const DCRSR: u32 = 0xE000_EDF4;
const DCRDR: u32 = 0xE000_EDF8;
pub const DEMCR: u32 = 0xE000_EDFC;
/// Where the handlers' marks go.
const LOG: usize = 0x4000;

/// Builds a guest program with rustc and returns its ELF file. `whole`: with what nothing refers to.
fn build(source: &str, whole: bool) -> Vec<u8> {
    static BUILDS: AtomicU32 = AtomicU32::new(0);
    let number = BUILDS.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest");
    // A folder of its own: rustc's intermediate files have names that do not depend on the output's.
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("guest-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&place).expect("a folder for rustc");
    let output = place.join("guest.elf");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let built = Command::new(rustc)
        .current_dir(&folder)
        .args(["--edition", "2024", "--target", "thumbv7em-none-eabihf", "-O", "-C", "panic=abort"])
        .args(["-C", "link-arg=-Tlink.ld", "-C"])
        .arg(if whole { "link-arg=--no-gc-sections" } else { "link-arg=--gc-sections" })
        .args([source, "-o"])
        .arg(&output)
        .output()
        .expect("rustc starts");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let bytes = std::fs::read(&output).expect("rustc's output");
    std::fs::remove_dir_all(&place).expect("rustc's folder");
    bytes
}

/// The guest's ELF file, built once for each test binary.
fn elf() -> &'static [u8] {
    static ELF: OnceLock<Vec<u8>> = OnceLock::new();
    ELF.get_or_init(|| build("guest.rs", true))
}

/// What a program puts into flash, from address 0 to its last byte.
pub fn raw_image(source: &str) -> Vec<u8> {
    let elf = build(source, false);
    let file = object::File::parse(&*elf).expect("an ELF file");
    let mut image = Vec::new();
    for segment in file.segments().filter(|segment| segment.address() < u64::from(RAM)) {
        let data = segment.data().expect("segment data");
        let start = segment.address() as usize;
        image.resize(image.len().max(start + data.len()), 0);
        image[start..start + data.len()].copy_from_slice(data);
    }
    image
}

fn symbol(name: &str) -> u32 {
    let file = object::File::parse(elf()).expect("an ELF file");
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
    symbol.unwrap_or_else(|| panic!("no program {name}")).address() as u32
}

/// A core halted at the beginning of one of the guest's programs.
#[derive(Clone)]
pub struct Guest {
    pub cpu: Cpu,
    pub machine: Machine,
}

impl Guest {
    pub fn at(program: &str) -> Self {
        let mut guest = Self { cpu: Cpu::new(same54()), machine: Machine::default() };
        guest.machine.load_elf(elf());
        // What a startup code would copy.
        let lma = guest.machine.flash_copy_of_ram(elf());
        guest.machine.ram[0x1000..0x1000 + lma.len()].copy_from_slice(&lma);
        guest.write(DEMCR, 1);
        guest.write(DHCSR, 0xA05F_0003);
        guest.cpu.reset(&mut guest.machine, false);
        assert!(guest.cpu.is_halted());
        guest.write(DEMCR, 0);
        guest.set(15, symbol(program));
        guest
    }

    pub fn write(&mut self, addr: u32, value: u32) {
        self.cpu.debug_write(&mut self.machine, addr, Size::Word, value).expect("a debug write");
    }

    pub fn read(&mut self, addr: u32) -> u32 {
        self.cpu.debug_read(&mut self.machine, addr, Size::Word).expect("a debug read")
    }

    pub fn set(&mut self, register: u8, value: u32) {
        self.write(DCRDR, value);
        self.write(DCRSR, 1 << 16 | u32::from(register));
    }

    pub fn get(&self, register: u8) -> u32 {
        self.cpu.register(register)
    }

    /// Leaves Debug state and runs for at most `cycles`.
    pub fn go(&mut self, cycles: u64) -> Stop {
        self.write(DHCSR, 0xA05F_0001);
        self.run(cycles)
    }

    pub fn run(&mut self, cycles: u64) -> Stop {
        let deadline = self.cpu.cycle() + cycles;
        self.cpu.run(&mut self.machine, deadline)
    }

    /// Runs to the program's BKPT.
    pub fn finish(mut self) -> Self {
        assert_eq!(self.go(1_000_000), Stop::Halted, "at {:#x}", self.get(15));
        let dfsr = self.read(0xE000_ED30);
        assert_eq!(dfsr & 2, 2, "DFSR.BKPT");
        self
    }

    /// The marks that handlers left.
    pub fn log(&self) -> &[u8] {
        let marks = &self.machine.ram[LOG..LOG + 64];
        let end = marks.iter().position(|&mark| mark == 0).unwrap_or(marks.len());
        &marks[..end]
    }

    pub fn symbol(&self, name: &str) -> u32 {
        symbol(name)
    }

    pub fn ram_word(&self, addr: u32) -> u32 {
        let offset = (addr - RAM) as usize;
        u32::from_le_bytes(self.machine.ram[offset..offset + 4].try_into().expect("four bytes"))
    }
}
