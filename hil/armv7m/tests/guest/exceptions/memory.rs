//! Memory protection and the floating-point state.

use super::*;

pub fn region(number: u32, base: u32, attributes: u32) {
    set(MPU_RNR, number);
    set(MPU_RBAR, base);
    set(MPU_RASR, attributes);
}

/// RASR of a region of 2^`log2` bytes with access permission `ap`.
pub const fn size(log2: u32, ap: u32) -> u32 {
    ap << 24 | (log2 - 1) << 1 | 1
}

pub fn no_regions() {
    for number in 0..8 {
        region(number, 0, 0);
    }
}

pub fn protection() {
    let place = 0x2000_8000u32;
    no_regions();
    // Access permissions for a privileged read and write.
    for (test, ap, read, write) in [
        (80, 0, false, false),
        (81, 1, true, true),
        (82, 2, true, true),
        (83, 3, true, true),
        (84, 5, true, false),
        (85, 6, true, false),
        (86, 7, true, false),
    ] {
        region(0, place, size(12, ap));
        set(MPU_CTRL, 5);
        run!("ldr r0, [r1]"; place);
        log(1);
        run!("str r0, [r1]"; place);
        set(MPU_CTRL, 0);
        let fault = [ev(MEM, 0xF9), DACCVIOL, 0];
        let mut expected = [0; 8];
        let mut n = 0;
        for (allowed, mark) in [(read, 1), (write, 0)] {
            if !allowed {
                expected[n..n + 3].copy_from_slice(&fault);
                n += 3;
            }
            if mark != 0 {
                expected[n] = mark;
                n += 1;
            }
        }
        check(test, &expected[..n]);
    }
    // The same for LDRT and STRT, which count as unprivileged.
    for (test, ap, read, write) in
        [(87, 1, false, false), (88, 2, true, false), (89, 3, true, true), (90, 6, true, false)]
    {
        region(0, place, size(12, ap));
        set(MPU_CTRL, 5);
        run!("ldrt r0, [r1]"; place);
        log(1);
        run!("strt r0, [r1]"; place);
        set(MPU_CTRL, 0);
        let fault = [ev(MEM, 0xF9), DACCVIOL, 0];
        let mut expected = [0; 8];
        let mut n = 0;
        for (allowed, mark) in [(read, 1), (write, 0)] {
            if !allowed {
                expected[n..n + 3].copy_from_slice(&fault);
                n += 3;
            }
            if mark != 0 {
                expected[n] = mark;
                n += 1;
            }
        }
        check(test, &expected[..n]);
    }

    // The region with the highest number decides; a subregion that is off lets the next one through.
    let look: Action = |frame, exc_return| {
        log(get(0xE000_ED34));
        skip(frame, exc_return)
    };
    no_regions();
    region(1, place, size(12, 0));
    region(6, place, size(10, 3));
    on(MEM, look);
    set(MPU_CTRL, 5);
    run!("ldr r0, [r1]"; place + 0x3FC);
    run!("ldr r0, [r1]"; place + 0x400);
    set(MPU_CTRL, 0);
    check(91, &[ev(MEM, 0xF9), DACCVIOL, 0, place + 0x400]);
    no_regions();
    region(7, place, size(11, 0) | 0x42 << 8);
    on(MEM, look);
    set(MPU_CTRL, 5);
    for n in 0..8 {
        run!("ldr r0, [r1]"; place + 0x100 * n);
    }
    // An access over the edge of what is forbidden.
    run!("ldr r0, [r1]"; place + 0x1FE);
    set(MPU_CTRL, 0);
    let mut expected = [0; 28];
    for (i, n) in [0, 2, 3, 4, 5, 7].into_iter().enumerate() {
        expected[4 * i..4 * i + 4].copy_from_slice(&[ev(MEM, 0xF9), DACCVIOL, 0, place + 0x100 * n]);
    }
    expected[24..].copy_from_slice(&[ev(MEM, 0xF9), DACCVIOL, 0, place + 0x200]);
    check(92, &expected);

    // Without PRIVDEFENA only regions count; program, stack, log. Without a region: a fault even when privileged.
    no_regions();
    region(0, 0, size(20, 6));
    region(1, 0x2000_0000, size(15, 3) | 1 << 28);
    region(2, 0x2000_8000, size(15, 3) | 1 << 28);
    on(MEM, look);
    set(MPU_CTRL, 1);
    run!("ldr r0, [r1]"; 0x2001_0000u32);
    set(MPU_CTRL, 0);
    check(93, &[ev(MEM, 0xF9), DACCVIOL, 0, 0x2001_0000]);

    // Never to be executed.
    no_regions();
    region(0, place, size(12, 3) | 1 << 28);
    set(place, 0x4770_4770);
    on(MEM, to_lr);
    set(MPU_CTRL, 5);
    run!("blx r1"; place | 1);
    set(MPU_CTRL, 0);
    run!("blx r1"; place | 1);
    check(94, &[ev(MEM, 0xF9), IACCVIOL, 0]);

    // At negative priority the MPU is off unless HFNMIENA (which would lock up here).
    no_regions();
    region(0, place, size(12, 0));
    on(NMI, |_, exc_return| {
        log(get(0x2000_8000));
        exc_return
    });
    set(place, 1);
    set(MPU_CTRL, 5);
    set(ICSR, 1 << 31);
    set(MPU_CTRL, 0);
    check(95, &[ev(NMI, 0xF9), 1]);
    no_regions();
}

pub fn floating() {
    set(CPACR, 0xF << 20);
    // Lazy: space is made, nothing is written until the handler touches the unit.
    run!("vmov.f32 s0, #1.0", "vmov.f32 s15, #2.0");
    log(special(b"control"));
    on(SVC, |frame, exc_return| {
        log(get(FPCCR) & 0x7F);
        log(get(FPCAR).wrapping_sub(frame as u32));
        unsafe { *frame.add(8) = 7 };
        exc_return
    });
    run!("svc #0");
    log(get(FPCCR) & 1);
    let (s0, s15): (u32, u32);
    unsafe { asm!("vmov {0}, s0", "vmov {1}, s15", out(reg) s0, out(reg) s15) };
    log(s0);
    log(s15);
    check(120, &[4, ev(SVC, 0xE9), 0x79, 0x20, 0, 0x3F80_0000, 0x4000_0000]);

    run!("vmov.f32 s0, #1.0", "vmov.f32 s15, #2.0");
    on(SVC, |frame, exc_return| {
        run!("vmov.f32 s0, #3.0", "vmov.f32 s15, #3.0");
        log(get(FPCCR) & 1);
        log(unsafe { *frame.add(8) });
        log(unsafe { *frame.add(23) });
        log(special(b"control") & 4);
        exc_return
    });
    run!("svc #0");
    let (s0, s15): (u32, u32);
    unsafe { asm!("vmov {0}, s0", "vmov {1}, s15", out(reg) s0, out(reg) s15) };
    log(s0);
    log(s15);
    check(121, &[ev(SVC, 0xE9), 0, 0x3F80_0000, 0x4000_0000, 4, 0x3F80_0000, 0x4000_0000]);

    // Not lazy.
    set(FPCCR, 1 << 31);
    run!("vmov.f32 s0, #1.0");
    on(SVC, |frame, exc_return| {
        log(get(FPCCR) & 1);
        log(unsafe { *frame.add(8) });
        exc_return
    });
    run!("svc #0");
    check(122, &[ev(SVC, 0xE9), 0, 0x3F80_0000]);
    set(FPCCR, 3 << 30);

    // Nested: the inner handler's context is basic, the outer one's state waits.
    run!("vmov.f32 s0, #1.0");
    enable(0, 0x80);
    enable(1, 0x40);
    on(IRQ0, pend_1);
    on(IRQ1, |_, exc_return| {
        log(get(FPCCR) & 1);
        run!("vmov.f32 s0, #5.0");
        log(get(FPCCR) & 1);
        exc_return
    });
    pend(0);
    let s0: u32;
    unsafe { asm!("vmov {0}, s0", out(reg) s0) };
    log(s0);
    check(123, &[ev(IRQ0, 0xE9), 1, ev(IRQ1, 0xF1), 1, 0, 2, 0x3F80_0000]);

    // FPDSCR is what a new context begins with.
    set(0xE000_EF3C, 3 << 22);
    run!("vmov.f32 s0, #1.0");
    on(SVC, |_, exc_return| {
        let fpscr: u32;
        unsafe { asm!("vmrs {}, fpscr", out(reg) fpscr) };
        log(fpscr >> 22);
        exc_return
    });
    run!("svc #0");
    let fpscr: u32;
    unsafe { asm!("vmrs {}, fpscr", out(reg) fpscr) };
    log(fpscr >> 22);
    set(0xE000_EF3C, 0);
    check(124, &[ev(SVC, 0xE9), 3, 0]);

    // The state cannot be written: MemManage from the handler's floating-point instruction.
    run!("vmov.f32 s0, #1.0");
    priority(SVC, 0x80);
    on(MEM, |_, exc_return| {
        set(MPU_CTRL, 0);
        exc_return
    });
    on(SVC, |_, exc_return| {
        // A region over the saved state alone: FPCAR is at least 32 bytes above the frame, and so above this handler.
        no_regions();
        region(0, get(FPCAR) + 0x20 & !0x1F, size(5, 6));
        set(MPU_CTRL, 5);
        run!("vmov.f32 s0, #3.0");
        log(get(FPCCR) & 1);
        exc_return
    });
    run!("svc #0");
    check(125, &[ev(SVC, 0xE9), ev(MEM, 0xF1), MLSPERR, 0, 0]);
    no_regions();

    // Privileged only.
    set(CPACR, 5 << 20);
    on(SVC, privilege);
    on_process_stack!(3, PROCESS_STACK, "vmov.f32 s0, #1.0");
    check(126, &[ev(USAGE, 0xFD), NOCP, 0, ev(SVC, 0xFD)]);
    msr!("control", 0);
    set(CPACR, 0);
}
