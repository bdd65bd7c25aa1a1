//! Kernels that measure a simulated Cortex-M4F. The semihosting command line says which one and how often:
//! `crc32 100`. The program prints the kernel's checksum in hexadecimal and exits.
//!
//! `register N ADDRESS` reads and writes a peripheral register, `idle 0` waits for ever; both are for the virtual board.

#![no_std]
#![no_main]

mod data;
mod kernels;
mod semihosting;

use core::panic::PanicInfo;

use cortex_m_rt::entry;

use semihosting as host;

#[entry]
fn main() -> ! {
    let mut line = [0; 128];
    let line = host::command_line(&mut line);
    // QEMU puts the program's name first.
    let mut words = line.split(|&byte| byte == b' ').skip_while(|word| kernel(word).is_none());
    let run = words.next().and_then(kernel);
    let rounds = words.next().map_or(1, number);
    let argument = words.next().map_or(0, number);
    match run {
        Some(run) => {
            host::print_hex(run(rounds, argument));
            host::exit(true)
        }
        None => {
            host::print("no such kernel\n\0");
            host::exit(false)
        }
    }
}

type Kernel = fn(rounds: u32, argument: u32) -> u32;

fn kernel(name: &[u8]) -> Option<Kernel> {
    Some(match name {
        b"crc32" => |rounds, _| kernels::crc32(rounds),
        b"sha256" => |rounds, _| kernels::sha256(rounds),
        b"matmul" => |rounds, _| kernels::matmul(rounds),
        b"sort" => |rounds, _| kernels::sort(rounds),
        b"f32" => |rounds, _| kernels::f32(rounds),
        b"memcpy" => |rounds, _| kernels::memcpy(rounds),
        b"states" => |rounds, _| kernels::states(rounds),
        b"register" => kernels::register,
        b"idle" => |_, _| kernels::idle(),
        b"nothing" => |_, _| 0,
        _ => return None,
    })
}

/// Decimal, or hexadecimal after `0x`.
fn number(word: &[u8]) -> u32 {
    let (digits, base) = match word.strip_prefix(b"0x") {
        Some(digits) => (digits, 16),
        None => (word, 10),
    };
    digits.iter().fold(0, |value, &digit| {
        let digit = if digit.is_ascii_digit() { digit - b'0' } else { (digit | 32).wrapping_sub(b'a') + 10 };
        value * base + u32::from(digit)
    })
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    host::print("panic\n\0");
    host::exit(false)
}
