//! The table itself, and the model against it.

mod exceptions;
mod model;

use super::*;

#[test]
fn arrays_have_all_their_elements() {
    let port = block_of("PORT").unwrap();
    let pmux = port.registers.iter().find(|register| register.name == "GROUP[].PMUX[]").unwrap();
    let offsets = pmux.offsets();
    assert_eq!((offsets.len(), offsets[0], offsets[16]), (64, 0x30, 0xB0));
}

#[test]
fn masks_stay_inside_their_registers_and_follow_the_access() {
    for register in blocks().iter().flat_map(|block| &block.registers) {
        let beyond = !(u64::MAX >> (64 - 8 * register.size as u32)) as u32;
        assert_eq!((register.read_mask | register.write_mask) & beyond, 0, "{}", register.name);
        assert_eq!(register.read_mask != 0, register.readable, "{}", register.name);
        assert_eq!(register.write_mask != 0, register.writable, "{}", register.name);
    }
}

#[test]
fn a_ledger_knows_names_and_beginnings_of_names() {
    let ledger = Ledger { stored: &["EVCTRL", "CHANNEL[]*"], absent: &["DBGCTRL"] };
    assert_eq!(ledger.fidelity("CHANNEL[].CHCTRLA"), Fidelity::Stored);
    assert_eq!(ledger.fidelity("DBGCTRL"), Fidelity::Absent);
    assert_eq!(ledger.fidelity("CTRLA"), Fidelity::Modelled);
}
