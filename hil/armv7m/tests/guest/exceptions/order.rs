//! Who goes first: priorities, groups, masks, sleep.

use super::*;

pub fn order() {
    run!("svc #0");
    check(1, &[ev(SVC, 0xF9)]);

    // Two exceptions made pending by a handler above them: tail-chained by priority.
    on(SVC, |_, exc_return| {
        set(ICSR, 1 << 28 | 1 << 26);
        log(get(ICSR) >> 12 & 0x3F);
        exc_return
    });
    priority(SVC, 0x20);
    priority(PENDSV, 0xE0);
    priority(SYSTICK, 0xC0);
    run!("svc #0");
    check(2, &[ev(SVC, 0xF9), SYSTICK, ev(SYSTICK, 0xF9), ev(PENDSV, 0xF9)]);

    // A more urgent interrupt preempts, one of the same or a lower priority waits.
    for (test, first, second, nests) in [(3, 0x80, 0x40, true), (4, 0x80, 0x80, false), (5, 0x40, 0x80, false)] {
        enable(0, first);
        enable(1, second);
        on(IRQ0, pend_1);
        pend(0);
        let nested = [ev(IRQ0, 0xF9), 1, ev(IRQ1, 0xF1), 2];
        let chained = [ev(IRQ0, 0xF9), 1, 2, ev(IRQ1, 0xF9)];
        check(test, if nests { &nested } else { &chained });
    }

    // PRIGROUP 6: one bit of group priority. The rest orders what is pending and preempts nothing.
    set(AIRCR, 0x05FA_0600);
    enable(0, 0x60);
    enable(1, 0x20);
    on(IRQ0, pend_1);
    pend(0);
    check(6, &[ev(IRQ0, 0xF9), 1, 2, ev(IRQ1, 0xF9)]);
    set(AIRCR, 0x05FA_0600);
    enable(0, 0x60);
    enable(1, 0x20);
    run!("cpsid i");
    pend(0);
    pend(1);
    run!("cpsie i", "isb");
    check(7, &[ev(IRQ1, 0xF9), ev(IRQ0, 0xF9)]);
    set(AIRCR, 0x05FA_0600);
    enable(0, 0xA0);
    enable(1, 0x20);
    on(IRQ0, pend_1);
    pend(0);
    check(8, &[ev(IRQ0, 0xF9), 1, ev(IRQ1, 0xF1), 2]);

    // What a handler sees of itself and of what it interrupted.
    enable(0, 0x80);
    enable(1, 0x40);
    on(IRQ0, pend_1);
    on(IRQ1, |_, exc_return| {
        log(get(ICSR) & 0x9FF);
        log(get(0xE000_E300));
        exc_return
    });
    pend(0);
    check(9, &[ev(IRQ0, 0xF9), 1, ev(IRQ1, 0xF1), IRQ1, 3, 2]);
    enable(0, 0x80);
    on(IRQ0, |_, exc_return| {
        log(get(ICSR) & 0x9FF);
        exc_return
    });
    pend(0);
    check(10, &[ev(IRQ0, 0xF9), 0x800 | IRQ0]);
}

pub fn masks() {
    enable(0, 0x80);
    msr!("basepri", 0x60);
    pend(0);
    log(1);
    msr!("basepri_max", 0x80);
    log(special(b"basepri"));
    msr!("basepri_max", 0x40);
    log(special(b"basepri"));
    msr!("basepri_max", 0);
    log(special(b"basepri"));
    msr!("basepri", 0);
    check(20, &[1, 0x60, 0x40, 0x40, ev(IRQ0, 0xF9)]);

    // BASEPRI equal to the priority masks it.
    enable(0, 0x80);
    msr!("basepri", 0x80);
    pend(0);
    log(1);
    msr!("basepri", 0xA0);
    check(21, &[1, ev(IRQ0, 0xF9)]);
    msr!("basepri", 0);

    enable(0, 0);
    run!("cpsid f");
    pend(0);
    log(special(b"faultmask"));
    set(ICSR, 1 << 31);
    log(2);
    run!("cpsie f", "isb");
    check(22, &[1, ev(NMI, 0xF9), 2, ev(IRQ0, 0xF9)]);

    // Returning from an exception clears FAULTMASK, from NMI it does not.
    on(SVC, |_, exc_return| {
        run!("cpsid f");
        log(special(b"faultmask"));
        exc_return
    });
    run!("svc #0");
    log(special(b"faultmask"));
    run!("cpsid f");
    set(ICSR, 1 << 31);
    log(special(b"faultmask"));
    run!("cpsie f");
    check(23, &[ev(SVC, 0xF9), 1, 0, ev(NMI, 0xF9), 1]);

    // PRIMASK holds SVC back, which then is a HardFault, from behind the SVC.
    on(HARD, nothing);
    run!("cpsid i", "svc #0");
    log(special(b"primask"));
    run!("cpsie i");
    check(24, &[ev(HARD, 0xF9), 0, FORCED, 1]);
}

pub fn sleeping() {
    // A pending interrupt wakes WFI under PRIMASK without being taken.
    enable(0, 0x40);
    run!("cpsid i");
    pend(0);
    run!("wfi");
    log(1);
    run!("cpsie i", "isb");
    check(140, &[1, ev(IRQ0, 0xF9)]);
    // An event that came before.
    run!("sev", "wfe");
    check(141, &[]);
    // An interrupt that becomes pending is an event, if SEVONPEND says so.
    run!("sev", "wfe");
    set(SCR, 0x10);
    pend(1);
    run!("wfe");
    check(142, &[]);
    // Sleep on exit: the next interrupt, pending already, is taken out of the sleep, and clears the bit.
    set(SCR, 2);
    enable(0, 0x40);
    enable(1, 0x80);
    on(IRQ0, |_, exc_return| {
        pend(1);
        exc_return
    });
    on(IRQ1, |_, exc_return| {
        set(SCR, 0);
        exc_return
    });
    pend(0);
    check(143, &[ev(IRQ0, 0xF9), ev(IRQ1, 0xF9)]);
}
