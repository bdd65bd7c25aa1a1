//! Faults of entries and returns, and returns that are none.

use super::*;
use crate::memory::{no_regions, region, size};

pub fn derived() {
    // The stack is nowhere: the fault of the entry, and SVC after or before it, by priority.
    for (test, svc, bus) in [(100, 0x80, 0x40), (101, 0x40, 0x80)] {
        priority(SVC, svc);
        priority(BUS, bus);
        let aside: Action = |_, exc_return| {
            // The frame is lost; put one where it can be unstacked.
            msr!("psp", PROCESS_STACK - 0x40);
            exc_return
        };
        on(BUS, aside);
        on(SVC, |_, exc_return| {
            msr!("psp", PROCESS_STACK - 0x40);
            exc_return
        });
        build_frame();
        on_process_stack!(2, NOWHERE + 0x100);
        let first = [ev(BUS, 0xFD), STKERR, 0, ev(SVC, 0xFD)];
        let second = [ev(SVC, 0xFD), ev(BUS, 0xFD), STKERR, 0];
        check(test, if bus < svc { &first } else { &second });
    }
    // Without a BusFault handler it is a HardFault, which goes first.
    set(SHCSR, 0);
    on(HARD, |_, exc_return| {
        msr!("psp", PROCESS_STACK - 0x40);
        exc_return
    });
    build_frame();
    on_process_stack!(2, NOWHERE + 0x100);
    check(102, &[ev(HARD, 0xFD), STKERR, FORCED, ev(SVC, 0xFD)]);

    // The same for the MPU.
    no_regions();
    region(0, 0x2000_E000, size(12, 0));
    set(MPU_CTRL, 5);
    on(MEM, |_, exc_return| {
        set(MPU_CTRL, 0);
        msr!("psp", PROCESS_STACK - 0x40);
        exc_return
    });
    priority(SVC, 0x80);
    build_frame();
    on_process_stack!(2, 0x2000_E800);
    check(103, &[ev(MEM, 0xFD), MSTKERR, 0, ev(SVC, 0xFD)]);

    // Unstacking from nowhere: tail-chained, with the same EXC_RETURN.
    on(SVC, |_, exc_return| {
        msr!("psp", NOWHERE);
        exc_return
    });
    on(BUS, |_, exc_return| {
        msr!("psp", PROCESS_STACK - 0x40);
        exc_return
    });
    build_frame();
    on_process_stack!(2, PROCESS_STACK);
    check(104, &[ev(SVC, 0xFD), ev(BUS, 0xFD), UNSTKERR, 0]);
    no_regions();
    region(0, 0x2000_E000, size(12, 0));
    set(MPU_CTRL, 5);
    on(SVC, |_, exc_return| {
        msr!("psp", 0x2000_E800);
        exc_return
    });
    on(MEM, |_, exc_return| {
        set(MPU_CTRL, 0);
        msr!("psp", PROCESS_STACK - 0x40);
        exc_return
    });
    build_frame();
    on_process_stack!(2, PROCESS_STACK);
    check(105, &[ev(SVC, 0xFD), ev(MEM, 0xFD), MUNSTKERR, 0]);

    // Returns that are none. LR then has the value with its upper bits set.
    on(USAGE, |_, _| {
        log(3);
        0xFFFF_FFF9
    });
    on(SVC, |_, _| 0xFFFF_FFF2);
    run!("svc #0");
    check(106, &[ev(SVC, 0xF9), ev(USAGE, 0xF2), INVPC, 0, 3]);
    // Thread mode from a nested handler.
    on(USAGE, |_, _| 0xFFFF_FFF1);
    enable(0, 0x80);
    enable(1, 0x40);
    on(IRQ0, pend_1);
    on(IRQ1, |_, _| 0xFFFF_FFF9);
    pend(0);
    check(107, &[ev(IRQ0, 0xF9), 1, ev(IRQ1, 0xF1), ev(USAGE, 0xF9), INVPC, 0, 2]);
    // Handler mode with nothing below.
    on(USAGE, |_, _| 0xFFFF_FFF9);
    on(SVC, |_, _| 0xFFFF_FFF1);
    run!("svc #0");
    check(108, &[ev(SVC, 0xF9), ev(USAGE, 0xF1), INVPC, 0]);

    // A vector that cannot be read: HardFault in its place. QEMU's board has no place for such a table.
    if get(CPUID) & 15 == 0 {
        return;
    }
    let table = 0x207F_FF80u32;
    for n in 0..32 {
        set(table + 4 * n, get(4 * n));
    }
    on(HARD, |_, exc_return| {
        set(0xE000_E180, !0);
        exc_return
    });
    set(VTOR, table);
    enable(20, 0x40);
    run!("cpsid i");
    pend(20);
    run!("cpsie i", "isb");
    set(0xE000_E180, !0);
    set(VTOR, 0);
    check(109, &[ev(HARD, 0xF9), 0, VECTTBL]);
}

/// A frame that goes on behind the SVC of `on_process_stack`: it is copied from the one that the first entry would have
/// made, had there been a stack.
pub fn build_frame() {
    for n in 0..8 {
        set(PROCESS_STACK - 0x40 + 4 * n, 0);
    }
    let (back, xpsr) = (behind_process as *const () as u32 & !1, 1 << 24);
    set(PROCESS_STACK - 0x40 + 24, back);
    set(PROCESS_STACK - 0x40 + 28, xpsr);
}

unsafe extern "C" {
    fn behind_process();
}

// Where lost frames lead to; no handler changes R5.
global_asm!(".thumb_func", ".global behind_process", "behind_process:", "bx r5");
