//! 1588 timer and PTP time stamps through the registers (24.6.14, 24.6.15).

use super::*;

/// With the timer at 10 ns per cycle of 100 MHz, from a whole second.
fn clocked() -> Bench {
    let mut bench = Bench::running();
    bench.rig.clocks.cpu = 100_000_000;
    bench.gmac.clocks_changed(&mut bench.rig.cx(LINK_UP));
    bench.write(TSH, 1);
    bench.write(TSL, 5);
    bench.write(TN, 0);
    bench.write(TI, 10);
    bench
}

fn sync() -> Vec<u8> {
    let mut bytes = frame([0x01, 0x80, 0xC2, 0, 0, 0x0E], 60);
    bytes[12..16].copy_from_slice(&[0x88, 0xF7, 0, 2]);
    bytes
}

#[test]
fn timer_counts_and_is_adjusted() {
    let mut bench = clocked();
    bench.pass(1_500_000_000);
    assert_eq!((bench.read(TSH), bench.read(TSL), bench.read(TN)), (1, 6, 500_000_000));
    bench.write(TA, 1 << 31 | 600_000_000);
    assert_eq!((bench.read(TSL), bench.read(TN), bench.read(TA)), (5, 900_000_000, 0));
    bench.write(TI, 0);
    bench.pass(MS);
    assert_eq!(bench.read(TN), 900_000_000);
}

#[test]
fn seconds_interrupt_comes_with_the_second() {
    let mut bench = clocked();
    bench.pass(1_200_000_000);
    bench.write(IER, int::SRI);
    assert_eq!(bench.read(ISR), 0, "what went by before it was enabled does not count");
    assert_eq!(bench.gmac.next_event().as_nanos(), LINK_UP + 2_000_000_000);
    bench.pass(800_000_000);
    assert_eq!((bench.gmac.irqs(), bench.read(ISR)), (1, int::SRI));
}

#[test]
fn comparison_interrupts_and_sends_an_event() {
    let mut bench = clocked();
    bench.write(IER, int::TSUCMP);
    bench.write(SCH, 1);
    bench.write(NSC, 1_000);
    bench.write(SCL, 6);
    bench.pass(1_000_255_990);
    assert_eq!((bench.read(ISR), bench.rig.signals.events_out.len()), (0, 0));
    bench.pass(10);
    assert_eq!(bench.read(ISR), int::TSUCMP);
    assert_eq!(bench.rig.signals.events_out[0].0, 0x72);
    bench.pass(2_000_000_000);
    assert_eq!(bench.rig.signals.events_out.len(), 1);
}

#[test]
fn times_of_event_frames_are_those_of_their_delimiters() {
    let mut bench = clocked();
    bench.write(IER, int::SFT | int::SFR | int::PDRQFT | int::PDRSFR);
    bench.pass(1_000_000);
    bench.queue(0, &sync(), 0);
    bench.start();
    bench.pass(MS);
    assert_eq!(bench.read(ISR), int::SFT);
    // Preamble and delimiter take 640 ns.
    assert_eq!([EFTSH, EFTSL, EFTSL + 4].map(|offset| bench.read(offset)), [1, 5, 1_000_640]);

    bench.arrive(&sync());
    assert_eq!(bench.read(ISR), int::SFR);
    // It has ended at 2 ms and took 64 bytes after the delimiter.
    assert_eq!([EFTSH + 4, EFTSL + 8, EFTSL + 12].map(|offset| bench.read(offset)), [1, 5, 2_000_000 - 64 * 80]);

    let mut peer = sync();
    peer[14] = 2;
    bench.queue(1, &peer, 0);
    bench.start();
    bench.pass(MS);
    peer[14] = 3;
    bench.arrive(&peer);
    assert_eq!(bench.read(ISR), int::PDRQFT | int::PDRSFR);
    assert_eq!([EFTSH + 8, EFTSL + 16, EFTSL + 20].map(|offset| bench.read(offset)), [1, 5, 2_000_640]);
    assert_eq!([PEFRSH, EFTSL + 24, PEFRN].map(|offset| bench.read(offset)), [1, 5, 3_000_000 - 64 * 80]);
}

#[test]
fn time_stamp_takes_the_place_of_the_fcs() {
    // 24.9.1, SRTSM.
    let mut bench = clocked();
    bench.write(NCFGR, ncfgr::SPD | ncfgr::FD);
    let ncr = bench.read(NCR);
    bench.write(NCR, ncr | ncr::SRTSM);
    bench.pass(MS);
    bench.arrive(&frame(MAC, 60));
    assert_eq!(bench.received(0).unwrap() & 0x1FFF, 64);
    assert_eq!(bench.word(RX_BUFFERS + 60), 1_000_000 - 64 * 80);
}
