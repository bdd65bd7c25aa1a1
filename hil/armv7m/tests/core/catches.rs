//! Vector catches (DEMCR.VC_*, ARMv7-M ARM C1.6.5) and lockup (B1.5.15).

use armv7m::Stop;

use crate::bare::{Bare, NOP, STAY};

const DHCSR: u32 = 0xE000_EDF0;
const DEMCR: u32 = 0xE000_EDFC;
const DFSR: u32 = 0xE000_ED30;
const SHCSR: u32 = 0xE000_ED24;
const HANDLER: u32 = 0x300;

/// Runs `code` with R1 = `r1` and one catch; tells whether the core halted in front of a handler, and of which.
fn caught(code: &[u16], r1: u32, catch: u32, prepare: fn(&mut Bare)) -> Option<u32> {
    let mut all = code.to_vec();
    all.push(STAY);
    let mut bare = Bare::new(&all);
    bare.write(DHCSR, 0xA05F_0003);
    bare.write(SHCSR, 7 << 16);
    bare.write(0xE000_EDF8, r1);
    bare.write(0xE000_EDF4, 1 << 16 | 1);
    bare.write(DEMCR, catch);
    bare.write(DFSR, u32::MAX);
    prepare(&mut bare);
    bare.write(DHCSR, 0xA05F_0001);
    if bare.run(200) != Stop::Halted {
        return None;
    }
    assert_eq!(bare.read(DFSR), 8, "VCATCH alone");
    assert_eq!(bare.cpu.register(15), HANDLER);
    assert_eq!(bare.read(DHCSR) & 1 << 17, 1 << 17);
    Some(bare.cpu.register(16) & 0x1FF)
}

const MMERR: u32 = 1 << 4;
const NOCPERR: u32 = 1 << 5;
const CHKERR: u32 = 1 << 6;
const STATERR: u32 = 1 << 7;
const BUSERR: u32 = 1 << 8;
const INTERR: u32 = 1 << 9;
const HARDERR: u32 = 1 << 10;
const ALL: u32 = MMERR | NOCPERR | CHKERR | STATERR | BUSERR | INTERR | HARDERR;

/// Each cause is caught by its own bit, and by no other.
fn only(code: &[u16], r1: u32, catch: u32, number: u32, prepare: fn(&mut Bare)) {
    assert_eq!(caught(code, r1, catch, prepare), Some(number));
    assert_eq!(caught(code, r1, ALL & !catch, prepare), None);
}

#[test]
fn each_usage_fault_has_its_catch() {
    only(&[0xDE00], 0, STATERR, 6, |_| {});
    // blx r1 to an even address
    only(&[0x4788], 0x500, STATERR, 6, |_| {});
    // vmov.f32 s0, #1.0
    only(&[0xEEB7, 0x0A00], 0, NOCPERR, 6, |_| {});
    // movs r2, #0; udiv r0, r1, r2
    only(&[0x2200, 0xFBB1, 0xF0F2], 5, CHKERR, 6, |bare| bare.write(0xE000_ED14, 0x210));
    // ldm r1, {r0, r2}
    only(&[0xE891, 0x0005], 0x2000_0001, CHKERR, 6, |_| {});
}

#[test]
fn a_catch_looks_at_the_cause_and_not_at_what_is_left_in_cfsr() {
    // ldr r1, [pc, #4]; udf; 1: ldr r0, [r1]; b 1b; 0x2000_0001. The handler skips two bytes and leaves CFSR alone.
    let mut bare = Bare::new(&[0x4901, 0xDE00, 0x6808, 0xE7FD, 0x0001, 0x2000]);
    // ldr r0, [sp, #24]; adds r0, #2; str r0, [sp, #24]; bx lr
    bare.put(HANDLER, &[0x9806, 0x3002, 0x9006, 0x4770]);
    bare.write(SHCSR, 7 << 16);
    bare.write(0xE000_ED14, 0x208);
    bare.write(DHCSR, 0xA05F_0001);
    assert_eq!(bare.run(60), Stop::Deadline);
    assert_eq!(bare.read(0xE000_ED28), 1 << 24 | 1 << 16);
    bare.write(DEMCR, STATERR);
    assert_eq!(bare.run(500), Stop::Deadline, "the load is no state error");
    bare.write(DEMCR, CHKERR);
    assert_eq!(bare.run(500), Stop::Halted);
}

#[test]
fn memory_faults_have_their_catches() {
    // ldr r0, [r1]
    only(&[0x6808], 0x7000_0000, BUSERR, 5, |_| {});
    // bx r1
    only(&[0x4708], 0x7000_0001, BUSERR, 5, |_| {});
    only(&[0x4708], 0x4000_0001, MMERR, 4, |_| {});
}

#[test]
fn a_fault_that_escalates_is_caught_as_a_hard_fault() {
    only(&[0xDE00], 0, HARDERR, 3, |bare| bare.write(SHCSR, 0));
    // svc under PRIMASK
    only(&[0xB672, 0xDF00], 0, HARDERR, 3, |_| {});
    // A breakpoint instruction does not get there: halting debug is on, which takes it.
}

#[test]
fn a_fault_of_the_entry_itself_has_its_catch() {
    // mov sp, r1; svc #0
    let code = [0x468D, 0xDF00];
    assert_eq!(caught(&code, 0x7000_0100, INTERR, |_| {}), Some(5));
    assert_eq!(caught(&code, 0x7000_0100, BUSERR, |_| {}), Some(5), "it is a BusFault as well");
    assert_eq!(caught(&code, 0x7000_0100, ALL & !INTERR & !BUSERR, |_| {}), None);
}

#[test]
fn without_halting_debug_nothing_is_caught() {
    let mut bare = Bare::new(&[0xDE00, STAY]);
    bare.write(DEMCR, ALL);
    bare.write(SHCSR, 7 << 16);
    assert_eq!(bare.run(200), Stop::Deadline);
}

#[test]
fn nmi_leaves_a_lockup_and_comes_back_to_it() {
    // cpsid f; udf
    let mut bare = Bare::new(&[0xB673, 0xDE00, NOP]);
    assert_eq!(bare.run(100), Stop::Lockup);
    assert_eq!(bare.cpu.register(15), 0xFFFF_FFFE);
    bare.cpu.take_exceptions();
    bare.write(0xE000_ED04, 1 << 31);
    bare.run(12);
    assert!(!bare.cpu.is_locked_up());
    assert_eq!(bare.run(100), Stop::Lockup);
    let numbers: Vec<_> = bare.cpu.take_exceptions().into_iter().map(|record| record.number).collect();
    assert_eq!(numbers, [2, 2]);
}

#[test]
fn a_fault_in_nmi_or_hard_fault_locks_up() {
    for number in [2, 3] {
        let mut bare = Bare::new(&[STAY]);
        bare.put(0x200, &[0xDE00]);
        bare.vector(number, 0x200);
        if number == 2 {
            bare.write(0xE000_ED04, 1 << 31);
        } else {
            bare.put(crate::bare::CODE, &[0xDE00]);
        }
        assert_eq!(bare.run(100), Stop::Lockup);
        assert_eq!(bare.cpu.register(16) & 0x1FF, number as u32);
        assert_eq!(bare.read(DHCSR) & 1 << 19, 1 << 19);
    }
}

#[test]
fn a_second_vector_that_cannot_be_read_is_a_lockup() {
    let mut bare = Bare::new(&[STAY]);
    bare.enable(0, 0);
    bare.write(0xE000_ED08, 0x7000_0000);
    bare.write(0xE000_E200, 1);
    assert_eq!(bare.run(100), Stop::Lockup);
    assert_eq!(bare.read(0xE000_ED2C) & 2, 2, "HFSR.VECTTBL");
}
