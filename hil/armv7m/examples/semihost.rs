//! Runs a bare-metal ELF file that prints and exits by semihosting, and reports the simulator's speed:
//! `cargo run --release -p armv7m --example semihost -- program.elf`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use armv7m::Cpu;

fn main() {
    let path = std::env::args().nth(1).expect("path of an ELF file");
    let elf = std::fs::read(path).expect("a readable file");
    let mut machine = support::Machine::default();
    machine.load_elf(&elf);
    let mut cpu = Cpu::new(support::same54());
    cpu.reset(&mut machine, true);
    let start = Instant::now();
    let (output, reason) = support::run_semihosted(&mut cpu, &mut machine, u64::MAX / 2);
    let seconds = start.elapsed().as_secs_f64();
    print!("{output}");
    let instructions = cpu.instructions();
    eprintln!(
        "exit {reason:#x}, {instructions} instructions, {} cycles, {} device accesses, {seconds:.3} s, {:.0} MIPS",
        cpu.cycle(),
        machine.device_accesses,
        instructions as f64 / seconds / 1e6
    );
    for undefined in cpu.take_undefined() {
        eprintln!("undefined at {:#010x}: {:#x}", undefined.pc, undefined.encoding);
    }
}
