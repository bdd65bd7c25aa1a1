//! The semihosting calls that the kernels need ("Semihosting for AArch32 and AArch64", Arm, 2.0).

use core::arch::asm;

const SYS_WRITE0: u32 = 0x04;
const SYS_GET_CMDLINE: u32 = 0x15;
const SYS_EXIT: u32 = 0x18;
const APPLICATION_EXIT: u32 = 0x2_0026;
const RUN_TIME_ERROR: u32 = 0x2_0023;

/// # Safety
/// `argument` must be what `operation` expects.
unsafe fn call(operation: u32, argument: u32) -> u32 {
    let result;
    // SAFETY: the host reads and writes what the argument points at, as the caller promises.
    unsafe { asm!("bkpt 0xAB", inout("r0") operation => result, in("r1") argument) };
    result
}

/// The command line, without its terminator.
pub fn command_line(buffer: &mut [u8]) -> &[u8] {
    let mut block = [buffer.as_mut_ptr() as u32, buffer.len() as u32];
    // SAFETY: the block describes memory that is ours, and the host keeps to its length.
    let result = unsafe { call(SYS_GET_CMDLINE, block.as_mut_ptr() as u32) };
    if result == 0 { &buffer[..(block[1] as usize).min(buffer.len())] } else { &[] }
}

/// Prints a string that ends with a NUL.
pub fn print(text: &str) {
    assert!(text.ends_with('\0'));
    // SAFETY: the string ends.
    unsafe { call(SYS_WRITE0, text.as_ptr() as u32) };
}

/// Prints eight digits and a line feed.
pub fn print_hex(value: u32) {
    let mut text = [0; 10];
    for (i, byte) in text[..8].iter_mut().enumerate() {
        *byte = b"0123456789abcdef"[(value >> (28 - 4 * i) & 15) as usize];
    }
    text[8] = b'\n';
    // SAFETY: the last byte is the NUL.
    unsafe { call(SYS_WRITE0, text.as_ptr() as u32) };
}

/// Ends the program.
pub fn exit(success: bool) -> ! {
    loop {
        // SAFETY: the argument is the reason, no pointer.
        unsafe { call(SYS_EXIT, if success { APPLICATION_EXIT } else { RUN_TIME_ERROR }) };
    }
}
