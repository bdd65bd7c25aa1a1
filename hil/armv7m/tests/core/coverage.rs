//! Which instructions were executed.

use armv7m::Stop;

use crate::guest::{DEMCR, DHCSR, Guest};

const VC_HARDERR: u32 = 1 << 10;
/// Offsets in the program `covered`.
const NOT_EQUAL: u32 = 6;
const LOAD: u32 = 24;
const LAST: u32 = 28;

fn offsets(guest: &Guest) -> Vec<u32> {
    let base = guest.symbol("covered") & !1;
    guest.cpu.executed().filter(|pc| (base..base + 32).contains(pc)).map(|pc| pc - base).collect()
}

#[test]
fn only_what_was_executed_shows() {
    let mut guest = Guest::at("covered");
    guest.write(DEMCR, VC_HARDERR);
    guest.set(0, 1);
    assert_eq!(guest.go(1_000), Stop::Halted);
    assert_eq!(guest.get(15), guest.symbol("fault") & !1);
    // Neither the branch of the IT block whose condition failed, nor what stands behind the load that faulted.
    let expected = [0, 2, 4, 8, 10, 12, 16, 20, LOAD];
    assert_eq!(offsets(&guest), expected);
    assert!(!guest.cpu.was_executed(guest.symbol("fault") & !1), "caught before its first instruction");

    // The other way; what was executed before stays, whatever happens to the decoded code.
    guest.cpu.invalidate_code(0..u32::MAX);
    guest.set(15, guest.symbol("covered"));
    guest.set(0, 0);
    assert_eq!(guest.go(1_000), Stop::Halted);
    let mut both = expected.to_vec();
    both.extend([NOT_EQUAL, LAST]);
    both.sort_unstable();
    assert_eq!(offsets(&guest), both);

    guest.cpu.clear_executed();
    assert_eq!(guest.cpu.executed().count(), 0);
    guest.set(15, guest.symbol("covered"));
    guest.set(0, 0);
    assert_eq!(guest.go(1_000), Stop::Halted);
    assert_eq!(offsets(&guest), [0, 2, 4, NOT_EQUAL, 10, LAST]);
}

#[test]
fn a_breakpoint_comes_before_its_instruction_and_a_step_after() {
    let mut guest = Guest::at("covered");
    let base = guest.symbol("covered") & !1;
    guest.write(0xE000_2008, 2 << 30 | (base + 2) & 0x1FFF_FFFC | 1);
    guest.write(0xE000_2000, 3);
    assert_eq!(guest.go(1_000), Stop::Halted);
    assert_eq!(offsets(&guest), [0]);
    guest.write(0xE000_2000, 2);
    guest.write(DHCSR, 0xA05F_0005);
    assert_eq!(guest.run(100), Stop::Halted);
    assert_eq!(offsets(&guest), [0, 2]);
}
