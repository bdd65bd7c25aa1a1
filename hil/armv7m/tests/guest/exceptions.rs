//! Exceptions, faults, priorities, stacking and protection, checked by the program itself: each test logs what its
//! handlers saw and compares that with what the manual says. Runs in the simulator and in QEMU (tests/core/exceptions).
//!
//! A handler logs its exception number and EXC_RETURN's low byte ([`ev`]), for a fault also CFSR and HFSR, which it
//! clears; then it does what the test put into [`ACTIONS`].
#![no_std]
#![no_main]
#![allow(static_mut_refs, reason = "one core, and handlers that the tests call for")]

use core::arch::{asm, global_asm};
use core::ptr::{read_volatile, write_volatile};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    fail(0xDEAD, 0, 0);
    finish()
}

global_asm!(
    r#"
.syntax unified
.thumb
.section .vectors, "a"
.word 0x20010000
.word start
.rept 62
.word any
.endr

.text
.thumb_func
any:
    tst lr, #4
    ite eq
    mrseq r0, msp
    mrsne r0, psp
    mov r1, lr
    push {{r4, lr}}
    bl handler
    pop {{r4, lr}}
    bx r0

.thumb_func
start:
    bl main
    b .
"#
);

const CPUID: u32 = 0xE000_ED00;
const CCR: u32 = 0xE000_ED14;
const SHCSR: u32 = 0xE000_ED24;
const CFSR: u32 = 0xE000_ED28;
const HFSR: u32 = 0xE000_ED2C;
const ICSR: u32 = 0xE000_ED04;
const VTOR: u32 = 0xE000_ED08;
const AIRCR: u32 = 0xE000_ED0C;
const SCR: u32 = 0xE000_ED10;
const CPACR: u32 = 0xE000_ED88;
const FPCCR: u32 = 0xE000_EF34;
const FPCAR: u32 = 0xE000_EF38;
const MPU_CTRL: u32 = 0xE000_ED94;
const MPU_RNR: u32 = 0xE000_ED98;
const MPU_RBAR: u32 = 0xE000_ED9C;
const MPU_RASR: u32 = 0xE000_EDA0;
const NOWHERE: u32 = 0x7000_0000;

const NMI: u32 = 2;
const HARD: u32 = 3;
const MEM: u32 = 4;
const BUS: u32 = 5;
const USAGE: u32 = 6;
const SVC: u32 = 11;
const PENDSV: u32 = 14;
const SYSTICK: u32 = 15;
const IRQ0: u32 = 16;
const IRQ1: u32 = 17;

const IACCVIOL: u32 = 1;
const DACCVIOL: u32 = 1 << 1 | 1 << 7;
const MUNSTKERR: u32 = 1 << 3;
const MSTKERR: u32 = 1 << 4;
const MLSPERR: u32 = 1 << 5;
const IBUSERR: u32 = 1 << 8;
const PRECISERR: u32 = 1 << 9 | 1 << 15;
const UNSTKERR: u32 = 1 << 11;
const STKERR: u32 = 1 << 12;
const UNDEFINSTR: u32 = 1 << 16;
const INVSTATE: u32 = 1 << 17;
const INVPC: u32 = 1 << 18;
const NOCP: u32 = 1 << 19;
const UNALIGNED: u32 = 1 << 24;
const DIVBYZERO: u32 = 1 << 25;
const FORCED: u32 = 1 << 30;
const VECTTBL: u32 = 1 << 1;

fn get(addr: u32) -> u32 {
    unsafe { read_volatile(addr as *const u32) }
}

fn set(addr: u32, value: u32) {
    unsafe {
        write_volatile(addr as *mut u32, value);
        asm!("dsb", "isb");
    }
}

fn set_byte(addr: u32, value: u32) {
    unsafe {
        write_volatile(addr as *mut u8, value as u8);
        asm!("dsb", "isb");
    }
}

/// What a handler does after it has logged; gets the frame and EXC_RETURN, returns the EXC_RETURN to use.
type Action = fn(*mut u32, u32) -> u32;

fn nothing(_: *mut u32, exc_return: u32) -> u32 {
    exc_return
}

/// Past the instruction that faulted.
fn skip(frame: *mut u32, exc_return: u32) -> u32 {
    unsafe {
        let pc = *frame.add(6);
        let length = if *(pc as *const u16) >= 0xE800 { 4 } else { 2 };
        *frame.add(6) = pc + length;
    }
    exc_return
}

/// Back to the caller of what went astray, in Thumb state.
fn to_lr(frame: *mut u32, exc_return: u32) -> u32 {
    unsafe {
        *frame.add(6) = *frame.add(5) & !1;
        *frame.add(7) |= 1 << 24;
    }
    exc_return
}

/// What each handler does: all zero until `tidy` fills it, because nobody copies initial values into RAM.
static mut ACTIONS: [Option<Action>; 64] = [None; 64];
static mut LOG: [u32; 64] = [0; 64];
static mut LOGGED: usize = 0;
/// Four words for each failure: test, place in its log, got, expected. The first word is the number of tests.
const RESULTS: u32 = 0x2002_0000;
static mut RESULT: u32 = 0;

fn log(word: u32) {
    unsafe {
        if LOGGED < LOG.len() {
            LOG[LOGGED] = word;
            LOGGED += 1;
        }
    }
}

/// What an exception logs: its number and the low byte of EXC_RETURN.
const fn ev(number: u32, exc_return: u32) -> u32 {
    number << 8 | exc_return
}

fn fail(test: u32, got: u32, expected: u32) {
    unsafe {
        for (i, word) in [test, LOGGED as u32, got, expected].into_iter().enumerate() {
            write_volatile((RESULT + 4 * i as u32) as *mut u32, word);
        }
        RESULT += 16;
    }
}

/// Compares the log with what the manual wants there, and tidies up for the next test.
fn check(test: u32, expected: &[u32]) {
    unsafe {
        let count = read_volatile(RESULTS as *const u32);
        write_volatile(RESULTS as *mut u32, count + 1);
        let logged = LOGGED;
        for n in 0..logged.max(expected.len()) {
            let got = if n < logged { LOG[n] } else { 0xFFFF_FFFF };
            let want = if n < expected.len() { expected[n] } else { 0xFFFF_FFFF };
            if got != want {
                LOGGED = n;
                fail(test, got, want);
                break;
            }
        }
        tidy();
    }
}

fn tidy() {
    unsafe {
        LOGGED = 0;
        ACTIONS = [Some(nothing as Action); 64];
        for number in [HARD, MEM, BUS, USAGE] {
            ACTIONS[number as usize] = Some(skip);
        }
    }
    set(0xE000_E180, !0);
    set(0xE000_E280, !0);
    for n in 0..8 {
        set(0xE000_E400 + 4 * n, 0);
    }
    for n in 0..3 {
        set(0xE000_ED18 + 4 * n, 0);
    }
    set(AIRCR, 0x05FA_0000);
    set(CCR, 0x200);
    set(SHCSR, 7 << 16);
    set(MPU_CTRL, 0);
    set(SCR, 0);
    set(CFSR, !0);
    set(HFSR, !0);
}

fn on(number: u32, action: Action) {
    unsafe { ACTIONS[number as usize] = Some(action) };
}

#[unsafe(no_mangle)]
extern "C" fn handler(frame: *mut u32, exc_return: u32) -> u32 {
    let number = special(b"ipsr");
    log(ev(number, exc_return & 0xFF));
    if (HARD..=USAGE).contains(&number) {
        log(get(CFSR));
        log(get(HFSR));
        set(CFSR, !0);
        set(HFSR, !0);
    }
    match unsafe { ACTIONS[(number & 63) as usize] } {
        Some(action) => action(frame, exc_return),
        None => exc_return,
    }
}

macro_rules! mrs {
    ($name:literal) => {{
        let value: u32;
        unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value) };
        value
    }};
}

macro_rules! msr {
    ($name:literal, $value:expr) => {{
        let value: u32 = $value;
        unsafe { asm!(concat!("msr ", $name, ", {}"), "isb", in(reg) value) };
    }};
}

fn special(name: &[u8]) -> u32 {
    match name {
        b"ipsr" => mrs!("ipsr"),
        b"basepri" => mrs!("basepri"),
        b"primask" => mrs!("primask"),
        b"faultmask" => mrs!("faultmask"),
        _ => mrs!("control"),
    }
}

/// Executes instructions that may fault or call, with values for R1 and R2.
macro_rules! run {
    ($($line:literal),+) => { run!($($line),+; 0u32, 0u32) };
    ($($line:literal),+; $r1:expr) => { run!($($line),+; $r1, 0u32) };
    ($($line:literal),+; $r1:expr, $r2:expr) => {{
        let (r1, r2): (u32, u32) = ($r1, $r2);
        unsafe {
            asm!($($line),+, inout("r1") r1 => _, inout("r2") r2 => _, out("r0") _, out("r3") _, out("r12") _, out("lr") _)
        }
    }};
}

fn priority(number: u32, value: u32) {
    if number < 16 { set_byte(0xE000_ED18 + number - 4, value) } else { set_byte(0xE000_E400 + number - 16, value) }
}

fn enable(irq: u32, value: u32) {
    priority(IRQ0 + irq, value);
    set(0xE000_E100, 1 << irq);
}

fn pend(irq: u32) {
    set(0xE000_E200, 1 << irq);
}

fn pend_1(_: *mut u32, exc_return: u32) -> u32 {
    log(1);
    pend(1);
    log(2);
    exc_return
}

const PROCESS_STACK: u32 = 0x2000_C000;

/// Runs instructions on the process stack with CONTROL as given; then an SVC, whose handler must be the one above or
/// something like it that goes back to the main stack. The frame is left behind on the process stack.
macro_rules! on_process_stack {
    ($control:expr, $psp:expr $(, $line:literal)*) => { on_process_stack!($control, $psp $(, $line)*; 0u32) };
    ($control:expr, $psp:expr $(, $line:literal)*; $r1:expr) => {{
        msr!("psp", $psp);
        let (control, r1): (u32, u32) = ($control, $r1);
        unsafe {
            // R5 is where a lost frame leads to, see `behind_process`.
            asm!(".balign 4", "adr.w r5, 2f", "orr r5, r5, #1", "msr control, r2", "isb", $($line,)* "svc #1",
                "2:", "movs r0, #0", "msr control, r0", "isb",
                inout("r1") r1 => _, inout("r2") control => _, out("r0") _, out("r3") _, out("r5") _, out("r12") _,
                out("lr") _)
        }
    }};
}

/// Privileged Thread mode from the handler on.
fn privilege(_: *mut u32, exc_return: u32) -> u32 {
    msr!("control", special(b"control") & !1);
    exc_return
}

#[path = "exceptions/derived.rs"]
mod derived;
#[path = "exceptions/faults.rs"]
mod faults;
#[path = "exceptions/memory.rs"]
mod memory;
#[path = "exceptions/order.rs"]
mod order;

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    set(RESULTS, 0);
    unsafe { RESULT = RESULTS + 4 };
    set(CPACR, 0);
    tidy();
    order::order();
    order::masks();
    faults::faults();
    faults::stacking();
    faults::process();
    memory::protection();
    derived::derived();
    memory::floating();
    order::sleeping();
    finish()
}

fn semihost(operation: u32, argument: u32) -> u32 {
    let result;
    unsafe { asm!("bkpt 0xAB", inout("r0") operation => result, in("r1") argument) };
    result
}

fn finish() -> ! {
    let name = b"results\0";
    let open = [name.as_ptr() as u32, 5, 7];
    let handle = semihost(1, open.as_ptr() as u32);
    let write = [handle, RESULTS, unsafe { RESULT } - RESULTS];
    semihost(5, write.as_ptr() as u32);
    semihost(0x18, 0x2_0026);
    loop {}
}
