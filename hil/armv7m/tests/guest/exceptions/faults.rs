//! Faults, and the frames that exceptions leave on the stacks.

use super::*;

pub fn faults() {
    run!("udf #0");
    check(40, &[ev(USAGE, 0xF9), UNDEFINSTR, 0]);
    run!("udf.w #0");
    check(41, &[ev(USAGE, 0xF9), UNDEFINSTR, 0]);
    set(SHCSR, 0);
    run!("udf #0");
    check(42, &[ev(HARD, 0xF9), UNDEFINSTR, FORCED]);

    set(CCR, 0x210);
    run!("udiv r0, r1, r2"; 1, 0);
    run!("sdiv r0, r1, r2"; 1, 0);
    check(43, &[ev(USAGE, 0xF9), DIVBYZERO, 0, ev(USAGE, 0xF9), DIVBYZERO, 0]);
    let quotient: u32;
    unsafe { asm!("udiv {0}, {1}, {2}", out(reg) quotient, in(reg) 5, in(reg) 0) };
    log(quotient);
    check(44, &[0]);

    let odd = 0x2000_8001u32;
    run!("ldr r0, [r1]"; odd);
    check(45, &[]);
    set(CCR, 0x208);
    run!("ldr r0, [r1]"; odd);
    run!("strh r0, [r1]"; odd);
    check(46, &[ev(USAGE, 0xF9), UNALIGNED, 0, ev(USAGE, 0xF9), UNALIGNED, 0]);
    run!("ldm r1, {{r0, r2}}"; odd + 1);
    run!("strd r0, r2, [r1]"; odd + 1);
    run!("ldrex r0, [r1]"; odd + 1);
    let expected = [ev(USAGE, 0xF9), UNALIGNED, 0];
    check(47, &[expected[0], UNALIGNED, 0, expected[0], UNALIGNED, 0, expected[0], UNALIGNED, 0]);

    set(CPACR, 0);
    run!("vmov.f32 s0, #1.0");
    run!("mrc p15, #0, r0, c0, c0, #0");
    check(48, &[ev(USAGE, 0xF9), NOCP, 0, ev(USAGE, 0xF9), NOCP, 0]);

    // Out of Thumb state: the fault is at the target.
    on(USAGE, |frame, exc_return| {
        log(unsafe { *frame.add(6) });
        log(unsafe { *frame.add(7) } >> 24 & 1);
        to_lr(frame, exc_return)
    });
    run!("blx r1"; 0x2000_8000u32);
    check(49, &[ev(USAGE, 0xF9), INVSTATE, 0, 0x2000_8000, 0]);

    // Nothing there, and nothing to be executed there.
    for number in [BUS, MEM] {
        on(number, |frame, exc_return| {
            log(unsafe { *frame.add(6) });
            to_lr(frame, exc_return)
        });
    }
    run!("blx r1"; NOWHERE | 1);
    run!("blx r1"; 0x4000_0001u32);
    run!("blx r1"; 0xE000_0001u32);
    let expected = [ev(BUS, 0xF9), IBUSERR, 0, NOWHERE, ev(MEM, 0xF9), IACCVIOL, 0, 0x4000_0000];
    let mut all = [0; 12];
    all[..8].copy_from_slice(&expected);
    all[8..].copy_from_slice(&[ev(MEM, 0xF9), IACCVIOL, 0, 0xE000_0000]);
    check(50, &all);

    on(BUS, |frame, exc_return| {
        log(get(0xE000_ED38));
        skip(frame, exc_return)
    });
    run!("ldr r0, [r1, #4]"; NOWHERE);
    run!("strb r0, [r1]"; NOWHERE + 3);
    check(51, &[ev(BUS, 0xF9), PRECISERR, 0, NOWHERE + 4, ev(BUS, 0xF9), PRECISERR, 0, NOWHERE + 3]);

    // A fault in a handler that its own handler cannot preempt.
    priority(USAGE, 0x40);
    priority(SVC, 0x40);
    on(SVC, |_, exc_return| {
        run!("udf #0");
        exc_return
    });
    run!("svc #0");
    check(52, &[ev(SVC, 0xF9), ev(HARD, 0xF1), UNDEFINSTR, FORCED]);
    priority(USAGE, 0x40);
    priority(SVC, 0x80);
    on(SVC, |_, exc_return| {
        run!("udf #0");
        exc_return
    });
    run!("svc #0");
    check(53, &[ev(SVC, 0xF9), ev(USAGE, 0xF1), UNDEFINSTR, 0]);

    // Under FAULTMASK and in HardFault bus faults of data can be ignored; QEMU (a Cortex-M4 r0p0) locks up.
    if get(CPUID) & 15 != 0 {
        set(CCR, 0x300);
        run!("cpsid f", "ldr r0, [r1]", "cpsie f"; NOWHERE);
        check(54, &[]);
    }
}

pub fn stacking() {
    // SP is aligned to eight bytes for the frame, bit 9 of xPSR tells, and it comes back.
    let look: Action = |frame, exc_return| {
        log(frame as u32 & 7);
        log(unsafe { *frame.add(7) } >> 9 & 1);
        exc_return
    };
    for (test, ccr, address, bit) in [(60, 0x200, 0, 1), (61, 0, 4, 0)] {
        on(SVC, look);
        set(CCR, ccr);
        let (before, after): (u32, u32);
        unsafe {
            asm!("mov {save}, sp", "bic {before}, {save}, #7", "subs {before}, #12", "mov sp, {before}", "svc #0",
                "mov {after}, sp", "mov sp, {save}", save = out(reg) _, before = out(reg) before, after = out(reg) after,
                out("r0") _, out("r1") _, out("r2") _, out("r3") _, out("r12") _, out("lr") _)
        };
        log(after - before);
        check(test, &[ev(SVC, 0xF9), address, bit, 0]);
    }

    // Registers and flags survive, and a handler can change them in the frame.
    on(SVC, |frame, exc_return| {
        unsafe {
            *frame += 1;
            *frame.add(7) |= 1 << 27;
        }
        exc_return
    });
    let (r0, apsr): (u32, u32);
    unsafe {
        asm!("movs r0, #41", "svc #0", "mrs r1, apsr", out("r0") r0, out("r1") apsr, out("r2") _, out("r3") _,
            out("r12") _, out("lr") _)
    };
    log(r0);
    log(apsr >> 27 & 1);
    msr!("apsr_nzcvq", 0);
    check(62, &[ev(SVC, 0xF9), 42, 1]);

    // An exception inside an IT block leaves the rest of it to be done.
    let (r0, r2): (u32, u32);
    unsafe {
        asm!("movs r0, #0", "movs r2, #0", "cmp r0, #0", "itete eq", "svceq #0", "addne r0, #1", "addeq r0, #2",
            "addne r2, #4", out("r0") r0, out("r2") r2, out("r1") _, out("r3") _, out("r12") _, out("lr") _)
    };
    log(r0);
    log(r2);
    check(63, &[ev(SVC, 0xF9), 2, 0]);
}

pub fn process() {
    on(SVC, privilege);
    on_process_stack!(2, PROCESS_STACK, "nop");
    check(70, &[ev(SVC, 0xFD)]);

    // Unprivileged: no system space, no masks, no way back by itself.
    on(SVC, |frame, exc_return| {
        log(special(b"primask"));
        log(special(b"control"));
        log(unsafe { *frame });
        privilege(frame, exc_return)
    });
    on_process_stack!(3, PROCESS_STACK, "ldr r0, [r1]", "cpsid i", "movs r0, #0", "msr control, r0", "isb",
        "mrs r0, msp"; CCR);
    check(71, &[ev(BUS, 0xFD), PRECISERR, 0, ev(SVC, 0xFD), 0, 1, 0]);
}
