//! A program for tests of what is around the board: it runs for ever. SysTick counts milliseconds; the main loop works
//! in nested functions, logs each 100 ms over RTT, and shows the button on the LED; an interrupt echoes the UART.
#![no_std]
#![no_main]

use core::arch::asm;
use core::ptr::{addr_of_mut, read_volatile, write_volatile};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

const MCLK_APBBMASK: u32 = 0x4000_0818;
const GCLK_SERCOM2: u32 = 0x4000_1C80 + 4 * 23;
const PORT_B: u32 = 0x4100_8080;
const PORT_C: u32 = 0x4100_8100;
const SERCOM2: u32 = 0x4101_2000;
const SYST_CSR: u32 = 0xE000_E010;
const SYST_RVR: u32 = 0xE000_E014;
const SYST_CVR: u32 = 0xE000_E018;
const SHPR3: u32 = 0xE000_ED20;
const NVIC_ISER1: u32 = 0xE000_E104;
const CPACR: u32 = 0xE000_ED88;

static TICKS: AtomicU32 = AtomicU32::new(0);
#[unsafe(no_mangle)]
static ROUNDS: AtomicU32 = AtomicU32::new(0);
#[unsafe(no_mangle)]
static TOTAL: AtomicU32 = AtomicU32::new(0);

/// SEGGER's control block with one up-channel.
#[repr(C)]
struct Rtt {
    id: [u8; 16],
    up: u32,
    down: u32,
    name: u32,
    buffer: *mut u8,
    size: u32,
    write: u32,
    read: u32,
    flags: u32,
}

#[unsafe(no_mangle)]
static mut _SEGGER_RTT: Rtt =
    Rtt { id: [0; 16], up: 0, down: 0, name: 0, buffer: core::ptr::null_mut(), size: 0, write: 0, read: 0, flags: 0 };
static mut RING: [u8; 256] = [0; 256];

#[repr(C)]
struct Vectors([Option<unsafe extern "C" fn()>; 15 + 57]);
unsafe impl Sync for Vectors {}

#[unsafe(link_section = ".vector_table")]
#[used]
static VECTORS: Vectors = {
    let mut table = [Some(stuck as unsafe extern "C" fn()); 15 + 57];
    table[0] = Some(reset);
    table[14] = Some(SysTick);
    table[15 + 56] = Some(SERCOM2_2);
    Vectors(table)
};

fn write(addr: u32, value: u32) {
    // SAFETY: every address in this program is a register of the SAM E54.
    unsafe { write_volatile(addr as *mut u32, value) }
}

fn write8(addr: u32, value: u8) {
    // SAFETY: as above.
    unsafe { write_volatile(addr as *mut u8, value) }
}

fn write16(addr: u32, value: u16) {
    // SAFETY: as above.
    unsafe { write_volatile(addr as *mut u16, value) }
}

fn read(addr: u32) -> u32 {
    // SAFETY: as above.
    unsafe { read_volatile(addr as *const u32) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn reset() {
    unsafe extern "C" {
        static mut __sbss: u32;
        static mut __ebss: u32;
    }
    // SAFETY: the linker's symbols enclose .bss, which nobody uses yet.
    unsafe {
        let mut at = addr_of_mut!(__sbss);
        while at < addr_of_mut!(__ebss) {
            write_volatile(at, 0);
            at = at.add(1);
        }
    }
    write(CPACR, 0x00F0_0000);
    start();
    main()
}

unsafe extern "C" fn stuck() {
    loop {}
}

#[unsafe(no_mangle)]
#[allow(non_snake_case)]
unsafe extern "C" fn SysTick() {
    TICKS.fetch_add(1, Relaxed);
}

#[unsafe(no_mangle)]
#[allow(non_snake_case)]
unsafe extern "C" fn SERCOM2_2() {
    let character = read(SERCOM2 + 0x28);
    write(SERCOM2 + 0x28, character);
}

fn start() {
    write(MCLK_APBBMASK, read(MCLK_APBBMASK) | 1 << 9);
    write(GCLK_SERCOM2, 0x40);
    // PB24 and PB25: function D, the EDBG's virtual COM port at 115200 baud from 48 MHz.
    write8(PORT_B + 0x30 + 12, 0x33);
    write8(PORT_B + 0x40 + 24, 1);
    write8(PORT_B + 0x40 + 25, 1);
    write(SERCOM2, 1 << 30 | 1 << 20 | 1 << 2);
    write(SERCOM2 + 0x04, 3 << 16);
    write16(SERCOM2 + 0x0C, 63_019);
    write8(SERCOM2 + 0x16, 1 << 2);
    write(SERCOM2, 1 << 30 | 1 << 20 | 1 << 2 | 2);
    write(NVIC_ISER1, 1 << (56 - 32));
    // The button at PB31 with its pull-up, the LED at PC18.
    write(PORT_B + 0x18, 1 << 31);
    write8(PORT_B + 0x40 + 31, 0x06);
    write(PORT_C + 0x18, 1 << 18);
    write(PORT_C + 0x08, 1 << 18);
    // SysTick below the UART.
    write(SHPR3, 0xE0 << 24);
    write(SYST_RVR, 47_999);
    write(SYST_CVR, 0);
    write(SYST_CSR, 7);
    // SAFETY: no interrupt handler touches the log.
    unsafe {
        let rtt = addr_of_mut!(_SEGGER_RTT);
        (*rtt).up = 1;
        (*rtt).buffer = addr_of_mut!(RING).cast();
        (*rtt).size = 256;
        // A volatile copy: not before the rest is there.
        for (n, byte) in b"SEGGER RTT".iter().enumerate() {
            write_volatile(addr_of_mut!((*rtt).id[n]), *byte);
        }
    }
    say(b"demo: ready\n");
}

/// Writes to RTT; what does not fit is lost.
fn say(text: &[u8]) {
    // SAFETY: only the main loop comes here, and the host changes nothing but the read offset.
    unsafe {
        let rtt = addr_of_mut!(_SEGGER_RTT);
        for byte in text {
            let next = ((*rtt).write + 1) % 256;
            if next == read_volatile(addr_of_mut!((*rtt).read)) {
                return;
            }
            write_volatile((*rtt).buffer.add((*rtt).write as usize), *byte);
            write_volatile(addr_of_mut!((*rtt).write), next);
        }
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn inner(value: u32) -> u32 {
    let doubled = value * 2;
    TOTAL.fetch_add(1, Relaxed);
    doubled
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn middle(value: u32) -> u32 {
    let first = inner(value);
    first + 1
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn outer(value: u32) -> u32 {
    let scaled = value as f32 * 1.5;
    middle(scaled as u32)
}

fn main() -> ! {
    let mut said = 0;
    loop {
        let pressed = read(PORT_B + 0x20) >> 31 == 0;
        write(PORT_C + if pressed { 0x14 } else { 0x18 }, 1 << 18);
        let round = ROUNDS.load(Relaxed);
        outer(round);
        ROUNDS.store(round.wrapping_add(1), Relaxed);
        let now = TICKS.load(Relaxed);
        if now / 100 != said {
            said = now / 100;
            say(b"demo: 100 ms\n");
        }
        // SAFETY: sleeps until the next interrupt.
        unsafe { asm!("wfi") }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
