//! VLAN, type and mask filters, wake-on-LAN events.

use super::*;

const OTHER: [u8; 6] = [0x02, 9, 9, 9, 9, 9];

/// A frame with `head` after the addresses.
fn with(to: [u8; 6], head: &[u8]) -> Vec<u8> {
    let mut bytes = frame(to, 100);
    bytes[12..12 + head.len()].copy_from_slice(head);
    bytes
}

#[test]
fn vlan_tag_shows_in_the_descriptor() {
    // 24.6.12: priority 5, CFI, VID 0 and then 7.
    let mut bench = Bench::running();
    bench.arrive(&with(MAC, &[0x81, 0, 0xB0, 0]));
    bench.arrive(&with(MAC, &[0x81, 0, 0xA0, 7]));
    let bits = rxd::VLAN | rxd::PRIORITY | rxd::CFI | 7 << rxd::PRIORITY_SHIFT;
    assert_eq!(bench.received(0).unwrap() & bits, rxd::VLAN | rxd::PRIORITY | rxd::CFI | 5 << rxd::PRIORITY_SHIFT);
    assert_eq!(bench.received(1).unwrap() & bits, rxd::VLAN | 5 << rxd::PRIORITY_SHIFT);
    bench.configure(ncfgr::DNVLAN);
    bench.arrive(&with(MAC, &[8, 0]));
    assert_eq!(bench.received(2), None);
    bench.arrive(&with(MAC, &[0x81, 0, 0, 1]));
    assert!(bench.received(2).is_some());
}

#[test]
fn stacked_tags_are_told_by_the_second() {
    // 24.9.27 and table 24-2, bits 21 and 20.
    let mut bench = Bench::running();
    let stacked = with(MAC, &[0x88, 0xA8, 0x00, 9, 0x81, 0, 0x60, 0]);
    let shown = rxd::VLAN | rxd::PRIORITY | 7 << rxd::PRIORITY_SHIFT;
    bench.arrive(&stacked);
    assert_eq!(bench.received(0).unwrap() & shown, 0, "88A8 is no tag");
    bench.write(SVLAN, 0x8000_88A8);
    bench.arrive(&stacked);
    bench.arrive(&with(MAC, &[0x81, 0, 0x00, 9, 0x81, 0, 0x20, 1]));
    bench.arrive(&with(MAC, &[0x88, 0xA8, 0x00, 9, 8, 0]));
    assert_eq!(bench.received(1).unwrap() & shown, rxd::VLAN | rxd::PRIORITY | 3 << rxd::PRIORITY_SHIFT);
    assert_eq!(bench.received(2).unwrap() & shown, rxd::VLAN | 1 << rxd::PRIORITY_SHIFT);
    assert_eq!(bench.received(3).unwrap() & shown, 0, "its only tag is not of type 8100");
}

#[test]
fn type_registers_see_through_tag_and_snap() {
    let mut bench = Bench::running();
    bench.write(TIDM1, 0x4321);
    bench.arrive(&with(OTHER, &[0x43, 0x21]));
    assert_eq!(bench.received(0), None, "not enabled");
    bench.write(TIDM1, 0x8000_4321);
    bench.write(TIDM4, 0x8000_4321);
    bench.arrive(&with(OTHER, &[0x43, 0x21]));
    bench.arrive(&with(OTHER, &[0x81, 0, 0, 1, 0x43, 0x21]));
    bench.arrive(&with(OTHER, &[0, 60, 0xAA, 0xAA, 3, 0, 0, 0, 0x43, 0x21]));
    for index in 0..3 {
        let bits = bench.received(index).unwrap() & (rxd::TYPE_ID | 3 << rxd::TYPE_ID_SHIFT);
        assert_eq!(bits, rxd::TYPE_ID | 3 << rxd::TYPE_ID_SHIFT, "the highest number is shown");
    }
    bench.arrive(&with(OTHER, &[0x81, 0, 0x43, 0x21]));
    assert_eq!(bench.received(3), None);
}

#[test]
fn masked_bits_of_the_first_address_do_not_count() {
    // 24.9.28, 24.9.29.
    let mut bench = Bench::running();
    let mut to = MAC;
    to[1] ^= 0xF0;
    to[5] ^= 0x80;
    bench.arrive(&frame(to, 60));
    assert_eq!(bench.received(0), None);
    bench.write(SAMB1, 0xF000);
    bench.write(SAMT1, 0x8000);
    bench.arrive(&frame(to, 60));
    assert_eq!(bench.received(0).unwrap() & rxd::SPECIFIC, rxd::SPECIFIC);
}

#[test]
fn checksum_unit_tells_snap_and_cfi() {
    // Table 24-2, bit 24 with receive checksum offload.
    let mut bench = Bench::running();
    bench.configure(ncfgr::RXCOEN);
    bench.arrive(&with(MAC, &[0, 60, 0xAA, 0xAA, 3, 0, 0, 0, 0x43, 0x21]));
    bench.arrive(&with(MAC, &[0x81, 0, 0x10, 1, 0, 60, 0xAA, 0xAA, 3, 0, 0, 0, 0x43, 0x21]));
    assert_eq!(bench.received(0).unwrap() & rxd::TYPE_ID, rxd::TYPE_ID);
    assert_eq!(bench.received(1).unwrap() & rxd::TYPE_ID, 0);
}

/// Whether `frame` sets ISR.WOL with `events` enabled in WOL.
fn wakes(events: u32, frame: &[u8]) -> bool {
    let mut bench = Bench::running();
    bench.configure(ncfgr::MTIHEN);
    bench.write(HRB, u32::MAX);
    bench.write(IER, int::WOL);
    bench.write(WOL, events);
    bench.arrive(frame);
    bench.read(ISR) == int::WOL
}

#[test]
fn magic_packet_wakes() {
    // 24.6.13.
    let mut magic = frame(MAC, 150);
    magic[40..46].fill(0xFF);
    for n in 0..16 {
        magic[46 + 6 * n..52 + 6 * n].copy_from_slice(&MAC);
    }
    assert!(wakes(wol::MAG, &magic));
    assert!(!wakes(wol::ARP, &magic));
    let mut short = magic.clone();
    short[46 + 6 * 15] ^= 1;
    assert!(!wakes(wol::MAG, &short), "fifteen times");
    magic[..6].copy_from_slice(&OTHER);
    assert!(!wakes(wol::MAG, &magic), "to somebody else");
}

#[test]
fn arp_request_wakes_unless_the_address_is_zero() {
    let mut head = vec![8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    head.extend([0; 16]);
    head.extend([0, 0, 10, 54, 0x12, 0x34]);
    head[26..30].copy_from_slice(&[10, 54, 0x12, 0x34]);
    let request = with([0xFF; 6], &head);
    assert!(wakes(wol::ARP | 0x1234, &request));
    assert!(!wakes(wol::ARP | 0x1235, &request));
    let mut nobody = request.clone();
    nobody[40..42].fill(0);
    assert!(!wakes(wol::ARP, &nobody));
    let mut reply = request.clone();
    reply[21] = 2;
    assert!(!wakes(wol::ARP | 0x1234, &reply));
    let tagged = [&request[..12], &[0x81, 0, 0, 1], &request[12..]].concat();
    assert!(wakes(wol::ARP | 0x1234, &tagged), "the fields move with the tag");
}

#[test]
fn address_and_hash_wake() {
    // Its hash index is 1 (24.6.9).
    let multicast = [1, 0, 0, 0, 0, 0];
    assert!(wakes(wol::SA1, &frame(MAC, 60)));
    assert!(!wakes(wol::SA1, &frame(OTHER, 60)));
    assert!(wakes(wol::MTI, &frame(multicast, 60)));
    assert!(!wakes(wol::MTI, &frame([0xFF; 6], 60)));
    assert!(!wakes(0, &frame(MAC, 60)));
}
