//! Half duplex (24.6.4).

use super::*;

fn half() -> Bench {
    let mut bench = Bench::running();
    bench.write(NCFGR, ncfgr::SPD | ncfgr::RFCS | ncfgr::RTY);
    bench.write(IER, int::RLEX | int::TCOMP);
    bench
}

/// Sends a frame of 1000 bytes and lets one of 60 arrive `after` the start, ns.
fn collide(bench: &mut Bench, after: u64) {
    bench.queue(0, &frame([0xFF; 6], 1000), 0);
    bench.start();
    bench.pass(after);
    bench.arrive(&frame(MAC, 60));
}

#[test]
fn collision_costs_a_slot_and_the_other_frame() {
    let mut bench = half();
    // 72 bytes take 5760 ns: it began 1000 ns after ours, in the first slot.
    collide(&mut bench, 6_760);
    assert_eq!(bench.read(TSR), tsr::COL | tsr::TXGO);
    assert_eq!(bench.received(0), None);
    bench.pass(MS);
    // Jam 32 bits, one slot of 512 bits, gap 96 bits; then 1012 bytes.
    let again = LINK_UP + 1_000 + (32 + 512 + 96) * 10;
    assert_eq!(bench.sent()[0].0.as_nanos(), again + 1_012 * 80);
    assert_eq!((bench.read(0x138), bench.read(0x13C), bench.read(0x144)), (1, 0, 0), "SCF, MCF, LC");
    assert_eq!(bench.read(ISR), int::TCOMP);
}

#[test]
fn late_and_repeated_collisions_are_counted() {
    let mut bench = half();
    collide(&mut bench, 20_000);
    bench.pass(8_000);
    bench.arrive(&frame(MAC, 60));
    bench.pass(MS);
    assert_eq!((bench.read(0x138), bench.read(0x13C), bench.read(0x144)), (0, 1, 1), "SCF, MCF, LC");
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn sixteen_collisions_are_the_end() {
    let mut bench = half();
    bench.queue(0, &frame([0xFF; 6], 1000), 0);
    bench.start();
    for _ in 0..16 {
        bench.pass(13_000);
        bench.arrive(&frame(MAC, 60));
    }
    assert_eq!(bench.read(TSR), tsr::COL | tsr::RLE);
    assert_eq!(bench.read(ISR), int::RLEX);
    assert_eq!(bench.word(TX_RING + 4) & (txd::USED | txd::RLE), txd::USED | txd::RLE);
    assert_eq!((bench.read(0x140), bench.read(0x108)), (1, 0), "EC, FT");
    bench.pass(MS);
    assert!(bench.sent().is_empty());
    assert_eq!(bench.read(TBQB), TX_RING, "transmission starts again with the same frame");
}

#[test]
fn frame_on_its_way_makes_ours_wait() {
    let mut bench = half();
    // The one that arrives began before ours.
    collide(&mut bench, 2_000);
    assert!(bench.received(0).is_some());
    bench.pass(MS);
    assert_eq!(bench.sent()[0].0.as_nanos(), LINK_UP + 2_000 + 960 + 1_012 * 80);
    assert_eq!((bench.read(0x148), bench.read(0x138)), (1, 0), "DTF, SCF");
}

#[test]
fn full_duplex_knows_no_collisions() {
    let mut bench = half();
    bench.configure(ncfgr::FD);
    collide(&mut bench, 6_760);
    assert!(bench.received(0).is_some());
    assert_eq!(bench.read(TSR) & tsr::COL, 0);
}

#[test]
fn back_pressure_destroys_what_arrives() {
    let mut bench = half();
    bench.write(NCR, ncr::RXEN | ncr::TXEN | ncr::BP);
    bench.arrive(&frame(MAC, 60));
    assert_eq!(bench.received(0), None);
    bench.configure(ncfgr::FD);
    bench.arrive(&frame(MAC, 60));
    assert!(bench.received(0).is_some(), "24.9.1: in half duplex only");
}

#[test]
fn back_off_grows_with_the_collisions() {
    let mut bench = half();
    bench.write(NCFGR, ncfgr::SPD);
    let mut longest = [0; 3];
    for (n, longest) in longest.iter_mut().enumerate() {
        for _ in 0..40 {
            bench.write(NCR, ncr::RXEN);
            bench.write(NCR, ncr::RXEN | ncr::TXEN);
            bench.pass(MS);
            bench.queue(0, &frame([0xFF; 6], 1000), 0);
            bench.start();
            for _ in 0..=n {
                let begun = bench.gmac.next_event().as_nanos() - 1_012 * 80;
                bench.pass((begun + 6_760).saturating_sub(bench.now));
                bench.arrive(&frame(MAC, 60));
            }
            let begun = bench.gmac.next_event().as_nanos() - 1_012 * 80;
            *longest = begun.saturating_sub(bench.now).max(*longest);
        }
    }
    let slot = 5_120;
    assert!((0..3).all(|n| longest[n] <= (1 << (n + 1)) * slot), "{longest:?}");
    assert!(longest[0] < longest[1] && longest[1] < longest[2], "{longest:?}");
}
