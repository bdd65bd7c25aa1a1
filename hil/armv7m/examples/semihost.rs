//! Runs a bare-metal ELF file that prints and exits by semihosting, and reports the simulator's speed:
//! `cargo run --release -p armv7m --example semihost -- program.elf [file for SYS_WRITE]`.

#[path = "../tests/core/support.rs"]
mod support;

use std::time::Instant;

use armv7m::Cpu;

fn main() {
    let path = std::env::args().nth(1).expect("path of an ELF file");
    let elf = std::fs::read(path).expect("a readable file");
    let mut machine = support::Machine::default();
    // As much as the boards of other simulators have, for comparisons.
    machine.ram.resize(0x40_0000, 0);
    machine.load_elf(&elf);
    let mut cpu = Cpu::new(support::same54());
    cpu.reset(&mut machine, true);
    let start = Instant::now();
    let result = support::run_semihosted(&mut cpu, &mut machine, u64::MAX / 2);
    let seconds = start.elapsed().as_secs_f64();
    print!("{}", result.output);
    if let Some(path) = std::env::args().nth(2) {
        std::fs::write(path, &result.written).expect("a writable file");
    }
    let instructions = cpu.instructions();
    eprintln!(
        "exit {:#x}, {instructions} instructions, {} cycles, {} device accesses, {seconds:.3} s, {:.0} MIPS",
        result.reason,
        cpu.cycle(),
        machine.device_accesses,
        instructions as f64 / seconds / 1e6
    );
    for undefined in cpu.take_undefined() {
        eprintln!("undefined at {:#010x}: {:#x}", undefined.pc, undefined.encoding);
    }
}
