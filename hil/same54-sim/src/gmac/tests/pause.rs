//! Pause frames (24.6.16).

use super::super::pause;
use super::*;

#[test]
fn pause_frame_holds_transmission_back() {
    let mut bench = Bench::running();
    let ncfgr = bench.read(NCFGR);
    bench.write(NCFGR, ncfgr | ncfgr::PEN | ncfgr::DCPF);
    bench.write(IER, int::PFNZ | int::PTZ);
    bench.arrive(&pause::pause_frame([2; 6], 100));
    assert_eq!(bench.read(ISR), int::PFNZ);
    assert_eq!(bench.read(RPQ), 100);
    bench.queue(0, &frame(MAC, 60), 0);
    bench.start();
    bench.pass(MS);
    // 100 quanta of 512 bit times of 10 ns.
    assert_eq!(bench.sent()[0].0.as_nanos(), LINK_UP + 100 * 5_120 + 72 * 80);
    assert_eq!(bench.read(ISR), int::PTZ);
}

#[test]
fn pause_frame_is_sent_on_request() {
    let mut bench = Bench::running();
    bench.write(IER, int::PFTR);
    bench.write(NCR, ncr::RXEN | ncr::TXEN | ncr::TXPF);
    bench.pass(MS);
    let sent = bench.sent().remove(0).1;
    assert_eq!(sent[..6], [0x01, 0x80, 0xC2, 0, 0, 1]);
    assert_eq!(sent[6..12], MAC);
    assert_eq!(sent[12..18], [0x88, 0x08, 0, 1, 0xFF, 0xFF]);
    assert_eq!(bench.read(ISR), int::PFTR);
    assert_eq!(bench.read(0x114), 1, "PFT");
}

#[test]
fn pause_begins_after_the_frame_that_is_being_sent() {
    let mut bench = Bench::running();
    bench.configure(ncfgr::PEN);
    for index in 0..2 {
        bench.queue(index, &frame(MAC, 1_000), 0);
    }
    bench.start();
    bench.pass(10_000);
    bench.arrive(&pause::pause_frame([2; 6], 10));
    bench.pass(MS);
    let sent = bench.sent();
    assert_eq!(sent[1].0.since(sent[0].0).as_nanos(), 10 * 5_120 + 1_012 * 80);
}

#[test]
fn pause_needs_full_duplex_and_enable_but_interrupts_anyway() {
    for bits in [ncfgr::SPD | ncfgr::FD, ncfgr::SPD | ncfgr::PEN] {
        let mut bench = Bench::running();
        bench.write(NCFGR, bits);
        bench.write(IER, int::PFNZ | int::PTZ);
        bench.arrive(&pause::pause_frame([2; 6], 10));
        assert_eq!((bench.read(ISR), bench.read(RPQ), bench.read(0x164)), (int::PFNZ, 0, 1), "PFR");
    }
}

#[test]
fn zero_quantum_ends_the_pause_and_a_new_one_replaces_it() {
    let mut bench = Bench::running();
    bench.configure(ncfgr::PEN);
    bench.write(IER, int::PFNZ | int::PTZ);
    bench.arrive(&pause::pause_frame([2; 6], 100));
    bench.arrive(&pause::pause_frame([2; 6], 50));
    assert_eq!((bench.read(RPQ), bench.read(ISR)), (50, int::PFNZ));
    bench.arrive(&pause::pause_frame([2; 6], 0));
    assert_eq!((bench.read(RPQ), bench.read(ISR)), (0, int::PTZ));
}

#[test]
fn retry_test_bit_makes_the_quantum_short() {
    // 24.9.2, RTY: one cycle of the 25 MHz clock.
    let mut bench = Bench::running();
    bench.configure(ncfgr::PEN | ncfgr::RTY);
    bench.write(IER, int::PTZ);
    bench.arrive(&pause::pause_frame([2; 6], 100));
    bench.pass(3_999);
    assert_eq!(bench.read(ISR), 0);
    bench.pass(1);
    assert_eq!(bench.read(ISR), int::PTZ);
}

#[test]
fn pause_frames_to_the_own_address_are_valid_and_copied_with_dcpf() {
    let mut bench = Bench::running();
    bench.configure(ncfgr::PEN | ncfgr::DCPF | ncfgr::CAF);
    let mut bytes = pause::pause_frame([2; 6], 100);
    bench.arrive(&bytes);
    assert_eq!(bench.received(0), None);
    bytes[..6].copy_from_slice(&MAC);
    bench.arrive(&bytes);
    assert!(bench.received(0).is_some(), "24.9.2: a destination address match");
    assert_eq!((bench.read(0x164), bench.read(0x158)), (2, 0), "PFR, FR");
    bytes[15] = 2;
    bench.arrive(&bytes);
    assert_eq!(bench.read(0x164), 0, "another opcode");
}

#[test]
fn zero_quantum_pause_frame_is_sent_on_request() {
    let mut bench = Bench::running();
    let ncr = bench.read(NCR);
    bench.write(NCR, ncr | ncr::TXZQPF);
    bench.pass(MS);
    assert_eq!(bench.sent()[0].1[14..18], [0, 1, 0, 0]);
    assert_eq!((bench.read(0x108), bench.read(0x100)), (0, 0), "24.6.16.2: FT and OT do not count it");
    bench.write(NCFGR, ncfgr::SPD);
    bench.write(NCR, ncr | ncr::TXZQPF);
    bench.pass(MS);
    assert!(bench.sent().is_empty(), "only in full duplex");
}

#[test]
fn priority_pause_frames_go_both_ways() {
    let mut bench = Bench::running();
    bench.configure(ncfgr::PEN);
    bench.write(TPFCP, 0x0F_81);
    bench.write(TPQ, 0x1234);
    let ncr = bench.read(NCR);
    bench.write(NCR, ncr | ncr::TXPBPF);
    bench.pass(MS);
    let sent = bench.sent().remove(0).1;
    assert_eq!(sent[12..18], [0x88, 0x08, 1, 1, 0, 0x81]);
    assert_eq!(sent[18..34], [0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x12, 0x34, 0x12, 0x34, 0x12, 0x34]);

    bench.write(IER, int::PFNZ | int::PTZ);
    bench.arrive(&sent);
    assert_eq!(bench.read(ISR), 0, "not enabled");
    bench.write(NCR, ncr | ncr::ENPBPR);
    bench.arrive(&sent);
    assert_eq!((bench.read(ISR), bench.read(0x164)), (int::PFNZ, 1), "PFR");
    bench.arrive(&pause::pause_frame([2; 6], 100));
    assert_eq!(bench.read(RPQ), 0, "24.9.2: PFC has been negotiated");
}
