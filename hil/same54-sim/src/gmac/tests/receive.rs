//! Receive queue, packet buffer and filters.

use super::super::rx;
use super::*;

#[test]
fn received_frame_lands_in_its_buffer() {
    let mut bench = Bench::running();
    bench.write(IER, int::RCOMP);
    let bytes = frame(MAC, 77);
    bench.arrive(&bytes);
    assert_eq!(bench.read(RSR), rsr::REC);
    bench.write(RSR, rsr::REC);
    assert_eq!(bench.read(RSR), 0);
    assert_eq!(bench.gmac.irqs(), 1);
    assert_eq!(bench.read(ISR), int::RCOMP);
    assert_eq!(bench.word(RX_RING) & 3, rxd::OWN);
    assert_eq!(bench.word(RX_RING + 4), rxd::SOF | rxd::EOF | rxd::SPECIFIC | 77);
    assert_eq!(bench.bytes(RX_BUFFERS, 77), bytes);
    assert_eq!(bench.read(RBQB), RX_RING + 8);
    let events = bench.rig.take_events();
    assert_eq!(events[0].kind, EventKind::Frame { sent: false, len: 77 });
}

#[test]
fn fcs_is_kept_unless_its_removal_is_on() {
    let mut bench = Bench::running();
    bench.write(NCFGR, ncfgr::SPD | ncfgr::FD);
    let mut bytes = frame(MAC, 60);
    bytes[14..23].copy_from_slice(b"123456789");
    bench.arrive(&bytes);
    assert_eq!(bench.word(RX_RING + 4) & 0x1FFF, 64);
    let stored = bench.bytes(RX_BUFFERS, 64);
    // IEEE 802.3 3.2.9: the remainder over frame and FCS is the same for every good frame.
    let residue = !u32::from_le_bytes(rx::fcs_of(&stored));
    assert_eq!(residue, 0xDEBB_20E3);
    assert_eq!(rx::fcs_of(b"123456789"), 0xCBF4_3926_u32.to_le_bytes());
}

#[test]
fn long_frame_spreads_over_small_buffers_after_the_offset() {
    let mut bench = Bench::running();
    bench.write(DCFGR, dcfgr::RESET & !(0xFF << dcfgr::DRBS_SHIFT) | 1 << dcfgr::DRBS_SHIFT);
    bench.write(NCFGR, ncfgr::SPD | ncfgr::FD | ncfgr::RFCS | 2 << ncfgr::RXBUFO_SHIFT);
    let bytes = frame(MAC, 150);
    bench.arrive(&bytes);
    let words: Vec<u32> = (0..3).map(|index| bench.word(RX_RING + index * 8 + 4)).collect();
    assert_eq!(words, [rxd::SOF, 0, rxd::EOF | rxd::SPECIFIC | 150]);
    let mut joined = bench.bytes(RX_BUFFERS + 2, 62);
    joined.extend(bench.bytes(RX_BUFFERS + 0x600, 64));
    joined.extend(bench.bytes(RX_BUFFERS + 0xC00, 24));
    assert_eq!(joined, bytes);
}

#[test]
fn frame_waits_in_the_packet_buffer_for_a_descriptor() {
    let mut bench = Bench::running();
    bench.write(IER, int::RXUBR | int::ROVR);
    for index in 0..5 {
        bench.arrive(&frame(MAC, 60 + index));
    }
    assert_eq!(bench.read(RSR), rsr::REC | rsr::BNA);
    assert_eq!(bench.read(ISR), int::RXUBR);
    assert_eq!(bench.read(RBQB), RX_RING, "wrapped around");
    // Software frees one: the frame that waits is stored when the next one arrives.
    bench.set_word(RX_RING, RX_BUFFERS);
    bench.pass(MS);
    assert_eq!(bench.word(RX_RING) & rxd::OWN, 0);
    bench.arrive(&frame(MAC, 70));
    assert_eq!(bench.word(RX_RING + 4) & 0x1FFF, 64, "the fifth frame");
    assert_eq!(bench.read(0x1A0), 2, "RRE: both failed looks at a descriptor");
    // The packet buffer holds 4 KB.
    for _ in 0..3 {
        bench.arrive(&frame(MAC, 1500));
    }
    assert_eq!(bench.read(RSR) & rsr::RXOVR, rsr::RXOVR);
    assert_eq!(bench.read(ISR), int::RXUBR | int::ROVR);
}

#[test]
fn discard_without_descriptor_when_ddrp_is_set() {
    let mut bench = Bench::running();
    let dcfgr = bench.read(DCFGR);
    bench.write(DCFGR, dcfgr | dcfgr::DDRP);
    for index in 0..5 {
        bench.arrive(&frame(MAC, 60 + index));
    }
    bench.set_word(RX_RING, RX_BUFFERS);
    bench.arrive(&frame(MAC, 70));
    assert_eq!(bench.word(RX_RING + 4) & 0x1FFF, 70, "the fifth frame is gone");
}

#[test]
fn filters_take_what_they_are_told() {
    let other = [0x02, 9, 9, 9, 9, 9];
    let multicast = [0x01, 0, 0x5E, 0, 0, 0xFB];
    let mut bench = Bench::running();
    let mut taken = |setup: &dyn Fn(&mut Bench), to: [u8; 6]| {
        bench = Bench::running();
        setup(&mut bench);
        bench.arrive(&frame(to, 60));
        (bench.word(RX_RING) & rxd::OWN != 0).then(|| bench.word(RX_RING + 4) & !0xFFFF)
    };
    let nothing = |_: &mut Bench| {};
    assert_eq!(taken(&nothing, MAC), Some(rxd::SPECIFIC));
    assert_eq!(taken(&nothing, [0xFF; 6]), Some(rxd::BROADCAST));
    assert_eq!(taken(&nothing, other), None);
    assert_eq!(taken(&nothing, multicast), None);

    let set = |bits: u32| {
        move |bench: &mut Bench| {
            let ncfgr = bench.read(NCFGR);
            bench.write(NCFGR, ncfgr | bits);
            bench.write(HRB, u32::MAX);
            bench.write(HRT, u32::MAX);
        }
    };
    assert_eq!(taken(&set(ncfgr::NBC), [0xFF; 6]), None);
    assert_eq!(taken(&set(ncfgr::CAF), other), Some(0));
    assert_eq!(taken(&set(ncfgr::MTIHEN), multicast), Some(rxd::MULTICAST_HASH));
    assert_eq!(taken(&set(ncfgr::MTIHEN), other), None);
    assert_eq!(taken(&set(ncfgr::UNIHEN), other), Some(rxd::UNICAST_HASH));

    let bottom_again = |bench: &mut Bench| {
        let bottom = bench.read(SAB1);
        bench.write(SAB1, bottom);
    };
    assert_eq!(taken(&bottom_again, MAC), None, "writing the bottom deactivates the address");
    // The datasheet's own example, 24.6.7.
    let fourth = |bench: &mut Bench| {
        bench.write(SAB1 + 24, 0x8765_4321);
        bench.write(SAT4, 0xCBA9);
    };
    let example = [0x21, 0x43, 0x65, 0x87, 0xA9, 0xCB];
    assert_eq!(taken(&fourth, example), Some(rxd::SPECIFIC | 3 << rxd::SPECIFIC_SHIFT));
    let type_id = |bench: &mut Bench| bench.write(TIDM1 + 4, 0x8000_88B5);
    assert_eq!(taken(&type_id, other), Some(rxd::TYPE_ID | 1 << rxd::TYPE_ID_SHIFT));
}

#[test]
fn wrong_lengths_are_counted_and_dropped() {
    let mut bench = Bench::running();
    bench.arrive(&frame(MAC, 59));
    bench.arrive(&frame(MAC, 1515));
    assert_eq!(bench.word(RX_RING) & rxd::OWN, 0);
    assert_eq!((bench.read(0x184), bench.read(0x188)), (1, 1));
    let ncfgr = bench.read(NCFGR);
    bench.write(NCFGR, ncfgr | ncfgr::MAXFS);
    bench.arrive(&frame(MAC, 1518));
    assert_eq!(bench.word(RX_RING + 4) & 0x1FFF, 1518);
}

#[test]
fn own_fcs_is_checked_on_the_way_back() {
    let mut bench = Bench::running();
    bench.write(NCR, 0);
    bench.write(NCR, ncr::LBL);
    bench.write(NCR, ncr::LBL | ncr::RXEN | ncr::TXEN);
    let mut bytes = frame(MAC, 60);
    bytes.extend(rx::fcs_of(&bytes));
    bench.queue(0, &bytes, txd::NO_CRC);
    bytes[30] ^= 1;
    bench.queue(1, &bytes, txd::NO_CRC);
    bench.start();
    bench.pass(100_000);
    assert_eq!(bench.word(RX_RING) & rxd::OWN, rxd::OWN);
    assert_eq!(bench.word(RX_RING + 8) & rxd::OWN, 0);
    assert_eq!(bench.read(0x190), 1, "FCSE");
}
