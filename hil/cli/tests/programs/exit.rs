//! A program for tests that ends: it greets by semihosting, sends a word by the ITM and exits
//! with status 7. One branch is never taken.
#![no_std]
#![no_main]

use core::arch::asm;

#[repr(C)]
struct Vectors([Option<unsafe extern "C" fn()>; 15]);
unsafe impl Sync for Vectors {}

#[unsafe(link_section = ".vector_table")]
#[used]
static VECTORS: Vectors = {
    let mut table = [Some(stuck as unsafe extern "C" fn()); 15];
    table[0] = Some(reset);
    Vectors(table)
};

unsafe extern "C" fn stuck() {
    loop {}
}

fn call(operation: u32, argument: u32) -> u32 {
    let result;
    // SAFETY: a semihosting call; whoever runs this program serves it.
    unsafe { asm!("bkpt #0xab", inlateout("r0") operation => result, in("r1") argument) };
    result
}

/// Sends bytes by the ITM's first stimulus port.
fn trace(text: &[u8]) {
    // SAFETY: DEMCR.TRCENA, the ITM's lock, TER, TCR and port 0.
    unsafe {
        for (addr, value) in [
            (0xE000_EDFC_u32, 1_u32 << 24),
            (0xE000_0FB0, 0xC5AC_CE55),
            (0xE000_0E00, 1),
            (0xE000_0E80, 1),
        ] {
            (addr as *mut u32).write_volatile(value);
        }
        for byte in text {
            while (0xE000_0000_u32 as *const u32).read_volatile() == 0 {}
            (0xE000_0000_u32 as *mut u8).write_volatile(*byte);
        }
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn choose(value: u32) -> u32 {
    if value > 10 {
        return value - 10; // taken
    }
    value + 1 // not taken
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn never() -> u32 {
    call(0x31, 0) // not taken
}

#[unsafe(no_mangle)]
unsafe extern "C" fn reset() {
    call(0x04, b"hello from the target\nno end of line\0".as_ptr() as u32);
    trace(b"SWO");
    let status = choose(17);
    if status == 0 {
        never();
    }
    // SYS_EXIT_EXTENDED: ADP_Stopped_ApplicationExit and the status.
    let block = [0x2_0026, status];
    call(0x20, block.as_ptr() as u32);
    loop {}
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
